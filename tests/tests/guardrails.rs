//! Guardrails through a real Envoy: the official SDKs, streams cut anywhere, tools, and what is written down.

use std::fs;

use latchkey_tests::mcp::McpServer;
use latchkey_tests::raw::{self, RawProvider, Step};
use latchkey_tests::stack::answer::Answer;
use latchkey_tests::stack::api::App;
use latchkey_tests::stack::port::Port;
use latchkey_tests::stack::{PROVIDER_CREDENTIAL, Stack};
use serde_json::{Value, json};

#[expect(dead_code, reason = "its other users need all of it")]
#[path = "../../filter/core/tests/content/agent.rs"]
mod agent;

use agent::{Conversation, Plants, Shape, conversation};

const EMAIL: &str = "kim.lee@example.com";
const CARD: &str = "4111 1111 1111 1111";
const SSN: &str = "536-90-4399";
const CHAT: &str = "/v1/chat/completions";
const CLAUDE: &str = "claude-m";

/// The calls of the script `guardrails.py`.
const CALLS: [&str; 7] =
    ["chat", "chat_stream", "completion", "response", "response_stream", "message", "message_stream"];

fn rule(category: &str, action: &str, direction: &str) -> Value {
    json!({ "category": category, "action": action, "direction": direction })
}

async fn guarded(stack: &Stack, name: &str, rules: &[Value]) -> App {
    let settings = json!({ "name": name, "mcp_scope": "all", "guardrails": { "rules": rules } });
    let app = stack.api().create_app(settings).await.unwrap();
    stack.until_synced().await.unwrap();
    app
}

/// With a model that speaks Anthropic's API.
async fn start() -> Stack {
    let stack = Stack::start().await.unwrap();
    let api = stack.api();
    api.create_provider("claude", "anthropic", &stack.provider().url(), PROVIDER_CREDENTIAL).await.unwrap();
    api.create_model(CLAUDE, "claude").await.unwrap();
    stack
}

/// What each call of the script answers.
async fn sdks(stack: &Stack, app: &App, prompt: &str, sample: &str) -> Vec<(&'static str, Value)> {
    let variables = [("PROMPT", prompt), ("SAMPLE", sample), ("CLAUDE_MODEL", CLAUDE)];
    let seen = stack.gateway().sdk("guardrails.py", &app.key, &variables).await.unwrap();
    CALLS.into_iter().map(|call| (call, seen[call].clone())).collect()
}

/// Everything that the provider has got.
fn upstream(stack: &Stack) -> String {
    stack.provider().requests().iter().map(|request| request.body.to_string()).collect()
}

#[tokio::test]
async fn every_sdk_gets_back_what_was_anonymized() {
    let stack = start().await;
    let app = guarded(&stack, "anonymizing", &[rule("pii", "anonymize", "request")]).await;
    let prompt = format!("write to {EMAIL} about {SSN} and {EMAIL}");
    for sample in ["", "tiny-chunks", "huge-chunks"] {
        stack.provider().forget();
        for (call, outcome) in sdks(&stack, &app, &prompt, sample).await {
            assert_eq!(outcome["text"], format!("You said: {prompt}"), "{call} {sample}: {outcome}");
        }
        let upstream = upstream(&stack);
        assert!(!upstream.contains(EMAIL) && !upstream.contains(SSN), "{upstream}");
        assert!(upstream.contains("[EMAIL_") && upstream.contains("[SSN_"), "{upstream}");
        assert_eq!(stack.provider().requests().len(), CALLS.len());
    }
}

#[tokio::test]
async fn every_sdk_works_where_a_value_is_redacted() {
    let stack = start().await;
    let request = guarded(&stack, "redacting", &[rule("pii", "redact", "request")]).await;
    let prompt = format!("write to {EMAIL} today");
    for (call, outcome) in sdks(&stack, &request, &prompt, "").await {
        assert_eq!(outcome["text"], "You said: write to [EMAIL] today", "{call}: {outcome}");
    }
    assert!(!upstream(&stack).contains(EMAIL));

    stack.provider().forget();
    let response = guarded(&stack, "redacting-answers", &[rule("pii", "redact", "response")]).await;
    for sample in ["", "tiny-chunks", "huge-chunks"] {
        for (call, outcome) in sdks(&stack, &response, &prompt, sample).await {
            assert_eq!(outcome["text"], "You said: write to [EMAIL] today", "{call} {sample}: {outcome}");
        }
    }
    assert!(upstream(&stack).contains(EMAIL), "the rule is about answers");
}

