//! What each request did.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::named;
use crate::api::Api;
use crate::api::body::Query;
use crate::api::logs::{self, LogQuery, LogView};
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
    ("cursor", Kind::Optional),
];
/// The filters that the next page keeps.
const KEPT: &[&str] = &[
    "app_id",
    "key_id",
    "user_id",
    "identity",
    "model",
    "provider",
    "status",
    "code",
    "old_secret",
    "from",
    "to",
];
/// As many as are read at a glance, with all that each has to tell.
const ROWS: u16 = 25;

#[derive(Template)]
#[template(path = "admin/logs.html")]
struct LogsPage {
    frame: Frame,
    logs: Vec<LogView>,
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
        let query: LogQuery = named::moments(&visit, asked, &["from", "to"])?.read(FILTERS)?;
        let query = LogQuery { limit: Some(ROWS), ..query };
        logs::list(visit.reader()?, State(api.clone()), Query(query)).await
    };
    let found = found.await;
    let (status, form, Page { items: logs, next_cursor }) = filtered(form, found)?;
    let more = Next::of("/admin/logs", &asked, KEPT, next_cursor.as_deref());
    let filtered = KEPT.iter().any(|name| !asked.text(name).is_empty());
    let providers = named::answerers(&visit, &api).await?;
    let frame = visit.frame("Logs");
    let page = html(&LogsPage { frame, logs, providers, more, form, filtered })?;
    Ok((status, page).into_response())
}

/// How a request's status is shown: as good or as bad.
fn class(log: &LogView) -> &'static str {
    match log.status {
        Some(..400) => "good",
        Some(429) => "warn",
        _ => "bad",
    }
}

/// The metadata as JSON; none where there is none.
fn metadata(log: &LogView) -> Option<String> {
    let some = log.metadata.as_object().is_some_and(|data| !data.is_empty());
    some.then(|| log.metadata.to_string())
}
