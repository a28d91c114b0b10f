use super::{NanoUsd, PER, RateCard, Rates, product, round_up};

/// The most that a request may be billed at, whichever tier serves it, whatever of it comes from the
/// cache or goes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceiling {
    short: Most,
    /// For more input tokens than these.
    long: Option<(u64, Most)>,
}

/// In nano-USD per million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Most {
    input: u64,
    output: u64,
}

impl Ceiling {
    /// Of what costs nothing.
    pub const NOTHING: Self = Self { short: Most { input: 0, output: 0 }, long: None };

    /// The most of any of these; `long_cache`: the request may write to a cache that is kept for an hour or longer.
    pub(super) fn over(cards: &[&RateCard], long_cache: bool) -> Self {
        let most = |rates: &Rates| Most::of(rates, long_cache);
        let short = cards.iter().map(|card| most(&card.rates)).fold(Most::default(), Most::max);
        let long_contexts = || cards.iter().filter_map(|card| card.long_context);
        let long = long_contexts()
            .map(|long| long.above)
            .min()
            .map(|above| (above, long_contexts().map(|long| most(&long.rates)).fold(short, Most::max)));
        Self { short, long }
    }

    /// The most that so many tokens can cost.
    #[must_use]
    pub fn worst(&self, input_tokens: u64, output_tokens: u64) -> NanoUsd {
        let Most { input, output } = self.within(input_tokens);
        round_up(product(input_tokens, input).saturating_add(product(output_tokens, output)))
    }

    /// The most output tokens of which the worst cost stays within `money`; none where the input
    /// alone does not.
    #[must_use]
    pub fn output_within(&self, money: NanoUsd, input_tokens: u64) -> Option<u64> {
        let Most { input, output } = self.within(input_tokens);
        let money = u128::from(money.0).saturating_mul(PER);
        let left = money.checked_sub(product(input_tokens, input))?;
        let output = left.checked_div(output.into()).unwrap_or(u64::MAX.into());
        Some(u64::try_from(output).unwrap_or(u64::MAX))
    }

    /// The rates for at most so much input: a shorter one is never dearer.
    fn within(&self, input_tokens: u64) -> Most {
        match self.long {
            Some((above, long)) if input_tokens > above => long,
            _ => self.short,
        }
    }
}

impl Most {
    fn of(rates: &Rates, long_cache: bool) -> Self {
        let Rates { input, cached_input, cache_write_5m, cache_write_1h, output } = *rates;
        let kept = if long_cache { cache_write_1h } else { 0 };
        Self { input: input.max(cached_input).max(cache_write_5m).max(kept), output }
    }

    fn max(self, other: Self) -> Self {
        Self { input: self.input.max(other.input), output: self.output.max(other.output) }
    }
}
