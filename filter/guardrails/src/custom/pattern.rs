//! Patterns that an app writes.

use crate::custom::Refused;

/// A regular expression that is read on normalized text.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    text: String,
}

impl Pattern {
    pub(crate) fn compile(text: &str) -> Result<Self, Refused> {
        Ok(Self { text: text.to_owned() })
    }

    /// Whether all of `bytes` is a match.
    pub(crate) fn matches_whole(&self, bytes: &[u8]) -> bool {
        self.text.as_bytes() == bytes
    }
}
