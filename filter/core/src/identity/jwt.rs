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
pub(super) struct VerifiedClaims {
    /// The user's address, in lower case.
    pub email: String,
    /// From when on it is refused.
    pub until: UnixMs,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtRefusal {
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
    #[error("it has no plausible email address")]
    Email,
    /// The issuer does not know whether the address is the user's.
    #[error("its email address is not verified")]
    Unverified,
}

impl JwtRefusal {
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
pub(super) fn verify(
    token: &[u8],
    policy: &JwtPolicy,
    world: &impl World,
) -> Result<VerifiedClaims, JwtRefusal> {
    if token.len() > LONGEST {
        return Err(JwtRefusal::TooLong);
    }
    let token = str::from_utf8(token).map_err(|_| JwtRefusal::Malformed)?;
    let (signed, signature) = token.rsplit_once('.').ok_or(JwtRefusal::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(JwtRefusal::Malformed)?;
    let (header, claims, signature) = (decode(header)?, decode(claims)?, decode(signature)?);
    check_signature(&header, signed.as_bytes(), &signature, policy, world)?;
    let claims: StrictObject = serde_json::from_slice(&claims).map_err(|_| JwtRefusal::Claims)?;
    let until = claims.check_times(world.now())?;
    claims.check_parties(policy)?;
    claims.check_audience(policy)?;
    Ok(VerifiedClaims { email: claims.email(&policy.email_claim)?, until })
}

/// Strict: one text for each value, so that a changed token is another one.
fn decode(part: &str) -> Result<Vec<u8>, JwtRefusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtRefusal::Malformed)
}

fn check_signature(
    header: &[u8],
    signed: &[u8],
    signature: &[u8],
    policy: &JwtPolicy,
    world: &impl World,
) -> Result<(), JwtRefusal> {
    let header: StrictObject = serde_json::from_slice(header).map_err(|_| JwtRefusal::Header)?;
    let algorithm = header.text("alg").map_err(|_| JwtRefusal::Header)?.and_then(Algorithm::named);
    let algorithm = algorithm.ok_or(JwtRefusal::Algorithm)?;
    if header.0.contains_key("crit") {
        return Err(JwtRefusal::Critical);
    }
    let kid = header.text("kid").map_err(|_| JwtRefusal::Header)?;
    let mut keys = policy.keys(algorithm, kid).peekable();
    if keys.peek().is_none() {
        return Err(JwtRefusal::UnknownKey);
    }
    if keys.any(|key| key.verify(signed, signature, world)) { Ok(()) } else { Err(JwtRefusal::Signature) }
}

/// A JSON object that has no member twice.
struct StrictObject(BTreeMap<String, Value>);

impl StrictObject {
    /// A text; none where it is absent.
    fn text(&self, name: &str) -> Result<Option<&str>, JwtRefusal> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        value.as_str().map(Some).ok_or(JwtRefusal::Claims)
    }

    /// A time; none where it is absent.
    fn time(&self, name: &str) -> Result<Option<UnixMs>, JwtRefusal> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let seconds = value.as_f64().filter(|seconds| seconds.is_finite()).ok_or(JwtRefusal::Claims)?;
        // A cast of a float saturates.
        Ok(Some(UnixMs((seconds * 1000.0).floor() as i64)))
    }

    /// From when on it is refused, if it is valid now.
    fn check_times(&self, now: UnixMs) -> Result<UnixMs, JwtRefusal> {
        let until = self.time("exp")?.ok_or(JwtRefusal::Endless)?;
        let until = UnixMs(until.0.saturating_add(LEEWAY_MS));
        if now >= until {
            return Err(JwtRefusal::Expired);
        }
        for name in ["nbf", "iat"] {
            if self.time(name)?.is_some_and(|from| from.0.saturating_sub(LEEWAY_MS) > now.0) {
                return Err(JwtRefusal::Early);
            }
        }
        Ok(until)
    }

    fn check_parties(&self, policy: &JwtPolicy) -> Result<(), JwtRefusal> {
        let issuer = self.text("iss")?;
        if policy.issuers.as_ref().is_some_and(|known| !issuer.is_some_and(|issuer| known.contains(issuer))) {
            return Err(JwtRefusal::Issuer);
        }
        let party = if self.0.contains_key("azp") { self.text("azp")? } else { self.text("client_id")? };
        if policy.parties.as_ref().is_some_and(|known| !party.is_some_and(|party| known.contains(party))) {
            return Err(JwtRefusal::Party);
        }
        Ok(())
    }

    /// A token is for whoever `aud` names, one or several: one of them must be accepted (RFC 7519, 4.1.3).
    fn check_audience(&self, policy: &JwtPolicy) -> Result<(), JwtRefusal> {
        let Some(accepted) = &policy.audiences else { return Ok(()) };
        let named = match self.0.get("aud") {
            None | Some(Value::Null) => return Err(JwtRefusal::Audience),
            Some(Value::Array(values)) => values.iter().map(Value::as_str).collect::<Option<Vec<_>>>(),
            Some(value) => value.as_str().map(|name| vec![name]),
        };
        let named = named.ok_or(JwtRefusal::Claims)?;
        if named.iter().any(|name| accepted.contains(*name)) { Ok(()) } else { Err(JwtRefusal::Audience) }
    }

    fn email(&self, claim: &str) -> Result<String, JwtRefusal> {
        match self.0.get("email_verified") {
            None | Some(Value::Bool(true)) => {}
            // Some providers write it so.
            Some(Value::String(text)) if text == "true" => {}
            Some(_) => return Err(JwtRefusal::Unverified),
        }
        self.0.get(claim).and_then(Value::as_str).and_then(email::normal).ok_or(JwtRefusal::Email)
    }
}

impl<'de> Deserialize<'de> for StrictObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StrictObjectVisitor;

        impl<'de> Visitor<'de> for StrictObjectVisitor {
            type Value = StrictObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<StrictObject, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member comes twice"));
                    }
                }
                Ok(StrictObject(members))
            }
        }

        deserializer.deserialize_map(StrictObjectVisitor)
    }
}
