//! Events: budgets that fill up, requests for changes.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use latchkey_api::Api;
use latchkey_api::body::Query;
use latchkey_api::events::{self, EventQuery, EventView, KINDS};
use latchkey_api::problem::Problem;
use serde_json::Value;

use super::filters;
use crate::form::{Field, FieldKind, FilterForm, HtmlForm};
use crate::format::{count, words};
use crate::frame::{Frame, Visit};
use crate::html;
use crate::list::{PaginatedList, filtered};

const FILTERS: &[Field] = &[
    ("app_id", FieldKind::Optional),
    ("key_id", FieldKind::Optional),
    ("kind", FieldKind::Optional),
    ("cursor", FieldKind::Optional),
];

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
    class: &'static str,
}

pub async fn list(
    visit: Visit,
    State(api): State<Api>,
    FilterForm(asked): FilterForm,
) -> Result<Response, Problem> {
    visit.reader()?;
    let mut form = asked.form();
    let found = async {
        let asked = filters::with_ids(&visit, &api, &asked, &mut form, ("app_id", "user_id")).await?;
        let query: EventQuery = asked.read(FILTERS)?;
        events::list(visit.reader()?, State(api.clone()), Query(query)).await
    };
    let found = found.await;
    let (status, form, page) = filtered(form, found)?;
    let list =
        PaginatedList::of("/admin/events", &asked, &["app_id", "key_id", "kind"], page).map(EventRow::from);
    let kinds = std::iter::once(("", "any")).chain(KINDS.map(|kind| (kind, kind))).collect();
    let page = html(&EventsPage { frame: visit.frame("Events"), list, form, kinds })?;
    Ok((status, page).into_response())
}

impl From<EventView> for EventRow {
    fn from(event: EventView) -> Self {
        let data = &event.data;
        let what = match event.kind.as_str() {
            "quota.threshold" => format!("{}% of {}", text(&data["percent"]), quota(data)),
            "quota.exceeded" => format!("Used up: {}", quota(data)),
            kind if kind.starts_with("change_request.") => format!(
                "{} by {}: {}",
                words(&text(&data["kind"])),
                text(&data["requester"]),
                text(&data["reason"])
            ),
            _ => pairs(data),
        };
        let request = data["change_request_id"].as_str().map(str::to_owned);
        let class = match event.kind.as_str() {
            "quota.exceeded" | "change_request.failed" => " bad",
            "quota.threshold" | "change_request.stale" | "change_request.rejected" => " warn",
            "change_request.approved" => " good",
            _ => "",
        };
        Self { what, request, class, event }
    }
}

/// `the budget of $10 per month: $8.12 used`.
fn quota(data: &Value) -> String {
    let (bucket, unit) = match data["bucket"].as_str() {
        Some("cost_budget") => ("budget", "$"),
        Some("token_budget") => ("token budget", ""),
        _ => ("limit", ""),
    };
    let per = match data["per"].as_str() {
        None | Some("total") => "in total".to_owned(),
        Some(per) => format!("per {per}"),
    };
    let (limit, used) = (text(&data["limit"]), text(&data["used"]));
    format!("the {bucket} of {unit}{limit} {per}: {unit}{used} used")
}

fn pairs(data: &Value) -> String {
    let pairs = data.as_object().into_iter().flatten();
    pairs.map(|(name, value)| format!("{}: {}", words(name), text(value))).collect::<Vec<_>>().join(", ")
}

fn text(value: &Value) -> String {
    if let Some(number) = value.as_u64() {
        return count(number);
    }
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_told_in_words() {
        let event = |kind: &str, data| EventView {
            id: 1,
            at: jiff::Timestamp::UNIX_EPOCH,
            kind: kind.to_owned(),
            app_id: None,
            app_name: None,
            key_id: None,
            key_name: None,
            data,
        };
        let budget =
            json!({"bucket": "cost_budget", "per": "month", "limit": "10", "used": "8.12", "percent": 80});
        let row = EventRow::from(event("quota.threshold", budget));
        assert_eq!(row.what, "80% of the budget of $10 per month: $8.12 used");
        let tokens = json!({"bucket": "token_budget", "per": "total", "limit": 5_000, "used": 5_010});
        let row = EventRow::from(event("quota.exceeded", tokens));
        assert_eq!(row.what, "Used up: the token budget of 5,000 in total: 5,010 used");
        let row = EventRow::from(event("key.created", json!({"key_name": "laptop"})));
        assert_eq!(row.what, "key name: laptop");
    }
}
