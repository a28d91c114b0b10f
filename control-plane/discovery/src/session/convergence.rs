//! Whatever happens, gateways converge, and nothing is claimed that they have not applied.

use std::collections::BTreeMap;

use latchkey_proto::discovery::{Ack, KeyRecord, Rejected, Status as KeyStatus};
use latchkey_proto::key::KeyHash;
use proptest::prelude::*;

use super::*;

/// What happens next. Numbers choose among what is possible.
#[derive(Clone, Debug)]
enum Step {
    Write { key: u8, refused: bool },
    Remove { key: u8 },
    Notice,
    Read,
    Receive,
    Answer,
    Reconnect,
    Restart,
    Restore,
}

/// A key's state: when it was written, and whether gateways refuse it. `None`: removed.
type Version = (u64, Option<bool>);

/// The control plane's database, in memory.
#[derive(Clone)]
struct World {
    tags: Vec<[u8; 16]>,
    drawn: u128,
    log: Vec<BTreeMap<u8, Version>>,
}

/// What a gateway does with responses, by the rules in `discovery.proto`.
#[derive(Clone, Default)]
struct Gateway {
    keys: BTreeMap<u8, u64>,
    position: Option<wire::Position>,
    newest: Option<wire::Position>,
    named_by_snapshot: Option<Vec<u8>>,
}

struct Fleet {
    world: World,
    gateway: Gateway,
    session: Session<usize>,
    downstream: VecDeque<DiscoveryResponse>,
    upstream: VecDeque<Kind>,
    read: Option<(From, Option<usize>)>,
    streams: u64,
    now: Instant,
}

impl World {
    fn head(&self) -> Position {
        let revision = self.log.len() - 1;
        Position { revision: revision as u64, tag: self.tags[revision] }
    }

    fn commit(&mut self, key: u8, refused: Option<bool>) {
        let mut now = self.log.last().unwrap().clone();
        now.insert(key, (self.log.len() as u64, refused));
        self.append(now);
    }

    fn append(&mut self, state: BTreeMap<u8, Version>) {
        self.log.push(state);
        self.drawn += 1;
        self.tags.push(self.drawn.to_be_bytes());
    }

    /// Goes back to a backup; what is committed from then on is another history.
    fn restore(&mut self) {
        let kept = self.log.len().div_ceil(2);
        self.log.truncate(kept);
        self.tags.truncate(kept);
    }

    fn resumable(&self, at: &Position) -> bool {
        self.tags.get(at.revision as usize) == Some(&at.tag)
    }

    fn read(&self, from: From, cursor: Option<usize>) -> Batch<usize> {
        const LIMIT: usize = 2;
        let start = cursor.unwrap_or_default();
        let mut rows: Vec<_> = self.log.last().unwrap().iter().collect();
        rows.retain(|(_, (revision, refused))| match from {
            From::Everything => refused.is_some(),
            From::After(after) => *revision > after,
        });
        let mut batch = Batch::default();
        // The cursor is a key, so that rows may come and go between two reads.
        for (id, version) in rows.iter().filter(|(id, _)| usize::from(**id) >= start).take(LIMIT) {
            match version {
                (revision, Some(refused)) => batch.keys.push(record(**id, *revision, *refused)),
                (_, None) => batch.removed_keys.push(KeyHash::from([**id; 32])),
            }
        }
        let last = rows.iter().filter(|(id, _)| usize::from(**id) >= start).nth(LIMIT);
        batch.next = last.map(|(id, _)| usize::from(**id));
        batch.newest = Some(self.head());
        batch
    }
}

fn record(id: u8, revision: u64, refused: bool) -> KeyRecord {
    let status = if refused { KeyStatus::Unspecified } else { KeyStatus::Active };
    let key_id = u128::from(revision).to_be_bytes().to_vec();
    KeyRecord { hash: vec![id; 32], key_id, status: status.into(), ..KeyRecord::default() }
}

impl Gateway {
    fn take(&mut self, response: DiscoveryResponse) -> Kind {
        let nonce = response.nonce.clone();
        let bad: Vec<_> = response.keys.iter().filter(|key| key.status() == KeyStatus::Unspecified).collect();
        if !bad.is_empty() {
            let rejected = bad.into_iter().map(|key| Rejected {
                resource: resource::key(&KeyHash::try_from(&key.hash[..]).unwrap()),
                reason: "no status".to_owned(),
            });
            return Kind::Nack(Nack { nonce, error_detail: String::new(), rejected: rejected.collect() });
        }
        let in_snapshot = self.named_by_snapshot.is_some();
        let expected = match response.part() {
            Part::SnapshotPart | Part::SnapshotEnd => in_snapshot,
            Part::Increment | Part::SnapshotBegin => !in_snapshot,
        };
        assert!(expected, "{:?} in the wrong place", response.part());
        if response.part() == Part::SnapshotBegin {
            self.named_by_snapshot = Some(Vec::new());
            (self.position, self.newest) = (None, None);
        }
        let revision = |point: &Option<wire::Position>| point.as_ref().map(|point| point.revision);
        if revision(&response.newest) > revision(&self.newest) {
            self.newest = response.newest.clone();
        }
        for key in &response.keys {
            let revision = u64::try_from(u128::from_be_bytes(key.key_id[..].try_into().unwrap())).unwrap();
            self.keys.insert(key.hash[0], revision);
            self.named_by_snapshot.iter_mut().for_each(|named| named.push(key.hash[0]));
        }
        for hash in &response.removed_keys {
            self.keys.remove(&hash[0]);
        }
        if response.part() == Part::SnapshotEnd {
            let named = self.named_by_snapshot.take().unwrap();
            self.keys.retain(|id, _| named.contains(id));
        }
        if response.position.is_some() {
            self.position = response.position;
        }
        Kind::Ack(Ack { nonce })
    }
}

