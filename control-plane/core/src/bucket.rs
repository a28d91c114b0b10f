//! What a bucket is now: what was used of it for good, and what its leases hold.

use std::collections::BTreeMap;

use latchkey_proto::window::{FEW_PART, Window};

use crate::grant::LimitTerms;
use crate::lease::{FEW_TTL_MS, Lease, PERIOD_TTL_MS, ReportedLease, WINDOW_TTL_MS};
use crate::limits::{BucketKind, LimitWindow};
use crate::turns::Turns;

/// A bucket with the leases of it, by gateway process, and those who wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    spent: Spent,
    leases: BTreeMap<String, Lease>,
    turns: Turns,
}

/// What was used for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spent {
    /// It leaves the window some day.
    Window(Window),
    /// It counts until the period ends.
    Sum(u64),
}

impl Spent {
    /// What is stored of a bucket: a sum, or the slots of a window.
    #[must_use]
    pub fn stored(kind: BucketKind, sum: u64, slots: Vec<(i64, u64)>) -> Self {
        match kind.span_ms() {
            Some(span_ms) => Self::Window(Window::with_slots(span_ms, slots)),
            None => Self::Sum(sum),
        }
    }

    #[must_use]
    pub fn nothing(window: LimitWindow) -> Self {
        match window {
            LimitWindow::Sliding { span_ms } => Self::Window(Window::new(span_ms)),
            LimitWindow::Calendar(_) => Self::Sum(0),
        }
    }

    fn add(&mut self, at_ms: i64, units: u64) {
        match self {
            Self::Window(window) => window.add(at_ms, units),
            Self::Sum(sum) => *sum = sum.saturating_add(units),
        }
    }
}

impl Bucket {
    /// The bucket as it is stored.
    #[must_use]
    pub fn new(spent: Spent, leases: BTreeMap<String, Lease>) -> Self {
        Self { spent, leases, turns: Turns::default() }
    }

    /// The same, with those who wait for units of it.
    #[must_use]
    pub fn with_turns(self, turns: Turns) -> Self {
        Self { turns, ..self }
    }

    /// Counts what was used in this period before the bucket was made.
    pub fn carry(&mut self, now_ms: i64, units: u64) {
        self.spent.add(now_ms, units);
    }

    /// What was used for good, as it is stored.
    #[must_use]
    pub fn spent(&self) -> &Spent {
        &self.spent
    }

    /// The leases, by gateway process.
    #[must_use]
    pub fn leases(&self) -> &BTreeMap<String, Lease> {
        &self.leases
    }

    /// Those who wait for units.
    #[must_use]
    pub fn turns(&self) -> &Turns {
        &self.turns
    }

    /// The same, to change them.
    pub fn turns_mut(&mut self) -> &mut Turns {
        &mut self.turns
    }

    /// What was used for good and counts at `now_ms`.
    pub fn used(&mut self, now_ms: i64) -> u64 {
        match &mut self.spent {
            Spent::Window(window) => window.used(now_ms),
            Spent::Sum(sum) => *sum,
        }
    }

    #[must_use]
    pub fn outstanding(&self) -> u64 {
        self.leases.values().fold(0, |sum, lease| sum.saturating_add(lease.outstanding()))
    }

    /// When at most `most` will count, if besides what is used only this is: so many units at a moment.
    /// None where that is never.
    #[must_use]
    pub fn falls_to(&self, now_ms: i64, most: u64, mut pending: Vec<(i64, u64)>) -> Option<i64> {
        match &self.spent {
            Spent::Window(window) => {
                let mut window = window.clone();
                pending.sort_unstable();
                pending.into_iter().for_each(|(at_ms, units)| window.add(at_ms, units));
                Some(window.falls_to(now_ms, most))
            }
            Spent::Sum(sum) => (*sum <= most).then_some(now_ms),
        }
    }

    /// How long a gateway may use what it has, in a bucket whose period ends then: at least so long.
    fn ttl_ms(&self, now_ms: i64, ends_at_ms: Option<i64>) -> i64 {
        match &self.spent {
            Spent::Window(_) => WINDOW_TTL_MS,
            Spent::Sum(_) => within(PERIOD_TTL_MS, now_ms, ends_at_ms),
        }
    }

    /// Ends the leases of a window that have run out: what they hold counts as used when they did.
    /// Those of a period stay charged.
    pub fn expire(&mut self, now_ms: i64) {
        let Spent::Window(window) = &mut self.spent else { return };
        // In the order of their ends: a window does not go back.
        let mut over: Vec<_> =
            self.leases.values_mut().filter(|lease| lease.expires_at_ms <= now_ms).collect();
        over.sort_by_key(|lease| lease.expires_at_ms);
        for lease in over {
            let lost = lease.expire(now_ms);
            window.add(lease.expires_at_ms, lost);
        }
    }

