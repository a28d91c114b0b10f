//! What a model costs.

mod draft;
mod multiplier;
mod tier;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::invalid::Invalid;
use crate::money::NanoUsd;
use crate::provider::ProviderKind;

pub use draft::{Draft, DraftLongContext, DraftTier};
pub use multiplier::Multiplier;
pub use tier::Tier;

/// What a million tokens cost, in US dollars: of the standard tier, and where a vendor asks more or less.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct Price {
    /// Of the standard tier.
    #[serde(flatten)]
    pub rates: Rates,
    /// What a whole request with a long input costs; null where it costs no more.
    pub long_context: Option<LongContext>,
    /// What other service tiers cost, by their names.
    pub tiers: BTreeMap<String, Tier>,
}

/// US dollars per million tokens. Each token of input has one of its four rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rates {
    /// Of input that is neither read from a cache nor written to one.
    pub input: NanoUsd,
    /// Of input that the provider had in its cache.
    pub cached_input: NanoUsd,
    /// Of input that the provider wrote to its cache, for some minutes.
    pub cache_write_5m: NanoUsd,
    /// Of input that the provider wrote to its cache, for an hour or longer.
    pub cache_write_1h: NanoUsd,
    /// Of output, with those of reasoning.
    pub output: NanoUsd,
}

/// What a whole request with a long input costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LongContext {
    /// An input of more tokens than these is long.
    pub above: u64,
    /// What it costs.
    #[serde(flatten)]
    pub rates: Rates,
}

/// Who bills, as far as that decides what is not given of a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Biller {
    /// Anthropic, or whoever resells its models: a write for an hour costs twice the input.
    Anthropic,
    /// OpenAI and everybody else: a write for a day costs twice as much as one for half an hour.
    Others,
}

/// The most that a million tokens may cost: a dollar each.
const DEAREST: NanoUsd = NanoUsd(1_000_000_000_000_000);
/// The most tokens of input that may count as short.
const LONGEST: u64 = 1_000_000_000;

impl Biller {
    /// Who bills a model that a provider of this kind calls so.
    #[must_use]
    pub fn of(kind: ProviderKind, model: &str) -> Self {
        match kind {
            ProviderKind::Anthropic => Self::Anthropic,
            _ if model.to_ascii_lowercase().contains("claude") => Self::Anthropic,
            _ => Self::Others,
        }
    }
}

impl Rates {
    /// Whether writing to a cache does not cost what other input does.
    #[must_use]
    pub fn has_own_writes(&self) -> bool {
        [self.cache_write_5m, self.cache_write_1h] != [self.input; 2]
    }

    /// The dearest that writing to the cache costs at any vendor of this kind, for some minutes and for
    /// longer: Anthropic's hour is twice its input.
    #[must_use]
    pub fn dearest_writes(input: NanoUsd, biller: Biller) -> [NanoUsd; 2] {
        let [minutes, longer] = latchkey_proto::price::dearest_writes(input.0).map(NanoUsd);
        match biller {
            Biller::Anthropic => [minutes, NanoUsd(input.0.saturating_mul(2))],
            _ => [minutes, longer],
        }
    }

    /// The rates with their names, in the order in which people read them.
    #[must_use]
    pub fn named(&self) -> [(&'static str, NanoUsd); 5] {
        let Self { input, cached_input, cache_write_5m, cache_write_1h, output } = *self;
        [
            ("input", input),
            ("cached_input", cached_input),
            ("cache_write_5m", cache_write_5m),
            ("cache_write_1h", cache_write_1h),
            ("output", output),
        ]
    }

    /// Each of the rates changed so.
    #[must_use]
    pub fn map(&self, change: impl Fn(NanoUsd) -> NanoUsd) -> Self {
        Self {
            input: change(self.input),
            cached_input: change(self.cached_input),
            cache_write_5m: change(self.cache_write_5m),
            cache_write_1h: change(self.cache_write_1h),
            output: change(self.output),
        }
    }

    /// These rates, each as many times dearer as `to` is than `from`.
    fn in_proportion(&self, to: &Self, from: &Self) -> Self {
        Self {
            input: scaled(self.input, to.input, from.input),
            cached_input: scaled(self.cached_input, to.cached_input, from.cached_input),
            cache_write_5m: scaled(self.cache_write_5m, to.cache_write_5m, from.cache_write_5m),
            cache_write_1h: scaled(self.cache_write_1h, to.cache_write_1h, from.cache_write_1h),
            output: scaled(self.output, to.output, from.output),
        }
    }

    /// Notes what is nonsense: a vendor never asks less for writing to its cache than for not doing it,
    /// nor more for reading from it.
    fn check(&self, path: &str, invalid: &mut Invalid) {
        let mut refuse = |name: &str, message: String| {
            invalid.check::<(), _>(&format!("{path}.{name}"), Err(message));
        };
        for (name, rate) in self.named() {
            if rate > DEAREST {
                refuse(name, format!("must be at most {DEAREST} US dollars per million tokens"));
            }
        }
        if self.cached_input > self.input {
            refuse("cached_input", format!("must be at most the price of `{path}.input`, {}", self.input));
        }
        for (name, rate, least_name, least) in [
            ("cache_write_5m", self.cache_write_5m, "input", self.input),
            ("cache_write_1h", self.cache_write_1h, "cache_write_5m", self.cache_write_5m),
        ] {
            if rate < least {
                let message = format!(
                    "must be at least the price of `{path}.{least_name}`, {least}: it replaces the input price"
                );
                refuse(name, message);
            }
        }
    }
}

impl Price {
    /// What other tiers cost, with what they ask for a long input.
    pub fn cards(&self) -> impl Iterator<Item = (&str, Rates, Option<LongContext>)> {
        self.tiers.iter().map(|(name, tier)| {
            let rates = tier.rates(&self.rates);
            let long = self.long_context.map(|long| LongContext {
                above: long.above,
                rates: tier.long_rates(&self.rates, &long.rates),
            });
            (name.as_str(), rates, long)
        })
    }

    /// Notes every part that is nonsense; `path` is where the price is.
    pub fn check(&self, path: &str, invalid: &mut Invalid) {
        self.rates.check(path, invalid);
        if let Some(long) = &self.long_context {
            long.check(&self.rates, &format!("{path}.long_context"), invalid);
        }
        tier::check(&self.tiers, &self.rates, &format!("{path}.tiers"), invalid);
    }
}

impl LongContext {
    fn check(&self, short: &Rates, path: &str, invalid: &mut Invalid) {
        if !(1..=LONGEST).contains(&self.above) {
            let message = format!("must be 1 to {LONGEST}: the largest input at the standard price");
            invalid.check::<(), _>(&format!("{path}.above"), Err(message));
        }
        self.rates.check(path, invalid);
        for ((name, long), (_, short)) in self.rates.named().into_iter().zip(short.named()) {
            if long < short {
                let message = format!("must be at least the price of shorter inputs, {short}");
                invalid.check::<(), _>(&format!("{path}.{name}"), Err(message));
            }
        }
    }
}

/// `amount` times `to / from`, rounded up; as it is where `from` is nothing.
fn scaled(amount: NanoUsd, to: NanoUsd, from: NanoUsd) -> NanoUsd {
    if from.0 == 0 {
        return amount;
    }
    let product = u128::from(amount.0).saturating_mul(to.0.into());
    NanoUsd(u64::try_from(product.div_ceil(from.0.into())).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
