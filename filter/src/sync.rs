//! The sync role: keeps one discovery stream to the control plane open, and applies what it
//! brings. It is the only writer of shared data.

use std::time::Duration;

use latchkey_filter_core::backoff::Backoff;
use latchkey_filter_core::replica::{Replica, Verdict};
use latchkey_proto::discovery as wire;
use prost::Message as _;
use proxy_wasm::hostcalls;
use proxy_wasm::types::BufferType;

use crate::configuration;
use crate::host::{self, attempt};
use crate::metrics::Metrics;
use crate::shared_data::SharedData;
use crate::upstream::GrpcService;

const SERVICE: &str = "latchkey.discovery.v1.Discovery";
const METHOD: &str = "Subscribe";

/// Where Envoy keeps its node id: in newer versions, and in older ones.
const NODE_ID: [&[&str]; 2] = [&["xds", "node", "id"], &["node", "id"]];

/// How often the role is woken. It measures time in these, so that a clock that jumps neither
/// keeps it from connecting nor stops its heartbeat.
pub const TICK: Duration = Duration::from_millis(100);

/// Ticks between two heartbeats: one second.
const BEAT: u64 = 10;

/// A stream that has lived so many ticks was a success, even if it had nothing to bring.
const SETTLED: u64 = 50;

/// Before its first tick it has touched nothing but its configuration.
pub struct Sync {
    configuration: configuration::Sync,
    running: Option<Running>,
}

struct Running {
    upstream: GrpcService,
    gateway: String,
    replica: Replica<SharedData>,
    metrics: Metrics,
    backoff: Backoff,
    stream: Stream,
    ticks: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    /// To be opened at this tick.
    Closed { until: u64 },
    /// Open since this tick, with the host's token.
    Open { token: u32, since: u64 },
    /// What came could not be read: to be cancelled outside of its own callback.
    Broken { token: u32 },
}

impl Sync {
    pub fn new(configuration: configuration::Sync) -> Self {
        Self { configuration, running: None }
    }

    pub fn tick(&mut self) {
        let running = match &mut self.running {
            Some(running) => running,
            None => {
                let Some(started) = Running::start(&self.configuration) else { return };
                self.running.insert(started)
            }
        };
        running.beat();
        match running.stream {
            Stream::Open { .. } => {}
            Stream::Closed { until } if running.ticks < until => {}
            Stream::Closed { .. } => running.open(),
            Stream::Broken { token } => {
                attempt("cancel_grpc_stream", hostcalls::cancel_grpc_stream(token));
                running.retry();
            }
        }
    }

    /// The control plane has accepted the stream.
    pub fn accepted(&mut self, token: u32) {
        if let Some(running) = self.running.as_mut().filter(|running| running.stream.is_open(token)) {
            running.metrics.connected();
        }
    }

    /// A message has come.
    pub fn receive(&mut self, token: u32, size: usize) {
        if let Some(running) = self.running.as_mut().filter(|running| running.stream.is_open(token)) {
            running.receive(token, size);
        }
    }

    /// A stream has ended. Its token is closed here, once, and never touched again.
    pub fn closed(&mut self, token: u32, status: u32) {
        attempt("close_grpc_stream", hostcalls::close_grpc_stream(token));
        let Some(running) = &mut self.running else { return };
        match running.stream {
            Stream::Open { token: open, since } if open == token => {
                if running.ticks.saturating_sub(since) > SETTLED {
                    running.backoff.succeed();
                }
            }
            Stream::Broken { token: open } if open == token => {}
            _ => return,
        }
        log::warn!("the discovery stream has ended, grpc_status={status}");
        running.retry();
    }
}

impl Stream {
    fn is_open(self, token: u32) -> bool {
        matches!(self, Self::Open { token: open, .. } if open == token)
    }
}

impl Running {
    fn start(configuration: &configuration::Sync) -> Option<Self> {
        let upstream = GrpcService::new(&configuration.control_plane_cluster).ok()?;
        Some(Self {
            upstream,
            gateway: node_id().or_else(|| configuration.gateway.clone()).unwrap_or_default(),
            replica: Replica::resume(SharedData, host::now_ns()),
            metrics: Metrics::define(),
            backoff: Backoff::default(),
            stream: Stream::Closed { until: 0 },
            ticks: 0,
        })
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
    }

    fn open(&mut self) {
        let opened = hostcalls::open_grpc_stream(self.upstream.as_str(), SERVICE, METHOD, Vec::new());
        let hello = self.replica.hello(&self.gateway);
        match opened {
            Ok(token) if send(token, &hello) => self.stream = Stream::Open { token, since: self.ticks },
            Ok(token) => self.stream = Stream::Broken { token },
            Err(_) => self.retry(),
        }
    }

    fn retry(&mut self) {
        let wait = Duration::from_millis(self.backoff.fail(host::now_ns().rotate_right(10)));
        let ticks = u64::try_from(wait.as_millis().div_ceil(TICK.as_millis())).unwrap_or(1);
        self.stream = Stream::Closed { until: self.ticks.saturating_add(ticks) };
        self.metrics.disconnected();
    }

    fn receive(&mut self, token: u32, size: usize) {
        let read = attempt("get_buffer", hostcalls::get_buffer(BufferType::GrpcReceiveBuffer, 0, size));
        let bytes = read.flatten().unwrap_or_default();
        let Ok(mut response) = wire::DiscoveryResponse::decode(bytes.as_slice()) else {
            log::error!("a discovery response cannot be decoded, bytes={}", bytes.len());
            self.metrics.rejected();
            self.stream = Stream::Broken { token };
            return;
        };
        let nonce = std::mem::take(&mut response.nonce);
        let verdict = self.replica.receive(response);
        match &verdict {
            Verdict::Applied => {
                self.backoff.succeed();
                self.metrics.applied(self.replica.revision(), self.replica.generation());
            }
            Verdict::Refused(refusal) => {
                log::error!(
                    "a discovery response is refused, rejected={} error_detail={:?} first={:?}",
                    refusal.rejected.len(),
                    refusal.error_detail,
                    refusal.rejected.first().map(ToString::to_string)
                );
                self.metrics.rejected();
            }
        }
        if !send(token, &verdict.answer(nonce)) {
            self.stream = Stream::Broken { token };
        }
    }
}

fn send(token: u32, message: &wire::DiscoveryRequest) -> bool {
    let sent = hostcalls::send_grpc_stream_message(token, Some(&message.encode_to_vec()), false);
    attempt("send_grpc_stream_message", sent).is_some()
}

fn node_id() -> Option<String> {
    NODE_ID.into_iter().find_map(|path| {
        let id = hostcalls::get_property(path.to_vec()).ok()??;
        String::from_utf8(id).ok().filter(|id| !id.is_empty())
    })
}
