//! `/api/v1/me/apps`: the apps that a user may view.

mod views;

use axum::Json;
use axum::extract::State;
use latchkey_core::access::Capability;
use latchkey_core::settings::CredentialMode;
use latchkey_service::action::{Refusal, keys, my_keys};
use latchkey_store::apps::{App, AppFilter};
use uuid::Uuid;

use super::Api;
use super::activity::{Activities, UsageSubject};
use super::apps::KeyValue;
use super::auth::Person;
use super::body::{PathParams, Query};
use super::keys::searched;
use super::pagination::{ListPage, PageQuery};
use super::problem::Problem;

pub use views::{MyApp, MyAppDetails, MyAppKey, MyModel, MyProvider, MyRoutingGroup};

/// Lists the apps that the user may view, oldest first. Those that do not work are among them, with their
/// status.
#[utoipa::path(get, path = "/api/v1/me/apps", tag = "me", operation_id = "list_my_apps", params(PageQuery),
    security(("token" = [])), responses((status = 200, body = ListPage<MyApp>), (status = "4XX", body = Problem)))]
pub async fn list(
    Person { user, .. }: Person,
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<ListPage<MyApp>, Problem> {
    let paging = query.paging()?;
    let member = api.store.member(user.id).await?.ok_or(Refusal::NotFound("user"))?;
    let mut filter = AppFilter { search: searched(query.search.as_deref()), after: paging.after };
    let mut seen = Vec::new();
    // Those who are excepted are sorted out here, so that a page may take more than one read.
    while (seen.len() as i64) < paging.rows() {
        let rows = api.store.apps_that_may_be_seen(user.id, &filter, paging.rows()).await?;
        let last = (rows.len() as i64) < paging.rows();
        filter.after = rows.last().map(|app| app.id).or(filter.after);
        let sees = |app: &App| app.settings.self_service.access.grants(Capability::Viewer, &member);
        seen.extend(rows.into_iter().filter(sees));
        if last {
            break;
        }
    }
    let held = api.store.count_keys_of(user.id).await?;
    let now = api.world.now();
    let show = |app: App| MyApp::new(&app, &member, held.get(&app.id).copied().unwrap_or_default(), now);
    Ok(paging.page(seen, |app| app.id, show))
}

/// Shows an app that the user may view.
#[utoipa::path(get, path = "/api/v1/me/apps/{id}", tag = "me", operation_id = "read_my_app",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = MyAppDetails), (status = "4XX", body = Problem)))]
pub async fn read(
    Person { user, .. }: Person,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Json<MyAppDetails>, Problem> {
    let (app, member) = my_keys::viewed(&api.store, user.id, id).await?;
    let now = api.world.now();
    let held = api.store.count_keys_of(user.id).await?.get(&id).copied().unwrap_or_default();
    let owner = UsageSubject::new(app.id, &app.settings.limits, &app.settings);
    let activities = Activities::of_apps(&api.store, &[owner], now).await?;
    let (providers, models) = (api.store.upstreams().await?, api.store.models().await?);
    let (servers, groups) = (api.store.upstreams().await?, api.store.routing_groups().await?);
    let key = match app.settings.mode {
        CredentialMode::Shared => api.store.app_key(id).await?,
        CredentialMode::Named => None,
    };
    let summary = MyApp::new(&app, &member, held, now);
    let active = activities.with(app.id, summary);
    Ok(Json(MyAppDetails::new(active, app, &member, key, &providers, models, servers, groups)))
}

/// Shows the app key's value, which the users of an app in shared mode share: with key visibility, and
/// where the app keeps values.
#[utoipa::path(get, path = "/api/v1/me/apps/{id}/key/value", tag = "me", operation_id = "read_my_app_key_value",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = KeyValue), (status = "4XX", body = Problem)))]
pub async fn value(
    Person { actor, user }: Person,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Json<KeyValue>, Problem> {
    let (app, member) = my_keys::viewed(&api.store, user.id, id).await?;
    my_keys::sees_values(&app, &member)?;
    if app.settings.mode != CredentialMode::Shared {
        let detail = "the app uses named keys: its users create their own keys";
        return Err(Refusal::conflict("not_in_shared_mode", detail).into());
    }
    let mut tx = api.store.begin().await?;
    let value = keys::show::app_key(&mut tx, api.context(&actor), app.id).await?;
    tx.commit().await?;
    Ok(Json(value.into()))
}
