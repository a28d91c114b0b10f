//! `/api/v1/apps`

mod views;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use latchkey_core::actor::Actor;
use latchkey_core::status::Switch;
use latchkey_service::action::apps::edit::{EditApp, NewApp};
use latchkey_service::action::{Refusal, apps, keys};
use latchkey_service::gateways::Await;
use latchkey_service::gateways::propagation::Propagation;
use latchkey_store::apps::{AppFilter, AppOrder};
use uuid::Uuid;

use super::Api;
use super::activity::{Active, Activities, UsageSubject};
use super::auth::{AdminGuard, ReaderGuard};
use super::body::{JsonBody, OptionalJsonBody, PathParams, Query};
use super::idempotency::{Answered, Creation};
use super::keys::searched;
use super::pagination::{ListPage, paging};
use super::precondition::{EntityTag, IfMatch, Tagged};
use super::problem::Problem;
use super::propagation::{app_resource, key_resources};

pub use latchkey_store::apps::App;
pub(super) use views::Reissued;
pub use views::{AppKeyView, AppQuery, AppView, Created, Deleted, KeyValue, Rotate, Rotated, Switched};

/// How many apps are looked at together.
const BATCH: i64 = 200;

/// Lists apps, oldest first unless another order is asked for.
#[utoipa::path(get, path = "/api/v1/apps", tag = "apps", operation_id = "list_apps", params(AppQuery),
    security(("token" = [])), responses((status = 200, body = ListPage<Active<AppView>>), (status = "4XX", body = Problem)))]
pub async fn list(
    _: ReaderGuard,
    State(api): State<Api>,
    Query(query): Query<AppQuery>,
) -> Result<ListPage<Active<AppView>>, Problem> {
    let paging = paging(query.cursor.as_deref(), query.limit, query.search.as_deref())?;
    let mut filter = AppFilter { search: searched(query.search.as_deref()), after: paging.after };
    let (order, now) = (query.sort.unwrap_or_default(), api.world.now());
    let mut rows = Vec::new();
    // Whether an app has expired is not stored, so apps are read until the page is full.
    while rows.len() < usize::from(paging.limit) + 1 {
        let limit = if query.status.is_some() { BATCH } else { paging.rows() };
        let batch = api.store.apps(&filter, order, limit).await?;
        let last = (batch.len() as i64) < limit;
        filter.after = batch.last().map(|app| app.id).or(filter.after);
        let standing = |app: &App| app.status.standing(app.settings.expires_at, now);
        rows.extend(batch.into_iter().filter(|app| query.status.is_none_or(|asked| standing(app) == asked)));
        if last {
            break;
        }
    }
    rows.truncate(usize::from(paging.limit) + 1);
    let activities =
        Activities::of_apps(&api.store, &rows.iter().map(limit_subject).collect::<Vec<_>>(), now).await?;
    Ok(paging.page(rows, |app| app.id, |app| activities.with(app.id, AppView::new(app, now))))
}

/// Creates an app with its key, whose value is shown in this answer only; answers when the gateways know it.
#[utoipa::path(post, path = "/api/v1/apps", tag = "apps", operation_id = "create_app", request_body = NewApp,
    params(("Idempotency-Key" = Option<String>, Header)),
    security(("token" = [])), responses((status = 201, body = Created<AppView>), (status = "4XX", body = Problem)))]
pub async fn create(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    new: Creation<JsonBody<NewApp>>,
) -> Result<Answered<Created<AppView>>, Problem> {
    let made = new.once(&api, StatusCode::CREATED, async |tx, JsonBody(new)| {
        let (app, issued) = apps::create::create(tx, api.context(&actor), new).await?;
        Ok(AppView { key: Some(AppKeyView::issued(&issued)), ..AppView::new(app, api.world.now()) })
    });
    made.await?
        .with(async |item| {
            // It has its app's revision.
            let key = api.store.app_key(item.id).await;
            Created { item, propagation: api.wait_for_key(key, Await::Reachable).await }
        })
        .await
}

/// Shows an app.
#[utoipa::path(get, path = "/api/v1/apps/{id}", tag = "apps", operation_id = "read_app", params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Active<AppView>), (status = "4XX", body = Problem)))]
pub async fn read(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Tagged<Active<AppView>>, Problem> {
    // Read first: what is changed meanwhile is newer than the tag says.
    let version = api.store.newest_version(id).await?;
    let app = find(&api, id).await?;
    let key = api.store.app_key(id).await?.as_ref().map(AppKeyView::new);
    let now = api.world.now();
    let activities = Activities::of_apps(&api.store, &[limit_subject(&app)], now).await?;
    let shown = activities.with(id, AppView { key, ..AppView::new(app, now) });
    Ok(Tagged(shown, EntityTag::of_version(version)))
}

/// Waits, for a bounded time, until every gateway that is not gone has applied the app and its key as they are now.
#[utoipa::path(get, path = "/api/v1/apps/{id}/propagation", tag = "apps", operation_id = "read_app_propagation",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Propagation), (status = "4XX", body = Problem)))]
pub async fn propagation(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Json<Propagation>, Problem> {
    let app = find(&api, id).await?;
    let (mut revision, mut resources) = (app.revision, app_resource(id));
    if let Some(key) = api.store.app_key(id).await? {
        revision = revision.max(key.revision);
        resources.extend(key_resources(&key));
    }
    Ok(Json(api.wait_for_all(revision, &resources).await))
}

/// Edits an app. What is not named stays. When the mode's change replaced the app key, its new
/// value is shown in this answer only. With the app's `ETag` as `If-Match` it is edited only if nobody has changed it
/// since; else the answer is 412, and names what was changed.
#[utoipa::path(patch, path = "/api/v1/apps/{id}", tag = "apps", operation_id = "update_app",
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)), request_body = EditApp,
    security(("token" = [])), responses((status = 200, body = AppView), (status = "4XX", body = Problem)))]
