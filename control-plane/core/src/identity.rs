//! Who is behind a request made with a shared key.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How the gateway learns the user behind a request, where the key does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IdentitySettings {
    /// Whether the header `X-User-Email` is believed.
    pub header: bool,
    /// Whether requests without an accepted identity are refused.
    pub enforce: bool,
    /// Domains of e-mail addresses that are accepted; null for any.
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
    /// The claim with the e-mail address.
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
