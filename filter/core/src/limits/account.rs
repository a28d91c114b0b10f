//! What this process may use of its owners' limits: the units that the control plane has leased to
//! it, one value in the store for each owner. The sync role creates accounts and brings units; gates
//! reserve and settle by swapping. All counts but `held` only grow, as they do on the wire, so that a
//! message that is lost, repeated or late does no harm; for the same reason an account is never
//! dropped while the process lives.

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
    ReservedUnits, reserve,
};
pub use settle::{ActualUse, Charge, cancel, settle, settle_unknown};

/// How often somebody else may be faster, one time after the other.
const MOST_TRIES: u32 = 1000;

/// How many numbers a line's value has, each of eight bytes: what a gate reads and writes four times
/// for one request is worth no packing.
const NUMBERS: usize = 19;
const LINE_BYTES: usize = 8 * NUMBERS;

/// The period of a window, and of a budget that never begins anew.
pub const NO_PERIOD: i64 = 0;

/// Stands on the wire for the period that is now, whichever it is.
pub const PERIOD_NOW: i64 = -1;

/// Whose limits: an app's, or a named key's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectId(pub [u8; 16]);

/// The units of one owner. At most one line of each kind and period.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseAccount {
    /// In no order.
    pub lines: Vec<AccountLine>,
}

/// The units of one kind and period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountLine {
    /// What is counted.
    pub kind: BucketKind,
    /// When the period began, in Unix milliseconds; 0 for windows.
    pub period: i64,
    /// Handed out by the control plane.
    pub granted: u64,
    /// Admitted requests; tokens and cost that were settled.
    pub used: u64,
    /// Reserved by requests under way. Never of requests.
    pub held: u64,
    /// Given back unused.
    pub returned: u64,
    /// Handed out by this process to itself, while the control plane was away.
    pub local: u64,
    /// From when on nothing more may be reserved; [`i64::MAX`] for never.
    pub deadline_ms: i64,
    /// How much came with the last grant.
    pub last_grant: u64,
    /// How often `used` was reported: what was counted before cannot be taken back.
    pub reports: u64,
    /// How often the time of its units was over before more came.
    pub lapses: u64,
    /// When more was asked for ahead, for the last time since a grant.
    pub asked_at_ms: i64,
    /// What the last answer said.
    pub status: BucketStatus,
}

/// What the control plane said of a bucket: for answers to clients, and to refuse without asking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BucketStatus {
    /// Whether there was something.
    pub verdict: GrantVerdict,
    /// The limit of who asked, or else as the control plane knows it.
    pub limit: u64,
    /// What is neither used nor leased, over all gateways.
    pub remaining: u64,
    /// The same with what others hold: as much may be there once their requests are done.
    pub reachable: u64,
    /// What is used for good, over all gateways.
    pub used: u64,
    /// When there is room again, or the period ends; 0 for never.
    pub resets_at_ms: i64,
    /// When asking again may help; of a grant, when it came.
    pub retry_at_ms: i64,
    /// Until when the verdict holds here without asking again.
    pub fresh_until_ms: i64,
    /// So many units, or more, were refused.
    pub refused: u64,
}

/// Whether the control plane had units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GrantVerdict {
    /// Nobody asked.
    #[default]
    Unknown,
    /// It had; where that still holds, fewer than were asked for.
    Granted,
    /// All is used.
    Exhausted,
    /// Others hold what is left.
    Contended,
    /// There is no such limit.
    Unlimited,
    /// There is no answer.
    Away,
}

/// What became of a change to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountChange<T> {
    /// It is made.
    Done(T),
    /// There is no account, or none that this build can read.
    Absent,
    /// The host refuses it.
    Failed,
}

impl SubjectId {
    /// The name of the owner's account.
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
    /// The account of an owner, and the write that it came with.
    #[must_use]
    pub fn read(store: &impl SharedStore, subject: SubjectId) -> Option<(Self, u32)> {
        let stored = store.get(&subject.name())?;
        Some((Self::decode(&stored.bytes)?, stored.write))
    }

    /// Changes the account of an owner; `edit` may be called more than once.
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

    /// The line of this kind that the control plane named last: what is reserved comes of it.
    #[must_use]
    pub fn current(&self, kind: BucketKind) -> Option<&AccountLine> {
        self.lines.iter().rfind(|line| line.kind == kind)
    }

    /// Makes the line of this kind and period the current one: a new period has begun, or the limit has
    /// got another.
    pub fn turn_to(&mut self, kind: BucketKind, period: i64) {
        let is_it = |line: &AccountLine| line.kind == kind && line.period == period;
        if self.current(kind).is_some_and(|line| !is_it(line))
            && let Some(index) = self.lines.iter().position(is_it)
        {
            let line = self.lines.remove(index);
            self.lines.push(line);
        }
    }

    /// The line of this kind and period.
    pub fn line_mut(&mut self, kind: BucketKind, period: i64) -> Option<&mut AccountLine> {
        self.lines.iter_mut().find(|line| line.kind == kind && line.period == period)
    }

    /// Edits the line of this kind and period, which is made if there is none.
    pub fn edit<T>(&mut self, kind: BucketKind, period: i64, edit: impl FnOnce(&mut AccountLine) -> T) -> T {
        if let Some(line) = self.line_mut(kind, period) {
            return edit(line);
        }
        let mut line = AccountLine::new(kind, period);
        let edited = edit(&mut line);
        self.lines.push(line);
        edited
    }

    /// The value to store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.lines.len().saturating_mul(LINE_BYTES + 2).saturating_add(1));
        bytes.push(VERSION);
        for line in &self.lines {
            line.put(&mut bytes);
        }
        bytes
    }

    /// What was stored.
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
    /// A line of which nothing is known.
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

    /// What may be reserved of a bucket that has this limit: nothing of what was leased under a higher one.
    #[must_use]
    pub fn available_within(&self, limit: u64, now_ms: i64) -> u64 {
        if self.is_within(limit) { self.available(now_ms) } else { 0 }
    }

    /// Whether it was leased under this limit, or a lower one.
    #[must_use]
    pub fn is_within(&self, limit: u64) -> bool {
        self.status.limit <= limit
    }

    /// What may be used until the deadline.
    #[must_use]
    pub fn available(&self, now_ms: i64) -> u64 {
        if now_ms < self.deadline_ms { self.unused() } else { 0 }
    }

    /// What is neither used, nor held, nor given back, whether or not its time is over.
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
        let told = BucketStatus {
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
            told,
        })
    }
}

impl BucketStatus {
    /// Whether it still holds at `now_ms` of a bucket that has this limit.
    #[must_use]
    pub fn holds(&self, now_ms: i64, limit: u64) -> bool {
        let known =
            self.limit == limit || matches!(self.verdict, GrantVerdict::Away | GrantVerdict::Unlimited);
        now_ms < self.fresh_until_ms && known
    }
}

#[cfg(test)]
mod tests;
