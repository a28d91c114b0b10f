//! What tokens cost: before a request the most that a vendor may bill for it, after it what was billed.

pub mod density;

mod ceiling;
mod tier;
mod tokens;

pub use ceiling::Ceiling;
pub use tier::{ServedTier, TierChoice, UnpricedTier};
pub use tokens::TokenUsage;

/// A billionth of a US dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NanoUsd(pub u64);

/// What a model costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// Its number in the control plane's history of prices.
    pub version: u64,
    /// Of the standard tier.
    pub standard: RateCard,
    /// Of the other tiers that have a price.
    pub tiers: Vec<Tier>,
}

/// What a tier costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// As `service_tier` names it in lower case, or `member=value` for another member of the body.
    pub name: String,
    /// What it costs.
    pub card: RateCard,
}

/// What one tier charges, by the length of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateCard {
    /// As long as the input is not long.
    pub rates: Rates,
    /// For a whole request with a long input.
    pub long_context: Option<LongContext>,
}

/// What a whole request with a long input costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongContext {
    /// An input of more tokens is long.
    pub above: u64,
    /// What it costs.
    pub rates: Rates,
}

/// In nano-USD per million tokens. Each token of input has one of its four rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Of the prompt.
    pub input: u64,
    /// Of what the provider had of the prompt in its cache.
    pub cached_input: u64,
    /// Of what the provider wrote of the prompt to its cache, for some minutes.
    pub cache_write_5m: u64,
    /// Of what the provider wrote of the prompt to its cache, for an hour or longer.
    pub cache_write_1h: u64,
    /// Of the answer.
    pub output: u64,
}

/// Tokens that a rate is for.
const PER: u128 = 1_000_000;

impl Price {
    /// What the answer costs that was served so; none where that tier has no price.
    #[must_use]
    pub fn cost(&self, tokens: &TokenUsage, choice: &TierChoice, served: &ServedTier) -> Option<NanoUsd> {
        let cards = tier::billed(self, choice, served)?;
        cards.into_iter().map(|card| card.cost(tokens)).max()
    }

    /// The most that these tokens cost in any tier that has a price.
    #[must_use]
    pub fn dearest(&self, tokens: &TokenUsage) -> NanoUsd {
        let tiers = self.tiers.iter().map(|tier| tier.card.cost(tokens));
        tiers.fold(self.standard.cost(tokens), NanoUsd::max)
    }

    /// The most that so many tokens may cost, whatever became of them.
    #[must_use]
    pub fn worst(&self, tokens: &TokenUsage, choice: &TierChoice) -> NanoUsd {
        let worst = self.ceiling(choice).map(|ceiling| ceiling.worst(tokens.input, tokens.output));
        worst.unwrap_or_else(|_| self.dearest(tokens))
    }

    /// The most that a request may be billed at that chooses so.
    ///
    /// # Errors
    /// When it chooses a tier that has no price.
    pub fn ceiling(&self, choice: &TierChoice) -> Result<Ceiling, UnpricedTier> {
        Ok(Ceiling::over(&tier::possible(self, choice)?, choice.long_cache))
    }

    fn tier(&self, name: &str) -> Option<&RateCard> {
        self.tiers.iter().find(|tier| tier.name == name).map(|tier| &tier.card)
    }
}

impl RateCard {
    /// What these tokens cost, rounded up once.
    #[must_use]
    pub fn cost(&self, tokens: &TokenUsage) -> NanoUsd {
        match self.long_context {
            Some(LongContext { above, rates }) if tokens.input > above => rates.cost(tokens),
            _ => self.rates.cost(tokens),
        }
    }
}

impl Rates {
    /// The rates that hold where no others are known for writing to the cache.
    #[must_use]
    pub fn without_writes(input: u64, cached_input: u64, output: u64) -> Self {
        let [cache_write_5m, cache_write_1h] = latchkey_proto::price::dearest_writes(input);
        Self { input, cached_input, cache_write_5m, cache_write_1h, output }
    }

    fn cost(&self, tokens: &TokenUsage) -> NanoUsd {
        // Should the parts be more than the whole, the dear ones count.
        let mut rest = tokens.input;
        let mut take = |part: u64| {
            let taken = part.min(rest);
            rest = rest.saturating_sub(taken);
            taken
        };
        let written_1h = take(tokens.cache_write_1h);
        let written_5m = take(tokens.cache_write_5m);
        let cached = take(tokens.cached_input);
        let parts = [
            product(written_1h, self.cache_write_1h),
            product(written_5m, self.cache_write_5m),
            product(cached, self.cached_input),
            product(rest, self.input),
            product(tokens.output, self.output),
        ];
        round_up(parts.into_iter().fold(0, u128::saturating_add))
    }
}

fn product(tokens: u64, rate: u64) -> u128 {
    u128::from(tokens).saturating_mul(rate.into())
}

fn round_up(millionths: u128) -> NanoUsd {
    NanoUsd(u64::try_from(millionths.div_ceil(PER)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
