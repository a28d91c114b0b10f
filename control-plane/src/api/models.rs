//! `/api/v1/models`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use latchkey_core::name::{ModelName, Slug};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Api;
use super::auth::{Admin, Reader};
use super::body::{Body, Path};
use super::idempotency::{Attempt, Creation};
use super::page::Page;
use super::problem::Problem;
use crate::action::{Refusal, models};
use crate::store::models::Model;

/// A model as one provider offers it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ModelView {
    /// Opaque.
    pub id: Uuid,
    /// What clients ask for.
    #[schema(value_type = String)]
    pub name: ModelName,
    /// The provider's name.
    pub provider: String,
    /// What the provider calls it.
    #[schema(value_type = String)]
    pub upstream_name: ModelName,
    /// Whether it can be called.
    pub enabled: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A model to add. Where several providers offer one model, the one added first serves it.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewModel {
    /// What clients ask for.
    #[schema(value_type = String)]
    pub name: ModelName,
    /// The provider's name.
    #[schema(value_type = String)]
    pub provider: Slug,
    /// What the provider calls it: the same by default.
    #[schema(value_type = Option<String>)]
    pub upstream_name: Option<ModelName>,
    /// Whether it can be called: true by default.
    #[serde(default = "enabled")]
    pub enabled: bool,
}

/// What to change of a model.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditModel {
    /// What the provider calls it.
    #[schema(value_type = Option<String>)]
    pub upstream_name: Option<ModelName>,
    /// Whether it can be called.
    pub enabled: Option<bool>,
}

fn enabled() -> bool {
    true
}

impl From<Model> for ModelView {
    fn from(model: Model) -> Self {
        let Model { id, name, provider, upstream_name, enabled, created_at } = model;
        Self { id, name, provider, upstream_name, enabled, created_at }
    }
}

/// Lists every model, oldest first.
#[utoipa::path(get, path = "/api/v1/models", tag = "models", operation_id = "list_models",
    security(("token" = [])), responses((status = 200, body = Page<ModelView>), (status = "4XX", body = Problem)))]
pub async fn list(_: Reader, State(api): State<Api>) -> Result<Page<ModelView>, Problem> {
    let items = api.store.models().await?.into_iter().map(ModelView::from).collect();
    Ok(Page { items, next_cursor: None })
}

/// Adds a model.
#[utoipa::path(post, path = "/api/v1/models", tag = "models", operation_id = "create_model",
    request_body = NewModel, params(("Idempotency-Key" = Option<String>, Header)),
    security(("token" = [])), responses((status = 201, body = ModelView), (status = "4XX", body = Problem)))]
pub async fn create(_: Admin, State(api): State<Api>, new: Creation<NewModel>) -> Result<Response, Problem> {
    let (new, attempt) = new.begin(&api).await?;
    let mut first = match attempt {
        Attempt::Replay(response) => return Ok(response),
        Attempt::First(first) => first,
    };
    let NewModel { name, provider, upstream_name, enabled } = new;
    let model =
        models::create(&mut first.tx, api.context(), name, provider.into(), upstream_name, enabled).await?;
    first.created(&api, &ModelView::from(model)).await
}

/// Shows a model.
#[utoipa::path(get, path = "/api/v1/models/{id}", tag = "models", operation_id = "read_model",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = ModelView), (status = "4XX", body = Problem)))]
pub async fn read(
    _: Reader,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
) -> Result<Json<ModelView>, Problem> {
    Ok(Json(api.store.model(id).await?.ok_or(Refusal::NotFound("model"))?.into()))
}

/// Edits a model. What is not named stays.
#[utoipa::path(patch, path = "/api/v1/models/{id}", tag = "models", operation_id = "update_model",
    params(("id" = Uuid, Path)), request_body = EditModel,
    security(("token" = [])), responses((status = 200, body = ModelView), (status = "4XX", body = Problem)))]
pub async fn update(
    _: Admin,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    Body(edit): Body<EditModel>,
) -> Result<Json<ModelView>, Problem> {
    let mut tx = api.store.begin().await?;
    let mut model = tx.model(id).await?.ok_or(Refusal::NotFound("model"))?;
    model.upstream_name = edit.upstream_name.unwrap_or(model.upstream_name);
    model.enabled = edit.enabled.unwrap_or(model.enabled);
    models::update(&mut tx, api.context(), &model).await?;
    tx.commit().await?;
    Ok(Json(model.into()))
}

/// Removes a model.
#[utoipa::path(delete, path = "/api/v1/models/{id}", tag = "models", operation_id = "delete_model",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn delete(_: Admin, State(api): State<Api>, Path(id): Path<Uuid>) -> Result<StatusCode, Problem> {
    let mut tx = api.store.begin().await?;
    models::delete(&mut tx, api.context(), id).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
