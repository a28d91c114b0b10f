//! Charts: bars as inline SVG with an axis, and a table behind them for those who would rather read.

use std::fmt::{Display, Write as _};

use askama::Template;
use askama::filters::HtmlSafe;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use latchkey_api::usage::{UsagePartItem, UsageSums, UsageTime, UsageView};
use latchkey_core::money::NanoUsd;

use crate::format;
use crate::period::Step;

/// How high a chart is; bars are as wide as a step less its gap.
const HEIGHT: u64 = 1000;
/// What a bar is at least, so that little is not taken for nothing.
const LEAST: u64 = 15;
/// The same of a part of a bar.
const LEAST_PART: u64 = 6;
const STEP: usize = 10;
/// How many bars there are; of a longer time, each is of several days.
const MOST_BARS: usize = 62;
/// The same where bars have parts, whose table has a column for each.
const MOST_STACKED: usize = 31;
/// The most spaces between lines of the axis.
const MOST_LINES: u64 = 4;

/// Bars beside each other, under a title. In a template it writes itself: `{{ chart }}`.
#[derive(Clone, Debug, Template)]
#[template(path = "chart.html")]
pub struct Chart {
    title: String,
    steps: TimeSteps,
    unit: ChartUnit,
    /// The sum of each bar.
    values: Vec<u64>,
    /// What bars are made of, from below; none where they have no parts.
    parts: Vec<ChartPart>,
    /// Whether a request can be in several parts, so that bars are higher than all there was.
    overlaps: bool,
    /// Whether high bars are bad news.
    bad: bool,
}

/// What a chart counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChartUnit {
    /// Things with this name: `request`.
    Of(&'static str),
    /// Nano-USD.
    Money,
}

/// A part of every bar.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ChartPart {
    name: String,
    /// The class that colors it.
    class: String,
    values: Vec<u64>,
}

/// The bars of a time, each of which is of some days, or of the time from a moment on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeSteps {
    /// What a bar is of: `day`, `2 hours`.
    per: String,
    bars: Vec<TimeStep>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct TimeStep {
    label: String,
    /// The days, or the moments at which its hours or minutes begin.
    of: Vec<StepTime>,
}

/// A day in UTC, or the beginning of an hour or a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepTime {
    Day(Date),
    At(Timestamp),
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

impl StepTime {
    /// Of sums: their day, or when their hour or minute began.
    #[must_use]
    pub fn of(day: Option<Date>, began_at: Option<Timestamp>) -> Option<Self> {
        day.map(Self::Day).or(began_at.map(Self::At))
    }
}

impl ChartUnit {
    /// As people read it: `$1.20`, `2 requests`.
    fn shown(self, value: u64) -> String {
        match self {
            Self::Of(one) => format::plural(value, one),
            Self::Money => format::usd(NanoUsd(value)),
        }
    }

    /// The same on an axis and in a table, whose title says of what.
    fn number(self, value: u64) -> String {
        match self {
            Self::Of(_) => format::short(value),
            Self::Money => format::usd(NanoUsd(value)),
        }
    }

    /// A round number of the axis, exactly.
    fn tick(self, value: u64) -> String {
        match self {
            Self::Of(_) => format::short(value).replace(".0M", "M").replace(".0B", "B"),
            Self::Money => format::price(&NanoUsd(value)).trim_end_matches(".00").to_owned(),
        }
    }
}

impl TimeSteps {
    /// Those of sums of days, or of hours or minutes between moments: `most` at most.
    fn of(from: UsageTime, to: UsageTime, zone: &TimeZone, most: usize) -> Self {
        match (from, to) {
            (UsageTime::Day(from), UsageTime::Day(to)) => Self::days(from, to, most),
            (from, to) => {
                let (from, to) = (from.moment(), to.moment());
                let seconds = if Step::of(from, to) == Step::Minute { 60 } else { 3600 };
                Self::parts_of_days((from, to), seconds, zone, most)
            }
        }
    }

