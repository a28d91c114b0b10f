//! A ledger on a listener of its own, and gateways that talk to it.

use std::sync::Arc;
use std::time::Duration;

use latchkey_core::limits::BucketKind;
use latchkey_core::role::Role;
use latchkey_core::settings::AppSettings;
use latchkey_ledger::Ledger;
use latchkey_ledger::presence::Presence;
use latchkey_ledger::stats::Stats;
use latchkey_ledger::streams::LedgerStreams;
use latchkey_proto::ledger::ledger_client::LedgerClient;
use latchkey_proto::ledger::ledger_request::Kind;
use latchkey_proto::ledger::{
    Batch, BucketId, Charge, Grant, Hello, Lease, LedgerRequest, LedgerResponse, Record, Report, Settlement,
    Verdict,
};
use latchkey_service::tokens::GatewayTokens;
use serde_json::{Value, json};
use sqlx::Connection as _;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Status, Streaming};
use uuid::Uuid;

use crate::support::{Test, id};

/// A running ledger.
pub struct ControlPlane {
    pub stats: Arc<Stats>,
    pub streams: LedgerStreams,
    pub presence: Presence,
    channel: Channel,
    token: String,
    tasks: Vec<JoinHandle<()>>,
    _stop: watch::Sender<bool>,
}

/// One gateway's stream.
pub struct Gateway {
    requests: mpsc::Sender<LedgerRequest>,
    responses: Streaming<LedgerResponse>,
    reports: u64,
    /// What came unasked.
    pub recalls: Vec<BucketId>,
}

impl ControlPlane {
    pub async fn start(test: &Test) -> Self {
        let (stop, stopping) = watch::channel(false);
        let tokens = Arc::new(GatewayTokens::new(test.store.clone(), test.world.clone()));
        let Ledger { server, book, sightings, streams, presence, stats, .. } =
            Ledger::new(test.store.clone(), test.world.clone(), tokens, stopping);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = Server::builder()
            .add_service(server.into_service())
            .serve_with_incoming(TcpListenerStream::new(listener));
        let tasks = vec![
            tokio::spawn(book.keep()),
            tokio::spawn(sightings.keep()),
            tokio::spawn(async move { serving.await.unwrap() }),
        ];
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        Self { stats, streams, presence, channel, token: test.token(Role::Gateway).await, tasks, _stop: stop }
    }

    /// As a SIGKILL does: what is under way is lost.
    pub async fn kill(self) {
        for task in self.tasks {
            task.abort();
            task.await.ok();
        }
    }

    pub async fn open(
        &self,
        token: &str,
    ) -> Result<(mpsc::Sender<LedgerRequest>, Streaming<LedgerResponse>), Status> {
        let (requests, outgoing) = mpsc::channel(64);
        let mut request = Request::new(ReceiverStream::new(outgoing));
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let responses = LedgerClient::new(self.channel.clone()).exchange(request).await?.into_inner();
        Ok((requests, responses))
    }

    pub async fn gateway(&self, instance: &str) -> Gateway {
        let (requests, responses) = self.open(&self.token).await.unwrap();
        let hello = Hello { gateway: format!("gateway-{instance}"), instance: instance.to_owned() };
        requests.send(LedgerRequest { kind: Some(Kind::Hello(hello)) }).await.unwrap();
        Gateway { requests, responses, reports: 0, recalls: Vec::new() }
    }
}

impl Gateway {
    /// Sends a report without waiting for its answer.
    pub async fn send(&mut self, report: Report) -> u64 {
        self.reports += 1;
        let report = Report { id: self.reports, ..report };
        self.requests.send(LedgerRequest { kind: Some(Kind::Report(report)) }).await.unwrap();
        self.reports
    }

    /// The next answer or recall.
    pub async fn next(&mut self) -> Result<Option<LedgerResponse>, Status> {
        tokio::time::timeout(Duration::from_secs(30), self.responses.message())
            .await
            .expect("an answer comes")
    }

