//! Editing an app.

use latchkey_core::name::Name;
use latchkey_core::rotation::{Grace, LONGEST_GRACE_SECONDS};
use latchkey_core::settings::{AppSettings, CredentialMode};
use latchkey_core::status::{Final, Status};
use serde_json::json;
use uuid::Uuid;

use super::{keeps_app_key, refuse_unknown_names};
use crate::action::audit::{Done, changed};
use crate::action::keys::rotate;
use crate::action::{Context, Issued, Refusal};
use crate::store::Tx;
use crate::store::apps::App;

/// Gives an app the name and settings that `edit` makes of its own. When the app key had to be
/// replaced, the new one comes with it:
/// - from named to shared, since every named key contains the old one; that stops at once;
/// - from shared to named where its value was not kept, since named keys are made of it.
///
/// # Errors
/// There is no such app, it is revoked, or the new settings are wrong.
pub async fn update(
    tx: &mut Tx,
    context: Context<'_>,
    id: Uuid,
    edit: impl FnOnce(&mut Name, &mut AppSettings) -> Result<(), Refusal> + Send,
) -> Result<(App, Option<Issued>), Refusal> {
    let mut app = tx.app(id).await?.ok_or(Refusal::NotFound("app"))?;
    if app.status == Status::Revoked {
        return Err(Final.into());
    }
    let before = app.clone();
    edit(&mut app.name, &mut app.settings)?;
    app.settings = app.settings.validated()?;
    if (&app.name, &app.settings) == (&before.name, &before.settings) {
        return Ok((before, None));
    }
    refuse_unknown_names(tx, &app.settings).await?;
    app.updated_at = context.world.now();
    app.revision = tx.revision(context.world).await?;
    tx.update_app(&app).await?;
    audit(tx, context, &before, &app);
    if !app.settings.keep_key_values {
        tx.forget_named_values(app.id).await?;
    }
    if !keeps_app_key(&app.settings) {
        tx.forget_app_key_value(app.id).await?;
    }
    let issued = match (before.settings.mode, app.settings.mode) {
        (CredentialMode::Named, CredentialMode::Shared) => {
            Some(rotate::app_key(tx, context, &app, Grace::NONE).await?)
        }
        (CredentialMode::Shared, CredentialMode::Named)
            if tx.app_key(app.id).await?.sealed_value.is_none() =>
        {
            // The old one is refused for want of a name while the app stays in named mode.
            let grace =
                Grace::seconds(LONGEST_GRACE_SECONDS).map_err(|error| Refusal::field("mode", error))?;
            Some(rotate::app_key(tx, context, &app, grace).await?)
        }
        _ => None,
    };
    Ok((app, issued))
}

/// Tells the audit log which settings were changed, not to what: the versions say that.
fn audit(tx: &mut Tx, context: Context<'_>, before: &App, app: &App) {
    let mut paths = changed(&before.settings, &app.settings);
    if before.name != app.name {
        paths.push("name".to_owned());
    }
    context.audit(tx, Done::to_app("app.updated", app, json!({ "changed": paths })));
    let (from, to) = (before.settings.mode, app.settings.mode);
    if from != to {
        context.audit(tx, Done::to_app("app.mode_switched", app, json!({ "from": from, "to": to })));
    }
}
