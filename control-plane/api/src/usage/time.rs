//! Days, which usage sums know, and moments, which only the logs know.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use latchkey_store::usage::{GroupBy, UsageSpan};
use serde::{Deserialize, Serialize};

use crate::pagination::{bad_query, in_order};
use crate::problem::Problem;

/// The longest time that is summed from the logs: each of them is read.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(48);
/// Where no beginning is asked for.
const USUAL: SignedDuration = SignedDuration::from_hours(24);
const SECONDS_OF_A_DAY: i64 = 86_400;

/// A day in UTC, as in `2026-01-31`, or a moment, as in `2026-01-31T09:00:00Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", untagged)]
pub enum UsageTime {
    /// A whole day.
    Day(Date),
    /// A moment of one.
    At(Timestamp),
}

impl TryFrom<String> for UsageTime {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let moment = || text.parse().map(Self::At);
        let read = match text.len() {
            10 => text.parse().map(Self::Day),
            _ => moment(),
        };
        read.map_err(|_| "must be a day such as 2026-01-31, or a moment such as 2026-01-31T09:00:00Z")
    }
}

impl UsageTime {
    /// The moment; of a day its beginning in UTC, or the first that a clock can show.
    #[must_use]
    pub fn moment(self) -> Timestamp {
        self.begins().unwrap_or(Timestamp::MIN)
    }

    /// When it begins.
    fn begins(self) -> Result<Timestamp, Problem> {
        match self {
            Self::Day(day) => midnight(day),
            Self::At(at) => Ok(at),
        }
    }

    /// When it is over.
    fn ends(self) -> Result<Timestamp, Problem> {
        match self {
            Self::Day(day) => midnight(day.tomorrow().map_err(|_| out_of_range())?),
            Self::At(at) => Ok(at),
        }
    }

    fn is_moment(self) -> bool {
        matches!(self, Self::At(_))
    }
}

/// The first and the last of what is asked for, and what sums are made of.
///
/// # Errors
/// It ends before it begins, or is longer than the logs are summed.
pub(super) fn read(
    from: Option<UsageTime>,
    to: Option<UsageTime>,
    groups: &[GroupBy],
    now: Timestamp,
) -> Result<(UsageTime, UsageTime, UsageSpan), Problem> {
    let by_logs = groups.iter().any(|group| matches!(group, GroupBy::Hour | GroupBy::Minute));
    if by_logs || [from, to].into_iter().flatten().any(UsageTime::is_moment) {
        let to = to.map_or(Ok(now), UsageTime::ends)?;
        let usual = || to.checked_sub(USUAL).map_err(|_| out_of_range());
        let from = from.map_or_else(usual, UsageTime::begins)?;
        in_order(Some(from), Some(to))?;
        if to.duration_since(from) > LONGEST {
            return Err(bad_query(
                "spans that are not whole days are limited to 48 hours: use whole days or a shorter span",
            ));
        }
        return Ok((UsageTime::At(from), UsageTime::At(to), UsageSpan::Moments { from, to }));
    }
    let day = |time| match time {
        UsageTime::Day(day) => day,
        UsageTime::At(at) => at.to_zoned(TimeZone::UTC).date(),
    };
    let to = to.map_or_else(|| now.to_zoned(TimeZone::UTC).date(), day);
    let from = from.map(day).or_else(|| to.checked_sub(29.days()).ok()).unwrap_or(to);
    in_order(Some(from), Some(to))?;
    let span = UsageSpan::Days { from: number(from)?, to: number(to)? };
    Ok((UsageTime::Day(from), UsageTime::Day(to), span))
}

/// The day of this number, in days since 1970.
pub(super) fn date(day: i64) -> Option<Date> {
    let midnight = Timestamp::from_second(day.checked_mul(SECONDS_OF_A_DAY)?).ok()?;
    Some(midnight.to_zoned(TimeZone::UTC).date())
}

/// Days since 1970.
fn number(date: Date) -> Result<i64, Problem> {
    Ok(midnight(date)?.as_second().div_euclid(SECONDS_OF_A_DAY))
}

fn midnight(date: Date) -> Result<Timestamp, Problem> {
    Ok(date.to_zoned(TimeZone::UTC).map_err(|_| out_of_range())?.timestamp())
}

fn out_of_range() -> Problem {
    bad_query("`from` or `to` is out of range")
}
