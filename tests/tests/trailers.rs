//! Answers that end in trailers, from a provider over TLS and HTTP/2.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use http_body_util::{BodyExt as _, Full};
use latchkey_tests::load::{self, Call};
use latchkey_tests::stack::Stack;
use latchkey_tests::stack::api::App;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::Routes;
use tonic::transport::{Identity, Server, ServerTlsConfig};

const TEXT: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello\"}}]}\n\n";
const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":22}}\n";

/// A certificate for the loopback address, and its key.
fn certificate(dir: &Path) -> (String, String) {
    let (certificate, key) = (dir.join("provider.crt"), dir.join("provider.key"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=provider", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = |path| std::fs::read_to_string(path).unwrap();
    (read(&certificate), read(&key))
}

/// Answers every chat with these bytes, then with trailers.
fn answer(content_type: &'static str, body: String) -> Response {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", HeaderValue::from_static("1"));
    let body = Full::new(Bytes::from(body)).with_trailers(async move { Some(Ok(trailers)) });
    ([(header::CONTENT_TYPE, content_type)], Body::new(body)).into_response()
}

/// The model's name says which answer.
async fn chat(body: String) -> Response {
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    match body["model"].as_str().unwrap() {
        "unfinished-end" => answer("text/event-stream", [TEXT, USAGE, "\n", "data: [DONE]\n"].concat()),
        "unfinished-usage" => answer("text/event-stream", [TEXT, USAGE].concat()),
        "unfinished-error" => answer("text/event-stream", [TEXT, "data: {\"error\":{\"message\":\"no\"}}\n"].concat()),
        _ => answer(
            "application/json",
            "{\"choices\":[{\"message\":{\"content\":\"hi\"}}],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":22}}"
                .to_owned(),
        ),
    }
}

async fn serve(certificate: String, key: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().route("/v1/chat/completions", post(chat));
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
    let server = Server::builder().tls_config(tls).unwrap().add_routes(Routes::from(app));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

async fn world() -> (Stack, App, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(dir.path());
    let bundle = dir.path().join("provider.crt").display().to_string();
    let stack = Stack::builder().variable("LATCHKEY_CA_BUNDLE", &bundle).start().await.unwrap();
    let address = serve(certificate, key).await;
    let api = stack.api();
    api.create_provider("tls", "openai_compatible", &format!("https://{address}/v1"), "sk").await.unwrap();
    for name in ["unfinished-end", "unfinished-usage", "unfinished-error", "document"] {
        let model = json!({ "name": name, "provider": "tls", "price": { "input": "1", "output": "10" },
            "max_output_tokens": 1_000, "context_window": 10_000 });
        api.post("/api/v1/models", model).await.unwrap().ok().unwrap();
    }
    let budget = json!({ "budget": { "usd": "10", "per": "total" } });
    let app = api.create_limited_app("capped", budget).await.unwrap();
    stack.until_synced().await.unwrap();
    (stack, app, dir)
}

#[tokio::test]
async fn trailers_end_an_answer_as_the_end_of_its_body_does() {
    let (stack, app, _dir) = world().await;
    let end = [TEXT, "data: [DONE]\n"].concat();
    let error = [TEXT, "data: {\"error\":{\"message\":\"no\"}}\n"].concat();
    for (number, (model, text, settlement)) in [
        ("unfinished-end", Some(end.as_str()), "reported"),
        ("unfinished-usage", Some(TEXT), "reported"),
        ("unfinished-error", Some(error.as_str()), "reserved"),
        ("document", None, "reported"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut call = Call::chat(&app.key, model, 100, "");
        if text.is_some() {
            call = call.streamed();
        }
        let outcome = load::once(stack.gateway().address(), &call).await;
        assert_eq!(outcome.status, 200, "{}", outcome.text());
        if let Some(text) = text {
            assert_eq!(outcome.text(), text, "{model}");
        }
        let records = stack.api().until_recorded(&app, number + 1).await.unwrap();
        let record = records.iter().find(|record| record.model.as_deref() == Some(model)).unwrap();
        assert_eq!(record.settlement, settlement, "{record:?}");
        if settlement == "reported" {
            assert_eq!((record.input_tokens, record.output_tokens), (11, 22), "{record:?}");
        }
    }
}
