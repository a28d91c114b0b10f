//! `POST /detector` and `POST /detector/<manner>`: an external detector, as a company would run one for its
//! guardrails. It finds the name of a secret project, and misbehaves as real ones do where its path or a test says.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

/// What it knows its caller by.
pub const DETECTOR_CREDENTIAL: &str = "sk-sample-detector-credential";
/// What it finds.
pub const PROJECT: &str = "Project Nightingale";

/// How it answers, unless its path says otherwise.
#[derive(Debug, Default)]
pub(super) struct Manner(Mutex<String>);

impl Manner {
    pub(super) fn set(&self, manner: &str) {
        manner.clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn get(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Answers a question about texts.
pub(super) async fn judge(path: &str, manner: &Manner, headers: &HeaderMap, question: &Value) -> Response {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if bearer.and_then(|value| value.strip_prefix("Bearer ")) != Some(DETECTOR_CREDENTIAL) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let Some(texts) = question["texts"].as_array() else { return StatusCode::BAD_REQUEST.into_response() };
    let manner = match path.trim_start_matches("/detector").trim_start_matches('/') {
        "" => manner.get(),
        told => told.to_owned(),
    };
    match manner.as_str() {
        "" => Json(json!({ "findings": findings(texts) })).into_response(),
        // The whole text of each that has it.
        "whole" => Json(json!({ "findings": whole(texts) })).into_response(),
        "slow" => {
            tokio::time::sleep(Duration::from_secs(30)).await;
            Json(json!({ "findings": [] })).into_response()
        }
        "error" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        "garbage" => "{\"findings\": [".into_response(),
        "nothing" => Json(json!({})).into_response(),
        "span" => Json(json!({ "findings": [{ "id": 0, "start": 0, "end": 1_000_000 }] })).into_response(),
        "huge" => vec![b' '; 40 << 20].into_response(),
        "hang-up" => {
            let cut = [Ok(Bytes::from_static(b"{\"find")), Err(std::io::Error::other("hung up"))];
            Body::from_stream(futures::stream::iter(cut)).into_response()
        }
        other => {
            (StatusCode::NOT_FOUND, format!("the sample detector knows no manner {other:?}")).into_response()
        }
    }
}

/// Each place of the project's name, in Unicode code points.
fn findings(texts: &[Value]) -> Vec<Value> {
    let mut findings = Vec::new();
    for text in texts {
        let said = text["text"].as_str().unwrap_or_default();
        for (at, found) in said.match_indices(PROJECT) {
            let start = said[..at].chars().count();
            let end = start + found.chars().count();
            findings.push(json!({ "id": text["id"], "start": start, "end": end, "label": "PROJECT" }));
        }
    }
    findings
}

fn whole(texts: &[Value]) -> Vec<Value> {
    let has_it = |text: &&Value| text["text"].as_str().is_some_and(|said| said.contains(PROJECT));
    texts.iter().filter(has_it).map(|text| json!({ "id": text["id"], "label": "TOPIC" })).collect()
}