    /// Each day from the first to the last.
    fn days(from: Date, to: Date, most: usize) -> Self {
        let days = from.series(jiff::Span::new().days(1)).take_while(|day| *day <= to);
        let days = days.map(|day| (day.strftime("%b %-d, %Y").to_string(), StepTime::Day(day)));
        Self::together("day", days.collect(), most)
    }

    /// Each step of so many seconds, which are an hour or a minute.
    fn parts_of_days((from, to): (Timestamp, Timestamp), seconds: i64, zone: &TimeZone, most: usize) -> Self {
        let first = from.as_second().div_euclid(seconds);
        // What ends with a step has none after it.
        let last = to.as_second().div_euclid(seconds) - i64::from(to.as_second().rem_euclid(seconds) == 0);
        let step = |number: i64| {
            let at = Timestamp::from_second(number.saturating_mul(seconds)).ok()?;
            Some((at.to_zoned(zone.clone()).strftime("%b %-d, %H:%M").to_string(), StepTime::At(at)))
        };
        let steps = (first..=last.max(first)).filter_map(step).collect();
        Self::together(if seconds == 60 { "minute" } else { "hour" }, steps, most)
    }

    /// Several in one, where there are too many.
    fn together(one: &str, steps: Vec<(String, StepTime)>, most: usize) -> Self {
        let together = steps.len().div_ceil(most).max(1);
        let per = if together == 1 { one.to_owned() } else { format::plural(together, one) };
        let bar = |steps: &[(String, StepTime)]| TimeStep {
            label: match steps {
                [(first, _), .., (last, _)] => format!("{first} to {last}"),
                steps => steps.iter().map(|(label, _)| label.as_str()).collect(),
            },
            of: steps.iter().map(|(_, time)| *time).collect(),
        };
        Self { per, bars: steps.chunks(together).map(bar).collect() }
    }

    /// What these times add up to in each bar.
    fn sums(&self, values: &[(StepTime, u64)]) -> Vec<u64> {
        let sum = |bar: &TimeStep| {
            let values = values.iter().filter(|(time, _)| bar.of.contains(time));
            values.map(|(_, value)| *value).fold(0, u64::saturating_add)
        };
        self.bars.iter().map(sum).collect()
    }

    /// What a row of the table is of.
    fn head(&self) -> String {
        let mut letters = self.per.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect()
    }
}

impl Chart {
    fn new(title: impl Into<String>, unit: ChartUnit, steps: TimeSteps, values: &[(StepTime, u64)]) -> Self {
        let values = steps.sums(values);
        Self { title: title.into(), steps, unit, values, parts: Vec::new(), overlaps: false, bad: false }
    }

    /// The same of what should be low.
    #[must_use]
    pub fn bad(self) -> Self {
        Self { bad: true, ..self }
    }

    /// The same, where a request can be in several parts: what parts add up to is not told.
    #[must_use]
    pub fn overlapping(self, overlaps: bool) -> Self {
        Self { overlaps, ..self }
    }

    /// One bar for each day of a usage that is grouped by day, with those on which nothing was used; of a time between
    /// moments, one for each hour or minute.
    #[must_use]
    pub fn by_time(
        title: impl Into<String>,
        unit: ChartUnit,
        usage: &UsageView,
        zone: &TimeZone,
        value: impl Fn(&UsageSums) -> u64,
    ) -> Self {
        let items = usage.items.iter();
        let values =
            items.filter_map(|item| Some((StepTime::of(item.day, item.began_at)?, value(&item.sums))));
        let steps = TimeSteps::of(usage.from, usage.to, zone, MOST_BARS);
        Self::new(title, unit, steps, &values.collect::<Vec<_>>())
    }

