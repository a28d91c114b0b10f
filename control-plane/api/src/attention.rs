//! What waits for those who run the gateway.

use latchkey_core::change_request::Status;
use latchkey_store::change_requests::RequestFilter;

use super::Api;
use super::auth::ReaderGuard;
use super::problem::Problem;

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attention {
    /// Change requests to decide on.
    pub pending_requests: u64,
    /// Webhooks that get nothing: their last attempt has failed, or Latchkey has disabled them.
    pub failing_webhooks: u64,
    /// Tools of MCP servers that have changed or are new.
    pub waiting_tools: u64,
}

/// Counts what waits.
///
/// # Errors
/// The database is away.
pub async fn count(_: ReaderGuard, api: &Api) -> Result<Attention, Problem> {
    let pending = RequestFilter { status: Some(Status::Pending), ..RequestFilter::default() };
    let pending = api.store.count_change_requests(&pending).await?;
    Ok(Attention {
        pending_requests: u64::try_from(pending).unwrap_or(0),
        failing_webhooks: api.store.failing_webhooks().await?,
        waiting_tools: u64::try_from(api.store.count_waiting_mcp_tools().await?).unwrap_or(0),
    })
}
