//! What vendors bill besides input and output: cache writes, service tiers, long inputs.

use std::time::Duration;

use latchkey_tests::load::{self, Call, Leaves, Outcome};
use latchkey_tests::raw::{self, RawProvider};
use latchkey_tests::stack::api::App;
use latchkey_tests::stack::ledger::{LimitUsage, Record, nano_usd};
use latchkey_tests::stack::{PROVIDER, Stack, wait};
use serde_json::{Value, json};

/// A system with a provider that says what it is told, an app with a budget, and one without.
struct Company {
    stack: Stack,
    vendor: RawProvider,
    budgeted: App,
    free: App,
}

const CHAT: &str = "/v1/chat/completions";
const RESPONSES: &str = "/v1/responses";
const MESSAGES: &str = "/anthropic_messages/v1/messages";

impl Company {
    async fn new(kind: &str, price: Value, budget: &str) -> Self {
        let stack = Stack::builder().start().await.unwrap();
        let vendor = RawProvider::start().await.unwrap();
        let url = if kind == "anthropic" { vendor.origin() } else { vendor.url() };
        stack.api().create_provider("vendor", kind, &url, "sk-vendor").await.unwrap();
        let model = json!({ "name": "m", "provider": "vendor", "price": price, "max_output_tokens": 1_000 });
        stack.api().post("/api/v1/models", model).await.unwrap().ok().unwrap();
        let limits = json!({ "budget": { "usd": budget, "per": "total" } });
        let budgeted = stack.api().create_limited_app("budgeted", limits).await.unwrap();
        let free = stack.api().create_app(json!({ "name": "free" })).await.unwrap();
        stack.until_synced().await.unwrap();
        Self { stack, vendor, budgeted, free }
    }

    async fn ask(&self, app: &App, path: &'static str, body: Value) -> Outcome {
        let call = Call { path, key: app.key.clone(), body, sample: String::new(), leaves: Leaves::Never };
        load::once(self.stack.gateway().address(), &call).await
    }

    /// Asks, and gives the record of it, the newest of so many.
    async fn recorded(&self, app: &App, path: &'static str, body: Value, count: usize) -> Record {
        let outcome = self.ask(app, path, body).await;
        assert_eq!(outcome.status, 200, "{}", outcome.text());
        served(&self.stack, app, count).await.remove(0)
    }

    /// The budget has been charged so much. What gateways hold idle comes back later.
    async fn charged(&self, nano: u64) {
        let path = self.budgeted.path();
        let wanted = |usage: LimitUsage| usage.used == nano;
        self.stack.api().until_used(&path, "budget", wanted).await.unwrap();
    }
}

/// The records of so many requests of the app that a provider answered, newest first.
async fn served(stack: &Stack, app: &App, count: usize) -> Vec<Record> {
    wait::until("the records", Duration::from_secs(20), async || {
        let mut records = stack.api().records(app, "").await?;
        records.retain(|record| record.status == Some(200));
        anyhow::ensure!(records.len() >= count, "{} of {count}", records.len());
        Ok(Some(records))
    })
    .await
    .unwrap()
}

