//! The pages: the portal for users, the console for admins. They are made here, work without a script, and
//! show and do what the API shows and does: their handlers call those of [`latchkey_api`], so that a rule is
//! written once. They see no store.

pub mod account;
pub mod admin;
pub mod assets;
pub mod chart;
pub mod denials;
pub mod fault;
pub mod findings;
pub mod form;
pub mod format;
pub mod frame;
pub mod guardrails;
pub mod limits;
pub mod list;
pub mod my;
pub mod pasted_key;
pub mod period;
pub mod sign_in;
pub mod simulation;
pub mod snippets;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use latchkey_core::role::Permission;

use frame::{Visit, redirect};
use latchkey_api::Api;
use latchkey_api::problem::Problem;

pub fn routes() -> Router<Api> {
    Router::new()
        .route("/", get(home))
        .route("/sign-in", get(sign_in::page).post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/invitation", get(sign_in::invitation).post(sign_in::accept))
        .route("/account", get(account::page))
        .route("/account/password", post(account::password))
        .route("/account/email", post(account::email))
        .route("/account/email/test", post(account::test_email))
        .route("/account/sessions/{id}/end", post(account::end_session))
        .route("/account/tokens", post(account::create_token))
        .route("/account/tokens/{id}/revoke", post(account::revoke_token))
        .merge(admin::routes())
        .merge(my::routes())
        .route("/assets/{name}", get(assets::serve))
        .layer(axum::middleware::from_fn(pasted_key::keep_out))
}

/// Leads to where somebody's work is.
async fn home(visit: Visit, State(_): State<Api>) -> Result<Response, Problem> {
    let to = if visit.actor.role.permits(Permission::GatewayRead) { "/admin" } else { "/apps" };
    Ok(redirect(to).into_response())
}

/// The page of a form that was refused.
fn unprocessable(page: Response) -> Response {
    (StatusCode::UNPROCESSABLE_ENTITY, page).into_response()
}

fn html(page: &impl askama::Template) -> Result<Response, Problem> {
    let text = page.render().map_err(|error| {
        tracing::error!(%error, "a page could not be rendered");
        Problem::internal()
    })?;
    Ok(([(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response())
}
