//! Creating a named key.

use jiff::Timestamp;
use latchkey_core::invalid::Invalid;
use latchkey_core::limits::Limits;
use latchkey_core::name::Name;
use latchkey_core::settings::CredentialMode;
use latchkey_core::status::{Standing, Status};
use serde_json::json;
use uuid::Uuid;

use super::secret;
use crate::action::audit::Done;
use crate::action::{Context, Issued, Refusal};
use crate::store::Tx;
use crate::store::apps::App;
use crate::store::keys::Key;

/// What a named key is to be.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Whose it is.
    pub user_id: Uuid,
    /// What people see.
    pub name: Name,
    /// When it stops; none for never.
    pub expires_at: Option<Timestamp>,
    /// What it may use; none where the app's limits for named keys are to apply.
    pub limits: Option<Limits>,
}

/// Creates a named key of the app `app_id`.
///
/// # Errors
/// There is no such app or user, the app is not in named mode or no longer works, or the key
/// would exceed its app.
pub async fn create(tx: &mut Tx, context: Context<'_>, app_id: Uuid, new: NewKey) -> Result<Issued, Refusal> {
    let app = tx.app(app_id).await?.ok_or(Refusal::NotFound("app"))?;
    let now = context.world.now();
    if app.settings.mode != CredentialMode::Named {
        let detail = "the app is in shared mode: switch its mode to `named` to create named keys";
        return Err(Refusal::conflict("not_in_named_mode", detail));
    }
    match app.status.standing(app.settings.expires_at, now) {
        Standing::Revoked => return Err(Refusal::conflict("revoked", "the app is revoked")),
        Standing::Expired => return Err(Refusal::conflict("expired", "the app is expired: extend it first")),
        Standing::Active | Standing::Inactive => {}
    }
    expires_within(&app, new.expires_at)?;
    if let Some(limits) = &new.limits {
        limited_within(&app, limits)?;
    }
    if !tx.has_user(new.user_id).await? {
        return Err(Refusal::field("user_id", "there is no user of this id"));
    }
    let parent = tx.app_key(app.id).await?;
    let id = context.world.id();
    let minted = secret::named_key(context, &parent, new.user_id, id, app.settings.keep_key_values)?;
    let key = Key {
        id,
        app_id: app.id,
        user_id: Some(new.user_id),
        name: new.name,
        status: Status::Active,
        expires_at: new.expires_at,
        limits: new.limits,
        created_at: now,
        rotated_at: None,
        revoked_at: None,
        hash: minted.hash,
        sealed_value: minted.sealed_value,
        retired: None,
        revision: tx.revision(context.world).await?,
    };
    tx.insert_key(&key).await?;
    let expires = json!({ "expires_at": key.expires_at });
    context.audit(tx, Done::to_key("key.created", &key, expires));
    Ok(Issued { key, value: minted.value })
}

/// Refuses an expiration after the app's own: a child never exceeds its parent.
pub(super) fn expires_within(app: &App, expires_at: Option<Timestamp>) -> Result<(), Refusal> {
    match (expires_at, app.settings.expires_at) {
        (Some(key), Some(app)) if key > app => {
            Err(Refusal::field("expires_at", format!("is after the app's own expiration, {app}")))
        }
        _ => Ok(()),
    }
}

/// Refuses limits that are wrong or beyond the app's own.
pub(super) fn limited_within(app: &App, limits: &Limits) -> Result<(), Refusal> {
    let mut invalid = Invalid::default();
    limits.check("limits", &mut invalid);
    invalid.into_result()?;
    Ok(limits.within("limits", &app.settings.limits, "the app's limits")?)
}
