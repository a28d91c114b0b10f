//! What is known of each gateway: what admins see, and what proves that a revocation is applied.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::session::{Greeting, Progress};
pub use propagation::{Applied, Pending, Propagation};

mod propagation;

#[cfg(test)]
mod tests;

/// How long a gateway stays listed after it disconnected.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// All gateways of one control-plane process. Clones share their content.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    streams: Mutex<BTreeMap<u64, Gateway>>,
    changes: watch::Sender<u64>,
}

/// A gateway, as its newest stream shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Envoy's node id.
    pub name: String,
    /// New with each Envoy process.
    pub instance: String,
    /// When the stream was opened.
    pub connected_at: SystemTime,
    /// When the stream ended; `None` while it is open.
    pub disconnected_at: Option<SystemTime>,
    /// How far the gateway is, and what it refuses.
    pub progress: Progress,
    /// When the acknowledged revision was last raised.
    pub acknowledged_at: Option<SystemTime>,
}

/// A gateway's open stream; dropping it marks the gateway as disconnected.
#[derive(Debug)]
pub struct Connection {
    stream: u64,
    shared: Arc<Shared>,
}

impl Registry {
    /// The gateways by name: of several streams with one name the newest, whatever its state.
    #[must_use]
    pub fn gateways(&self) -> Vec<Gateway> {
        let mut newest = BTreeMap::new();
        for gateway in self.shared.streams().values() {
            newest.insert(gateway.name.clone(), gateway.clone());
        }
        newest.into_values().collect()
    }

    /// Counts changes: of who is connected, what is acknowledged, what is refused.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Waits until every gateway that is connected now has applied `revision` with all of
    /// `resources` (names as in [`crate::resource`]), at most as long as `wait`.
    ///
    /// Every stream counts, also those that share a name. A gateway that disconnects is pending,
    /// for its Envoy may live on with what it had, unless the same process comes back and applies.
    pub async fn applied(&self, revision: u64, resources: &[String], wait: Duration) -> Propagation {
        let began = Instant::now();
        let mut changed = self.changed();
        let mut propagation = propagation::Watch::new(&self.shared.streams(), revision, resources);
        loop {
            changed.mark_unchanged();
            if propagation.look(&self.shared.streams(), began.elapsed()) {
                break;
            }
            if !matches!(tokio::time::timeout_at(began + wait, changed.changed()).await, Ok(Ok(()))) {
                break;
            }
        }
        propagation.outcome(&self.shared.streams())
    }

    /// Lists a gateway as connected. `stream` grows with each stream.
    pub(crate) fn connect(&self, stream: u64, greeting: Greeting) -> Connection {
        let Greeting { gateway: name, instance } = greeting;
        let now = SystemTime::now();
        let mut streams = self.shared.streams();
        streams.retain(|_, known| match known.disconnected_at {
            None => true,
            Some(at) => known.name != name && now.duration_since(at).is_ok_and(|gone| gone < KEPT),
        });
        let gateway = Gateway {
            name,
            instance,
            connected_at: now,
            disconnected_at: None,
            progress: Progress::default(),
            acknowledged_at: None,
        };
        streams.insert(stream, gateway);
        drop(streams);
        self.shared.announce();
        Connection { stream, shared: Arc::clone(&self.shared) }
    }
}

impl Connection {
    /// Takes over how far the gateway is.
    pub(crate) fn report(&self, progress: &Progress) {
        let mut streams = self.shared.streams();
        let Some(gateway) = streams.get_mut(&self.stream) else { return };
        if gateway.progress == *progress {
            return;
        }
        if progress.acknowledged > gateway.progress.acknowledged {
            gateway.acknowledged_at = Some(SystemTime::now());
        }
        gateway.progress.clone_from(progress);
        drop(streams);
        self.shared.announce();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(gateway) = self.shared.streams().get_mut(&self.stream) {
            gateway.disconnected_at = Some(SystemTime::now());
        }
        self.shared.announce();
    }
}

impl Shared {
    /// A panic elsewhere leaves no gateway half written.
    fn streams(&self) -> MutexGuard<'_, BTreeMap<u64, Gateway>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}
