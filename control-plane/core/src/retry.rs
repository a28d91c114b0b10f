//! When what is queued is sent again.

use std::time::Duration;

use jiff::Timestamp;

/// What is waited after `failed` attempts, of the waits after each: a fifth more at most, by chance (`random`), so that
/// what failed together does not come back together. None where there is no further attempt.
#[must_use]
pub fn wait_after(waits: &[Duration], failed: u64, random: u32) -> Option<Duration> {
    let wait = *usize::try_from(failed).ok()?.checked_sub(1).and_then(|index| waits.get(index))?;
    Some(wait + wait.mul_f64(f64::from(random) / f64::from(u32::MAX) / 5.0))
}

/// What is due, in Unix milliseconds: until `now`, and after the latest moment that a clock which was right then can
/// have noted, where nothing waits longer than `longest`.
#[must_use]
pub fn due_span(now: Timestamp, longest: Duration) -> (i64, i64) {
    let latest = now.saturating_add(longest).unwrap_or(Timestamp::MAX);
    (now.as_millisecond(), latest.as_millisecond())
}
