//! The format of keys.
//!
//! ```text
//! app key    sk-quilr-<32 characters>
//! named key  sk-quilr-<32 characters>:ss1.<43 characters>.<32 characters>
//! ```
//!
//! The 32 characters are base64url of 20 random bytes and a CRC-32 of everything before it, so
//! that a typo is refused without a lookup and a scanner can recognise a leaked key. The 43 are
//! base64url of the user id and the key id. Base64url has one spelling for each value here: a
//! string that decodes but would not encode to itself is malformed.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// What every key begins with.
pub const PREFIX: &str = "sk-quilr-";

/// What stands between the app key and the identity of a named key; `ss1` is the format's version.
const NAMED_SEPARATOR: &str = ":ss1.";

/// Random bytes in an app key, and in the random suffix of a named key: 160 bits.
pub const RANDOM_BYTES: usize = 20;

/// How many of a key's last characters are shown to recognize it by.
pub const ENDING_CHARS: usize = 4;

const CHECKSUM_BYTES: usize = 4;
/// How many characters follow an app key's prefix.
pub const SECRET_CHARS: usize = 32;
const IDENTITY_CHARS: usize = 43;

/// The random part of a new key.
pub type Randomness = [u8; RANDOM_BYTES];

/// A well-formed key: its checksums are right. Whether it opens anything, only a lookup tells.
#[derive(Clone, PartialEq, Eq)]
pub enum ApiKey {
    App(AppKey),
    /// A user's personal credential for one app.
    Named(NamedKey),
}

/// An app's own credential (the parent key).
#[derive(Clone, PartialEq, Eq)]
pub struct AppKey(String);

/// A user's personal credential for one app.
#[derive(Clone, PartialEq, Eq)]
pub struct NamedKey {
    text: String,
    claim: KeyClaim,
}

/// What a named key's payload says of itself. It routes nothing and attributes nothing: that is
/// for the stored record, which the key's hash finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyClaim {
    /// The user that the key was issued to.
    pub user: Uuid,
    pub key: Uuid,
}

/// SHA-256 of a key's text: the only thing that a key is looked up by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash([u8; 32]);

/// A key's last characters, which people recognize it by.
///
/// They encode the last 3 bytes of the checksum of everything before them. So they differ between keys as
/// random characters do, also between keys of one user and app, and 136 of the 160 random bits stay unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyEnding([u8; ENDING_CHARS]);

/// Why a string is not a key. The string itself is never part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It does not begin with `sk-quilr-`.
    #[error("a key begins with `{PREFIX}`")]
    Prefix,
    /// A part is too short, too long, missing, or not base64url.
    #[error("the key is cut short, too long, or has a character that no key has")]
    Shape,
    /// A checksum does not match: a typo, or not one of our keys.
    #[error("the key's checksum does not match: it was mistyped or cut")]
    Checksum,
}

impl AppKey {
    /// The app key made of `random`.
    #[must_use]
    pub fn new(random: Randomness) -> Self {
        Self(format!("{PREFIX}{}", secret(PREFIX, random)))
    }

    /// The key as a client presents it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the key is looked up by.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&self.0)
    }
}

impl NamedKey {
    /// The named key under `parent` that carries `claim` and is made of `random`.
    #[must_use]
    pub fn new(parent: &AppKey, claim: KeyClaim, random: Randomness) -> Self {
        let identity = URL_SAFE_NO_PAD.encode([claim.user.into_bytes(), claim.key.into_bytes()].concat());
        let head = format!("{}{NAMED_SEPARATOR}{identity}.", parent.0);
        let secret = secret(&head, random);
        Self { text: head + &secret, claim }
    }

    /// The key as a client presents it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// What the key says of itself.
    #[must_use]
    pub fn claim(&self) -> KeyClaim {
        self.claim
    }

    /// What the key is looked up by.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&self.text)
    }
}

