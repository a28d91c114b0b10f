//! Passwords of local accounts.

use latchkey_core::actor::Credential;
use latchkey_core::password;
use latchkey_store::Tx;
use latchkey_store::users::User;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use uuid::Uuid;

use super::audit::AuditedAction;
use super::sign_in::SignInContext;
use super::sign_in::attempt::SignInAttempt;
use super::{By, Refusal, sessions, users};
use crate::sign_in::guesses;

/// Changes a user's own password, and ends all their other sessions.
///
/// # Errors
/// The current one is wrong, there is none, the new one is refused, or there were too many attempts.
pub async fn change(
    context: SignInContext<'_>,
    by: By<'_>,
    user: &User,
    current: SecretString,
    new: SecretString,
) -> Result<(), Refusal> {
    let account = context.store.account(user.id).await?.ok_or(Refusal::NotFound("user"))?;
    let Some(hash) = account.password_hash else {
        let detail = "you have no password yet: ask an owner for an invitation link to set one";
        return Err(Refusal::conflict("no_password", detail));
    };
    fit(&new, user, "new")?;
    let attempt = SignInAttempt::admit(context, user.email.as_str()).await?;
    if !context.sign_in.passwords.verify(Some(hash), current).await? {
        return Err(Refusal::field("current", "is incorrect"));
    }
    let new = context.sign_in.passwords.hash(context.world, new).await?;
    let kept = match by.actor.credential {
        Credential::Session(id) => Some(id),
        Credential::Token(_) | Credential::System => None,
    };
    let mut tx = context.store.begin().await?;
    let user = tx.user_to_change(user.id).await?.filter(User::is_active).ok_or(Refusal::NotFound("user"))?;
    attempt.succeeded(&mut tx).await?;
    set(&mut tx, by, &user, new, kept).await?;
    Ok(tx.commit().await?)
}

/// Whether this may be the user's password.
///
/// # Errors
/// It may not: the refusal names `path`.
pub fn fit(password: &SecretString, user: &User, path: &str) -> Result<(), Refusal> {
    let User { email, name, .. } = user;
    password::check(password.expose_secret(), email, name).map_err(|weak| Refusal::field(path, weak))?;
    guesses::check(password.expose_secret(), email, name).map_err(|few| Refusal::field(path, few))
}

/// Sets a password by its hash, ends the user's sessions but for `kept`, and their invitations.
pub async fn set(
    tx: &mut Tx,
    by: By<'_>,
    user: &User,
    hash: String,
    kept: Option<Uuid>,
) -> Result<(), Refusal> {
    tx.set_password(user.id, hash, by.world.now()).await?;
    tx.remove_invitations(user.id).await?;
    sessions::end_all(tx, by, user, kept).await?;
    by.audit(tx, AuditedAction { action: "password.changed", ..users::done(user, json!({})) });
    Ok(())
}