    /// The same, whose bars have these parts, and one more for the rest if there is any.
    #[must_use]
    pub fn stacked(
        title: impl Into<String>,
        unit: ChartUnit,
        (from, to, items): (UsageTime, UsageTime, &[UsagePartItem]),
        names: &[String],
        zone: &TimeZone,
        value: impl Fn(&UsageSums) -> u64,
    ) -> Self {
        let steps = TimeSteps::of(from, to, zone, MOST_STACKED);
        let of = |part: usize| {
            let items = items.iter().filter(move |item| item.part == part);
            let values =
                items.filter_map(|item| Some((StepTime::of(item.day, item.began_at)?, value(&item.sums))));
            steps.sums(&values.collect::<Vec<_>>())
        };
        let rest = ChartPart { name: "Other".to_owned(), class: "other".to_owned(), values: of(names.len()) };
        let named = names.iter().enumerate();
        let named = named.map(|(part, name)| ChartPart {
            name: name.clone(),
            class: format!("p{part}"),
            values: of(part),
        });
        let parts: Vec<_> = named.chain(Some(rest).filter(|rest| rest.sum() > 0)).collect();
        let sum = |bar| {
            parts
                .iter()
                .filter_map(|part| part.values.get(bar))
                .fold(0, |sum: u64, value| sum.saturating_add(*value))
        };
        let values = (0..steps.bars.len()).map(sum).collect();
        Self { title: title.into(), steps, unit, values, parts, overlaps: false, bad: false }
    }

    /// One bar for each hour from the first to the last.
    #[must_use]
    pub fn of_hours(
        title: impl Into<String>,
        unit: ChartUnit,
        span: (Timestamp, Timestamp),
        zone: &TimeZone,
        values: &[(StepTime, u64)],
    ) -> Self {
        Self::new(title, unit, TimeSteps::parts_of_days(span, 3600, zone, MOST_BARS), values)
    }

    /// One bar for each day from the first to the last.
    #[must_use]
    pub fn of_days(
        title: impl Into<String>,
        unit: ChartUnit,
        (from, to): (Date, Date),
        values: &[(StepTime, u64)],
    ) -> Self {
        Self::new(title, unit, TimeSteps::days(from, to, MOST_BARS), values)
    }

    fn width(&self) -> usize {
        self.values.len().saturating_mul(STEP)
    }

    fn peak(&self) -> u64 {
        self.values.iter().copied().max().unwrap_or_default()
    }

    /// The values of the axis, from the top down to 0: steps of 1, 2 or 5 with as many zeros as it takes.
    fn ticks(&self) -> Vec<u64> {
        let peak = self.peak();
        let mut steps = (0..20_u32)
            .flat_map(|zeros| [1, 2, 5].map(|digit| 10_u64.saturating_pow(zeros).saturating_mul(digit)));
        let step = steps.find(|step| step.saturating_mul(MOST_LINES) >= peak).unwrap_or(u64::MAX);
        let lines = peak.div_ceil(step).max(1);
        (0..=lines).rev().map(|line| line.saturating_mul(step)).collect()
    }

    /// The same as they are written.
    fn tick_labels(&self) -> Vec<String> {
        self.ticks().into_iter().map(|tick| self.unit.tick(tick)).collect()
    }

    /// The lines of the axis, as a path.
    fn lines(&self) -> String {
        let ticks = self.ticks();
        let spaces = u64::try_from(ticks.len().saturating_sub(1)).unwrap_or(1).max(1);
        let mut path = String::new();
        for line in 0..spaces {
            // Writing into a string does not fail.
            let _ = write!(path, "M0 {}H{}", line * HEIGHT / spaces, self.width());
        }
        path
    }

    /// How high something is drawn.
    fn height(&self, value: u64, least: u64) -> u64 {
        let top = self.ticks().first().copied().unwrap_or(1).max(1);
        let share = u128::from(value) * u128::from(HEIGHT) / u128::from(top);
        let least = if value == 0 { 0 } else { least };
        u64::try_from(share).unwrap_or(HEIGHT).max(least)
    }

    /// The bars, and where each is.
    fn drawn(&self) -> impl Iterator<Item = (BarPosition, &str, String)> {
        self.values.iter().zip(&self.steps.bars).enumerate().map(|(index, (value, step))| {
            let height = self.height(*value, LEAST);
            let place = BarPosition { x: index * STEP + 1, y: HEIGHT.saturating_sub(height), height };
            (place, step.label.as_str(), self.unit.shown(*value))
        })
    }

