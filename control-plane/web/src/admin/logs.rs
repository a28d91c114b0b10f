//! What each request did.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use latchkey_api::Api;
use latchkey_api::body::{PathParams, Query};
use latchkey_api::logs::{self, Record, RecordQuery};
use latchkey_api::problem::Problem;
use latchkey_core::guardrails::GuardrailCategory;
use serde::Deserialize;
use uuid::Uuid;

use super::apps::{self, tabs::Tabs};
use super::filters;
use super::playground::{KnownRequest, explained};
use crate::denials;
use crate::form::{Field, FieldKind, FilterForm, FormInput, HtmlForm};
use crate::format;
use crate::frame::{Frame, Visit};
use crate::guardrails::title;
use crate::html;
use crate::list::{ExportLinks, PaginatedList, filtered};
use crate::period;

const FILTERS: &[Field] = &[
    ("request_id", FieldKind::Optional),
    ("app_id", FieldKind::Optional),
    ("key_id", FieldKind::Optional),
    ("user_id", FieldKind::Optional),
    ("identity", FieldKind::Optional),
    ("model", FieldKind::Optional),
    ("provider", FieldKind::Optional),
    ("status", FieldKind::Optional),
    ("code", FieldKind::Optional),
    ("old_secret", FieldKind::Only),
    ("findings", FieldKind::Choice),
    ("finding", FieldKind::Optional),
    ("conversation_id", FieldKind::Optional),
    ("target", FieldKind::Optional),
    ("time", FieldKind::Aside),
    ("from", FieldKind::Optional),
    ("to", FieldKind::Optional),
    ("cursor", FieldKind::Optional),
];
/// The filters that the next page keeps.
const KEPT: &[&str] = &[
    "request_id",
    "app_id",
    "key_id",
    "user_id",
    "identity",
    "model",
    "provider",
    "status",
    "code",
    "old_secret",
    "findings",
    "finding",
    "conversation_id",
    "target",
    "time",
    "from",
    "to",
];
/// As many as are read at a glance, with all that each has to tell.
const ROWS: u16 = 25;

#[derive(Template)]
#[template(path = "admin/logs.html")]
struct LogsPage {
    frame: Frame,
    /// The app whose tab this is; none on the page of all logs.
    tabs: Option<Tabs>,
    /// Where the list is without filters.
    path: String,
    list: PaginatedList<Record>,
    providers: Vec<(String, String)>,
    links: Option<ExportLinks>,
    codes: Vec<(String, String)>,
    categories: Vec<(String, String)>,
    form: HtmlForm,
}

#[derive(Template)]
#[template(path = "admin/log_explained.html")]
struct ExplainedPage {
    frame: Frame,
    known: KnownRequest,
}

/// Which request to explain: its id, and when it came.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExplainedQuery {
    request_id: String,
    at: Option<Timestamp>,
}

pub async fn list(
    visit: Visit,
    State(api): State<Api>,
    FilterForm(asked): FilterForm,
) -> Result<Response, Problem> {
    show(&visit, &api, asked, None).await
}

/// The Logs tab of an app.
pub async fn of_app(
    visit: Visit,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    FilterForm(asked): FilterForm,
) -> Result<Response, Problem> {
    let app = apps::app(&visit, &api, id).await?;
    show(&visit, &api, asked, Some(Tabs::of(&app, "logs"))).await
}

async fn show(visit: &Visit, api: &Api, asked: FormInput, tabs: Option<Tabs>) -> Result<Response, Problem> {
    visit.reader()?;
    let (mut form, mut links) = (period::chosen(asked.form()), None);
    let path = tabs.as_ref().map_or_else(|| "/admin/logs".to_owned(), |tabs| tabs.path("logs"));
    let found = async {
        let asked = match &tabs {
            Some(tabs) => tabs.within(&asked)?,
            None => asked.clone(),
        };
        let asked = filters::with_ids(visit, api, &asked, &mut form, ("app_id", "user_id")).await?;
        let asked = filters::with_key(visit, api, asked, &mut form).await?;
        let (asked, query): (_, RecordQuery) = period::read(visit, &asked, FILTERS)?;
        links = Some(ExportLinks::new("/logs", &asked, FILTERS));
        let query = RecordQuery { limit: Some(ROWS), ..query };
        logs::list(visit.reader()?, State(api.clone()), Query(query)).await
    };
    let found = found.await;
    let (status, form, page) = filtered(form, found)?;
    let list = PaginatedList::of(&path, &asked, KEPT, page);
    let providers = filters::upstream_options(visit, api).await?;
    let frame =
        visit.frame(tabs.as_ref().map_or_else(|| "Logs".to_owned(), |tabs| format!("{}: logs", tabs.name)));
    let (codes, categories) = (denials::choices(form.value("code")), categories());
    let page = html(&LogsPage { frame, tabs, path, list, providers, links, codes, categories, form })?;
    Ok((status, page).into_response())
}

/// Explains one request: what its record says, and what gateways would do with the same request now.
pub async fn explain(
    visit: Visit,
    State(api): State<Api>,
    Query(ExplainedQuery { request_id, at }): Query<ExplainedQuery>,
) -> Result<Response, Problem> {
    let just_then = SignedDuration::from_millis(1);
    let query = RecordQuery {
        request_id: Some(request_id),
        from: at,
        to: at.and_then(|at| at.checked_add(just_then).ok()),
        limit: Some(1),
        ..RecordQuery::default()
    };
    let found = logs::list(visit.reader()?, State(api.clone()), Query(query)).await?;
    let known = explained(&visit, &api, found.items.into_iter().next()).await?;
    html(&ExplainedPage { frame: visit.frame("Explain a request"), known })
}

/// The categories of findings, after any.
pub fn categories() -> Vec<(String, String)> {
    let all = GuardrailCategory::all();
    let all = all.map(|category| (category.as_str().to_owned(), title(category.as_str())));
    std::iter::once((String::new(), "any".to_owned())).chain(all).collect()
}

/// How a request's status is shown: as good or as bad.
fn class(log: &Record) -> &'static str {
    match log.status {
        Some(..400) => "good",
        Some(429) => "warn",
        _ => "bad",
    }
}
