//! Which gateways have applied a change.

use std::time::Instant;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use latchkey_core::status::Switch;
use latchkey_proto::key::KeyHash;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Api;
use crate::gateways::Await;
use crate::store::keys::Key;

/// How far a change has come.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Propagation {
    /// The change's revision.
    pub revision: i64,
    /// Whether every gateway that is not gone has applied it: connected ones, and those that were connected
    /// and may go on with what they had.
    pub complete: bool,
    /// The gateways that have applied it, by name.
    pub applied: Vec<String>,
    /// Those that have not, and why.
    pub pending: Vec<Pending>,
    /// How long that took since the request came, in milliseconds.
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

tokio::task_local! {
    /// When the request came that is being answered.
    static CAME: Instant;
}

/// Notes when a request came, so that an answer can say how long it took.
pub(super) async fn timed(request: Request, next: Next) -> Response {
    CAME.scope(Instant::now(), next.run(request)).await
}

impl Api {
    /// Waits, for a bounded time, until every gateway has applied `revision`, of which `resources` are a
    /// part, and may no longer let in whom it takes something from.
    pub async fn propagate(&self, revision: i64, resources: &[String]) -> Propagation {
        self.awaited(revision, resources, Await::All).await
    }

    /// The same for something new, which is only waited for where clients may be let in.
    pub async fn introduce(&self, revision: i64, resources: &[String]) -> Propagation {
        self.awaited(revision, resources, Await::Reachable).await
    }

    /// The one or the other, by what was done to an app or a key.
    pub(super) async fn switched(&self, switch: Switch, revision: i64, resources: &[String]) -> Propagation {
        match switch {
            Switch::Activate => self.introduce(revision, resources).await,
            Switch::Deactivate | Switch::Revoke => self.propagate(revision, resources).await,
        }
    }

    /// How far the secret of `key` has come, as it was just read: its answer is given whatever comes of that.
    pub(super) async fn reached(&self, key: sqlx::Result<Option<Key>>, whom: Await) -> Propagation {
        match key {
            // Without its app it opens nothing.
            Ok(Some(key)) => {
                let resources = [key_resources(&key), app_resource(key.app_id)].concat();
                self.awaited(key.revision, &resources, whom).await
            }
            other => {
                let error = other
                    .err()
                    .map_or_else(|| "it was removed meanwhile".to_owned(), |error| error.to_string());
                let pending = vec![Pending { gateway: "unknown".to_owned(), reason: error }];
                Propagation {
                    revision: 0,
                    complete: false,
                    applied: Vec::new(),
                    pending,
                    elapsed_ms: elapsed_ms(),
                }
            }
        }
    }

    async fn awaited(&self, revision: i64, resources: &[String], whom: Await) -> Propagation {
        let (applied, pending) = self.gateways.applied(revision, resources, self.apply_wait, whom).await;
        let elapsed_ms = elapsed_ms();
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

/// Since the request came.
fn elapsed_ms() -> u64 {
    let elapsed = CAME.try_with(Instant::elapsed).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
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
