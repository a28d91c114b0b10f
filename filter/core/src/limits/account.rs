//! The units that the control plane has leased to this process: one value in the store for each limit
//! subject. The sync role creates accounts and adds granted units; gates reserve and settle by
//! compare-and-swap. All counts but `held` only grow, as they do on the wire, so a message that is lost,
//! repeated or late does no harm. For the same reason an account is never dropped while the process lives.

mod demand;
mod lease;
mod patience;
mod reserve;
mod settle;

use crate::snapshot::{AppId, BucketKind, KeyId};
use crate::store::layout::{self, VERSION, ValueReader, put_kind};
use crate::store::{SharedStore, Swap};

pub use demand::{BucketDemand, Demand, cushion};
pub use lease::{ReceivedGrant, Totals};
pub use patience::{PATIENCE_MS, Patience};
pub use reserve::{
    HeldUnits, LimitRefusal, LimitStanding, LimitSubject, Need, RefusalReason, Reservation, ReserveOutcome,
    ReservedUnits, refused_by_requests, reserve,
};
pub use settle::{ActualUse, Charge, cancel, settle, settle_unknown};

/// Attempts of a compare-and-swap.
const MOST_TRIES: u32 = 1000;

/// Numbers in an encoded line, eight bytes each. They are not packed: a gate reads and writes them four times
/// per request.
const NUMBERS: usize = 19;
const LINE_BYTES: usize = 8 * NUMBERS;

/// The period of a window, and of a budget without periods.
pub const NO_PERIOD: i64 = 0;

/// On the wire: the current period, whichever it is.
pub const PERIOD_NOW: i64 = -1;

/// The id of an app or of a named key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectId(pub [u8; 16]);

/// The leased units of one limit subject. At most one line of each kind and period.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseAccount {
    /// In no order.
    pub lines: Vec<AccountLine>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountLine {
    pub kind: BucketKind,
    /// When the period began, in Unix milliseconds; 0 for windows.
    pub period: i64,
    /// Handed out by the control plane.
    pub granted: u64,
    /// Admitted requests; settled tokens and cost.
    pub used: u64,
    /// Reserved by requests in progress. Always 0 for request limits.
    pub held: u64,
    /// Given back unused.
    pub returned: u64,
    /// Lent by this process to itself under offline limits.
    pub local: u64,
    /// Nothing may be reserved from this time on; [`i64::MAX`] for no deadline.
    pub deadline_ms: i64,
    /// Units that came with the last grant.
    pub last_grant: u64,
    /// How often `used` was reported: what a report has counted cannot be taken back.
    pub reports: u64,
    /// How often a lease ended, or was recalled, before more units came.
    pub lapses: u64,
    /// When a refill was last asked for; 0 after a grant.
    pub asked_at_ms: i64,
    /// From the last answer.
    pub status: BucketStatus,
}

/// What the control plane last said about a bucket: shown to clients, and used to refuse without asking
/// again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BucketStatus {
    pub verdict: GrantVerdict,
    /// The limit in the policy of whoever asked, or else the one that the control plane knows.
    pub limit: u64,
    /// Neither used nor leased, over all gateways.
    pub remaining: u64,
    /// `remaining`, plus what other requests hold and may free.
    pub reachable: u64,
    /// Used for good, over all gateways.
    pub used: u64,
    /// When there is room again or the period ends; 0 for never.
    pub resets_at_ms: i64,
    /// When asking again may help. After a grant: when it came.
    pub retry_at_ms: i64,
    /// Until when the verdict holds without asking again.
    pub fresh_until_ms: i64,
    /// The smallest number of units that was refused.
    pub refused: u64,
}

/// Whether the control plane had units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GrantVerdict {
    /// Nobody asked.
    #[default]
    Unknown,
    /// It had units. While this holds, fewer than asked for.
    Granted,
    Exhausted,
    /// Other requests hold what is left.
    Contended,
    /// The control plane knows no such limit.
    Unlimited,
    /// The control plane does not answer.
    Away,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountChange<T> {
    Done(T),
    /// There is no account, or none that this build can read.
    Absent,
    Failed,
}

