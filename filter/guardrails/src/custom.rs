//! An app's own categories: keywords, patterns, exact values that are known by their keyed hashes alone, and what
//! was learned from examples.

use std::sync::Arc;

use crate::custom::exact::{ExactHash, ExactValues};
use crate::custom::keywords::Keywords;
use crate::custom::learned::Model;
use crate::custom::pattern::Pattern;

pub mod exact;
pub(crate) mod index;
pub(crate) mod keywords;
pub mod learned;
pub(crate) mod pattern;
pub(crate) mod probe;
pub(crate) mod scan;

/// Why a keyword, pattern or value is refused: a lowercase fragment that people read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Bytes of the longest match of a pattern, of the longest keyword and of the longest exact value.
pub const LONGEST_CUSTOM_MATCH: usize = 256;

/// What a custom category looks for.
#[derive(Clone, Default)]
pub struct CustomDefinition {
    /// Words and phrases, in any case: whole ones, but for scripts that put no spaces between words.
    pub keywords: Vec<String>,
    /// Regular expressions without Unicode classes. They are read on normalized text: accents are off, and
    /// full-width and confusable letters are plain. A match ends after [`LONGEST_CUSTOM_MATCH`] bytes.
    pub patterns: Vec<String>,
    /// Values that are not stored, in any case: whole words.
    pub exact: Vec<ExactHash>,
    /// What [`exact::ExactKey`] is made of.
    pub exact_key: Vec<u8>,
    /// What was learned from examples.
    pub learned: Option<Model>,
}

impl std::fmt::Debug for CustomDefinition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { keywords, patterns, exact, exact_key: _, learned } = self;
        let mut shown = f.debug_struct("CustomDefinition");
        shown.field("keywords", keywords).field("patterns", patterns).field("exact", &exact.len());
        shown.field("learned", &learned.is_some());
        shown.finish_non_exhaustive()
    }
}

/// A category of an app's own, ready to be looked for.
#[derive(Clone, Debug, Default)]
pub struct CustomCategory {
    pub(crate) keywords: Keywords,
    pub(crate) patterns: Vec<Pattern>,
    pub(crate) exact: ExactValues,
    pub(crate) learned: Option<Model>,
}

impl CustomCategory {
    /// Makes a category ready, as a gateway does. What [`Self::check`] accepts compiles.
    ///
    /// # Errors
    /// What cannot be used, and why.
    pub fn compile(definition: &CustomDefinition) -> Result<Self, Refused> {
        let CustomDefinition { keywords, patterns, exact, exact_key, learned } = definition;
        Ok(Self {
            keywords: Keywords::new(keywords)?,
            patterns: patterns.iter().map(|pattern| Pattern::compile(pattern)).collect::<Result<_, _>>()?,
            exact: ExactValues::new(exact, exact_key),
            learned: learned.clone(),
        })
    }

    /// Whether definitions may be stored for one app: each compiles, none matches nothing at all, and together
    /// they read no text too slowly that is made to slow them down. Counts steps, not time.
    ///
    /// # Errors
    /// What cannot be used, and why.
    pub fn check(definitions: &[CustomDefinition]) -> Result<(), Refused> {
        let categories = definitions.iter().map(|definition| Self::compile(definition).map(Arc::new));
        probe::run(&categories.collect::<Result<Vec<_>, _>>()?).0
    }
}
