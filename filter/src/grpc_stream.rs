//! One gRPC stream to the control plane, reopened with backoff when it ends.

use std::time::Duration;

use latchkey_filter_core::discovery::backoff::Backoff;
use prost::Message;
use proxy_wasm::hostcalls;

use crate::grpc_service::GrpcService;
use crate::host::{self, attempt};

/// How often the sync role is woken. It measures time in ticks, so a clock that jumps neither keeps it from
/// connecting nor stops its heartbeat.
pub const TICK: Duration = Duration::from_millis(100);

/// A stream that has lived this many ticks was a success, even if it brought nothing.
const SETTLED: u64 = 50;

/// A stream's life, over all its attempts.
pub struct GrpcStream {
    service: &'static str,
    method: &'static str,
    backoff: Backoff,
    state: ConnectionState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnectionState {
    /// To be opened at this tick.
    Closed { until: u64 },
    /// Open since this tick, with the host's token.
    Open { token: u32, since: u64 },
    /// Its message could not be read: to be cancelled outside of its own callback.
    Broken { token: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamChange {
    Quiet,
    /// A stream was opened: the first message is due.
    Opened,
    /// A stream ended, or could not be opened.
    Lost,
}

impl GrpcStream {
    pub fn new(service: &'static str, method: &'static str) -> Self {
        Self { service, method, backoff: Backoff::default(), state: ConnectionState::Closed { until: 0 } }
    }

    /// Opens or cancels what is due.
    pub fn tick(&mut self, upstream: &GrpcService, ticks: u64) -> StreamChange {
        match self.state {
            ConnectionState::Open { .. } => StreamChange::Quiet,
            ConnectionState::Closed { until } if ticks < until => StreamChange::Quiet,
            ConnectionState::Closed { .. } => {
                let opened =
                    hostcalls::open_grpc_stream(upstream.as_str(), self.service, self.method, Vec::new());
                let Ok(token) = opened else {
                    self.retry(ticks);
                    return StreamChange::Lost;
                };
                self.state = ConnectionState::Open { token, since: ticks };
                StreamChange::Opened
            }
            ConnectionState::Broken { token } => {
                attempt("cancel_grpc_stream", hostcalls::cancel_grpc_stream(token));
                self.retry(ticks);
                StreamChange::Lost
            }
        }
    }

    /// Whether a stream is open, as far as is known.
    pub fn is_open(&self) -> bool {
        matches!(self.state, ConnectionState::Open { .. })
    }

    /// Whether this stream is open under this token.
    pub fn is(&self, token: u32) -> bool {
        matches!(self.state, ConnectionState::Open { token: open, .. } if open == token)
    }

    /// Sends a message; a stream that does not take it is given up.
    pub fn send(&mut self, message: &impl Message) {
        let ConnectionState::Open { token, .. } = self.state else { return };
        let sent = hostcalls::send_grpc_stream_message(token, Some(&message.encode_to_vec()), false);
        if attempt("send_grpc_stream_message", sent).is_none() {
            self.state = ConnectionState::Broken { token };
        }
    }

    /// It has brought something valid.
    pub fn succeed(&mut self) {
        self.backoff.succeed();
    }

    /// Its message cannot be read.
    pub fn give_up(&mut self) {
        if let ConnectionState::Open { token, .. } = self.state {
            self.state = ConnectionState::Broken { token };
        }
    }

    /// The host says that a stream has ended and has closed its token. Tells whether it was this one.
    pub fn ended(&mut self, token: u32, status: u32, ticks: u64) -> bool {
        match self.state {
            ConnectionState::Open { token: open, since } if open == token => {
                if ticks.saturating_sub(since) > SETTLED {
                    self.backoff.succeed();
                }
            }
            ConnectionState::Broken { token: open } if open == token => {}
            _ => return false,
        }
        log::warn!("the stream {} has ended, grpc_status={status}", self.service);
        self.retry(ticks);
        true
    }

    fn retry(&mut self, ticks: u64) {
        let wait = Duration::from_millis(self.backoff.fail(host::now_ns().rotate_right(10)));
        let wait = u64::try_from(wait.as_millis().div_ceil(TICK.as_millis())).unwrap_or(1);
        self.state = ConnectionState::Closed { until: ticks.saturating_add(wait) };
    }
}
