//! Hashes and anchors as text.

use std::fmt;
use std::str::FromStr;

use super::Anchor;

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash(pub [u8; 32]);

/// Why a text or bytes are no hash or anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAHash {
    /// Not a [`Hash`].
    #[error("a hash is 64 hexadecimal digits")]
    Hash,
    /// Not an [`Anchor`].
    #[error(
        "an anchor is the number of an entry, a colon and its hash, as `latchkey audit verify` prints it"
    )]
    Anchor,
}

impl Hash {
    /// What the first entry follows.
    pub const START: Self = Self([0; 32]);
}

impl Anchor {
    /// That of a log without entries.
    pub const START: Self = Self { number: 0, hash: Hash::START };
}

impl TryFrom<&[u8]> for Hash {
    type Error = NotAHash;

    fn try_from(bytes: &[u8]) -> Result<Self, NotAHash> {
        bytes.try_into().map(Self).map_err(|_| NotAHash::Hash)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl FromStr for Hash {
    type Err = NotAHash;

    fn from_str(text: &str) -> Result<Self, NotAHash> {
        Self::try_from(hex::decode(text).ok_or(NotAHash::Hash)?.as_slice())
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.number, self.hash)
    }
}

impl FromStr for Anchor {
    type Err = NotAHash;

    fn from_str(text: &str) -> Result<Self, NotAHash> {
        let (number, hash) = text.split_once(':').ok_or(NotAHash::Anchor)?;
        let number = number.parse().ok().filter(|number| *number >= 0).ok_or(NotAHash::Anchor)?;
        Ok(Self { number, hash: hash.parse()? })
    }
}

pub mod hex {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    #[must_use]
    pub fn encode(bytes: &[u8]) -> String {
        let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
        bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }

    #[must_use]
    pub fn decode(text: &str) -> Option<Vec<u8>> {
        let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let pairs = text.as_bytes().chunks(2);
        pairs.map(|pair| if let [a, b] = pair { Some(digit(*a)? << 4 | digit(*b)?) } else { None }).collect()
    }

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        decode(&text).ok_or_else(|| de::Error::custom("must be hexadecimal digits"))
    }
}
