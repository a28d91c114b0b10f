//! When a key stops by itself.

use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The choices of the Create API Key dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Lifetime {
    /// It does not expire.
    #[serde(rename = "never")]
    Never,
    /// 30 days.
    #[serde(rename = "30d")]
    Days30,
    /// 60 days.
    #[serde(rename = "60d")]
    Days60,
    /// 90 days.
    #[serde(rename = "90d")]
    Days90,
    /// 180 days.
    #[serde(rename = "180d")]
    Days180,
    /// 1 year: 365 days.
    #[serde(rename = "1y")]
    Year,
}

/// Why an expiration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadExpiry {
    /// It lies in the past.
    #[error("must be in the future; to stop a key now, deactivate or revoke it")]
    Past,
    /// Beyond what a clock can show.
    #[error("is too far in the future")]
    TooFar,
    /// Two answers to one question.
    #[error("use either `expires_at` or `expires_in`, not both")]
    Both,
}

impl Lifetime {
    /// The moment that ends a lifetime begun at `now`; none for never.
    ///
    /// # Errors
    /// [`BadExpiry::TooFar`], when no timestamp can hold it.
    pub fn ends(self, now: Timestamp) -> Result<Option<Timestamp>, BadExpiry> {
        let days = match self {
            Self::Never => return Ok(None),
            Self::Days30 => 30,
            Self::Days60 => 60,
            Self::Days90 => 90,
            Self::Days180 => 180,
            Self::Year => 365_i64,
        };
        now.checked_add((days * 24).hours()).map(Some).map_err(|_| BadExpiry::TooFar)
    }
}

/// The expiration that a request asks for: a date, a lifetime, or neither (never).
///
/// # Errors
/// A date in the past, or both a date and a lifetime.
pub fn expiration(
    at: Option<Timestamp>,
    lifetime: Option<Lifetime>,
    now: Timestamp,
) -> Result<Option<Timestamp>, BadExpiry> {
    match (at, lifetime) {
        (Some(_), Some(_)) => Err(BadExpiry::Both),
        (Some(at), None) if at <= now => Err(BadExpiry::Past),
        (Some(at), None) => Ok(Some(at)),
        (None, Some(lifetime)) => lifetime.ends(now),
        (None, None) => Ok(None),
    }
}

/// The expiration that an edit asks for, where a date of `Some(None)` is "never"; none leaves it.
///
/// # Errors
/// As [`expiration`].
pub fn edited(
    at: Option<Option<Timestamp>>,
    lifetime: Option<Lifetime>,
    now: Timestamp,
) -> Result<Option<Option<Timestamp>>, BadExpiry> {
    match (at, lifetime) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(BadExpiry::Both),
        (at, lifetime) => expiration(at.flatten(), lifetime, now).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn lifetimes_count_days_of_24_hours() {
        let ends = |lifetime: Lifetime| lifetime.ends(NOW).unwrap().map(|at| at.as_second() / 86_400);
        assert_eq!(ends(Lifetime::Never), None);
        assert_eq!(ends(Lifetime::Days30), Some(30));
        assert_eq!(ends(Lifetime::Year), Some(365));
    }

    #[test]
    fn a_date_in_the_past_and_two_answers_are_refused() {
        assert_eq!(expiration(Some(NOW), None, NOW), Err(BadExpiry::Past));
        assert_eq!(expiration(Some(NOW), Some(Lifetime::Year), NOW), Err(BadExpiry::Both));
        assert_eq!(expiration(None, None, NOW), Ok(None));
        assert_eq!(
            edited(Some(None), Some(Lifetime::Year), NOW),
            Err(BadExpiry::Both),
            "never is an answer too"
        );
        assert_eq!(Lifetime::Year.ends(Timestamp::MAX), Err(BadExpiry::TooFar));
    }
}
