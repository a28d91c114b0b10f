//! People.

use latchkey_core::name::{Email, Name};
use latchkey_core::role::Role;
use serde_json::json;

use super::audit::Done;
use super::{By, Refusal, taken};
use crate::store::Tx;
use crate::store::users::User;

/// Adds a user.
///
/// # Errors
/// The address is taken.
pub async fn create(tx: &mut Tx, by: By<'_>, email: Email, name: Name, role: Role) -> Result<User, Refusal> {
    let user =
        User { id: by.world.id(), email, name, role, created_at: by.world.now(), deactivated_at: None };
    tx.insert_user(&user).await.map_err(|error| taken(error, "email", "another user has this address"))?;
    by.audit(
        tx,
        Done {
            action: "user.created",
            kind: "user",
            id: user.id.to_string(),
            name: user.email.as_str(),
            app: None,
            data: json!({ "role": user.role }),
        },
    );
    Ok(user)
}
