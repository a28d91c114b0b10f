//! What real clients send in their bodies, where tokens and money are limited and where they are not.

use latchkey_tests::stack::answer::Answer;
use latchkey_tests::stack::api::App;
use latchkey_tests::stack::{PROVIDER, PROVIDER_CREDENTIAL, Stack};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const RESPONSES: &str = "/v1/responses";
const MESSAGES: &str = "/anthropic_messages/v1/messages";

/// Priced, and nobody knows its context window.
const MODEL: &str = "m";
/// The same, of a provider that speaks Anthropic's API.
const CLAUDE: &str = "claude-m";

struct Clients {
    stack: Stack,
    /// Without limits.
    free: App,
    /// With a budget.
    budgeted: App,
    /// With a limit of tokens per minute.
    metered: App,
}

impl Clients {
    async fn start() -> Self {
        let stack = Stack::start().await.unwrap();
        let api = stack.api();
        api.create_provider("claude", "anthropic", &stack.provider().url(), PROVIDER_CREDENTIAL)
            .await
            .unwrap();
        for (name, provider) in [(MODEL, PROVIDER), (CLAUDE, "claude")] {
            let price = json!({ "input": "1", "cached_input": "0.1", "output": "10" });
            let model =
                json!({ "name": name, "provider": provider, "price": price, "max_output_tokens": 32_000 });
            api.post("/api/v1/models", model).await.unwrap().ok().unwrap();
        }
        let free = api.create_app(json!({ "name": "free" })).await.unwrap();
        let budget = json!({ "budget": { "usd": "5.00", "per": "day" } });
        let budgeted = api.create_limited_app("budgeted", budget).await.unwrap();
        let metered =
            api.create_limited_app("metered", json!({ "tokens_per_minute": 100_000 })).await.unwrap();
        stack.until_synced().await.unwrap();
        Self { stack, free, budgeted, metered }
    }

    async fn limited(&self, name: &str, limits: Value) -> App {
        let app = self.stack.api().create_limited_app(name, limits).await.unwrap();
        self.stack.until_synced().await.unwrap();
        app
    }

    /// Sends a body as it is written.
    async fn send(&self, app: &App, path: &str, body: &str) -> Answer {
        let url = format!("{}{path}", self.stack.gateway().url());
        let request = reqwest::Client::new().post(url).bearer_auth(&app.key);
        let request = request.header("content-type", "application/json").body(body.to_owned());
        Answer::read(request.send().await.unwrap()).await.unwrap()
    }

    /// The body that the provider has got, once the request has passed.
    async fn seen(&self, app: &App, path: &str, body: &str) -> Value {
        self.stack.provider().forget();
        let answer = self.send(app, path, body).await;
        assert_eq!(answer.status, 200, "{body}: {}", answer.text);
        let requests = self.stack.provider().requests();
        assert_eq!(requests.len(), 1, "{body}");
        requests[0].body.clone()
    }

    /// The code, the member and the message of a refusal. The provider has got nothing.
    async fn refused(&self, app: &App, path: &str, body: &str) -> (String, Value, String) {
        self.stack.provider().forget();
        let answer = self.send(app, path, body).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text);
        assert_eq!(answer.header("x-should-retry"), "false");
        assert_eq!(self.stack.provider().requests().len(), 0, "{body}");
        let error = &answer.body["error"];
        (answer.code().to_owned(), error["param"].clone(), error["message"].as_str().unwrap().to_owned())
    }
}

