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

/// How long a gateway that disconnected is awaited by [`Registry::applied`].
pub const AWAITED: Duration = Duration::from_secs(60);

/// All gateways of one control-plane process. Clones share their content.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    streams: Mutex<Streams>,
    changes: watch::Sender<u64>,
}

/// By id: later streams have higher ones.
type Streams = BTreeMap<u64, Known>;

/// What is known of one stream.
#[derive(Debug)]
struct Known {
    gateway: Gateway,
    /// `None` while the stream is open.
    ended: Option<Instant>,
    /// Unchanged as long as the stream's revisions mean anything.
    history: watch::Receiver<u64>,
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

/// A gateway's stream, open or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Later streams have higher ids. Unique within one control-plane process.
    pub id: u64,
    /// The gateway, as this stream shows it.
    pub gateway: Gateway,
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
        for Stream { gateway, .. } in self.streams() {
            newest.insert(gateway.name.clone(), gateway);
        }
        newest.into_values().collect()
    }

    /// Every stream known, oldest first: all that are open, and of each process that has left the
    /// last one, until it comes back, another process of its name replaces it, or a day has passed.
    #[must_use]
    pub fn streams(&self) -> Vec<Stream> {
        let streams = self.shared.streams();
        streams.iter().map(|(id, known)| Stream { id: *id, gateway: known.gateway.clone() }).collect()
    }

    /// Counts changes: of who is connected, what is acknowledged, what is refused.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Waits until every gateway that is connected now, or was within [`AWAITED`], has applied
    /// `revision` with all of `resources` (names as in [`crate::resource`]), at most as long as `wait`.
    ///
    /// Every stream counts, also those that share a name, and only while it is open. A gateway that
    /// is disconnected is pending, for its Envoy may live on with what it had, unless the same
    /// process comes back and applies, or another process of its name has connected since: the old
    /// one was restarted, and the new one counts in its place.
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
        propagation.outcome()
    }

    /// Lists a gateway as connected. `stream` grows with each stream; `history` changes when the
    /// revisions that the stream reports no longer mean anything.
    pub(crate) fn connect(
        &self,
        stream: u64,
        greeting: Greeting,
        history: watch::Receiver<u64>,
    ) -> Connection {
        let Greeting { gateway: name, instance } = greeting;
        let mut streams = self.shared.streams();
        let new_process = !streams.values().any(|known| known.is_of(&name, &instance));
        streams.retain(|_, known| {
            let replaced = known.gateway.name == name && (new_process || known.gateway.instance == instance);
            known.ended.is_none_or(|at| at.elapsed() < KEPT && !replaced)
        });
        let gateway = Gateway {
            name,
            instance,
            connected_at: SystemTime::now(),
            disconnected_at: None,
            progress: Progress::default(),
            acknowledged_at: None,
        };
        streams.insert(stream, Known { gateway, ended: None, history });
        drop(streams);
        self.shared.announce();
        Connection { stream, shared: Arc::clone(&self.shared) }
    }
}

impl Connection {
    /// Takes over how far the gateway is.
    pub(crate) fn report(&self, progress: &Progress) {
        let mut streams = self.shared.streams();
        let Some(Known { gateway, .. }) = streams.get_mut(&self.stream) else { return };
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
        if let Some(known) = self.shared.streams().get_mut(&self.stream) {
            known.gateway.disconnected_at = Some(SystemTime::now());
            known.ended = Some(Instant::now());
        }
        self.shared.announce();
    }
}

impl Known {
    fn is_of(&self, name: &str, instance: &str) -> bool {
        self.gateway.name == name && self.gateway.instance == instance
    }

    /// Whether what it acknowledges counts. A stream whose history was replaced is about to end.
    fn is_open(&self) -> bool {
        self.ended.is_none() && !self.history.has_changed().is_ok_and(|changed| changed)
    }
}

impl Shared {
    /// A panic elsewhere leaves no gateway half written.
    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}
