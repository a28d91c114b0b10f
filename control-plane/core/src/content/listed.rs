//! A value of a category's list: keyed hashes of it, once it has been read.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use latchkey_guardrails::custom::exact::ExactHash;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::guardrails::ListKey;

/// A value that is looked for without being kept.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedValue(Listed);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Listed {
    /// One for each spelling, sorted.
    Hashed(Vec<ExactHash>),
    /// As it was typed: it is never stored, printed or shown.
    Plain(String),
}

/// What a hash begins with.
const PREFIX: &str = "hash:";
/// Spellings of a value.
const MOST_HASHES: usize = 4;
const NO_HASH: &str = "begins with `hash:` but is not a hash that was shown here";

impl ListedValue {
    /// A value as it is typed.
    #[must_use]
    pub fn plain(value: impl Into<String>) -> Self {
        Self(Listed::Plain(value.into()))
    }

    /// Reads a value, or a hash that stands for one.
    ///
    /// # Errors
    /// It begins as a hash, and is none.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let Some(encoded) = text.strip_prefix(PREFIX) else { return Ok(Self::plain(text)) };
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(encoded).map_err(|_| NO_HASH)?;
        let (hashes, rest) = bytes.as_chunks::<{ ExactHash::SIZE }>();
        if !rest.is_empty() || !(1..=MOST_HASHES).contains(&hashes.len()) {
            return Err(NO_HASH);
        }
        Ok(Self(Listed::Hashed(hashes.iter().map(|hash| ExactHash::from_bytes(*hash)).collect())))
    }

    /// The value as it was typed; none where only hashes are known.
    #[must_use]
    pub fn typed(&self) -> Option<&str> {
        match &self.0 {
            Listed::Plain(value) => Some(value),
            Listed::Hashed(_) => None,
        }
    }

    /// Hashes, one for each spelling; none of a value that was not hashed.
    #[must_use]
    pub fn hashes(&self) -> &[ExactHash] {
        match &self.0 {
            Listed::Hashed(hashes) => hashes,
            Listed::Plain(_) => &[],
        }
    }

    /// As it is shown; none of a value that was not hashed.
    #[must_use]
    pub fn shown(&self) -> Option<String> {
        let Listed::Hashed(hashes) = &self.0 else { return None };
        let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.to_bytes()).collect();
        Some(format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes)))
    }

    pub(super) fn is_plain(&self) -> bool {
        matches!(self.0, Listed::Plain(_))
    }

    /// Its hashes with this key.
    ///
    /// # Errors
    /// It cannot be looked for, or was hashed with another key.
    pub(super) fn hashed(self, key: &ListKey) -> Result<Self, String> {
        match self.0 {
            Listed::Plain(value) => match value.trim() == value && !value.chars().any(char::is_control) {
                true => {
                    key.hashes(&value).map(|it| Self(Listed::Hashed(it))).map_err(|error| error.to_string())
                }
                false => Err("must not have control characters or leading and trailing spaces".to_owned()),
            },
            Listed::Hashed(hashes) if hashes.iter().all(|hash| key.made(hash)) => {
                Ok(Self(Listed::Hashed(hashes)))
            }
            Listed::Hashed(_) => {
                Err("is a hash from another app or installation and would find nothing here: enter the value itself"
                    .to_owned())
            }
        }
    }
}

impl std::fmt::Debug for ListedValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ListedValue")
    }
}

impl Serialize for ListedValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.shown() {
            Some(shown) => serializer.serialize_str(&shown),
            None => Err(S::Error::custom("a value was not hashed")),
        }
    }
}

impl<'de> Deserialize<'de> for ListedValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl PartialSchema for ListedValue {
    fn schema() -> RefOr<Schema> {
        let about = "A value of 4 to 100 characters that begins and ends with a letter or digit and has at most 16 words, \
            or the hash that is shown in its place.";
        ObjectBuilder::new().schema_type(Type::String).description(Some(about)).into()
    }
}

impl ToSchema for ListedValue {}
