//! Invitations: links by which a user sets a password, once.

use jiff::{SignedDuration, Timestamp};
use latchkey_store::Tx;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use uuid::Uuid;

use super::audit::AuditedAction;
use super::{By, Refusal, users};
use crate::sign_in;
use crate::tokens;

/// How long an invitation can be used.
const LASTING: SignedDuration = SignedDuration::from_hours(72);

/// An invitation that was made.
#[derive(Debug)]
pub struct Invitation {
    /// What its link carries. It is not kept.
    pub token: SecretString,
    /// Until when it can be used.
    pub expires_at: Timestamp,
}

impl Invitation {
    /// The path of its link. The token is behind the `#`, which browsers send nobody.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/invitation#{}", self.token.expose_secret())
    }
}

/// Invites a user; an earlier invitation can no longer be used.
///
/// # Errors
/// There is no such user, or they are deactivated.
pub async fn create(tx: &mut Tx, by: By<'_>, user: Uuid) -> Result<Invitation, Refusal> {
    let user = tx.user_to_change(user).await?.ok_or(Refusal::NotFound("user"))?;
    if !user.is_active() {
        return Err(Refusal::conflict("deactivated", "this user is deactivated: reactivate the user first"));
    }
    let (id, now) = (by.world.id(), by.world.now());
    let expires_at = now.checked_add(LASTING).unwrap_or(Timestamp::MAX);
    let token = sign_in::secret(by.world);
    tx.remove_invitations(user.id).await?;
    tx.insert_invitation(id, user.id, &tokens::hash(token.expose_secret()), now, expires_at).await?;
    let data = json!({ "invitation_id": id, "expires_at": expires_at });
    by.audit(tx, AuditedAction { action: "invitation.created", ..users::done(&user, data) });
    Ok(Invitation { token, expires_at })
}

/// The refusal of an invitation, which does not say why it cannot be used.
pub(super) fn unusable() -> Refusal {
    Refusal::field("token", "this invitation link is invalid or has expired: ask an owner for a new one")
}
