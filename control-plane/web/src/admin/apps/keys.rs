//! An app's named keys.

mod key;
mod lifecycle;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use latchkey_api::Api;
use latchkey_api::activity::Active;
use latchkey_api::apps::{AppView, Created};
use latchkey_api::body::{JsonBody, PathParams, Query};
use latchkey_api::keys::{self, KeyQuery, KeyView};
use latchkey_api::problem::Problem;
use uuid::Uuid;

use super::tabs::Tabs;
use super::{app, people, secret, switch};
use crate::form::app::LIMIT_FIELDS;
use crate::form::{Field, FieldKind, FormInput, HtmlForm, Posted, expiry};
use crate::format;
use crate::frame::{Frame, Visit};
use crate::list::{Filter, PaginatedList};
use crate::{html, unprocessable};

/// The pages of an app's named keys.
pub fn routes() -> Router<Api> {
    Router::new()
        .route("/admin/apps/{id}/keys", get(list).post(create))
        .route("/admin/apps/{id}/keys/new", get(new))
        .route("/admin/apps/{id}/keys/{key}", get(key::page).post(key::update))
        .route("/admin/apps/{id}/keys/{key}/activate", post(switch!(lifecycle, Activate)))
        .route("/admin/apps/{id}/keys/{key}/deactivate", post(switch!(lifecycle, Deactivate)))
        .route("/admin/apps/{id}/keys/{key}/revoke", post(switch!(lifecycle, Revoke)))
        .route("/admin/apps/{id}/keys/{key}/rotate", post(lifecycle::rotate))
        .route("/admin/apps/{id}/keys/{key}/value", post(lifecycle::value))
}

#[derive(Template)]
#[template(path = "admin/keys.html")]
struct KeysPage {
    frame: Frame,
    tabs: Tabs,
    search: String,
    list: PaginatedList<Active<KeyView>>,
}

#[derive(Template)]
#[template(path = "admin/key_new.html")]
struct NewKeyPage {
    frame: Frame,
    tabs: Tabs,
    form: HtmlForm,
}

pub async fn list(
    visit: Visit,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    Filter(query): Filter<KeyQuery>,
) -> Result<Response, Problem> {
    let search = query.search.clone().unwrap_or_default();
    let user = query.user_id.map(|user| user.to_string()).unwrap_or_default();
    let app = app(&visit, &api, id).await?;
    let keys = keys::list(visit.reader()?, State(api), PathParams(id), Query(query)).await?;
    let filters = [("search", search.as_str()), ("user_id", &user)];
    let list = PaginatedList::new(&format!("/admin/apps/{id}/keys"), &filters, keys);
    let frame = visit.frame(format!("{}: named keys", app.name));
    html(&KeysPage { frame, tabs: Tabs::of(&app, "keys"), search, list })
}

pub async fn new(
    visit: Visit,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Response, Problem> {
    visit.admin()?;
    let app = app(&visit, &api, id).await?;
    let form = HtmlForm::default().with("expires_in", "");
    ask(&visit, &app, form)
}

/// Creates it, and shows its value.
pub async fn create(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    mut posted: Posted,
) -> Result<Response, Problem> {
    let admin = posted.visit.admin()?;
    let app = app(&posted.visit, &api, id).await?;
    let attempt = async {
        let user = people::at(&posted.visit, &api, "email", posted.typed.text("email")).await?;
        posted.typed = posted.typed.clone().with("user_id", user.to_string());
        let base: &[Field] =
            &[("user_id", FieldKind::Text), ("email", FieldKind::Aside), ("name", FieldKind::Text)];
        let creation = posted.creation(
            &[base, &[OWN_LIMITS], own_limits(&posted.typed), expiry(&posted.typed)].concat(),
            JsonBody,
        )?;
        keys::create(admin, State(api.clone()), PathParams(id), creation).await?.into_made()
    };
    match attempt.await {
        Ok(Created { item: key, propagation }) => {
            let to = format!("/admin/apps/{id}/keys/{}", key.id);
            let value = key.value.unwrap_or_default();
            let visit = &posted.visit;
            secret::named(visit, &api, &app, "Named key created", &to, value, Some(propagation)).await
        }
        Err(problem) => {
            let form = posted.refused(problem)?;
            Ok(unprocessable(ask(&posted.visit, &app, form)?))
        }
    }
}

fn ask(visit: &Visit, app: &AppView, form: HtmlForm) -> Result<Response, Problem> {
    let frame = visit.frame(format!("{}: new named key", app.name));
    html(&NewKeyPage { frame, tabs: Tabs::of(app, "keys"), form })
}

/// The key's own limits, or none where the app's apply.
fn own_limits(typed: &FormInput) -> &'static [Field] {
    const NONE: &[Field] = &[("limits", FieldKind::Optional)];
    if typed.has("own_limits") { &LIMIT_FIELDS } else { NONE }
}

/// Which says whether a key has limits of its own.
const OWN_LIMITS: Field = ("own_limits", FieldKind::Aside);
