//! The console: for those who run the gateway.

pub mod apps;
pub mod groups;
pub mod playground;
pub mod requests;

use axum::Router;
use axum::routing::{get, post};

use crate::api::Api;

/// Every page of the console.
pub fn routes() -> Router<Api> {
    Router::new()
        .merge(apps::routes())
        .merge(requests::routes())
        .route("/admin/groups", get(groups::list).post(groups::create))
        .route("/admin/groups/new", get(groups::new))
        .route("/admin/groups/{id}", get(groups::page).post(groups::update))
        .route("/admin/groups/{id}/delete", post(groups::delete))
        .route("/admin/groups/{id}/members", post(groups::add))
        .route("/admin/groups/{id}/members/{user}/remove", post(groups::remove))
        .route("/admin/playground", get(playground::page).post(playground::send))
        .route("/admin/playground/live", post(playground::live))
        .route("/admin/playground/record", get(playground::record))
}
