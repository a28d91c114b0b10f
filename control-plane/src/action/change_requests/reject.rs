//! Rejecting a request.

use latchkey_core::change_request::Status;
use uuid::Uuid;

use super::{decide, given, pending};
use crate::action::{By, Refusal};
use crate::store::Tx;

/// Rejects a request, for a reason that the requester sees.
///
/// # Errors
/// There is no such request, it is not pending, or no reason was given.
pub async fn reject(tx: &mut Tx, by: By<'_>, id: Uuid, reason: &str) -> Result<(), Refusal> {
    given("reason", reason)?;
    let request = tx.change_request(id).await?.ok_or(Refusal::NotFound("change request"))?;
    if by.actor.user == Some(request.user_id) {
        let detail = "this request is your own: withdraw it instead".to_owned();
        return Err(Refusal::Forbidden { code: "own_request", detail });
    }
    decide(tx, by, &pending(request)?, Status::Rejected, reason).await
}
