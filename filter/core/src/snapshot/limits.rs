use latchkey_proto::bucket::{BucketKind, Unit};
use latchkey_proto::discovery as wire;

use super::InvalidResource;

/// What an app or a named key may use. The default is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// At most one of each kind.
    pub buckets: Vec<BucketLimit>,
    /// Of one request.
    pub max_input_tokens: Option<u64>,
    /// Of one request.
    pub max_output_tokens: Option<u64>,
    /// An answer is not cut shorter than this where others hold the units that it needs.
    pub min_output_tokens: Option<u64>,
}

/// The limit of a window or a budget, over all gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketLimit {
    /// What is counted, and for how long.
    pub kind: BucketKind,
    /// At least 1.
    pub limit: u64,
}

impl Limits {
    #[must_use]
    pub fn of_requests(&self) -> Self {
        let counted = self.buckets.iter().filter(|bucket| bucket.kind.unit() == Unit::Requests);
        Self { buckets: counted.copied().collect(), ..Self::default() }
    }
}

impl TryFrom<wire::Limits> for Limits {
    type Error = InvalidResource;

    fn try_from(limits: wire::Limits) -> Result<Self, InvalidResource> {
        let wire::Limits { buckets: offered, max_input_tokens, max_output_tokens, min_output_tokens } =
            limits;
        let mut buckets: Vec<BucketLimit> = Vec::with_capacity(offered.len());
        for wire::Bucket { kind, limit } in offered {
            let kind = BucketKind::from_number(kind).ok_or(InvalidResource::Unset("limits.buckets.kind"))?;
            if buckets.iter().any(|bucket| bucket.kind == kind) {
                return Err(InvalidResource::LimitedTwice(kind.number()));
            }
            buckets.push(BucketLimit { kind, limit: at_least_one(limit, "limits.buckets.limit")? });
        }
        let of_request =
            |limit: Option<u64>, field| limit.map(|limit| at_least_one(limit, field)).transpose();
        Ok(Self {
            buckets,
            max_input_tokens: of_request(max_input_tokens, "limits.max_input_tokens")?,
            max_output_tokens: of_request(max_output_tokens, "limits.max_output_tokens")?,
            min_output_tokens: of_request(min_output_tokens, "limits.min_output_tokens")?,
        })
    }
}

fn at_least_one(limit: u64, field: &'static str) -> Result<u64, InvalidResource> {
    if limit == 0 { Err(InvalidResource::Zero(field)) } else { Ok(limit) }
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
}
