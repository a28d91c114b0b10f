//! Editing an app.

use latchkey_core::name::Name;
use latchkey_core::settings::AppSettings;
use latchkey_core::status::{Final, Status};
use latchkey_store::Tx;
use uuid::Uuid;

use super::edit::EditApp;
use super::save::{SavedApp, VersionOrigin, save};
use crate::action::{Context, Refusal};

/// Edits an app.
///
/// # Errors
/// As [`update`], or an expiration is in the past.
pub async fn edit(tx: &mut Tx, context: Context<'_>, id: Uuid, edit: EditApp) -> Result<SavedApp, Refusal> {
    let now = context.world.now();
    update(tx, context, id, |name, settings| edit.apply(name, settings, now)).await
}

/// Gives an app the name and settings that `edit` makes of its own.
///
/// # Errors
/// There is no such app, it is revoked, or the new settings are wrong.
pub async fn update(
    tx: &mut Tx,
    context: Context<'_>,
    id: Uuid,
    edit: impl FnOnce(&mut Name, &mut AppSettings) -> Result<(), Refusal> + Send,
) -> Result<SavedApp, Refusal> {
    let app = tx.app(id).await?.ok_or(Refusal::NotFound("app"))?;
    if app.status == Status::Revoked {
        return Err(Final.into());
    }
    let (mut name, mut settings) = (app.name.clone(), app.settings.clone());
    edit(&mut name, &mut settings)?;
    save(tx, context, app, name, settings, VersionOrigin::Edit).await
}
