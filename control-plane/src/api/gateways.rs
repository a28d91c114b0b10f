//! `/api/v1/gateways`

use axum::extract::State;

use super::Api;
use super::auth::Reader;
use super::page::Page;
use super::problem::Problem;
use crate::gateways::Gateway;

/// Lists the gateways: those connected, and those that were since this control plane started.
#[utoipa::path(get, path = "/api/v1/gateways", tag = "gateways", operation_id = "list_gateways",
    security(("token" = [])), responses((status = 200, body = Page<Gateway>), (status = "4XX", body = Problem)))]
pub async fn list(_: Reader, State(api): State<Api>) -> Result<Page<Gateway>, Problem> {
    Ok(Page { items: api.gateways.list().await?, next_cursor: None })
}
