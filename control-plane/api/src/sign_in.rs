//! `/api/v1/auth`: signing in and out.

use std::net::IpAddr;

use axum::Json;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use latchkey_core::actor::Credential;
use latchkey_service::action;
use latchkey_service::action::Refusal;
use latchkey_service::action::sessions::{SignInClient, StartedSession};
use latchkey_service::action::sign_in::SignInContext;
use latchkey_service::sign_in::{Cookie, csrf_token};
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Api;
use super::account::Me;
use super::auth::{Person, from_our_site};
use super::body::JsonBody;
use super::problem::Problem;

/// Who signs in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The user's email address.
    pub email: String,
    /// Their password.
    #[schema(value_type = String)]
    pub password: SecretString,
}

/// An invitation to accept.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    /// What stands behind the `#` of the invitation's link.
    #[schema(value_type = String)]
    pub token: SecretString,
    /// The password to set: 12 to 128 characters.
    #[schema(value_type = String)]
    pub password: SecretString,
}

/// Signs in with a password. The answer sets the session's cookie.
#[utoipa::path(post, path = "/api/v1/auth/sign-in", tag = "sign-in", operation_id = "sign_in",
    request_body = Credentials, security(()),
    responses((status = 200, body = Me), (status = "4XX", body = Problem)))]
pub async fn sign_in(
    State(api): State<Api>,
    UnauthenticatedClient(client): UnauthenticatedClient,
    JsonBody(Credentials { email, password }): JsonBody<Credentials>,
) -> Result<Response, Problem> {
    let begun = action::sign_in::by_password(sign_in_context(&api, &client), &email, password).await?;
    signed_in(&api, &client, &begun).await
}

/// Sets a password by an invitation, once, and signs in. Earlier sessions end.
#[utoipa::path(post, path = "/api/v1/auth/invitation", tag = "sign-in", operation_id = "accept_invitation",
    request_body = Acceptance, security(()),
    responses((status = 200, body = Me), (status = "4XX", body = Problem)))]
pub async fn accept(
    State(api): State<Api>,
    UnauthenticatedClient(client): UnauthenticatedClient,
    JsonBody(Acceptance { token, password }): JsonBody<Acceptance>,
) -> Result<Response, Problem> {
    let begun = action::sign_in::by_invitation(sign_in_context(&api, &client), &token, password).await?;
    signed_in(&api, &client, &begun).await
}

/// Signs out: ends the session, and takes its cookie away.
#[utoipa::path(post, path = "/api/v1/auth/sign-out", tag = "sign-in", operation_id = "sign_out",
    security(("token" = [])), responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn sign_out(Person { actor, user }: Person, State(api): State<Api>) -> Result<Response, Problem> {
    let Credential::Session(id) = actor.credential else {
        let detail = "this request used a token, not a session: revoke the token instead";
        return Err(Refusal::conflict("no_session", detail).into());
    };
    let mut tx = api.store.begin().await?;
    action::sessions::end(&mut tx, api.context(&actor).by(), &user, id).await?;
    tx.commit().await?;
    let cookie = [(header::SET_COOKIE, api.sign_in.clear_cookie(Cookie::Session))];
    Ok((StatusCode::NO_CONTENT, cookie).into_response())
}

/// Someone who signs in: by a page of ours, or by no page.
#[derive(Clone, Debug)]
pub struct UnauthenticatedClient(pub SignInClient);

impl axum::extract::FromRequestParts<Api> for UnauthenticatedClient {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        if !parts.method.is_safe() {
            from_our_site(&parts.headers, api)?;
        }
        Ok(Self(client(api.sign_in.client(parts), &parts.headers)))
    }
}

pub fn client(address: Option<IpAddr>, headers: &HeaderMap) -> SignInClient {
    let user_agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    SignInClient { address, user_agent: user_agent.unwrap_or_default().to_owned() }
}

pub fn sign_in_context<'a>(api: &'a Api, client: &'a SignInClient) -> SignInContext<'a> {
    SignInContext { store: &api.store, world: &api.world, sign_in: &api.sign_in, client }
}

/// The cookie of a session that was begun.
pub fn session_cookie(api: &Api, begun: &StartedSession) -> HeaderValue {
    api.sign_in.set_cookie(Cookie::Session, &begun.cookie, begun.lasting)
}

async fn signed_in(api: &Api, client: &SignInClient, begun: &StartedSession) -> Result<Response, Problem> {
    let actor = client.known(&begun.user, begun.session.id);
    let me = Me::read(api, &actor, Some(csrf_token(&begun.cookie))).await?;
    Ok((AppendHeaders([(header::SET_COOKIE, session_cookie(api, begun))]), Json(me)).into_response())
}
