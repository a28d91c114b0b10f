//! A gateway's side of the ledger stream, without a gateway.

use anyhow::Context as _;
use latchkey_proto::discovery::BucketKind;
use latchkey_proto::ledger::ledger_client::LedgerClient;
use latchkey_proto::ledger::ledger_request::Kind;
use latchkey_proto::ledger::{Batch, BucketId, Hello, Lease, LedgerRequest, LedgerResponse, Report};
use latchkey_tests::stack::api::App;
use latchkey_tests::stack::{Stack, postgres};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming};
use uuid::Uuid;

/// Reports that may wait to be sent.
const WAITING: usize = 16;

/// An open stream.
pub struct Exchange {
    requests: mpsc::Sender<LedgerRequest>,
    answers: Streaming<LedgerResponse>,
    reports: u64,
}

impl Exchange {
    /// Opens one, as a gateway process that nobody has seen before.
    pub async fn open(stack: &Stack, gateway: &str) -> anyhow::Result<Self> {
        let (requests, sent) = mpsc::channel(WAITING);
        let instance = Uuid::from_u128(nanos()?).to_string();
        let hello = Hello { gateway: gateway.to_owned(), instance };
        requests.send(LedgerRequest { kind: Some(Kind::Hello(hello)) }).await?;
        let mut request = Request::new(ReceiverStream::new(sent));
        let token = format!("Bearer {}", stack.gateway_token());
        request.metadata_mut().insert("authorization", token.parse()?);
        let mut client = LedgerClient::connect(format!("http://{}", stack.grpc_address())).await?;
        let answers = client.exchange(request).await.context("opening the ledger stream")?.into_inner();
        Ok(Self { requests, answers, reports: 0 })
    }

    /// Sends a report.
    pub async fn report(&mut self, batches: Vec<Batch>, leases: Vec<Lease>) -> anyhow::Result<()> {
        self.reports += 1;
        let report = Report { id: self.reports, batches, leases, resting: None, tools: Vec::new() };
        self.requests.send(LedgerRequest { kind: Some(Kind::Report(report)) }).await?;
        Ok(())
    }

    /// Waits for the answer to the next report.
    pub async fn answer(&mut self) -> anyhow::Result<LedgerResponse> {
        loop {
            let answer = self.answers.message().await?.context("the control plane ended the stream")?;
            if answer.report != 0 {
                return Ok(answer);
            }
        }
    }
}

/// A control plane over each kind of database, with its name.
pub async fn control_planes() -> anyhow::Result<Vec<(&'static str, Stack)>> {
    let builder = || Stack::builder().gateways(0);
    let mut all = vec![("SQLite", builder().start().await?)];
    if std::env::var_os("LATCHKEY_TEST_POSTGRES_URL").is_some() {
        let url = postgres::database().await?;
        all.push(("PostgreSQL", builder().database_url(&url).start().await?));
    } else {
        println!("PostgreSQL is not measured: run this with tests/with-postgres.sh");
    }
    Ok(all)
}

/// An app whose limits are never reached.
pub async fn app(stack: &Stack) -> anyhow::Result<App> {
    let limits = json!({
        "requests_per_minute": 1_000_000_000_u64, "budget": { "usd": "1000000000", "per": "total" },
    });
    stack.api().create_limited_app("bench", limits).await
}

/// A bucket of an app that has no period.
pub fn bucket(app: &App, kind: BucketKind) -> anyhow::Result<BucketId> {
    let owner = app.id.parse::<Uuid>()?.as_bytes().to_vec();
    Ok(BucketId { owner, kind: kind.into(), period: 0 })
}

/// Now, in nanoseconds since 1970.
pub fn nanos() -> anyhow::Result<u128> {
    Ok(std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH)?.as_nanos())
}
