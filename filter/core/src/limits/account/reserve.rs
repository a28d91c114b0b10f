use latchkey_proto::window;

use super::{
    AccountChange, AccountLine, ActualUse, BucketDemand, Demand, GrantVerdict, LeaseAccount, MOST_TRIES,
    PATIENCE_MS, Patience, SubjectId, cushion,
};
use crate::price::{Ceiling, NanoUsd};
use crate::snapshot::{BucketKind, BucketLimit, Limits, Unit};
use crate::store::{SharedStore, Swap};

/// How long a refill is not asked for again.
const AHEAD_MS: i64 = 250;

/// A lease is refilled this long before it ends, or when a third of its time is left.
const ENDING_MS: i64 = 1000;

/// Whose limits apply to a request.
#[derive(Clone, Copy, Debug)]
pub struct LimitSubject<'a> {
    /// An app or a named key.
    pub id: SubjectId,
    pub limits: &'a Limits,
}

#[derive(Clone, Copy, Debug)]
pub struct Need {
    pub input_tokens: u64,
    /// An estimate, for windows of tokens. What is used beyond it counts once it is known.
    pub input_estimate: u64,
    /// Where nothing is short.
    pub output_wanted: u64,
    /// With fewer the request is not worth sending.
    pub output_least: u64,
    /// None where the model has no price.
    pub price: Option<Ceiling>,
    /// How many further targets may read the input, and bill it, without an answer.
    pub further_tries: u64,
}

#[derive(Debug)]
pub enum ReserveOutcome {
    Reserved(ReservedUnits),
    /// The leases are too small, and the control plane has not refused more: send the demand to the sync role
    /// and wait.
    Wait(Demand),
    /// Waiting does not help.
    Refused(LimitRefusal),
    /// The subject at this index has a cost budget, and the need has no price.
    Unpriced(usize),
    /// The host does not store the change.
    Failed,
}

#[derive(Debug)]
pub struct ReservedUnits {
    pub reservation: Reservation,
    /// The leases run low: what to ask the sync role for. The request need not wait for it.
    pub refill: Option<Demand>,
    pub standings: Vec<LimitStanding>,
}

/// The units that one request holds. Settled or cancelled once: both consume it.
#[derive(Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Reservation {
    /// The most output tokens that the request may have, over all choices.
    pub output_tokens: u64,
    /// The most input tokens; none where only requests are limited.
    pub input_tokens: Option<u64>,
    /// What is held for further tries.
    pub(super) for_tries: ActualUse,
    pub(super) held: Vec<HeldUnits>,
}

/// Units of one bucket that a request holds; of request limits, has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldUnits {
    pub subject: SubjectId,
    pub kind: BucketKind,
    pub period: i64,
    pub amount: u64,
    /// [`AccountLine::reports`] at the time.
    pub reports: u64,
    /// [`AccountLine::lapses`] at the time.
    pub lapses: u64,
}

/// What is left of a limit, as far as this process knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitStanding {
    /// Its index in the list of subjects.
    pub subject: usize,
    pub kind: BucketKind,
    pub limit: u64,
    /// Approximate.
    pub remaining: u64,
    /// In Unix milliseconds by the control plane's clock; 0 if unknown.
    pub resets_at_ms: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitRefusal {
    pub standing: LimitStanding,
    pub reason: RefusalReason,
    /// What the request needs at least.
    pub needed: u64,
    /// When to try again; 0 for never.
    pub retry_after_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// The request alone exceeds the limit.
    TooLarge,
    Exhausted,
    Contended,
    /// The control plane does not answer, and the lease is used up.
    Away,
}

/// A bucket that applies to a request, with its account line.
#[derive(Clone, Copy)]
struct BucketEntry {
    subject: usize,
    id: SubjectId,
    bucket: BucketLimit,
    line: Option<AccountLine>,
    available: u64,
}

