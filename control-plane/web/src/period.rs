//! The time that a list or a chart is of, as people choose it: one of a few spans that end now, last month, or two
//! times of their own. It is in the page's address: `time`, or `from` and `to`.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _, Zoned};
use latchkey_api::problem::Problem;
use latchkey_api::usage::{LONGEST, UsageTime};
use latchkey_core::invalid::{FieldError, Invalid};
use serde::de::DeserializeOwned;

use crate::form::{Field, FormInput, HtmlForm};
use crate::frame::Visit;

/// What can be chosen in the field `time`, and its words.
const CHOICES: [(&str, &str); 7] = [
    ("1h", "Last hour"),
    ("24h", "Last 24 hours"),
    ("7d", "Last 7 days"),
    ("30d", "Last 30 days"),
    ("week", "This week"),
    ("month", "Last month"),
    (CUSTOM, "Custom"),
];
/// The choice of what is typed into `from` and `to`.
const CUSTOM: &str = "custom";
/// Up to this long, the logs are summed by hour.
const SHORT: SignedDuration = SignedDuration::from_hours(24);
/// Up to this long, by minute.
const SHORTEST: SignedDuration = SignedDuration::from_hours(1);

/// What is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chosen {
    /// Nothing: the page knows what that means.
    Nothing,
    Hours(i64),
    /// From Monday on.
    ThisWeek,
    LastMonth,
    Typed,
}

/// How long the time is that a bar of a chart stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day in UTC.
    Day,
}

/// The time of sums, as the API takes it, and how its charts are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsagePeriod {
    /// The first day, or the moment from which on.
    pub from: Option<UsageTime>,
    /// The last day, or the moment up to which.
    pub to: Option<UsageTime>,
    /// What a bar stands for.
    pub step: Step,
}

impl Step {
    /// What the API groups by for it.
    #[must_use]
    pub fn group(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// What a row of sums by it is of.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Minute => "Minute",
            Self::Hour => "Hour",
            Self::Day => "Day",
        }
    }

    /// The step of a chart of this time: of minutes or hours where it is short.
    #[must_use]
    pub fn of(from: Timestamp, to: Timestamp) -> Self {
        let length = to.duration_since(from);
        match length {
            _ if length <= SHORTEST => Self::Minute,
            _ if length <= SHORT => Self::Hour,
            _ => Self::Day,
        }
    }
}

/// The choices of the field `time`; `usual` is what nothing chosen means, where that is none of the others.
#[must_use]
pub fn choices(usual: &str) -> Vec<(&str, &str)> {
    let usual = Some(("", usual)).filter(|(_, words)| !words.is_empty());
    usual.into_iter().chain(CHOICES).collect()
}

/// The words of what is chosen; none where nothing is, or times were typed.
#[must_use]
pub fn words(asked: &FormInput) -> Option<&'static str> {
    let (_, words) = CHOICES.iter().find(|(word, _)| *word == asked.text("time") && *word != CUSTOM)?;
    Some(words)
}

/// What was asked of the time, for links that keep it.
pub fn kept(asked: &FormInput) -> impl Iterator<Item = (&'static str, &str)> {
    let asked = ["time", "from", "to"].into_iter().map(|name| (name, asked.text(name)));
    asked.filter(|(_, text)| !text.is_empty())
}

/// The form of a filter, in which typing a time has chosen it.
#[must_use]
pub fn chosen(form: HtmlForm) -> HtmlForm {
    let typed = !form.value("from").is_empty() || !form.value("to").is_empty();
    if typed && form.value("time").is_empty() { form.with("time", CUSTOM) } else { form }
}

/// What was asked, with the moments in `from` and `to` that are meant. Times that were typed are those of the viewer's
/// clock.
///
/// # Errors
/// What was chosen is no choice, what was typed is no time, or both say something.
pub fn with_moments(visit: &Visit, asked: &FormInput) -> Result<FormInput, Problem> {
    let (from, to) = moments(visit, asked)?;
    let text = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    Ok(asked.clone().with("from", text(from)).with("to", text(to)))
}

