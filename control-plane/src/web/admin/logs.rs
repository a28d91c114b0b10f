//! What each request did.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::named;
use crate::api::Api;
use crate::api::body::Query;
use crate::api::logs::{self, Record, RecordQuery};
use crate::api::page::Page;
use crate::api::problem::Problem;
use crate::web::form::{Asked, Field, Form, Kind};
use crate::web::format;
use crate::web::frame::{Frame, Visit};
use crate::web::html;
use crate::web::list::{More, Next, filtered};

const FILTERS: &[Field] = &[
    ("app_id", Kind::Optional),
    ("key_id", Kind::Optional),
    ("user_id", Kind::Optional),
    ("identity", Kind::Optional),
    ("model", Kind::Optional),
    ("provider", Kind::Optional),
    ("status", Kind::Optional),
    ("code", Kind::Optional),
    ("old_secret", Kind::Only),
    ("from", Kind::Optional),
    ("to", Kind::Optional),
];
/// As many as are read at a glance, with all that each has to tell.
const ROWS: u16 = 25;

#[derive(Template)]
#[template(path = "admin/logs.html")]
struct LogsPage {
    frame: Frame,
    logs: Vec<Record>,
    providers: Vec<(String, String)>,
    more: More,
    form: Form,
    filtered: bool,
}

/// Lists them.
pub async fn list(visit: Visit, State(api): State<Api>, Asked(asked): Asked) -> Result<Response, Problem> {
    visit.reader()?;
    let mut form = asked.form();
    let found = async {
        let asked = named::ids(&visit, &api, &asked, &mut form, ("app_id", "user_id")).await?;
        let query: RecordQuery = named::moments(&visit, asked, &["from", "to"])?
            .read(&[FILTERS, &[("cursor", Kind::Optional)]].concat())?;
        let query = RecordQuery { limit: Some(ROWS), ..query };
        logs::list(visit.reader()?, State(api.clone()), Query(query)).await
    };
    let found = found.await;
    let (status, form, Page { items: logs, next_cursor }) = filtered(form, found)?;
    // The next page keeps the filters.
    let kept: Vec<_> = FILTERS.iter().map(|(name, _)| *name).collect();
    let more = Next::of("/admin/logs", &asked, &kept, next_cursor.as_deref());
    let filtered = kept.iter().any(|name| !asked.text(name).is_empty());
    let providers = named::answerers(&visit, &api).await?;
    let frame = visit.frame("Logs");
    let page = html(&LogsPage { frame, logs, providers, more, form, filtered })?;
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
