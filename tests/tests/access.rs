//! What a key may do: models, providers, addresses.

use std::path::PathBuf;

use latchkey_tests::stack::answer::Answer;
use latchkey_tests::stack::{PROVIDER_CREDENTIAL, Stack, artifacts};
use reqwest::Method;
use serde_json::json;

async fn code(stack: &Stack, key: &str, model: &str) -> (u16, String) {
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }] });
    let answer = stack.gateway().chat(key, body).await.unwrap();
    (answer.status, answer.code().to_owned())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

const OK: u16 = 200;

async fn listed(stack: &Stack, key: &str) -> Vec<String> {
    let answer = stack.gateway().get("/v1/models", key).await.unwrap().ok().unwrap();
    let mut names: Vec<_> = answer["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn only_allowed_models_are_listed_and_called() {
    let stack = Stack::start().await.unwrap();
    let body = json!({ "name": "narrow", "allowed_models": ["gpt-4o*"] });
    let app = stack.api().create_app(body).await.unwrap();
    stack.gateway().until_status(&app.key, OK).await.unwrap();
    assert_eq!(listed(&stack, &app.key).await, ["gpt-4o", "gpt-4o-mini"]);
    assert_eq!(code(&stack, &app.key, "gpt-4o").await, refused(OK, ""));
    assert_eq!(code(&stack, &app.key, "claude-sonnet-4-5").await, refused(403, "model_not_allowed"));
    assert_eq!(code(&stack, &app.key, "gpt-9").await, refused(404, "model_not_found"));
    let retrieved = stack.gateway().get("/v1/models/claude-sonnet-4-5", &app.key).await.unwrap();
    assert_eq!((retrieved.status, retrieved.code()), (403, "model_not_allowed"), "{}", retrieved.text);
    let edit = json!({ "allowed_models": "none" });
    stack.api().send(Method::PATCH, &app.path(), Some(edit)).await.unwrap().ok().unwrap();
    stack.gateway().until_status(&app.key, 403).await.unwrap();
    assert_eq!(listed(&stack, &app.key).await, Vec::<String>::new());
}

#[tokio::test]
async fn only_allowed_providers_serve() {
    let stack = Stack::start().await.unwrap();
    let other =
        latchkey_tests::provider::Provider::start(([127, 0, 0, 1], 0).into(), Some("other")).await.unwrap();
    stack.api().create_provider("other", "openai", &other.url(), "other").await.unwrap();
    stack.api().create_model("gpt-4o", "other").await.unwrap();
    let only = |name: &str| json!({ "name": name, "allowed_providers": [name] });
    let sample = stack.api().create_app(only("sample")).await.unwrap();
    let second = stack.api().create_app(only("other")).await.unwrap();
    stack.gateway().until_status(&sample.key, OK).await.unwrap();
    stack.until_synced().await.unwrap();
    stack.provider().forget();

    assert_eq!(listed(&stack, &second.key).await, ["gpt-4o"]);
    assert_eq!(code(&stack, &second.key, "gpt-4o").await, refused(OK, ""));
    assert_eq!(code(&stack, &second.key, "gpt-4o-mini").await, refused(403, "provider_not_allowed"));
    assert_eq!((stack.provider().requests().len(), other.requests().len()), (0, 1));
    assert_eq!(other.requests()[0].headers["authorization"], "Bearer other");
    assert_eq!(code(&stack, &sample.key, "gpt-4o").await, refused(OK, ""));
    assert_eq!((stack.provider().requests().len(), other.requests().len()), (1, 1));
}

#[tokio::test]
async fn a_model_is_called_by_its_providers_name_for_it() {
    let stack = Stack::start().await.unwrap();
    let body = json!({ "name": "our/model", "provider": "sample", "upstream_name": "gpt-4o-2024-08-06" });
    stack.api().post("/api/v1/models", body).await.unwrap().ok().unwrap();
    let app = stack.api().create_app(json!({ "name": "x" })).await.unwrap();
    stack.gateway().until_status(&app.key, OK).await.unwrap();
    stack.provider().forget();
    assert_eq!(code(&stack, &app.key, "our/model").await, refused(OK, ""));
    let seen = stack.provider().requests()[0].body.clone();
    assert_eq!(seen["model"], "gpt-4o-2024-08-06");
    assert_eq!(seen["messages"][0]["content"], "hello");
    let retrieved = stack.gateway().get("/v1/models/our%2Fmodel", &app.key).await.unwrap().ok().unwrap();
    assert_eq!(retrieved["id"], "our/model");
}

#[tokio::test]
async fn the_providers_base_path_and_new_credential_are_used() {
    let stack = Stack::start().await.unwrap();
    let app = stack.api().create_app(json!({ "name": "x" })).await.unwrap();
    stack.gateway().until_status(&app.key, OK).await.unwrap();
    let edit = json!({ "credential": "wrong" });
    stack.api().send(Method::PATCH, "/api/v1/providers/sample", Some(edit)).await.unwrap().ok().unwrap();
    let refused = stack.gateway().until_status(&app.key, 502).await.unwrap();
    assert_eq!((refused.code(), refused.header("x-should-retry")), ("provider_credential_rejected", "false"));
    assert!(!refused.text.contains("sk-") && !refused.text.contains("wrong"), "{}", refused.text);
    let edit = json!({ "credential": PROVIDER_CREDENTIAL });
    stack.api().send(Method::PATCH, "/api/v1/providers/sample", Some(edit)).await.unwrap().ok().unwrap();
    stack.gateway().until_status(&app.key, OK).await.unwrap();
    let edit = json!({ "enabled": false });
    stack.api().send(Method::PATCH, "/api/v1/providers/sample", Some(edit)).await.unwrap().ok().unwrap();
    let gone = stack.gateway().until_status(&app.key, 404).await.unwrap();
    assert_eq!(gone.code(), "model_not_found");
}

#[tokio::test]
async fn an_existing_cluster_is_used_by_its_name() {
    let mut stack = Stack::start().await.unwrap();
    let body = json!({
        "name": "mesh", "kind": "openai", "base_url": "http://mesh.internal/base/v1", "cluster": "outbound-mesh",
    });
    stack.api().post("/api/v1/providers", body).await.unwrap().ok().unwrap();
    stack.api().create_model("mesh-model", "mesh").await.unwrap();
    let app = stack.api().create_app(json!({ "name": "x" })).await.unwrap();
    let options = stack.options("meshed").config(&with_cluster(&stack, "outbound-mesh"));
    let gateway = stack.add_gateway(options).await.unwrap();
    gateway.until_status(&app.key, OK).await.unwrap();
    stack.provider().forget();
    let body = json!({ "model": "mesh-model", "messages": [] });
    stack.gateways()[1].chat(&app.key, body).await.unwrap();
    let seen = stack.provider().requests();
    assert_eq!((seen.len(), seen[0].path.as_str()), (1, "/base/v1/chat/completions"));
    assert_eq!(seen[0].headers["host"], "mesh.internal");
    assert!(!seen[0].headers.contains_key("authorization"), "the mesh brings the credential: {seen:?}");
}

/// The product's Envoy configuration with one more cluster, which reaches the sample provider.
fn with_cluster(stack: &Stack, name: &str) -> PathBuf {
    let template = std::fs::read_to_string(artifacts::root().join("envoy/envoy.yaml")).unwrap();
    let provider = stack.provider().url();
    let port = provider.split(':').nth(2).unwrap().split('/').next().unwrap();
    let cluster = format!(
        r#"
  clusters:
    - name: {name}
      type: STATIC
      load_assignment:
        cluster_name: {name}
        endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }} }}] }}]
