//! What an app that may use some tools is told of the others, by whatever answer: nothing.

use futures::StreamExt as _;
use latchkey_tests::mcp::scripted::{self, Script, Scripted};
use latchkey_tests::stack::Stack;
use latchkey_tests::stack::answer::Answer;
use latchkey_tests::stack::api::App;
use reqwest::Method;
use serde_json::{Value, json};

use super::{PATIENCE, app, attach_url};

const TOOLS: &str =
    r#"{"tools":[{"name":"read_a","description":"reads"},{"name":"drop_b","description":"drops"}]}"#;

fn list(id: u32) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{TOOLS}}}"#)
}

fn event(data: &str) -> String {
    format!("event: message\ndata: {data}\n\n")
}

fn message(id: u32, method: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": { "name": "read_a" } })
}

/// A gateway in front of a server that says what it is told to say.
struct Place {
    stack: Stack,
    server: Scripted,
    partial: App,
    whole: App,
}

impl Place {
    async fn start() -> Self {
        let server = Scripted::start().await.unwrap();
        let stack = Stack::start().await.unwrap();
        attach_url(&stack, "files", &server.url(), None).await;
        let partial = app(&stack, "files", json!({ "mcp_scope": ["files/read_*"] })).await;
        let whole = app(&stack, "files", json!({ "name": "whole", "mcp_scope": "all" })).await;
        Self { stack, server, partial, whole }
    }

    async fn send(
        &self,
        app: &App,
        method: Method,
        body: Option<&Value>,
        script: &Script,
    ) -> reqwest::Response {
        let request = self.stack.gateway().request(method, "/mcp/files").bearer_auth(&app.key);
        let request = request.header("accept", "application/json, text/event-stream");
        let request = request.header(scripted::HEADER, script.encode());
        let request =
            body.map_or_else(|| request.try_clone().unwrap(), |body| request.try_clone().unwrap().json(body));
        request.send().await.unwrap()
    }

    async fn whole(&self, app: &App, method: Method, body: Option<&Value>, script: &Script) -> Answer {
        Answer::read(self.send(app, method, body, script).await).await.unwrap()
    }
}

