//! Taking a request back.

use latchkey_core::change_request::Status;
use latchkey_store::Tx;
use uuid::Uuid;

use super::{decide, pending};
use crate::action::{By, Refusal};

/// Withdraws a request of `user`.
///
/// # Errors
/// They have no such request, or it is not pending.
pub async fn withdraw(tx: &mut Tx, by: By<'_>, user: Uuid, id: Uuid) -> Result<(), Refusal> {
    let request = tx.change_request(id).await?.filter(|request| request.user_id == user);
    let request = pending(request.ok_or(Refusal::NotFound("change request"))?)?;
    decide(tx, by, &request, Status::Withdrawn, "").await
}
