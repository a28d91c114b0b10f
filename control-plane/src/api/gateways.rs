//! `/api/v1/gateways`

use axum::extract::State;
use axum::http::StatusCode;

use super::Api;
use super::auth::{Admin, Reader};
use super::body::Path;
use super::page::Page;
use super::problem::Problem;
use crate::gateways::Gateway;

/// Lists the gateways: those connected, and those that were within the last day.
#[utoipa::path(get, path = "/api/v1/gateways", tag = "gateways", operation_id = "list_gateways",
    security(("token" = [])), responses((status = 200, body = Page<Gateway>), (status = "4XX", body = Problem)))]
pub async fn list(_: Reader, State(api): State<Api>) -> Result<Page<Gateway>, Problem> {
    Ok(Page { items: api.gateways.list().await?, next_cursor: None })
}

/// Forgets a gateway whose Envoy is gone for good: changes no longer wait for it. One that is connected stays.
#[utoipa::path(delete, path = "/api/v1/gateways/{name}", tag = "gateways", operation_id = "forget_gateway",
    params(("name" = String, Path)),
    security(("token" = [])), responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn forget(
    Admin(actor): Admin,
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let mut tx = api.store.begin().await?;
    api.gateways.forget(&mut tx, api.context(&actor).by(), &name).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
