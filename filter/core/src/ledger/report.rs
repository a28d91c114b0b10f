//! Composes reports to the control plane: leases and records.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_proto::ledger as wire;
use prost::Message as _;
use wire::ledger_request::Kind;

use super::tracked_lines::{TrackedLine, TrackedLines};
use super::{AskedUnits, LedgerClient, LedgerEffect, MOST_UNANSWERED, PendingDemand, SentReport, send};
use crate::limits::account::{
    AccountChange, AccountLine, LeaseAccount, NO_PERIOD, PERIOD_NOW, SubjectId, Totals, cushion,
};
use crate::mcp::sightings::{self, Sightings};
use crate::record::bucket_id;
use crate::routing::cooldown::Cooldowns;
use crate::snapshot::{BucketKind, UnixMs};
use crate::store::SharedStore;

const MOST_SUBJECTS: usize = 256;

const MOST_RECORDS: usize = 500;
const MOST_RECORD_BYTES: usize = 256 * 1024;
const MOST_SIGHTING_BYTES: usize = 512 * 1024;

/// One lease of a report.
#[derive(Clone, Copy)]
struct LeaseEntry {
    kind: BucketKind,
    period: i64,
    totals: Totals,
    wanted: WantedUnits,
    /// From the policy of whoever asks.
    limit: u64,
}

/// The units of a bucket to ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct WantedUnits {
    want: u64,
    least: u64,
    floor: u64,
    is_ahead: bool,
}

impl<S: SharedStore> LedgerClient<S> {
    /// Sends reports while few enough are unanswered. Without `ships`, only rings known to hold more are
    /// read.
    pub(super) fn report(&mut self, now_ms: i64, ships: bool, effects: &mut Vec<LedgerEffect>) {
        let mut ships = ships;
        loop {
            let Some(stream) = &self.stream else { return };
            if stream.unanswered.len() >= MOST_UNANSWERED {
                return;
            }
            let is_probe = !stream.is_proved;
            let id = stream.last_id.saturating_add(1);
            let (leases, asked) = self.leases(id, now_ms, effects);
            let batches = self.batches(ships);
            ships = false;
            let (resting, tools) = (self.resting(), self.sightings(now_ms));
            if leases.is_empty() && batches.is_empty() && resting.is_none() && tools.is_empty() && !is_probe {
                return;
            }
            let last = |batch: &wire::Batch| Some((batch.worker, batch.records.last()?.sequence));
            let shipped = batches.iter().filter_map(last).collect();
            let sent = SentReport { id, at_ms: now_ms, tick: self.ticks, asked, shipped };
            self.silent_since.get_or_insert(self.ticks);
            if let Some(stream) = &mut self.stream {
                stream.last_id = id;
                stream.is_proved = true;
                stream.unanswered.push_back(sent);
            }
            effects.push(send(Kind::Report(wire::Report { id, batches, leases, resting, tools })));
        }
    }

    /// The targets that rest, where that has changed.
    fn resting(&mut self) -> Option<wire::RestingTargets> {
        let resting = Cooldowns::read(&self.store).on_wire();
        let stream = self.stream.as_mut().filter(|stream| stream.resting != resting)?;
        stream.resting.clone_from(&resting);
        Some(resting)
    }

    /// Tools that are not as they are pinned and were not told yet, as many as fit.
    fn sightings(&mut self, now_ms: i64) -> Vec<wire::ToolSighting> {
        let write = sightings::last_write(&self.store);
        let Some(stream) = self.stream.as_mut().filter(|stream| stream.sightings_write != write) else {
            return Vec::new();
        };
        let Sightings { tools, write } = sightings::read(&self.store);
        let told = |tool: &wire::ToolSighting| {
            (tool.server.clone(), tool.tool.clone(), tool.hash.clone(), tool.at_ms)
        };
        let listed: BTreeSet<_> = tools.iter().map(told).collect();
        stream.sighted.retain(|told| listed.contains(told));
        let is_due = |tool: &wire::ToolSighting| {
            !stream.sighted.contains(&told(tool)) && !sightings::is_outdated(tool, UnixMs(now_ms))
        };
        // What has changed first: of what is new there may be more than fits.
        let (changed, unpinned): (Vec<_>, Vec<_>) =
            tools.into_iter().filter(is_due).partition(|tool| !tool.pinned_hash.is_empty());
        let due: Vec<_> = changed.into_iter().chain(unpinned).collect();
        let all = due.len();
        let new = sightings::with_definitions(&self.store, due, MOST_SIGHTING_BYTES);
        if new.len() == all {
            stream.sightings_write = write;
        }
        stream.sighted.extend(new.iter().map(told));
        new
    }

