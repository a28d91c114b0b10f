//! `/api/v1/me/apps/{id}/keys`: a user's own named keys.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use latchkey_service::action::keys::update::edited;
use latchkey_service::action::my_keys::{self, EditOwnKey, NewOwnKey};
use latchkey_service::action::{Refusal, keys};
use latchkey_store::apps::App;
use latchkey_store::keys::{Key, KeyAccess, KeysOf};
use uuid::Uuid;

use super::Api;
use super::activity::{Active, Activities};
use super::apps::{Created, KeyValue, Reissued, Rotate, Rotated, Switched};
use super::auth::Person;
use super::body::{JsonBody, OptionalJsonBody, PathParams, Query};
use super::idempotency::{Answered, Creation};
use super::keys::{KeyQuery, KeyView, UserKey, introduced, limit_subject, of_apps, rotated_now, tagged};
use super::pagination::{ListPage, PageQuery};
use super::precondition::{IfMatch, Tagged};
use super::problem::Problem;
use super::propagation::key_resources;

/// Lists the user's own keys of an app, oldest first.
#[utoipa::path(get, path = "/api/v1/me/apps/{id}/keys", tag = "me", operation_id = "list_my_keys",
    params(("id" = Uuid, Path), PageQuery),
    security(("token" = [])), responses((status = 200, body = ListPage<Active<KeyView>>), (status = "4XX", body = Problem)))]
pub async fn list(
    Person { user, .. }: Person,
    State(api): State<Api>,
    PathParams(app): PathParams<Uuid>,
    Query(query): Query<PageQuery>,
) -> Result<ListPage<Active<KeyView>>, Problem> {
    let query = KeyQuery { user_id: Some(user.id), ..query.into() };
    let now = api.world.now();
    let (app, _) = my_keys::viewed(&api.store, user.id, app).await?;
    let (paging, filter) = query.filter(KeysOf::App(app.id), now)?;
    let rows = api.store.named_keys(&filter, paging.rows()).await?;
    let rows: Vec<_> = rows.into_iter().map(|(key, _)| key).collect();
    let subjects: Vec<_> = rows.iter().map(|key| limit_subject(key, &app)).collect();
    let activities = Activities::of_keys(&api.store, &subjects, now).await?;
    Ok(paging.page(rows, |key| key.id, |key| activities.with(key.id, KeyView::new(&key, now))))
}

/// Lists the user's own keys of apps that they no longer have access to, oldest first: those that are neither
/// revoked nor expired.
#[utoipa::path(get, path = "/api/v1/me/keys/without-access", tag = "me", operation_id = "list_my_keys_without_access",
    params(PageQuery),
    security(("token" = [])), responses((status = 200, body = ListPage<UserKey>), (status = "4XX", body = Problem)))]
pub async fn without_access(
    Person { user, .. }: Person,
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<ListPage<UserKey>, Problem> {
    of_apps(&api, KeysOf::User(user.id), KeyAccess::Without, &query.into()).await
}

/// Creates a key for the user, whose value is shown in this answer only, or again to those with key
/// visibility where the app keeps values.
#[utoipa::path(post, path = "/api/v1/me/apps/{id}/keys", tag = "me", operation_id = "create_my_key",
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)), request_body = NewOwnKey,
    security(("token" = [])), responses((status = 201, body = Created<KeyView>), (status = "4XX", body = Problem)))]
pub async fn create(
    Person { actor, user }: Person,
    State(api): State<Api>,
    PathParams(app): PathParams<Uuid>,
    new: Creation<JsonBody<NewOwnKey>>,
) -> Result<Answered<Created<KeyView>>, Problem> {
    let made = new.once(&api, StatusCode::CREATED, async |tx, JsonBody(new)| {
        let issued = my_keys::create(tx, api.context(&actor), user.id, app, new).await?;
        Ok(KeyView::issued(&issued, api.world.now()))
    });
    introduced(&api, made.await?).await
}

/// Shows a key of the user's, without its value.
#[utoipa::path(get, path = "/api/v1/me/apps/{id}/keys/{key}", tag = "me", operation_id = "read_my_key",
    params(("id" = Uuid, Path), ("key" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Active<KeyView>), (status = "4XX", body = Problem)))]
pub async fn read(
    Person { user, .. }: Person,
    State(api): State<Api>,
    PathParams((app, key)): PathParams<(Uuid, Uuid)>,
) -> Result<Tagged<Active<KeyView>>, Problem> {
    let (app, _) = my_keys::viewed(&api.store, user.id, app).await?;
    let key = own(&api, user.id, &app, key).await?;
    let now = api.world.now();
    let activities = Activities::of_keys(&api.store, &[limit_subject(&key, &app)], now).await?;
    let Tagged(view, tag) = tagged(&key, now);
    Ok(Tagged(activities.with(key.id, view), tag))
}