fn chat(members: &str) -> String {
    format!(r#"{{"model":"{MODEL}","messages":[{{"role":"user","content":"hi"}}],{members}}}"#)
}

fn messages(members: &str) -> String {
    format!(r#"{{"model":"{CLAUDE}","messages":[{{"role":"user","content":"hi"}}],{members}}}"#)
}

#[tokio::test]
async fn a_limit_that_some_servers_read_as_none_is_refused_where_output_is_limited() {
    let clients = Clients::start().await;
    let short = clients.limited("short", json!({ "max_output_tokens": 500 })).await;
    let responses = format!(r#"{{"model":"{MODEL}","input":"hi","max_output_tokens":0}}"#);
    for app in [&clients.budgeted, &clients.metered, &short] {
        for member in ["max_tokens", "max_completion_tokens"] {
            for value in ["0", "0.0", "-7", "1.5", "\"4096\""] {
                let (code, param, message) =
                    clients.refused(app, CHAT, &chat(&format!(r#""{member}":{value}"#))).await;
                assert_eq!((code.as_str(), &param), ("invalid_parameter", &json!(member)));
                assert!(message.contains(member), "{message}");
            }
        }
        assert_eq!(clients.refused(app, RESPONSES, &responses).await.1, "max_output_tokens");
        let foreign = clients.refused(app, CHAT, &chat(r#""max_tokens":9,"n_predict":99999"#)).await;
        assert_eq!((foreign.0.as_str(), foreign.1), ("invalid_parameter", json!("n_predict")));
    }
    for value in ["0", "-7", "1.5", "\"4096\"", "1e400"] {
        let body = chat(&format!(r#""max_tokens":{value}"#));
        let answer = clients.send(&clients.free, CHAT, &body).await;
        assert_ne!(answer.code(), "invalid_parameter", "{body}");
        assert_ne!(answer.code(), "invalid_json", "{body}");
    }
}

#[tokio::test]
async fn a_whole_number_limits_however_it_is_written() {
    let clients = Clients::start().await;
    for (value, expected) in [
        ("4096.0", 4_096),
        ("1e3", 1_000),
        ("-1", 32_000),
        ("null", 32_000),
        ("99999999999999999999", 32_000),
    ] {
        let seen = clients.seen(&clients.budgeted, CHAT, &chat(&format!(r#""max_tokens":{value}"#))).await;
        assert_eq!(seen["max_tokens"].as_u64(), Some(expected), "{value}: {seen}");
    }
    let seen =
        clients.seen(&clients.budgeted, CHAT, &chat(r#""max_tokens":-1,"max_completion_tokens":50"#)).await;
    assert_eq!(
        (seen["max_tokens"].as_u64(), seen["max_completion_tokens"].as_u64()),
        (Some(32_000), Some(50))
    );
    let seen = clients.seen(&clients.free, CHAT, &chat(r#""max_tokens":-1"#)).await;
    assert_eq!(seen["max_tokens"], -1, "without limits nothing is edited");
}

#[tokio::test]
async fn a_cache_is_filled_with_a_limit_of_zero() {
    let clients = Clients::start().await;
    for app in [&clients.free, &clients.budgeted, &clients.metered] {
        let seen = clients.seen(app, MESSAGES, &messages(r#""max_tokens":0"#)).await;
        assert_eq!(seen["max_tokens"], 0);
    }
}

#[tokio::test]
async fn what_may_cost_more_than_the_body_says_is_refused_by_name_where_that_is_limited() {
    let clients = Clients::start().await;
    for (member, value) in [
        ("cached_content", r#""cachedContents/1""#),
        ("documents", r#"[{"id":"1","text":"x"}]"#),
        ("enable_search", "true"),
        ("search_parameters", r#"{"mode":"on"}"#),
        ("web_search_options", "{}"),
        ("chat_template", r#""{% for m in messages %}x{% endfor %}""#),
        ("chat_template_kwargs", r#"{"documents":[1]}"#),
        ("prompt_embeds", r#""AAAA""#),
        ("prediction", r#"{"type":"content","content":"x"}"#),
        ("mm_processor_kwargs", r#"{"max_pixels":9999}"#),
        ("extra_body", r#"{"google":{"cached_content":"c"}}"#),
        ("modalities", r#"["text","audio"]"#),
        ("num_beams", "8"),
        ("something_new", "1"),
    ] {
        let body = chat(&format!(r#""max_tokens":9,"{member}":{value}"#));
        for app in [&clients.budgeted, &clients.metered] {
            let (code, param, message) = clients.refused(app, CHAT, &body).await;
            assert_eq!((code.as_str(), &param), ("input_not_bounded", &json!(member)));
            assert!(message.contains(member) && message.contains("eave it out"), "{message}");
        }
        let seen = clients.seen(&clients.free, CHAT, &body).await;
        assert!(!seen[member].is_null(), "every member passes where nothing is limited");
    }
    let usual = r#""max_tokens":9,"temperature":0.5,"seed":1,"chat_template_kwargs":{"enable_thinking":false},
        "enable_search":false,"response_format":{"type":"json_object"},"user":"u","top_k":4,"speed":null"#;
    clients.seen(&clients.budgeted, CHAT, &chat(usual)).await;
}

#[tokio::test]
async fn tools_that_the_client_runs_are_bounded_and_those_that_the_provider_runs_are_named() {
    let clients = Clients::start().await;
    let codex = json!({
        "model": MODEL, "stream": true, "store": false, "max_output_tokens": 500,
        "include": ["reasoning.encrypted_content"], "prompt_cache_key": "k", "client_metadata": { "x": "y" },
        "input": [
            { "type": "additional_tools", "role": "developer", "tools": [
                { "type": "namespace", "name": "functions", "tools": [
                    { "type": "custom", "name": "exec", "description": "Run" },
                    { "type": "function", "name": "wait", "parameters": { "type": "object" } } ] } ] },
            { "type": "message", "role": "user", "content": [{ "type": "input_text", "text": "hi" }] },
            { "type": "tool_search_call", "call_id": "c1", "arguments": { "query": "x" } },
            { "type": "tool_search_output", "call_id": "c1", "tools": [] }
        ],
        "tools": [
            { "type": "namespace", "name": "mcp__files",
              "tools": [{ "type": "function", "name": "read", "parameters": {} }] },
            { "type": "tool_search", "execution": "client", "parameters": {} },
            { "type": "custom", "name": "apply_patch" }, { "type": "local_shell" }
        ]
    });
    for app in [&clients.budgeted, &clients.metered] {
        let seen = clients.seen(app, RESPONSES, &codex.to_string()).await;
        assert_eq!(seen, codex, "nothing is edited");
    }
    let hosted = [
        json!({ "type": "web_search", "external_web_access": false }),
        json!({ "type": "file_search", "vector_store_ids": ["v"] }),
        json!({ "type": "code_interpreter", "container": { "type": "auto" } }),
        json!({ "type": "image_generation" }),
        json!({ "type": "mcp", "server_label": "s", "server_url": "https://x.example" }),
    ];
    for tool in hosted {
        let kind = tool["type"].as_str().unwrap().to_owned();
        let inside = json!({ "type": "namespace", "name": "n", "tools": [tool] });
        for tools in [json!([tool]), json!([inside])] {
            let mut body = codex.clone();
            body["tools"] = tools.clone();
            let (code, param, message) =
                clients.refused(&clients.metered, RESPONSES, &body.to_string()).await;
            assert_eq!((code.as_str(), &param), ("input_not_bounded", &json!("tools")));
            assert!(message.contains(&kind), "{message}");
            assert_eq!(message.contains(r#"web_search = "disabled""#), kind == "web_search", "{message}");
            body["tools"] = json!([]);
            body["input"][0]["tools"] = tools;
            clients.refused(&clients.budgeted, RESPONSES, &body.to_string()).await;
            clients.seen(&clients.free, RESPONSES, &body.to_string()).await;
        }
    }
    for kind in [
        "web_search_20260318",
        "web_fetch_20250910",
        "code_execution_20250825",
        "tool_search_tool_regex_20251119",
    ] {
        let body = messages(&format!(r#""max_tokens":9,"tools":[{{"type":"{kind}","name":"t"}}]"#));
        let (code, _, message) = clients.refused(&clients.metered, MESSAGES, &body).await;
        assert!(code == "input_not_bounded" && message.contains(kind), "{message}");
    }
    let claude = r#""max_tokens":9,"tools":[{"name":"Bash","input_schema":{},"defer_loading":true},
        {"type":"bash_20250124","name":"bash"},{"type":"memory_20250818","name":"memory"}]"#;
    clients.seen(&clients.metered, MESSAGES, &messages(claude)).await;
}

#[tokio::test]
async fn a_thinking_budget_is_lowered_with_the_output_or_the_request_is_refused() {
    let clients = Clients::start().await;
    let thinking = messages(r#""max_tokens":32000,"thinking":{"type":"enabled","budget_tokens":31999}"#);
    let capped = clients.limited("capped", json!({ "max_output_tokens": 8_000 })).await;
    let seen = clients.seen(&capped, MESSAGES, &thinking).await;
    assert_eq!((&seen["max_tokens"], &seen["thinking"]["budget_tokens"]), (&json!(8_000), &json!(7_999)));

    // A cent buys a thousand tokens of output.
    let some = clients.limited("some", json!({ "budget": { "usd": "0.021", "per": "total" } })).await;
    let seen = clients.seen(&some, MESSAGES, &thinking).await;
    let (limit, budget) =
        (seen["max_tokens"].as_u64().unwrap(), seen["thinking"]["budget_tokens"].as_u64().unwrap());
    assert!((1_500..2_100).contains(&limit) && (1_024..limit).contains(&budget), "{seen}");

    let little = clients.limited("little", json!({ "budget": { "usd": "0.006", "per": "total" } })).await;
    let answer = clients.send(&little, MESSAGES, &thinking).await;
    assert_eq!((answer.status, answer.code()), (429, "request_exceeds_limit"), "{}", answer.text);
    let plain = messages(r#""max_tokens":32000"#);
    clients.seen(&little, MESSAGES, &plain).await;

    let short = clients.limited("short", json!({ "max_output_tokens": 600 })).await;
    let (code, _, message) = clients.refused(&short, MESSAGES, &thinking).await;
    assert!(
        code == "max_output_tokens_exceeded" && message.contains("1025") && message.contains("600"),
        "{message}"
    );

    let adaptive = messages(r#""max_tokens":32000,"thinking":{"type":"adaptive"}"#);
    let seen = clients.seen(&short, MESSAGES, &adaptive).await;
    assert_eq!((&seen["max_tokens"], &seen["thinking"]), (&json!(600), &json!({ "type": "adaptive" })));

    let nested = chat(r#""max_tokens":32000,"reasoning":{"max_tokens":16000},"thinking_budget":16000"#);
    let seen = clients.seen(&capped, CHAT, &nested).await;
    let found = (&seen["max_tokens"], &seen["reasoning"]["max_tokens"], &seen["thinking_budget"]);
    assert_eq!(found, (&json!(8_000), &json!(4_000), &json!(4_000)));
}

#[tokio::test]
async fn a_provider_or_model_is_asked_as_it_wants_to_be() {
    let clients = Clients::start().await;
    let api = clients.stack.api();
    let provider = format!("/api/v1/providers/{PROVIDER}");
    let streamed = chat(r#""stream":true"#);
    let seen = clients.seen(&clients.free, CHAT, &streamed).await;
    assert_eq!(seen["stream_options"]["include_usage"], true);
    api.edit(&provider, json!({ "stream_options": false, "output_limit": "max_completion_tokens" }))
        .await
        .unwrap();
    clients.stack.until_synced().await.unwrap();
    for app in [&clients.free, &clients.budgeted] {
        let seen = clients.seen(app, CHAT, &streamed).await;
        assert_eq!(seen["stream_options"], Value::Null, "{seen}");
    }
    let seen = clients.seen(&clients.budgeted, CHAT, &chat(r#""temperature":0"#)).await;
    assert_eq!((&seen["max_completion_tokens"], &seen["max_tokens"]), (&json!(32_000), &Value::Null));
    let seen = clients.seen(&clients.budgeted, CHAT, &chat(r#""max_tokens":7"#)).await;
    assert_eq!(
        (&seen["max_completion_tokens"], &seen["max_tokens"]),
        (&json!(7), &Value::Null),
        "it is renamed"
    );
    let seen = clients.seen(&clients.free, CHAT, &chat(r#""max_tokens":7"#)).await;
    assert_eq!(seen["max_tokens"], 7, "without limits nothing is edited");

    let models = api.get("/api/v1/models").await.unwrap().ok().unwrap();
    let model = models["items"].as_array().unwrap().iter().find(|model| model["name"] == MODEL).unwrap();
    let model = format!("/api/v1/models/{}", model["id"].as_str().unwrap());
    api.edit(&model, json!({ "stream_options": true, "output_limit": "max_tokens" })).await.unwrap();
    clients.stack.until_synced().await.unwrap();
    let seen = clients.seen(&clients.budgeted, CHAT, &streamed).await;
    assert_eq!(
        (&seen["stream_options"]["include_usage"], &seen["max_tokens"]),
        (&json!(true), &json!(32_000))
    );
}