/// Reserves the most that a request may use, from all subjects or from none. While others hold what it needs
/// it waits; in the end it gets less output.
pub fn reserve(
    store: &impl SharedStore,
    subjects: &[LimitSubject<'_>],
    need: &Need,
    patience: Patience,
    now_ms: i64,
) -> ReserveOutcome {
    for _ in 0..MOST_TRIES {
        let accounts: Vec<_> = subjects.iter().map(|subject| read(store, subject)).collect();
        let entries = entries(subjects, &accounts, now_ms);
        let output = match need.decide(&entries, patience, now_ms) {
            Ok(output) => output,
            Err(stop) => return stop,
        };
        let mut reserved = need.take(&entries, output, now_ms);
        match hold(store, subjects, accounts, &mut reserved, now_ms) {
            Swap::Done => return ReserveOutcome::Reserved(reserved),
            Swap::Changed => {}
            Swap::Failed => break,
        }
    }
    ReserveOutcome::Failed
}

fn read(store: &impl SharedStore, subject: &LimitSubject<'_>) -> Option<(LeaseAccount, u32)> {
    if subject.limits.buckets.is_empty() { None } else { LeaseAccount::read(store, subject.id) }
}

/// The buckets that apply, except those that the control plane does not know.
fn entries(
    subjects: &[LimitSubject<'_>],
    accounts: &[Option<(LeaseAccount, u32)>],
    now_ms: i64,
) -> Vec<BucketEntry> {
    let mut entries = Vec::with_capacity(12);
    for (index, (subject, account)) in subjects.iter().zip(accounts).enumerate() {
        for bucket in &subject.limits.buckets {
            let line = account.as_ref().and_then(|(account, _)| account.current(bucket.kind)).copied();
            let lifted = |line: AccountLine| {
                line.status.verdict == GrantVerdict::Unlimited && line.status.holds(now_ms, bucket.limit)
            };
            if line.is_some_and(lifted) {
                continue;
            }
            let available = line.map_or(0, |line| line.available_within(bucket.limit, now_ms));
            entries.push(BucketEntry { subject: index, id: subject.id, bucket: *bucket, line, available });
        }
    }
    entries
}

/// What [`reserve`] would say if a limit of requests has no room, and waiting does not help: what else the request
/// needs does not matter then. Reserves nothing.
#[must_use]
pub fn refused_by_requests(
    store: &impl SharedStore,
    subjects: &[LimitSubject<'_>],
    need: &Need,
    patience: Patience,
    now_ms: i64,
) -> Option<ReserveOutcome> {
    let is_limited = |subject: &LimitSubject<'_>| !subject.limits.of_requests().buckets.is_empty();
    if !subjects.iter().any(is_limited) {
        return None;
    }
    let accounts: Vec<_> = subjects.iter().map(|subject| read(store, subject)).collect();
    let entries = entries(subjects, &accounts, now_ms);
    let of_requests: Vec<_> =
        entries.iter().filter(|entry| entry.unit() == Unit::Requests).copied().collect();
    match need.decide(&of_requests, patience, now_ms) {
        Err(ReserveOutcome::Refused(_)) => need.decide(&entries, patience, now_ms).err(),
        _ => None,
    }
}

/// Writes all accounts or none.
fn hold(
    store: &impl SharedStore,
    subjects: &[LimitSubject<'_>],
    accounts: Vec<Option<(LeaseAccount, u32)>>,
    reserved: &mut ReservedUnits,
    now_ms: i64,
) -> Swap {
    let ReservedUnits { reservation: Reservation { held, .. }, refill, .. } = reserved;
    for (index, (subject, account)) in subjects.iter().zip(accounts).enumerate() {
        let Some((mut account, write)) = account else { continue };
        let mut is_touched = false;
        for held in held.iter().filter(|held| held.subject == subject.id) {
            let asked = refill.iter().flat_map(|demand| &demand.buckets);
            let asked = asked.filter(|ask| ask.subject == subject.id && ask.kind == held.kind).count() > 0;
            let Some(line) = account.line_mut(held.kind, held.period) else { continue };
            let count = if line.is_of_requests() { &mut line.used } else { &mut line.held };
            *count = count.saturating_add(held.amount);
            line.asked_at_ms = if asked { now_ms } else { line.asked_at_ms };
            is_touched = true;
        }
        if !is_touched {
            continue;
        }
        match store.swap(&subject.id.name(), &account.encode(), write) {
            Swap::Done => {}
            stopped => {
                for before in subjects.iter().take(index) {
                    release(store, before.id, held);
                }
                return stopped;
            }
        }
    }
    Swap::Done
}

/// Returns one subject's units as if they had never been reserved. An admission that was reported stays
/// counted.
pub(super) fn release(store: &impl SharedStore, subject: SubjectId, held: &[HeldUnits]) -> AccountChange<()> {
    LeaseAccount::change(store, subject, |account| {
        for held in held.iter().filter(|held| held.subject == subject) {
            let Some(line) = account.line_mut(held.kind, held.period) else { continue };
            if !line.is_of_requests() {
                line.held = line.held.saturating_sub(held.amount);
                line.free(held.amount, held.lapses);
            } else if line.reports == held.reports {
                line.used = line.used.saturating_sub(held.amount);
                line.free(held.amount, held.lapses);
            }
        }
    })
}

impl Need {
    /// How many output tokens the request may have, or why it may not go.
    fn decide(
        &self,
        entries: &[BucketEntry],
        patience: Patience,
        now_ms: i64,
    ) -> Result<u64, ReserveOutcome> {
        if let Some(entry) = entries.iter().find(|entry| entry.unit() == Unit::Cost && self.price.is_none()) {
            return Err(ReserveOutcome::Unpriced(entry.subject));
        }
        let least = self.output_least.min(self.output_wanted);
        let mut output = self.output_wanted;
        for entry in entries {
            match self.output_within(entry.kind(), entry.bucket.limit).filter(|most| *most >= least) {
                Some(most) => output = output.min(most),
                None => {
                    return Err(ReserveOutcome::Refused(self.refusal(
                        entry,
                        RefusalReason::TooLarge,
                        now_ms,
                    )));
                }
            }
        }
        // What there can be at best, though not yet; at least the request's minimum.
        let best = entries.iter().filter_map(|entry| {
            Some(self.output_within(entry.kind(), entry.best_case(now_ms)?).unwrap_or_default().max(least))
        });
        output = best.fold(output, u64::min);
        if patience != Patience::Whole {
            // The same, by what there is now.
            let there = entries.iter().filter_map(|entry| {
                Some(
                    self.output_within(entry.kind(), entry.available_now(now_ms)?)
                        .unwrap_or_default()
                        .max(least),
                )
            });
            output = there.fold(output, u64::min);
        }
        self.check_units(entries, output, patience, now_ms)
    }

    /// This output if there are units for it, or what to do about it.
    fn check_units(
        &self,
        entries: &[BucketEntry],
        output: u64,
        patience: Patience,
        now_ms: i64,
    ) -> Result<u64, ReserveOutcome> {
        let floor = self.output_least.min(self.output_wanted);
        let mut buckets = Vec::new();
        let mut is_contended = false;
        let mut refusal: Option<LimitRefusal> = None;
        for entry in entries {
            let amount = |output| self.amount(entry.kind(), output);
            let need = amount(output);
            if need <= entry.available {
                continue;
            }
            let lacks = need.saturating_sub(entry.available);
            match entry.refusal_reason(lacks, now_ms) {
                Some(RefusalReason::Contended) if patience != Patience::Over => is_contended = true,
                Some(reason) => refusal = longest(refusal, self.refusal(entry, reason, now_ms)),
                None if patience == Patience::Over && entry.was_contended(lacks, now_ms) => {
                    refusal = longest(refusal, self.refusal(entry, RefusalReason::Contended, now_ms));
                }
                None => {}
            }
            let BucketEntry { id: subject, bucket: BucketLimit { kind, limit }, .. } = *entry;
            buckets.push(BucketDemand { subject, kind, need, least: need, floor: amount(floor), limit });
        }
        match refusal {
            Some(refusal) => Err(ReserveOutcome::Refused(refusal)),
            // Nothing is asked for meanwhile: it would be kept from others.
            None if is_contended => Err(ReserveOutcome::Wait(Demand::default())),
            None if buckets.is_empty() => Ok(output),
            None => Err(ReserveOutcome::Wait(Demand { buckets })),
        }
    }

    fn refusal(&self, entry: &BucketEntry, reason: RefusalReason, now_ms: i64) -> LimitRefusal {
        let needed = self.amount(entry.kind(), self.output_least.min(self.output_wanted));
        let status = entry.line.map(|line| line.status).unwrap_or_default();
        let later_ms = match reason {
            RefusalReason::Exhausted => entry.later_ms(needed.saturating_sub(entry.available)),
            _ => 0,
        };
        let mut standing = entry.standing(0);
        let later = |at_ms: i64| at_ms.saturating_add(later_ms).min(entry.renewed_at_ms(now_ms).max(at_ms));
        if standing.resets_at_ms > 0 {
            standing.resets_at_ms = later(standing.resets_at_ms);
        }
        let retry_at_ms = later(status.retry_at_ms);
        let retry_after_ms = match reason {
            RefusalReason::TooLarge => 0,
            _ => u64::try_from(retry_at_ms.saturating_sub(now_ms)).unwrap_or_default().max(1),
        };
        LimitRefusal { standing, reason, needed, retry_after_ms }
    }

    /// Takes the units of every bucket, all of which have enough.
    fn take(&self, entries: &[BucketEntry], output: u64, now_ms: i64) -> ReservedUnits {
        let mut reserved = ReservedUnits {
            reservation: Reservation {
                output_tokens: output,
                input_tokens: None,
                for_tries: ActualUse {
                    tokens: self.further_tries.saturating_mul(self.input_tokens),
                    cost: NanoUsd(self.price.map_or(0, |price| self.cost_of_tries(&price))),
                },
                held: Vec::with_capacity(entries.len()),
            },
            refill: None,
            standings: Vec::with_capacity(entries.len()),
        };
        for entry in entries {
            let amount = self.amount(entry.kind(), output);
            reserved.standings.push(entry.standing(amount));
            let BucketEntry { id: subject, bucket: BucketLimit { kind, limit }, line: Some(line), .. } =
                *entry
            else {
                continue;
            };
            let AccountLine { period, reports, lapses, last_grant, .. } = line;
            reserved.reservation.held.push(HeldUnits { subject, kind, period, amount, reports, lapses });
            if entry.runs_low(amount, now_ms) {
                let need = last_grant.max(amount).max(cushion(kind, amount, limit));
                let ask = BucketDemand { subject, kind, need, least: 0, floor: 0, limit };
                reserved.refill.get_or_insert_default().buckets.push(ask);
            }
        }
        reserved
    }

    /// Units for the input and this output.
    fn amount(&self, kind: BucketKind, output: u64) -> u64 {
        match kind.unit() {
            Unit::Requests => 1,
            Unit::Tokens => self.input(kind).saturating_add(output),
            Unit::Cost => self.price.map_or(0, |price| {
                let answered = price.worst(self.input_tokens, output).0;
                answered.saturating_add(self.cost_of_tries(&price))
            }),
        }
    }

    /// The most output that these units cover.
    fn output_within(&self, kind: BucketKind, units: u64) -> Option<u64> {
        match kind.unit() {
            Unit::Requests => (units > 0).then_some(u64::MAX),
            Unit::Tokens => units.checked_sub(self.input(kind)),
            Unit::Cost => {
                let price = self.price?;
                let left = units.checked_sub(self.cost_of_tries(&price))?;
                price.output_within(NanoUsd(left), self.input_tokens)
            }
        }
    }

    /// Windows count an estimate, budgets an upper bound.
    fn input(&self, kind: BucketKind) -> u64 {
        let once = if kind.span_ms().is_some() { self.input_estimate } else { self.input_tokens };
        once.saturating_mul(self.further_tries.saturating_add(1))
    }

    fn cost_of_tries(&self, price: &Ceiling) -> u64 {
        price.worst(self.input_tokens, 0).0.saturating_mul(self.further_tries)
    }
}

/// A request that waits for several limits waits for the last of them.
fn longest(known: Option<LimitRefusal>, found: LimitRefusal) -> Option<LimitRefusal> {
    Some(known.filter(|known| known.retry_after_ms >= found.retry_after_ms).unwrap_or(found))
}

impl BucketEntry {
    fn kind(&self) -> BucketKind {
        self.bucket.kind
    }

    fn unit(&self) -> Unit {
        self.bucket.kind.unit()
    }

    /// The most that can become available, including what requests in progress free, where the control plane
    /// has just said that it is less than was asked for.
    fn best_case(&self, now_ms: i64) -> Option<u64> {
        let line = self.line.filter(|line| line.status.holds(now_ms, self.bucket.limit))?;
        let own = self.available.saturating_add(line.held);
        match line.status.verdict {
            GrantVerdict::Exhausted => {
                Some(own.saturating_add(line.status.reachable.max(line.status.remaining)))
            }
            GrantVerdict::Away => Some(self.available),
            _ => None,
        }
    }

    /// What is available now, here and at the control plane, as far as it has just said.
    fn available_now(&self, now_ms: i64) -> Option<u64> {
        let status = self.line?.status;
        let is_told = match status.verdict {
            GrantVerdict::Exhausted => status.holds(now_ms, self.bucket.limit),
            GrantVerdict::Contended | GrantVerdict::Granted => {
                status.limit == self.bucket.limit && is_recent(status.retry_at_ms, now_ms)
            }
            _ => false,
        };
        is_told.then(|| self.available.saturating_add(status.remaining))
    }

    /// Why asking for this many more units would not help.
    fn refusal_reason(&self, units: u64, now_ms: i64) -> Option<RefusalReason> {
        let line = self.line?;
        let status = line.status;
        let is_had = units == 0 || units < status.refused || units <= status.remaining;
        let reason = match status.verdict {
            GrantVerdict::Away if units > 0 => RefusalReason::Away,
            GrantVerdict::Exhausted | GrantVerdict::Contended if is_had => return None,
            // Units held by this gateway's own requests come back here. For those of others the control plane
            // is asked again: it has counted what was held here as gone.
            GrantVerdict::Exhausted if line.held >= units => RefusalReason::Contended,
            GrantVerdict::Exhausted if line.held.saturating_add(status.reachable) >= units => return None,
            GrantVerdict::Exhausted => RefusalReason::Exhausted,
            GrantVerdict::Contended => RefusalReason::Contended,
            GrantVerdict::Away | GrantVerdict::Unknown | GrantVerdict::Granted | GrantVerdict::Unlimited => {
                return None;
            }
        };
        status.holds(now_ms, self.bucket.limit).then_some(reason)
    }

    /// How much later than the refused units a window has room for this many, if usage leaves it evenly.
    fn later_ms(&self, units: u64) -> i64 {
        let (Some(line), Some(span_ms)) = (self.line, self.kind().span_ms()) else { return 0 };
        let more = u128::from(units.saturating_sub(line.status.refused));
        let wait_ms = more.saturating_mul(span_ms.into()).div_ceil(u128::from(line.status.used.max(1)));
        i64::try_from(wait_ms).unwrap_or(i64::MAX).min(span_ms.into())
    }

    /// When everything that a window has counted by now has left it.
    fn renewed_at_ms(&self, now_ms: i64) -> i64 {
        let Some(span_ms) = self.kind().span_ms() else { return i64::MAX };
        now_ms.saturating_add(window::longest_ms(span_ms))
    }

    /// Whether others held this many units at the last answer, not long ago.
    fn was_contended(&self, units: u64, now_ms: i64) -> bool {
        let status = self.line.map(|line| line.status).unwrap_or_default();
        status.verdict == GrantVerdict::Contended
            && units > status.remaining
            && is_recent(status.retry_at_ms, now_ms)
    }

    /// The limit after this many units are taken.
    fn standing(&self, amount: u64) -> LimitStanding {
        let Self { subject, bucket: BucketLimit { kind, limit }, line, available, .. } = *self;
        let status = line.map(|line| line.status);
        let free = status.map_or(limit, |status| status.remaining.min(limit));
        let remaining = free.saturating_add(available).saturating_sub(amount).min(limit);
        LimitStanding {
            subject,
            kind,
            limit,
            remaining,
            resets_at_ms: status.map_or(0, |status| status.resets_at_ms),
        }
    }

    /// Whether a refill is due after this many units are taken.
    fn runs_low(&self, amount: u64, now_ms: i64) -> bool {
        let Some(line) = self.line else { return false };
        let left = self.available.saturating_sub(amount);
        let is_low = left < line.last_grant.div_euclid(2);
        let whole_ms = line.deadline_ms.saturating_sub(line.status.retry_at_ms);
        let is_ending = line.deadline_ms.saturating_sub(now_ms) < ENDING_MS.max(whole_ms.div_euclid(3));
        let was_asked = (0..AHEAD_MS).contains(&now_ms.saturating_sub(line.asked_at_ms));
        (is_low || is_ending) && !was_asked && !line.status.holds(now_ms, self.bucket.limit)
    }
}

/// Whether a moment is within a request's longest wait.
fn is_recent(moment_ms: i64, now_ms: i64) -> bool {
    now_ms.saturating_sub(moment_ms) <= PATIENCE_MS
}
