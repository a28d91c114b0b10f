//! Who asks. A handler's signature is its guard: [`Reader`] sees, [`Admin`] changes.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use latchkey_core::role::{Permission, Role};
use uuid::Uuid;

use super::Api;
use super::problem::Problem;
use crate::action::tokens;

/// Whoever sent the request.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The token's id.
    pub token: Uuid,
    /// What the token may do.
    pub role: Role,
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

impl FromRequestParts<Api> for Actor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let unauthorized = |detail: &str| Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail);
        let Some(header) = parts.headers.get(header::AUTHORIZATION) else {
            return Err(unauthorized("send an API token: `Authorization: Bearer lk_…`"));
        };
        let token = header.to_str().ok().and_then(|text| text.split_once(' '));
        let Some((_, token)) = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) else {
            return Err(unauthorized("the Authorization header must read `Bearer lk_…`"));
        };
        let found = api.store.token(&tokens::hash(token.trim()), api.world.now()).await?;
        let token = found.ok_or_else(|| unauthorized("this API token is unknown, expired or revoked"))?;
        Ok(Self { token: token.id, role: token.role })
    }
}

impl Actor {
    fn permitted(self, permission: Permission) -> Result<Self, Problem> {
        if self.role.permits(permission) {
            return Ok(self);
        }
        let (role, needed) = (self.role.as_str(), permission.as_str());
        let detail = format!("this takes the permission `{needed}`, which the role `{role}` lacks");
        Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
    }
}

macro_rules! guards {
    ($($guard:ident, $permission:ident;)*) => {$(
        impl FromRequestParts<Api> for $guard {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
                Actor::from_request_parts(parts, api).await?.permitted(Permission::$permission).map(Self)
            }
        }
    )*};
}

guards! {
    Reader, GatewayRead;
    Admin, GatewayUpdate;
    Owner, MembersUpdate;
}