    /// Learns what a gateway says. What it has used counts from now on, which is later than it was used.
    pub fn learn(&mut self, process: &str, told: ReportedLease, now_ms: i64) {
        self.expire(now_ms);
        let ttl_ms = self.ttl_ms(now_ms, None);
        let windowed = matches!(self.spent, Spent::Window(_));
        // A gateway hands units of windows to itself, never money.
        let told = if windowed { told } else { ReportedLease { used: 0, local: 0, ..told } };
        let lease = match self.leases.get_mut(process) {
            Some(lease) => lease,
            None if told == ReportedLease::default() => return,
            None => {
                let lease =
                    if windowed && told.granted > 0 { Lease::adopted(told) } else { Lease::default() };
                self.leases.entry(process.to_owned()).or_insert(lease)
            }
        };
        let new = lease.learn(told);
        if lease.expired == 0 {
            lease.renew(now_ms, ttl_ms);
        }
        self.spent.add(now_ms, new);
    }

    /// Applies what a record charges.
    pub fn charge(&mut self, process: &str, units: u64, now_ms: i64) {
        self.expire(now_ms);
        let new = match self.leases.get_mut(process) {
            Some(lease) => lease.spend(units),
            None => units,
        };
        self.spent.add(now_ms, new);
    }

    /// Counts as used what a process holds that will not come back.
    pub fn write_off(&mut self, process: &str, now_ms: i64) {
        let lost = self.leases.get_mut(process).map_or(0, Lease::write_off);
        self.spent.add(now_ms, lost);
    }

    /// Hands out `units` to a gateway; how long it may use all that it has, which is longer where what
    /// all gateways have is little of the limit.
    pub fn grant(&mut self, process: &str, units: u64, terms: LimitTerms, now_ms: i64) -> i64 {
        self.leases.entry(process.to_owned()).or_default().grant(units);
        let ttl_ms = match self.outstanding() <= terms.limit / FEW_PART {
            true => within(FEW_TTL_MS, now_ms, terms.ends_at_ms),
            false => self.ttl_ms(now_ms, terms.ends_at_ms),
        };
        self.leases.entry(process.to_owned()).or_default().renew(now_ms, ttl_ms);
        ttl_ms
    }

    /// Lets a gateway go on with what it has, for so long; 0 where its lease has run out.
    pub fn renew(&mut self, process: &str, ends_at_ms: Option<i64>, now_ms: i64) -> i64 {
        let ttl_ms = self.ttl_ms(now_ms, ends_at_ms);
        match self.leases.get_mut(process) {
            Some(lease) if lease.expired == 0 => lease.renew(now_ms, ttl_ms),
            _ => return 0,
        }
        ttl_ms
    }
}

