//! An app's versions, what differs between them, and its change requests.

use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use latchkey_api::Api;
use latchkey_api::apps::{self, AppView};
use latchkey_api::audit::{self as api_audit, AuditQuery};
use latchkey_api::body::{PathParams, Query};
use latchkey_api::change_requests::{self, AppRequestQuery, ChangeRequestList};
use latchkey_api::problem::Problem;
use latchkey_api::simulation::{self, SimulationQuery, SimulationView};
use latchkey_api::versions::{self, VersionDetail, VersionPage, VersionQuery, VersionView};
use latchkey_core::settings::CredentialMode;
use latchkey_core::status::Standing;
use uuid::Uuid;

use super::tabs::Tabs;
use super::{app, secret};
use crate::admin::audit::AuditRow;
use crate::form::{HtmlForm, Posted};
use crate::format;
use crate::frame::{Frame, Visit, done};
use crate::list::{Filter, PaginatedList};
use crate::{html, simulation as words, unprocessable};

/// How many change requests stand beside the versions.
const RECENT: u16 = 10;
/// How many entries of the audit log.
const RECENT_ENTRIES: u16 = 25;

#[derive(Template)]
#[template(path = "admin/versions.html")]
struct VersionsPage {
    frame: Frame,
    tabs: Tabs,
    versions: PaginatedList<VersionView>,
    /// The newest that was done to the app and its keys.
    entries: Vec<AuditRow>,
    requests: ChangeRequestList,
}

#[derive(Template)]
#[template(path = "admin/version.html")]
struct VersionDetailPage {
    frame: Frame,
    tabs: Tabs,
    number: i64,
    right: String,
    version: VersionDetail,
    /// All of its settings, as JSON.
    settings: String,
    newest: i64,
    revoked: bool,
    simulation: Option<SimulationView>,
    form: HtmlForm,
}

pub async fn list(
    visit: Visit,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    Filter(query): Filter<VersionPage>,
) -> Result<Response, Problem> {
    let app = app(&visit, &api, id).await?;
    let versions = versions::list(visit.reader()?, State(api.clone()), PathParams(id), Query(query)).await?;
    let recent =
        AppRequestQuery { cursor: None, limit: Some(RECENT), user_id: None, kind: None, status: None };
    let requests =
        change_requests::of_app(visit.reader()?, State(api.clone()), PathParams(id), Query(recent)).await?.0;
    let about = AuditQuery { app_id: Some(id), limit: Some(RECENT_ENTRIES), ..AuditQuery::default() };
    let entries = api_audit::list(visit.reader()?, State(api.clone()), Query(about)).await?.items;
    let entries = entries.into_iter().map(AuditRow::from).collect();
    let versions = PaginatedList::new(&format!("/admin/apps/{id}/audit"), &[], versions);
    let frame = visit.frame(format!("{}: audit", app.name));
    html(&VersionsPage { frame, tabs: Tabs::of(&app, "audit"), versions, entries, requests })
}

/// Shows what a version changed.
pub async fn version(
    visit: Visit,
    State(api): State<Api>,
    PathParams(ids): PathParams<(Uuid, i64)>,
    Filter(query): Filter<VersionQuery>,
) -> Result<Response, Problem> {
    show(&visit, &api, ids, query, HtmlForm::default(), None).await
}

/// Shows what a rollback to a version would have done to past requests.
pub async fn simulate(
    visit: Visit,
    State(api): State<Api>,
    PathParams(ids): PathParams<(Uuid, i64)>,
) -> Result<Response, Problem> {
    let (days, against) = (Query(SimulationQuery::default()), VersionQuery { against: None });
    match simulation::of_rollback(visit.reader()?, State(api.clone()), PathParams(ids), days).await {
        Ok(tried) => show(&visit, &api, ids, against, HtmlForm::default(), Some(tried.0)).await,
        Err(problem) => {
            let form = HtmlForm::default().refused(problem)?;
            Ok(unprocessable(show(&visit, &api, ids, against, form, None).await?))
        }
    }
}

/// Gives the app the settings of a version again.
pub async fn rollback(
    State(api): State<Api>,
    PathParams(ids): PathParams<(Uuid, i64)>,
    posted: Posted,
) -> Result<Response, Problem> {
    let (id, number) = ids;
    match versions::rollback(posted.visit.admin()?, State(api.clone()), PathParams(ids)).await {
        Ok(Json(versions::RolledBack {
            app: AppView { key: Some(key), mode: CredentialMode::Shared, .. },
            ..
        })) => {
            let app = app(&posted.visit, &api, id).await?;
            let reached =
                apps::propagation(posted.visit.reader()?, State(api.clone()), PathParams(id)).await?.0;
            let value = key.value.unwrap_or_default();
            secret::app(&posted.visit, &api, &app, "New app key", value, Some(reached)).await
        }
        Ok(Json(made)) => {
            let what = format!("Rolled back to v{number}. The new version is v{}.", made.version);
            Ok(done(&format!("/admin/apps/{id}/audit"), &what))
        }
        Err(problem) => {
            let form = posted.refused(problem)?;
            let page = show(&posted.visit, &api, ids, VersionQuery { against: None }, form, None).await?;
            Ok(unprocessable(page))
        }
    }
}

async fn show(
    visit: &Visit,
    api: &Api,
    (id, number): (Uuid, i64),
    query: VersionQuery,
    form: HtmlForm,
    simulation: Option<SimulationView>,
) -> Result<Response, Problem> {
    let state = || State(api.clone());
    let app = app(visit, api, id).await?;
    let newest = VersionPage { cursor: None, limit: Some(1) };
    let newest = versions::list(visit.reader()?, state(), PathParams(id), Query(newest)).await?.items;
    let version = versions::read(visit.reader()?, state(), PathParams((id, number)), Query(query)).await?.0;
    let what = if simulation.is_some() { "effect on past requests of " } else { "" };
    html(&VersionDetailPage {
        frame: visit.frame(format!("{}: {what}v{number}", app.name)),
        tabs: Tabs::of(&app, "audit"),
        number,
        right: format!("v{number}"),
        settings: format::setting(&Some(version.settings.clone())),
        version,
        newest: newest.first().map_or(number, |version| version.number),
        revoked: app.status == Standing::Revoked,
        simulation,
        form,
    })
}
