//! `/readyz`: for orchestrators.

use axum::extract::State;
use axum::http::StatusCode;

use super::Api;
use super::problem::Problem;

pub async fn ready(State(api): State<Api>) -> Result<&'static str, Problem> {
    api.store.writes().await.map_err(|failing| {
        tracing::warn!("not ready: {failing}");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", failing.to_string())
    })?;
    Ok("ready\n")
}
