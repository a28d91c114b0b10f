//! Who asks. A handler's signature is its guard: [`AnyActor`] is known, [`Person`] is a user, [`ReaderGuard`] sees,
//! [`AdminGuard`] changes, [`OwnerGuard`] manages people; [`SessionGuard`] is for pages.
//!
//! A bearer token counts before a session's cookie. With a cookie, whatever changes something must
//! carry the session's CSRF token, in a header here and in a field of a page's form.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use latchkey_core::actor::{Actor, Credential};
use latchkey_core::role::Permission;
use latchkey_service::action::sessions::SignInClient;
use latchkey_service::sign_in::{self, Cookie};
use latchkey_service::tokens;
use latchkey_store::sessions::BrowserSession;
use secrecy::ExposeSecret as _;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::Api;
use super::problem::Problem;

pub use latchkey_store::users::User;

/// Where requests by cookie carry the CSRF token.
const CSRF_HEADER: &str = "x-csrf-token";

#[derive(Clone, Debug)]
pub struct AnyActor(pub Actor);

/// An actor who is a user: with a session, or a token of their own.
#[derive(Clone, Debug)]
pub struct Person {
    pub actor: Actor,
    pub user: User,
}

/// An actor that may see the configuration.
#[derive(Clone, Debug)]
pub struct ReaderGuard(pub Actor);

/// An actor that may change the configuration.
#[derive(Clone, Debug)]
pub struct AdminGuard(pub Actor);

/// An actor that may manage people.
#[derive(Clone, Debug)]
pub struct OwnerGuard(pub Actor);

/// A person with a session, as pages see them. Cross-site requests that change something are
/// refused; a form must still carry the session's CSRF token.
#[derive(Clone, Debug)]
pub struct SessionGuard {
    pub actor: Actor,
    pub user: User,
    /// What forms carry in a hidden field, and scripts in `X-CSRF-Token`.
    pub csrf: String,
}

struct AuthenticatedActor {
    actor: Actor,
    user: Option<User>,
}

impl AuthenticatedActor {
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let address = api.sign_in.client(parts);
        let Some(header) = parts.headers.get(header::AUTHORIZATION) else {
            let SessionGuard { actor, user, csrf } = SessionGuard::from_request_parts(parts, api).await?;
            let sent = parts.headers.get(CSRF_HEADER);
            if !parts.method.is_safe() && !sent.is_some_and(|sent| confirms(sent.as_bytes(), &csrf)) {
                return Err(forged("send the `csrf_token` of GET /api/v1/me in the header `X-CSRF-Token`"));
            }
            return Ok(Self { actor, user: Some(user) });
        };
        let token = header.to_str().ok().and_then(|text| text.split_once(' '));
        let Some((_, token)) = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) else {
            return Err(unauthorized("the Authorization header must read `Bearer lk_…`"));
        };
        Self::by_token(token.trim(), address, api).await
    }

    async fn by_token(value: &str, address: Option<IpAddr>, api: &Api) -> Result<Self, Problem> {
        let refused = || unauthorized("this API token is unknown, expired or revoked");
        let token = api.store.token(&tokens::hash(value), api.world.now()).await?.ok_or_else(refused)?;
        let user = match token.user_id {
            Some(id) => Some(api.store.user(id).await?.filter(User::is_active).ok_or_else(refused)?),
            None => None,
        };
        let actor = Actor {
            credential: Credential::Token(token.id),
            user: token.user_id,
            maker: token.created_by,
            name: user.as_ref().map_or(token.name, |user| user.email.as_str().to_owned()),
            role: user.as_ref().map_or(token.role, |user| token.role.capped(user.role)),
            address,
        };
        Ok(Self { actor, user })
    }
}

