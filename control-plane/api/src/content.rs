//! `/api/v1/apps/{id}/custom-categories`

use axum::Json;
use axum::extract::State;
use latchkey_service::action::content::{self, CustomCategories};
use uuid::Uuid;

use super::Api;
use super::apps::find;
use super::auth::{AdminGuard, ReaderGuard};
use super::body::{JsonBody, PathParams};
use super::precondition::{EntityTag, IfMatch, Tagged};
use super::problem::Problem;

/// Shows an app's own categories of content.
#[utoipa::path(get, path = "/api/v1/apps/{id}/custom-categories", tag = "content",
    operation_id = "read_custom_categories", params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = CustomCategories), (status = "4XX", body = Problem)))]
pub async fn categories(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Tagged<CustomCategories>, Problem> {
    let version = api.store.newest_version(id).await?;
    let custom_categories = find(&api, id).await?.settings.custom_categories;
    Ok(Tagged(CustomCategories { custom_categories }, EntityTag::of_version(version)))
}

/// Replaces an app's own categories of content.
#[utoipa::path(put, path = "/api/v1/apps/{id}/custom-categories", tag = "content",
    operation_id = "set_custom_categories",
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)), request_body = CustomCategories,
    security(("token" = [])), responses((status = 200, body = CustomCategories), (status = "4XX", body = Problem)))]
pub async fn set_categories(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    if_match: IfMatch,
    JsonBody(new): JsonBody<CustomCategories>,
) -> Result<Tagged<CustomCategories>, Problem> {
    let mut tx = api.store.begin().await?;
    if_match.check_app(&mut tx, id).await?;
    let saved = content::set_categories(&mut tx, api.context(&actor), id, new).await?;
    let version = tx.newest_version(id).await?;
    tx.commit().await?;
    let custom_categories = saved.app.settings.custom_categories;
    Ok(Tagged(CustomCategories { custom_categories }, EntityTag::of_version(version)))
}

/// Shows an app's own categories of content as they would be saved, and saves nothing: with what was learned from
/// examples, and how well. It is refused as saving them would be.
#[utoipa::path(post, path = "/api/v1/apps/{id}/custom-categories/preview", tag = "content",
    operation_id = "preview_custom_categories", params(("id" = Uuid, Path)), request_body = CustomCategories,
    security(("token" = [])), responses((status = 200, body = CustomCategories), (status = "4XX", body = Problem)))]
pub async fn preview_categories(
    _: AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    JsonBody(new): JsonBody<CustomCategories>,
) -> Result<Json<CustomCategories>, Problem> {
    let mut tx = api.store.begin().await?;
    let shown = content::preview_categories(&mut tx, id, new).await;
    tx.abandon().await?;
    Ok(Json(shown?))
}
