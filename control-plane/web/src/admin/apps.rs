//! Apps, which people know as API keys.

mod audit;
mod conflict;
mod create;
mod fields;
mod keys;
mod lifecycle;
mod people;
mod prompts;
mod secret;
mod self_service;
mod settings;
pub mod tabs;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use latchkey_api::Api;
use latchkey_api::activity::Active;
use latchkey_api::apps::{self, AppQuery, AppView};
use latchkey_api::body::{PathParams, Query};
use latchkey_api::problem::Problem;
use uuid::Uuid;

use super::{logs, usage};
use crate::form::HtmlForm;
use crate::format;
use crate::frame::{Frame, Visit};
use crate::html;
use crate::limits::{Meter, meters};
use crate::list::{Filter, PaginatedList};

/// A handler that switches an app or a key.
macro_rules! switch {
    ($module:ident, $switch:ident) => {
        |state, path, posted| $module::switch(state, path, posted, latchkey_core::status::Switch::$switch)
    };
}
use switch;

pub fn routes() -> Router<Api> {
    Router::new()
        .route("/admin/apps", get(list).post(create::create))
        .route("/admin/apps/new", get(create::new))
        .route("/admin/apps/{id}", get(settings::page).post(settings::update))
        .route("/admin/apps/{id}/simulation", post(settings::simulate))
        .route("/admin/apps/{id}/identity", post(settings::identity))
        .route("/admin/apps/{id}/identity/simulation", post(settings::simulate_identity))
        .route("/admin/apps/{id}/guardrails", post(settings::guardrails))
        .route("/admin/apps/{id}/activate", post(switch!(lifecycle, Activate)))
        .route("/admin/apps/{id}/deactivate", post(switch!(lifecycle, Deactivate)))
        .route("/admin/apps/{id}/revoke", post(switch!(lifecycle, Revoke)))
        .route("/admin/apps/{id}/delete", post(lifecycle::delete))
        .route("/admin/apps/{id}/rotate", post(lifecycle::rotate))
        .route("/admin/apps/{id}/value", post(lifecycle::value))
        .route("/admin/apps/{id}/gateways", get(secret::gateways))
        .route("/admin/apps/{id}/self-service", get(self_service::page).post(self_service::update))
        .route("/admin/apps/{id}/self-service/preview", post(self_service::preview))
        .route("/admin/apps/{id}/mode", post(self_service::mode))
        .route("/admin/apps/{id}/logs", get(logs::of_app))
        .route("/admin/apps/{id}/usage", get(usage::of_app))
        .route("/admin/apps/{id}/audit", get(audit::list))
        .route("/admin/apps/{id}/audit/{number}", get(audit::version))
        .route("/admin/apps/{id}/audit/{number}/simulation", get(audit::simulate))
        .route("/admin/apps/{id}/audit/{number}/rollback", post(audit::rollback))
        .merge(keys::routes())
        .merge(prompts::routes())
}

/// How many stand on a page: each has a meter for each of its limits.
const ROWS: u16 = 30;

#[derive(Template)]
#[template(path = "admin/apps.html")]
struct AppsPage {
    frame: Frame,
    form: HtmlForm,
    list: PaginatedList<(Active<AppView>, Vec<Meter>)>,
}

async fn list(
    visit: Visit,
    State(api): State<Api>,
    Filter(query): Filter<AppQuery>,
) -> Result<Response, Problem> {
    let form = HtmlForm::of(&query);
    let query = AppQuery { limit: Some(ROWS), ..query };
    let page = apps::list(visit.reader()?, State(api), Query(query)).await?;
    let filters = ["search", "status", "sort"].map(|name| (name, form.value(name)));
    let list = PaginatedList::new("/admin/apps", &filters, page);
    let filtered = filters[..2].iter().any(|(_, value)| !value.is_empty());
    let list = PaginatedList { filtered, ..list }.map(|app| {
        let meters = meters(&app.usage);
        (app, meters)
    });
    html(&AppsPage { frame: visit.frame("API keys"), form, list })
}

pub(super) async fn app(visit: &Visit, api: &Api, id: Uuid) -> Result<AppView, Problem> {
    Ok(apps::read(visit.reader()?, State(api.clone()), PathParams(id)).await?.0.item)
}
