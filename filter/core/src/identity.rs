//! Who is behind a request. A named key identifies its user; with an app key, the app may believe a JWT or a
//! header.

mod email;
#[cfg(test)]
mod issuer;
mod jwt;
mod key;
mod policy;
mod rsa;
mod verified;

use std::borrow::Cow;
use std::rc::Rc;

use latchkey_proto::ledger as wire;

use crate::answer::denial::{Code, Denial};
use crate::gate::World;
use crate::request::header::Headers;
use crate::snapshot::{AppPolicy, KeyRecord};

pub use jwt::JwtRefusal;
pub use key::SignatureCheck;
pub use policy::{IdentityPolicy, JwtKey, JwtPolicy};
pub use verified::Verified;

/// The header with a user's email address.
pub const EMAIL_HEADER: &str = "x-user-email";

/// The header with a user's JWT.
pub const TOKEN_HEADER: &str = "x-user-token";

/// How the sender of a request is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CallerIdentity {
    #[default]
    Unknown,
    /// By the record of a named key.
    Key,
    /// Claimed by the request, and accepted by the app.
    Claimed {
        /// In lower case.
        email: Rc<str>,
        by: IdentityClaim,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityClaim {
    /// A JWT that was verified.
    Jwt,
    /// A header that the app believes.
    Header,
}

impl CallerIdentity {
    /// By the key's record alone.
    #[must_use]
    pub fn of(key: &KeyRecord) -> Self {
        key.user.map_or(Self::Unknown, |_| Self::Key)
    }

    /// The claimed address.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        match self {
            Self::Claimed { email, .. } => Some(email),
            Self::Unknown | Self::Key => None,
        }
    }

    #[must_use]
    pub fn source(&self) -> wire::IdentitySource {
        match self {
            Self::Unknown => wire::IdentitySource::None,
            Self::Key => wire::IdentitySource::Key,
            Self::Claimed { by: IdentityClaim::Jwt, .. } => wire::IdentitySource::Jwt,
            Self::Claimed { by: IdentityClaim::Header, .. } => wire::IdentitySource::Header,
        }
    }
}

/// Identifies the sender of a request with this key.
///
/// # Errors
/// When what it claims is wrong or not accepted, or when it claims nothing and the app wants that.
pub fn identify(
    headers: Headers<'_>,
    app: &Rc<AppPolicy>,
    key: &KeyRecord,
    verified: &Verified,
    world: &impl World,
) -> Result<CallerIdentity, Denial> {
    let by_key = CallerIdentity::of(key);
    let (CallerIdentity::Unknown, Some(policy)) = (&by_key, &app.identity) else { return Ok(by_key) };
    let token = policy.jwt.as_ref().map(|_| once(headers, TOKEN_HEADER)).transpose()?.flatten();
    let named = if policy.header { once(headers, EMAIL_HEADER)? } else { None };
    let named = named.map(plausible).transpose()?;
    let identity = match (&policy.jwt, token) {
        (Some(jwt), Some(token)) => {
            let email = verified.email(token, app, jwt, world)?;
            if named.is_some_and(|named| *named != *email) {
                return Err(invalid("`X-User-Email` and `X-User-Token` name different users."));
            }
            CallerIdentity::Claimed { email, by: IdentityClaim::Jwt }
        }
        _ => named.map_or(CallerIdentity::Unknown, |email| CallerIdentity::Claimed {
            email: email.into(),
            by: IdentityClaim::Header,
        }),
    };
    match identity.email() {
        Some(email) if !policy.accepts(email) => Err(Code::IdentityNotAllowed.into()),
        None if policy.enforce => Err(required(policy)),
        _ => Ok(identity),
    }
}

/// The value of a header that may occur once; an empty one counts as absent.
fn once<'a>(headers: Headers<'a>, name: &'static str) -> Result<Option<&'a [u8]>, Denial> {
    let mut values = headers.all(name);
    let value = values.next().map(<[u8]>::trim_ascii).filter(|value| !value.is_empty());
    if values.next().is_some() {
        return Err(invalid(format!("The request has the header `{name}` more than once.")));
    }
    Ok(value)
}

fn plausible(value: &[u8]) -> Result<String, Denial> {
    let email = str::from_utf8(value).ok().and_then(email::normal);
    email.ok_or_else(|| invalid("`X-User-Email` is not one email address."))
}

fn invalid(message: impl Into<Cow<'static, str>>) -> Denial {
    Denial::new(Code::InvalidIdentity, message)
}

fn required(policy: &IdentityPolicy) -> Denial {
    let how = match (&policy.jwt, policy.header) {
        (Some(_), false) => "a JWT in `X-User-Token`",
        (None, _) => "an email address in `X-User-Email`",
        (Some(_), true) => "a JWT in `X-User-Token`, or an email address in `X-User-Email`",
    };
    Denial::new(
        Code::IdentityRequired,
        format!("The app requires requests to identify their user: send {how}."),
    )
}

#[cfg(test)]
mod tests;
