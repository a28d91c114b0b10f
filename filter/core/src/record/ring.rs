//! The records of one worker, kept until the control plane has committed them: a ring of slots in the store.
//! Only its worker writes the slots, and only the sync role writes what is acknowledged.
//!
//! A slot's value is the version, the record's sequence and the record as protobuf. A worker VM that
//! is loaded again takes another number, and so another ring; the sync role reads those of all
//! numbers ever taken.

use latchkey_proto::ledger as wire;
use prost::Message as _;

use crate::record::Record;
use crate::store::layout::{self, VERSION, ValueReader};
use crate::store::{NotStored, SharedStore, Swap};

/// Records per worker.
pub const CAPACITY: u32 = 8192;

/// Attempts to take a number.
const MOST_TRIES: u32 = 1000;

/// The worker's end of its ring.
#[derive(Debug)]
pub struct Ring {
    worker: u32,
    capacity: u32,
    /// 0 before the first.
    written: u64,
    /// As far as this worker knows.
    acknowledged: u64,
    dropped: u64,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Append {
    Appended,
    /// Dropped and counted: the ring is full, or the host does not store it.
    Full,
}

/// The sync role's end of one ring.
#[derive(Clone, Copy, Debug)]
pub struct RingReader {
    worker: u32,
    capacity: u32,
    acknowledged: u64,
}

/// Takes a number for a new worker VM; none until the sync role counts workers.
pub fn take_worker(store: &impl SharedStore) -> Option<u32> {
    for _ in 0..MOST_TRIES {
        let stored = store.get(layout::WORKERS)?;
        let worker = decode_count(&stored.bytes)?;
        match store.swap(layout::WORKERS, &encode_count(worker.checked_add(1)?), stored.write) {
            Swap::Done => return Some(worker),
            Swap::Changed => {}
            Swap::Failed => break,
        }
    }
    None
}

/// How many numbers were taken. Only the sync role asks; it starts the count.
///
/// # Errors
/// When the host refuses to store.
pub fn workers(store: &impl SharedStore) -> Result<u32, NotStored> {
    let stored = store.get(layout::WORKERS);
    match stored.and_then(|stored| decode_count(&stored.bytes)) {
        Some(count) => Ok(count),
        None => store.put(layout::WORKERS, &encode_count(0)).map(|()| 0),
    }
}

impl Ring {
    /// The ring of a worker that has just taken its number.
    #[must_use]
    pub fn new(worker: u32, capacity: u32) -> Self {
        Self { worker, capacity: capacity.max(1), written: 0, acknowledged: 0, dropped: 0 }
    }

    #[must_use]
    pub fn worker(&self) -> u32 {
        self.worker
    }

    pub fn append(&mut self, store: &impl SharedStore, record: Record) -> Append {
        self.append_repeated(store, record, 1)
    }

    /// Appends a record that stands for this many requests like it.
    pub fn append_repeated(&mut self, store: &impl SharedStore, record: Record, repeats: u64) -> Append {
        let sequence = self.written.saturating_add(1);
        if self.is_full() {
            self.refresh_acknowledged(store);
        }
        let mut record = wire::Record::from(record);
        record.sequence = sequence;
        record.dropped = self.dropped;
        record.repeats = repeats;
        let name = layout::slot_name(self.worker, slot(sequence, self.capacity));
        if self.is_full() || store.put(&name, &encode_slot(&record)).is_err() {
            self.dropped = self.dropped.saturating_add(1);
            return Append::Full;
        }
        self.written = sequence;
        Append::Appended
    }

    /// Whether less than a quarter of the slots is free: requests with limits are refused then.
    pub fn is_nearly_full(&mut self, store: &impl SharedStore) -> bool {
        let most = u64::from(self.capacity).saturating_mul(3).div_euclid(4);
        if self.waiting() >= most {
            self.refresh_acknowledged(store);
        }
        self.waiting() >= most
    }

