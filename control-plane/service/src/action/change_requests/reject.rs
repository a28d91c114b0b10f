//! Rejecting a request.

use latchkey_core::change_request::Status;
use latchkey_store::Tx;
use uuid::Uuid;

use super::{decide, given, pending, refuse_own};
use crate::action::{By, Refusal};

/// Rejects a request, for a reason that the requester sees.
///
/// # Errors
/// There is no such request, it is not pending, it is their own, or no reason was given.
pub async fn reject(tx: &mut Tx, by: By<'_>, id: Uuid, reason: &str) -> Result<(), Refusal> {
    given("reason", reason)?;
    let request = tx.change_request(id).await?.ok_or(Refusal::NotFound("change request"))?;
    refuse_own(by.actor, &request, "withdraw it instead")?;
    decide(tx, by, &pending(request)?, Status::Rejected, reason).await
}
