//! Charts: bars as inline SVG, and a table behind them for those who would rather read.

use std::fmt::Display;

use askama::Template;
use askama::filters::HtmlSafe;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use latchkey_api::usage::{UsageItem, UsageSums, UsageTime, UsageView};

use crate::period::Step;

/// How high the tallest bar is; bars are as wide as a step less its gap.
const HEIGHT: u64 = 1000;
/// What a bar is at least, so that little is not taken for nothing.
const LEAST: u64 = 15;
const STEP: usize = 10;
/// How many bars of days there are; of a longer time, each is of several days.
const MOST_DAYS: usize = 62;

/// Bars beside each other, under a title. In a template it writes itself: `{{ chart }}`.
#[derive(Clone, Debug, Template)]
#[template(path = "chart.html")]
pub struct Chart {
    title: String,
    bars: Vec<Bar>,
    peak: u64,
    /// Whether high bars are bad news.
    bad: bool,
}

/// A bar, and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    /// What it is of: a day, a name.
    pub label: String,
    pub value: u64,
    /// The value as people read it: `$1.20`.
    pub shown: String,
}

/// Where a bar is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BarPosition {
    x: usize,
    y: u64,
    height: u64,
}

// The template escapes what it is given.
impl HtmlSafe for Chart {}

impl Chart {
    #[must_use]
    pub fn new(title: impl Into<String>, bars: Vec<Bar>) -> Self {
        let peak = bars.iter().map(|bar| bar.value).max().unwrap_or_default();
        Self { title: title.into(), bars, peak, bad: false }
    }

    /// The same of what should be low.
    #[must_use]
    pub fn bad(self) -> Self {
        Self { bad: true, ..self }
    }

    /// One bar for each day of a usage that is grouped by day, with those on which nothing was used; of a time between
    /// moments, one for each hour or minute.
    #[must_use]
    pub fn by_time(
        title: impl Into<String>,
        usage: &UsageView,
        zone: &TimeZone,
        value: impl Fn(&UsageSums) -> u64,
        shown: impl Fn(u64) -> String,
    ) -> Self {
        let sum = |of: &dyn Fn(&UsageItem) -> bool| {
            let items = usage.items.iter().filter(|item| of(item));
            items.map(|item| value(&item.sums)).fold(0, u64::saturating_add)
        };
        match (usage.from, usage.to) {
            (UsageTime::Day(from), UsageTime::Day(to)) => {
                Self::of_days(title, (from, to), |day| sum(&|item| item.day == Some(*day)), shown)
            }
            (from, to) => {
                let (from, to) = (from.moment(), to.moment());
                let seconds = if Step::of(from, to) == Step::Minute { 60 } else { 3600 };
                Self::of_steps(
                    title,
                    (from, to),
                    seconds,
                    zone,
                    |at| sum(&|item| item.began_at == Some(at)),
                    shown,
                )
            }
        }
    }

    /// One bar for each hour from the first to the last.
    #[must_use]
    pub fn of_hours(
        title: impl Into<String>,
        span: (Timestamp, Timestamp),
        zone: &TimeZone,
        of: impl Fn(Timestamp) -> u64,
        shown: impl Fn(u64) -> String,
    ) -> Self {
        Self::of_steps(title, span, 3600, zone, of, shown)
    }

    /// One bar for each step of so many seconds.
    fn of_steps(
        title: impl Into<String>,
        (from, to): (Timestamp, Timestamp),
        seconds: i64,
        zone: &TimeZone,
        of: impl Fn(Timestamp) -> u64,
        shown: impl Fn(u64) -> String,
    ) -> Self {
        let first = from.as_second().div_euclid(seconds);
        // What ends with a step has none after it.
        let last = to.as_second().div_euclid(seconds) - i64::from(to.as_second().rem_euclid(seconds) == 0);
        let bar = |number: i64| {
            let at = Timestamp::from_second(number.saturating_mul(seconds)).ok()?;
            let value = of(at);
            let label = at.to_zoned(zone.clone()).strftime("%b %-d, %H:%M").to_string();
            Some(Bar { label, value, shown: shown(value) })
        };
        Self::new(title, (first..=last.max(first)).filter_map(bar).collect())
    }