#[tokio::test]
async fn every_sdk_hears_of_a_block_and_nothing_of_the_value() {
    let stack = start().await;
    let app = guarded(&stack, "blocking", &[rule("pci", "block", "request")]).await;
    for (call, outcome) in sdks(&stack, &app, &format!("pay with {CARD}"), "").await {
        assert_eq!(outcome["error"], "BadRequestError", "{call}: {outcome}");
        assert_eq!((&outcome["status"], &outcome["code"]), (&json!(400), &json!("guardrail_blocked")));
        assert_eq!(outcome["guardrail"]["detector"], "credit_card", "{call}: {outcome}");
        assert!(!outcome.to_string().contains("4111"), "{call}: {outcome}");
    }
    assert_eq!(stack.provider().requests().len(), 0);

    let app = guarded(&stack, "blocking-answers", &[rule("pci", "block", "response")]).await;
    for (call, outcome) in sdks(&stack, &app, &format!("pay with {CARD} now"), "").await {
        let name = outcome["error"].as_str().unwrap_or_default();
        assert!(["BadRequestError", "APIError", "APIStatusError"].contains(&name), "{call}: {outcome}");
        assert_eq!(outcome["code"], "guardrail_blocked", "{call}: {outcome}");
        assert!(!outcome.to_string().contains("1111"), "{call}: {outcome}");
    }
}

#[tokio::test]
async fn what_is_monitored_passes_as_it_is() {
    let stack = start().await;
    let app = guarded(&stack, "monitoring", &[rule("pii", "monitor", "both")]).await;
    let prompt = format!("write to {EMAIL} today");
    for (call, outcome) in sdks(&stack, &app, &prompt, "").await {
        assert_eq!(outcome["text"], format!("You said: {prompt}"), "{call}: {outcome}");
    }
    assert!(upstream(&stack).contains(EMAIL));
}

/// An app whose requests a raw provider answers.
struct RawSetup {
    stack: Stack,
    raw: RawProvider,
}

impl RawSetup {
    async fn start() -> Self {
        let (stack, raw) = (Stack::start().await.unwrap(), RawProvider::start().await.unwrap());
        let api = stack.api();
        api.create_provider("raw", "openai_compatible", &raw.url(), PROVIDER_CREDENTIAL).await.unwrap();
        api.create_provider("raw-claude", "anthropic", &raw.origin(), PROVIDER_CREDENTIAL).await.unwrap();
        api.create_model("m", "raw").await.unwrap();
        api.create_model("c", "raw-claude").await.unwrap();
        Self { stack, raw }
    }

    async fn send(&self, app: &App, path: &str, body: &Value) -> Answer {
        self.stack.gateway().post(path, &app.key, body).await.unwrap()
    }

    /// Sends a message to the MCP server, in a session of its own: two requests.
    async fn send_to_server(&self, app: &App, body: &Value) -> Answer {
        let send = async |session: Option<&str>, body: &Value| {
            let url = "/mcp/everything";
            let request = self.stack.gateway().request(reqwest::Method::POST, url).bearer_auth(&app.key);
            let request = request.header("accept", "application/json, text/event-stream");
            let request =
                session.into_iter().fold(request, |it, session| it.header("mcp-session-id", session));
            Answer::read(request.json(body).send().await.unwrap()).await.unwrap()
        };
        let client = json!({ "name": "test", "version": "1" });
        let params = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client });
        let opened =
            send(None, &json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params })).await;
        assert_eq!(opened.status, 200, "{}", opened.text);
        let mut answer = send(Some(opened.header("mcp-session-id")), body).await;
        // The server gives each event an id of its own.
        answer.text =
            answer.text.lines().filter(|line| !line.starts_with("id: ")).collect::<Vec<_>>().join("\n");
        answer
    }
}

/// A chunk of a chat with this member of a delta.
fn delta(delta: &Value) -> String {
    let chunk =
        json!({ "id": "c", "object": "chat.completion.chunk", "choices": [{ "index": 0, "delta": delta }] });
    format!("data: {chunk}\n\n")
}