/// Renames a key of the user's.
#[utoipa::path(patch, path = "/api/v1/me/apps/{id}/keys/{key}", tag = "me", operation_id = "update_my_key",
    params(("id" = Uuid, Path), ("key" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    request_body = EditOwnKey,
    security(("token" = [])), responses((status = 200, body = KeyView), (status = "4XX", body = Problem)))]
pub async fn update(
    Person { actor, user }: Person,
    State(api): State<Api>,
    PathParams(ids): PathParams<(Uuid, Uuid)>,
    if_match: IfMatch,
    JsonBody(edit): JsonBody<EditOwnKey>,
) -> Result<Tagged<KeyView>, Problem> {
    let mut tx = api.store.begin().await?;
    let (before, key) = my_keys::rename(&mut tx, api.context(&actor), user.id, ids, edit).await?;
    if_match.check(&api, ("key", &key.id.to_string()), &edited(&before)).await?;
    tx.commit().await?;
    Ok(tagged(&key, api.world.now()))
}

/// Replaces the secret of a key of the user's. The old one stops at once, or after the grace.
#[utoipa::path(post, path = "/api/v1/me/apps/{id}/keys/{key}/rotate", tag = "me", operation_id = "rotate_my_key",
    params(("id" = Uuid, Path), ("key" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Option<Rotate>,
    security(("token" = [])), responses((status = 200, body = Rotated<KeyView>), (status = "4XX", body = Problem)))]
pub async fn rotate(
    Person { actor, user }: Person,
    State(api): State<Api>,
    PathParams(ids): PathParams<(Uuid, Uuid)>,
    rotate: Creation<OptionalJsonBody<Rotate>>,
) -> Result<Answered<Rotated<KeyView>>, Problem> {
    let rotated = rotate.once(&api, StatusCode::OK, async |tx, OptionalJsonBody(rotate)| {
        let issued = my_keys::rotate(tx, api.context(&actor), user.id, ids, rotate.grace()?).await?;
        Ok(Reissued { key: KeyView::issued(&issued, api.world.now()) })
    });
    rotated_now(&api, ids, rotated.await?).await
}

/// Revokes a key of the user's for good, also of an app that they no longer have access to; answers when every
/// gateway that is not gone has applied it.
#[utoipa::path(post, path = "/api/v1/me/apps/{id}/keys/{key}/revoke", tag = "me", operation_id = "revoke_my_key",
    params(("id" = Uuid, Path), ("key" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Switched<KeyView>), (status = "4XX", body = Problem)))]
pub async fn revoke(
    Person { actor, user }: Person,
    State(api): State<Api>,
    PathParams(ids): PathParams<(Uuid, Uuid)>,
) -> Result<Json<Switched<KeyView>>, Problem> {
    let mut tx = api.store.begin().await?;
    let key = my_keys::revoke(&mut tx, api.context(&actor), user.id, ids).await?;
    tx.commit().await?;
    let propagation = api.wait_for_all(key.revision, &key_resources(&key)).await;
    Ok(Json(Switched { item: KeyView::new(&key, api.world.now()), propagation }))
}

/// Shows the value of a key of the user's again: with key visibility, and where the app keeps values.
#[utoipa::path(get, path = "/api/v1/me/apps/{id}/keys/{key}/value", tag = "me",
    operation_id = "read_my_key_value", params(("id" = Uuid, Path), ("key" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = KeyValue), (status = "4XX", body = Problem)))]
pub async fn value(
    Person { actor, user }: Person,
    State(api): State<Api>,
    PathParams((app, key)): PathParams<(Uuid, Uuid)>,
) -> Result<Json<KeyValue>, Problem> {
    let (app, member) = my_keys::viewed(&api.store, user.id, app).await?;
    let key = own(&api, user.id, &app, key).await?;
    my_keys::sees_values(&app, &member)?;
    let mut tx = api.store.begin().await?;
    let value = keys::show::named_key(&mut tx, api.context(&actor), app.id, key.id).await?;
    tx.commit().await?;
    Ok(Json(value.into()))
}

/// A key of this user's; another's is not there for them.
async fn own(api: &Api, user: Uuid, app: &App, key: Uuid) -> Result<Key, Problem> {
    let key = api.store.named_key(app.id, key).await?.filter(|key| key.user_id == Some(user));
    Ok(key.ok_or(Refusal::NotFound("key"))?)
}
