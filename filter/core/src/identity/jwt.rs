//! JSON Web Tokens (RFC 7515, 7519, 8725), read with distrust.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

use super::email;
use super::key::Algorithm;
use super::policy::JwtPolicy;
use crate::gate::World;
use crate::snapshot::UnixMs;

/// The longest token that is read, in bytes: as long as Envoy lets headers be.
const LONGEST: usize = 32 * 1024;

/// How far the issuer's clock may be from ours.
const LEEWAY_MS: i64 = 60_000;

/// What a token that holds says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claims {
    /// The user's address, in lower case.
    pub email: String,
    /// From when on it is refused.
    pub until: UnixMs,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Longer than any.
    #[error("it is longer than {LONGEST} bytes")]
    TooLong,
    /// Not a signed JWT.
    #[error("it is not a signed JWT of three parts in base64url")]
    Malformed,
    /// The header is not a JSON object, or has a member twice.
    #[error("its header is not a JSON object, or has a member twice or one of a wrong type")]
    Header,
    /// Another algorithm, such as `none`.
    #[error("its algorithm is not RS256, ES256 or EdDSA")]
    Algorithm,
    /// It wants to be understood in a way that is not known.
    #[error("it has critical extensions, and none is known here")]
    Critical,
    /// No key of the app's goes with it.
    #[error("the app has no key of its kid and algorithm")]
    UnknownKey,
    /// No such key has signed it.
    #[error("its signature is wrong")]
    Signature,
    /// What it claims is not a JSON object, or has a member twice.
    #[error("its claims are not a JSON object, or have a member twice or one of a wrong type")]
    Claims,
    /// It would never end.
    #[error("it has no expiration")]
    Endless,
    /// It has ended.
    #[error("it has expired")]
    Expired,
    /// It has not begun.
    #[error("it is not valid yet")]
    Early,
    /// Another issuer's.
    #[error("the app does not accept its issuer")]
    Issuer,
    /// Issued to another.
    #[error("the app does not accept the party that it was issued to")]
    Party,
    /// Made for others.
    #[error("it is not for an audience that the app accepts")]
    Audience,
    /// It names nobody.
    #[error("it has no plausible e-mail address")]
    Email,
    /// The issuer does not know whether the address is the user's.
    #[error("its e-mail address is not verified")]
    Unverified,
}

impl Refused {
    /// Whether it took a signature's time to find out, and stays so under the same policy.
    pub(super) fn is_worth_remembering(self) -> bool {
        match self {
            Self::Signature
            | Self::Claims
            | Self::Endless
            | Self::Expired
            | Self::Issuer
            | Self::Party
            | Self::Audience
            | Self::Email
            | Self::Unverified => true,
            Self::TooLong
            | Self::Malformed
            | Self::Header
            | Self::Algorithm
            | Self::Critical
            | Self::UnknownKey
            | Self::Early => false,
        }
    }
}

/// Verifies a token, and reads who it is of. Nothing of it is believed before its signature.
pub(super) fn verify(token: &[u8], policy: &JwtPolicy, world: &impl World) -> Result<Claims, Refused> {
    if token.len() > LONGEST {
        return Err(Refused::TooLong);
    }
    let token = str::from_utf8(token).map_err(|_| Refused::Malformed)?;
    let (signed, signature) = token.rsplit_once('.').ok_or(Refused::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(Refused::Malformed)?;
    let (header, claims, signature) = (decode(header)?, decode(claims)?, decode(signature)?);
    check_signature(&header, signed.as_bytes(), &signature, policy, world)?;
    let claims: Object = serde_json::from_slice(&claims).map_err(|_| Refused::Claims)?;
    let until = claims.check_times(world.now())?;
    claims.check_parties(policy)?;
    claims.check_audience(policy)?;
    Ok(Claims { email: claims.email(&policy.email_claim)?, until })
}

/// Strict: one text for each value, so that a changed token is another one.
fn decode(part: &str) -> Result<Vec<u8>, Refused> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refused::Malformed)
}

