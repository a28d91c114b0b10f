//! The gateways, on every replica of the control plane.
//!
//! Each replica knows its own streams, and writes what it knows into the database before it serves a
//! gateway. So a revocation waits for all gateways, whoever feeds or has fed them, and also for those that
//! have not come back yet since their replica stopped.

mod disconnected;
pub mod propagation;
mod recording;
mod streams;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use latchkey_core::attempt::RestingTarget;
use latchkey_discovery::ads::{AdsStatus, Statuses};
use latchkey_discovery::registry::{self, Obstacle, Registry};
use latchkey_discovery::source::Position;
use latchkey_world::World;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use latchkey_store::gateways::GatewayStream;
use latchkey_store::{Backend, Store};
use propagation::Propagation;
use recording::StreamWatch;
use streams::ReplicaStream;

/// For how long a gateway is awaited that has no stream, unless told otherwise.
pub const STOP_AWAITING_AFTER: Duration = Duration::from_secs(600);
/// For how long the database is waited for when it is asked about gateways.
const PATIENCE: Duration = Duration::from_secs(2);
/// A gateway that has been away for longer than it takes to come back is not expected at any moment.
const RETURN: Duration = Duration::from_secs(6);

/// A gateway, as one stream knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gateway {
    /// Envoy's node id.
    pub name: String,
    /// New with each Envoy process.
    pub instance: String,
    /// Whether changes wait for it.
    #[serde(default, skip_deserializing)]
    pub status: GatewayStatus,
    /// Whether its stream is open.
    pub connected: bool,
    /// The instances of other processes of its name that have no stream and are not gone: changes wait for
    /// these, too.
    #[serde(default)]
    pub earlier: Vec<String>,
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
    /// Whether its Envoy gets the clusters for routing groups. False: its configuration does not say where it has the
    /// filter, as one that is older than routing groups. Null where that is not known.
    #[serde(default)]
    pub group_clusters: Option<bool>,
    /// What it refuses and holds in an older form, with the reasons.
    pub rejected: Vec<RejectedResource>,
    /// The targets of routing groups that have failed there and get no requests for a while.
    #[serde(default, skip_deserializing)]
    pub resting: Vec<RestingTarget>,
}

/// Whether changes wait for a gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GatewayStatus {
    /// Its stream is open.
    Connected,
    /// It has no stream. Its Envoy may go on with what it had, so changes are pending for it.
    #[default]
    Disconnected,
    /// It has had none for so long that changes no longer wait for it.
    Gone,
}

/// Something that a gateway refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RejectedResource {
    /// `key/<hash>`, `app/<id>` or `catalogue`.
    pub resource: String,
    /// The gateway's reason.
    pub reason: String,
}

/// Whom a change waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Await {
    /// Every gateway that is not gone: what is taken away is taken away everywhere.
    All,
    /// Those that are connected, or may be on their way back: what is new works where clients are let in.
    Reachable,
}

pub struct Gateways {
    registry: Registry,
    clusters: Statuses,
    store: Store,
    world: World,
    replica: String,
    gone_after: Duration,
    watch: Mutex<StreamWatch>,
    /// The newest revision that was found for the connected gateways.
    head: AtomicU64,
}

impl Gateways {
    /// Those in `registry` and `clusters`, and those that other replicas write into `store`. One without a
    /// stream is gone `gone_after` that was first seen.
    #[must_use]
    pub fn new(
        registry: Registry,
        clusters: Statuses,
        store: Store,
        world: World,
        gone_after: Duration,
    ) -> Self {
        let replica = world.id().to_string();
        let (watch, head) = (Mutex::default(), AtomicU64::new(0));
        Self { registry, clusters, store, world, replica, gone_after, watch, head }
    }

