//! The same call, passed on as it comes: for the script.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::stream::{self, StreamExt as _};
use latchkey_api::Api;
use latchkey_api::problem::Problem;
use serde_json::json;

use super::call::{request_id, shown};
use crate::form::Posted;

/// Calls the gateway. The first line of the answer is JSON (`status`, `request_id`, `headers`), the rest is
/// the body as it comes; where nothing could be called, the line has `problem` instead.
pub async fn live(State(api): State<Api>, posted: Posted) -> Result<Response, Problem> {
    let attempt = async { super::call(&api, &posted, true).await?.open(&api.gateway_url).await };
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    let (parts, body) = match attempt.await {
        Ok(answer) => answer,
        Err(problem) if problem.status < 500 => {
            return Ok((kind, format!("{}\n", json!({ "problem": problem.detail }))).into_response());
        }
        Err(problem) => return Err(problem),
    };
    let head = json!({
        "status": parts.status.as_u16(),
        "request_id": request_id(&parts.headers),
        "headers": shown(&parts.headers),
    });
    let head = stream::once(async move { Ok(Bytes::from(format!("{head}\n"))) });
    let body = body.into_data_stream();
    Ok((kind, Body::from_stream(head.chain(body))).into_response())
}