fn check_signature(
    header: &[u8],
    signed: &[u8],
    signature: &[u8],
    policy: &JwtPolicy,
    world: &impl World,
) -> Result<(), Refused> {
    let header: Object = serde_json::from_slice(header).map_err(|_| Refused::Header)?;
    let algorithm = header.text("alg").map_err(|_| Refused::Header)?.and_then(Algorithm::named);
    let algorithm = algorithm.ok_or(Refused::Algorithm)?;
    if header.0.contains_key("crit") {
        return Err(Refused::Critical);
    }
    let kid = header.text("kid").map_err(|_| Refused::Header)?;
    let mut keys = policy.keys(algorithm, kid).peekable();
    if keys.peek().is_none() {
        return Err(Refused::UnknownKey);
    }
    if keys.any(|key| key.verify(signed, signature, world)) { Ok(()) } else { Err(Refused::Signature) }
}

/// A JSON object that has no member twice.
struct Object(BTreeMap<String, Value>);

impl Object {
    /// A text; none where it is absent.
    fn text(&self, name: &str) -> Result<Option<&str>, Refused> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        value.as_str().map(Some).ok_or(Refused::Claims)
    }

    /// A time; none where it is absent.
    fn time(&self, name: &str) -> Result<Option<UnixMs>, Refused> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let seconds = value.as_f64().filter(|seconds| seconds.is_finite()).ok_or(Refused::Claims)?;
        // A cast of a float saturates.
        Ok(Some(UnixMs((seconds * 1000.0).floor() as i64)))
    }

    /// From when on it is refused, if it is valid now.
    fn check_times(&self, now: UnixMs) -> Result<UnixMs, Refused> {
        let until = self.time("exp")?.ok_or(Refused::Endless)?;
        let until = UnixMs(until.0.saturating_add(LEEWAY_MS));
        if now >= until {
            return Err(Refused::Expired);
        }
        for name in ["nbf", "iat"] {
            if self.time(name)?.is_some_and(|from| from.0.saturating_sub(LEEWAY_MS) > now.0) {
                return Err(Refused::Early);
            }
        }
        Ok(until)
    }

    fn check_parties(&self, policy: &JwtPolicy) -> Result<(), Refused> {
        let issuer = self.text("iss")?;
        if policy.issuers.as_ref().is_some_and(|known| !issuer.is_some_and(|issuer| known.contains(issuer))) {
            return Err(Refused::Issuer);
        }
        let party = if self.0.contains_key("azp") { self.text("azp")? } else { self.text("client_id")? };
        if policy.parties.as_ref().is_some_and(|known| !party.is_some_and(|party| known.contains(party))) {
            return Err(Refused::Party);
        }
        Ok(())
    }

    /// A token is for whoever `aud` names, one or several: one of them must be accepted (RFC 7519, 4.1.3).
    fn check_audience(&self, policy: &JwtPolicy) -> Result<(), Refused> {
        let Some(accepted) = &policy.audiences else { return Ok(()) };
        let named = match self.0.get("aud") {
            None | Some(Value::Null) => return Err(Refused::Audience),
            Some(Value::Array(values)) => values.iter().map(Value::as_str).collect::<Option<Vec<_>>>(),
            Some(value) => value.as_str().map(|name| vec![name]),
        };
        let named = named.ok_or(Refused::Claims)?;
        if named.iter().any(|name| accepted.contains(*name)) { Ok(()) } else { Err(Refused::Audience) }
    }

    fn email(&self, claim: &str) -> Result<String, Refused> {
        match self.0.get("email_verified") {
            None | Some(Value::Bool(true)) => {}
            // Some providers write it so.
            Some(Value::String(text)) if text == "true" => {}
            Some(_) => return Err(Refused::Unverified),
        }
        self.0.get(claim).and_then(Value::as_str).and_then(email::normal).ok_or(Refused::Email)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member comes twice"));
                    }
                }
                Ok(Object(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}
