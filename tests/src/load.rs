//! Many clients at once, each on a socket of its own, some of whom leave early.
//!
//! An SDK waits, retries and reads to the end; these do only what they are told, and note what they
//! see.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

mod connection;
mod usage;

pub use usage::Usage;

use connection::Connection;

/// How long a client waits after a refusal that may pass.
const BACK_OFF: Duration = Duration::from_millis(10);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its path: `/v1/chat/completions`.
    pub path: &'static str,
    /// The key that it carries.
    pub key: String,
    /// Its body.
    pub body: Value,
    /// What the sample provider is told.
    pub sample: String,
    /// When the client has had enough.
    pub leaves: Leaves,
}

/// When a client closes its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaves {
    /// It reads to the end.
    Never,
    /// So long after sending.
    After(Duration),
    /// When so many bytes of the answer's body have come.
    AfterBytes(usize),
}

/// What became of a request.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its number, from 0.
    pub number: u64,
    /// Which of the addresses it went to.
    pub gateway: usize,
    /// When its last byte was written.
    pub sent: Instant,
    /// How long until it ended.
    pub took: Duration,
    /// The answer's status; 0 where none came.
    pub status: u16,
    /// The answer's headers, with lower-case names.
    pub headers: BTreeMap<String, String>,
    /// The answer's body, as far as it came.
    pub body: Vec<u8>,
    /// When each piece of the body came, after `sent`.
    pub pieces: Vec<Duration>,
    /// How it ended.
    pub end: End,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The answer was read to its end.
    Whole,
    /// The client left.
    Left,
    /// The other side hung up, or nothing came.
    Broken(String),
}

impl Call {
    /// A chat completion that is read to its end.
    #[must_use]
    pub fn chat(key: &str, model: &str, max_tokens: u64, sample: &str) -> Self {
        let body = json!({
            "model": model, "max_tokens": max_tokens, "messages": [{ "role": "user", "content": "hello" }],
        });
        let (key, sample) = (key.to_owned(), sample.to_owned());
        Self { path: "/v1/chat/completions", key, body, sample, leaves: Leaves::Never }
    }

    /// The same, streamed.
    #[must_use]
    pub fn streamed(mut self) -> Self {
        self.body["stream"] = json!(true);
        self
    }

    /// The same, left early.
    #[must_use]
    pub fn leaving(self, leaves: Leaves) -> Self {
        Self { leaves, ..self }
    }
}

impl Outcome {
    /// A header's value; empty when it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The answer's body as text, as far as it came.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The `code` of an error in OpenAI's shape; empty when it is none.
    #[must_use]
    pub fn code(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The usage that the client was told.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        Usage::told(&self.text())
    }
}

/// Runs as many clients. Each asks `next` for its next call, by the number of calls before it over
/// all clients, until there is none; call `n` goes to address `n` modulo their count.
///
/// # Panics
/// When there is no address.
pub async fn run(
    addresses: &[SocketAddr],
    clients: usize,
    next: impl Fn(u64) -> Option<Call>,
) -> Vec<Outcome> {
    run_watched(addresses, clients, next, |_| ()).await
}

/// The same, where `seen` is shown each outcome at once.
///
/// # Panics
/// When there is no address.
pub async fn run_watched(
    addresses: &[SocketAddr],
    clients: usize,
    next: impl Fn(u64) -> Option<Call>,
    seen: impl Fn(&Outcome),
) -> Vec<Outcome> {
    let numbers = AtomicU64::new(0);
    let client = async || {
        let mut connections = addresses.iter().map(|_| None).collect::<Vec<_>>();
        let mut outcomes = vec![];
        loop {
            let number = numbers.fetch_add(1, Ordering::Relaxed);
            let Some(call) = next(number) else { return outcomes };
            let gateway = number as usize % addresses.len();
            let outcome = send(addresses[gateway], &mut connections[gateway], &call, number, gateway).await;
            seen(&outcome);
            let refused = matches!(outcome.status, 0 | 429 | 503) && outcome.end != End::Left;
            outcomes.push(outcome);
            if refused {
                sleep(BACK_OFF).await;
            }
        }
    };
    join_all((0..clients).map(|_| client())).await.concat()
}

/// One call.
pub async fn once(address: SocketAddr, call: &Call) -> Outcome {
    send(address, &mut None, call, 0, 0).await
}

/// Sends one call, over the connection that was left open if there is one.
async fn send(
    address: SocketAddr,
    kept: &mut Option<Connection>,
    call: &Call,
    number: u64,
    gateway: usize,
) -> Outcome {
    let mut outcome = Outcome {
        number,
        gateway,
        sent: Instant::now(),
        took: Duration::ZERO,
        status: 0,
        headers: BTreeMap::new(),
        body: vec![],
        pieces: vec![],
        end: End::Left,
    };
    let patience = match call.leaves {
        Leaves::After(duration) => duration,
        Leaves::Never | Leaves::AfterBytes(_) => PATIENCE,
    };
    let exchange = async {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => Connection::open(address).await?,
        };
        connection.write(call).await?;
        outcome.sent = Instant::now();
        connection.read(&mut outcome, call.leaves).await?;
        if outcome.end == End::Whole && connection.stays() {
            *kept = Some(connection);
        }
        anyhow::Ok(())
    };
    match timeout(patience, exchange).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => outcome.end = End::Broken(format!("{error:#}")),
        Err(_) if matches!(call.leaves, Leaves::After(_)) => outcome.end = End::Left,
        Err(_) => outcome.end = End::Broken(format!("nothing more came for {PATIENCE:?}")),
    }
    outcome.took = outcome.sent.elapsed();
    outcome
}

#[cfg(test)]
mod tests;
