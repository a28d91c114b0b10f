//! How an app learns who is behind a request.

use std::collections::BTreeSet;

use latchkey_proto::discovery as wire;

use super::email;
use super::key::{Algorithm, PublicKey};
use super::rsa;
use crate::snapshot::InvalidResource;

/// What an app believes of a request's headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityPolicy {
    pub header: bool,
    /// Whether requests without an accepted identity are refused.
    pub enforce: bool,
    /// Accepted domains, in lower case; none: any.
    pub domains: Option<BTreeSet<String>>,
    /// Which JWTs in `X-User-Token` are believed; none: it is not looked at.
    pub jwt: Option<JwtPolicy>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtPolicy {
    pub keys: Vec<JwtKey>,
    /// Accepted values of `iss`; none: any.
    pub issuers: Option<BTreeSet<String>>,
    /// Accepted values of `azp`, or where that is absent of `client_id`; none: any.
    pub parties: Option<BTreeSet<String>>,
    /// Accepted values of `aud`, of which one is enough; none: any.
    pub audiences: Option<BTreeSet<String>>,
    /// The claim with the email address.
    pub email_claim: String,
}

/// A key that verifies JWTs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtKey {
    kid: Option<String>,
    key: PublicKey,
}

impl IdentityPolicy {
    /// Whether an address is of an accepted domain.
    #[must_use]
    pub fn accepts(&self, email: &str) -> bool {
        self.domains.as_ref().is_none_or(|domains| domains.contains(email::domain(email)))
    }
}

impl JwtPolicy {
    /// The keys that a token may be signed with: of its algorithm, and named as it says, where both do.
    pub(super) fn keys(&self, algorithm: Algorithm, kid: Option<&str>) -> impl Iterator<Item = &PublicKey> {
        let named = move |key: &&JwtKey| match (&key.kid, kid) {
            (Some(name), Some(kid)) => name == kid,
            _ => true,
        };
        let of_kind = move |key: &&JwtKey| key.key.algorithm() == algorithm;
        self.keys.iter().filter(of_kind).filter(named).map(|key| &key.key)
    }
}

impl TryFrom<wire::Identity> for IdentityPolicy {
    type Error = InvalidResource;

    fn try_from(identity: wire::Identity) -> Result<Self, InvalidResource> {
        let wire::Identity { header, enforce, domains, jwt } = identity;
        let jwt = jwt.map(JwtPolicy::try_from).transpose()?;
        Ok(Self { header, enforce, domains: names(domains), jwt })
    }
}

impl TryFrom<wire::Jwt> for JwtPolicy {
    type Error = InvalidResource;

    fn try_from(jwt: wire::Jwt) -> Result<Self, InvalidResource> {
        let wire::Jwt { keys, issuers, parties, email_claim, audiences } = jwt;
        if email_claim.is_empty() {
            return Err(InvalidResource::Unset("identity.jwt.email_claim"));
        }
        Ok(Self {
            keys: keys.into_iter().filter_map(JwtKey::read).collect::<Result<_, _>>()?,
            issuers: names(issuers),
            parties: names(parties),
            audiences: names(audiences),
            email_claim,
        })
    }
}

impl JwtKey {
    /// Reads a key as the wire has it; none where it is too long to be used. An older control plane sends such
    /// a key, and the app's others go on.
    fn read(key: wire::JwtKey) -> Option<Result<Self, InvalidResource>> {
        let algorithm = key.algorithm();
        let wire::JwtKey { kid, algorithm: _, key } = key;
        if algorithm == wire::JwtAlgorithm::Rs256 && rsa::is_too_long(&key) {
            return None;
        }
        let key = PublicKey::read(algorithm, &key).ok_or_else(|| InvalidResource::JwtKey(kid.clone()));
        Some(key.map(|key| Self { kid: Some(kid).filter(|kid| !kid.is_empty()), key }))
    }
}

fn names(names: Option<wire::Names>) -> Option<BTreeSet<String>> {
    names.map(|wire::Names { names }| names.into_iter().collect())
}
