//! The connected gateways, on every replica of the control plane.
//!
//! Each replica knows its own streams, and writes what it knows into the database. So a revocation
//! waits for all gateways, whoever feeds them, and also for those that have not come back yet since
//! their replica stopped.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
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
/// For how long a stream that its replica has not written again still counts.
const REMEMBERED: SignedDuration = SignedDuration::from_secs(60);
/// When a replica that has not written is taken for gone.
const STALE: SignedDuration = SignedDuration::from_secs(10);
/// How often a replica that is alone writes, for its next start.
const REMINDER: Duration = Duration::from_secs(10);
/// For how long a look at the connected gateways waits for the database.
const PATIENCE: Duration = Duration::from_secs(2);
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
    /// The newest revision that a look at the connected gateways has found.
    head: AtomicU64,
}

impl Gateways {
    /// Those in `registry` and `clusters`, and those that other replicas write into `store`.
    #[must_use]
    pub fn new(registry: Registry, clusters: Statuses, store: Store, world: World) -> Self {
        let replica = world.id().to_string();
        Self { registry, clusters, store, world, replica, head: AtomicU64::new(0) }
    }

    /// Every gateway, by name.
    ///
    /// # Errors
    /// The database is away.
    pub async fn list(&self) -> sqlx::Result<Vec<Gateway>> {
        let head = self.store.head().await?.position.revision;
        let mut gateways = self.here();
        for stream in self.elsewhere().await? {
            let read = serde_json::from_str::<Gateway>(&stream.state).ok();
            gateways.extend(read.filter(|gateway| gateways.iter().all(|here| here.name != gateway.name)));
        }
        for gateway in &mut gateways {
            gateway.lag = head.saturating_sub(gateway.revision);
        }
        gateways.sort_by(|a, b| (&a.name, b.connected_at).cmp(&(&b.name, a.connected_at)));
        Ok(gateways)
    }

    /// The gateways that are connected to this replica, and how many revisions each is behind: the newest
    /// of those known here, where the database does not answer. Whether it does.
    pub async fn connected_here(&self) -> (Vec<Gateway>, bool) {
        let here: Vec<_> = self.here().into_iter().filter(|gateway| gateway.connected).collect();
        let asked = tokio::time::timeout(PATIENCE, self.store.head()).await;
        let answered = asked.ok().and_then(Result::ok).map(|head| head.position.revision);
        let held = here.iter().map(|gateway| gateway.revision).max().unwrap_or_default();
        let known = answered.unwrap_or_else(|| self.head.load(Ordering::Relaxed).max(held));
        self.head.store(known, Ordering::Relaxed);
        let late = |gateway: Gateway| Gateway { lag: known.saturating_sub(gateway.revision), ..gateway };
        (here.into_iter().map(late).collect(), answered.is_some())
    }

