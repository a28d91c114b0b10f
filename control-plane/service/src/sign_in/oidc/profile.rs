//! What the provider says of a person, in the ID token and in userinfo.

use latchkey_core::name::Email;
use latchkey_core::profile::address::{self, Doubt};
use latchkey_core::profile::groups::{self, Stated, Unstated};
use latchkey_store::identities::SignInIdentity;
use openidconnect::core::CoreGenderClaim;
use openidconnect::{
    AdditionalClaims, EndUserEmail, EndUserName, IdTokenClaims, LocalizedClaim, UserInfoClaims,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Someone whom the provider vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Who they are to the provider.
    pub identity: SignInIdentity,
    /// Their address, or why it does not count.
    pub address: Result<Email, Doubt>,
    /// What they are called.
    pub name: Option<String>,
    /// What the groups claim states, or why it states nothing; none where no such claim is configured.
    pub groups: Option<Result<Stated, Unstated>>,
}

/// Every claim, of which we pick some.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Claims {
    #[serde(flatten)]
    all: Map<String, Value>,
}

impl AdditionalClaims for Claims {}

/// What one answer says.
pub(super) struct ProviderClaims {
    pub(super) address: address::ClaimedAddress,
    name: Option<String>,
    groups: Option<Result<Stated, Unstated>>,
}

impl ProviderClaims {
    pub(super) fn in_token(
        claims: &IdTokenClaims<Claims, CoreGenderClaim>,
        groups_claim: Option<&str>,
    ) -> Self {
        Self::new(
            claims.email(),
            claims.email_verified(),
            claims.name(),
            claims.additional_claims(),
            groups_claim,
        )
    }

    pub(super) fn in_userinfo(
        claims: &UserInfoClaims<Claims, CoreGenderClaim>,
        groups_claim: Option<&str>,
    ) -> Self {
        Self::new(
            claims.email(),
            claims.email_verified(),
            claims.name(),
            claims.additional_claims(),
            groups_claim,
        )
    }

    fn new(
        email: Option<&EndUserEmail>,
        verified: Option<bool>,
        called: Option<&LocalizedClaim<EndUserName>>,
        Claims { all }: &Claims,
        groups_claim: Option<&str>,
    ) -> Self {
        Self {
            address: address::ClaimedAddress::new(email.map(|email| email.to_string()), verified, all),
            name: name(called),
            groups: groups_claim.map(|claim| groups::read(all, claim)),
        }
    }

    /// Whether userinfo has nothing to add.
    pub(super) fn is_settled(&self) -> bool {
        self.address.is_settled() && self.name.is_some() && !matches!(self.groups, Some(Err(_)))
    }

    /// With what userinfo says where the ID token says nothing.
    pub(super) fn or(self, info: Self) -> Self {
        let groups = match (self.groups, info.groups) {
            (Some(Err(Unstated::Absent | Unstated::Null)), Some(Ok(stated))) => Some(Ok(stated)),
            // That there are none does not go with a claim that has some, however it has them.
            (Some(Err(_)), Some(Ok(stated))) if !stated.is_empty() => Some(Ok(stated)),
            // What is there and of no use tells more than that nothing is.
            (Some(Err(Unstated::Absent)), Some(Err(why))) => Some(Err(why)),
            (groups, _) => groups,
        };
        Self { address: self.address.or(info.address), name: self.name.or(info.name), groups }
    }

    /// The person, where the operator vouches for addresses or does not.
    pub(super) fn profile(self, identity: SignInIdentity, trust_email: bool) -> Profile {
        Profile { identity, address: self.address.judged(trust_email), name: self.name, groups: self.groups }
    }
}

fn name(name: Option<&LocalizedClaim<EndUserName>>) -> Option<String> {
    name.and_then(|name| name.get(None)).map(|name| name.to_string())
}
