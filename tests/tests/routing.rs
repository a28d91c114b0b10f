//! Routing groups: a request moves from one provider to the next, with nothing of one reaching another.

#[path = "routing/configuration.rs"]
mod configuration;

#[path = "routing/connect.rs"]
mod connect;

#[path = "routing/rest.rs"]
mod rest;

#[path = "routing/shares.rs"]
mod shares;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use latchkey_tests::stack::answer::Answer;
use latchkey_tests::stack::api::App;
use latchkey_tests::stack::ledger::Record;
use latchkey_tests::stack::{Stack, artifacts, wait};
use latchkey_tests::upstream::{Act, Received, Upstream};
use reqwest::Client;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const PATIENCE: Duration = Duration::from_secs(30);

/// How a target's answers begin to fail, after which the group moves on. Milliseconds.
const HEADERS_TIMEOUT: u64 = 1_500;
const FIRST_EVENT_TIMEOUT: u64 = 1_000;

/// A provider of the group, whose next answers a test chooses.
struct Target {
    upstream: Upstream,
    act: Arc<Mutex<Acts>>,
}

/// What it does with its requests, by their number since that was chosen.
struct Acts {
    count: usize,
    act: Box<dyn Fn(usize) -> Act + Send>,
}

/// A stack with three providers, `a`, `b` and `c`, each with a credential, a host, a path and a model of its own.
struct Place {
    stack: Stack,
    app: App,
    targets: [Target; 3],
    /// What is asked for where a test says nothing else.
    model: &'static str,
}

const NAMES: [&str; 3] = ["a", "b", "c"];

fn good() -> Act {
    Act::ok("", &answer())
}

fn answer() -> String {
    let message = json!({ "role": "assistant", "content": "hello" });
    json!({
        "id": "x", "object": "chat.completion", "model": "whatever",
        "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10 },
    })
    .to_string()
}

fn stream(parts: &[&str]) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    [head, &parts.concat()].concat().into_bytes()
}

const DELTA: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello\"}}]}\n\n";
const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3,\"total_tokens\":10}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn good_stream() -> Act {
    Act::Answer(stream(&[DELTA, USAGE, DONE]))
}

impl Target {
    async fn start() -> Self {
        let act = Arc::new(Mutex::new(Acts { count: 0, act: Box::new(|_| good()) }));
        let acts = Arc::clone(&act);
        let next = move |_: &str| {
            let mut acts = acts.lock().unwrap();
            acts.count += 1;
            (acts.act)(acts.count - 1)
        };
        Self { upstream: Upstream::start(next).await.unwrap(), act }
    }

    fn will(&self, act: Act) {
        self.will_each(move |_| act.clone());
    }

    fn will_each(&self, act: impl Fn(usize) -> Act + Send + 'static) {
        *self.act.lock().unwrap() = Acts { count: 0, act: Box::new(act) };
    }
}

fn group(more: Value) -> Value {
    let mut group = json!({
        "name": "fast",
        "targets": [
            { "provider": "a", "model": "model-a", "weight": 100 },
            { "provider": "b", "model": "model-b", "weight": 0 },
            { "provider": "c", "model": "model-c", "weight": 0 },
        ],
        "failover": {
            "attempts": 3,
            "headers_timeout_ms": HEADERS_TIMEOUT,
            "first_event_timeout_ms": FIRST_EVENT_TIMEOUT,
        },
    });
    for (name, value) in more.as_object().unwrap() {
        group[name] = value.clone();
    }
    group
}

impl Place {
    async fn start(settings: Value) -> Self {
        Self::of(Stack::start().await.unwrap(), group(json!({})), settings).await
    }

    async fn of(stack: Stack, group: Value, settings: Value) -> Self {
        let place = Self::of_any(stack, group, settings).await;
        place.reached().await;
        place
    }

