//! What every request is measured, priced and recorded as.

use std::collections::BTreeMap;
use std::time::Duration;

use latchkey_tests::load::{self, Call, End, Leaves, Outcome, Usage};
use latchkey_tests::provider::{Billed, Provider};
use latchkey_tests::stack::api::App;
use latchkey_tests::stack::ledger::{CHEAP, Priced, Record};
use latchkey_tests::stack::{PROVIDER, Stack, wait};
use reqwest::Method;
use serde_json::{Value, json};

/// A model of a provider that speaks Anthropic's API.
const CLAUDE: Priced = Priced { name: "test/claude", ..CHEAP };

async fn stack() -> (Stack, App) {
    let stack = Stack::builder().priced().concurrency(2).start().await.unwrap();
    let app = stack.api().create_app(json!({ "name": "measured", "metadata": { "team": "red" } }));
    let app = app.await.unwrap();
    stack.until_synced().await.unwrap();
    (stack, app)
}

async fn send(stack: &Stack, call: &Call) -> Outcome {
    load::once(stack.gateway().address(), call).await
}

/// The one record that a call leaves.
async fn recorded(stack: &Stack, app: &App, call: &Call) -> (Outcome, Record) {
    let outcome = send(stack, call).await;
    let record = stack.api().until_recorded(app, 1).await.unwrap().remove(0);
    (outcome, record)
}

fn usage(billed: &Billed) -> Usage {
    Usage {
        input: billed.input_tokens,
        cached: billed.cached_input_tokens,
        output: billed.output_tokens,
        reasoning: billed.reasoning_tokens,
    }
}

