//! Editing a named key.

use jiff::Timestamp;
use latchkey_core::change::changed;
use latchkey_core::delegation::{self, Grant};
use latchkey_core::limits::EditLimits;
use latchkey_core::name::Name;
use latchkey_core::status::{Final, Status};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::action::audit::Done;
use crate::action::{Context, Refusal};
use crate::store::Tx;
use crate::store::keys::Key;

/// What to change of a named key; none leaves it.
#[derive(Clone, Debug, Default)]
pub struct KeyEdit {
    /// What people see.
    pub name: Option<Name>,
    /// When it stops; the inner none for never.
    pub expires_at: Option<Option<Timestamp>>,
    /// What it may use, of what applied before; the inner none for the app's limits for named keys.
    pub limits: Option<Option<EditLimits>>,
}

/// Edits a named key.
///
/// # Errors
/// There is no such key, it is revoked, or it would exceed its app.
pub async fn update(
    tx: &mut Tx,
    context: Context<'_>,
    app_id: Uuid,
    id: Uuid,
    edit: KeyEdit,
) -> Result<Key, Refusal> {
    let app = tx.app(app_id).await?.ok_or(Refusal::NotFound("app"))?;
    let mut key = tx.named_key(app.id, id).await?.ok_or(Refusal::NotFound("key"))?;
    if key.status == Status::Revoked {
        return Err(Final.into());
    }
    let before = key.clone();
    key.name = edit.name.unwrap_or(key.name);
    key.expires_at = edit.expires_at.unwrap_or(key.expires_at);
    if let Some(edit) = edit.limits {
        let before = key.limits.unwrap_or_else(|| app.settings.named_key_limits.clone());
        key.limits = edit.map(|edit| edit.apply(before));
    }
    delegation::check(&app.settings, &key.terms(), Grant::Edit(&before.terms()))?;
    if key == before {
        return Ok(key);
    }
    key.revision = tx.revision(context.world).await?;
    tx.update_key(&key).await?;
    let paths = changed(&edited(&before), &edited(&key));
    context.audit(tx, Done::to_key("key.updated", &key, json!({ "changed": paths })));
    Ok(key)
}

/// What of a key can be edited.
fn edited(key: &Key) -> Value {
    json!({ "name": key.name, "expires_at": key.expires_at, "limits": key.limits })
}
