//! What a call used, in tokens.

/// Counts of one call. What was read from the cache, what was written to it and the rest add up to
/// `input`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenUsage {
    /// With those from the cache, and those written to it.
    pub input: u64,
    /// From the provider's cache.
    pub cached_input: u64,
    /// Written to the provider's cache, for some minutes.
    pub cache_write_5m: u64,
    /// Written to the provider's cache for an hour or longer, or for nobody knows how long.
    pub cache_write_1h: u64,
    /// With those for reasoning.
    pub output: u64,
    /// At most `output`.
    pub reasoning: u64,
}
