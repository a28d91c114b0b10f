//! What the sync role does to an account's line.

use super::{AccountLine, BucketStatus, GrantVerdict, demand::few};

/// Freshly granted units are not recalled for this long: the requests that they came for are about to take
/// them.
const KEPT_MS: i64 = 250;

/// A line's numbers for a report to the control plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub granted: u64,
    /// Of requests. 0 for tokens and cost, which records report.
    pub used: u64,
    pub returned: u64,
    pub local: u64,
}

/// A grant as the control plane answered it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivedGrant {
    /// All units ever granted.
    pub total: u64,
    /// The units that were asked for.
    pub want: u64,
    /// Until when they may be used.
    pub deadline_ms: i64,
    /// The rest of the answer.
    pub status: BucketStatus,
}

impl AccountLine {
    #[must_use]
    pub fn totals(&self) -> Totals {
        let used = if self.is_of_requests() { self.used } else { 0 };
        Totals { granted: self.granted, used, returned: self.returned, local: self.local }
    }

    /// Whether the line counts requests, which are used for good at admission.
    #[must_use]
    pub fn is_of_requests(&self) -> bool {
        self.kind.unit() == crate::snapshot::Unit::Requests
    }

    /// Whether the unused units are few, compared to what all gateways have left.
    #[must_use]
    pub fn has_few(&self) -> bool {
        let unused = self.unused();
        unused <= few(self.kind, self.status.remaining.saturating_add(unused))
    }

    /// Returns all unused units; tells how many.
    pub fn give_back(&mut self) -> u64 {
        let unused = self.unused();
        self.put_back(unused);
        unused
    }

    /// Returns unused units that another gateway waits for. Not those that have just come for requests
    /// waiting here, nor while the rest of the `awaited` units of a request here is on its way. What requests
    /// in progress free later goes back too.
    pub fn recall(&mut self, awaited: u64, now_ms: i64) {
        self.lapses = self.lapses.saturating_add(1);
        let came_ms = now_ms.saturating_sub(self.status.retry_at_ms);
        let is_fresh = self.status.verdict == GrantVerdict::Granted && (-KEPT_MS..KEPT_MS).contains(&came_ms);
        if !is_fresh && self.unused() >= awaited {
            self.give_back();
        }
    }

    /// Returns units. As far as is known here, they may be granted again.
    fn put_back(&mut self, amount: u64) {
        self.returned = self.returned.saturating_add(amount);
        self.status.remaining = self.status.remaining.saturating_add(amount);
        self.status.reachable = self.status.reachable.saturating_add(amount);
    }

    /// Returns a lease from a higher limit than this one.
    pub fn give_back_above(&mut self, limit: u64) {
        if !self.is_within(limit) {
            self.give_back();
        }
    }

    /// Returns units whose deadline has passed.
    pub fn expire(&mut self, now_ms: i64) -> u64 {
        if now_ms < self.deadline_ms { 0 } else { self.give_back() }
    }

    /// Units held from a lease that has ended do not count as part of the next one.
    fn renew(&mut self, deadline_ms: i64, now_ms: i64) {
        if now_ms >= self.deadline_ms {
            self.lapses = self.lapses.saturating_add(1);
        }
        self.deadline_ms = self.deadline_ms.max(deadline_ms);
    }

    /// Frees units of a request. They are returned if their lease has ended or was recalled.
    pub(super) fn free(&mut self, amount: u64, lapses: u64) {
        if self.lapses != lapses {
            self.put_back(amount);
        }
    }

    /// Applies a grant. In a window, units beyond those asked for come from a lost answer whose deadline
    /// nobody knows: they are returned.
    pub fn grant(&mut self, granted: ReceivedGrant, now_ms: i64) {
        let ReceivedGrant { total, want, deadline_ms, status } = granted;
        self.expire(now_ms);
        let fresh = total.saturating_sub(self.granted);
        self.granted = self.granted.max(total);
        if self.kind.span_ms().is_some() {
            self.returned = self.returned.saturating_add(fresh.saturating_sub(want));
        }
        if status.verdict == GrantVerdict::Granted {
            self.renew(deadline_ms, now_ms);
            self.last_grant = fresh;
        }
        self.asked_at_ms = 0;
        self.status = status;
    }

    /// Lends units under offline limits.
    pub fn lend(&mut self, amount: u64, deadline_ms: i64, now_ms: i64) {
        self.asked_at_ms = 0;
        if amount == 0 {
            return;
        }
        self.expire(now_ms);
        self.local = self.local.saturating_add(amount);
        self.renew(deadline_ms, now_ms);
        self.last_grant = amount;
    }
}