    /// Whether half of the slots is free: the other half is for requests that use something.
    pub fn has_room_for_refusals(&mut self, store: &impl SharedStore) -> bool {
        let most = u64::from(self.capacity).div_euclid(2);
        if self.waiting() >= most {
            self.refresh_acknowledged(store);
        }
        self.waiting() < most
    }

    /// Records that wait, as far as is known.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.written.saturating_sub(self.acknowledged)
    }

    fn is_full(&self) -> bool {
        self.waiting() >= self.capacity.into()
    }

    fn refresh_acknowledged(&mut self, store: &impl SharedStore) {
        let acknowledged = acknowledged(store, self.worker).min(self.written);
        self.acknowledged = self.acknowledged.max(acknowledged);
    }
}

impl RingReader {
    /// Reads a ring after what is acknowledged.
    pub fn resume(store: &impl SharedStore, worker: u32, capacity: u32) -> Self {
        Self { worker, capacity: capacity.max(1), acknowledged: acknowledged(store, worker) }
    }

    #[must_use]
    pub fn worker(&self) -> u32 {
        self.worker
    }

    /// Unacknowledged records from the oldest: at most `most`, and at most `most_bytes` from the second on.
    pub fn read(&self, store: &impl SharedStore, most: usize, most_bytes: usize) -> Vec<wire::Record> {
        let mut records = Vec::new();
        let mut bytes = 0_usize;
        let mut sequence = self.acknowledged;
        while records.len() < most {
            sequence = sequence.saturating_add(1);
            let name = layout::slot_name(self.worker, slot(sequence, self.capacity));
            let Some(stored) = store.get(&name) else { break };
            let Some(record) = decode_slot(&stored.bytes, sequence) else { break };
            bytes = bytes.saturating_add(stored.bytes.len());
            if bytes > most_bytes && !records.is_empty() {
                break;
            }
            records.push(record);
        }
        records
    }

    /// The control plane has committed everything up to this sequence.
    ///
    /// # Errors
    /// When the host refuses to store.
    pub fn acknowledge(&mut self, store: &impl SharedStore, sequence: u64) -> Result<(), NotStored> {
        if sequence > self.acknowledged {
            let value = [&[VERSION], sequence.to_le_bytes().as_slice()].concat();
            store.put(&layout::acknowledged_name(self.worker), &value)?;
            self.acknowledged = sequence;
        }
        Ok(())
    }

    /// The last acknowledged sequence.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }
}

fn slot(sequence: u64, capacity: u32) -> u32 {
    sequence.checked_rem(capacity.into()).and_then(|slot| u32::try_from(slot).ok()).unwrap_or_default()
}

fn acknowledged(store: &impl SharedStore, worker: u32) -> u64 {
    let stored = store.get(&layout::acknowledged_name(worker));
    let read = |bytes: &[u8]| ValueReader::open(bytes)?.take().map(u64::from_le_bytes);
    stored.and_then(|stored| read(&stored.bytes)).unwrap_or_default()
}

fn encode_count(count: u32) -> Vec<u8> {
    [&[VERSION], count.to_le_bytes().as_slice()].concat()
}

fn decode_count(bytes: &[u8]) -> Option<u32> {
    ValueReader::open(bytes)?.take().map(u32::from_le_bytes)
}

fn encode_slot(record: &wire::Record) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(record.encoded_len().saturating_add(9));
    bytes.push(VERSION);
    bytes.extend(record.sequence.to_le_bytes());
    record.encode_raw(&mut bytes);
    bytes
}

fn decode_slot(bytes: &[u8], sequence: u64) -> Option<wire::Record> {
    let mut input = ValueReader::open(bytes)?;
    let written = input.take().map(u64::from_le_bytes)?;
    (written == sequence).then(|| wire::Record::decode(input.0).ok()).flatten()
}

#[cfg(test)]
mod tests;
