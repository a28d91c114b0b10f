//! Restoring an older configuration of an app.

use latchkey_core::status::{Final, Status};
use latchkey_store::Tx;
use uuid::Uuid;

use super::save::{SavedApp, VersionOrigin, save};
use crate::action::{Context, Refusal};

/// Gives an app the name and settings of its version `number`, as a new version. The status of the app
/// and of its keys stays, and so do groups and their members.
///
/// # Errors
/// There is no such app, it is revoked, or the version is gone, the same as now, or no longer possible.
pub async fn rollback(tx: &mut Tx, context: Context<'_>, id: Uuid, number: i64) -> Result<SavedApp, Refusal> {
    let app = tx.app(id).await?.ok_or(Refusal::NotFound("app"))?;
    if app.status == Status::Revoked {
        return Err(Final.into());
    }
    let Some(version) = tx.version(id, number).await? else {
        return Err(Refusal::conflict("version_gone", format!("this app has no version {number}")));
    };
    let saved =
        save(tx, context, app, version.name, version.settings, VersionOrigin::Rollback(number)).await?;
    if saved.version.is_none() {
        let detail = format!("the app is the same as in version {number}: there is nothing to change");
        return Err(Refusal::conflict("nothing_to_roll_back", detail));
    }
    Ok(saved)
}
