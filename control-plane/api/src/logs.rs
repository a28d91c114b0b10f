//! `/api/v1/logs`

use axum::extract::State;
use axum::response::Response;
use futures::FutureExt as _;
use latchkey_core::guardrails::GuardrailCategory;
use latchkey_store::conditions::Scope;
use uuid::Uuid;

use super::Api;
use super::auth::{Person, ReaderGuard};
use super::body::{PathParams, Query};
use super::export::{self, Export, ExportQuery, PAGE, columns, pages};
use super::pagination::{ListPage, bad_query, in_order, paging};
use super::problem::Problem;

pub use latchkey_store::records::{Record, RecordQuery};

/// Lists what requests did, newest first.
#[utoipa::path(get, path = "/api/v1/logs", tag = "logs", operation_id = "list_logs", params(RecordQuery),
    security(("token" = [])), responses((status = 200, body = ListPage<Record>), (status = "4XX", body = Problem)))]
pub async fn list(
    _: ReaderGuard,
    State(api): State<Api>,
    Query(query): Query<RecordQuery>,
) -> Result<ListPage<Record>, Problem> {
    page(&api, Scope::Everything, query).await
}

/// Lists what one's own requests did, newest first, in the apps that one may see; of an app whose
/// requests one may all see, asked for by `app_id`, everyone's.
#[utoipa::path(get, path = "/api/v1/me/logs", tag = "me", operation_id = "list_my_logs", params(RecordQuery),
    security(("token" = [])), responses((status = 200, body = ListPage<Record>), (status = "4XX", body = Problem)))]
pub async fn list_mine(
    person: Person,
    State(api): State<Api>,
    Query(query): Query<RecordQuery>,
) -> Result<ListPage<Record>, Problem> {
    let scope = api.scope(&person, query.app_id).await?;
    page(&api, scope, query).await
}

/// Lists what requests of an app did, newest first: everyone's where one may see them all, and
/// otherwise one's own.
#[utoipa::path(get, path = "/api/v1/me/apps/{id}/logs", tag = "me", operation_id = "list_my_app_logs",
    params(("id" = Uuid, Path), RecordQuery),
    security(("token" = [])), responses((status = 200, body = ListPage<Record>), (status = "4XX", body = Problem)))]
pub async fn list_of_my_app(
    person: Person,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    Query(query): Query<RecordQuery>,
) -> Result<ListPage<Record>, Problem> {
    let scope = api.scope_of_app(&person, id).await?;
    page(&api, scope, query).await
}

/// Exports what requests did, newest first, as lines of JSON or as CSV: all that match the filters.
#[utoipa::path(get, path = "/api/v1/logs/export", tag = "logs", operation_id = "export_logs",
    params(ExportQuery, RecordQuery), security(("token" = [])), responses(
        (status = 200, body = String, content_type = "application/x-ndjson"),
        (status = "4XX", body = Problem)))]
pub async fn export(
    _: ReaderGuard,
    State(api): State<Api>,
    export: Export<RecordQuery>,
) -> Result<Response, Problem> {
    file(&api, Scope::Everything, export)
}

/// Exports what requests of an app did, newest first, as lines of JSON or as CSV: everyone's where one may see them all, and
/// otherwise one's own.
#[utoipa::path(get, path = "/api/v1/me/apps/{id}/logs/export", tag = "me", operation_id = "export_my_app_logs",
    params(("id" = Uuid, Path), ExportQuery, RecordQuery), security(("token" = [])), responses(
        (status = 200, body = String, content_type = "application/x-ndjson"),
        (status = "4XX", body = Problem)))]
pub async fn export_of_my_app(
    person: Person,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    export: Export<RecordQuery>,
) -> Result<Response, Problem> {
    let scope = api.scope_of_app(&person, id).await?;
    file(&api, scope, export)
}

fn file(api: &Api, scope: Scope, export: Export<RecordQuery>) -> Result<Response, Problem> {
    let Export { format, query } = export;
    refuse_unknown_words(&query)?;
    let (store, now) = (api.store.clone(), api.world.now());
    let read = move |before| {
        let (store, scope, query) = (store.clone(), scope.clone(), query.clone());
        async move { store.records(&scope, &query, (before, now), PAGE).await }.boxed()
    };
    let columns = columns::<Record>()?;
    Ok(export::file("logs", format, columns, pages(read, |record: &Record| record.id)))
}

async fn page(api: &Api, scope: Scope, query: RecordQuery) -> Result<ListPage<Record>, Problem> {
    let paging = paging(query.cursor.as_deref(), query.limit, None)?;
    refuse_unknown_words(&query)?;
    let place = (paging.after, api.world.now());
    let rows = api.store.records(&scope, &query, place, paging.rows()).await?;
    Ok(paging.page(rows, |record| record.id, |record| record))
}

/// Refuses a category that no finding has, since nothing found by it would look like nothing found.
fn refuse_unknown_words(query: &RecordQuery) -> Result<(), Problem> {
    in_order(query.from, query.to)?;
    let Some(word) = &query.finding else { return Ok(()) };
    let known: Vec<_> = GuardrailCategory::all().map(GuardrailCategory::as_str).collect();
    match known.contains(&word.as_str()) {
        true => Ok(()),
        false => Err(bad_query(format!("`finding` takes {}, not `{word}`", known.join(", ")))),
    }
}
