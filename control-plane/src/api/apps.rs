//! `/api/v1/apps`

mod edit;
mod shape;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use latchkey_core::actor::Actor;
use latchkey_core::status::Switch;
use serde::Deserialize;
use uuid::Uuid;

use super::Api;
use super::activity::{Active, Activities, UsageSubject};
use super::auth::{Admin, Reader};
use super::body::{Body, OptionalBody, Path, Query};
use super::idempotency::{Answered, Creation};
use super::page::{Page, wanted};
use super::problem::Problem;
use super::propagation::{Propagation, app_resource, key_resources};
use crate::action::{Refusal, apps, keys};
use crate::gateways::Await;
use crate::store::apps::{App, AppFilter};

pub use edit::{EditApp, NewApp};
pub(crate) use shape::Made;
pub use shape::{AppKeyView, AppQuery, AppView, Created, Deleted, KeyValue, Rotate, Rotated, Switched};

/// How many apps are looked at together.
const BATCH: i64 = 200;

/// Lists apps, oldest first unless another order is asked for.
#[utoipa::path(get, path = "/api/v1/apps", tag = "apps", operation_id = "list_apps", params(AppQuery),
    security(("token" = [])), responses((status = 200, body = Page<Active<AppView>>), (status = "4XX", body = Problem)))]
pub async fn list(
    _: Reader,
    State(api): State<Api>,
    Query(query): Query<AppQuery>,
) -> Result<Page<Active<AppView>>, Problem> {
    let wanted = wanted(query.cursor.as_deref(), query.limit, query.search.as_deref())?;
    let mut filter = AppFilter { search: query.search.unwrap_or_default(), after: wanted.after };
    let (order, now) = (query.sort.unwrap_or_default(), api.world.now());
    let mut rows = Vec::new();
    // Whether an app has expired is not stored, so apps are read until the page is full.
    while rows.len() < usize::from(wanted.limit) + 1 {
        let limit = if query.status.is_some() { BATCH } else { wanted.rows() };
        let batch = api.store.apps(&filter, order, limit).await?;
        let last = (batch.len() as i64) < limit;
        filter.after = batch.last().map(|app| app.id).or(filter.after);
        let standing = |app: &App| app.status.standing(app.settings.expires_at, now);
        rows.extend(batch.into_iter().filter(|app| query.status.is_none_or(|asked| standing(app) == asked)));
        if last {
            break;
        }
    }
    rows.truncate(usize::from(wanted.limit) + 1);
    let activities =
        Activities::of_apps(&api.store, &rows.iter().map(owner).collect::<Vec<_>>(), now).await?;
    Ok(wanted.page(rows, |app| app.id, |app| activities.with(app.id, AppView::new(app, now))))
}

/// Creates an app with its key, whose value is shown in this answer only; answers when the gateways know it.
#[utoipa::path(post, path = "/api/v1/apps", tag = "apps", operation_id = "create_app", request_body = NewApp,
    params(("Idempotency-Key" = Option<String>, Header)),
    security(("token" = [])), responses((status = 201, body = Created<AppView>), (status = "4XX", body = Problem)))]
pub async fn create(
    Admin(actor): Admin,
    State(api): State<Api>,
    new: Creation<Body<NewApp>>,
) -> Result<Answered, Problem> {
    let made = new.once(&api, StatusCode::CREATED, async |tx, Body(new)| {
        let now = api.world.now();
        let (name, settings) = new.settings(now)?;
        let (app, issued) = apps::create::create(tx, api.context(&actor), name, settings).await?;
        Ok(AppView { key: Some(AppKeyView::issued(&issued)), ..AppView::new(app, now) })
    });
    let made = made.await?;
    // It has its app's revision.
    let MadeApp { id } = made.told()?;
    let key = api.store.app_key(id).await;
    made.with("propagation", &api.reached(key, Await::Reachable).await)
}

/// Shows an app.
#[utoipa::path(get, path = "/api/v1/apps/{id}", tag = "apps", operation_id = "read_app", params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Active<AppView>), (status = "4XX", body = Problem)))]
pub async fn read(
    _: Reader,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
) -> Result<Json<Active<AppView>>, Problem> {
    let app = find(&api, id).await?;
    let key = api.store.app_key(id).await?.as_ref().map(AppKeyView::new);
    let now = api.world.now();
    let activities = Activities::of_apps(&api.store, &[owner(&app)], now).await?;
    Ok(Json(activities.with(id, AppView { key, ..AppView::new(app, now) })))
}

/// Waits, for a bounded time, until every gateway that is not gone has applied the app and its key as they are now.
#[utoipa::path(get, path = "/api/v1/apps/{id}/propagation", tag = "apps", operation_id = "read_app_propagation",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Propagation), (status = "4XX", body = Problem)))]
pub async fn propagation(
    _: Reader,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
) -> Result<Json<Propagation>, Problem> {
    let app = find(&api, id).await?;
    let (mut revision, mut resources) = (app.revision, app_resource(id));
    if let Some(key) = api.store.app_key(id).await? {
        revision = revision.max(key.revision);
        resources.extend(key_resources(&key));
    }
    Ok(Json(api.propagate(revision, &resources).await))
}

