//! What is left near a limit can be used, and who is refused hears why and until when.

use std::time::Duration;

use futures::future::join_all;
use latchkey_tests::load::{self, Call, Outcome};
use latchkey_tests::stack::api::App;
use latchkey_tests::stack::ledger::CHEAP;
use latchkey_tests::stack::{PROVIDER, Stack, wait};
use serde_json::{Value, json};

const LIMIT: u64 = 1_000;

async fn stack(gateways: usize, limits: Value) -> (Stack, App) {
    let builder = Stack::builder().priced().gateways(gateways).concurrency(2);
    let stack = builder.start().await.unwrap();
    let app = stack.api().create_limited_app("limited", limits).await.unwrap();
    stack.until_synced().await.unwrap();
    (stack, app)
}

/// A call that uses about seventy tokens and may use a hundred more.
fn call(app: &App) -> Call {
    Call::chat(&app.key, CHEAP.name, 100, "tokens=68")
}

async fn used(stack: &Stack) -> u64 {
    let billed = stack.provider().settled().await.unwrap().total();
    billed.input_tokens + billed.output_tokens
}

fn ms(outcome: &Outcome) -> u64 {
    outcome.header("retry-after-ms").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_clients_that_come_back_as_told_use_nine_tenths_of_a_minute() {
    let (stack, app) = stack(2, json!({ "tokens_per_minute": LIMIT })).await;
    let client = async |number: usize| {
        let address = stack.addresses()[number % 2];
        loop {
            let outcome = load::once(address, &call(&app)).await;
            if outcome.status == 200 {
                continue;
            }
            assert_eq!((outcome.status, outcome.code().as_str()), (429, "rate_limit_exceeded"));
            assert!((50..=62_000).contains(&ms(&outcome)), "{}", ms(&outcome));
            tokio::time::sleep(Duration::from_millis(ms(&outcome))).await;
        }
    };
    let clients = join_all((0..40).map(client));
    // Within a minute nothing comes back.
    let enough = wait::until("nine tenths to be used", Duration::from_secs(50), async || {
        let billed = stack.provider().counts().total();
        Ok((billed.input_tokens + billed.output_tokens >= LIMIT * 9 / 10).then_some(()))
    });
    tokio::select! {
        _ = clients => {}
        enough = enough => enough.unwrap(),
    }
    let tokens = used(&stack).await;
    println!("{tokens} of {LIMIT} tokens were used by 40 clients over two gateways");
    assert!(tokens <= LIMIT, "{tokens} of {LIMIT}");
}

#[tokio::test]
async fn a_client_alone_uses_what_is_left_as_long_as_a_call_fits() {
    let (stack, app) = stack(1, json!({ "tokens_per_minute": LIMIT, "min_output_tokens": 100 })).await;
    let refused = loop {
        let outcome = load::once(stack.gateway().address(), &call(&app)).await;
        if outcome.status != 200 {
            break outcome;
        }
        assert_eq!(outcome.header("x-latchkey-granted-output-tokens"), "");
    };
    let tokens = used(&stack).await;
    let error: Value = serde_json::from_slice(&refused.body).unwrap();
    let limit = &error["error"]["limit"];
    let (remaining, needed) = (limit["remaining"].as_u64().unwrap(), limit["needed"].as_u64().unwrap());
    assert!(needed < 209 && tokens + needed > LIMIT, "{tokens} were used, {needed} needed: {error}");
    assert!(remaining <= LIMIT - tokens && remaining < needed, "{error}");
    assert!((1_000..=62_000).contains(&ms(&refused)), "{}", ms(&refused));
}

/// A model whose answers may have 32,000 tokens, at a cent a thousand.
async fn large(stack: &Stack, limits: Value) -> App {
    let price = json!({ "input": "1", "cached_input": "1", "output": "10" });
    let model =
        json!({ "name": "test/large", "provider": PROVIDER, "price": price, "max_output_tokens": 32_000 });
    stack.api().post("/api/v1/models", model).await.unwrap().ok().unwrap();
    let app = stack.api().create_limited_app("large", limits).await.unwrap();
    stack.until_synced().await.unwrap();
    app
}

fn large_call(app: &App, sample: &str) -> Call {
    let mut call = Call::chat(&app.key, "test/large", 1, sample);
    call.body.as_object_mut().unwrap().remove("max_tokens");
    call
}

fn asked_for(stack: &Stack) -> Vec<u64> {
    let most = |body: &Value| {
        ["max_tokens", "max_completion_tokens"].into_iter().find_map(|name| body[name].as_u64())
    };
    stack.provider().requests().iter().filter_map(|request| most(&request.body)).collect()
}

#[tokio::test]
async fn requests_wait_for_each_other_before_they_are_cut() {
    let (stack, _) = stack(1, json!({})).await;
    let app = large(&stack, json!({ "budget": { "usd": "1", "per": "total" } })).await;
    let call = large_call(&app, "tokens=100,slow=300");
    let address = stack.gateway().address();
    let outcomes = join_all((0..5).map(|_| load::once(address, &call))).await;
    for outcome in &outcomes {
        assert_eq!(outcome.status, 200, "{}", outcome.text());
        assert_eq!(outcome.header("x-latchkey-granted-output-tokens"), "");
    }
    assert_eq!(asked_for(&stack), [32_000; 5]);
}

#[tokio::test]
async fn a_cut_answer_is_told_and_an_app_says_how_far() {
    let (stack, _) = stack(1, json!({})).await;
    let app = large(&stack, json!({ "budget": { "usd": "1", "per": "total" } })).await;
    let address = stack.gateway().address();
    // Three hold nearly all of the dollar until they are done.
    let slow = large_call(&app, "tokens=10,slow=12000");
    let holds = async {
        let outcomes = join_all((0..3).map(|_| load::once(address, &slow))).await;
        assert!(outcomes.iter().all(|outcome| outcome.status == 200));
    };
    let others = async {
        wait::until("three to be under way", Duration::from_secs(10), async || {
            Ok((stack.provider().requests().len() == 3).then_some(()))
        })
        .await
        .unwrap();
        let cut = load::once(address, &large_call(&app, "tokens=10")).await;
        assert_eq!(cut.status, 200, "{}", cut.text());
        assert_eq!(cut.header("x-latchkey-asked-output-tokens"), "32000");
        let granted: u64 = cut.header("x-latchkey-granted-output-tokens").parse().unwrap();
        assert!((1_000..10_000).contains(&granted), "{granted}");
        assert_eq!(asked_for(&stack).last(), Some(&granted));

        stack.api().limit(&app, json!({ "min_output_tokens": 16_000 })).await.unwrap();
        stack.until_synced().await.unwrap();
        let refused = load::once(address, &large_call(&app, "tokens=10")).await;
        assert_eq!((refused.status, refused.code().as_str()), (429, "quota_contended"), "{}", refused.text());
        assert!(ms(&refused) >= 1_000, "{}", ms(&refused));
        granted
    };
    let ((), granted) = tokio::join!(holds, others);
    wait::until("the record", Duration::from_secs(20), async || {
        let path = format!("/api/v1/logs?app_id={}", app.id);
        let logs = stack.api().get(&path).await?.ok()?;
        let items = logs["items"].as_array().cloned().unwrap_or_default();
        let cut = |item: &&Value| item["granted_output_tokens"] == granted;
        Ok(items.iter().find(cut).map(|item| assert_eq!(item["asked_output_tokens"], 32_000)))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_can_never_fit_says_so() {
    let (stack, app) = stack(1, json!({ "tokens_per_minute": LIMIT })).await;
    let content = "word ".repeat(2_000);
    for path in ["/v1/chat/completions", "/anthropic_messages/v1/messages"] {
        let mut call = call(&app);
        call.body["messages"][0]["content"] = json!(content);
        if path.starts_with("/anthropic") {
            call.body["model"] = json!(anthropic(&stack).await);
        }
        let refused = load::once(stack.gateway().address(), &Call { path, ..call }).await;
        let error: Value = serde_json::from_slice(&refused.body).unwrap();
        assert_eq!(
            (refused.status, &error["error"]["code"]),
            (429, &json!("request_exceeds_limit")),
            "{error}"
        );
        assert_eq!((refused.header("x-should-retry"), refused.header("retry-after")), ("false", ""));
        let limit = &error["error"]["limit"];
        assert!(limit["needed"].as_u64() > limit["limit"].as_u64(), "{error}");
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains("tokens_per_minute is 1000"), "{message}");
    }
    assert_eq!(stack.provider().requests().len(), 0);
}

/// A model of an Anthropic provider.
async fn anthropic(stack: &Stack) -> String {
    let url = stack.provider().url();
    stack.api().create_provider("anthropic-like", "anthropic", &url, "secret").await.unwrap();
    stack.api().create_model("claude-like", "anthropic-like").await.unwrap();
    stack.until_synced().await.unwrap();
    "claude-like".to_owned()
}

/// As large as an agent's first request: 115 kB, which are some 29,000 tokens.
#[tokio::test]
async fn a_large_request_passes_a_limit_of_tokens_that_holds_it() {
    let (stack, app) = stack(1, json!({ "tokens_per_minute": 60_000 })).await;
    let mut call = call(&app);
    call.body["messages"][0]["content"] = json!("word ".repeat(23_000));
    let outcome = load::once(stack.gateway().address(), &call).await;
    assert_eq!(outcome.status, 200, "{}", outcome.text());
    let usage = stack.api().until_used(&app.path(), "tokens_per_minute", |usage| usage.used > 20_000).await;
    assert!(usage.unwrap().used < 40_000, "what was used counts, not what was reserved");
}

/// An Envoy that dies takes a part of the budget with it: what is left is told to be spent.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_gateway_holds_is_not_waited_for() {
    let (mut stack, _) = stack(2, json!({})).await;
    let app = large(&stack, json!({ "budget": { "usd": "0.33", "per": "total" } })).await;
    let addresses = stack.addresses();
    let slow = large_call(&app, "tokens=10,slow=60000");
    let doomed = tokio::spawn(async move { load::once(addresses[0], &slow).await });
    wait::until("a request to be under way", Duration::from_secs(10), async || {
        Ok((stack.provider().requests().len() == 1).then_some(()))
    })
    .await
    .unwrap();
    stack.gateways_mut()[0].kill();
    doomed.await.unwrap();
    let mut call = large_call(&app, "tokens=10");
    call.body["max_tokens"] = json!(2_000);
    let address = stack.gateways()[1].address();
    let refused = wait::until("nothing more to be expected", Duration::from_secs(60), async || {
        let outcome = load::once(address, &call).await;
        anyhow::ensure!(outcome.status == 429, "{} {}", outcome.status, outcome.text());
        Ok((outcome.code() == "insufficient_quota").then_some(outcome))
    })
    .await
    .unwrap();
    assert_eq!(refused.header("x-should-retry"), "false");
}
