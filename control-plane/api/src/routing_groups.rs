//! `/api/v1/routing-groups`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use latchkey_core::name::ModelName;
use latchkey_core::routing_group::{Failover, RoutingBalance, RoutingSettings, RoutingTarget, RoutingTier};
use latchkey_service::action::Refusal;
use latchkey_service::action::routing_groups::{self, EditRoutingGroup, NewRoutingGroup};
use latchkey_store::routing_groups::RoutingGroup;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Api;
use super::apps::{Created, Deleted, Switched};
use super::auth::{AdminGuard, ReaderGuard};
use super::body::{JsonBody, PathParams};
use super::idempotency::{Answered, Creation};
use super::pagination::ListPage;
use super::problem::Problem;
use super::propagation::catalogue_resource;

/// A routing group: a name that clients use as a model's, and the targets that its requests go to.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct RoutingGroupView {
    /// Opaque.
    pub id: Uuid,
    /// What clients ask for as the model. It cannot be changed.
    pub name: ModelName,
    /// For people.
    pub description: String,
    /// What the weights are shares of.
    pub balance: RoutingBalance,
    /// Where all requests go; empty where there are tiers.
    pub targets: Vec<RoutingTarget>,
    /// Where requests go by the size of their input; empty where there are targets for all sizes.
    pub tiers: Vec<RoutingTier>,
    /// When a request moves to another target.
    pub failover: Failover,
    /// Whether the requests of a conversation stay at one target.
    pub sticky: bool,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl From<RoutingGroup> for RoutingGroupView {
    fn from(group: RoutingGroup) -> Self {
        let RoutingGroup { id, name, settings, created_at, updated_at, revision: _ } = group;
        let RoutingSettings { description, balance, targets, tiers, failover, sticky } = settings;
        Self { id, name, description, balance, targets, tiers, failover, sticky, created_at, updated_at }
    }
}

/// Lists every routing group, oldest first.
#[utoipa::path(get, path = "/api/v1/routing-groups", tag = "routing-groups", operation_id = "list_routing_groups",
    security(("token" = [])), responses((status = 200, body = ListPage<RoutingGroupView>), (status = "4XX", body = Problem)))]
pub async fn list(_: ReaderGuard, State(api): State<Api>) -> Result<ListPage<RoutingGroupView>, Problem> {
    let items = api.store.routing_groups().await?.into_iter().map(RoutingGroupView::from).collect();
    Ok(ListPage { items, next_cursor: None })
}

/// Adds a routing group; answers when the gateways know it.
#[utoipa::path(post, path = "/api/v1/routing-groups", tag = "routing-groups", operation_id = "create_routing_group",
    request_body = NewRoutingGroup, params(("Idempotency-Key" = Option<String>, Header)),
    security(("token" = [])), responses((status = 201, body = Created<RoutingGroupView>), (status = "4XX", body = Problem)))]
pub async fn create(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    new: Creation<JsonBody<NewRoutingGroup>>,
) -> Result<Answered<Created<RoutingGroupView>>, Problem> {
    let made = new.once(&api, StatusCode::CREATED, async |tx, JsonBody(new)| {
        let group = routing_groups::create(tx, api.context(&actor), new).await?;
        Ok(RoutingGroupView::from(group))
    });
    made.await?
        .with(async |item| {
            let group = api.store.routing_group(item.id).await;
            Created { item, propagation: api.wait_for_routing_group(group).await }
        })
        .await
}

/// Shows a routing group.
#[utoipa::path(get, path = "/api/v1/routing-groups/{id}", tag = "routing-groups", operation_id = "read_routing_group",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = RoutingGroupView), (status = "4XX", body = Problem)))]
pub async fn read(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Json<RoutingGroupView>, Problem> {
    Ok(Json(api.store.routing_group(id).await?.ok_or(Refusal::NotFound("routing group"))?.into()))
}

/// Edits a routing group. What is not named stays. Answers when the gateways know it.
#[utoipa::path(patch, path = "/api/v1/routing-groups/{id}", tag = "routing-groups", operation_id = "update_routing_group",
    params(("id" = Uuid, Path)), request_body = EditRoutingGroup,
    security(("token" = [])), responses((status = 200, body = Switched<RoutingGroupView>), (status = "4XX", body = Problem)))]
pub async fn update(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    JsonBody(edit): JsonBody<EditRoutingGroup>,
) -> Result<Json<Switched<RoutingGroupView>>, Problem> {
    let mut tx = api.store.begin().await?;
    let group = routing_groups::update(&mut tx, api.context(&actor), id, edit).await?;
    tx.commit().await?;
    let propagation = api.wait_for_routing_group(Ok(Some(group.clone()))).await;
    Ok(Json(Switched { item: group.into(), propagation }))
}

/// Removes a routing group that no app names; answers when the gateways know it.
#[utoipa::path(delete, path = "/api/v1/routing-groups/{id}", tag = "routing-groups", operation_id = "delete_routing_group",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = Deleted), (status = "4XX", body = Problem)))]
pub async fn delete(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Json<Deleted>, Problem> {
    let mut tx = api.store.begin().await?;
    let revision = routing_groups::delete(&mut tx, api.context(&actor), id).await?;
    tx.commit().await?;
    Ok(Json(Deleted { propagation: api.wait_for_all(revision, &catalogue_resource()).await }))
}
