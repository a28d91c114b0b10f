use super::{NanoUsd, PER, RateCard, Rates, product, round_up};

/// The most that a request may be billed, whichever tier serves it and whatever goes through the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// For fewer than [`LEAST_CACHED`] input tokens.
    tiny: CeilingRates,
    short: CeilingRates,
    /// For more input tokens than this.
    long: Option<(u64, CeilingRates)>,
}

/// No vendor caches a shorter prompt: Anthropic's minimum is this, OpenAI's and Google's is 1,024.
const LEAST_CACHED: u64 = 512;

/// In nano-USD per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CeilingRates {
    input: u64,
    output: u64,
}

impl Ceiling {
    pub const NOTHING: Self = Self { tiny: CeilingRates::NOTHING, short: CeilingRates::NOTHING, long: None };

    /// The most of any card. `long_cache`: the request may write to a cache that is kept for an hour or
    /// longer.
    pub(super) fn over(cards: &[&RateCard], long_cache: bool) -> Self {
        let most = |rates: &Rates| CeilingRates::of(rates, long_cache);
        let tiny = cards
            .iter()
            .map(|card| CeilingRates::uncached(&card.rates))
            .fold(CeilingRates::NOTHING, CeilingRates::max);
        let short = cards.iter().map(|card| most(&card.rates)).fold(CeilingRates::NOTHING, CeilingRates::max);
        let long_contexts = || cards.iter().filter_map(|card| card.long_context);
        let long = long_contexts().map(|long| long.above).min().map(|above| {
            (above, long_contexts().map(|long| most(&long.rates)).fold(short, CeilingRates::max))
        });
        Self { tiny, short, long }
    }

    /// The most of two.
    #[must_use]
    pub fn dearer(self, other: Self) -> Self {
        let short = self.short.max(other.short);
        let long = match (self.long, other.long) {
            (None, None) => None,
            // What is not long for one of them costs that one's short rates at most.
            (one, other) => {
                let above = [one, other].into_iter().flatten().map(|(above, _)| above).min();
                let rates = [one, other].into_iter().flatten().map(|(_, rates)| rates);
                above.map(|above| (above, rates.fold(short, CeilingRates::max)))
            }
        };
        Self { tiny: self.tiny.max(other.tiny), short, long }
    }

    /// The most that this many tokens can cost.
    #[must_use]
    pub fn worst(&self, input_tokens: u64, output_tokens: u64) -> NanoUsd {
        let CeilingRates { input, output } = self.within(input_tokens);
        round_up(product(input_tokens, input).saturating_add(product(output_tokens, output)))
    }

    /// The most output tokens that `money` covers at worst; none where it does not cover the input.
    #[must_use]
    pub fn output_within(&self, money: NanoUsd, input_tokens: u64) -> Option<u64> {
        let CeilingRates { input, output } = self.within(input_tokens);
        let money = u128::from(money.0).saturating_mul(PER);
        let left = money.checked_sub(product(input_tokens, input))?;
        let output = left.checked_div(output.into()).unwrap_or(u64::MAX.into());
        Some(u64::try_from(output).unwrap_or(u64::MAX))
    }

    /// The rates for at most this much input: a shorter one is never dearer.
    fn within(&self, input_tokens: u64) -> CeilingRates {
        match self.long {
            Some((above, long)) if input_tokens > above => long,
            _ if input_tokens < LEAST_CACHED => self.tiny,
            _ => self.short,
        }
    }
}

impl CeilingRates {
    const NOTHING: Self = Self { input: 0, output: 0 };

    /// For input that may be cached.
    fn of(rates: &Rates, long_cache: bool) -> Self {
        let kept = if long_cache { rates.cache_write_1h } else { 0 };
        let Self { input, output } = Self::uncached(rates);
        Self { input: input.max(rates.cache_write_5m).max(kept), output }
    }

    /// For input that is not cached.
    fn uncached(rates: &Rates) -> Self {
        Self { input: rates.input.max(rates.cached_input), output: rates.output }
    }

    fn max(self, other: Self) -> Self {
        Self { input: self.input.max(other.input), output: self.output.max(other.output) }
    }
}
