//! The metrics of the two roles. Envoy shows them with the prefix `wasmcustom.`.

use std::collections::HashMap;

use latchkey_filter_core::answer::denial::Code;
use latchkey_filter_core::snapshot::UnixMs;
use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;

use crate::host::attempt;

#[derive(Clone, Copy, Debug)]
pub struct SyncMetrics {
    applied: Option<u32>,
    rejected: Option<u32>,
    ended: Option<u32>,
    connected: Option<u32>,
    generation: Option<u32>,
    revision: Option<u32>,
    heartbeat: Option<u32>,
    ledger_connected: Option<u32>,
    ledger_away: Option<u32>,
}

/// Each is defined when first needed: at most one per code.
#[derive(Clone, Debug, Default)]
pub struct GateMetrics {
    counters: HashMap<&'static str, Option<u32>>,
}

impl SyncMetrics {
    /// Not before the first tick.
    pub fn define() -> Self {
        let define = |kind, name| attempt("define_metric", hostcalls::define_metric(kind, name));
        Self {
            applied: define(MetricType::Counter, "latchkey_discovery_responses_applied"),
            rejected: define(MetricType::Counter, "latchkey_discovery_responses_rejected"),
            ended: define(MetricType::Counter, "latchkey_discovery_streams_ended"),
            generation: define(MetricType::Gauge, "latchkey_discovery_generation"),
            connected: define(MetricType::Gauge, "latchkey_discovery_connected"),
            revision: define(MetricType::Gauge, "latchkey_discovery_revision"),
            heartbeat: define(MetricType::Gauge, "latchkey_sync_heartbeat_seconds"),
            ledger_connected: define(MetricType::Gauge, "latchkey_ledger_connected"),
            ledger_away: define(MetricType::Gauge, "latchkey_ledger_away"),
        }
    }

    /// The generation is the number of the last full snapshot.
    pub fn applied(&self, revision: u64, generation: u32) {
        increment(self.applied);
        record(self.revision, revision);
        record(self.generation, generation.into());
    }

    pub fn rejected(&self) {
        increment(self.rejected);
    }

    /// The control plane has accepted a stream.
    pub fn connected(&self) {
        record(self.connected, 1);
    }

    pub fn disconnected(&self) {
        record(self.connected, 0);
        increment(self.ended);
    }

    /// Whether the ledger's stream is open, and whether the control plane counts as away.
    pub fn ledger(&self, connected: bool, away: bool) {
        record(self.ledger_connected, connected.into());
        record(self.ledger_away, away.into());
    }

    /// In Unix seconds.
    pub fn heartbeat(&self, now: UnixMs) {
        record(self.heartbeat, u64::try_from(now.0.div_euclid(1000)).unwrap_or_default());
    }
}

impl GateMetrics {
    pub fn refused(&mut self, code: Code) {
        self.count(code.as_str(), || format!("latchkey_gate_refused_{}", code.as_str()));
    }

    pub fn waits(&mut self) {
        self.count("waits", || "latchkey_gate_requests_waited".to_owned());
    }

    pub fn asks(&mut self) {
        self.count("asks", || "latchkey_gate_detectors_asked".to_owned());
    }

    /// A detector has not looked at what it was asked about.
    pub fn not_judged(&mut self) {
        self.count("not_judged", || "latchkey_gate_detectors_failed".to_owned());
    }

    pub fn dropped(&mut self) {
        self.count("dropped", || "latchkey_gate_records_dropped".to_owned());
    }

    fn count(&mut self, key: &'static str, name: impl FnOnce() -> String) {
        let define = || attempt("define_metric", hostcalls::define_metric(MetricType::Counter, &name()));
        increment(*self.counters.entry(key).or_insert_with(define));
    }
}

fn increment(metric: Option<u32>) {
    if let Some(id) = metric {
        attempt("increment_metric", hostcalls::increment_metric(id, 1));
    }
}

fn record(metric: Option<u32>, value: u64) {
    if let Some(id) = metric {
        attempt("record_metric", hostcalls::record_metric(id, value));
    }
}
