//! What waits for those who run the gateway.

use latchkey_core::change_request::Status;
use latchkey_store::change_requests::RequestFilter;

pub use latchkey_store::first_steps::FirstSteps;

use super::Api;
use super::auth::ReaderGuard;
use super::keys::within_days;
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

/// Within how many days a key expires soon.
pub const KEY_EXPIRES_SOON_DAYS: u16 = 7;

/// Counts the named keys that expire soon. Those of people without access are not counted for each page: that takes
/// seconds where there are a million keys.
///
/// # Errors
/// The database is away.
pub async fn expiring_keys(_: ReaderGuard, api: &Api) -> Result<u64, Problem> {
    let (now, until) = within_days(api.world.now(), KEY_EXPIRES_SOON_DAYS)?;
    Ok(api.store.count_expiring_keys(now, until).await?)
}

/// What is left to set up; none once a request has succeeded.
///
/// # Errors
/// The database is away.
pub async fn first_steps(_: ReaderGuard, api: &Api) -> Result<Option<FirstSteps>, Problem> {
    if api.store.has_succeeded().await? {
        return Ok(None);
    }
    Ok(Some(api.store.first_steps().await?))
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