impl FromRequestParts<Api> for SessionGuard {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let cookie = api.sign_in.cookie(Cookie::Session, &parts.headers);
        let cookie = cookie.ok_or_else(|| unauthorized("sign in, or send an API token: `Bearer lk_…`"))?;
        if !parts.method.is_safe() && api.sign_in.is_cross_site(&parts.headers) {
            return Err(forged("the browser reported a cross-site request"));
        }
        let over = || unauthorized("your session has ended: sign in again");
        let (now, hash) = (api.world.now(), tokens::hash(cookie.expose_secret()));
        let session = api.store.session(&hash, api.sign_in.live(now)).await?.ok_or_else(over)?;
        let user = api.store.user(session.user_id).await?.filter(User::is_active).ok_or_else(over)?;
        see(api, &session).await;
        let client = SignInClient { address: api.sign_in.client(parts), user_agent: String::new() };
        let actor = client.known(&user, session.id);
        Ok(Self { actor, user, csrf: sign_in::csrf_token(&cookie) })
    }
}

/// Whether what was sent along is the session's CSRF token.
#[must_use]
pub fn confirms(sent: &[u8], csrf: &str) -> bool {
    sent.ct_eq(csrf.as_bytes()).into()
}

/// Notes that a session is in use, at most once a minute; that it cannot be noted now is no reason
/// to refuse a request.
async fn see(api: &Api, session: &BrowserSession) {
    let now = api.world.now();
    let a_minute_ago = now.checked_sub(SignedDuration::from_mins(1)).unwrap_or(Timestamp::MIN);
    if session.seen_at > a_minute_ago {
        return;
    }
    let seen = async {
        let mut tx = api.store.begin().await?;
        tx.see_session(session.id, now, a_minute_ago).await?;
        tx.commit().await
    };
    if let Err(error) = seen.await {
        tracing::warn!(%error, "could not note that a session is in use");
    }
}

impl FromRequestParts<Api> for AnyActor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        Ok(Self(AuthenticatedActor::from_request_parts(parts, api).await?.actor))
    }
}

impl FromRequestParts<Api> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let AuthenticatedActor { actor, user } = AuthenticatedActor::from_request_parts(parts, api).await?;
        let detail = "this requires a user: sign in, or use a token that belongs to a user";
        let user = user.ok_or_else(|| Problem::new(StatusCode::FORBIDDEN, "not_a_user", detail))?;
        Ok(Self { actor, user })
    }
}

impl AnyActor {
    /// The credential's id, as idempotency keeps it.
    #[must_use]
    pub fn credential(&self) -> Uuid {
        match self.0.credential {
            Credential::Token(id) | Credential::Session(id) => id,
            Credential::System => Uuid::nil(),
        }
    }

    fn permitted(self, permission: Permission) -> Result<Actor, Problem> {
        if self.0.role.permits(permission) {
            return Ok(self.0);
        }
        let (role, needed) = (self.0.role.as_str(), permission.as_str());
        let detail =
            format!("this requires the permission `{needed}`, which the role `{role}` does not have");
        Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
    }
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
}

fn forged(detail: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "csrf", detail)
}

/// Refuses what another site's page sent, where no session could show that.
pub(super) fn from_our_site(headers: &HeaderMap, api: &Api) -> Result<(), Problem> {
    if api.sign_in.is_cross_site(headers) {
        return Err(forged("the browser reported a cross-site request"));
    }
    Ok(())
}

macro_rules! guards {
    ($($guard:ident, $permission:ident;)*) => {$(
        impl TryFrom<AnyActor> for $guard {
            type Error = Problem;

            fn try_from(anyone: AnyActor) -> Result<Self, Problem> {
                anyone.permitted(Permission::$permission).map(Self)
            }
        }

        impl FromRequestParts<Api> for $guard {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
                AnyActor::from_request_parts(parts, api).await?.try_into()
            }
        }
    )*};
}

guards! {
    ReaderGuard, GatewayRead;
    AdminGuard, GatewayUpdate;
    OwnerGuard, MembersUpdate;
}
