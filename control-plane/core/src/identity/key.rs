//! Public keys that verify JWTs: those that gateways can use, and no weaker ones.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use pkcs1::der::Encode as _;
use pkcs1::{RsaPublicKeyRef, UintRef};
use serde::{Deserialize, Serialize};

/// Which signatures a key verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PublicKey {
    /// Empty: it has none.
    #[serde(default)]
    pub kid: String,
    /// Which signatures it verifies.
    pub algorithm: Algorithm,
    /// PKCS #1's `RSAPublicKey` in DER, the uncompressed point of P-256, or 32 bytes of Ed25519.
    #[serde(with = "text")]
    pub bytes: Vec<u8>,
}

/// Why a key is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Of another kind.
    #[error("only RSA, P-256 and Ed25519 keys are supported")]
    Kind,
    /// It cannot be read.
    #[error("the key is malformed")]
    Malformed,
    /// A short modulus.
    #[error("an RSA key must have at least {SHORTEST} bits")]
    Short,
    /// A long modulus.
    #[error("an RSA key may have at most {LONGEST} bits")]
    Long,
    /// An exponent that nobody uses.
    #[error("the RSA key's public exponent must be odd, more than 1 and at most 32 bits long")]
    Exponent,
    /// A point of small order.
    #[error("the Ed25519 key is weak")]
    Weak,
}

/// Of a modulus, in bits: longer ones let whoever sends wrong signatures take a gateway's time.
const SHORTEST: usize = 2048;
const LONGEST: usize = 4096;

impl PublicKey {
    /// An RSA key of these numbers, big-endian.
    ///
    /// # Errors
    /// It is not fit for use.
    pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, Unfit> {
        let (modulus, exponent) = (trimmed(modulus), trimmed(exponent));
        let is_odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
        if !is_odd(modulus) {
            return Err(Unfit::Malformed);
        }
        let first = modulus.first().copied().unwrap_or_default();
        match modulus.len() * 8 - first.leading_zeros() as usize {
            ..SHORTEST => return Err(Unfit::Short),
            SHORTEST..=LONGEST => {}
            _ => return Err(Unfit::Long),
        }
        if exponent.len() > 4 || exponent == [1] || !is_odd(exponent) {
            return Err(Unfit::Exponent);
        }
        let number = |bytes| UintRef::new(bytes).map_err(|_| Unfit::Malformed);
        let key = RsaPublicKeyRef { modulus: number(modulus)?, public_exponent: number(exponent)? };
        let bytes = key.to_der().map_err(|_| Unfit::Malformed)?;
        Ok(Self { kid: String::new(), algorithm: Algorithm::Rs256, bytes })
    }

    /// A point of P-256, compressed or not.
    ///
    /// # Errors
    /// It is none.
    pub fn p256(point: &[u8]) -> Result<Self, Unfit> {
        let key = p256::PublicKey::from_sec1_bytes(point).map_err(|_| Unfit::Malformed)?;
        let bytes = key.to_sec1_point(false).as_bytes().to_vec();
        Ok(Self { kid: String::new(), algorithm: Algorithm::Es256, bytes })
    }

    /// A key of Ed25519.
    ///
    /// # Errors
    /// It is none, or weak.
    pub fn ed25519(bytes: &[u8]) -> Result<Self, Unfit> {
        let array = bytes.try_into().map_err(|_| Unfit::Malformed)?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(array).map_err(|_| Unfit::Malformed)?;
        if key.is_weak() {
            return Err(Unfit::Weak);
        }
        Ok(Self { kid: String::new(), algorithm: Algorithm::EdDsa, bytes: bytes.to_vec() })
    }
}

/// Without leading zeros.
fn trimmed(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// Bytes as base64url.
mod text {
    use serde::de::{Deserialize as _, Deserializer, Error as _};
    use serde::ser::Serializer;

    use base64::Engine as _;

    use super::URL_SAFE_NO_PAD;

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        URL_SAFE_NO_PAD.decode(text).map_err(D::Error::custom)
    }
}
