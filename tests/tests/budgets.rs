//! Budgets of money and of tokens: hard caps.

use std::time::Duration;

use latchkey_tests::load::{self, Call, Outcome, Usage};
use latchkey_tests::provider::Billed;
use latchkey_tests::stack::api::App;
use latchkey_tests::stack::ledger::{DEAR, nano_usd};
use latchkey_tests::stack::{PROVIDER, Stack, wait};
use serde_json::{Value, json};

/// A cent is a thousand tokens of output.
const DIME: u64 = 100_000_000;

async fn stack(budget: &str) -> (Stack, App) {
    let stack = Stack::builder().priced().concurrency(2).start().await.unwrap();
    let limits = json!({ "budget": { "usd": budget, "per": "month" } });
    let app = stack.api().create_limited_app("budgeted", limits).await.unwrap();
    stack.until_synced().await.unwrap();
    (stack, app)
}

fn call(app: &App, tokens: u64) -> Call {
    Call::chat(&app.key, DEAR.name, tokens, &format!("tokens={tokens}"))
}

async fn send(stack: &Stack, call: &Call) -> Outcome {
    load::once(stack.gateway().address(), call).await
}

/// Calls until the budget is spent, and gives the refusal.
async fn spend(stack: &Stack, app: &App, tokens: u64) -> Outcome {
    for _ in 0..1_000 {
        let outcome = send(stack, &call(app, tokens)).await;
        // On a busy machine others may hold what is left: a client asks again when it is told to.
        let is_contended = outcome.status == 429 && outcome.header("x-should-retry") != "false";
        if outcome.status != 200 && !is_contended {
            return outcome;
        }
        if let Ok(wait_ms) = outcome.header("retry-after-ms").parse() {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        }
    }
    panic!("the budget never ends");
}

/// What the provider would ask for, in nano-USD.
fn bill(billed: Billed) -> u64 {
    DEAR.cost(Usage {
        input: billed.input_tokens,
        cached: billed.cached_input_tokens,
        output: billed.output_tokens,
        reasoning: billed.reasoning_tokens,
    })
}

async fn billed(stack: &Stack) -> u64 {
    bill(stack.provider().settled().await.unwrap().total())
}

async fn settled(stack: &Stack, app: &App) -> u64 {
    stack.api().until_used(&app.path(), "budget", |usage| usage.reserved == 0).await.unwrap().used
}

#[tokio::test]
async fn a_budget_keeps_what_was_used_when_its_period_or_time_zone_changes() {
    let (stack, app) = stack("0.10").await;
    let edits = [
        json!({ "limits": { "budget": { "usd": "0.10", "per": "total" } } }),
        json!({ "limits": { "budget": { "usd": "0.10", "per": "month" } } }),
        json!({ "time_zone": "Asia/Tokyo" }),
    ];
    for edit in edits {
        assert_eq!(send(&stack, &call(&app, 2_000)).await.status, 200);
        // What a gateway holds at the moment of a change counts as used.
        settled(&stack, &app).await;
        stack.api().edit(&app.path(), edit).await.unwrap();
        stack.until_synced().await.unwrap();
    }
    spend(&stack, &app, 100).await;
    let bill = billed(&stack).await;
    assert!((DIME * 8 / 10..=DIME).contains(&bill), "{bill} of {DIME}");
}

#[tokio::test]
async fn a_spent_budget_is_an_insufficient_quota() {
    let (stack, app) = stack("0.10").await;
    let refused = spend(&stack, &app, 100).await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "insufficient_quota"));
    assert_eq!((refused.header("x-should-retry"), refused.header("retry-after")), ("false", ""));
    let bill = billed(&stack).await;
    assert!((DIME * 9 / 10..=DIME).contains(&bill), "{bill} of {DIME}");
    assert_eq!(settled(&stack, &app).await, bill);

    stack.provider().forget();
    let variables = [("MODELS", DEAR.name), ("MAX_RETRIES", "2")];
    let seen = &stack.gateway().sdk("errors.py", &app.key, &variables).await.unwrap()[0];
    assert_eq!((&seen["class"], &seen["code"]), (&json!("RateLimitError"), &json!("insufficient_quota")));
    assert_eq!(stack.provider().requests().len(), 0);
    let lines = stack.gateway().access_log();
    let attempts = lines.iter().filter(|line| line["app"] == app.id.as_str() && line["status"] == 429);
    assert!(attempts.count() <= 2, "the SDK does not try again");
}

