//! `/api/v1/apps/{id}/keys`: named keys.

mod shape;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use latchkey_core::access::Subjects;
use latchkey_core::actor::Actor;
use latchkey_core::expiry;
use latchkey_core::limits::EditLimits;
use latchkey_core::status::Switch;
use serde::Deserialize;
use uuid::Uuid;

use super::Api;
use super::activity::{Active, Activities, UsageSubject};
use super::apps::{self, Created, KeyValue, Made, Rotate, Rotated, Switched};
use super::auth::{Admin, Reader};
use super::body::{Body, OptionalBody, Path, Query};
use super::idempotency::{Answered, Creation};
use super::page::{Page, wanted};
use super::problem::Problem;
use super::propagation::key_resources;
use crate::action::{Refusal, keys};
use crate::gateways::Await;
use crate::store::apps::App;
use crate::store::keys::{Key, KeyFilter};
use crate::store::subjects::SubjectNames;

pub use shape::{EditKey, KeyQuery, KeyView, NewKey};

/// Lists an app's named keys, oldest first.
#[utoipa::path(get, path = "/api/v1/apps/{id}/keys", tag = "keys", operation_id = "list_keys",
    params(("id" = Uuid, Path), KeyQuery),
    security(("token" = [])), responses((status = 200, body = Page<Active<KeyView>>), (status = "4XX", body = Problem)))]
pub async fn list(
    _: Reader,
    State(api): State<Api>,
    Path(app): Path<Uuid>,
    Query(query): Query<KeyQuery>,
) -> Result<Page<Active<KeyView>>, Problem> {
    let wanted = wanted(query.cursor.as_deref(), query.limit, query.search.as_deref())?;
    let app = apps::find(&api, app).await?;
    let search = query.search.unwrap_or_default();
    let filter = KeyFilter { search, user_id: query.user_id, after: wanted.after };
    let rows = api.store.named_keys(app.id, &filter, wanted.rows()).await?;
    let now = api.world.now();
    let owners: Vec<_> = rows.iter().map(|key| owner(key, &app)).collect();
    let activities = Activities::of_keys(&api.store, &owners, now).await?;
    let names = names(&api, &rows).await?;
    Ok(wanted.page(rows, |key| key.id, |key| activities.with(key.id, KeyView::new(&key, now).of(&names))))
}

/// Creates a named key, whose value is shown in this answer only (unless the app keeps values); answers when
/// the gateways know it.
#[utoipa::path(post, path = "/api/v1/apps/{id}/keys", tag = "keys", operation_id = "create_key",
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)), request_body = NewKey,
    security(("token" = [])), responses((status = 201, body = Created<KeyView>), (status = "4XX", body = Problem)))]
pub async fn create(
    Admin(actor): Admin,
    State(api): State<Api>,
    Path(app): Path<Uuid>,
    new: Creation<Body<NewKey>>,
) -> Result<Answered, Problem> {
    let made = new.once(&api, StatusCode::CREATED, async |tx, Body(new)| {
        let now = api.world.now();
        let expires_at =
            expiry::edited(new.expires_at.map(Some), new.expires_in, now).map_err(Refusal::from)?;
        let limits = new.limits.map(EditLimits::alone);
        let new = keys::create::NewKey { user_id: new.user_id, name: new.name, expires_at, limits };
        let issued = keys::create::create(tx, api.context(&actor), app, new).await?;
        Ok(KeyView::issued(&issued, now))
    });
    introduced(&api, app, made.await?).await
}

/// Shows a named key, without its value.
#[utoipa::path(get, path = "/api/v1/apps/{id}/keys/{key}", tag = "keys", operation_id = "read_key",
    params(("id" = Uuid, Path), ("key" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Active<KeyView>), (status = "4XX", body = Problem)))]
pub async fn read(
    _: Reader,
    State(api): State<Api>,
    Path((app, key)): Path<(Uuid, Uuid)>,
) -> Result<Json<Active<KeyView>>, Problem> {
    let (app, key) = find(&api, app, key).await?;
    let now = api.world.now();
    let activities = Activities::of_keys(&api.store, &[owner(&key, &app)], now).await?;
    let names = names(&api, std::slice::from_ref(&key)).await?;
    Ok(Json(activities.with(key.id, KeyView::new(&key, now).of(&names))))
}

/// Edits a named key. What is not named stays.
#[utoipa::path(patch, path = "/api/v1/apps/{id}/keys/{key}", tag = "keys", operation_id = "update_key",
    params(("id" = Uuid, Path), ("key" = Uuid, Path)), request_body = EditKey,
    security(("token" = [])), responses((status = 200, body = KeyView), (status = "4XX", body = Problem)))]
pub async fn update(
    Admin(actor): Admin,
    State(api): State<Api>,
    Path((app, key)): Path<(Uuid, Uuid)>,
    Body(edit): Body<EditKey>,
) -> Result<Json<KeyView>, Problem> {
    let now = api.world.now();
    let edit = edit.apply(now)?;
    let mut tx = api.store.begin().await?;
    let key = keys::update::update(&mut tx, api.context(&actor), app, key, edit).await?;
    tx.commit().await?;
    Ok(Json(KeyView::new(&key, now)))
}

/// Switches a named key on again.
#[utoipa::path(post, path = "/api/v1/apps/{id}/keys/{key}/activate", tag = "keys", operation_id = "activate_key",
    params(("id" = Uuid, Path), ("key" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Switched<KeyView>), (status = "4XX", body = Problem)))]
