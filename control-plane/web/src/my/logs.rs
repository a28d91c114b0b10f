//! The Logs tab of an app: what one's own requests did, or everyone's, and their sums.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};
use latchkey_api::Api;
use latchkey_api::body::{PathParams, Query};
use latchkey_api::logs::{self, Record, RecordQuery};
use latchkey_api::my_apps::MyAppDetails;
use latchkey_api::pagination::ListPage;
use latchkey_api::problem::Problem;
use latchkey_api::usage::{self, UsageQuery, UsageView};
use latchkey_core::access::Capability;
use latchkey_core::invalid::{FieldError, Invalid};
use latchkey_core::money::NanoUsd;
use serde::Deserialize;
use uuid::Uuid;

use super::apps::{grants, read};
use crate::chart::Chart;
use crate::form::HtmlForm;
use crate::format;
use crate::frame::{Frame, Visit};
use crate::html;
use crate::list::PaginatedList;

const ROWS: u16 = 25;

/// How far back to look: the word in the query, hours, and what people read.
const SPANS: [(&str, i64, &str); 4] = [
    ("1h", 1, "Last hour"),
    ("24h", 24, "Last 24 hours"),
    ("7d", 7 * 24, "Last 7 days"),
    ("30d", 30 * 24, "Last 30 days"),
];

/// Which requests, as the form has it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MyLogsQuery {
    cursor: Option<String>,
    time: String,
    from: String,
    to: String,
    model: String,
    status: String,
    code: String,
    key_id: String,
    request_id: String,
}

#[derive(Template)]
#[template(path = "my/logs.html")]
struct MyLogsPage {
    frame: Frame,
    app: MyAppDetails,
    /// Whether everyone's requests are shown.
    all: bool,
    usage: UsageView,
    charts: [Chart; 2],
    spans: Vec<(&'static str, &'static str)>,
    form: HtmlForm,
    list: PaginatedList<Record>,
}

pub async fn page(
    visit: Visit,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    Query(filter): Query<MyLogsQuery>,
) -> Result<Response, Problem> {
    let app = read(&visit, &api, id).await?;
    let frame = visit.frame(format!("{}: Logs", app.app.name.as_str()));
    let form = filter.form();
    let (form, logs) = match filter.query(&frame, api.world.now()) {
        Ok(query) => (
            form,
            logs::list_of_my_app(visit.person(), State(api.clone()), PathParams(id), Query(query)).await?,
        ),
        Err(invalid) => (form.refused(Problem::invalid(invalid))?, ListPage::default()),
    };
    let sums = Query(UsageQuery { group_by: Some("day".to_owned()), ..UsageQuery::default() });
    let usage = usage::read_of_my_app(visit.person(), State(api), PathParams(id), sums).await?.0;
    let charts = [
        Chart::by_day("Requests", &usage, |sums| sums.requests, format::count),
        Chart::by_day("Cost", &usage, |sums| sums.cost.0, |nano| format::usd(NanoUsd(nano))),
    ];
    let list = PaginatedList::new(&format!("/apps/{id}/logs"), &filter.pairs(), logs);
    html(&MyLogsPage {
        frame,
        all: grants(&app, Capability::AllLogs),
        app,
        usage,
        charts,
        spans: std::iter::once(("", "Any time")).chain(SPANS.map(|(word, _, words)| (word, words))).collect(),
        form,
        list,
    })
}

impl MyLogsQuery {
    fn pairs(&self) -> [(&'static str, &str); 8] {
        [
            ("time", &self.time),
            ("from", &self.from),
            ("to", &self.to),
            ("model", &self.model),
            ("status", &self.status),
            ("code", &self.code),
            ("key_id", &self.key_id),
            ("request_id", &self.request_id),
        ]
    }

    fn form(&self) -> HtmlForm {
        self.pairs().into_iter().fold(HtmlForm::default(), |form, (name, value)| form.with(name, value))
    }

    /// The API's query, where the times are those of the viewer's zone.
    ///
    /// # Errors
    /// Every field that is wrong.
    fn query(&self, frame: &Frame, now: Timestamp) -> Result<RecordQuery, Invalid> {
        let mut wrong = Invalid::default();
        let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let moment = |text: &str| match given(text) {
            None => Ok(None),
            Some(text) => text
                .parse::<DateTime>()
                .ok()
                .and_then(|at| frame.moment(at))
                .map(Some)
                .ok_or("must be a date and a time, such as 2026-01-31T09:30"),
        };
        let since = SPANS.iter().find(|(word, ..)| *word == self.time);
        let since = since.and_then(|(_, hours, _)| now.checked_sub(SignedDuration::from_hours(*hours)).ok());
        if since.is_none() && !self.time.is_empty() {
            wrong.0.push(FieldError::new("time", "is not one of the choices"));
        }
        let from = wrong.check("from", moment(&self.from)).flatten();
        let to = wrong.check("to", moment(&self.to)).flatten();
        let status = given(&self.status).map(|text| text.to_lowercase().parse()).transpose();
        let status =
            wrong.check("status", status.map_err(|_| "must be a status such as 429, or a class such as 4xx"));
        let key_id = given(&self.key_id).map(|text| text.parse()).transpose();
        let key_id = wrong.check("key_id", key_id.map_err(|_| "is not a key ID"));
        wrong.into_result()?;
        Ok(RecordQuery {
            cursor: self.cursor.clone(),
            limit: Some(ROWS),
            key_id: key_id.flatten(),
            request_id: given(&self.request_id),
            model: given(&self.model),
            status: status.flatten(),
            code: given(&self.code),
            from: from.or(since),
            to,
            ..RecordQuery::default()
        })
    }
}

/// The classes of a status's badge.
pub fn badge(status: &Option<u64>) -> &'static str {
    match status {
        Some(200..400) => "badge good",
        Some(400..500) => "badge warn",
        Some(500..) => "badge bad",
        _ => "badge",
    }
}

/// How tokens and cost were found.
fn settled(settlement: &str) -> &'static str {
    match settlement {
        "reported" => "as reported by the provider",
        "estimated" => "an estimate by the gateway; it may have been more",
        "reserved" => "the amount reserved for the request",
        _ => "nothing was used",
    }
}

/// Why the provider's own figures were not taken, or not taken for all.
pub fn doubt(reason: &str) -> &'static str {
    match reason {
        "answer_cut" => "the response ended before its usage was known",
        "answer_unknown" => "it is unknown whether the provider responded",
        "answer_unreadable" => "the response was encoded, so its usage could not be read",
        "usage_missing" => "the response reported no usage",
        "usage_partial" => "the reported usage was incomplete",
        "usage_unclear" => "the reported usage contradicts itself, or has unknown parts",
        "usage_implausible" => "the reported usage is implausible",
        "tier_not_priced" => "the service tier that was used has no price",
        _ => "the provider's report could not be used as is",
    }
}