/// So long, or until the period ends.
fn within(ttl_ms: i64, now_ms: i64, ends_at_ms: Option<i64>) -> i64 {
    ends_at_ms.map_or(ttl_ms, |end| end.saturating_sub(now_ms)).clamp(1, ttl_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_767_225_600_000;
    const TERMS: LimitTerms = LimitTerms { limit: 100, ends_at_ms: None };

    fn minute() -> Bucket {
        Bucket::new(Spent::nothing(LimitWindow::Sliding { span_ms: 60_000 }), BTreeMap::new())
    }

    fn budget() -> Bucket {
        Bucket::new(Spent::nothing(LimitWindow::Calendar(crate::period::Period::Total)), BTreeMap::new())
    }

    #[test]
    fn the_lease_of_a_killed_gateway_counts_in_the_window_from_its_end() {
        let mut bucket = minute();
        bucket.grant("a", 10, TERMS, NOW);
        bucket.learn("a", ReportedLease { granted: 10, used: 4, ..ReportedLease::default() }, NOW + 1_000);
        let end = NOW + 1_000 + WINDOW_TTL_MS + crate::lease::MARGIN_MS;
        bucket.expire(end - 1);
        assert_eq!((bucket.used(end - 1), bucket.outstanding()), (4, 6));
        bucket.expire(end + 30_000);
        assert_eq!((bucket.used(end + 30_000), bucket.outstanding()), (10, 0));
        assert_eq!(bucket.used(end + 61_000 - 1_000), 6);
        assert_eq!(bucket.used(end + 61_000), 0);
    }

    #[test]
    fn a_few_units_of_a_killed_gateway_count_in_the_window_ten_minutes_later() {
        let mut bucket = minute();
        bucket.grant("a", 6, TERMS, NOW);
        bucket.learn("a", ReportedLease { granted: 6, used: 2, ..ReportedLease::default() }, NOW + 1_000);
        let end = NOW + FEW_TTL_MS + crate::lease::MARGIN_MS;
        bucket.expire(end - 1);
        assert_eq!((bucket.used(NOW + 1_000), bucket.outstanding()), (2, 4), "it may still use them");
        bucket.expire(end);
        assert_eq!((bucket.used(end), bucket.outstanding()), (4, 0), "the first two have left the window");
        assert_eq!((bucket.used(end + 60_000 - 1_000), bucket.used(end + 61_000)), (4, 0));
    }

    #[test]
    fn a_lease_is_longer_while_it_is_little_of_the_limit() {
        let mut bucket = minute();
        let expires = |bucket: &Bucket, process: &str| bucket.leases()[process].expires_at_ms - NOW;
        assert_eq!(bucket.grant("a", 6, TERMS, NOW), FEW_TTL_MS);
        assert_eq!(expires(&bucket, "a"), 605_000);
        assert_eq!(bucket.grant("a", 1, TERMS, NOW + 1_000), WINDOW_TTL_MS, "together they are many");
        assert_eq!(bucket.renew("a", None, NOW + 2_000), WINDOW_TTL_MS, "nothing was granted");
        bucket.learn("a", ReportedLease { granted: 7, used: 1, ..ReportedLease::default() }, NOW + 3_000);
        assert_eq!(expires(&bucket, "a"), 605_000, "but what was promised is kept");
        assert_eq!(bucket.grant("b", 1, TERMS, NOW + 3_000), WINDOW_TTL_MS, "what others have counts, too");
        bucket.learn("b", ReportedLease { granted: 1, used: 1, ..ReportedLease::default() }, NOW + 3_000);
        assert_eq!(bucket.grant("a", 0, TERMS, NOW + 4_000), FEW_TTL_MS, "what is used counts no more");
        assert_eq!(expires(&bucket, "a"), 609_000);
        let small = LimitTerms { limit: 15, ..TERMS };
        assert_eq!(minute().grant("b", 1, small, NOW), WINDOW_TTL_MS, "of a small limit one is not little");
        assert_eq!(budget().grant("a", 6, TERMS, NOW), FEW_TTL_MS);
        assert_eq!(budget().grant("a", 7, TERMS, NOW), PERIOD_TTL_MS);
        let ending = LimitTerms { limit: 1_000, ends_at_ms: Some(NOW + 5_000) };
        assert_eq!(budget().grant("a", 1, ending, NOW), 5_000, "a period ends when it ends");
    }

    #[test]
    fn what_a_killed_gateway_holds_of_a_budget_stays_charged() {
        let mut bucket = budget();
        bucket.grant("a", 10, TERMS, NOW);
        bucket.charge("a", 3, NOW);
        bucket.expire(NOW + 1_000_000_000);
        assert_eq!((bucket.used(NOW), bucket.outstanding()), (3, 7));
        bucket.charge("a", 5, NOW + 1_000_000_000);
        bucket.learn(
            "a",
            ReportedLease { granted: 10, returned: 2, ..ReportedLease::default() },
            NOW + 1_000_000_000,
        );
        assert_eq!((bucket.used(NOW), bucket.outstanding()), (8, 0), "it came back all the same");
    }

    #[test]
    fn what_is_written_off_is_used_and_is_not_charged_again() {
        let mut bucket = budget();
        bucket.grant("a", 10, TERMS, NOW);
        bucket.charge("a", 3, NOW);
        bucket.write_off("a", NOW);
        bucket.write_off("a", NOW);
        assert_eq!((bucket.used(NOW), bucket.outstanding()), (10, 0));
        bucket.charge("a", 5, NOW);
        bucket.learn("a", ReportedLease { granted: 10, returned: 2, ..ReportedLease::default() }, NOW);
        assert_eq!((bucket.used(NOW), bucket.outstanding()), (10, 0), "it was not gone after all");
    }

    #[test]
    fn a_charge_beyond_what_was_handed_out_counts_in_full() {
        let mut bucket = budget();
        bucket.grant("a", 10, TERMS, NOW);
        bucket.charge("a", 12, NOW);
        bucket.charge("stranger", 5, NOW);
        assert_eq!((bucket.used(NOW), bucket.outstanding()), (17, 0));
        assert_eq!(bucket.leases().len(), 1);
    }

    #[test]
    fn the_end_of_the_period_ends_the_lease() {
        assert_eq!(budget().ttl_ms(NOW, Some(NOW + 5_000)), 5_000);
        assert_eq!(budget().ttl_ms(NOW, Some(NOW + 500_000)), PERIOD_TTL_MS);
        assert_eq!(minute().ttl_ms(NOW, None), WINDOW_TTL_MS);
    }
}
