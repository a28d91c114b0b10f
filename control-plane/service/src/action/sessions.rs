//! Sessions: beginning and ending them.

use std::net::IpAddr;

use jiff::SignedDuration;
use latchkey_core::actor::{Actor, Credential};
use latchkey_core::role::Role;
use latchkey_store::Tx;
use latchkey_store::sessions::{BrowserSession, Method};
use latchkey_store::users::User;
use latchkey_world::World;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use uuid::Uuid;

use super::audit::AuditedAction;
use super::{By, Refusal};
use crate::sign_in::{self, Lasting};
use crate::tokens;

/// The longest name of a browser that is kept.
const LONGEST_USER_AGENT: usize = 200;

/// Someone who wants to come in.
#[derive(Clone, Debug)]
pub struct SignInClient {
    /// From where, where that is known.
    pub address: Option<IpAddr>,
    /// What their browser calls itself.
    pub user_agent: String,
}

/// A session that was begun.
#[derive(Debug)]
pub struct StartedSession {
    pub session: BrowserSession,
    pub user: User,
    /// The cookie's value, which is not kept.
    pub cookie: SecretString,
    /// How long the cookie is of use.
    pub lasting: SignedDuration,
}

impl SignInClient {
    /// As an actor, before it is known who it is.
    #[must_use]
    pub fn stranger(&self) -> Actor {
        Actor { name: "sign-in".to_owned(), role: Role::User, address: self.address, ..Actor::system("") }
    }

    /// As an actor with this session.
    #[must_use]
    pub fn known(&self, user: &User, session: Uuid) -> Actor {
        Actor {
            credential: Credential::Session(session),
            user: Some(user.id),
            maker: None,
            name: user.email.as_str().to_owned(),
            role: user.role,
            address: self.address,
        }
    }
}

pub async fn begin(
    tx: &mut Tx,
    world: &World,
    client: &SignInClient,
    lasting: Lasting,
    user: User,
    method: Method,
) -> Result<StartedSession, Refusal> {
    let now = world.now();
    let user_agent = client.user_agent.chars().filter(|c| !c.is_control());
    let session = BrowserSession {
        id: world.id(),
        user_id: user.id,
        method,
        user_agent: user_agent.take(LONGEST_USER_AGENT).collect(),
        client_address: client.address.map(|address| address.to_string()).unwrap_or_default(),
        created_at: now,
        seen_at: now,
        expires_at: now.checked_add(lasting.longest).unwrap_or(jiff::Timestamp::MAX),
    };
    let cookie = sign_in::secret(world);
    tx.insert_session(&session, &tokens::hash(cookie.expose_secret())).await?;
    let actor = client.known(&user, session.id);
    let by = By { actor: &actor, world };
    by.audit(tx, done("session.started", &session.id.to_string(), &user, json!({ "method": method })));
    Ok(StartedSession { session, user, cookie, lasting: lasting.longest })
}

/// Tells the audit log that a sign-in failed, and whose, where there is such a user.
pub fn failed(tx: &mut Tx, world: &World, client: &SignInClient, user: Option<&User>, reason: &str) {
    let actor = client.stranger();
    let by = By { actor: &actor, world };
    let data = json!({ "reason": reason });
    by.audit(
        tx,
        AuditedAction {
            action: "session.failed",
            kind: "user",
            id: user.map(|user| user.id.to_string()).unwrap_or_default(),
            name: user.map_or("", |user| user.email.as_str()),
            app: None,
            data,
        },
    );
}

/// Ends one session of a user.
///
/// # Errors
/// There is none of this id that has not ended.
pub async fn end(tx: &mut Tx, by: By<'_>, user: &User, id: Uuid) -> Result<(), Refusal> {
    if !tx.end_session(user.id, id, by.world.now()).await? {
        return Err(Refusal::NotFound("session"));
    }
    by.audit(tx, done("session.ended", &id.to_string(), user, json!({})));
    Ok(())
}

/// Ends the sessions of a user, but for `kept`; says how many.
pub async fn end_all(tx: &mut Tx, by: By<'_>, user: &User, kept: Option<Uuid>) -> Result<u64, Refusal> {
    let ended = tx.end_sessions(user.id, kept, by.world.now()).await?;
    if ended > 0 {
        by.audit(tx, done("session.ended", "", user, json!({ "sessions": ended })));
    }
    Ok(ended)
}

fn done<'a>(
    action: &'static str,
    id: &str,
    user: &'a User,
    mut data: serde_json::Value,
) -> AuditedAction<'a> {
    data["user_id"] = user.id.to_string().into();
    AuditedAction { action, kind: "session", id: id.to_owned(), name: user.email.as_str(), app: None, data }
}
