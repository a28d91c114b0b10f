//! How values lie in the shared data. The sync role that writes them and the gates that read them may be of
//! different builds during an upgrade: every value begins with the version of its format, and a value of
//! another version reads as absent.
//!
//! | key | value |
//! | --- | --- |
//! | `m` | [`StoreMeta`] |
//! | `h` | the heartbeat: Unix milliseconds |
//! | `c` | generation, catalogue as protobuf |
//! | `a` + base64url of the app's id | generation, policy as protobuf |
//! | `k` + base64url of the first 15 bytes of the hash | generation, record; see [`encode_key`] |
//! | `l` + base64url of a limit subject's id | its account; see [`crate::limits::account`] |
//! | `w` | how many worker VMs have begun |
//! | `f` | the targets of routing groups that have failed; see [`crate::routing::cooldown`] |
//! | `s` | the tools of MCP servers that are not as they are pinned; see [`crate::mcp::sightings`] |
//! | `d` | their definitions |
//! | `r` + worker + `.` + slot | a record in the worker's ring; see [`crate::record::ring`] |
//! | `t` + worker | the last sequence of the worker that is acknowledged |
//!
//! Only the sync role creates names, except for the slots of a ring, which its worker creates. Gates change
//! accounts, `w`, `f`, `s` and `d` by compare-and-swap.
//!
//! A key's record takes 88 bytes under a name of 21, which the host stores without an
//! allocation of its own: a million keys take about 200 MB of Envoy's memory.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use latchkey_proto::key::KeyHash;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::snapshot::{
    AppId, BucketKind, BucketLimit, KeyId, KeyRecord, Limits, Position, Status, UnixMs, UserId,
};

/// The version of every format here.
pub(crate) const VERSION: u8 = 4;

/// In place of a tag's length: no position.
const ABSENT: u8 = u8::MAX;

/// The part of a hash that names its record; the rest is compared in constant time.
const NAME_BYTES: usize = 15;
const REST_BYTES: usize = 17;

pub const META: &str = "m";

/// The name of the heartbeat.
pub const HEARTBEAT: &str = "h";

/// The name of the catalogue.
pub const CATALOGUE: &str = "c";

/// The name of the number of workers.
pub const WORKERS: &str = "w";

/// The name of the list of targets that have failed.
pub const COOLDOWNS: &str = "f";

/// The name of the list of tools that are not as they are pinned.
pub const SIGHTINGS: &str = "s";

/// The name of the list of their definitions.
pub const DEFINITIONS: &str = "d";

/// The number of a snapshot on this gateway, from 1. Everything that it writes carries it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub u32);

/// The state of the whole store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreMeta {
    /// The last complete snapshot; 0 before the first. Resources of older ones are gone.
    pub active: Generation,
    /// The last snapshot begun. Its number is not used again, even if it was interrupted.
    pub started: Generation,
    /// Changes with each change of an app or of the catalogue.
    pub changes: u32,
    /// New with each process.
    pub instance: u64,
    /// The applied position; none before the first snapshot and while one is incomplete.
    pub position: Option<Position>,
    /// A point at or after everything that was written since the last snapshot began.
    pub newest: Option<Position>,
}

/// The name of a key's record.
#[must_use]
pub fn key_name(hash: &KeyHash) -> String {
    let (head, _) = split(hash);
    name("k", head)
}

/// The name of an app's policy.
#[must_use]
pub fn app_name(id: AppId) -> String {
    name("a", id.0.as_bytes())
}

/// The name of a limit subject's account.
#[must_use]
pub fn account_name(subject: &[u8; 16]) -> String {
    name("l", subject)
}

/// The name of a slot of a worker's ring.
#[must_use]
pub fn slot_name(worker: u32, slot: u32) -> String {
    format!("r{worker}.{slot}")
}

/// The name of a worker's last acknowledged sequence.
#[must_use]
pub fn acknowledged_name(worker: u32) -> String {
    format!("t{worker}")
}

/// Version, generation, status, flags (named 1, limits 2), key, app, user, expires, retires, the rest of the
/// hash, and limits if there are some.
#[must_use]
pub fn encode_key(record: &KeyRecord, generation: Generation) -> Vec<u8> {
    let KeyRecord { hash, key, app, user, status, expires, retires, limits } = record;
    let mut bytes = Vec::with_capacity(88);
    bytes.push(VERSION);
    bytes.extend(generation.0.to_le_bytes());
    bytes.push(match status {
        Status::Active => 1,
        Status::Inactive => 2,
        Status::Revoked => 3,
        Status::Suspended => 4,
    });
    bytes.push(u8::from(user.is_some()) | u8::from(limits.is_some()) << 1);
    bytes.extend(key.0.as_bytes());
    bytes.extend(app.0.as_bytes());
    bytes.extend(user.map_or(Uuid::nil(), |user| user.0).as_bytes());
    bytes.extend(expires.map_or(0, |at| at.0).to_le_bytes());
    bytes.extend(retires.map_or(0, |at| at.0).to_le_bytes());
    bytes.extend(split(hash).1);
    if let Some(limits) = limits {
        put_limits(&mut bytes, limits);
    }
    bytes
}

