//! The official SDKs of OpenAI and Anthropic through a real Envoy: only their base URL and key are ours.

#[path = "sdk/groups.rs"]
mod groups;

use latchkey_tests::provider::Provider;
use latchkey_tests::stack::api::App;
use latchkey_tests::stack::{MODELS, PROVIDER_CREDENTIAL, Stack};
use reqwest::Method;
use serde_json::{Value, json};

async fn stack() -> (Stack, App) {
    let stack = Stack::start().await.unwrap();
    let app = stack.api().create_app(json!({ "name": "sdk" })).await.unwrap();
    stack.gateway().until_status(&app.key, 200).await.unwrap();
    stack.provider().forget();
    (stack, app)
}

async fn run(script: &str, variables: &[(&str, &str)]) -> Value {
    let (stack, app) = stack().await;
    stack.gateway().sdk(script, &app.key, variables).await.unwrap()
}

#[tokio::test]
async fn chat() {
    let (stack, app) = stack().await;
    let seen = stack.gateway().sdk("chat.py", &app.key, &[]).await.unwrap();
    assert_eq!(seen["choices"][0]["message"]["content"], "You said: hello");
    assert_eq!(seen["usage"]["total_tokens"], 6);

    let requests = stack.provider().requests();
    let [request] = requests.as_slice() else { panic!("one request reaches the provider: {requests:?}") };
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/chat/completions"));
    assert_eq!(request.headers["authorization"], format!("Bearer {PROVIDER_CREDENTIAL}"));
    let carried = request.headers.iter().find(|(name, value)| {
        value.contains(&app.key) || name.starts_with("x-latchkey-") || name.starts_with("x-forwarded-")
    });
    assert_eq!(carried, None, "the provider learns neither the key nor who called");

    let line = stack.gateway().until_logged(|line| line["app"] == app.id.as_str()).await.unwrap();
    assert_eq!(
        (&line["status"], &line["key"], &line["user"]),
        (&json!(200), &json!(app.key_id), &Value::Null)
    );
}

#[tokio::test]
async fn a_large_prompt() {
    let prompt = "many words ".repeat(300_000);
    let (stack, app) = stack().await;
    let body = json!({ "model": "gpt-4o-mini", "max_tokens": 5, "messages": [{ "role": "user", "content": prompt }] });
    let answer = stack.gateway().chat(&app.key, body).await.unwrap();
    assert_eq!((answer.status, &answer.body["usage"]["prompt_tokens"]), (200, &json!(825_000)));

    let body =
        json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": prompt.repeat(6) }] });
    let answer = stack.gateway().chat(&app.key, body).await.unwrap();
    assert_eq!((answer.status, answer.code()), (413, "request_too_large"));
}

