//! What the provider has seen, for tests to ask about.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Requests that have arrived.
    pub requests: u64,
    /// Tokens of the requests that were answered.
    pub input_tokens: u64,
    /// Tokens of the answers, as if every one had been read to its end.
    pub output_tokens: u64,
}

/// The record, shared by all requests.
#[derive(Default)]
pub(super) struct Record(Mutex<(VecDeque<Seen>, Counts)>);

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

    pub(super) fn count(&self, usage: Usage) {
        let (_, counts) = &mut *self.lock();
        counts.input_tokens += usage.input;
        counts.output_tokens += usage.output;
    }

    pub(super) fn requests(&self) -> Vec<Seen> {
        self.lock().0.iter().cloned().collect()
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().1
    }

    pub(super) fn forget(&self) {
        *self.lock() = Default::default();
    }

    fn lock(&self) -> MutexGuard<'_, (VecDeque<Seen>, Counts)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
