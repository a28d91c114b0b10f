//! Limits, and how much of them is used.

use std::fmt::Display;

use jiff::Timestamp;
use latchkey_core::limits::Limits;
use latchkey_core::money::NanoUsd;
use latchkey_core::period::Period;

use crate::api::activity::{UsageOf, UsageOfLimits};
use crate::web::format::{count, usd};

/// How much of a limit is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    /// What is limited.
    pub name: String,
    /// The most.
    pub limit: String,
    /// What was used.
    pub used: String,
    /// What gateways hold for requests under way and to come; none where that is nothing.
    pub reserved: Option<String>,
    /// What is left.
    pub remaining: String,
    /// How much is gone, in percent.
    pub percent: u64,
    /// When it is whole again, if nothing more is used.
    pub resets_at: Option<Timestamp>,
}

/// A limit, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What is limited.
    pub name: String,
    /// The most.
    pub limit: String,
}

/// The meters of these limits.
#[must_use]
pub fn meters(limits: &Limits, usage: &UsageOfLimits) -> Vec<Meter> {
    let tokens = period_of("Tokens", limits.token_budget.map(|budget| budget.per));
    let money = period_of("Budget", limits.budget.map(|budget| budget.per));
    let counts = [
        ("Requests per minute", usage.requests_per_minute),
        ("Requests per hour", usage.requests_per_hour),
        ("Requests per day", usage.requests_per_day),
        ("Tokens per minute", usage.tokens_per_minute),
        (tokens.as_str(), usage.token_budget),
    ];
    let counts = counts.into_iter().filter_map(|(name, of)| Some(meter(name, &of?, |n| *n, |n| count(*n))));
    let money = usage.budget.map(|of| meter(&money, &of, |NanoUsd(nano)| *nano, |amount| usd(amount)));
    counts.chain(money).collect()
}

/// These limits in words; none where nothing is limited.
#[must_use]
pub fn lines(limits: &Limits) -> Vec<Line> {
    let line = |name: &str, limit: Option<String>| Some(Line { name: name.to_owned(), limit: limit? });
    let of = |number: Option<u64>| number.map(count);
    let tokens = period_of("Tokens", limits.token_budget.map(|budget| budget.per));
    let money = period_of("Budget", limits.budget.map(|budget| budget.per));
    [
        line("Requests per minute", of(limits.requests_per_minute)),
        line("Requests per hour", of(limits.requests_per_hour)),
        line("Requests per day", of(limits.requests_per_day)),
        line("Tokens per minute", of(limits.tokens_per_minute)),
        line(&tokens, limits.token_budget.map(|budget| count(budget.tokens))),
        line(&money, limits.budget.map(|budget| usd(budget.usd))),
    ]
    .into_iter()
    .flatten()
    .chain(of_a_request(limits))
    .collect()
}

/// What one request may hold, in words.
#[must_use]
pub fn of_a_request(limits: &Limits) -> Vec<Line> {
    let line = |name: &str, limit: Option<u64>| {
        Some(Line { name: name.to_owned(), limit: format!("{} tokens", count(limit?)) })
    };
    let input = line("Input of a request", limits.max_input_tokens);
    let least = line("Least output of a cut answer", limits.min_output_tokens);
    let output = line("Output of a request", limits.max_output_tokens);
    [input, output, least].into_iter().flatten().collect()
}

fn period_of(what: &str, per: Option<Period>) -> String {
    match per {
        None | Some(Period::Total) => format!("{what} in all"),
        Some(per) => format!("{what} per {}", per.as_str()),
    }
}

fn meter<T, D: Display>(
    name: &str,
    of: &UsageOf<T>,
    number: impl Fn(&T) -> u64,
    shown: impl Fn(&T) -> D,
) -> Meter {
    let gone = u128::from(number(&of.used)) + u128::from(number(&of.reserved));
    let percent = (gone * 100).checked_div(u128::from(number(&of.limit))).unwrap_or(100).min(100);
    let words = |value| shown(value).to_string();
    Meter {
        name: name.to_owned(),
        limit: words(&of.limit),
        used: words(&of.used),
        reserved: Some(words(&of.reserved)).filter(|_| number(&of.reserved) > 0),
        remaining: words(&of.remaining),
        percent: u64::try_from(percent).unwrap_or(100),
        resets_at: of.resets_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meter_counts_what_is_reserved_as_gone() {
        let limits = Limits { requests_per_minute: Some(60), ..Limits::default() };
        let of = UsageOf { limit: 60, used: 15, reserved: 15, remaining: 30, resets_at: None };
        let usage = UsageOfLimits { requests_per_minute: Some(of), ..UsageOfLimits::default() };
        let meters = meters(&limits, &usage);
        let [meter] = meters.as_slice() else { panic!("one limit has one meter: {meters:?}") };
        assert_eq!(
            (meter.percent, meter.reserved.as_deref(), meter.remaining.as_str()),
            (50, Some("15"), "30")
        );
    }

    #[test]
    fn more_than_all_is_all_and_nothing_of_nothing_is_gone() {
        let of = |limit, used| UsageOf { limit, used, reserved: 0, remaining: 0, resets_at: None };
        let percent = |of: UsageOf<u64>| meter("x", &of, |n| *n, |n| *n).percent;
        assert_eq!([percent(of(10, 11)), percent(of(0, 0)), percent(of(u64::MAX, u64::MAX))], [100; 3]);
        assert_eq!(percent(of(3, 1)), 33);
    }

    #[test]
    fn limits_are_said_with_their_periods() {
        let limits: Limits = serde_json::from_value(serde_json::json!({
            "requests_per_day": 1000, "budget": {"usd": "12.5", "per": "month"},
            "token_budget": {"tokens": 5, "per": "total"}, "max_output_tokens": 4096
        }))
        .unwrap();
        let lines = lines(&limits);
        let said: Vec<_> = lines.iter().map(|line| (line.name.as_str(), line.limit.as_str())).collect();
        assert_eq!(
            said,
            [
                ("Requests per day", "1,000"),
                ("Tokens in all", "5"),
                ("Budget per month", "$12.50"),
                ("Output of a request", "4,096 tokens"),
            ]
        );
    }
}
