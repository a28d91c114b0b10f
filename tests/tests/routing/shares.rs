//! How requests and tokens are spread over the targets, and where the borders of tiers are.

use std::collections::BTreeMap;

use latchkey_tests::load::{self, Call, End};
use latchkey_tests::provider::Billed;
use latchkey_tests::stack::api::App;
use latchkey_tests::stack::{PROVIDER_CREDENTIAL, Stack};
use serde_json::{Value, json};

use super::{Act, PATIENCE, Place, good, group, wait};

const REQUESTS: u64 = 20_000;
const CLIENTS: usize = 24;
const WORKERS: u32 = 2;
const WEIGHTS: [(&str, u64); 3] = [("a", 70), ("b", 20), ("c", 10)];

/// Of chi-squared with two degrees of freedom, what one test in a thousand million exceeds: `-2 ln p`.
const BOUND: f64 = 41.45;

/// A stack whose group `fast` has three targets, all at the sample provider, which counts them by their names.
async fn place(balance: &str) -> (Stack, App) {
    let stack = Stack::builder().concurrency(WORKERS).start().await.unwrap();
    let api = stack.api();
    for (name, _) in WEIGHTS {
        let url = stack.provider().url();
        api.create_provider(name, "openai_compatible", &url, PROVIDER_CREDENTIAL).await.unwrap();
        let model = json!({ "name": format!("model-{name}"), "provider": name, "upstream_name": name });
        api.post("/api/v1/models", model).await.unwrap().ok().unwrap();
        let only = json!([{ "provider": name, "model": format!("model-{name}"), "weight": 100 }]);
        let ready = json!({ "name": format!("ready-{name}"), "targets": only });
        api.post("/api/v1/routing-groups", ready).await.unwrap().ok().unwrap();
    }
    let targets = WEIGHTS.map(
        |(name, weight)| json!({ "provider": name, "model": format!("model-{name}"), "weight": weight }),
    );
    let fast = json!({ "name": "fast", "balance": balance, "targets": targets });
    api.post("/api/v1/routing-groups", fast).await.unwrap().ok().unwrap();
    let app = api.create_app(json!({ "name": "spread", "routing_groups": "all" })).await.unwrap();
    stack.until_synced().await.unwrap();
    for (name, _) in WEIGHTS {
        wait::until("a target to be reached", PATIENCE, async || {
            let call = Call::chat(&app.key, &format!("ready-{name}"), 10, "");
            Ok((load::once(stack.gateway().address(), &call).await.status == 200).then_some(()))
        })
        .await
        .unwrap();
    }
    stack.provider().settled().await.unwrap();
    stack.provider().forget();
    (stack, app)
}

/// What the provider has billed for each target, once so many requests are served.
async fn served(stack: &Stack, app: &App, tokens: impl Fn(u64) -> u64) -> BTreeMap<String, Billed> {
    let next = |number| {
        let sample = format!("tokens={}", tokens(number));
        (number < REQUESTS).then(|| Call::chat(&app.key, "fast", 1_000, &sample))
    };
    let outcomes = load::run(&[stack.gateway().address()], CLIENTS, next).await;
    for outcome in &outcomes {
        assert_eq!((outcome.status, &outcome.end), (200, &End::Whole), "{}", outcome.text());
        assert_eq!(outcome.header("x-latchkey-attempts"), "", "nothing fails");
    }
    let counts = stack.provider().settled().await.unwrap();
    assert_eq!(counts.total().requests, REQUESTS, "each is sent once");
    counts.models
}

