//! Change requests, for those who decide.

use askama::Template;
use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use latchkey_api::Api;
use latchkey_api::body::{JsonBody, OptionalJsonBody, PathParams, Query};
use latchkey_api::change_requests::{
    self, ApproveChange, ChangeRequestDetail, ChangeRequestList, ChangeRequestView, FieldNow, RejectChange,
    RequestQuery,
};
use latchkey_api::pagination::ListPage;
use latchkey_api::problem::Problem;
use latchkey_api::versions::FieldChange;
use latchkey_core::change_request::Status;
use uuid::Uuid;

use crate::form::{FieldKind, HtmlForm, Posted};
use crate::format;
use crate::frame::{Frame, Visit, done};
use crate::html;
use crate::list::{Filter, PaginatedList};

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
    form: HtmlForm,
    list: PaginatedList<ChangeRequestView>,
    pending: i64,
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
    form: HtmlForm,
}

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
    let ChangeRequestList { items, next_cursor, pending } =
        change_requests::list(visit.reader()?, State(api), Query(query)).await?.0;
    let list = PaginatedList::new("/admin/requests", &filters, ListPage { items, next_cursor });
    let form = filters.into_iter().fold(HtmlForm::default(), |form, (name, value)| form.with(name, value));
    html(&RequestsPage { frame: visit.frame("Change requests"), form, list, pending })
}

pub async fn page(
    visit: Visit,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Response, Problem> {
    show(&visit, &api, id, HtmlForm::default()).await
}

/// Approves it: it is applied at once.
pub async fn approve(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let admin = posted.visit.admin()?;
    let decided = async {
        let approval: ApproveChange = posted.typed.read(&[("comment", FieldKind::Text)])?;
        change_requests::approve(admin, State(api.clone()), PathParams(id), OptionalJsonBody(approval)).await
    };
    let done = |Json(request): Json<ChangeRequestView>| {
        let what = match request.status {
            Status::Approved => "Approved and applied.",
            Status::Failed => "Approved, but it could not be applied. The cause is below.",
            Status::Stale => {
                "The request is stale: a field that it changes has changed since. Nothing was applied."
            }
            Status::Pending | Status::Rejected | Status::Withdrawn => "Nothing was applied.",
        };
        done(&path(id), what)
    };
    posted.answer(decided.await, done, |form| show(&posted.visit, &api, id, form)).await
}

pub async fn reject(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let admin = posted.visit.admin()?;
    let decided = async {
        let rejection: RejectChange = posted.typed.read(&[("reason", FieldKind::Text)])?;
        change_requests::reject(admin, State(api.clone()), PathParams(id), JsonBody(rejection)).await
    };
    let done = |_| done(&path(id), "Rejected. The requester sees the reason.");
    posted.answer(decided.await, done, |form| show(&posted.visit, &api, id, form)).await
}

fn path(id: Uuid) -> String {
    format!("/admin/requests/{id}")
}

async fn show(visit: &Visit, api: &Api, id: Uuid, form: HtmlForm) -> Result<Response, Problem> {
    let detail = change_requests::read(visit.reader()?, State(api.clone()), PathParams(id)).await?.0;
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
