//! People.

use latchkey_core::name::{Email, Name};
use latchkey_core::role::Role;

use super::{Refusal, taken};
use crate::store::Tx;
use crate::store::users::User;
use crate::world::World;

/// Adds a user.
///
/// # Errors
/// The address is taken.
pub async fn create(
    tx: &mut Tx,
    world: &World,
    email: Email,
    name: Name,
    role: Role,
) -> Result<User, Refusal> {
    let user = User { id: world.id(), email, name, role, created_at: world.now() };
    tx.insert_user(&user).await.map_err(|error| taken(error, "email", "another user has this address"))?;
    Ok(user)
}
