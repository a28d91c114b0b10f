//! Whether a gateway gets further units, and how many.

use crate::bucket::{Bucket, Spent};
use crate::lease::Lease;

/// Of which limit units are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitTerms {
    /// The most that may be used.
    pub limit: u64,
    /// When the period ends; none for one that does not, and for windows.
    pub ends_at_ms: Option<i64>,
}

/// What a gateway asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRequest {
    pub want: u64,
    /// Fewer are of no use now.
    pub least: u64,
    /// Fewer are of no use at all; at most `least`.
    pub floor: u64,
    /// Nobody waits for them.
    pub ahead: bool,
}

/// The answer, and how things stand after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseDecision {
    pub verdict: LeaseVerdict,
    /// What is neither used nor leased, nor kept for those whose turn comes before.
    pub remaining: u64,
    /// The same with what others may still give back.
    pub reachable: u64,
    /// Whether all that is reachable would not do, however little is taken.
    pub is_spent: bool,
    /// What was used for good.
    pub used: u64,
    /// When there is room for `least` again if nothing more is used; where others hold it, even if they use
    /// all of it; none for never.
    pub resets_at_ms: Option<i64>,
    /// When asking again may help; 0 where units were granted.
    pub retry_after_ms: u32,
    /// How long the gateway may use what it has, from the moment at which it asked; 0 leaves that as it is.
    pub ttl_ms: i64,
}

/// Whether a gateway gets units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseVerdict {
    /// So many, from `least` to `want`.
    Granted(u64),
    /// What was used for good leaves no room.
    Exhausted,
    /// What leases hold would be enough, if it came back.
    Contended {
        /// The other processes that hold some of it.
        holders: Vec<String>,
    },
}

/// A budget is handed out in no larger parts than this many of it: what a gateway holds when it is
/// killed stays charged.
const BUDGET_SLICES: u64 = 32;
/// After how long to ask again for what others were asked to give back.
const CONTENDED_RETRY_MS: u32 = 100;
/// After how long to ask again where nothing comes back by itself: a limit may be raised.
const HOPELESS_RETRY_MS: u32 = 60_000;
/// From when on what a silent gateway holds of a budget is no longer expected back, though it stays charged.
const SILENT_MS: i64 = 600_000;

/// Decides about `ask` of the process `asker`, and grants it. What a process holds that is `gone` is
/// charged, but nobody waits for it.
///
/// Never beyond what is free, less what is kept for those whose turn comes before. One gateway gets at most
/// its share of half of that, so that the slices shrink towards the end and others that ask get theirs, and
/// of a budget a small part; but `least` where there is so much.
pub fn decide(
    bucket: &mut Bucket,
    terms: LimitTerms,
    asker: &str,
    ask: LeaseRequest,
    gone: impl Fn(&str) -> bool,
    now_ms: i64,
) -> LeaseDecision {
    bucket.expire(now_ms);
    bucket.turns_mut().forget(now_ms);
    let least = ask.least.clamp(1, ask.want.max(1));
    // While others wait nobody is given more than a request needs.
    let others_wait = bucket.turns().others_wait(asker);
    let want = if others_wait { least } else { ask.want.max(1) };
    let used = bucket.used(now_ms);
    // What ran out and was not given back may be used again once the lease goes on.
    let revived = bucket.leases().get(asker).map_or(0, |lease| lease.expired);
    let held = bucket.outstanding().saturating_add(revived);
    let free = terms.limit.saturating_sub(used).saturating_sub(held);
    let spare = free.saturating_sub(bucket.turns().kept(asker));
    // What the asker has left it would not ask for, and what its requests hold it knows itself.
    let own = bucket.leases().get(asker).map_or(0, Lease::outstanding);
    let lost = lost(bucket, asker, gone, now_ms);
    let away = lost.iter().fold(own, |sum, (_, units)| sum.saturating_add(*units));
    let reachable = terms.limit.saturating_sub(used).saturating_sub(away).max(free);
    if spare >= least && !(ask.ahead && others_wait) {
        let share = spare / gateways(bucket, asker, now_ms).saturating_mul(2).max(1);
        let share = match bucket.spent() {
            Spent::Window(_) => share,
            Spent::Sum(_) => share.min(terms.limit / BUDGET_SLICES),
        };
        let units = want.min(share.max(least));
        let resets_at_ms = resets(bucket, terms, least, Vec::new(), now_ms);
        let ttl_ms = bucket.grant(asker, units, terms, now_ms);
        bucket.turns_mut().leave(asker);
        return LeaseDecision {
            verdict: LeaseVerdict::Granted(units),
            remaining: spare.saturating_sub(units),
            reachable: reachable.saturating_sub(units),
            is_spent: false,
            used,
            resets_at_ms,
            retry_after_ms: 0,
            ttl_ms,
        };
    }
    let ttl_ms = bucket.renew(asker, terms.ends_at_ms, now_ms);
    let is_contended = reachable >= least || free >= least;
    let mut pending = if is_contended { outstanding(bucket, asker, now_ms) } else { lost };
    pending.push((now_ms, own));
    let resets_at_ms = resets(bucket, terms, least, pending, now_ms);
    let (verdict, retry_after_ms) = match (is_contended, ask.ahead) {
        (true, true) => (LeaseVerdict::Contended { holders: Vec::new() }, CONTENDED_RETRY_MS),
        (true, false) => {
            bucket.turns_mut().wait(asker, least, now_ms);
            (LeaseVerdict::Contended { holders: holders(bucket, asker) }, CONTENDED_RETRY_MS)
        }
        (false, _) => {
            bucket.turns_mut().leave(asker);
            (LeaseVerdict::Exhausted, exhausted_for(resets_at_ms, now_ms))
        }
    };
    let is_spent = reachable < ask.floor.clamp(1, least);
    LeaseDecision {
        verdict,
        remaining: spare,
        reachable,
        is_spent,
        used,
        resets_at_ms,
        retry_after_ms,
        ttl_ms,
    }
}

