//! API tokens: `lk_` and 32 random bytes in base64url.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use latchkey_core::role::Role;
use secrecy::SecretString;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::audit::Done;
use super::{By, Refusal};
use crate::store::Tx;
use crate::store::tokens::Token;

/// What a token is for.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What admins see.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whose it is; none for automation.
    pub user_id: Option<Uuid>,
    /// When it stops; none for never.
    pub expires_at: Option<Timestamp>,
}

/// Makes a token; its value is not kept.
///
/// # Errors
/// The database failed.
pub async fn create(tx: &mut Tx, by: By<'_>, new: NewToken) -> Result<SecretString, Refusal> {
    let value = format!("lk_{}", URL_SAFE_NO_PAD.encode(by.world.random::<32>()));
    let token = Token {
        id: by.world.id(),
        name: new.name,
        role: new.role,
        user_id: new.user_id,
        created_at: by.world.now(),
        expires_at: new.expires_at,
        revoked_at: None,
    };
    tx.insert_token(&token, &hash(&value)).await?;
    by.audit(
        tx,
        Done {
            action: "token.created",
            kind: "token",
            id: token.id.to_string(),
            name: &token.name,
            app: None,
            data: json!({ "role": token.role, "user_id": token.user_id, "expires_at": token.expires_at }),
        },
    );
    Ok(value.into())
}

/// What a token is found by.
#[must_use]
pub fn hash(value: &str) -> [u8; 32] {
    Sha256::digest(value.as_bytes()).into()
}