    /// Sends a report, and waits for its answer.
    pub async fn report(&mut self, report: Report) -> LedgerResponse {
        let id = self.send(report).await;
        loop {
            let response = self.next().await.unwrap().expect("the stream is open");
            if response.report == id {
                return response;
            }
            self.recalls.extend(response.recalls);
        }
    }

    pub async fn ask(&mut self, lease: Lease) -> Grant {
        let response = self.report(leases(vec![lease])).await;
        let [grant] = response.grants.try_into().unwrap();
        grant
    }

    /// Sends records of worker 0; up to which one they are acknowledged.
    pub async fn record(&mut self, records: Vec<Record>) -> u64 {
        let response = self.report(batch(records)).await;
        response.acknowledged[0].sequence
    }
}

pub fn leases(leases: Vec<Lease>) -> Report {
    Report { leases, ..Report::default() }
}

pub fn batch(records: Vec<Record>) -> Report {
    Report { batches: vec![Batch { worker: 0, records }], ..Report::default() }
}

pub fn bytes(value: &Value) -> Vec<u8> {
    id(value).parse::<Uuid>().unwrap().as_bytes().to_vec()
}

pub fn bucket(owner: &Value, kind: BucketKind, period: i64) -> BucketId {
    BucketId { owner: bytes(owner), kind: kind.number(), period }
}

pub fn wants(bucket: BucketId, want: u64, least: u64) -> Lease {
    Lease { bucket: Some(bucket), want, least, ..Lease::default() }
}

pub fn verdict(grant: &Grant) -> Verdict {
    Verdict::try_from(grant.verdict).unwrap()
}

/// A record of an app's own key.
pub fn record(test: &Test, app: &Value, sequence: u64, charges: Vec<(BucketId, u64)>) -> Record {
    Record {
        sequence,
        at_ms: test.world.now().as_millisecond(),
        request_id: format!("request-{sequence}"),
        app_id: bytes(app),
        key_id: bytes(&app["key"]),
        model: "gpt-4o".to_owned(),
        served_model: "gpt-4o".to_owned(),
        provider: "openai".to_owned(),
        endpoint: "chat_completions".to_owned(),
        status: 200,
        settlement: Settlement::Reported.into(),
        charges: charges
            .into_iter()
            .map(|(bucket, amount)| Charge { bucket: Some(bucket), amount })
            .collect(),
        ..Record::default()
    }
}

/// An app with these settings, which the database holds at once.
pub async fn app(test: &Test, edit: impl FnOnce(&mut AppSettings)) -> Value {
    let app = test.app(json!({"mode": "named"})).await;
    edit_settings(test, &app, edit).await;
    app
}

/// Changes an app's settings.
pub async fn edit_settings(test: &Test, app: &Value, edit: impl FnOnce(&mut AppSettings)) {
    let mut tx = test.store.begin().await.unwrap();
    let mut row = tx.app(id(app).parse().unwrap()).await.unwrap().unwrap();
    edit(&mut row.settings);
    row.updated_at = test.world.now();
    row.revision = tx.revision(&test.world).await.unwrap();
    tx.update_app(&row).await.unwrap();
    tx.commit().await.unwrap();
}

/// Does what no action does yet.
pub async fn sql(test: &Test, statement: &str) {
    let mut connection = sqlx::AnyConnection::connect(&test.url).await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// The rows of one column of text.
pub async fn texts(test: &Test, query: &str) -> Vec<String> {
    let mut connection = sqlx::AnyConnection::connect(&test.url).await.unwrap();
    let rows =
        sqlx::query_scalar(sqlx::AssertSqlSafe(query.to_owned())).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    rows
}

/// One number.
pub async fn number(test: &Test, query: &str) -> i64 {
    let text = format!("SELECT CAST(({query}) AS TEXT)");
    texts(test, &text).await[0].parse().unwrap()
}
