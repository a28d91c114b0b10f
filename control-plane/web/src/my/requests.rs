//! My change requests.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use latchkey_api::Api;
use latchkey_api::body::{PathParams, Query};
use latchkey_api::change_requests::{ChangeRequestList, ChangeRequestView, MyRequestQuery, mine};
use latchkey_api::pagination::ListPage;
use latchkey_api::problem::Problem;
use latchkey_core::access::Capability;
use latchkey_core::change_request::Status;
use uuid::Uuid;

use super::apps::{asked, grants, read};
use super::diff::{DiffRow, rows};
use crate::form::{HtmlForm, Posted};
use crate::format;
use crate::frame::{Frame, Visit, done};
use crate::html;
use crate::list::{Filter, PaginatedList};

/// What the list can be narrowed to.
const STATUSES: [(&str, &str); 7] = [
    ("", "any"),
    ("pending", "pending"),
    ("approved", "approved"),
    ("rejected", "rejected"),
    ("failed", "failed"),
    ("stale", "stale"),
    ("withdrawn", "withdrawn"),
];

#[derive(Template)]
#[template(path = "my/requests.html")]
struct MyRequestsPage {
    frame: Frame,
    form: HtmlForm,
    statuses: &'static [(&'static str, &'static str)],
    list: PaginatedList<ChangeRequestView>,
    pending: u64,
}

#[derive(Template)]
#[template(path = "my/request.html")]
struct MyRequestPage {
    frame: Frame,
    request: ChangeRequestView,
    rows: Vec<DiffRow>,
    was: &'static str,
    wish: &'static str,
    /// What its status means, and how good that is.
    told: &'static str,
    tone: &'static str,
    /// Whether it can be asked for again.
    again: bool,
    form: HtmlForm,
}

pub async fn list(
    visit: Visit,
    State(api): State<Api>,
    Filter(query): Filter<MyRequestQuery>,
) -> Result<Response, Problem> {
    let status = query.status.map_or("", Status::as_str);
    let ChangeRequestList { items, next_cursor, pending } =
        mine::list(visit.person(), State(api), Query(query)).await?.0;
    html(&MyRequestsPage {
        frame: visit.frame("My change requests"),
        form: HtmlForm::default().with("status", status),
        statuses: &STATUSES,
        list: PaginatedList::new("/requests", &[("status", status)], ListPage { items, next_cursor }),
        pending: pending.unsigned_abs(),
    })
}

pub async fn page(
    visit: Visit,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Response, Problem> {
    show(&visit, &api, id, HtmlForm::default()).await
}

pub async fn withdraw(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let withdrawn = mine::withdraw(posted.visit.person(), State(api.clone()), PathParams(id)).await;
    let done = |_| done(&format!("/requests/{id}"), "Request withdrawn.");
    posted.answer(withdrawn, done, |form| show(&posted.visit, &api, id, form)).await
}

async fn show(visit: &Visit, api: &Api, id: Uuid, form: HtmlForm) -> Result<Response, Problem> {
    let request = mine::read(visit.person(), State(api.clone()), PathParams(id)).await?.0;
    let app = match read(visit, api, request.app.id).await {
        Ok(app) => Some(app),
        Err(problem) if problem.status == StatusCode::NOT_FOUND.as_u16() => None,
        Err(problem) => return Err(problem),
    };
    let may_ask = app.is_some_and(|app| grants(&app, Capability::SettingsRequest));
    let (tone, told) = told(request.status);
    html(&MyRequestPage {
        frame: visit.frame(format!("{} for {}", asked(&request.kind), request.app.name)),
        rows: rows(&request.changes),
        was: "When submitted",
        wish: "Requested",
        told,
        tone,
        again: may_ask && !matches!(request.status, Status::Pending | Status::Approved),
        request,
        form,
    })
}

/// The fields that a request touches.
fn fields(request: &ChangeRequestView) -> String {
    let rows = rows(&request.changes);
    let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
    match names.as_slice() {
        [first, second, _, rest @ ..] => format!("{first}, {second} and {} more", rest.len() + 1),
        names => names.join(", "),
    }
}

/// How good a status is, and what it means.
fn told(status: Status) -> (&'static str, &'static str) {
    match status {
        Status::Pending => ("warn", "Waiting for an admin to decide. Nothing has changed yet."),
        Status::Approved => ("good", "Approved and applied."),
        Status::Rejected => ("bad", "Rejected. See the comment below. Nothing has changed."),
        Status::Failed => ("bad", "Approved, but it could not be applied. Nothing has changed."),
        Status::Stale => (
            "warn",
            "Out of date: a field in this request was changed in the meantime, so it was not applied. \
             Request the change again based on the current settings.",
        ),
        Status::Withdrawn => ("", "You withdrew this request. Nothing has changed."),
    }
}
