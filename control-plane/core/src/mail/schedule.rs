//! When an email is tried again, and when the digest of a day is due.

use std::time::Duration;

use jiff::Timestamp;

use crate::retry;

/// What is waited after each failed attempt: about a day in all.
const WAITS: [Duration; 10] = [
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(3600),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(4 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(6 * 3600),
    Duration::from_secs(6 * 3600),
];

/// How often an email is tried before it has failed.
pub const ATTEMPTS: usize = WAITS.len() + 1;

/// The longest wait, for an attempt or for the digest. What is due only later was noted by a clock that has been set
/// back since.
pub const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// At which hour, in UTC, digests are sent.
pub const DIGEST_HOUR: i64 = 8;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// What is waited after `failed` attempts, by chance a little longer: see [`retry::wait_after`]. None where there is no
/// further attempt.
#[must_use]
pub fn wait_after(failed: u64, random: u32) -> Option<Duration> {
    retry::wait_after(&WAITS, failed, random)
}

/// When the digest is due that something at `now` is put into: the next time that it is [`DIGEST_HOUR`].
#[must_use]
pub fn digest_due(now: Timestamp) -> Timestamp {
    let since = now.as_millisecond().saturating_sub(DIGEST_HOUR * HOUR_MS);
    let next = since.div_euclid(DAY_MS).saturating_add(1).saturating_mul(DAY_MS);
    Timestamp::from_millisecond(next.saturating_add(DIGEST_HOUR * HOUR_MS)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_is_tried_for_about_a_day() {
        let day = Duration::from_secs(24 * 3600);
        for (random, least, most) in [(0, day, day.mul_f64(1.1)), (u32::MAX, day, day.mul_f64(1.3))] {
            let all: Duration = (1..).map_while(|failed| wait_after(failed, random)).sum();
            assert!(all >= least && all <= most, "{all:?}");
            assert!((1..).map_while(|failed| wait_after(failed, random)).all(|wait| wait < LONGEST_WAIT));
        }
        assert_eq!(wait_after(1, 0), Some(Duration::from_secs(10)));
        assert_eq!((wait_after(0, 0), wait_after(ATTEMPTS as u64, 0)), (None, None));
    }

    #[test]
    fn digests_are_due_at_one_hour() {
        let due = |now: &str| digest_due(now.parse().unwrap()).to_string();
        assert_eq!(due("2026-01-01T00:00:00Z"), "2026-01-01T08:00:00Z");
        assert_eq!(due("2026-01-01T07:59:59.999Z"), "2026-01-01T08:00:00Z");
        assert_eq!(due("2026-01-01T08:00:00Z"), "2026-01-02T08:00:00Z");
        assert_eq!(due("2026-12-31T20:00:00Z"), "2027-01-01T08:00:00Z");
        assert_eq!(due("1969-12-31T20:00:00Z"), "1970-01-01T08:00:00Z");
    }
}
