//! The sync role's end of the ledger stream: asks for units when gates run dry, brings them into
//! their accounts, takes back what lies idle, and ships records until they are committed. Events in,
//! effects out; what it must remember lies in the store.
//!
//! It knows the owners that demands have named lately, so that its work follows use. It measures
//! waits in ticks, so that a clock that jumps neither hides an outage nor feigns one.

mod grants;
mod idle_reclaim;
mod offline_limits;
mod report;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use latchkey_proto::ledger as wire;
use latchkey_proto::window::Window;
use wire::ledger_request::Kind;

use crate::limits::account::{
    AccountChange, BucketDemand, Demand, GrantVerdict, LeaseAccount, NO_PERIOD, SubjectId, Totals,
};
use crate::record::ring::{self, RingReader};
use crate::snapshot::BucketKind;
use crate::store::SharedStore;

/// Between two ticks.
pub const TICK_MS: u64 = 100;

/// So many reports may be without an answer.
const MOST_UNANSWERED: usize = 4;

/// What a ledger is told once.
#[derive(Clone, Debug)]
pub struct LedgerConfig {
    /// The name that admins see.
    pub gateway: String,
    /// Of this process, as on the discovery stream.
    pub instance: String,
    /// How many records a worker's ring has, the same as the workers were told.
    pub ring_capacity: u32,
    /// After so long without an answer the control plane is away.
    pub away_after_ms: u64,
    /// For so long, from then on, rate limits hold for this gateway alone.
    pub offline_limits_ms: u64,
}

/// What has happened.
#[derive(Clone, Debug, PartialEq)]
pub enum LedgerEvent {
    /// A stream was opened; nothing was sent on it yet.
    Connected,
    /// The stream has ended, or could not be written to.
    Closed,
    /// The control plane speaks.
    Response(wire::LedgerResponse),
    /// An encoded [`Demand`] from the queue of the gates.
    Demand(Vec<u8>),
    /// A key or an app is revoked, or gone.
    Revoked(SubjectId),
    /// [`TICK_MS`] have gone by.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum LedgerEffect {
    /// Send it on the stream; where that fails, close it.
    Send(wire::LedgerRequest),
    /// Wake the workers: requests that wait shall try again.
    Wake,
    /// Tell the operator.
    Log(String),
}

/// The state of the sync role's end.
#[derive(Debug)]
pub struct LedgerClient<S> {
    store: S,
    config: LedgerConfig,
    subjects: BTreeMap<SubjectId, ActiveSubject>,
    /// When each owner is looked at next, in ticks.
    next_checks: BTreeSet<(u64, SubjectId)>,
    pending: BTreeMap<(SubjectId, BucketKind), PendingDemand>,
    /// Buckets of which an answer was lost: asking for one more tells what it said.
    lost_answers: BTreeSet<(SubjectId, BucketKind)>,
    /// Owners of whom the control plane may know older numbers.
    dirty: BTreeSet<SubjectId>,
    stream: Option<OpenStream>,
    shippings: Vec<RecordShipment>,
    ticks: u64,
    /// Since when an answer is due.
    silent_since: Option<u64>,
    was_away: bool,
    last_ms: i64,
}

/// An open stream.
#[derive(Debug, Default)]
struct OpenStream {
    last_id: u64,
    unanswered: VecDeque<SentReport>,
    /// A first report is due whatever there is to say: its answer shows that somebody is there.
    is_proved: bool,
}

/// A report that has no answer yet.
#[derive(Debug)]
struct SentReport {
    id: u64,
    at_ms: i64,
    tick: u64,
    asked: Vec<AskedUnits>,
    /// Workers, and the last sequence of each.
    shipped: Vec<(u32, u64)>,
}

/// What a report has asked for.
#[derive(Clone, Copy, Debug)]
struct AskedUnits {
    subject: SubjectId,
    kind: BucketKind,
    want: u64,
    least: u64,
    /// The least that a request needs which waits; 0 where none does.
    each: u64,
    limit: u64,
}

/// An owner whose units move.
#[derive(Debug, Default)]
struct ActiveSubject {
    tracks: BTreeMap<(BucketKind, i64), TrackedLine>,
    /// The last report that spoke of it.
    report: u64,
    /// When something was last heard of it, in ticks.
    last_moved: u64,
    /// When it is looked at next, in ticks.
    next_check: u64,
    /// Until when others wait for what comes back of it, in ticks.
    recalled_until: u64,
}

