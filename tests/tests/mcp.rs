//! MCP servers through the gateway: real servers, and the official SDK as the client.

use std::time::Duration;

use latchkey_tests::mcp::{McpServer, signing_in};
use latchkey_tests::stack::answer::Answer;
use latchkey_tests::stack::api::App;
use latchkey_tests::stack::{Stack, wait};
use reqwest::Method;
use serde_json::{Value, json};

#[path = "mcp/pins.rs"]
mod pins;
#[path = "mcp/streams.rs"]
mod streams;

const PATIENCE: Duration = Duration::from_secs(10);

/// Attaches a server, by this name.
async fn attach(stack: &Stack, name: &str, server: &McpServer, credential: Option<&str>) {
    attach_url(stack, name, server.url(), credential).await;
}

async fn attach_url(stack: &Stack, name: &str, url: &str, credential: Option<&str>) {
    let body = json!({ "name": name, "url": url, "credential": credential });
    stack.api().post("/api/v1/mcp-servers", body).await.unwrap().ok().unwrap();
}

/// An app with these settings, once the gateway serves it the MCP server of this name.
async fn app(stack: &Stack, server: &str, mut settings: Value) -> App {
    if settings["name"].is_null() {
        settings["name"] = json!("agent");
    }
    let app = stack.api().create_app(settings).await.unwrap();
    wait::until("the gateway to serve the MCP server", PATIENCE, async || {
        let answer = send(stack, server, &app.key, &ping()).await;
        // The server itself may refuse what has no session.
        Ok((answer.code().is_empty() && answer.status < 500).then_some(()))
    })
    .await
    .unwrap();
    app
}

fn ping() -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })
}

fn call(tool: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": "call-7", "method": "tools/call", "params": { "name": tool, "arguments": {} } })
}

/// Sends a message as a client would, but by hand.
async fn send(stack: &Stack, server: &str, key: &str, message: &Value) -> Answer {
    let request = stack.gateway().request(Method::POST, &format!("/mcp/{server}"));
    let request = request.bearer_auth(key).header("accept", "application/json, text/event-stream");
    Answer::read(request.json(message).send().await.unwrap()).await.unwrap()
}

/// A session of the SDK's client, which lists the tools and calls one.
async fn session(stack: &Stack, server: &str, key: &str, variables: &[(&str, &str)]) -> Value {
    let url = format!("{}/mcp/{server}", stack.gateway().url());
    stack
        .gateway()
        .sdk("mcp_client.py", key, &[&[("MCP_URL", url.as_str())], variables].concat())
        .await
        .unwrap()
}

