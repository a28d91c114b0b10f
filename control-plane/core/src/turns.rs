//! Whose turn it is to get units of a bucket: first come, first served.
//!
//! What comes back is kept for those who have waited longest, but never for long: a gateway that stops asking
//! loses its turn, and one that is not served for as long as a request waits goes to the end.

use latchkey_proto::bucket::PATIENCE_MS;
use serde::{Deserialize, Serialize};

/// A gateway that waits asks again every tenth of a second; on a busy machine its messages take a while.
const SILENT_MS: i64 = 1_000;
/// No more processes than these have turns.
const MOST: usize = 256;

/// Those who wait, in the order of their turns; each process once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Turns(Vec<WaitingProcess>);

/// A gateway process that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct WaitingProcess {
    process: String,
    /// The units that it waits for.
    least: u64,
    since_ms: i64,
    asked_ms: i64,
}

impl Turns {
    /// Forgets those who wait no more, or for too long. The clocks of replicas may differ by a second.
    pub fn forget(&mut self, now_ms: i64) {
        let within = |at_ms: i64, ms: i64| (-SILENT_MS..ms).contains(&now_ms.saturating_sub(at_ms));
        self.0.retain(|turn| within(turn.asked_ms, SILENT_MS) && within(turn.since_ms, PATIENCE_MS));
    }

    /// The units that are kept for those whose turn comes before this process's.
    #[must_use]
    pub fn kept(&self, process: &str) -> u64 {
        let before = self.0.iter().take_while(|turn| turn.process != process);
        before.fold(0, |sum, turn| sum.saturating_add(turn.least))
    }

    /// Whether it is one process's turn before the other's.
    #[must_use]
    pub fn is_before(&self, process: &str, other: &str) -> bool {
        self.0.iter().take_while(|turn| turn.process != other).any(|turn| turn.process == process)
    }

    /// Whether others wait than this process.
    #[must_use]
    pub fn others_wait(&self, process: &str) -> bool {
        self.0.iter().any(|turn| turn.process != process)
    }

    /// A process waits for `least` units: it keeps its turn, or is the last.
    pub fn wait(&mut self, process: &str, least: u64, now_ms: i64) {
        if let Some(turn) = self.0.iter_mut().find(|turn| turn.process == process) {
            (turn.least, turn.asked_ms) = (least, now_ms);
        } else if self.0.len() < MOST {
            self.0.push(WaitingProcess {
                process: process.to_owned(),
                least,
                since_ms: now_ms,
                asked_ms: now_ms,
            });
        }
    }

    /// A process waits no more.
    pub fn leave(&mut self, process: &str) {
        self.0.retain(|turn| turn.process != process);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_767_225_600_000;

    fn turns(waiting: &[(&str, u64)]) -> Turns {
        let mut turns = Turns::default();
        for (process, least) in waiting {
            turns.wait(process, *least, NOW);
        }
        turns
    }

    #[test]
    fn units_are_kept_for_those_who_came_before() {
        let mut turns = turns(&[("a", 10), ("b", 5), ("c", 1)]);
        let kept = |turns: &Turns| ["a", "b", "c", "new"].map(|process| turns.kept(process));
        assert_eq!(kept(&turns), [0, 10, 15, 16]);
        turns.wait("a", 7, NOW + 100);
        assert_eq!(kept(&turns), [0, 7, 12, 13], "it keeps its turn");
        assert!(turns.is_before("a", "b") && !turns.is_before("b", "a"));
        turns.leave("a");
        turns.wait("a", 7, NOW + 200);
        assert_eq!(kept(&turns), [6, 0, 5, 13], "after those who have waited meanwhile");
    }

    #[test]
    fn nobody_waits_who_asks_no_more() {
        let mut turns = turns(&[("dead", 10), ("b", 5)]);
        turns.wait("b", 5, NOW + SILENT_MS - 1);
        turns.forget(NOW + SILENT_MS - 1);
        assert_eq!(turns.kept("b"), 10);
        turns.forget(NOW + SILENT_MS);
        assert_eq!((turns.kept("b"), turns.kept("c")), (0, 5));
    }

    #[test]
    fn who_cannot_be_served_holds_up_the_others_for_as_long_as_a_request_waits() {
        let mut turns = turns(&[("large", 1_000), ("small", 1)]);
        for at in (0..PATIENCE_MS).step_by(100) {
            turns.forget(NOW + at);
            turns.wait("large", 1_000, NOW + at);
            turns.leave("small");
            turns.wait("small", 1, NOW + at);
            assert_eq!(turns.kept("small"), 1_000);
        }
        turns.forget(NOW + PATIENCE_MS);
        turns.wait("large", 1_000, NOW + PATIENCE_MS);
        assert_eq!((turns.kept("small"), turns.kept("large")), (0, 1));
    }

    #[test]
    fn no_turn_outlives_a_clock_that_goes_back() {
        let mut turns = turns(&[("a", 10)]);
        turns.forget(NOW - SILENT_MS);
        assert_eq!(turns.kept("b"), 10, "another replica's clock may be behind");
        turns.forget(NOW - SILENT_MS - 1);
        assert_eq!(turns, Turns::default());
    }

    #[test]
    fn not_everyone_has_a_turn() {
        let mut turns = Turns::default();
        (0..1_000).for_each(|number| turns.wait(&number.to_string(), 1, NOW));
        assert_eq!(turns.kept("new"), u64::try_from(MOST).unwrap());
    }

    #[test]
    fn turns_are_stored_in_their_order() {
        let turns = turns(&[("b", 10), ("a", 5)]);
        let stored = serde_json::to_string(&turns).unwrap();
        assert_eq!(serde_json::from_str::<Turns>(&stored).unwrap(), turns);
        assert_eq!(serde_json::from_str::<Turns>("[]").unwrap(), Turns::default());
    }
}