    /// One bar for each day from the first to the last.
    #[must_use]
    pub fn of_days(
        title: impl Into<String>,
        (from, to): (Date, Date),
        of: impl Fn(&Date) -> u64,
        shown: impl Fn(u64) -> String,
    ) -> Self {
        let days = from.series(jiff::Span::new().days(1)).take_while(|day| *day <= to);
        let days: Vec<Date> = days.collect();
        let bar = |days: &[Date]| {
            let value = days.iter().map(&of).fold(0, u64::saturating_add);
            let word = |day: &Date| day.strftime("%b %-d, %Y").to_string();
            let label = match days {
                [first, .., last] => format!("{} to {}", word(first), word(last)),
                _ => days.iter().map(word).collect(),
            };
            Bar { label, value, shown: shown(value) }
        };
        let together = days.len().div_ceil(MOST_DAYS).max(1);
        Self::new(title, days.chunks(together).map(bar).collect())
    }

    fn width(&self) -> usize {
        self.bars.len().saturating_mul(STEP)
    }

    /// The bars, and where each is.
    fn drawn(&self) -> impl Iterator<Item = (BarPosition, &Bar)> {
        self.bars.iter().enumerate().map(|(index, bar)| {
            let share = u128::from(bar.value) * u128::from(HEIGHT) / u128::from(self.peak.max(1));
            let least = if bar.value == 0 { 0 } else { LEAST };
            let height = u64::try_from(share).unwrap_or(HEIGHT).max(least);
            (BarPosition { x: index * STEP + 1, y: HEIGHT - height, height }, bar)
        })
    }

    fn first(&self) -> Option<&impl Display> {
        self.bars.first().map(|bar| &bar.label)
    }

    fn last(&self) -> Option<&impl Display> {
        self.bars.last().filter(|_| self.bars.len() > 1).map(|bar| &bar.label)
    }

    fn highest(&self) -> Option<&Bar> {
        self.bars.iter().find(|bar| bar.value == self.peak && bar.value > 0)
    }
}

#[cfg(test)]
mod tests {
    use scraper::{Html, Selector};

    use super::*;

    fn bar(label: &str, value: u64) -> Bar {
        Bar { label: label.to_owned(), value, shown: format!("{value} tokens") }
    }

    fn attributes(chart: &Chart, name: &str) -> Vec<String> {
        let html = Html::parse_fragment(&chart.to_string());
        let bars = Selector::parse("rect.bar").unwrap();
        html.select(&bars).filter_map(|bar| bar.value().attr(name)).map(str::to_owned).collect()
    }

    #[test]
    fn bars_are_as_high_as_their_share_of_the_highest() {
        let chart = Chart::new("Tokens", vec![bar("a", 50), bar("b", 0), bar("c", 200), bar("d", 1)]);
        assert_eq!(attributes(&chart, "height"), ["250", "0", "1000", "15"]);
        assert_eq!(attributes(&chart, "y"), ["750", "1000", "0", "985"]);
        assert_eq!(attributes(&chart, "x"), ["1", "11", "21", "31"]);
    }

    #[test]
    fn nothing_at_all_is_a_chart_without_height() {
        assert_eq!(attributes(&Chart::new("Tokens", vec![bar("a", 0)]), "height"), ["0"]);
        assert!(attributes(&Chart::new("Tokens", Vec::new()), "height").is_empty());
    }

    #[test]
    fn the_table_behind_says_the_same_and_labels_are_escaped() {
        let text = Chart::new("Cost", vec![bar("<b>", 5), bar("gpt", u64::MAX)]).to_string();
        let html = Html::parse_fragment(&text);
        let cells = Selector::parse("details td, details tbody th").unwrap();
        let cells: Vec<String> = html.select(&cells).map(|cell| cell.text().collect()).collect();
        assert_eq!(cells, ["<b>", "5 tokens", "gpt", "18446744073709551615 tokens"]);
        assert!(!text.contains("<b>"));
    }

