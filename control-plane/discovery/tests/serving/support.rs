//! A control plane in memory, and gateways that talk to it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use latchkey_discovery::ads::{self, Statuses};
use latchkey_discovery::registry::{Obstacle, Registry};
use latchkey_discovery::server::Server;
use latchkey_discovery::session::Settings;
use latchkey_discovery::source::{Authenticator, Batch, Claim, From, Position, ProviderCluster, Source};
use latchkey_proto::discovery::discovery_client::DiscoveryClient;
use latchkey_proto::discovery::discovery_request::Kind;
use latchkey_proto::discovery::{
    self as wire, Ack, DiscoveryRequest, DiscoveryResponse, Hello, KeyRecord, Nack, Rejected,
};
use latchkey_proto::key::KeyHash;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

pub(crate) const TOKEN: &str = "gateway-token";

/// A revision at which something happened to a key; `None` is its removal.
type Row = (u64, Option<KeyRecord>);

/// The control plane's state, all in memory.
pub(crate) struct Memory {
    keys: Mutex<BTreeMap<u8, Row>>,
    head: watch::Sender<Position>,
    histories: watch::Sender<u64>,
    clusters: watch::Sender<Arc<[ProviderCluster]>>,
    history: Mutex<u8>,
}

/// The gateways' token, and how often it was checked.
pub(crate) struct Token {
    verdict: Mutex<Verdict>,
    checks: AtomicU32,
}

/// What a check of the right token comes to.
#[derive(Clone, Copy)]
pub(crate) enum Verdict {
    Admitted,
    Revoked,
    Unknown,
}

/// A running control plane.
pub(crate) struct ControlPlane {
    pub(crate) source: Arc<Memory>,
    pub(crate) token: Arc<Token>,
    pub(crate) registry: Registry,
    pub(crate) statuses: Statuses,
    pub(crate) channel: Channel,
    stop: watch::Sender<bool>,
}

/// One gateway's stream.
pub(crate) struct Gateway {
    requests: mpsc::Sender<DiscoveryRequest>,
    responses: Streaming<DiscoveryResponse>,
    /// What it would resume from.
    pub(crate) position: Option<wire::Position>,
}

impl Memory {
    pub(crate) fn new(history: u8) -> Self {
        Self {
            keys: Mutex::default(),
            head: watch::Sender::new(Position { revision: 0, tag: [history; 16] }),
            histories: watch::Sender::new(0),
            clusters: watch::Sender::new(Arc::default()),
            history: Mutex::new(history),
        }
    }

    pub(crate) fn write(&self, id: u8) -> u64 {
        self.commit(id, Some(KeyRecord { hash: vec![id; 32], ..KeyRecord::default() }))
    }

    pub(crate) fn remove(&self, id: u8) -> u64 {
        self.commit(id, None)
    }

    /// Another history takes the place of this one: `keys` are all there are, one revision each.
    pub(crate) fn replace(&self, history: u8, keys: std::ops::RangeInclusive<u8>) {
        *self.history.lock().unwrap() = history;
        let record = |id: u8| Some(KeyRecord { hash: vec![id; 32], ..KeyRecord::default() });
        let rows: BTreeMap<_, _> = keys.zip(1..).map(|(id, revision)| (id, (revision, record(id)))).collect();
        let revision = rows.len() as u64;
        *self.keys.lock().unwrap() = rows;
        self.head.send_modify(|head| {
            self.histories.send_modify(|count| *count += 1);
            *head = Position { revision, tag: [history; 16] };
        });
    }

    pub(crate) fn publish(&self, clusters: Vec<ProviderCluster>) {
        self.clusters.send_replace(clusters.into());
    }

    fn commit(&self, id: u8, record: Option<KeyRecord>) -> u64 {
        let revision = self.head.borrow().revision + 1;
        self.keys.lock().unwrap().insert(id, (revision, record));
        self.head.send_replace(Position { revision, tag: [*self.history.lock().unwrap(); 16] });
        revision
    }
}

impl Source for Memory {
    type Cursor = u8;

    fn head(&self) -> watch::Receiver<Position> {
        self.head.subscribe()
    }

    fn history(&self) -> watch::Receiver<u64> {
        self.histories.subscribe()
    }

    async fn can_resume(&self, at: &Position) -> anyhow::Result<bool> {
        Ok(at.tag == [*self.history.lock().unwrap(); 16] && at.revision <= self.head.borrow().revision)
    }

    async fn read(&self, from: From, cursor: Option<u8>, limit: usize) -> anyhow::Result<Batch<u8>> {
        let keys = self.keys.lock().unwrap();
        let wanted = |row: &Row| match from {
            From::Everything => row.1.is_some(),
            From::After(revision) => row.0 > revision,
        };
        let mut rows = keys.range(cursor.unwrap_or(0)..).filter(|(_, row)| wanted(row));
        let mut batch = Batch::default();
        for (id, (_, record)) in rows.by_ref().take(limit) {
            match record {
                Some(record) => batch.keys.push(record.clone()),
                None => batch.removed_keys.push(KeyHash::from([*id; 32])),
            }
        }
        batch.next = rows.next().map(|(id, _)| *id);
        batch.newest = Some(*self.head.borrow());
        Ok(batch)
    }

