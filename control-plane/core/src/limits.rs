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

/// For how long what is used of a bucket counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitWindow {
    Sliding { span_ms: u32 },
    Calendar(Period),
}

/// A limit that may be set: what there is to know of it besides its value.
#[derive(Clone, Copy, Debug)]
pub struct LimitField {
    /// The member of [`Limits`].
    pub name: &'static str,
    /// What people read. That of a budget goes on with its period.
    pub label: &'static str,
    /// The bucket that it makes; none for what bounds each request, in tokens.
    pub bucket: Option<BucketKind>,
    /// Whether many apps have it: forms show it first.
    pub is_common: bool,
    /// Whether a greater value allows less.
    is_floor: bool,
    value: fn(&Limits) -> Option<LimitValue>,
}

/// A limit as it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitValue {
    /// Requests, tokens or nano-USD.
    pub units: u64,
    /// Of budgets.
    pub per: Option<Period>,
}

pub static LIMITS: [LimitField; 9] = [
    LimitField {
        name: "requests_per_minute",
        label: "Requests per minute",
        bucket: Some(BucketKind::RequestsPerMinute),
        is_common: true,
        is_floor: false,
        value: |limits| number(limits.requests_per_minute),
    },
    LimitField {
        name: "requests_per_hour",
        label: "Requests per hour",
        bucket: Some(BucketKind::RequestsPerHour),
        is_common: false,
        is_floor: false,
        value: |limits| number(limits.requests_per_hour),
    },
    LimitField {
        name: "requests_per_day",
        label: "Requests per day",
        bucket: Some(BucketKind::RequestsPerDay),
        is_common: false,
        is_floor: false,
        value: |limits| number(limits.requests_per_day),
    },
    LimitField {
        name: "tokens_per_minute",
        label: "Tokens per minute",
        bucket: Some(BucketKind::TokensPerMinute),
        is_common: true,
        is_floor: false,
        value: |limits| number(limits.tokens_per_minute),
    },
    LimitField {
        name: "max_input_tokens",
        label: "Max input tokens",
        bucket: None,
        is_common: false,
        is_floor: false,
        value: |limits| number(limits.max_input_tokens),
    },
    LimitField {
        name: "max_output_tokens",
        label: "Max output tokens",
        bucket: None,
        is_common: false,
        is_floor: false,
        value: |limits| number(limits.max_output_tokens),
    },
    LimitField {
        name: "min_output_tokens",
        label: "Min output tokens",
        bucket: None,
        is_common: false,
        is_floor: true,
        value: |limits| number(limits.min_output_tokens),
    },
    LimitField {
        name: "token_budget",
        label: "Token budget",
        bucket: Some(BucketKind::TokenBudget),
        is_common: false,
        is_floor: false,
        value: |limits| {
            limits
                .token_budget
                .map(|TokenBudget { tokens, per }| LimitValue { units: tokens, per: Some(per) })
        },
    },
    LimitField {
        name: "budget",
        label: "Budget",
        bucket: Some(BucketKind::CostBudget),
        is_common: true,
        is_floor: false,
        value: |limits| limits.budget.map(|Budget { usd, per }| LimitValue { units: usd.0, per: Some(per) }),
    },
];

fn number(limit: Option<u64>) -> Option<LimitValue> {
    limit.map(|units| LimitValue { units, per: None })
}

impl LimitField {
    #[must_use]
    pub fn unit(&self) -> Unit {
        self.bucket.map_or(Unit::Tokens, BucketKind::unit)
    }

    /// Whether it is an amount for a period of the calendar.
    #[must_use]
    pub fn is_budget(&self) -> bool {
        self.bucket.is_some_and(|bucket| bucket.span_ms().is_none())
    }

    #[must_use]
    pub fn of(&self, limits: &Limits) -> Option<LimitValue> {
        (self.value)(limits)
    }

