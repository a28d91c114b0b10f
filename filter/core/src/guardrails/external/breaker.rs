//! Leaves a detector alone that fails repeatedly, so that its outage costs requests no time.

use std::collections::HashMap;
use std::rc::Rc;

use crate::snapshot::{AppId, Detector};

/// Failures in a row after which a detector is left alone.
const MOST_FAILURES: u32 = 3;

/// For how long.
const REST_MS: i64 = 5_000;

/// How many apps and detectors are kept an eye on.
const MOST_BREAKERS: usize = 10_000;

/// A breaker for each app and detector: texts on which a detector fails are the affair of who sends them.
#[derive(Debug, Default)]
pub struct Breakers(HashMap<(AppId, String), Breaker>);

/// There is none where the last call did not fail.
#[derive(Debug)]
struct Breaker {
    /// As it was. An admin may have mended what made it fail.
    detector: Rc<Detector>,
    failures: u32,
    /// Meaningful after the most failures.
    rests_until_ms: i64,
}

impl Breakers {
    /// Whether a detector may be asked. After its rest it is asked once, and then rests again until that call is
    /// heard of. The time may begin anywhere.
    pub fn lets_through(&mut self, app: AppId, detector: &Rc<Detector>, now_ms: i64) -> bool {
        let key = (app, detector.name.clone());
        let Some(breaker) = self.0.get_mut(&key) else { return true };
        if breaker.detector != *detector {
            self.0.remove(&key);
            return true;
        }
        if breaker.failures < MOST_FAILURES {
            return true;
        }
        if now_ms < breaker.rests_until_ms {
            return false;
        }
        breaker.rests_until_ms = now_ms.saturating_add(REST_MS);
        true
    }

    /// A detector has answered.
    pub fn answered(&mut self, app: AppId, detector: &Detector) {
        self.0.remove(&(app, detector.name.clone()));
    }

    /// A call has failed. Tells whether the detector rests from now on.
    pub fn failed(&mut self, app: AppId, detector: &Rc<Detector>, now_ms: i64) -> bool {
        if self.0.len() >= MOST_BREAKERS {
            self.0.retain(|_, breaker| now_ms < breaker.rests_until_ms);
        }
        if self.0.len() >= MOST_BREAKERS {
            self.0.clear();
        }
        let new = || Breaker { detector: Rc::clone(detector), failures: 0, rests_until_ms: 0 };
        let breaker = self.0.entry((app, detector.name.clone())).or_insert_with(new);
        if breaker.detector != *detector {
            *breaker = new();
        }
        breaker.failures = breaker.failures.saturating_add(1);
        if breaker.failures < MOST_FAILURES {
            return false;
        }
        breaker.rests_until_ms = now_ms.saturating_add(REST_MS);
        breaker.failures == MOST_FAILURES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, APP};

    fn detector(name: &str) -> Rc<Detector> {
        Rc::new(testing::detector(name).try_into().unwrap())
    }

    #[test]
    fn a_detector_rests_after_failures_in_a_row_and_is_then_asked_once() {
        let (mut breakers, one) = (Breakers::default(), detector("one"));
        assert!(!breakers.failed(APP, &one, 0) && !breakers.failed(APP, &one, 1));
        breakers.answered(APP, &one);
        for now in 0..2 {
            assert!(!breakers.failed(APP, &one, now) && breakers.lets_through(APP, &one, now));
        }
        assert!(breakers.failed(APP, &one, 100), "the third in a row");
        assert!(!breakers.lets_through(APP, &one, 100) && !breakers.lets_through(APP, &one, 5_099));
        assert!(!breakers.failed(APP, &one, 100), "it rests already");
        assert!(breakers.lets_through(APP, &one, 5_100), "one call");
        assert!(!breakers.lets_through(APP, &one, 5_100), "and no second one");
        breakers.answered(APP, &one);
        assert!(breakers.lets_through(APP, &one, 5_101) && breakers.lets_through(APP, &one, 5_101));
    }

    #[test]
    fn a_rest_is_of_one_app_and_one_detector() {
        let (mut breakers, one) = (Breakers::default(), detector("one"));
        for now in 0..3 {
            breakers.failed(APP, &one, now);
        }
        assert!(!breakers.lets_through(APP, &one, 3));
        assert!(breakers.lets_through(AppId(testing::USER), &one, 3));
        assert!(breakers.lets_through(APP, &detector("two"), 3));
    }

    #[test]
    fn a_detector_that_an_admin_has_changed_does_not_rest() {
        let (mut breakers, one) = (Breakers::default(), detector("one"));
        for now in 0..3 {
            breakers.failed(APP, &one, now);
        }
        let moved = Rc::new(Detector { path: "/elsewhere".to_owned(), ..(*one).clone() });
        assert!(breakers.lets_through(APP, &moved, 3) && breakers.lets_through(APP, &moved, 3));
    }

    #[test]
    fn what_is_kept_does_not_grow_without_end() {
        let mut breakers = Breakers::default();
        for n in 0..MOST_BREAKERS + 10 {
            breakers.failed(APP, &detector(&format!("d{n}")), 0);
        }
        assert!(breakers.0.len() <= MOST_BREAKERS);
    }
}
