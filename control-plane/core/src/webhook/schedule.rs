//! When a message is sent again.

use std::time::Duration;

use jiff::Timestamp;

use crate::retry;

/// What is waited after each failed attempt, up to the last but one, as the Standard Webhooks specification
/// proposes.
const WAITS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
    Duration::from_secs(14 * 3600),
    Duration::from_secs(20 * 3600),
    Duration::from_secs(24 * 3600),
];

/// How often a message is tried before it has failed.
pub const ATTEMPTS: usize = WAITS.len() + 1;

/// The longest that an answer may ask to wait.
const LONGEST_ASKED: Duration = Duration::from_secs(24 * 3600);

/// What is waited at most, with its jitter. What is due later than that was noted by a clock that has been set back
/// since.
pub const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600 * 5 / 4);

/// What is waited after `failed` attempts, by chance a little longer: see [`retry::wait_after`]. What the answer asked
/// for is waited if it is longer. None where there is no further attempt.
#[must_use]
pub fn wait_after(failed: u64, asked: Option<Duration>, random: u32) -> Option<Duration> {
    Some(retry::wait_after(&WAITS, failed, random)?.max(asked.unwrap_or_default()))
}

/// What a `retry-after` asks to wait, at most a day: a number of seconds or a date.
#[must_use]
pub fn asked_wait(retry_after: &str, now: Timestamp) -> Option<Duration> {
    let text = retry_after.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds).min(LONGEST_ASKED));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
    Some(wait.min(LONGEST_ASKED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_day_and_then_it_has_failed() {
        let waits: Vec<_> =
            (1..).map_while(|failed| wait_after(failed, None, 0)).map(|wait| wait.as_secs()).collect();
        assert_eq!(waits, [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]);
        assert_eq!(wait_after(u64::try_from(ATTEMPTS).unwrap(), Some(Duration::from_secs(1)), 0), None);
        assert_eq!(wait_after(0, None, 0), None);
    }

    #[test]
    fn a_wait_is_never_shorter_and_never_longer_than_what_a_clock_is_believed() {
        for failed in 1..=9 {
            let [least, most] = [0, u32::MAX].map(|random| wait_after(failed, None, random).unwrap());
            assert!(most > least && most <= least.mul_f64(1.201), "{least:?} {most:?}");
            assert!(most < LONGEST_WAIT);
        }
        let asked = asked_wait("999999999", Timestamp::UNIX_EPOCH);
        assert!(wait_after(1, asked, u32::MAX).unwrap() < LONGEST_WAIT);
    }

    #[test]
    fn an_answer_may_ask_for_more_but_not_for_less() {
        let now: Timestamp = "2026-11-30T08:00:00Z".parse().unwrap();
        for (asked, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Mon, 30 Nov 2026 08:00:30 GMT", Some(30)),
            ("Mon, 30 Nov 2026 07:00:00 GMT", Some(0)),
            ("99999999999999999999", None),
            ("-1", None),
            ("soon", None),
        ] {
            assert_eq!(asked_wait(asked, now).map(|wait| wait.as_secs()), seconds, "{asked}");
        }
        assert_eq!(wait_after(1, Some(Duration::from_secs(120)), 0), Some(Duration::from_secs(120)));
        assert_eq!(wait_after(2, Some(Duration::from_secs(120)), 0), Some(Duration::from_secs(300)));
    }
}