/// None where it is another key's, or this build cannot read it.
#[must_use]
pub fn decode_key(bytes: &[u8], hash: &KeyHash) -> Option<(Generation, KeyRecord)> {
    let mut input = ValueReader::open(bytes)?;
    let generation = input.generation()?;
    let status = match input.byte()? {
        1 => Status::Active,
        2 => Status::Inactive,
        3 => Status::Revoked,
        4 => Status::Suspended,
        _ => return None,
    };
    let (named, limited) = match input.byte()? {
        0 => (false, false),
        1 => (true, false),
        2 => (false, true),
        3 => (true, true),
        _ => return None,
    };
    let (key, app) = (KeyId(input.uuid()?), AppId(input.uuid()?));
    let user = UserId(input.uuid()?);
    let (expires, retires) = (input.moment()?, input.moment()?);
    let rest: [u8; REST_BYTES] = input.take()?;
    let same: bool = rest.ct_eq(split(hash).1).into();
    let limits = if limited { Some(input.limits()?) } else { None };
    let user = named.then_some(user);
    let record = KeyRecord { hash: *hash, key, app, user, status, expires, retires, limits };
    (same && input.0.is_empty()).then_some((generation, record))
}

/// A resource kept as protobuf.
#[must_use]
pub fn encode_resource(generation: Generation, resource: &[u8]) -> Vec<u8> {
    [&[VERSION], generation.0.to_le_bytes().as_slice(), resource].concat()
}

/// The resource's protobuf, and its generation.
#[must_use]
pub fn decode_resource(bytes: &[u8]) -> Option<(Generation, &[u8])> {
    let mut input = ValueReader::open(bytes)?;
    Some((input.generation()?, input.0))
}

#[must_use]
pub fn encode_heartbeat(at: UnixMs) -> Vec<u8> {
    [&[VERSION], at.0.to_le_bytes().as_slice()].concat()
}

/// When the heartbeat was written.
#[must_use]
pub fn decode_heartbeat(bytes: &[u8]) -> Option<UnixMs> {
    let mut input = ValueReader::open(bytes)?;
    input.take().map(i64::from_le_bytes).map(UnixMs)
}

impl StoreMeta {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let Self { active, started, changes, instance, position, newest } = self;
        let mut bytes = vec![VERSION];
        bytes.extend(active.0.to_le_bytes());
        bytes.extend(started.0.to_le_bytes());
        bytes.extend(changes.to_le_bytes());
        bytes.extend(instance.to_le_bytes());
        for point in [position, newest] {
            let Some(Position { revision, tag }) = point else {
                bytes.push(ABSENT);
                continue;
            };
            // A tag is at most 64 bytes.
            bytes.push(u8::try_from(tag.len()).unwrap_or(ABSENT));
            bytes.extend(revision.to_le_bytes());
            bytes.extend(tag);
        }
        bytes
    }

    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = ValueReader::open(bytes)?;
        let (active, started) = (input.generation()?, input.generation()?);
        let changes = input.take().map(u32::from_le_bytes)?;
        let instance = input.take().map(u64::from_le_bytes)?;
        let (position, newest) = (input.point()?, input.point()?);
        Some(Self { active, started, changes, instance, position, newest })
    }
}

/// The number of buckets, each one's kind and limit, then the limits of a request; 0 for none.
fn put_limits(bytes: &mut Vec<u8>, limits: &Limits) {
    let Limits { buckets, max_input_tokens, max_output_tokens, min_output_tokens } = limits;
    put_varint(bytes, u64::try_from(buckets.len()).unwrap_or_default());
    for BucketLimit { kind, limit } in buckets {
        put_kind(bytes, *kind);
        put_varint(bytes, *limit);
    }
    put_varint(bytes, max_input_tokens.unwrap_or_default());
    put_varint(bytes, max_output_tokens.unwrap_or_default());
    put_varint(bytes, min_output_tokens.unwrap_or_default());
}

pub(crate) fn put_kind(bytes: &mut Vec<u8>, kind: BucketKind) {
    bytes.push(u8::try_from(kind.number()).unwrap_or_default());
}

/// Seven bits to a byte, the lowest first.
pub(crate) fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Reads a stored value.
pub(crate) struct ValueReader<'a>(pub &'a [u8]);

impl<'a> ValueReader<'a> {
    pub(crate) fn open(bytes: &'a [u8]) -> Option<Self> {
        let mut input = Self(bytes);
        (input.byte()? == VERSION).then_some(input)
    }

    pub(crate) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(crate) fn kind(&mut self) -> Option<BucketKind> {
        BucketKind::from_number(self.byte()?.into())
    }

    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            number |= bits.checked_shl(shift).filter(|shifted| shifted >> shift == bits)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn limits(&mut self) -> Option<Limits> {
        let count = self.varint()?;
        let buckets: Option<Vec<_>> =
            (0..count).map(|_| Some(BucketLimit { kind: self.kind()?, limit: self.varint()? })).collect();
        let of_request = |limit: u64| (limit != 0).then_some(limit);
        let (buckets, input, output, floor) = (buckets?, self.varint()?, self.varint()?, self.varint()?);
        Some(Limits {
            buckets,
            max_input_tokens: of_request(input),
            max_output_tokens: of_request(output),
            min_output_tokens: of_request(floor),
        })
    }