    /// Waits until every gateway has applied `revision`, at most for `wait`. Gives the names of
    /// those that have, and those that have not.
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
        let late = |gateway: registry::Pending| Pending { gateway: gateway.name, reason: gateway.reason };
        // One that left this replica and has applied on another has not disconnected.
        let moved = |late: &Pending| late.reason == "disconnected" && applied.contains(&late.gateway);
        pending.extend(here.pending.into_iter().map(late).filter(|late| !moved(late)));
        applied.sort();
        applied.dedup();
        pending.sort_by(|a, b| a.gateway.cmp(&b.gateway));
        (applied, pending)
    }

    /// The gateways that other replicas feed or have fed, but for those that are connected here.
    async fn applied_elsewhere(
        &self,
        revision: u64,
        resources: &[String],
        wait: Duration,
    ) -> (Vec<String>, Vec<Pending>) {
        let deadline = Instant::now() + wait;
        let mut awaited = BTreeMap::new();
        loop {
            match self.elsewhere().await {
                Ok(streams) => self.look(&mut awaited, streams, revision, resources),
                Err(error) => {
                    let reason = format!("could not ask the other replicas: {error}");
                    return (Vec::new(), vec![Pending { gateway: "other replicas".to_owned(), reason }]);
                }
            }
            let done = awaited.values().all(|state| !matches!(state, Awaited::Pending(_)));
            if done || Instant::now() >= deadline {
                return outcome(awaited);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Notes what `streams` tell of the gateways awaited. The first look decides who is awaited; one
    /// that is no longer there afterwards has not applied.
    fn look(
        &self,
        awaited: &mut BTreeMap<Process, Awaited>,
        streams: Vec<GatewayStream>,
        revision: u64,
        resources: &[String],
    ) {
        let first = awaited.is_empty();
        for state in awaited.values_mut() {
            if let Awaited::Pending(reason) = state {
                "disconnected".clone_into(reason);
            }
        }
        let here = self.streams();
        let now = self.world.now();
        for stream in streams {
            // A replica of another version may write what this one cannot read.
            let Ok(gateway) = serde_json::from_str::<Gateway>(&stream.state) else {
                let reason = "its replica of the control plane is of another version".to_owned();
                awaited.insert((stream.gateway, stream.replica), Awaited::Pending(reason));
                continue;
            };
            let process = (gateway.name.clone(), gateway.instance.clone());
            let known = awaited.get(&process);
            let gone = gateway.disconnected_at.is_some_and(|at| now.duration_since(at) > REMEMBERED);
            if matches!(known, Some(Awaited::Applied)) || known.is_none() && (!first || gone) {
                continue;
            }
            // The same process is connected here now, or the one that came after it.
            let over = !gateway.connected || stream.age > STALE || self.store.backend() == Backend::Sqlite;
            let moved = here.iter().any(|other| {
                other.connected && other.name == gateway.name && (over || other.instance == gateway.instance)
            });
            let state = if moved { Awaited::Here } else { standing(&gateway, revision, resources) };
            awaited.insert(process, state);
        }
    }

    /// Writes this replica's streams for the others to see: at each change, and now and then.
    pub async fn share(&self) {
        let mut changed = self.registry.changed();
        let (mut written, mut at) = (Vec::new(), None::<Instant>);
        loop {
            let streams = self.streams();
            let due = at.is_none_or(|at| at.elapsed() >= REMINDER);
            if due || self.rows_differ(&written, &streams) {
                match self.write(&streams).await {
                    Ok(()) => (written, at) = (streams, Some(Instant::now())),
                    Err(error) => tracing::warn!(%error, "could not write which gateways are connected here"),
                }
            }
            // A change or the heartbeat, whichever comes first.
            let _ = tokio::time::timeout(HEARTBEAT, changed.changed()).await;
        }
    }

    /// On SQLite there are no others to see an acknowledgement: only who is connected counts, for
    /// the next start.
    fn rows_differ(&self, written: &[Gateway], now: &[Gateway]) -> bool {
        match self.store.backend() {
            Backend::Postgres => true,
            Backend::Sqlite => {
                let who = |gateway: &Gateway| (gateway.instance.clone(), gateway.connected);
                !written.iter().map(who).eq(now.iter().map(who))
            }
        }
    }

    async fn write(&self, streams: &[Gateway]) -> sqlx::Result<()> {
        let rows = streams.iter().zip(0..).map(|(gateway, stream)| GatewayStream {
            replica: self.replica.clone(),
            stream,
            gateway: gateway.name.clone(),
            state: serde_json::to_string(&gateway).unwrap_or_default(),
            age: SignedDuration::ZERO,
        });
        self.store.write_streams(&self.replica, &rows.collect::<Vec<_>>(), REMEMBERED).await
    }

    /// The gateways as admins see them: of several streams with one name the newest.
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

    /// Every stream: of two Envoys with one name, both must apply.
    fn streams(&self) -> Vec<Gateway> {
        self.registry.streams().into_iter().map(|stream| Gateway::from(stream.gateway)).collect()
    }

    async fn elsewhere(&self) -> sqlx::Result<Vec<GatewayStream>> {
        self.store.streams_elsewhere(&self.replica, REMEMBERED).await
    }
}

/// A gateway of another replica, while a revocation waits for it.
enum Awaited {
    Applied,
    Pending(String),
    /// It is connected here, where the registry awaits it.
    Here,
}

/// A gateway's name and process.
type Process = (String, String);

fn standing(gateway: &Gateway, revision: u64, resources: &[String]) -> Awaited {
    let rejected = gateway.rejected.iter().find(|rejected| resources.contains(&rejected.resource));
    match rejected {
        Some(rejected) => Awaited::Pending(format!("refused: {}", rejected.reason)),
        None if !gateway.connected => Awaited::Pending("disconnected".to_owned()),
        None if gateway.revision >= revision => Awaited::Applied,
        None => Awaited::Pending("not acknowledged yet".to_owned()),
    }
}

fn outcome(awaited: BTreeMap<Process, Awaited>) -> (Vec<String>, Vec<Pending>) {
    let (mut applied, mut pending) = (Vec::new(), Vec::new());
    for ((gateway, _), state) in awaited {
        match state {
            Awaited::Applied => applied.push(gateway),
            Awaited::Pending(reason) => pending.push(Pending { gateway, reason }),
            Awaited::Here => {}
        }
    }
    (applied, pending)
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
