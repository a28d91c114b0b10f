//! Approving a request: it is applied on top of what the app is now.

use latchkey_core::access::Capability;
use latchkey_core::change::Configuration;
use latchkey_core::change_request::Status;
use latchkey_store::Tx;
use latchkey_store::apps::App;
use latchkey_store::change_requests::ChangeRequest;
use uuid::Uuid;

use super::{bounded, decide, pending, refuse_own};
use crate::action::apps::save::{VersionOrigin, save};
use crate::action::{Context, Refusal};

/// What an approval came to.
#[derive(Debug)]
pub enum Approval {
    /// The request is approved and applied, or it is stale after all.
    Decided,
    /// It cannot be applied, for this cause. What this transaction did must be abandoned, and the
    /// request be marked by [`fail`] in another one.
    Impossible(String),
}

/// Approves a request and applies it.
///
/// # Errors
/// There is no such request, it is not pending, the approver is the requester or has a token that the
/// requester made, or the requester may no longer ask for changes.
pub async fn approve(
    tx: &mut Tx,
    context: Context<'_>,
    id: Uuid,
    comment: &str,
) -> Result<Approval, Refusal> {
    bounded("comment", comment)?;
    let request = tx.change_request(id).await?.ok_or(Refusal::NotFound("change request"))?;
    refuse_own(context.actor, &request, "another admin must decide; you can withdraw it")?;
    let request = pending(request)?;
    let Some(app) = tx.app(request.app_id).await? else {
        return Ok(Approval::Impossible("the app was deleted".to_owned()));
    };
    refuse_without_access(tx, &request, &app).await?;
    let current = Configuration::of(&app.name, &app.settings);
    let differ = request.changes.iter().filter(|change| change.differs(&current));
    let differ: Vec<_> = differ.map(|change| format!("`{}`", change.path)).collect();
    if !differ.is_empty() {
        let reason = format!("{} changed in the meantime", differ.join(", "));
        decide(tx, context.by(), &request, Status::Stale, &reason).await?;
        return Ok(Approval::Decided);
    }
    decide(tx, context.by(), &request, Status::Approved, comment).await?;
    let Ok((name, settings)) = current.with(&request.changes).into_parts() else {
        return Ok(Approval::Impossible("its values no longer fit the settings".to_owned()));
    };
    match save(tx, context, app, name, settings, VersionOrigin::Request(id)).await {
        Ok(saved) => {
            if let Some(version) = saved.version {
                tx.applied_as(id, version).await?;
            }
            Ok(Approval::Decided)
        }
        Err(Refusal::Invalid(invalid)) => {
            let causes: Vec<_> = invalid.0.iter().map(ToString::to_string).collect();
            Ok(Approval::Impossible(causes.join("; ")))
        }
        Err(Refusal::Conflict { detail, .. }) => Ok(Approval::Impossible(detail)),
        Err(other) => Err(other),
    }
}

/// Marks a request that was approved and could not be applied as failed.
///
/// # Errors
/// It is no longer pending.
pub async fn fail(tx: &mut Tx, context: Context<'_>, id: Uuid, cause: &str) -> Result<(), Refusal> {
    let request = tx.change_request(id).await?.ok_or(Refusal::NotFound("change request"))?;
    decide(tx, context.by(), &request, Status::Failed, cause).await
}

pub(super) async fn refuse_without_access(
    tx: &mut Tx,
    request: &ChangeRequest,
    app: &App,
) -> Result<(), Refusal> {
    let access = &app.settings.self_service.access;
    let member = tx.member(request.user_id).await?;
    let may = |capability| member.as_ref().is_some_and(|member| access.grants(capability, member));
    if may(Capability::Viewer) && may(Capability::SettingsRequest) {
        return Ok(());
    }
    let detail =
        format!("{} can no longer request changes to this app: reject the request", request.user_email);
    Err(Refusal::conflict("requester_lost_access", detail))
}