#[tokio::test]
async fn the_sdk_lists_and_calls_tools_and_the_server_sees_the_gateways_credential() {
    let server = McpServer::telling().await.unwrap();
    let stack = Stack::start().await.unwrap();
    attach(&stack, "tell", &server, Some("server-secret")).await;
    let app = app(&stack, "tell", json!({})).await;
    for mode in ["auto", "legacy"] {
        let seen = session(&stack, "tell", &app.key, &[("TOOL", "headers"), ("MCP_MODE", mode)]).await;
        assert_eq!(
            seen["tools"],
            json!(["add", "drop_table", "headers", "recherche_données"]),
            "{mode}: {seen}"
        );
        let headers: Value = serde_json::from_str(seen["content"][0].as_str().unwrap()).unwrap();
        assert_eq!(headers["authorization"], "Bearer server-secret", "{mode}");
        assert!(!headers.to_string().contains(&app.key), "the server never learns the key: {headers}");
        assert!(!headers.to_string().contains("x-latchkey"), "{headers}");
        let seen = session(
            &stack,
            "tell",
            &app.key,
            &[("TOOL", "add"), ("ARGUMENTS", r#"{"a":1,"b":2}"#), ("MCP_MODE", mode)],
        )
        .await;
        assert_eq!(seen["content"], json!(["3"]), "{mode}: {seen}");
    }
}

#[tokio::test]
async fn a_key_sees_and_calls_the_tools_of_its_scope_alone() {
    let server = McpServer::telling().await.unwrap();
    let stack = Stack::start().await.unwrap();
    attach(&stack, "tell", &server, None).await;
    attach(&stack, "other", &server, None).await;
    let app = app(&stack, "tell", json!({ "mcp_scope": ["tell/add", "tell/head*"] })).await;
    for mode in ["auto", "legacy"] {
        let seen = session(&stack, "tell", &app.key, &[("TOOL", "drop_table"), ("MCP_MODE", mode)]).await;
        assert_eq!(seen["tools"], json!(["add", "headers"]), "{mode}: {seen}");
        assert_eq!(seen["error"]["data"]["code"], "mcp_tool_not_allowed", "{mode}: {seen}");
    }
    let path = format!("/api/v1/logs?app_id={}&provider=mcp/tell&model=tell/drop_table", app.id);
    wait::until("the record of the refusal", PATIENCE, async || {
        let logs = stack.api().get(&path).await?.ok()?;
        Ok((logs["items"][0]["code"] == "mcp_tool_not_allowed").then_some(()))
    })
    .await
    .unwrap();
    let refused = send(&stack, "tell", &app.key, &call("drop_table")).await;
    assert_eq!((refused.status, &refused.body["id"]), (403, &json!("call-7")), "{}", refused.text);
    assert_eq!(refused.body["error"]["data"]["rule"], "app.mcp");
    for (server, status, code) in
        [("other", 403, "mcp_server_not_allowed"), ("nobody", 404, "mcp_server_not_found")]
    {
        let refused = send(&stack, server, &app.key, &ping()).await;
        assert_eq!((refused.status, refused.code()), (status, code), "{}", refused.text);
    }
    // What the body says counts, whatever is said beside it; and it can be said once only.
    let twice =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","na\u006de":"drop_table"}}"#;
    for body in [twice.to_owned(), format!("[{}]", call("drop_table"))] {
        let request = stack.gateway().request(Method::POST, "/mcp/tell").bearer_auth(&app.key);
        let request = request.header("content-type", "application/json").body(body.clone());
        let refused = Answer::read(request.send().await.unwrap()).await.unwrap();
        assert_eq!(refused.status, 400, "{body}: {}", refused.text);
    }
    let edit = json!({ "mcp_scope": "none" });
    stack.api().send(Method::PATCH, &app.path(), Some(edit)).await.unwrap().ok().unwrap();
    wait::until("the scope to be narrowed", PATIENCE, async || {
        let refused = send(&stack, "tell", &app.key, &call("add")).await;
        Ok((refused.status == 403).then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_tool_whose_name_is_not_ascii_is_called_by_the_sdk() {
    let server = McpServer::telling().await.unwrap();
    let stack = Stack::start().await.unwrap();
    attach(&stack, "tell", &server, None).await;
    let app = app(&stack, "tell", json!({ "mcp_scope": ["tell/recherche_*"] })).await;
    for mode in ["auto", "legacy"] {
        let variables =
            [("TOOL", "recherche_données"), ("ARGUMENTS", r#"{"texte":"été"}"#), ("MCP_MODE", mode)];
        let seen = session(&stack, "tell", &app.key, &variables).await;
        assert_eq!(seen["content"], json!(["trouvé: été"]), "{mode}: {seen}");
        assert_eq!(seen["tools"], json!(["recherche_données"]), "{mode}: {seen}");
        assert_eq!(seen["version"] == "2026-07-28", mode == "auto", "{seen}");
    }
}

#[tokio::test]
async fn sessions_and_streams_of_the_mcp_projects_own_server_pass() {
    let server = McpServer::everything().await.unwrap();
    let stack = Stack::start().await.unwrap();
    attach(&stack, "everything", &server, None).await;
    let app =
        app(&stack, "everything", json!({ "mcp_scope": ["everything/echo", "everything/get-sum"] })).await;
    let variables = [("TOOL", "echo"), ("ARGUMENTS", r#"{"message":"hello"}"#)];
    let seen = session(&stack, "everything", &app.key, &variables).await;
    assert_eq!(
        (&seen["tools"], &seen["content"]),
        (&json!(["echo", "get-sum"]), &json!(["Echo: hello"])),
        "{seen}"
    );
    let seen = session(&stack, "everything", &app.key, &[("TOOL", "get-env")]).await;
    assert_eq!(
        seen["error"]["data"]["code"], "mcp_tool_not_allowed",
        "its environment stays its own: {seen}"
    );
    stack.api().act(&app.path(), "revoke").await.unwrap();
    let refused = send(&stack, "everything", &app.key, &ping()).await;
    assert_eq!((refused.status, refused.code()), (401, "key_revoked"), "{}", refused.text);
}

#[tokio::test]
async fn somebody_whose_client_would_sign_in_reads_of_their_key() {
    let server = McpServer::telling().await.unwrap();
    let stack = Stack::start().await.unwrap();
    attach(&stack, "tell", &server, None).await;
    let app = app(&stack, "tell", json!({ "mcp_scope": ["tell/add"] })).await;
    let url = format!("{}/mcp/tell", stack.gateway().url());
    let told = signing_in(&url, &app.key).await.unwrap();
    assert_eq!(told, json!({ "tools": ["add"] }));
    stack.api().act(&app.path(), "revoke").await.unwrap();
    for key in [app.key.as_str(), "sk-nothing"] {
        let told = signing_in(&url, key).await.unwrap();
        let error = told["error"].as_str().unwrap();
        assert!(error.contains("API key is missing, wrong, expired or revoked"), "{told}");
    }
}

#[tokio::test]
async fn messages_count_as_requests_and_are_recorded_with_their_tool() {
    let server = McpServer::telling().await.unwrap();
    let stack = Stack::start().await.unwrap();
    attach(&stack, "tell", &server, None).await;
    // A budget does not stop what has no price.
    let limits = json!({ "requests_per_minute": 1000, "budget": { "usd": "1", "per": "month" } });
    let app = app(&stack, "tell", json!({ "limits": limits })).await;
    session(&stack, "tell", &app.key, &[("TOOL", "add"), ("ARGUMENTS", r#"{"a":1,"b":2}"#)]).await;
    let logs = wait::until("the record of the call", PATIENCE, async || {
        let path = format!("/api/v1/logs?app_id={}&model=tell/add", app.id);
        let logs = stack.api().get(&path).await?.ok()?;
        Ok((logs["items"].as_array().map(Vec::len) == Some(1)).then_some(logs))
    })
    .await
    .unwrap();
    let record = &logs["items"][0];
    assert_eq!(
        (&record["endpoint"], &record["provider"], &record["status"]),
        (&json!("mcp"), &json!("mcp/tell"), &json!(200)),
        "{record}"
    );
    assert_eq!((&record["cost"], &record["input_tokens"]), (&json!("0"), &json!(0)), "{record}");

    let edit = json!({ "limits": { "requests_per_minute": 1 } });
    stack.api().send(Method::PATCH, &app.path(), Some(edit)).await.unwrap().ok().unwrap();
    let refused = wait::until("the limit to be in force", PATIENCE, async || {
        let answer = send(&stack, "tell", &app.key, &call("add")).await;
        Ok((answer.status == 429).then_some(answer))
    })
    .await
    .unwrap();
    let limit = &refused.body["error"]["data"]["limit"]["name"];
    assert_eq!(
        (refused.code(), limit),
        ("rate_limit_exceeded", &json!("requests_per_minute")),
        "{}",
        refused.text
    );
}

#[tokio::test]
async fn a_server_that_is_gone_is_told_as_such() {
    let server = McpServer::telling().await.unwrap();
    let stack = Stack::start().await.unwrap();
    attach(&stack, "tell", &server, None).await;
    let app = app(&stack, "tell", json!({})).await;
    drop(server);
    let answer = wait::until("the server to be gone", PATIENCE, async || {
        let answer = send(&stack, "tell", &app.key, &ping()).await;
        Ok((answer.status >= 500).then_some(answer))
    })
    .await
    .unwrap();
    assert_eq!((answer.status, answer.code()), (503, "provider_unreachable"), "{}", answer.text);
    let edit = json!({ "enabled": false });
    stack.api().send(Method::PATCH, "/api/v1/mcp-servers/tell", Some(edit)).await.unwrap().ok().unwrap();
    wait::until("the server to be switched off", PATIENCE, async || {
        let refused = send(&stack, "tell", &app.key, &ping()).await;
        Ok((refused.code() == "mcp_server_not_found").then_some(()))
    })
    .await
    .unwrap();
}