#[tokio::test]
async fn an_answer_is_as_long_as_the_budget_allows() {
    let (stack, app) = stack("0.01").await;
    let mut ask = call(&app, 4_000);
    ask.body.as_object_mut().unwrap().remove("max_tokens");
    let outcome = send(&stack, &ask).await;
    let answer: Value = serde_json::from_slice(&outcome.body).unwrap();
    assert_eq!((outcome.status, &answer["choices"][0]["finish_reason"]), (200, &json!("length")), "{answer}");
    let asked = &stack.provider().requests()[0].body;
    let most = [&asked["max_tokens"], &asked["max_completion_tokens"]].into_iter().find_map(Value::as_u64);
    assert!((800..=1_000).contains(&most.unwrap()), "{asked}");
    let bill = billed(&stack).await;
    assert!((DIME * 8 / 100..=DIME / 10).contains(&bill), "{bill} of {}", DIME / 10);
    assert_eq!(settled(&stack, &app).await, bill);
}

#[tokio::test]
async fn a_limit_that_the_client_set_is_never_raised() {
    let (stack, app) = stack("1").await;
    let mut ask = call(&app, 7);
    assert_eq!(send(&stack, &ask).await.status, 200);
    ask.body["max_completion_tokens"] = json!(5);
    ask.body.as_object_mut().unwrap().remove("max_tokens");
    assert_eq!(send(&stack, &ask).await.status, 200);
    let asked = stack.provider().requests();
    assert_eq!(asked[0].body["max_tokens"], 7);
    assert_eq!(asked[1].body["max_completion_tokens"], 5);
    assert_eq!(asked[1].body["max_tokens"], Value::Null);
}

/// The worst that a tokenizer and a provider can do within what they were asked.
#[tokio::test]
async fn the_worst_case_stays_within_the_budget() {
    let (stack, app) = stack("0.05").await;
    let mut ask = call(&app, 100).streamed();
    ask.sample = "dense,tokens=100000,reasoning=50".to_owned();
    ask.body["n"] = json!(3);
    ask.body["messages"][0]["content"] = json!("ein schöner Tag ".repeat(20));
    load::run(&[stack.gateway().address()], 16, |number| (number < 100).then(|| ask.clone())).await;
    let bill = billed(&stack).await;
    assert!((DIME / 4..=DIME / 2).contains(&bill), "{bill} of {}", DIME / 2);
    assert_eq!(settled(&stack, &app).await, bill);
}

#[tokio::test]
async fn a_model_without_a_price_needs_an_app_without_a_budget() {
    let (stack, app) = stack("1").await;
    let model = json!({ "name": "test/unpriced", "provider": PROVIDER, "price": null });
    stack.api().post("/api/v1/models", model).await.unwrap().ok().unwrap();
    let free = stack.api().create_app(json!({ "name": "free" })).await.unwrap();
    stack.until_synced().await.unwrap();
    let ask = |key: &str| Call::chat(key, "test/unpriced", 10, "");
    let refused = send(&stack, &ask(&app.key)).await;
    assert!(matches!(refused.status, 400 | 403), "{}", refused.text());
    assert!(refused.text().contains("price"), "{}", refused.text());
    assert!(!refused.code().is_empty());
    assert_eq!(stack.provider().requests().len(), 0);
    assert_eq!(send(&stack, &ask(&free.key)).await.status, 200);
}

