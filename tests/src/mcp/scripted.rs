//! An MCP server that answers each request as the request's own header `x-script` says, however wrong
//! that is, and keeps what it has seen.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use futures::stream;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The header that a request brings its script in.
pub const HEADER: &str = "x-script";

/// A running server; it ends when it is dropped.
#[derive(Debug)]
pub struct Scripted {
    address: SocketAddr,
    seen: Seen,
    server: JoinHandle<()>,
}

type Seen = Arc<Mutex<Vec<Request>>>;

/// What the server has got.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: String,
}

/// How a request is answered.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Script {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: BTreeMap<String, String>,
    /// The body, in parts that are sent one by one. What is too long for a header is written as `█`: 64 KiB.
    pub parts: Vec<String>,
    /// How often the last but one part is sent.
    pub repeated: usize,
    /// Whether the answer stays open after that.
    pub open: bool,
}

impl Script {
    /// 200 with a body of this type.
    #[must_use]
    pub fn of(content_type: &str, parts: &[&str]) -> Self {
        Self {
            status: 200,
            headers: BTreeMap::from([("content-type".to_owned(), content_type.to_owned())]),
            parts: parts.iter().map(|part| (*part).to_owned()).collect(),
            repeated: 1,
            open: false,
        }
    }

    /// JSON.
    #[must_use]
    pub fn json(body: &str) -> Self {
        Self::of("application/json", &[body])
    }

    /// A stream of events that stays open.
    #[must_use]
    pub fn events(parts: &[&str]) -> Self {
        Self { open: true, ..Self::of("text/event-stream", parts) }
    }

    /// The same with another header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }

    /// As the header's value.
    #[must_use]
    pub fn encode(&self) -> String {
        STANDARD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn decode(headers: &HeaderMap) -> Option<Self> {
        serde_json::from_slice(&STANDARD.decode(headers.get(HEADER)?.as_bytes()).ok()?).ok()
    }

    fn answer(self) -> Response<Body> {
        let mut builder = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        let repeated = self.parts.len().checked_sub(2);
        let long = "x".repeat(64 << 10);
        let parts = self.parts.into_iter().map(move |part| part.replace('█', &long)).enumerate().flat_map(
            move |(at, part)| std::iter::repeat_n(part, if Some(at) == repeated { self.repeated } else { 1 }),
        );
        // One by one, so that the client may get them apart from each other.
        let parts = stream::iter(parts).then(|part| async move {
            tokio::task::yield_now().await;
            Ok::<_, std::io::Error>(Bytes::from(part))
        });
        let body = match self.open {
            true => Body::from_stream(parts.chain(stream::pending())),
            false => Body::from_stream(parts),
        };
        builder.body(body).unwrap_or_default()
    }
}

impl Scripted {
    /// Starts one.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, seen) = (listener.local_addr()?, Seen::default());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&seen));
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, seen, server })
    }

    /// Of its endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// What it has got so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(
    State(seen): State<Seen>,
    method: Method,
    headers: HeaderMap,
    body: String,
) -> Response<Body> {
    let script = Script::decode(&headers);
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(Request { method, headers, body });
    script.unwrap_or_else(|| Script::json(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#)).answer()
}
