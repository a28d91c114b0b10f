//! An identity provider for tests.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use latchkey_proto::discovery as wire;
use p256::ecdsa::signature::{SignatureEncoding as _, Signer as _};
use rand::SeedableRng as _;
use rsa::pkcs1::EncodeRsaPublicKey as _;
use serde_json::{Value, json};

/// 2026-01-01T00:00:00Z, in seconds.
pub const NOW: i64 = 1_767_225_600;

pub enum Signer {
    Rsa(Box<rsa::pkcs1v15::SigningKey<rsa::sha2::Sha256>>),
    Ec(p256::ecdsa::SigningKey),
    Ed(Box<ed25519_dalek::SigningKey>),
}

impl Signer {
    pub fn rsa() -> Self {
        Self::rsa_of(2048)
    }

    pub fn rsa_of(bits: usize) -> Self {
        let mut rng = rand::rngs::StdRng::seed_from_u64(7);
        let key = rsa::RsaPrivateKey::new_unchecked(&mut rng, bits).unwrap();
        Self::Rsa(Box::new(rsa::pkcs1v15::SigningKey::new(key)))
    }

    pub fn ec(seed: u8) -> Self {
        Self::Ec(p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap())
    }

    pub fn ed(seed: u8) -> Self {
        Self::Ed(Box::new(ed25519_dalek::SigningKey::from_bytes(&[seed; 32])))
    }

    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::Ec(_) => "ES256",
            Self::Ed(_) => "EdDSA",
        }
    }

    /// Its public key, as the wire has it.
    pub fn public(&self, kid: &str) -> wire::JwtKey {
        let (algorithm, key) = match self {
            Self::Rsa(key) => {
                let public: rsa::RsaPublicKey = AsRef::<rsa::RsaPrivateKey>::as_ref(&**key).into();
                (wire::JwtAlgorithm::Rs256, public.to_pkcs1_der().unwrap().as_bytes().to_vec())
            }
            Self::Ec(key) => {
                (wire::JwtAlgorithm::Es256, key.verifying_key().to_sec1_point(false).as_bytes().to_vec())
            }
            Self::Ed(key) => (wire::JwtAlgorithm::Eddsa, key.verifying_key().to_bytes().to_vec()),
        };
        wire::JwtKey { kid: kid.to_owned(), algorithm: algorithm.into(), key }
    }

    pub fn signature(&self, message: &str) -> Vec<u8> {
        let message = message.as_bytes();
        match self {
            Self::Rsa(key) => key.sign(message).to_vec(),
            Self::Ec(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                signature.to_bytes().to_vec()
            }
            Self::Ed(key) => key.sign(message).to_bytes().to_vec(),
        }
    }

    /// A token with these texts as its header and claims.
    pub fn sign(&self, header: &str, claims: &str) -> String {
        let signed = unsigned(header, claims);
        let signature = URL_SAFE_NO_PAD.encode(self.signature(&signed));
        format!("{signed}.{signature}")
    }

    /// A token with this key's header.
    pub fn issue(&self, claims: &Value) -> String {
        self.sign(
            &json!({"alg": self.algorithm(), "kid": "k", "typ": "JWT"}).to_string(),
            &claims.to_string(),
        )
    }
}

pub fn unsigned(header: &str, claims: &str) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}

pub fn alice() -> Value {
    json!({"iss": "https://id.acme.com", "azp": "chat", "email": "Alice@acme.com", "iat": NOW, "exp": NOW + 300})
}

pub fn with(changes: Value) -> Value {
    let mut claims = alice();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}