    fn sums(requests: u64) -> UsageSums {
        UsageSums {
            requests,
            denied: 0,
            input_tokens: 0,
            cached_input_tokens: 0,
            output_tokens: 0,
            reasoning_tokens: 0,
            cost: latchkey_core::money::NanoUsd(0),
        }
    }

    fn bars(from: &str, to: &str, items: &[(&str, u64)]) -> Vec<(String, u64)> {
        let day = |text: &str| text.parse::<Date>().unwrap();
        let item = |(at, requests): &(&str, u64)| latchkey_api::usage::UsageItem {
            day: Some(day(at)),
            began_at: None,
            app_id: None,
            app_name: None,
            user_id: None,
            user_name: None,
            key_id: None,
            key_name: None,
            model: None,
            provider: None,
            sums: sums(*requests),
        };
        let usage = UsageView {
            from: UsageTime::Day(day(from)),
            to: UsageTime::Day(day(to)),
            items: items.iter().map(item).collect(),
            truncated: false,
            totals: sums(0),
        };
        let chart = Chart::by_time(
            "Requests",
            &usage,
            &TimeZone::UTC,
            |sums| sums.requests,
            |value| value.to_string(),
        );
        chart.bars.into_iter().map(|bar| (bar.label, bar.value)).collect()
    }

    #[test]
    fn every_day_has_its_bar() {
        let shown = bars("2026-10-31", "2026-11-02", &[("2026-11-02", 4), ("2026-10-31", 2)]);
        let expected = [("Oct 31, 2026", 2), ("Nov 1, 2026", 0), ("Nov 2, 2026", 4)];
        assert_eq!(shown, expected.map(|(label, value)| (label.to_owned(), value)));
    }

    #[test]
    fn a_short_time_has_bars_of_hours_or_minutes() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let shown = |from: &str, to: &str, seconds, used: &str| {
            let at = |text: &str| text.parse::<Timestamp>().unwrap();
            let of = |time| if time == at(used) { 3 } else { 0 };
            let chart = Chart::of_steps("Requests", (at(from), at(to)), seconds, &zone, of, |value| {
                value.to_string()
            });
            let bars: Vec<_> = chart.bars.into_iter().map(|bar| (bar.label, bar.value)).collect();
            let used: Vec<_> = bars.iter().filter(|(_, value)| *value > 0).cloned().collect();
            (bars.len(), bars[0].0.clone(), bars[bars.len() - 1].0.clone(), used)
        };
        let text = str::to_owned;
        let hours = shown("2026-01-30T12:30:00Z", "2026-01-31T12:30:00Z", 3600, "2026-01-31T12:00:00Z");
        assert_eq!(
            hours,
            (25, text("Jan 30, 13:00"), text("Jan 31, 13:00"), vec![(text("Jan 31, 13:00"), 3)])
        );
        let minutes = shown("2026-01-31T11:00:00Z", "2026-01-31T12:00:00Z", 60, "2026-01-31T11:59:00Z");
        assert_eq!(
            minutes,
            (60, text("Jan 31, 12:00"), text("Jan 31, 12:59"), vec![(text("Jan 31, 12:59"), 3)])
        );
        assert_eq!(shown("2026-01-31T11:00:00Z", "2026-01-31T11:00:00Z", 60, "2026-01-31T11:00:00Z").0, 1);
    }

    #[test]
    fn a_long_time_has_bars_of_several_days() {
        let shown =
            bars("2026-01-01", "2026-12-31", &[("2026-01-01", 1), ("2026-01-06", 2), ("2026-12-31", 4)]);
        assert_eq!(shown.len(), 61);
        assert_eq!(shown[0], ("Jan 1, 2026 to Jan 6, 2026".to_owned(), 3));
        assert_eq!(shown[60], ("Dec 27, 2026 to Dec 31, 2026".to_owned(), 4));
    }
}
