use latchkey_proto::window::FEW_PART;

use super::SubjectId;
use crate::snapshot::BucketKind;
use crate::store::layout::{VERSION, ValueReader, put_kind, put_varint};

/// All units that one request lacks, so that one round trip is enough. A gate sends it to the sync role
/// through a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// At most one per bucket.
    pub buckets: Vec<BucketDemand>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketDemand {
    pub subject: SubjectId,
    pub kind: BucketKind,
    /// Units to have available, including those that already are.
    pub need: u64,
    /// The waiting request does not go with fewer; 0 where no request waits.
    pub least: u64,
    /// The request never goes with fewer, however short its output is cut.
    pub floor: u64,
    /// From the policy.
    pub limit: u64,
}

/// Requests that a cushion covers.
const CUSHION: u64 = 16;

/// The first byte of the message, after the version.
const DEMAND: u8 = 1;

/// Units to keep available after requests of this size, so that a key that pauses need not ask for each
/// request. Never more than [`few`].
#[must_use]
pub fn cushion(kind: BucketKind, need: u64, limit: u64) -> u64 {
    need.saturating_mul(CUSHION).min(few(kind, limit))
}

/// The units that may lie idle for a while. Fewer of a budget: what a killed gateway had leased of it stays
/// charged until the period ends.
pub(super) fn few(kind: BucketKind, of: u64) -> u64 {
    of.div_euclid(if kind.span_ms().is_some() { FEW_PART } else { 64 })
}

impl Demand {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, DEMAND];
        for BucketDemand { subject, kind, need, least, floor, limit } in &self.buckets {
            bytes.extend(subject.0);
            put_kind(&mut bytes, *kind);
            for number in [need, least, floor, limit] {
                put_varint(&mut bytes, *number);
            }
        }
        bytes
    }

    /// None when this build cannot read it.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = ValueReader::open(bytes)?;
        if input.byte()? != DEMAND {
            return None;
        }
        let mut buckets = Vec::new();
        while !input.0.is_empty() {
            let (subject, kind) = (SubjectId(input.take()?), input.kind()?);
            let (need, least) = (input.varint()?, input.varint()?);
            let (floor, limit) = (input.varint()?, input.varint()?);
            buckets.push(BucketDemand { subject, kind, need, least, floor, limit });
        }
        Some(Self { buckets })
    }
}
