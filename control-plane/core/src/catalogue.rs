//! The well-known models, and what they cost.

mod table;

use crate::money::NanoUsd;
use crate::price::{LongContext, Multiplier, Price, Rates, Tier};

pub use table::AS_OF;

/// A model that needs no price typed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownModel {
    /// What its vendor calls it.
    pub name: &'static str,
    /// Who makes it.
    pub vendor: &'static str,
    rates: Rates,
    long_context: Option<LongContext>,
    tiers: &'static [(&'static str, Tier)],
    /// The most tokens of one answer; none where there is none.
    pub max_output_tokens: Option<u64>,
    /// The most tokens of input and output together.
    pub context_window: Option<u64>,
}

impl KnownModel {
    /// What it costs.
    #[must_use]
    pub fn price(&self) -> Price {
        let Self { rates, long_context, tiers, .. } = *self;
        let tiers = tiers.iter().map(|(name, tier)| ((*name).to_owned(), *tier)).collect();
        Price { rates, long_context, tiers }
    }
}

/// Every well-known model.
#[must_use]
pub fn known() -> &'static [KnownModel] {
    table::KNOWN
}

/// The well-known model that a provider calls `name`: exactly, or with a date or `-latest` after it.
#[must_use]
pub fn find(name: &str) -> Option<&'static KnownModel> {
    let exactly = |name: &str| known().iter().find(|known| known.name == name);
    exactly(name).or_else(|| exactly(undated(name)?))
}

/// `name` without `-2024-08-06`, `-20240806`, `@20240806` or `-latest` at its end.
fn undated(name: &str) -> Option<&str> {
    if let Some(rest) = name.strip_suffix("-latest") {
        return Some(rest);
    }
    ["-dddd-dd-dd", "-dddddddd", "@dddddddd"].into_iter().find_map(|shape| {
        let (rest, suffix) = name.split_at_checked(name.len().checked_sub(shape.len())?)?;
        let fits = |(c, shape): (u8, u8)| if shape == b'd' { c.is_ascii_digit() } else { c == shape };
        suffix.bytes().zip(shape.bytes()).all(fits).then_some(rest)
    })
}

/// Rates of input, cached input and output, of whoever asks nothing more for writing to its cache.
const fn plain([input, cached_input, output]: [&str; 3]) -> Rates {
    let input = usd(input);
    Rates {
        input,
        cached_input: usd(cached_input),
        cache_write_5m: input,
        cache_write_1h: input,
        output: usd(output),
    }
}

/// The same, with so many quarters of the input's rate for writing to the cache.
const fn writing(rates: Rates, [quarters_5m, quarters_1h]: [u64; 2]) -> Rates {
    let cache_write_5m = NanoUsd((rates.input.0 * quarters_5m).div_ceil(4));
    let cache_write_1h = NanoUsd((rates.input.0 * quarters_1h).div_ceil(4));
    Rates { cache_write_5m, cache_write_1h, ..rates }
}

/// A tier that costs so many thousandths of the standard one.
const fn times(thousandths: u64) -> Tier {
    Tier::Multiplied { multiplier: Multiplier::thousandths(thousandths) }
}

/// A tier with rates of its own.
const fn own(rates: [&str; 3]) -> Tier {
    Tier::Own(plain(rates))
}

/// Reads a price of the table; one that is none does not compile.
const fn usd(text: &str) -> NanoUsd {
    let text = text.as_bytes();
    let (mut nanos, mut places, mut i) = (0_u64, None, 0);
    while i < text.len() {
        match (text[i], places) {
            (b'.', None) => places = Some(0),
            (digit @ b'0'..=b'9', _) => {
                nanos = nanos * 10 + (digit - b'0') as u64;
                if let Some(place) = places {
                    places = Some(place + 1);
                }
            }
            _ => panic!("a price is digits with a point"),
        }
        i += 1;
    }
    let places = match places {
        Some(places) => places,
        None => 0,
    };
    NanoUsd(nanos * 10_u64.pow(9 - places))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::invalid::Invalid;
    use crate::price::{Biller, Draft};
    use crate::provider::ProviderKind;

    #[test]
    fn the_table_reads_as_prices_and_names_each_model_once() {
        assert_eq!(usd("0.075"), "0.075".parse().unwrap());
        assert_eq!(usd("15"), "15".parse().unwrap());
        let names: BTreeSet<_> = known().iter().map(|known| known.name).collect();
        assert_eq!(names.len(), known().len());
        for model in known() {
            let mut invalid = Invalid::default();
            model.price().check(model.name, &mut invalid);
            assert_eq!(invalid, Invalid::default());
            assert!(model.max_output_tokens <= model.context_window, "{}", model.name);
            let border = model.long_context.map(|long| long.above);
            assert!(border < model.context_window, "{}", model.name);
        }
        assert!(AS_OF.parse::<jiff::civil::Date>().is_ok());
    }

    #[test]
    fn writing_to_the_cache_is_never_cheaper_than_where_nothing_is_known_and_never_dearer() {
        for model in known() {
            let rates = model.rates;
            let [dear_5m, dear_1h] = Rates::dearest_writes(rates.input, Biller::of(kind(model), model.name));
            assert!(rates.cache_write_5m <= dear_5m && rates.cache_write_1h <= dear_1h, "{}", model.name);
        }
        let writes = |name| find(name).unwrap().price().rates.named()[2..4].to_vec();
        let usd =
            |a: &str, b: &str| vec![("cache_write_5m", super::usd(a)), ("cache_write_1h", super::usd(b))];
        assert_eq!(writes("gpt-5.6"), usd("5", "10"));
        assert_eq!(writes("gpt-5.4"), usd("2.5", "2.5"));
        assert_eq!(writes("claude-opus-4-6"), usd("6.25", "10"));
    }

    fn kind(model: &KnownModel) -> ProviderKind {
        if model.vendor == "Anthropic" { ProviderKind::Anthropic } else { ProviderKind::Openai }
    }

    /// A price that is typed in for a well-known model has the long rates and tiers of the catalogue.
    #[test]
    fn a_price_of_ones_own_is_as_dear_in_proportion() {
        let known = find("gpt-5.4").unwrap().price();
        let own: Draft =
            serde_json::from_str(r#"{"input": "5", "cached_input": "0.5", "output": "30"}"#).unwrap();
        let own = own.complete(Some(&known), Biller::Others, "price").unwrap();
        let long = own.long_context.unwrap();
        assert_eq!((long.above, long.rates.input, long.rates.output), (272_000, usd("10"), usd("45")));
        assert_eq!(own.tiers.keys().collect::<Vec<_>>(), ["flex", "priority"]);
    }

    #[test]
    fn a_date_does_not_hide_a_model_and_its_own_price_wins() {
        let name = |name| find(name).map(|known| known.name);
        assert_eq!(name("gpt-4o"), Some("gpt-4o"));
        assert_eq!(name("gpt-4o-2024-08-06"), Some("gpt-4o"));
        assert_eq!(name("gpt-4o-2024-05-13"), Some("gpt-4o-2024-05-13"));
        assert_eq!(name("claude-sonnet-4-5-20250929"), Some("claude-sonnet-4-5"));
        assert_eq!(name("claude-sonnet-4@20250514"), Some("claude-sonnet-4"));
        assert_eq!(name("claude-3-5-haiku-latest"), Some("claude-3-5-haiku"));
        for other in
            ["gpt-4o-audio-preview", "gpt-4o-2024-8-6", "gpt-4o-x024-08-06", "2024-08-06", "", "é-20250514"]
        {
            assert_eq!(name(other), None, "{other}");
        }
    }
}
