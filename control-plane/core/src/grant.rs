//! Whether a gateway gets further units, and how many.

use crate::bucket::{Bucket, Spent};
use crate::lease::Lease;

/// Of which limit units are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The most that may be used.
    pub limit: u64,
    /// When the period ends; none for one that does not, and for windows.
    pub ends_at_ms: Option<i64>,
}

/// What a gateway asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// How many further units.
    pub want: u64,
    /// Fewer are of no use.
    pub least: u64,
}

/// The answer, and how things stand after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether there is something.
    pub verdict: Verdict,
    /// What is neither used nor leased.
    pub remaining: u64,
    /// What was used for good.
    pub used: u64,
    /// When there is room for `least` again if nothing more is used; none for never.
    pub resets_at_ms: Option<i64>,
    /// When asking again may help; 0 where units were granted.
    pub retry_after_ms: u32,
    /// How long the gateway may use what it has, from the moment at which it asked; 0 leaves that as it is.
    pub ttl_ms: i64,
}

/// Whether a gateway gets units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
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

/// Decides about `ask` of the process `asker`, and grants it.
///
/// Never beyond what is free. One gateway gets at most its share of half of that, so that the slices
/// shrink towards the end and others that ask get theirs, and of a budget a small part; but `least`
/// where there is so much.
pub fn decide(bucket: &mut Bucket, terms: Terms, asker: &str, ask: Ask, now_ms: i64) -> Decision {
    bucket.expire(now_ms);
    let (want, least) = (ask.want.max(1), ask.least.clamp(1, ask.want.max(1)));
    let used = bucket.used(now_ms);
    // What ran out and was not given back may be used again once the lease goes on.
    let revived = bucket.leases().get(asker).map_or(0, |lease| lease.expired);
    let held = bucket.outstanding().saturating_add(revived);
    let free = terms.limit.saturating_sub(used).saturating_sub(held);
    let resets_at_ms = resets(bucket, terms, least, now_ms);
    if free >= least {
        let share = free / gateways(bucket, asker, now_ms).saturating_mul(2).max(1);
        let share = match bucket.spent() {
            Spent::Window(_) => share,
            Spent::Sum(_) => share.min(terms.limit / BUDGET_SLICES),
        };
        let units = want.min(share.max(least));
        let ttl_ms = bucket.grant(asker, units, terms, now_ms);
        let (verdict, remaining) = (Verdict::Granted(units), free.saturating_sub(units));
        return Decision { verdict, remaining, used, resets_at_ms, retry_after_ms: 0, ttl_ms };
    }
    let ttl_ms = bucket.renew(asker, terms.ends_at_ms, now_ms);
    // What the asker has left it would not ask for, and what its requests hold it knows itself.
    let own = bucket.leases().get(asker).map_or(0, Lease::outstanding);
    let gone = lost(bucket, now_ms).saturating_add(own);
    let hoped_for = terms.limit.saturating_sub(used).saturating_sub(gone);
    let (verdict, retry_after_ms) = if hoped_for >= least {
        (Verdict::Contended { holders: holders(bucket, asker) }, CONTENDED_RETRY_MS)
    } else {
        (Verdict::Exhausted, exhausted_for(resets_at_ms, now_ms))
    };
    Decision { verdict, remaining: free, used, resets_at_ms, retry_after_ms, ttl_ms }
}

