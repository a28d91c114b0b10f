//! What must not slip through, in either direction, and how the gateway behaves when it is told
//! something that it cannot use.

use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::response::AppendHeaders;
use latchkey_tests::stack::answer::Answer;
use latchkey_tests::stack::api::App;
use latchkey_tests::stack::gateway::Gateway;
use latchkey_tests::stack::{Stack, artifacts, wait};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const CHAT: &str = "/v1/chat/completions";

async fn stack() -> (Stack, App) {
    let stack = Stack::start().await.unwrap();
    let app = stack.api().create_app(json!({ "name": "first" })).await.unwrap();
    stack.gateway().until_status(&app.key, 200).await.unwrap();
    stack.provider().forget();
    (stack, app)
}

fn hello() -> Value {
    json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "hello" }] })
}

/// A chat completion whose body stops halfway.
struct Halfway {
    connection: TcpStream,
    rest: Vec<u8>,
}

impl Halfway {
    async fn begin(gateway: &Gateway, key: &str) -> Self {
        let body = hello().to_string();
        let (first, rest) = body.split_at(body.len() / 2);
        let address = gateway.url().replace("http://", "");
        let mut connection = TcpStream::connect(&address).await.unwrap();
        let head = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{first}",
            body.len()
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        wait::until("the gateway to have begun the request", Duration::from_secs(10), async || {
            let active = gateway.stat("http.gateway.downstream_rq_active").await?;
            Ok((active == 1).then_some(()))
        })
        .await
        .unwrap();
        Self { connection, rest: rest.as_bytes().to_vec() }
    }

