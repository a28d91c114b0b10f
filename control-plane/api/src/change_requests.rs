//! `/api/v1/change-requests`, `/api/v1/apps/{id}/change-requests`

pub mod draft;
pub mod mine;
pub mod trial;
mod views;

use axum::Json;
use axum::extract::State;
use latchkey_core::change_request::Status;
use latchkey_service::action::Refusal;
use latchkey_service::action::change_requests::approve::{self, Approval};
use latchkey_service::action::change_requests::reject;
use latchkey_store::change_requests::{ChangeRequest, RequestFilter};
use uuid::Uuid;

use super::Api;
use super::apps::find;
use super::auth::{AdminGuard, ReaderGuard};
use super::body::{JsonBody, OptionalJsonBody, PathParams, Query};
use super::pagination::paging;
use super::problem::Problem;

pub use draft::{ChangePreview, MyAppSettings, NewPreview, SettingsQuery};
pub use trial::{StartTrial, TrialView};
pub use views::{
    AppRequestQuery, ApproveChange, ChangeRequestDetail, ChangeRequestList, ChangeRequestView, FieldNow,
    MyRequestQuery, RejectChange, RequestQuery, RequestedApp, Requester,
};

/// Lists the change requests for all apps, newest first.
#[utoipa::path(get, path = "/api/v1/change-requests", tag = "change requests", operation_id = "list_change_requests",
    params(RequestQuery),
    security(("token" = [])), responses((status = 200, body = ChangeRequestList), (status = "4XX", body = Problem)))]
pub async fn list(
    _: ReaderGuard,
    State(api): State<Api>,
    Query(query): Query<RequestQuery>,
) -> Result<Json<ChangeRequestList>, Problem> {
    let RequestQuery { cursor, limit, app_id, user_id, kind, status } = query;
    let filter = RequestFilter { app: app_id, user: user_id, kind, status, before: None };
    page(&api, cursor.as_deref(), limit, filter).await
}

/// Lists the change requests for an app, newest first.
#[utoipa::path(get, path = "/api/v1/apps/{id}/change-requests", tag = "change requests",
    operation_id = "list_change_requests_of_app", params(("id" = Uuid, Path), AppRequestQuery),
    security(("token" = [])), responses((status = 200, body = ChangeRequestList), (status = "4XX", body = Problem)))]
pub async fn of_app(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    Query(query): Query<AppRequestQuery>,
) -> Result<Json<ChangeRequestList>, Problem> {
    find(&api, id).await?;
    let AppRequestQuery { cursor, limit, user_id, kind, status } = query;
    let filter = RequestFilter { app: Some(id), user: user_id, kind, status, before: None };
    page(&api, cursor.as_deref(), limit, filter).await
}

/// Shows a change request, with what its fields were then and are now.
#[utoipa::path(get, path = "/api/v1/change-requests/{id}", tag = "change requests",
    operation_id = "read_change_request", params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = ChangeRequestDetail), (status = "4XX", body = Problem)))]
pub async fn read(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Json<ChangeRequestDetail>, Problem> {
    Ok(Json(detail(&api, id).await?))
}

/// Approves a change request: it is applied at once, on top of what the app is now. The answer's status
/// says what came of it: `approved`, or `failed` or `stale` with the cause in the comment.
#[utoipa::path(post, path = "/api/v1/change-requests/{id}/approve", tag = "change requests",
    operation_id = "approve_change_request", params(("id" = Uuid, Path)), request_body = ApproveChange,
    security(("token" = [])), responses((status = 200, body = ChangeRequestView), (status = "4XX", body = Problem)))]
pub async fn approve(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    OptionalJsonBody(body): OptionalJsonBody<ApproveChange>,
) -> Result<Json<ChangeRequestView>, Problem> {
    let context = api.context(&actor);
    let mut tx = api.store.begin().await?;
    match approve::approve(&mut tx, context, id, &body.comment).await? {
        Approval::Decided => tx.commit().await?,
        Approval::Impossible(cause) => {
            tx.abandon().await?;
            let mut tx = api.store.begin().await?;
            approve::fail(&mut tx, context, id, &cause).await?;
            tx.commit().await?;
        }
    }
    Ok(Json(request(&api, id).await?.into()))
}

/// Rejects a change request, for a reason that the requester sees.
#[utoipa::path(post, path = "/api/v1/change-requests/{id}/reject", tag = "change requests",
    operation_id = "reject_change_request", params(("id" = Uuid, Path)), request_body = RejectChange,
    security(("token" = [])), responses((status = 200, body = ChangeRequestView), (status = "4XX", body = Problem)))]
pub async fn reject(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    JsonBody(body): JsonBody<RejectChange>,
) -> Result<Json<ChangeRequestView>, Problem> {
    let mut tx = api.store.begin().await?;
    reject::reject(&mut tx, api.context(&actor).by(), id, &body.reason).await?;
    tx.commit().await?;
    Ok(Json(request(&api, id).await?.into()))
}

async fn detail(api: &Api, id: Uuid) -> Result<ChangeRequestDetail, Problem> {
    let request = request(api, id).await?;
    let app = api.store.app(request.app_id).await?;
    let version = api.store.newest_version(request.app_id).await?;
    let trial = trial::view(api, id).await?;
    Ok(ChangeRequestDetail::new(request, app.as_ref(), version, trial))
}

async fn request(api: &Api, id: Uuid) -> Result<ChangeRequest, Problem> {
    Ok(api.store.change_request(id).await?.ok_or(Refusal::NotFound("change request"))?)
}

/// A page of requests, with how many of them are pending, whichever status was asked for.
async fn page(
    api: &Api,
    cursor: Option<&str>,
    limit: Option<u16>,
    filter: RequestFilter,
) -> Result<Json<ChangeRequestList>, Problem> {
    let paging = paging(cursor, limit, None)?;
    let pending = RequestFilter { status: Some(Status::Pending), ..filter.clone() };
    let filter = RequestFilter { before: paging.after, ..filter };
    let rows = api.store.change_requests(&filter, paging.rows()).await?;
    let pending = api.store.count_change_requests(&pending).await?;
    let page = paging.page(rows, |request| request.id, ChangeRequestView::from);
    Ok(Json(ChangeRequestList { items: page.items, next_cursor: page.next_cursor, pending }))
}
