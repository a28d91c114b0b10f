//! Values that are fine, whatever finds them.

use std::collections::BTreeSet;

use crate::custom::pattern::Pattern;
use crate::custom::{Refused, probe};
use crate::normalize::normalized;

/// Steps in one text: a text with so many matches is made to be slow.
const MOST_STEPS: u64 = 4_000_000;

/// What it costs to try a pattern at all.
const STEPS_OF_A_TRY: u64 = 16;

/// What an app lets pass: values, and patterns that a match must have as a whole.
#[derive(Clone, Default)]
pub struct Exceptions {
    /// Normalized, in lower case.
    values: BTreeSet<Vec<u8>>,
    patterns: Vec<Pattern>,
}

/// The values may be the very ones that must not be printed.
impl std::fmt::Debug for Exceptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Exceptions");
        shown.field("values", &self.values.len()).field("patterns", &self.patterns).finish()
    }
}

impl Exceptions {
    /// # Errors
    /// A pattern cannot be used; the reason says why.
    pub fn compile(values: &[String], patterns: &[String]) -> Result<Self, Refused> {
        let values = values.iter().map(|value| normalized(value).to_ascii_lowercase()).collect();
        let patterns = patterns.iter().map(|pattern| Pattern::compile(pattern)).collect::<Result<_, _>>()?;
        Ok(Self { values, patterns })
    }

    /// Whether a value is fine.
    #[must_use]
    pub fn cover_text(&self, value: &str) -> bool {
        self.cover(&normalized(value), &mut 0)
    }

    /// Whether patterns may be stored for one app: each compiles, and together they read no match too slowly that is
    /// made to slow them down.
    ///
    /// # Errors
    /// What cannot be used, and why.
    pub fn check(patterns: &[String]) -> Result<(), Refused> {
        probe::run_exceptions(&Self::compile(&[], patterns)?.patterns)
    }

    /// Whether a match, normalized, is fine. Counts its steps: after [`MOST_STEPS`] patterns make nothing fine.
    pub(crate) fn cover(&self, found: &[u8], steps: &mut u64) -> bool {
        if self.values.is_empty() && self.patterns.is_empty() {
            return false;
        }
        !self.values.is_empty() && self.values.contains(&found.to_ascii_lowercase())
            || self.patterns.iter().any(|pattern| {
                *steps = steps.saturating_add(STEPS_OF_A_TRY);
                *steps <= MOST_STEPS && pattern.matches_whole(found, steps)
            })
    }
}
