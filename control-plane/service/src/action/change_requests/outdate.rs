//! Requests that an app's change has overtaken.

use latchkey_core::change::{Change, Configuration};
use latchkey_core::change_request::{Status, outdated};
use latchkey_store::Tx;
use latchkey_store::apps::App;

use super::decide;
use crate::action::{By, Refusal};

/// Makes those pending requests of an app stale that touch what `version` changed: `changes` have led
/// to `now`.
pub async fn outdate(
    tx: &mut Tx,
    by: By<'_>,
    app: &App,
    version: i64,
    changes: &[Change],
    now: &Configuration,
) -> Result<(), Refusal> {
    for request in tx.pending_requests(app.id, None).await? {
        if let Some(touched) = outdated(&request.changes, changes, now) {
            let reason = format!("version {version} of the app changed {touched}");
            unless_decided(decide(tx, by, &request, Status::Stale, &reason).await)?;
        }
    }
    Ok(())
}

/// Makes every pending request of an app stale that will never change again, for this reason.
pub async fn outdate_all(tx: &mut Tx, by: By<'_>, app: &App, reason: &str) -> Result<(), Refusal> {
    for request in tx.pending_requests(app.id, None).await? {
        unless_decided(decide(tx, by, &request, Status::Stale, reason).await)?;
    }
    Ok(())
}

/// A request that was rejected or withdrawn in this moment needs nothing more.
fn unless_decided(result: Result<(), Refusal>) -> Result<(), Refusal> {
    match result {
        Err(Refusal::Conflict { .. }) => Ok(()),
        other => other,
    }
}