    /// The path of its amount, where the limits are at `path`.
    fn amount_path(&self, path: &str) -> String {
        match (self.is_budget(), self.unit()) {
            (false, _) => format!("{path}.{}", self.name),
            (true, Unit::Cost) => format!("{path}.{}.usd", self.name),
            (true, _) => format!("{path}.{}.tokens", self.name),
        }
    }

    fn shown(&self, units: u64) -> String {
        match self.unit() {
            Unit::Cost => NanoUsd(units).to_string(),
            Unit::Requests | Unit::Tokens => units.to_string(),
        }
    }

    fn check(&self, units: u64) -> Result<(), String> {
        match (self.unit(), units) {
            (Unit::Cost, 0) => Err("must be more than 0; to stop an app, deactivate it".to_owned()),
            (Unit::Cost, _) => Ok(()),
            (_, 0) => Err("must be at least 1; for no limit, leave it out or use null".to_owned()),
            (_, 1..=MOST) => Ok(()),
            _ => Err(format!("must be at most {MOST}")),
        }
    }
}

/// The most of any limit: what a database's integer holds, with room for sums.
const MOST: u64 = 1_000_000_000_000_000;

impl Limits {
    /// The limits that are set.
    pub fn set(&self) -> impl Iterator<Item = (&'static LimitField, LimitValue)> {
        LIMITS.iter().filter_map(|field| Some((field, field.of(self)?)))
    }

    /// The buckets that these limits make: their kinds, their limits in units, and their windows.
    pub fn buckets(&self) -> impl Iterator<Item = (BucketKind, u64, LimitWindow)> {
        self.set().filter_map(|(field, LimitValue { units, per })| {
            let kind = field.bucket?;
            let window = match (kind.span_ms(), per) {
                (Some(span_ms), _) => LimitWindow::Sliding { span_ms },
                (None, per) => LimitWindow::Calendar(per.unwrap_or(Period::Total)),
            };
            Some((kind, units, window))
        })
    }

    /// Notes every limit that is 0 or too large; `path` is where these limits are.
    pub fn check(&self, path: &str, invalid: &mut Invalid) {
        for (field, LimitValue { units, .. }) in self.set() {
            invalid.check(&field.amount_path(path), field.check(units));
        }
        if let (Some(least), Some(most)) = (self.min_output_tokens, self.max_output_tokens)
            && least > most
        {
            let error = beyond(most, &format!("{path}.max_output_tokens"));
            invalid.check::<(), _>(&format!("{path}.min_output_tokens"), Err(error));
        }
    }

    /// Whether no limit of these, which are at `path`, is beyond its counterpart in `parent`, which is
    /// called `parent_path`. What only one of them limits is not compared: both apply.
    ///
    /// # Errors
    /// Every limit that is beyond, or that cannot be compared since its period is another.
    pub fn within(&self, path: &str, parent: &Self, parent_path: &str) -> Result<(), Invalid> {
        let mut invalid = Invalid::default();
        for (field, own) in self.set() {
            let Some(most) = field.of(parent) else { continue };
            let (amount, bound) = (field.amount_path(path), field.amount_path(parent_path));
            if own.per != most.per {
                let message = format!(
                    "must be the same period as `{parent_path}.{}`, which is `{}`",
                    field.name,
                    most.per.map_or("none", Period::as_str)
                );
                invalid.check::<(), _>(&format!("{path}.{}.per", field.name), Err(message));
            } else if field.is_floor && own.units < most.units {
                let message = format!("is less than `{bound}`, {}, which also applies", most.units);
                invalid.check::<(), _>(&amount, Err(message));
            } else if !field.is_floor && own.units > most.units {
                invalid.check::<(), _>(&amount, Err(beyond(field.shown(most.units), &bound)));
            }
        }
        invalid.into_result()
    }
}

fn beyond(most: impl std::fmt::Display, parent: &str) -> String {
    format!("is more than `{parent}`, {most}")
}