fn chat(more: Value) -> Value {
    let mut body = json!({ "model": "m", "max_completion_tokens": 1_000,
        "messages": [{ "role": "user", "content": "hello" }] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// Whether the budget could not pay for it even if nothing were used.
fn is_too_dear(refused: &Outcome) -> bool {
    let code = refused.code();
    (400..500).contains(&refused.status) && matches!(&*code, "insufficient_quota" | "request_exceeds_limit")
}

fn plain() -> Value {
    json!({ "input": "5", "cached_input": "0.5", "output": "30" })
}

#[tokio::test]
async fn what_openai_writes_to_its_cache_costs_five_quarters_of_input() {
    let company = Company::new("openai_compatible", plain(), "10").await;
    let responses = r#"{"id":"resp_1","object":"response","status":"completed","output":[],"usage":{"input_tokens":18000,"input_tokens_details":{"cache_write_tokens":17990,"cached_tokens":0},"output_tokens":10,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":18010}}"#;
    let completion = r#"{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"ok"},"finish_reason":"stop"}],"usage":{"prompt_tokens":18000,"prompt_tokens_details":{"cache_write_tokens":17990,"cached_tokens":0},"completion_tokens":10,"total_tokens":18010}}"#;
    let cost = 10 * 5_000 + 17_990 * 6_250 + 10 * 30_000;
    let asked = json!({ "model": "m", "input": "hi", "max_output_tokens": 50 });
    for app in [&company.free, &company.budgeted] {
        for (count, path, answer, body) in
            [(1, RESPONSES, responses, asked.clone()), (2, CHAT, completion, chat(json!({})))]
        {
            company.vendor.answer(raw::json(answer));
            let record = company.recorded(app, path, body, count).await;
            assert_eq!((record.settlement.as_str(), record.cost()), ("reported", cost), "{record:?}");
            assert_eq!((record.input_tokens, record.cached_input_tokens), (18_000, 0));
        }
    }
    company.charged(2 * cost).await;
}

#[tokio::test]
async fn what_anthropic_writes_for_an_hour_costs_twice_the_input() {
    let company = Company::new("anthropic", plain(), "20").await;
    let answer = r#"{"type":"message","id":"msg_1","role":"assistant","content":[{"type":"text","text":"ok"}],"stop_reason":"end_turn","usage":{"input_tokens":10,"cache_creation_input_tokens":300000,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":300000},"cache_read_input_tokens":0,"output_tokens":10}}"#;
    company.vendor.answer(raw::json(answer));
    let cost = 10 * 5_000 + 300_000 * 10_000 + 10 * 30_000;
    let body = json!({ "model": "m", "max_tokens": 50, "messages": [{ "role": "user", "content": [
        { "type": "text", "text": "hi", "cache_control": { "type": "ephemeral", "ttl": "1h" } }] }] });
    for app in [&company.free, &company.budgeted] {
        let record = company.recorded(app, MESSAGES, body.clone(), 1).await;
        assert_eq!((record.settlement.as_str(), record.cost()), ("reported", cost), "{record:?}");
        assert_eq!(record.input_tokens, 300_010);
    }
    company.charged(cost).await;
}

/// Whoever may write to a cache for an hour holds what that costs.
#[tokio::test]
async fn what_is_reserved_covers_what_is_written_to_the_cache() {
    let company = Company::new("anthropic", plain(), "0.012").await;
    let body = |ttl: &str| {
        json!({ "model": "m", "max_tokens": 1, "messages": [{ "role": "user", "content": [
            { "type": "text", "text": "x".repeat(1_100), "cache_control": { "type": "ephemeral", "ttl": ttl } }] }] })
    };
    let usage = r#"{"type":"message","id":"msg_1","role":"assistant","content":[],"stop_reason":"max_tokens","usage":{"input_tokens":5,"output_tokens":1}}"#;
    company.vendor.answer(raw::json(usage));
    let refused = company.ask(&company.budgeted, MESSAGES, body("1h")).await;
    assert!(is_too_dear(&refused), "{}", refused.text());
    assert_eq!(company.ask(&company.budgeted, MESSAGES, body("5m")).await.status, 200);
}

const USAGE: &str = r#""usage":{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120}"#;

fn completion(tier: &str) -> Vec<u8> {
    let tier = if tier.is_empty() { String::new() } else { format!(r#""service_tier":"{tier}","#) };
    raw::json(&format!(
        r#"{{"id":"c","object":"chat.completion",{tier}"choices":[{{"index":0,"message":{{"role":"assistant","content":"ok"}},"finish_reason":"stop"}}],{USAGE}}}"#
    ))
}

/// 100 tokens of input and 20 of output in the standard tier.
const STANDARD: u64 = 100 * 5_000 + 20 * 30_000;

#[tokio::test]
async fn a_tier_without_a_price_is_refused_by_name_or_costs_what_was_reserved() {
    let company = Company::new("openai_compatible", plain(), "10").await;
    company.vendor.answer(completion("priority"));
    for (asked, member) in [
        (json!({ "service_tier": "priority" }), "`service_tier`"),
        (json!({ "service_tier": "Priority" }), "`service_tier`"),
        (json!({ "service_tier": 2 }), "`service_tier`"),
        (json!({ "speed": "fast" }), "`speed`"),
        (json!({ "inference_geo": "us" }), "`inference_geo`"),
    ] {
        let refused = company.ask(&company.budgeted, CHAT, chat(asked.clone())).await;
        let seen = (refused.status, refused.code());
        assert_eq!(seen, (400, "service_tier_not_priced".to_owned()), "{asked}: {}", refused.text());
        assert!(refused.text().contains(member), "{}", refused.text());
    }
    assert_eq!(company.vendor.requests().len(), 0);
    let unlimited =
        company.recorded(&company.free, CHAT, chat(json!({ "service_tier": "priority" })), 1).await;
    assert_eq!(unlimited.cost(), STANDARD, "the dearest that is known");
    assert_eq!(company.vendor.requests()[0].json()["service_tier"], "priority", "without limits it passes");

    // A project's settings may choose for whoever leaves it open.
    let body = chat(json!({ "service_tier": "auto" }));
    let outcome = company.ask(&company.budgeted, CHAT, body.clone()).await;
    assert_eq!(outcome.status, 200, "{}", outcome.text());
    let record = served(&company.stack, &company.budgeted, 1).await.remove(0);
    let least = u64::try_from(body.to_string().len()).unwrap() * 6_250 + 1_000 * 30_000;
    assert_eq!(record.settlement, "reserved");
    assert!((least..2 * least).contains(&record.cost()), "{record:?}");
    assert_eq!((record.input_tokens, record.output_tokens), (100, 20), "what it told is kept");
    company.charged(record.cost()).await;
}

#[tokio::test]
async fn the_tier_that_served_is_charged() {
    let mut price = plain();
    price["tiers"] = json!({ "priority": { "multiplier": "2" }, "flex": { "input": "2.5", "output": "15" } });
    let company = Company::new("openai_compatible", price, "10").await;
    let mut used = 0;
    for (number, (asked, served, cost)) in [
        ("auto", "priority", 2 * STANDARD),
        ("auto", "default", STANDARD),
        ("priority", "priority", 2 * STANDARD),
        ("priority", "default", STANDARD),
        ("priority", "", 2 * STANDARD),
        ("flex", "flex", STANDARD / 2),
        ("default", "", STANDARD),
    ]
    .into_iter()
    .enumerate()
    {
        company.vendor.answer(completion(served));
        for app in [&company.free, &company.budgeted] {
            let record =
                company.recorded(app, CHAT, chat(json!({ "service_tier": asked })), number + 1).await;
            let seen = (record.settlement.as_str(), record.cost());
            assert_eq!(seen, ("reported", cost), "{asked} served as {served}: {record:?}");
        }
        used += cost;
    }
    company.charged(used).await;
    let free = company.recorded(&company.free, CHAT, chat(json!({ "service_tier": "auto" })), 8).await;
    let path = format!("/api/v1/logs?app_id={}&service_tier=priority", company.free.id);
    let page = company.stack.api().get(&path).await.unwrap().ok().unwrap();
    assert_eq!(page["items"].as_array().unwrap().len(), 3, "{page}");
    assert_eq!(free.cost(), STANDARD);
}

#[tokio::test]
async fn anthropics_tiers_and_speeds_are_charged_as_they_served() {
    let mut price = plain();
    price["tiers"] = json!({ "priority": { "multiplier": "3" }, "speed=fast": { "multiplier": "6" } });
    let company = Company::new("anthropic", price, "10").await;
    let answer = |usage: &str| {
        raw::json(&format!(
            r#"{{"type":"message","id":"msg_1","role":"assistant","content":[{{"type":"text","text":"ok"}}],"stop_reason":"end_turn","usage":{{"input_tokens":100,"output_tokens":20,{usage}}}}}"#
        ))
    };
    let mut used = 0;
    for (number, (asked, usage, times)) in [
        (json!({}), r#""service_tier":"priority""#, 3),
        (json!({ "service_tier": "auto" }), r#""service_tier":"standard""#, 1),
        (json!({ "speed": "fast" }), r#""service_tier":"standard","speed":"fast""#, 6),
        (json!({ "speed": "fast" }), r#""service_tier":"standard","speed":"standard""#, 1),
        (json!({ "speed": "fast" }), r#""service_tier":"standard""#, 6),
    ]
    .into_iter()
    .enumerate()
    {
        company.vendor.answer(answer(usage));
        let mut body = chat(asked.clone());
        body["max_tokens"] = json!(50);
        body.as_object_mut().unwrap().remove("max_completion_tokens");
        let record = company.recorded(&company.budgeted, MESSAGES, body, number + 1).await;
        assert_eq!(record.cost(), times * STANDARD, "{asked}, {usage}: {record:?}");
        used += record.cost();
    }
    company.charged(used).await;
}

/// A chat of so many bytes of plain text, of which the sample provider counts four as a token.
fn long(app: &App, model: &str, bytes: usize) -> Call {
    let mut call = Call::chat(&app.key, model, 50, "tokens=40");
    call.body["messages"][0]["content"] = json!("text ".repeat(bytes / 5));
    call
}

#[tokio::test]
async fn a_prompt_beyond_the_border_is_reserved_and_charged_at_the_long_rate() {
    let stack = Stack::builder().start().await.unwrap();
    for model in ["gpt-5.4", "gemini-2.5-pro"] {
        stack.api().create_model(model, PROVIDER).await.unwrap();
    }
    let app = async |name: &str, usd: &str| {
        let limits = json!({ "budget": { "usd": usd, "per": "total" } });
        stack.api().create_limited_app(name, limits).await.unwrap()
    };
    let (small, large) = (app("small", "0.70").await, app("large", "30").await);
    let free = stack.api().create_app(json!({ "name": "free" })).await.unwrap();
    stack.until_synced().await.unwrap();
    let send = async |call: &Call| load::once(stack.gateway().address(), call).await;

    for (model, bytes) in [("gpt-5.4", 1_250_000), ("gpt-5.4", 8_000_000), ("gemini-2.5-pro", 900_000)] {
        let refused = send(&long(&small, model, bytes)).await;
        assert!(is_too_dear(&refused), "{model}: {}", refused.text());
    }
    let refused = send(&long(&large, "gpt-5.4", 8_000_000)).await;
    assert!(is_too_dear(&refused), "it may be billed as 8,000,000 tokens: {}", refused.text());
    assert_eq!(stack.provider().requests().len(), 0);

    // In dollars per million tokens: beyond 272,000 and 200,000 tokens.
    let mut used = 0;
    for (number, (model, bytes, input, output)) in
        [("gpt-5.4", 1_250_000, "5", "22.5"), ("gemini-2.5-pro", 900_000, "2.5", "15")]
            .into_iter()
            .enumerate()
    {
        for app in [&free, &large] {
            let answer = send(&long(app, model, bytes)).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let record = served(&stack, app, number + 1).await.remove(0);
            assert_eq!(record.model.as_deref(), Some(model));
            let nano = |tokens: u64, price: &str| tokens * nano_usd(price) / 1_000_000;
            let cost = nano(record.input_tokens, input) + nano(record.output_tokens, output);
            assert!(record.input_tokens > 200_000 && record.output_tokens > 0, "{record:?}");
            assert_eq!(record.cost(), cost, "{record:?}");
            used += if app.id == large.id { cost } else { 0 };
        }
    }
    let spent = |usage: LimitUsage| usage.used == used;
    stack.api().until_used(&large.path(), "budget", spent).await.unwrap();
    stack.api().until_used(&small.path(), "budget", |usage| usage.used == 0).await.unwrap();
}

/// Short prompts of the same models cost what they cost before.
#[tokio::test]
async fn a_short_prompt_has_the_short_rate() {
    let stack = Stack::builder().start().await.unwrap();
    stack.api().create_model("gpt-5.4", PROVIDER).await.unwrap();
    let limits = json!({ "budget": { "usd": "0.70", "per": "total" } });
    let app = stack.api().create_limited_app("small", limits).await.unwrap();
    stack.until_synced().await.unwrap();
    let outcome = load::once(stack.gateway().address(), &long(&app, "gpt-5.4", 60_000)).await;
    assert_eq!(outcome.status, 200, "{}", outcome.text());
    let record = served(&stack, &app, 1).await.remove(0);
    assert_eq!(record.cost(), record.input_tokens * 2_500 + record.output_tokens * 15_000, "{record:?}");
}
