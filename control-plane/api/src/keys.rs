//! `/api/v1/apps/{id}/keys`: named keys.

mod views;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::{Timestamp, ToSpan as _};
use latchkey_core::access::Subjects;
use latchkey_core::actor::Actor;
use latchkey_core::key_search::KeySearch;
use latchkey_core::status::Switch;
use latchkey_service::action::keys::create::NewKey;
use latchkey_service::action::keys::update::{EditKey, edited};
use latchkey_service::action::{Refusal, keys};
use latchkey_service::gateways::Await;
use latchkey_store::apps::App;
use latchkey_store::keys::{Key, KeyAccess, KeyFilter, KeysOf};
use latchkey_store::subjects::SubjectNames;
use uuid::Uuid;

use super::Api;
use super::activity::{Active, Activities, UsageSubject};
use super::apps::{self, Created, KeyValue, Reissued, Rotate, Rotated, Switched};
use super::auth::{AdminGuard, ReaderGuard};
use super::body::{JsonBody, OptionalJsonBody, PathParams, Query};
use super::idempotency::{Answered, Creation};
use super::pagination::{ListPage, PageQuery, Paging, bad_query, paging};
use super::precondition::{EntityTag, IfMatch, Tagged};
use super::problem::Problem;
use super::propagation::key_resources;

pub use views::{KeyQuery, KeyView, RevokedKeys, UserKey};

/// How many days ahead one can ask which keys expire.
const MOST_DAYS: u16 = 3650;

/// Lists the named keys of every app, oldest first, without their values.
#[utoipa::path(get, path = "/api/v1/keys", tag = "keys", operation_id = "list_all_keys", params(KeyQuery),
    security(("token" = [])), responses((status = 200, body = ListPage<UserKey>), (status = "4XX", body = Problem)))]
pub async fn all(
    _: ReaderGuard,
    State(api): State<Api>,
    Query(query): Query<KeyQuery>,
) -> Result<ListPage<UserKey>, Problem> {
    of_apps(&api, KeysOf::Everything, query.access(), &query).await
}

/// Lists an app's named keys, oldest first.
#[utoipa::path(get, path = "/api/v1/apps/{id}/keys", tag = "keys", operation_id = "list_keys",
    params(("id" = Uuid, Path), KeyQuery),
    security(("token" = [])), responses((status = 200, body = ListPage<Active<KeyView>>), (status = "4XX", body = Problem)))]
pub async fn list(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams(app): PathParams<Uuid>,
    Query(query): Query<KeyQuery>,
) -> Result<ListPage<Active<KeyView>>, Problem> {
    let app = apps::find(&api, app).await?;
    let now = api.world.now();
    let (paging, filter) = query.filter(KeysOf::App(app.id), now)?;
    let rows = api.store.named_keys(&filter, paging.rows()).await?;
    let rows: Vec<_> = rows.into_iter().map(|(key, _)| key).collect();
    let subjects: Vec<_> = rows.iter().map(|key| limit_subject(key, &app)).collect();
    let activities = Activities::of_keys(&api.store, &subjects, now).await?;
    let names = names(&api, &rows).await?;
    Ok(paging.page(rows, |key| key.id, |key| activities.with(key.id, KeyView::new(&key, now).of(&names))))
}

/// A page of named keys with what their apps are called, who their users are, and when they were last used.
pub(super) async fn of_apps(
    api: &Api,
    of: KeysOf,
    access: KeyAccess,
    query: &KeyQuery,
) -> Result<ListPage<UserKey>, Problem> {
    let now = api.world.now();
    let (paging, filter) = query.filter(of, now)?;
    let filter = KeyFilter { access, ..filter };
    let rows = api.store.named_keys(&filter, paging.rows()).await?;
    let users = rows.iter().filter_map(|(key, _)| key.user_id).collect();
    let names = api.store.names(&Subjects { users, ..Subjects::default() }).await?;
    let ids: Vec<_> = rows.iter().map(|(key, _)| key.id).collect();
    let activity = api.store.key_activity(&ids).await?;
    let view = |(key, app_name): (Key, String)| UserKey {
        last_used_at: activity.get(&key.id).and_then(|activity| activity.last_used_at),
        key: KeyView::new(&key, now).of(&names),
        app_name,
    };
    Ok(paging.page(rows, |(key, _)| key.id, view))
}

/// The time from now in which what expires within so many days does.
pub(super) fn within_days(now: Timestamp, days: u16) -> Result<(Timestamp, Timestamp), Problem> {
    let hours = i64::from(days) * 24;
    Ok((now, now.checked_add(hours.hours()).map_err(|_| Problem::internal())?))
}

