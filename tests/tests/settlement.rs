//! What an answer is charged, whatever its form: what the provider told, or what was reserved. Each row is
//! sent by an app without limits and by one with a budget.

use std::collections::BTreeSet;
use std::time::Duration;

use latchkey_tests::load::{self, Call, Leaves, Outcome};
use latchkey_tests::raw::{self, RawProvider, Step};
use latchkey_tests::stack::Stack;
use latchkey_tests::stack::api::App;
use latchkey_tests::stack::ledger::Record;
use serde_json::{Value, json};

const DONE: &str = "data: [DONE]\n\n";
const TEXT: &str =
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one two three four\"}}]}\n\n";

/// A stack with a provider of each kind that answers as it is told.
struct World {
    stack: Stack,
    openai: RawProvider,
    anthropic: RawProvider,
    /// Without limits.
    free: App,
    /// With a budget.
    capped: App,
}

/// Which API is called, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Api {
    Chat,
    ChatStream,
    Messages,
    MessagesStream,
    Responses,
}

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Charged {
    /// Input, what of it was cached, output.
    Reported(u64, u64, u64),
    /// The same, but with a reason.
    Doubted(&'static str, u64, u64, u64),
    /// What was reserved, since; without limits a floor.
    Reserved(&'static str),
}

use Api::{Chat, ChatStream, Messages, MessagesStream, Responses};
use Charged::{Doubted, Reported, Reserved};

impl World {
    async fn start() -> Self {
        let stack = Stack::start().await.unwrap();
        let (openai, anthropic) = (RawProvider::start().await.unwrap(), RawProvider::start().await.unwrap());
        let api = stack.api();
        api.create_provider("raw", "openai_compatible", &openai.url(), "sk").await.unwrap();
        api.create_provider("claude", "anthropic", &anthropic.origin(), "sk").await.unwrap();
        for (name, provider) in [("m", "raw"), ("c", "claude")] {
            let price = json!({ "input": "1", "cached_input": "0.1", "output": "10" });
            let model = json!({ "name": name, "provider": provider, "price": price,
                "max_output_tokens": 32_000, "context_window": 200_000 });
            api.post("/api/v1/models", model).await.unwrap().ok().unwrap();
        }
        let free = api.create_app(json!({ "name": "free" })).await.unwrap();
        let budget = json!({ "budget": { "usd": "1000", "per": "total" } });
        let capped = api.create_limited_app("capped", budget).await.unwrap();
        stack.until_synced().await.unwrap();
        Self { stack, openai, anthropic, free, capped }
    }

    fn provider(&self, api: Api) -> &RawProvider {
        match api {
            Messages | MessagesStream => &self.anthropic,
            Chat | ChatStream | Responses => &self.openai,
        }
    }

    async fn send(&self, call: &Call) -> Outcome {
        load::once(self.stack.gateway().address(), call).await
    }

    /// Calls, and gives the record that the call left.
    async fn recorded(&self, app: &App, call: &Call) -> (Outcome, Record) {
        let seen = self.ids(app).await;
        let outcome = self.send(call).await;
        let records = self.stack.api().until_recorded(app, seen.len() + 1).await.unwrap();
        let record = records.into_iter().find(|record| !seen.contains(&record.request_id)).unwrap();
        (outcome, record)
    }

    async fn ids(&self, app: &App) -> BTreeSet<String> {
        let records = self.stack.api().records(app, "").await.unwrap();
        records.into_iter().map(|record| record.request_id).collect()
    }

    /// The most that the provider was told to write.
    fn limit(&self, api: Api) -> u64 {
        let body = self.provider(api).requests().last().unwrap().json();
        ["max_tokens", "max_completion_tokens", "max_output_tokens"]
            .iter()
            .find_map(|name| body[*name].as_u64())
            .unwrap()
    }

    /// Sends a row as both apps, and compares.
    async fn check(&self, row: &Row) {
        let Row { name, api, answer, charged } = row;
        self.provider(*api).answer(answer.clone());
        let (_, record) = self.recorded(&self.free, &call(&self.free, *api)).await;
        match *charged {
            Reserved(reason) => {
                let seen = (record.settlement.as_str(), record.settlement_reason.as_deref());
                assert_eq!(seen, ("estimated", Some(reason)), "{name}: {record:?}");
            }
            Doubted(reason, input, cached, _) => {
                let seen = (record.settlement.as_str(), record.settlement_reason.as_deref());
                assert_eq!(seen, ("estimated", Some(reason)), "{name}: {record:?}");
                assert_eq!((record.input_tokens, record.cached_input_tokens), (input, cached), "{name}");
            }
            Reported(..) => compare(name, &record, *charged),
        }
        let (_, record) = self.recorded(&self.capped, &call(&self.capped, *api)).await;
        match *charged {
            Reserved(reason) => {
                let seen = (record.settlement.as_str(), record.settlement_reason.as_deref());
                assert_eq!(seen, ("reserved", Some(reason)), "{name}: {record:?}");
                let output = self.limit(*api);
                assert!(output >= 1_000 && record.output_tokens >= output, "{name}: {record:?}");
                assert!(record.input_tokens > 0, "{name}: {record:?}");
                assert!(record.cost() >= (record.output_tokens * 10 + record.input_tokens) * 1_000, "{name}");
            }
            charged => compare(name, &record, charged),
        }
    }
}

fn compare(name: &str, record: &Record, charged: Charged) {
    let (reason, input, cached, output) = match charged {
        Reported(input, cached, output) => (None, input, cached, output),
        Doubted(reason, input, cached, output) => (Some(reason), input, cached, output),
        Reserved(_) => unreachable!(),
    };
    assert_eq!(record.settlement, "reported", "{name}: {record:?}");
    assert_eq!(record.settlement_reason.as_deref(), reason, "{name}");
    let seen = (record.input_tokens, record.cached_input_tokens, record.output_tokens);
    assert_eq!(seen, (input, cached, output), "{name}");
}

fn call(app: &App, api: Api) -> Call {
    let messages = json!([{ "role": "user", "content": "hi" }]);
    let (path, body) = match api {
        Chat => ("/v1/chat/completions", json!({ "model": "m", "messages": messages })),
        ChatStream => ("/v1/chat/completions", json!({ "model": "m", "stream": true, "messages": messages })),
        Messages => (
            "/anthropic_messages/v1/messages",
            json!({ "model": "c", "max_tokens": 1_000, "messages": messages }),
        ),
        MessagesStream => (
            "/anthropic_messages/v1/messages",
            json!({ "model": "c", "max_tokens": 1_000, "stream": true, "messages": messages }),
        ),
        Responses => ("/v1/responses", json!({ "model": "m", "input": "hi" })),
    };
    Call { path, key: app.key.clone(), body, sample: String::new(), leaves: Leaves::Never }
}

struct Row {
    name: String,
    api: Api,
    answer: Vec<u8>,
    charged: Charged,
}

fn row(name: impl Into<String>, api: Api, answer: Vec<u8>, charged: Charged) -> Row {
    Row { name: name.into(), api, answer, charged }
}

fn chat(usage: &Value) -> Vec<u8> {
    let message = json!({ "role": "assistant", "content": "ok" });
    let choices = json!([{ "index": 0, "message": message, "finish_reason": "stop" }]);
    raw::json(&json!({ "id": "c", "choices": choices, "usage": usage }).to_string())
}

fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

fn usage_chunk(usage: &Value) -> String {
    event(&json!({ "id": "c", "choices": [], "usage": usage }))
}

fn stream(usage: &Value) -> Vec<u8> {
    raw::events(&[TEXT, &usage_chunk(usage), DONE].concat())
}

fn message_start(usage: &Value) -> String {
    let message =
        json!({ "id": "msg", "type": "message", "role": "assistant", "content": [], "usage": usage });
    format!("event: message_start\n{}", event(&json!({ "type": "message_start", "message": message })))
}

fn message_delta(usage: &Value) -> String {
    let delta = json!({ "stop_reason": "end_turn" });
    format!(
        "event: message_delta\n{}",
        event(&json!({ "type": "message_delta", "delta": delta, "usage": usage }))
    )
}

const BLOCK: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"ok\"}}\n\n";
const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

fn messages(start: &Value, delta: &Value) -> Vec<u8> {
    raw::events(&[message_start(start).as_str(), BLOCK, &message_delta(delta), STOP].concat())
}

/// The two events of a stream by Anthropic's protocol that tell usage.
fn parts() -> Vec<Row> {
    let whole = json!({ "input_tokens": 9_000, "output_tokens": 0 });
    let split = json!({ "input_tokens": 20, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 8_980,
        "output_tokens": 40 });
    let cache =
        json!({ "cache_creation_input_tokens": 0, "cache_read_input_tokens": 8_980, "output_tokens": 40 });
    let written = json!({ "input_tokens": 5, "cache_creation_input_tokens": 4_000, "output_tokens": 1 });
    let read = json!({ "input_tokens": 5, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4_000,
        "output_tokens": 9 });
    let fresh = json!({ "input_tokens": 20, "cache_read_input_tokens": 8_980, "output_tokens": 1 });
    let output = json!({ "output_tokens": 40 });
    let zero = json!({ "input_tokens": 0, "output_tokens": 40 });
    let several = raw::events(
        &[
            message_start(&fresh).as_str(),
            BLOCK,
            &message_delta(&json!({ "output_tokens": 7 })),
            BLOCK,
            &message_delta(&output),
            STOP,
        ]
        .concat(),
    );
    let cut = raw::events(&[message_start(&fresh).as_str(), BLOCK].concat());
    let silent = raw::events(&[message_start(&json!({})).as_str(), BLOCK, STOP].concat());
    vec![
        row(
            "first the whole prompt, then its split",
            MessagesStream,
            messages(&whole, &split),
            Reported(9_000, 8_980, 40),
        ),
        row("then the cache alone", MessagesStream, messages(&whole, &cache), Reported(9_000, 8_980, 40)),
        row("first written, then read", MessagesStream, messages(&written, &read), Reported(4_005, 4_000, 9)),
        row("as Anthropic does it", MessagesStream, messages(&fresh, &output), Reported(9_000, 8_980, 40)),
        row("a placeholder of the input", MessagesStream, messages(&whole, &zero), Reported(9_000, 0, 40)),
        row("several deltas", MessagesStream, several, Reported(9_000, 8_980, 40)),
        row("cut before the delta", MessagesStream, cut, Reserved("answer_cut")),
        row("no usage at all", MessagesStream, silent, Reserved("usage_missing")),
    ]
}

/// Several passes in one answer.
fn passes() -> Vec<Row> {
    let pass = |kind: &str, input: u64, output: u64| {
        json!({ "type": kind, "input_tokens": input, "output_tokens": output,
            "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0 })
    };
    let usage = |passes: Value| json!({ "input_tokens": 21_000, "output_tokens": 900, "iterations": passes });
    let message = |usage: &Value| {
        let content = json!([{ "type": "text", "text": "ok" }]);
        raw::json(
            &json!({ "type": "message", "id": "msg", "role": "assistant", "content": content,
            "stop_reason": "end_turn", "usage": usage })
            .to_string(),
        )
    };
    let two = usage(json!([pass("compaction", 170_000, 3_000), pass("message", 21_000, 900)]));
    let many: Vec<_> = (0..40).map(|_| pass("message", 600, 30)).collect();
    let many = usage(json!(many));
    assert!(many.to_string().len() > 4_096);
    let unknown = usage(json!([pass("message", 21_000, 900), pass("later", 5_000, 0)]));
    let start = json!({ "input_tokens": 500, "output_tokens": 1 });
    vec![
        row("compaction", Messages, message(&two), Reported(191_000, 0, 3_900)),
        row("compaction in a stream", MessagesStream, messages(&start, &two), Reported(191_000, 0, 3_900)),
        row("a long usage", Messages, message(&many), Reported(24_000, 0, 1_200)),
        row("a long usage in a stream", MessagesStream, messages(&start, &many), Reported(24_000, 0, 1_200)),
        row("a pass that nobody knows", Messages, message(&unknown), Reserved("usage_unclear")),
    ]
}

/// Usage of OpenAI's shape, by its numbers.
fn numbers() -> Vec<Row> {
    let beside = json!({ "prompt_tokens": 480, "completion_tokens": 370, "total_tokens": 14_150,
        "prompt_tokens_details": { "cached_tokens": 13_300 } });
    let reasoning = json!({ "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 620,
        "completion_tokens_details": { "reasoning_tokens": 500 } });
    let surplus = json!({ "prompt_tokens": 480, "completion_tokens": 370, "total_tokens": 2_000 });
    let mut long = json!({ "prompt_tokens": 500, "completion_tokens": 30 });
    long["details"] = json!("x".repeat(9_000));
    let true_one = json!({ "prompt_tokens": 700, "completion_tokens": 90, "total_tokens": 790 });
    let zeros = json!({ "prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0 });
    let placeholder =
        |last: &Value| raw::events(&[TEXT, &usage_chunk(&true_one), &usage_chunk(last), DONE].concat());
    let fraction =
        raw::json("{\"choices\":[],\"usage\":{\"prompt_tokens\":500.0,\"completion_tokens\":5e1}}");
    let huge = json!({ "prompt_tokens": 20, "completion_tokens": 1_u64 << 63 });
    let above = json!({ "prompt_tokens": 20, "completion_tokens": 60_000 });
    vec![
        row("cached beside the prompt", Chat, chat(&beside), Reported(13_780, 13_300, 370)),
        row("cached beside the prompt, streamed", ChatStream, stream(&beside), Reported(13_780, 13_300, 370)),
        row("reasoning beside the output", Chat, chat(&reasoning), Reported(100, 0, 520)),
        row("a surplus", Chat, chat(&surplus), Doubted("usage_unclear", 480, 0, 1_520)),
        row("a long usage of a chat", Chat, chat(&long), Reported(500, 0, 30)),
        row("a long usage of a chat, streamed", ChatStream, stream(&long), Reported(500, 0, 30)),
        row("zeros after the true usage", ChatStream, placeholder(&zeros), Reported(700, 0, 90)),
        row("nothing after the true usage", ChatStream, placeholder(&json!({})), Reported(700, 0, 90)),
        row("null after the true usage", ChatStream, placeholder(&Value::Null), Reported(700, 0, 90)),
        row("whole numbers", Chat, fraction, Reported(500, 0, 50)),
        row("zeros beside text", Chat, chat(&zeros), Reserved("usage_partial")),
        row("zeros beside text, streamed", ChatStream, stream(&zeros), Reserved("usage_partial")),
        row("input alone", Chat, chat(&json!({ "prompt_tokens": 9 })), Reserved("usage_partial")),
        row("no usage", Chat, chat(&Value::Null), Reserved("usage_missing")),
        row("beyond what can have been", Chat, chat(&huge), Reserved("usage_implausible")),
        row("more than was reserved", Chat, chat(&above), Reported(20, 0, 60_000)),
    ]
}

/// Usage in other places than the usual one.
fn places() -> Vec<Row> {
    let usage = json!({ "prompt_tokens": 1_200, "completion_tokens": 300, "total_tokens": 1_500, "cached_tokens": 1_024 });
    let choice =
        event(&json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop", "usage": usage }] }));
    let groq = event(&json!({ "choices": [{ "index": 0, "delta": {} }], "x_groq": { "usage": usage } }));
    let usual = usage_chunk(&usage);
    let charged = Reported(1_200, 1_024, 300);
    let body = json!({ "id": "r", "object": "response", "status": "completed", "output": [],
        "usage": { "input_tokens": 36, "output_tokens": 87, "total_tokens": 123 } });
    vec![
        row("within a choice", ChatStream, raw::events(&[TEXT, &choice, DONE].concat()), charged),
        row(
            "within a choice, and usual",
            ChatStream,
            raw::events(&[TEXT, &choice, &usual, DONE].concat()),
            charged,
        ),
        row("Groq's", ChatStream, raw::events(&[TEXT, &groq, DONE].concat()), charged),
        row("a response", Responses, raw::json(&body.to_string()), Reported(36, 0, 87)),
    ]
}

/// Streams and documents under other labels, encoded, and cut.
fn forms() -> Vec<Row> {
    let usage = json!({ "prompt_tokens": 500, "completion_tokens": 800, "total_tokens": 1_300 });
    let body = [TEXT, &usage_chunk(&usage), DONE].concat();
    let labels =
        ["application/json", "text/plain; charset=utf-8", "application/octet-stream", "application/x-ndjson"];
    let mut rows: Vec<_> = labels
        .iter()
        .map(|label| {
            row(format!("events as {label}"), ChatStream, raw::answer(label, &body), Reported(500, 0, 800))
        })
        .collect();
    let bare = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{body}").into_bytes();
    let counted = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let encoded = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n{body}"
    );
    let lines = body.replace("data: ", "").replace("\n\n", "\n").replace("[DONE]\n", "");
    rows.extend([
        row("events without a label", ChatStream, bare, Reported(500, 0, 800)),
        row("events with a length", ChatStream, counted.into_bytes(), Reported(500, 0, 800)),
        row("a comment first", ChatStream, raw::json(&format!(": hi\n\n{body}")), Reported(500, 0, 800)),
        row("a mark first", ChatStream, raw::json(&format!("\u{feff}\n{body}")), Reported(500, 0, 800)),
        row("a document for a stream", ChatStream, chat(&usage), Reported(500, 0, 800)),
        row("events for a document", Chat, raw::json(&body), Reported(500, 0, 800)),
        row("lines of JSON", ChatStream, raw::answer("application/x-ndjson", &lines), Reported(500, 0, 800)),
        row("encoded", ChatStream, encoded.into_bytes(), Reserved("answer_unreadable")),
        row("cut after its text", ChatStream, raw::events(TEXT), Reserved("answer_cut")),
        row(
            "ended without usage",
            ChatStream,
            raw::events(&[TEXT, DONE].concat()),
            Reserved("usage_missing"),
        ),
        row("neither", ChatStream, raw::answer("text/plain", "busy"), Reserved("answer_cut")),
        row("empty", Chat, raw::json(""), Reserved("answer_cut")),
    ]);
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_charged_as_told_or_as_reserved() {
    let world = World::start().await;
    for row in [parts(), passes(), numbers(), places(), forms()].into_iter().flatten() {
        world.check(&row).await;
    }
    let api = world.stack.api();
    let records = api.records(&world.capped, "").await.unwrap();
    let charged: u64 = records.iter().map(Record::cost).sum();
    api.until_used(&world.capped.path(), "budget", |usage| usage.used == charged).await.unwrap();
}

#[tokio::test]
async fn the_usage_chunk_is_hidden_whatever_the_label() {
    let world = World::start().await;
    let usage = json!({ "prompt_tokens": 500, "completion_tokens": 800, "total_tokens": 1_300 });
    let body = [TEXT, &usage_chunk(&usage), DONE].concat();
    for label in ["text/event-stream", "application/json", "text/plain"] {
        world.openai.answer(raw::answer(label, &body));
        let outcome = world.send(&call(&world.free, ChatStream)).await;
        assert_eq!((outcome.status, outcome.text()), (200, [TEXT, DONE].concat().into()), "{label}");
    }
}

/// A client that leaves is charged what it may have caused: a provider bills what it has written, seen or
/// not.
#[tokio::test]
async fn a_client_that_leaves_again_and_again_never_gets_more_than_its_budget() {
    let world = World::start().await;
    let budget = json!({ "budget": { "usd": "1.00", "per": "total" } });
    let app = world.stack.api().create_limited_app("leaves", budget).await.unwrap();
    world.stack.until_synced().await.unwrap();
    world.openai.play(vec![Step::Send(raw::events(TEXT)), Step::Hold]);
    let mut ask = call(&app, ChatStream).leaving(Leaves::AfterBytes(10));
    ask.body["max_tokens"] = json!(30_000);
    let mut asked = 0;
    for _ in 0..50 {
        let outcome = world.send(&ask).await;
        if outcome.status != 200 {
            // It leaves a refusal, too, before it has read it all.
            assert!(outcome.text().contains(r#""code":"insufficient_quota""#), "{}", outcome.text());
            break;
        }
        asked += world.limit(ChatStream);
    }
    // What a provider may bill that has written all that it was asked for, each time.
    let most = asked * 10_000;
    assert!((500_000_000..=1_000_000_000).contains(&most), "{most}");
    let path = app.path();
    let used = world.stack.api().until_used(&path, "budget", |usage| usage.used >= most).await.unwrap();
    assert!(used.used <= 1_000_000_000, "{used:?}");
    let records = world.stack.api().records(&app, "status=200").await.unwrap();
    for record in records {
        let seen = (record.settlement.as_str(), record.settlement_reason.as_deref());
        assert_eq!(seen, ("reserved", Some("answer_cut")), "{record:?}");
    }
}

/// The input that Anthropic has told is what is charged of it; the rest is not known.
#[tokio::test]
async fn what_a_cut_answer_has_told_for_good_is_charged_as_told() {
    let world = World::start().await;
    let start = json!({ "input_tokens": 40, "cache_read_input_tokens": 60, "output_tokens": 1,
        "service_tier": "standard" });
    let text = [message_start(&start).as_str(), BLOCK].concat();
    world.anthropic.play(vec![Step::Send(raw::events(&text)), Step::Hold]);
    let ask = call(&world.capped, MessagesStream).leaving(Leaves::AfterBytes(text.len() - 5));
    let (_, record) = world.recorded(&world.capped, &ask).await;
    let seen = (record.input_tokens, record.cached_input_tokens, record.output_tokens);
    assert_eq!((record.settlement.as_str(), seen), ("reserved", (100, 60, 1_000)), "{record:?}");
    assert_eq!(record.cost(), 40_000 + 6_000 + 10_000_000);
}

/// An answer of which nobody knows whether it came.
#[tokio::test]
async fn a_client_that_leaves_before_the_answer_is_charged_what_was_reserved() {
    let world = World::start().await;
    world.openai.play(vec![Step::Hold]);
    let mut ask = call(&world.capped, Chat).leaving(Leaves::After(Duration::from_secs(1)));
    ask.body["max_tokens"] = json!(70);
    let (_, record) = world.recorded(&world.capped, &ask).await;
    let seen = (record.settlement.as_str(), record.settlement_reason.as_deref(), record.output_tokens);
    assert_eq!(seen, ("reserved", Some("answer_unknown"), 70), "{record:?}");
    ask.key.clone_from(&world.free.key);
    let (_, record) = world.recorded(&world.free, &ask).await;
    let seen = (record.settlement.as_str(), record.settlement_reason.as_deref());
    assert_eq!(seen, ("estimated", Some("answer_unknown")), "{record:?}");
}
