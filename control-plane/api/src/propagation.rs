//! Which gateways have applied a change.

use std::time::Instant;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use latchkey_core::status::Switch;
use latchkey_proto::key::KeyHash;
use latchkey_service::gateways::Await;
use latchkey_service::gateways::propagation::Propagation;
use latchkey_store::keys::Key;
use latchkey_store::routing_groups::RoutingGroup;
use uuid::Uuid;

use super::Api;

tokio::task_local! {
    /// When the request came that is being answered.
    static CAME: Instant;
}

/// Notes when a request came, so that an answer can say how long it took.
pub async fn timed(request: Request, next: Next) -> Response {
    CAME.scope(Instant::now(), next.run(request)).await
}

impl Api {
    /// Waits, for a bounded time, until every gateway has applied `revision`, of which `resources` are a
    /// part, and may no longer let in whom it takes something from.
    pub async fn wait_for_all(&self, revision: i64, resources: &[String]) -> Propagation {
        self.wait_for(revision, resources, Await::All).await
    }

    /// The same for something new, which is only waited for where clients may be let in.
    pub async fn wait_for_reachable(&self, revision: i64, resources: &[String]) -> Propagation {
        self.wait_for(revision, resources, Await::Reachable).await
    }

    /// The one or the other, by what was done to an app or a key.
    pub(super) async fn wait_for_switch(
        &self,
        switch: Switch,
        revision: i64,
        resources: &[String],
    ) -> Propagation {
        match switch {
            Switch::Activate => self.wait_for_reachable(revision, resources).await,
            Switch::Deactivate | Switch::Revoke => self.wait_for_all(revision, resources).await,
        }
    }

    /// How far the secret of `key` has come, as it was just read: its answer is given whatever comes of that.
    pub(super) async fn wait_for_key(
        &self,
        key: latchkey_store::Result<Option<Key>>,
        whom: Await,
    ) -> Propagation {
        // Without its app it opens nothing.
        let resources = |key: &Key| [key_resources(key), app_resource(key.app_id)].concat();
        let changed = key.map(|key| key.map(|key| (key.revision, resources(&key))));
        self.wait_for_change(changed, whom).await
    }

    /// How far a routing group has come, as it was just read.
    pub(super) async fn wait_for_routing_group(
        &self,
        group: latchkey_store::Result<Option<RoutingGroup>>,
    ) -> Propagation {
        let changed = group.map(|group| group.map(|group| (group.revision, catalogue_resource())));
        self.wait_for_change(changed, Await::All).await
    }

    /// The same for what has this revision and these resources.
    async fn wait_for_change(
        &self,
        changed: latchkey_store::Result<Option<(i64, Vec<String>)>>,
        whom: Await,
    ) -> Propagation {
        match changed {
            Ok(Some((revision, resources))) => self.wait_for(revision, &resources, whom).await,
            other => {
                let error = other
                    .err()
                    .map_or_else(|| "it was removed in the meantime".to_owned(), |error| error.to_string());
                let propagation = Propagation::unknown(0, error);
                Propagation { elapsed_ms: elapsed_ms(), ..propagation }
            }
        }
    }

    async fn wait_for(&self, revision: i64, resources: &[String], whom: Await) -> Propagation {
        let propagation = self.gateways.propagation(revision, resources, self.apply_wait, whom).await;
        let propagation = Propagation { elapsed_ms: elapsed_ms(), ..propagation };
        tracing::info!(
            revision,
            applied = propagation.applied.len(),
            pending = propagation.pending.len(),
            elapsed_ms = propagation.elapsed_ms,
            "change propagated"
        );
        propagation
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

/// The name that gateways know providers, models, MCP servers and routing groups by.
#[must_use]
pub fn catalogue_resource() -> Vec<String> {
    vec!["catalogue".to_owned()]
}
