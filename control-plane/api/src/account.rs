//! `/api/v1/me`: one's own account.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use latchkey_core::actor::{Actor, Credential};
use latchkey_core::role::{Permission, Role};
use latchkey_service::action::tokens::NewToken;
use latchkey_service::action::{self, Refusal};
use latchkey_service::sign_in::{Cookie, csrf_token};
use latchkey_store::sessions::{BrowserSession, Method};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Api;
use super::auth::Person;
use super::body::{JsonBody, PathParams, Query};
use super::idempotency::{Answered, Creation};
use super::pagination::{ListPage, PageQuery};
use super::problem::Problem;
use super::sign_in::{client, sign_in_context};
use super::tokens::{self, NewOwnToken, TokenView};
use super::users::UserView;

/// Who is asking.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Me {
    /// The user.
    pub user: UserView,
    /// What they may do with this credential: a token may do less than its user.
    pub role: Role,
    /// The same as permissions, such as `gateway.read`.
    #[schema(value_type = Vec<String>)]
    pub permissions: Vec<&'static str>,
    /// The names of the smart groups that they are in.
    pub groups: Vec<String>,
    /// What requests by cookie send in `X-CSRF-Token` to change something; null without a session.
    pub csrf_token: Option<String>,
}

/// A browser that is signed in.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SessionView {
    /// Opaque.
    pub id: Uuid,
    /// Whether it is the one that asks.
    pub current: bool,
    /// How it was begun.
    pub method: Method,
    /// What the browser called itself.
    pub user_agent: String,
    /// From where it was begun; null where that is not known.
    pub client_address: Option<String>,
    /// When it was begun.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    #[schema(value_type = String, format = DateTime)]
    pub seen_at: Timestamp,
    /// When it ends at the latest; unused, it ends earlier.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// Sessions that were ended.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = Ended)]
pub struct EndedSessions {
    /// How many.
    pub sessions: u64,
}

/// A password to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    /// The one until now.
    #[schema(value_type = String)]
    pub current: SecretString,
    /// 12 to 128 characters.
    #[schema(value_type = String)]
    pub new: SecretString,
}

impl Me {
    /// What is known of the user who acts.
    pub async fn read(api: &Api, actor: &Actor, csrf_token: Option<String>) -> Result<Self, Problem> {
        let id = actor.user.ok_or(Refusal::NotFound("user"))?;
        let account = api.store.account(id).await?.ok_or(Refusal::NotFound("user"))?;
        let permitted = Permission::ALL.into_iter().filter(|permission| actor.role.permits(*permission));
        Ok(Self {
            user: account.into(),
            role: actor.role,
            permissions: permitted.map(Permission::as_str).collect(),
            groups: api.store.group_names_of(id).await?,
            csrf_token,
        })
    }
}

impl SessionView {
    /// The live sessions of a user, as `actor` sees them.
    pub(super) async fn list(api: &Api, actor: &Actor, user: Uuid) -> Result<ListPage<Self>, Problem> {
        let sessions = api.store.sessions_of(user, api.sign_in.live(api.world.now())).await?;
        let view = |session: BrowserSession| {
            let current = actor.credential == Credential::Session(session.id);
            let BrowserSession {
                id,
                user_id: _,
                method,
                user_agent,
                client_address,
                created_at,
                seen_at,
                expires_at,
            } = session;
            let client_address = Some(client_address).filter(|address| !address.is_empty());
            Self { id, current, method, user_agent, client_address, created_at, seen_at, expires_at }
        };
        Ok(ListPage { items: sessions.into_iter().map(view).collect(), next_cursor: None })
    }
}

/// Shows who is asking, and what they may do.
#[utoipa::path(get, path = "/api/v1/me", tag = "me", operation_id = "read_me",
    security(("token" = [])), responses((status = 200, body = Me), (status = "4XX", body = Problem)))]