/// The sum of squared deviations from what these weights, in percent, let expect.
fn chi_squared(seen: &BTreeMap<String, Billed>, weights: [(&str, u64); 3]) -> f64 {
    let term = |(name, weight): (&str, u64)| {
        let expected = (REQUESTS * weight / 100) as f64;
        (seen[name].requests as f64 - expected).powi(2) / expected
    };
    weights.into_iter().map(term).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_spread_by_weight() {
    let (stack, app) = place("requests").await;
    let seen = served(&stack, &app, |_| 1).await;
    let told = chi_squared(&seen, WEIGHTS);
    assert!(told < BOUND, "{told}: {seen:?}");
    let wrong = chi_squared(&seen, [("a", 65), ("b", 25), ("c", 10)]);
    assert!(wrong > BOUND, "weights that are five points off would be noticed: {wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_spread_by_weight() {
    const MOST: u64 = 400;
    let (stack, app) = place("tokens").await;
    // Most answers are short, and some are long.
    let seen = served(&stack, &app, |number| if number % 20 == 7 { MOST } else { 1 + number % 40 }).await;
    let tokens = |name: &str| seen[name].input_tokens + seen[name].output_tokens;
    let all: u64 = WEIGHTS.iter().map(|(name, _)| tokens(name)).sum();
    // Each worker is off by one request, and by what those under way turn out to have.
    let slack = (CLIENTS as u64 + u64::from(WORKERS)) * (MOST + 20);
    for (name, weight) in WEIGHTS {
        let off = tokens(name).abs_diff(all * weight / 100);
        assert!(off <= slack, "{name} has {} of {all} tokens, {off} off", tokens(name));
    }
    assert!(slack < all / 25, "four points would be noticed: {slack} of {all}");
    // By chance they would be spread more widely.
    let mean = (all / REQUESTS) as f64;
    let term = |(name, weight): (&str, u64)| {
        let expected = (all * weight) as f64 / 100.0 / mean;
        (tokens(name) as f64 / mean - expected).powi(2) / expected
    };
    let told: f64 = WEIGHTS.into_iter().map(term).sum();
    assert!(told < BOUND, "{told}: {seen:?}");
}

/// How many input tokens the gateway finds in this message: it says so to who may have none.
async fn estimate(place: &Place, strict: &App, content: &str) -> u64 {
    let body =
        json!({ "model": "fast", "messages": [{ "role": "user", "content": content }], "max_tokens": 20 });
    let answer = place.stack.gateway().chat(&strict.key, body).await.unwrap();
    assert_eq!(answer.code(), "max_input_tokens_exceeded", "{}", answer.text);
    let about = answer.text.split("about ").nth(1).and_then(|rest| rest.split(' ').next());
    about.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tiers_begin_and_end_where_they_say() {
    let place = Place::of(Stack::start().await.unwrap(), group(json!({})), json!({})).await;
    let api = place.stack.api();
    let strict = json!({ "name": "strict", "routing_groups": "all", "limits": { "max_input_tokens": 1 } });
    let strict = api.create_app(strict).await.unwrap();
    place.stack.until_synced().await.unwrap();
    // The shortest message of each size around two borders.
    let mut sizes = BTreeMap::new();
    for letters in 0..500 {
        let content = "tiers ".repeat(200)[..letters].to_owned();
        let size = estimate(&place, &strict, &content).await;
        sizes.entry(size).or_insert(content);
    }
    let least = *sizes.keys().next().unwrap();
    let (low, medium) = (least + 20, least + 60);
    let tier = |name: &str, border: Option<u64>, at: usize| {
        let name_of = super::NAMES[at];
        let targets = json!([{ "provider": name_of, "model": format!("model-{name_of}"), "weight": 100 }]);
        let mut tier = json!({ "name": name, "targets": targets });
        if let Some(border) = border {
            tier["up_to_tokens"] = json!(border);
        }
        tier
    };
    let tiers = json!([tier("low", Some(low), 0), tier("medium", Some(medium), 1), tier("high", None, 2)]);
    let list = api.get("/api/v1/routing-groups").await.unwrap().ok().unwrap();
    let path = format!("/api/v1/routing-groups/{}", list["items"][0]["id"].as_str().unwrap());
    api.edit(&path, json!({ "tiers": tiers })).await.unwrap();
    place.stack.until_synced().await.unwrap();
    place.targets.iter().for_each(|target| target.will(good()));
    for (size, expected) in [
        (least, 0),
        (low - 1, 0),
        (low, 0),
        (low + 1, 1),
        (medium - 1, 1),
        (medium, 1),
        (medium + 1, 2),
        (medium + 10, 2),
    ] {
        let messages: Value = json!([{ "role": "user", "content": sizes[&size] }]);
        let answer = place.ask(&json!({ "messages": messages })).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let mut counts = [0; 3];
        counts[expected] = 1;
        assert_eq!(place.taken().map(|requests| requests.len()), counts, "{size} between {low} and {medium}");
    }
    // A tier moves on among its own targets alone.
    place.targets[0].will(Act::status("503 Oh", "retry-after-ms: 1\r\n", "{}"));
    let messages = json!([{ "role": "user", "content": sizes[&low] }]);
    assert_eq!(place.ask(&json!({ "messages": messages })).await.status, 503);
    assert_eq!(place.taken().map(|requests| requests.len()), [1, 0, 0]);
}