#[tokio::test]
async fn streamed_chat() {
    let seen = run("chat_stream.py", &[("PROMPT", "a longer text"), ("SAMPLE", "tiny-chunks")]).await;
    let expected = json!({ "text": "You said: a longer text", "finish_reasons": ["stop"], "usages": [],
        "chunks_without_choices": 0, "chunks": 7 });
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn streamed_chat_with_usage() {
    let seen = run("chat_stream.py", &[("INCLUDE_USAGE", "1")]).await;
    assert_eq!((&seen["text"], &seen["chunks_without_choices"]), (&json!("You said: hello"), &json!(1)));
    assert_eq!(seen["usages"][0]["total_tokens"], 6);
}

#[tokio::test]
async fn completions() {
    let seen = run("completions.py", &[]).await;
    assert_eq!(seen, json!({ "text": "You said: hello", "streamed": "You said: hello", "tokens": 6 }));
}

#[tokio::test]
async fn embeddings() {
    let seen = run("embeddings.py", &[]).await;
    assert_eq!(seen, json!({ "count": 2, "dimensions": 1536, "same": true, "tokens": 4 }));
}

#[tokio::test]
async fn models() {
    let (stack, app) = stack().await;
    let mut seen = stack.gateway().sdk("models.py", &app.key, &[]).await.unwrap();
    seen["listed"].as_array_mut().unwrap().sort_by_key(Value::to_string);
    let mut all = MODELS;
    all.sort_unstable();
    assert_eq!(seen, json!({ "listed": all, "retrieved": "gpt-4o-mini" }));
    let seen = stack.gateway().sdk("models.py", &app.key, &[("MODEL", "nothing/of-the-kind")]).await.unwrap();
    assert_eq!(seen["retrieved"], json!({ "class": "NotFoundError", "code": "model_not_found" }));
    assert_eq!(stack.provider().requests().len(), 0, "the gateway answers by itself");
}

#[tokio::test]
async fn tool_calls() {
    let seen = run("tools.py", &[]).await;
    let call = json!({ "name": "get_weather", "arguments": { "city": "sample", "unit": "celsius" } });
    let expected = json!({ "finish_reason": "tool_calls", "call": call, "streamed_finish_reason": "tool_calls",
        "streamed_call": call, "final": "You said: sunny" });
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn responses() {
    let seen = run("responses.py", &[]).await;
    assert_eq!((&seen["text"], &seen["streamed"]), (&json!("You said: hello"), &json!("You said: hello")));
    assert_eq!(seen["call"]["name"], "get_weather");
    assert_eq!(
        seen["events"].as_array().and_then(|events| events.last()),
        Some(&json!("response.completed"))
    );
}

/// A provider of Anthropic's kind, whose model `name` takes messages.
async fn with_anthropic(name: &str) -> (Stack, App, Provider) {
    let (stack, app) = stack().await;
    let anthropic = Provider::start(([127, 0, 0, 1], 0).into(), Some("sk-ant")).await.unwrap();
    let url = anthropic.url();
    let url = url.strip_suffix("/v1").unwrap();
    stack.api().create_provider("anthropic", "anthropic", url, "sk-ant").await.unwrap();
    stack.api().create_model(name, "anthropic").await.unwrap();
    stack.until_synced().await.unwrap();
    (stack, app, anthropic)
}

#[tokio::test]
async fn messages() {
    let (stack, app, anthropic) = with_anthropic("claude-test").await;
    let seen = stack.gateway().sdk("messages.py", &app.key, &[("MODEL", "claude-test")]).await.unwrap();
    let expected = json!({
        "text": "You said: hello", "usage": [2, 4], "streamed": "You said: hello", "streamed_usage": [2, 4],
        "call": { "name": "get_weather", "input": { "city": "sample" } }, "stop_reason": "tool_use",
    });
    assert_eq!(seen, expected);

    let requests = anthropic.requests();
    assert_eq!(requests.len(), 3);
    for request in &requests {
        assert_eq!(request.path, "/v1/messages");
        assert_eq!(request.headers["x-api-key"], "sk-ant");
        assert!(request.headers["anthropic-version"].starts_with("20"), "{request:?}");
        assert_eq!(request.headers.values().find(|value| value.contains(&app.key)), None);
    }
    assert_eq!(stack.provider().requests().len(), 0);
}

#[tokio::test]
async fn models_of_anthropics_api() {
    let (stack, app, _anthropic) = with_anthropic("claude-test").await;
    stack.api().create_model("org/claude-2", "anthropic").await.unwrap();
    stack.until_synced().await.unwrap();
    let seen = stack.gateway().sdk("messages_models.py", &app.key, &[]).await.unwrap();
    let both = json!(["claude-test", "org/claude-2"]);
    let one = json!({ "id": "claude-test", "type": "model", "display_name": "claude-test" });
    let expected = json!({ "listed": both, "has_more": false, "paged": both, "one": one, "created": true,
        "missing": "model_not_found" });
    assert_eq!(seen, expected, "what OpenAI's API serves is not listed");
}

#[tokio::test]
async fn a_refused_message_is_an_error_of_anthropics() {
    let (stack, app, anthropic) = with_anthropic("claude-test").await;
    let seen = stack.gateway().sdk("messages_error.py", &app.key, &[("MODEL", "claude-9")]).await.unwrap();
    assert_eq!(
        (&seen["class"], &seen["type"]),
        (&json!("NotFoundError"), &json!("not_found_error")),
        "{seen}"
    );
    let seen = stack.gateway().sdk("messages_error.py", "sk-quilr-wrong", &[]).await.unwrap();
    let expected = (&json!("AuthenticationError"), &json!("authentication_error"));
    assert_eq!((&seen["class"], &seen["type"]), expected, "{seen}");
    assert_eq!(anthropic.requests().len(), 0);
}

#[tokio::test]
async fn a_wrong_key_is_an_authentication_error() {
    let (stack, _) = stack().await;
    let seen = stack.gateway().sdk("errors.py", "sk-quilr-wrong", &[("MAX_RETRIES", "2")]).await.unwrap();
    let seen = &seen[0];
    assert_eq!((&seen["class"], &seen["status"]), (&json!("AuthenticationError"), &json!(401)));
    assert!(seen["code"].is_string() && seen["request_id"].is_string(), "{seen}");
    assert_eq!(stack.provider().requests().len(), 0);
}

#[tokio::test]
async fn a_providers_failure_is_retried_by_the_sdk() {
    let (stack, app) = stack().await;
    let sample = [("MAX_RETRIES", "2"), ("HEADERS", r#"{"x-sample":"status=500"}"#)];
    let seen = stack.gateway().sdk("errors.py", &app.key, &sample).await.unwrap();
    assert_eq!((&seen[0]["class"], &seen[0]["status"]), (&json!("InternalServerError"), &json!(500)));
    let retries = stack.provider().requests();
    let retries = retries.iter().map(|request| request.headers["x-stainless-retry-count"].as_str());
    assert_eq!(retries.collect::<Vec<_>>(), ["0", "1", "2"]);
}

#[tokio::test]
async fn a_forged_cluster_changes_nothing() {
    let (stack, app) = stack().await;
    let body = json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "hello" }] });
    let request =
        stack.gateway().request(Method::POST, "/v1/chat/completions").bearer_auth(&app.key).json(&body);
    let response = request.header("X-Latchkey-Cluster", "latchkey_control_plane").send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(stack.provider().requests().len(), 1);
}
