//! Replacing a key's secret under the same id.
//!
//! At most two secrets open one key. Rotating again within the grace ends the older one at once.

use latchkey_core::delegation::{self, Grant};
use latchkey_core::rotation::Grace;
use latchkey_core::status::{Final, Status};
use latchkey_store::Tx;
use latchkey_store::apps::App;
use latchkey_store::keys::{Key, Retired};
use serde_json::json;
use uuid::Uuid;

use super::secret::{self, NewSecret};
use crate::action::apps::keeps_app_key;
use crate::action::audit::AuditedAction;
use crate::action::{Context, Issued, Refusal};

/// Replaces an app key's secret.
///
/// # Errors
/// The key is revoked.
pub async fn app_key(tx: &mut Tx, context: Context<'_>, app: &App, grace: Grace) -> Result<Issued, Refusal> {
    let key = tx.app_key(app.id).await?;
    let minted = secret::app_key(context, key.id, keeps_app_key(&app.settings));
    replace(tx, context, key, minted, grace).await
}

/// Replaces a named key's secret.
///
/// # Errors
/// There is no such key, it is revoked, or it would outlive what its app allows.
pub async fn named_key(
    tx: &mut Tx,
    context: Context<'_>,
    app: &App,
    id: Uuid,
    grace: Grace,
) -> Result<Issued, Refusal> {
    let key = tx.named_key(app.id, id).await?.ok_or(Refusal::NotFound("key"))?;
    let user = key.user_id.ok_or(Refusal::NotFound("key"))?;
    if key.status != Status::Revoked {
        delegation::check(&app.settings, &key.terms(), Grant::Renew)?;
    }
    let parent = tx.app_key(app.id).await?;
    let minted = secret::named_key(context, &parent, user, key.id, app.settings.keep_key_values)?;
    replace(tx, context, key, minted, grace).await
}

async fn replace(
    tx: &mut Tx,
    context: Context<'_>,
    mut key: Key,
    minted: NewSecret,
    grace: Grace,
) -> Result<Issued, Refusal> {
    if key.status == Status::Revoked {
        return Err(Final.into());
    }
    let now = context.world.now();
    if let Some(older) = key.retired {
        tx.remove_key_hash(context.world, older.hash.as_bytes().to_vec()).await?;
    }
    key.retired = Some(Retired { hash: key.hash, ending: key.ending, at: grace.ends(now) });
    key.hash = minted.hash;
    key.ending = minted.ending;
    key.sealed_value = minted.sealed_value;
    key.rotated_at = Some(now);
    key.revision = tx.revision(context.world).await?;
    tx.update_key(&key).await?;
    let grace = json!({ "grace_seconds": grace.as_seconds() });
    context.audit(tx, AuditedAction::to_key("key.rotated", &key, grace));
    Ok(Issued { key, value: minted.value })
}
