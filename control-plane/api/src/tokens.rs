//! `/api/v1/tokens`: API tokens, for automation and of users.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use latchkey_core::actor::Actor;
use latchkey_core::expiry::{Lifetime, expiration};
use latchkey_core::name::Name;
use latchkey_core::role::Role;
use latchkey_service::action::Refusal;
use latchkey_service::action::tokens::{self, NewToken};
use latchkey_store::tokens::ApiToken;
use secrecy::ExposeSecret as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Api;
use super::auth::OwnerGuard;
use super::body::{JsonBody, PathParams, Query};
use super::idempotency::{Answered, Creation};
use super::pagination::{ListPage, PageQuery};
use super::problem::Problem;

/// An API token.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct TokenView {
    /// Opaque.
    pub id: Uuid,
    /// What people see.
    pub name: String,
    /// What it may do; if it is a user's, no more than they may.
    pub role: Role,
    /// Whose it is; null for automation.
    pub user_id: Option<Uuid>,
    /// The user who made it, or who made the token that did; null where the command line did. They are
    /// behind what it does: it approves no change that they asked for.
    pub created_by: Option<Uuid>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it stops; null for never.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
    /// Of a token for gateways: the one that it is bound to, `*` for any; null before its first use.
    pub gateway: Option<String>,
    /// What the client presents; only where it was just made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// A token to make, for automation or for a user.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// What people see: 1 to 100 characters.
    #[schema(value_type = String)]
    pub name: Name,
    /// What it may do: no more than whoever makes it. `gateway` is for an Envoy.
    pub role: Role,
    /// Whose it is; null for automation. It stops when they are deactivated.
    #[serde(default)]
    pub user_id: Option<Uuid>,
    /// For how long it works.
    #[serde(default)]
    pub expires_in: Option<Lifetime>,
    /// Or until when.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// With the role `gateway`: the gateway's name that it is for, or `*` where several Envoys share it. The
    /// first that uses it by default.
    #[serde(default)]
    pub gateway: Option<String>,
}

/// Which gateway a token is for.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BindToken {
    /// Its name, `*` for any, or null for the next that uses it.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required = true)]
    pub gateway: Option<String>,
}

/// A token of one's own to make.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOwnToken {
    /// What people see: 1 to 100 characters.
    #[schema(value_type = String)]
    pub name: Name,
    /// What it may do: as much as the credential that makes it, by default.
    #[serde(default)]
    pub role: Option<Role>,
    /// For how long it works.
    #[serde(default)]
    pub expires_in: Option<Lifetime>,
    /// Or until when.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
}

impl From<ApiToken> for TokenView {
    fn from(token: ApiToken) -> Self {
        let ApiToken { id, name, role, user_id, created_by, created_at, expires_at, revoked_at, gateway } =
            token;
        Self { id, name, role, user_id, created_by, created_at, expires_at, revoked_at, gateway, value: None }
    }
}

/// Lists every API token, oldest first, without values.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", operation_id = "list_tokens", params(PageQuery),
    security(("token" = [])), responses((status = 200, body = ListPage<TokenView>), (status = "4XX", body = Problem)))]
pub async fn list(
    _: OwnerGuard,
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<ListPage<TokenView>, Problem> {
    list_of(&api, None, query).await
}

/// Makes an API token, whose value is shown in this answer only.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", operation_id = "create_token",
    request_body = CreateToken, params(("Idempotency-Key" = Option<String>, Header)),
    security(("token" = [])), responses((status = 201, body = TokenView), (status = "4XX", body = Problem)))]
pub async fn create(
    OwnerGuard(actor): OwnerGuard,
    State(api): State<Api>,
    new: Creation<JsonBody<CreateToken>>,
) -> Result<Answered<TokenView>, Problem> {
    let now = api.world.now();
    create_from(&api, &actor, new, |new: CreateToken| {
        let CreateToken { name, role, user_id, expires_in, expires_at, gateway } = new;
        Ok(NewToken {
            name: name.into(),
            role,
            user_id,
            expires_at: expiration(expires_at, expires_in, now)?,
            gateway,
        })
    })
    .await
}

/// Binds a gateway's token to another gateway. Streams that are open stay.
#[utoipa::path(put, path = "/api/v1/tokens/{id}/gateway", tag = "tokens", operation_id = "bind_token",
    params(("id" = Uuid, Path)), request_body = BindToken,
    security(("token" = [])), responses((status = 200, body = TokenView), (status = "4XX", body = Problem)))]
pub async fn bind(
    OwnerGuard(actor): OwnerGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    JsonBody(BindToken { gateway }): JsonBody<BindToken>,
) -> Result<Json<TokenView>, Problem> {
    let mut tx = api.store.begin().await?;
    let token = tokens::bind(&mut tx, api.context(&actor).by(), id, gateway).await?;
    tx.commit().await?;
    Ok(Json(token.into()))
}

/// Revokes an API token for good. Streams that a gateway opened with it end within a minute.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "tokens", operation_id = "revoke_token",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = TokenView), (status = "4XX", body = Problem)))]
pub async fn revoke(
    OwnerGuard(actor): OwnerGuard,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Json<TokenView>, Problem> {
    revoke_of(&api, &actor, id, None).await
}

pub(super) async fn list_of(
    api: &Api,
    user: Option<Uuid>,
    query: PageQuery,
) -> Result<ListPage<TokenView>, Problem> {
    let paging = query.paging()?;
    let search = query.search.unwrap_or_default();
    let rows = api.store.tokens_of(user, &search, paging.after, paging.rows()).await?;
    Ok(paging.page(rows, |token| token.id, TokenView::from))
}

pub(super) async fn create_from<T: DeserializeOwned>(
    api: &Api,
    actor: &Actor,
    new: Creation<JsonBody<T>>,
    read: impl FnOnce(T) -> Result<NewToken, Refusal>,
) -> Result<Answered<TokenView>, Problem> {
    new.once(api, StatusCode::CREATED, async |tx, JsonBody(new)| {
        let (token, value) = tokens::grant(tx, api.context(actor).by(), read(new)?).await?;
        let value = Some(value.expose_secret().to_owned());
        Ok(TokenView { value, ..TokenView::from(token) })
    })
    .await
}

pub(super) async fn revoke_of(
    api: &Api,
    actor: &Actor,
    id: Uuid,
    owner: Option<Uuid>,
) -> Result<Json<TokenView>, Problem> {
    let mut tx = api.store.begin().await?;
    let token = tokens::revoke(&mut tx, api.context(actor).by(), id, owner).await?;
    tx.commit().await?;
    Ok(Json(token.into()))
}
