//! `/api/v1/apps/{id}/custom-categories` and `/api/v1/apps/{id}/prompts`
//!
//! Both are kept and versioned. Guardrails look for the categories; gateways do nothing with prompts yet.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use latchkey_core::content::Prompt;
use latchkey_service::action::Refusal;
use latchkey_service::action::content::{self, CustomCategories, PromptEdit};
use uuid::Uuid;

use super::Api;
use super::apps::find;
use super::auth::{AdminGuard, ReaderGuard};
use super::body::{JsonBody, PathParams};
use super::idempotency::{Answered, Creation};
use super::pagination::ListPage;
use super::problem::Problem;

/// Shows an app's own categories of content.
#[utoipa::path(get, path = "/api/v1/apps/{id}/custom-categories", tag = "content",
    operation_id = "read_custom_categories", params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = CustomCategories), (status = "4XX", body = Problem)))]
pub async fn categories(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Json<CustomCategories>, Problem> {
    let custom_categories = find(&api, id).await?.settings.custom_categories;
    Ok(Json(CustomCategories { custom_categories }))
}

/// Replaces an app's own categories of content.
#[utoipa::path(put, path = "/api/v1/apps/{id}/custom-categories", tag = "content",
    operation_id = "set_custom_categories", params(("id" = Uuid, Path)), request_body = CustomCategories,
    security(("token" = [])), responses((status = 200, body = CustomCategories), (status = "4XX", body = Problem)))]
pub async fn set_categories(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    JsonBody(new): JsonBody<CustomCategories>,
) -> Result<Json<CustomCategories>, Problem> {
    let mut tx = api.store.begin().await?;
    let saved = content::set_categories(&mut tx, api.context(&actor), id, new).await?;
    tx.commit().await?;
    Ok(Json(CustomCategories { custom_categories: saved.app.settings.custom_categories }))
}

/// Lists the prompts that an app keeps, by name: all of them, at most 100.
#[utoipa::path(get, path = "/api/v1/apps/{id}/prompts", tag = "content", operation_id = "list_prompts",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = ListPage<Prompt>), (status = "4XX", body = Problem)))]
pub async fn prompts(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<ListPage<Prompt>, Problem> {
    Ok(ListPage { items: find(&api, id).await?.settings.prompts, next_cursor: None })
}

/// Adds a prompt to an app.
#[utoipa::path(post, path = "/api/v1/apps/{id}/prompts", tag = "content", operation_id = "create_prompt",
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)), request_body = Prompt,
    security(("token" = [])), responses((status = 201, body = Prompt), (status = "4XX", body = Problem)))]
pub async fn create_prompt(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    new: Creation<JsonBody<Prompt>>,
) -> Result<Answered<Prompt>, Problem> {
    new.once(&api, StatusCode::CREATED, async |tx, JsonBody(new)| {
        let edit = PromptEdit::Create(new.clone());
        content::edit_prompts(tx, api.context(&actor), id, edit).await?;
        Ok(new)
    })
    .await
}

/// Shows a prompt of an app.
#[utoipa::path(get, path = "/api/v1/apps/{id}/prompts/{name}", tag = "content", operation_id = "read_prompt",
    params(("id" = Uuid, Path), ("name" = String, Path)),
    security(("token" = [])), responses((status = 200, body = Prompt), (status = "4XX", body = Problem)))]
pub async fn prompt(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams((id, name)): PathParams<(Uuid, String)>,
) -> Result<Json<Prompt>, Problem> {
    let prompts = find(&api, id).await?.settings.prompts;
    let prompt = prompts.into_iter().find(|prompt| prompt.name == name);
    Ok(Json(prompt.ok_or(Refusal::NotFound("prompt"))?))
}

/// Removes a prompt of an app; versions keep it.
#[utoipa::path(delete, path = "/api/v1/apps/{id}/prompts/{name}", tag = "content", operation_id = "delete_prompt",
    params(("id" = Uuid, Path), ("name" = String, Path)),
    security(("token" = [])), responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn delete_prompt(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams((id, name)): PathParams<(Uuid, String)>,
) -> Result<StatusCode, Problem> {
    let mut tx = api.store.begin().await?;
    content::edit_prompts(&mut tx, api.context(&actor), id, PromptEdit::Delete(name)).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
