//! Editing a named key.

use jiff::Timestamp;
use latchkey_core::change::changed;
use latchkey_core::delegation::{self, Grant};
use latchkey_core::expiry::{self, Lifetime};
use latchkey_core::limits::{EditLimits, given, nullable};
use latchkey_core::name::Name;
use latchkey_core::search::folded;
use latchkey_core::status::{Final, Status};
use latchkey_store::Tx;
use latchkey_store::keys::Key;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::create::refuse_taken_name;
use crate::action::audit::AuditedAction;
use crate::action::{Context, Refusal};

/// What to change of a named key.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditKey {
    /// What people see.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Name)]
    pub name: Option<Name>,
    /// When it stops; null for never.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Option<Timestamp>>,
    /// The same, as a lifetime from now.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Lifetime)]
    pub expires_in: Option<Lifetime>,
    /// What it may use, within the app's limits: what is not named stays as it applies now. Null: the
    /// app's `named_key_limits` apply.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<EditLimits>)]
    pub limits: Option<Option<EditLimits>>,
}

/// Edits a named key; what it was and is.
///
/// # Errors
/// There is no such key, it is revoked, its new name is taken, or it would exceed its app.
pub async fn update(
    tx: &mut Tx,
    context: Context<'_>,
    app_id: Uuid,
    id: Uuid,
    edit: EditKey,
) -> Result<(Key, Key), Refusal> {
    let expires_at = expiry::edited(edit.expires_at, edit.expires_in, context.world.now())?;
    let app = tx.app(app_id).await?.ok_or(Refusal::NotFound("app"))?;
    let mut key = tx.named_key(app.id, id).await?.ok_or(Refusal::NotFound("key"))?;
    if key.status == Status::Revoked {
        return Err(Final.into());
    }
    let before = key.clone();
    key.name = edit.name.unwrap_or(key.name);
    if let Some(user) = key.user_id.filter(|_| folded(key.name.as_str()) != folded(before.name.as_str())) {
        refuse_taken_name(tx, app.id, user, &key.name).await?;
    }
    key.expires_at = expires_at.unwrap_or(key.expires_at);
    if let Some(edit) = edit.limits {
        let before = key.limits.unwrap_or_else(|| app.settings.named_key_limits.clone());
        key.limits = edit.map(|edit| edit.apply(before));
    }
    delegation::check(&app.settings, &key.terms(), Grant::Edit(&before.terms()))?;
    if key == before {
        return Ok((before, key));
    }
    key.revision = tx.revision(context.world).await?;
    tx.update_key(&key).await?;
    let paths = changed(&edited(&before), &edited(&key));
    context.audit(tx, AuditedAction::to_key("key.updated", &key, json!({ "changed": paths })));
    Ok((before, key))
}

/// What of a key can be edited.
#[must_use]
pub fn edited(key: &Key) -> Value {
    json!({ "name": key.name, "expires_at": key.expires_at, "limits": key.limits })
}
