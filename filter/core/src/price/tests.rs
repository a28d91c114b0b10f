use proptest::prelude::*;

use super::*;

fn rates() -> impl Strategy<Value = Rates> {
    let rate = || prop_oneof![Just(0), 1..100_u64, 0..200_000_000_000_u64];
    (rate(), rate(), rate(), rate(), rate()).prop_map(
        |(input, cached_input, cache_write_5m, cache_write_1h, output)| Rates {
            input,
            cached_input,
            cache_write_5m,
            cache_write_1h,
            output,
        },
    )
}

fn card() -> impl Strategy<Value = RateCard> {
    let above = prop_oneof![Just(0), 0..20_u64, 0..10_000_000_u64];
    let long = (above, rates()).prop_map(|(above, rates)| LongContext { above, rates });
    (rates(), prop::option::of(long)).prop_map(|(rates, long_context)| RateCard { rates, long_context })
}

const NAMES: [&str; 5] = ["flex", "priority", "scale", "speed=fast", "inference_geo=us"];

fn price() -> impl Strategy<Value = Price> {
    let tier = (prop::sample::select(&NAMES[..]), card());
    let tier = tier.prop_map(|(name, card)| Tier { name: name.to_owned(), card });
    (card(), prop::collection::vec(tier, 0..4)).prop_map(|(standard, mut tiers)| {
        tiers.sort_by(|a, b| a.name.cmp(&b.name));
        tiers.dedup_by(|a, b| a.name == b.name);
        Price { version: 1, standard, tiers }
    })
}

fn tokens() -> impl Strategy<Value = TokenUsage> {
    let count = || prop_oneof![0..10_u64, 0..10_000_000_u64];
    (count(), count(), count(), count(), count()).prop_map(
        |(fresh, cached_input, cache_write_5m, cache_write_1h, output)| TokenUsage {
            input: fresh + cached_input + cache_write_5m + cache_write_1h,
            cached_input,
            cache_write_5m,
            cache_write_1h,
            output,
            reasoning: 0,
        },
    )
}

/// What a body or an answer may say.
fn said() -> impl Strategy<Value = [Option<String>; 3]> {
    let text = |values: &'static [&'static str]| {
        prop::option::weighted(0.5, prop::sample::select(values).prop_map(str::to_owned))
    };
    (
        text(&["auto", "default", "flex", "priority", "Priority", "scale", "unheard-of"]),
        text(&["standard", "fast", "ludicrous"]),
        text(&["global", "us", "mars"]),
    )
        .prop_map(|(tier, speed, geo)| [tier, speed, geo])
}

fn choice() -> impl Strategy<Value = TierChoice> {
    (said(), any::<bool>()).prop_map(|([service_tier, speed, inference_geo], long_cache)| TierChoice {
        service_tier,
        speed,
        inference_geo,
        long_cache,
    })
}

fn served() -> impl Strategy<Value = ServedTier> {
    said().prop_map(|[service_tier, speed, inference_geo]| ServedTier { service_tier, speed, inference_geo })
}

fn dollars(input: u64, cached: u64, write_5m: u64, write_1h: u64, output: u64) -> Rates {
    let nano = |millionths: u64| millionths * 1000;
    Rates {
        input: nano(input),
        cached_input: nano(cached),
        cache_write_5m: nano(write_5m),
        cache_write_1h: nano(write_1h),
        output: nano(output),
    }
}

/// Five dollars of input and thirty of output, twice that above 1,000 tokens and by priority.
fn dear() -> Price {
    let long = dollars(10_000_000, 1_000_000, 12_500_000, 20_000_000, 60_000_000);
    let rates = dollars(5_000_000, 500_000, 6_250_000, 10_000_000, 30_000_000);
    let long_context = Some(LongContext { above: 1000, rates: long });
    let tier = |name: &str| Tier { name: name.into(), card: RateCard { rates: long, long_context: None } };
    let tiers = vec![tier("priority"), tier("speed=fast")];
    Price { version: 1, standard: RateCard { rates, long_context }, tiers }
}

fn asks(service_tier: &str, speed: &str) -> TierChoice {
    let said = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    TierChoice { service_tier: said(service_tier), speed: said(speed), ..TierChoice::default() }
}

fn told(service_tier: &str, speed: &str) -> ServedTier {
    let TierChoice { service_tier, speed, inference_geo, .. } = asks(service_tier, speed);
    ServedTier { service_tier, speed, inference_geo }
}