/// What was asked, with the moments that are meant, and as the API takes it.
///
/// # Errors
/// As [`with_moments`], and whatever else is wrong with these fields.
pub fn read<T: DeserializeOwned>(
    visit: &Visit,
    asked: &FormInput,
    fields: &[Field],
) -> Result<(FormInput, T), Problem> {
    match with_moments(visit, asked) {
        Ok(asked) => {
            let query = asked.read(fields)?;
            Ok((asked, query))
        }
        Err(mut problem) => {
            let others = asked.clone().with("from", "").with("to", "");
            problem.errors.extend(others.read::<T>(fields).err().into_iter().flat_map(|other| other.errors));
            Err(problem)
        }
    }
}

/// The moments that were asked for: from the first on, and before the second.
///
/// # Errors
/// As [`with_moments`].
pub fn moments(visit: &Visit, asked: &FormInput) -> Result<(Option<Timestamp>, Option<Timestamp>), Problem> {
    match chosen_of(asked).map_err(Problem::invalid)? {
        Chosen::Typed => {
            let mut wrong = Invalid::default();
            let mut moment = |field| {
                let typed = Some(asked.text(field)).filter(|text| !text.is_empty())?;
                wrong.check(field, visit.moment(typed))
            };
            let (from, to) = (moment("from"), moment("to"));
            wrong.into_result().map_err(Problem::invalid)?;
            // A gateway whose clock is ahead has told of what is to come.
            in_order(from, to)?;
            Ok((from, to))
        }
        chosen => Ok(span(chosen, &visit.now().to_zoned(visit.time_zone().clone()))),
    }
}

/// The time of sums that was asked for: of days in UTC, or of moments where it is short.
///
/// # Errors
/// As [`with_moments`].
pub fn usage(visit: &Visit, asked: &FormInput) -> Result<UsagePeriod, Problem> {
    let days = |from, to| UsagePeriod { from, to, step: Step::Day };
    let today = visit.now().to_zoned(TimeZone::UTC);
    match chosen_of(asked).map_err(Problem::invalid)? {
        Chosen::Nothing => Ok(days(None, None)),
        Chosen::Typed => {
            let day =
                |field| asked.text(field).parse::<Date>().ok().filter(|_| asked.text(field).len() == 10);
            let is_day = |field| asked.text(field).is_empty() || day(field).is_some();
            if is_day("from") && is_day("to") {
                let ends = day("to").unwrap_or(today.date());
                in_order(day("from"), Some(ends))?;
                return Ok(days(day("from").map(UsageTime::Day), day("to").map(UsageTime::Day)));
            }
            let (from, to) = moments(visit, asked)?;
            in_order(from, to.or(Some(visit.now())))?;
            Ok(of_moments(from, to, visit.now(), visit.time_zone()))
        }
        Chosen::Hours(hours) if SignedDuration::from_hours(hours) > SHORT => {
            let first = today.date().checked_sub((hours / 24 - 1).days()).ok();
            Ok(days(first.map(UsageTime::Day), None))
        }
        chosen @ Chosen::Hours(_) => {
            let (from, to) = span(chosen, &today);
            Ok(of_moments(from, to, visit.now(), visit.time_zone()))
        }
        // The days of the viewer's calendar, as lists have them, each summed in UTC.
        chosen => {
            let zone = visit.time_zone();
            let (from, to) = span(chosen, &visit.now().to_zoned(zone.clone()));
            let day = |at: Timestamp| UsageTime::Day(at.to_zoned(zone.clone()).date());
            Ok(days(from.map(day), to.map(before).map(day)))
        }
    }
}

/// The last moment of what ends before this one.
fn before(end: Timestamp) -> Timestamp {
    end.checked_sub(SignedDuration::from_millis(1)).unwrap_or(end)
}

/// # Errors
/// It ends before it begins.
fn in_order<T: PartialOrd>(from: Option<T>, to: Option<T>) -> Result<(), Problem> {
    match from.zip(to) {
        Some((from, to)) if from > to => {
            Err(Problem::invalid(FieldError::new("from", "must not be after the end").into()))
        }
        _ => Ok(()),
    }
}

/// Sums from one moment to before another: of whole days of this calendar, in UTC, where they are far apart.
fn of_moments(
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    now: Timestamp,
    zone: &TimeZone,
) -> UsagePeriod {
    let is_short = from.filter(|from| to.unwrap_or(now).duration_since(*from) <= LONGEST);
    if let Some(from) = is_short {
        // What ends now ends at this moment for all that is read, so that charts have the steps of their sums.
        let to = to.unwrap_or(now);
        let step = if Step::of(from, to) == Step::Minute { Step::Minute } else { Step::Hour };
        return UsagePeriod { from: Some(UsageTime::At(from)), to: Some(UsageTime::At(to)), step };
    }
    let day = |at: Timestamp| UsageTime::Day(at.to_zoned(zone.clone()).date());
    UsagePeriod { from: from.map(day), to: to.map(before).map(day), step: Step::Day }
}