/// A call of every API that counts tokens, whole or streamed.
fn calls(key: &str) -> Vec<Call> {
    let paths = [
        ("/v1/chat/completions", CHEAP.name),
        ("/openai_compatible/v1/chat/completions", CHEAP.name),
        ("/v1/completions", CHEAP.name),
        ("/v1/responses", CHEAP.name),
        ("/v1/embeddings", CHEAP.name),
        ("/anthropic_messages/v1/messages", CLAUDE.name),
    ];
    let call = |(path, model): (&'static str, &str)| {
        let conversation = json!([{ "role": "user", "content": "how many tokens is this?" }]);
        let mut body = json!({ "model": model });
        match path {
            "/v1/completions" => body["prompt"] = json!("how many tokens is this?"),
            "/v1/responses" | "/v1/embeddings" => body["input"] = json!("how many tokens is this?"),
            _ => body["messages"] = conversation,
        }
        match path {
            "/v1/responses" => body["max_output_tokens"] = json!(40),
            "/v1/embeddings" => {}
            _ => body["max_tokens"] = json!(40),
        }
        let sample = "tokens=30,reasoning=5,cached=2".to_owned();
        Call { path, key: key.to_owned(), body, sample, leaves: Leaves::Never }
    };
    let whole = paths.into_iter().map(call).collect::<Vec<_>>();
    let streamed =
        whole.iter().filter(|call| call.path != "/v1/embeddings").map(|call| call.clone().streamed());
    let streamed = streamed.collect::<Vec<_>>();
    let torn =
        streamed.iter().map(|call| Call { sample: format!("{},tiny-chunks", call.sample), ..call.clone() });
    let torn = torn.collect::<Vec<_>>();
    [whole, streamed, torn].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_equals_what_the_provider_bills_to_the_token() {
    const REQUESTS: usize = 320;
    let (stack, app) = stack().await;
    let anthropic = Provider::start(([127, 0, 0, 1], 0).into(), Some("sk-ant")).await.unwrap();
    let url = anthropic.url();
    let url = url.trim_end_matches("/v1");
    stack.api().create_provider("anthropic", "anthropic", url, "sk-ant").await.unwrap();
    stack.api().create_priced_model(&CLAUDE, "anthropic").await.unwrap();
    stack.until_synced().await.unwrap();

    let calls = calls(&app.key);
    let next = |number: u64| (number < REQUESTS as u64).then(|| calls[number as usize % calls.len()].clone());
    let outcomes = load::run(&[stack.gateway().address()], 16, next).await;
    for outcome in &outcomes {
        assert_eq!((outcome.status, &outcome.end), (200, &End::Whole), "{}", outcome.text());
    }

    let records = stack.api().until_recorded(&app, REQUESTS).await.unwrap();
    let mut sums = BTreeMap::<_, (u64, Usage)>::new();
    for record in &records {
        assert_eq!(record.settlement, "reported", "{record:?}");
        assert_eq!(record.cost(), CHEAP.cost(record.usage()), "{record:?}");
        let (requests, tokens) = sums.entry(record.model.clone().unwrap()).or_default();
        *requests += 1;
        *tokens = *tokens + record.usage();
    }
    for (provider, model) in [(stack.provider(), CHEAP.name), (&anthropic, CLAUDE.name)] {
        let billed = provider.settled().await.unwrap().models[model];
        assert_eq!(sums[model], (billed.requests, usage(&billed)), "{model}");
        let told = stack.api().sums(&app, &format!("model={model}")).await.unwrap();
        assert_eq!(told["requests"], billed.requests);
        assert_eq!(told["input_tokens"], billed.input_tokens);
        assert_eq!(told["cached_input_tokens"], billed.cached_input_tokens);
        assert_eq!(told["output_tokens"], billed.output_tokens);
        assert_eq!(told["reasoning_tokens"], billed.reasoning_tokens);
    }
    let view = stack.api().get(&app.path()).await.unwrap().ok().unwrap();
    assert_eq!(view["requests"], REQUESTS, "{view}");
    assert!(view["last_used_at"].is_string(), "{view}");
}

#[tokio::test]
async fn usage_is_asked_for_and_hidden_from_who_did_not_ask() {
    let (stack, app) = stack().await;
    let sample = "tokens=20,reasoning=3";
    let (outcome, record) =
        recorded(&stack, &app, &Call::chat(&app.key, CHEAP.name, 50, sample).streamed()).await;
    let text = outcome.text();
    assert_eq!(stack.provider().requests()[0].body["stream_options"]["include_usage"], true);
    assert!(!text.contains("\"usage\":{") && !text.contains("\"choices\":[]"), "{text}");
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert_eq!(
        (record.settlement.as_str(), record.output_tokens, record.reasoning_tokens),
        ("reported", 23, 3)
    );
    assert!(record.streamed);

    for script in [&[][..], &[("INCLUDE_USAGE", "1")]] {
        let variables = [&[("MODEL", CHEAP.name), ("SAMPLE", "tiny-chunks")], script].concat();
        let seen = stack.gateway().sdk("chat_stream.py", &app.key, &variables).await.unwrap();
        assert_eq!(seen["text"], "You said: hello");
        assert_eq!(seen["chunks_without_choices"], script.len(), "{seen}");
        assert_eq!(seen["usages"].as_array().map(Vec::len), Some(script.len()), "{seen}");
    }
}

#[tokio::test]
async fn chunks_are_passed_on_at_once() {
    let (stack, app) = stack().await;
    let mut call = Call::chat(&app.key, CHEAP.name, 100, "tokens=20,pace=100").streamed();
    for asks_for_usage in [false, true] {
        call.body["stream_options"] = json!({ "include_usage": asks_for_usage });
        let outcome = send(&stack, &call).await;
        let events = outcome.text().matches("data: ").count();
        let waits = outcome.pieces.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>();
        let bunched = waits.iter().filter(|wait| **wait < Duration::from_millis(40)).count();
        // The two last events, the usage and the end, may come together.
        assert!(events >= 15 && outcome.pieces.len() + 2 >= events && bunched <= 2, "{events} {waits:?}");
    }
}

#[tokio::test]
async fn without_limits_a_client_that_leaves_a_stream_is_charged_an_estimate() {
    let (stack, app) = stack().await;
    let call = Call::chat(&app.key, CHEAP.name, 1_000, "tokens=1000,pace=20").streamed();
    let (outcome, record) = recorded(&stack, &app, &call.leaving(Leaves::AfterBytes(3_000))).await;
    assert_eq!(outcome.end, End::Left);
    assert_eq!(record.settlement, "estimated");
    assert!(record.input_tokens >= 2 && (1..1_000).contains(&record.output_tokens), "{record:?}");
    assert_eq!(record.cost(), CHEAP.cost(record.usage()));
}

#[tokio::test]
async fn without_limits_a_stream_that_is_cut_is_charged_an_estimate() {
    let (stack, app) = stack().await;
    let call = Call::chat(&app.key, CHEAP.name, 100, "tokens=100,cut=10").streamed();
    let (outcome, record) = recorded(&stack, &app, &call).await;
    assert!(matches!(outcome.end, End::Broken(_)), "{outcome:?}");
    let billed = stack.provider().settled().await.unwrap().total();
    assert_eq!(record.settlement, "estimated");
    assert!(record.output_tokens >= billed.output_tokens, "{record:?}, {billed:?}");
    assert!(record.output_tokens <= 100, "{record:?}");
}

#[tokio::test]
async fn without_limits_an_answer_that_tells_no_usage_is_charged_an_estimate() {
    let (stack, app) = stack().await;
    let (_, record) =
        recorded(&stack, &app, &Call::chat(&app.key, CHEAP.name, 100, "tokens=50,no-usage")).await;
    assert_eq!((record.status, record.settlement.as_str()), (Some(200), "estimated"));
    assert!(record.input_tokens >= 2 && (50..=100).contains(&record.output_tokens), "{record:?}");
}

#[tokio::test]
async fn without_limits_a_client_that_leaves_before_the_answer_is_recorded_with_a_floor() {
    let (stack, app) = stack().await;
    let call = Call::chat(&app.key, CHEAP.name, 70, "tokens=50,slow=60000");
    let (outcome, record) =
        recorded(&stack, &app, &call.leaving(Leaves::After(Duration::from_secs(1)))).await;
    assert_eq!((outcome.status, record.status.unwrap_or(0)), (0, 0));
    let reason = record.settlement_reason.as_deref();
    assert_eq!((record.settlement.as_str(), reason), ("estimated", Some("answer_unknown")), "{record:?}");
    assert_eq!(record.output_tokens, 0, "{record:?}");
}

#[tokio::test]
async fn a_providers_failure_costs_nothing() {
    let (stack, app) = stack().await;
    for (number, status) in [400, 429, 500, 503].into_iter().enumerate() {
        let call = Call::chat(&app.key, CHEAP.name, 70, &format!("status={status}"));
        let outcome = send(&stack, &call).await;
        assert_eq!(outcome.status, status);
        let records = stack.api().until_recorded(&app, number + 1).await.unwrap();
        let record = records.iter().find(|record| record.status == Some(status)).unwrap();
        assert_eq!(
            (record.settlement.as_str(), record.cost(), record.usage()),
            ("none", 0, Usage::default())
        );
        assert_eq!((record.code.as_deref(), record.provider.as_deref()), (None, Some(PROVIDER)));
    }
}

#[tokio::test]
async fn a_refusal_is_recorded_with_its_code() {
    let (stack, app) = stack().await;
    let (outcome, record) = recorded(&stack, &app, &Call::chat(&app.key, "test/none", 10, "")).await;
    assert_eq!((outcome.status, record.status), (404, Some(404)));
    assert_eq!((record.code.as_deref(), record.settlement.as_str()), (Some("model_not_found"), "none"));
    assert_eq!((record.model.as_deref(), record.provider), (Some("test/none"), None));
}

#[tokio::test]
async fn a_record_says_all_and_never_what_was_said() {
    const SECRET: &str = "a-word-that-nobody-else-says";
    let (mut stack, app) = stack().await;
    let user = stack.api().create_user("dev@example.com").await.unwrap();
    stack.api().edit(&app.path(), json!({ "mode": "named" })).await.unwrap();
    let key = stack.api().create_key(&app, &user, "laptop").await.unwrap();
    stack.until_synced().await.unwrap();
    let body = json!({ "model": CHEAP.name, "max_tokens": 50, "stream": true,
        "messages": [{ "role": "user", "content": SECRET }] });
    let request = stack.gateway().request(Method::POST, "/v1/chat/completions").bearer_auth(&key.value);
    let request = request.header("x-conversation-id", "talk-1").header("x-sample", "pace=10,cached=1");
    let response = request.json(&body).send().await.unwrap();
    let request_id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert!(response.text().await.unwrap().contains("nobody"));

    let record = stack.api().until_recorded(&app, 1).await.unwrap().remove(0);
    assert_eq!(record.request_id, request_id);
    assert_eq!((record.app_id.as_str(), record.key_id.as_str()), (app.id.as_str(), key.id.as_str()));
    assert_eq!(record.user_id.as_deref(), Some(user.as_str()));
    assert_eq!(
        (record.model.as_deref(), record.served_model.as_deref()),
        (Some(CHEAP.name), Some(CHEAP.name))
    );
    assert_eq!((record.provider.as_deref(), record.endpoint.as_str()), (Some(PROVIDER), "chat_completions"));
    assert_eq!((record.status, record.code.as_deref(), record.streamed), (Some(200), None, true));
    assert_eq!((record.gateway.as_str(), record.client_address.as_str()), ("gateway-0", "127.0.0.1"));
    assert_eq!(
        (record.conversation_id.as_deref(), &record.metadata),
        (Some("talk-1"), &json!({ "team": "red" }))
    );
    let billed = stack.provider().settled().await.unwrap().total();
    assert_eq!((record.usage(), record.cost()), (usage(&billed), CHEAP.cost(usage(&billed))));
    assert!(record.price_version.is_some_and(|version| version > 0), "{record:?}");
    assert!(record.first_token_ms.is_some_and(|ms| ms > 0 && ms <= record.latency_ms), "{record:?}");
    assert!(record.at.starts_with("20"), "{record:?}");

    stack.control_plane().stop().await.unwrap();
    for file in
        ["latchkey.db", "latchkey.db-wal", "control-plane.log", "gateway-0/envoy.log", "gateway-0/access.log"]
    {
        let bytes = std::fs::read(stack.dir().join(file)).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains(SECRET), "{file} holds what was said");
    }
}

