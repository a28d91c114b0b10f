//! The official SDKs take the sample provider for the real thing.

use latchkey_tests::provider::Provider;
use latchkey_tests::python;
use serde_json::{Value, json};

const KEY: &str = "sk-provider";

async fn provider() -> Provider {
    Provider::start(([127, 0, 0, 1], 0).into(), Some(KEY)).await.unwrap()
}

async fn openai(script: &str, variables: &[(&str, &str)]) -> Value {
    let provider = provider().await;
    let url = provider.url();
    let own = [("OPENAI_BASE_URL", url.as_str()), ("OPENAI_API_KEY", KEY)];
    python::run(&format!("sdk/{script}"), &[&own, variables].concat()).await.unwrap()
}

#[tokio::test]
async fn chats() {
    let seen = openai("chat.py", &[]).await;
    assert_eq!(seen["choices"][0]["message"]["content"], "You said: hello");
    assert_eq!(seen["usage"]["total_tokens"], 6);
}

#[tokio::test]
async fn streams() {
    let expected = |usages: Value, without_choices: u64, chunks: u64| {
        json!({ "text": "You said: hello", "finish_reasons": ["stop"], "usages": usages,
            "chunks_without_choices": without_choices, "chunks": chunks })
    };
    assert_eq!(openai("chat_stream.py", &[]).await, expected(json!([]), 0, 5));
    let seen = openai("chat_stream.py", &[("INCLUDE_USAGE", "1"), ("SAMPLE", "tiny-chunks")]).await;
    assert_eq!(seen, expected(json!([seen["usages"][0]]), 1, 6));
    assert_eq!(seen["usages"][0]["total_tokens"], 6);
}

#[tokio::test]
async fn completes_embeds_and_lists() {
    let seen = openai("completions.py", &[]).await;
    assert_eq!(seen, json!({ "text": "You said: hello", "streamed": "You said: hello", "tokens": 6 }));
    let seen = openai("embeddings.py", &[]).await;
    assert_eq!(seen, json!({ "count": 2, "dimensions": 1536, "same": true, "tokens": 4 }));
    let seen = openai("models.py", &[]).await;
    assert_eq!(seen["retrieved"], "gpt-4o-mini");
}

#[tokio::test]
async fn calls_tools() {
    let seen = openai("tools.py", &[]).await;
    let call = json!({ "name": "get_weather", "arguments": { "city": "sample", "unit": "celsius" } });
    let expected = json!({ "finish_reason": "tool_calls", "call": call, "streamed_finish_reason": "tool_calls",
        "streamed_call": call, "final": "You said: sunny" });
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn responds() {
    let seen = openai("responses.py", &[]).await;
    let expected = json!({
        "text": "You said: hello", "tokens": 6, "streamed": "You said: hello", "final": "You said: hello",
        "call": { "name": "get_weather", "arguments": { "city": "sample" } },
        "events": [
            "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
            "response.output_text.delta", "response.output_text.done", "response.content_part.done",
            "response.output_item.done", "response.completed",
        ],
    });
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn fails_as_asked() {
    let models = [400, 401, 403, 404, 429, 500].map(|status| format!("gpt-4o-mini+status={status}"));
    let seen = openai("errors.py", &[("MODELS", &models.join(","))]).await;
    let classes = seen.as_array().unwrap().iter().map(|error| error["class"].as_str().unwrap());
    let expected = [
        "BadRequestError",
        "AuthenticationError",
        "PermissionDeniedError",
        "NotFoundError",
        "RateLimitError",
        "InternalServerError",
    ];
    assert_eq!(classes.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn messages_like_anthropic() {
    let provider = provider().await;
    let url = provider.url();
    let base = url.strip_suffix("/v1").unwrap();
    let seen = python::run("sdk/messages.py", &[("ANTHROPIC_BASE_URL", base), ("ANTHROPIC_API_KEY", KEY)])
        .await
        .unwrap();
    let expected = json!({
        "text": "You said: hello", "usage": [2, 4], "streamed": "You said: hello", "streamed_usage": [2, 4],
        "call": { "name": "get_weather", "input": { "city": "sample" } }, "stop_reason": "tool_use",
    });
    assert_eq!(seen, expected);
}
