//! `/api/v1/users`

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use latchkey_core::name::{Email, Name};
use latchkey_core::role::Role;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Api;
use super::auth::{Owner, Reader};
use super::body::{Path, Query};
use super::idempotency::{Attempt, Creation};
use super::page::{Page, PageQuery};
use super::problem::Problem;
use crate::action::{self, Refusal};
use crate::store::users::User;

/// A person.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UserView {
    /// Opaque.
    pub id: Uuid,
    /// Unique.
    #[schema(value_type = String)]
    pub email: Email,
    /// What others see.
    #[schema(value_type = String)]
    pub name: Name,
    /// What they may do.
    pub role: Role,
    /// When the record was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A person to add.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// Unique.
    #[schema(value_type = String)]
    pub email: Email,
    /// What others see: 1 to 100 characters.
    #[schema(value_type = String)]
    pub name: Name,
    /// What they may do: `user` by default.
    #[serde(default = "user")]
    pub role: Role,
}

fn user() -> Role {
    Role::User
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        let User { id, email, name, role, created_at, deactivated_at: _ } = user;
        Self { id, email, name, role, created_at }
    }
}

/// Lists users, oldest first.
#[utoipa::path(get, path = "/api/v1/users", tag = "users", operation_id = "list_users", params(PageQuery),
    security(("token" = [])), responses((status = 200, body = Page<UserView>), (status = "4XX", body = Problem)))]
pub async fn list(
    _: Reader,
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<Page<UserView>, Problem> {
    let wanted = query.wanted()?;
    let rows = api.store.users(&query.search.unwrap_or_default(), wanted.after, wanted.rows()).await?;
    Ok(wanted.page(rows, |user| user.id, UserView::from))
}

/// Adds a user.
#[utoipa::path(post, path = "/api/v1/users", tag = "users", operation_id = "create_user", request_body = NewUser,
    params(("Idempotency-Key" = Option<String>, Header)),
    security(("token" = [])), responses((status = 201, body = UserView), (status = "4XX", body = Problem)))]
pub async fn create(
    Owner(actor): Owner,
    State(api): State<Api>,
    new: Creation<NewUser>,
) -> Result<Response, Problem> {
    let (new, attempt) = new.begin(&api).await?;
    let mut first = match attempt {
        Attempt::Replay(response) => return Ok(response),
        Attempt::First(first) => first,
    };
    if new.role == Role::Gateway {
        return Err(Refusal::field("role", "is for tokens of gateways, not for people").into());
    }
    let user =
        action::users::create(&mut first.tx, api.context(&actor).by(), new.email, new.name, new.role).await?;
    first.created(&api, &UserView::from(user)).await
}

/// Shows a user.
#[utoipa::path(get, path = "/api/v1/users/{id}", tag = "users", operation_id = "read_user",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = UserView), (status = "4XX", body = Problem)))]
pub async fn read(
    _: Reader,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
) -> Result<Json<UserView>, Problem> {
    Ok(Json(api.store.user(id).await?.ok_or(Refusal::NotFound("user"))?.into()))
}
