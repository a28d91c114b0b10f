//! Authenticated encryption of what must be shown or used again: key values and credentials.
//!
//! A sealed value is a version byte, a random nonce of 24 bytes, and XChaCha20-Poly1305's output.
//! What the value is for is authenticated with it, so that one sealed value cannot stand in for
//! another.

use std::fmt;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use latchkey_world::World;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use uuid::Uuid;

use crate::Store;

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;

/// The master key, from outside the database.
#[derive(Clone)]
pub struct MasterKey(XChaCha20Poly1305);

/// What a sealed value is for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose<'a> {
    /// The value of the key with this id.
    KeyValue(Uuid),
    /// The credential of the provider of this name.
    Credential(&'a str),
    /// The credential of the MCP server of this name.
    McpCredential(&'a str),
    /// The credential of the external detector of this name.
    DetectorCredential(&'a str),
    /// The URL of the webhook with this id.
    WebhookUrl(Uuid),
    /// What messages to the webhook with this id are signed with.
    WebhookSecret(Uuid),
    /// By which another master key is noticed.
    Check,
    /// The answer kept for an actor's requests with an idempotency key.
    Answer(&'a str, &'a str),
    /// A sign-in by OpenID Connect that is under way, in its browser's cookie.
    SignIn,
}

/// A sealed value that does not open: another master key, another purpose, or damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored secret does not open: was LATCHKEY_MASTER_KEY changed?")]
pub struct Sealed;

impl MasterKey {
    /// Reads a master key: 32 bytes in base64.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(text: &SecretString) -> anyhow::Result<Self> {
        let bytes = STANDARD.decode(text.expose_secret().trim()).context("the master key is not base64")?;
        let bytes = SecretSlice::from(bytes);
        let cipher = XChaCha20Poly1305::new_from_slice(bytes.expose_secret());
        cipher.map(Self).map_err(|_| anyhow::anyhow!("the master key is not 32 bytes in base64"))
    }

    /// Reads the master key in a file; where there is none, makes one that only its owner can read.
    ///
    /// # Errors
    /// The file cannot be read or written, or holds something else.
    pub fn load_or_create(path: &Path, world: &World) -> anyhow::Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => return Self::parse(&text.into()).with_context(|| format!("in {}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("could not read {}", path.display())),
        }
        let text = STANDARD.encode(world.random::<32>());
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("could not create {}", folder.display()))?;
        }
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .with_context(|| format!("could not write {}", path.display()))?;
        tracing::info!(path = %path.display(), "made a master key: back it up apart from the database");
        Self::parse(&text.into())
    }

    /// Makes sure that `store`'s secrets are sealed with this key; at the first start they will be.
    ///
    /// # Errors
    /// They are sealed with another, or the database is away.
    pub async fn belong_to(&self, store: &Store, world: &World) -> anyhow::Result<()> {
        if store.sealed_check().await?.is_none() {
            let mut tx = store.begin().await?;
            tx.keep_sealed_check(self.seal(world, Purpose::Check, b"latchkey")).await?;
            tx.commit().await?;
        }
        let sealed = store.sealed_check().await?.unwrap_or_default();
        self.open(Purpose::Check, &sealed).map(drop).map_err(|_| {
            anyhow::anyhow!(
                "this is not the master key that the database's secrets are sealed with: give the one of its first \
                 start (LATCHKEY_MASTER_KEY or LATCHKEY_MASTER_KEY_FILE), the same to every replica"
            )
        })
    }

    /// Encrypts `plain` for `purpose`.
    #[must_use]
    pub fn seal(&self, world: &World, purpose: Purpose<'_>, plain: &[u8]) -> Vec<u8> {
        let nonce = world.random::<NONCE_BYTES>();
        let aad = purpose.to_string();
        let payload = Payload { msg: plain, aad: aad.as_bytes() };
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload).expect("memory holds the plaintext");
        [&[VERSION], nonce.as_slice(), &sealed].concat()
    }

    /// Decrypts what [`MasterKey::seal`] made for the same purpose.
    ///
    /// # Errors
    /// [`Sealed`], when it does not open.
    pub fn open(&self, purpose: Purpose<'_>, sealed: &[u8]) -> Result<SecretString, Sealed> {
        let Some((&VERSION, rest)) = sealed.split_first() else { return Err(Sealed) };
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(Sealed)?;
        let aad = purpose.to_string();
        let payload = Payload { msg: sealed, aad: aad.as_bytes() };
        let plain = self.0.decrypt(&XNonce::from(*nonce), payload).map_err(|_| Sealed)?;
        String::from_utf8(plain).map(SecretString::from).map_err(|_| Sealed)
    }
}

impl fmt::Display for Purpose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyValue(id) => write!(f, "key/{id}"),
            Self::Credential(provider) => write!(f, "credential/{provider}"),
            Self::McpCredential(server) => write!(f, "mcp-credential/{server}"),
            Self::DetectorCredential(detector) => write!(f, "detector-credential/{detector}"),
            Self::WebhookUrl(id) => write!(f, "webhook-url/{id}"),
            Self::WebhookSecret(id) => write!(f, "webhook-secret/{id}"),
            Self::Check => f.write_str("check"),
            Self::Answer(actor, key) => write!(f, "answer/{actor}/{key}"),
            Self::SignIn => f.write_str("sign-in"),
        }
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master(byte: u8) -> MasterKey {
        MasterKey::parse(&STANDARD.encode([byte; 32]).into()).unwrap()
    }

    #[test]
    fn a_sealed_value_opens_only_with_its_key_for_its_purpose_and_whole() {
        let world = World::system();
        let sealed = master(1).seal(&world, Purpose::Credential("openai"), b"sk-secret");
        let open = |key: u8, purpose, sealed: &[u8]| {
            master(key).open(purpose, sealed).map(|plain| plain.expose_secret().to_owned())
        };
        assert_eq!(open(1, Purpose::Credential("openai"), &sealed), Ok("sk-secret".to_owned()));
        assert_eq!(open(2, Purpose::Credential("openai"), &sealed), Err(Sealed));
        assert_eq!(open(1, Purpose::Credential("azure"), &sealed), Err(Sealed));
        for i in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[i] ^= 1;
            assert_eq!(open(1, Purpose::Credential("openai"), &damaged), Err(Sealed), "byte {i}");
            assert_eq!(open(1, Purpose::Credential("openai"), &sealed[..i]), Err(Sealed), "cut at {i}");
        }
    }

    #[test]
    fn two_seals_of_one_value_differ() {
        let world = World::system();
        let seal = || master(1).seal(&world, Purpose::Answer("a", "b"), b"x");
        assert_ne!(seal(), seal());
    }

    #[test]
    fn a_master_key_of_another_length_is_refused() {
        assert!(MasterKey::parse(&STANDARD.encode([1; 16]).into()).is_err());
        assert!(MasterKey::parse(&"not base64!".to_owned().into()).is_err());
    }
}