impl From<PageQuery> for KeyQuery {
    fn from(PageQuery { cursor, limit, search }: PageQuery) -> Self {
        Self { cursor, limit, search, ..Self::default() }
    }
}

impl KeyQuery {
    /// The page, and which keys it holds.
    pub(super) fn filter(&self, of: KeysOf, now: Timestamp) -> Result<(Paging, KeyFilter), Problem> {
        let paging = paging(self.cursor.as_deref(), self.limit, self.search.as_deref())?;
        let expires = match self.expires_within_days {
            None => None,
            Some(days @ 1..=MOST_DAYS) => Some(within_days(now, days)?),
            Some(_) => return Err(bad_query("`expires_within_days` must be 1 to 3650")),
        };
        let filter = KeyFilter {
            search: searched(self.search.as_deref()),
            user_id: self.user_id,
            expires,
            access: self.access(),
            after: paging.after,
            ..KeyFilter::new(of, now)
        };
        Ok((paging, filter))
    }

    fn access(&self) -> KeyAccess {
        if self.lost_access == Some(true) { KeyAccess::Lost } else { KeyAccess::Any }
    }
}

/// What a list of keys or apps is searched for.
pub(super) fn searched(search: Option<&str>) -> KeySearch {
    KeySearch::parse(search.unwrap_or_default())
}

/// Creates a named key, whose value is shown in this answer only (unless the app keeps values); answers when
/// the gateways know it.
#[utoipa::path(post, path = "/api/v1/apps/{id}/keys", tag = "keys", operation_id = "create_key",
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)), request_body = NewKey,
    security(("token" = [])), responses((status = 201, body = Created<KeyView>), (status = "4XX", body = Problem)))]
pub async fn create(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(app): PathParams<Uuid>,
    new: Creation<JsonBody<NewKey>>,
) -> Result<Answered<Created<KeyView>>, Problem> {
    let made = new.once(&api, StatusCode::CREATED, async |tx, JsonBody(new)| {
        let issued = keys::create::create(tx, api.context(&actor), app, new).await?;
        Ok(KeyView::issued(&issued, api.world.now()))
    });
    introduced(&api, made.await?).await
}

/// Shows a named key, without its value.
#[utoipa::path(get, path = "/api/v1/apps/{id}/keys/{key}", tag = "keys", operation_id = "read_key",
    params(("id" = Uuid, Path), ("key" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Active<KeyView>), (status = "4XX", body = Problem)))]
pub async fn read(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams((app, key)): PathParams<(Uuid, Uuid)>,
) -> Result<Tagged<Active<KeyView>>, Problem> {
    let (app, key) = find(&api, app, key).await?;
    let now = api.world.now();
    let activities = Activities::of_keys(&api.store, &[limit_subject(&key, &app)], now).await?;
    let names = names(&api, std::slice::from_ref(&key)).await?;
    let tag = EntityTag::of(&edited(&key));
    Ok(Tagged(activities.with(key.id, KeyView::new(&key, now).of(&names)), tag))
}

/// Edits a named key. What is not named stays.
#[utoipa::path(patch, path = "/api/v1/apps/{id}/keys/{key}", tag = "keys", operation_id = "update_key",
    params(("id" = Uuid, Path), ("key" = Uuid, Path), ("If-Match" = Option<String>, Header)),
    request_body = EditKey,
    security(("token" = [])), responses((status = 200, body = KeyView), (status = "4XX", body = Problem)))]
pub async fn update(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams((app, key)): PathParams<(Uuid, Uuid)>,
    if_match: IfMatch,
    JsonBody(edit): JsonBody<EditKey>,
) -> Result<Tagged<KeyView>, Problem> {
    let mut tx = api.store.begin().await?;
    let (before, key) = keys::update::update(&mut tx, api.context(&actor), app, key, edit).await?;
    if_match.check(&api, ("key", &key.id.to_string()), &edited(&before)).await?;
    tx.commit().await?;
    Ok(tagged(&key, api.world.now()))
}

/// With a tag of what can be edited.
pub(crate) fn tagged(key: &Key, now: Timestamp) -> Tagged<KeyView> {
    Tagged(KeyView::new(key, now), EntityTag::of(&edited(key)))
}

/// Switches a named key on again.
#[utoipa::path(post, path = "/api/v1/apps/{id}/keys/{key}/activate", tag = "keys", operation_id = "activate_key",
    params(("id" = Uuid, Path), ("key" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Switched<KeyView>), (status = "4XX", body = Problem)))]
pub async fn activate(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(ids): PathParams<(Uuid, Uuid)>,
) -> Result<Json<Switched<KeyView>>, Problem> {
    switch(&api, &actor, ids, Switch::Activate).await
}

