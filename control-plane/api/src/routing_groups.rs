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
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Api;
use super::apps::{Created, Deleted, Switched};
use super::auth::{AdminGuard, ReaderGuard};
use super::body::{JsonBody, PathParams, Query};
use super::idempotency::{Answered, Creation};
use super::pagination::ListPage;
use super::precondition::{EntityTag, IfMatch, Tagged};
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

/// Which routing groups.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RoutingGroupQuery {
    /// Only groups with a target of this provider.
    pub provider: Option<String>,
    /// Only groups with a target of this model.
    pub model: Option<String>,
}

impl RoutingGroupQuery {
    fn holds(&self, group: &RoutingGroup) -> bool {
        let is = |asked: &Option<String>, name: &str| asked.as_ref().is_none_or(|asked| asked == name);
        let is_asked = |target: &RoutingTarget| {
            is(&self.provider, target.provider.as_str()) && is(&self.model, target.model.as_str())
        };
        group.settings.targets().any(|(_, target)| is_asked(target))
    }
}

/// Lists routing groups, oldest first.
#[utoipa::path(get, path = "/api/v1/routing-groups", tag = "routing-groups", operation_id = "list_routing_groups",
    params(RoutingGroupQuery),
    security(("token" = [])), responses((status = 200, body = ListPage<RoutingGroupView>), (status = "4XX", body = Problem)))]
pub async fn list(
    _: ReaderGuard,
    State(api): State<Api>,
    Query(query): Query<RoutingGroupQuery>,
) -> Result<ListPage<RoutingGroupView>, Problem> {
    let groups = api.store.routing_groups().await?.into_iter().filter(|group| query.holds(group));
    let items = groups.map(RoutingGroupView::from).collect();
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
) -> Result<Tagged<RoutingGroupView>, Problem> {
    Ok(Tagged::of(api.store.routing_group(id).await?.ok_or(Refusal::NotFound("routing group"))?.into()))
}

/// Edits a routing group. What is not named stays. Answers when the gateways know it.
#[utoipa::path(patch, path = "/api/v1/routing-groups/{id}", tag = "routing-groups", operation_id = "update_routing_group",
    params(("id" = Uuid, Path), ("If-Match" = Option<String>, Header)), request_body = EditRoutingGroup,
    security(("token" = [])), responses((status = 200, body = Switched<RoutingGroupView>), (status = "4XX", body = Problem)))]
pub async fn update(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    if_match: IfMatch,
    JsonBody(edit): JsonBody<EditRoutingGroup>,
) -> Result<Tagged<Switched<RoutingGroupView>>, Problem> {
    let mut tx = api.store.begin().await?;
    if let Some(now) = tx.routing_group(id).await? {
        let now = RoutingGroupView::from(now);
        if_match.check(&api, ("routing_group", &id.to_string()), &now).await?;
    }
    let group = routing_groups::update(&mut tx, api.context(&actor), id, edit).await?;
    tx.commit().await?;
    let propagation = api.wait_for_routing_group(Ok(Some(group.clone()))).await;
    let item = RoutingGroupView::from(group);
    let tag = EntityTag::of(&item);
    Ok(Tagged(Switched { item, propagation }, tag))
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
