//! `/metrics`: for Prometheus, with an API token of any role. What is known without the database is
//! told without it.

use std::time::{Duration, Instant};

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use latchkey_service::metrics::Metrics;
use latchkey_service::tokens;

use super::Api;
use super::auth::AnyActor;
use super::problem::Problem;

/// For how long the database is asked who reads the metrics.
const PATIENCE: Duration = Duration::from_secs(2);

/// Someone who may read the metrics: known to the database, or, while it is away, let in lately.
#[derive(Clone, Copy, Debug)]
pub struct MetricsReader;

impl FromRequestParts<Api> for MetricsReader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|text| text.split_once(' ')).map(|(_, token)| tokens::hash(token.trim()));
        let now = api.world.now();
        let asked = async {
            AnyActor::from_request_parts(parts, api).await?;
            let known = match &token {
                Some(token) => api.store.token(token, now).await?,
                None => None,
            };
            Ok::<_, Problem>(known)
        };
        let known = match tokio::time::timeout(PATIENCE, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(latchkey_store::Error::PoolTimedOut.into()),
        };
        match (known, token) {
            (Ok(Some(known)), Some(token)) => api.metrics.let_in(token, known.expires_at, now),
            (Ok(_), _) => {}
            (Err(problem), Some(token)) if problem.status >= 500 => {
                return if api.metrics.remembers(&token, now) { Ok(Self) } else { Err(problem) };
            }
            (Err(problem), token) => {
                token.inspect(|token| api.metrics.forget(token));
                return Err(problem);
            }
        }
        Ok(Self)
    }
}

/// What is measured, as `OpenMetrics` text.
pub async fn scrape(_: MetricsReader, State(api): State<Api>) -> Result<Response, Problem> {
    let (gateways, database_up) = api.gateways.connected_here().await;
    api.metrics.set_gateways(&gateways);
    api.metrics.set_database_up(database_up);
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
