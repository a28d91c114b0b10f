//! `/api/v1/findings`

mod summary;

use axum::extract::State;
use axum::response::Response;
use futures::FutureExt as _;
use uuid::Uuid;

use super::Api;
use super::auth::{Person, ReaderGuard};
use super::body::{PathParams, Query};
use super::export::{self, Export, ExportQuery, PAGE, columns, pages};
use super::pagination::{ListPage, bad_query, in_order, paging};
use super::problem::Problem;
use latchkey_core::guardrails::GuardrailCategory;
use latchkey_store::conditions::Scope;

pub use latchkey_store::findings::{Finding, FindingQuery};
pub use summary::*;

/// What is done about a finding.
pub const ACTIONS: [&str; 8] = [
    "monitored",
    "redacted",
    "anonymized",
    "blocked",
    "would_monitor",
    "would_redact",
    "would_anonymize",
    "would_block",
];
const RISKS: [&str; 2] = ["low", "high"];
const DIRECTIONS: [&str; 2] = ["request", "response"];

/// Lists what guardrails found, newest first.
#[utoipa::path(get, path = "/api/v1/findings", tag = "findings", operation_id = "list_findings", params(FindingQuery),
    security(("token" = [])), responses((status = 200, body = ListPage<Finding>), (status = "4XX", body = Problem)))]
pub async fn list(
    _: ReaderGuard,
    State(api): State<Api>,
    Query(query): Query<FindingQuery>,
) -> Result<ListPage<Finding>, Problem> {
    page(&api, Scope::Everything, query).await
}

/// Lists what guardrails found in one's own requests, newest first, in the apps that one may see; of an app
/// whose requests one may all see, asked for by `app_id`, in everyone's.
#[utoipa::path(get, path = "/api/v1/me/findings", tag = "me", operation_id = "list_my_findings",
    params(FindingQuery),
    security(("token" = [])), responses((status = 200, body = ListPage<Finding>), (status = "4XX", body = Problem)))]
pub async fn list_mine(
    person: Person,
    State(api): State<Api>,
    Query(query): Query<FindingQuery>,
) -> Result<ListPage<Finding>, Problem> {
    let scope = api.scope(&person, query.app_id).await?;
    page(&api, scope, query).await
}

/// Lists what guardrails found in requests of an app, newest first: everyone's where one may see them all, and
/// otherwise one's own.
#[utoipa::path(get, path = "/api/v1/me/apps/{id}/findings", tag = "me", operation_id = "list_my_app_findings",
    params(("id" = Uuid, Path), FindingQuery),
    security(("token" = [])), responses((status = 200, body = ListPage<Finding>), (status = "4XX", body = Problem)))]
pub async fn list_of_my_app(
    person: Person,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    Query(query): Query<FindingQuery>,
) -> Result<ListPage<Finding>, Problem> {
    let scope = api.scope_of_app(&person, id).await?;
    page(&api, scope, query).await
}

/// Exports what guardrails found, newest first, as lines of JSON or as CSV: all that match the filters.
#[utoipa::path(get, path = "/api/v1/findings/export", tag = "findings", operation_id = "export_findings",
    params(ExportQuery, FindingQuery), security(("token" = [])), responses(
        (status = 200, body = String, content_type = "application/x-ndjson"),
        (status = "4XX", body = Problem)))]
pub async fn export(
    _: ReaderGuard,
    State(api): State<Api>,
    export: Export<FindingQuery>,
) -> Result<Response, Problem> {
    file(&api, Scope::Everything, export)
}

/// Exports what guardrails found in requests of an app, newest first, as lines of JSON or as CSV: everyone's where one may see them all, and
/// otherwise one's own.
#[utoipa::path(get, path = "/api/v1/me/apps/{id}/findings/export", tag = "me", operation_id = "export_my_app_findings",
    params(("id" = Uuid, Path), ExportQuery, FindingQuery), security(("token" = [])), responses(
        (status = 200, body = String, content_type = "application/x-ndjson"),
        (status = "4XX", body = Problem)))]
pub async fn export_of_my_app(
    person: Person,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    export: Export<FindingQuery>,
) -> Result<Response, Problem> {
    let scope = api.scope_of_app(&person, id).await?;
    file(&api, scope, export)
}

fn file(api: &Api, scope: Scope, export: Export<FindingQuery>) -> Result<Response, Problem> {
    let Export { format, query } = export;
    refuse_unknown_words(&query)?;
    let (store, now) = (api.store.clone(), api.world.now());
    let read = move |before| {
        let (store, scope, query) = (store.clone(), scope.clone(), query.clone());
        async move { store.findings(&scope, &query, (before, now), PAGE).await }.boxed()
    };
    let columns = columns::<Finding>()?;
    Ok(export::file("findings", format, columns, pages(read, |finding: &Finding| finding.id)))
}

async fn page(api: &Api, scope: Scope, query: FindingQuery) -> Result<ListPage<Finding>, Problem> {
    let paging = paging(query.cursor.as_deref(), query.limit, None)?;
    refuse_unknown_words(&query)?;
    let place = (paging.after, api.world.now());
    let rows = api.store.findings(&scope, &query, place, paging.rows()).await?;
    Ok(paging.page(rows, |finding| finding.id, |finding| finding))
}

/// Refuses words that no finding has, since nothing found by them would look like nothing found.
fn refuse_unknown_words(query: &FindingQuery) -> Result<(), Problem> {
    in_order(query.from, query.to)?;
    let actions = query.action.iter().flat_map(|actions| actions.split(',')).map(str::trim);
    let categories: Vec<_> = GuardrailCategory::all().map(GuardrailCategory::as_str).collect();
    let words = actions
        .map(|word| ("action", word, &ACTIONS[..]))
        .chain(query.category.iter().map(|word| ("category", word.as_str(), &categories[..])))
        .chain(query.risk.iter().map(|word| ("risk", word.as_str(), &RISKS[..])))
        .chain(query.direction.iter().map(|word| ("direction", word.as_str(), &DIRECTIONS[..])));
    for (field, word, known) in words {
        if !known.contains(&word) {
            return Err(bad_query(format!("`{field}` takes {}, not `{word}`", known.join(", "))));
        }
    }
    Ok(())
}