/// The texts of a stream's deltas.
fn contents(stream: &str) -> String {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let chunks = data.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    chunks.filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_stream_is_redacted_wherever_it_is_cut() {
    let setup = RawSetup::start().await;
    let app = guarded(&setup.stack, "redacting", &[rule("pii", "redact", "response")]).await;
    let text = format!("mail {EMAIL} now");
    let end = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    for cut in 1..text.len() {
        let (first, second) = text.split_at(cut);
        let events =
            [delta(&json!({ "content": first })), delta(&json!({ "content": second })), end.to_owned()];
        setup.raw.answer(raw::events(&events.concat()));
        let body = json!({ "model": "m", "stream": true, "messages": [{ "role": "user", "content": "x" }] });
        let answer = setup.send(&app, CHAT, &body).await;
        assert_eq!(contents(&answer.text), "mail [EMAIL] now", "cut at {cut}: {}", answer.text);
        assert!(answer.text.ends_with("data: [DONE]\n\n"), "{}", answer.text);
    }
}

#[tokio::test]
async fn what_is_decided_goes_on_before_the_rest_comes() {
    let setup = RawSetup::start().await;
    let app = guarded(&setup.stack, "redacting", &[rule("pii", "redact", "response")]).await;
    let head = raw::events(&delta(&json!({ "content": "All is well here. Write to kim" })));
    setup.raw.play(vec![Step::Send(head), Step::Hold]);
    let body = json!({ "model": "m", "stream": true, "messages": [{ "role": "user", "content": "x" }] });
    let request =
        setup.stack.gateway().request(reqwest::Method::POST, CHAT).bearer_auth(&app.key).json(&body);
    let mut answer = request.send().await.unwrap();
    let mut seen = String::new();
    while !contents(&seen).contains("Write to") {
        seen.push_str(str::from_utf8(&answer.chunk().await.unwrap().unwrap()).unwrap());
    }
    assert!(!seen.contains("kim"), "it may become an address: {seen}");
}

#[tokio::test]
async fn arguments_of_streamed_tool_calls_are_restored() {
    let setup = RawSetup::start().await;
    let app = guarded(&setup.stack, "anonymizing", &[rule("pii", "anonymize", "both")]).await;
    let body = |model: &str| {
        json!({
            "model": model, "stream": true, "max_tokens": 100,
            "messages": [{ "role": "user", "content": format!("write to {EMAIL}") }],
        })
    };
    // Once to learn the placeholder.
    setup.raw.answer(raw::events("data: [DONE]\n\n"));
    setup.send(&app, CHAT, &body("m")).await;
    let sent = setup.raw.requests()[0].json()["messages"][0]["content"].as_str().unwrap().to_owned();
    let placeholder = sent.strip_prefix("write to ").unwrap().to_owned();
    assert!(placeholder.starts_with("[EMAIL_"), "{sent}");

    let arguments = json!({ "to": placeholder, "note": "say \"hi\" é" }).to_string();
    for cut in (1..arguments.len()).filter(|cut| arguments.is_char_boundary(*cut)) {
        let (first, second) = arguments.split_at(cut);
        let call = |part: &str| json!({ "tool_calls": [{ "index": 0, "id": "t", "function": { "name": "mail", "arguments": part } }] });
        let end = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n";
        setup.raw.answer(raw::events(&[delta(&call(first)), delta(&call(second)), end.to_owned()].concat()));
        let answer = setup.send(&app, CHAT, &body("m")).await;
        let data = answer.text.lines().filter_map(|line| line.strip_prefix("data: "));
        let read: String = data
            .filter_map(|data| serde_json::from_str::<Value>(data).ok())
            .filter_map(|chunk| {
                let call = &chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"];
                call.as_str().map(str::to_owned)
            })
            .collect();
        let read: Value =
            serde_json::from_str(&read).unwrap_or_else(|error| panic!("{cut}: {error}: {read}"));
        assert_eq!(read, json!({ "to": EMAIL, "note": "say \"hi\" é" }), "cut at {cut}");

        let block = |kind: &str, member: &Value| {
            format!("event: {kind}\ndata: {}\n\n", json!({ "type": kind, "index": 1, "delta": member }))
        };
        let json_delta = |part: &str| json!({ "type": "input_json_delta", "partial_json": part });
        let events = [
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n".to_owned(),
            block("content_block_delta", &json_delta(first)),
            block("content_block_delta", &json_delta(second)),
            "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":1}\n\n".to_owned(),
            "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n".to_owned(),
        ];
        setup.raw.answer(raw::events(&events.concat()));
        let answer = setup.send(&app, "/anthropic_messages/v1/messages", &body("c")).await;
        let data = answer.text.lines().filter_map(|line| line.strip_prefix("data: "));
        let read: String = data
            .filter_map(|data| serde_json::from_str::<Value>(data).ok())
            .filter_map(|event| event["delta"]["partial_json"].as_str().map(str::to_owned))
            .collect();
        let read: Value =
            serde_json::from_str(&read).unwrap_or_else(|error| panic!("{cut}: {error}: {read}"));
        assert_eq!(read["to"], EMAIL, "cut at {cut}");
    }
}

