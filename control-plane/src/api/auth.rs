//! Who asks. A handler's signature is its guard: [`Anyone`] is known, [`Person`] is a user, [`Reader`] sees,
//! [`Admin`] changes, [`Owner`] manages people.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use latchkey_core::actor::{Actor, Credential};
use latchkey_core::role::Permission;
use uuid::Uuid;

use super::Api;
use super::problem::Problem;
use crate::action::tokens;
use crate::store::users::User;

/// Whoever sent the request.
#[derive(Clone, Debug)]
pub struct Anyone(pub Actor);

/// An actor who is a user: with a session, or a token of their own.
#[derive(Clone, Debug)]
pub struct Person {
    /// Who acts.
    pub actor: Actor,
    /// The user.
    pub user: User,
}

/// An actor that may see the configuration.
#[derive(Clone, Debug)]
pub struct Reader(pub Actor);

/// An actor that may change the configuration.
#[derive(Clone, Debug)]
pub struct Admin(pub Actor);

/// An actor that may manage people.
#[derive(Clone, Debug)]
pub struct Owner(pub Actor);

/// Who was recognised.
struct Recognised {
    actor: Actor,
    user: Option<User>,
}

impl Recognised {
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let Some(header) = parts.headers.get(header::AUTHORIZATION) else {
            return Err(unauthorized("send an API token: `Authorization: Bearer lk_…`"));
        };
        let token = header.to_str().ok().and_then(|text| text.split_once(' '));
        let Some((_, token)) = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) else {
            return Err(unauthorized("the Authorization header must read `Bearer lk_…`"));
        };
        Self::by_token(token.trim(), api).await
    }

    async fn by_token(value: &str, api: &Api) -> Result<Self, Problem> {
        let refused = || unauthorized("this API token is unknown, expired or revoked");
        let token = api.store.token(&tokens::hash(value), api.world.now()).await?.ok_or_else(refused)?;
        let user = match token.user_id {
            Some(id) => Some(api.store.user(id).await?.filter(User::is_active).ok_or_else(refused)?),
            None => None,
        };
        let actor = Actor {
            credential: Credential::Token(token.id),
            user: token.user_id,
            name: user.as_ref().map_or(token.name, |user| user.email.as_str().to_owned()),
            role: user.as_ref().map_or(token.role, |user| token.role.capped(user.role)),
            address: None,
        };
        Ok(Self { actor, user })
    }
}

impl FromRequestParts<Api> for Anyone {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        Ok(Self(Recognised::from_request_parts(parts, api).await?.actor))
    }
}

impl FromRequestParts<Api> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let Recognised { actor, user } = Recognised::from_request_parts(parts, api).await?;
        let detail = "this is for people: sign in, or use a token that belongs to a user";
        let user = user.ok_or_else(|| Problem::new(StatusCode::FORBIDDEN, "not_a_user", detail))?;
        Ok(Self { actor, user })
    }
}

impl Anyone {
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
        let detail = format!("this takes the permission `{needed}`, which the role `{role}` lacks");
        Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
    }
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
}

macro_rules! guards {
    ($($guard:ident, $permission:ident;)*) => {$(
        impl FromRequestParts<Api> for $guard {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
                Anyone::from_request_parts(parts, api).await?.permitted(Permission::$permission).map(Self)
            }
        }
    )*};
}

guards! {
    Reader, GatewayRead;
    Admin, GatewayUpdate;
    Owner, MembersUpdate;
}
