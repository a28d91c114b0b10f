//! Editing a named key.

use jiff::Timestamp;
use latchkey_core::name::Name;
use latchkey_core::status::{Final, Status};
use uuid::Uuid;

use super::create::within_app;
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
}

/// Edits a named key.
///
/// # Errors
/// There is no such key, it is revoked, or it would outlive its app.
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
    if let Some(expires_at) = edit.expires_at {
        within_app(&app, expires_at)?;
        key.expires_at = expires_at;
    }
    if key == before {
        return Ok(key);
    }
    key.revision = tx.revision(context.world).await?;
    tx.update_key(&key).await?;
    Ok(key)
}
