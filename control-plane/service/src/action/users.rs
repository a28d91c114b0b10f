//! People.

use std::collections::BTreeMap;

use latchkey_core::actor::Credential;
use latchkey_core::limits::given;
use latchkey_core::name::{Email, Name};
use latchkey_core::role::Role;
use latchkey_store::Tx;
use latchkey_store::identities::SignInIdentity;
use latchkey_store::users::User;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::access::{self, AccessScope};
use super::audit::AuditedAction;
use super::{By, Refusal, sessions, taken};

/// What to change of a user. What is not named stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditUser {
    /// What others see: 1 to 100 characters.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String)]
    pub name: Option<Name>,
    /// What they may do. The last active owner stays one.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Role)]
    pub role: Option<Role>,
}

/// Adds a user.
///
/// # Errors
/// The address is taken.
pub async fn create(tx: &mut Tx, by: By<'_>, email: Email, name: Name, role: Role) -> Result<User, Refusal> {
    let user =
        User { id: by.world.id(), email, name, role, created_at: by.world.now(), deactivated_at: None };
    tx.insert_user(&user).await.map_err(|error| taken(error, "email", "another user has this address"))?;
    by.audit(tx, AuditedAction { action: "user.created", ..done(&user, json!({ "role": role })) });
    Ok(user)
}

/// Changes a user's name or role. A role counts from the next request on, also for the sessions and
/// tokens that they have.
///
/// # Errors
/// There is no such user, or no owner would be left.
pub async fn update(tx: &mut Tx, by: By<'_>, id: Uuid, edit: EditUser) -> Result<(User, User), Refusal> {
    let owners = tx.active_owners().await?;
    let before = tx.user_to_change(id).await?.ok_or(Refusal::NotFound("user"))?;
    let mut user = before.clone();
    user.name = edit.name.unwrap_or(user.name);
    user.role = edit.role.unwrap_or(user.role);
    if user == before {
        return Ok((before, user));
    }
    if user.role != Role::Owner {
        spare_last_owner(&owners, id)?;
    }
    tx.update_user(&user).await?;
    if user.role != before.role {
        let data = json!({ "from": before.role, "to": user.role });
        by.audit(tx, AuditedAction { action: "user.role_changed", ..done(&user, data) });
    }
    if user.name != before.name {
        let data = json!({ "from": before.name, "to": user.name });
        by.audit(tx, AuditedAction { action: "user.renamed", ..done(&user, data) });
    }
    Ok((before, user))
}

/// Deactivates a user: their sessions end, their tokens stop, their invitations are gone, and they
/// cannot sign in. Everything that must follow belongs here.
///
/// # Errors
/// There is no such user, or no owner would be left.
pub async fn deactivate(tx: &mut Tx, by: By<'_>, id: Uuid) -> Result<User, Refusal> {
    let owners = tx.active_owners().await?;
    let mut user = tx.user_to_change(id).await?.ok_or(Refusal::NotFound("user"))?;
    if !user.is_active() {
        return Ok(user);
    }
    spare_last_owner(&owners, id)?;
    user.deactivated_at = Some(by.world.now());
    tx.set_deactivated(id, user.deactivated_at).await?;
    tx.remove_invitations(id).await?;
    sessions::end_all(tx, by, &user, None).await?;
    access::refresh(tx, by, AccessScope::Users(&[id])).await?;
    by.audit(tx, AuditedAction { action: "user.deactivated", ..done(&user, json!({})) });
    Ok(user)
}

/// Reactivates a user: they may sign in again, and their tokens work again. Sessions do not come
/// back.
///
/// # Errors
/// There is no such user.
pub async fn reactivate(tx: &mut Tx, by: By<'_>, id: Uuid) -> Result<User, Refusal> {
    let mut user = tx.user_to_change(id).await?.ok_or(Refusal::NotFound("user"))?;
    if user.is_active() {
        return Ok(user);
    }
    user.deactivated_at = None;
    tx.set_deactivated(id, None).await?;
    access::refresh(tx, by, AccessScope::Users(&[id])).await?;
    by.audit(tx, AuditedAction { action: "user.reactivated", ..done(&user, json!({})) });
    Ok(user)
}

/// Forgets who a user is to an OpenID provider, and signs them out everywhere: whoever came in so is out.
/// Who has the user's address there, verified, is linked at the next sign-in.
///
/// # Errors
/// There is no such user, or they have no such identity.
pub async fn unlink(tx: &mut Tx, by: By<'_>, id: Uuid, identity: Uuid) -> Result<(), Refusal> {
    // In the order of a sign-in, so that one waits for the other.
    let link = tx.remove_link(id, identity).await?;
    let user = tx.user_to_change(id).await?.ok_or(Refusal::NotFound("user"))?;
    let SignInIdentity { issuer, subject } = link.ok_or(Refusal::NotFound("identity"))?.identity;
    sessions::end_all(tx, by, &user, None).await?;
    let data = json!({ "issuer": issuer, "subject": subject });
    by.audit(tx, AuditedAction { action: "user.unlinked", ..done(&user, data) });
    Ok(())
}

/// Forgets who everybody is to an OpenID provider, and signs them out everywhere, but for the session that
/// asks for it; says how many users there were.
///
/// # Errors
/// Nobody is linked to this provider.
pub async fn unlink_all(tx: &mut Tx, by: By<'_>, issuer: &str) -> Result<u64, Refusal> {
    let mut subjects = BTreeMap::<Uuid, Vec<String>>::new();
    for (user, link) in tx.remove_links(issuer).await? {
        subjects.entry(user).or_default().push(link.identity.subject);
    }
    if subjects.is_empty() {
        let known = tx.issuers().await?;
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let message = format!("no users are linked to this provider; users are linked to: {known}");
        return Err(Refusal::field("issuer", message));
    }
    let kept = match by.actor.credential {
        Credential::Session(id) => Some(id),
        _ => None,
    };
    for (id, subjects) in &subjects {
        let user = tx.user_to_change(*id).await?.ok_or(Refusal::NotFound("user"))?;
        sessions::end_all(tx, by, &user, kept).await?;
        let data = json!({ "issuer": issuer, "subjects": subjects });
        by.audit(tx, AuditedAction { action: "user.unlinked", ..done(&user, data) });
    }
    Ok(subjects.len() as u64)
}

/// Something that was done to a user, with the action still to be named.
pub(super) fn done(user: &User, data: Value) -> AuditedAction<'_> {
    AuditedAction {
        action: "",
        kind: "user",
        id: user.id.to_string(),
        name: user.email.as_str(),
        app: None,
        data,
    }
}

fn spare_last_owner(owners: &[Uuid], id: Uuid) -> Result<(), Refusal> {
    if owners == [id] {
        let detail = "this is the last active owner: make someone else an owner first";
        return Err(Refusal::conflict("last_owner", detail));
    }
    Ok(())
}
