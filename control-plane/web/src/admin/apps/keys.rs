//! Named keys, of an app and of all.

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
use latchkey_api::keys::{self, KeyQuery, KeyView, UserKey};
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

/// By what lists of named keys are filtered.
const FILTERS: [&str; 4] = ["search", "expires_within_days", "lost_access", "user_id"];

/// The pages of named keys.
pub fn routes() -> Router<Api> {
    Router::new()
        .route("/admin/keys", get(all))
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
    form: HtmlForm,
    list: PaginatedList<Active<KeyView>>,
}

#[derive(Template)]
#[template(path = "admin/all_keys.html")]
struct AllKeysPage {
    frame: Frame,
    form: HtmlForm,
    list: PaginatedList<UserKey>,
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
    let form = HtmlForm::of(&query);
    let app = app(&visit, &api, id).await?;
    let keys = keys::list(visit.reader()?, State(api), PathParams(id), Query(query)).await?;
    let filters = FILTERS.map(|name| (name, form.value(name)));
    let list = PaginatedList::new(&format!("/admin/apps/{id}/keys"), &filters, keys);
    let frame = visit.frame(format!("{}: named keys", app.name));
    html(&KeysPage { frame, tabs: Tabs::of(&app, "keys"), form, list })
}

/// Those of every app.
async fn all(
    visit: Visit,
    State(api): State<Api>,
    Filter(query): Filter<KeyQuery>,
) -> Result<Response, Problem> {
    let form = HtmlForm::of(&query);
    let keys = keys::all(visit.reader()?, State(api), Query(query)).await?;
    let list = PaginatedList::new("/admin/keys", &FILTERS.map(|name| (name, form.value(name))), keys);
    html(&AllKeysPage { frame: visit.frame("Named keys"), form, list })
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