    /// Every gateway, by name: of several streams with one name an open one, or else the newest.
    pub async fn list(&self) -> latchkey_store::Result<Vec<Gateway>> {
        let head = self.store.head().await?.position.revision;
        let mut gateways: Vec<_> = self.seen().await?.into_iter().filter_map(ReplicaStream::shown).collect();
        let rank = |gateway: &Gateway| (gateway.connected, gateway.connected_at);
        gateways.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| rank(b).cmp(&rank(a))));
        gateways.dedup_by(|late, first| {
            let same = late.name == first.name;
            let known = late.instance == first.instance || first.earlier.contains(&late.instance);
            if same && late.status == GatewayStatus::Disconnected && !known {
                first.earlier.push(late.instance.clone());
            }
            same
        });
        let (mut resting, now) = (self.store.resting_targets().await?, self.world.now());
        for gateway in &mut gateways {
            gateway.resting = resting.remove(&gateway.name).unwrap_or_default();
            gateway.resting.retain(|target| target.until > now);
            gateway.lag = head.saturating_sub(gateway.revision);
            gateway.add_ads_status(self.ads_status(&gateway.name).as_ref());
        }
        Ok(gateways)
    }

    /// The processes that are connected to any replica.
    pub async fn instances(&self) -> latchkey_store::Result<Vec<String>> {
        let open = self.seen().await?.into_iter().filter(|seen| seen.open);
        Ok(open.filter_map(|seen| Some(seen.state?.gateway.instance)).collect())
    }

    /// The gateways that are connected to this replica, and how many revisions each is behind: the newest
    /// of those known here, where the database does not answer. Whether it does.
    pub async fn connected_here(&self) -> (Vec<Gateway>, bool) {
        let here = self.registry.gateways().into_iter().map(Gateway::from);
        let here: Vec<_> = here.filter(|gateway| gateway.connected).collect();
        let asked = tokio::time::timeout(PATIENCE, self.store.head()).await;
        let answered = asked.ok().and_then(Result::ok).map(|head| head.position.revision);
        let held = here.iter().map(|gateway| gateway.revision).max().unwrap_or_default();
        let known = answered.unwrap_or_else(|| self.head.load(Ordering::Relaxed).max(held));
        self.head.store(known, Ordering::Relaxed);
        let late = |mut gateway: Gateway| {
            gateway.lag = known.saturating_sub(gateway.revision);
            gateway.add_ads_status(self.ads_status(&gateway.name).as_ref());
            gateway
        };
        (here.into_iter().map(late).collect(), answered.is_some())
    }

    /// How far `revision` has come, of which `resources` are a part, once every gateway that is awaited has
    /// applied it, or else after `wait`.
    ///
    /// It is told by what is known at one moment after the revision was committed: a gateway that
    /// connects later is recorded before it is served, and so reads what was committed.
    pub async fn propagation(
        &self,
        revision: i64,
        resources: &[String],
        wait: Duration,
        whom: Await,
    ) -> Propagation {
        let deadline = Instant::now() + wait;
        let mut changed = self.registry.changed();
        let poll = match self.store.backend() {
            Backend::Sqlite => Duration::from_millis(200),
            // What other replicas write.
            Backend::Postgres => Duration::from_millis(20),
        };
        loop {
            changed.mark_unchanged();
            let now_known = self.propagation_now(revision, resources, whom);
            let now_known = tokio::time::timeout(PATIENCE.max(wait), now_known).await;
            let now = Instant::now();
            match now_known.unwrap_or(Err(latchkey_store::Error::PoolTimedOut)) {
                Ok((propagation, is_final)) if is_final || now >= deadline => return propagation,
                Err(error) if now >= deadline => {
                    let reason = format!("the control plane could not list the gateways: {error}");
                    return Propagation::unknown(revision, reason);
                }
                Ok(_) | Err(_) => {}
            }
            // A change here, or elsewhere, whichever comes first.
            let _ = tokio::time::timeout_at(deadline.min(now + poll), changed.changed()).await;
        }
    }

    /// How far a revision has come by now, and whether there is nobody left to wait for.
    async fn propagation_now(
        &self,
        revision: i64,
        resources: &[String],
        whom: Await,
    ) -> latchkey_store::Result<(Propagation, bool)> {
        let number = u64::try_from(revision).unwrap_or_default();
        let seen = self.seen().await?;
        let is_foreign = |seen: &ReplicaStream| seen.open && !seen.here;
        let is_far = |at: Position| at.revision >= number;
        // What is acknowledged elsewhere counts only where it is a point of this history.
        let history =
            match seen.iter().filter(|seen| is_foreign(seen)).filter_map(ReplicaStream::position).any(is_far)
            {
                true => self.store.history_from(number).await?,
                false => Vec::new(),
            };
        let counts = |at: &Position| history.contains(at);
        let returning =
            |name: &str| seen.iter().any(|seen| seen.gateway == name && !seen.open && seen.away < RETURN);
        let sightings = seen.iter().filter_map(|seen| seen.sighting(counts));
        let gateways = registry::obstacles(sightings, number, resources);
        let all_are_final = gateways.iter().all(|(name, obstacles)| {
            obstacles.iter().all(|obstacle| match obstacle {
                Obstacle::NotYet => false,
                Obstacle::Disconnected => whom == Await::Reachable && !returning(name),
                // What is new does not wait for a process that was most likely restarted.
                Obstacle::Earlier(_) => whom == Await::Reachable,
                Obstacle::Refused(_) => true,
            })
        });
        let mut propagation = Propagation::of(revision, gateways);
        // A replica of another version may write what this one cannot read.
        let unread = seen.iter().filter(|seen| seen.state.is_none() && !seen.gone).collect::<Vec<_>>();
        for seen in &unread {
            let reason = "its control plane replica runs a different version";
            propagation.add_pending(&seen.gateway, reason);
        }
        Ok((propagation, all_are_final && unread.is_empty()))
    }

    /// The processes of one name: those with an open stream, and those without.
    pub(crate) async fn streams_of(
        &self,
        name: &str,
    ) -> latchkey_store::Result<(Vec<GatewayStream>, Vec<GatewayStream>)> {
        let seen = self.seen().await?;
        let of_name = seen.iter().filter(|seen| seen.gateway == name);
        let (open, ended): (Vec<_>, Vec<_>) = of_name.partition(|seen| seen.open);
        let rows = |seen: Vec<&ReplicaStream>| seen.into_iter().map(ReplicaStream::row).collect();
        Ok((rows(open), rows(ended)))
    }

    /// How its Envoy stands over ADS, where it is connected to this replica.
    fn ads_status(&self, name: &str) -> Option<AdsStatus> {
        self.clusters.all().into_iter().rfind(|status| status.node == name)
    }

    /// A panic elsewhere leaves nothing half written.
    fn watch(&self) -> MutexGuard<'_, StreamWatch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gateway {
    /// What is known already stays.
    fn add_ads_status(&mut self, status: Option<&AdsStatus>) {
        let Some(AdsStatus { node: _, gets_group_clusters, clusters, secrets }) = status else { return };
        let error = || clusters.last_error.clone().or_else(|| secrets.last_error.clone());
        self.cluster_error = self.cluster_error.take().or_else(error);
        self.group_clusters = self.group_clusters.or(Some(*gets_group_clusters));
    }
}

impl From<registry::Gateway> for Gateway {
    fn from(gateway: registry::Gateway) -> Self {
        let registry::Gateway { name, instance, connected_at, disconnected_at, progress, acknowledged_at } =
            gateway;
        let rejected = |(resource, reason)| RejectedResource { resource, reason };
        let connected = disconnected_at.is_none();
        Self {
            name,
            instance,
            status: if connected { GatewayStatus::Connected } else { GatewayStatus::Disconnected },
            connected,
            earlier: Vec::new(),
            connected_at: timestamp(connected_at),
            disconnected_at: disconnected_at.map(timestamp),
            revision: progress.acknowledged,
            acknowledged_at: acknowledged_at.map(timestamp),
            lag: 0,
            last_error: progress.last_error,
            cluster_error: None,
            group_clusters: None,
            rejected: progress.quarantined.into_iter().map(rejected).collect(),
            resting: Vec::new(),
        }
    }
}

fn timestamp(at: SystemTime) -> Timestamp {
    Timestamp::try_from(at).unwrap_or_default()
}
