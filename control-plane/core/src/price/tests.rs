use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn draft(price: Value) -> Draft {
    serde_json::from_value(price).unwrap()
}

fn complete(price: Value, basis: Option<&Price>) -> Price {
    draft(price).complete(basis, Biller::Others, "price").unwrap()
}

fn shown(price: &Price) -> Value {
    serde_json::to_value(price).unwrap()
}

fn refused(price: Value) -> Vec<String> {
    let refused = draft(price).complete(None, Biller::Others, "price").unwrap_err();
    refused.0.into_iter().map(|error| error.path).collect()
}

#[test]
fn what_is_left_out_is_as_dear_as_anywhere() {
    let price = complete(json!({"input": "5", "output": "30"}), None);
    assert_eq!(
        shown(&price),
        json!({"input": "5", "cached_input": "5", "cache_write_5m": "6.25", "cache_write_1h": "12.5",
            "output": "30", "long_context": null, "tiers": {}})
    );
    let claude = draft(json!({"input": "5", "output": "25"})).complete(None, Biller::Anthropic, "price");
    assert_eq!(
        claude.unwrap().rates.named()[2..4],
        [("cache_write_5m", NanoUsd(6_250_000_000)), ("cache_write_1h", NanoUsd(10_000_000_000))]
    );
    let given = complete(json!({"input": "5", "cache_write_5m": "20", "output": "30"}), None);
    assert_eq!(given.rates.cache_write_1h, NanoUsd(20_000_000_000), "a longer time is never cheaper");
}

#[test]
fn who_bills_is_told_by_the_provider_or_by_the_models_name() {
    assert_eq!(Biller::of(ProviderKind::Anthropic, "m"), Biller::Anthropic);
    assert_eq!(Biller::of(ProviderKind::OpenaiCompatible, "anthropic/Claude-Opus-5"), Biller::Anthropic);
    assert_eq!(Biller::of(ProviderKind::Openai, "gpt-5.6"), Biller::Others);
}

#[test]
fn a_long_input_and_other_tiers_have_their_prices() {
    let price = complete(
        json!({"input": "4", "cached_input": "0.4", "cache_write_5m": "4", "cache_write_1h": "4", "output": "20",
            "long_context": {"above": 272_000, "input": "8", "output": "30"},
            "tiers": {"priority": {"multiplier": "2"}, "speed=fast": {"input": "10", "output": "50"}}}),
        None,
    );
    let usd = |dollars: u64| NanoUsd(dollars * 1_000_000_000);
    let long = price.long_context.unwrap();
    assert_eq!((long.above, long.rates.cached_input, long.rates.cache_write_1h), (272_000, usd(8), usd(8)));
    let cards: Vec<_> = price.cards().collect();
    let (name, rates, long) = cards[0];
    assert_eq!((name, rates.input, rates.output), ("priority", usd(8), usd(40)));
    assert_eq!(long.unwrap().rates.map(|rate| rate).output, usd(60));
    let (name, rates, long) = cards[1];
    assert_eq!((name, rates.cached_input, rates.cache_write_1h), ("speed=fast", usd(10), usd(10)));
    assert_eq!((long.unwrap().rates.input, long.unwrap().rates.output), (usd(20), usd(75)));
}

#[test]
fn what_is_left_out_of_a_new_price_stays_in_proportion() {
    let before = complete(
        json!({"input": "2.5", "cached_input": "0.25", "cache_write_5m": "2.5", "cache_write_1h": "2.5",
            "output": "15", "long_context": {"above": 272_000, "input": "5", "cached_input": "0.5", "output": "22.5"},
            "tiers": {"priority": {"multiplier": "2"}, "flex": {"input": "1.25", "output": "7.5"}}}),
        None,
    );
    let new = json!({"input": "3", "cached_input": "0.3", "output": "18"});
    let after = complete(new.clone(), Some(&before));
    assert_eq!(
        shown(&after),
        json!({"input": "3", "cached_input": "0.3", "cache_write_5m": "3", "cache_write_1h": "3", "output": "18",
            "long_context": {"above": 272_000, "input": "6", "cached_input": "0.6", "cache_write_5m": "6",
                "cache_write_1h": "6", "output": "27"},
            "tiers": {"priority": {"multiplier": "2"}, "flex": {"input": "1.5", "cached_input": "1.5",
                "cache_write_5m": "1.5", "cache_write_1h": "1.5", "output": "9"}}})
    );
    assert_eq!(complete(new, Some(&after)), after, "once more changes nothing");
    let bare = json!({"input": "3", "output": "18", "long_context": null, "tiers": {}});
    let bare = complete(bare, Some(&before));
    assert_eq!((bare.long_context, bare.tiers.len()), (None, 0), "what is taken away is not left out");
}