pub async fn activate(
    Admin(actor): Admin,
    State(api): State<Api>,
    Path((app, key)): Path<(Uuid, Uuid)>,
) -> Result<Json<Switched<KeyView>>, Problem> {
    switch(&api, &actor, app, key, Switch::Activate).await
}

/// Switches a named key off; answers when every gateway that is not gone has applied it.
#[utoipa::path(post, path = "/api/v1/apps/{id}/keys/{key}/deactivate", tag = "keys",
    operation_id = "deactivate_key", params(("id" = Uuid, Path), ("key" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Switched<KeyView>), (status = "4XX", body = Problem)))]
pub async fn deactivate(
    Admin(actor): Admin,
    State(api): State<Api>,
    Path((app, key)): Path<(Uuid, Uuid)>,
) -> Result<Json<Switched<KeyView>>, Problem> {
    switch(&api, &actor, app, key, Switch::Deactivate).await
}

/// Revokes a named key for good; answers when every gateway that is not gone has applied it.
#[utoipa::path(post, path = "/api/v1/apps/{id}/keys/{key}/revoke", tag = "keys", operation_id = "revoke_key",
    params(("id" = Uuid, Path), ("key" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Switched<KeyView>), (status = "4XX", body = Problem)))]
pub async fn revoke(
    Admin(actor): Admin,
    State(api): State<Api>,
    Path((app, key)): Path<(Uuid, Uuid)>,
) -> Result<Json<Switched<KeyView>>, Problem> {
    switch(&api, &actor, app, key, Switch::Revoke).await
}

/// Replaces a named key's secret. The old one stops at once, or after the grace.
#[utoipa::path(post, path = "/api/v1/apps/{id}/keys/{key}/rotate", tag = "keys", operation_id = "rotate_key",
    params(("id" = Uuid, Path), ("key" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Option<Rotate>,
    security(("token" = [])), responses((status = 200, body = Rotated<KeyView>), (status = "4XX", body = Problem)))]
pub async fn rotate(
    Admin(actor): Admin,
    State(api): State<Api>,
    Path((app, key)): Path<(Uuid, Uuid)>,
    rotate: Creation<OptionalBody<Rotate>>,
) -> Result<Answered, Problem> {
    let rotated = rotate.once(&api, StatusCode::OK, async |tx, OptionalBody(rotate)| {
        let app = tx.app(app).await?.ok_or(Refusal::NotFound("app"))?;
        let issued = keys::rotate::named_key(tx, api.context(&actor), &app, key, rotate.grace()?).await?;
        Ok(Made { key: KeyView::issued(&issued, api.world.now()) })
    });
    let rotated = rotated.await?;
    let key = api.store.named_key(app, key).await;
    rotated.with("propagation", &api.reached(key, Await::All).await)
}

/// Shows a named key's value again, where the app keeps values.
#[utoipa::path(get, path = "/api/v1/apps/{id}/keys/{key}/value", tag = "keys", operation_id = "read_key_value",
    params(("id" = Uuid, Path), ("key" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = KeyValue), (status = "4XX", body = Problem)))]
pub async fn value(
    Admin(actor): Admin,
    State(api): State<Api>,
    Path((app, key)): Path<(Uuid, Uuid)>,
) -> Result<Json<KeyValue>, Problem> {
    let mut tx = api.store.begin().await?;
    let value = keys::show::named_key(&mut tx, api.context(&actor), app, key).await?;
    tx.commit().await?;
    Ok(Json(value.into()))
}

async fn find(api: &Api, app: Uuid, key: Uuid) -> Result<(App, Key), Problem> {
    let app = apps::find(api, app).await?;
    let key = api.store.named_key(app.id, key).await?.ok_or(Refusal::NotFound("key"))?;
    Ok((app, key))
}

/// Adds how far a named key that was made has come.
pub(super) async fn introduced(api: &Api, app: Uuid, made: Answered) -> Result<Answered, Problem> {
    let MadeKey { id } = made.told()?;
    let key = api.store.named_key(app, id).await;
    made.with("propagation", &api.reached(key, Await::Reachable).await)
}

/// What tells a key that was made from others.
#[derive(Deserialize)]
struct MadeKey {
    id: Uuid,
}

/// Who the keys' users are.
async fn names(api: &Api, keys: &[Key]) -> Result<SubjectNames, Problem> {
    let users = keys.iter().filter_map(|key| key.user_id).collect();
    Ok(api.store.names(&Subjects { users, ..Subjects::default() }).await?)
}

pub(super) fn owner<'a>(key: &'a Key, app: &'a App) -> UsageSubject<'a> {
    UsageSubject::new(key.id, key.limits.as_ref().unwrap_or(&app.settings.named_key_limits), &app.settings)
}

async fn switch(
    api: &Api,
    actor: &Actor,
    app: Uuid,
    key: Uuid,
    switch: Switch,
) -> Result<Json<Switched<KeyView>>, Problem> {
    let mut tx = api.store.begin().await?;
    let key = keys::switch::switch(&mut tx, api.context(actor), app, key, switch).await?;
    tx.commit().await?;
    let propagation = api.switched(switch, key.revision, &key_resources(&key)).await;
    Ok(Json(Switched { item: KeyView::new(&key, api.world.now()), propagation }))
}
