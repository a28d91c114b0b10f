//! `/metrics`: for Prometheus, with an API token of any role.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Api;
use super::auth::Anyone;
use super::problem::Problem;
use crate::metrics::Metrics;

/// What is measured, as `OpenMetrics` text.
pub async fn scrape(_: Anyone, State(api): State<Api>) -> Result<Response, Problem> {
    api.metrics.set_gateways(&api.gateways.connected_here().await?);
    api.metrics.set_connections(api.store.connections());
    let text = api.metrics.text().map_err(|error| {
        tracing::error!(%error, "the metrics could not be written");
        Problem::internal()
    })?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// Counts and times each answer, by its route: a path that a client made up is no label.
pub async fn measure(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = method(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    metrics.answered(method, route, response.status().as_u16(), begun.elapsed());
    response
}

fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
