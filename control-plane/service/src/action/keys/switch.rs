//! Activating, deactivating and revoking a named key.

use latchkey_core::delegation::{self, Grant};
use latchkey_core::status::{Status, Switch};
use latchkey_store::Tx;
use latchkey_store::keys::Key;
use serde_json::json;
use uuid::Uuid;

use crate::action::audit::AuditedAction;
use crate::action::{Context, Refusal};

/// Switches a named key. A revoked one keeps its record, not its value.
///
/// # Errors
/// There is no such key, it is revoked and would come back, or it would outlive what its app allows.
pub async fn switch(
    tx: &mut Tx,
    context: Context<'_>,
    app_id: Uuid,
    id: Uuid,
    switch: Switch,
) -> Result<Key, Refusal> {
    let app = tx.app(app_id).await?.ok_or(Refusal::NotFound("app"))?;
    let mut key = tx.named_key(app.id, id).await?.ok_or(Refusal::NotFound("key"))?;
    let status = key.status.after(switch)?;
    if status == key.status {
        return Ok(key);
    }
    if status == Status::Active {
        delegation::check(&app.settings, &key.terms(), Grant::Renew)?;
    }
    key.status = status;
    if status == Status::Revoked {
        key.revoked_at = Some(context.world.now());
        key.sealed_value = None;
    }
    key.revision = tx.revision(context.world).await?;
    tx.update_key(&key).await?;
    let action = match switch {
        Switch::Activate => "key.activated",
        Switch::Deactivate => "key.deactivated",
        Switch::Revoke => "key.revoked",
    };
    context.audit(tx, AuditedAction::to_key(action, &key, json!({})));
    Ok(key)
}
