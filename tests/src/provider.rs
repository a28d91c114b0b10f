//! A provider that behaves like OpenAI, and on `/v1/messages` like Anthropic.
//!
//! Its answers follow from the request alone. A token is four bytes of text, or what is left of
//! them: the input is all messages' text and at least one token, the output is what was answered.
//! It honours `max_tokens`, `max_completion_tokens`, `max_output_tokens` and `n`.
//!
//! A request tells it how to behave, with the header `x-sample` or after a `+` in the model's name
//! (`gpt-4o-mini+status=500`): see [`Behaviour`].
//! `POST /detector` is an external detector for guardrails.
//! `GET /counts` tells what it bills, by model; `GET /sample/requests` tells what it has seen.
//! `DELETE` on either forgets both.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::stack::wait;

mod behaviour;
mod detector;
mod record;
mod reply;

mod answer;
mod tools;

mod chat;
mod completions;
mod embeddings;
mod messages;
mod models;
mod moderations;
mod responses;

pub use behaviour::{Behaviour, Chunks};
pub use detector::{DETECTOR_CREDENTIAL, PROJECT};
pub use record::{Billed, Counts, Seen};

use answer::Ask;
use detector::Manner;
use record::{Meter, Record};
use reply::{Content, Failure, Reply};

const BODY_LIMIT: usize = 64 << 20;

/// A running sample provider. It stops when dropped.
pub struct Provider {
    address: SocketAddr,
    record: Arc<Record>,
    manner: Arc<Manner>,
    server: JoinHandle<()>,
}

#[derive(Clone)]
struct Shared {
    credential: Option<Arc<str>>,
    record: Arc<Record>,
    /// Of the detector.
    manner: Arc<Manner>,
}

/// Whose error shape a path speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    OpenAi,
    Anthropic,
}

impl Provider {
    /// Starts on `address`; with a credential, every request must carry it.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(address: SocketAddr, credential: Option<&str>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let record = Arc::new(Record::default());
        let manner = Arc::new(Manner::default());
        let shared = Shared {
            credential: credential.map(Arc::from),
            record: Arc::clone(&record),
            manner: Arc::clone(&manner),
        };
        let app = Router::new()
            .route("/counts", get(counts).delete(forget))
            .route("/sample/requests", get(requests).delete(forget))
            .fallback(serve)
            .with_state(shared);
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                eprintln!("sample provider: {error}");
            }
        });
        Ok(Self { address, record, manner, server })
    }

    /// The base URL of its API.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The URL of its external detector; with a manner, of one that always behaves like that.
    #[must_use]
    pub fn detector_url(&self, manner: &str) -> String {
        let slash = if manner.is_empty() { "" } else { "/" };
        format!("http://{}/detector{slash}{manner}", self.address)
    }

    /// Has its external detector behave like this from now on; empty: as it should.
    pub fn detector_behaves(&self, manner: &str) {
        self.manner.set(manner);
    }

    /// The latest requests, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Seen> {
        self.record.requests()
    }

    /// How much it has seen and answered.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.record.counts()
    }

    /// What it bills, once every answer under way has ended.
    ///
    /// # Errors
    /// When one has not after 20 seconds.
    pub async fn settled(&self) -> anyhow::Result<Counts> {
        wait::until("the provider's answers to end", Duration::from_secs(20), async || {
            Ok(Some(self.counts()).filter(|counts| counts.under_way == 0))
        })
        .await
    }

    /// Forgets what it has seen.
    pub fn forget(&self) {
        self.record.forget();
    }

    /// Waits for the server to end, which it does only when it fails.
    pub async fn wait(&mut self) {
        if let Err(error) = (&mut self.server).await {
            eprintln!("sample provider: {error}");
        }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Dialect {
    fn of(endpoint: &str) -> Self {
        if endpoint == "/messages" { Self::Anthropic } else { Self::OpenAi }
    }
}

async fn counts(State(shared): State<Shared>) -> Json<Value> {
    Json(shown(&shared.record.counts()))
}

fn shown(counts: &Counts) -> Value {
    let Counts { requests, under_way, models } = counts;
    json!({ "requests": requests, "under_way": under_way, "models": models, "total": counts.total() })
}

async fn requests(State(shared): State<Shared>) -> Json<Value> {
    Json(json!({ "counts": shown(&shared.record.counts()), "requests": shared.record.requests() }))
}

async fn forget(State(shared): State<Shared>) -> StatusCode {
    shared.record.forget();
    StatusCode::NO_CONTENT
}

async fn serve(State(shared): State<Shared>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, BODY_LIMIT).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    shared.record.note(Seen::new(&head, &body, bytes.len()));

    let path = head.uri.path();
    if path.starts_with("/detector") {
        return detector::judge(path, &shared.manner, &head.headers, &body).await;
    }
    let endpoint = path.split_once("/v1/").map_or(path, |(prefix, _)| &path[prefix.len() + "/v1".len()..]);
    let dialect = Dialect::of(endpoint);
    if !shared.accepts(&head.headers) {
        return Failure::credential().into_response(dialect);
    }
    let (ask, behaviour) = match read(&head.headers, body) {
        Ok(read) => read,
        Err(failure) => return failure.into_response(dialect),
    };
    let reply = match behaviour.status {
        Some(status) => Err(Failure::asked(status)),
        None => answer(&head.method, endpoint, &ask, &behaviour),
    };
    // It works, and bills, whether or not the client has the patience.
    let meter = reply.as_ref().ok().and_then(|reply| shared.meter(&ask, reply));
    tokio::time::sleep(behaviour.slow).await;
    match reply {
        Ok(reply) => reply.into_response(&behaviour, meter),
        Err(failure) => failure.into_response(dialect),
    }
}