/// Whether hours were typed of a time that is too long for them, so that whole days are summed.
#[must_use]
pub fn is_rounded(asked: &FormInput, summed_from: UsageTime) -> bool {
    let has_hours = |field| asked.text(field).contains('T');
    matches!(summed_from, UsageTime::Day(_)) && (has_hours("from") || has_hours("to"))
}

/// The type of an input that shows a time as it was typed.
#[must_use]
pub fn input_type(typed: &str) -> &'static str {
    match typed.len() {
        10 => "date",
        0 | 16 | 19 => "datetime-local",
        _ => "text",
    }
}

fn chosen_of(asked: &FormInput) -> Result<Chosen, Invalid> {
    let typed = ["from", "to"].into_iter().filter(|field| !asked.text(field).is_empty());
    let typed: Vec<_> = typed.collect();
    let chosen = match asked.text("time") {
        "" if typed.is_empty() => Chosen::Nothing,
        "" => Chosen::Typed,
        CUSTOM if typed.is_empty() => {
            let wrong = "enter a start or end time, or choose another option";
            return Err(FieldError::new("from", wrong).into());
        }
        CUSTOM => Chosen::Typed,
        "1h" => Chosen::Hours(1),
        "24h" => Chosen::Hours(24),
        "7d" => Chosen::Hours(7 * 24),
        "30d" => Chosen::Hours(30 * 24),
        "week" => Chosen::ThisWeek,
        "month" => Chosen::LastMonth,
        _ => return Err(FieldError::new("time", "is not a valid choice").into()),
    };
    if chosen != Chosen::Typed && !typed.is_empty() {
        let wrong = |field: &str| {
            let words = words(asked).unwrap_or_default();
            let message =
                format!("\u{201c}{words}\u{201d} is chosen: choose \u{201c}Custom\u{201d}, or clear this");
            FieldError::new(field, message)
        };
        return Err(Invalid(typed.into_iter().map(wrong).collect()));
    }
    Ok(chosen)
}