    /// The parts: their bars as a path, and their sums.
    fn drawn_parts(&self) -> Vec<(&ChartPart, String, String)> {
        let mut below = vec![0_u64; self.values.len()];
        let draw = |part: &ChartPart| {
            let mut path = String::new();
            for (index, (value, below)) in part.values.iter().zip(&mut below).enumerate() {
                let height = self.height(*value, LEAST_PART);
                if height > 0 {
                    *below += height;
                    let (x, y) = (index * STEP + 1, HEIGHT.saturating_sub(*below));
                    // Writing into a string does not fail.
                    let _ = write!(path, "M{x} {y}h8v{height}h-8z");
                }
            }
            path
        };
        let paths: Vec<_> = self.parts.iter().map(draw).collect();
        let parts = self.parts.iter().zip(paths);
        parts.map(|(part, path)| (part, path, self.unit.shown(part.sum()))).collect()
    }

    /// The rows of the table: what each is of, the parts, and their sum.
    fn rows(&self) -> impl Iterator<Item = (&str, Vec<String>, String)> {
        self.values.iter().zip(&self.steps.bars).enumerate().map(|(index, (value, step))| {
            let parts = self.parts.iter().filter_map(|part| part.values.get(index));
            let parts = parts.map(|value| if *value == 0 { String::new() } else { self.unit.number(*value) });
            let sum = if self.parts.is_empty() { self.unit.shown(*value) } else { self.unit.number(*value) };
            (step.label.as_str(), parts.collect(), sum)
        })
    }

    fn first(&self) -> Option<&impl Display> {
        self.steps.bars.first().map(|bar| &bar.label)
    }

    fn last(&self) -> Option<&impl Display> {
        self.steps.bars.last().filter(|_| self.steps.bars.len() > 1).map(|bar| &bar.label)
    }

    /// The highest bar: what it is, and of what.
    fn highest(&self) -> Option<(String, &str)> {
        let peak = Some(self.peak()).filter(|_| !self.overlaps)?;
        let index = self.values.iter().position(|value| *value == peak && peak > 0)?;
        Some((self.unit.shown(peak), self.steps.bars.get(index)?.label.as_str()))
    }
}