#[tokio::test]
async fn tools_of_mcp_servers_get_placeholders_and_clients_get_values() {
    let server = McpServer::everything().await.unwrap();
    let stack = Stack::start().await.unwrap();
    let settings = json!({ "name": "everything", "url": server.url() });
    stack.api().post("/api/v1/mcp-servers", settings).await.unwrap().ok().unwrap();
    let call = async |app: &App, message: &str| {
        let url = format!("{}/mcp/everything", stack.gateway().url());
        let arguments = json!({ "message": message }).to_string();
        let variables = [("MCP_URL", url.as_str()), ("TOOL", "echo"), ("ARGUMENTS", &arguments)];
        stack.gateway().sdk("mcp_client.py", &app.key, &variables).await.unwrap()
    };
    let message = format!("write to {EMAIL}");
    let anonymizing = guarded(&stack, "anonymizing", &[rule("pii", "anonymize", "both")]).await;
    assert_eq!(call(&anonymizing, &message).await["content"], json!([format!("Echo: {message}")]));
    let redacting = guarded(&stack, "redacting", &[rule("pii", "redact", "request")]).await;
    assert_eq!(call(&redacting, &message).await["content"], json!(["Echo: write to [EMAIL]"]));
    let answers = guarded(&stack, "answers", &[rule("pii", "redact", "response")]).await;
    assert_eq!(call(&answers, &message).await["content"], json!(["Echo: write to [EMAIL]"]));
    for (name, direction) in [("blocking", "request"), ("blocking-answers", "response")] {
        let app = guarded(&stack, name, &[rule("pii", "block", direction)]).await;
        let outcome = call(&app, &message).await;
        assert_eq!(outcome["error"]["data"]["code"], "guardrail_blocked", "{direction}: {outcome}");
        assert!(!outcome.to_string().contains(EMAIL), "{direction}: {outcome}");
    }
}

