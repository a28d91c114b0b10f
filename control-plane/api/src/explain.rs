//! `/api/v1/apps/{id}/explain`

mod headers;
mod views;

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use latchkey_core::attempt::RestingTarget;
use latchkey_ledger::transaction::DryRun;
use latchkey_service::action::Refusal;
use latchkey_service::explain;
use uuid::Uuid;

use super::Api;
use super::apps::find;
use super::auth::ReaderGuard;
use super::body::{JsonBody, PathParams};
use super::problem::Problem;

pub use views::{Explain, Explanation};

/// Explains what gateways would do with a request of this app, and why. It asks the gate's own code,
/// for a gateway that holds what the control plane has published and no units of any limit yet.
/// Nothing is sent, changed or reserved.
#[utoipa::path(post, path = "/api/v1/apps/{id}/explain", tag = "apps", operation_id = "explain_request",
    params(("id" = Uuid, Path)), request_body = Explain,
    security(("token" = [])), responses((status = 200, body = Explanation), (status = "4XX", body = Problem)))]
pub async fn explain(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    JsonBody(asked): JsonBody<Explain>,
) -> Result<Json<Explanation>, Problem> {
    let app = find(&api, id).await?;
    let key = match asked.key_id {
        Some(key) => api.store.named_key(id, key).await?,
        None => None,
    };
    let key = match (key, api.store.app_key(id).await?) {
        (Some(named), _) => named,
        (None, Some(own)) if asked.key_id.is_none_or(|asked| asked == own.id) => own,
        _ => return Err(Refusal::field("key_id", "the app has no key with this ID").into()),
    };
    let question = asked.question(key.hash, api.world.now())?;
    let held = api.store.held(&app, key.id).await?;
    let mut snapshot = api.store.snapshot().await?;
    let limits = DryRun::open(&mut snapshot, BTreeSet::from([id, key.id]), question.at).await?;
    drop(snapshot);
    let answer = explain::explain(held, limits, &question)
        .map_err(|refused| Refusal::conflict("refused_by_gateways", refused.to_string()))?;
    let mut explanation = Explanation::new(app.id, key.id, &question, answer);
    if let Some(routing) = explanation.forward.as_mut().and_then(|forward| forward.routing.as_mut()) {
        for gateway in api.gateways.list().await? {
            if gateway.group_clusters == Some(false) {
                routing.without_clusters.push(gateway.name.clone());
            }
            for target in &mut routing.targets {
                let is_it = |rest: &RestingTarget| {
                    rest.provider == target.provider && rest.model == target.model && rest.until > question.at
                };
                if gateway.resting.iter().any(is_it) {
                    target.resting_at.push(gateway.name.clone());
                }
            }
        }
    }
    Ok(Json(explanation))
}