    fn leases(
        &mut self,
        id: u64,
        now_ms: i64,
        effects: &mut Vec<LedgerEffect>,
    ) -> (Vec<wire::Lease>, Vec<AskedUnits>) {
        let (mut leases, mut asked) = (Vec::new(), Vec::new());
        for subject in self.subjects_due() {
            let mut pending = BTreeMap::new();
            for kind in BucketKind::ALL {
                let follows_lost_answer = self.lost_answers.remove(&(subject, kind));
                if let Some(asked) = self.pending.remove(&(subject, kind)) {
                    pending.insert(kind, PendingDemand { follows_lost_answer, ..asked });
                } else if follows_lost_answer {
                    pending.insert(kind, PendingDemand { follows_lost_answer, ..PendingDemand::default() });
                }
            }
            let Some(active) = self.subjects.get_mut(&subject) else { continue };
            let composed = LeaseAccount::change(&self.store, subject, |account| {
                entries(account, &active.tracks, &pending, now_ms)
            });
            let AccountChange::Done((entries, is_served)) = composed else {
                effects.push(LedgerEffect::Log("an account cannot be read or changed".to_owned()));
                continue;
            };
            if is_served {
                effects.push(LedgerEffect::Wake);
            }
            for LeaseEntry { kind, period, totals, wanted, limit } in entries {
                if period != PERIOD_NOW {
                    active.tracks.edit(kind, period, |track| track.reported = Some(totals));
                }
                if wanted.want > 0 {
                    let WantedUnits { want, least, .. } = wanted;
                    let each = pending.get(&kind).and_then(|pending| pending.least).unwrap_or_default();
                    asked.push(AskedUnits { subject, kind, want, least, each, limit });
                }
                leases.push(lease(subject, kind, period, totals, wanted));
            }
            active.last_report = id;
        }
        (leases, asked)
    }

    /// Subjects that ask, then those with changed numbers, which are dirty no more.
    fn subjects_due(&mut self) -> Vec<SubjectId> {
        let named = self.pending.keys().chain(&self.lost_answers).map(|(subject, _)| *subject);
        let mut subjects: Vec<_> = named.collect::<BTreeSet<_>>().into_iter().collect();
        subjects.truncate(MOST_SUBJECTS);
        for subject in &subjects {
            self.dirty.remove(subject);
        }
        while subjects.len() < MOST_SUBJECTS {
            let Some(subject) = self.dirty.pop_first() else { break };
            subjects.push(subject);
        }
        subjects
    }

    /// The most units that a waiting request here has asked for without an answer; 0 where none waits.
    pub(super) fn awaited(&self, subject: SubjectId, kind: BucketKind) -> u64 {
        let asked = self.stream.iter().flat_map(|stream| &stream.unanswered).flat_map(|sent| &sent.asked);
        let asked = asked.filter(|asked| asked.subject == subject && asked.kind == kind);
        asked.map(|asked| asked.each).max().unwrap_or_default()
    }

    fn batches(&mut self, ships: bool) -> Vec<wire::Batch> {
        let (mut records_left, mut bytes_left) = (MOST_RECORDS, MOST_RECORD_BYTES);
        let mut batches = Vec::new();
        for shipping in &mut self.shippings {
            let is_due = ships || shipping.has_more;
            if shipping.is_under_way || !is_due || records_left == 0 || bytes_left == 0 {
                continue;
            }
            let records = shipping.reader.read(&self.store, records_left, bytes_left);
            let bytes: usize =
                records.iter().map(|record| record.encoded_len()).fold(0, usize::saturating_add);
            records_left = records_left.saturating_sub(records.len());
            bytes_left = bytes_left.saturating_sub(bytes);
            shipping.has_more = records_left == 0 || bytes_left < MOST_RECORD_BYTES.div_euclid(4);
            shipping.is_under_way = !records.is_empty();
            if shipping.is_under_way {
                batches.push(wire::Batch { worker: shipping.reader.worker(), records });
            }
        }
        for record in batches.iter().flat_map(|batch| &batch.records) {
            for subject in [&record.app_id, &record.key_id] {
                if let Ok(subject) = subject.as_slice().try_into() {
                    self.check_soon(SubjectId(subject));
                }
            }
        }
        // Rings that were left out go first next time.
        if !batches.is_empty() {
            self.shippings.rotate_left(1);
        }
        batches
    }
}

