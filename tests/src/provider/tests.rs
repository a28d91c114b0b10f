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
    let billed = Billed { requests: 1, input_tokens: 2, output_tokens: 4, ..Billed::default() };
    let models = [("gpt-4o-mini".to_owned(), billed)].into();
    assert_eq!(provider.counts(), Counts { requests: 3, under_way: 0, models });
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

/// What is billed once every answer has ended.
async fn billed(provider: &Provider) -> Billed {
    provider.settled().await.unwrap().total()
}

fn tokens(input_tokens: u64, output_tokens: u64) -> Billed {
    Billed { requests: 1, input_tokens, output_tokens, ..Billed::default() }
}

#[tokio::test]
async fn each_endpoint_bills_what_its_usage_tells() {
    let sample = "tokens=100,reasoning=7,cached=1";
    let conversation = json!([{ "role": "user", "content": "hello" }]);
    let asks = [
        ("/chat/completions", json!({ "messages": conversation, "n": 3, "max_tokens": 50 })),
        ("/completions", json!({ "prompt": ["one", "another"], "n": 2, "best_of": 3, "max_tokens": 20 })),
        ("/responses", json!({ "input": "hello", "max_output_tokens": 30 })),
        ("/messages", json!({ "messages": conversation, "max_tokens": 40 })),
    ];
    let expected = [(2, 150, 21), (3, 120, 42), (2, 30, 7), (2, 40, 0)];
    for ((path, mut ask), (input, output, reasoning)) in asks.into_iter().zip(expected) {
        let expected =
            Billed { cached_input_tokens: 1, reasoning_tokens: reasoning, ..tokens(input, output) };
        let provider = provider().await;
        ask["model"] = json!("m");
        let (status, text) = post(&provider, path, sample, ask.clone()).await;
        assert_eq!((status, billed(&provider).await), (200, expected), "{path}: {text}");
        let usage = &serde_json::from_str::<Value>(&text).unwrap()["usage"];
        let told = |names: [&str; 2]| names.iter().find_map(|name| usage[name].as_u64());
        assert_eq!(told(["completion_tokens", "output_tokens"]), Some(output), "{path}: {usage}");
        let cached = usage["cache_read_input_tokens"].as_u64().unwrap_or(0);
        assert_eq!(told(["prompt_tokens", "input_tokens"]).map(|told| told + cached), Some(input), "{path}");

        for sample in [sample.to_owned(), format!("{sample},tiny-chunks"), format!("{sample},no-usage")] {
            provider.forget();
            ask["stream"] = json!(true);
            post(&provider, path, &sample, ask.clone()).await;
            assert_eq!(billed(&provider).await, expected, "{path} streamed, {sample}");
        }
    }
}

#[tokio::test]
async fn what_was_generated_up_to_a_cut_is_billed() {
    let provider = provider().await;
    let client = reqwest::Client::new();
    let ask = client.post(provider.url() + "/chat/completions").bearer_auth("sk-provider");
    let ask = ask.json(&streamed("hello"));
    // The role, and `All work and no `: 16 bytes.
    let cut = ask.try_clone().unwrap().header("x-sample", "tokens=100,reasoning=3,cut=5").send().await;
    cut.unwrap().bytes().await.unwrap_err();
    let expected = Billed { reasoning_tokens: 3, ..tokens(2, 3 + 4) };
    assert_eq!(billed(&provider).await, expected);

    provider.forget();
    let mut left = ask.header("x-sample", "tokens=100,pace=20").send().await.unwrap();
    left.chunk().await.unwrap();
    drop(left);
    let billed = billed(&provider).await;
    assert_eq!((billed.requests, billed.input_tokens), (1, 2));
    assert!(billed.output_tokens < 100, "{billed:?}");
}

#[tokio::test]
async fn failures_are_not_billed() {
    let provider = provider().await;
    for sample in ["status=400", "status=429", "status=500"] {
        post(&provider, "/chat/completions", sample, chat("hello")).await;
    }
    assert_eq!((billed(&provider).await, provider.counts().requests), (Billed::default(), 3));
}

#[tokio::test]
async fn a_dense_input_is_a_token_per_byte() {
    let provider = provider().await;
    post(&provider, "/chat/completions", "dense,tokens=1", chat("schön")).await;
    assert_eq!(billed(&provider).await, tokens(6, 1));
    provider.forget();
    let numbers = json!({ "model": "text-embedding-3-small", "input": [[1, 2, 3], [4]] });
    post(&provider, "/embeddings", "", numbers).await;
    assert_eq!(billed(&provider).await, tokens(4, 0));
}

#[tokio::test]
async fn counts_are_read_and_forgotten_over_http() {
    let provider = provider().await;
    post(&provider, "/chat/completions", "", chat("hello")).await;
    let url = provider.url().replace("/v1", "/counts");
    let client = reqwest::Client::new();
    let counts: Value = client.get(&url).send().await.unwrap().json().await.unwrap();
    let billed = json!({ "requests": 1, "input_tokens": 2, "cached_input_tokens": 0, "output_tokens": 4,
        "reasoning_tokens": 0 });
    let expected =
        json!({ "requests": 1, "under_way": 0, "models": { "gpt-4o-mini": billed }, "total": billed });
    assert_eq!(counts, expected);
    assert_eq!(client.delete(&url).send().await.unwrap().status(), 204);
    assert_eq!(provider.counts(), Counts::default());
}
