//! The Logs tab of an app: what one's own requests did, or everyone's, and their sums.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use latchkey_api::Api;
use latchkey_api::body::{PathParams, Query};
use latchkey_api::logs::{self, Record, RecordQuery};
use latchkey_api::my_apps::MyAppDetails;
use latchkey_api::problem::Problem;
use latchkey_api::usage::{self, UsageQuery, UsageView};
use latchkey_core::access::Capability;
use uuid::Uuid;

use super::apps::{grants, read};
use crate::admin::logs::categories;
use crate::admin::usage::span;
use crate::chart::{Chart, ChartUnit};
use crate::denials;
use crate::form::{Field, FieldKind, FilterForm, HtmlForm};
use crate::format;
use crate::frame::{Frame, Visit};
use crate::html;
use crate::list::{ExportLinks, PaginatedList, filtered};
use crate::period::{self, Step, UsagePeriod};

const ROWS: u16 = 25;

const FILTERS: &[Field] = &[
    ("time", FieldKind::Aside),
    ("from", FieldKind::Optional),
    ("to", FieldKind::Optional),
    ("model", FieldKind::Optional),
    ("status", FieldKind::Optional),
    ("code", FieldKind::Optional),
    ("key_id", FieldKind::Optional),
    ("request_id", FieldKind::Optional),
    ("conversation_id", FieldKind::Optional),
    ("target", FieldKind::Optional),
    ("finding", FieldKind::Optional),
    ("cursor", FieldKind::Optional),
];
/// The filters that the next page keeps.
const KEPT: &[&str] = &[
    "time",
    "from",
    "to",
    "model",
    "status",
    "code",
    "key_id",
    "request_id",
    "conversation_id",
    "target",
    "finding",
];

#[derive(Template)]
#[template(path = "my/logs.html")]
struct MyLogsPage {
    frame: Frame,
    app: MyAppDetails,
    /// Whether everyone's requests are shown.
    all: bool,
    usage: UsageView,
    /// Of which time the sums are, where one was asked for.
    span: Option<String>,
    charts: [Chart; 2],
    links: Option<ExportLinks>,
    codes: Vec<(String, String)>,
    categories: Vec<(String, String)>,
    form: HtmlForm,
    list: PaginatedList<Record>,
}

pub async fn page(
    visit: Visit,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    FilterForm(asked): FilterForm,
) -> Result<Response, Problem> {
    let app = read(&visit, &api, id).await?;
    let (form, mut links) = (period::chosen(asked.form()), None);
    let found = async {
        let (asked, query): (_, RecordQuery) = period::read(&visit, &asked, FILTERS)?;
        links = Some(ExportLinks::new(&format!("/me/apps/{id}/logs"), &asked, FILTERS));
        let query = RecordQuery { limit: Some(ROWS), ..query };
        logs::list_of_my_app(visit.person(), State(api.clone()), PathParams(id), Query(query)).await
    };
    let (status, form, logs) = filtered(form, found.await)?;
    let usual = UsagePeriod { from: None, to: None, step: Step::Day };
    let UsagePeriod { from, to, step } = period::usage(&visit, &asked).unwrap_or(usual);
    let sums =
        Query(UsageQuery { group_by: Some(step.group().to_owned()), from, to, ..UsageQuery::default() });
    let usage = usage::read_of_my_app(visit.person(), State(api), PathParams(id), sums).await?.0;
    let zone = visit.time_zone();
    let charts = [
        Chart::by_time("Requests", ChartUnit::Of("request"), &usage, zone, |sums| sums.requests),
        Chart::by_time("Cost", ChartUnit::Money, &usage, zone, |sums| sums.cost.0),
    ];
    let words = period::words(&asked).map(str::to_owned);
    let span = from.or(to).map(|_| words.unwrap_or_else(|| span(&usage, zone)));
    let list = PaginatedList::of(&format!("/apps/{id}/logs"), &asked, KEPT, logs);
    let page = html(&MyLogsPage {
        frame: visit.frame(format!("{}: Logs", app.app.name.as_str())),
        all: grants(&app, Capability::AllLogs),
        app,
        usage,
        span,
        charts,
        links,
        codes: denials::choices(form.value("code")),
        categories: categories(),
        form,
        list,
    })?;
    Ok((status, page).into_response())
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