#[tokio::test]
async fn findings_are_written_once_and_no_value_anywhere() {
    let stack = Stack::start().await.unwrap();
    let rules =
        [rule("pii", "anonymize", "both"), rule("pci", "block", "both"), rule("secrets", "redact", "both")];
    let app = guarded(&stack, "guarded", &rules).await;
    let secret = "AKIAQYLPMN5HHHFPZAM2";
    let ask = async |text: String| {
        let body = json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": text }] });
        stack.gateway().chat(&app.key, body).await.unwrap()
    };
    assert_eq!(ask(format!("mail {EMAIL} and use {secret}")).await.status, 200);
    let blocked = ask(format!("pay with {CARD}")).await;
    assert_eq!((blocked.status, blocked.code()), (400, "guardrail_blocked"));
    assert_eq!(blocked.header("x-latchkey-guardrails"), "redacted=0; anonymized=0; monitored=0; unread=0");
    assert_eq!(
        ask("hello".to_owned()).await.header("x-latchkey-guardrails"),
        "redacted=0; anonymized=0; monitored=0; unread=0"
    );
    stack.api().until_recorded(&app, 3).await.unwrap();

    let findings = stack.api().get(&format!("/api/v1/findings?app_id={}", app.id)).await.unwrap();
    let shown = findings.text.clone();
    let findings = findings.ok().unwrap();
    let mut found: Vec<_> = findings["items"].as_array().unwrap().iter().collect();
    found.sort_by_key(|finding| finding["detector"].as_str().unwrap().to_owned());
    let told: Vec<_> = found
        .iter()
        .map(|finding| {
            ["category", "detector", "action", "direction", "excerpt"]
                .map(|member| finding[member].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        told,
        [
            ["secrets", "aws_access_key", "redacted", "request", told[0][4]],
            ["pci", "credit_card", "blocked", "request", "4111 •••• •••• 1111"],
            ["pii", "email", "anonymized", "request", "k••••@example.com"],
        ],
        "{shown}"
    );
    let metrics = stack.api().get("/metrics").await.unwrap().text;
    let audit = stack.api().get("/api/v1/logs").await.unwrap().text;
    for planted in [EMAIL, secret, "4111 1111", "4111111111111111"] {
        for (name, text) in [("findings", &shown), ("metrics", &metrics), ("logs", &audit)] {
            assert!(!text.contains(planted), "{planted} is in {name}");
        }
        for file in files(stack.dir()) {
            let bytes = fs::read(&file).unwrap_or_default();
            let is_there = bytes.windows(planted.len()).any(|window| window == planted.as_bytes());
            assert!(!is_there, "{planted} is in {}", file.display());
        }
    }
}

#[tokio::test]
async fn listed_values_are_found_and_are_in_no_file() {
    let stack = Stack::start().await.unwrap();
    let app = guarded(&stack, "listed", &[]).await;
    let planted = ["Zephyrine Quill", "CN-7781-Q"];
    let path = format!("/api/v1/apps/{}", app.id);
    let put = format!("{path}/custom-categories");
    let categories = json!({ "custom_categories": [{ "name": "Customers", "values": planted }] });
    let set = stack.api().send(reqwest::Method::PUT, &put, Some(categories));
    let set = set.await.unwrap();
    assert_eq!(set.status, 200, "{}", set.text);
    let rules = json!({ "guardrails": { "rules": [rule("custom", "redact", "both")] } });
    let ruled = stack.api().send(reqwest::Method::PATCH, &path, Some(rules)).await.unwrap();
    assert_eq!(ruled.status, 200, "{}", ruled.text);
    stack.until_synced().await.unwrap();
    let text = "Call zephyrine  quill about cn-7781-q, not about CN-7781-QX.";
    let body = json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": text }] });
    let answer = stack.gateway().chat(&app.key, body).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
    let seen = upstream(&stack);
    assert!(seen.contains("Call [CUSTOMERS] about [CUSTOMERS], not about CN-7781-QX."), "{seen}");
    stack.api().until_recorded(&app, 1).await.unwrap();

    let mut shown = vec![set.text, ruled.text];
    for page in ["/custom-categories", "/versions", "/versions/2", "/versions/3"] {
        shown.push(stack.api().get(&format!("{path}{page}")).await.unwrap().text);
    }
    for page in ["/api/v1/audit", "/api/v1/findings", "/api/v1/logs", "/metrics"] {
        shown.push(stack.api().get(page).await.unwrap().text);
    }
    assert!(shown[7].contains("Customers"), "it was found: {}", shown[7]);
    for planted in planted.iter().flat_map(|value| [(*value).to_owned(), value.to_lowercase()]) {
        assert!(!shown.iter().any(|text| text.contains(&planted)), "{planted}");
        for file in files(stack.dir()) {
            let bytes = fs::read(&file).unwrap_or_default();
            let is_there = bytes.windows(planted.len()).any(|window| window == planted.as_bytes());
            assert!(!is_there, "{planted} is in {}", file.display());
        }
    }
}

#[tokio::test]
async fn sentences_like_the_examples_are_blocked() {
    let stack = Stack::start().await.unwrap();
    let app = guarded(&stack, "learned", &[]).await;
    let names = ["Ann", "Bob", "Kim", "Lee", "Max", "Sue", "Tom", "Uwe", "Eva", "Ida"];
    let of = |texts: [&str; 2]| -> Vec<String> {
        names.iter().flat_map(|who| texts.map(|text| text.replace("{}", who))).collect()
    };
    let examples = of([
        "Can we sue {} for breach of the contract?",
        "Is the liability clause with {} enforceable in court?",
    ]);
    let other =
        of(["Write a friendly birthday greeting for {}.", "Which restaurant would {} like for lunch?"]);
    let category = json!({ "name": "Legal", "examples": examples, "counter_examples": other });
    let categories = json!({ "custom_categories": [category] });
    let path = format!("/api/v1/apps/{}", app.id);
    let put = format!("{path}/custom-categories");
    let preview =
        stack.api().post(&format!("{path}/custom-categories/preview"), categories.clone()).await.unwrap();
    let figures = preview.ok().unwrap()["custom_categories"][0]["learned"].clone();
    assert!(figures["precision_percent"].as_u64().unwrap() >= 90, "{figures}");
    let set = stack.api().send(reqwest::Method::PUT, &put, Some(categories));
    assert_eq!(set.await.unwrap().status, 200);
    let legal = json!({ "category": "custom", "detector": "Legal", "action": "block" });
    let rules = json!({ "guardrails": { "rules": [legal] } });
    assert_eq!(stack.api().send(reqwest::Method::PATCH, &path, Some(rules)).await.unwrap().status, 200);
    stack.until_synced().await.unwrap();
    let ask = async |text: &str| {
        let body = json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": text }] });
        stack.gateway().chat(&app.key, body).await.unwrap()
    };
    let blocked = ask("Good morning. Can we sue our landlord for breach of the contract? Thank you.").await;
    assert_eq!((blocked.status, blocked.code()), (400, "guardrail_blocked"), "{}", blocked.text);
    let passed = ask("Write a friendly greeting for our landlord.").await;
    assert_eq!(passed.status, 200, "{}", passed.text);
}

#[tokio::test]
async fn of_a_coding_agents_conversation_nothing_but_what_is_found_changes() {
    let setup = RawSetup::start().await;
    let rules = |action| ["pii", "pci", "secrets"].map(|category| rule(category, action, "both"));
    let redacting = guarded(&setup.stack, "redacting", &rules("redact")).await;
    let blocking = guarded(&setup.stack, "blocking", &rules("block")).await;
    let message = json!({ "type": "message", "content": [{ "type": "text", "text": "ok" }] });
    setup.raw.answer(raw::json(&message.to_string()));
    let send = async |app: &App, shape: Shape, body: &str| {
        let path = match shape {
            Shape::Chat => CHAT,
            Shape::Responses => "/v1/responses",
            Shape::Messages => "/anthropic_messages/v1/messages",
        };
        let request = setup.stack.gateway().request(reqwest::Method::POST, path).bearer_auth(&app.key);
        let request = request.header("content-type", "application/json").body(body.to_owned());
        setup.raw.forget();
        let answer = Answer::read(request.send().await.unwrap()).await.unwrap();
        let got = setup.raw.requests().pop().map(|request| String::from_utf8(request.body).unwrap());
        (answer, got)
    };
    for shape in [Shape::Chat, Shape::Responses, Shape::Messages] {
        for style in [0, 1, 2] {
            let Conversation { body, redacted, planted } = conversation(shape, 7, Plants::Anywhere, style);
            assert!(planted > 5 && body != redacted, "{shape:?} {style}");
            let (answer, got) = send(&redacting, shape, &body).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            assert!(got.is_some_and(|got| got == redacted), "{shape:?} {style}");
            let counts = format!("redacted={planted}; anonymized=0; monitored=0; ");
            assert!(answer.header("x-latchkey-guardrails").starts_with(&counts), "{shape:?} {style}");

            let Conversation { body, redacted, .. } = conversation(shape, 7, Plants::Earlier, style);
            let (answer, got) = send(&blocking, shape, &body).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            assert!(
                got.is_some_and(|got| got == redacted),
                "{shape:?} {style}: what was said before is taken out"
            );
            let Conversation { body, .. } = conversation(shape, 7, Plants::Last, style);
            let (answer, got) = send(&blocking, shape, &body).await;
            assert_eq!((answer.status, answer.code()), (400, "guardrail_blocked"), "{}", answer.text);
            assert!(got.is_none());
        }
    }
}

/// A change request for an app's guardrails, by a user who may ask for one; its path.
async fn asked(stack: &Stack, app: &App, rules: &[Value]) -> String {
    let api = stack.api();
    let alice = api.create_user(&format!("alice@{}.com", app.id)).await.unwrap();
    let token = json!({ "name": "alice", "role": "user", "user_id": alice });
    let token = api.post("/api/v1/tokens", token).await.unwrap().ok().unwrap();
    let grant = json!({ "access": { "settings_request": { "mode": "everyone" } } });
    let path = format!("{}/self-service", app.path());
    api.send(reqwest::Method::PATCH, &path, Some(grant)).await.unwrap().ok().unwrap();
    let edit = json!({ "guardrails": { "rules": rules } });
    let body = json!({ "kind": "update_config", "edit": edit, "reason": "safety" });
    let path = format!("/api/v1/me/apps/{}/change-requests", app.id);
    let request = api.with_token(token["value"].as_str().unwrap()).post(&path, body).await.unwrap();
    format!("/api/v1/change-requests/{}", request.ok().unwrap()["id"].as_str().unwrap())
}

/// What a client and the provider see of each of these requests, byte for byte, but for what differs each time.
async fn seen(setup: &RawSetup, app: &App, text: &str) -> Vec<String> {
    let mut seen = Vec::new();
    let document = json!({ "id": "c", "choices": [{ "index": 0, "message": { "role": "assistant", "content": text } }] });
    let events = [delta(&json!({ "content": text })), "data: [DONE]\n\n".to_owned()].concat();
    let message = json!({ "type": "message", "content": [{ "type": "text", "text": text }] });
    let user = json!([{ "role": "user", "content": text }]);
    let calls = [
        (CHAT, json!({ "model": "m", "messages": user }), raw::json(&document.to_string())),
        (CHAT, json!({ "model": "m", "messages": user, "stream": true }), raw::events(&events)),
        ("/v1/embeddings", json!({ "model": "m", "input": text }), raw::json("{\"data\":[]}")),
        (
            "/anthropic_messages/v1/messages",
            json!({ "model": "c", "max_tokens": 9, "messages": user }),
            raw::json(&message.to_string()),
        ),
    ];
    for (path, body, answer) in calls {
        setup.raw.answer(answer);
        setup.raw.forget();
        let answer = setup.send(app, path, &body).await;
        let got: Vec<_> = setup
            .raw
            .requests()
            .iter()
            .map(|request| String::from_utf8(request.body.clone()).unwrap())
            .collect();
        seen.push(told(&answer, &got));
    }
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "echo", "arguments": { "message": text } } });
    seen.push(told(&setup.send_to_server(app, &call).await, &[]));
    seen
}