#[test]
fn each_token_of_input_has_one_rate_and_the_sum_is_rounded_up_once() {
    let tokens = TokenUsage {
        input: 1000,
        cached_input: 400,
        cache_write_5m: 100,
        cache_write_1h: 200,
        output: 10,
        reasoning: 5,
    };
    let sum = 300 * 5_000 + 400 * 500 + 100 * 6_250 + 200 * 10_000 + 10 * 30_000;
    assert_eq!(dear().standard.cost(&tokens), NanoUsd(sum));
    assert_eq!(dear().standard.cost(&TokenUsage { input: 1001, ..tokens }), NanoUsd(2 * (sum + 5_000)));
    let cheap = Rates { input: 1, cached_input: 1, cache_write_5m: 1, cache_write_1h: 1, output: 1 };
    assert_eq!(cheap.cost(&tokens), NanoUsd(1));
    assert_eq!(cheap.cost(&TokenUsage::default()), NanoUsd(0));
    let cheap = Price { standard: RateCard { rates: cheap, long_context: None }, tiers: vec![], ..dear() };
    let ceiling = cheap.ceiling(&TierChoice::default()).unwrap();
    assert_eq!(ceiling.worst(u64::MAX, u64::MAX), NanoUsd(36_893_488_147_420));
}

#[test]
fn parts_beyond_the_whole_count_where_they_are_dear() {
    let tokens = TokenUsage {
        input: 100,
        cached_input: 500,
        cache_write_5m: 60,
        cache_write_1h: 70,
        ..TokenUsage::default()
    };
    assert_eq!(dear().standard.cost(&tokens), NanoUsd(70 * 10_000 + 30 * 6_250));
}

#[test]
fn a_write_without_a_price_is_as_dear_as_any_vendors() {
    let rates = Rates::without_writes(5_000_000_001, 0, 0);
    assert_eq!((rates.cache_write_5m, rates.cache_write_1h), (6_250_000_002, 12_500_000_004));
}

#[test]
fn an_open_choice_is_as_dear_as_the_dearest_tier_that_may_serve_it() {
    let worst = |choice: &TierChoice| dear().ceiling(choice).map(|ceiling| ceiling.worst(1000, 10).0);
    let standard = 1000 * 6_250 + 10 * 30_000;
    assert_eq!(worst(&asks("default", "")), Ok(standard));
    assert_eq!(worst(&asks("standard_only", "standard")), Ok(standard));
    for open in ["", "auto", "Auto", "priority"] {
        assert_eq!(worst(&asks(open, "")), Ok(2 * standard), "{open}");
    }
    assert_eq!(worst(&asks("default", "fast")), Ok(2 * standard));
    let for_an_hour = TierChoice { long_cache: true, ..asks("default", "") };
    assert_eq!(worst(&for_an_hour), Ok(1000 * 10_000 + 10 * 30_000));
}

#[test]
fn a_prompt_that_is_too_short_for_a_cache_pays_for_none() {
    let ceiling = dear().ceiling(&asks("default", "")).unwrap();
    assert_eq!(ceiling.worst(511, 0), NanoUsd(511 * 5_000));
    assert_eq!(ceiling.worst(512, 0), NanoUsd(512 * 6_250));
}

#[test]
fn a_tier_without_a_price_is_named_with_its_member() {
    let unpriced = |choice: &TierChoice| {
        let UnpricedTier { member, tier } = dear().ceiling(choice).unwrap_err();
        (member, tier)
    };
    assert_eq!(unpriced(&asks("flex", "")), ("service_tier", "flex".into()));
    assert_eq!(unpriced(&asks("", "ludicrous")), ("speed", "speed=ludicrous".into()));
    assert_eq!(unpriced(&asks("priority", "fast")), ("speed", "speed=fast".into()), "they may multiply");
    let elsewhere = TierChoice { inference_geo: Some("us".into()), ..asks("", "") };
    assert_eq!(unpriced(&elsewhere), ("inference_geo", "inference_geo=us".into()));
}

#[test]
fn the_tier_that_served_decides_what_is_charged() {
    let tokens = TokenUsage { input: 100, output: 10, ..TokenUsage::default() };
    let standard = NanoUsd(100 * 5_000 + 10 * 30_000);
    let twice = NanoUsd(2 * standard.0);
    for (asked, answer, cost) in [
        (asks("", ""), told("", ""), Some(standard)),
        (asks("auto", ""), told("auto", ""), Some(standard)),
        (asks("", ""), told("priority", ""), Some(twice)),
        (asks("auto", ""), told("default", ""), Some(standard)),
        (asks("priority", ""), told("default", ""), Some(standard)),
        (asks("priority", ""), told("", ""), Some(twice)),
        (asks("", "fast"), told("standard", "fast"), Some(twice)),
        (asks("", "fast"), told("standard", "standard"), Some(standard)),
        (asks("", "fast"), told("standard", ""), Some(twice)),
        (asks("", ""), told("scale", ""), None),
        (asks("priority", ""), told("scale", ""), None),
        (asks("flex", ""), told("", ""), None),
        (asks("priority", "fast"), told("priority", "fast"), None),
    ] {
        assert_eq!(dear().cost(&tokens, &asked, &answer), cost, "{asked:?}, {answer:?}");
    }
}

