//! The connected gateways, on every replica of the control plane.
//!
//! Each replica knows its own streams. On PostgreSQL, where there may be several replicas, each
//! writes what it knows into the database, so that a revocation waits for all gateways, whoever
//! feeds them.

use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use latchkey_discovery::ads::{AdsStatus, Statuses};
use latchkey_discovery::registry::{self, Registry};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::api::propagation::Pending;
use crate::store::gateways::GatewayStream;
use crate::store::{Backend, Store};
use crate::world::World;

/// How often a replica writes its streams though nothing has changed.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// When a replica that has not written is taken for gone.
const STALE: SignedDuration = SignedDuration::from_secs(10);
/// How often a waiting revocation asks what other replicas know.
const POLL: Duration = Duration::from_millis(20);

/// A gateway, as one stream knows it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Gateway {
    /// Envoy's node id.
    pub name: String,
    /// New with each Envoy process.
    pub instance: String,
    /// Whether its stream is open.
    pub connected: bool,
    /// Since when it is connected, or was.
    #[schema(value_type = String, format = DateTime)]
    pub connected_at: Timestamp,
    /// Since when it is no longer.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub disconnected_at: Option<Timestamp>,
    /// The revision that it has applied; 0 before its first snapshot.
    pub revision: u64,
    /// When it acknowledged that.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub acknowledged_at: Option<Timestamp>,
    /// How many revisions it is behind.
    pub lag: u64,
    /// What it last refused of the keys, apps and models sent to it.
    pub last_error: Option<String>,
    /// What its Envoy last refused of the providers' clusters and credentials.
    pub cluster_error: Option<String>,
    /// What it refuses and holds in an older form, with the reasons.
    pub rejected: Vec<RejectedResource>,
}

/// Something that a gateway refuses.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RejectedResource {
    /// `key/<hash>`, `app/<id>` or `catalogue`.
    pub resource: String,
    /// The gateway's reason.
    pub reason: String,
}

/// Every gateway.
pub struct Gateways {
    registry: Registry,
    clusters: Statuses,
    store: Store,
    world: World,
    replica: String,
}

impl Gateways {
    /// Those in `registry` and `clusters`, and those that other replicas write into `store`.
    #[must_use]
    pub fn new(registry: Registry, clusters: Statuses, store: Store, world: World) -> Self {
        let replica = world.id().to_string();
        Self { registry, clusters, store, world, replica }
    }

    /// Every gateway, by name.
    ///
    /// # Errors
    /// The database is away.
    pub async fn list(&self) -> sqlx::Result<Vec<Gateway>> {
        let head = self.store.head().await?.position.revision;
        let mut gateways = self.here();
        gateways.extend(self.elsewhere().await?);
        for gateway in &mut gateways {
            gateway.lag = head.saturating_sub(gateway.revision);
        }
        gateways.sort_by(|a, b| (&a.name, b.connected_at).cmp(&(&b.name, a.connected_at)));
        Ok(gateways)
    }

    /// Waits until every gateway that is connected now has applied `revision`, at most for `wait`.
    /// Gives the names of those that have, and those that have not.
    pub async fn applied(
        &self,
        revision: i64,
        resources: &[String],
        wait: Duration,
    ) -> (Vec<String>, Vec<Pending>) {
        let Ok(revision) = u64::try_from(revision) else { return Default::default() };
        let (here, elsewhere) = tokio::join!(
            self.registry.applied(revision, resources, wait),
            self.applied_elsewhere(revision, resources, wait),
        );
        let (mut applied, mut pending) = elsewhere;
        applied.extend(here.applied.into_iter().map(|gateway| gateway.name));
        pending.extend(
            here.pending.into_iter().map(|gateway| Pending { gateway: gateway.name, reason: gateway.reason }),
        );
        applied.sort();
        pending.sort_by(|a, b| a.gateway.cmp(&b.gateway));
        (applied, pending)
    }