/// What has come of an answer that stays open, once this is in it.
async fn until(response: reqwest::Response, wanted: &str) -> String {
    let mut stream = response.bytes_stream();
    let mut text = String::new();
    let read = async {
        while !text.contains(wanted) {
            let chunk = stream.next().await.expect("the stream stays open").unwrap();
            text.push_str(str::from_utf8(&chunk).unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap_or_else(|_| panic!("`{wanted}` does not come"));
    text
}

#[tokio::test]
async fn a_list_passes_as_soon_as_its_event_is_whole() {
    let place = Place::start().await;
    let note = event(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"wait"}}"#);
    let (event, request) = (event(&list(1)), message(1, "tools/list"));
    let (head, tail) = event.split_at(60);
    let script = Script::events(&[&note, head, tail]);
    let told = until(place.send(&place.partial, Method::POST, Some(&request), &script).await, "read_a").await;
    assert!(told.starts_with(&note) && !told.contains("drop"), "{told}");
    let script = Script::events(&[&note, head]);
    let told = until(place.send(&place.partial, Method::POST, Some(&request), &script).await, "wait").await;
    assert!(told.contains("wait"), "{told}");
    let script = Script::events(&[&event]);
    let told = until(place.send(&place.whole, Method::POST, Some(&request), &script).await, "drop_b").await;
    assert_eq!(told, event, "who may use all of it gets it as it was");
}

#[tokio::test]
async fn no_stream_and_no_answer_lists_other_tools() {
    let place = Place::start().await;
    let (call, list_tools) = (message(3, "tools/call"), message(1, "tools/list"));
    let batch = format!("[{},{}]", list(7), r#"{"jsonrpc":"2.0","id":8,"result":{}}"#);
    let nested = format!(r#"{{"jsonrpc":"2.0","id":3,"result":{{"page":{TOOLS}}}}}"#);
    let pushed =
        format!(r#"{{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{TOOLS}}}"#);
    let lists = [list(7), batch, nested, pushed];
    for (method, body) in [
        (Method::GET, None),
        (Method::POST, Some(&call)),
        (Method::POST, Some(&list_tools)),
        (Method::POST, Some(&message(2, "server/discover"))),
        (Method::POST, Some(&message(2, "initialize"))),
        (Method::POST, Some(&message(2, "ping"))),
    ] {
        for list in &lists {
            let script = Script::events(&[&event(list)]);
            let told = until(place.send(&place.partial, method.clone(), body, &script).await, "\n\n").await;
            assert!(told.contains("read_a") && !told.contains("drop"), "{method} {body:?}: {told}");
            let told = place.whole(&place.partial, method.clone(), body, &Script::json(list)).await;
            assert_eq!(told.status, 200, "{}", told.text);
            assert!(
                told.text.contains("read_a") && !told.text.contains("drop"),
                "{method} {body:?}: {}",
                told.text
            );
        }
    }
    // What the tool itself returns is not the gateway's affair.
    let returned =
        format!(r#"{{"jsonrpc":"2.0","id":3,"result":{{"content":[],"structuredContent":{TOOLS}}}}}"#);
    let told = place.whole(&place.partial, Method::POST, Some(&call), &Script::json(&returned)).await;
    assert_eq!(told.text, returned);
    let seen = place.server.seen();
    assert!(seen.iter().any(|request| request.method == Method::GET), "the server was asked");
}

#[tokio::test]
async fn a_list_longer_than_what_the_gateway_reads_is_an_error() {
    let place = Place::start().await;
    let request = message(1, "tools/list");
    let tool = r#"{"name":"read_a","description":"█"},"#;
    let (head, tail) = (r#"{"jsonrpc":"2.0","id":1,"result":{"tools":["#, r#"{"name":"drop_b"}]}}"#);
    let long = Script { repeated: 320, ..Script::of("application/json", &[head, tool, tail]) };
    let told = place.whole(&place.partial, Method::POST, Some(&request), &long).await;
    assert_eq!((told.status, &told.body["id"]), (200, &json!(1)), "{:.300}", told.text);
    assert!(told.body["error"]["message"].as_str().unwrap().contains("longer than"), "{:.300}", told.text);
    let head = format!("data: {head}");
    let tail = format!("{tail}\n\n: more\n\n");
    let long = Script { repeated: 320, open: true, ..Script::of("text/event-stream", &[&head, tool, &tail]) };
    let told = until(place.send(&place.partial, Method::POST, Some(&request), &long).await, ": more").await;
    let data = told.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let error: Value = serde_json::from_str(data).unwrap();
    assert!(error["error"]["message"].as_str().unwrap().contains("longer than"), "{error}");
    assert!(!told.contains("drop_b") && !told.contains("xxx"));
    let told = until(place.send(&place.partial, Method::GET, None, &long).await, ": more").await;
    assert!(
        told.starts_with(": The MCP server's answer is longer than") && !told.contains("xxx"),
        "{told:.300}"
    );
    let short = Script {
        repeated: 20,
        ..Script::of(
            "application/json",
            &[r#"{"jsonrpc":"2.0","id":1,"result":{"tools":["#, tool, r#"{"name":"drop_b"}]}}"#],
        )
    };
    let told = place.whole(&place.partial, Method::POST, Some(&request), &short).await;
    assert_eq!(told.body["result"]["tools"].as_array().map(Vec::len), Some(20), "{:.300}", told.text);
}

#[tokio::test]
async fn an_error_page_passes_and_another_type_does_not() {
    let place = Place::start().await;
    let request = message(1, "tools/list");
    let gone = Script { status: 404, ..Script::of("text/plain", &["Session not found"]) };
    let told = place.whole(&place.partial, Method::POST, Some(&request), &gone).await;
    assert_eq!((told.status, told.text.as_str()), (404, "Session not found"));
    for strange in
        [Script::of("text/html", &[&list(1)]), Script::json(&list(1)).with("content-encoding", "gzip")]
    {
        let told = place.whole(&place.partial, Method::POST, Some(&request), &strange).await;
        assert_eq!(told.body["error"]["data"]["code"], "internal_error", "{}", told.text);
        assert_eq!(told.header("content-type"), "application/json");
    }
}

#[tokio::test]
async fn methods_that_are_not_known_are_refused_by_name() {
    let place = Place::start().await;
    let plain = Script::json(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    for method in ["tasks/list", "tasks/result", "tools/call/", "x/y", "resources/list", "Tools/List"] {
        let told = place.whole(&place.partial, Method::POST, Some(&message(1, method)), &plain).await;
        assert_eq!((told.status, told.code()), (403, "mcp_tool_not_allowed"), "{method}: {}", told.text);
        assert!(
            told.body["error"]["message"].as_str().unwrap().contains(&format!("`{method}`")),
            "{}",
            told.text
        );
        let told = place.whole(&place.whole, Method::POST, Some(&message(1, method)), &plain).await;
        assert_eq!(told.status, 200, "{method}: {}", told.text);
    }
    let answer = json!({ "jsonrpc": "2.0", "id": 1, "result": { "action": "accept" } });
    for body in [answer, message(1, "ping"), message(1, "logging/setLevel")] {
        let told = place.whole(&place.partial, Method::POST, Some(&body), &plain).await;
        assert_eq!(told.status, 200, "{body}: {}", told.text);
    }
}

#[tokio::test]
async fn a_session_is_refused_to_every_other_key() {
    let place = Place::start().await;
    let opens = Script::json(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#).with("mcp-session-id", "s-1");
    let opened = place.whole(&place.partial, Method::POST, Some(&message(1, "initialize")), &opens).await;
    let session = opened.header("mcp-session-id").to_owned();
    assert!(session.starts_with("s-1.") && session.len() > 30, "{session}");
    let use_it = async |app: &App, method: Method, session: &str| {
        let request = place.stack.gateway().request(method.clone(), "/mcp/files").bearer_auth(&app.key);
        let request = request.header("mcp-session-id", session);
        let request = if method == Method::POST { request.json(&message(1, "ping")) } else { request };
        Answer::read(request.send().await.unwrap()).await.unwrap()
    };
    for method in [Method::POST, Method::GET, Method::DELETE] {
        let told = use_it(&place.partial, method.clone(), &session).await;
        assert_eq!(told.status, 200, "{method}: {}", told.text);
        let last = place.server.seen().pop().unwrap();
        let sent = last.headers["mcp-session-id"].to_str().unwrap();
        assert_eq!((&last.method, sent), (&method, "s-1"));
        for (app, session) in [(&place.whole, &*session), (&place.partial, "s-1"), (&place.partial, "s-2.x")]
        {
            let told = use_it(app, method.clone(), session).await;
            assert_eq!((told.status, told.code()), (404, "mcp_session_not_found"), "{method}: {}", told.text);
            assert_eq!(told.body["error"]["code"], -32001);
        }
    }
}

#[tokio::test]
async fn a_wrapped_name_is_decoded_and_then_compared() {
    let place = Place::start().await;
    let named = async |app: &App, header: &str, tool: &str| {
        let mut body = message(1, "tools/call");
        body["params"]["name"] = json!(tool);
        let request = place.stack.gateway().request(Method::POST, "/mcp/files").bearer_auth(&app.key);
        let request = request.header("mcp-method", "tools/call").header("mcp-name", header).json(&body);
        Answer::read(request.send().await.unwrap()).await.unwrap()
    };
    for (header, tool) in [
        ("=?base64?cmVjaGVyY2hlX2Rvbm7DqWVz?=", "recherche_données"),
        ("=?base64?w5xiZXItU3VjaGU=?=", "Über-Suche"),
        ("=?base64?PT9iYXNlNjQ/WVE9PT89?=", "=?base64?YQ==?="),
    ] {
        let told = named(&place.whole, header, tool).await;
        assert_eq!(told.status, 200, "{tool}: {}", told.text);
        assert_eq!(named(&place.partial, header, tool).await.code(), "mcp_tool_not_allowed", "{tool}");
    }
    for header in ["=?base64?w5xiZXItU3VjaGU=?=", "=?base64?cmVjaGVyY2hl*?="] {
        let told = named(&place.whole, header, "recherche_données").await;
        assert_eq!((told.status, &told.body["error"]["code"]), (400, &json!(-32020)), "{}", told.text);
        assert_eq!(told.body["id"], 1);
    }
}

#[tokio::test]
async fn a_servers_challenge_never_reaches_a_client_and_a_search_for_oauth_ends_at_the_key() {
    let place = Place::start().await;
    let bearer = r#"Bearer error="insufficient_scope", resource_metadata="http://mcp.internal/x""#;
    for (status, expected) in [(401, 502), (403, 502), (400, 400), (200, 200)] {
        let script = Script { status, ..Script::json("{}").with("www-authenticate", bearer) };
        let told = place.whole(&place.whole, Method::POST, Some(&message(1, "ping")), &script).await;
        assert_eq!((told.status, told.header("www-authenticate")), (expected, ""), "{}", told.text);
        assert!(!told.text.contains("mcp.internal"), "{}", told.text);
    }
    let gateway = place.stack.gateway();
    let refused = gateway.request(Method::POST, "/mcp/files").json(&message(1, "initialize"));
    let refused = Answer::read(refused.send().await.unwrap()).await.unwrap();
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, "Bearer"), "{}", refused.text);
    for (method, path) in [
        (Method::GET, "/.well-known/oauth-protected-resource/mcp/files"),
        (Method::GET, "/.well-known/oauth-protected-resource"),
        (Method::GET, "/.well-known/oauth-authorization-server"),
        (Method::GET, "/.well-known/openid-configuration"),
        (Method::GET, "/mcp/files/.well-known/openid-configuration"),
        (Method::POST, "/register"),
        (Method::GET, "/authorize?response_type=code"),
        (Method::POST, "/token"),
    ] {
        for key in [None, Some(&place.whole.key), Some(&"sk-nothing".to_owned())] {
            let request = gateway.request(method.clone(), path);
            let request = match key {
                Some(key) => request.bearer_auth(key),
                None => request,
            };
            let told = Answer::read(request.send().await.unwrap()).await.unwrap();
            assert_eq!(told.status, 404, "{path}: {}", told.text);
            assert_eq!(told.body["error"], "invalid_request", "a string, as OAuth has it: {}", told.text);
            assert!(told.body["error_description"].as_str().unwrap().contains("API key"), "{}", told.text);
        }
    }
}

#[tokio::test]
async fn a_server_gets_arguments_that_were_judged_by_the_body_alone() {
    let place = Place::start().await;
    let rule = json!({ "tool": "files/read_a", "argument": "/path", "glob": "/public/*" });
    let ruled = json!({ "name": "ruled", "mcp_scope": "all", "mcp_argument_rules": [rule] });
    let ruled = app(&place.stack, "files", ruled).await;
    let script = Script::json(r#"{"jsonrpc":"2.0","id":3,"result":{"content":[]}}"#);
    let call = async |tool: &str, app: &App| {
        let params = json!({ "name": tool, "arguments": { "path": "/public/x" } });
        let message = json!({ "jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": params });
        let request = place.stack.gateway().request(Method::POST, "/mcp/files").bearer_auth(&app.key);
        let request = request.header("accept", "application/json, text/event-stream");
        let request = request.header(scripted::HEADER, script.encode()).header("mcp-method", "tools/call");
        let request = request.header("mcp-param-path", "/secret").json(&message);
        let answer = Answer::read(request.send().await.unwrap()).await.unwrap();
        let got = place.server.seen().pop();
        (answer, got.and_then(|got| Some(got.headers.get("mcp-param-path")?.to_str().unwrap().to_owned())))
    };
    let (answer, parameter) = call("read_a", &ruled).await;
    assert_eq!((answer.status, parameter), (200, None), "{}", answer.text);
    for (tool, app) in [("read_b", &ruled), ("read_a", &place.whole)] {
        let (answer, parameter) = call(tool, app).await;
        assert_eq!((answer.status, parameter.as_deref()), (200, Some("/secret")), "{tool}: {}", answer.text);
    }
    let before = place.server.seen().len();
    let (answer, _) = call("Read_A", &ruled).await;
    assert_eq!((answer.status, answer.code()), (403, "mcp_argument_denied"), "{}", answer.text);
    assert_eq!(place.server.seen().len(), before, "the server got nothing");
}
