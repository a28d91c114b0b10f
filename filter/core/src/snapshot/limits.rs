use latchkey_proto::discovery as wire;

use super::Invalid;

/// What an app or a named key may use. The default is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// At most one of each kind.
    pub buckets: Vec<Bucket>,
    /// Of one request.
    pub max_input_tokens: Option<u64>,
    /// Of one request.
    pub max_output_tokens: Option<u64>,
}

/// What may be used within a window or a period, by all gateways together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// What is counted, and for how long.
    pub kind: BucketKind,
    /// At least 1.
    pub limit: u64,
}

/// What a bucket counts, and for how long. The numbers are those of the wire.
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

/// What a bucket counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Requests, when they are admitted.
    Requests,
    /// Tokens of input and output, when they are settled.
    Tokens,
    /// Nano-USD, when they are settled.
    Cost,
}

impl BucketKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::RequestsPerMinute,
        Self::RequestsPerHour,
        Self::RequestsPerDay,
        Self::TokensPerMinute,
        Self::TokenBudget,
        Self::CostBudget,
    ];

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> i32 {
        self as i32
    }

    /// The kind of this number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// What is counted.
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

impl TryFrom<wire::Limits> for Limits {
    type Error = Invalid;

    fn try_from(limits: wire::Limits) -> Result<Self, Invalid> {
        let wire::Limits { buckets: offered, max_input_tokens, max_output_tokens } = limits;
        let mut buckets: Vec<Bucket> = Vec::with_capacity(offered.len());
        for wire::Bucket { kind, limit } in offered {
            let kind = BucketKind::from_number(kind).ok_or(Invalid::Unset("limits.buckets.kind"))?;
            if buckets.iter().any(|bucket| bucket.kind == kind) {
                return Err(Invalid::LimitedTwice(kind.number()));
            }
            buckets.push(Bucket { kind, limit: at_least_one(limit, "limits.buckets.limit")? });
        }
        let of_request =
            |limit: Option<u64>, field| limit.map(|limit| at_least_one(limit, field)).transpose();
        Ok(Self {
            buckets,
            max_input_tokens: of_request(max_input_tokens, "limits.max_input_tokens")?,
            max_output_tokens: of_request(max_output_tokens, "limits.max_output_tokens")?,
        })
    }
}

fn at_least_one(limit: u64, field: &'static str) -> Result<u64, Invalid> {
    if limit == 0 { Err(Invalid::Zero(field)) } else { Ok(limit) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(buckets: &[(i32, u64)]) -> Result<Limits, String> {
        let buckets = buckets.iter().map(|&(kind, limit)| wire::Bucket { kind, limit }).collect();
        let limits = wire::Limits { buckets, ..wire::Limits::default() };
        Limits::try_from(limits).map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn limits_that_could_not_be_meant_are_refused() {
        assert_eq!(read(&[(0, 5)]).unwrap_err(), "limits.buckets.kind is not set, or not to a known value");
        assert_eq!(read(&[(7, 5)]).unwrap_err(), "limits.buckets.kind is not set, or not to a known value");
        assert_eq!(read(&[(1, 5), (1, 6)]).unwrap_err(), "limits.buckets has kind 1 twice");
        assert_eq!(read(&[(6, 0)]).unwrap_err(), "limits.buckets.limit is 0");
        let none = wire::Limits { max_output_tokens: Some(0), ..wire::Limits::default() };
        assert_eq!(Limits::try_from(none).unwrap_err().to_string(), "limits.max_output_tokens is 0");
    }

    #[test]
    fn kinds_are_those_of_the_wire() {
        for kind in BucketKind::ALL {
            let on_the_wire = wire::BucketKind::try_from(kind.number()).unwrap();
            assert_eq!(
                on_the_wire.as_str_name().replace("BUCKET_KIND_", "").replace('_', "").to_lowercase(),
                format!("{kind:?}").to_lowercase()
            );
            let bucket = Bucket { kind, limit: 3 };
            assert_eq!(read(&[(kind.number(), 3)]).unwrap().buckets, [bucket]);
        }
    }
}
