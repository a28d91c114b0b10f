//! What is done to an app: switched, rotated, deleted.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use latchkey_api::Api;
use latchkey_api::apps::{self, KeyValue, Rotate, Rotated, Switched};
use latchkey_api::body::{OptionalJsonBody, PathParams};
use latchkey_api::problem::Problem;
use latchkey_core::status::Switch;
use uuid::Uuid;

use super::{secret, settings};
use crate::form::Posted;
use crate::form::app::ROTATE;
use crate::format::{self, propagated};
use crate::frame::done;

pub async fn switch(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
    switch: Switch,
) -> Result<Response, Problem> {
    match apps::switch(&api, &posted.visit.admin()?.0, id, switch).await {
        Ok(Json(Switched { propagation, .. })) => {
            Ok(done(&format!("/admin/apps/{id}"), &format::switched(switch, &propagation)))
        }
        Err(problem) => settings::again(&posted, &api, id, &[], problem).await,
    }
}

pub async fn delete(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    match apps::delete(posted.visit.admin()?, State(api.clone()), PathParams(id)).await {
        Ok(Json(deleted)) => {
            let what = format!("Deleted. Its keys are revoked {}.", propagated(&deleted.propagation));
            Ok(done("/admin/apps", &what))
        }
        Err(problem) => settings::again(&posted, &api, id, &[], problem).await,
    }
}

/// Replaces its key's secret, and shows the new one.
pub async fn rotate(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let admin = posted.visit.admin()?;
    let rotated = async {
        let rotate = posted.creation::<Rotate, _>(ROTATE, OptionalJsonBody)?;
        apps::rotate(admin, State(api.clone()), PathParams(id), rotate).await?.into_made()
    };
    match rotated.await {
        Ok(Rotated { key, propagation }) => {
            let app = super::app(&posted.visit, &api, id).await?;
            let value = key.value.unwrap_or_default();
            secret::app(&posted.visit, &api, &app, "Secret rotated", value, Some(propagation)).await
        }
        Err(problem) => settings::again(&posted, &api, id, &[], problem).await,
    }
}

/// Shows its key's value again.
pub async fn value(
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    match apps::value(posted.visit.admin()?, State(api.clone()), PathParams(id)).await {
        Ok(Json(KeyValue { value })) => {
            let app = super::app(&posted.visit, &api, id).await?;
            secret::app(&posted.visit, &api, &app, "App key", value, None).await
        }
        Err(problem) => settings::again(&posted, &api, id, &[], problem).await,
    }
}