#[tokio::test]
async fn a_new_price_leaves_old_records_as_they_are() {
    let (stack, app) = stack().await;
    let call = Call::chat(&app.key, CHEAP.name, 50, "tokens=50");
    let (_, before) = recorded(&stack, &app, &call).await;
    let models = stack.api().get("/api/v1/models").await.unwrap().ok().unwrap();
    let model = models["items"].as_array().unwrap().iter().find(|model| model["name"] == CHEAP.name).unwrap();
    let path = format!("/api/v1/models/{}", model["id"].as_str().unwrap());
    stack.api().edit(&path, json!({ "price": { "input": "1", "output": "2" } })).await.unwrap();
    stack.until_synced().await.unwrap();
    assert_eq!(send(&stack, &call).await.status, 200);
    let records = stack.api().until_recorded(&app, 2).await.unwrap();
    let (new, old): (Vec<_>, Vec<_>) =
        records.iter().partition(|record| record.request_id != before.request_id);
    assert_eq!((old[0].cost(), old[0].price_version), (before.cost(), before.price_version));
    assert_eq!(new[0].cost(), new[0].input_tokens * 1_000 + new[0].output_tokens * 2_000);
    assert!(new[0].price_version > before.price_version);
}

#[tokio::test]
async fn records_wait_for_a_control_plane_that_is_away() {
    let (mut stack, app) = stack().await;
    stack.control_plane().kill();
    let next = |number: u64| (number < 100).then(|| Call::chat(&app.key, CHEAP.name, 10, "tokens=10"));
    let outcomes = load::run(&[stack.gateway().address()], 4, next).await;
    assert!(outcomes.iter().all(|outcome| outcome.status == 200));
    stack.control_plane().start().await.unwrap();
    let records = stack.api().until_recorded(&app, 100).await.unwrap();
    let sum = records.iter().map(Record::usage).fold(Usage::default(), std::ops::Add::add);
    assert_eq!(sum, usage(&stack.provider().settled().await.unwrap().total()));
}

