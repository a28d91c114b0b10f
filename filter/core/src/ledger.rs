//! The sync role's end of the ledger stream. It asks for units when gates run out, adds granted units to
//! accounts, reclaims idle ones, and ships records until they are committed. Events in, effects out; its
//! state is in the store.
//!
//! It tracks the subjects that demands have named lately, so that its work follows use. It measures waits in
//! ticks: a clock that jumps neither hides an outage nor looks like one.

mod grants;
mod idle_reclaim;
mod offline_limits;
mod report;
mod tracked_lines;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use latchkey_proto::ledger as wire;
use wire::ledger_request::Kind;

use crate::limits::account::{
    AccountChange, BucketDemand, Demand, GrantVerdict, LeaseAccount, NO_PERIOD, SubjectId,
};
use crate::record::ring::{self, RingReader};
use crate::snapshot::BucketKind;
use crate::store::SharedStore;
use tracked_lines::{TrackedLine, TrackedLines};

pub const TICK_MS: u64 = 100;

/// Reports that may be unanswered at a time.
const MOST_UNANSWERED: usize = 4;

#[derive(Clone, Debug)]
pub struct LedgerConfig {
    /// The name that admins see.
    pub gateway: String,
    /// The process's id, as on the discovery stream.
    pub instance: String,
    /// The same as for the workers' rings.
    pub ring_capacity: u32,
    /// Without an answer for this long the control plane is away.
    pub away_after_ms: u64,
    /// From then on rate limits hold for this gateway alone, for this long.
    pub offline_limits_ms: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum LedgerEvent {
    /// A stream was opened, and nothing is sent on it yet.
    Connected,
    /// The stream has ended, or could not be written to.
    Closed,
    Response(wire::LedgerResponse),
    /// An encoded [`Demand`] from the queue of the gates.
    Demand(Vec<u8>),
    /// A key or an app is revoked or gone.
    Revoked(SubjectId),
    Tick,
}

#[derive(Clone, Debug, PartialEq)]
pub enum LedgerEffect {
    /// Send it on the stream, and close the stream if that fails.
    Send(wire::LedgerRequest),
    /// Wake the workers: waiting requests may try again.
    Wake,
    Log(String),
}

#[derive(Debug)]
pub struct LedgerClient<S> {
    store: S,
    config: LedgerConfig,
    subjects: BTreeMap<SubjectId, ActiveSubject>,
    /// By tick.
    next_checks: BTreeSet<(u64, SubjectId)>,
    pending: BTreeMap<(SubjectId, BucketKind), PendingDemand>,
    /// Buckets whose answer was lost with a stream. Asking for one unit more tells what it was.
    lost_answers: BTreeSet<(SubjectId, BucketKind)>,
    /// Subjects with numbers that the control plane may not know.
    dirty: BTreeSet<SubjectId>,
    stream: Option<OpenStream>,
    shippings: Vec<RecordShipment>,
    ticks: u64,
    /// The tick since which an answer is due.
    silent_since: Option<u64>,
    was_away: bool,
    last_ms: i64,
}

#[derive(Debug, Default)]
struct OpenStream {
    last_id: u64,
    unanswered: VecDeque<SentReport>,
    /// A stream's first report is sent even if it is empty: its answer shows that the control plane is there.
    is_proved: bool,
    /// The resting targets that were told last.
    resting: wire::RestingTargets,
    /// Tools that are not as they are pinned, as they were told.
    sighted: BTreeSet<ToldTool>,
    /// The write of the list of such tools that was told whole.
    sightings_write: u32,
}

/// A sighting that was told: server, tool, fingerprint and time.
type ToldTool = (String, String, Vec<u8>, i64);

/// A report without an answer yet.
#[derive(Debug)]
struct SentReport {
    id: u64,
    at_ms: i64,
    tick: u64,
    asked: Vec<AskedUnits>,
    /// Each worker with its last sequence.
    shipped: Vec<(u32, u64)>,
}

/// Units that a report asked for.
#[derive(Clone, Copy, Debug)]
struct AskedUnits {
    subject: SubjectId,
    kind: BucketKind,
    want: u64,
    least: u64,
    /// The least that a waiting request needs; 0 where none waits.
    each: u64,
    limit: u64,
}

/// A limit subject whose units are in use.
#[derive(Debug, Default)]
struct ActiveSubject {
    tracks: TrackedLines,
    /// The id of the last report about it.
    last_report: u64,
    /// In ticks.
    last_moved: u64,
    /// In ticks.
    next_check: u64,
    /// Until this tick others wait for its units.
    recalled_until: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct PendingDemand {
    /// The sum over waiting requests.
    need: u64,
    /// To have available even if no request waits.
    ahead: u64,
    /// The least that one waiting request needs.
    least: Option<u64>,
    /// The least that one waiting request would settle for.
    floor: Option<u64>,
    limit: u64,
    /// An answer was lost: ask even if there is enough.
    follows_lost_answer: bool,
}

/// The shipping of one worker's records.
#[derive(Debug)]
struct RecordShipment {
    reader: RingReader,
    is_under_way: bool,
    /// The last batch was full.
    has_more: bool,
}

impl<S: SharedStore> LedgerClient<S> {
    /// Resumes from the store.
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

    /// Whether the control plane is away, so that offline limits apply.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.silent_for_ms() >= self.config.away_after_ms
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

    /// What was sent may be lost: everything is reported and shipped again.
    fn close(&mut self) {
        self.silent_since.get_or_insert(self.ticks);
        let Some(stream) = self.stream.take() else { return };
        for asked in stream.unanswered.iter().flat_map(|sent| &sent.asked) {
            self.lost_answers.insert((asked.subject, asked.kind));
            let active = self.subjects.get_mut(&asked.subject);
            if let Some(active) = active.filter(|_| asked.kind.span_ms().is_some()) {
                active.tracks.edit(asked.kind, NO_PERIOD, |track| track.is_unsure = true);
            }
        }
        for active in self.subjects.values_mut() {
            active.last_report = 0;
            active.tracks.iter_mut().for_each(|track| track.reported = None);
        }
        self.dirty.extend(self.subjects.keys());
        for shipping in &mut self.shippings {
            shipping.is_under_way = false;
        }
    }

    fn receive_demand(&mut self, bytes: &[u8], effects: &mut Vec<LedgerEffect>) {
        match Demand::decode(bytes) {
            Some(demand) => demand.buckets.iter().for_each(|demand| self.add_demand(demand, effects)),
            None => effects.push(LedgerEffect::Log("a demand of a gate cannot be read".to_owned())),
        }
    }

    fn add_demand(&mut self, demand: &BucketDemand, effects: &mut Vec<LedgerEffect>) {
        let BucketDemand { subject, kind, need, least, floor, limit } = *demand;
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
            pending.least = Some(pending.least.map_or(least, |other| other.min(least)));
            pending.floor = Some(pending.floor.map_or(floor, |other| other.min(floor)));
        }
    }

    /// Tracks a subject, and creates its account if needed. False where the host does not store it.
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
        let active = self.subjects.entry(subject).or_default();
        for line in account.lines {
            // The last answer may have been lost.
            let track = TrackedLine {
                is_unsure: line.kind.span_ms().is_some(),
                ..TrackedLine::of(&line, self.ticks)
            };
            active.tracks.edit(line.kind, line.period, |tracked| *tracked = track);
            self.dirty.insert(subject);
        }
        active.next_check = u64::MAX;
        self.check_soon(subject);
        true
    }

    /// Returns a subject's unused units. Requests in progress settle as usual.
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

/// Keeps one `Wake`, at the end.
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