#[tokio::test]
async fn each_threshold_is_an_event_once() {
    let (stack, app) = stack("0.10").await;
    spend(&stack, &app, 50).await;
    load::run(&[stack.gateway().address()], 8, |number| (number < 100).then(|| call(&app, 50))).await;
    let named = |events: &[Value]| {
        let mut named = events
            .iter()
            .map(|event| format!("{} {}", event["kind"].as_str().unwrap(), event["data"]["percent"]))
            .filter(|event| event.starts_with("quota."))
            .collect::<Vec<_>>();
        named.sort();
        named
    };
    let expected = ["quota.exceeded null", "quota.threshold 50", "quota.threshold 80"];
    wait::until("the events", Duration::from_secs(10), async || {
        let events = named(&stack.api().events(&app).await?);
        anyhow::ensure!(
            events.iter().filter(|event| *event != "quota.threshold 100").eq(&expected),
            "{events:?}"
        );
        Ok(Some(()))
    })
    .await
    .unwrap();
    let before = stack.api().events(&app).await.unwrap();
    spend(&stack, &app, 50).await;
    settled(&stack, &app).await;
    assert_eq!(named(&stack.api().events(&app).await.unwrap()), named(&before));
}

#[tokio::test]
async fn an_edit_neither_resets_nor_loses_what_is_spent() {
    let (stack, app) = stack("0.10").await;
    spend(&stack, &app, 100).await;
    let before = settled(&stack, &app).await;
    let limits = json!({ "budget": { "usd": "0.20", "per": "month" } });
    stack.api().limit(&app, limits).await.unwrap();
    stack.until_synced().await.unwrap();
    let refused = spend(&stack, &app, 100).await;
    assert_eq!(refused.code(), "insufficient_quota");
    let bill = billed(&stack).await;
    assert!(bill > before && (DIME * 18 / 10..=DIME * 2).contains(&bill), "{before}, then {bill}");
    assert_eq!(settled(&stack, &app).await, bill);
}

#[tokio::test]
async fn tokens_have_a_budget_too() {
    let (stack, _) = stack("1").await;
    let limits = json!({ "token_budget": { "tokens": 5_000, "per": "day" } });
    let app = stack.api().create_limited_app("tokens", limits).await.unwrap();
    stack.until_synced().await.unwrap();
    let refused = spend(&stack, &app, 50).await;
    assert_eq!((refused.status, refused.header("x-should-retry")), (429, "false"), "{}", refused.text());
    let billed = stack.provider().settled().await.unwrap().total();
    let tokens = billed.input_tokens + billed.output_tokens;
    assert!((4_500..=5_000).contains(&tokens), "{tokens} of 5000");
}

#[tokio::test]
async fn a_named_key_has_a_budget_of_its_own() {
    let (stack, _) = stack("1").await;
    let cents = |usd: &str| json!({ "budget": { "usd": usd, "per": "total" } });
    let body = json!({ "name": "named", "mode": "named", "limits": cents("0.20"),
        "named_key_limits": cents("0.10") });
    let app = stack.api().create_app(body).await.unwrap();
    let user = stack.api().create_user("dev@example.com").await.unwrap();
    let key = stack.api().create_key(&app, &user, "laptop").await.unwrap();
    stack.until_synced().await.unwrap();
    let own = App { key: key.value.clone(), ..app.clone() };
    assert_eq!(spend(&stack, &own, 100).await.code(), "insufficient_quota");
    let bill = billed(&stack).await;
    assert!((DIME * 9 / 10..=DIME).contains(&bill), "{bill} of {DIME}");
    for path in [key.path(), app.path()] {
        stack.api().until_used(&path, "budget", |usage| usage.used == bill).await.unwrap();
    }
}

#[tokio::test]
async fn without_a_control_plane_a_budget_stops_when_its_lease_is_spent() {
    let (mut stack, app) = stack("1.00").await;
    assert_eq!(send(&stack, &call(&app, 100)).await.status, 200);
    stack.control_plane().kill();
    let refused = spend(&stack, &app, 100).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(!refused.code().is_empty() && refused.code() != "insufficient_quota", "{}", refused.text());
    assert!(billed(&stack).await <= nano_usd("1.00"));

    stack.control_plane().start().await.unwrap();
    stack.until_synced().await.unwrap();
    wait::until("the budget to be usable again", Duration::from_secs(20), async || {
        let outcome = send(&stack, &call(&app, 100)).await;
        anyhow::ensure!(outcome.status == 200, "{} {}", outcome.status, outcome.text());
        Ok(Some(()))
    })
    .await
    .unwrap();
    let bill = billed(&stack).await;
    stack.api().until_used(&app.path(), "budget", |usage| usage.used == bill).await.unwrap();
}
