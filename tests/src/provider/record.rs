//! What the provider has seen, for tests to ask about.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::request::Parts;
use serde::Serialize;
use serde_json::Value;

use super::reply::Usage;

/// Requests kept; the counts go on.
const KEPT: usize = 1000;
/// Longer bodies are counted, not kept.
const KEPT_BODY: usize = 64 << 10;

/// A request that has arrived.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub path: String,
    /// Its headers, with lower-case names; a repeated one's values are joined by `, `.
    pub headers: BTreeMap<String, String>,
    /// Its body; null when it is not JSON, or longer than 64 KiB.
    pub body: Value,
    /// The length of its body.
    pub body_bytes: usize,
}

/// How much has been seen and answered since the start, or since it was last forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Requests that have arrived.
    pub requests: u64,
    /// Answers that are not yet given to their end.
    pub under_way: u64,
    /// What is billed for each model.
    pub models: BTreeMap<String, Billed>,
}

/// What a provider bills: answers, however they ended. Of a stream that was cut, or that nobody
/// read any more, the output up to there; of another answer, all of it, read or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Billed {
    /// Requests that were answered, and not with a failure.
    pub requests: u64,
    /// Tokens of these requests, with those from the cache.
    pub input_tokens: u64,
    /// Of these, the ones from the cache.
    pub cached_input_tokens: u64,
    /// Tokens of the answers, with those for reasoning.
    pub output_tokens: u64,
    /// Of these, the ones for reasoning.
    pub reasoning_tokens: u64,
}

/// The record, shared by all requests.
#[derive(Default)]
pub(super) struct Record(Mutex<(VecDeque<Seen>, Counts)>);

/// Counts one answer, until it is dropped.
pub(super) struct Meter {
    record: Arc<Record>,
    model: String,
    usage: Usage,
    counted: AtomicU64,
}

impl Counts {
    /// What is billed for all models.
    #[must_use]
    pub fn total(&self) -> Billed {
        self.models.values().fold(Billed::default(), |sum, model| Billed {
            requests: sum.requests + model.requests,
            input_tokens: sum.input_tokens + model.input_tokens,
            cached_input_tokens: sum.cached_input_tokens + model.cached_input_tokens,
            output_tokens: sum.output_tokens + model.output_tokens,
            reasoning_tokens: sum.reasoning_tokens + model.reasoning_tokens,
        })
    }
}

impl Seen {
    pub(super) fn new(head: &Parts, body: &Value, body_bytes: usize) -> Self {
        let mut headers = BTreeMap::<String, String>::new();
        for (name, value) in &head.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            headers
                .entry(name.to_string())
                .and_modify(|all| *all = format!("{all}, {value}"))
                .or_insert_with(|| value.to_string());
        }
        Self {
            method: head.method.to_string(),
            path: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            headers,
            body: if body_bytes > KEPT_BODY { Value::Null } else { body.clone() },
            body_bytes,
        }
    }
}

impl Record {
    pub(super) fn note(&self, seen: Seen) {
        let (requests, counts) = &mut *self.lock();
        counts.requests += 1;
        if requests.len() == KEPT {
            requests.pop_front();
        }
        requests.push_back(seen);
    }

    /// Bills an answer's input, and meters its output.
    pub(super) fn meter(self: &Arc<Self>, model: &str, usage: Usage) -> Meter {
        let (_, counts) = &mut *self.lock();
        counts.under_way += 1;
        let billed = counts.models.entry(model.to_owned()).or_default();
        billed.requests += 1;
        billed.input_tokens += usage.input;
        billed.cached_input_tokens += usage.cached;
        Meter { record: Arc::clone(self), model: model.to_owned(), usage, counted: AtomicU64::new(0) }
    }

    pub(super) fn requests(&self) -> Vec<Seen> {
        self.lock().0.iter().cloned().collect()
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().1.clone()
    }

    pub(super) fn forget(&self) {
        let (requests, counts) = &mut *self.lock();
        requests.clear();
        *counts = Counts { under_way: counts.under_way, ..Counts::default() };
    }

    fn lock(&self) -> MutexGuard<'_, (VecDeque<Seen>, Counts)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meter {
    /// As many output tokens exist by now. What is thought comes before what is said.
    pub(super) fn generated(&self, output: u64) {
        let before = self.counted.fetch_max(output, Ordering::Relaxed);
        let now = before.max(output);
        let (_, counts) = &mut *self.record.lock();
        let billed = counts.models.entry(self.model.clone()).or_default();
        billed.output_tokens += now - before;
        billed.reasoning_tokens += now.min(self.usage.reasoning) - before.min(self.usage.reasoning);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.record.lock().1.under_way -= 1;
    }
}