impl SubjectId {
    /// The account's name in the store.
    #[must_use]
    pub fn name(&self) -> String {
        layout::account_name(&self.0)
    }
}

impl From<AppId> for SubjectId {
    fn from(app: AppId) -> Self {
        Self(app.0.into_bytes())
    }
}

impl From<KeyId> for SubjectId {
    fn from(key: KeyId) -> Self {
        Self(key.0.into_bytes())
    }
}

impl LeaseAccount {
    /// The account, and the store's write number for [`SharedStore::swap`].
    #[must_use]
    pub fn read(store: &impl SharedStore, subject: SubjectId) -> Option<(Self, u32)> {
        let stored = store.get(&subject.name())?;
        Some((Self::decode(&stored.bytes)?, stored.write))
    }

    /// Changes an account by compare-and-swap; `edit` may run more than once.
    pub fn change<T>(
        store: &impl SharedStore,
        subject: SubjectId,
        mut edit: impl FnMut(&mut Self) -> T,
    ) -> AccountChange<T> {
        for _ in 0..MOST_TRIES {
            let Some((before, write)) = Self::read(store, subject) else { return AccountChange::Absent };
            let mut after = before.clone();
            let edited = edit(&mut after);
            if after == before {
                return AccountChange::Done(edited);
            }
            match store.swap(&subject.name(), &after.encode(), write) {
                Swap::Done => return AccountChange::Done(edited),
                Swap::Changed => {}
                Swap::Failed => break,
            }
        }
        AccountChange::Failed
    }

    /// The line that new reservations use: the one that the control plane named last.
    #[must_use]
    pub fn current(&self, kind: BucketKind) -> Option<&AccountLine> {
        self.lines.iter().rfind(|line| line.kind == kind)
    }

    /// Makes this line the current one of its kind: a new period has begun, or the limit has changed.
    pub fn turn_to(&mut self, kind: BucketKind, period: i64) {
        let is_it = |line: &AccountLine| line.kind == kind && line.period == period;
        if self.current(kind).is_some_and(|line| !is_it(line))
            && let Some(index) = self.lines.iter().position(is_it)
        {
            let line = self.lines.remove(index);
            self.lines.push(line);
        }
    }

    pub fn line_mut(&mut self, kind: BucketKind, period: i64) -> Option<&mut AccountLine> {
        self.lines.iter_mut().find(|line| line.kind == kind && line.period == period)
    }

    /// Edits a line, and creates it if there is none.
    pub fn edit<T>(&mut self, kind: BucketKind, period: i64, edit: impl FnOnce(&mut AccountLine) -> T) -> T {
        if let Some(line) = self.line_mut(kind, period) {
            return edit(line);
        }
        let mut line = AccountLine::new(kind, period);
        let edited = edit(&mut line);
        self.lines.push(line);
        edited
    }

    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.lines.len().saturating_mul(LINE_BYTES + 2).saturating_add(1));
        bytes.push(VERSION);
        for line in &self.lines {
            line.put(&mut bytes);
        }
        bytes
    }

    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = ValueReader::open(bytes)?;
        let mut lines = Vec::with_capacity(6);
        while !input.0.is_empty() {
            lines.push(AccountLine::take(&mut input)?);
        }
        Some(Self { lines })
    }
}

impl AccountLine {
    /// A line without units.
    #[must_use]
    pub fn new(kind: BucketKind, period: i64) -> Self {
        Self {
            kind,
            period,
            granted: 0,
            used: 0,
            held: 0,
            returned: 0,
            local: 0,
            deadline_ms: 0,
            last_grant: 0,
            reports: 0,
            lapses: 0,
            asked_at_ms: 0,
            status: BucketStatus::default(),
        }
    }