/// From when on, and before when, by this clock.
fn span(chosen: Chosen, now: &Zoned) -> (Option<Timestamp>, Option<Timestamp>) {
    let begin = |day: Date| Some(day.to_zoned(now.time_zone().clone()).ok()?.timestamp());
    match chosen {
        Chosen::Nothing | Chosen::Typed => (None, None),
        Chosen::Hours(hours) => (now.timestamp().checked_sub(SignedDuration::from_hours(hours)).ok(), None),
        Chosen::ThisWeek => {
            let since = i64::from(now.weekday().since(Weekday::Monday));
            (now.date().checked_sub(since.days()).ok().and_then(begin), None)
        }
        Chosen::LastMonth => {
            let this = now.date().first_of_month();
            (this.checked_sub(1.months()).ok().and_then(begin), begin(this))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&str, &str)]) -> FormInput {
        pairs.iter().fold(FormInput::default(), |asked, (name, value)| asked.with(name, *value))
    }

    fn moments(word: &str, now: &str) -> (String, String) {
        let chosen = chosen_of(&asked(&[("time", word)])).unwrap();
        let (from, to) = span(chosen, &now.parse().unwrap());
        let text = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
        (text(from), text(to))
    }

    #[test]
    fn spans_are_those_of_the_viewers_clock() {
        // A Sunday, when the clocks of Berlin have just gone back.
        let now = "2026-10-25T12:30:00[Europe/Berlin]";
        for (word, from, to) in [
            ("1h", "2026-10-25T10:30:00Z", ""),
            ("24h", "2026-10-24T11:30:00Z", ""),
            ("7d", "2026-10-18T11:30:00Z", ""),
            ("30d", "2026-09-25T11:30:00Z", ""),
            ("week", "2026-10-18T22:00:00Z", ""),
            ("month", "2026-08-31T22:00:00Z", "2026-09-30T22:00:00Z"),
        ] {
            assert_eq!(moments(word, now), (from.to_owned(), to.to_owned()), "{word}");
        }
        assert_eq!(
            moments("week", "2026-10-19T00:00:00[UTC]").0,
            "2026-10-19T00:00:00Z",
            "a Monday is its first"
        );
        let january = ("2025-12-01T00:00:00Z".to_owned(), "2026-01-01T00:00:00Z".to_owned());
        assert_eq!(moments("month", "2026-01-31T00:00:00[UTC]"), january);
        assert_eq!(CHOICES.iter().filter(|(word, _)| *word != CUSTOM).count(), 6, "each is above");
    }

    #[test]
    fn typing_a_time_chooses_it_and_contradicts_another() {
        let fields = |pairs| chosen_of(&asked(pairs)).map_err(|wrong| wrong.0[0].path.clone());
        assert_eq!(fields(&[]), Ok(Chosen::Nothing));
        assert_eq!(fields(&[("from", "2026-01-01")]), Ok(Chosen::Typed));
        assert_eq!(fields(&[("time", "custom"), ("to", "2026-01-01")]), Ok(Chosen::Typed));
        assert_eq!(fields(&[("time", "1h"), ("from", ""), ("to", " ")]), Ok(Chosen::Hours(1)));
        assert_eq!(fields(&[("time", "1h"), ("to", "2026-01-01")]), Err("to".to_owned()));
        assert_eq!(fields(&[("time", "custom")]), Err("from".to_owned()));
        assert_eq!(fields(&[("time", "2h")]), Err("time".to_owned()));
    }

    #[test]
    fn an_input_shows_what_was_typed() {
        for (typed, kind) in [
            ("", "datetime-local"),
            ("2026-01-01", "date"),
            ("2026-01-01T09:30", "datetime-local"),
            ("2026-01-01T09:30:00Z", "text"),
            ("yesterday", "text"),
        ] {
            assert_eq!(input_type(typed), kind, "{typed}");
        }
        let is_rounded = |from: &str| {
            let day = UsageTime::Day("2026-01-01".parse().unwrap());
            super::is_rounded(&asked(&[("from", from)]), day)
        };
        assert_eq!(["2026-01-01", "2026-01-01T09:30"].map(is_rounded), [false, true]);
    }

    #[test]
    fn a_time_ends_no_earlier_than_it_begins() {
        let wrong = |from, to| in_order(from, to).err().map(|wrong| wrong.errors[0].path.clone());
        assert_eq!(wrong(Some(3), Some(4)), None);
        assert_eq!(wrong(Some(4), Some(4)), None);
        assert_eq!(wrong(Some(4), Some(3)), Some("from".to_owned()));
        assert_eq!(wrong(None, Some(1)), None);
        assert_eq!(wrong(Some(6), None), None);
    }

    #[test]
    fn sums_are_of_days_unless_the_time_is_short() {
        let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        let now = "2026-01-31T12:30:00Z".parse().unwrap();
        let step = |from, to| of_moments(from, to, now, &TimeZone::UTC).step;
        assert_eq!(step(at("2026-01-31T11:30:00Z"), None), Step::Minute);
        assert_eq!(step(at("2026-01-31T11:29:00Z"), None), Step::Hour);
        assert_eq!(step(at("2026-01-30T12:30:00Z"), None), Step::Hour);
        assert_eq!(step(None, at("2026-01-30T12:30:00Z")), Step::Day);
        let hour = of_moments(at("2026-01-31T11:30:00Z"), None, now, &TimeZone::UTC);
        assert_eq!(
            hour.to,
            Some(UsageTime::At(now)),
            "a clock that goes on makes no other step of its chart"
        );
        assert_eq!(step(at("2026-01-29T12:30:00Z"), None), Step::Hour);
        assert_eq!(step(at("2026-01-29T12:29:59Z"), None), Step::Day);
        let days = of_moments(at("2026-01-01T00:00:00Z"), at("2026-01-31T00:00:00Z"), now, &TimeZone::UTC);
        let day = |text: &str| Some(UsageTime::Day(text.parse().unwrap()));
        assert_eq!((days.from, days.to, days.step), (day("2026-01-01"), day("2026-01-30"), Step::Day));
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let days = of_moments(at("2026-01-09T23:00:00Z"), at("2026-01-12T23:00:00Z"), now, &berlin);
        assert_eq!(
            (days.from, days.to),
            (day("2026-01-10"), day("2026-01-12")),
            "as the viewer's calendar has them"
        );
    }
}