impl ApiKey {
    /// Reads a key as a client presents it.
    ///
    /// # Errors
    /// Says what is wrong with the string, without repeating it.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let body = text.strip_prefix(PREFIX).ok_or(Malformed::Prefix)?;
        let Some((app, payload)) = body.split_once(':') else {
            verify(PREFIX, body)?;
            return Ok(Self::App(AppKey(text.to_owned())));
        };
        verify(PREFIX, app)?;
        let (version, rest) = payload.split_once('.').ok_or(Malformed::Shape)?;
        let (identity, random) = rest.split_once('.').ok_or(Malformed::Shape)?;
        if version != "ss1" || identity.len() != IDENTITY_CHARS {
            return Err(Malformed::Shape);
        }
        let head = text.strip_suffix(random).ok_or(Malformed::Shape)?;
        verify(head, random)?;
        Ok(Self::Named(NamedKey { text: text.to_owned(), claim: KeyClaim::decode(identity)? }))
    }

    /// What the key is looked up by.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        match self {
            Self::App(key) => key.hash(),
            Self::Named(key) => key.hash(),
        }
    }
}

impl KeyClaim {
    fn decode(identity: &str) -> Result<Self, Malformed> {
        let bytes = URL_SAFE_NO_PAD.decode(identity).map_err(|_| Malformed::Shape)?;
        let (user, key) = bytes.split_at_checked(16).ok_or(Malformed::Shape)?;
        Ok(Self {
            user: Uuid::from_slice(user).map_err(|_| Malformed::Shape)?,
            key: Uuid::from_slice(key).map_err(|_| Malformed::Shape)?,
        })
    }
}

impl KeyHash {
    /// The hash of a key's text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for KeyHash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl TryFrom<&[u8]> for KeyHash {
    type Error = std::array::TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self)
    }
}

impl KeyEnding {
    /// The ending of a key's text; none where that is too short, or does not end as a key does.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let ending = *text.as_bytes().last_chunk()?;
        Self::is_made_of(&ending).then_some(Self(ending))
    }

    /// The key as it is shown: `sk-quilr-…7haQ`.
    #[must_use]
    pub fn masked(&self) -> String {
        format!("{PREFIX}…{self}")
    }

    /// Whether all of `bytes` are characters that keys end with.
    #[must_use]
    pub fn is_made_of(bytes: &[u8]) -> bool {
        bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    }
}

impl fmt::Display for KeyEnding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{}", char::from(*byte)))
    }
}

/// Lower-case hexadecimal.
impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({self})")
    }
}

impl fmt::Debug for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppKey(sk-quilr-…)")
    }
}

impl fmt::Debug for NamedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NamedKey(sk-quilr-…, {:?})", self.claim)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App(key) => key.fmt(f),
            Self::Named(key) => key.fmt(f),
        }
    }
}

/// The 32 characters that end a key: `random`, and the checksum of `head` and `random`.
fn secret(head: &str, random: Randomness) -> String {
    let mut bytes = random.to_vec();
    bytes.extend(checksum(head, &random));
    URL_SAFE_NO_PAD.encode(bytes)
}

