//! Every route of the HTTP listener: the API, the pages, and what orchestrators and Prometheus ask.

use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use latchkey_api::problem::Problem;
use latchkey_api::{Api, health, metrics, oidc, propagation};
use latchkey_service::sign_in::oidc::CALLBACK;
use latchkey_web::fault;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;

/// The largest body that is read, but for requests that are to be explained.
const LARGEST: usize = 256 << 10;

/// The whole HTTP service.
pub fn router(api: Api) -> Router {
    let (routes, document) = latchkey_api::routes();
    let no_store = (HeaderName::from_static("cache-control"), HeaderValue::from_static("no-store"));
    let no_sniff = (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    routes
        .route("/api/openapi.json", get(|| async move { Json(document) }))
        .route("/auth/oidc", get(oidc::begin))
        .route(CALLBACK, get(oidc::finish))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::scrape))
        .merge(latchkey_web::routes())
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "not_found", "this path does not exist") })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this path does not support this method",
            )
        })
        .layer(DefaultBodyLimit::max(LARGEST))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_secs(60)))
        .layer(CatchPanicLayer::custom(|_| Problem::internal().into_response()))
        .layer(axum::middleware::from_fn_with_state(api.clone(), fault::pages))
        .layer(axum::middleware::from_fn_with_state(api.metrics.clone(), metrics::measure))
        .layer(SetResponseHeaderLayer::if_not_present(no_store.0, no_store.1))
        .layer(SetResponseHeaderLayer::if_not_present(no_sniff.0, no_sniff.1))
        .layer(axum::middleware::from_fn(propagation::timed))
        .with_state(api)
}