/// When there is room for `least`, if besides what is used for good this is: so many units at a moment.
fn resets(
    bucket: &mut Bucket,
    terms: LimitTerms,
    least: u64,
    pending: Vec<(i64, u64)>,
    now_ms: i64,
) -> Option<i64> {
    match bucket.spent() {
        Spent::Window(_) => bucket.falls_to(now_ms, terms.limit.checked_sub(least)?, pending),
        Spent::Sum(_) => terms.ends_at_ms,
    }
}

fn exhausted_for(resets_at_ms: Option<i64>, now_ms: i64) -> u32 {
    let wait = resets_at_ms.map(|at| at.saturating_sub(now_ms).max(1));
    wait.map_or(HOPELESS_RETRY_MS, |wait| u32::try_from(wait).unwrap_or(u32::MAX))
}

/// How many gateways have asked lately, with this one.
fn gateways(bucket: &Bucket, asker: &str, now_ms: i64) -> u64 {
    let others =
        bucket.leases().iter().filter(|(process, lease)| *process != asker && lease.expires_at_ms > now_ms);
    u64::try_from(others.count()).unwrap_or(u64::MAX).saturating_add(1)
}

/// What others hold that nobody is expected to give back, with the moments from which on it counts as used.
fn lost(bucket: &Bucket, asker: &str, gone: impl Fn(&str) -> bool, now_ms: i64) -> Vec<(i64, u64)> {
    let silent = |at: i64| at.saturating_add(SILENT_MS) < now_ms;
    let others = bucket.leases().iter().filter(|(process, _)| *process != asker);
    let lost = others.filter(|(process, lease)| silent(lease.expires_at_ms) || gone(process));
    lost.map(|(_, lease)| (lease.expires_at_ms.max(now_ms), lease.outstanding())).collect()
}

/// What others hold, as if they used it now.
fn outstanding(bucket: &Bucket, asker: &str, now_ms: i64) -> Vec<(i64, u64)> {
    let others = bucket.leases().iter().filter(|(process, _)| *process != asker);
    others.map(|(_, lease)| (now_ms, lease.outstanding())).collect()
}