fn told(answer: &Answer, got: &[String]) -> String {
    let fixed = |name: &&reqwest::header::HeaderName| {
        !["date", "x-request-id", "x-envoy-upstream-service-time", "mcp-session-id"].contains(&name.as_str())
    };
    let mut names: Vec<_> = answer
        .headers
        .keys()
        .filter(fixed)
        .map(|name| format!("{name}: {}", answer.header(name.as_str())))
        .collect();
    names.sort();
    format!("{} {names:?}\n{}\nto the provider: {got:?}", answer.status, answer.text)
}

#[tokio::test]
async fn a_change_request_is_tried_without_a_trace_and_acts_once_it_is_approved() {
    let setup = RawSetup::start().await;
    let (stack, api) = (&setup.stack, setup.stack.api());
    let server = McpServer::everything().await.unwrap();
    let settings = json!({ "name": "everything", "url": server.url() });
    api.post("/api/v1/mcp-servers", settings).await.unwrap().ok().unwrap();
    // One without guardrails of its own, and one with.
    for own in [vec![], vec![rule("secrets", "redact", "both")]] {
        let name = format!("tried-{}", own.len());
        let app = guarded(stack, &name, &own).await;
        let text = format!("mail {EMAIL}, pay with {CARD}, use AKIAQYLPMN5HHHFPZAM2");
        let before = seen(&setup, &app, &text).await;
        let wanted =
            [own.as_slice(), &[rule("pii", "redact", "both"), rule("pci", "block", "response")]].concat();
        let path = asked(stack, &app, &wanted).await;
        let started = api.post(&format!("{path}/trial"), json!({ "hours": 1 })).await.unwrap().ok().unwrap();
        assert_eq!(started["trial"]["running"], true, "{started}");
        stack.until_synced().await.unwrap();

        let during = seen(&setup, &app, &text).await;
        assert_eq!(during, before, "a trial leaves no trace");
        api.until_recorded(&app, 12).await.unwrap();
        let shown = api.get(&path).await.unwrap().ok().unwrap();
        let counts = ["requests", "would_block", "would_redact", "would_anonymize", "would_monitor"]
            .map(|field| shown["trial"][field].as_u64().unwrap());
        // The answers of a chat, of its stream, of a message and of a tool have the card.
        assert_eq!(counts, [6, 4, 5, 0, 0], "{shown}");
        let id = path.rsplit('/').next().unwrap();
        let findings = api.get(&format!("/api/v1/findings?limit=200&change_request_id={id}")).await.unwrap();
        assert!(
            !findings.text.contains(EMAIL) && findings.text.contains("k••••@example.com"),
            "{}",
            findings.text
        );
        let own_findings =
            api.get(&format!("/api/v1/findings?limit=200&app_id={}", app.id)).await.unwrap().ok().unwrap();
        let own_actions =
            own_findings["items"].as_array().unwrap().iter().filter(|it| it["change_request_id"].is_null());
        assert!(
            own_actions.clone().all(|it| it["action"] == "redacted" && it["category"] == "secrets"),
            "{own_findings}"
        );
        assert_eq!(own_actions.count() > 0, !own.is_empty());

        // After its end nothing is counted.
        api.send(reqwest::Method::DELETE, &format!("{path}/trial"), None).await.unwrap().ok().unwrap();
        stack.until_synced().await.unwrap();
        assert_eq!(seen(&setup, &app, &text).await, before);
        api.until_recorded(&app, 18).await.unwrap();
        let over = api.get(&path).await.unwrap().ok().unwrap();
        assert_eq!((&over["trial"]["requests"], &over["trial"]["running"]), (&json!(6), &json!(false)));

        // The same traffic is acted upon once it is approved.
        api.post(&format!("{path}/trial"), json!({ "hours": 1 })).await.unwrap().ok().unwrap();
        let approved = api.post(&format!("{path}/approve"), json!({})).await.unwrap().ok().unwrap();
        assert_eq!(approved["status"], "approved", "{approved}");
        stack.until_synced().await.unwrap();
        let after = seen(&setup, &app, &text).await;
        assert!(after.iter().zip(&before).all(|(after, before)| after != before));
        assert!(after.iter().all(|told| !told.contains(EMAIL)), "{after:#?}");
        api.until_recorded(&app, 24).await.unwrap();
        let over = api.get(&path).await.unwrap().ok().unwrap();
        assert_eq!(over["trial"]["requests"], 6, "{over}");
        let mine = api
            .get(&format!("/api/v1/findings?limit=200&app_id={}&action=redacted&category=pii", app.id))
            .await
            .unwrap();
        assert!(mine.text.contains("\"change_request_id\":null"), "{}", mine.text);
    }
}

