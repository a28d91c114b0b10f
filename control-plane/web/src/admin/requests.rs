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
    RequestQuery, StartTrial, TrialView, trial,
};
use latchkey_api::findings::{self, Finding, FindingQuery};
use latchkey_api::pagination::ListPage;
use latchkey_api::problem::Problem;
use latchkey_api::simulation::{self, SimulationQuery, SimulationView};
use latchkey_api::versions::FieldChange;
use latchkey_core::change_request::Status;
use uuid::Uuid;

use crate::form::{FieldKind, HtmlForm, Posted};
use crate::format;
use crate::frame::{Frame, Visit, done};
use crate::list::{Filter, PaginatedList};
use crate::{html, simulation as words, unprocessable};

/// How many findings of a trial are shown beside it.
const EXCERPTS: u16 = 10;

/// The pages of change requests.
pub fn routes() -> Router<Api> {
    Router::new()
        .route("/admin/requests", get(list))
        .route("/admin/requests/{id}", get(page))
        .route("/admin/requests/{id}/simulation", get(simulate))
        .route("/admin/requests/{id}/approve", post(approve))
        .route("/admin/requests/{id}/reject", post(reject))
        .route("/admin/requests/{id}/trial", post(start_trial))
        .route("/admin/requests/{id}/trial/end", post(end_trial))
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
    /// Whether it changes guardrails, which can be tried.
    is_triable: bool,
    trial: Option<TrialView>,
    /// The newest of its trial.
    findings: Vec<Finding>,
    simulation: Option<SimulationView>,
    form: HtmlForm,
}

impl RequestPage {
    fn is_running(&self) -> bool {
        self.trial.as_ref().is_some_and(|trial| trial.running)
    }
}

/// What a trial has shown: `Would have blocked 12 and redacted 3 of 847 requests`.
fn outcome(trial: &TrialView) -> String {
    let done = [
        ("blocked", trial.would_block),
        ("redacted", trial.would_redact),
        ("anonymized", trial.would_anonymize),
        ("monitored", trial.would_monitor),
    ];
    let done = done.iter().filter(|(_, count)| *count > 0);
    let done: Vec<_> = done.map(|(word, count)| format!("{word} {}", format::count(*count))).collect();
    let requests = format::plural(trial.requests, "request");
    match done.as_slice() {
        [] => format!("Would have done nothing in {requests}"),
        [only] => format!("Would have {only} of {requests}"),
        [rest @ .., last] => format!("Would have {} and {last} of {requests}", rest.join(", ")),
    }
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
    show(&visit, &api, id, HtmlForm::default(), None).await
}

/// Shows what it would have done to past requests.
pub async fn simulate(
    visit: Visit,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Response, Problem> {
    let days = Query(SimulationQuery::default());
    match simulation::of_request(visit.reader()?, State(api.clone()), PathParams(id), days).await {
        Ok(tried) => show(&visit, &api, id, HtmlForm::default(), Some(tried.0)).await,
        Err(problem) => {
            let form = HtmlForm::default().refused(problem)?;
            Ok(unprocessable(show(&visit, &api, id, form, None).await?))
        }
    }
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
                "This request is out of date: a field that it changes has since been changed. Nothing was \
                 applied."
            }
            Status::Pending | Status::Rejected | Status::Withdrawn => "Nothing was applied.",
        };
        done(&path(id), what)
    };
    posted.answer(decided.await, done, |form| show(&posted.visit, &api, id, form, None)).await
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
    let done = |_| done(&path(id), "Rejected. The requester will see the reason.");
    posted.answer(decided.await, done, |form| show(&posted.visit, &api, id, form, None)).await
}

/// Starts its trial.
pub async fn start_trial(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let admin = posted.visit.admin()?;
    let started = async {
        let trial: StartTrial = posted.typed.read(&[("hours", FieldKind::Number)])?;
        trial::start(admin, State(api.clone()), PathParams(id), JsonBody(trial)).await
    };
    let done = |_| done(&path(id), "Trial started. It does not change or refuse anything.");
    posted.answer(started.await, done, |form| show(&posted.visit, &api, id, form, None)).await
}

/// Ends its trial.
pub async fn end_trial(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let ended = trial::end(posted.visit.admin()?, State(api.clone()), PathParams(id)).await;
    let done = |_| done(&path(id), "Trial ended.");
    posted.answer(ended, done, |form| show(&posted.visit, &api, id, form, None)).await
}

fn path(id: Uuid) -> String {
    format!("/admin/requests/{id}")
}

async fn show(
    visit: &Visit,
    api: &Api,
    id: Uuid,
    form: HtmlForm,
    simulation: Option<SimulationView>,
) -> Result<Response, Problem> {
    let detail = change_requests::read(visit.reader()?, State(api.clone()), PathParams(id)).await?.0;
    let ChangeRequestDetail { mut request, newest_version, now, trial } = detail;
    let findings = match &trial {
        None => Vec::new(),
        Some(_) => {
            let query = FindingQuery {
                limit: Some(EXCERPTS),
                change_request_id: Some(id),
                ..FindingQuery::default()
            };
            findings::list(visit.reader()?, State(api.clone()), Query(query)).await?.items
        }
    };
    let is_triable =
        request.changes.iter().any(|change| latchkey_core::guardrails::Proposal::is_about(&change.path));
    let form =
        if form.value("hours").is_empty() && !form.is_refused() { form.with("hours", "24") } else { form };
    let fields = std::mem::take(&mut request.changes).into_iter().map(|change| {
        let now = now.iter().find(|field| field.path == change.path).cloned();
        (change, now)
    });
    let what = if simulation.is_some() { "Effect on past requests: " } else { "" };
    let title = format!("{what}{} for {}", format::words(request.kind.as_str()), request.app.name);
    html(&RequestPage {
        frame: visit.frame(title),
        fields: fields.collect(),
        own: request.requester.id == visit.user.id,
        is_triable,
        trial,
        findings,
        request,
        newest_version,
        simulation,
        form,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_says_what_would_have_been_done() {
        let none = TrialView {
            running: true,
            started_at: jiff::Timestamp::UNIX_EPOCH,
            until: jiff::Timestamp::UNIX_EPOCH,
            ended_at: None,
            ended_because: None,
            untried: Vec::new(),
            requests: 1,
            would_block: 0,
            would_redact: 0,
            would_anonymize: 0,
            would_monitor: 0,
        };
        assert_eq!(outcome(&none), "Would have done nothing in 1 request");
        let blocked = TrialView { requests: 847, would_block: 12, ..none };
        assert_eq!(outcome(&blocked), "Would have blocked 12 of 847 requests");
        let more = TrialView { would_redact: 3, ..blocked };
        assert_eq!(outcome(&more), "Would have blocked 12 and redacted 3 of 847 requests");
        let all = TrialView { would_monitor: 1200, ..more };
        assert_eq!(outcome(&all), "Would have blocked 12, redacted 3 and monitored 1,200 of 847 requests");
    }
}
