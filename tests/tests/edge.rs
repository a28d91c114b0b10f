//! The edge that needs no control plane: what Envoy refuses by itself, and a gate that knows nothing.

use std::path::Path;

use latchkey_tests::stack::answer::Answer;
use latchkey_tests::stack::artifacts;
use latchkey_tests::stack::gateway::{Gateway, Options};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

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
    assert_eq!(refused("x-long", &"a".repeat(40_000)).await, (431, "request_headers_too_large".to_owned()));
    let many =
        (0..150).fold(gateway.request(Method::GET, "/"), |request, i| request.header(format!("x-{i}"), "a"));
    let answer = Answer::read(many.send().await.unwrap()).await.unwrap();
    assert_eq!((answer.status, answer.code()), (431, "request_headers_too_large"), "{}", answer.text);
    assert_eq!(answer.header("x-should-retry"), "false");
    let answer = raw(&gateway, "CONNECT gateway:1 HTTP/1.1\r\nhost: gateway\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("unknown_endpoint"), "{answer}");
}

/// Sends bytes, and reads until the gateway closes the connection.
async fn raw(gateway: &Gateway, request: &str) -> String {
    let mut connection = TcpStream::connect(gateway.address()).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn underscored_headers_are_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = gateway(dir.path(), |options| options).await;
    for client in [Client::new(), Client::builder().http2_prior_knowledge().build().unwrap()] {
        let request =
            client.post(gateway.url() + "/v1/responses").json(&json!({ "model": "m", "input": "hi" }));
        let request = request.header("session_id", "1").header("conversation_id", "1");
        let request = request.header("x_latchkey_cluster", "a").bearer_auth("sk");
        let answer = Answer::read(request.send().await.unwrap()).await.unwrap();
        assert_eq!((answer.status, answer.code()), (503, "snapshot_not_ready"), "the gate has answered");
    }
}

#[tokio::test]
async fn a_websocket_is_refused_at_once_and_other_upgrades_are_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = gateway(dir.path(), |options| options).await;
    let ask = async |method: &str, path: &str, upgrade: &str| {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: gateway\r\nconnection: Upgrade, close\r\nupgrade: {upgrade}\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\ncontent-length: 0\r\n\r\n"
        );
        raw(&gateway, &request).await
    };
    for path in
        ["/v1/responses", "/openai_compatible/responses", "/anthropic_messages/v1/messages", "/mcp/files"]
    {
        for upgrade in ["websocket", "WebSocket", "foo, websocket"] {
            let answer = ask("GET", path, upgrade).await;
            assert!(answer.starts_with("HTTP/1.1 426 "), "{path} {upgrade}: {answer}");
            assert!(answer.contains("\"code\":\"websocket_not_supported\""), "{answer}");
            assert!(answer.contains("content-type: application/json"), "{answer}");
        }
    }
    for upgrade in ["TLS/1.2", "h2c", "TLS/1.2, HTTP/1.1", "websockets", "web"] {
        let answer = ask("POST", "/v1/responses", upgrade).await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "the gate has answered: {upgrade}: {answer}");
        assert!(answer.contains("snapshot_not_ready"), "{answer}");
    }
    let plain = gateway.get("/v1/responses", "sk").await.unwrap();
    assert_eq!((plain.status, plain.code(), plain.header("allow")), (405, "method_not_allowed", "POST"));
}

/// Node's own client of HTTP/2 can send an extended CONNECT.
#[tokio::test]
async fn a_websocket_over_http_2_is_refused_alike() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = gateway(dir.path(), |options| options).await;
    let script = artifacts::root().join("tests/h2_websocket.mjs");
    let output = Command::new("node").arg(script).arg(gateway.url()).output().await.unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["status"], 426, "{told} {output:?}");
    assert!(told["body"].as_str().unwrap().contains("websocket_not_supported"), "{told}");
}

#[tokio::test]
async fn health_checks_of_old_load_balancers_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = gateway(dir.path(), |options| options).await;
    for request in ["GET /latchkey/ready HTTP/1.0\r\n\r\n", "HEAD /latchkey/ready HTTP/1.0\r\n\r\n"] {
        let answer = raw(&gateway, request).await;
        assert!(answer.starts_with("HTTP/1.0 503 "), "{request}: {answer}");
        assert_eq!(answer.contains("snapshot_not_ready"), request.starts_with("GET"), "{answer}");
    }
    let head = gateway.request(Method::HEAD, "/latchkey/ready").send().await.unwrap();
    assert_eq!((head.status().as_u16(), head.text().await.unwrap().as_str()), (503, ""));
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