    async fn applied_elsewhere(
        &self,
        revision: u64,
        resources: &[String],
        wait: Duration,
    ) -> (Vec<String>, Vec<Pending>) {
        if self.store.backend() == Backend::Sqlite {
            return Default::default();
        }
        let deadline = Instant::now() + wait;
        loop {
            let gateways = match self.elsewhere().await {
                Ok(gateways) => gateways,
                Err(error) => {
                    let reason = format!("could not ask the other replicas: {error}");
                    return (Vec::new(), vec![Pending { gateway: "other replicas".to_owned(), reason }]);
                }
            };
            let (applied, pending) = sort_out(gateways, revision, resources);
            if pending.is_empty() || Instant::now() >= deadline {
                return (applied, pending);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Writes this replica's streams for the others to see: at each change, and now and then.
    pub async fn share(&self) {
        if self.store.backend() == Backend::Sqlite {
            return std::future::pending().await;
        }
        let mut changed = self.registry.changed();
        loop {
            if let Err(error) = self.write().await {
                tracing::warn!(%error, "could not tell the other replicas of the gateways connected here");
            }
            // A change or the heartbeat, whichever comes first.
            let _ = tokio::time::timeout(HEARTBEAT, changed.changed()).await;
        }
    }

    async fn write(&self) -> sqlx::Result<()> {
        let now = self.world.now();
        let rows = self.here().into_iter().zip(0..).map(|(gateway, stream)| GatewayStream {
            replica: self.replica.clone(),
            stream,
            gateway: gateway.name.clone(),
            seen_at: now,
            state: serde_json::to_string(&gateway).unwrap_or_default(),
        });
        let stale = now.saturating_sub(STALE * 10).unwrap_or(Timestamp::UNIX_EPOCH);
        self.store.write_streams(&self.replica, &rows.collect::<Vec<_>>(), stale).await
    }

    fn here(&self) -> Vec<Gateway> {
        let clusters = self.clusters.all();
        let view = |gateway: registry::Gateway| {
            let status = clusters.iter().rfind(|status| status.node == gateway.name);
            let error = |status: &AdsStatus| {
                status.clusters.last_error.clone().or_else(|| status.secrets.last_error.clone())
            };
            Gateway { cluster_error: status.and_then(error), ..Gateway::from(gateway) }
        };
        self.registry.gateways().into_iter().map(view).collect()
    }

    async fn elsewhere(&self) -> sqlx::Result<Vec<Gateway>> {
        if self.store.backend() == Backend::Sqlite {
            return Ok(Vec::new());
        }
        let since = self.world.now().saturating_sub(STALE).unwrap_or(Timestamp::UNIX_EPOCH);
        let streams = self.store.streams_elsewhere(&self.replica, since).await?;
        // A replica of another version may write what this one cannot read.
        Ok(streams.iter().filter_map(|stream| serde_json::from_str(&stream.state).ok()).collect())
    }
}

impl From<registry::Gateway> for Gateway {
    fn from(gateway: registry::Gateway) -> Self {
        let registry::Gateway { name, instance, connected_at, disconnected_at, progress, acknowledged_at } =
            gateway;
        let rejected = |(resource, reason)| RejectedResource { resource, reason };
        Self {
            name,
            instance,
            connected: disconnected_at.is_none(),
            connected_at: timestamp(connected_at),
            disconnected_at: disconnected_at.map(timestamp),
            revision: progress.acknowledged,
            acknowledged_at: acknowledged_at.map(timestamp),
            lag: 0,
            last_error: progress.last_error,
            cluster_error: None,
            rejected: progress.quarantined.into_iter().map(rejected).collect(),
        }
    }
}

fn timestamp(at: SystemTime) -> Timestamp {
    Timestamp::try_from(at).unwrap_or_default()
}

fn sort_out(gateways: Vec<Gateway>, revision: u64, resources: &[String]) -> (Vec<String>, Vec<Pending>) {
    let mut applied = Vec::new();
    let mut pending = Vec::new();
    for gateway in gateways.into_iter().filter(|gateway| gateway.connected) {
        let rejected = gateway.rejected.iter().find(|rejected| resources.contains(&rejected.resource));
        let reason = match rejected {
            Some(rejected) => format!("refused: {}", rejected.reason),
            None if gateway.revision >= revision => {
                applied.push(gateway.name);
                continue;
            }
            None => format!("has applied revision {}", gateway.revision),
        };
        pending.push(Pending { gateway: gateway.name, reason });
    }
    (applied, pending)
}