#[test]
fn nonsense_is_refused_with_its_path() {
    let with = |parts: Value| {
        let mut price = json!({"input": "2", "output": "4"});
        price.as_object_mut().unwrap().extend(parts.as_object().unwrap().clone());
        refused(price)
    };
    assert_eq!(with(json!({"cached_input": "3"})), ["price.cached_input"]);
    assert_eq!(with(json!({"output": "1000001"})), ["price.output"]);
    assert_eq!(with(json!({"cache_write_5m": "1"})), ["price.cache_write_5m"]);
    assert_eq!(with(json!({"cache_write_1h": "0"})), ["price.cache_write_1h"]);
    let long = |above: u64, input: &str| {
        with(json!({"long_context": {"above": above, "input": input, "output": "4"}}))
    };
    assert_eq!(long(0, "2"), ["price.long_context.above"]);
    assert_eq!(long(1_000_000_001, "2"), ["price.long_context.above"]);
    assert_eq!(
        long(1, "1"),
        ["input", "cached_input", "cache_write_5m", "cache_write_1h"]
            .map(|rate| format!("price.long_context.{rate}")),
        "a long input is never cheaper"
    );
    let tier = |name: &str, tier: Value| with(json!({"tiers": {name: tier}}));
    let twice = json!({"multiplier": "2"});
    assert_eq!(tier("priority", json!({})), ["price.tiers.priority"]);
    assert_eq!(tier("priority", json!({"input": "1"})), ["price.tiers.priority"]);
    let both = json!({"multiplier": "2", "input": "1", "output": "1"});
    assert_eq!(tier("priority", both), ["price.tiers.priority"]);
    let swapped = json!({"input": "1", "cached_input": "2", "output": "1"});
    assert_eq!(tier("flex", swapped), ["price.tiers.flex.cached_input"]);
    for name in ["default", "auto", "Priority", "", "a b", "speed=", "size=big", "speed=fast=er"] {
        assert_eq!(tier(name, twice.clone()), [format!("price.tiers.{name}")], "{name}");
    }
    for name in ["priority", "flex", "on-demand.2", "speed=fast", "inference_geo=us"] {
        assert!(
            draft(json!({"input": "2", "output": "4", "tiers": {name: twice.clone()}}))
                .complete(None, Biller::Others, "price")
                .is_ok()
        );
    }
    let many: serde_json::Map<_, _> = (0..17).map(|n| (format!("t{n}"), twice.clone())).collect();
    assert_eq!(with(json!({"tiers": many})), ["price.tiers"]);
    let dear = json!({"input": "20000", "output": "4", "tiers": {"x": {"multiplier": "51"}}});
    assert_eq!(refused(dear), ["price.tiers.x.multiplier"]);
}

fn amount() -> impl Strategy<Value = NanoUsd> {
    prop_oneof![Just(0), 1..1000_u64, 0..200_000_000_000_u64].prop_map(NanoUsd)
}

proptest! {
    /// A price that passes asks no less for more.
    #[test]
    fn a_long_input_and_its_tiers_are_never_cheaper(
        input in amount(), output in amount(), more in amount(), times in 1..5000_u64, own in any::<bool>()
    ) {
        let text = |amount: NanoUsd| amount.to_string();
        let add = |a: NanoUsd, b: NanoUsd| text(NanoUsd(a.0 + b.0));
        let tier = match own {
            true => json!({"input": add(input, more), "output": text(output)}),
            false => json!({"multiplier": Multiplier::thousandths(times)}),
        };
        let price = json!({"input": text(input), "output": text(output),
            "long_context": {"above": 1000, "input": add(input, more), "output": add(output, more)},
            "tiers": {"x": tier}});
        let price = draft(price).complete(None, Biller::Others, "price").unwrap();
        let long = price.long_context.unwrap().rates;
        for ((_, long), (_, short)) in long.named().into_iter().zip(price.rates.named()) {
            prop_assert!(long >= short);
        }
        for (_, rates, long) in price.cards() {
            for ((_, long), (_, short)) in long.unwrap().rates.named().into_iter().zip(rates.named()) {
                prop_assert!(long >= short);
            }
        }
        let again = json!({"input": text(input), "output": text(output)});
        prop_assert_eq!(&draft(again).complete(Some(&price), Biller::Others, "price").unwrap().long_context, &price.long_context);
    }
}
