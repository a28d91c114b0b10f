//! Limits in words, and meters of how much of them is used.

use jiff::Timestamp;
use latchkey_api::activity::{UsageOf, UsageOfLimits};
use latchkey_core::limits::{LIMITS, LimitField, LimitValue, Limits, Unit};
use latchkey_core::money::NanoUsd;
use latchkey_core::period::Period;

use super::format::{count, usd};

/// How much of a limit is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    pub name: String,
    pub limit: String,
    pub used: String,
    /// What gateways hold for requests in progress and to come; none where that is nothing.
    pub reserved: Option<String>,
    pub remaining: String,
    /// How much is used or reserved: 0 to 100.
    pub percent: u64,
    /// When it is whole again, if nothing more is used.
    pub resets_at: Option<Timestamp>,
    /// When a budget is spent at the rate so far; none where it is not, or that is not known.
    pub spent_at: Option<Timestamp>,
    /// How much of a budget is used when it resets, at that rate, in percent.
    pub percent_at_reset: Option<u8>,
}

/// A limit, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub name: String,
    pub limit: String,
}

/// A meter for each limit that there is, as admins call them.
#[must_use]
pub fn meters(usage: &UsageOfLimits) -> Vec<Meter> {
    meters_called(usage, |field| field.label.to_owned())
}

/// The same as users call them, with the periods of these limits.
#[must_use]
pub fn meters_with_periods(limits: &Limits, usage: &UsageOfLimits) -> Vec<Meter> {
    meters_called(usage, |field| name(field, field.of(limits)))
}

/// These limits in words; none where nothing is limited.
#[must_use]
pub fn lines(limits: &Limits) -> Vec<Line> {
    let shared = limits.set().filter(|(field, _)| field.bucket.is_some());
    let line = |(field, value): (&LimitField, LimitValue)| Line {
        name: name(field, Some(value)),
        limit: amount(field.unit(), value.units),
    };
    shared.map(line).chain(of_a_request(limits)).collect()
}

/// What one request may hold, in words.
#[must_use]
pub fn of_a_request(limits: &Limits) -> Vec<Line> {
    let own = limits.set().filter(|(field, _)| field.bucket.is_none());
    let line = |(field, value): (&LimitField, LimitValue)| Line {
        name: field.label.to_owned(),
        limit: format!("{} tokens", count(value.units)),
    };
    own.map(line).collect()
}

/// The limits that are plain numbers, for forms: all, or those that are as common as that.
pub fn numbers(common: Option<bool>) -> impl Iterator<Item = &'static LimitField> {
    let asked = move |field: &&LimitField| common.is_none_or(|common| field.is_common == common);
    LIMITS.iter().filter(|field| !field.is_budget()).filter(asked)
}

/// The unit of a number in a form.
#[must_use]
pub fn unit(field: &LimitField) -> &'static str {
    match field.unit() {
        Unit::Requests => "requests",
        Unit::Tokens | Unit::Cost => "tokens",
    }
}

fn meters_called(usage: &UsageOfLimits, name: impl Fn(&LimitField) -> String) -> Vec<Meter> {
    let meter = |field: &LimitField| Some(Meter::new(name(field), field.unit(), usage.of(field.bucket?)?));
    LIMITS.iter().filter_map(meter).collect()
}

fn name(field: &LimitField, value: Option<LimitValue>) -> String {
    match value.and_then(|value| value.per) {
        _ if !field.is_budget() => field.label.to_owned(),
        None | Some(Period::Total) => format!("{} (total)", field.label),
        Some(per) => format!("{} per {}", field.label, per.as_str()),
    }
}

fn amount(unit: Unit, units: u64) -> String {
    match unit {
        Unit::Cost => usd(NanoUsd(units)),
        Unit::Requests | Unit::Tokens => count(units),
    }
}

impl Meter {
    fn new(name: String, unit: Unit, usage: UsageOf<u64>) -> Self {
        let UsageOf { limit, used, reserved, remaining, resets_at, spent_at, percent_at_reset } = usage;
        let gone = u128::from(used) + u128::from(reserved);
        let percent = (gone * 100).checked_div(u128::from(limit)).unwrap_or(100).min(100);
        Self {
            name,
            limit: amount(unit, limit),
            used: amount(unit, used),
            reserved: (reserved > 0).then(|| amount(unit, reserved)),
            remaining: amount(unit, remaining),
            percent: u64::try_from(percent).unwrap_or(100),
            resets_at,
            spent_at,
            percent_at_reset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<T: Copy>(limit: T, used: T, none: T) -> UsageOf<T> {
        UsageOf {
            limit,
            used,
            reserved: none,
            remaining: none,
            resets_at: None,
            spent_at: None,
            percent_at_reset: None,
        }
    }

    #[test]
    fn there_is_a_meter_for_each_limit_and_none_without() {
        assert_eq!(meters(&UsageOfLimits::default()), []);
        let usage = UsageOfLimits {
            requests_per_minute: Some(of(60, 15, 0)),
            budget: Some(of(NanoUsd(10_000_000_000), NanoUsd(12_500_000_000), NanoUsd(0))),
            ..UsageOfLimits::default()
        };
        let shown: Vec<_> = meters(&usage)
            .into_iter()
            .map(|m| format!("{} {} of {} {}", m.name, m.used, m.limit, m.percent))
            .collect();
        assert_eq!(shown, ["Requests per minute 15 of 60 25", "Budget $12.50 of $10.00 100"]);
    }

    #[test]
    fn admins_and_users_read_the_same_of_what_is_reserved() {
        let limits = Limits { requests_per_minute: Some(60), ..Limits::default() };
        let of = UsageOf { reserved: 15, remaining: 30, ..of(60, 15, 0) };
        let usage = UsageOfLimits { requests_per_minute: Some(of), ..UsageOfLimits::default() };
        for meters in [meters(&usage), meters_with_periods(&limits, &usage)] {
            let [meter] = meters.as_slice() else { panic!("one limit has one meter: {meters:?}") };
            assert_eq!(
                (meter.percent, meter.used.as_str(), meter.reserved.as_deref(), meter.remaining.as_str()),
                (50, "15", Some("15"), "30")
            );
        }
    }

    #[test]
    fn more_than_all_is_all_and_nothing_of_nothing_is_gone() {
        let percent = |of: UsageOf<u64>| Meter::new(String::new(), Unit::Requests, of).percent;
        assert_eq!(
            [percent(of(10, 11, 0)), percent(of(0, 0, 0)), percent(of(u64::MAX, u64::MAX, 0))],
            [100; 3]
        );
        assert_eq!(percent(of(3, 1, 0)), 33);
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
                ("Token budget (total)", "5"),
                ("Budget per month", "$12.50"),
                ("Max output tokens", "4,096 tokens"),
            ]
        );
    }
}
