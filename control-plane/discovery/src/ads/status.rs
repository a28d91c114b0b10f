//! What each Envoy has accepted over ADS.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The Envoys connected over ADS. Clones share their content.
#[derive(Clone, Debug, Default)]
pub struct Statuses {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    opened: u64,
    streams: BTreeMap<u64, AdsStatus>,
}

/// How one Envoy stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdsStatus {
    /// Envoy's node id; empty until its first request.
    pub node: String,
    /// Whether it gets the clusters for routing groups: it has said where it has the filter.
    pub gets_group_clusters: bool,
    /// Provider clusters.
    pub clusters: TypeStatus,
    /// Provider credentials.
    pub secrets: TypeStatus,
}

/// How one Envoy stands with one type of resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeStatus {
    /// The version sent last; empty when nothing was.
    pub sent: String,
    /// The version acknowledged last; empty when none was.
    pub accepted: String,
    /// Why the last answer was a NACK; `None` when it was an ACK.
    pub last_error: Option<String>,
}

/// An open stream; dropping it takes the Envoy off the list.
#[derive(Debug)]
pub(super) struct Listing {
    stream: u64,
    statuses: Statuses,
}

impl Statuses {
    /// The open streams, oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<AdsStatus> {
        self.lock().streams.values().cloned().collect()
    }

    pub(super) fn connect(&self) -> Listing {
        let mut shared = self.lock();
        shared.opened += 1;
        let stream = shared.opened;
        shared.streams.insert(stream, AdsStatus::default());
        Listing { stream, statuses: self.clone() }
    }

    /// A panic elsewhere leaves no status half written.
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listing {
    pub(super) fn report(&self, status: &AdsStatus) {
        self.statuses.lock().streams.insert(self.stream, status.clone());
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        self.statuses.lock().streams.remove(&self.stream);
    }
}
