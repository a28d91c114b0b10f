//! An identity provider: keys, tokens, and a JWK set.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::{SignatureEncoding as _, Signer as _};
use rand::SeedableRng as _;
use rsa::traits::PublicKeyParts as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A key pair that signs tokens.
pub enum Signer {
    /// Of 2,048 bits, or as many as a test asks for.
    Rsa(Box<rsa::pkcs1v15::SigningKey<rsa::sha2::Sha256>>),
    /// On P-256.
    Ec(p256::ecdsa::SigningKey),
    /// Ed25519.
    Ed(Box<ed25519_dalek::SigningKey>),
}

/// Publishes keys at its URL.
pub struct Issuer {
    /// Where its JWK set is.
    pub url: String,
    set: Arc<Mutex<Value>>,
    asked: Arc<AtomicUsize>,
}

/// In base64url.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The time in seconds since the Unix epoch.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

impl Signer {
    /// Always the same key.
    pub fn rsa() -> Self {
        Self::rsa_of(2048)
    }

    /// Always the same key with so many bits.
    pub fn rsa_of(bits: usize) -> Self {
        let mut rng = rand::rngs::StdRng::seed_from_u64(7);
        let key = rsa::RsaPrivateKey::new_unchecked(&mut rng, bits).unwrap();
        Self::Rsa(Box::new(rsa::pkcs1v15::SigningKey::new(key)))
    }

    /// The key of this seed.
    pub fn ec(seed: u8) -> Self {
        Self::Ec(p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap())
    }

    /// The key of this seed.
    pub fn ed(seed: u8) -> Self {
        Self::Ed(Box::new(ed25519_dalek::SigningKey::from_bytes(&[seed; 32])))
    }

    /// The `alg` of its tokens.
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::Ec(_) => "ES256",
            Self::Ed(_) => "EdDSA",
        }
    }

    /// Its public key as a JWK.
    pub fn jwk(&self, kid: &str) -> Value {
        let mut jwk = match self {
            Self::Rsa(key) => {
                let key: &rsa::RsaPrivateKey = (**key).as_ref();
                json!({"kty": "RSA", "n": encode(key.n_bytes()), "e": encode(key.e_bytes())})
            }
            Self::Ec(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                let (x, y) = point.as_bytes()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)})
            }
            Self::Ed(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(key.verifying_key().to_bytes())})
            }
        };
        jwk["kid"] = json!(kid);
        jwk["use"] = json!("sig");
        jwk
    }

    /// A signature as JWS has it.
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

    /// A token with this header.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = unsigned(header, claims);
        let signature = encode(self.signature(&signed));
        format!("{signed}.{signature}")
    }

    /// A token of this key.
    pub fn issue(&self, kid: &str, claims: &Value) -> String {
        self.sign(&json!({"alg": self.algorithm(), "kid": kid}), claims)
    }
}

/// A token's first two parts.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encode(header.to_string()), encode(claims.to_string()))
}

/// The claims of someone's token, changed.
pub fn claims(email: &str, changes: Value) -> Value {
    let mut claims = json!({
        "iss": "https://id.acme.com", "azp": "chat", "email": email, "email_verified": true,
        "iat": now(), "exp": now() + 300
    });
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    claims
}

impl Issuer {
    /// Publishes these keys.
    pub async fn start(keys: &[Value]) -> Self {
        let set = Arc::new(Mutex::new(json!({ "keys": keys })));
        let asked = Arc::new(AtomicUsize::new(0));
        let (published, counted) = (Arc::clone(&set), Arc::clone(&asked));
        let answer = async move || {
            counted.fetch_add(1, Ordering::SeqCst);
            ([("cache-control", "public, max-age=86400")], published.lock().unwrap().to_string())
        };
        let routes = Router::new().fallback(answer);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, routes).await });
        Self { url, set, asked }
    }

    /// How often it was asked for its keys.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Publishes other keys.
    pub fn publish(&self, keys: &[Value]) {
        *self.set.lock().unwrap() = json!({ "keys": keys });
    }
}