/// Edits an app. What is not named stays. When the mode's change replaced the app key, its new
/// value is shown in this answer only.
#[utoipa::path(patch, path = "/api/v1/apps/{id}", tag = "apps", operation_id = "update_app",
    params(("id" = Uuid, Path)), request_body = EditApp,
    security(("token" = [])), responses((status = 200, body = AppView), (status = "4XX", body = Problem)))]
pub async fn update(
    Admin(actor): Admin,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    Body(edit): Body<EditApp>,
) -> Result<Json<AppView>, Problem> {
    let now = api.world.now();
    let mut tx = api.store.begin().await?;
    let edit = |name: &mut _, settings: &mut _| edit.apply(name, settings, now);
    let saved = apps::update::update(&mut tx, api.context(&actor), id, edit).await?;
    tx.commit().await?;
    Ok(Json(AppView::saved(saved, now)))
}

/// Deletes an app: it is hidden, and its keys are revoked. Their records stay.
#[utoipa::path(delete, path = "/api/v1/apps/{id}", tag = "apps", operation_id = "delete_app",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Deleted), (status = "4XX", body = Problem)))]
pub async fn delete(
    Admin(actor): Admin,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
) -> Result<Json<Deleted>, Problem> {
    let mut tx = api.store.begin().await?;
    let revision = apps::delete::delete(&mut tx, api.context(&actor), id).await?;
    tx.commit().await?;
    Ok(Json(Deleted { propagation: api.propagate(revision, &app_resource(id)).await }))
}

/// Switches an app and all its keys on again.
#[utoipa::path(post, path = "/api/v1/apps/{id}/activate", tag = "apps", operation_id = "activate_app",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Switched<AppView>), (status = "4XX", body = Problem)))]
pub async fn activate(
    Admin(actor): Admin,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
) -> Result<Json<Switched<AppView>>, Problem> {
    switch(&api, &actor, id, Switch::Activate).await
}

/// Switches an app and all its keys off; answers when every gateway that is not gone has applied it.
#[utoipa::path(post, path = "/api/v1/apps/{id}/deactivate", tag = "apps", operation_id = "deactivate_app",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Switched<AppView>), (status = "4XX", body = Problem)))]
pub async fn deactivate(
    Admin(actor): Admin,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
) -> Result<Json<Switched<AppView>>, Problem> {
    switch(&api, &actor, id, Switch::Deactivate).await
}

/// Revokes an app and all its keys for good; answers when every gateway that is not gone has applied it.
#[utoipa::path(post, path = "/api/v1/apps/{id}/revoke", tag = "apps", operation_id = "revoke_app",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Switched<AppView>), (status = "4XX", body = Problem)))]
pub async fn revoke(
    Admin(actor): Admin,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
) -> Result<Json<Switched<AppView>>, Problem> {
    switch(&api, &actor, id, Switch::Revoke).await
}

/// Replaces the app key's secret. The old one stops at once, or after the grace.
#[utoipa::path(post, path = "/api/v1/apps/{id}/key/rotate", tag = "apps", operation_id = "rotate_app_key",
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)), request_body = Option<Rotate>,
    security(("token" = [])), responses((status = 200, body = Rotated<AppKeyView>), (status = "4XX", body = Problem)))]
pub async fn rotate(
    Admin(actor): Admin,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    rotate: Creation<OptionalBody<Rotate>>,
) -> Result<Answered, Problem> {
    let rotated = rotate.once(&api, StatusCode::OK, async |tx, OptionalBody(rotate)| {
        let app = tx.app(id).await?.ok_or(Refusal::NotFound("app"))?;
        let issued = keys::rotate::app_key(tx, api.context(&actor), &app, rotate.grace()?).await?;
        Ok(Made { key: AppKeyView::issued(&issued) })
    });
    let rotated = rotated.await?;
    let key = api.store.app_key(id).await;
    rotated.with("propagation", &api.reached(key, Await::All).await)
}

/// Shows the app key's value again, where the app keeps values.
#[utoipa::path(get, path = "/api/v1/apps/{id}/key/value", tag = "apps", operation_id = "read_app_key_value",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = KeyValue), (status = "4XX", body = Problem)))]
pub async fn value(
    Admin(actor): Admin,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
) -> Result<Json<KeyValue>, Problem> {
    let mut tx = api.store.begin().await?;
    let value = keys::show::app_key(&mut tx, api.context(&actor), id).await?;
    tx.commit().await?;
    Ok(Json(value.into()))
}

/// What tells an app that was made from others.
#[derive(Deserialize)]
struct MadeApp {
    id: Uuid,
}

pub(crate) async fn find(api: &Api, id: Uuid) -> Result<App, Problem> {
    Ok(api.store.app(id).await?.ok_or(Refusal::NotFound("app"))?)
}

fn owner(app: &App) -> UsageSubject<'_> {
    UsageSubject::new(app.id, &app.settings.limits, &app.settings)
}

async fn switch(
    api: &Api,
    actor: &Actor,
    id: Uuid,
    switch: Switch,
) -> Result<Json<Switched<AppView>>, Problem> {
    let mut tx = api.store.begin().await?;
    let app = apps::switch::switch(&mut tx, api.context(actor), id, switch).await?;
    tx.commit().await?;
    let propagation = api.switched(switch, app.revision, &app_resource(id)).await;
    Ok(Json(Switched { item: AppView::new(app, api.world.now()), propagation }))
}
