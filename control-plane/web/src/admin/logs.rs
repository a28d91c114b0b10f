//! What each request did.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use latchkey_api::Api;
use latchkey_api::body::Query;
use latchkey_api::logs::{self, Record, RecordQuery};
use latchkey_api::problem::Problem;

use super::filters;
use crate::form::{Field, FieldKind, FilterForm, HtmlForm};
use crate::format;
use crate::frame::{Frame, Visit};
use crate::html;
use crate::list::{PaginatedList, filtered};
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
    list: PaginatedList<Record>,
    providers: Vec<(String, String)>,
    form: HtmlForm,
}

pub async fn list(
    visit: Visit,
    State(api): State<Api>,
    FilterForm(asked): FilterForm,
) -> Result<Response, Problem> {
    visit.reader()?;
    let mut form = period::chosen(asked.form());
    let found = async {
        let asked = filters::with_ids(&visit, &api, &asked, &mut form, ("app_id", "user_id")).await?;
        let query: RecordQuery = period::with_moments(&visit, &asked)?.read(FILTERS)?;
        let query = RecordQuery { limit: Some(ROWS), ..query };
        logs::list(visit.reader()?, State(api.clone()), Query(query)).await
    };
    let found = found.await;
    let (status, form, page) = filtered(form, found)?;
    let list = PaginatedList::of("/admin/logs", &asked, KEPT, page);
    let providers = filters::upstream_options(&visit, &api).await?;
    let frame = visit.frame("Logs");
    let page = html(&LogsPage { frame, list, providers, form })?;
    Ok((status, page).into_response())
}

/// How a request's status is shown: as good or as bad.
fn class(log: &Record) -> &'static str {
    match log.status {
        Some(..400) => "good",
        Some(429) => "warn",
        _ => "bad",
    }
}
