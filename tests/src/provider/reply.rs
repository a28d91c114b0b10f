//! Answers and failures, and how they go out.

use std::io;

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::Dialect;
use super::behaviour::{Behaviour, Chunks};

const TINY: usize = 5;

/// An answer, and what it cost.
pub(super) struct Reply {
    pub(super) content: Content,
    pub(super) usage: Usage,
}

pub(super) enum Content {
    Json(Value),
    Events(Vec<Event>),
}

/// A server-sent event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    name: Option<String>,
    data: String,
}

/// Tokens read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) input: u64,
    pub(super) output: u64,
}

/// A refusal, before it takes a dialect's shape.
#[derive(Debug)]
pub(super) struct Failure {
    status: u16,
    message: String,
    code: Option<&'static str>,
}

impl Event {
    /// An event without a name, as OpenAI's older endpoints send it.
    pub(super) fn data(data: Value) -> Self {
        Self { name: None, data: data.to_string() }
    }

    /// The end of a stream of nameless events.
    pub(super) fn done() -> Self {
        Self { name: None, data: "[DONE]".to_owned() }
    }

    /// An event named by its data's `type`.
    pub(super) fn typed(data: Value) -> Self {
        Self { name: data["type"].as_str().map(str::to_owned), data: data.to_string() }
    }

    fn to_bytes(&self) -> Bytes {
        let name = self.name.as_ref().map(|name| format!("event: {name}\n")).unwrap_or_default();
        Bytes::from(format!("{name}data: {}\n\n", self.data))
    }
}

impl Reply {
    pub(super) fn json(body: Value, usage: Usage) -> Self {
        Self { content: Content::Json(body), usage }
    }

    pub(super) fn events(events: Vec<Event>, usage: Usage) -> Self {
        Self { content: Content::Events(events), usage }
    }

    pub(super) fn into_response(self, behaviour: &Behaviour) -> Response {
        let (kind, writes) = match self.content {
            Content::Json(body) => ("application/json", vec![Bytes::from(body.to_string())]),
            Content::Events(events) => {
                ("text/event-stream; charset=utf-8", events.iter().map(Event::to_bytes).collect())
            }
        };
        let headers = [
            (header::CONTENT_TYPE, kind),
            (header::HeaderName::from_static("openai-processing-ms"), "1"),
            (header::HeaderName::from_static("x-request-id"), "req_sample"),
        ];
        if kind == "application/json" && *behaviour == Behaviour::default() {
            return (headers, Body::from(writes.concat())).into_response();
        }
        (headers, body(writes, behaviour)).into_response()
    }
}

/// The writes of an answer, one after the other, as the behaviour asks.
fn body(writes: Vec<Bytes>, behaviour: &Behaviour) -> Body {
    let writes = match behaviour.chunks {
        Chunks::Tiny => torn(&writes),
        Chunks::Huge => vec![Bytes::from(writes.concat())],
        Chunks::Events if behaviour.cut.is_some() && writes.len() == 1 => torn(&writes),
        Chunks::Events => writes,
    };
    let pace = behaviour.pace;
    let kept = behaviour.cut.unwrap_or(writes.len());
    let hang_up = (kept < writes.len()).then(|| Err(io::Error::other("cut, as the request asked")));
    let writes = writes.into_iter().take(kept).map(Ok).chain(hang_up);
    Body::from_stream(stream::iter(writes).then(move |write| async move {
        // Letting go of the task is what makes the server flush the write before.
        tokio::task::yield_now().await;
        tokio::time::sleep(pace).await;
        write
    }))
}

fn torn(writes: &[Bytes]) -> Vec<Bytes> {
    writes.concat().chunks(TINY).map(Bytes::copy_from_slice).collect()
}

impl Failure {
    pub(super) fn credential() -> Self {
        Self { status: 401, message: "Incorrect API key provided.".to_owned(), code: Some("invalid_api_key") }
    }

    pub(super) fn invalid(message: String) -> Self {
        Self { status: 400, message, code: None }
    }

    pub(super) fn no_model(model: &str) -> Self {
        let message = format!("The model `{model}` does not exist or you do not have access to it.");
        Self { status: 404, message, code: Some("model_not_found") }
    }

    pub(super) fn no_endpoint(method: &Method, path: &str) -> Self {
        Self { status: 404, message: format!("Invalid URL ({method} {path})"), code: None }
    }

    /// The failure that the request has asked for.
    pub(super) fn asked(status: u16) -> Self {
        let (message, code) = match status {
            401 => return Self::credential(),
            404 => return Self::no_model("sample"),
            403 => ("You are not allowed to do this.", None),
            429 => ("Rate limit reached for requests.", Some("rate_limit_exceeded")),
            503 | 529 => ("The engine is currently overloaded, please try again later.", None),
            500.. => ("The server had an error while processing your request. Sorry about that!", None),
            _ => ("Invalid request, as asked.", None),
        };
        Self { status, message: message.to_owned(), code }
    }

    pub(super) fn into_response(self, dialect: Dialect) -> Response {
        let body = match dialect {
            Dialect::OpenAi => json!({ "error": {
                "message": self.message, "type": self.openai_type(), "param": null, "code": self.code,
            } }),
            Dialect::Anthropic => json!({ "type": "error", "request_id": "req_sample", "error": {
                "type": self.anthropic_type(), "message": self.message,
            } }),
        };
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(body)).into_response();
        if matches!(self.status, 429 | 503 | 529) {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }

    fn openai_type(&self) -> &'static str {
        match self.status {
            429 => "requests",
            500.. => "server_error",
            _ => "invalid_request_error",
        }
    }

    fn anthropic_type(&self) -> &'static str {
        match self.status {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            503 | 529 => "overloaded_error",
            500.. => "api_error",
            _ => "invalid_request_error",
        }
    }
}