#[tokio::test]
async fn logs_are_filtered() {
    let (stack, app) = stack().await;
    // Workers ship their records each on its own, so the second waits for the first's.
    recorded(&stack, &app, &Call::chat(&app.key, CHEAP.name, 10, "")).await;
    send(&stack, &Call::chat(&app.key, "test/none", 10, "")).await;
    let all = stack.api().until_recorded(&app, 2).await.unwrap();
    assert_eq!(all[0].code.as_deref(), Some("model_not_found"), "newest first");
    for (filter, count) in [
        ("status=404", 1),
        ("code=model_not_found", 1),
        (&format!("model={}", CHEAP.name), 1),
        (&format!("provider={PROVIDER}"), 1),
        (&format!("key_id={}", app.key_id), 2),
        ("to=2020-01-01T00:00:00Z", 0),
    ] {
        assert_eq!(stack.api().records(&app, filter).await.unwrap().len(), count, "{filter}");
    }
}

#[tokio::test]
async fn the_provider_is_told_all_that_the_client_said() {
    let (stack, app) = stack().await;
    let mut call = Call::chat(&app.key, CHEAP.name, 10, "").streamed();
    call.body["temperature"] = json!(0.25);
    call.body["stream_options"] = json!({ "include_obfuscation": false });
    assert_eq!(send(&stack, &call).await.status, 200);
    let mut expected: Value = call.body.clone();
    expected["stream_options"]["include_usage"] = json!(true);
    assert_eq!(stack.provider().requests()[0].body, expected);
    wait::until("its record", Duration::from_secs(10), async || {
        Ok((stack.api().records(&app, "").await?.len() == 1).then_some(()))
    })
    .await
    .unwrap();
}
