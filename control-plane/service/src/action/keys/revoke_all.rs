//! Revoking all of a user's named keys.

use latchkey_core::status::Status;
use latchkey_store::Tx;
use latchkey_store::keys::Key;
use serde_json::json;
use uuid::Uuid;

use crate::action::audit::AuditedAction;
use crate::action::{Context, Refusal};

/// Revokes the named keys of `user` that are not; which they were. Of their apps, each is locked before the head;
/// a key that is made meanwhile for another app comes after.
pub async fn of_user(tx: &mut Tx, context: Context<'_>, user: Uuid) -> Result<Vec<Key>, Refusal> {
    let apps = tx.apps_of_keys(user).await?;
    for app in &apps {
        tx.app(*app).await?;
    }
    let mut revoked = Vec::new();
    for mut key in tx.live_keys(user).await?.into_iter().filter(|key| apps.contains(&key.app_id)) {
        key.status = Status::Revoked;
        key.revoked_at = Some(context.world.now());
        key.sealed_value = None;
        key.revision = tx.revision(context.world).await?;
        tx.update_key(&key).await?;
        context.audit(tx, AuditedAction::to_key("key.revoked", &key, json!({ "all_of_user": true })));
        revoked.push(key);
    }
    Ok(revoked)
}