    /// The answer's head and body.
    async fn end(mut self) -> String {
        self.connection.write_all(&self.rest).await.unwrap();
        let mut answer = String::new();
        self.connection.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

#[tokio::test]
async fn a_key_that_is_revoked_while_its_body_is_on_the_way_is_refused() {
    let (stack, app) = stack().await;
    let good = Halfway::begin(stack.gateway(), &app.key).await.end().await;
    assert!(good.starts_with("HTTP/1.1 200 "), "{good}");
    assert_eq!(stack.provider().requests().len(), 1);

    stack.provider().forget();
    let late = Halfway::begin(stack.gateway(), &app.key).await;
    let revoked = stack.api().act(&app.path(), "revoke").await.unwrap();
    assert_eq!(revoked["propagation"]["complete"], true, "{revoked}");
    let answer = late.end().await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("_revoked\""), "{answer}");
    assert_eq!(stack.provider().requests().len(), 0);
}

#[tokio::test]
async fn lists_of_further_models_are_refused() {
    let (stack, app) = stack().await;
    for name in ["models", "Models", "fallbacks"] {
        let mut body = hello();
        body[name] = json!(["claude-sonnet-4-5"]);
        let answer = stack.gateway().chat(&app.key, body).await.unwrap();
        assert_eq!((answer.status, answer.code()), (400, "model_list_not_supported"), "{}", answer.text);

        let form = format!(
            "--b\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\ngpt-4o\r\n\
             --b\r\ncontent-disposition: form-data; name=\"{name}[]\"\r\n\r\ngpt-4o-mini\r\n--b--\r\n"
        );
        let request = stack.gateway().request(Method::POST, "/v1/audio/transcriptions").body(form);
        let request = request.bearer_auth(&app.key).header("content-type", "multipart/form-data; boundary=b");
        let answer = Answer::read(request.send().await.unwrap()).await.unwrap();
        assert_eq!((answer.status, answer.code()), (400, "model_list_not_supported"), "{}", answer.text);
    }
    assert_eq!(stack.provider().requests().len(), 0);
}

#[tokio::test]
async fn nothing_of_the_client_and_no_key_in_any_header_reaches_the_provider() {
    let (stack, app) = stack().await;
    let request = stack.gateway().request(Method::POST, CHAT).json(&hello()).bearer_auth(&app.key);
    let request = request
        .header("openai-organization", "org-other")
        .header("openai-project", "proj_other")
        .header("x-goog-api-key", &app.key)
        .header("x-note", format!("my key is {}", app.key))
        .header("x-unknown", "yes")
        .header("x-stainless-lang", "python");
    assert_eq!(request.send().await.unwrap().status(), 200);
    let seen = &stack.provider().requests()[0].headers;
    for name in ["openai-organization", "openai-project", "x-goog-api-key", "x-note", "x-unknown"] {
        assert!(!seen.contains_key(name), "{name}: {seen:?}");
    }
    assert_eq!(seen["x-stainless-lang"], "python");
    assert!(!format!("{seen:?}").contains("sk-quilr-"), "{seen:?}");
}

#[tokio::test]
async fn a_key_in_the_query_is_refused_and_not_logged() {
    let (stack, app) = stack().await;
    for key in [app.key.clone(), app.key.replacen("sk-", "%73k%2D", 1)] {
        let request = stack.gateway().request(Method::POST, &format!("{CHAT}?api_key={key}"));
        let request = request.json(&hello()).bearer_auth(&app.key);
        let answer = Answer::read(request.send().await.unwrap()).await.unwrap();
        assert_eq!((answer.status, answer.code()), (400, "key_in_query"), "{}", answer.text);
    }
    assert_eq!(stack.provider().requests().len(), 0);
    let line = stack.gateway().until_logged(|line| line["code"] == "key_in_query").await.unwrap();
    assert_eq!(line["path"], CHAT, "{line}");
}

#[tokio::test]
async fn a_policy_that_is_refused_in_a_snapshot_keeps_its_last_good_state() {
    let (mut stack, app) = stack().await;
    stack.control_plane().stop().await.unwrap();
    stack.control_plane().back_up("backup").unwrap();
    stack.control_plane().start().await.unwrap();
    let lost = stack.api().create_app(json!({ "name": "lost" })).await.unwrap();
    stack.gateway().until_status(&lost.key, 200).await.unwrap();

    // Another history, with a value that the API would never write: a full snapshot holds it.
    stack.control_plane().stop().await.unwrap();
    stack.control_plane().restore("backup").unwrap();
    let corrupt = format!(
        "UPDATE apps SET settings = REPLACE(settings, '\"ip_allow_list\":null', '\"ip_allow_list\":[\"nowhere\"]')
         WHERE id = '{}'",
        app.id
    );
    stack.control_plane().sql(&corrupt).await.unwrap();
    stack.control_plane().start().await.unwrap();
    assert_eq!(stack.gateway().until_status(&lost.key, 401).await.unwrap().code(), "invalid_api_key");
    assert_eq!(stack.gateway().stat("wasmcustom.latchkey_discovery_generation").await.unwrap(), 2);
    let name = format!("app/{}", app.id);
    let rejected = async || {
        let gateway = stack.api().gateway("gateway-0").await?;
        Ok(gateway.filter(|gateway| gateway["rejected"][0]["resource"] == name.as_str()))
    };
    wait::until("the policy to be refused", Duration::from_secs(10), rejected).await.unwrap();
    let answer = stack.gateway().hello(&app.key).await.unwrap();
    assert_eq!(answer.status, 200, "the last good policy is in force: {}", answer.text);
}

#[tokio::test]
async fn a_provider_that_refuses_the_gateways_credential_is_not_the_clients_fault() {
    let (stack, app) = stack().await;
    let send = async |behaviour: &str| {
        let request = stack.gateway().request(Method::POST, CHAT).json(&hello()).bearer_auth(&app.key);
        let answer = request.header("x-sample", behaviour).send().await.unwrap();
        Answer::read(answer).await.unwrap()
    };
    for status in [401, 403] {
        let answer = send(&format!("status={status}")).await;
        assert_eq!((answer.status, answer.code()), (502, "provider_credential_rejected"), "{}", answer.text);
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("x-should-retry"), "false");
        assert!(!answer.header("x-request-id").is_empty());
    }
    for status in [400, 404, 429, 500] {
        assert_eq!(
            send(&format!("status={status}")).await.status,
            status,
            "any other answer is the client's"
        );
    }
    let line =
        stack.gateway().until_logged(|line| line["details"] == "provider_credential_rejected").await.unwrap();
    assert_eq!((&line["status"], &line["app"]), (&json!(502), &json!(app.id)));

    let edit = json!({ "credential": "sk-wrong-credential" });
    stack.api().send(Method::PATCH, "/api/v1/providers/sample", Some(edit)).await.unwrap().ok().unwrap();
    let answer = stack.gateway().until_status(&app.key, 502).await.unwrap();
    assert_eq!(answer.code(), "provider_credential_rejected");

    let unknown = stack.gateway().hello("sk-quilr-BwcHBwcHBwcHBwcHBwcHBwcHBwc2U7fF").await.unwrap();
    assert_eq!((unknown.status, unknown.code()), (401, "invalid_api_key"), "the gate's own answers stay");
    let edit = json!({ "allowed_models": "none" });
    stack.api().send(Method::PATCH, &app.path(), Some(edit)).await.unwrap().ok().unwrap();
    let denied = stack.gateway().until_status(&app.key, 403).await.unwrap();
    assert_eq!(denied.code(), "model_not_allowed");
}

