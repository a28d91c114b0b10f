//! Browsers: closed, unless origins are named.

use std::path::Path;

use latchkey_tests::stack::Stack;
use latchkey_tests::stack::answer::Answer;
use latchkey_tests::stack::gateway::{Gateway, Options};
use reqwest::Method;
use serde_json::json;

const PATHS: [&str; 3] = ["/v1/chat/completions", "/anthropic_messages/v1/messages", "/mcp/files"];
const ORIGIN: &str = "https://pivot.example";

async fn preflight(gateway: &Gateway, path: &str, origin: &str, headers: &str) -> Answer {
    let request = gateway.request(Method::OPTIONS, path).header("origin", origin);
    let request = request.header("access-control-request-method", "POST");
    let request = request.header("access-control-request-headers", headers);
    Answer::read(request.send().await.unwrap()).await.unwrap()
}

async fn gateway(dir: &Path, change: impl FnOnce(Options) -> Options) -> Gateway {
    let options = Options::new("edge", ([127, 0, 0, 1], 1).into(), "token");
    let mut gateway = Gateway::new(dir, change(options)).unwrap();
    gateway.start().await.unwrap();
    gateway
}

#[tokio::test]
async fn it_is_closed_unless_it_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = gateway(dir.path(), |options| options).await;
    for path in PATHS {
        for origin in [ORIGIN, "null", "none."] {
            let answer = preflight(&gateway, path, origin, "authorization").await;
            assert_eq!((answer.status, answer.code()), (405, "method_not_allowed"), "{path} {origin}");
            assert_eq!(answer.header("access-control-allow-origin"), "", "{path} {origin}");
        }
    }
}

#[tokio::test]
async fn an_origin_that_is_named_may_call_and_read_errors() {
    let mut stack = Stack::start().await.unwrap();
    let app = stack
        .api()
        .create_app(json!({ "name": "page", "limits": { "requests_per_minute": 2 } }))
        .await
        .unwrap();
    let options = stack.options("open").cors_origins(r"https://(pivot|chat)\.example");
    stack.add_gateway(options).await.unwrap();
    stack.until_synced().await.unwrap();
    let gateway = &stack.gateways()[1];
    let asked = "authorization,content-type,x-stainless-lang,mcp-session-id,mcp-protocol-version";
    for path in PATHS {
        let answer = preflight(gateway, path, ORIGIN, asked).await;
        assert_eq!((answer.status, answer.text.as_str()), (204, ""), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), ORIGIN, "{path}");
        assert_eq!(answer.header("access-control-allow-headers"), asked, "{path}");
        assert!(answer.header("access-control-allow-methods").contains("POST"), "{path}");
        for stranger in
            ["https://pivot.example.evil.org", "https://xpivot.example", "http://pivot.example", "null"]
        {
            let answer = preflight(gateway, path, stranger, asked).await;
            assert_eq!(
                (answer.status, answer.header("access-control-allow-origin")),
                (405, ""),
                "{path} {stranger}"
            );
        }
    }
    // As many as are allowed: preflights were not among them.
    let call = async |key: &str| {
        let body = json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "hi" }] });
        let request = gateway.request(Method::POST, PATHS[0]).bearer_auth(key).json(&body);
        Answer::read(request.header("origin", ORIGIN).send().await.unwrap()).await.unwrap()
    };
    let wrong = call("sk-quilr-BwcHBwcHBwcHBwcHBwcHBwcHBwc2U7fF").await;
    for (answer, status) in
        [(call(&app.key).await, 200), (call(&app.key).await, 200), (call(&app.key).await, 429), (wrong, 401)]
    {
        assert_eq!(answer.status, status, "{}", answer.text);
        assert_eq!(answer.header("access-control-allow-origin"), ORIGIN, "{status}");
        assert!(answer.header("access-control-expose-headers").contains("mcp-session-id"), "{status}");
    }
    let long = gateway.request(Method::POST, PATHS[0]).header("origin", ORIGIN);
    let long = long.header("content-type", "application/json").body(vec![b' '; 17 << 20]);
    let long = Answer::read(long.bearer_auth(&app.key).send().await.unwrap()).await.unwrap();
    assert_eq!(
        (long.status, long.header("access-control-allow-origin")),
        (413, ORIGIN),
        "Envoy's own errors, too"
    );
    let records = stack.api().until_recorded(&app, 4).await.unwrap();
    assert!(records.iter().all(|record| record.endpoint == "chat_completions"), "{records:?}");
}
