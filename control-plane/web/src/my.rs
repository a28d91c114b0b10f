//! The portal: for those who use apps.

pub mod apps;
pub mod ask;
pub mod diff;
pub mod findings;
pub mod keys;
pub mod logs;
pub mod requests;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::routing::{get, post};
use latchkey_api::{Api, LARGEST_LISTS};

/// Every page of the portal.
pub fn routes() -> Router<Api> {
    Router::new()
        .route("/apps", get(apps::list))
        .route("/apps/{id}", get(apps::page))
        .route("/apps/{id}/value", post(apps::value))
        .route("/apps/{id}/keys", post(keys::create))
        .route("/apps/{id}/keys/new", get(keys::new))
        .route("/apps/{id}/keys/{key}", get(keys::page))
        .route("/apps/{id}/keys/{key}/rename", post(keys::rename))
        .route("/apps/{id}/keys/{key}/rotate", post(keys::rotate))
        .route("/apps/{id}/keys/{key}/revoke", post(keys::revoke))
        .route("/apps/{id}/keys/{key}/value", post(keys::value))
        .route("/apps/{id}/logs", get(logs::page))
        .route("/apps/{id}/findings", get(findings::page))
        .route(
            "/apps/{id}/request/{kind}",
            get(ask::page).post(ask::send.layer(DefaultBodyLimit::max(LARGEST_LISTS))),
        )
        .route("/requests", get(requests::list))
        .route("/requests/{id}", get(requests::page))
        .route("/requests/{id}/withdraw", post(requests::withdraw))
}
