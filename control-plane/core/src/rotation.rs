//! Replacing a key's secret.

use jiff::{SignedDuration, Timestamp};

/// The longest grace, in seconds: 30 days.
pub const LONGEST_GRACE_SECONDS: u32 = 30 * 24 * 3600;

/// How long a replaced secret still works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grace(u32);

/// Why a grace is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be between 0 and {LONGEST_GRACE_SECONDS} seconds (30 days)")]
pub struct TooLong;

impl Grace {
    /// No grace: the old secret stops at once.
    pub const NONE: Self = Self(0);

    /// A grace of so many seconds.
    ///
    /// # Errors
    /// [`TooLong`], beyond 30 days.
    pub fn seconds(seconds: u32) -> Result<Self, TooLong> {
        if seconds > LONGEST_GRACE_SECONDS { Err(TooLong) } else { Ok(Self(seconds)) }
    }

    /// How long it is, in seconds.
    #[must_use]
    pub fn as_seconds(self) -> u32 {
        self.0
    }

    /// When a secret replaced at `now` stops.
    ///
    /// Without grace that is the beginning of time, so that no gateway's clock, however wrong, lets
    /// it live on.
    #[must_use]
    pub fn ends(self, now: Timestamp) -> Timestamp {
        if self.0 == 0 {
            return Timestamp::UNIX_EPOCH + SignedDuration::from_millis(1);
        }
        now.saturating_add(SignedDuration::from_secs(self.0.into())).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_grace_ends_before_any_clock() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        assert_eq!(Grace::NONE.ends(now).as_millisecond(), 1);
        assert_eq!(Grace::seconds(60).unwrap().ends(now).as_second(), 1_000_060);
        assert_eq!(Grace::seconds(LONGEST_GRACE_SECONDS + 1), Err(TooLong));
    }
}
