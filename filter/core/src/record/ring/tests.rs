use proptest::prelude::*;

use super::*;
use crate::testing::{self, TestMemory};

fn sequences(records: &[wire::Record]) -> Vec<u64> {
    records.iter().map(|record| record.sequence).collect()
}

#[test]
fn a_full_ring_drops_and_counts_until_something_is_acknowledged() {
    let store = TestMemory::default();
    let mut ring = Ring::new(3, 4);
    for waiting in 0..4 {
        assert_eq!(ring.is_nearly_full(&store), waiting >= 3);
        assert_eq!(ring.append(&store, testing::record()), Append::Appended);
    }
    assert_eq!(ring.append(&store, testing::record()), Append::Full);
    let mut reader = RingReader::resume(&store, 3, 4);
    assert_eq!(sequences(&reader.read(&store, 10, usize::MAX)), [1, 2, 3, 4]);
    reader.acknowledge(&store, 2).unwrap();
    assert_eq!(ring.append(&store, testing::record()), Append::Appended);
    assert_eq!(ring.dropped, 1);
    let left = RingReader::resume(&store, 3, 4).read(&store, 10, usize::MAX);
    assert_eq!(sequences(&left), [3, 4, 5]);
    assert_eq!(left[2].dropped, 1);
}

#[test]
fn reading_is_bounded_but_never_stuck() {
    let store = TestMemory::default();
    let mut ring = Ring::new(0, 8);
    for _ in 0..5 {
        ring.append(&store, testing::record());
    }
    let reader = RingReader::resume(&store, 0, 8);
    assert_eq!(sequences(&reader.read(&store, 3, usize::MAX)), [1, 2, 3]);
    assert_eq!(sequences(&reader.read(&store, 3, 1)), [1]);
}

#[test]
fn each_worker_takes_a_number_of_its_own_once_there_is_a_count() {
    let store = TestMemory::default();
    assert_eq!(take_worker(&store), None);
    assert_eq!(workers(&store), Ok(0));
    assert_eq!(take_worker(&store), Some(0));
    store.interrupt(|store| assert_eq!(take_worker(store), Some(1)));
    assert_eq!(take_worker(&store), Some(2));
    assert_eq!(workers(&store), Ok(3));
}

#[test]
fn what_another_build_wrote_is_not_read() {
    let store = TestMemory::default();
    store.put("r0.1", &[VERSION - 1, 1, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    assert_eq!(RingReader::resume(&store, 0, 8).read(&store, 3, usize::MAX), []);
}

proptest! {
    #[test]
    fn each_record_is_read_once_and_in_order(
        steps in prop::collection::vec((0..6_u8, 1..6_usize), 1..80), capacity in 1..9_u32
    ) {
        let store = TestMemory::default();
        let mut ring = Ring::new(0, capacity);
        let mut reader = RingReader::resume(&store, 0, capacity);
        let (mut kept, mut seen) = (0, 0);
        for (step, count) in steps {
            match step {
                0..3 => for _ in 0..count {
                    kept += u64::from(ring.append(&store, testing::record()) == Append::Appended);
                },
                3 => reader = RingReader::resume(&store, 0, capacity),
                _ => {
                    let records = reader.read(&store, count, usize::MAX);
                    let expected: Vec<_> = (seen + 1..).take(records.len()).collect();
                    prop_assert_eq!(sequences(&records), expected);
                    prop_assert_eq!(records.len() as u64, (kept - seen).min(count as u64));
                    seen += records.len() as u64;
                    reader.acknowledge(&store, seen).unwrap();
                }
            }
        }
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let _ = (decode_slot(&bytes, 1), decode_count(&bytes));
    }
}
