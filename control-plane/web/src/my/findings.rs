//! The Findings tab of an app: what guardrails found in requests.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use latchkey_api::Api;
use latchkey_api::body::PathParams;
use latchkey_api::my_apps::MyAppDetails;
use latchkey_api::problem::Problem;
use latchkey_api::scope::Scope;
use latchkey_core::access::Capability;
use uuid::Uuid;

use super::apps::{grants, read};
use crate::format;
use crate::frame::{Frame, Visit};
use crate::html;

/// Something that a guardrail found; never the value itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub at: Timestamp,
    /// As the client got it in `x-request-id`.
    pub request_id: String,
    /// Whose request it was; none for an app key.
    pub user_name: Option<String>,
    /// What was found: `pii`, `secrets`, ….
    pub category: String,
    /// What was done: `blocked`, `monitored`, `anonymized` or `normal`.
    pub action: String,
    /// Where: `request` or `response`.
    pub direction: String,
    pub count: u64,
    /// The place, with what was found masked.
    pub excerpt: String,
}

#[derive(Template)]
#[template(path = "my/findings.html")]
struct FindingsPage {
    frame: Frame,
    app: MyAppDetails,
    /// Whether everyone's are shown.
    all: bool,
    findings: Vec<Finding>,
}

pub async fn page(
    visit: Visit,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Response, Problem> {
    let app = read(&visit, &api, id).await?;
    let findings = found(&api.scope_of_app(&visit.person(), id).await?);
    let frame = visit.frame(format!("{}: Findings", app.app.name.as_str()));
    html(&FindingsPage { frame, all: grants(&app, Capability::AllLogs), app, findings })
}

/// The findings in these requests, newest first: none, since no guardrail looks for anything yet.
fn found(_: &Scope) -> Vec<Finding> {
    Vec::new()
}
