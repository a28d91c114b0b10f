//! What the ledger counts, for metrics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use latchkey_core::guardrails::GuardrailCategory;
use latchkey_proto::ledger::Verdict;

/// Counters since the process began.
#[derive(Debug, Default)]
pub struct Stats {
    pub records: AtomicU64,
    /// Records that had been applied before.
    pub duplicates: AtomicU64,
    /// Records that are missing or cannot be read.
    pub dropped: AtomicU64,
    /// Answers to what was asked for, by [`Verdict`]'s number.
    pub grants: [AtomicU64; 5],
    /// Transactions that were tried again.
    pub retries: AtomicU64,
    pub commits: DurationHistogram,
    /// How many reports each transaction held, in all.
    pub reports: AtomicU64,
    pub findings: FindingCounters,
    /// Sightings of MCP tools that were looked at.
    pub sightings: AtomicU64,
    /// Those that did not fit the queue.
    pub sightings_dropped: AtomicU64,
}

/// Findings by category and action.
#[derive(Debug, Default)]
pub struct FindingCounters(Mutex<BTreeMap<(&'static str, &'static str), u64>>);

#[derive(Debug, Default)]
pub struct DurationHistogram {
    counts: [AtomicU64; BOUNDS_MS.len() + 1],
    sum_us: AtomicU64,
}

/// The upper bounds of a histogram's buckets, in milliseconds; one more holds what is longer.
pub const BOUNDS_MS: [u64; 10] = [1, 2, 5, 10, 20, 50, 100, 250, 1_000, 5_000];

impl Stats {
    pub fn count(&self, verdict: Verdict) {
        let number = usize::try_from(i32::from(verdict)).unwrap_or(0);
        if let Some(counter) = self.grants.get(number) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many answers had this verdict.
    #[must_use]
    pub fn granted(&self, verdict: Verdict) -> u64 {
        let number = usize::try_from(i32::from(verdict)).unwrap_or(0);
        self.grants.get(number).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}

impl FindingCounters {
    /// Adds what was committed. What a gateway calls by a name that is no category is counted as `other`.
    pub fn add(&self, findings: BTreeMap<(String, &'static str), u64>) {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for ((category, action), count) in findings {
            let known = category.parse().map_or("other", GuardrailCategory::as_str);
            *counters.entry((known, action)).or_default() += count;
        }
    }

    /// How many there were of each category and action.
    #[must_use]
    pub fn all(&self) -> BTreeMap<(&'static str, &'static str), u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl DurationHistogram {
    pub fn observe(&self, duration: Duration) {
        let place = BOUNDS_MS.iter().position(|bound| duration <= Duration::from_millis(*bound));
        if let Some(counter) = self.counts.get(place.unwrap_or(BOUNDS_MS.len())) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// How many durations were at most each of [`BOUNDS_MS`], and last how many there were.
    #[must_use]
    pub fn cumulative(&self) -> [u64; BOUNDS_MS.len() + 1] {
        let mut sum = 0;
        self.counts.each_ref().map(|count| {
            sum += count.load(Ordering::Relaxed);
            sum
        })
    }

    /// All durations together, in seconds.
    #[must_use]
    pub fn sum_seconds(&self) -> f64 {
        Duration::from_micros(self.sum_us.load(Ordering::Relaxed)).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_sorted_and_summed() {
        let histogram = DurationHistogram::default();
        for ms in [1, 2, 3, 9_000] {
            histogram.observe(Duration::from_millis(ms));
        }
        assert_eq!(histogram.cumulative(), [1, 2, 3, 3, 3, 3, 3, 3, 3, 3, 4]);
        assert!((histogram.sum_seconds() - 9.006).abs() < 1e-9);
    }
}
