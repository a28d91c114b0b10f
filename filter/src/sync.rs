//! The sync role: keeps two streams to the control plane open, applies what discovery brings, and trades
//! usage for leases over the ledger. Gates learn everything from shared data.

use std::collections::BTreeMap;

use latchkey_filter_core::discovery::replica::{DiscoveryOutcome, Replica};
use latchkey_filter_core::ledger::{self, LedgerClient, LedgerEffect, LedgerEvent};
use latchkey_filter_core::limits::account::SubjectId;
use latchkey_filter_core::mcp::sightings;
use latchkey_filter_core::record::ring;
use latchkey_filter_core::routing::cooldown;
use latchkey_proto::discovery as wire;
use latchkey_proto::ledger as ledger_wire;
use prost::Message as _;
use proxy_wasm::hostcalls;
use proxy_wasm::types::BufferType;

use crate::configuration;
use crate::grpc_service::GrpcService;
use crate::grpc_stream::{GrpcStream, StreamChange};
use crate::host::{self, attempt};
use crate::metrics::SyncMetrics;
use crate::queue::{self, Inbox, Outbox};
use crate::shared_data::SharedData;

pub use crate::grpc_stream::TICK;

/// Envoy's property with its node id, in newer and in older versions.
const NODE_ID: [&[&str]; 2] = [&["xds", "node", "id"], &["node", "id"]];

/// Ticks between two heartbeats: one second.
const BEAT: u64 = 10;

/// A worker that has not asked for this many ticks has no waiting request.
const WAITS: u64 = 50;

/// Without an answer for this long the control plane is away.
const AWAY_AFTER_MS: u64 = 2_000;

/// How long offline limits hold by default.
const ALONE_SECONDS: u32 = 600;

/// Before its first tick it touches nothing but its configuration.
pub struct SyncRole {
    configuration: configuration::SyncConfiguration,
    running: Option<Running>,
}

/// A worker that waits for units.
struct Waiter {
    outbox: Outbox,
    /// The tick at which it last asked.
    asked: u64,
}

struct Running {
    upstream: GrpcService,
    gateway: String,
    replica: Replica<SharedData>,
    ledger: LedgerClient<SharedData>,
    discovery_stream: GrpcStream,
    ledger_stream: GrpcStream,
    demands: Option<Inbox>,
    /// Workers that have asked lately.
    workers: BTreeMap<u32, Waiter>,
    metrics: SyncMetrics,
    ticks: u64,
}

impl SyncRole {
    pub fn new(configuration: configuration::SyncConfiguration) -> Self {
        Self { configuration, running: None }
    }

    pub fn tick(&mut self) {
        if self.running.is_none() {
            self.running = Running::start(&self.configuration);
        }
        if let Some(running) = &mut self.running {
            running.tick();
        }
    }

    /// A gate has sent demands.
    pub fn wake(&mut self, queue: u32) {
        let Some(running) = &mut self.running else { return };
        let Some(inbox) = running.demands.filter(|inbox| inbox.is(queue)) else { return };
        while let Some(message) = inbox.take() {
            let Some((worker, notice)) = queue::read(&message) else { continue };
            running.workers.entry(worker).or_insert_with(|| Waiter::new(worker)).asked = running.ticks;
            running.note(LedgerEvent::Demand(notice.to_vec()));
        }
    }

    /// The control plane has accepted a stream.
    pub fn accepted(&mut self, token: u32) {
        if let Some(running) = self.running.as_mut().filter(|running| running.discovery_stream.is(token)) {
            running.metrics.connected();
        }
    }

    pub fn receive(&mut self, token: u32, size: usize) {
        let Some(running) = &mut self.running else { return };
        let read = || {
            attempt("get_buffer", hostcalls::get_buffer(BufferType::GrpcReceiveBuffer, 0, size))
                .flatten()
                .unwrap_or_default()
        };
        if running.discovery_stream.is(token) {
            running.discovered(&read());
        } else if running.ledger_stream.is(token) {
            running.answered(&read());
        }
    }

    /// A stream has ended. Its token is closed here, once, and never touched again.
    pub fn closed(&mut self, token: u32, status: u32) {
        attempt("close_grpc_stream", hostcalls::close_grpc_stream(token));
        let Some(running) = &mut self.running else { return };
        if running.discovery_stream.ended(token, status, running.ticks) {
            running.metrics.disconnected();
        } else if running.ledger_stream.ended(token, status, running.ticks) {
            running.note(LedgerEvent::Closed);
        }
    }
}

impl Waiter {
    fn new(worker: u32) -> Self {
        Self { outbox: Outbox::new(queue::grants(worker)), asked: 0 }
    }
}

