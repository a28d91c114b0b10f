//! A key that a client writes where none belongs is in no record, no log and no error.

use std::fs;

use latchkey_tests::stack::Stack;
use latchkey_tests::stack::answer::Answer;
use reqwest::Method;
use serde_json::json;

const CHAT: &str = "/v1/chat/completions";

#[tokio::test]
async fn keys_in_the_wrong_places_are_stored_and_shown_nowhere() {
    let stack = Stack::start().await.unwrap();
    let server = json!({ "name": "files", "url": "http://127.0.0.1:9/mcp" });
    stack.api().post("/api/v1/mcp-servers", server).await.unwrap().ok().unwrap();
    let settings = json!({
        "name": "app", "mcp_scope": ["files/read_*"], "identity": { "header": true, "enforce": false },
    });
    let app = stack.api().create_app(settings).await.unwrap();
    stack.gateway().until_status(&app.key, 200).await.unwrap();
    let (key, encoded) = (app.key.as_str(), app.key.replacen("sk-", "%73k%2D", 1));
    let send = async |method: &str, path: &str, header: (&str, &str), body: &serde_json::Value| {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = stack.gateway().request(method, path).bearer_auth(key).json(body);
        let answer = request.header(header.0, header.1).send().await.unwrap();
        let answer = Answer::read(answer).await.unwrap();
        assert!(!answer.text.contains("sk-quilr-"), "{path} {header:?}: {}", answer.text);
        (answer.status, answer.code().to_owned())
    };
    let hello = json!({ "model": "gpt-4o-mini", "messages": [] });
    let none = ("x-none", "x");
    for model in [key, &encoded, &format!("gpt {key}")] {
        let body = json!({ "model": model, "messages": [] });
        assert_eq!(send("POST", CHAT, none, &body).await, (404, "model_not_found".to_owned()));
    }
    for tool in [key, &encoded] {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": tool } });
        assert_eq!(send("POST", "/mcp/files", none, &body).await, (403, "mcp_tool_not_allowed".to_owned()));
    }
    for path in [format!("/v1/{key}"), format!("/v1/models/{encoded}"), format!("{CHAT}?x={encoded}")] {
        assert_eq!(send("POST", &path, none, &hello).await, (400, "key_in_query".to_owned()), "{path}");
    }
    let address = format!("{}@acme.com", key.split(':').next().unwrap());
    for header in
        [("user-agent", key), ("x-request-id", key), ("x-conversation-id", key), ("x-user-email", &address)]
    {
        send("POST", CHAT, header, &hello).await;
    }

    // Of a request that is let go, the header is taken off.
    send("POST", CHAT, ("user-agent", key), &json!({ "model": "none", "messages": [] })).await;

    // What has come after all of that is there once this is.
    send("POST", CHAT, ("x-conversation-id", "the-end"), &hello).await;
    let records = stack.api().records(&app, "").await.unwrap().len();
    let records = stack.api().until_recorded(&app, records.max(12)).await.unwrap();
    assert!(records.iter().any(|record| record.model.as_deref() == Some("files/[key]")), "{records:?}");
    let logs = stack.api().get(&format!("/api/v1/logs?limit=200&app_id={}", app.id)).await.unwrap();
    assert!(!logs.text.contains("sk-quilr-") && !logs.text.contains("%73k"), "{}", logs.text);
    stack.gateway().until_logged(|line| line["path"] == "[holds a key]").await.unwrap();
    stack.gateway().until_logged(|line| line["user_agent"] == "[holds a key]").await.unwrap();
    let log = fs::read_to_string(stack.dir().join("gateway-0/access.log")).unwrap();
    assert!(!log.contains("sk-quilr-") && !log.contains("%73k"), "{log}");
}