/// The request's body without the behaviour in its model's name, and the behaviour.
fn read(headers: &HeaderMap, mut body: Value) -> Result<(Ask, Behaviour), Failure> {
    let mut behaviour = Behaviour::default();
    let model = body.get("model").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some((name, told)) = model.split_once('+') {
        behaviour = behaviour.told(told).map_err(Failure::invalid)?;
        body["model"] = name.into();
    }
    if let Some(told) = headers.get("x-sample") {
        let told = told.to_str().map_err(|_| Failure::invalid("x-sample is not text".to_owned()))?;
        behaviour = behaviour.told(told).map_err(Failure::invalid)?;
    }
    Ok((Ask(body), behaviour))
}

fn answer(method: &Method, endpoint: &str, ask: &Ask, behaviour: &Behaviour) -> Result<Reply, Failure> {
    match (method.as_str(), endpoint) {
        ("POST", "/chat/completions") => chat::answer(ask, behaviour),
        ("POST", "/completions") => completions::answer(ask, behaviour),
        ("POST", "/embeddings") => embeddings::answer(ask, behaviour),
        ("POST", "/responses") => responses::answer(ask, behaviour),
        ("POST", "/moderations") => moderations::answer(ask),
        ("POST", "/messages") => messages::answer(ask, behaviour),
        ("GET", "/models") => Ok(models::list()),
        ("GET", path) if path.starts_with("/models/") => models::retrieve(&path["/models/".len()..]),
        (_, path) => Err(Failure::no_endpoint(method, path)),
    }
}

impl Shared {
    fn meter(&self, ask: &Ask, reply: &Reply) -> Option<Meter> {
        let meter = self.record.meter(ask.model().ok()?, reply.usage);
        if let Content::Json(_) = reply.content {
            meter.generated(reply.usage.output);
        }
        Some(meter)
    }

    fn accepts(&self, headers: &HeaderMap) -> bool {
        let Some(credential) = &self.credential else { return true };
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = text(header::AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
        [bearer, text("x-api-key"), text("api-key")].into_iter().flatten().any(|value| value == &**credential)
    }
}

#[cfg(test)]
mod tests;
