//! `/api/v1/me/apps/{id}/keys`: a user's own named keys.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use latchkey_core::expiry::{self, Lifetime};
use latchkey_core::name::Name;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Api;
use super::activity::{Active, Activities};
use super::apps::{Created, KeyValue, Made, Rotate, Rotated, Switched};
use super::auth::Person;
use super::body::{Body, OptionalBody, Path, Query};
use super::idempotency::{Answered, Creation};
use super::keys::{KeyView, introduced, owner};
use super::page::{Page, PageQuery};
use super::problem::Problem;
use super::propagation::key_resources;
use crate::action::{Refusal, keys, my_keys};
use crate::gateways::Await;
use crate::store::apps::App;
use crate::store::keys::{Key, KeyFilter};

/// A key to create for oneself. Its limits are those that the app gives each named key.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOwnKey {
    /// What people see: 1 to 100 characters.
    #[schema(value_type = String)]
    pub name: Name,
    /// When it stops. Left out, with `expires_in` too: never, or as late as the app's longest lifetime of
    /// keys lets it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// The same, as a lifetime.
    pub expires_in: Option<Lifetime>,
}

/// What to change of one's own key.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditOwnKey {
    /// What people see: 1 to 100 characters.
    #[schema(value_type = String)]
    pub name: Name,
}

/// Lists the user's own keys of an app, oldest first.
#[utoipa::path(get, path = "/api/v1/me/apps/{id}/keys", tag = "me", operation_id = "list_my_keys",
    params(("id" = Uuid, Path), PageQuery),
    security(("token" = [])), responses((status = 200, body = Page<Active<KeyView>>), (status = "4XX", body = Problem)))]
pub async fn list(
    Person { user, .. }: Person,
    State(api): State<Api>,
    Path(app): Path<Uuid>,
    Query(query): Query<PageQuery>,
) -> Result<Page<Active<KeyView>>, Problem> {
    let wanted = query.wanted()?;
    let (app, _) = my_keys::viewed(&api.store, user.id, app).await?;
    let search = query.search.unwrap_or_default();
    let filter = KeyFilter { search, user_id: Some(user.id), after: wanted.after };
    let rows = api.store.named_keys(app.id, &filter, wanted.rows()).await?;
    let now = api.world.now();
    let owners: Vec<_> = rows.iter().map(|key| owner(key, &app)).collect();
    let activities = Activities::of_keys(&api.store, &owners, now).await?;
    Ok(wanted.page(rows, |key| key.id, |key| activities.with(key.id, KeyView::new(&key, now))))
}

/// Creates a key for the user, whose value is shown in this answer only, or again to those with key
/// visibility where the app keeps values.
#[utoipa::path(post, path = "/api/v1/me/apps/{id}/keys", tag = "me", operation_id = "create_my_key",
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)), request_body = NewOwnKey,
    security(("token" = [])), responses((status = 201, body = Created<KeyView>), (status = "4XX", body = Problem)))]
pub async fn create(
    Person { actor, user }: Person,
    State(api): State<Api>,
    Path(app): Path<Uuid>,
    new: Creation<Body<NewOwnKey>>,
) -> Result<Answered, Problem> {
    let made = new.once(&api, StatusCode::CREATED, async |tx, Body(new)| {
        let now = api.world.now();
        let expires_at =
            expiry::edited(new.expires_at.map(Some), new.expires_in, now).map_err(Refusal::from)?;
        let new = my_keys::NewOwnKey { name: new.name, expires_at };
        let issued = my_keys::create(tx, api.context(&actor), user.id, app, new).await?;
        Ok(KeyView::issued(&issued, now))
    });
    introduced(&api, app, made.await?).await
}

/// Shows a key of the user's, without its value.
#[utoipa::path(get, path = "/api/v1/me/apps/{id}/keys/{key}", tag = "me", operation_id = "read_my_key",
    params(("id" = Uuid, Path), ("key" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Active<KeyView>), (status = "4XX", body = Problem)))]