fn verify(head: &str, secret: &str) -> Result<(), Malformed> {
    if secret.len() != SECRET_CHARS {
        return Err(Malformed::Shape);
    }
    let bytes = URL_SAFE_NO_PAD.decode(secret).map_err(|_| Malformed::Shape)?;
    let (random, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(Malformed::Shape)?;
    if checksum(head, random) != *sum {
        return Err(Malformed::Checksum);
    }
    Ok(())
}

fn checksum(head: &str, random: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut crc = crc32fast::Hasher::new();
    crc.update(head.as_bytes());
    crc.update(random);
    crc.finalize().to_be_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLAIM: KeyClaim = KeyClaim { user: Uuid::from_u128(1), key: Uuid::from_u128(2) };

    fn app_key() -> AppKey {
        AppKey::new([7; RANDOM_BYTES])
    }

    #[test]
    fn app_keys_have_the_documented_shape() {
        let key = app_key();
        assert_eq!(key.expose(), "sk-quilr-BwcHBwcHBwcHBwcHBwcHBwcHBwc2U7fF");
        assert_eq!(ApiKey::parse(key.expose()), Ok(ApiKey::App(key)));
    }

    #[test]
    fn named_keys_have_the_documented_shape() {
        let key = NamedKey::new(&app_key(), CLAIM, [9; RANDOM_BYTES]);
        let (parent, payload) = key.expose().split_once(':').unwrap();
        assert_eq!(parent, app_key().expose());
        assert!(payload.starts_with("ss1.AAAAAAAAAAAAAAAAAAAAAQAAAAAAAAAAAAAAAAAAAAI."), "{payload}");
        assert_eq!(key.expose().len(), 122);
        assert_eq!(ApiKey::parse(key.expose()), Ok(ApiKey::Named(key)));
    }

    #[test]
    fn keys_of_one_user_are_told_apart_by_their_endings() {
        let key = |n: u8| NamedKey::new(&app_key(), CLAIM, [n; RANDOM_BYTES]);
        let endings: std::collections::HashSet<_> =
            (0..=255).map(|n| KeyEnding::of(key(n).expose()).unwrap().to_string()).collect();
        assert_eq!(endings.len(), 256);
        let (text, ending) = (key(9).expose().to_owned(), KeyEnding::of(key(9).expose()).unwrap());
        assert_eq!(ending.masked(), format!("sk-quilr-…{}", text.get(118..).unwrap()));
        assert_eq!(KeyEnding::of("7ha"), None);
        assert_eq!(KeyEnding::of("7ha "), None);
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let named = NamedKey::new(&app_key(), CLAIM, [9; RANDOM_BYTES]);
        let shown = format!("{:?} {:?}", app_key(), named);
        assert!(!shown.contains("Bwc") && !shown.contains("CQk"), "{shown}");
    }

    #[test]
    fn a_bare_prefix_a_foreign_key_and_an_empty_string_are_malformed() {
        assert_eq!(ApiKey::parse(""), Err(Malformed::Prefix));
        assert_eq!(ApiKey::parse("sk-proj-abc"), Err(Malformed::Prefix));
        assert_eq!(ApiKey::parse("sk-quilr-"), Err(Malformed::Shape));
        assert_eq!(ApiKey::parse(&format!("{PREFIX}{}", "A".repeat(32))), Err(Malformed::Checksum));
    }

    #[test]
    fn another_payload_version_is_malformed() {
        let named = NamedKey::new(&app_key(), CLAIM, [9; RANDOM_BYTES]);
        assert_eq!(ApiKey::parse(&named.expose().replace(":ss1.", ":ss2.")), Err(Malformed::Shape));
    }

    #[test]
    fn a_payload_cannot_be_moved_to_another_parent() {
        let named = NamedKey::new(&app_key(), CLAIM, [9; RANDOM_BYTES]);
        let (_, payload) = named.expose().split_once(':').unwrap();
        let moved = format!("{}:{payload}", AppKey::new([8; RANDOM_BYTES]).expose());
        assert_eq!(ApiKey::parse(&moved), Err(Malformed::Checksum));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn every_key_reads_back(app: Randomness, random: Randomness, user: u128, key: u128) {
            let parent = AppKey::new(app);
            let claim = KeyClaim { user: Uuid::from_u128(user), key: Uuid::from_u128(key) };
            let named = NamedKey::new(&parent, claim, random);
            prop_assert_eq!(ApiKey::parse(parent.expose()), Ok(ApiKey::App(parent)));
            prop_assert_eq!(named.claim(), claim);
            prop_assert_eq!(ApiKey::parse(named.expose()), Ok(ApiKey::Named(named)));
        }

        #[test]
        fn one_changed_character_is_refused(app: Randomness, random: Randomness, at in 0..122usize, to in "[ -~]") {
            let named = NamedKey::new(&AppKey::new(app), CLAIM, random);
            let mut text = named.expose().to_owned();
            text.replace_range(at..=at, &to);
            prop_assume!(text != named.expose());
            prop_assert!(ApiKey::parse(&text).is_err());
        }

        #[test]
        fn no_stranger_is_accepted(text in "(sk-quilr-)?[A-Za-z0-9_:.-]{0,140}") {
            prop_assert!(ApiKey::parse(&text).is_err());
        }

        #[test]
        fn no_input_panics(text: String) {
            prop_assert!(ApiKey::parse(&text).is_err());
        }
    }
}
