//! What the servers need from the control plane.

use std::future::Future;
use std::sync::Arc;

use latchkey_proto::discovery::{AppPolicy, Catalogue, KeyRecord};
use latchkey_proto::key::KeyHash;
use tokio::sync::watch;
use uuid::Uuid;

pub use crate::ads::cluster::{BlockedAddresses, Credential, GroupCluster, ProviderCluster, Transport};

/// A point in the control plane's history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Grows with every commit that gateways must see.
    pub revision: u64,
    /// Random for each revision, so that a restored database is not mistaken for the known one.
    pub tag: [u8; 16],
}

/// Where a read begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// All that is there now; no removals.
    Everything,
    /// What was changed or removed after a revision.
    After(u64),
}

/// One bounded read.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch<C> {
    /// Present when it changed; always in the first batch of everything.
    pub catalogue: Option<Catalogue>,
    /// New and changed apps.
    pub apps: Vec<AppPolicy>,
    /// New and changed keys.
    pub keys: Vec<KeyRecord>,
    /// Keys that are gone.
    pub removed_keys: Vec<KeyHash>,
    /// Apps that are gone.
    pub removed_apps: Vec<Uuid>,
    /// A point at or after everything in this batch; needed unless it is empty.
    pub newest: Option<Position>,
    /// Where the next read goes on; `None` on the last.
    pub next: Option<C>,
}

/// The control plane's state, as gateways may see it.
pub trait Source: Send + Sync + 'static {
    /// Where a read goes on.
    type Cursor: Clone + Send + Sync;

    /// The head of history, updated after each commit.
    fn head(&self) -> watch::Receiver<Position>;

    /// Counts the histories: changes when the head has moved and the head before it is no longer
    /// in history, because the database was restored or a failover lost commits. Then no revision
    /// known so far means anything: every stream ends, and gateways resume from what they have.
    ///
    /// It changes before [`Source::head`] shows the new history. With no moment between the two
    /// (count within the `send_modify` that replaces the head) no stream begins in between.
    fn history(&self) -> watch::Receiver<u64>;

    /// Whether history contains `at`, and all that was removed since is still known.
    fn can_resume(&self, at: &Position) -> impl Future<Output = anyhow::Result<bool>> + Send;

    /// At most `limit` resources, removals included; repeated with the cursor until `next` is `None`.
    ///
    /// A row newer than the head known at the first read may be included, and may come again.
    /// A row that changes between two reads may be missed only if its new revision lies after
    /// that head.
    fn read(
        &self,
        from: From,
        cursor: Option<Self::Cursor>,
        limit: usize,
    ) -> impl Future<Output = anyhow::Result<Batch<Self::Cursor>>> + Send;

    /// Clusters and credentials of the enabled providers that name no cluster of the mesh's own.
    fn clusters(&self) -> watch::Receiver<Arc<[ProviderCluster]>>;
}

/// Decides who may open a stream.
pub trait Authenticator: Send + Sync + 'static {
    /// Whether the bearer token opens the gateways' streams. Asked again while they are open.
    fn admit(&self, token: &str) -> impl Future<Output = anyhow::Result<bool>> + Send;

    /// Whether whoever holds the token is the gateway of this name. A token that is bound to none yet is
    /// bound to this one.
    fn claim(&self, token: &str, gateway: &str) -> impl Future<Output = anyhow::Result<Claim>> + Send;
}

/// What a claim to be a gateway comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is.
    Granted,
    /// The token is bound to another, of this name.
    BoundTo(String),
}

impl<C> Default for Batch<C> {
    fn default() -> Self {
        Self {
            catalogue: None,
            apps: Vec::new(),
            keys: Vec::new(),
            removed_keys: Vec::new(),
            removed_apps: Vec::new(),
            newest: None,
            next: None,
        }
    }
}
