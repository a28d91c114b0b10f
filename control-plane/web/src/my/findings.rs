//! The Findings tab of an app: what guardrails found in one's own requests, or in everyone's.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use latchkey_core::access::Capability;
use latchkey_core::invalid::FieldError;
use url::form_urlencoded::Serializer;
use uuid::Uuid;

use super::apps::{grants, read};
use crate::form::{Field, FieldKind, FilterForm, HtmlForm};
use crate::format::{self, Time};
use crate::frame::{Frame, Visit};
use crate::html;
use crate::list::{ExportLinks, PaginatedList, filtered};
use crate::period;
use latchkey_api::Api;
use latchkey_api::body::{PathParams, Query};
use latchkey_api::findings::{
    self, Finding, FindingQuery, FindingSummary, FindingSummaryQuery, LONGEST_SUMMARY,
};
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

const FILTERS: &[Field] = &[
    // Its tab, and its time.
    ("show", FieldKind::Aside),
    ("time", FieldKind::Aside),
    ("from", FieldKind::Optional),
    ("to", FieldKind::Optional),
    ("request_id", FieldKind::Optional),
    ("cursor", FieldKind::Optional),
];
/// What an export is asked.
const EXPORTED: &[Field] = &[
    ("from", FieldKind::Optional),
    ("to", FieldKind::Optional),
    ("request_id", FieldKind::Optional),
    ("action", FieldKind::Optional),
];
/// The same of requests without findings, which are logs.
const EXPORTED_NORMAL: &[Field] = &[
    ("from", FieldKind::Optional),
    ("to", FieldKind::Optional),
    ("request_id", FieldKind::Optional),
    ("findings", FieldKind::Choice),
];
/// The filters that the next page keeps.
const KEPT: &[&str] = &["show", "time", "from", "to", "request_id"];

#[derive(Template)]
#[template(path = "my/findings.html")]
struct MyFindingsPage {
    frame: Frame,
    app: MyAppDetails,
    /// Whether everyone's are shown.
    all: bool,
    /// Of the last 30 days, or of the time that was asked for.
    summary: FindingSummary,
    /// The time of its tabs' links.
    times: String,
    /// Of which time it is, where one was asked for.
    span: Option<String>,
    links: Option<ExportLinks>,
    form: HtmlForm,
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
    FilterForm(asked): FilterForm,
) -> Result<Response, Problem> {
    let app = read(&visit, &api, id).await?;
    let tab = TABS.into_iter().find(|tab| tab.word == asked.text("show")).unwrap_or(TABS[0]);
    let path = format!("/apps/{id}/findings");
    let (form, mut links) = (period::chosen(asked.form()), None);
    let found = async {
        if !asked.text("action").is_empty() {
            return Err(Problem::invalid(FieldError::new("action", "is chosen by the tab").into()));
        }
        let asked = period::with_moments(&visit, &asked)?.with("action", tab.actions.unwrap_or_default());
        links = Some(match tab == NORMAL {
            true => {
                let normal = asked.clone().with("findings", "false");
                ExportLinks::new(&format!("/me/apps/{id}/logs"), &normal, EXPORTED_NORMAL)
            }
            false => ExportLinks::new(&format!("/me/apps/{id}/findings"), &asked, EXPORTED),
        });
        let query: FindingQuery = asked.with("action", "").read(FILTERS)?;
        let FindingQuery { from, to, .. } = query;
        let (mut found, mut normal) = Default::default();
        if tab == NORMAL {
            let query = RecordQuery {
                cursor: query.cursor,
                limit: Some(ROWS),
                findings: Some(false),
                from,
                to,
                ..RecordQuery::default()
            };
            normal = logs::list_of_my_app(visit.person(), State(api.clone()), PathParams(id), Query(query))
                .await?;
        } else {
            let query = FindingQuery { limit: Some(ROWS), action: tab.actions.map(str::to_owned), ..query };
            found =
                findings::list_of_my_app(visit.person(), State(api.clone()), PathParams(id), Query(query))
                    .await?;
        }
        Ok((found, normal, from, to))
    };
    let (status, form, (found, normal, from, to)) = filtered(form, found.await)?;
    let sums = FindingSummaryQuery {
        group_by: Some("action".to_owned()),
        from: from.filter(|from| to.unwrap_or(visit.now()).duration_since(*from) <= LONGEST_SUMMARY),
        // What has not begun is empty.
        to: to.or(from.filter(|from| *from > visit.now())),
        ..FindingSummaryQuery::default()
    };
    let summary =
        findings::summary_of_my_app(visit.person(), State(api), PathParams(id), Query(sums)).await?.0;
    let words = |summary: &FindingSummary| match period::words(&asked) {
        Some(words) => words.to_owned(),
        None => {
            let word = |at: Timestamp| Time::new(at, visit.time_zone()).text().to_owned();
            format!("{} to {}", word(summary.from), word(summary.to))
        }
    };
    let page = html(&MyFindingsPage {
        frame: visit.frame(format!("{}: Findings", app.app.name.as_str())),
        all: grants(&app, Capability::AllLogs),
        span: from.or(to).map(|_| words(&summary)),
        summary,
        findings: PaginatedList::of(&path, &asked, KEPT, found),
        normal: PaginatedList::of(&path, &asked, KEPT, normal),
        app,
        tab,
        request_id: asked.text("request_id").to_owned(),
        times: Serializer::new(String::new()).extend_pairs(period::kept(&asked)).finish(),
        links,
        form,
    })?;
    Ok((status, page).into_response())
}

impl MyFindingsPage {
    /// Where a tab is, with the same time.
    fn link(&self, tab: &FindingTab) -> String {
        let show = Some(tab.word).filter(|word| !word.is_empty()).map(|word| format!("show={word}"));
        let times = Some(self.times.clone()).filter(|times| !times.is_empty());
        let query = show.into_iter().chain(times).collect::<Vec<_>>().join("&");
        let mark = if query.is_empty() { "" } else { "?" };
        format!("/apps/{}/findings{mark}{query}", self.app.app.id)
    }

    /// How many findings of that time a tab is of.
    fn count(&self, tab: &FindingTab) -> u64 {
        let is_of = |action: &str| tab.actions.is_none_or(|of| of.split(',').any(|word| word == action));
        let items = self.summary.items.iter();
        let items = items.filter(|item| item.action.as_deref().is_some_and(is_of));
        items.map(|item| item.sums.findings).sum()
    }

    /// How many requests of that time were inspected, and nothing was found.
    fn clean(&self) -> u64 {
        self.summary.inspected_requests.saturating_sub(self.summary.totals.requests)
    }

    /// Whether anything is looked for now.
    fn looks(&self) -> bool {
        let guardrails = &self.app.guardrails;
        !guardrails.rules.is_empty() || !guardrails.custom_categories.is_empty()
    }
}
