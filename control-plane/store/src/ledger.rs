//! The ledger's tables, as the book writes them: many rows with each statement.
//!
//! Every transaction takes its locks in one order, and within a table by key, so that replicas do not
//! lock each other out: workers, buckets, leases, sums, events.

pub mod bucket;
pub(super) mod bulk;
pub mod density;
pub mod event;
pub mod retention;
pub mod subject;
pub mod usage;
pub mod worker;

/// A count, as a column holds it.
pub fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count that a column holds.
fn count(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}