    /// The same, whose targets may not be reached yet.
    async fn of_any(stack: Stack, group: Value, settings: Value) -> Self {
        let targets = [Target::start().await, Target::start().await, Target::start().await];
        for (name, target) in NAMES.iter().zip(&targets) {
            let kind = if *name == "b" { "azure_openai" } else { "openai_compatible" };
            let url = target.upstream.url(&format!("/{name}/v1"));
            stack.api().create_provider(name, kind, &url, &format!("credential-of-{name}")).await.unwrap();
            let model = json!({
                "name": format!("model-{name}"), "provider": name, "upstream_name": format!("its-{name}"),
                "max_output_tokens": 100, "context_window": 1_000_000,
                "price": { "input": "1", "cached_input": "1", "output": "10" },
            });
            stack.api().post("/api/v1/models", model).await.unwrap().ok().unwrap();
        }
        stack.api().post("/api/v1/routing-groups", group).await.unwrap().ok().unwrap();
        let mut settings = settings;
        settings["name"] = json!("grouped");
        if settings["routing_groups"].is_null() {
            settings["routing_groups"] = json!(["fast"]);
        }
        let app = stack.api().create_app(settings).await.unwrap();
        stack.until_synced().await.unwrap();
        Self { stack, app, targets, model: "fast" }
    }

    /// Another group of the three providers, with models of its own.
    async fn add_group(&self, number: usize) {
        let api = self.stack.api();
        for name in NAMES {
            let model = json!({
                "name": format!("model-{name}-{number}"), "provider": name, "upstream_name": format!("its-{name}"),
                "max_output_tokens": 100, "context_window": 1_000_000,
                "price": { "input": "1", "cached_input": "1", "output": "10" },
            });
            api.post("/api/v1/models", model).await.unwrap().ok().unwrap();
        }
        let mut group = group(json!({ "name": format!("fast-{number}") }));
        for (name, target) in NAMES.iter().zip(group["targets"].as_array_mut().unwrap()) {
            target["model"] = json!(format!("model-{name}-{number}"));
        }
        api.post("/api/v1/routing-groups", group).await.unwrap().ok().unwrap();
    }

    /// Waits until Envoy has every target's cluster.
    async fn reached(&self) {
        for at in 0..3 {
            for (other, target) in self.targets.iter().enumerate() {
                target.will(if other == at {
                    good()
                } else {
                    Act::status("429 Later", "retry-after-ms: 1\r\n", "{}")
                });
            }
            wait::until("a target to be reached", PATIENCE, async || {
                let answer = self.ask(&json!({})).await;
                Ok((answer.status == 200).then_some(()))
            })
            .await
            .unwrap();
        }
        self.calm().await;
    }

    /// Every target is well again, and none rests.
    async fn calm(&self) {
        self.targets.iter().for_each(|target| target.will(good()));
        wait::until("the first target to be back", PATIENCE, async || {
            let answer = self.ask(&json!({})).await;
            let first = !self.targets[0].upstream.take().is_empty();
            Ok((answer.status == 200 && first).then_some(()))
        })
        .await
        .unwrap();
        self.targets.iter().for_each(|target| drop(target.upstream.take()));
    }

    /// A chat with the group, and more members.
    async fn ask(&self, more: &Value) -> Answer {
        self.ask_with(more, &[]).await
    }

    async fn ask_with(&self, more: &Value, headers: &[(&str, &str)]) -> Answer {
        let request = Client::new().post(self.stack.gateway().url() + CHAT).bearer_auth(&self.app.key);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let mut body = body(more);
        if more["model"].is_null() {
            body["model"] = json!(self.model);
        }
        Answer::read(request.json(&body).send().await.unwrap()).await.unwrap()
    }

    fn taken(&self) -> [Vec<Received>; 3] {
        [0, 1, 2].map(|at| self.targets[at].upstream.take_requests())
    }
}

/// The product's configuration of Envoy.
fn template() -> String {
    std::fs::read_to_string(artifacts::root().join("envoy/envoy.yaml")).unwrap()
}

