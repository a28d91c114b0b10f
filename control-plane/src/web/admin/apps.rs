//! Apps, which people know as API keys.

mod act;
mod audit;
mod create;
mod fields;
mod keys;
mod page;
mod people;
mod secret;
mod self_service;
mod tabs;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;

use crate::api::Api;
use crate::api::activity::Active;
use crate::api::apps::{self, AppQuery, AppView};
use crate::api::body::Query;
use crate::api::page::bad_query;
use crate::api::problem::Problem;
use crate::web::form::Form;
use crate::web::format;
use crate::web::frame::{Frame, Visit};
use crate::web::html;
use crate::web::limits::{Meter, meters};
use crate::web::list::{Filter, More, Next};

/// The pages of apps.
pub fn routes() -> Router<Api> {
    Router::new()
        .route("/admin/apps", get(list).post(create::create))
        .route("/admin/apps/new", get(create::new))
        .route("/admin/apps/{id}", get(page::page).post(page::update))
        .route("/admin/apps/{id}/identity", post(page::identity))
        .route("/admin/apps/{id}/activate", post(act::activate))
        .route("/admin/apps/{id}/deactivate", post(act::deactivate))
        .route("/admin/apps/{id}/revoke", post(act::revoke))
        .route("/admin/apps/{id}/delete", post(act::delete))
        .route("/admin/apps/{id}/rotate", post(act::rotate))
        .route("/admin/apps/{id}/value", post(act::value))
        .route("/admin/apps/{id}/gateways", get(secret::gateways))
        .route("/admin/apps/{id}/self-service", get(self_service::page).post(self_service::update))
        .route("/admin/apps/{id}/self-service/preview", post(self_service::preview))
        .route("/admin/apps/{id}/mode", post(self_service::mode))
        .route("/admin/apps/{id}/audit", get(audit::list))
        .route("/admin/apps/{id}/audit/{number}", get(audit::version))
        .route("/admin/apps/{id}/audit/{number}/rollback", post(audit::rollback))
        .merge(keys::routes())
}

/// How many stand on a page: each has a meter for each of its limits.
const ROWS: u16 = 30;

#[derive(Template)]
#[template(path = "admin/apps.html")]
struct AppsPage {
    frame: Frame,
    form: Form,
    filtered: bool,
    apps: Vec<(Active<AppView>, Vec<Meter>)>,
    more: More,
}

/// What a list's filters say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AppsQuery {
    cursor: Option<String>,
    search: String,
    status: String,
    sort: String,
}

/// Lists them.
pub async fn list(
    visit: Visit,
    State(api): State<Api>,
    Filter(query): Filter<AppsQuery>,
) -> Result<Response, Problem> {
    let AppsQuery { cursor, search, status, sort } = query;
    let asked = AppQuery {
        cursor,
        limit: Some(ROWS),
        search: Some(search.clone()),
        status: word("status", &status)?,
        sort: word("sort", &sort)?,
    };
    let page = apps::list(visit.reader()?, State(api), Query(asked)).await?;
    let filters = [("search", search.as_str()), ("status", &status), ("sort", &sort)];
    let more = Next::new("/admin/apps", &filters, page.next_cursor.as_deref());
    let filtered = !(search.is_empty() && status.is_empty());
    let form = filters.into_iter().fold(Form::default(), |form, (name, value)| form.with(name, value));
    let with_meters = |app: Active<AppView>| {
        let meters = meters(&app.usage);
        (app, meters)
    };
    let apps = page.items.into_iter().map(with_meters).collect();
    html(&AppsPage { frame: visit.frame("API keys"), form, filtered, apps, more })
}

/// A word of the API that a query holds, or none.
fn word<T: serde::de::DeserializeOwned>(name: &str, text: &str) -> Result<Option<T>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    let read = serde_json::from_value(text.into());
    read.map(Some).map_err(|error| bad_query(format!("`{name}`: {error}")))
}
