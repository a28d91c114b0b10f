//! An app's named keys.

mod act;
mod page;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use uuid::Uuid;

use super::tabs::Tabs;
use super::{people, secret};
use crate::api::Api;
use crate::api::activity::Active;
use crate::api::apps::{self, AppView};
use crate::api::body::{Body, Path, Query};
use crate::api::keys::{self, KeyQuery, KeyView};
use crate::api::page::Page;
use crate::api::problem::Problem;
use crate::web::form::app::LIMIT_FIELDS;
use crate::web::form::{Field, Form, Kind, Posted, Typed, expiry};
use crate::web::format;
use crate::web::frame::{Frame, Visit};
use crate::web::html;
use crate::web::list::{Filter, More, Next};

/// The pages of an app's named keys.
pub fn routes() -> Router<Api> {
    Router::new()
        .route("/admin/apps/{id}/keys", get(list).post(create))
        .route("/admin/apps/{id}/keys/new", get(new))
        .route("/admin/apps/{id}/keys/{key}", get(page::page).post(page::update))
        .route("/admin/apps/{id}/keys/{key}/activate", post(act::activate))
        .route("/admin/apps/{id}/keys/{key}/deactivate", post(act::deactivate))
        .route("/admin/apps/{id}/keys/{key}/revoke", post(act::revoke))
        .route("/admin/apps/{id}/keys/{key}/rotate", post(act::rotate))
        .route("/admin/apps/{id}/keys/{key}/value", post(act::value))
}

#[derive(Template)]
#[template(path = "admin/keys.html")]
struct KeysPage {
    frame: Frame,
    tabs: Tabs,
    search: String,
    keys: Page<Active<KeyView>>,
    more: More,
}

#[derive(Template)]
#[template(path = "admin/key_new.html")]
struct NewKeyPage {
    frame: Frame,
    tabs: Tabs,
    form: Form,
}

/// Lists them.
pub async fn list(
    visit: Visit,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    Filter(query): Filter<KeyQuery>,
) -> Result<Response, Problem> {
    let search = query.search.clone().unwrap_or_default();
    let user = query.user_id.map(|user| user.to_string()).unwrap_or_default();
    let app = app(&visit, &api, id).await?;
    let keys = keys::list(visit.reader()?, State(api), Path(id), Query(query)).await?;
    let filters = [("search", search.as_str()), ("user_id", &user)];
    let more = Next::new(&format!("/admin/apps/{id}/keys"), &filters, keys.next_cursor.as_deref());
    let frame = visit.frame(format!("{}: named keys", app.name));
    html(&KeysPage { frame, tabs: Tabs::of(&app, "keys"), search, keys, more })
}

/// Asks for a new one.
pub async fn new(visit: Visit, State(api): State<Api>, Path(id): Path<Uuid>) -> Result<Response, Problem> {
    visit.admin()?;
    let app = app(&visit, &api, id).await?;
    let form = Form::default().with("expires_in", "");
    asking(&visit, &app, form)
}

/// Creates it, and shows its value.
pub async fn create(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    mut posted: Posted,
) -> Result<Response, Problem> {
    let admin = posted.visit.admin()?;
    let app = app(&posted.visit, &api, id).await?;
    let attempt = async {
        let user = people::at(&posted.visit, &api, "email", posted.typed.text("email")).await?;
        posted.typed = posted.typed.clone().with("user_id", user.to_string());
        let base: &[Field] = &[("user_id", Kind::Text), ("email", Kind::Aside), ("name", Kind::Text)];
        let creation = posted.creation(
            &[base, &[OWN_LIMITS], own_limits(&posted.typed), expiry(&posted.typed)].concat(),
            Body,
        )?;
        keys::create(admin, State(api.clone()), Path(id), creation).await?.told::<Value>()
    };
    match attempt.await {
        Ok(made) => {
            let value = made["value"].as_str().unwrap_or_default().to_owned();
            let to = format!("/admin/apps/{id}/keys/{}", made["id"].as_str().unwrap_or_default());
            let reached = serde_json::from_value(made["propagation"].clone()).ok();
            secret::named(&posted.visit, &api, &app, "Named key created", &to, value, reached).await
        }
        Err(problem) => {
            let form = posted.refused(problem)?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, asking(&posted.visit, &app, form)?).into_response())
        }
    }
}

fn asking(visit: &Visit, app: &AppView, form: Form) -> Result<Response, Problem> {
    let frame = visit.frame(format!("{}: new named key", app.name));
    html(&NewKeyPage { frame, tabs: Tabs::of(app, "keys"), form })
}

/// The key's own limits, or none where the app's apply.
fn own_limits(typed: &Typed) -> &'static [Field] {
    const NONE: &[Field] = &[("limits", Kind::Optional)];
    if typed.has("own_limits") { &LIMIT_FIELDS } else { NONE }
}

/// Which says whether a key has limits of its own.
const OWN_LIMITS: Field = ("own_limits", Kind::Aside);

async fn app(visit: &Visit, api: &Api, id: Uuid) -> Result<AppView, Problem> {
    Ok(apps::read(visit.reader()?, State(api.clone()), Path(id)).await?.0.item)
}
