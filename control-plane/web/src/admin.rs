//! The console: for those who run the gateway.

pub mod apps;
pub mod audit;
pub mod events;
pub mod filters;
pub mod findings;
pub mod gateways;
pub mod groups;
pub mod logs;
pub mod models;
pub mod overview;
pub mod playground;
pub mod requests;
pub mod routing_groups;
pub mod tokens;
pub mod upstreams;
pub mod usage;
pub mod users;
pub mod webhooks;

use axum::Router;
use axum::routing::{get, post};
use latchkey_api::Api;

/// Every page of the console.
pub fn routes() -> Router<Api> {
    Router::new()
        .merge(apps::routes())
        .merge(requests::routes())
        .merge(upstreams::routes())
        .merge(routing_groups::routes())
        .merge(webhooks::routes())
        .route("/admin", get(overview::page))
        .route("/admin/logs", get(logs::list))
        .route("/admin/logs/explain", get(logs::explain))
        .route("/admin/findings", get(findings::page))
        .route("/admin/usage", get(usage::page))
        .route("/admin/events", get(events::list))
        .route("/admin/users", get(users::list).post(users::create))
        .route("/admin/users/new", get(users::new))
        .route("/admin/users/{id}", get(users::page).post(users::update))
        .route("/admin/keys/of/{id}/revoke", post(users::revoke_keys))
        .route("/admin/users/{id}/invite", post(users::invite))
        .route("/admin/users/{id}/deactivate", post(users::deactivate))
        .route("/admin/users/{id}/reactivate", post(users::reactivate))
        .route("/admin/users/{id}/sessions/end", post(users::end_sessions))
        .route("/admin/users/{id}/identities/{identity}/unlink", post(users::unlink))
        .route("/admin/models", get(models::list).post(models::create))
        .route("/admin/models/new", get(models::new))
        .route("/admin/models/{id}", get(models::page).post(models::update))
        .route("/admin/models/{id}/delete", post(models::delete))
        .route("/admin/gateways", get(gateways::list))
        .route("/admin/gateways/forget", post(gateways::forget))
        .route("/admin/gateways/lost/{instance}/write-off", post(gateways::write_off))
        .route("/admin/tokens", get(tokens::list).post(tokens::create))
        .route("/admin/tokens/{id}/revoke", post(tokens::revoke))
        .route("/admin/tokens/{id}/unbind", post(tokens::unbind))
        .route("/admin/audit", get(audit::list))
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
