//! An app's own categories: keywords, patterns, and exact values that are known by their keyed hashes alone.

use crate::custom::exact::ExactValue;
use crate::custom::pattern::Pattern;

pub mod exact;
pub(crate) mod pattern;
pub(crate) mod scan;

/// Why a keyword, pattern or value is refused: a lowercase fragment that people read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// What a custom category looks for.
#[derive(Clone, Debug, Default)]
pub struct CustomDefinition {
    /// Words and phrases, in any case.
    pub keywords: Vec<String>,
    /// Regular expressions, as written. They are read on normalized text: accents are off, and full-width and
    /// confusable letters are plain. A match ends after [`LONGEST_CUSTOM_MATCH`] bytes.
    pub patterns: Vec<String>,
    /// Values that are not stored.
    pub exact: Vec<ExactValue>,
    /// The key of [`ExactValue`].
    pub exact_key: Vec<u8>,
}

/// Bytes of the longest match of a pattern.
pub const LONGEST_CUSTOM_MATCH: usize = 256;

/// A category of an app's own, ready to be looked for.
#[derive(Clone, Debug, Default)]
pub struct CustomCategory {
    patterns: Vec<Pattern>,
}

impl CustomCategory {
    /// Makes a category ready, as a gateway does. A definition that [`Self::check`] accepts compiles.
    ///
    /// # Errors
    /// What cannot be used, and why.
    pub fn compile(definition: &CustomDefinition) -> Result<Self, Refused> {
        let patterns =
            definition.patterns.iter().map(|pattern| Pattern::compile(pattern)).collect::<Result<_, _>>()?;
        Ok(Self { patterns })
    }

    /// Whether a definition may be stored: it compiles, never matches nothing at all, and reads no text too
    /// slowly, however that is chosen.
    ///
    /// # Errors
    /// What cannot be used, and why.
    pub fn check(definition: &CustomDefinition) -> Result<(), Refused> {
        Self::compile(definition).map(|_| ())
    }
}
