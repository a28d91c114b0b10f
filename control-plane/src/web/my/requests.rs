//! My change requests.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use latchkey_core::access::Capability;
use latchkey_core::change_request::Status;
use uuid::Uuid;

use super::apps::{asked, grants, read};
use super::diff::{Row, rows};
use crate::api::Api;
use crate::api::body::{Path, Query};
use crate::api::change_requests::{ChangeRequestList, ChangeRequestView, MyRequestQuery, mine};
use crate::api::problem::Problem;
use crate::web::form::{Form, Posted};
use crate::web::format;
use crate::web::frame::{Frame, Visit, done};
use crate::web::html;
use crate::web::list::{Filter, More, Next};

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
struct RequestsPage {
    frame: Frame,
    form: Form,
    statuses: &'static [(&'static str, &'static str)],
    requests: ChangeRequestList,
    pending: u64,
    more: More,
}

#[derive(Template)]
#[template(path = "my/request.html")]
struct RequestPage {
    frame: Frame,
    request: ChangeRequestView,
    rows: Vec<Row>,
    was: &'static str,
    wish: &'static str,
    /// What its status means, and how good that is.
    told: &'static str,
    tone: &'static str,
    /// Whether it can be asked for again.
    again: bool,
    form: Form,
}

/// Lists them.
pub async fn list(
    visit: Visit,
    State(api): State<Api>,
    Filter(query): Filter<MyRequestQuery>,
) -> Result<Response, Problem> {
    let status = query.status.map_or("", Status::as_str);
    let requests = mine::list(visit.person(), State(api), Query(query)).await?.0;
    let more = Next::new("/requests", &[("status", status)], requests.next_cursor.as_deref());
    html(&RequestsPage {
        frame: visit.frame("My change requests"),
        form: Form::default().with("status", status),
        statuses: &STATUSES,
        pending: requests.pending.unsigned_abs(),
        requests,
        more,
    })
}

/// Shows one.
pub async fn page(visit: Visit, State(api): State<Api>, Path(id): Path<Uuid>) -> Result<Response, Problem> {
    show(&visit, &api, id, Form::default()).await
}

/// Takes one back.
pub async fn withdraw(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    match mine::withdraw(posted.visit.person(), State(api.clone()), Path(id)).await {
        Ok(_) => Ok(done(&format!("/requests/{id}"), "The request is withdrawn.")),
        Err(problem) => {
            let page = show(&posted.visit, &api, id, posted.refused(problem)?).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

async fn show(visit: &Visit, api: &Api, id: Uuid, form: Form) -> Result<Response, Problem> {
    let request = mine::read(visit.person(), State(api.clone()), Path(id)).await?.0;
    let app = match read(visit, api, request.app.id).await {
        Ok(app) => Some(app),
        Err(problem) if problem.status == StatusCode::NOT_FOUND.as_u16() => None,
        Err(problem) => return Err(problem),
    };
    let may_ask = app.is_some_and(|app| grants(&app, Capability::SettingsRequest));
    let (tone, told) = told(request.status);
    html(&RequestPage {
        frame: visit.frame(format!("{} for {}", asked(&request.kind), request.app.name)),
        rows: rows(&request.changes),
        was: "When it was sent",
        wish: "Your wish",
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
        Status::Pending => ("warn", "An admin has yet to decide. Nothing has changed so far."),
        Status::Approved => ("good", "It is approved and applied."),
        Status::Rejected => ("bad", "It was rejected; the answer below says why. Nothing has changed."),
        Status::Failed => ("bad", "It was approved, but could not be applied. Nothing has changed."),
        Status::Stale => (
            "warn",
            "The app changed meanwhile in a field that this touches, so it was not applied. Ask again on top of what the app is now.",
        ),
        Status::Withdrawn => ("", "You have taken it back. Nothing has changed."),
    }
}
