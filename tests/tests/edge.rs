//! The edge that needs no control plane: what Envoy refuses by itself, and a gate that knows nothing.

use std::path::Path;

use latchkey_tests::stack::gateway::{Gateway, Options};
use reqwest::Method;
use serde_json::json;

/// A gateway whose control plane is nowhere.
async fn gateway(dir: &Path, change: impl FnOnce(Options) -> Options) -> Gateway {
    let options = Options::new("edge", ([127, 0, 0, 1], 1).into(), "token");
    let mut gateway = Gateway::new(dir, change(options)).unwrap();
    gateway.start().await.unwrap();
    gateway
}

#[tokio::test]
async fn without_a_snapshot_every_key_is_answered_503() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = gateway(dir.path(), |options| options).await;
    let answer = gateway.hello("sk-quilr-BwcHBwcHBwcHBwcHBwcHBwcHBwc2U7fF").await.unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(!answer.code().is_empty(), "{}", answer.text);
    assert!(!answer.header("x-request-id").is_empty());
    let line = gateway.until_logged(|line| line["status"] == 503).await.unwrap();
    assert_eq!((&line["gateway"], &line["code"]), (&json!("edge"), &json!(answer.code())));
    assert!(!line.to_string().contains("sk-quilr"), "no key is logged: {line}");
}

#[tokio::test]
async fn malformed_requests_are_refused_in_openais_shape() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = gateway(dir.path(), |options| options).await;
    let refused = async |name: &str, value: &str| {
        let request = gateway.request(Method::POST, "/v1/chat/completions").header(name, value);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let body = response.json::<serde_json::Value>().await.unwrap();
        (status, body["error"]["code"].as_str().unwrap().to_owned())
    };
    assert_eq!(refused("x_latchkey_cluster", "a").await, (400, "malformed_request".to_owned()));
    assert_eq!(refused("x-long", &"a".repeat(40_000)).await, (431, "malformed_request".to_owned()));
}

#[tokio::test]
async fn a_flood_is_answered_before_the_gate() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = gateway(dir.path(), |options| options.flood_limit(1)).await;
    let mut codes = vec![];
    for _ in 0..10 {
        let answer = gateway.hello("sk").await.unwrap();
        codes.push((answer.status, answer.code().to_owned(), answer.header("retry-after").to_owned()));
    }
    assert!(codes.contains(&(429, "gateway_rate_limited".to_owned(), "1".to_owned())), "{codes:?}");
}

#[tokio::test]
async fn readiness_is_told_in_a_flood_too() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = gateway(dir.path(), |options| options.flood_limit(1)).await;
    for _ in 0..10 {
        let answer = gateway.get("/latchkey/ready", "").await.unwrap();
        assert_eq!((answer.status, answer.code()), (503, "snapshot_not_ready"), "the gate has answered");
        gateway.hello("sk").await.unwrap();
    }
    let wrong = gateway.post("/latchkey/ready", "", &json!({})).await.unwrap();
    assert_eq!((wrong.status, wrong.code()), (405, "method_not_allowed"));
    assert_eq!(gateway.get("/latchkey/ready/", "").await.unwrap().status, 429, "that path alone");
}