#[tokio::test]
async fn a_provider_whose_credential_has_not_come_is_not_ready() {
    let (mut stack, _) = stack().await;
    let body = json!({
        "name": "mesh", "kind": "openai", "base_url": "http://mesh.internal/v1", "cluster": "outbound-mesh",
    });
    stack.api().post("/api/v1/providers", body).await.unwrap().ok().unwrap();
    stack.api().create_model("mesh-model", "mesh").await.unwrap();
    let app = stack.api().create_app(json!({ "name": "x" })).await.unwrap();
    let options = stack.options("meshed").config(&without_credential(&stack, "outbound-mesh"));
    let gateway = stack.add_gateway(options).await.unwrap();
    gateway.until_status(&app.key, 200).await.unwrap();
    let answer = gateway.chat(&app.key, json!({ "model": "mesh-model", "messages": [] })).await.unwrap();
    assert_eq!((answer.status, answer.code()), (503, "provider_not_ready"), "{}", answer.text);
    assert_eq!(answer.header("retry-after"), "1");
    let line = gateway.until_logged(|line| line["details"] == "failed_to_inject_credential").await.unwrap();
    assert_eq!(line["status"], 503);
}

/// The product's Envoy configuration with one more cluster, whose credential is empty.
fn without_credential(stack: &Stack, name: &str) -> PathBuf {
    let template = std::fs::read_to_string(artifacts::root().join("envoy/envoy.yaml")).unwrap();
    let cluster = format!(
        r#"
  clusters:
    - name: {name}
      type: STATIC
      load_assignment:
        cluster_name: {name}
        endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: 9 }} }} }} }}] }}]
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: {{ http_protocol_options: {{}} }}
          http_filters:
            - name: envoy.filters.http.credential_injector
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector
                credential:
                  name: envoy.http.injected_credentials.generic
                  typed_config:
                    "@type": type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic
                    credential: {{ name: nothing }}
            - name: envoy.filters.http.upstream_codec
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec
"#
    );
    let secret =
        "\n  secrets:\n    - name: nothing\n      generic_secret: { secret: { inline_string: \"\" } }\n";
    let config = template.replacen("\n  clusters:\n", &cluster, 1).replacen("\n  secrets:\n", secret, 1);
    let path = stack.dir().join("mesh.yaml");
    std::fs::write(&path, config).unwrap();
    path
}

#[tokio::test]
async fn what_a_provider_tells_the_operator_does_not_reach_the_client() {
    let headers = [
        ("openai-organization", "org-1"),
        ("openai-project", "proj_1"),
        ("set-cookie", "a=b"),
        ("x-kept", "yes"),
    ];
    let answers = Router::new().fallback(async move || (AppendHeaders(headers), "{}"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, answers).await });
    let (stack, app) = stack().await;
    stack.api().create_provider("chatty", "openai", &url, "any").await.unwrap();
    stack.api().create_model("chatty-model", "chatty").await.unwrap();
    stack.until_synced().await.unwrap();
    let answer = wait::until("the provider to answer", Duration::from_secs(10), async || {
        let body = json!({ "model": "chatty-model", "messages": [] });
        let answer = stack.gateway().chat(&app.key, body).await?;
        Ok((answer.status == 200).then_some(answer))
    });
    let answer = answer.await.unwrap();
    assert_eq!(answer.header("x-kept"), "yes");
    for name in ["openai-organization", "openai-project", "set-cookie"] {
        assert_eq!(answer.header(name), "", "{name}");
    }
}

#[tokio::test]
async fn a_gateways_token_is_of_the_first_that_uses_it() {
    let mut stack = Stack::start().await.unwrap();
    let created =
        stack.api().post("/api/v1/tokens", json!({ "name": "edge", "role": "gateway" })).await.unwrap();
    let token = created.ok().unwrap();
    assert_eq!(token["gateway"], serde_json::Value::Null);
    let value = token["value"].as_str().unwrap().to_owned();
    let options = stack.options("edge-1").token(&value);
    stack.add_gateway(options).await.unwrap();
    stack.until_synced().await.unwrap();
    let list = stack.api().get("/api/v1/tokens").await.unwrap().ok().unwrap();
    let bound = list["items"].as_array().unwrap().iter().find(|it| it["id"] == token["id"]).unwrap();
    assert_eq!(bound["gateway"], "edge-1");
    // With the name of another gateway, whose state would be shown and who would be charged.
    let app = stack.api().create_app(json!({ "name": "any" })).await.unwrap();
    let options = stack.options("edge-2").token(&value);
    let impostor = stack.add_gateway(options).await.unwrap();
    let refused =
        async || Ok((impostor.stat("wasmcustom.latchkey_discovery_streams_ended").await? > 1).then_some(()));
    wait::until("the impostor to have been refused twice", Duration::from_secs(20), refused).await.unwrap();
    assert_eq!(impostor.hello(&app.key).await.unwrap().status, 503);
    assert!(stack.api().gateway("edge-2").await.unwrap().is_none());
    // An owner may give it to that one.
    let path = format!("/api/v1/tokens/{}/gateway", token["id"].as_str().unwrap());
    let body = json!({ "gateway": "edge-2" });
    stack.api().send(reqwest::Method::PUT, &path, Some(body)).await.unwrap().ok().unwrap();
    stack.gateways()[2].until_status(&app.key, 200).await.unwrap();
}

