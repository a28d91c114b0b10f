//! When a budget begins anew.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Unit, ZonedRound};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How long a budget is for, by the calendar of its app's time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// Once and for all.
    Total,
    /// From midnight.
    Day,
    /// From Monday.
    Week,
    /// From the first.
    Month,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// What tells it from every other: when it began, plus 1 for a week and 2 for a month, since a day may
    /// begin with them; 0 for [`Period::Total`].
    pub id: i64,
    /// When it began, in Unix milliseconds; 0 for [`Period::Total`].
    pub start_ms: i64,
    /// When the next one begins; none for [`Period::Total`].
    pub end_ms: Option<i64>,
}

impl Period {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// The period that holds `now`. A moment at the end of time has none.
    #[must_use]
    pub fn at(self, now: Timestamp, zone: &TimeZone) -> Option<Span> {
        if self == Self::Total {
            return Some(Span { id: 0, start_ms: 0, end_ms: None });
        }
        let today = now
            .to_zoned(zone.clone())
            .round(ZonedRound::new().smallest(Unit::Day).mode(jiff::RoundMode::Floor))
            .ok()?;
        let back = match self {
            Self::Total | Self::Day => 0,
            Self::Week => i32::from(today.weekday().to_monday_zero_offset()),
            Self::Month => i32::from(today.day()).saturating_sub(1),
        };
        let length = match self {
            Self::Total | Self::Day => 1.day(),
            Self::Week => 1.week(),
            Self::Month => 1.month(),
        };
        // By dates, so that a day without a midnight still begins: at its first moment.
        let first = today.date().checked_sub(back.days()).ok()?;
        let start = zone.to_zoned(first.at(0, 0, 0, 0)).ok()?;
        let end = zone.to_zoned(first.checked_add(length).ok()?.at(0, 0, 0, 0)).ok()?;
        let ms = |at: jiff::Zoned| at.timestamp().as_millisecond();
        let start_ms = ms(start);
        let mark = match self {
            Self::Total | Self::Day => 0,
            Self::Week => 1,
            Self::Month => 2,
        };
        Some(Span { id: start_ms.saturating_add(mark), start_ms, end_ms: Some(ms(end)) })
    }
}

/// When the period with this id began, in Unix milliseconds. All begin with a whole second.
#[must_use]
pub fn start_ms(id: i64) -> i64 {
    id.saturating_sub(id.rem_euclid(1000))
}

/// The time zone of this IANA name.
///
/// # Errors
/// There is none.
pub fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name)
        .map_err(|_| format!("`{name}` is not a time zone: use an IANA name such as `America/New_York`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(period: Period, now: &str, zone: &str) -> (String, String) {
        let span = period.at(now.parse().unwrap(), &super::zone(zone).unwrap()).unwrap();
        let text = |ms| Timestamp::from_millisecond(ms).unwrap().to_string();
        (text(span.start_ms), text(span.end_ms.unwrap()))
    }

    #[test]
    fn periods_follow_the_calendar_of_the_zone() {
        let berlin = |period, now| span(period, now, "Europe/Berlin");
        assert_eq!(
            berlin(Period::Day, "2026-03-29T10:00:00Z"),
            ("2026-03-28T23:00:00Z".into(), "2026-03-29T22:00:00Z".into()),
            "a day of 23 hours"
        );
        assert_eq!(
            berlin(Period::Week, "2026-11-22T12:00:00Z"),
            ("2026-11-15T23:00:00Z".into(), "2026-11-22T23:00:00Z".into())
        );
        assert_eq!(
            berlin(Period::Month, "2026-10-31T23:30:00Z"),
            ("2026-10-31T23:00:00Z".into(), "2026-11-30T23:00:00Z".into())
        );
        assert_eq!(
            Period::Total.at(Timestamp::UNIX_EPOCH, &TimeZone::UTC),
            Some(Span { id: 0, start_ms: 0, end_ms: None })
        );
    }

    #[test]
    fn periods_that_begin_together_have_ids_of_their_own() {
        let monday = "2026-06-01T12:00:00Z".parse().unwrap();
        let spans =
            [Period::Day, Period::Week, Period::Month].map(|per| per.at(monday, &TimeZone::UTC).unwrap());
        let [day, week, month] = spans;
        assert_eq!((week.start_ms, month.start_ms), (day.start_ms, day.start_ms));
        assert_eq!(spans.map(|span| super::start_ms(span.id)), [day.start_ms; 3]);
        assert!(day.id != week.id && week.id != month.id && day.id != month.id);
    }

    #[test]
    fn a_day_without_a_midnight_begins_all_the_same() {
        // Beirut's clocks go from 0:00 to 1:00.
        let (start, end) = span(Period::Day, "2024-03-31T12:00:00Z", "Asia/Beirut");
        assert_eq!((start.as_str(), end.as_str()), ("2024-03-30T22:00:00Z", "2024-03-31T21:00:00Z"));
    }
}
