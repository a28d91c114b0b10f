//! What is done to a named key: switched, rotated, revoked.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use uuid::Uuid;

use super::page::again;
use crate::api::Api;
use crate::api::apps::{KeyValue, Rotate, Rotated, Switched};
use crate::api::body::{OptionalBody, Path};
use crate::api::keys::{self, KeyView};
use crate::api::problem::Problem;
use crate::web::admin::apps::secret;
use crate::web::form::Posted;
use crate::web::form::app::ROTATE;
use crate::web::format::propagated;
use crate::web::frame::done;

/// Switches it on.
pub async fn activate(
    State(api): State<Api>,
    Path(ids): Path<(Uuid, Uuid)>,
    posted: Posted,
) -> Result<Response, Problem> {
    let switched = keys::activate(posted.visit.admin()?, State(api.clone()), Path(ids)).await;
    answer(&api, ids, &posted, "Activated", switched).await
}

/// Switches it off.
pub async fn deactivate(
    State(api): State<Api>,
    Path(ids): Path<(Uuid, Uuid)>,
    posted: Posted,
) -> Result<Response, Problem> {
    let switched = keys::deactivate(posted.visit.admin()?, State(api.clone()), Path(ids)).await;
    answer(&api, ids, &posted, "Deactivated", switched).await
}

/// Switches it off for good.
pub async fn revoke(
    State(api): State<Api>,
    Path(ids): Path<(Uuid, Uuid)>,
    posted: Posted,
) -> Result<Response, Problem> {
    let switched = keys::revoke(posted.visit.admin()?, State(api.clone()), Path(ids)).await;
    answer(&api, ids, &posted, "Revoked", switched).await
}

/// Replaces its secret, and shows the new one.
pub async fn rotate(
    State(api): State<Api>,
    Path(ids): Path<(Uuid, Uuid)>,
    posted: Posted,
) -> Result<Response, Problem> {
    let admin = posted.visit.admin()?;
    let rotated = async {
        let rotate = posted.creation::<Rotate, _>(ROTATE, OptionalBody)?;
        keys::rotate(admin, State(api.clone()), Path(ids), rotate).await?.told()
    };
    match rotated.await {
        Ok(told) => {
            let app = super::app(&posted.visit, &api, ids.0).await?;
            let Rotated { key: KeyValue { value }, propagation } = told;
            secret::named(&posted.visit, &api, &app, "Secret rotated", &at(ids), value, Some(propagation))
                .await
        }
        Err(problem) => again(&posted, &api, ids, problem).await,
    }
}

/// Shows its value again.
pub async fn value(
    State(api): State<Api>,
    Path(ids): Path<(Uuid, Uuid)>,
    posted: Posted,
) -> Result<Response, Problem> {
    match keys::value(posted.visit.admin()?, State(api.clone()), Path(ids)).await {
        Ok(Json(KeyValue { value })) => {
            let app = super::app(&posted.visit, &api, ids.0).await?;
            secret::named(&posted.visit, &api, &app, "Named key", &at(ids), value, None).await
        }
        Err(problem) => again(&posted, &api, ids, problem).await,
    }
}

fn at((app, key): (Uuid, Uuid)) -> String {
    format!("/admin/apps/{app}/keys/{key}")
}

async fn answer(
    api: &Api,
    ids: (Uuid, Uuid),
    posted: &Posted,
    what: &str,
    switched: Result<Json<Switched<KeyView>>, Problem>,
) -> Result<Response, Problem> {
    match switched {
        Ok(Json(Switched { propagation, .. })) => {
            Ok(done(&at(ids), &format!("{what} {}.", propagated(&propagation))))
        }
        Err(problem) => again(posted, api, ids, problem).await,
    }
}