    /// What may be reserved under this limit: nothing of a lease from a higher limit.
    #[must_use]
    pub fn available_within(&self, limit: u64, now_ms: i64) -> u64 {
        if self.is_within(limit) { self.available(now_ms) } else { 0 }
    }

    /// Whether the lease is from this limit or a lower one.
    #[must_use]
    pub fn is_within(&self, limit: u64) -> bool {
        self.status.limit <= limit
    }

    /// What may be reserved before the deadline.
    #[must_use]
    pub fn available(&self, now_ms: i64) -> u64 {
        if now_ms < self.deadline_ms { self.unused() } else { 0 }
    }

    /// Neither used, held nor returned, whether or not the deadline has passed.
    #[must_use]
    pub fn unused(&self) -> u64 {
        let gone = self.used.saturating_add(self.held).saturating_add(self.returned);
        self.granted.saturating_add(self.local).saturating_sub(gone)
    }

    fn put(&self, bytes: &mut Vec<u8>) {
        let Self {
            kind,
            period,
            granted,
            used,
            held,
            returned,
            local,
            deadline_ms,
            last_grant,
            reports,
            lapses,
            asked_at_ms,
            status:
                BucketStatus {
                    verdict,
                    limit,
                    remaining,
                    reachable,
                    used: fleet_used,
                    resets_at_ms,
                    retry_at_ms,
                    fresh_until_ms,
                    refused,
                },
        } = *self;
        put_kind(bytes, kind);
        bytes.push(verdict as u8);
        let moment = i64::cast_unsigned;
        let numbers: [u64; NUMBERS] = [
            granted,
            used,
            held,
            returned,
            local,
            last_grant,
            reports,
            lapses,
            limit,
            remaining,
            reachable,
            fleet_used,
            refused,
            moment(period),
            moment(deadline_ms),
            moment(asked_at_ms),
            moment(resets_at_ms),
            moment(retry_at_ms),
            moment(fresh_until_ms),
        ];
        bytes.extend_from_slice(numbers.map(u64::to_le_bytes).as_flattened());
    }

    fn take(input: &mut ValueReader<'_>) -> Option<Self> {
        let kind = input.kind()?;
        let verdict = match input.byte()? {
            0 => GrantVerdict::Unknown,
            1 => GrantVerdict::Granted,
            2 => GrantVerdict::Exhausted,
            3 => GrantVerdict::Contended,
            4 => GrantVerdict::Unlimited,
            5 => GrantVerdict::Away,
            _ => return None,
        };
        let numbers = input.take::<LINE_BYTES>()?;
        let mut numbers = numbers.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
        let mut count = || numbers.next();
        let (granted, used, held, returned, local) = (count()?, count()?, count()?, count()?, count()?);
        let (last_grant, reports, lapses) = (count()?, count()?, count()?);
        let (limit, remaining, reachable) = (count()?, count()?, count()?);
        let (fleet_used, refused) = (count()?, count()?);
        let mut moment = || numbers.next().map(u64::cast_signed);
        let (period, deadline_ms, asked_at_ms) = (moment()?, moment()?, moment()?);
        let (resets_at_ms, retry_at_ms, fresh_until_ms) = (moment()?, moment()?, moment()?);
        let status = BucketStatus {
            verdict,
            limit,
            remaining,
            reachable,
            used: fleet_used,
            resets_at_ms,
            retry_at_ms,
            fresh_until_ms,
            refused,
        };
        Some(Self {
            kind,
            period,
            granted,
            used,
            held,
            returned,
            local,
            deadline_ms,
            last_grant,
            reports,
            lapses,
            asked_at_ms,
            status,
        })
    }
}

impl BucketStatus {
    /// Whether the status still holds at `now_ms` for a bucket with this limit.
    #[must_use]
    pub fn holds(&self, now_ms: i64, limit: u64) -> bool {
        let known =
            self.limit == limit || matches!(self.verdict, GrantVerdict::Away | GrantVerdict::Unlimited);
        now_ms < self.fresh_until_ms && known
    }
}

#[cfg(test)]
mod tests;
