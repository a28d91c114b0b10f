//! `/api/v1/apps/{id}/versions`

mod views;

use axum::Json;
use axum::extract::State;
use latchkey_core::change::{Change, Configuration};
use latchkey_service::action::apps::conflict::EditConflict;
use latchkey_service::action::apps::edit::EditApp;
use latchkey_service::action::{Refusal, apps};
use latchkey_store::apps::App;
use latchkey_store::versions::AppVersion;
use uuid::Uuid;

use super::Api;
use super::apps::{AppView, find};
use super::auth::{AdminGuard, ReaderGuard};
use super::body::{PathParams, Query};
use super::pagination::{ListPage, paging};
use super::precondition::EntityTag;
use super::problem::Problem;

pub use views::{
    FieldChange, RolledBack, VersionActor, VersionDetail, VersionPage, VersionQuery, VersionView,
};

/// Lists the states that an app's configuration had, newest first.
#[utoipa::path(get, path = "/api/v1/apps/{id}/versions", tag = "versions", operation_id = "list_versions",
    params(("id" = Uuid, Path), VersionPage),
    security(("token" = [])), responses((status = 200, body = ListPage<VersionView>), (status = "4XX", body = Problem)))]
pub async fn list(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    Query(query): Query<VersionPage>,
) -> Result<ListPage<VersionView>, Problem> {
    let paging = paging(query.cursor.as_deref(), query.limit, None)?;
    find(&api, id).await?;
    let rows = api.store.versions(id, paging.after, paging.rows()).await?;
    Ok(paging.page(rows, |version| version.number, VersionView::from))
}

/// Shows a version: its settings, and what differs from the one before, or from any other. What looks
/// like a secret is left out.
#[utoipa::path(get, path = "/api/v1/apps/{id}/versions/{number}", tag = "versions", operation_id = "read_version",
    params(("id" = Uuid, Path), ("number" = i64, Path, minimum = 1), VersionQuery),
    security(("token" = [])), responses((status = 200, body = VersionDetail), (status = "4XX", body = Problem)))]
pub async fn read(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams((id, number)): PathParams<(Uuid, i64)>,
    Query(query): Query<VersionQuery>,
) -> Result<Json<VersionDetail>, Problem> {
    find(&api, id).await?;
    let version = version(&api, id, number).await?;
    let other = match query.against {
        None => api.store.version(id, number - 1).await?,
        Some(other) => Some(self::version(&api, id, other).await?),
    };
    let of = |version: &AppVersion| Configuration::of(&version.name, &version.settings);
    let changes = other.as_ref().map(|other| of(other).changes(&of(&version))).unwrap_or_default();
    let against = other.map(|other| other.head.number);
    Ok(Json(VersionDetail::new(version, against, changes)))
}

/// Restores the configuration of a version at once, as a new version. Keys that were revoked stay so,
/// and groups keep their members. When the mode's change replaced the app key, its new value is shown in
/// this answer only.
#[utoipa::path(post, path = "/api/v1/apps/{id}/versions/{number}/rollback", tag = "versions",
    operation_id = "roll_back", params(("id" = Uuid, Path), ("number" = i64, Path, minimum = 1)),
    security(("token" = [])), responses((status = 200, body = RolledBack), (status = "4XX", body = Problem)))]
pub async fn rollback(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams((id, number)): PathParams<(Uuid, i64)>,
) -> Result<Json<RolledBack>, Problem> {
    let mut tx = api.store.begin().await?;
    let saved = apps::rollback::rollback(&mut tx, api.context(&actor), id, number).await?;
    tx.commit().await?;
    let version = saved.version.unwrap_or_default();
    Ok(Json(RolledBack { version, app: AppView::saved(saved, api.world.now()) }))
}

/// An edit of an app that somebody else has changed since it was shown, as a page tells it.
#[derive(Clone, Debug)]
pub struct AppConflict {
    /// The version that is there now.
    pub newest: EntityTag,
    /// What was changed meanwhile, and to what the edit would change it instead, where it would.
    pub theirs: Vec<(FieldChange, Option<FieldChange>)>,
    /// Who changed it meanwhile, the oldest first.
    pub by: Vec<VersionView>,
    /// The app as it would be with both.
    pub merged: AppView,
}

/// An app as it was at one of its versions; as it is where that is gone.
pub async fn app_at(api: &Api, id: Uuid, number: i64) -> Result<AppView, Problem> {
    let app = find(api, id).await?;
    let app = match api.store.version(id, number).await? {
        Some(AppVersion { name, settings, .. }) => App { name, settings, ..app },
        None => app,
    };
    Ok(AppView::new(app, api.world.now()))
}

/// What an edit of an app, as it was at the version `base`, and what was done since come to.
pub async fn conflict(api: &Api, id: Uuid, base: i64, edit: EditApp) -> Result<AppConflict, Problem> {
    let newest = api.store.newest_version(id).await?;
    let app = find(api, id).await?;
    let (base, now) = (version(api, id, base).await?, version(api, id, newest).await?);
    let at = api.world.now();
    let EditConflict { theirs, mine, merged: (name, settings) } =
        apps::conflict::conflict((&base.name, &base.settings), (&now.name, &now.settings), edit, at)?;
    let instead = |change: &Change| {
        let other = mine.iter().find(|own| own.path.overlaps(&change.path))?;
        (other.after != change.after).then(|| FieldChange::from(other.clone()))
    };
    let theirs = theirs.into_iter().map(|change| {
        let instead = instead(&change);
        (change.into(), instead)
    });
    let mut tx = api.store.snapshot().await?;
    let by = tx.versions_after(id, base.head.number, MOST_NAMED).await?;
    Ok(AppConflict {
        newest: EntityTag::of_version(newest),
        theirs: theirs.collect(),
        by: by.into_iter().map(VersionView::from).collect(),
        merged: AppView::new(App { name, settings, ..app }, at),
    })
}

/// How many versions of others a conflict names.
const MOST_NAMED: i64 = 20;

async fn version(api: &Api, id: Uuid, number: i64) -> Result<AppVersion, Problem> {
    Ok(api.store.version(id, number).await?.ok_or(Refusal::NotFound("version"))?)
}