pub async fn update(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    if_match: IfMatch,
    JsonBody(edit): JsonBody<EditApp>,
) -> Result<Tagged<AppView>, Problem> {
    let mut tx = api.store.begin().await?;
    if_match.check_app(&mut tx, id).await?;
    let saved = apps::update::edit(&mut tx, api.context(&actor), id, edit).await?;
    let version = tx.newest_version(id).await?;
    tx.commit().await?;
    Ok(Tagged(AppView::saved(saved, api.world.now()), EntityTag::of_version(version)))
}

/// Deletes an app: it is hidden, and its keys are revoked. Their records stay.
#[utoipa::path(delete, path = "/api/v1/apps/{id}", tag = "apps", operation_id = "delete_app",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Deleted), (status = "4XX", body = Problem)))]
pub async fn delete(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Json<Deleted>, Problem> {
    let mut tx = api.store.begin().await?;
    let revision = apps::delete::delete(&mut tx, api.context(&actor), id).await?;
    tx.commit().await?;
    Ok(Json(Deleted { propagation: api.wait_for_all(revision, &app_resource(id)).await }))
}

/// Switches an app and all its keys on again.
#[utoipa::path(post, path = "/api/v1/apps/{id}/activate", tag = "apps", operation_id = "activate_app",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Switched<AppView>), (status = "4XX", body = Problem)))]
pub async fn activate(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Json<Switched<AppView>>, Problem> {
    switch(&api, &actor, id, Switch::Activate).await
}

/// Switches an app and all its keys off; answers when every gateway that is not gone has applied it.
#[utoipa::path(post, path = "/api/v1/apps/{id}/deactivate", tag = "apps", operation_id = "deactivate_app",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Switched<AppView>), (status = "4XX", body = Problem)))]
pub async fn deactivate(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Json<Switched<AppView>>, Problem> {
    switch(&api, &actor, id, Switch::Deactivate).await
}

/// Revokes an app and all its keys for good; answers when every gateway that is not gone has applied it.
#[utoipa::path(post, path = "/api/v1/apps/{id}/revoke", tag = "apps", operation_id = "revoke_app",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Switched<AppView>), (status = "4XX", body = Problem)))]
pub async fn revoke(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Json<Switched<AppView>>, Problem> {
    switch(&api, &actor, id, Switch::Revoke).await
}

/// Replaces the app key's secret. The old one stops at once, or after the grace.
#[utoipa::path(post, path = "/api/v1/apps/{id}/key/rotate", tag = "apps", operation_id = "rotate_app_key",
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)), request_body = Option<Rotate>,
    security(("token" = [])), responses((status = 200, body = Rotated<AppKeyView>), (status = "4XX", body = Problem)))]
pub async fn rotate(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    rotate: Creation<OptionalJsonBody<Rotate>>,
) -> Result<Answered<Rotated<AppKeyView>>, Problem> {
    let rotated = rotate.once(&api, StatusCode::OK, async |tx, OptionalJsonBody(rotate)| {
        let app = tx.app(id).await?.ok_or(Refusal::NotFound("app"))?;
        let issued = keys::rotate::app_key(tx, api.context(&actor), &app, rotate.grace()?).await?;
        Ok(Reissued { key: AppKeyView::issued(&issued) })
    });
    rotated
        .await?
        .with(async |Reissued { key }| {
            let stored = api.store.app_key(id).await;
            Rotated { key, propagation: api.wait_for_key(stored, Await::All).await }
        })
        .await
}

/// Shows the app key's value again, where the app keeps values.
#[utoipa::path(get, path = "/api/v1/apps/{id}/key/value", tag = "apps", operation_id = "read_app_key_value",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = KeyValue), (status = "4XX", body = Problem)))]
pub async fn value(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Json<KeyValue>, Problem> {
    let mut tx = api.store.begin().await?;
    let value = keys::show::app_key(&mut tx, api.context(&actor), id).await?;
    tx.commit().await?;
    Ok(Json(value.into()))
}

/// So many apps, those first that were used last.
pub async fn used_last(api: &Api, most: i64) -> Result<Vec<App>, Problem> {
    Ok(api.store.apps(&AppFilter::default(), AppOrder::LastUsed, most).await?)
}

pub async fn find(api: &Api, id: Uuid) -> Result<App, Problem> {
    Ok(api.store.app(id).await?.ok_or(Refusal::NotFound("app"))?)
}

fn limit_subject(app: &App) -> UsageSubject<'_> {
    UsageSubject::new(app.id, &app.settings.limits, &app.settings)
}

pub async fn switch(
    api: &Api,
    actor: &Actor,
    id: Uuid,
    switch: Switch,
) -> Result<Json<Switched<AppView>>, Problem> {
    let mut tx = api.store.begin().await?;
    let app = apps::switch::switch(&mut tx, api.context(actor), id, switch).await?;
    tx.commit().await?;
    let propagation = api.wait_for_switch(switch, app.revision, &app_resource(id)).await;
    Ok(Json(Switched { item: AppView::new(app, api.world.now()), propagation }))
}