/// What is remembered of a line.
#[derive(Debug, Default)]
struct TrackedLine {
    /// The numbers that this stream was told.
    reported: Option<Totals>,
    /// An answer may have been lost: the next must be told apart from it.
    is_unsure: bool,
    /// Brought and taken, when it was looked at last.
    received_and_taken: (u64, u64),
    quiet_since: u64,
    /// When the rate was found, and what was taken by then.
    base: (u64, u64),
    /// About how many units a second were taken.
    rate: u64,
    /// What this gateway has lent itself.
    offline_window: Option<Window>,
}

/// What requests wait for.
#[derive(Clone, Copy, Debug, Default)]
struct PendingDemand {
    /// The sum of what waiting requests need.
    need: u64,
    /// To be available though nobody waits.
    ahead: u64,
    /// The least of what a waiting request needs.
    least: Option<u64>,
    /// The least of what would do for one.
    floor: Option<u64>,
    limit: u64,
    /// Ask, even if there is enough.
    follows_lost_answer: bool,
}

/// A worker's records on their way.
#[derive(Debug)]
struct RecordShipment {
    reader: RingReader,
    is_under_way: bool,
    /// The last batch was as large as one may be.
    has_more: bool,
}

impl<S: SharedStore> LedgerClient<S> {
    /// Takes up what the store holds.
    pub fn resume(store: S, config: LedgerConfig) -> Self {
        Self {
            store,
            config,
            subjects: BTreeMap::new(),
            next_checks: BTreeSet::new(),
            pending: BTreeMap::new(),
            lost_answers: BTreeSet::new(),
            dirty: BTreeSet::new(),
            stream: None,
            shippings: Vec::new(),
            ticks: 0,
            silent_since: Some(0),
            was_away: false,
            last_ms: i64::MIN,
        }
    }

    /// Takes note of an event.
    pub fn on(&mut self, event: LedgerEvent, now_ms: i64) -> Vec<LedgerEffect> {
        let mut effects = Vec::new();
        let mut ships = true;
        match event {
            LedgerEvent::Connected => self.connect(&mut effects),
            LedgerEvent::Closed => self.close(),
            LedgerEvent::Response(response) => {
                self.answer(response, now_ms, &mut effects);
                ships = false;
            }
            LedgerEvent::Demand(bytes) => self.receive_demand(&bytes, &mut effects),
            LedgerEvent::Revoked(subject) => self.take_back(subject, &mut effects),
            LedgerEvent::Tick => self.tick(now_ms, &mut effects),
        }
        if self.is_away() {
            self.apply_offline_limits(now_ms, &mut effects);
        }
        self.report(now_ms, ships, &mut effects);
        wake_once(&mut effects);
        effects
    }

