use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::{Biller, LongContext, Multiplier, Price, Rates, Tier, scaled};
use crate::distinct;
use crate::invalid::Invalid;
use crate::limits::nullable;
use crate::money::NanoUsd;

/// What a million tokens cost, in US dollars. What is left out is as dear as the price that this one
/// replaces or the catalogue of well-known models has it, in proportion; where neither is, as dear as it
/// is at the dearest vendor.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = NewPrice)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// Of input: `"2.50"`.
    pub input: NanoUsd,
    /// Of input that the provider had in its cache: as other input by default.
    pub cached_input: Option<NanoUsd>,
    /// Of input that the provider writes to its cache, for some minutes: by default five quarters of
    /// input, where nothing else is known.
    pub cache_write_5m: Option<NanoUsd>,
    /// Of input that the provider writes to its cache, for an hour or longer: by default twice the input
    /// at Anthropic and five halves of it elsewhere, where nothing else is known.
    pub cache_write_1h: Option<NanoUsd>,
    /// Of output, with reasoning.
    pub output: NanoUsd,
    /// What a whole request with a long input costs; null where it costs no more.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<DraftLongContext>)]
    pub long_context: Option<Option<DraftLongContext>>,
    /// What other service tiers cost, by name: as `service_tier` says it, in lower case, or `speed=fast`
    /// and `inference_geo=us`.
    #[serde(default, deserialize_with = "tiers")]
    pub tiers: Option<BTreeMap<String, DraftTier>>,
}

/// What a whole request with a long input costs.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[schema(as = NewLongContext)]
#[serde(deny_unknown_fields)]
pub struct DraftLongContext {
    /// An input of more tokens than these is long.
    #[schema(minimum = 1)]
    pub above: u64,
    /// Of input.
    pub input: NanoUsd,
    /// Of input that the provider had in its cache: as other input by default.
    pub cached_input: Option<NanoUsd>,
    /// Of input that the provider writes to its cache, for some minutes: by default as many times the
    /// input as without a long one.
    pub cache_write_5m: Option<NanoUsd>,
    /// The same for an hour or longer.
    pub cache_write_1h: Option<NanoUsd>,
    /// Of output.
    pub output: NanoUsd,
}

/// What a service tier costs: a `multiplier`, or `input` and `output` with what else is known.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[schema(as = NewTier)]
#[serde(deny_unknown_fields)]
pub struct DraftTier {
    /// How many times as much as the standard tier: `"2"`.
    pub multiplier: Option<Multiplier>,
    /// Of input.
    pub input: Option<NanoUsd>,
    /// Of input that the provider had in its cache: as other input by default.
    pub cached_input: Option<NanoUsd>,
    /// Of input that the provider writes to its cache, for some minutes: by default as many times the
    /// input as in the standard tier.
    pub cache_write_5m: Option<NanoUsd>,
    /// The same for an hour or longer.
    pub cache_write_1h: Option<NanoUsd>,
    /// Of output.
    pub output: Option<NanoUsd>,
}

/// Rates of which some may be left out.
struct Partial {
    input: NanoUsd,
    cached_input: Option<NanoUsd>,
    cache_write_5m: Option<NanoUsd>,
    cache_write_1h: Option<NanoUsd>,
    output: NanoUsd,
}