pub async fn me(
    Person { actor, .. }: Person,
    State(api): State<Api>,
    headers: HeaderMap,
) -> Result<Json<Me>, Problem> {
    let cookie = api.sign_in.cookie(Cookie::Session, &headers);
    let csrf = cookie.filter(|_| matches!(actor.credential, Credential::Session(_)));
    Ok(Json(Me::read(&api, &actor, csrf.as_ref().map(csrf_token)).await?))
}

/// Changes one's own password, and signs out everywhere else.
#[utoipa::path(post, path = "/api/v1/me/password", tag = "me", operation_id = "change_password",
    request_body = ChangePassword,
    security(("token" = [])), responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn password(
    Person { actor, user }: Person,
    State(api): State<Api>,
    headers: HeaderMap,
    JsonBody(ChangePassword { current, new }): JsonBody<ChangePassword>,
) -> Result<StatusCode, Problem> {
    let client = client(actor.address, &headers);
    let by = api.context(&actor).by();
    action::passwords::change(sign_in_context(&api, &client), by, &user, current, new).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists where one is signed in, the latest sign-in first.
#[utoipa::path(get, path = "/api/v1/me/sessions", tag = "me", operation_id = "list_my_sessions",
    security(("token" = [])), responses((status = 200, body = ListPage<SessionView>), (status = "4XX", body = Problem)))]
pub async fn sessions(
    Person { actor, user }: Person,
    State(api): State<Api>,
) -> Result<ListPage<SessionView>, Problem> {
    SessionView::list(&api, &actor, user.id).await
}

/// Signs out one of one's own browsers.
#[utoipa::path(delete, path = "/api/v1/me/sessions/{id}", tag = "me", operation_id = "end_my_session",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn end_session(
    Person { actor, user }: Person,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<StatusCode, Problem> {
    let mut tx = api.store.begin().await?;
    action::sessions::end(&mut tx, api.context(&actor).by(), &user, id).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists one's own API tokens, oldest first, without their values.
#[utoipa::path(get, path = "/api/v1/me/tokens", tag = "me", operation_id = "list_my_tokens", params(PageQuery),
    security(("token" = [])), responses((status = 200, body = ListPage<TokenView>), (status = "4XX", body = Problem)))]
pub async fn tokens(
    Person { user, .. }: Person,
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<ListPage<TokenView>, Problem> {
    tokens::list_of(&api, Some(user.id), query).await
}

/// Makes an API token of one's own, whose value is shown in this answer only. It may do no more
/// than the credential that makes it, nor ever more than its user.
#[utoipa::path(post, path = "/api/v1/me/tokens", tag = "me", operation_id = "create_my_token",
    request_body = NewOwnToken, params(("Idempotency-Key" = Option<String>, Header)),
    security(("token" = [])), responses((status = 201, body = TokenView), (status = "4XX", body = Problem)))]
pub async fn create_token(
    Person { actor, user }: Person,
    State(api): State<Api>,
    new: Creation<JsonBody<NewOwnToken>>,
) -> Result<Answered<TokenView>, Problem> {
    let now = api.world.now();
    tokens::create_from(&api, &actor, new, |new: NewOwnToken| {
        let NewOwnToken { name, role, expires_in, expires_at } = new;
        let expires_at = latchkey_core::expiry::expiration(expires_at, expires_in, now)?;
        let role = role.unwrap_or(actor.role);
        Ok(NewToken { name: name.into(), role, user_id: Some(user.id), expires_at, gateway: None })
    })
    .await
}

/// Revokes one of one's own API tokens for good.
#[utoipa::path(delete, path = "/api/v1/me/tokens/{id}", tag = "me", operation_id = "revoke_my_token",
    params(("id" = Uuid, Path)),
    security(("token" = [])), responses((status = 200, body = TokenView), (status = "4XX", body = Problem)))]
pub async fn revoke_token(
    Person { actor, user }: Person,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
) -> Result<Json<TokenView>, Problem> {
    tokens::revoke_of(&api, &actor, id, Some(user.id)).await
}
