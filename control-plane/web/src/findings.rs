//! Findings as pages of the console and of the portal show them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::chart::{Chart, ChartUnit, StepTime};
use crate::format;
use crate::guardrails::title;
use latchkey_api::findings::FindingSummary;

/// The most charts of one page: of the categories with the most findings.
const MOST_CHARTS: usize = 8;

/// What can be done about a finding, in words.
pub const ACTIONS: &[(&str, &str)] = &[
    ("blocked", "blocked"),
    ("redacted", "redacted"),
    ("anonymized", "anonymized"),
    ("monitored", "monitored"),
    ("would_block", "would block (trial)"),
    ("would_redact", "would redact (trial)"),
    ("would_anonymize", "would anonymize (trial)"),
    ("would_monitor", "would monitor (trial)"),
];

/// What was done, in words.
#[must_use]
pub fn action_words(action: &str) -> String {
    let known = ACTIONS.iter().find(|(word, _)| *word == action);
    known.map_or_else(|| format::words(action), |(_, words)| (*words).to_owned())
}

/// The classes of an action's badge.
#[must_use]
pub fn badge(action: &str) -> &'static str {
    match action {
        "blocked" => "badge bad",
        "redacted" | "anonymized" => "badge warn",
        _ => "badge",
    }
}

/// A chart by day, or by hour where they are grouped by that, for each category of sums, the most findings first.
#[must_use]
pub fn charts(summary: &FindingSummary, zone: &TimeZone) -> Vec<Chart> {
    let day = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
    let days = (day(summary.from), day(summary.to));
    let by_hour = summary.items.iter().any(|item| item.began_at.is_some());
    let mut categories: Vec<(&str, u64)> = Vec::new();
    for item in &summary.items {
        let category = item.category.as_deref().unwrap_or_default();
        match categories.iter_mut().find(|(known, _)| *known == category) {
            Some((_, count)) => *count += item.sums.findings,
            None => categories.push((category, item.sums.findings)),
        }
    }
    categories.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let chart = |(category, _): (&str, u64)| {
        let items =
            summary.items.iter().filter(|item| item.category.as_deref().unwrap_or_default() == category);
        let values =
            items.filter_map(|item| Some((StepTime::of(item.day, item.began_at)?, item.sums.findings)));
        let values: Vec<_> = values.collect();
        let unit = ChartUnit::Of("finding");
        if by_hour {
            return Chart::of_hours(title(category), unit, (summary.from, summary.to), zone, &values);
        }
        Chart::of_days(title(category), unit, days, &values)
    };
    categories.into_iter().take(MOST_CHARTS).map(chart).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use latchkey_api::findings::ACTIONS as KNOWN;

    #[test]
    fn every_action_has_words() {
        let mut words: Vec<_> = ACTIONS.iter().map(|(word, _)| *word).collect();
        let mut known = KNOWN.to_vec();
        words.sort_unstable();
        known.sort_unstable();
        assert_eq!(words, known);
        assert_eq!(action_words("would_block"), "would block (trial)");
    }
}
