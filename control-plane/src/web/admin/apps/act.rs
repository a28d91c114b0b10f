//! What is done to an app: switched, rotated, revoked, deleted.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use uuid::Uuid;

use super::{page, secret};
use crate::api::Api;
use crate::api::apps::{self, AppView, KeyValue, Rotate, Rotated, Switched};
use crate::api::body::{OptionalBody, Path};
use crate::api::problem::Problem;
use crate::web::form::Posted;
use crate::web::form::app::ROTATE;
use crate::web::format::propagated;
use crate::web::frame::done;

/// Switches it on.
pub async fn activate(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let switched = apps::activate(posted.visit.admin()?, State(api.clone()), Path(id)).await;
    answer(&api, id, &posted, "Activated", switched).await
}

/// Switches it off.
pub async fn deactivate(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let switched = apps::deactivate(posted.visit.admin()?, State(api.clone()), Path(id)).await;
    answer(&api, id, &posted, "Deactivated", switched).await
}

/// Switches it off for good.
pub async fn revoke(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let switched = apps::revoke(posted.visit.admin()?, State(api.clone()), Path(id)).await;
    answer(&api, id, &posted, "Revoked", switched).await
}

/// Deletes it.
pub async fn delete(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    match apps::delete(posted.visit.admin()?, State(api.clone()), Path(id)).await {
        Ok(Json(deleted)) => {
            let what = format!("Deleted: its keys are revoked {}.", propagated(&deleted.propagation));
            Ok(done("/admin/apps", &what))
        }
        Err(problem) => page::again(&posted, &api, id, &[], problem).await,
    }
}

/// Replaces its key's secret, and shows the new one.
pub async fn rotate(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    let admin = posted.visit.admin()?;
    let rotated = async {
        let rotate = posted.creation::<Rotate, _>(ROTATE, OptionalBody)?;
        apps::rotate(admin, State(api.clone()), Path(id), rotate).await?.told()
    };
    match rotated.await {
        Ok(told) => {
            let app = read(&posted, &api, id).await?;
            let Rotated { key: KeyValue { value }, propagation } = told;
            secret::app(&posted.visit, &api, &app, "Secret rotated", value, Some(propagation)).await
        }
        Err(problem) => page::again(&posted, &api, id, &[], problem).await,
    }
}

/// Shows its key's value again.
pub async fn value(
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    posted: Posted,
) -> Result<Response, Problem> {
    match apps::value(posted.visit.admin()?, State(api.clone()), Path(id)).await {
        Ok(Json(KeyValue { value })) => {
            let app = read(&posted, &api, id).await?;
            secret::app(&posted.visit, &api, &app, "App key", value, None).await
        }
        Err(problem) => page::again(&posted, &api, id, &[], problem).await,
    }
}

async fn read(posted: &Posted, api: &Api, id: Uuid) -> Result<AppView, Problem> {
    Ok(apps::read(posted.visit.reader()?, State(api.clone()), Path(id)).await?.0.item)
}

async fn answer(
    api: &Api,
    id: Uuid,
    posted: &Posted,
    what: &str,
    switched: Result<Json<Switched<AppView>>, Problem>,
) -> Result<Response, Problem> {
    match switched {
        Ok(Json(Switched { propagation, .. })) => {
            Ok(done(&format!("/admin/apps/{id}"), &format!("{what} {}.", propagated(&propagation))))
        }
        Err(problem) => page::again(posted, api, id, &[], problem).await,
    }
}
