//! Who is behind a request made with a shared key.

pub mod jwk;
pub mod jwks_network;
pub mod key;
pub mod pem;

use serde::{Deserialize, Serialize};
use url::Host;
use utoipa::ToSchema;

use crate::invalid::Invalid;
use crate::settings::CredentialMode;

/// How the gateway learns the user behind a request, where the key does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IdentitySettings {
    /// Whether the header `X-User-Email` is believed.
    pub header: bool,
    /// Whether requests without an accepted identity are refused.
    pub enforce: bool,
    /// Domains of email addresses that are accepted; null for any.
    pub allowed_domains: Option<Vec<String>>,
    /// Whether a JWT in the header `X-User-Token` is verified; null: it is not looked at.
    pub jwt: Option<JwtSettings>,
}

/// Which JWTs are accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JwtSettings {
    /// Where the keys come from.
    pub keys: JwtKeys,
    /// Accepted values of `iss`; null for any.
    #[serde(default)]
    pub issuers: Option<Vec<String>>,
    /// Accepted values of `azp`, or where that is absent of `client_id`; null for any.
    #[serde(default)]
    pub parties: Option<Vec<String>>,
    /// Accepted values of `aud`, of which one is enough; null for any, so that every token of the issuer will
    /// do, also one that was made for another service.
    // Versions that do not know it read stored settings that do not use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audiences: Option<Vec<String>>,
    /// The claim with the email address.
    #[serde(default = "email")]
    pub email_claim: String,
}

/// Where the keys that verify JWTs come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JwtKeys {
    /// A JWK set, which the control plane fetches and refreshes.
    JwksUrl(String),
    /// One or more public keys or certificates in PEM.
    Pem(String),
}

fn email() -> String {
    "email".to_owned()
}

/// Most entries of any list.
const MOST_ENTRIES: usize = 100;
/// Longest entry of any list, in bytes.
const LONGEST_ENTRY: usize = 512;

impl IdentitySettings {
    /// The URL that the keys come from, if they come from one.
    #[must_use]
    pub fn jwks_url(&self) -> Option<&str> {
        match &self.jwt.as_ref()?.keys {
            JwtKeys::JwksUrl(url) => Some(url),
            JwtKeys::Pem(_) => None,
        }
    }

    /// The settings in their normal form, at `path` of an app of this mode.
    #[must_use]
    pub(crate) fn normal(mut self, path: &str, mode: CredentialMode, invalid: &mut Invalid) -> Self {
        if self == Self::default() {
            return self;
        }
        if mode == CredentialMode::Named {
            let why = "has no effect in named mode, where each key identifies its user: leave it out, or use \
                 shared mode";
            invalid.check::<(), _>(path, Err(why));
        }
        let learns = self.header || self.jwt.is_some();
        let idle = |what: bool| {
            if what && !learns { Err("has no effect without `header` or `jwt`") } else { Ok(()) }
        };
        invalid.check(&format!("{path}.enforce"), idle(self.enforce));
        invalid.check(&format!("{path}.allowed_domains"), idle(self.allowed_domains.is_some()));
        self.allowed_domains =
            list(self.allowed_domains, &format!("{path}.allowed_domains"), domain, invalid);
        self.jwt = self.jwt.map(|jwt| jwt.normal(&format!("{path}.jwt"), invalid));
        self
    }
}

impl JwtSettings {
    fn normal(self, path: &str, invalid: &mut Invalid) -> Self {
        let keys = match &self.keys {
            JwtKeys::JwksUrl(url) => invalid
                .check(&format!("{path}.keys.jwks_url"), jwks_network::jwks_url(url))
                .map(|url| JwtKeys::JwksUrl(url.into())),
            JwtKeys::Pem(text) => invalid
                .check(&format!("{path}.keys.pem"), pem::read(text))
                .map(|_| JwtKeys::Pem(text.trim().to_owned())),
        };
        invalid.check(&format!("{path}.email_claim"), entry(&self.email_claim));
        Self {
            keys: keys.unwrap_or(self.keys),
            issuers: list(self.issuers, &format!("{path}.issuers"), entry, invalid),
            parties: list(self.parties, &format!("{path}.parties"), entry, invalid),
            audiences: list(self.audiences, &format!("{path}.audiences"), entry, invalid),
            email_claim: self.email_claim,
        }
    }
}

/// A list without repetitions, each entry in its normal form.
fn list(
    list: Option<Vec<String>>,
    path: &str,
    normal: impl Fn(&str) -> Result<String, String>,
    invalid: &mut Invalid,
) -> Option<Vec<String>> {
    let list = list?;
    let size = match list.len() {
        0 => Err("is empty, which would refuse everyone: use null to allow any".to_owned()),
        1..=MOST_ENTRIES => Ok(()),
        count => Err(format!("has {count} entries; the maximum is {MOST_ENTRIES}")),
    };
    invalid.check(path, size);
    let mut normalized = Vec::new();
    for (i, text) in list.iter().enumerate() {
        match invalid.check(&format!("{path}[{i}]"), normal(text)) {
            Some(entry) if !normalized.contains(&entry) => normalized.push(entry),
            _ => {}
        }
    }
    Some(normalized)
}

fn entry(text: &str) -> Result<String, String> {
    if (1..=LONGEST_ENTRY).contains(&text.len()) && !text.contains(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(format!("must be 1 to {LONGEST_ENTRY} bytes without control characters"))
}

/// A domain in lower case, and in ASCII.
fn domain(text: &str) -> Result<String, String> {
    let is_label =
        |label: &str| !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    match Host::parse(text.trim()) {
        Ok(Host::Domain(domain)) if domain.split('.').all(is_label) => Ok(domain),
        _ => Err("must be a domain such as acme.com, without `@` or `*`".to_owned()),
    }
}

#[cfg(test)]
#[path = "identity/tests.rs"]
mod tests;
