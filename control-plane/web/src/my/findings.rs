//! The Findings tab of an app: what guardrails found in one's own requests, or in everyone's.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use latchkey_core::access::Capability;
use serde::Deserialize;
use uuid::Uuid;

use super::apps::{grants, read};
use crate::format;
use crate::frame::{Frame, Visit};
use crate::html;
use crate::list::PaginatedList;
use latchkey_api::Api;
use latchkey_api::body::{PathParams, Query};
use latchkey_api::findings::{self, Finding, FindingQuery, FindingSummary, FindingSummaryQuery};
use latchkey_api::logs::{self, Record, RecordQuery};
use latchkey_api::my_apps::MyAppDetails;
use latchkey_api::problem::Problem;

const ROWS: u16 = 25;

/// What a tab shows: its word in the query, its title, and which actions it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FindingTab {
    word: &'static str,
    title: &'static str,
    /// None for all; of requests without findings it is nothing.
    actions: Option<&'static str>,
}

const NORMAL: FindingTab = FindingTab { word: "normal", title: "Normal", actions: None };

const TABS: [FindingTab; 5] = [
    FindingTab { word: "", title: "All findings", actions: None },
    FindingTab { word: "blocked", title: "Blocked", actions: Some("blocked") },
    FindingTab { word: "anonymized", title: "Anonymized and redacted", actions: Some("anonymized,redacted") },
    FindingTab {
        word: "monitored",
        title: "Monitored",
        actions: Some("monitored,would_block,would_redact,would_anonymize"),
    },
    NORMAL,
];

/// Which findings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MyFindingsQuery {
    cursor: Option<String>,
    show: String,
    request_id: String,
}

#[derive(Template)]
#[template(path = "my/findings.html")]
struct MyFindingsPage {
    frame: Frame,
    app: MyAppDetails,
    /// Whether everyone's are shown.
    all: bool,
    /// Of the last 30 days.
    summary: FindingSummary,
    tab: FindingTab,
    /// The one request that is shown; empty for all.
    request_id: String,
    findings: PaginatedList<Finding>,
    /// Requests in which nothing was found, on their tab.
    normal: PaginatedList<Record>,
}

pub async fn page(
    visit: Visit,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    Query(query): Query<MyFindingsQuery>,
) -> Result<Response, Problem> {
    let app = read(&visit, &api, id).await?;
    let MyFindingsQuery { cursor, show, request_id } = query;
    let tab = TABS.into_iter().find(|tab| tab.word == show).unwrap_or(TABS[0]);
    let path = format!("/apps/{id}/findings");
    let filters = [("show", tab.word), ("request_id", request_id.as_str())];
    let (mut found, mut normal) = Default::default();
    if tab == NORMAL {
        let query =
            RecordQuery { cursor, limit: Some(ROWS), findings: Some(false), ..RecordQuery::default() };
        normal =
            logs::list_of_my_app(visit.person(), State(api.clone()), PathParams(id), Query(query)).await?;
    } else {
        let query = FindingQuery {
            cursor,
            limit: Some(ROWS),
            request_id: Some(request_id.clone()).filter(|request| !request.is_empty()),
            action: tab.actions.map(str::to_owned),
            ..FindingQuery::default()
        };
        found = findings::list_of_my_app(visit.person(), State(api.clone()), PathParams(id), Query(query))
            .await?;
    }
    let sums =
        Query(FindingSummaryQuery { group_by: Some("action".to_owned()), ..FindingSummaryQuery::default() });
    let summary = findings::summary_of_my_app(visit.person(), State(api), PathParams(id), sums).await?.0;
    html(&MyFindingsPage {
        frame: visit.frame(format!("{}: Findings", app.app.name.as_str())),
        all: grants(&app, Capability::AllLogs),
        summary,
        findings: PaginatedList::new(&path, &filters, found),
        normal: PaginatedList::new(&path, &filters, normal),
        app,
        tab,
        request_id,
    })
}

impl MyFindingsPage {
    /// How many findings of the last 30 days a tab is of.
    fn count(&self, tab: &FindingTab) -> u64 {
        let is_of = |action: &str| tab.actions.is_none_or(|of| of.split(',').any(|word| word == action));
        let items = self.summary.items.iter();
        let items = items.filter(|item| item.action.as_deref().is_some_and(is_of));
        items.map(|item| item.sums.findings).sum()
    }

    /// How many requests of the last 30 days were inspected, and nothing was found.
    fn clean(&self) -> u64 {
        self.summary.inspected_requests.saturating_sub(self.summary.totals.requests)
    }

    /// Whether anything is looked for now.
    fn looks(&self) -> bool {
        let guardrails = &self.app.guardrails;
        !guardrails.rules.is_empty() || !guardrails.custom_categories.is_empty()
    }
}
