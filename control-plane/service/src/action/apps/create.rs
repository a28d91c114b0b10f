//! Creating an app, with its key.

use latchkey_core::change::Operation;
use latchkey_core::settings::AppSettings;
use latchkey_core::status::Status;
use latchkey_store::Tx;
use latchkey_store::apps::App;
use latchkey_store::keys::Key;
use latchkey_store::versions::NewVersion;
use serde_json::json;

use super::edit::NewApp;
use super::{keeps_app_key, refuse_unknown_names};
use crate::action::audit::AuditedAction;
use crate::action::keys::secret;
use crate::action::{Context, Issued, Refusal};

/// Creates an app and its key.
///
/// # Errors
/// Settings that are wrong or name what does not exist.
pub async fn create(tx: &mut Tx, context: Context<'_>, new: NewApp) -> Result<(App, Issued), Refusal> {
    let now = context.world.now();
    let (name, settings) = new.settings(now)?;
    let settings = settings.validated_over(&AppSettings::default())?;
    let revision = tx.revision(context.world).await?;
    refuse_unknown_names(tx, &settings).await?;
    let app = App {
        id: context.world.id(),
        name,
        status: Status::Active,
        settings,
        created_at: now,
        updated_at: now,
        revision,
    };
    tx.insert_app(&app).await?;
    let (operation, actor) = (Operation::Create, context.actor);
    tx.insert_version(NewVersion { app: &app, operation, actor, change_request: None, changes: &[] }).await?;
    let id = context.world.id();
    let minted = secret::app_key(context, id, keeps_app_key(&app.settings));
    let key = Key {
        id,
        app_id: app.id,
        user_id: None,
        name: app.name.clone(),
        status: Status::Active,
        expires_at: None,
        limits: None,
        created_at: now,
        rotated_at: None,
        revoked_at: None,
        hash: minted.hash,
        ending: minted.ending,
        sealed_value: minted.sealed_value,
        retired: None,
        suspended: false,
        revision,
    };
    tx.insert_key(&key).await?;
    context.audit(tx, AuditedAction::to_app("app.created", &app, json!({ "mode": app.settings.mode })));
    context.audit(tx, AuditedAction::to_key("key.created", &key, json!({})));
    Ok((app, Issued { key, value: minted.value }))
}
