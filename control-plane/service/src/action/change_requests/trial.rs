//! Trying what a request asks of guardrails, before it is decided.

use jiff::{SignedDuration, Timestamp};
use latchkey_core::change::Change;
use latchkey_core::guardrails::{Proposal, Untriable};
use latchkey_store::Tx;
use latchkey_store::apps::App;
use latchkey_store::change_requests::ChangeRequest;
use latchkey_store::guardrail_trials::{GuardrailTrial, OpenTrial};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::approve::refuse_without_access;
use super::{pending, refuse_own};
use crate::action::audit::AuditedAction;
use crate::action::{By, Refusal};

/// A trial to start.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartTrial {
    /// How long it lasts: 1 to 720 hours. It ends by itself then.
    #[schema(minimum = 1, maximum = 720)]
    pub hours: u32,
}

/// 30 days.
const LONGEST_HOURS: u32 = 720;

/// Starts to try what a request asks of guardrails, or gives a trial that runs another end.
///
/// # Errors
/// There is no such request, it is not pending, the actor may not decide on it, there is nothing to try, or another
/// request for the app is being tried.
pub async fn start(
    tx: &mut Tx,
    by: By<'_>,
    id: Uuid,
    StartTrial { hours }: StartTrial,
) -> Result<(), Refusal> {
    if !(1..=LONGEST_HOURS).contains(&hours) {
        return Err(Refusal::field("hours", format!("must be 1 to {LONGEST_HOURS}")));
    }
    let request = tx.change_request(id).await?.ok_or(Refusal::NotFound("change request"))?;
    refuse_own(by.actor, &request, "another admin must start its trial")?;
    let Some(app) = tx.app(request.app_id).await? else { return Err(Refusal::NotFound("app")) };
    // Read again: whoever decides on it locks the app, too.
    let request = tx.change_request(id).await?.ok_or(Refusal::NotFound("change request"))?;
    let request = pending(request)?;
    refuse_without_access(tx, &request, &app).await?;
    let now = by.world.now();
    let proposal = Proposal::new(&app.name, &app.settings, &request.changes, now).map_err(refusal)?;
    if let Some(other) = tx.open_guardrail_trial(app.id).await?.filter(|other| other.change_request != id) {
        if other.runs(now) {
            return Err(refuse_second(tx, &other).await?);
        }
        tx.end_guardrail_trial(other.change_request, other.until, "").await?;
    }
    let until = now.saturating_add(SignedDuration::from_hours(hours.into())).unwrap_or(Timestamp::MAX);
    let untried = proposal.untried.clone();
    let trial = GuardrailTrial {
        change_request: id,
        app_id: app.id,
        proposal: Some(proposal),
        started_at: now,
        until,
        ended_at: None,
        ended_because: String::new(),
    };
    tx.start_guardrail_trial(&trial).await?;
    publish(tx, by, app.id).await?;
    audit(tx, by, &request, "change_request.trial_started", json!({ "until": until, "untried": untried }));
    Ok(())
}

/// Ends the trial of a request.
///
/// # Errors
/// There is no such request, the actor may not decide on it, or it is not being tried.
pub async fn end(tx: &mut Tx, by: By<'_>, id: Uuid) -> Result<(), Refusal> {
    let request = tx.change_request(id).await?.ok_or(Refusal::NotFound("change request"))?;
    refuse_own(by.actor, &request, "another admin must end its trial")?;
    tx.app(request.app_id).await?;
    let running = tx.open_guardrail_trial(request.app_id).await?;
    let now = by.world.now();
    if !running.is_some_and(|trial| trial.change_request == id && trial.runs(now)) {
        return Err(Refusal::conflict("not_running", "this request has no running trial"));
    }
    tx.end_guardrail_trial(id, now, "an admin ended it").await?;
    publish(tx, by, request.app_id).await?;
    audit(tx, by, &request, "change_request.trial_ended", json!({}));
    Ok(())
}

/// Ends the trial of a request that is decided. The app is locked.
pub(super) async fn end_decided(tx: &mut Tx, by: By<'_>, request: &ChangeRequest) -> Result<(), Refusal> {
    let open = tx.open_guardrail_trial(request.app_id).await?;
    match open.filter(|trial| trial.change_request == request.id) {
        Some(trial) => close(tx, by, &trial, "the request was decided").await,
        None => Ok(()),
    }
}

/// Ends the trial of an app whose guardrails `version` changed: what the request would make of them is another thing
/// now.
pub(in crate::action) async fn end_overtaken(
    tx: &mut Tx,
    by: By<'_>,
    app: &App,
    version: i64,
    changes: &[Change],
) -> Result<(), Refusal> {
    if !changes.iter().any(|change| Proposal::is_about(&change.path)) {
        return Ok(());
    }
    match tx.open_guardrail_trial(app.id).await? {
        Some(trial) => {
            let because = format!("version {version} of the app changed its guardrails");
            close(tx, by, &trial, &because).await
        }
        None => Ok(()),
    }
}

/// Ends a trial that was not noted to be over.
async fn close(tx: &mut Tx, by: By<'_>, trial: &OpenTrial, because: &str) -> Result<(), Refusal> {
    let now = by.world.now();
    if !trial.runs(now) {
        return Ok(tx.end_guardrail_trial(trial.change_request, trial.until, "").await?);
    }
    tx.end_guardrail_trial(trial.change_request, now, because).await?;
    publish(tx, by, trial.app_id).await
}

async fn publish(tx: &mut Tx, by: By<'_>, app: Uuid) -> Result<(), Refusal> {
    let revision = tx.revision(by.world).await?;
    Ok(tx.restamp_app(app, revision).await?)
}

fn refusal(untriable: Untriable) -> Refusal {
    let code = match untriable {
        Untriable::NoGuardrails | Untriable::Nothing(_) => "nothing_to_try",
        Untriable::Stale(_) => "changed_meanwhile",
        Untriable::Impossible(_) => "cannot_be_applied",
    };
    Refusal::conflict(code, untriable.to_string())
}

async fn refuse_second(tx: &mut Tx, other: &OpenTrial) -> Result<Refusal, Refusal> {
    let whose = tx.change_request(other.change_request).await?;
    let whose = whose.map_or_else(String::new, |request| format!(" of {}", request.user_email));
    let detail = format!(
        "the change request {}{whose} is on trial for this app until {}: end that trial first",
        other.change_request, other.until
    );
    Ok(Refusal::conflict("trial_running", detail))
}

fn audit(tx: &mut Tx, by: By<'_>, request: &ChangeRequest, action: &'static str, mut data: Value) {
    data["change_request_id"] = json!(request.id);
    data["requester"] = json!(request.user_email);
    let (id, name, app) = (request.id.to_string(), request.app_name.as_str(), Some(request.app_id));
    by.audit(tx, AuditedAction { action, kind: "change_request", id, name, app, data });
}
