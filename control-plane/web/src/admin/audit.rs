//! The audit log of everything.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use latchkey_api::Api;
use latchkey_api::audit::{self, AuditQuery, AuditView};
use latchkey_api::body::Query;
use latchkey_api::problem::Problem;
use serde_json::Value;

use super::filters;
use crate::form::{Field, FieldKind, FilterForm, HtmlForm};
use crate::frame::{Frame, Visit};
use crate::html;
use crate::list::{ExportLinks, PaginatedList, filtered};
use crate::period;

const FILTERS: &[Field] = &[
    ("app_id", FieldKind::Optional),
    ("actor_id", FieldKind::Optional),
    ("subject_id", FieldKind::Optional),
    ("action", FieldKind::Optional),
    ("time", FieldKind::Aside),
    ("from", FieldKind::Optional),
    ("to", FieldKind::Optional),
    ("cursor", FieldKind::Optional),
];
/// The filters that the next page keeps.
const KEPT: &[&str] = &["app_id", "actor_id", "subject_id", "action", "time", "from", "to"];

/// What one can look for: everything done to a kind of thing, or one thing that was done.
const ACTIONS: &[&str] = &[
    "app.",
    "change_request.",
    "detector.",
    "group.",
    "invitation.",
    "key.",
    "mcp_server.",
    "model.",
    "password.",
    "provider.",
    "routing_group.",
    "session.",
    "token.",
    "user.",
    "app.created",
    "app.deleted",
    "app.revoked",
    "app.rolled_back",
    "app.self_service_updated",
    "app.updated",
    "detector.updated",
    "group.member_added",
    "group.member_removed",
    "key.created",
    "key.revoked",
    "key.rotated",
    "key.value_shown",
    "mcp_server.updated",
    "model.updated",
    "provider.updated",
    "routing_group.updated",
    "session.failed",
    "session.started",
    "token.created",
    "user.created",
    "user.deactivated",
    "user.role_changed",
];

#[derive(Template)]
#[template(path = "admin/audit.html")]
struct AuditPage {
    frame: Frame,
    list: PaginatedList<AuditRow>,
    form: HtmlForm,
    links: Option<ExportLinks>,
}

/// An entry, and where it leads.
pub struct AuditRow {
    pub done: AuditView,
    /// The page of what it was done to.
    pub subject: Option<String>,
    pub data: String,
}

pub async fn list(
    visit: Visit,
    State(api): State<Api>,
    FilterForm(asked): FilterForm,
) -> Result<Response, Problem> {
    visit.reader()?;
    let (mut form, mut links) = (period::chosen(asked.form()), None);
    let found = async {
        let asked = filters::with_ids(&visit, &api, &asked, &mut form, ("app_id", "actor_id")).await?;
        let (asked, query): (_, AuditQuery) = period::read(&visit, &asked, FILTERS)?;
        links = Some(ExportLinks::new("/audit", &asked, FILTERS));
        audit::list(visit.reader()?, State(api.clone()), Query(query)).await
    };
    let found = found.await;
    let (status, form, page) = filtered(form, found)?;
    let list = PaginatedList::of("/admin/audit", &asked, KEPT, page).map(AuditRow::from);
    let page = html(&AuditPage { frame: visit.frame("Audit log"), list, form, links })?;
    Ok((status, page).into_response())
}

impl From<AuditView> for AuditRow {
    fn from(done: AuditView) -> Self {
        let id = &done.subject_id;
        let subject = match (done.subject_kind.as_str(), &done.app_id) {
            ("app", _) => Some(format!("/admin/apps/{id}")),
            ("key", Some(app)) if done.data["user_id"].is_string() => {
                Some(format!("/admin/apps/{app}/keys/{id}"))
            }
            ("key", Some(app)) => Some(format!("/admin/apps/{app}")),
            ("group", _) => Some(format!("/admin/groups/{id}")),
            ("user", _) => Some(format!("/admin/users/{id}")),
            ("provider", _) => Some(format!("/admin/providers/{id}")),
            ("mcp_server", _) => Some(format!("/admin/mcp-servers/{id}")),
            ("routing_group", _) => Some(format!("/admin/routing-groups/{id}")),
            ("detector", _) => Some(format!("/admin/detectors/{id}")),
            ("model", _) => Some(format!("/admin/models/{id}")),
            ("change_request", _) => Some(format!("/admin/requests/{id}")),
            _ => None,
        };
        let said = done.data.as_object().is_some_and(|data| !data.is_empty());
        let data = if said { pretty(&done.data) } else { String::new() };
        Self { subject, data, done }
    }
}

fn pretty(data: &Value) -> String {
    serde_json::to_string_pretty(data).unwrap_or_default()
}
