use latchkey_proto::window::FEW_PART;

use super::SubjectId;
use crate::snapshot::BucketKind;
use crate::store::layout::{VERSION, ValueReader, put_kind, put_varint};

/// What a gate tells the sync role, through its queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Units are missing.
    Demand(Demand),
    /// Records wait in a ring.
    Records,
}

/// All that one request misses, so that one round trip is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// At most one for each bucket of the request.
    pub asks: Vec<BucketDemand>,
}

/// The need of one bucket's units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketDemand {
    /// Whose bucket.
    pub owner: SubjectId,
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

const DEMAND: u8 = 1;
const RECORDS: u8 = 2;

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

impl Notice {
    /// The queue's message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Self::Demand(demand) = self else { return vec![VERSION, RECORDS] };
        let mut bytes = vec![VERSION, DEMAND];
        for BucketDemand { owner, kind, need, least, floor, limit } in &demand.asks {
            bytes.extend(owner.0);
            put_kind(&mut bytes, *kind);
            for number in [need, least, floor, limit] {
                put_varint(&mut bytes, *number);
            }
        }
        bytes
    }

    /// What a queue's message says; none when this build cannot read it.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = ValueReader::open(bytes)?;
        match input.byte()? {
            RECORDS => return Some(Self::Records),
            DEMAND => {}
            _ => return None,
        }
        let mut asks = Vec::new();
        while !input.0.is_empty() {
            let (owner, kind) = (SubjectId(input.take()?), input.kind()?);
            let (need, least) = (input.varint()?, input.varint()?);
            let (floor, limit) = (input.varint()?, input.varint()?);
            asks.push(BucketDemand { owner, kind, need, least, floor, limit });
        }
        Some(Self::Demand(Demand { asks }))
    }
}