#[test]
fn a_record_names_the_tier_as_told_or_else_as_asked() {
    let name = |asked: TierChoice, answer: ServedTier| answer.record(&asked);
    assert_eq!(name(asks("", ""), told("", "")), "");
    assert_eq!(name(asks("auto", ""), told("default", "standard")), "default");
    assert_eq!(name(asks("priority", ""), told("Default", "")), "default");
    assert_eq!(name(asks("priority", ""), told("", "")), "priority");
    assert_eq!(name(asks("", "fast"), told("standard", "fast")), "speed=fast");
    assert_eq!(name(asks("", ""), told(&"x".repeat(65), "")), "unknown");
    assert_eq!(name(asks("", ""), told("sk-quilr/ä", "")), "unknown");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn the_worst_covers_all_within(
        price in price(), tokens in tokens(), choice in choice(), served in served(), input in 0..1000_u64,
        output in 0..1000_u64
    ) {
        let tokens = match (choice.long_cache, tokens.input + input) {
            (_, ..512) => TokenUsage { cache_write_5m: 0, cache_write_1h: 0, ..tokens },
            (true, _) => tokens,
            (false, _) => TokenUsage { cache_write_1h: 0, ..tokens },
        };
        let Ok(ceiling) = price.ceiling(&choice) else { return Ok(()) };
        let worst = ceiling.worst(tokens.input + input, tokens.output + output);
        for card in tier::possible(&price, &choice).unwrap() {
            prop_assert!(card.cost(&tokens) <= worst);
        }
        // A vendor serves by the tier that was asked for, or by the standard one.
        let faithful = tier::billed(&price, &choice, &served).is_some_and(|billed| {
            let possible = tier::possible(&price, &choice).unwrap();
            billed.iter().all(|card| possible.iter().any(|other| std::ptr::eq(*card, *other)))
        });
        if faithful {
            prop_assert!(price.cost(&tokens, &choice, &served).unwrap() <= worst);
        }
    }

    #[test]
    fn an_answer_that_says_nothing_costs_what_is_possible(
        price in price(), tokens in tokens(), choice in choice()
    ) {
        let cost = price.cost(&tokens, &choice, &ServedTier::default());
        match tier::possible(&price, &choice) {
            Ok(cards) => prop_assert!(cards.iter().any(|card| Some(card.cost(&tokens)) == cost)),
            Err(_) => prop_assert_eq!(cost, None),
        }
        prop_assert!(cost.unwrap_or_default() <= price.dearest(&tokens));
    }

    #[test]
    fn the_worst_never_falls(price in price(), choice in choice(), input in 0..20_000_000_u64, more in 0..1000_u64,
        output in 0..1000_u64
    ) {
        let Ok(ceiling) = price.ceiling(&choice) else { return Ok(()) };
        prop_assert!(ceiling.worst(input + more, output) >= ceiling.worst(input, output));
        prop_assert!(ceiling.worst(input, output + more) >= ceiling.worst(input, output));
    }

    #[test]
    fn more_never_costs_less_at_the_same_rates(
        price in price(), tokens in tokens(), input in 0..1000_u64, output in 0..1000_u64
    ) {
        let more = TokenUsage { input: tokens.input + input, output: tokens.output + output, ..tokens };
        let rates = price.standard.rates;
        prop_assert!(rates.cost(&more) >= rates.cost(&tokens));
    }

    #[test]
    fn so_much_output_fits_and_not_one_token_more(
        price in price(), choice in choice(), money in prop_oneof![0..1000_u64, 0..u64::MAX / 2],
        input in prop_oneof![0..30_u64, 0..20_000_000_u64]
    ) {
        let Ok(ceiling) = price.ceiling(&choice) else { return Ok(()) };
        let money = NanoUsd(money);
        match ceiling.output_within(money, input) {
            None => prop_assert!(ceiling.worst(input, 0) > money),
            Some(u64::MAX) => prop_assert!(ceiling.worst(input, u64::MAX) <= money),
            Some(most) => {
                prop_assert!(ceiling.worst(input, most) <= money);
                prop_assert!(ceiling.worst(input, most + 1) > money);
            }
        }
    }
}
