//! A call of the gateway.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::response::Parts;
use axum::http::{HeaderMap, Request, header};
use http_body_util::{BodyExt as _, Limited};
use latchkey_api::problem::Problem;
use latchkey_core::invalid::{FieldError, Invalid};
use latchkey_service::outbound::{Failed, Outbound};
use serde::Deserialize;
use serde_json::{Value, json};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(50);
/// The largest answer, in bytes.
const LARGEST: usize = 4 * 1024 * 1024;
/// What of an answer's headers is worth seeing.
const SHOWN: [&str; 5] =
    ["x-ratelimit-", "retry-after", "x-should-retry", "x-request-id", "x-latchkey-attempts"];

#[derive(Clone, Debug, Deserialize)]
pub struct ChatPrompt {
    model: String,
    message: String,
    max_tokens: Option<u64>,
}

/// A chat completion to ask for.
pub struct ChatCall {
    key: String,
    body: Value,
}

#[derive(Clone, Debug)]
pub struct GatewayAnswer {
    pub status: u16,
    pub request_id: String,
    pub headers: Vec<(String, String)>,
    /// The text of the answer, or of the refusal.
    pub text: String,
    /// The body, as it came.
    pub raw: String,
    pub elapsed_ms: u64,
}

impl ChatCall {
    pub fn new(key: String, prompt: ChatPrompt, streamed: bool) -> Result<Self, Problem> {
        let mut wrong = Invalid::default();
        if !key.bytes().all(|c| c.is_ascii_graphic()) {
            wrong.0.push(FieldError::new(
                "key",
                "is not a valid key: it contains a space or another invalid character",
            ));
        }
        let ChatPrompt { model, message, max_tokens } = prompt;
        if model.is_empty() {
            wrong.0.push(FieldError::new("model", "enter a model"));
        }
        let mut body = json!({ "model": model, "messages": [{ "role": "user", "content": message }] });
        if let Some(tokens) = max_tokens {
            body["max_tokens"] = json!(tokens);
        }
        if streamed {
            body["stream"] = json!(true);
        }
        wrong.into_result().map_err(Problem::invalid)?;
        Ok(Self { key, body })
    }

    /// Sends it, and gives the answer as it begins.
    pub async fn open(&self, gateway: &str) -> Result<(Parts, Body), Problem> {
        let request = Request::post(format!("{gateway}/openai_compatible/v1/chat/completions"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, "latchkey-playground")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key))
            .body(self.body.to_string().into_bytes())
            .map_err(|_| Problem::internal())?;
        let answer =
            tokio::time::timeout(PATIENCE, outbound()?.open(request)).await.unwrap_or(Err(Failed::Late));
        Ok(answer.map_err(|failed| unreached(gateway, &failed))?.into_parts())
    }

    /// Sends it, and reads the answer whole.
    pub async fn send(&self, gateway: &str) -> Result<GatewayAnswer, Problem> {
        let begun = Instant::now();
        let (parts, body) = self.open(gateway).await?;
        let body = tokio::time::timeout(PATIENCE, Limited::new(body, LARGEST).collect()).await;
        let body = body.map_err(|_| unreached(gateway, &Failed::Late))?;
        let body = body.map_err(|error| unreached(gateway, &Failed::Unreadable(error)))?.to_bytes();
        let raw = String::from_utf8_lossy(&body).into_owned();
        Ok(GatewayAnswer {
            status: parts.status.as_u16(),
            request_id: request_id(&parts.headers),
            headers: shown(&parts.headers),
            text: text(&raw),
            raw,
            elapsed_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }
}

/// The client of all calls: a new one would read this machine's certificate authorities again.
fn outbound() -> Result<&'static Outbound, Problem> {
    static OUTBOUND: OnceLock<Outbound> = OnceLock::new();
    if let Some(known) = OUTBOUND.get() {
        return Ok(known);
    }
    let new = Outbound::new().map_err(|error| {
        tracing::error!(error = format!("{error:#}"), "the playground has no client");
        Problem::internal()
    })?;
    Ok(OUTBOUND.get_or_init(|| new))
}

/// The gateway's id of a request.
pub fn request_id(headers: &HeaderMap) -> String {
    let id = headers.get("x-request-id").and_then(|id| id.to_str().ok());
    id.unwrap_or_default().to_owned()
}

/// The headers that tell what the gateway did.
pub fn shown(headers: &HeaderMap) -> Vec<(String, String)> {
    let told = |name: &&axum::http::HeaderName| SHOWN.iter().any(|prefix| name.as_str().starts_with(prefix));
    let mut headers: Vec<_> = headers
        .keys()
        .filter(told)
        .filter_map(|name| Some((name.to_string(), headers.get(name)?.to_str().ok()?.to_owned())))
        .collect();
    headers.sort();
    headers
}

/// What an answer says: its first choice, or its error.
fn text(raw: &str) -> String {
    let json: Value = serde_json::from_str(raw).unwrap_or_default();
    let said = json["choices"][0]["message"]["content"].as_str().or(json["error"]["message"].as_str());
    said.unwrap_or(raw).to_owned()
}

fn unreached(gateway: &str, failed: &Failed) -> Problem {
    let what = format!(
        "the gateway at {gateway} could not be reached: {failed} (LATCHKEY_GATEWAY_URL sets its address)"
    );
    Problem::invalid(FieldError::new("", what).into())
}