impl Running {
    fn start(configuration: &configuration::SyncConfiguration) -> Option<Self> {
        let upstream = GrpcService::new(&configuration.control_plane_cluster).ok()?;
        let gateway = node_id().or_else(|| configuration.gateway.clone()).unwrap_or_default();
        let replica = Replica::resume(SharedData, host::now_ns());
        let alone = configuration.alone_seconds.unwrap_or(ALONE_SECONDS);
        let config = ledger::LedgerConfig {
            gateway: gateway.clone(),
            instance: replica.instance(),
            ring_capacity: ring::CAPACITY,
            away_after_ms: AWAY_AFTER_MS,
            offline_limits_ms: u64::from(alone).saturating_mul(1000),
        };
        // New workers wait until this has begun to count them.
        attempt_to_count();
        if let Err(error) = cooldown::begin(&SharedData) {
            log::error!("targets of routing groups that fail cannot rest: {error}");
        }
        if let Err(error) = sightings::begin(&SharedData) {
            log::error!("tools of MCP servers that change cannot be reported: {error}");
        }
        Some(Self {
            upstream,
            gateway,
            ledger: LedgerClient::resume(SharedData, config),
            replica,
            discovery_stream: GrpcStream::new("latchkey.discovery.v1.Discovery", "Subscribe"),
            ledger_stream: GrpcStream::new("latchkey.ledger.v1.Ledger", "Exchange"),
            demands: Inbox::register(queue::DEMANDS),
            workers: BTreeMap::new(),
            metrics: SyncMetrics::define(),
            ticks: 0,
        })
    }

    fn tick(&mut self) {
        self.beat();
        match self.discovery_stream.tick(&self.upstream, self.ticks) {
            StreamChange::Quiet => {}
            StreamChange::Lost => self.metrics.disconnected(),
            StreamChange::Opened => {
                let hello = self.replica.hello(&self.gateway);
                self.discovery_stream.send(&hello);
            }
        }
        match self.ledger_stream.tick(&self.upstream, self.ticks) {
            StreamChange::Quiet => {}
            StreamChange::Lost => self.note(LedgerEvent::Closed),
            StreamChange::Opened => self.note(LedgerEvent::Connected),
        }
        self.note(LedgerEvent::Tick);
    }

    fn beat(&mut self) {
        let due = self.ticks.is_multiple_of(BEAT);
        self.ticks = self.ticks.wrapping_add(1);
        if !due {
            return;
        }
        let now = host::now();
        if let Err(error) = self.replica.beat(now) {
            log::error!("heartbeat: {error}");
        }
        self.metrics.heartbeat(now);
        self.metrics.ledger(self.ledger_stream.is_open(), self.ledger.is_away());
    }

    /// Passes an event to the ledger, and carries out the effects.
    fn note(&mut self, event: LedgerEvent) {
        for effect in self.ledger.on(event, host::now().0) {
            match effect {
                LedgerEffect::Send(request) => self.ledger_stream.send(&request),
                LedgerEffect::Wake => self.wake_workers(),
                LedgerEffect::Log(line) => log::warn!("ledger: {line}"),
            }
        }
    }

    fn wake_workers(&mut self) {
        let since = self.ticks.saturating_sub(WAITS);
        self.workers.retain(|_, waiter| waiter.asked >= since);
        for waiter in self.workers.values_mut() {
            waiter.outbox.send(&[1]);
        }
    }

    fn discovered(&mut self, bytes: &[u8]) {
        let Ok(mut response) = wire::DiscoveryResponse::decode(bytes) else {
            log::error!("a discovery response cannot be decoded, bytes={}", bytes.len());
            self.metrics.rejected();
            self.discovery_stream.give_up();
            return;
        };
        let nonce = std::mem::take(&mut response.nonce);
        let stopped = stopped(&response);
        let verdict = self.replica.receive(response);
        match &verdict {
            DiscoveryOutcome::Applied => {
                self.discovery_stream.succeed();
                self.metrics.applied(self.replica.revision(), self.replica.generation());
            }
            DiscoveryOutcome::Rejected(refusal) => {
                log::error!(
                    "a discovery response is refused, rejected={} error_detail={:?} first={:?}",
                    refusal.rejected.len(),
                    refusal.error_detail,
                    refusal.rejected.first().map(ToString::to_string)
                );
                self.metrics.rejected();
            }
        }
        self.discovery_stream.send(&verdict.answer(nonce));
        for subject in stopped {
            self.note(LedgerEvent::Revoked(subject));
        }
    }

    fn answered(&mut self, bytes: &[u8]) {
        match ledger_wire::LedgerResponse::decode(bytes) {
            Ok(response) => {
                self.ledger_stream.succeed();
                self.note(LedgerEvent::Response(response));
            }
            Err(_) => {
                log::error!("a ledger response cannot be decoded, bytes={}", bytes.len());
                self.ledger_stream.give_up();
            }
        }
    }
}

/// Keys and apps that a response stops: their leases go back.
fn stopped(response: &wire::DiscoveryResponse) -> Vec<SubjectId> {
    let active = i32::from(wire::Status::Active);
    let keys = response.keys.iter().filter(|key| key.status != active).map(|key| &key.key_id);
    let apps = response.apps.iter().filter(|app| app.status != active).map(|app| &app.id);
    let ids = keys.chain(apps).chain(&response.removed_apps);
    ids.filter_map(|id| <[u8; 16]>::try_from(id.as_slice()).ok().map(SubjectId)).collect()
}

fn attempt_to_count() {
    if ring::workers(&SharedData).is_err() {
        log::error!("workers cannot be counted: no record will be kept");
    }
}

fn node_id() -> Option<String> {
    NODE_ID.into_iter().find_map(|path| {
        let id = hostcalls::get_property(path.to_vec()).ok()??;
        String::from_utf8(id).ok().filter(|id| !id.is_empty())
    })
}
