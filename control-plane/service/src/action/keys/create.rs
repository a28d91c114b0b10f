//! Creating a named key.

use jiff::Timestamp;
use latchkey_core::delegation::{self, Grant, KeyTerms};
use latchkey_core::expiry::{self, Lifetime};
use latchkey_core::limits::EditLimits;
use latchkey_core::name::Name;
use latchkey_core::settings::CredentialMode;
use latchkey_core::status::{Standing, Status};
use latchkey_store::Tx;
use latchkey_store::keys::Key;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::secret;
use crate::action::audit::AuditedAction;
use crate::action::{Context, Issued, Refusal};

/// A named key to create.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// Whose it is to be.
    pub user_id: Uuid,
    /// What people see: 1 to 100 characters.
    pub name: Name,
    /// When it stops. Left out, with `expires_in` too: never, or as late as the app's longest lifetime of
    /// keys lets it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// The same, as a lifetime.
    pub expires_in: Option<Lifetime>,
    /// What it may use, within the app's limits and in the place of its `named_key_limits`.
    pub limits: Option<EditLimits>,
}

/// Creates a named key of the app `app_id`.
///
/// # Errors
/// There is no such app or user, the app is not in named mode or no longer works, or the key
/// would exceed its app.
pub async fn create(tx: &mut Tx, context: Context<'_>, app_id: Uuid, new: NewKey) -> Result<Issued, Refusal> {
    let now = context.world.now();
    let asked = expiry::edited(new.expires_at.map(Some), new.expires_in, now)?;
    let app = tx.app(app_id).await?.ok_or(Refusal::NotFound("app"))?;
    if app.settings.mode != CredentialMode::Named {
        let detail = "the app is in shared mode: set its mode to `named` to create named keys";
        return Err(Refusal::conflict("not_in_named_mode", detail));
    }
    match app.status.standing(app.settings.expires_at, now) {
        Standing::Revoked => return Err(Refusal::conflict("revoked", "the app is revoked")),
        Standing::Expired => return Err(Refusal::conflict("expired", "the app is expired: extend it first")),
        Standing::Active | Standing::Inactive => {}
    }
    let expires_at = asked.unwrap_or_else(|| delegation::default_expiry(&app.settings, now));
    let terms = KeyTerms { created_at: now, expires_at, limits: new.limits.map(EditLimits::alone) };
    let held = u32::try_from(tx.count_keys(app.id, new.user_id).await?).unwrap_or(u32::MAX);
    delegation::check(&app.settings, &terms, Grant::New { held })?;
    // Taken before the groups are read: who changes them takes it too, so that one waits for the other.
    let revision = tx.revision(context.world).await?;
    let Some(member) = tx.member(new.user_id).await? else {
        return Err(Refusal::field("user_id", "no user has this ID"));
    };
    if !member.is_active {
        return Err(Refusal::field("user_id", "this user is deactivated: reactivate the user first"));
    }
    refuse_taken_name(tx, app.id, new.user_id, &new.name).await?;
    let parent = tx.app_key(app.id).await?;
    let id = context.world.id();
    let minted = secret::named_key(context, &parent, new.user_id, id, app.settings.keep_key_values)?;
    let KeyTerms { created_at, expires_at, limits } = terms;
    let key = Key {
        id,
        app_id: app.id,
        user_id: Some(new.user_id),
        name: new.name,
        status: Status::Active,
        expires_at,
        limits,
        created_at,
        rotated_at: None,
        revoked_at: None,
        hash: minted.hash,
        ending: minted.ending,
        sealed_value: minted.sealed_value,
        retired: None,
        suspended: app.settings.self_service.suspends(&member),
        revision,
    };
    tx.insert_key(&key).await?;
    let expires = json!({ "expires_at": key.expires_at });
    context.audit(tx, AuditedAction::to_key("key.created", &key, expires));
    Ok(Issued { key, value: minted.value })
}

/// Refuses a name that another key of the user for this app has, unless that is revoked. Who calls it holds the
/// app's lock.
pub(super) async fn refuse_taken_name(
    tx: &mut Tx,
    app: Uuid,
    user: Uuid,
    name: &Name,
) -> Result<(), Refusal> {
    if tx.has_key_named(app, user, name).await? {
        let why = "there is another key with this name for the same user and app: choose a different name, or revoke that key first";
        return Err(Refusal::field("name", why));
    }
    Ok(())
}