/// None where it is null.
fn tiers<'de, D: Deserializer<'de>>(json: D) -> Result<Option<BTreeMap<String, DraftTier>>, D::Error> {
    #[derive(Deserialize)]
    struct Tiers(#[serde(deserialize_with = "distinct::object")] BTreeMap<String, DraftTier>);
    Ok(Option::deserialize(json)?.map(|Tiers(tiers)| tiers))
}

impl Draft {
    /// The whole price; `basis` is the one that it replaces, or that of the catalogue.
    ///
    /// # Errors
    /// A part of it is nonsense; `path` is where the price is.
    pub fn complete(self, basis: Option<&Price>, biller: Biller, path: &str) -> Result<Price, Invalid> {
        let Self { input, cached_input, cache_write_5m, cache_write_1h, output, long_context, tiers } = self;
        let mut invalid = Invalid::default();
        let dearest = Rates::dearest_writes(input, biller);
        let known = basis.map(|basis| basis.rates);
        let rates = Partial { input, cached_input, cache_write_5m, cache_write_1h, output };
        let rates = rates.complete(known.as_ref(), dearest);
        let long_context = match long_context {
            Some(given) => given.map(|long| long.complete(&rates)),
            None => basis.and_then(|basis| {
                let LongContext { above, rates: long } = basis.long_context?;
                Some(LongContext { above, rates: long.in_proportion(&rates, &basis.rates) })
            }),
        };
        let tiers = match tiers {
            Some(given) => given
                .into_iter()
                .filter_map(|(name, tier)| {
                    let tier = tier.complete(&rates, &format!("{path}.tiers.{name}"), &mut invalid)?;
                    Some((name, tier))
                })
                .collect(),
            None => basis.map(|basis| basis.tiers_for(&rates)).unwrap_or_default(),
        };
        let price = Price { rates, long_context, tiers };
        price.check(path, &mut invalid);
        invalid.into_result().map(|()| price)
    }
}

impl DraftLongContext {
    fn complete(self, standard: &Rates) -> LongContext {
        let Self { above, input, cached_input, cache_write_5m, cache_write_1h, output } = self;
        let rates = Partial { input, cached_input, cache_write_5m, cache_write_1h, output };
        LongContext { above, rates: rates.like(standard) }
    }
}

impl DraftTier {
    fn complete(self, standard: &Rates, path: &str, invalid: &mut Invalid) -> Option<Tier> {
        let Self { multiplier, input, cached_input, cache_write_5m, cache_write_1h, output } = self;
        let given = [input, cached_input, cache_write_5m, cache_write_1h, output];
        let mut refuse = |message: &str| {
            invalid.check::<(), _>(path, Err(message));
            None
        };
        match (multiplier, input, output) {
            (Some(multiplier), None, None) if given == [None; 5] => Some(Tier::Multiplied { multiplier }),
            (Some(_), ..) => refuse("must be either a `multiplier` or prices, not both"),
            (None, Some(input), Some(output)) => {
                let rates = Partial { input, cached_input, cache_write_5m, cache_write_1h, output };
                Some(Tier::Own(rates.like(standard)))
            }
            (None, ..) => refuse("must be a `multiplier`, or at least `input` and `output`"),
        }
    }
}

impl Price {
    /// The tiers of another price, in proportion.
    fn tiers_for(&self, rates: &Rates) -> BTreeMap<String, Tier> {
        let fitted = |tier: &Tier| match tier {
            Tier::Own(own) => Tier::Own(own.in_proportion(rates, &self.rates)),
            multiplied @ Tier::Multiplied { .. } => *multiplied,
        };
        self.tiers.iter().map(|(name, tier)| (name.clone(), fitted(tier))).collect()
    }
}

impl Partial {
    /// With what is left out as many times the input as in `known`, but for what was cached.
    fn like(self, known: &Rates) -> Rates {
        let dearest = [known.cache_write_5m.max(self.input), known.cache_write_1h.max(self.input)];
        self.complete(Some(known), dearest)
    }

    /// `dearest`: what writing to a cache costs where nothing is known of that.
    fn complete(self, known: Option<&Rates>, dearest: [NanoUsd; 2]) -> Rates {
        let Self { input, cached_input, cache_write_5m, cache_write_1h, output } = self;
        let known = known.filter(|known| known.input.0 > 0);
        let like = |write: fn(&Rates) -> NanoUsd| known.map(|known| scaled(write(known), input, known.input));
        let [dearest_5m, dearest_1h] = dearest;
        let cache_write_5m =
            cache_write_5m.or_else(|| like(|rates| rates.cache_write_5m)).unwrap_or(dearest_5m);
        // A longer time is never cheaper, whatever was given for the shorter one.
        let cache_write_1h = cache_write_1h
            .unwrap_or_else(|| like(|rates| rates.cache_write_1h).unwrap_or(dearest_1h).max(cache_write_5m));
        Rates { input, cached_input: cached_input.unwrap_or(input), cache_write_5m, cache_write_1h, output }
    }
}
