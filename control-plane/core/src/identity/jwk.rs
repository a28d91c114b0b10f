//! JWK sets (RFC 7517), as identity providers publish them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use super::key::{PublicKey, Unfit};

/// The most keys that are taken of a set.
pub const MOST_KEYS: usize = 50;

/// The longest name of a key, in bytes.
const LONGEST_KID: usize = 256;

/// How much of a key's name is shown, in characters.
const LONGEST_SHOWN: usize = 64;

/// Why a set is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSet {
    /// Something else.
    #[error("the response is not a JWK set: a JSON object with `keys`")]
    Malformed,
    /// Nothing that could verify a JWT; with what is wrong with keys that might have.
    #[error("the set has no key that verifies RS256, ES256 or EdDSA signatures{}", listed(.0))]
    NoKey(Vec<String>),
}

/// A set, as far as it is of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwkSet {
    /// What verifies signatures that gateways know.
    pub keys: Vec<PublicKey>,
    /// Which keys would, and are refused: the name of each, and why.
    pub unfit: Vec<String>,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    kid: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// A private key: whoever publishes it has lost it.
    d: Option<Value>,
}

/// Reads a set: its public keys that verify signatures which gateways know. Keys of other kinds are passed
/// over, and those that are no good are named.
///
/// # Errors
/// It is no set, or has no such key.
pub fn read(json: &[u8]) -> Result<JwkSet, BadSet> {
    let Set { keys } = serde_json::from_slice(json).map_err(|_| BadSet::Malformed)?;
    let mut set = JwkSet { keys: Vec::new(), unfit: Vec::new() };
    for jwk in keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok()) {
        match jwk.public_key() {
            Ok(key) if set.keys.len() < MOST_KEYS => set.keys.push(key),
            Err(unfit) if unfit != Unfit::Kind && set.unfit.len() < MOST_KEYS => {
                let kid: String = jwk.kid.chars().take(LONGEST_SHOWN).flat_map(char::escape_debug).collect();
                set.unfit.push(format!("`{kid}`: {unfit}"));
            }
            _ => {}
        }
    }
    if set.keys.is_empty() { Err(BadSet::NoKey(set.unfit)) } else { Ok(set) }
}

fn listed(unfit: &[String]) -> String {
    if unfit.is_empty() { String::new() } else { format!(" ({})", unfit.join(", ")) }
}

impl Jwk {
    fn public_key(&self) -> Result<PublicKey, Unfit> {
        if !self.verifies() || self.d.is_some() || self.kid.len() > LONGEST_KID {
            return Err(Unfit::Kind);
        }
        let key = match (self.kty.as_str(), self.crv.as_deref(), self.alg.as_deref()) {
            ("RSA", _, None | Some("RS256")) => PublicKey::rsa(&bytes(&self.n)?, &bytes(&self.e)?),
            ("EC", Some("P-256"), None | Some("ES256")) => self.point(),
            ("OKP", Some("Ed25519"), None | Some("EdDSA" | "Ed25519")) => {
                PublicKey::ed25519(&bytes(&self.x)?)
            }
            _ => Err(Unfit::Kind),
        }?;
        Ok(PublicKey { kid: self.kid.clone(), ..key })
    }

    fn verifies(&self) -> bool {
        let purpose = self.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
        purpose && self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"))
    }

    fn point(&self) -> Result<PublicKey, Unfit> {
        let (x, y) = (bytes(&self.x)?, bytes(&self.y)?);
        if x.len() != 32 || y.len() != 32 {
            return Err(Unfit::Malformed);
        }
        PublicKey::p256(&[&[4], x.as_slice(), &y].concat())
    }
}

fn bytes(text: &Option<String>) -> Result<Vec<u8>, Unfit> {
    let text = text.as_deref().ok_or(Unfit::Malformed)?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Unfit::Malformed)
}