    fn clusters(&self) -> watch::Receiver<Arc<[ProviderCluster]>> {
        self.clusters.subscribe()
    }
}

impl Authenticator for Token {
    async fn admit(&self, token: &str) -> anyhow::Result<bool> {
        self.checks.fetch_add(1, Ordering::Relaxed);
        match *self.verdict.lock().unwrap() {
            Verdict::Admitted => Ok(token == TOKEN),
            Verdict::Revoked => Ok(false),
            Verdict::Unknown => anyhow::bail!("the database is away"),
        }
    }

    async fn claim(&self, _: &str, gateway: &str) -> anyhow::Result<Claim> {
        match gateway {
            "taken" => Ok(Claim::BoundTo("gw-1".to_owned())),
            _ => Ok(Claim::Granted),
        }
    }
}

impl Token {
    pub(crate) fn becomes(&self, verdict: Verdict) {
        *self.verdict.lock().unwrap() = verdict;
    }

    pub(crate) fn checks(&self) -> u32 {
        self.checks.load(Ordering::Relaxed)
    }
}

impl ControlPlane {
    pub(crate) async fn start() -> Self {
        Self::with(Memory::new(1)).await
    }

    pub(crate) async fn with(source: Memory) -> Self {
        Self::of(source, Registry::default()).await
    }

    pub(crate) async fn recording(registry: Registry) -> Self {
        Self::of(Memory::new(1), registry).await
    }

    async fn of(source: Memory, registry: Registry) -> Self {
        let source = Arc::new(source);
        let token = Arc::new(Token { verdict: Mutex::new(Verdict::Admitted), checks: AtomicU32::new(0) });
        let (statuses, stop) = (Statuses::default(), watch::Sender::new(false));
        let settings = Settings { batch: 10, ..Settings::default() };
        let discovery =
            Server::new(source.clone(), token.clone(), registry.clone(), settings, stop.subscribe());
        let ads = ads::Server::new(source.clone(), token.clone(), statuses.clone(), stop.subscribe());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let serving = tonic::transport::Server::builder()
            .add_service(discovery.into_service())
            .add_service(ads.into_service())
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(serving);
        let channel = Endpoint::from_shared(address).unwrap().connect().await.unwrap();
        Self { source, token, registry, statuses, channel, stop }
    }

    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Opens a stream and says hello.
    pub(crate) async fn connect(&self, name: &str, position: Option<wire::Position>) -> Gateway {
        let (requests, outgoing) = mpsc::channel(16);
        let (gateway, instance) = (name.to_owned(), "a".to_owned());
        let hello = Hello { gateway, instance, position: position.clone(), newest: position.clone() };
        requests.send(DiscoveryRequest { kind: Some(Kind::Hello(hello)) }).await.unwrap();
        let request = with_token(ReceiverStream::new(outgoing), Some(TOKEN));
        let responses =
            DiscoveryClient::new(self.channel.clone()).subscribe(request).await.unwrap().into_inner();
        Gateway { requests, responses, position }
    }

    /// What keeps a gateway from a revision, of which these resources are a part.
    pub(crate) fn obstacles(&self, gateway: &str, revision: u64, resources: &[String]) -> Vec<Obstacle> {
        self.registry.obstacles(revision, resources).remove(gateway).unwrap().into_iter().collect()
    }

    /// Waits until the registry is as `wanted`.
    pub(crate) async fn until(&self, wanted: impl Fn(&Registry) -> bool) {
        let mut changed = self.registry.changed();
        let reached = async {
            while !wanted(&self.registry) {
                changed.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(10), reached).await.expect("the registry never got there");
    }
}

impl Gateway {
    pub(crate) async fn receive(&mut self) -> Result<DiscoveryResponse, Status> {
        Ok(self.responses.message().await?.expect("the stream goes on"))
    }

    /// Receives, applies and acknowledges; says which keys came.
    pub(crate) async fn apply(&mut self) -> (wire::Part, Vec<u8>) {
        let response = self.receive().await.unwrap();
        self.say(Kind::Ack(Ack { nonce: response.nonce.clone() })).await;
        if response.position.is_some() {
            self.position.clone_from(&response.position);
        }
        (response.part(), response.keys.iter().map(|key| key.hash[0]).collect())
    }

    pub(crate) async fn reject(&mut self, response: &DiscoveryResponse, resource: String) {
        let rejected = vec![Rejected { resource, reason: "no status".to_owned() }];
        let nonce = response.nonce.clone();
        self.say(Kind::Nack(Nack { nonce, error_detail: String::new(), rejected })).await;
    }

    pub(crate) async fn say(&mut self, kind: Kind) {
        self.requests.send(DiscoveryRequest { kind: Some(kind) }).await.unwrap();
    }
}

pub(crate) fn with_token<T>(message: T, token: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        let value = MetadataValue::try_from(format!("Bearer {token}")).unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    request
}
