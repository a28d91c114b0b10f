//! What waits for those who run the gateway.

use jiff::ToSpan as _;
use latchkey_core::change_request::Status;
use latchkey_store::change_requests::RequestFilter;

pub use latchkey_store::first_steps::FirstSteps;

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

/// What of named keys somebody should look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyAttention {
    /// Those that expire within [`KEY_EXPIRES_SOON_DAYS`].
    pub expiring: u64,
    /// Those whose users no longer have access.
    pub lost_access: u64,
}

/// Within how many days a key expires soon.
pub const KEY_EXPIRES_SOON_DAYS: i64 = 7;

/// Counts what of named keys somebody should look at.
///
/// # Errors
/// The database is away.
pub async fn keys(_: ReaderGuard, api: &Api) -> Result<KeyAttention, Problem> {
    let now = api.world.now();
    let hours = KEY_EXPIRES_SOON_DAYS * 24;
    let until = now.checked_add(hours.hours()).map_err(|_| Problem::internal())?;
    let (expiring, lost_access) = tokio::try_join!(
        api.store.count_expiring_keys(now, until),
        api.store.count_keys_of_lost_access(now)
    )?;
    Ok(KeyAttention { expiring, lost_access })
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
