//! Change requests, for those who decide.

use askama::Template;
use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use latchkey_core::change_request::Status;
use uuid::Uuid;

use crate::api::Api;
use crate::api::body::{Body, OptionalBody, Path, Query};
use crate::api::change_requests::{
    self, ApproveChange, ChangeRequestDetail, ChangeRequestList, ChangeRequestView, FieldNow, RejectChange,
    RequestQuery,
};
use crate::api::problem::Problem;
use crate::api::versions::FieldChange;
use crate::web::form::{Form, Kind, Posted};
use crate::web::format;
use crate::web::frame::{Frame, Visit, done};
use crate::web::html;
use crate::web::list::{Filter, More, Next};

/// The pages of change requests.
pub fn routes() -> Router<Api> {
    Router::new()
        .route("/admin/requests", get(list))
        .route("/admin/requests/{id}", get(page))
        .route("/admin/requests/{id}/approve", post(approve))
        .route("/admin/requests/{id}/reject", post(reject))
}

#[derive(Template)]
#[template(path = "admin/requests.html")]
struct RequestsPage {
    frame: Frame,
    form: Form,
    filtered: bool,
    list: ChangeRequestList,
    more: More,
}

#[derive(Template)]
#[template(path = "admin/request.html")]
struct RequestPage {
    frame: Frame,
    request: ChangeRequestView,
    newest_version: i64,
    fields: Vec<(FieldChange, Option<FieldNow>)>,
    /// Whether the visitor asked for it, and so is not to decide.
    own: bool,
    form: Form,
}

/// Lists them.
pub async fn list(
    visit: Visit,
    State(api): State<Api>,
    Filter(query): Filter<RequestQuery>,
) -> Result<Response, Problem> {
    let id = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    let (app, user) = (id(query.app_id), id(query.user_id));
    let filters = [
        ("status", query.status.map_or("", Status::as_str)),
        ("kind", query.kind.map_or("", latchkey_core::change_request::Kind::as_str)),
        ("app_id", app.as_str()),
        ("user_id", &user),
    ];
    let list = change_requests::list(visit.reader()?, State(api), Query(query)).await?.0;
    let more = Next::new("/admin/requests", &filters, list.next_cursor.as_deref());
    let filtered = filters.iter().any(|(_, value)| !value.is_empty());
    let form = filters.into_iter().fold(Form::default(), |form, (name, value)| form.with(name, value));
    html(&RequestsPage { frame: visit.frame("Change requests"), form, filtered, list, more })
}

/// Shows one.
pub async fn page(visit: Visit, State(api): State<Api>, Path(id): Path<Uuid>) -> Result<Response, Problem> {
    show(&visit, &api, id, Form::default()).await
}

/// Approves it: it is applied at once.
pub async fn approve(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let admin = posted.visit.admin()?;
    let decided = async {
        let approval: ApproveChange = posted.typed.read(&[("comment", Kind::Text)])?;
        change_requests::approve(admin, State(api.clone()), Path(id), OptionalBody(approval)).await
    };
    match decided.await {
        Ok(Json(request)) => {
            let what = match request.status {
                Status::Approved => "Approved, and applied.",
                Status::Failed => "Approved, but it could not be applied: the cause is below.",
                Status::Stale => {
                    "It is stale: a field that it touches was changed since. Nothing was applied."
                }
                Status::Pending | Status::Rejected | Status::Withdrawn => "Nothing was applied.",
            };
            Ok(done(&format!("/admin/requests/{id}"), what))
        }
        Err(problem) => again(&posted, &api, id, problem).await,
    }
}

/// Rejects it.
pub async fn reject(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let admin = posted.visit.admin()?;
    let decided = async {
        let rejection: RejectChange = posted.typed.read(&[("reason", Kind::Text)])?;
        change_requests::reject(admin, State(api.clone()), Path(id), Body(rejection)).await
    };
    match decided.await {
        Ok(_) => Ok(done(&format!("/admin/requests/{id}"), "Rejected; the requester sees the reason.")),
        Err(problem) => again(&posted, &api, id, problem).await,
    }
}

async fn again(posted: &Posted, api: &Api, id: Uuid, problem: Problem) -> Result<Response, Problem> {
    let form = posted.refused(problem)?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, show(&posted.visit, api, id, form).await?).into_response())
}

async fn show(visit: &Visit, api: &Api, id: Uuid, form: Form) -> Result<Response, Problem> {
    let detail = change_requests::read(visit.reader()?, State(api.clone()), Path(id)).await?.0;
    let ChangeRequestDetail { mut request, newest_version, now } = detail;
    let fields = std::mem::take(&mut request.changes).into_iter().map(|change| {
        let now = now.iter().find(|field| field.path == change.path).cloned();
        (change, now)
    });
    html(&RequestPage {
        frame: visit.frame(format!("{} for {}", format::words(request.kind.as_str()), request.app.name)),
        fields: fields.collect(),
        own: request.requester.id == visit.user.id,
        request,
        newest_version,
        form,
    })
}
