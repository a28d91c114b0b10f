//! `/api/v1/audit`

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use futures::{FutureExt as _, TryStreamExt as _};
use jiff::Timestamp;
use latchkey_core::chain::{AuditEntry, AuditLink};
use latchkey_service::audit;
use latchkey_store::audit::AuditFilter;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Api;
use super::auth::ReaderGuard;
use super::body::Query;
use super::export::{self, Export, ExportFormat, ExportQuery, PAGE, columns, pages};
use super::pagination::{ListPage, bad_query, in_order, paging};
use super::problem::Problem;

/// Something that was done.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct AuditView {
    /// Its place in the chain: 1, 2, ….
    pub number: i64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who did it: `user`, `token` (of nobody) or `system` (the command line, or a job).
    pub actor_kind: String,
    /// The user's or the token's id; null for the system.
    pub actor_id: Option<Uuid>,
    /// What the actor was called then.
    pub actor_name: String,
    /// From where; null where that is not known.
    pub client_address: Option<String>,
    /// What was done: `key.revoked`, `group.member_removed`, ….
    pub action: String,
    /// What kind of thing it was done to.
    pub subject_kind: String,
    /// The thing's id.
    pub subject_id: String,
    /// What the thing was called then.
    pub subject_name: String,
    /// The app that it is about; null where it is about none.
    pub app_id: Option<Uuid>,
    /// More of it: what it holds follows from the action.
    #[schema(value_type = Object)]
    pub data: Value,
}

/// Which entries.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Items on a page: 1 to 200, 50 by default.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u16>,
    /// Only about this app.
    pub app_id: Option<Uuid>,
    /// Only by this user or token.
    pub actor_id: Option<Uuid>,
    /// Only done to the thing with this id.
    #[param(max_length = 200)]
    pub subject_id: Option<String>,
    /// Only this action, as in `key.revoked`, or with a dot at the end those that begin so: `key.`.
    #[param(pattern = "^[a-z_]{1,32}\\.([a-z_]{1,32})?$")]
    pub action: Option<String>,
    /// Only at this moment or later.
    #[param(value_type = Option<String>, format = DateTime)]
    pub from: Option<Timestamp>,
    /// Only before this moment.
    #[param(value_type = Option<String>, format = DateTime)]
    pub to: Option<Timestamp>,
}

impl From<AuditLink> for AuditView {
    fn from(link: AuditLink) -> Self {
        let AuditLink { number, entry, previous: _, hash: _ } = link;
        let AuditEntry {
            at_ms,
            actor_kind,
            actor_id,
            actor_name,
            client_address,
            action,
            subject_kind,
            subject_id,
            subject_name,
            app_id,
            data,
        } = entry;
        Self {
            number,
            // A time that is none was written past us, as the chain tells.
            at: Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH),
            actor_kind,
            actor_id: actor_id.parse().ok(),
            actor_name,
            client_address: Some(client_address).filter(|address| !address.is_empty()),
            action,
            subject_kind,
            subject_id,
            subject_name,
            app_id: app_id.parse().ok(),
            data: serde_json::from_str(&data).unwrap_or(Value::Null),
        }
    }
}

/// Lists what was done, newest first.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", operation_id = "list_audit", params(AuditQuery),
    security(("token" = [])), responses((status = 200, body = ListPage<AuditView>), (status = "4XX", body = Problem)))]
pub async fn list(
    _: ReaderGuard,
    State(api): State<Api>,
    Query(query): Query<AuditQuery>,
) -> Result<ListPage<AuditView>, Problem> {
    let paging = paging(query.cursor.as_deref(), query.limit, None)?;
    let filter = filter(query)?;
    let rows = api.store.audit(&AuditFilter { before: paging.after, ..filter }, paging.rows()).await?;
    Ok(paging.page(rows, |link| link.number, AuditView::from))
}

fn filter(query: AuditQuery) -> Result<AuditFilter, Problem> {
    let AuditQuery { cursor: _, limit: _, app_id, actor_id, subject_id, action, from, to } = query;
    in_order(from, to)?;
    if action.as_deref().is_some_and(|action| !is_action(action)) {
        return Err(bad_query(
            "`action` must be an action such as `key.revoked`, or a prefix such as `key.`",
        ));
    }
    if subject_id.as_ref().is_some_and(|id| id.chars().count() > 200) {
        return Err(bad_query("`subject_id` is too long to be an ID"));
    }
    let (action_prefix, action) = match action {
        Some(action) if action.ends_with('.') => (Some(action), None),
        action => (None, action),
    };
    Ok(AuditFilter {
        app: app_id.map(|id| id.to_string()),
        actor: actor_id.map(|id| id.to_string()),
        subject: subject_id,
        action,
        action_prefix,
        from,
        to,
        before: None,
    })
}

/// Gives the audit log away, oldest first, as lines of JSON: what each entry says, its `number`, and in
/// hexadecimal its `hash` and that of the `previous` entry (64 zeros before the first).
///
/// Anyone can verify it. The hash is SHA-256 over: `number` and `at_ms` as 8 bytes each, big-endian;
/// the 32 bytes of `previous`; then each of `actor_kind`, `actor_id`, `actor_name`, `client_address`,
/// `action`, `subject_kind`, `subject_id`, `subject_name`, `app_id` and `data` as UTF-8 with its length in
/// bytes before it (8 bytes, big-endian). Numbers follow each other without a gap. `latchkey audit
/// verify --file` checks all that.
///
/// With any filter but `from` and `to`, these are the entries that it leaves, newest first: no chain, and nothing to
/// verify. So with `format=csv`, which has no hashes.
#[utoipa::path(get, path = "/api/v1/audit/export", tag = "audit", operation_id = "export_audit",
    params(ExportQuery, AuditQuery),
    security(("token" = [])), responses(
        (status = 200, body = String, content_type = "application/x-ndjson"),
        (status = "4XX", body = Problem)))]
pub async fn export(
    _: ReaderGuard,
    State(api): State<Api>,
    Export { format, query }: Export<AuditQuery>,
) -> Result<Response, Problem> {
    let filter = filter(query)?;
    let AuditFilter { app, actor, subject, action, action_prefix, from, to, before: _ } = &filter;
    let narrowed = [app, actor, subject, action, action_prefix].into_iter().any(Option::is_some);
    if format == ExportFormat::Ndjson && !narrowed {
        let lines = audit::export(&api.store, *from, *to).await?;
        let headers = [
            (header::CONTENT_TYPE, "application/x-ndjson"),
            (header::CONTENT_DISPOSITION, "attachment; filename=\"latchkey-audit.ndjson\""),
        ];
        return Ok((headers, Body::from_stream(lines)).into_response());
    }
    let store = api.store.clone();
    let read = move |before| {
        let (store, filter) = (store.clone(), AuditFilter { before, ..filter.clone() });
        async move { store.audit(&filter, PAGE).await }.boxed()
    };
    let entries = pages(read, |link: &AuditLink| link.number);
    if format == ExportFormat::Ndjson {
        return Ok(export::file("audit", format, Vec::new(), entries));
    }
    let views = entries.map_ok(|page| page.into_iter().map(AuditView::from).collect::<Vec<_>>());
    Ok(export::file("audit", format, columns::<AuditView>()?, views))
}

fn is_action(text: &str) -> bool {
    let word = |word: &str| word.len() <= 32 && word.bytes().all(|c| c.is_ascii_lowercase() || c == b'_');
    text.split_once('.').is_some_and(|(kind, done)| !kind.is_empty() && word(kind) && word(done))
}
