//! `/api/v1/me/change-requests`, `/api/v1/me/apps/{id}/change-requests`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use latchkey_service::action::Refusal;
use latchkey_service::action::change_requests::submit::{self, NewChangeRequest};
use latchkey_service::action::change_requests::withdraw;
use latchkey_store::change_requests::{ChangeRequest, RequestFilter};
use uuid::Uuid;

use super::page;
use super::views::{ChangeRequestList, ChangeRequestView, MyRequestQuery};
use crate::Api;
use crate::auth::Person;
use crate::body::{JsonBody, PathParams, Query};
use crate::idempotency::{Answered, Creation};
use crate::problem::Problem;

/// Asks for a change of an app's configuration. It must be possible now; an admin decides on it.
#[utoipa::path(post, path = "/api/v1/me/apps/{id}/change-requests", tag = "me", operation_id = "submit_change_request",
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header)), request_body = NewChangeRequest,
    security(("token" = [])), responses((status = 201, body = ChangeRequestView), (status = "4XX", body = Problem)))]
pub async fn submit(
    Person { actor, user }: Person,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    new: Creation<JsonBody<NewChangeRequest>>,
) -> Result<Answered<ChangeRequestView>, Problem> {
    new.once(&api, StatusCode::CREATED, async |tx, JsonBody(new)| {
        let request = submit::submit(tx, api.context(&actor).by(), &user, id, new).await?;
        Ok(ChangeRequestView::from(request))
    })
    .await
}

/// Lists one's own change requests, newest first.
#[utoipa::path(get, path = "/api/v1/me/change-requests", tag = "me", operation_id = "list_my_change_requests",
    params(MyRequestQuery),
    security(("token" = [])), responses((status = 200, body = ChangeRequestList), (status = "4XX", body = Problem)))]
pub async fn list(
    Person { user, .. }: Person,
    State(api): State<Api>,
    Query(query): Query<MyRequestQuery>,
) -> Result<Json<ChangeRequestList>, Problem> {
    let MyRequestQuery { cursor, limit, app_id, status } = query;
    let filter = RequestFilter { app: app_id, user: Some(user.id), kind: None, status, before: None };
    page(&api, cursor.as_deref(), limit, filter).await
}

/// Shows a change request of one's own.
#[utoipa::path(get, path = "/api/v1/me/change-requests/{id}", tag = "me", operation_id = "read_my_change_request",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = ChangeRequestView), (status = "4XX", body = Problem)))]
pub async fn read(
    Person { user, .. }: Person,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Json<ChangeRequestView>, Problem> {
    Ok(Json(own(&api, user.id, id).await?.into()))
}

/// Takes a pending change request of one's own back.
#[utoipa::path(post, path = "/api/v1/me/change-requests/{id}/withdraw", tag = "me",
    operation_id = "withdraw_change_request", params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = ChangeRequestView), (status = "4XX", body = Problem)))]
pub async fn withdraw(
    Person { actor, user }: Person,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Json<ChangeRequestView>, Problem> {
    let mut tx = api.store.begin().await?;
    withdraw::withdraw(&mut tx, api.context(&actor).by(), user.id, id).await?;
    tx.commit().await?;
    Ok(Json(own(&api, user.id, id).await?.into()))
}

/// A request of this user's; another's is not there for them.
pub(super) async fn own(api: &Api, user: Uuid, id: Uuid) -> Result<ChangeRequest, Problem> {
    let request = api.store.change_request(id).await?.filter(|request| request.user_id == user);
    Ok(request.ok_or(Refusal::NotFound("change request"))?)
}
