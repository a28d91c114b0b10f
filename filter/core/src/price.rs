//! What tokens cost.

use crate::tokens::Tokens;

/// A billionth of a US dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NanoUsd(pub u64);

/// What a model costs, in nano-USD per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// Its number in the control plane's history of prices.
    pub version: u64,
    /// Of the prompt.
    pub input: u64,
    /// Of what the provider had of the prompt in its cache.
    pub cached_input: u64,
    /// Of the answer.
    pub output: u64,
}

/// Tokens that a price is for.
const PER: u128 = 1_000_000;

impl Price {
    /// Of what providers charge nothing for.
    pub const NOTHING: Self = Self { version: 0, input: 0, cached_input: 0, output: 0 };

    /// What these tokens cost, rounded up once.
    #[must_use]
    pub fn cost(&self, tokens: &Tokens) -> NanoUsd {
        let cached = tokens.cached_input.min(tokens.input);
        let fresh = tokens.input.saturating_sub(cached);
        let input = product(fresh, self.input).saturating_add(product(cached, self.cached_input));
        round_up(input.saturating_add(product(tokens.output, self.output)))
    }

    /// The most that so many tokens can cost, whatever of them was cached.
    #[must_use]
    pub fn worst(&self, input_tokens: u64, output_tokens: u64) -> NanoUsd {
        round_up(self.dearest_input(input_tokens).saturating_add(product(output_tokens, self.output)))
    }

    /// The most output tokens of which the worst cost stays within `money`; none where the input
    /// alone does not.
    #[must_use]
    pub fn output_within(&self, money: NanoUsd, input_tokens: u64) -> Option<u64> {
        let left = u128::from(money.0).saturating_mul(PER).checked_sub(self.dearest_input(input_tokens))?;
        let output = left.checked_div(self.output.into()).unwrap_or(u64::MAX.into());
        Some(u64::try_from(output).unwrap_or(u64::MAX))
    }

    fn dearest_input(&self, tokens: u64) -> u128 {
        product(tokens, self.input.max(self.cached_input))
    }
}

fn product(tokens: u64, price: u64) -> u128 {
    u128::from(tokens).saturating_mul(price.into())
}

fn round_up(millionths: u128) -> NanoUsd {
    NanoUsd(u64::try_from(millionths.div_ceil(PER)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn price() -> impl Strategy<Value = Price> {
        let per_million = || prop_oneof![Just(0), 1..100_u64, 0..200_000_000_000_u64];
        (per_million(), per_million(), per_million()).prop_map(|(input, cached_input, output)| Price {
            version: 1,
            input,
            cached_input,
            output,
        })
    }

    fn tokens() -> impl Strategy<Value = Tokens> {
        let count = || prop_oneof![0..10_u64, 0..10_000_000_u64];
        (count(), count(), count()).prop_map(|(input, cached_input, output)| Tokens {
            input,
            cached_input: cached_input.min(input),
            output,
            reasoning: 0,
        })
    }

    #[test]
    fn cached_tokens_have_their_price_and_the_sum_is_rounded_up_once() {
        let price =
            Price { version: 1, input: 2_500_000_000, cached_input: 1_250_000_000, output: 10_000_000_000 };
        let tokens = Tokens { input: 1000, cached_input: 400, output: 10, reasoning: 5 };
        assert_eq!(price.cost(&tokens), NanoUsd(1_500_000 + 500_000 + 100_000));
        let cheap = Price { version: 1, input: 1, cached_input: 1, output: 1 };
        assert_eq!(cheap.cost(&tokens), NanoUsd(1));
        assert_eq!(cheap.cost(&Tokens::default()), NanoUsd(0));
        assert_eq!(cheap.worst(u64::MAX, u64::MAX), NanoUsd(36_893_488_147_420));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn more_never_costs_less(price in price(), tokens in tokens(), input in 0..1000_u64, output in 0..1000_u64) {
            let more = Tokens { input: tokens.input + input, output: tokens.output + output, ..tokens };
            prop_assert!(price.cost(&more) >= price.cost(&tokens));
        }

        #[test]
        fn the_worst_covers_all_within(
            price in price(), tokens in tokens(), input in 0..1000_u64, output in 0..1000_u64
        ) {
            prop_assert!(price.worst(tokens.input + input, tokens.output + output) >= price.cost(&tokens));
        }

        #[test]
        fn so_much_output_fits_and_not_one_token_more(
            price in price(), money in prop_oneof![0..1000_u64, 0..u64::MAX / 2], input in 0..1_000_000_u64
        ) {
            let money = NanoUsd(money);
            match price.output_within(money, input) {
                None => prop_assert!(price.worst(input, 0) > money),
                Some(u64::MAX) => prop_assert!(price.worst(input, u64::MAX) <= money),
                Some(most) => {
                    prop_assert!(price.worst(input, most) <= money);
                    prop_assert!(price.worst(input, most + 1) > money);
                }
            }
        }
    }
}
