//! How much of each limit is used, as meters.

use jiff::Timestamp;

use super::format::{count, usd};
use crate::api::activity::{UsageOf, UsageOfLimits};

/// One limit: what is used of it, and how much that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    /// What is limited.
    pub name: &'static str,
    /// What is used, for people.
    pub used: String,
    /// The most, for people.
    pub limit: String,
    /// How much of it is used: 0 to 100.
    pub percent: u64,
    /// When it is reset.
    pub resets_at: Option<Timestamp>,
}

/// A meter for each limit that there is.
#[must_use]
pub fn meters(usage: &UsageOfLimits) -> Vec<Meter> {
    let UsageOfLimits {
        requests_per_minute,
        requests_per_hour,
        requests_per_day,
        tokens_per_minute,
        token_budget,
        budget,
    } = usage;
    let money = budget.map(|UsageOf { limit, used, reserved, remaining, resets_at }| {
        let shown = (usd(used), usd(limit));
        let (limit, used) = (limit.0, used.0);
        Meter::new(
            "Budget",
            UsageOf { limit, used, reserved: reserved.0, remaining: remaining.0, resets_at },
            shown,
        )
    });
    [
        ("Requests/min", requests_per_minute),
        ("Requests/hour", requests_per_hour),
        ("Requests/day", requests_per_day),
        ("Tokens/min", tokens_per_minute),
        ("Token budget", token_budget),
    ]
    .into_iter()
    .filter_map(|(name, usage)| {
        let usage = (*usage)?;
        Some(Meter::new(name, usage, (count(usage.used), count(usage.limit))))
    })
    .chain(money)
    .collect()
}

impl Meter {
    fn new(name: &'static str, usage: UsageOf<u64>, (used, limit): (String, String)) -> Self {
        let percent = u128::from(usage.used) * 100 / u128::from(usage.limit.max(1));
        let percent = u64::try_from(percent).unwrap_or(100).min(100);
        Self { name, used, limit, percent, resets_at: usage.resets_at }
    }
}

#[cfg(test)]
mod tests {
    use latchkey_core::money::NanoUsd;

    use super::*;

    fn of<T>(limit: T, used: T, none: T) -> UsageOf<T>
    where
        T: Copy,
    {
        UsageOf { limit, used, reserved: none, remaining: none, resets_at: None }
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
        assert_eq!(shown, ["Requests/min 15 of 60 25", "Budget $12.50 of $10.00 100"]);
    }
}