pub async fn read(
    Person { user, .. }: Person,
    State(api): State<Api>,
    Path((app, key)): Path<(Uuid, Uuid)>,
) -> Result<Json<Active<KeyView>>, Problem> {
    let (app, _) = my_keys::viewed(&api.store, user.id, app).await?;
    let key = own(&api, user.id, &app, key).await?;
    let now = api.world.now();
    let activities = Activities::of_keys(&api.store, &[owner(&key, &app)], now).await?;
    Ok(Json(activities.with(key.id, KeyView::new(&key, now))))
}

/// Renames a key of the user's.
#[utoipa::path(patch, path = "/api/v1/me/apps/{id}/keys/{key}", tag = "me", operation_id = "update_my_key",
    params(("id" = Uuid, Path), ("key" = Uuid, Path)), request_body = EditOwnKey,
    security(("token" = [])), responses((status = 200, body = KeyView), (status = "4XX", body = Problem)))]
pub async fn update(
    Person { actor, user }: Person,
    State(api): State<Api>,
    Path(ids): Path<(Uuid, Uuid)>,
    Body(edit): Body<EditOwnKey>,
) -> Result<Json<KeyView>, Problem> {
    let mut tx = api.store.begin().await?;
    let key = my_keys::rename(&mut tx, api.context(&actor), user.id, ids, edit.name).await?;
    tx.commit().await?;
    Ok(Json(KeyView::new(&key, api.world.now())))
}

/// Replaces the secret of a key of the user's. The old one stops at once, or after the grace.
#[utoipa::path(post, path = "/api/v1/me/apps/{id}/keys/{key}/rotate", tag = "me", operation_id = "rotate_my_key",
    params(("id" = Uuid, Path), ("key" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Option<Rotate>,
    security(("token" = [])), responses((status = 200, body = Rotated<KeyView>), (status = "4XX", body = Problem)))]
pub async fn rotate(
    Person { actor, user }: Person,
    State(api): State<Api>,
    Path(ids): Path<(Uuid, Uuid)>,
    rotate: Creation<OptionalBody<Rotate>>,
) -> Result<Answered, Problem> {
    let rotated = rotate.once(&api, StatusCode::OK, async |tx, OptionalBody(rotate)| {
        let issued = my_keys::rotate(tx, api.context(&actor), user.id, ids, rotate.grace()?).await?;
        Ok(Made { key: KeyView::issued(&issued, api.world.now()) })
    });
    let rotated = rotated.await?;
    let key = api.store.named_key(ids.0, ids.1).await;
    rotated.with("propagation", &api.reached(key, Await::All).await)
}

/// Revokes a key of the user's for good; answers when every gateway that is not gone has applied it.
#[utoipa::path(post, path = "/api/v1/me/apps/{id}/keys/{key}/revoke", tag = "me", operation_id = "revoke_my_key",
    params(("id" = Uuid, Path), ("key" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Switched<KeyView>), (status = "4XX", body = Problem)))]
pub async fn revoke(
    Person { actor, user }: Person,
    State(api): State<Api>,
    Path(ids): Path<(Uuid, Uuid)>,
) -> Result<Json<Switched<KeyView>>, Problem> {
    let mut tx = api.store.begin().await?;
    let key = my_keys::revoke(&mut tx, api.context(&actor), user.id, ids).await?;
    tx.commit().await?;
    let propagation = api.propagate(key.revision, &key_resources(&key)).await;
    Ok(Json(Switched { item: KeyView::new(&key, api.world.now()), propagation }))
}

/// Shows the value of a key of the user's again: with key visibility, and where the app keeps values.
#[utoipa::path(get, path = "/api/v1/me/apps/{id}/keys/{key}/value", tag = "me",
    operation_id = "read_my_key_value", params(("id" = Uuid, Path), ("key" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = KeyValue), (status = "4XX", body = Problem)))]
pub async fn value(
    Person { actor, user }: Person,
    State(api): State<Api>,
    Path((app, key)): Path<(Uuid, Uuid)>,
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