impl Fleet {
    fn new() -> Self {
        let world = World { tags: vec![[0; 16]], drawn: 0, log: vec![BTreeMap::new()] };
        let now = Instant::now();
        let session = Session::new(Settings::default(), 0, world.head(), now);
        let mut fleet = Self {
            world,
            gateway: Gateway::default(),
            session,
            downstream: VecDeque::new(),
            upstream: VecDeque::new(),
            read: None,
            streams: 0,
            now,
        };
        fleet.reconnect();
        fleet
    }

    fn reconnect(&mut self) {
        self.streams += 1;
        let settings = Settings { window: 3, ..Settings::default() };
        self.session = Session::new(settings, self.streams, self.world.head(), self.now);
        self.downstream.clear();
        self.read = None;
        self.gateway.named_by_snapshot = None;
        let (position, newest) = (self.gateway.position.clone(), self.gateway.newest.clone());
        let hello = Hello { gateway: "gw".to_owned(), instance: "a".to_owned(), position, newest };
        self.upstream = VecDeque::from([Kind::Hello(hello)]);
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Write { key, refused } => self.world.commit(*key, Some(*refused)),
            Step::Remove { key } => self.world.commit(*key, None),
            Step::Notice => self.tell(Event::Head(self.world.head())),
            Step::Read => {
                if let Some((from, cursor)) = self.read.take() {
                    self.tell(Event::Read(self.world.read(from, cursor)));
                }
            }
            Step::Receive => {
                if let Some(response) = self.downstream.pop_front() {
                    self.upstream.push_back(self.gateway.take(response));
                }
            }
            Step::Answer => {
                if let Some(kind) = self.upstream.pop_front() {
                    self.tell(Event::Message(DiscoveryRequest { kind: Some(kind) }));
                }
            }
            Step::Reconnect => self.reconnect(),
            Step::Restart => {
                self.gateway = Gateway::default();
                self.reconnect();
            }
            // At any time, under an open stream: what the gateway holds may be ahead of its position.
            Step::Restore => {
                self.world.restore();
                self.tell(Event::HistoryReplaced);
            }
        }
        self.check_claim();
    }

    fn tell(&mut self, event: Event<usize>) {
        let effects = self.session.on(event, self.now);
        for effect in effects {
            match effect {
                Effect::Welcome(_) => {}
                Effect::CheckResume(points) => {
                    let resumable = points.iter().all(|point| self.world.resumable(point));
                    self.tell(Event::Resumable(resumable));
                }
                Effect::Read(from, cursor) => assert!(self.read.replace((from, cursor)).is_none()),
                Effect::Send(response) => self.downstream.push_back(*response),
                Effect::Close(status) => {
                    assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
                    return self.reconnect();
                }
            }
        }
    }

    /// Whatever is claimed and not quarantined, the gateway has as it was then, or newer.
    fn check_claim(&self) {
        let progress = self.session.progress();
        let claimed = &self.world.log[usize::try_from(progress.acknowledged).unwrap()];
        for (id, (revision, state)) in claimed {
            if progress.quarantined.contains_key(&resource::key(&KeyHash::from([*id; 32]))) {
                continue;
            }
            let newest = self.world.log.last().unwrap()[id];
            match self.gateway.keys.get(id) {
                Some(has) => assert!(has >= revision, "key {id} is older than claimed"),
                None => assert!(state.is_none() || newest.0 > *revision, "key {id} is missing"),
            }
        }
    }

    /// Runs until nothing is left to do.
    fn settle(&mut self) {
        self.step(&Step::Notice);
        while self.read.is_some() || !self.downstream.is_empty() || !self.upstream.is_empty() {
            [Step::Read, Step::Receive, Step::Answer].iter().for_each(|step| self.step(step));
        }
    }

    fn check_converged(&self) {
        assert_eq!(self.session.progress().acknowledged, self.world.head().revision);
        let newest = self.world.log.last().unwrap();
        let quarantined = &self.session.progress().quarantined;
        for (id, (revision, state)) in newest {
            let has = self.gateway.keys.get(id);
            let held = quarantined.contains_key(&resource::key(&KeyHash::from([*id; 32])));
            match state {
                None => assert_eq!(has, None, "key {id} is gone"),
                Some(false) => assert_eq!((has, held), (Some(revision), false)),
                Some(true) => assert!(held && has != Some(revision)),
            }
        }
        assert!(self.gateway.keys.keys().all(|id| newest.contains_key(id)));
        let whole = newest.values().all(|(_, state)| *state != Some(true));
        if whole && newest.len() > 1 {
            assert_eq!(self.gateway.position, Some(self.world.head().into()));
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..12u8, prop::bool::weighted(0.2)).prop_map(|(key, refused)| Step::Write { key, refused }),
        2 => (0..12u8).prop_map(|key| Step::Remove { key }),
        4 => Just(Step::Notice),
        6 => Just(Step::Read),
        6 => Just(Step::Receive),
        6 => Just(Step::Answer),
        1 => Just(Step::Reconnect),
        1 => Just(Step::Restart),
        1 => Just(Step::Restore),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn gateways_converge_and_nothing_is_claimed_too_early(steps in prop::collection::vec(step(), 0..120)) {
        let mut fleet = Fleet::new();
        for step in &steps {
            fleet.step(step);
        }
        fleet.settle();
        fleet.check_converged();
    }
}
