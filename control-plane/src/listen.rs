//! Connections: how many there may be, and how long one may take to say what it wants.
//!
//! Whoever can reach a port can open connections and say nothing. So each port has a bound of its own, within
//! the file descriptors that the process may have, and where that is reached the connection goes that has kept
//! us waiting for longest: what is at work stays.

pub mod connection_limit;
pub mod http;
pub mod streams;

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};

/// Descriptors for the database, for files and for connections to others.
const RESERVED: u64 = 192;
/// What is enough for one control plane.
const MOST_HTTP: u64 = 4_096;
const MOST_STREAMS: u64 = 16_384;
/// The fewest, whatever the limit is.
const FEWEST: u64 = 16;
/// How long to wait when no connection can be accepted.
const PAUSE: Duration = Duration::from_millis(200);

/// How many connections each port may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The API's.
    pub http: usize,
    /// The gateways'.
    pub streams: usize,
}

impl Bounds {
    /// Raises this process's limit of descriptors as far as it may, and divides them.
    #[must_use]
    pub fn of_this_process() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        let limit = if raised.is_ok() { maximum } else { current };
        let bounds = Self::within(limit);
        tracing::info!(descriptors = limit, http = bounds.http, streams = bounds.streams, "connections");
        bounds
    }

    /// Half for the API and half for gateways, so that neither can take what the other needs.
    fn within(limit: Option<u64>) -> Self {
        let half = limit.unwrap_or(u64::MAX).saturating_sub(RESERVED) / 2;
        let at_most = |most: u64| usize::try_from(half.clamp(FEWEST, most)).unwrap_or(usize::MAX);
        Self { http: at_most(MOST_HTTP), streams: at_most(MOST_STREAMS) }
    }
}

/// The next connection, whose small messages do not wait for the peer to acknowledge those before: that takes
/// up to 40 ms, and a change is a small message.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((connection, _)) => {
                if let Err(error) = connection.set_nodelay(true) {
                    tracing::debug!(%error, "small messages of a connection may be late");
                }
                return connection;
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ports_stay_within_the_limit() {
        assert_eq!(Bounds::within(Some(1024)), Bounds { http: 416, streams: 416 });
        assert_eq!(Bounds::within(Some(1 << 20)), Bounds { http: 4096, streams: 16_384 });
        assert_eq!(Bounds::within(None), Bounds { http: 4096, streams: 16_384 });
        assert_eq!(Bounds::within(Some(64)), Bounds { http: 16, streams: 16 });
    }
}