    /// Whether the control plane does not answer: limits are kept without it.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.silent_for_ms() >= self.config.away_after_ms
    }

    /// How many owners have units that move.
    #[must_use]
    pub fn subjects(&self) -> usize {
        self.subjects.len()
    }

    fn silent_for_ms(&self) -> u64 {
        self.silent_since.map_or(0, |since| self.ticks.saturating_sub(since).saturating_mul(TICK_MS))
    }

    fn connect(&mut self, effects: &mut Vec<LedgerEffect>) {
        self.close();
        self.stream = Some(OpenStream::default());
        self.check_all_soon();
        let LedgerConfig { gateway, instance, .. } = self.config.clone();
        effects.push(send(Kind::Hello(wire::Hello { gateway, instance })));
    }

    /// What was sent may have been lost: all is told again, and shipped again.
    fn close(&mut self) {
        self.silent_since.get_or_insert(self.ticks);
        let Some(stream) = self.stream.take() else { return };
        for asked in stream.unanswered.iter().flat_map(|sent| &sent.asked) {
            self.lost_answers.insert((asked.subject, asked.kind));
            let known = self.subjects.get_mut(&asked.subject);
            if let Some(known) = known.filter(|_| asked.kind.span_ms().is_some()) {
                known.tracks.entry((asked.kind, NO_PERIOD)).or_default().is_unsure = true;
            }
        }
        for known in self.subjects.values_mut() {
            known.last_report = 0;
            known.tracks.values_mut().for_each(|track| track.reported = None);
        }
        self.dirty.extend(self.subjects.keys());
        for shipping in &mut self.shippings {
            shipping.is_under_way = false;
        }
    }

    fn receive_demand(&mut self, bytes: &[u8], effects: &mut Vec<LedgerEffect>) {
        match Demand::decode(bytes) {
            Some(demand) => demand.asks.iter().for_each(|ask| self.ask(ask, effects)),
            None => effects.push(LedgerEffect::Log("a demand of a gate cannot be read".to_owned())),
        }
    }

    fn ask(&mut self, ask: &BucketDemand, effects: &mut Vec<LedgerEffect>) {
        let BucketDemand { subject, kind, need, least, floor, limit } = *ask;
        if !self.track_subject(subject) {
            return effects.push(LedgerEffect::Log("an account cannot be stored".to_owned()));
        }
        self.check_soon(subject);
        let pending = self.pending.entry((subject, kind)).or_default();
        pending.limit = limit;
        if least == 0 {
            pending.ahead = pending.ahead.max(need);
        } else {
            pending.need = pending.need.saturating_add(need);
            pending.least = Some(pending.least.map_or(least, |known| known.min(least)));
            pending.floor = Some(pending.floor.map_or(floor, |known| known.min(floor)));
        }
    }

    /// Has the owner among those that it knows, with an account.
    fn track_subject(&mut self, subject: SubjectId) -> bool {
        if self.subjects.contains_key(&subject) {
            return true;
        }
        let account = match LeaseAccount::read(&self.store, subject) {
            Some((account, _)) => account,
            None if self.store.put(&subject.name(), &LeaseAccount::default().encode()).is_ok() => {
                LeaseAccount::default()
            }
            None => return false,
        };
        let known = self.subjects.entry(subject).or_default();
        for line in account.lines {
            // What became of the last answer is not known here.
            let track = TrackedLine {
                is_unsure: line.kind.span_ms().is_some(),
                ..TrackedLine::of(&line, self.ticks)
            };
            known.tracks.insert((line.kind, line.period), track);
            self.dirty.insert(subject);
        }
        known.next_check = u64::MAX;
        self.check_soon(subject);
        true
    }

    /// Returns what an owner has left; requests under way settle as usual.
    fn take_back(&mut self, subject: SubjectId, effects: &mut Vec<LedgerEffect>) {
        if LeaseAccount::read(&self.store, subject).is_none() {
            return;
        }
        self.track_subject(subject);
        self.check_soon(subject);
        self.pending.retain(|(asking, _), _| *asking != subject);
        let given = LeaseAccount::change(&self.store, subject, |account| {
            for line in &mut account.lines {
                line.give_back();
            }
        });
        self.dirty.insert(subject);
        if given != AccountChange::Done(()) {
            effects.push(LedgerEffect::Log("a lease cannot be returned".to_owned()));
        }
    }

    fn tick(&mut self, now_ms: i64, effects: &mut Vec<LedgerEffect>) {
        self.ticks = self.ticks.saturating_add(1);
        self.count_workers(effects);
        self.reclaim_idle(now_ms, effects);
        let is_away = self.is_away();
        if is_away != self.was_away {
            let text = if is_away {
                "the control plane does not answer: rate limits hold for this gateway alone, budgets for what is leased"
            } else {
                "the control plane answers again: limits hold for all gateways together"
            };
            effects.push(LedgerEffect::Log(text.to_owned()));
        }
        self.was_away = is_away;
    }

    fn count_workers(&mut self, effects: &mut Vec<LedgerEffect>) {
        let Ok(count) = ring::workers(&self.store) else {
            return effects.push(LedgerEffect::Log("the number of workers cannot be stored".to_owned()));
        };
        let known = u32::try_from(self.shippings.len()).unwrap_or(u32::MAX);
        for worker in known..count {
            let reader = RingReader::resume(&self.store, worker, self.config.ring_capacity);
            self.shippings.push(RecordShipment { reader, is_under_way: false, has_more: false });
        }
    }
}

impl From<wire::Verdict> for GrantVerdict {
    fn from(verdict: wire::Verdict) -> Self {
        match verdict {
            wire::Verdict::Unspecified => Self::Unknown,
            wire::Verdict::Granted => Self::Granted,
            wire::Verdict::Exhausted => Self::Exhausted,
            wire::Verdict::Contended => Self::Contended,
            wire::Verdict::Unlimited => Self::Unlimited,
        }
    }
}

fn send(kind: Kind) -> LedgerEffect {
    LedgerEffect::Send(wire::LedgerRequest { kind: Some(kind) })
}

/// One is enough, after everything else.
fn wake_once(effects: &mut Vec<LedgerEffect>) {
    let before = effects.len();
    effects.retain(|effect| *effect != LedgerEffect::Wake);
    if effects.len() < before {
        effects.push(LedgerEffect::Wake);
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod simulation;