    fn generation(&mut self) -> Option<Generation> {
        self.take().map(u32::from_le_bytes).map(Generation)
    }

    fn uuid(&mut self) -> Option<Uuid> {
        self.take().map(Uuid::from_bytes)
    }

    fn point(&mut self) -> Option<Option<Position>> {
        let length = self.byte()?;
        if length == ABSENT {
            return Some(None);
        }
        let revision = self.take().map(u64::from_le_bytes)?;
        let (tag, rest) = self.0.split_at_checked(length.into())?;
        self.0 = rest;
        Some(Some(Position { revision, tag: tag.to_vec() }))
    }

    fn moment(&mut self) -> Option<Option<UnixMs>> {
        let ms = self.take().map(i64::from_le_bytes)?;
        Some((ms != 0).then_some(UnixMs(ms)))
    }
}

fn split(hash: &KeyHash) -> (&[u8], &[u8]) {
    hash.as_bytes().split_at_checked(NAME_BYTES).unwrap_or_default()
}

fn name(kind: &str, bytes: &[u8]) -> String {
    let mut name = String::with_capacity(24);
    name.push_str(kind);
    URL_SAFE_NO_PAD.encode_string(bytes, &mut name);
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> impl Strategy<Value = KeyRecord> {
        let status = prop_oneof![
            Just(Status::Active),
            Just(Status::Inactive),
            Just(Status::Revoked),
            Just(Status::Suspended)
        ];
        let moment = || prop::option::of((1..i64::MAX).prop_map(UnixMs));
        let ids = (any::<u128>(), any::<u128>(), any::<Option<u128>>());
        (any::<[u8; 32]>(), ids, status, moment(), moment(), prop::option::of(limits())).prop_map(
            |(hash, (key, app, user), status, expires, retires, limits)| KeyRecord {
                hash: hash.into(),
                key: KeyId(Uuid::from_u128(key)),
                app: AppId(Uuid::from_u128(app)),
                user: user.map(|user| UserId(Uuid::from_u128(user))),
                status,
                expires,
                retires,
                limits,
            },
        )
    }

    fn limits() -> impl Strategy<Value = Limits> {
        let bucket = (0..6_usize, 1..u64::MAX)
            .prop_map(|(kind, limit)| BucketLimit { kind: BucketKind::ALL[kind], limit });
        let of_request = || prop::option::of(1..u64::MAX);
        (prop::collection::vec(bucket, 0..6), of_request(), of_request(), of_request()).prop_map(
            |(buckets, max_input_tokens, max_output_tokens, min_output_tokens)| Limits {
                buckets,
                max_input_tokens,
                max_output_tokens,
                min_output_tokens,
            },
        )
    }

    fn points() -> impl Strategy<Value = [Option<Position>; 2]> {
        let point = (any::<u64>(), prop::collection::vec(any::<u8>(), 0..=64));
        prop::array::uniform2(prop::option::of(point.prop_map(|(revision, tag)| Position { revision, tag })))
    }

    #[test]
    fn another_format_version_and_a_tombstone_read_as_absent() {
        let hash = KeyHash::of("x");
        let mut meta = StoreMeta::default().encode();
        meta[0] = 1;
        assert_eq!(StoreMeta::decode(&meta), None);
        assert_eq!(StoreMeta::decode(&[]), None);
        assert_eq!(decode_key(&[], &hash), None);
        assert_eq!(decode_resource(&[9, 0, 0, 0, 0]), None);
        assert_eq!(decode_heartbeat(&encode_heartbeat(UnixMs(7))), Some(UnixMs(7)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn key_records_read_back(record in record(), generation: u32) {
            let bytes = encode_key(&record, Generation(generation));
            prop_assert!((bytes.len() == 88) == record.limits.is_none());
            prop_assert_eq!(key_name(&record.hash).len(), 21);
            prop_assert_eq!(decode_key(&bytes, &record.hash), Some((Generation(generation), record)));
        }

        #[test]
        fn a_hash_that_differs_anywhere_finds_nothing(record in record(), bit in 0..256usize) {
            let mut other = *record.hash.as_bytes();
            other[bit / 8] ^= 1 << (bit % 8);
            let other = KeyHash::from(other);
            let found = key_name(&other) == key_name(&record.hash)
                && decode_key(&encode_key(&record, Generation(1)), &other).is_some();
            prop_assert!(!found);
        }

        #[test]
        fn meta_reads_back(active: u32, started: u32, changes: u32, instance: u64, points in points()) {
            let [position, newest] = points;
            let (active, started) = (Generation(active), Generation(started));
            let meta = StoreMeta { active, started, changes, instance, position, newest };
            prop_assert_eq!(StoreMeta::decode(&meta.encode()), Some(meta));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, hash: [u8; 32]) {
            let _ = (StoreMeta::decode(&bytes), decode_key(&bytes, &hash.into()), decode_resource(&bytes), decode_heartbeat(&bytes));
        }
    }
}
