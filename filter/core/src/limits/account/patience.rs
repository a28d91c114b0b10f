pub use latchkey_proto::bucket::PATIENCE_MS;

/// How long a request waits for everything that it may have.
const CUT_AFTER_MS: i64 = 2_000;

/// What a request does while others hold the units that it needs. It settles for less the longer it waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Patience {
    /// Waits for all that it asks for, or for all that there can be.
    #[default]
    Whole,
    /// Takes what is there, down to its floor, or waits for that.
    Cut,
    /// As `Cut`, but is refused where not even the floor is there.
    Over,
}

impl Patience {
    /// For a request that has waited this long.
    #[must_use]
    pub fn after(waited_ms: i64) -> Self {
        match waited_ms {
            ..CUT_AFTER_MS => Self::Whole,
            CUT_AFTER_MS..PATIENCE_MS => Self::Cut,
            PATIENCE_MS.. => Self::Over,
        }
    }
}