/// The others that hold something, but for those whose turn comes before: it would come back to them.
fn holders(bucket: &Bucket, asker: &str) -> Vec<String> {
    let others =
        bucket.leases().iter().filter(|(process, lease)| *process != asker && lease.outstanding() > 0);
    let others = others.filter(|(process, _)| !bucket.turns().is_before(process, asker));
    others.map(|(process, _)| process.clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::lease::ReportedLease;
    use crate::limits::LimitWindow;
    use crate::period::Period;
    use crate::turns::Turns;

    const NOW: i64 = 1_767_225_600_000;

    fn terms(limit: u64) -> LimitTerms {
        LimitTerms { limit, ends_at_ms: None }
    }

    fn ask(want: u64, least: u64) -> LeaseRequest {
        LeaseRequest { want, least, floor: least, ahead: false }
    }

    /// Nobody is gone.
    fn decide(
        bucket: &mut Bucket,
        terms: LimitTerms,
        asker: &str,
        ask: LeaseRequest,
        now_ms: i64,
    ) -> LeaseDecision {
        super::decide(bucket, terms, asker, ask, |_| false, now_ms)
    }

    fn minute() -> Bucket {
        Bucket::new(Spent::nothing(LimitWindow::Sliding { span_ms: 60_000 }), BTreeMap::new())
    }

    #[test]
    fn slices_shrink_and_everyone_gets_one() {
        let mut bucket = minute();
        let mut granted = |asker: &str| match decide(&mut bucket, terms(60), asker, ask(60, 1), NOW).verdict {
            LeaseVerdict::Granted(units) => units,
            verdict => panic!("{verdict:?}"),
        };
        assert_eq!([granted("a"), granted("b"), granted("c"), granted("a")], [30, 7, 3, 3]);
    }

    #[test]
    fn others_that_hold_enough_are_named() {
        let mut bucket = minute();
        assert_eq!(decide(&mut bucket, terms(10), "a", ask(10, 10), NOW).verdict, LeaseVerdict::Granted(10));
        let decision = decide(&mut bucket, terms(10), "b", ask(5, 1), NOW);
        assert_eq!(decision.verdict, LeaseVerdict::Contended { holders: vec!["a".to_owned()] });
        assert_eq!((decision.remaining, decision.retry_after_ms), (0, CONTENDED_RETRY_MS));
        assert_eq!((decision.reachable, decision.resets_at_ms), (10, Some(NOW + 61_000)));
        let ahead = LeaseRequest { ahead: true, ..ask(5, 1) };
        let decision = decide(&mut bucket, terms(10), "b", ahead, NOW);
        assert_eq!(
            decision.verdict,
            LeaseVerdict::Contended { holders: vec![] },
            "for nobody nothing is recalled"
        );
        bucket.learn("a", ReportedLease { granted: 10, returned: 10, ..ReportedLease::default() }, NOW);
        assert_eq!(decide(&mut bucket, terms(10), "b", ask(5, 1), NOW).verdict, LeaseVerdict::Granted(2));
    }

    #[test]
    fn a_window_that_is_used_up_says_when_it_has_room() {
        let mut bucket = minute();
        decide(&mut bucket, terms(10), "a", ask(10, 10), NOW);
        bucket.learn("a", ReportedLease { granted: 10, used: 10, ..ReportedLease::default() }, NOW);
        let decision = decide(&mut bucket, terms(10), "b", ask(1, 1), NOW + 10_000);
        assert_eq!((decision.verdict, decision.used), (LeaseVerdict::Exhausted, 10));
        assert_eq!((decision.resets_at_ms, decision.retry_after_ms), (Some(NOW + 61_000), 51_000));
        let larger = decide(&mut bucket, terms(10), "b", ask(11, 11), NOW + 10_000);
        assert_eq!((larger.verdict, larger.resets_at_ms), (LeaseVerdict::Exhausted, None), "it never fits");
    }

    #[test]
    fn what_comes_back_is_kept_for_who_has_waited_longest() {
        let mut bucket = minute();
        let ask = |bucket: &mut Bucket, asker: &str, units| {
            decide(bucket, terms(100), asker, ask(units, units), NOW)
        };
        ask(&mut bucket, "holder", 100);
        assert!(matches!(ask(&mut bucket, "large", 60).verdict, LeaseVerdict::Contended { .. }));
        assert!(matches!(ask(&mut bucket, "small", 10).verdict, LeaseVerdict::Contended { .. }));
        bucket.learn("holder", ReportedLease { granted: 100, returned: 50, ..ReportedLease::default() }, NOW);
        let small = ask(&mut bucket, "small", 10);
        assert_eq!(small.verdict, LeaseVerdict::Contended { holders: vec!["holder".to_owned()] });
        assert_eq!(small.remaining, 0, "what is kept for another is not there");
        assert_eq!(ask(&mut bucket, "large", 60).remaining, 50);
        bucket.learn("holder", ReportedLease { granted: 100, returned: 70, ..ReportedLease::default() }, NOW);
        assert_eq!(
            ask(&mut bucket, "small", 10).verdict,
            LeaseVerdict::Granted(10),
            "there is enough for both"
        );
        assert_eq!(ask(&mut bucket, "large", 60).verdict, LeaseVerdict::Granted(60));
        assert_eq!(bucket.turns(), &Turns::default());
    }

    #[test]
    fn nothing_is_kept_for_a_gateway_that_asks_no_more() {
        let mut bucket = minute();
        decide(&mut bucket, terms(100), "holder", ask(100, 100), NOW);
        decide(&mut bucket, terms(100), "dead", ask(60, 60), NOW);
        bucket.learn("holder", ReportedLease { granted: 100, returned: 50, ..ReportedLease::default() }, NOW);
        let mut ask = |at_ms| decide(&mut bucket, terms(100), "b", ask(10, 10), at_ms).verdict;
        assert!(matches!(ask(NOW + 900), LeaseVerdict::Contended { .. }));
        assert_eq!(ask(NOW + 1_000), LeaseVerdict::Granted(10));
    }

    #[test]
    fn units_are_not_recalled_from_whose_turn_comes_before() {
        let mut bucket = minute();
        for asker in ["a", "b"] {
            decide(&mut bucket, terms(100), asker, ask(50, 50), NOW);
        }
        let mut holders = |asker: &str| match decide(&mut bucket, terms(100), asker, ask(10, 10), NOW).verdict
        {
            LeaseVerdict::Contended { holders } => holders,
            verdict => panic!("{verdict:?}"),
        };
        assert_eq!(holders("a"), ["b"]);
        assert_eq!(holders("b"), Vec::<String>::new(), "it would only go back and forth");
    }

    #[test]
    fn while_others_wait_nobody_gets_more_than_a_request_needs() {
        let mut bucket = minute();
        bucket.turns_mut().wait("other", 80, NOW);
        assert_eq!(decide(&mut bucket, terms(100), "a", ask(50, 3), NOW).verdict, LeaseVerdict::Granted(3));
        let ahead = LeaseRequest { ahead: true, ..ask(50, 3) };
        let decision = decide(&mut bucket, terms(100), "a", ahead, NOW);
        assert_eq!((decision.verdict, decision.remaining), (LeaseVerdict::Contended { holders: vec![] }, 17));
        assert!(!bucket.turns().others_wait("other"), "nobody waits for what is asked for ahead");
    }

    #[test]
    fn what_the_asker_has_left_is_no_room_for_more() {
        let mut bucket = minute();
        decide(&mut bucket, terms(1_000), "a", ask(598, 598), NOW);
        bucket.learn("a", ReportedLease { granted: 598, ..ReportedLease::default() }, NOW);
        bucket.charge("a", 598, NOW);
        decide(&mut bucket, terms(1_000), "a", ask(394, 394), NOW + 5_000);
        let decision = decide(&mut bucket, terms(1_000), "a", ask(21, 21), NOW + 10_000);
        assert_eq!((decision.verdict, decision.remaining), (LeaseVerdict::Exhausted, 8));
        assert_eq!(decision.resets_at_ms, Some(NOW + 61_000), "not now");
    }

    #[test]
    fn a_budget_is_spent_where_not_even_the_floor_can_come_back() {
        let spent = Spent::nothing(LimitWindow::Calendar(Period::Day));
        let mut bucket = Bucket::new(spent, BTreeMap::new());
        decide(&mut bucket, terms(100), "a", ask(60, 60), NOW);
        bucket.charge("a", 50, NOW);
        let large = LeaseRequest { floor: 10, ..ask(80, 80) };
        let decision = decide(&mut bucket, terms(100), "b", large, NOW);
        assert_eq!((decision.verdict, decision.is_spent), (LeaseVerdict::Exhausted, false));
        assert_eq!((decision.remaining, decision.reachable), (40, 50));
        let none = LeaseRequest { floor: 51, ..ask(80, 80) };
        assert!(decide(&mut bucket, terms(100), "b", none, NOW).is_spent);
    }

    #[test]
    fn what_a_process_holds_that_is_gone_is_not_waited_for() {
        let spent = Spent::nothing(LimitWindow::Calendar(Period::Total));
        let lease = Lease { granted: 9, expires_at_ms: NOW + 600_000, ..Lease::default() };
        let mut bucket = Bucket::new(spent, [("dead".to_owned(), lease)].into());
        let mut ask = |gone| super::decide(&mut bucket, terms(10), "b", ask(5, 5), |_| gone, NOW);
        assert!(matches!(ask(false).verdict, LeaseVerdict::Contended { .. }));
        let decision = ask(true);
        assert_eq!(
            (decision.verdict, decision.reachable, decision.is_spent),
            (LeaseVerdict::Exhausted, 1, true)
        );
    }

    #[test]
    fn what_a_gateway_took_to_its_grave_is_not_waited_for() {
        let lease = Lease { granted: 9, expires_at_ms: NOW, ..Lease::default() };
        let spent = Spent::nothing(LimitWindow::Calendar(Period::Day));
        let mut bucket = Bucket::new(spent, [("dead".to_owned(), lease)].into());
        let terms = LimitTerms { limit: 10, ends_at_ms: Some(NOW + 3_600_000) };
        let soon = decide(&mut bucket, terms, "b", ask(5, 5), NOW + 1_000);
        assert!(matches!(soon.verdict, LeaseVerdict::Contended { .. }));
        let later = decide(&mut bucket, terms, "b", ask(5, 5), NOW + SILENT_MS + 1);
        assert_eq!((later.verdict, later.resets_at_ms), (LeaseVerdict::Exhausted, terms.ends_at_ms));
        assert_eq!(
            decide(&mut bucket, terms, "b", ask(5, 1), NOW + SILENT_MS + 1).verdict,
            LeaseVerdict::Granted(1)
        );
    }

    proptest! {
        #[test]
        fn grants_stay_within_what_is_free_and_what_is_asked(
            limit in 1_u64..1_000,
            used in 0_u64..1_200,
            held in prop::collection::vec((0_u64..200, -20_000_i64..20_000), 0..5),
            want in 0_u64..500,
            least in 0_u64..500,
            windowed: bool,
        ) {
            let window = if windowed { LimitWindow::Sliding { span_ms: 60_000 } } else { LimitWindow::Calendar(Period::Total) };
            let lease = |(granted, left)| Lease { granted, expires_at_ms: NOW + left, ..Lease::default() };
            let leases = held.into_iter().map(lease).zip(0..).map(|(lease, i)| (format!("g{i}"), lease));
            let mut bucket = Bucket::new(Spent::nothing(window), leases.collect());
            bucket.charge("nobody", used, NOW);
            bucket.expire(NOW);
            let revived = bucket.leases().get("g0").map_or(0, |lease| lease.expired);
            let charged = bucket.used(NOW) + bucket.outstanding();
            let free = limit.saturating_sub(charged + revived);
            let decision = decide(&mut bucket, terms(limit), "g0", ask(want, least), NOW);
            let (want, least) = (want.max(1), least.clamp(1, want.max(1)));
            match decision.verdict {
                LeaseVerdict::Granted(units) => {
                    prop_assert!(least <= units && units <= want && units <= free);
                    prop_assert_eq!(decision.remaining, free - units);
                    prop_assert_eq!(bucket.used(NOW) + bucket.outstanding(), charged + revived + units);
                    prop_assert!(charged + revived + units <= limit);
                }
                LeaseVerdict::Exhausted | LeaseVerdict::Contended { .. } => {
                    prop_assert!(free < least);
                    prop_assert!(decision.retry_after_ms > 0);
                    prop_assert_eq!(bucket.used(NOW) + bucket.outstanding(), charged);
                }
            }
        }
    }
}
