use latchkey_proto::window::FEW_PART;

use super::SubjectId;
use crate::snapshot::BucketKind;
use crate::store::layout::{VERSION, ValueReader, put_kind, put_varint};

/// The units that one request misses, all at once: one round trip is enough. A gate sends it to the sync
/// role through a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// At most one for each bucket of the request.
    pub asks: Vec<BucketDemand>,
}

/// The need of one bucket's units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketDemand {
    /// Whose bucket.
    pub subject: SubjectId,
    /// Which one.
    pub kind: BucketKind,
    /// How many units are to be available, with those that are.
    pub need: u64,
    /// With fewer available the request does not go now; 0 where none waits.
    pub least: u64,
    /// With fewer it never goes, however much its output is cut.
    pub floor: u64,
    /// The limit by the policy.
    pub limit: u64,
}

/// A cushion is worth so many times what a request needs.
const CUSHION: u64 = 16;

/// The first byte of the message, after the version.
const DEMAND: u8 = 1;

/// How much there is to be of a limit after requests that need so much, though nothing is known of
/// how many come: so that a key that pauses need not ask for each. Never more than a few units.
#[must_use]
pub fn cushion(kind: BucketKind, need: u64, limit: u64) -> u64 {
    need.saturating_mul(CUSHION).min(few(kind, limit))
}

/// So much of it is few, and may lie idle for a while. Of a budget that is less: what a gateway takes
/// to its grave stays charged until the period ends.
pub(super) fn few(kind: BucketKind, of: u64) -> u64 {
    of.div_euclid(if kind.span_ms().is_some() { FEW_PART } else { 64 })
}

impl Demand {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, DEMAND];
        for BucketDemand { subject, kind, need, least, floor, limit } in &self.asks {
            bytes.extend(subject.0);
            put_kind(&mut bytes, *kind);
            for number in [need, least, floor, limit] {
                put_varint(&mut bytes, *number);
            }
        }
        bytes
    }

    /// None when this build cannot read the message.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = ValueReader::open(bytes)?;
        if input.byte()? != DEMAND {
            return None;
        }
        let mut asks = Vec::new();
        while !input.0.is_empty() {
            let (subject, kind) = (SubjectId(input.take()?), input.kind()?);
            let (need, least) = (input.varint()?, input.varint()?);
            let (floor, limit) = (input.varint()?, input.varint()?);
            asks.push(BucketDemand { subject, kind, need, least, floor, limit });
        }
        Some(Self { asks })
    }
}
