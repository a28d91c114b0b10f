//! Estimates the input tokens of a text, for windows. Budgets count a token per byte.

use latchkey_proto::density::{ASSUMED, BYTES_PER_TOKEN};
pub use latchkey_proto::ledger::Text;

/// Bytes of text per token of a model, in thousandths: fewer than in nearly all requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BytesPerToken {
    ascii: u32,
    other: u32,
}

/// Tokens that providers add to a prompt, for windows.
pub const OVERHEAD: u64 = 16;

const USUAL: BytesPerToken = BytesPerToken { ascii: ASSUMED.0, other: ASSUMED.1 };

impl Default for BytesPerToken {
    fn default() -> Self {
        USUAL
    }
}

impl BytesPerToken {
    /// As measured by the control plane; 0 where it has not.
    #[must_use]
    pub fn measured(ascii: u32, other: u32) -> Self {
        let known = |measured, usual| match measured {
            0 => usual,
            _ => u32::clamp(measured, *BYTES_PER_TOKEN.start(), *BYTES_PER_TOKEN.end()),
        };
        Self { ascii: known(ascii, USUAL.ascii), other: known(other, USUAL.other) }
    }

    /// About how many tokens a text has.
    #[must_use]
    pub fn tokens(self, text: Text) -> u64 {
        let tokens = |bytes: u64, each: u32| {
            let tokens = u128::from(bytes).saturating_mul(1000).div_ceil(u128::from(each.max(1)));
            u64::try_from(tokens).unwrap_or(u64::MAX)
        };
        tokens(text.ascii, self.ascii).saturating_add(tokens(text.other, self.other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn kinds_of_text_have_rates_of_their_own() {
        let text = Text { ascii: 1_000, other: 300 };
        assert_eq!(BytesPerToken::default().tokens(text), 400 + 200);
        assert_eq!(BytesPerToken::measured(0, 0), BytesPerToken::default());
        assert_eq!(BytesPerToken::measured(4_000, 3_000).tokens(text), 250 + 100);
        assert_eq!(BytesPerToken::measured(9_999, 1).tokens(text), 250 + 300, "within bounds");
    }

    proptest! {
        #[test]
        fn an_estimate_is_never_beyond_a_token_per_byte(ascii: u32, other: u32, rates: [u32; 2]) {
            let text = Text { ascii: ascii.into(), other: other.into() };
            let estimate = BytesPerToken::measured(rates[0], rates[1]).tokens(text);
            prop_assert!(estimate <= text.ascii + text.other);
            prop_assert!(4 * estimate >= text.ascii + text.other);
        }
    }
}
