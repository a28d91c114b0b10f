//! What limits count, and for how long.

/// How long a request waits for units, in milliseconds: longer than it takes to find that the control
/// plane is away, so that what holds then decides.
pub const PATIENCE_MS: i64 = 3_500;

/// What a bucket counts, and for how long. The numbers are those of the wire and of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BucketKind {
    /// In any 60 seconds.
    RequestsPerMinute = 1,
    /// In any hour.
    RequestsPerHour = 2,
    /// In any 24 hours.
    RequestsPerDay = 3,
    /// Input and output, in any 60 seconds.
    TokensPerMinute = 4,
    /// Input and output, in a period.
    TokenBudget = 5,
    /// Nano-USD, in a period.
    CostBudget = 6,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Requests, when they are admitted; the gateway tells how many were.
    Requests,
    /// Tokens of input and output, when they are settled. Records tell how many.
    Tokens,
    /// Nano-USD, when they are settled. Records tell how many.
    Cost,
}

impl BucketKind {
    pub const ALL: [Self; 6] = [
        Self::RequestsPerMinute,
        Self::RequestsPerHour,
        Self::RequestsPerDay,
        Self::TokensPerMinute,
        Self::TokenBudget,
        Self::CostBudget,
    ];

    /// The number on the wire and in the database.
    #[must_use]
    pub fn number(self) -> i32 {
        self as i32
    }

    /// The kind of this number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// The name on the wire, in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requests_per_minute",
            Self::RequestsPerHour => "requests_per_hour",
            Self::RequestsPerDay => "requests_per_day",
            Self::TokensPerMinute => "tokens_per_minute",
            Self::TokenBudget => "token_budget",
            Self::CostBudget => "cost_budget",
        }
    }

    #[must_use]
    pub fn unit(self) -> Unit {
        match self {
            Self::RequestsPerMinute | Self::RequestsPerHour | Self::RequestsPerDay => Unit::Requests,
            Self::TokensPerMinute | Self::TokenBudget => Unit::Tokens,
            Self::CostBudget => Unit::Cost,
        }
    }

    /// How many milliseconds a use counts, where the window slides; none for periods.
    #[must_use]
    pub fn span_ms(self) -> Option<u32> {
        match self {
            Self::RequestsPerMinute | Self::TokensPerMinute => Some(60_000),
            Self::RequestsPerHour => Some(3_600_000),
            Self::RequestsPerDay => Some(86_400_000),
            Self::TokenBudget | Self::CostBudget => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery;

    #[test]
    fn kinds_are_those_of_the_wire() {
        for kind in BucketKind::ALL {
            let on_the_wire = discovery::BucketKind::try_from(kind.number()).unwrap();
            assert_eq!(on_the_wire.as_str_name().to_lowercase(), format!("bucket_kind_{}", kind.name()));
            assert_eq!(BucketKind::from_number(kind.number()), Some(kind));
        }
        assert_eq!(BucketKind::from_number(0), None);
        assert!(discovery::BucketKind::try_from(7).is_err(), "the wire has a kind more");
    }
}
