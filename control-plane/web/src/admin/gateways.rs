//! Gateways: the Envoys that are connected, and how to connect one.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use latchkey_api::body::{PathParams, Query};
use latchkey_api::gateways::LostGateway;
use latchkey_api::problem::Problem;
use latchkey_api::routing_groups::{self, RoutingGroupQuery};
use latchkey_api::{Api, gateways};
use latchkey_service::gateways::Gateway;

use crate::form::Posted;
use crate::format;
use crate::frame::{Frame, Visit, done};
use crate::html;

#[derive(Template)]
#[template(path = "admin/gateways.html")]
struct GatewaysPage {
    frame: Frame,
    gateways: Vec<Gateway>,
    lost: Vec<LostGateway>,
    url: String,
    has_groups: bool,
}

pub async fn list(visit: Visit, State(api): State<Api>) -> Result<Response, Problem> {
    let url = api.gateway_url.to_string();
    let gateways = gateways::list(visit.reader()?, State(api.clone())).await?.items;
    let lost = gateways::lost(visit.reader()?, State(api.clone())).await?.items;
    let query = Query(RoutingGroupQuery::default());
    let has_groups = !routing_groups::list(visit.reader()?, State(api), query).await?.items.is_empty();
    html(&GatewaysPage { frame: visit.frame("Gateways"), gateways, lost, url, has_groups })
}

/// Writes one off that is gone.
pub async fn write_off(
    State(api): State<Api>,
    PathParams(instance): PathParams<String>,
    posted: Posted,
) -> Result<Response, Problem> {
    gateways::write_off(posted.visit.admin()?, State(api), PathParams(instance)).await.map(drop)?;
    Ok(done("/admin/gateways", "Written off. The reserved budget has been charged."))
}

/// Forgets one that is gone for good.
pub async fn forget(State(api): State<Api>, posted: Posted) -> Result<Response, Problem> {
    let name = posted.typed.text("name").to_owned();
    gateways::forget(posted.visit.admin()?, State(api), PathParams(name.clone())).await?;
    Ok(done("/admin/gateways", &format!("Changes no longer wait for disconnected processes of {name}.")))
}