/// When there is room for `least`, as far as what is used for good goes.
fn resets(bucket: &mut Bucket, terms: Terms, least: u64, now_ms: i64) -> Option<i64> {
    let room = terms.limit.checked_sub(least).and_then(|most| bucket.falls_to(now_ms, most));
    match bucket.spent() {
        Spent::Window(_) => room,
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

/// What is charged, though nobody is expected to give it back.
fn lost(bucket: &Bucket, now_ms: i64) -> u64 {
    let silent = |at: i64| at.saturating_add(SILENT_MS) < now_ms;
    let silent = bucket.leases().values().filter(|lease| silent(lease.expires_at_ms));
    silent.fold(0, |sum, lease| sum.saturating_add(lease.outstanding()))
}

fn holders(bucket: &Bucket, asker: &str) -> Vec<String> {
    let others =
        bucket.leases().iter().filter(|(process, lease)| *process != asker && lease.outstanding() > 0);
    others.map(|(process, _)| process.clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::lease::Told;
    use crate::limits::Reach;
    use crate::period::Period;

    const NOW: i64 = 1_767_225_600_000;

    fn terms(limit: u64) -> Terms {
        Terms { limit, ends_at_ms: None }
    }

    fn ask(want: u64, least: u64) -> Ask {
        Ask { want, least }
    }

    fn minute() -> Bucket {
        Bucket::new(Spent::nothing(Reach::Sliding { span_ms: 60_000 }), BTreeMap::new())
    }

    #[test]
    fn slices_shrink_and_everyone_gets_one() {
        let mut bucket = minute();
        let mut granted = |asker: &str| match decide(&mut bucket, terms(60), asker, ask(60, 1), NOW).verdict {
            Verdict::Granted(units) => units,
            verdict => panic!("{verdict:?}"),
        };
        assert_eq!([granted("a"), granted("b"), granted("c"), granted("a")], [30, 7, 3, 3]);
    }

    #[test]
    fn others_that_hold_enough_are_named() {
        let mut bucket = minute();
        assert_eq!(decide(&mut bucket, terms(10), "a", ask(10, 10), NOW).verdict, Verdict::Granted(10));
        let decision = decide(&mut bucket, terms(10), "b", ask(5, 1), NOW);
        assert_eq!(decision.verdict, Verdict::Contended { holders: vec!["a".to_owned()] });
        assert_eq!((decision.remaining, decision.retry_after_ms), (0, CONTENDED_RETRY_MS));
        bucket.learn("a", Told { granted: 10, returned: 10, ..Told::default() }, NOW);
        assert_eq!(decide(&mut bucket, terms(10), "b", ask(5, 1), NOW).verdict, Verdict::Granted(2));
    }

    #[test]
    fn a_window_that_is_used_up_says_when_it_has_room() {
        let mut bucket = minute();
        decide(&mut bucket, terms(10), "a", ask(10, 10), NOW);
        bucket.learn("a", Told { granted: 10, used: 10, ..Told::default() }, NOW);
        let decision = decide(&mut bucket, terms(10), "b", ask(1, 1), NOW + 10_000);
        assert_eq!((decision.verdict, decision.used), (Verdict::Exhausted, 10));
        assert_eq!((decision.resets_at_ms, decision.retry_after_ms), (Some(NOW + 61_000), 51_000));
        let larger = decide(&mut bucket, terms(10), "b", ask(11, 11), NOW + 10_000);
        assert_eq!((larger.verdict, larger.resets_at_ms), (Verdict::Exhausted, None), "it never fits");
    }

    #[test]
    fn what_a_gateway_took_to_its_grave_is_not_waited_for() {
        let lease = Lease { granted: 9, expires_at_ms: NOW, ..Lease::default() };
        let spent = Spent::nothing(Reach::Period(Period::Day));
        let mut bucket = Bucket::new(spent, [("dead".to_owned(), lease)].into());
        let terms = Terms { limit: 10, ends_at_ms: Some(NOW + 3_600_000) };
        let soon = decide(&mut bucket, terms, "b", ask(5, 5), NOW + 1_000);
        assert!(matches!(soon.verdict, Verdict::Contended { .. }));
        let later = decide(&mut bucket, terms, "b", ask(5, 5), NOW + SILENT_MS + 1);
        assert_eq!((later.verdict, later.resets_at_ms), (Verdict::Exhausted, terms.ends_at_ms));
        assert_eq!(
            decide(&mut bucket, terms, "b", ask(5, 1), NOW + SILENT_MS + 1).verdict,
            Verdict::Granted(1)
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
            let reach = if windowed { Reach::Sliding { span_ms: 60_000 } } else { Reach::Period(Period::Total) };
            let lease = |(granted, left)| Lease { granted, expires_at_ms: NOW + left, ..Lease::default() };
            let leases = held.into_iter().map(lease).zip(0..).map(|(lease, i)| (format!("g{i}"), lease));
            let mut bucket = Bucket::new(Spent::nothing(reach), leases.collect());
            bucket.charge("nobody", used, NOW);
            bucket.expire(NOW);
            let revived = bucket.leases().get("g0").map_or(0, |lease| lease.expired);
            let charged = bucket.used(NOW) + bucket.outstanding();
            let free = limit.saturating_sub(charged + revived);
            let decision = decide(&mut bucket, terms(limit), "g0", ask(want, least), NOW);
            let (want, least) = (want.max(1), least.clamp(1, want.max(1)));
            match decision.verdict {
                Verdict::Granted(units) => {
                    prop_assert!(least <= units && units <= want && units <= free);
                    prop_assert_eq!(decision.remaining, free - units);
                    prop_assert_eq!(bucket.used(NOW) + bucket.outstanding(), charged + revived + units);
                    prop_assert!(charged + revived + units <= limit);
                }
                Verdict::Exhausted | Verdict::Contended { .. } => {
                    prop_assert!(free < least);
                    prop_assert!(decision.retry_after_ms > 0);
                    prop_assert_eq!(bucket.used(NOW) + bucket.outstanding(), charged);
                }
            }
        }
    }
}
