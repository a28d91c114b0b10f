//! `/api/v1/apps/{id}/custom-categories` and `/api/v1/apps/{id}/prompts`
//!
//! Both are kept and versioned; gateways do nothing with them yet.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use latchkey_core::content::{CustomCategory, Prompt};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Api;
use super::apps::find;
use super::auth::{Admin, Reader};
use super::body::{Body, Path};
use super::idempotency::{Answered, Creation};
use super::page::Page;
use super::problem::Problem;
use crate::action::Refusal;
use crate::action::content::{self, PromptEdit};

/// All categories of an app.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomCategories {
    /// Sorted by name; at most 50.
    pub custom_categories: Vec<CustomCategory>,
}

/// Shows an app's own categories of content.
#[utoipa::path(get, path = "/api/v1/apps/{id}/custom-categories", tag = "content",
    operation_id = "read_custom_categories", params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = CustomCategories), (status = "4XX", body = Problem)))]
pub async fn categories(
    _: Reader,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
) -> Result<Json<CustomCategories>, Problem> {
    let custom_categories = find(&api, id).await?.settings.custom_categories;
    Ok(Json(CustomCategories { custom_categories }))
}

/// Replaces an app's own categories of content.
#[utoipa::path(put, path = "/api/v1/apps/{id}/custom-categories", tag = "content",
    operation_id = "set_custom_categories", params(("id" = Uuid, Path)), request_body = CustomCategories,
    security(("token" = [])), responses((status = 200, body = CustomCategories), (status = "4XX", body = Problem)))]
pub async fn set_categories(
    Admin(actor): Admin,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    Body(new): Body<CustomCategories>,
) -> Result<Json<CustomCategories>, Problem> {
    let mut tx = api.store.begin().await?;
    let categories = new.custom_categories;
    let saved = content::set_categories(&mut tx, api.context(&actor), id, categories).await?;
    tx.commit().await?;
    Ok(Json(CustomCategories { custom_categories: saved.app.settings.custom_categories }))
}

/// Lists the prompts that an app keeps, by name: all of them, at most 100.
#[utoipa::path(get, path = "/api/v1/apps/{id}/prompts", tag = "content", operation_id = "list_prompts",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Page<Prompt>), (status = "4XX", body = Problem)))]
pub async fn prompts(
    _: Reader,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
) -> Result<Page<Prompt>, Problem> {
    Ok(Page { items: find(&api, id).await?.settings.prompts, next_cursor: None })
}

/// Adds a prompt to an app.
#[utoipa::path(post, path = "/api/v1/apps/{id}/prompts", tag = "content", operation_id = "create_prompt",
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)), request_body = Prompt,
    security(("token" = [])), responses((status = 201, body = Prompt), (status = "4XX", body = Problem)))]
pub async fn create_prompt(
    Admin(actor): Admin,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    new: Creation<Body<Prompt>>,
) -> Result<Answered, Problem> {
    new.once(&api, StatusCode::CREATED, async |tx, Body(new)| {
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
    _: Reader,
    State(api): State<Api>,
    Path((id, name)): Path<(Uuid, String)>,
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
    Admin(actor): Admin,
    State(api): State<Api>,
    Path((id, name)): Path<(Uuid, String)>,
) -> Result<StatusCode, Problem> {
    let mut tx = api.store.begin().await?;
    content::edit_prompts(&mut tx, api.context(&actor), id, PromptEdit::Delete(name)).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
