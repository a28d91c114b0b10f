//! What tokens cost: the most that may be billed for a request, and what was billed for it.

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

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// The number in the control plane's price history.
    pub version: u64,
    pub standard: RateCard,
    /// Of the other tiers that have a price.
    pub tiers: Vec<Tier>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// In lower case, as `service_tier` names it, or `member=value` for another member.
    pub name: String,
    pub card: RateCard,
}

/// What one tier charges, by the length of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateCard {
    pub rates: Rates,
    /// For the whole request, where the input is long.
    pub long_context: Option<LongContext>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongContext {
    /// A longer input is long.
    pub above: u64,
    pub rates: Rates,
}

/// In nano-USD per million tokens. Each input token has one of four rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    pub input: u64,
    pub cached_input: u64,
    /// Kept for minutes.
    pub cache_write_5m: u64,
    /// Kept for an hour or longer.
    pub cache_write_1h: u64,
    pub output: u64,
}

/// Tokens per rate.
const PER: u128 = 1_000_000;

impl Price {
    /// What an answer costs; none where its tier has no price.
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

    /// The most that this many tokens may cost.
    #[must_use]
    pub fn worst(&self, tokens: &TokenUsage, choice: &TierChoice) -> NanoUsd {
        let worst = self.ceiling(choice).map(|ceiling| ceiling.worst(tokens.input, tokens.output));
        worst.unwrap_or_else(|_| self.dearest(tokens))
    }

    /// The most that a request with this choice of tier may be billed.
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
    /// The rates where those for cache writes are unknown.
    #[must_use]
    pub fn without_writes(input: u64, cached_input: u64, output: u64) -> Self {
        let [cache_write_5m, cache_write_1h] = latchkey_proto::price::dearest_writes(input);
        Self { input, cached_input, cache_write_5m, cache_write_1h, output }
    }

    fn cost(&self, tokens: &TokenUsage) -> NanoUsd {
        // If the parts exceed the whole, the dear ones count.
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