impl ChartPart {
    fn sum(&self) -> u64 {
        self.values.iter().copied().fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use latchkey_api::usage::UsageItem;
    use scraper::{Html, Selector};

    use super::*;

    fn chart(unit: ChartUnit, values: &[(&str, u64)]) -> Chart {
        let day = jiff::civil::date(2026, 1, 1);
        let bars = values
            .iter()
            .map(|(label, _)| TimeStep { label: (*label).to_owned(), of: vec![StepTime::Day(day)] });
        let steps = TimeSteps { per: "day".to_owned(), bars: bars.collect() };
        let values = values.iter().map(|(_, value)| *value).collect();
        Chart {
            title: "Tokens".to_owned(),
            steps,
            unit,
            values,
            parts: Vec::new(),
            overlaps: false,
            bad: false,
        }
    }

    fn texts(chart: &Chart, selector: &str) -> Vec<String> {
        let html = Html::parse_fragment(&chart.to_string());
        let found = Selector::parse(selector).unwrap();
        html.select(&found).map(|cell| cell.text().collect::<String>().trim().to_owned()).collect()
    }

    fn attributes(chart: &Chart, selector: &str, name: &str) -> Vec<String> {
        let html = Html::parse_fragment(&chart.to_string());
        let bars = Selector::parse(selector).unwrap();
        html.select(&bars).filter_map(|bar| bar.value().attr(name)).map(str::to_owned).collect()
    }

    const TOKENS: ChartUnit = ChartUnit::Of("token");

    #[test]
    fn bars_are_as_high_as_their_share_of_the_axis() {
        let chart = chart(TOKENS, &[("a", 50), ("b", 0), ("c", 200), ("d", 1)]);
        assert_eq!(texts(&chart, ".scale span"), ["200", "150", "100", "50", "0"]);
        assert_eq!(attributes(&chart, "rect.bar", "height"), ["250", "0", "1000", "15"]);
        assert_eq!(attributes(&chart, "rect.bar", "y"), ["750", "1000", "0", "985"]);
        assert_eq!(attributes(&chart, "rect.bar", "x"), ["1", "11", "21", "31"]);
    }

    #[test]
    fn nothing_at_all_is_a_chart_without_height() {
        assert_eq!(attributes(&chart(TOKENS, &[("a", 0)]), "rect.bar", "height"), ["0"]);
        assert!(attributes(&chart(TOKENS, &[]), "rect.bar", "height").is_empty());
    }

    #[test]
    fn an_axis_has_round_numbers() {
        let ticks = |unit, peak| chart(unit, &[("a", peak)]).tick_labels().join(" ");
        assert_eq!(ticks(TOKENS, 0), "1 0");
        assert_eq!(ticks(TOKENS, 7), "8 6 4 2 0");
        assert_eq!(ticks(TOKENS, 8_100_000), "10M 5M 0");
        assert_eq!(ticks(ChartUnit::Money, 12_400_000_000), "$15 $10 $5 $0");
        assert_eq!(ticks(ChartUnit::Money, 1_300_000_000), "$1.50 $1 $0.50 $0");
        assert_eq!(ticks(ChartUnit::Money, 18_000_000), "$0.02 $0.015 $0.01 $0.005 $0");
    }

    #[test]
    fn an_axis_holds_its_peak_and_wastes_less_than_half() {
        let peaks = (0..19_u32).flat_map(|zeros| {
            (1..100).map(move |digits| 10_u64.saturating_pow(zeros).saturating_mul(digits) / 7 + 1)
        });
        for peak in peaks.chain([u64::MAX]) {
            let ticks = chart(TOKENS, &[("a", peak)]).ticks();
            assert!(ticks[0] >= peak && ticks[0] / 2 <= peak, "{peak}: {ticks:?}");
            assert!((2..=5).contains(&ticks.len()) && ticks[ticks.len() - 1] == 0, "{peak}: {ticks:?}");
        }
    }

    #[test]
    fn the_table_behind_says_the_same_and_labels_are_escaped() {
        let chart = chart(TOKENS, &[("<b>", 5), ("gpt", u64::MAX)]);
        let cells = texts(&chart, "details td, details tbody th");
        assert_eq!(cells, ["<b>", "5 tokens", "gpt", "18,446,744,073,709,551,615 tokens"]);
        assert!(!chart.to_string().contains("<b>"));
    }

    fn sums(requests: u64) -> UsageSums {
        UsageSums { requests, ..UsageSums::default() }
    }

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn bars(from: &str, to: &str, items: &[(&str, u64)]) -> (String, Vec<(String, u64)>) {
        let item = |(at, requests): &(&str, u64)| UsageItem {
            day: Some(day(at)),
            sums: sums(*requests),
            ..UsageItem::default()
        };
        let usage = UsageView {
            from: UsageTime::Day(day(from)),
            to: UsageTime::Day(day(to)),
            items: items.iter().map(item).collect(),
            truncated: false,
            totals: sums(0),
        };
        let chart = Chart::by_time("Requests", ChartUnit::Of("request"), &usage, &TimeZone::UTC, |sums| {
            sums.requests
        });
        let bars = chart.steps.bars.iter().zip(chart.values);
        (chart.steps.per.clone(), bars.map(|(bar, value)| (bar.label.clone(), value)).collect())
    }

    #[test]
    fn every_day_has_its_bar() {
        let shown = bars("2026-10-31", "2026-11-02", &[("2026-11-02", 4), ("2026-10-31", 2)]);
        let expected = [("Oct 31, 2026", 2), ("Nov 1, 2026", 0), ("Nov 2, 2026", 4)];
        assert_eq!(
            shown,
            ("day".to_owned(), expected.map(|(label, value)| (label.to_owned(), value)).to_vec())
        );
    }

    #[test]
    fn a_short_time_has_bars_of_hours_or_minutes() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let shown = |from: &str, to: &str, used: &str| {
            let at = |text: &str| text.parse::<Timestamp>().unwrap();
            let steps = TimeSteps::of(UsageTime::At(at(from)), UsageTime::At(at(to)), &zone, MOST_BARS);
            let bars = &steps.bars;
            let used = bars
                .iter()
                .filter(|bar| bar.of.contains(&StepTime::At(at(used))))
                .map(|bar| bar.label.clone());
            (
                steps.head(),
                bars.len(),
                bars[0].label.clone(),
                bars[bars.len() - 1].label.clone(),
                used.collect::<Vec<_>>(),
            )
        };
        let text = str::to_owned;
        let hours = shown("2026-01-30T12:30:00Z", "2026-01-31T12:30:00Z", "2026-01-31T12:00:00Z");
        assert_eq!(
            hours,
            (text("Hour"), 25, text("Jan 30, 13:00"), text("Jan 31, 13:00"), vec![text("Jan 31, 13:00")])
        );
        let minutes = shown("2026-01-31T11:00:00Z", "2026-01-31T12:00:00Z", "2026-01-31T11:59:00Z");
        assert_eq!(
            minutes,
            (text("Minute"), 60, text("Jan 31, 12:00"), text("Jan 31, 12:59"), vec![text("Jan 31, 12:59")])
        );
        assert_eq!(shown("2026-01-31T11:00:00Z", "2026-01-31T11:00:00Z", "2026-01-31T11:00:00Z").1, 1);
    }

