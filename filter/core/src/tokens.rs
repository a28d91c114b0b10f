//! What a call used, in tokens.

/// Counts of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// With those from the cache.
    pub input: u64,
    /// At most `input`.
    pub cached_input: u64,
    /// With those for reasoning.
    pub output: u64,
    /// At most `output`.
    pub reasoning: u64,
}
