pub use latchkey_proto::bucket::PATIENCE_MS;

/// For so long it waits for all that it may have.
const CUT_AFTER_MS: i64 = 2_000;

/// What a request does where others hold what it needs: less and less choosy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Patience {
    /// It waits until it can have all that it asks for, or all that there can be.
    #[default]
    Whole,
    /// It takes what is there, down to its floor, and waits for that.
    Cut,
    /// The same, and where not even that is there it is refused.
    Over,
}

impl Patience {
    /// Of a request that has waited for so long.
    #[must_use]
    pub fn after(waited_ms: i64) -> Self {
        match waited_ms {
            ..CUT_AFTER_MS => Self::Whole,
            CUT_AFTER_MS..PATIENCE_MS => Self::Cut,
            PATIENCE_MS.. => Self::Over,
        }
    }
}
