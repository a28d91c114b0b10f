//! The tokens that a call used.

/// Tokens read from the cache, tokens written to it, and the rest add up to `input`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenUsage {
    /// With cached tokens.
    pub input: u64,
    pub cached_input: u64,
    /// Kept for minutes.
    pub cache_write_5m: u64,
    /// Kept for an hour or longer, or for an unknown time.
    pub cache_write_1h: u64,
    /// With those for reasoning.
    pub output: u64,
    /// At most `output`.
    pub reasoning: u64,
}
