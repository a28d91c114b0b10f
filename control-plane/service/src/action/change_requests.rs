//! What users ask to be changed, and what becomes of it.

pub mod approve;
pub mod edit;
pub mod outdate;
pub mod reject;
pub mod submit;
pub mod trial;
pub mod withdraw;

use latchkey_core::actor::Actor;
use latchkey_core::change_request::Status;
use latchkey_store::Tx;
use latchkey_store::change_requests::{ChangeRequest, RequestDecision};
use latchkey_store::events::NewEvent;
use serde_json::json;

use super::audit::AuditedAction;
use super::{By, Refusal};

pub use outdate::{outdate, outdate_all};

const LONGEST_TEXT: usize = 2000;

/// Takes a pending request to another status, ends its trial, and tells events and the audit log. Whoever comes
/// second is refused: the row is compared and swapped.
async fn decide(
    tx: &mut Tx,
    by: By<'_>,
    request: &ChangeRequest,
    status: Status,
    comment: &str,
) -> Result<(), Refusal> {
    // Whoever starts a trial locks the app, too. It may be deleted.
    tx.app(request.app_id).await?;
    let decider = by.actor.user.filter(|_| status != Status::Stale);
    let decision = RequestDecision { status, at: by.world.now(), by: decider, comment };
    if !tx.decide(request.id, decision).await? {
        return Err(not_pending());
    }
    trial::end_decided(tx, by, request).await?;
    let action = match status {
        Status::Pending => "change_request.submitted",
        Status::Approved => "change_request.approved",
        Status::Rejected => "change_request.rejected",
        Status::Failed => "change_request.failed",
        Status::Stale => "change_request.stale",
        Status::Withdrawn => "change_request.withdrawn",
    };
    tell(tx, by, request, action, comment).await
}

async fn tell(
    tx: &mut Tx,
    by: By<'_>,
    request: &ChangeRequest,
    action: &'static str,
    comment: &str,
) -> Result<(), Refusal> {
    let paths: Vec<_> = request.changes.iter().map(|change| &change.path).collect();
    let data = json!({
        "change_request_id": request.id, "kind": request.kind, "requester_id": request.user_id,
        "requester": request.user_email, "reason": request.reason, "changed": paths, "comment": comment,
        "actor": {"kind": by.actor.kind(), "id": by.actor.id(), "name": by.actor.name},
    });
    let event = NewEvent {
        at: by.world.now(),
        kind: action,
        app_id: request.app_id.to_string(),
        key_id: String::new(),
        data: data.clone(),
        once: Some(format!("{action}:{}", request.id)),
    };
    tx.insert_event(event).await?;
    let (id, name, app) = (request.id.to_string(), request.app_name.as_str(), Some(request.app_id));
    by.audit(tx, AuditedAction { action, kind: "change_request", id, name, app, data });
    Ok(())
}

fn not_pending() -> Refusal {
    Refusal::conflict("not_pending", "this request is no longer pending: check its status")
}

/// Refuses those who asked, also with a token that they made for someone or something else.
fn refuse_own(actor: &Actor, request: &ChangeRequest, instead: &str) -> Result<(), Refusal> {
    if !actor.may_be(request.user_id) {
        return Ok(());
    }
    let whose =
        if actor.user == Some(request.user_id) { "your own" } else { "of the user who made your token" };
    let detail = format!("this request is {whose}: {instead}");
    Err(Refusal::Forbidden { code: "own_request", detail })
}

/// Refuses what was decided already.
pub(in crate::action) fn pending(request: ChangeRequest) -> Result<ChangeRequest, Refusal> {
    if request.status == Status::Pending { Ok(request) } else { Err(not_pending()) }
}

/// Refuses a text of people that is too long.
fn bounded(path: &str, text: &str) -> Result<(), Refusal> {
    if text.chars().count() > LONGEST_TEXT {
        return Err(Refusal::field(path, format!("must be at most {LONGEST_TEXT} characters")));
    }
    Ok(())
}

/// Refuses a text that is required and is not, or is too long.
fn given(path: &str, text: &str) -> Result<(), Refusal> {
    if text.trim().is_empty() {
        return Err(Refusal::field(path, "is required"));
    }
    bounded(path, text)
}
