//! What guardrails found.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;

use super::filters;
use super::logs::categories;
use crate::chart::Chart;
use crate::findings::{ACTIONS, charts};
use crate::form::{Field, FieldKind, FilterForm, HtmlForm};
use crate::format;
use crate::frame::{Frame, Visit};
use crate::html;
use crate::list::{ExportLinks, PaginatedList, filtered};
use crate::period::{self, Step};
use latchkey_api::Api;
use latchkey_api::body::Query;
use latchkey_api::findings::{
    self, Finding, FindingQuery, FindingSummary, FindingSummaryQuery, LONGEST_SUMMARY,
};
use latchkey_api::pagination::ListPage;
use latchkey_api::problem::Problem;

const FILTERS: &[Field] = &[
    ("request_id", FieldKind::Optional),
    ("app_id", FieldKind::Optional),
    ("key_id", FieldKind::Optional),
    ("user_id", FieldKind::Optional),
    ("category", FieldKind::Optional),
    ("detector", FieldKind::Optional),
    ("risk", FieldKind::Optional),
    ("action", FieldKind::Optional),
    ("direction", FieldKind::Optional),
    ("change_request_id", FieldKind::Optional),
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
    "category",
    "detector",
    "risk",
    "action",
    "direction",
    "change_request_id",
    "time",
    "from",
    "to",
];
const ROWS: u16 = 50;

#[derive(Template)]
#[template(path = "admin/findings.html")]
struct FindingsPage {
    frame: Frame,
    list: PaginatedList<Finding>,
    summary: Option<FindingSummary>,
    charts: Vec<Chart>,
    links: Option<ExportLinks>,
    categories: Vec<(String, String)>,
    actions: Vec<(&'static str, &'static str)>,
    form: HtmlForm,
}

pub async fn page(
    visit: Visit,
    State(api): State<Api>,
    FilterForm(asked): FilterForm,
) -> Result<Response, Problem> {
    visit.reader()?;
    let (mut form, mut links) = (period::chosen(asked.form()), None);
    let found = async {
        let asked = filters::with_ids(&visit, &api, &asked, &mut form, ("app_id", "user_id")).await?;
        let (asked, query): (_, FindingQuery) = period::read(&visit, &asked, FILTERS)?;
        links = Some(ExportLinks::new("/findings", &asked, FILTERS));
        let query = FindingQuery { limit: Some(ROWS), ..query };
        let sums = of_charts(&visit, &query);
        let page = findings::list(visit.reader()?, State(api.clone()), Query(query)).await?;
        let sums = findings::summary(visit.reader()?, State(api.clone()), Query(sums)).await?.0;
        Ok((page, Some(sums)))
    };
    let found: Result<(ListPage<Finding>, Option<FindingSummary>), Problem> = found.await;
    let (status, form, (page, summary)) = filtered(form, found)?;
    let page = html(&FindingsPage {
        frame: visit.frame("Findings"),
        list: PaginatedList::of("/admin/findings", &asked, KEPT, page),
        charts: summary.as_ref().map(|found| charts(found, visit.time_zone())).unwrap_or_default(),
        summary,
        links,
        categories: categories(),
        actions: std::iter::once(("", "any")).chain(ACTIONS.iter().copied()).collect(),
        form,
    })?;
    Ok((status, page).into_response())
}

/// The sums of the same findings, of the usual time where they ask for more than charts show.
fn of_charts(visit: &Visit, query: &FindingQuery) -> FindingSummaryQuery {
    let to = query.to.unwrap_or_else(|| visit.now().max(query.from.unwrap_or(Timestamp::MIN)));
    let from = query.from.filter(|from| to.duration_since(*from) <= LONGEST_SUMMARY);
    let step = from.map_or(Step::Day, |from| Step::of(from, to));
    let group_by = if step == Step::Day { "day,category" } else { "hour,category" };
    FindingSummaryQuery {
        group_by: Some(group_by.to_owned()),
        from,
        to: query.to.or(from.map(|_| to)),
        app_id: query.app_id,
        key_id: query.key_id,
        user_id: query.user_id,
        category: query.category.clone(),
        detector: query.detector.clone(),
        risk: query.risk.clone(),
        action: query.action.clone(),
        direction: query.direction.clone(),
        change_request_id: query.change_request_id,
    }
}
