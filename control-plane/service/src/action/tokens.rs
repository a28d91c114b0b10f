//! API tokens: `lk_` and 32 random bytes in base64url.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use latchkey_core::role::Role;
use latchkey_store::Tx;
use latchkey_store::tokens::ApiToken;
use secrecy::SecretString;
use serde_json::json;
use uuid::Uuid;

use super::audit::AuditedAction;
use super::{By, Refusal};
use crate::tokens::hash;

/// What a token is for.
#[derive(Clone, Debug)]
pub struct NewToken {
    pub name: String,
    pub role: Role,
    /// Whose it is; none for automation.
    pub user_id: Option<Uuid>,
    /// When it stops; none for never.
    pub expires_at: Option<Timestamp>,
    /// The gateway that it is bound to, [`crate::tokens::ANY_GATEWAY`], or none for the first that uses it.
    pub gateway: Option<String>,
}

/// Makes a token; its value is not kept.
pub async fn create(tx: &mut Tx, by: By<'_>, new: NewToken) -> Result<SecretString, Refusal> {
    issue(tx, by, new).await.map(|(_, value)| value)
}

/// Makes a token, and gives its record too.
pub async fn issue(tx: &mut Tx, by: By<'_>, new: NewToken) -> Result<(ApiToken, SecretString), Refusal> {
    let value = format!("lk_{}", URL_SAFE_NO_PAD.encode(by.world.random::<32>()));
    let token = ApiToken {
        id: by.world.id(),
        name: new.name,
        role: new.role,
        user_id: new.user_id,
        created_by: by.actor.maker.or(by.actor.user),
        created_at: by.world.now(),
        expires_at: new.expires_at,
        revoked_at: None,
        gateway: new.gateway,
    };
    tx.insert_token(&token, &hash(&value)).await?;
    by.audit(tx, done("token.created", &token));
    Ok((token, value.into()))
}

/// Makes a token, whose role is no more than that of whoever makes it.
///
/// # Errors
/// The role is beyond theirs, or a gateway's and of a user; this user does not exist.
pub async fn grant(tx: &mut Tx, by: By<'_>, new: NewToken) -> Result<(ApiToken, SecretString), Refusal> {
    let own = by.actor.role;
    if new.role == Role::Gateway && new.user_id.is_some() {
        return Err(Refusal::field("role", "is only for gateways: a user's token cannot have it"));
    }
    check_gateway(new.role, new.gateway.as_deref())?;
    if new.role == Role::Gateway && own != Role::Owner {
        return Err(Refusal::field("role", "is only for gateways: ask an owner to create such a token"));
    }
    if new.role != Role::Gateway && !new.role.within(own) {
        return Err(Refusal::field("role", format!("exceeds your own role, {}", own.as_str())));
    }
    if let Some(user) = new.user_id
        && !tx.has_user(user).await?
    {
        return Err(Refusal::field("user_id", "this user does not exist"));
    }
    issue(tx, by, new).await
}

/// Revokes a token for good: of `owner`, or, with none, anyone's.
///
/// # Errors
/// There is no live token of this id, or it is someone else's.
pub async fn revoke(tx: &mut Tx, by: By<'_>, id: Uuid, owner: Option<Uuid>) -> Result<ApiToken, Refusal> {
    let token = tx.token(id).await?.filter(|token| owner.is_none() || token.user_id == owner);
    let mut token = token.ok_or(Refusal::NotFound("token"))?;
    if tx.revoke_token(id, by.world.now()).await? {
        token.revoked_at = Some(by.world.now());
        by.audit(tx, done("token.revoked", &token));
    }
    Ok(token)
}

/// Binds a gateway's token to another gateway, to any, or to the next that uses it.
///
/// # Errors
/// There is no live token of this id, or it is no gateway's.
pub async fn bind(tx: &mut Tx, by: By<'_>, id: Uuid, gateway: Option<String>) -> Result<ApiToken, Refusal> {
    let token = tx.token(id).await?.filter(|token| token.revoked_at.is_none());
    let mut token = token.ok_or(Refusal::NotFound("token"))?;
    if token.role != Role::Gateway {
        return Err(Refusal::conflict(
            "not_a_gateway_token",
            "only tokens with the role gateway can be bound to a gateway",
        ));
    }
    check_gateway(token.role, gateway.as_deref())?;
    tx.set_token_gateway(id, gateway.as_deref()).await?;
    token.gateway = gateway;
    by.audit(tx, done("token.bound", &token));
    Ok(token)
}

fn check_gateway(role: Role, gateway: Option<&str>) -> Result<(), Refusal> {
    let Some(gateway) = gateway else { return Ok(()) };
    if role != Role::Gateway {
        return Err(Refusal::field("gateway", "is only for tokens with the role gateway"));
    }
    if !(1..=256).contains(&gateway.len()) || gateway.contains(char::is_control) {
        return Err(Refusal::field(
            "gateway",
            "must be a gateway's name of 1 to 256 bytes, or * for any gateway",
        ));
    }
    Ok(())
}

fn done<'a>(action: &'static str, token: &'a ApiToken) -> AuditedAction<'a> {
    let mut data = json!({ "role": token.role, "user_id": token.user_id, "expires_at": token.expires_at });
    if let Some(gateway) = &token.gateway {
        data["gateway"] = json!(gateway);
    }
    AuditedAction { action, kind: "token", id: token.id.to_string(), name: &token.name, app: None, data }
}
