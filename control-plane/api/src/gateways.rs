//! `/api/v1/gateways`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use latchkey_core::money::NanoUsd;
use latchkey_service::action::{Refusal, gateways};
use latchkey_service::gateways::Gateway;
use latchkey_store::ledger::retention::LostProcess;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::auth::{AdminGuard, ReaderGuard};
use super::body::PathParams;
use super::pagination::ListPage;
use super::problem::Problem;

/// A gateway process that was not heard of since its leases ended, and what it holds of budgets. That stays
/// reserved until it is written off: by an admin, or by itself a day later.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LostGateway {
    /// Envoy's node id.
    pub name: String,
    /// The process.
    pub instance: String,
    /// When the last of its leases ended.
    #[schema(value_type = String, format = DateTime)]
    pub ended_at: Timestamp,
    /// Of how many budgets it holds something.
    pub budgets: u64,
    /// How much money that is, in US dollars: what it can have spent at most.
    pub reserved_usd: NanoUsd,
    /// How many tokens, of budgets of tokens.
    pub reserved_tokens: u64,
}

impl From<LostProcess> for LostGateway {
    fn from(lost: LostProcess) -> Self {
        let LostProcess { instance, gateway: name, ended_at, budgets, cost, tokens } = lost;
        Self { name, instance, ended_at, budgets, reserved_usd: cost, reserved_tokens: tokens }
    }
}

/// Lists the gateways: those connected, and those that were within the last day.
#[utoipa::path(get, path = "/api/v1/gateways", tag = "gateways", operation_id = "list_gateways",
    security(("token" = [])), responses((status = 200, body = ListPage<Gateway>), (status = "4XX", body = Problem)))]
pub async fn list(_: ReaderGuard, State(api): State<Api>) -> Result<ListPage<Gateway>, Problem> {
    Ok(ListPage { items: api.gateways.list().await?, next_cursor: None })
}

/// Forgets a gateway whose Envoy is gone for good: changes no longer wait for it. Of one that is connected, it
/// forgets the earlier processes that are not.
#[utoipa::path(delete, path = "/api/v1/gateways/{name}", tag = "gateways", operation_id = "forget_gateway",
    params(("name" = String, Path)),
    security(("token" = [])), responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn forget(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(name): PathParams<String>,
) -> Result<StatusCode, Problem> {
    let mut tx = api.store.begin().await?;
    gateways::forget(&mut tx, api.context(&actor).by(), &api.gateways, &name).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the gateway processes that hold something of budgets and have not been heard of since their leases
/// ended.
#[utoipa::path(get, path = "/api/v1/gateways/lost", tag = "gateways", operation_id = "list_lost_gateways",
    security(("token" = [])), responses((status = 200, body = ListPage<LostGateway>), (status = "4XX", body = Problem)))]
pub async fn lost(_: ReaderGuard, State(api): State<Api>) -> Result<ListPage<LostGateway>, Problem> {
    let lost = api.store.lost_processes(api.world.now()).await?;
    let connected = api.gateways.instances().await?;
    let lost = lost.into_iter().filter(|lost| !connected.contains(&lost.instance));
    Ok(ListPage { items: lost.map(LostGateway::from).collect(), next_cursor: None })
}

/// Charges for good what a process that will not come back can have spent of budgets at most.
#[utoipa::path(post, path = "/api/v1/gateways/lost/{instance}/write-off", tag = "gateways",
    operation_id = "write_off_lost_gateway", params(("instance" = String, Path)),
    security(("token" = [])), responses((status = 200, body = LostGateway), (status = "4XX", body = Problem)))]
pub async fn write_off(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(instance): PathParams<String>,
) -> Result<Json<LostGateway>, Problem> {
    if api.gateways.instances().await?.contains(&instance) {
        let detail = "this gateway is connected: it returns what it holds by itself";
        return Err(Refusal::conflict("connected", detail).into());
    }
    let mut tx = api.store.begin().await?;
    let lost = gateways::write_off(&mut tx, api.context(&actor), &instance).await?;
    tx.commit().await?;
    Ok(Json(lost.into()))
}
