//! What is known of each gateway: what admins see, and what proves that a revocation is applied.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::session::{Greeting, Progress};
pub use propagation::{Obstacle, Sighting, obstacles};

mod propagation;

#[cfg(test)]
mod tests;

/// How long a gateway stays listed after it disconnected.
pub const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// For how long a stream waits until its gateway is recorded.
const PATIENCE: Duration = Duration::from_secs(10);

/// All gateways of one control-plane process. Clones share their content.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    streams: Mutex<Streams>,
    changes: watch::Sender<u64>,
    /// Up to which change all is recorded where it outlives this process; none where nobody records.
    recorded: watch::Sender<Option<u64>>,
}

/// By id: later streams have higher ones.
type Streams = BTreeMap<u64, KnownStream>;

/// What is known of one stream.
#[derive(Debug)]
struct KnownStream {
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
    /// Whether what it acknowledges counts: not once it has ended, or its history was replaced.
    pub open: bool,
}

/// A gateway's open stream; dropping it marks the gateway as disconnected.
#[derive(Debug)]
pub struct Connection {
    stream: u64,
    shared: Arc<Shared>,
}

/// The gateway could not be recorded.
#[derive(Debug, thiserror::Error)]
#[error("the gateway could not be recorded within {PATIENCE:?}")]
pub struct Unrecorded;

impl Registry {
    /// A registry whose gateways are served only once they are recorded: whoever records them says so by
    /// [`Registry::recorded_up_to`].
    #[must_use]
    pub fn recorded() -> Self {
        let registry = Self::default();
        registry.shared.recorded.send_replace(Some(0));
        registry
    }

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
    /// last one, until it comes back, it is forgotten, or a day has passed.
    #[must_use]
    pub fn streams(&self) -> Vec<Stream> {
        let streams = self.shared.streams();
        let stream = |(id, known): (&u64, &KnownStream)| Stream {
            id: *id,
            gateway: known.gateway.clone(),
            open: known.is_open(),
        };
        streams.iter().map(stream).collect()
    }

    /// What keeps each gateway of this process from `revision`, of which `resources` (names as in
    /// [`crate::resource`]) are a part; nothing, where it is applied.
    #[must_use]
    pub fn obstacles(&self, revision: u64, resources: &[String]) -> BTreeMap<String, BTreeSet<Obstacle>> {
        obstacles(self.streams().into_iter().map(Sighting::from), revision, resources)
    }

    /// Counts changes: of who is connected, what is acknowledged, what is refused.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Notes that all is recorded up to this change.
    pub fn recorded_up_to(&self, change: u64) {
        self.shared.recorded.send_replace(Some(change));
    }

    /// Forgets these streams, of those that have ended.
    pub fn forget(&self, forgotten: &BTreeSet<u64>) {
        self.shared.streams().retain(|id, known| known.ended.is_none() || !forgotten.contains(id));
    }

    /// Lists a gateway as connected. `stream` grows with each stream; `history` changes when the
    /// revisions that the stream reports no longer mean anything.
    pub fn connect(&self, stream: u64, greeting: Greeting, history: watch::Receiver<u64>) -> Connection {
        let Greeting { gateway: name, instance } = greeting;
        let mut streams = self.shared.streams();
        streams.retain(|_, KnownStream { gateway, ended, .. }| {
            let returned = gateway.name == name && gateway.instance == instance;
            ended.is_none_or(|at| at.elapsed() < KEPT && !returned)
        });
        let gateway = Gateway {
            name,
            instance,
            connected_at: SystemTime::now(),
            disconnected_at: None,
            progress: Progress::default(),
            acknowledged_at: None,
        };
        streams.insert(stream, KnownStream { gateway, ended: None, history });
        drop(streams);
        self.shared.announce();
        Connection { stream, shared: Arc::clone(&self.shared) }
    }
}

impl Connection {
    /// Resolves once the gateway is recorded, so that a control plane that is started later awaits it:
    /// before that it is not served.
    pub(crate) fn recorded(&self) -> impl Future<Output = Result<(), Unrecorded>> + Send + 'static {
        let change = *self.shared.changes.borrow();
        let mut recorded = self.shared.recorded.subscribe();
        async move {
            let done = recorded.wait_for(|up_to| up_to.is_none_or(|up_to| up_to >= change));
            let waited = tokio::time::timeout(PATIENCE, done).await;
            // An error within is a registry that is gone, with whoever recorded it.
            waited.ok().and_then(Result::ok).map(drop).ok_or(Unrecorded)
        }
    }

    /// Takes over how far the gateway is.
    pub fn report(&self, progress: &Progress) {
        let mut streams = self.shared.streams();
        let Some(KnownStream { gateway, .. }) = streams.get_mut(&self.stream) else { return };
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

impl KnownStream {
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
