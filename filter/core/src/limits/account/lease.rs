//! What the sync role does to a line.

use super::{AccountLine, BucketStatus, GrantVerdict, demand::few};

/// Units that have come are not recalled for so long: those for whom they came are about to take them.
const KEPT_MS: i64 = 250;

/// Numbers of a line that the control plane is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// As the line has it.
    pub granted: u64,
    /// Of requests; 0 for tokens and cost, where records tell.
    pub used: u64,
    /// As the line has it.
    pub returned: u64,
    /// As the line has it.
    pub local: u64,
}

/// What the control plane has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivedGrant {
    /// All that was ever granted.
    pub total: u64,
    /// How many units were asked for.
    pub want: u64,
    /// Until when they may be used.
    pub deadline_ms: i64,
    /// The rest of the answer.
    pub status: BucketStatus,
}

impl AccountLine {
    /// What the control plane is to know.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let used = if self.is_of_requests() { self.used } else { 0 };
        Totals { granted: self.granted, used, returned: self.returned, local: self.local }
    }

    /// Whether requests are counted: at their admission, and for good.
    #[must_use]
    pub fn is_of_requests(&self) -> bool {
        self.kind.unit() == crate::snapshot::Unit::Requests
    }

    /// Whether what is left here is little of what the fleet has left with it, by the last answer.
    #[must_use]
    pub fn has_few(&self) -> bool {
        let unused = self.unused();
        unused <= few(self.kind, self.status.remaining.saturating_add(unused))
    }

    /// Gives back what is not held; how much that was.
    pub fn give_back(&mut self) -> u64 {
        let unused = self.unused();
        self.put_back(unused);
        unused
    }

    /// Gives back what another gateway waits for: what is not held, unless it has come just now for those
    /// who wait here, or the rest of the `awaited` that a request here needs is on its way; and later what
    /// requests under way leave.
    pub fn recall(&mut self, awaited: u64, now_ms: i64) {
        self.lapses = self.lapses.saturating_add(1);
        let came_ms = now_ms.saturating_sub(self.status.retry_at_ms);
        let is_fresh = self.status.verdict == GrantVerdict::Granted && (-KEPT_MS..KEPT_MS).contains(&came_ms);
        if !is_fresh && self.unused() >= awaited {
            self.give_back();
        }
    }

    /// Gives back so many units, which may be had again as far as is known here.
    fn put_back(&mut self, amount: u64) {
        self.returned = self.returned.saturating_add(amount);
        self.status.remaining = self.status.remaining.saturating_add(amount);
        self.status.reachable = self.status.reachable.saturating_add(amount);
    }

    /// Gives back what was leased under a higher limit than the one that is asked for now.
    pub fn give_back_above(&mut self, limit: u64) {
        if !self.is_within(limit) {
            self.give_back();
        }
    }

    /// Gives back what may not be used any more.
    pub fn expire(&mut self, now_ms: i64) -> u64 {
        if now_ms < self.deadline_ms { 0 } else { self.give_back() }
    }

    /// What requests under way hold of a lease that was over is none of the next one's units.
    fn renew(&mut self, deadline_ms: i64, now_ms: i64) {
        if now_ms >= self.deadline_ms {
            self.lapses = self.lapses.saturating_add(1);
        }
        self.deadline_ms = self.deadline_ms.max(deadline_ms);
    }

    /// Frees units of a request; they go back if the lease that they came from is over or recalled.
    pub(super) fn free(&mut self, amount: u64, lapses: u64) {
        if self.lapses != lapses {
            self.put_back(amount);
        }
    }

    /// Takes over an answer. Of a window, more than was asked for comes from an answer that was
    /// lost: nobody knows for how long it was meant, so it goes back.
    pub fn grant(&mut self, granted: ReceivedGrant, now_ms: i64) {
        let ReceivedGrant { total, want, deadline_ms, told } = granted;
        self.expire(now_ms);
        let fresh = total.saturating_sub(self.granted);
        self.granted = self.granted.max(total);
        if self.kind.span_ms().is_some() {
            self.returned = self.returned.saturating_add(fresh.saturating_sub(want));
        }
        if told.verdict == GrantVerdict::Granted {
            self.renew(deadline_ms, now_ms);
            self.last_grant = fresh;
        }
        self.asked_at_ms = 0;
        self.status = told;
    }

    /// Hands out to this process what nobody else has allowed.
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