fn body(more: &Value) -> Value {
    let mut body =
        json!({ "model": "fast", "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 20 });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// The headers of a request, but those that say when and through which connection it came.
fn headers(request: &Received) -> BTreeMap<String, String> {
    let lines = request.head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let volatile = ["x-request-id", "content-length"];
    lines
        .filter(|(name, _)| !volatile.contains(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Whether a target got exactly its own request: its path, host, credential and model, and nothing else.
fn is_its_own(place: &Place, at: usize, request: &Received, sent: &Value) {
    let name = NAMES[at];
    let target = &place.targets[at];
    let line = request.head.lines().next().unwrap();
    assert_eq!(line, format!("post /{name}/v1/chat/completions http/1.1"));
    let mut expected = BTreeMap::from(
        [
            ("host", target.upstream.address().to_string()),
            ("accept", "*/*".to_owned()),
            ("content-type", "application/json".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    let (header, value) = match name {
        "b" => ("api-key", "credential-of-b".to_owned()),
        _ => ("authorization", format!("bearer credential-of-{name}")),
    };
    expected.insert(header.to_owned(), value);
    assert_eq!(headers(request), expected, "at {name}");
    let mut wanted = sent.clone();
    wanted["model"] = json!(format!("its-{name}"));
    if sent["stream"] == json!(true) {
        wanted["stream_options"] = json!({ "include_usage": true });
    }
    let got: Value = serde_json::from_slice(&request.body).unwrap();
    let got_limit = got.get("max_tokens").or(got.get("max_completion_tokens")).cloned();
    assert_eq!(got_limit, Some(json!(20)));
    assert_eq!((&got["model"], &got["messages"]), (&wanted["model"], &wanted["messages"]));
    assert_eq!(got["stream_options"], wanted["stream_options"]);
    let length = request.head.lines().find_map(|line| line.strip_prefix("content-length: "));
    assert_eq!(length, Some(request.body.len().to_string().as_str()));
}

/// What it is, what the target does, whether it is a stream, and how that is recorded.
type Failure = (&'static str, Act, bool, &'static str);

/// Every way in which an answer fails before its first byte.
fn failures() -> Vec<Failure> {
    let event = "event: error\ndata: {\"type\":\"error\",\"error\":{\"message\":\"busy\"}}\n\n";
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n".as_bytes().to_vec();
    let later = "retry-after-ms: 1\r\n";
    vec![
        ("429", Act::status("429 Too Many Requests", later, "{\"error\":{}}"), false, "status"),
        ("500", Act::status("500 Oh", later, "{}"), false, "status"),
        ("503 stream", Act::status("503 Oh", later, "{}"), true, "status"),
        ("hang up", Act::HangUp, false, "connection"),
        ("hang up, stream", Act::HangUp, true, "connection"),
        ("silence", Act::Silence, false, "timeout"),
        ("silence, stream", Act::Silence, true, "timeout"),
        ("an error event", Act::Answer(stream(&[event])), true, "error_event"),
        (
            "an error object",
            Act::Answer(stream(&[": x\n\n", "data: {\"error\":{}}\n\n"])),
            true,
            "error_event",
        ),
        (
            "silence after 200",
            Act::Paced(Duration::from_secs(20), vec![head, b"data: {}\n\n".to_vec()]),
            true,
            "timeout",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_failure_moves_on_with_nothing_of_one_provider_at_another() {
    let settings =
        json!({ "limits": { "budget": { "usd": "1000", "per": "day" } }, "routing_groups": "all" });
    let place = Place::start(settings).await;
    let cases: Vec<_> =
        failures().into_iter().flat_map(|failure| [(failure.clone(), false), (failure, true)]).collect();
    // Each has targets of its own, as those of others rest.
    for case in 0..cases.len() {
        place.add_group(case).await;
    }
    place.stack.until_synced().await.unwrap();
    for (case, ((what, failure, is_stream, end), large)) in cases.into_iter().enumerate() {
        // Beyond every buffer of a connection.
        let content = if large { "word ".repeat(600_000) } else { "hi".to_owned() };
        let messages = json!([{ "role": "user", "content": content }]);
        let more = match is_stream {
            true => json!({ "model": format!("fast-{case}"), "messages": messages, "stream": true }),
            false => json!({ "model": format!("fast-{case}"), "messages": messages }),
        };
        place.targets[0].will(failure.clone());
        place.targets[1].will(failure);
        place.targets[2].will(if is_stream { good_stream() } else { good() });
        let answer = place.ask(&more).await;
        let what = format!("{what}, large: {large}");
        assert_eq!(answer.status, 200, "{what}: {}", answer.text);
        assert_eq!(header(&answer, "x-latchkey-attempts"), Some("3"), "{what}");
        assert!(answer.text.contains("hello"), "{what}: {}", answer.text);
        let sent = body(&more);
        for (at, requests) in place.taken().into_iter().enumerate() {
            assert_eq!(requests.len(), 1, "{what} at {}", NAMES[at]);
            is_its_own(&place, at, &requests[0], &sent);
        }
        let id = header(&answer, "x-request-id").unwrap().to_owned();
        let record = record(&place, &id).await;
        assert_eq!(record.provider.as_deref(), Some("c"), "{what}");
        assert_eq!(record.model, Some(format!("fast-{case}")));
        assert_eq!(record.served_model.as_deref(), Some("its-c"));
        let text = |it: &Value, name: &str| it[name].as_str().unwrap().to_owned();
        let told: Vec<_> = record.attempts.iter().map(|it| (text(it, "provider"), text(it, "end"))).collect();
        let expected = [("a", end), ("b", end), ("c", "served")];
        assert_eq!(told, expected.map(|(name, end)| (name.to_owned(), end.to_owned())), "{what}");
    }
}

/// The record of this request, once it is there.
async fn record(place: &Place, id: &str) -> Record {
    wait::until("the record", PATIENCE, async || {
        let records = place.stack.api().records(&place.app, "").await?;
        Ok(records.into_iter().find(|record| record.request_id == id))
    })
    .await
    .unwrap()
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name).and_then(|value| value.to_str().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_cannot_be_connected_to_costs_nothing() {
    let place = Place::start(json!({ "limits": { "budget": { "usd": "1000", "per": "day" } } })).await;
    // Nobody listens there any more.
    let free = latchkey_tests::stack::port::Port::free().unwrap();
    let url = format!("http://{}/a/v1", free.address());
    let api = place.stack.api();
    let moved = json!({ "base_url": url, "credential": "credential-of-a" });
    api.edit("/api/v1/providers/a", moved).await.unwrap();
    place.stack.until_synced().await.unwrap();
    let record = wait::until("a record with a failed connection", PATIENCE, async || {
        let answer = place.ask(&json!({})).await;
        anyhow::ensure!(answer.status == 200, "{}", answer.text);
        let id = header(&answer, "x-request-id").unwrap().to_owned();
        let record = record(&place, &id).await;
        Ok((record.attempts.len() == 2).then_some(record))
    })
    .await
    .unwrap();
    assert_eq!(record.attempts[0]["end"], "connection");
    assert_eq!(record.settlement, "reported", "nothing of it was sent to the first");
    // 7 tokens at $1 and 3 at $10, for a million.
    assert_eq!(record.cost, "0.000037");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_fail_the_client_gets_the_last_error_and_nothing_is_charged() {
    let place = Place::start(json!({ "limits": { "budget": { "usd": "1000", "per": "day" } } })).await;
    place.targets[0].will(Act::status("500 Oh", "", "{}"));
    place.targets[1].will(Act::status("503 Oh", "", "{}"));
    let error = json!({ "error": { "message": "slow down", "type": "rate_limit_error", "code": "x" } });
    place.targets[2].will(Act::status("429 Later", "retry-after: 7\r\n", &error.to_string()));
    let answer = place.ask(&json!({})).await;
    assert_eq!((answer.status, &answer.body), (429, &error));
    assert_eq!(header(&answer, "retry-after"), Some("7"));
    assert_eq!(header(&answer, "x-latchkey-attempts"), Some("3"));
    assert_eq!(place.taken().map(|requests| requests.len()), [1, 1, 1]);
    let id = header(&answer, "x-request-id").unwrap().to_owned();
    let record = record(&place, &id).await;
    let told: Vec<_> = record.attempts.iter().map(|it| it["status"].as_u64().unwrap()).collect();
    assert_eq!(told, [500, 503, 429]);
    assert_eq!((record.cost.as_str(), record.settlement.as_str()), ("0", "none"));
    // All rest now, and all are better than none.
    place.targets[2].will(good());
    assert_eq!(place.ask(&json!({})).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_first_byte_nothing_is_repeated() {
    let place = Place::start(json!({})).await;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("{:x}\r\n{DELTA}\r\n", DELTA.len());
    place.targets[0].will(Act::Answer([head, &chunk].concat().into_bytes()));
    let request = Client::new().post(place.stack.gateway().url() + CHAT).bearer_auth(&place.app.key);
    let mut response = request.json(&body(&json!({ "stream": true }))).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let mut got = Vec::new();
    let end = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => got.extend(chunk),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    assert_eq!(String::from_utf8(got).unwrap(), DELTA);
    assert!(end.is_err(), "the cut is not hidden");
    assert_eq!(place.taken().map(|requests| requests.len()), [1, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_at_fault_itself_is_not_repeated() {
    let place = Place::start(json!({})).await;
    for status in ["400 Bad", "404 No", "422 No", "401 No"] {
        place.targets[0].will(Act::status(status, "", "{\"error\":{}}"));
        let answer = place.ask(&json!({})).await;
        assert_ne!(answer.status, 200, "{status}");
        assert_eq!(place.taken().map(|requests| requests.len()), [1, 0, 0], "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_asks_to_be_left_alone_is_left_alone_and_comes_back() {
    let place = Place::start(json!({})).await;
    place.targets[0].will(Act::status("429 Later", "retry-after: 2\r\n", "{}"));
    let asked = Instant::now();
    assert_eq!(place.ask(&json!({})).await.status, 200);
    let failed = Instant::now();
    place.targets[0].will(good());
    drop(place.taken());
    let mut passed_by = 0;
    let back = loop {
        let answer = place.ask(&json!({})).await;
        assert_eq!(answer.status, 200);
        let [a, b, _] = place.taken();
        if !a.is_empty() {
            break Instant::now();
        }
        assert_eq!(b.len(), 1);
        passed_by += 1;
        assert!(failed.elapsed() < PATIENCE, "it never comes back");
    };
    assert!(passed_by > 0);
    assert!(back - asked >= Duration::from_secs(2), "{:?}", back - asked);
    let gateways = wait::until("the gateway to have told it", PATIENCE, async || {
        place.targets[0].will(Act::status("503 Oh", "retry-after: 60\r\n", "{}"));
        let answer = place.ask(&json!({})).await;
        anyhow::ensure!(answer.status == 200, "{}", answer.text);
        let list = place.stack.api().get("/api/v1/gateways").await?.ok()?;
        Ok(Some(list.to_string()).filter(|text| text.contains("\"model-a\"")))
    })
    .await
    .unwrap();
    assert!(gateways.contains("503"), "{gateways}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_neither_choose_nor_command() {
    let place = Place::start(json!({})).await;
    place.targets[0].will(Act::status("500 Oh", "", "{}"));
    let commands = [
        ("x-latchkey-target", "c"),
        ("x-latchkey-group", "1"),
        ("x-latchkey-group_cluster", "latchkey/group/02"),
        ("x-latchkey-cluster", "latchkey/group/02"),
        ("x-envoy-max-retries", "0"),
        ("x-envoy-retry-on", "retriable-4xx"),
        ("x-envoy-upstream-rq-per-try-timeout-ms", "1"),
    ];
    let answer = place.ask_with(&json!({}), &commands).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let [a, b, c] = place.taken();
    assert_eq!((a.len(), b.len(), c.len()), (1, 1, 0));
    for request in a.iter().chain(&b) {
        assert!(!request.head.contains("latchkey") && !request.head.contains("envoy"), "{}", request.head);
    }
    // Only where the app allows it.
    let patch = json!({ "target_header": true });
    let api = place.stack.api();
    api.edit(&place.app.path(), patch).await.unwrap();
    place.stack.until_synced().await.unwrap();
    let answer = place.ask_with(&json!({}), &[("x-latchkey-target", "c/model-c")]).await;
    assert_eq!(answer.status, 200);
    let [a, b, c] = place.taken();
    assert_eq!((a.len(), b.len(), c.len()), (0, 0, 1));
    assert!(!c[0].head.contains("x-latchkey"), "{}", c[0].head);
}

#[tokio::test(flavor = "multi_thread")]
async fn timeouts_end_with_the_first_event_however_long_the_answer_lasts() {
    let place = Place::start(json!({})).await;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let parts = [head, DELTA, DELTA, DELTA, DELTA, USAGE, DONE].map(|part| part.as_bytes().to_vec());
    place.targets[0].will(Act::Paced(Duration::from_millis(FIRST_EVENT_TIMEOUT * 2 / 3), parts.to_vec()));
    let begun = Instant::now();
    let answer = place.ask(&json!({ "stream": true })).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.text.matches("hello").count(), 4, "{}", answer.text);
    assert!(begun.elapsed() > Duration::from_millis(FIRST_EVENT_TIMEOUT * 2));
    assert_eq!(place.taken().map(|requests| requests.len()), [1, 0, 0]);
}

/// What a request costs that is served: 7 tokens at $1 a million, 3 at $10.
const COST: u64 = 37_000;

#[tokio::test(flavor = "multi_thread")]
async fn three_gateways_with_failing_providers_overspend_nothing() {
    const BUDGET: u64 = 20_000_000;
    let stack = Stack::builder().gateways(3).concurrency(2).start().await.unwrap();
    let group = group(json!({ "targets": [
        { "provider": "a", "model": "model-a", "weight": 50 },
        { "provider": "b", "model": "model-b", "weight": 30 },
        { "provider": "c", "model": "model-c", "weight": 20 },
    ] }));
    let place =
        Place::of_any(stack, group, json!({ "limits": { "budget": { "usd": "0.02", "per": "month" } } }))
            .await;
    // Each fails in its own way, now and then.
    place.targets[0].will_each(|count| match count % 3 {
        0 => Act::status("500 Oh", "retry-after-ms: 1\r\n", "{}"),
        1 => Act::HangUp,
        _ => good(),
    });
    place.targets[1].will_each(|count| match count % 2 {
        0 => Act::status("429 Oh", "retry-after-ms: 1\r\n", "{}"),
        _ => good(),
    });
    place.targets[2].will_each(|_| good());
    let place = Arc::new(place);
    let clients = (0..12).map(|client| {
        let place = Arc::clone(&place);
        tokio::spawn(async move {
            let (mut served, mut refused, http) = (0_u64, 0, Client::new());
            while refused < 2 {
                let url = place.stack.gateways()[client % 3].url() + CHAT;
                let sent =
                    http.post(url).bearer_auth(&place.app.key).json(&body(&json!({}))).send().await.unwrap();
                let answer = Answer::read(sent).await.unwrap();
                match answer.status {
                    200 => served += 1,
                    _ => refused += 1,
                }
            }
            served
        })
    });
    let mut served = 0;
    for client in clients.collect::<Vec<_>>() {
        served += client.await.unwrap();
    }
    let sent: u64 = place.taken().iter().map(|requests| requests.len() as u64).sum();
    assert!(served > 50 && sent > served, "{served} of {sent}");
    let records = wait::until("all records", PATIENCE, async || {
        let records = place.stack.api().records(&place.app, "status=200").await?;
        Ok((records.len() as u64 == served).then_some(records))
    })
    .await;
    let used = place.stack.api().limit_usage(&place.app.path(), "budget").await.unwrap().used;
    assert!(served * COST <= used && used <= BUDGET, "{served} served, {used} used");
    let records = records.unwrap();
    let lost = |record: &Record| {
        let ends = record.attempts.iter().map(|it| it["end"].as_str().unwrap_or_default());
        ends.filter(|end| *end == "connection").count()
    };
    for record in &records {
        let cost = record.cost();
        match lost(record) {
            0 => assert_eq!((cost, record.settlement.as_str()), (COST, "reported")),
            _ => assert!(cost > COST && record.settlement == "reserved", "{record:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_changes_under_load_fails_nobody() {
    let place = Arc::new(Place::start(json!({})).await);
    let running = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let clients = (0..8).map(|_| {
        let (place, running) = (Arc::clone(&place), Arc::clone(&running));
        tokio::spawn(async move {
            let mut served = 0;
            while running.load(std::sync::atomic::Ordering::Relaxed) {
                let answer = place.ask(&json!({})).await;
                assert_eq!(answer.status, 200, "{}", answer.text);
                served += 1;
            }
            served
        })
    });
    let clients: Vec<_> = clients.collect();
    let api = place.stack.api();
    let list = api.get("/api/v1/routing-groups").await.unwrap().ok().unwrap();
    let path = format!("/api/v1/routing-groups/{}", list["items"][0]["id"].as_str().unwrap());
    for turn in 0..20 {
        let first = NAMES[turn % 3];
        let targets: Vec<_> = NAMES
            .iter()
            .map(|name| {
                let weight = if *name == first { 100 } else { 0 };
                json!({ "provider": name, "model": format!("model-{name}"), "weight": weight })
            })
            .collect();
        let patch = json!({ "targets": targets });
        api.edit(&path, patch).await.unwrap();
        if turn % 5 == 0 {
            let patch = json!({ "credential": "credential-of-b" });
            api.edit("/api/v1/providers/b", patch).await.unwrap();
        }
    }
    running.store(false, std::sync::atomic::Ordering::Relaxed);
    let mut served = 0;
    for client in clients {
        served += client.await.unwrap();
    }
    let taken = place.taken();
    let seen = taken.iter().map(Vec::len).sum::<usize>();
    assert_eq!(seen, served, "each was sent once");
    for (at, requests) in taken.iter().enumerate() {
        for request in requests {
            is_its_own(&place, at, request, &body(&json!({})));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_trailers_is_edited_for_each_target() {
    let place = Place::start(json!({})).await;
    place.targets[0].will(Act::status("500 Oh", "", "{}"));
    let sent = body(&json!({}));
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", HeaderValue::from_static("1"));
    let whole = Full::new(Bytes::from(sent.to_string()));
    let with_trailers = whole.with_trailers(std::future::ready(Some(Ok(trailers))));
    let client = Client::builder().http2_prior_knowledge().build().unwrap();
    let request = client.post(place.stack.gateway().url() + CHAT).bearer_auth(&place.app.key);
    let request = request.header("content-type", "application/json").body(reqwest::Body::wrap(with_trailers));
    let answer = Answer::read(request.send().await.unwrap()).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
    let [a, b, _] = place.taken();
    assert_eq!((a.len(), b.len()), (1, 1));
    for (request, model) in [(&a[0], "its-a"), (&b[0], "its-b")] {
        let text = String::from_utf8_lossy(&request.body);
        assert!(text.contains(model) && !text.contains("\"fast\""), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_whose_host_has_no_address_fails_no_request() {
    let place = Place::start(json!({ "limits": { "budget": { "usd": "1000", "per": "day" } } })).await;
    let moved = json!({ "base_url": "https://nowhere.invalid/a/v1", "credential": "credential-of-a" });
    place.stack.api().edit("/api/v1/providers/a", moved).await.unwrap();
    place.stack.until_synced().await.unwrap();
    // Envoy goes on with the addresses that it has until it knows that there are none.
    let id = wait::until("the target to be missed", PATIENCE, async || {
        let answer = place.ask(&json!({})).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let is_second = header(&answer, "x-latchkey-attempts") == Some("2");
        Ok(is_second.then(|| header(&answer, "x-request-id").unwrap().to_owned()))
    })
    .await
    .unwrap();
    let record = record(&place, &id).await;
    assert_eq!(
        (&record.attempts[0]["provider"], &record.attempts[0]["end"]),
        (&json!("a"), &json!("connection"))
    );
    assert_eq!((record.cost(), record.settlement.as_str()), (COST, "reported"), "nothing was sent to it");
    for _ in 0..10 {
        assert_eq!(place.ask(&json!({})).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_may_be_silent_for_as_long_as_the_targets_allow() {
    let mut place = Place::start(json!({ "routing_groups": "all" })).await;
    let patient = json!({ "attempts": 1, "headers_timeout_ms": null, "first_event_timeout_ms": null });
    let slow = json!({ "name": "slow", "failover": patient, "targets": [
        { "provider": "a", "model": "model-a", "weight": 100 }, { "provider": "b", "model": "model-b", "weight": 0 },
    ] });
    let api = place.stack.api().clone();
    api.post("/api/v1/routing-groups", slow).await.unwrap().ok().unwrap();
    let config = place.stack.dir().join("impatient.yaml");
    std::fs::write(&config, template().replace("idle_timeout: 600s", "idle_timeout: 2s")).unwrap();
    let options = place.stack.options("impatient").config(&config);
    place.stack.add_gateway(options).await.unwrap();
    place.stack.until_synced().await.unwrap();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let parts = ["", head, "content-length: 2\r\n\r\n{}"].map(|part| part.as_bytes().to_vec());
    // Three seconds until the head is whole.
    place.targets[0].will(Act::Paced(Duration::from_millis(1_500), parts.to_vec()));
    let ask = async || {
        let body = body(&json!({ "model": "slow" }));
        place.stack.gateways()[1].chat(&place.app.key, body).await.unwrap()
    };
    assert_eq!(ask().await.code(), "provider_timeout");
    drop(place.taken());
    let edit = json!({ "idle_timeout_seconds": 1800 });
    api.edit("/api/v1/providers/a", edit).await.unwrap();
    place.stack.until_synced().await.unwrap();
    wait::until("the target to be asked again", PATIENCE, async || {
        let answer = ask().await;
        Ok((answer.status == 200 && !place.taken()[0].is_empty()).then_some(()))
    })
    .await
    .unwrap();
}
