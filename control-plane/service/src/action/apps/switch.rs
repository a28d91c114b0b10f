//! Activating, deactivating and revoking an app.

use latchkey_core::status::{Status, Switch};
use latchkey_store::Tx;
use latchkey_store::apps::App;
use serde_json::json;
use uuid::Uuid;

use crate::action::audit::AuditedAction;
use crate::action::change_requests::outdate_all;
use crate::action::{Context, Refusal};

/// Switches an app, and with it all its keys.
///
/// # Errors
/// There is no such app, or it is revoked and would come back.
pub async fn switch(tx: &mut Tx, context: Context<'_>, id: Uuid, switch: Switch) -> Result<App, Refusal> {
    let mut app = tx.app(id).await?.ok_or(Refusal::NotFound("app"))?;
    let status = app.status.after(switch)?;
    if status == app.status {
        return Ok(app);
    }
    app.status = status;
    app.updated_at = context.world.now();
    app.revision = tx.revision(context.world).await?;
    tx.update_app(&app).await?;
    if status == Status::Revoked {
        tx.revoke_keys_of(app.id, app.updated_at, app.revision).await?;
        outdate_all(tx, context.by(), &app, "the app was revoked").await?;
    }
    let action = match switch {
        Switch::Activate => "app.activated",
        Switch::Deactivate => "app.deactivated",
        Switch::Revoke => "app.revoked",
    };
    context.audit(tx, AuditedAction::to_app(action, &app, json!({})));
    Ok(app)
}
