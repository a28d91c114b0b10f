//! Public keys that verify JWTs.

use ed25519_dalek::VerifyingKey as Ed25519Key;
use latchkey_proto::discovery as wire;
use p256::ecdsa::VerifyingKey as P256Key;
use p256::ecdsa::signature::Verifier as _;
use p256::pkcs8::EncodePublicKey as _;

use super::rsa::RsaKey;
use crate::gate::World;

/// Which signatures. There is no other: neither `none` nor one with a secret that is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Es256,
    EdDsa,
}

/// A signature with SHA-256, in the formats that TLS libraries read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignatureCheck<'a> {
    /// X.509's `SubjectPublicKeyInfo` in DER: RSA of 2,048 to 4,096 bits, or P-256.
    pub public_key: &'a [u8],
    /// Of RSASSA-PKCS1-v1_5, as long as the modulus; or of ECDSA, in DER.
    pub signature: &'a [u8],
    /// What was signed.
    pub message: &'a [u8],
}

/// A public key, which goes with one algorithm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PublicKey {
    Rs256(Box<RsaKey>),
    Es256(P256Key),
    EdDsa(Ed25519Key),
}

impl Algorithm {
    /// Reads the `alg` of a JWT.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            "EdDSA" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

impl PublicKey {
    /// Reads a key as the wire has it; none where it is malformed or weak.
    pub(super) fn read(algorithm: wire::JwtAlgorithm, key: &[u8]) -> Option<Self> {
        match algorithm {
            wire::JwtAlgorithm::Unspecified => None,
            wire::JwtAlgorithm::Rs256 => RsaKey::from_der(key).map(Box::new).map(Self::Rs256),
            wire::JwtAlgorithm::Es256 => {
                let uncompressed = Some(key).filter(|key| key.len() == 65)?;
                P256Key::from_sec1_bytes(uncompressed).ok().map(Self::Es256)
            }
            wire::JwtAlgorithm::Eddsa => {
                let key = Ed25519Key::from_bytes(key.try_into().ok()?).ok()?;
                (!key.is_weak()).then_some(Self::EdDsa(key))
            }
        }
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rs256(_) => Algorithm::Rs256,
            Self::Es256(_) => Algorithm::Es256,
            Self::EdDsa(_) => Algorithm::EdDsa,
        }
    }

    /// Whether `signature` is of `message`. The host is asked first, which computes many times faster than a
    /// VM; what it cannot tell is computed here. It knows no Ed25519.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8], world: &impl World) -> bool {
        let by_host = |public_key: Option<&[u8]>, signature: &[u8]| {
            world.verify_signature(SignatureCheck { public_key: public_key?, signature, message })
        };
        match self {
            Self::Rs256(key) => {
                key.takes(signature)
                    && by_host(Some(key.spki()), signature).unwrap_or_else(|| key.verify(message, signature))
            }
            Self::Es256(key) => p256::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| {
                let spki = key.to_public_key_der().ok();
                by_host(spki.as_ref().map(|spki| spki.as_bytes()), signature.to_der().as_bytes())
                    .unwrap_or_else(|| key.verify(message, &signature).is_ok())
            }),
            Self::EdDsa(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
        }
    }
}
