//! `/api/v1/apps/{id}/self-service`: who may do what with an app by themselves.

mod views;

use axum::extract::State;
use latchkey_core::access::{Capability, SelfService, Subjects};
use latchkey_service::action::{self_service, subjects};
use uuid::Uuid;

use super::Api;
use super::access::{PeopleQuery, PersonAccess, people_of};
use super::apps;
use super::auth::{AdminGuard, ReaderGuard};
use super::body::{JsonBody, PathParams, Query};
use super::pagination::ListPage;
use super::precondition::{EntityTag, IfMatch, Tagged};
use super::problem::Problem;

pub use views::{EditAccess, EditSelfService, NewRule, NewSubjects, RuleView, SelfServiceView};

/// Shows an app's self-service settings.
#[utoipa::path(get, path = "/api/v1/apps/{id}/self-service", tag = "self-service",
    operation_id = "read_self_service", params(("id" = Uuid, Path)), security(("token" = [])),
    responses((status = 200, body = SelfServiceView), (status = "4XX", body = Problem)))]
pub async fn read(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Tagged<SelfServiceView>, Problem> {
    let version = api.store.newest_version(id).await?;
    let app = apps::find(&api, id).await?;
    Ok(Tagged(view(&api, &app.settings.self_service).await?, EntityTag::of_version(version)))
}

/// Edits an app's self-service settings. What is not named stays; a capability's rule is replaced as a
/// whole. Lists are kept in every mode, so that switching a mode back loses nothing: `allow` counts in
/// the mode `specific` only, `exceptions` in all but `disabled`, and those of `viewer` always. Where a list
/// does not count, only the one that was there before is taken.
#[utoipa::path(patch, path = "/api/v1/apps/{id}/self-service", tag = "self-service",
    operation_id = "update_self_service", params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)), request_body = EditSelfService,
    security(("token" = [])),
    responses((status = 200, body = SelfServiceView), (status = "4XX", body = Problem)))]
pub async fn update(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    if_match: IfMatch,
    JsonBody(edit): JsonBody<EditSelfService>,
) -> Result<Tagged<SelfServiceView>, Problem> {
    let mut tx = api.store.begin().await?;
    if_match.check_app(&mut tx, id).await?;
    let found = subjects::find(&mut tx, &edit.subject_names()).await?;
    let edit = edit.resolved(&found);
    let subjects = edit.subject_ids();
    let edit = |settings: &mut _| edit.apply(settings);
    let app = self_service::update(&mut tx, api.context(&actor), id, &subjects, edit).await?;
    let version = tx.newest_version(id).await?;
    tx.commit().await?;
    Ok(Tagged(view(&api, &app.settings.self_service).await?, EntityTag::of_version(version)))
}

/// Lists who would have a capability of an app if its self-service settings were edited like this.
/// Nothing is changed.
#[utoipa::path(post, path = "/api/v1/apps/{id}/self-service/preview", tag = "self-service",
    operation_id = "preview_self_service", params(("id" = Uuid, Path), PeopleQuery),
    request_body = EditSelfService, security(("token" = [])),
    responses((status = 200, body = ListPage<PersonAccess>), (status = "4XX", body = Problem)))]
pub async fn preview(
    _: AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    Query(query): Query<PeopleQuery>,
    JsonBody(edit): JsonBody<EditSelfService>,
) -> Result<ListPage<PersonAccess>, Problem> {
    let mut app = apps::find(&api, id).await?;
    let mut tx = api.store.begin().await?;
    let found = subjects::find(&mut tx, &edit.subject_names()).await?;
    let edit = edit.resolved(&found);
    let subjects = edit.subject_ids();
    let before = app.settings.self_service.clone();
    edit.apply(&mut app.settings.self_service);
    self_service::check(&app.settings.self_service, &before)?;
    subjects.refuse_unknown(&mut tx).await?;
    drop(tx);
    people_of(&api, &app, query).await
}

async fn view(api: &Api, settings: &SelfService) -> Result<SelfServiceView, Problem> {
    let mut all = Subjects::default();
    for capability in Capability::ALL {
        let rule = settings.access.rule(capability);
        for list in [&rule.allow, &rule.exceptions] {
            all.users.extend(&list.users);
            all.groups.extend(&list.groups);
        }
    }
    let names = api.store.names(&all).await?;
    Ok(SelfServiceView::new(settings, &names))
}
