//! Events: what happened to apps, keys, budgets and change requests.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use latchkey_api::Api;
use latchkey_api::body::Query;
use latchkey_api::events::{self, EventQuery, EventView};
use latchkey_api::problem::Problem;
use latchkey_core::event::{KINDS, TOOL_CHANGED, sentence};

use super::filters;
use crate::form::{Field, FieldKind, FilterForm, HtmlForm};
use crate::frame::{Frame, Visit};
use crate::html;
use crate::list::{PaginatedList, filtered};
use crate::period;

const FILTERS: &[Field] = &[
    ("app_id", FieldKind::Optional),
    ("key_id", FieldKind::Optional),
    ("kind", FieldKind::Optional),
    ("time", FieldKind::Aside),
    ("from", FieldKind::Optional),
    ("to", FieldKind::Optional),
    ("cursor", FieldKind::Optional),
];

/// The filters that the next page keeps.
const KEPT: &[&str] = &["app_id", "key_id", "kind", "time", "from", "to"];

#[derive(Template)]
#[template(path = "admin/events.html")]
struct EventsPage {
    frame: Frame,
    list: PaginatedList<EventRow>,
    form: HtmlForm,
    kinds: Vec<(&'static str, &'static str)>,
}

/// An event, as people read it.
struct EventRow {
    event: EventView,
    what: String,
    /// The change request that it is about.
    request: Option<String>,
    /// The MCP server that it is about.
    server: Option<String>,
    class: &'static str,
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
        let (_, query): (_, EventQuery) = period::read(&visit, &asked, FILTERS)?;
        events::list(visit.reader()?, State(api.clone()), Query(query)).await
    };
    let found = found.await;
    let (status, form, page) = filtered(form, found)?;
    let list = PaginatedList::of("/admin/events", &asked, KEPT, page).map(EventRow::from);
    let kinds = std::iter::once(("", "any")).chain(KINDS.map(|kind| (kind, kind))).collect();
    let page = html(&EventsPage { frame: visit.frame("Events"), list, form, kinds })?;
    Ok((status, page).into_response())
}

impl EventRow {
    /// Whether it is of the app's own key, which has no page.
    fn is_of_app_key(&self) -> bool {
        self.event.data["of"] == "app"
    }
}

impl From<EventView> for EventRow {
    fn from(event: EventView) -> Self {
        let data = &event.data;
        let what = sentence(&event.kind, data);
        let server = data["server"].as_str().filter(|_| event.kind == TOOL_CHANGED).map(str::to_owned);
        let request = data["change_request_id"].as_str().map(str::to_owned);
        let class = match event.kind.as_str() {
            "quota.exceeded" | "change_request.failed" | "webhook.disabled" | TOOL_CHANGED => " bad",
            "quota.threshold"
            | "change_request.stale"
            | "change_request.rejected"
            | "key.expiring"
            | "guardrail.violation"
            | "request.rate_limited" => " warn",
            "change_request.approved" | "quota.resolved" => " good",
            _ => "",
        };
        Self { what, request, server, class, event }
    }
}
