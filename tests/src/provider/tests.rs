use serde_json::json;

use super::*;

async fn provider() -> Provider {
    Provider::start(SocketAddr::from(([127, 0, 0, 1], 0)), Some("sk-provider")).await.unwrap()
}

async fn post(provider: &Provider, path: &str, sample: &str, body: Value) -> (u16, String) {
    let request = reqwest::Client::new().post(provider.url() + path).bearer_auth("sk-provider");
    let response = request.header("x-sample", sample).json(&body).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn posted(path: &str, sample: &str, body: Value) -> Value {
    let (status, text) = post(&provider().await, path, sample, body).await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn chat(text: &str) -> Value {
    json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": text }] })
}

fn streamed(text: &str) -> Value {
    let mut body = chat(text);
    body["stream"] = json!(true);
    body
}

fn data(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("data: ")).collect()
}

#[tokio::test]
async fn a_chat_is_answered_with_its_usage() {
    let body = posted("/chat/completions", "", chat("hello")).await;
    assert_eq!(body["choices"][0]["message"]["content"], "You said: hello");
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    assert_eq!(body["usage"]["prompt_tokens"], 2);
    assert_eq!(body["usage"]["completion_tokens"], 4);
}

#[tokio::test]
async fn an_answer_honours_its_limit() {
    let mut ask = chat("hello");
    ask["max_completion_tokens"] = json!(2);
    let body = posted("/chat/completions", "tokens=100", ask).await;
    assert_eq!(body["choices"][0]["finish_reason"], "length");
    assert_eq!(body["usage"]["completion_tokens"], 2);
}

#[tokio::test]
async fn a_stream_has_openais_shape() {
    let mut ask = streamed("hi there");
    ask["stream_options"] = json!({ "include_usage": true });
    let (_, text) = post(&provider().await, "/chat/completions", "", ask).await;
    let data = data(&text);
    assert_eq!(data.last(), Some(&"[DONE]"));
    let chunks = data[..data.len() - 1]
        .iter()
        .map(|data| serde_json::from_str::<Value>(data).unwrap())
        .collect::<Vec<_>>();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let words = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str());
    assert_eq!(words.collect::<String>(), "You said: hi there");
    let [.., finish, usage] = chunks.as_slice() else { panic!("{text}") };
    assert_eq!((&finish["choices"][0]["finish_reason"], &finish["usage"]), (&json!("stop"), &Value::Null));
    assert_eq!((&usage["choices"], &usage["usage"]["total_tokens"]), (&json!([]), &json!(7)));
}

#[tokio::test]
async fn chunk_sizes_change_no_byte() {
    let provider = provider().await;
    let (_, plain) = post(&provider, "/chat/completions", "", streamed("ein schöner Tag")).await;
    let (_, tiny) = post(&provider, "/chat/completions", "tiny-chunks", streamed("ein schöner Tag")).await;
    let (_, huge) = post(&provider, "/chat/completions", "huge-chunks,tokens=50000", streamed("x")).await;
    assert_eq!(plain, tiny);
    assert_eq!(data(&huge).len(), 4);
    assert!(huge.len() > 200_000);
}

#[tokio::test]
async fn a_cut_stream_ends_in_an_error() {
    let provider = provider().await;
    for body in [streamed("one two three four"), chat("one two three four")] {
        let request =
            reqwest::Client::new().post(provider.url() + "/chat/completions").bearer_auth("sk-provider");
        let response = request.header("x-sample", "cut=3").json(&body).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.bytes().await.is_err());
    }
}

#[tokio::test]
async fn usage_can_be_withheld() {
    let body = posted("/chat/completions", "no-usage", chat("hello")).await;
    assert_eq!(body.get("usage"), None);
}

#[tokio::test]
async fn failures_are_asked_for_by_header_or_model() {
    let provider = provider().await;
    let (status, text) = post(&provider, "/chat/completions", "status=429", chat("hello")).await;
    assert_eq!((status, text.contains("rate_limit_exceeded")), (429, true));
    let mut ask = chat("hello");
    ask["model"] = json!("gpt-4o-mini+status=500");
    let (status, text) = post(&provider, "/chat/completions", "", ask).await;
    assert_eq!((status, text.contains("server_error")), (500, true));
    let (status, text) =
        post(&provider, "/messages", "status=529", json!({ "model": "claude-sonnet-4-5" })).await;
    assert_eq!((status, text.contains(r#""type":"overloaded_error""#)), (529, true));
    let (status, _) = post(&provider, "/chat/completions", "nonsense", chat("hello")).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn the_credential_is_required_and_what_came_is_remembered() {
    let provider = provider().await;
    let client = reqwest::Client::new();
    let url = provider.url() + "/models";
    assert_eq!(client.get(&url).send().await.unwrap().status(), 401);
    assert_eq!(client.get(&url).header("x-api-key", "sk-provider").send().await.unwrap().status(), 200);
    post(&provider, "/chat/completions", "", chat("hello")).await;
    let requests = provider.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[2].headers["authorization"], "Bearer sk-provider");
    assert_eq!(requests[2].body["messages"][0]["content"], "hello");
    assert_eq!(provider.counts(), Counts { requests: 3, input_tokens: 2, output_tokens: 4 });
    provider.forget();
    assert_eq!(provider.counts(), Counts::default());
}

#[tokio::test]
async fn embeddings_come_as_floats_or_base64() {
    let ask = |format| json!({ "model": "text-embedding-3-small", "input": ["a", "b"], "dimensions": 2, "encoding_format": format });
    let floats = posted("/embeddings", "", ask("float")).await;
    assert_eq!(floats["data"][0]["embedding"].as_array().map(Vec::len), Some(2));
    assert_ne!(floats["data"][0]["embedding"], floats["data"][1]["embedding"]);
    let packed = posted("/embeddings", "", ask("base64")).await;
    assert_eq!(packed["data"][0]["embedding"].as_str().map(str::len), Some(12));
}

#[tokio::test]
async fn the_other_endpoints_answer() {
    let body = posted("/completions", "", json!({ "model": "gpt-3.5-turbo-instruct", "prompt": "hi" })).await;
    assert_eq!(body["choices"][0]["text"], "You said: hi");
    let body = posted("/moderations", "", json!({ "input": "kill it" })).await;
    assert_eq!(body["results"][0]["flagged"], true);
    let body = posted("/responses", "", json!({ "model": "gpt-4o", "input": "hi" })).await;
    assert_eq!(body["output"][0]["content"][0]["text"], "You said: hi");
    let ask = json!({ "model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }] });
    let body = posted("/messages", "", ask).await;
    assert_eq!(
        (&body["content"][0]["text"], &body["stop_reason"]),
        (&json!("You said: hi"), &json!("end_turn"))
    );
}
