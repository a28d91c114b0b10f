//! What an app or a named key may use.

mod edit;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::invalid::Invalid;
use crate::money::NanoUsd;
use crate::period::Period;

pub use latchkey_proto::bucket::{BucketKind, Unit};

pub use edit::{EditLimits, given, nullable};

/// What may be used; what is absent is not limited. As with settings, those that a newer version
/// stored may hold more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Limits {
    /// Requests in any 60 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// Requests in any hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_hour: Option<u64>,
    /// Requests in any 24 hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_day: Option<u64>,
    /// Tokens of input and output in any 60 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// Tokens of input and output in a period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_budget: Option<TokenBudget>,
    /// A hard cap on money.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// Input tokens of one request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_input_tokens: Option<u64>,
    /// Output tokens of one request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// An answer that must be shorter than this, and than the client asked for, since others hold what it
    /// needs, is refused: 16 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_output_tokens: Option<u64>,
}

/// Tokens in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenBudget {
    /// Input and output.
    pub tokens: u64,
    /// For how long.
    pub per: Period,
}

/// Money in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// US dollars: `"12.50"`.
    pub usd: NanoUsd,
    /// For how long.
    pub per: Period,
}

/// How the use of a bucket ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// What is used counts for so many milliseconds.
    Sliding {
        /// The window's span.
        span_ms: u32,
    },
    /// What is used counts until the period ends.
    Period(Period),
}

/// The most of any limit: what a database's integer holds, with room for sums.
const MOST: u64 = 1_000_000_000_000_000;

impl Limits {
    /// The buckets that these limits make: their kinds, their limits in units, and their reach.
    pub fn buckets(&self) -> impl Iterator<Item = (BucketKind, u64, Reach)> {
        const MINUTE: Reach = Reach::Sliding { span_ms: 60_000 };
        const HOUR: Reach = Reach::Sliding { span_ms: 3_600_000 };
        const DAY: Reach = Reach::Sliding { span_ms: 86_400_000 };
        [
            (BucketKind::RequestsPerMinute, self.requests_per_minute, MINUTE),
            (BucketKind::RequestsPerHour, self.requests_per_hour, HOUR),
            (BucketKind::RequestsPerDay, self.requests_per_day, DAY),
            (BucketKind::TokensPerMinute, self.tokens_per_minute, MINUTE),
            (
                BucketKind::TokenBudget,
                self.token_budget.map(|budget| budget.tokens),
                Reach::Period(self.token_budget.map_or(Period::Total, |budget| budget.per)),
            ),
            (
                BucketKind::CostBudget,
                self.budget.map(|budget| budget.usd.0),
                Reach::Period(self.budget.map_or(Period::Total, |budget| budget.per)),
            ),
        ]
        .into_iter()
        .filter_map(|(kind, limit, reach)| limit.map(|limit| (kind, limit, reach)))
    }

    /// Notes every limit that is 0 or too large; `path` is where these limits are.
    pub fn check(&self, path: &str, invalid: &mut Invalid) {
        let per_request = [
            ("max_input_tokens", self.max_input_tokens),
            ("max_output_tokens", self.max_output_tokens),
            ("min_output_tokens", self.min_output_tokens),
        ];
        let buckets = [
            ("requests_per_minute", self.requests_per_minute),
            ("requests_per_hour", self.requests_per_hour),
            ("requests_per_day", self.requests_per_day),
            ("tokens_per_minute", self.tokens_per_minute),
            ("token_budget.tokens", self.token_budget.map(|budget| budget.tokens)),
        ];
        for (name, limit) in per_request.into_iter().chain(buckets) {
            if let Some(limit) = limit {
                invalid.check(&format!("{path}.{name}"), within(limit));
            }
        }
        if let (Some(least), Some(most)) = (self.min_output_tokens, self.max_output_tokens)
            && least > most
        {
            invalid.check(
                &format!("{path}.min_output_tokens"),
                beyond(most, &format!("{path}.max_output_tokens")),
            );
        }
        if self.budget.is_some_and(|budget| budget.usd.0 == 0) {
            invalid.check::<(), _>(
                &format!("{path}.budget.usd"),
                Err("must be more than 0; to stop an app, deactivate it"),
            );
        }
    }

    /// Whether no limit of these, which are at `path`, is beyond its counterpart in `parent`, which is
    /// called `parent_path`. What only one of them limits is not compared: both apply.
    ///
    /// # Errors
    /// Every limit that is beyond, or that cannot be compared since its period is another.
    pub fn within(&self, path: &str, parent: &Self, parent_path: &str) -> Result<(), Invalid> {
        let mut invalid = Invalid::default();
        let numbers = [
            ("requests_per_minute", self.requests_per_minute, parent.requests_per_minute),
            ("requests_per_hour", self.requests_per_hour, parent.requests_per_hour),
            ("requests_per_day", self.requests_per_day, parent.requests_per_day),
            ("tokens_per_minute", self.tokens_per_minute, parent.tokens_per_minute),
            ("max_input_tokens", self.max_input_tokens, parent.max_input_tokens),
            ("max_output_tokens", self.max_output_tokens, parent.max_output_tokens),
        ];
        for (name, own, most) in numbers {
            let (Some(own), Some(most)) = (own, most) else { continue };
            if own > most {
                invalid.check(&format!("{path}.{name}"), beyond(most, &format!("{parent_path}.{name}")));
            }
        }
        if let (Some(own), Some(least)) = (self.min_output_tokens, parent.min_output_tokens)
            && own < least
        {
            let message =
                format!("is less than `{parent_path}.min_output_tokens`, {least}, which applies as well");
            invalid.check::<(), _>(&format!("{path}.min_output_tokens"), Err(message));
        }
        let budget = |budget: &Budget| ("usd", budget.usd.0, budget.usd.to_string(), budget.per);
        let tokens = |budget: &TokenBudget| ("tokens", budget.tokens, budget.tokens.to_string(), budget.per);
        let budgets = [
            (
                "token_budget",
                self.token_budget.as_ref().map(tokens),
                parent.token_budget.as_ref().map(tokens),
            ),
            ("budget", self.budget.as_ref().map(budget), parent.budget.as_ref().map(budget)),
        ];
        for (name, own, most) in budgets {
            let (Some((unit, own, _, per)), Some((_, most, shown, parent_per))) = (own, most) else {
                continue;
            };
            if per != parent_per {
                let message = format!(
                    "is another period than that of `{parent_path}.{name}`, `{}`: they cannot be compared",
                    parent_per.as_str()
                );
                invalid.check::<(), _>(&format!("{path}.{name}.per"), Err(message));
            } else if own > most {
                let parent = format!("{parent_path}.{name}.{unit}");
                invalid.check(&format!("{path}.{name}.{unit}"), beyond(shown, &parent));
            }
        }
        invalid.into_result()
    }
}

fn beyond(most: impl std::fmt::Display, parent: &str) -> Result<(), String> {
    Err(format!("is more than `{parent}`, {most}"))
}

fn within(limit: u64) -> Result<(), String> {
    match limit {
        0 => Err("must be at least 1; leave it out, or null, for no limit".to_owned()),
        1..=MOST => Ok(()),
        _ => Err(format!("must be at most {MOST}")),
    }
}