/// Switches a named key off; answers when every gateway that is not gone has applied it.
#[utoipa::path(post, path = "/api/v1/apps/{id}/keys/{key}/deactivate", tag = "keys",
    operation_id = "deactivate_key", params(("id" = Uuid, Path), ("key" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Switched<KeyView>), (status = "4XX", body = Problem)))]
pub async fn deactivate(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(ids): PathParams<(Uuid, Uuid)>,
) -> Result<Json<Switched<KeyView>>, Problem> {
    switch(&api, &actor, ids, Switch::Deactivate).await
}

/// Revokes a named key for good; answers when every gateway that is not gone has applied it.
#[utoipa::path(post, path = "/api/v1/apps/{id}/keys/{key}/revoke", tag = "keys", operation_id = "revoke_key",
    params(("id" = Uuid, Path), ("key" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Switched<KeyView>), (status = "4XX", body = Problem)))]
pub async fn revoke(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(ids): PathParams<(Uuid, Uuid)>,
) -> Result<Json<Switched<KeyView>>, Problem> {
    switch(&api, &actor, ids, Switch::Revoke).await
}

/// Replaces a named key's secret. The old one stops at once, or after the grace.
#[utoipa::path(post, path = "/api/v1/apps/{id}/keys/{key}/rotate", tag = "keys", operation_id = "rotate_key",
    params(("id" = Uuid, Path), ("key" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = Option<Rotate>,
    security(("token" = [])), responses((status = 200, body = Rotated<KeyView>), (status = "4XX", body = Problem)))]
pub async fn rotate(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams((app, key)): PathParams<(Uuid, Uuid)>,
    rotate: Creation<OptionalJsonBody<Rotate>>,
) -> Result<Answered<Rotated<KeyView>>, Problem> {
    let rotated = rotate.once(&api, StatusCode::OK, async |tx, OptionalJsonBody(rotate)| {
        let app = tx.app(app).await?.ok_or(Refusal::NotFound("app"))?;
        let issued = keys::rotate::named_key(tx, api.context(&actor), &app, key, rotate.grace()?).await?;
        Ok(Reissued { key: KeyView::issued(&issued, api.world.now()) })
    });
    rotated_now(&api, (app, key), rotated.await?).await
}

/// Shows a named key's value again, where the app keeps values.
#[utoipa::path(get, path = "/api/v1/apps/{id}/keys/{key}/value", tag = "keys", operation_id = "read_key_value",
    params(("id" = Uuid, Path), ("key" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = KeyValue), (status = "4XX", body = Problem)))]
pub async fn value(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams((app, key)): PathParams<(Uuid, Uuid)>,
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
pub(super) async fn introduced(
    api: &Api,
    made: Answered<KeyView>,
) -> Result<Answered<Created<KeyView>>, Problem> {
    made.with(async |item| {
        let key = api.store.named_key(item.app_id, item.id).await;
        Created { item, propagation: api.wait_for_key(key, Await::Reachable).await }
    })
    .await
}

/// Adds how far the new secret of a named key has come.
pub(super) async fn rotated_now(
    api: &Api,
    (app, key): (Uuid, Uuid),
    reissued: Answered<Reissued<KeyView>>,
) -> Result<Answered<Rotated<KeyView>>, Problem> {
    let add = async |view: Reissued<KeyView>| {
        let stored = api.store.named_key(app, key).await;
        Rotated { key: view.key, propagation: api.wait_for_key(stored, Await::All).await }
    };
    reissued.with(add).await
}

/// Who the keys' users are.
async fn names(api: &Api, keys: &[Key]) -> Result<SubjectNames, Problem> {
    let users = keys.iter().filter_map(|key| key.user_id).collect();
    Ok(api.store.names(&Subjects { users, ..Subjects::default() }).await?)
}

pub(super) fn limit_subject<'a>(key: &'a Key, app: &'a App) -> UsageSubject<'a> {
    UsageSubject::new(key.id, key.limits.as_ref().unwrap_or(&app.settings.named_key_limits), &app.settings)
}

pub async fn switch(
    api: &Api,
    actor: &Actor,
    (app, key): (Uuid, Uuid),
    switch: Switch,
) -> Result<Json<Switched<KeyView>>, Problem> {
    let mut tx = api.store.begin().await?;
    let key = keys::switch::switch(&mut tx, api.context(actor), app, key, switch).await?;
    tx.commit().await?;
    let propagation = api.wait_for_switch(switch, key.revision, &key_resources(&key)).await;
    Ok(Json(Switched { item: KeyView::new(&key, api.world.now()), propagation }))
}
