//! Limits of requests and tokens, over all gateways together.

use std::time::{Duration, Instant};

use futures::future::join_all;
use latchkey_tests::load::{self, Call, Outcome};
use latchkey_tests::stack::api::App;
use latchkey_tests::stack::ledger::CHEAP;
use latchkey_tests::stack::{Stack, wait};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

const MINUTE: Duration = Duration::from_secs(60);

async fn stack(gateways: usize, limits: Value) -> (Stack, App) {
    let builder = Stack::builder().priced().gateways(gateways).concurrency(2);
    let stack = builder.start().await.unwrap();
    let app = stack.api().create_limited_app("limited", limits).await.unwrap();
    stack.until_synced().await.unwrap();
    (stack, app)
}

fn hello(key: &str) -> Call {
    Call::chat(key, CHEAP.name, 10, "tokens=10")
}

fn admitted(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| outcome.status == 200).count()
}

/// Calls the gateway `number` with a key, one call after the other.
async fn calls(stack: &Stack, number: usize, key: &str, count: u64) -> Vec<Outcome> {
    load::run(&[stack.gateways()[number].address()], 1, |call| (call < count).then(|| hello(key))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn three_gateways_admit_no_more_than_the_limit_in_a_minute() {
    let (stack, app) = stack(3, json!({ "requests_per_minute": 60 })).await;
    let begun = Instant::now();
    let next = |number: u64| {
        let call = hello(&app.key);
        (number < 1_200).then(|| if number.is_multiple_of(2) { call.streamed() } else { call })
    };
    let outcomes = load::run(&stack.addresses(), 64, next).await;
    assert!(begun.elapsed() < MINUTE, "so slow a machine shows nothing");
    let admitted = admitted(&outcomes);
    assert!((54..=60).contains(&admitted), "{admitted} of 60 were admitted");
    assert_eq!(stack.provider().settled().await.unwrap().total().requests, admitted as u64);
    for refused in outcomes.iter().filter(|outcome| outcome.status != 200) {
        assert_eq!(refused.status, 429, "{}", refused.text());
        assert_eq!(refused.header("x-ratelimit-limit-requests"), "60");
        assert_eq!(refused.header("x-ratelimit-remaining-requests"), "0");
        assert_ne!(refused.header("x-should-retry"), "false");
        let seconds = refused.header("retry-after").parse::<u64>().unwrap();
        let ms = refused.header("retry-after-ms").parse::<u64>().unwrap();
        assert!(ms <= 62_000 && seconds <= 62, "{seconds} s, {ms} ms");
    }
}

/// The one test that takes more than a minute.
#[tokio::test(flavor = "multi_thread")]
async fn the_minute_slides() {
    const LIMIT: usize = 30;
    let (stack, app) = stack(3, json!({ "requests_per_minute": LIMIT })).await;
    let addresses = stack.addresses();
    let mut ticks = interval(Duration::from_millis(250));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut outcomes = vec![];
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(80) {
        ticks.tick().await;
        let call = hello(&app.key);
        outcomes.extend(join_all(addresses.iter().map(|address| load::once(*address, &call))).await);
    }
    let admitted = outcomes.iter().filter(|outcome| outcome.status == 200).collect::<Vec<_>>();
    for first in &admitted {
        // Admitted after it was sent and before it was answered: these are within the minute for sure.
        let within = |outcome: &&&Outcome| {
            outcome.sent >= first.sent && outcome.sent + outcome.took <= first.sent + MINUTE
        };
        let count = admitted.iter().filter(within).count();
        assert!(count <= LIMIT, "{count} in a minute");
    }
    assert!(admitted.len() > LIMIT, "nothing came back after a minute: {}", admitted.len());
}

#[tokio::test]
async fn the_sdk_hears_when_to_come_back() {
    let (stack, app) = stack(1, json!({ "requests_per_minute": 2 })).await;
    for remaining in ["1", "0"] {
        let answer = calls(&stack, 0, &app.key, 1).await.remove(0);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("x-ratelimit-limit-requests"), "2");
        assert_eq!(answer.header("x-ratelimit-remaining-requests"), remaining);
        assert!(!answer.header("x-ratelimit-reset-requests").is_empty());
    }
    let model = [("MODELS", CHEAP.name)];
    let seen = &stack.gateway().sdk("errors.py", &app.key, &model).await.unwrap()[0];
    assert_eq!((&seen["class"], &seen["status"]), (&json!("RateLimitError"), &json!(429)), "{seen}");
    let header = |name: &str| seen["headers"][name].as_str().unwrap_or_default().to_owned();
    assert!((1..=62).contains(&header("retry-after").parse::<u64>().unwrap()), "{seen}");
    assert!((1..=62_000).contains(&header("retry-after-ms").parse::<u64>().unwrap()), "{seen}");
    assert_eq!(header("x-ratelimit-remaining-requests"), "0");
    assert_ne!(header("x-should-retry"), "false");
    assert!(
        seen["code"].is_string() && seen["message"].as_str().is_some_and(|text| text.contains('2')),
        "{seen}"
    );
}

#[tokio::test]
async fn an_hour_and_a_day_are_limits_too() {
    for limit in ["requests_per_hour", "requests_per_day"] {
        let (stack, app) = stack(2, json!({ limit: 5 })).await;
        let outcomes = load::run(&stack.addresses(), 1, |call| (call < 8).then(|| hello(&app.key))).await;
        assert_eq!(admitted(&outcomes), 5, "{limit}");
        let used = stack.api().until_used(&app.path(), limit, |usage| usage.used == 5).await.unwrap();
        assert_eq!(used.limit, 5);
    }
}

#[tokio::test]
async fn what_one_gateway_leaves_another_may_use() {
    let (stack, app) = stack(2, json!({ "requests_per_minute": 20 })).await;
    assert_eq!(admitted(&calls(&stack, 0, &app.key, 5).await), 5);
    wait::until("idle leases to be returned", Duration::from_secs(60), async || {
        let usage = stack.api().limit_usage(&app.path(), "requests_per_minute").await?;
        Ok((usage.used == 5 && usage.reserved == 0).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(admitted(&calls(&stack, 1, &app.key, 30).await), 15);
}

#[tokio::test]
async fn two_gateways_share_what_both_want() {
    let (stack, app) = stack(2, json!({ "requests_per_minute": 400 })).await;
    let next = |number: u64| (number < 1_000).then(|| hello(&app.key));
    let outcomes = load::run(&stack.addresses(), 16, next).await;
    let by = |gateway: usize| {
        outcomes.iter().filter(|outcome| outcome.gateway == gateway && outcome.status == 200).count()
    };
    assert!(by(0) + by(1) <= 400, "{} and {}", by(0), by(1));
    assert!(by(0).min(by(1)) >= 80, "{} and {}", by(0), by(1));
}

#[tokio::test]
async fn tokens_of_a_minute_are_limited() {
    let (stack, app) = stack(2, json!({ "tokens_per_minute": 1_000 })).await;
    let call = || Call::chat(&app.key, CHEAP.name, 100, "tokens=100");
    let outcomes = load::run(&stack.addresses(), 4, |number| (number < 40).then(call)).await;
    let billed = stack.provider().settled().await.unwrap().total();
    let tokens = billed.input_tokens + billed.output_tokens;
    assert!((500..=1_000).contains(&tokens), "{tokens} of 1000 tokens");
    let refused = outcomes.iter().find(|outcome| outcome.status != 200).unwrap();
    assert_eq!((refused.status, refused.header("x-ratelimit-limit-tokens")), (429, "1000"));
    assert!(!refused.header("retry-after-ms").is_empty());
}

#[tokio::test]
async fn a_request_has_a_most_of_input_and_output() {
    let (stack, app) = stack(1, json!({ "max_input_tokens": 200, "max_output_tokens": 50 })).await;
    let call = Call::chat(&app.key, CHEAP.name, 1_000, "tokens=1000");
    let outcome = load::once(stack.gateway().address(), &call).await;
    let billed = stack.provider().settled().await.unwrap().total();
    assert!(billed.output_tokens <= 50, "{billed:?}");
    assert!(outcome.status == 200 || outcome.status == 400, "{}", outcome.text());

    stack.provider().forget();
    let mut long = hello(&app.key);
    long.body["messages"][0]["content"] = json!("word ".repeat(2_000));
    let outcome = load::once(stack.gateway().address(), &long).await;
    assert!(matches!(outcome.status, 400 | 413), "{}", outcome.text());
    assert_eq!(stack.provider().requests().len(), 0);
}

#[tokio::test]
async fn a_named_key_has_limits_of_its_own_within_its_apps() {
    let (stack, _) = stack(1, json!({})).await;
    let body = json!({ "name": "named", "mode": "named", "limits": { "requests_per_minute": 8 },
        "named_key_limits": { "requests_per_minute": 5 } });
    let app = stack.api().create_app(body).await.unwrap();
    let user = stack.api().create_user("dev@example.com").await.unwrap();
    let first = stack.api().create_key(&app, &user, "first").await.unwrap();
    let second = stack.api().create_key(&app, &user, "second").await.unwrap();
    stack.until_synced().await.unwrap();
    assert_eq!(admitted(&calls(&stack, 0, &first.value, 8).await), 5);
    assert_eq!(admitted(&calls(&stack, 0, &second.value, 8).await), 3);
    for (path, used) in [(first.path(), 5), (second.path(), 3), (app.path(), 8)] {
        let usage = stack.api().until_used(&path, "requests_per_minute", |usage| usage.used == used).await;
        usage.unwrap();
    }
}

#[tokio::test]
async fn an_edit_neither_resets_nor_loses_what_is_used() {
    let (stack, app) = stack(2, json!({ "requests_per_minute": 5 })).await;
    assert_eq!(admitted(&calls(&stack, 0, &app.key, 8).await), 5);
    stack.api().limit(&app, json!({ "requests_per_minute": 8 })).await.unwrap();
    stack.until_synced().await.unwrap();
    assert_eq!(admitted(&calls(&stack, 1, &app.key, 8).await), 3);
    stack.api().limit(&app, json!({ "requests_per_minute": 2 })).await.unwrap();
    stack.until_synced().await.unwrap();
    assert_eq!(admitted(&calls(&stack, 0, &app.key, 3).await), 0);
    let usage = stack.api().limit_usage(&app.path(), "requests_per_minute").await.unwrap();
    assert_eq!((usage.limit, usage.used), (2, 8));
    stack.api().limit(&app, json!({ "requests_per_minute": null })).await.unwrap();
    stack.until_synced().await.unwrap();
    assert_eq!(admitted(&calls(&stack, 0, &app.key, 3).await), 3);
}

#[tokio::test]
async fn a_lowered_limit_holds_at_once_though_more_was_leased() {
    let (stack, app) = stack(1, json!({ "requests_per_minute": 1_600 })).await;
    assert_eq!(admitted(&calls(&stack, 0, &app.key, 3).await), 3);
    let usage = stack.api().limit_usage(&app.path(), "requests_per_minute").await.unwrap();
    assert!(usage.reserved >= 5, "too little is leased to show anything: {}", usage.reserved);
    stack.api().limit(&app, json!({ "requests_per_minute": 4 })).await.unwrap();
    stack.until_synced().await.unwrap();
    assert_eq!(admitted(&calls(&stack, 0, &app.key, 5).await), 1);
}

#[tokio::test]
async fn a_gateway_alone_goes_on_with_the_full_limit() {
    let (mut stack, app) = stack(1, json!({ "requests_per_minute": 20 })).await;
    assert_eq!(admitted(&calls(&stack, 0, &app.key, 2).await), 2);
    // What was leased before counts besides: it was the fleet's.
    let leased = stack.api().limit_usage(&app.path(), "requests_per_minute").await.unwrap().reserved;
    stack.control_plane().kill();
    let admitted = u64::try_from(admitted(&calls(&stack, 0, &app.key, 60).await)).unwrap();
    assert!((15..=20 + leased).contains(&admitted), "{admitted} of 20 and {leased} without a control plane");
}

#[tokio::test]
async fn what_is_revoked_gives_its_leases_back() {
    let (stack, app) = stack(2, json!({ "requests_per_minute": 100 })).await;
    let outcomes = load::run(&stack.addresses(), 4, |call| (call < 20).then(|| hello(&app.key))).await;
    assert_eq!(admitted(&outcomes), 20);
    stack.api().act(&app.path(), "revoke").await.unwrap();
    let usage = stack.api().until_used(&app.path(), "requests_per_minute", |usage| usage.reserved == 0).await;
    assert_eq!(usage.unwrap().used, 20);
}