#[tokio::test]
async fn tools_stay_hidden_while_guardrails_are_tried() {
    let server = McpServer::everything().await.unwrap();
    let setup = RawSetup::start().await;
    let (stack, api) = (&setup.stack, setup.stack.api());
    let settings = json!({ "name": "everything", "url": server.url() });
    api.post("/api/v1/mcp-servers", settings).await.unwrap().ok().unwrap();
    let settings = json!({ "name": "some", "mcp_scope": ["everything/echo"] });
    let app = api.create_app(settings).await.unwrap();
    stack.until_synced().await.unwrap();
    let list = async || {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
        setup.send_to_server(&app, &body).await.text
    };
    let before = list().await;
    assert!(before.contains("echo") && !before.contains("get-sum"), "{before}");
    let path = asked(stack, &app, &[rule("pii", "block", "both")]).await;
    api.post(&format!("{path}/trial"), json!({ "hours": 1 })).await.unwrap().ok().unwrap();
    stack.until_synced().await.unwrap();
    assert_eq!(list().await, before);
    api.until_recorded(&app, 4).await.unwrap();
    let shown = api.get(&path).await.unwrap().ok().unwrap();
    assert_eq!(shown["trial"]["requests"], 2, "{shown}");
}

/// `pii-leak-benchmark`: what the provider sees, what comes back, and streams that are cut at each place of each
/// value.
#[tokio::test]
async fn an_outside_judge_finds_no_leak_and_everything_restored() {
    let stack = Stack::start().await.unwrap();
    let port = Port::free().unwrap();
    let url = format!("http://127.0.0.1:{}/v1", port.number());
    stack.api().create_provider("judge", "openai_compatible", &url, PROVIDER_CREDENTIAL).await.unwrap();
    stack.api().create_model("judged", "judge").await.unwrap();
    let rules = [
        rule("pii", "anonymize", "both"),
        rule("pci", "anonymize", "both"),
        rule("secrets", "redact", "both"),
    ];
    let app = guarded(&stack, "judged", &rules).await;
    let port = port.number().to_string();
    let variables = [("MODEL", "judged"), ("CAPTURE_PORT", &port)];
    let reports = stack.gateway().sdk("leaks.py", &app.key, &variables).await.unwrap();
    let said = reports["said"].as_str().unwrap();
    for check in ["configured_upstream_boundary", "response_fidelity", "fragmentation_safety", "sse_validity"]
    {
        assert_eq!(reports["personal"][check]["passed"], true, "{check}: {said}");
    }
    assert_eq!(reports["credentials"]["configured_upstream_boundary"]["passed"], true, "{said}");
    let streams = &reports["streams"][0];
    let rates = ["fidelity_rate", "leak_single_chunk", "leak_adversarial"]
        .map(|rate| streams[rate].as_f64().unwrap());
    assert_eq!((rates, &streams["inconclusive"]), ([1.0, 0.0, 0.0], &json!(0)), "{said}");
    assert!(streams["cases_applicable"].as_u64().unwrap() >= 32, "{said}");
    assert_eq!(reports["partial"]["partial_emission_rate"]["overall"], 0.0, "{said}");
}

/// Every file that the stack has written: the database, logs.
fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| {
            let path = entry.path();
            if path.is_dir() { files(&path) } else { vec![path] }
        })
        .collect()
}
