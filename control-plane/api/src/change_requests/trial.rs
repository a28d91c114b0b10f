//! `/api/v1/change-requests/{id}/trial`

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use latchkey_service::action::change_requests::trial;
use latchkey_store::guardrail_trials::TrialCounts;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::views::ChangeRequestDetail;
use crate::Api;
use crate::auth::AdminGuard;
use crate::body::{JsonBody, PathParams};
use crate::problem::Problem;

pub use latchkey_service::action::change_requests::trial::StartTrial;

/// What a change request would have done to the app's requests, had it been approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TrialView {
    /// Whether requests are being tried.
    pub running: bool,
    /// When it was first started: the counts are from then on.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When it ends, or would have ended, by itself.
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
    /// When it was over; null while it runs.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// Why it was over before its time; null where it was not.
    pub ended_because: Option<String>,
    /// What of the request is not tried, and why.
    pub untried: Vec<String>,
    /// On how many requests it was tried: those of which the records are kept. A gateway that does not know trials
    /// tries none.
    pub requests: u64,
    /// How many of them it would have blocked, or ended the answer of.
    pub would_block: u64,
    /// In how many it would have redacted something.
    pub would_redact: u64,
    /// In how many it would have anonymized something.
    pub would_anonymize: u64,
    /// In how many it would have noted something.
    pub would_monitor: u64,
}

/// Tries what a pending change request asks of guardrails on the app's requests, and changes nothing: its findings say
/// what it would have done. It ends by itself, or when the request is decided or the app's guardrails change. For a
/// trial that runs, its end is set anew.
#[utoipa::path(post, path = "/api/v1/change-requests/{id}/trial", tag = "change requests",
    operation_id = "start_change_request_trial", params(("id" = Uuid, Path)), request_body = StartTrial,
    security(("token" = [])), responses((status = 200, body = ChangeRequestDetail), (status = "4XX", body = Problem)))]
pub async fn start(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    JsonBody(body): JsonBody<StartTrial>,
) -> Result<Json<ChangeRequestDetail>, Problem> {
    let mut tx = api.store.begin().await?;
    trial::start(&mut tx, api.context(&actor).by(), id, body).await?;
    tx.commit().await?;
    Ok(Json(super::detail(&api, id).await?))
}

/// Ends the trial of a change request.
#[utoipa::path(delete, path = "/api/v1/change-requests/{id}/trial", tag = "change requests",
    operation_id = "end_change_request_trial", params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = ChangeRequestDetail), (status = "4XX", body = Problem)))]
pub async fn end(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Json<ChangeRequestDetail>, Problem> {
    let mut tx = api.store.begin().await?;
    trial::end(&mut tx, api.context(&actor).by(), id).await?;
    tx.commit().await?;
    Ok(Json(super::detail(&api, id).await?))
}

/// The trial of a change request; none where it was never tried.
pub(super) async fn view(api: &Api, request: Uuid) -> Result<Option<TrialView>, Problem> {
    let Some(trial) = api.store.guardrail_trial(request).await? else { return Ok(None) };
    let counts = api.store.trial_counts(request).await?;
    let TrialCounts { requests, blocked, redacted, anonymized, monitored } = counts;
    let running = trial.runs(api.world.now());
    Ok(Some(TrialView {
        running,
        started_at: trial.started_at,
        until: trial.until,
        ended_at: trial.ended_at.or_else(|| (!running).then_some(trial.until)),
        ended_because: Some(trial.ended_because).filter(|because| !because.is_empty()),
        untried: trial.proposal.map(|proposal| proposal.untried).unwrap_or_default(),
        requests,
        would_block: blocked,
        would_redact: redacted,
        would_anonymize: anonymized,
        would_monitor: monitored,
    }))
}
