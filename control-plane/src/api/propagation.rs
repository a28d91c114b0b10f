//! Which gateways have applied a change.

use std::time::Instant;

use latchkey_proto::key::KeyHash;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Api;
use crate::store::keys::Key;

/// How far a change has come.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Propagation {
    /// The change's revision.
    pub revision: i64,
    /// Whether every gateway that was connected has applied it.
    pub complete: bool,
    /// The gateways that have applied it, by name.
    pub applied: Vec<String>,
    /// Those that have not, and why.
    pub pending: Vec<Pending>,
    /// How long that took, in milliseconds.
    pub elapsed_ms: u64,
}

/// A gateway that has not applied a change.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct Pending {
    /// Its name.
    pub gateway: String,
    /// Why not, as far as it is known.
    pub reason: String,
}

impl Api {
    /// Waits, for a bounded time, until every connected gateway has applied `revision`, of which
    /// `resources` are a part.
    pub async fn propagate(&self, revision: i64, resources: &[String]) -> Propagation {
        let begun = Instant::now();
        let (applied, pending) = self.gateways.applied(revision, resources, self.apply_wait).await;
        let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            revision,
            applied = applied.len(),
            pending = pending.len(),
            elapsed_ms,
            "change propagated"
        );
        Propagation { revision, complete: pending.is_empty(), applied, pending, elapsed_ms }
    }
}

/// The names that gateways know a key's secrets by.
#[must_use]
pub fn key_resources(key: &Key) -> Vec<String> {
    let name = |hash: &KeyHash| format!("key/{hash}");
    std::iter::once(name(&key.hash)).chain(key.retired.iter().map(|retired| name(&retired.hash))).collect()
}

/// The name that gateways know an app by.
#[must_use]
pub fn app_resource(id: Uuid) -> Vec<String> {
    vec![format!("app/{id}")]
}