/// The entries of an account, and whether some that asked have what they need already.
fn entries(
    account: &mut LeaseAccount,
    tracks: &TrackedLines,
    pending: &BTreeMap<BucketKind, PendingDemand>,
    now_ms: i64,
) -> (Vec<LeaseEntry>, bool) {
    let mut entries = Vec::new();
    let mut is_served = false;
    for line in &mut account.lines {
        line.expire(now_ms);
        // Without a demand the policy's limit is not known here.
        if let Some(pending) = pending.get(&line.kind).filter(|pending| pending.limit > 0) {
            line.give_back_above(pending.limit);
        }
        let totals = line.totals();
        let reported = tracks.get(line.kind, line.period).and_then(|track| track.reported);
        if reported == Some(totals) || line.period == PERIOD_NOW {
            continue;
        }
        if reported.is_none_or(|reported| reported.used < totals.used) {
            line.reports = line.reports.saturating_add(1);
        }
        let (kind, period) = (line.kind, line.period);
        entries.push(LeaseEntry { kind, period, totals, wanted: WantedUnits::default(), limit: 0 });
    }
    for (kind, pending) in pending {
        let is_window = kind.span_ms().is_some();
        let line = account.current(*kind).filter(|line| is_window || now_ms < line.deadline_ms);
        let track = line.and_then(|line| tracks.get(line.kind, line.period));
        let wanted = wanted(*kind, pending, line, track, now_ms);
        if wanted.want == 0 {
            is_served = true;
            continue;
        }
        let unknown = if is_window { NO_PERIOD } else { PERIOD_NOW };
        let period = line.map_or(unknown, |line| line.period);
        let totals = line.map(AccountLine::totals).unwrap_or_default();
        entries.retain(|entry| (entry.kind, entry.period) != (*kind, period));
        entries.push(LeaseEntry { kind: *kind, period, totals, wanted, limit: pending.limit });
    }
    (entries, is_served)
}

/// What to ask for beyond the available units: what waits, twice what a second takes, or a cushion, whichever
/// is most.
fn wanted(
    kind: BucketKind,
    pending: &PendingDemand,
    line: Option<&AccountLine>,
    track: Option<&TrackedLine>,
    now_ms: i64,
) -> WantedUnits {
    let available = line.map_or(0, |line| line.available(now_ms));
    let needed = pending.need.max(pending.ahead);
    if needed <= available {
        let one = if pending.follows_lost_answer { 1 } else { 0 };
        return WantedUnits { want: one, least: one, floor: one, is_ahead: true };
    }
    let beyond = |units: Option<u64>| units.unwrap_or_default().saturating_sub(available).max(1);
    let (least, floor) = (one_more(pending.least, available), beyond(pending.floor));
    let wanted = |want: u64| WantedUnits { want, least, floor, is_ahead: pending.least.is_none() };
    // Asking for all or nothing tells the new answer apart from a lost one.
    let is_unsure = pending.follows_lost_answer && kind.span_ms().is_some();
    if is_unsure || track.is_some_and(|track| track.is_unsure) {
        return wanted(least);
    }
    let rate = track.zip(line).map_or(0, |(track, line)| track.rate_with(line));
    let cushion = cushion(kind, pending.need, pending.limit);
    let ready = needed.max(rate.saturating_mul(2)).max(cushion).min(pending.limit);
    wanted(ready.saturating_sub(available).max(least))
}

/// Units that let one more request of size `least` go: the available ones let others go.
fn one_more(least: Option<u64>, available: u64) -> u64 {
    let least = least.unwrap_or(1).max(1);
    least.saturating_sub(available.checked_rem(least).unwrap_or_default())
}

fn lease(
    subject: SubjectId,
    kind: BucketKind,
    period: i64,
    totals: Totals,
    wanted: WantedUnits,
) -> wire::Lease {
    let Totals { granted, used, returned, local } = totals;
    let WantedUnits { want, least, floor, is_ahead } = wanted;
    let (bucket, ahead) = (Some(bucket_id(subject, kind, period)), is_ahead && want > 0);
    wire::Lease { bucket, granted, used, returned, local, want, least, ahead, floor }
}