"#
    );
    let path = stack.dir().join("mesh.yaml");
    std::fs::write(&path, template.replacen("\n  clusters:\n", &cluster, 1)).unwrap();
    path
}

#[tokio::test]
async fn an_address_that_is_not_allowed_cannot_talk_its_way_in() {
    let stack = Stack::start().await.unwrap();
    let body = json!({ "name": "office", "ip_allow_list": ["203.0.113.0/24", "2001:db8::/32"] });
    let app = stack.api().create_app(body).await.unwrap();
    stack.gateway().until_status(&app.key, 403).await.unwrap();
    for (header, value) in [
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-for", "203.0.113.7, 203.0.113.8"),
        ("x-real-ip", "203.0.113.7"),
        ("forwarded", "for=203.0.113.7"),
        ("x-envoy-external-address", "203.0.113.7"),
        ("true-client-ip", "203.0.113.7"),
    ] {
        let request = stack.gateway().request(Method::GET, "/v1/models").bearer_auth(&app.key);
        let answer = Answer::read(request.header(header, value).send().await.unwrap()).await.unwrap();
        assert_eq!((answer.status, answer.code()), (403, "ip_not_allowed"), "{header}: {value}");
    }
    let edit = json!({ "ip_allow_list": ["203.0.113.0/24", "127.0.0.0/8"] });
    stack.api().send(Method::PATCH, &app.path(), Some(edit)).await.unwrap().ok().unwrap();
    stack.gateway().until_status(&app.key, OK).await.unwrap();
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_client_it_names_counts_and_no_other() {
    let stack = Stack::builder().trusted_hops(1).start().await.unwrap();
    let app =
        stack.api().create_app(json!({ "name": "office", "ip_allow_list": ["203.0.113.7"] })).await.unwrap();
    stack.gateway().until_status(&app.key, 403).await.unwrap();
    for (forwarded, status) in [
        ("203.0.113.7", OK),
        ("198.51.100.1, 203.0.113.7", OK),
        ("203.0.113.7, 198.51.100.1", 403),
        ("nonsense", 403),
    ] {
        let request = stack.gateway().request(Method::GET, "/v1/models").bearer_auth(&app.key);
        let answer = request.header("x-forwarded-for", forwarded).send().await.unwrap();
        assert_eq!(answer.status(), status, "{forwarded}");
    }
}

#[tokio::test]
async fn bodies_that_say_two_things_or_nothing_are_refused() {
    let stack = Stack::start().await.unwrap();
    let app = stack.api().create_app(json!({ "name": "x" })).await.unwrap();
    stack.gateway().until_status(&app.key, OK).await.unwrap();
    stack.provider().forget();
    for (body, code) in [
        ("", "invalid_json"),
        ("{", "invalid_json"),
        ("[]", "invalid_json"),
        (r#"{"model":"gpt-4o","model":"gpt-4o-mini","messages":[]}"#, "invalid_json"),
        (r#"{"model":"gpt-4o","mod\u0065l":"gpt-4o-mini","messages":[]}"#, "invalid_json"),
        (r#"{"messages":[]}"#, "model_required"),
        (r#"{"model":null}"#, "model_required"),
        (r#"{"model":7}"#, "model_required"),
    ] {
        let request = stack.gateway().request(Method::POST, "/v1/chat/completions").bearer_auth(&app.key);
        let request = request.header("content-type", "application/json").body(body);
        let answer = Answer::read(request.send().await.unwrap()).await.unwrap();
        assert_eq!((answer.status, answer.code()), (400, code), "{body}: {}", answer.text);
    }
    let unknown = stack.gateway().get("/v1/files", &app.key).await.unwrap();
    assert_eq!((unknown.status, unknown.code()), (404, "unknown_endpoint"));
    let method = stack.gateway().get("/v1/chat/completions", &app.key).await.unwrap();
    assert_eq!((method.status, method.code(), method.header("allow")), (405, "method_not_allowed", "POST"));
    assert_eq!(stack.provider().requests().len(), 0);
}

#[tokio::test]
async fn anthropics_path_answers_in_anthropics_shape() {
    let stack = Stack::start().await.unwrap();
    let url = stack.provider().url();
    stack.api().create_provider("anthropic", "anthropic", &url, PROVIDER_CREDENTIAL).await.unwrap();
    stack.api().create_model("claude-opus-4-5", "anthropic").await.unwrap();
    let app = stack.api().create_app(json!({ "name": "x" })).await.unwrap();
    stack.gateway().until_status(&app.key, OK).await.unwrap();
    stack.until_synced().await.unwrap();
    let send = async |key: &str, model: &str| {
        let body =
            json!({ "model": model, "max_tokens": 9, "messages": [{ "role": "user", "content": "hello" }] });
        let request = stack.gateway().request(Method::POST, "/anthropic_messages/v1/messages").json(&body);
        let request = request.header("x-api-key", key).header("anthropic-version", "2023-06-01");
        Answer::read(request.send().await.unwrap()).await.unwrap()
    };
    let answer = send(&app.key, "claude-opus-4-5").await;
    assert_eq!((answer.status, &answer.body["type"]), (OK, &json!("message")), "{}", answer.text);
    let denied = send("sk-quilr-no", "claude-opus-4-5").await;
    assert_eq!((denied.status, &denied.body["type"]), (401, &json!("error")));
    assert_eq!(denied.body["error"]["type"], "authentication_error");
    let other = send(&app.key, "gpt-4o").await;
    assert_eq!((other.status, other.code()), (400, "endpoint_not_supported"), "{}", other.text);
}
