//! What one gateway process was handed of a bucket.
//!
//! All numbers are cumulative since the process began and only grow, so that a report that is lost,
//! repeated or late does no harm. What was handed out and not accounted for counts as used.

/// How long units of a window may be used, from the moment at which the gateway sent its report.
pub const WINDOW_TTL_MS: i64 = 10_000;
/// How long units of either may be used where all gateways hold few of them: a key that pauses need not
/// ask for each request, and what counts as used when a gateway is killed is little.
pub const FEW_TTL_MS: i64 = 600_000;
/// How long those of a period may be used before the gateway must report again.
pub const PERIOD_TTL_MS: i64 = 60_000;
/// How much longer they are held here, for clocks that do not run alike.
pub const MARGIN_MS: i64 = 5_000;

/// A lease as the control plane knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    pub granted: u64,
    /// Used for good.
    pub used: u64,
    pub returned: u64,
    /// What the gateway handed to itself while the control plane was away.
    pub local: u64,
    /// Not accounted for when the lease ran out, and counted as used then. While it is not 0, nothing
    /// of the lease is outstanding: what the gateway still tells of it was used before that moment.
    pub expired: u64,
    /// From when on the gateway uses none of it any more, whatever its clock.
    pub expires_at_ms: i64,
}

/// What a gateway says of its lease; what it does not know or may not say is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportedLease {
    /// The most that it was ever granted.
    pub granted: u64,
    pub used: u64,
    /// What it has given back.
    pub returned: u64,
    /// What it handed to itself.
    pub local: u64,
}

impl Lease {
    /// What the gateway may hold or still use: it counts as used until it is known better.
    #[must_use]
    pub fn outstanding(&self) -> u64 {
        self.unaccounted().saturating_sub(self.expired)
    }

    fn unaccounted(&self) -> u64 {
        let handed = self.granted.saturating_add(self.local);
        handed.saturating_sub(self.used).saturating_sub(self.returned)
    }

    /// A lease of a process whose lease was forgotten long ago, or lost with a database: nothing of it
    /// counts again.
    #[must_use]
    pub fn adopted(told: ReportedLease) -> Self {
        let mut lease = Self {
            granted: told.granted,
            used: told.used,
            returned: told.returned,
            local: told.local,
            ..Self::default()
        };
        lease.returned = lease.returned.saturating_add(lease.unaccounted());
        lease
    }

    /// Learns what is new in `told`. What was used meanwhile comes back, but for what was counted
    /// already when the lease ran out.
    #[must_use]
    pub fn learn(&mut self, told: ReportedLease) -> u64 {
        if told.granted > self.granted || told.local > self.local {
            self.reopen();
        }
        self.granted = self.granted.max(told.granted);
        self.local = self.local.max(told.local);
        let new = self.spend(told.used.saturating_sub(self.used));
        // Never more than there is: units that are not handed out yet cannot have come back.
        let back = told.returned.saturating_sub(self.returned).min(self.unaccounted());
        self.returned = self.returned.saturating_add(back);
        self.expired = self.expired.saturating_sub(back);
        new
    }

    /// Counts `units` as used; what comes back was not counted before.
    #[must_use]
    pub fn spend(&mut self, units: u64) -> u64 {
        let known = units.min(self.expired);
        self.expired = self.expired.saturating_sub(known);
        self.used = self.used.saturating_add(units);
        units.saturating_sub(known)
    }

    /// Hands out more. Whatever the gateway has not accounted for, it may use again.
    pub fn grant(&mut self, units: u64) {
        self.reopen();
        self.granted = self.granted.saturating_add(units);
    }

    /// Keeps the lease for a while longer.
    pub fn renew(&mut self, now_ms: i64, ttl_ms: i64) {
        let until = now_ms.saturating_add(ttl_ms).saturating_add(MARGIN_MS);
        self.expires_at_ms = self.expires_at_ms.max(until);
    }

    /// Is given up: what comes back is to be counted as used, and what the gateway still tells of it is
    /// counted then.
    #[must_use]
    pub fn write_off(&mut self) -> u64 {
        let lost = self.outstanding();
        self.expired = self.expired.saturating_add(lost);
        lost
    }

    /// Runs out, if it is time: what comes back is to be counted as used.
    #[must_use]
    pub fn expire(&mut self, now_ms: i64) -> u64 {
        if self.expires_at_ms > now_ms {
            return 0;
        }
        self.write_off()
    }

    fn reopen(&mut self) {
        self.expired = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(granted: u64) -> Lease {
        Lease { granted, expires_at_ms: 100, ..Lease::default() }
    }

    #[test]
    fn what_is_told_twice_or_late_counts_once() {
        let mut lease = lease(10);
        let told = |used, returned| ReportedLease { used, returned, ..ReportedLease::default() };
        assert_eq!(lease.learn(told(3, 1)), 3);
        assert_eq!(lease.learn(told(3, 1)), 0);
        assert_eq!(lease.learn(told(2, 0)), 0);
        assert_eq!(lease.learn(told(5, 2)), 2);
        assert_eq!(lease.outstanding(), 3);
    }

    #[test]
    fn what_ran_out_is_counted_once_though_the_gateway_tells_of_it_later() {
        let mut lease = lease(10);
        assert_eq!(lease.learn(ReportedLease { used: 2, ..ReportedLease::default() }), 2);
        assert_eq!(lease.expire(99), 0);
        assert_eq!(lease.expire(100), 8);
        assert_eq!(lease.expire(200), 0);
        assert_eq!(lease.outstanding(), 0);
        assert_eq!(
            lease.learn(ReportedLease { used: 7, returned: 3, ..ReportedLease::default() }),
            0,
            "known since it ran out"
        );
        assert_eq!((lease.outstanding(), lease.expired), (0, 0));
        lease.grant(5);
        assert_eq!(lease.outstanding(), 5);
        assert_eq!(lease.learn(ReportedLease { used: 9, returned: 3, ..ReportedLease::default() }), 2);
    }

    #[test]
    fn a_lease_that_is_renewed_without_an_account_is_outstanding_again() {
        let mut lease = lease(10);
        assert_eq!(lease.expire(100), 10);
        lease.grant(1);
        assert_eq!(lease.outstanding(), 11);
        assert_eq!(lease.learn(ReportedLease { used: 11, ..ReportedLease::default() }), 11);
    }

    #[test]
    fn units_of_its_own_are_counted_though_the_lease_ran_out() {
        let mut lease = lease(10);
        assert_eq!(lease.expire(100), 10);
        assert_eq!(lease.learn(ReportedLease { local: 20, used: 15, ..ReportedLease::default() }), 15);
        assert_eq!(lease.outstanding(), 15);
    }

    #[test]
    fn more_than_there_is_does_not_come_back() {
        let mut lease = lease(10);
        assert_eq!(lease.learn(ReportedLease { used: 4, returned: u64::MAX, ..ReportedLease::default() }), 4);
        assert_eq!((lease.returned, lease.outstanding()), (6, 0));
    }

    #[test]
    fn a_forgotten_lease_counts_nothing_again() {
        let lease = Lease::adopted(ReportedLease { granted: 500, used: 450, returned: 40, local: 0 });
        assert_eq!(lease.outstanding(), 0);
        assert_eq!(lease.clone().learn(ReportedLease { granted: 500, used: 450, returned: 50, local: 0 }), 0);
    }
}
