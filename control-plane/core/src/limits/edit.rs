//! How limits are written.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::{Budget, Limits, TokenBudget};

/// What may be used. In an edit, a member that is left out stays as it is, and null lifts that limit;
/// a budget is replaced as a whole. Editing a limit neither resets nor loses what is used.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditLimits {
    /// Requests in any 60 seconds.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u64>, minimum = 1)]
    pub requests_per_minute: Option<Option<u64>>,
    /// Requests in any hour.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u64>, minimum = 1)]
    pub requests_per_hour: Option<Option<u64>>,
    /// Requests in any 24 hours.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u64>, minimum = 1)]
    pub requests_per_day: Option<Option<u64>>,
    /// Tokens of input and output in any 60 seconds.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u64>, minimum = 1)]
    pub tokens_per_minute: Option<Option<u64>>,
    /// Tokens of input and output in a period of the app's time zone.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<TokenBudget>)]
    pub token_budget: Option<Option<TokenBudget>>,
    /// A hard cap on money in a period of the app's time zone.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Budget>)]
    pub budget: Option<Option<Budget>>,
    /// Input tokens of one request.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u64>, minimum = 1)]
    pub max_input_tokens: Option<Option<u64>>,
    /// Output tokens of one request.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u64>, minimum = 1)]
    pub max_output_tokens: Option<Option<u64>>,
    /// An answer that must be shorter than this, and than the client asked for, since others hold what it
    /// needs, is refused: 16 by default.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u64>, minimum = 1)]
    pub min_output_tokens: Option<Option<u64>>,
}

impl EditLimits {
    /// The limits that this makes of `limits`.
    #[must_use]
    pub fn apply(self, limits: Limits) -> Limits {
        Limits {
            requests_per_minute: self.requests_per_minute.unwrap_or(limits.requests_per_minute),
            requests_per_hour: self.requests_per_hour.unwrap_or(limits.requests_per_hour),
            requests_per_day: self.requests_per_day.unwrap_or(limits.requests_per_day),
            tokens_per_minute: self.tokens_per_minute.unwrap_or(limits.tokens_per_minute),
            token_budget: self.token_budget.unwrap_or(limits.token_budget),
            budget: self.budget.unwrap_or(limits.budget),
            max_input_tokens: self.max_input_tokens.unwrap_or(limits.max_input_tokens),
            max_output_tokens: self.max_output_tokens.unwrap_or(limits.max_output_tokens),
            min_output_tokens: self.min_output_tokens.unwrap_or(limits.min_output_tokens),
        }
    }

    /// The limits that this makes of none.
    #[must_use]
    pub fn alone(self) -> Limits {
        self.apply(Limits::default())
    }
}

/// Tells a field that is `null` (some none) from one that is missing (none).
///
/// # Errors
/// The value does not fit.
pub fn nullable<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    json: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(json).map(Some)
}

/// Reads a field that may be missing (none), but is no null where it is there.
///
/// # Errors
/// The value does not fit.
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(json: D) -> Result<Option<T>, D::Error> {
    let given = Option::<T>::deserialize(json)?;
    given.map(Some).ok_or_else(|| D::Error::custom("cannot be null: leave it out for no change"))
}
