//! `/api/v1/models` and `/api/v1/catalogue`

mod density;
mod views;

use axum::extract::State;
use axum::http::StatusCode;
use latchkey_core::catalogue;
use latchkey_core::name::Slug;
use latchkey_service::action::Refusal;
use latchkey_service::action::models::{self, EditModel, NewModel};
use uuid::Uuid;

use super::Api;
use super::auth::{AdminGuard, ReaderGuard};
use super::body::{JsonBody, PathParams};
use super::idempotency::{Answered, Creation};
use super::pagination::ListPage;
use super::precondition::{IfMatch, Tagged};
use super::problem::Problem;

pub use density::DensityView;
pub use views::{KnownView, ModelView, PastPriceView, PriceView};

/// Lists every model, oldest first.
#[utoipa::path(get, path = "/api/v1/models", tag = "models", operation_id = "list_models",
    security(("token" = [])), responses((status = 200, body = ListPage<ModelView>), (status = "4XX", body = Problem)))]
pub async fn list(_: ReaderGuard, State(api): State<Api>) -> Result<ListPage<ModelView>, Problem> {
    let items = api.store.models().await?.into_iter().map(ModelView::from).collect();
    Ok(ListPage { items, next_cursor: None })
}

/// The models that a provider offers, oldest first.
pub async fn of_provider(api: &Api, provider: &Slug) -> Result<Vec<ModelView>, Problem> {
    let models = api.store.models().await?.into_iter().filter(|model| model.provider == provider.as_str());
    Ok(models.map(ModelView::from).collect())
}

/// Adds a model.
#[utoipa::path(post, path = "/api/v1/models", tag = "models", operation_id = "create_model",
    request_body = NewModel, params(("Idempotency-Key" = Option<String>, Header)),
    security(("token" = [])), responses((status = 201, body = ModelView), (status = "4XX", body = Problem)))]
pub async fn create(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    new: Creation<JsonBody<NewModel>>,
) -> Result<Answered<ModelView>, Problem> {
    new.once(&api, StatusCode::CREATED, async |tx, JsonBody(new)| {
        let model = models::create(tx, api.context(&actor), new).await?;
        Ok(ModelView::from(model))
    })
    .await
}

/// Shows a model.
#[utoipa::path(get, path = "/api/v1/models/{id}", tag = "models", operation_id = "read_model",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = ModelView), (status = "4XX", body = Problem)))]
pub async fn read(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Tagged<ModelView>, Problem> {
    Ok(Tagged::of(api.store.model(id).await?.ok_or(Refusal::NotFound("model"))?.into()))
}

/// Edits a model. What is not named stays.
#[utoipa::path(patch, path = "/api/v1/models/{id}", tag = "models", operation_id = "update_model",
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)), request_body = EditModel,
    security(("token" = [])), responses((status = 200, body = ModelView), (status = "4XX", body = Problem)))]
pub async fn update(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    if_match: IfMatch,
    JsonBody(edit): JsonBody<EditModel>,
) -> Result<Tagged<ModelView>, Problem> {
    let mut tx = api.store.begin().await?;
    if let Some(now) = tx.model(id).await? {
        if_match.check(&api, ("model", &id.to_string()), &ModelView::from(now)).await?;
    }
    let model = models::update(&mut tx, api.context(&actor), id, edit).await?;
    tx.commit().await?;
    Ok(Tagged::of(model.into()))
}

/// Removes a model.
#[utoipa::path(delete, path = "/api/v1/models/{id}", tag = "models", operation_id = "delete_model",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn delete(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<StatusCode, Problem> {
    let mut tx = api.store.begin().await?;
    models::delete(&mut tx, api.context(&actor), id).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists every price that a model has or had, newest first.
#[utoipa::path(get, path = "/api/v1/models/{id}/prices", tag = "models", operation_id = "list_model_prices",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = ListPage<PastPriceView>), (status = "4XX", body = Problem)))]
pub async fn prices(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<ListPage<PastPriceView>, Problem> {
    api.store.model(id).await?.ok_or(Refusal::NotFound("model"))?;
    let items = api.store.prices(id).await?.into_iter().map(PastPriceView::from).collect();
    Ok(ListPage { items, next_cursor: None })
}

/// Shows how many bytes a model's tokens have, as records show it, for each kind of text.
#[utoipa::path(get, path = "/api/v1/models/{id}/density", tag = "models", operation_id = "read_model_density",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = ListPage<DensityView>), (status = "4XX", body = Problem)))]
pub async fn density(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<ListPage<DensityView>, Problem> {
    let model = api.store.model(id).await?.ok_or(Refusal::NotFound("model"))?;
    Ok(ListPage { items: density::read(&api.store, &model).await?, next_cursor: None })
}

/// Lists the well-known models, whose prices are given to models that are created without one.
#[utoipa::path(get, path = "/api/v1/catalogue", tag = "models", operation_id = "list_catalogue",
    security(("token" = [])), responses((status = 200, body = ListPage<KnownView>), (status = "4XX", body = Problem)))]
pub async fn catalogue(_: ReaderGuard) -> ListPage<KnownView> {
    ListPage { items: catalogue::known().iter().map(KnownView::from).collect(), next_cursor: None }
}