#[tokio::test]
async fn a_dead_key_that_is_tried_again_and_again_costs_others_nothing() {
    let stack = Stack::builder().priced().start().await.unwrap();
    let dead = stack.api().create_app(json!({ "name": "dead" })).await.unwrap();
    let limited =
        stack.api().create_limited_app("limited", json!({ "requests_per_minute": 1000 })).await.unwrap();
    stack.gateway().until_status(&limited.key, 200).await.unwrap();
    stack.api().act(&dead.path(), "revoke").await.unwrap();
    let client = reqwest::Client::new();
    // Of models and of an MCP server that there is: its refusals name it.
    let server = json!({ "name": "files", "url": "http://127.0.0.1:9/mcp" });
    stack.api().post("/api/v1/mcp-servers", server).await.unwrap().ok().unwrap();
    stack.until_synced().await.unwrap();
    let knock = async |number: usize| {
        let url = stack.gateway().url() + ["/v1/models", "/mcp/files"][number % 2];
        let mut refused = 0_u64;
        for _ in 0..500 {
            let answer = client.get(&url).bearer_auth(&dead.key).send().await.unwrap();
            refused += u64::from(answer.status() == 401);
        }
        refused
    };
    let knocks: u64 = futures::future::join_all((0..20).map(knock)).await.into_iter().sum();
    assert_eq!(knocks, 10_000);
    assert_eq!(stack.gateway().hello(&limited.key).await.unwrap().status, 200, "the ring has room");
    let records = wait::until("every refusal to be counted", Duration::from_secs(60), async || {
        let records = stack.api().records(&dead, "").await?;
        let sum: u64 = records.iter().map(|record| record.repeats).sum();
        anyhow::ensure!(sum <= knocks, "{sum} of {knocks}");
        Ok((sum == knocks).then_some(records))
    });
    let records = records.await.unwrap();
    assert!(records.len() < 200, "{} records", records.len());
    assert_eq!(stack.gateway().stat("wasmcustom.latchkey_gate_records_dropped").await.unwrap(), 0);
    let usage = stack
        .api()
        .get(&format!("/api/v1/usage?group_by=app&app_id={}", dead.id))
        .await
        .unwrap()
        .ok()
        .unwrap();
    assert_eq!(usage["items"][0]["denied"], knocks, "{usage}");
}

#[tokio::test]
async fn models_that_are_listed_again_and_again_are_counted() {
    let stack = Stack::builder().priced().start().await.unwrap();
    let app = stack.api().create_app(json!({ "name": "curious" })).await.unwrap();
    stack.until_synced().await.unwrap();
    let client = reqwest::Client::new();
    let url = stack.gateway().url() + "/v1/models";
    for _ in 0..300 {
        assert_eq!(client.get(&url).bearer_auth(&app.key).send().await.unwrap().status(), 200);
    }
    let records = wait::until("every list to be counted", Duration::from_secs(60), async || {
        let records = stack.api().records(&app, "").await?;
        let sum: u64 = records.iter().map(|record| record.repeats).sum();
        anyhow::ensure!(sum <= 300, "{sum}");
        Ok((sum == 300).then_some(records))
    });
    assert!(records.await.unwrap().len() < 100);
}

/// A provider that goes by a query or by the type of a body must not read another model there than the gate.
#[tokio::test]
async fn no_query_and_no_type_of_body_says_another_thing_than_the_gate_has_read() {
    let (stack, app) = stack().await;
    let mut body = hello();
    body["user"] = json!("&model=other&x=");
    let body = body.to_string();
    for (path, kind) in [
        ("/v1/chat/completions?model=other&beta=true&service_tier=priority", "application/json"),
        (CHAT, "application/x-www-form-urlencoded"),
        (CHAT, "application/json, application/x-www-form-urlencoded"),
        (CHAT, "text/plain"),
    ] {
        let request = stack.gateway().request(Method::POST, path).bearer_auth(&app.key);
        let answer = request.header("content-type", kind).body(body.clone()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path} {kind}");
        let requests = stack.provider().requests();
        let seen = requests.last().unwrap();
        assert_eq!(seen.headers["content-type"], "application/json", "{kind}");
        assert!(!seen.path.contains("other") && !seen.path.contains("tier"), "{}", seen.path);
    }
}
