//! What is done to a named key: switched and rotated.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use latchkey_api::Api;
use latchkey_api::apps::{KeyValue, Rotate, Rotated, Switched};
use latchkey_api::body::{OptionalJsonBody, PathParams};
use latchkey_api::keys;
use latchkey_api::problem::Problem;
use latchkey_core::status::Switch;
use uuid::Uuid;

use super::key::{again, path};
use crate::admin::apps::secret;
use crate::form::Posted;
use crate::form::app::ROTATE;
use crate::format;
use crate::frame::done;

pub async fn switch(
    State(api): State<Api>,
    PathParams(ids): PathParams<(Uuid, Uuid)>,
    posted: Posted,
    switch: Switch,
) -> Result<Response, Problem> {
    match keys::switch(&api, &posted.visit.admin()?.0, ids, switch).await {
        Ok(Json(Switched { propagation, .. })) => {
            Ok(done(&path(ids), &format::switched(switch, &propagation)))
        }
        Err(problem) => again(&posted, &api, ids, problem).await,
    }
}

/// Replaces its secret, and shows the new one.
pub async fn rotate(
    State(api): State<Api>,
    PathParams(ids): PathParams<(Uuid, Uuid)>,
    posted: Posted,
) -> Result<Response, Problem> {
    let admin = posted.visit.admin()?;
    let rotated = async {
        let rotate = posted.creation::<Rotate, _>(ROTATE, OptionalJsonBody)?;
        keys::rotate(admin, State(api.clone()), PathParams(ids), rotate).await?.into_made()
    };
    match rotated.await {
        Ok(Rotated { key, propagation }) => {
            let app = super::app(&posted.visit, &api, ids.0).await?;
            let value = key.value.unwrap_or_default();
            secret::named(&posted.visit, &api, &app, "Secret rotated", &path(ids), value, Some(propagation))
                .await
        }
        Err(problem) => again(&posted, &api, ids, problem).await,
    }
}

pub async fn value(
    State(api): State<Api>,
    PathParams(ids): PathParams<(Uuid, Uuid)>,
    posted: Posted,
) -> Result<Response, Problem> {
    match keys::value(posted.visit.admin()?, State(api.clone()), PathParams(ids)).await {
        Ok(Json(KeyValue { value })) => {
            let app = super::app(&posted.visit, &api, ids.0).await?;
            secret::named(&posted.visit, &api, &app, "Named key", &path(ids), value, None).await
        }
        Err(problem) => again(&posted, &api, ids, problem).await,
    }
}
