//! `/api/v1/models` and `/api/v1/catalogue`

mod density;
mod shape;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use latchkey_core::catalogue;
use uuid::Uuid;

use super::Api;
use super::auth::{Admin, Reader};
use super::body::{Body, Path};
use super::idempotency::{Answered, Creation};
use super::page::Page;
use super::problem::Problem;
use crate::action::{Refusal, models};

pub use density::DensityView;
pub use shape::{EditModel, KnownView, ModelView, NewModel, PastPriceView, PriceView};

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
pub async fn create(
    Admin(actor): Admin,
    State(api): State<Api>,
    new: Creation<Body<NewModel>>,
) -> Result<Answered, Problem> {
    new.once(&api, StatusCode::CREATED, async |tx, Body(new)| {
        let model = models::create(tx, api.context(&actor), new.into()).await?;
        Ok(ModelView::from(model))
    })
    .await
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
    Admin(actor): Admin,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    Body(edit): Body<EditModel>,
) -> Result<Json<ModelView>, Problem> {
    let mut tx = api.store.begin().await?;
    let model = models::update(&mut tx, api.context(&actor), id, edit.into()).await?;
    tx.commit().await?;
    Ok(Json(model.into()))
}

/// Removes a model.
#[utoipa::path(delete, path = "/api/v1/models/{id}", tag = "models", operation_id = "delete_model",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn delete(
    Admin(actor): Admin,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    let mut tx = api.store.begin().await?;
    models::delete(&mut tx, api.context(&actor), id).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists every price that a model has or had, newest first.
#[utoipa::path(get, path = "/api/v1/models/{id}/prices", tag = "models", operation_id = "list_model_prices",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Page<PastPriceView>), (status = "4XX", body = Problem)))]
pub async fn prices(
    _: Reader,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
) -> Result<Page<PastPriceView>, Problem> {
    api.store.model(id).await?.ok_or(Refusal::NotFound("model"))?;
    let items = api.store.prices(id).await?.into_iter().map(PastPriceView::from).collect();
    Ok(Page { items, next_cursor: None })
}

/// Shows how many bytes a model's tokens have, as records show it, for each kind of text.
#[utoipa::path(get, path = "/api/v1/models/{id}/density", tag = "models", operation_id = "read_model_density",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Page<DensityView>), (status = "4XX", body = Problem)))]
pub async fn density(
    _: Reader,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
) -> Result<Page<DensityView>, Problem> {
    let model = api.store.model(id).await?.ok_or(Refusal::NotFound("model"))?;
    Ok(Page { items: density::read(&api.store, &model).await?, next_cursor: None })
}

/// Lists the well-known models, whose prices are given to models that are created without one.
#[utoipa::path(get, path = "/api/v1/catalogue", tag = "models", operation_id = "list_catalogue",
    security(("token" = [])), responses((status = 200, body = Page<KnownView>), (status = "4XX", body = Problem)))]
pub async fn catalogue(_: Reader) -> Page<KnownView> {
    Page { items: catalogue::known().iter().map(KnownView::from).collect(), next_cursor: None }
}