    #[test]
    fn a_long_time_has_bars_of_several_days() {
        let (per, shown) =
            bars("2026-01-01", "2026-12-31", &[("2026-01-01", 1), ("2026-01-06", 2), ("2026-12-31", 4)]);
        assert_eq!((per.as_str(), shown.len()), ("6 days", 61));
        assert_eq!(shown[0], ("Jan 1, 2026 to Jan 6, 2026".to_owned(), 3));
        assert_eq!(shown[60], ("Dec 27, 2026 to Dec 31, 2026".to_owned(), 4));
    }

    #[test]
    fn parts_stand_on_each_other_and_the_rest_is_other() {
        let part = |part, at: &str, requests| UsagePartItem {
            part,
            day: Some(day(at)),
            began_at: None,
            sums: sums(requests),
        };
        let stacked = |items: &[UsagePartItem]| {
            let span = (UsageTime::Day(day("2026-01-01")), UsageTime::Day(day("2026-01-02")), items);
            let names = ["Bot".to_owned(), "<i>".to_owned()];
            Chart::stacked("Requests", ChartUnit::Of("request"), span, &names, &TimeZone::UTC, |sums| {
                sums.requests
            })
        };
        let chart = stacked(&[
            part(0, "2026-01-01", 4),
            part(1, "2026-01-01", 1),
            part(2, "2026-01-02", 2),
            part(0, "2026-01-02", 2),
        ]);
        assert_eq!(chart.ticks()[0], 6);
        let paths = attributes(&chart, "path.bar", "d");
        assert_eq!(paths, ["M1 334h8v666h-8zM11 667h8v333h-8z", "M1 168h8v166h-8z", "M11 334h8v333h-8z"]);
        assert_eq!(texts(&chart, ".legend li"), ["Bot 6 requests", "<i> 1 request", "Other 2 requests"]);
        assert_eq!(texts(&chart, "details thead th"), ["Day", "Bot", "<i>", "Other", "All"]);
        assert_eq!(texts(&chart, "details tbody tr:first-child > *"), ["Jan 1, 2026", "4", "1", "", "5"]);
        assert_eq!(texts(&chart, ".peak").len(), 1);
        let overlapping = chart.overlapping(true);
        assert_eq!(texts(&overlapping, "details thead th"), ["Day", "Bot", "<i>", "Other"]);
        assert_eq!(texts(&overlapping, "details tbody tr:first-child > *"), ["Jan 1, 2026", "4", "1", ""]);
        assert!(texts(&overlapping, ".peak").is_empty());
        assert_eq!(texts(&stacked(&[part(0, "2026-01-01", 4)]), ".legend li").len(), 2, "no rest, no other");
    }
}
