//! Requests for MCP servers.

use serde_json::{Value, json};

use super::*;
use crate::limits::account::{self, SubjectId};
use crate::snapshot::BucketKind;

const PATH: &str = "/mcp/github";
const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
const PING: &str = r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#;

const SUBJECT: SubjectId = SubjectId(testing::APP.0.into_bytes());

fn tool(name: &str) -> String {
    json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": name}}).to_string()
}

/// A gateway of an app that may use these.
fn allowed(entries: &[&str]) -> TestMemory {
    with_app(|app| app.mcp = Some(testing::only(entries)))
}

fn send(store: &TestMemory, method: &str, path: &str, body: &str) -> BodyDecision {
    let bearer = format!("Bearer {}", testing::app_key().expose());
    let headers = headers(method, path, &[("authorization", &bearer)]);
    run(store, &FixedWorld::at(1000, "192.0.2.1"), &headers, body.as_bytes())
}

fn post(store: &TestMemory, body: &str) -> BodyDecision {
    send(store, "POST", PATH, body)
}

fn refused(outcome: BodyDecision) -> (Reply, Value) {
    let BodyDecision::Reply(reply) = outcome else { panic!("{outcome:?}") };
    let body = serde_json::from_slice(&reply.body).unwrap();
    (reply, body)
}

/// The status, the stable code, the rule, the number and the id of a refusal.
fn told(outcome: BodyDecision) -> (u16, String, String, i64, Value) {
    let (reply, body) = refused(outcome);
    let error = &body["error"];
    assert_eq!(body["jsonrpc"], "2.0");
    assert!(error["message"].is_string());
    let text = |name: &str| error["data"][name].as_str().unwrap().to_owned();
    (reply.status, text("code"), text("rule"), error["code"].as_i64().unwrap(), body["id"].clone())
}

fn mcp_call(forward: &Forward) -> &McpCall {
    match &forward.call {
        UpstreamCall::Mcp(call) => call,
        UpstreamCall::Model(call) => panic!("{call:?}"),
    }
}

#[test]
fn messages_streams_and_ends_of_sessions_reach_the_server() {
    let store = with_app(|app| app.mcp = Some(testing::all()));
    for (method, body) in [("POST", PING), ("POST", LIST), ("GET", ""), ("DELETE", "")] {
        let forward = forwarded(send(&store, method, "/mcp/github?a=b", body));
        assert_eq!(forward.path, "/api/mcp?a=b");
        assert_eq!(forward.call.authority(), "github.example");
        assert_eq!(forward.call.cluster(), "mcp-github");
        assert!(forward.body.is_none() && forward.response_headers.is_empty());
        assert!(
            forward.relay.as_ref().is_some_and(|relay| relay.tools.is_none()) && forward.session.is_none()
        );
        assert_eq!((mcp_call(&forward).tool.as_str(), forward.call.reservation().is_none()), ("", true));
    }
    assert_eq!(mcp_call(&forwarded(post(&store, &tool("get_me")))).tool, "github/get_me");
}

#[test]
fn the_rules_of_keys_and_apps_come_first_and_answer_in_json_rpcs_shape() {
    let code = |store: &TestMemory| told(send(store, "POST", "/mcp/nowhere", "nonsense"));
    let server =
        |number: u16, code: &str, rule: &str| (number, code.into(), rule.into(), -32000, Value::Null);
    let revoked = with_key(|key| key.status = 3);
    assert_eq!(code(&revoked), server(401, "key_revoked", "key.status"));
    let expired = with_app(|app| app.expires_at_ms = 1000);
    assert_eq!(code(&expired), server(401, "app_expired", "app.expiry"));
    let elsewhere =
        with_app(|app| app.addresses = Some(wire::AddressList { ranges: vec!["10.0.0.0/8".into()] }));
    assert_eq!(code(&elsewhere), server(403, "ip_not_allowed", "app.addresses"));
    assert_eq!(code(&TestMemory::default()), server(503, "snapshot_not_ready", "snapshot"));
    let talk = with_app(|app| app.conversation_required = true);
    let form = |status: u16, code: &str, rule: &str| (status, code.into(), rule.into(), -32600, Value::Null);
    assert_eq!(code(&talk), form(400, "conversation_id_required", "app.conversation"));
    let identity = wire::Identity { header: true, enforce: true, ..wire::Identity::default() };
    let unknown = with_app(|app| app.identity = Some(identity));
    assert_eq!(code(&unknown), server(401, "identity_required", "app.identity"));
    let store = allowed(&["github"]);
    let nobody = run(&store, &FixedWorld::at(0, ""), &headers("POST", PATH, &[]), b"");
    assert_eq!(told(nobody), server(401, "missing_api_key", "credential"));
    let query = send(&store, "POST", "/mcp/github?key=sk-quilr-x", PING);
    assert_eq!(told(query), form(400, "key_in_query", "credential"));
    assert_eq!(told(send(&store, "POST", "/mcp/a/b", PING)), form(404, "unknown_endpoint", "endpoint"));
    assert_eq!(told(send(&store, "PUT", PATH, PING)), form(405, "method_not_allowed", "endpoint"));
    let (reply, _) = refused(send(&store, "PUT", PATH, PING));
    assert!(reply.headers.contains(&("allow", "GET, POST, DELETE".into())));
}

#[test]
fn servers_are_refused_that_are_not_there_or_not_allowed() {
    let store = allowed(&["github", "gone"]);
    let missing = (404, "mcp_server_not_found".into(), "catalogue".into(), -32000);
    let (status, code, rule, number, id) = told(send(&store, "POST", "/mcp/gone", PING));
    assert_eq!(((status, code, rule, number), id), (missing, "p".into()));
    let denied = (403, "mcp_server_not_allowed".to_owned(), "app.mcp".to_owned(), -32000);
    for (method, body, id) in [
        ("POST", PING, json!("p")),
        ("POST", "nonsense", Value::Null),
        ("GET", "", Value::Null),
        ("DELETE", "", Value::Null),
    ] {
        let (status, code, rule, number, told) = told(send(&store, method, "/mcp/docs", body));
        assert_eq!(((status, code, rule, number), told), (denied.clone(), id), "{method}");
    }
    let nothing = gateway(testing::increment());
    assert_eq!(self::denied(post(&nothing, PING)), Code::McpServerNotAllowed, "nothing set is nothing");
    assert_eq!(self::denied(post(&allowed(&["docs/x"]), PING)), Code::McpServerNotAllowed);
}

#[test]
fn tools_are_refused_that_are_not_allowed() {
    let store = allowed(&["github/get_*", "docs"]);
    assert_eq!(mcp_call(&forwarded(post(&store, &tool("get_me")))).tool, "github/get_me");
    forwarded(post(&store, PING));
    let (reply, body) = refused(post(&store, &tool("delete_repo")));
    assert_eq!((reply.status, reply.code), (403, Some(Code::McpToolNotAllowed)));
    assert_eq!(
        body,
        json!({"jsonrpc": "2.0", "id": 7, "error": {"code": -32000,
            "message": "The app is not allowed to use the tool `delete_repo` of this MCP server.",
            "data": {"code": "mcp_tool_not_allowed", "rule": "app.mcp"}}})
    );
    assert_eq!((reply.endpoint, reply.model.as_str()), ("mcp", "github/delete_repo"), "for its record");
    assert_eq!(reply.attribution.map(|by| by.app), Some(testing::APP));
    let notified = r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"delete_repo"}}"#;
    assert_eq!(denied(post(&store, notified)), Code::McpToolNotAllowed);
    forwarded(send(&store, "POST", "/mcp/docs", &tool("delete_repo")));
}

#[test]
fn a_body_that_is_not_one_message_is_refused() {
    let store = allowed(&["github"]);
    let form = |number, code: &str| (400, code.to_owned(), "request.body".to_owned(), number, Value::Null);
    assert_eq!(told(post(&store, "{")), form(-32700, "invalid_json"));
    assert_eq!(told(post(&store, "")), form(-32700, "invalid_json"));
    for body in [
        format!("[{PING}]"),
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","meth\u006fd":"tools/call"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","na\u006de":"b"}}"#.to_owned(),
    ] {
        assert_eq!(told(post(&store, &body)), form(-32600, "invalid_mcp_message"), "{body}");
    }
    for method in ["GET", "DELETE"] {
        assert_eq!(told(send(&store, method, PATH, PING)), form(-32600, "invalid_mcp_message"));
    }
}

#[test]
fn every_answer_is_cut_where_the_app_may_use_some_tools_only() {
    let tools = |entries: &[&str], method: &str, body: &str| {
        forwarded(send(&allowed(entries), method, PATH, body)).relay.and_then(|relay| relay.tools)
    };
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    let notified = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    for (method, body) in
        [("POST", LIST), ("POST", PING), ("POST", answer), ("POST", notified), ("GET", ""), ("DELETE", "")]
    {
        assert!(tools(&["github/get_*"], method, body).is_some(), "{method} {body}");
        assert!(tools(&["github"], method, body).is_none(), "{method} {body}");
        assert!(tools(&["github/*"], method, body).is_none(), "{method} {body}");
    }
    let mut tools = tools(&["github/get_*"], "POST", LIST).unwrap();
    tools.answered(200, Some("application/json"), None);
    let list = br#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"get_me"},{"name":"rm"}]}}"#;
    let shown = tools.pass(list, true);
    assert_eq!(shown, br#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"get_me"}]}}"#);
}

#[test]
fn a_session_is_its_keys() {
    let store = with_app(|app| app.mcp = Some(testing::all()));
    let ask = |key: &str, path: &str, session: &str| {
        let bearer = format!("Bearer {key}");
        let headers = headers("DELETE", path, &[("authorization", &bearer), ("mcp-session-id", session)]);
        run(&store, &FixedWorld::at(1000, "192.0.2.1"), &headers, b"")
    };
    let (app, named) = (testing::app_key(), testing::named_key());
    let opened = forwarded(post(&store, PING)).relay.unwrap().binding.seal("s-1").unwrap();
    let forward = forwarded(ask(app.expose(), PATH, &opened));
    assert_eq!(forward.session.as_deref(), Some("s-1"));
    let sent = headers("DELETE", PATH, &[("mcp-session-id", &opened)]);
    let edits = forward.edits(Headers(&sent));
    assert!(edits.iter().any(|edit| edit.name == "mcp-session-id" && edit.value.as_deref() == Some("s-1")));
    for (key, path, session) in [
        (named.expose(), PATH, opened.as_str()),
        (app.expose(), "/mcp/docs", &opened),
        (app.expose(), PATH, "s-1"),
        (app.expose(), PATH, ""),
    ] {
        let (status, code, rule, number, _) = told(ask(key, path, session));
        let expected = (404, "mcp_session_not_found".into(), "request.session".into(), -32001);
        assert_eq!((status, code, rule, number), expected, "{path} {session}");
    }
}

#[test]
fn a_header_that_says_something_else_is_the_protocols_error() {
    let store = allowed(&["github/recherche_*"]);
    let bearer = format!("Bearer {}", testing::app_key().expose());
    let sent = |name: &str, tool: &str| {
        let headers = headers("POST", PATH, &[("authorization", &bearer), ("mcp-name", name)]);
        run(&store, &FixedWorld::at(1000, "192.0.2.1"), &headers, self::tool(tool).as_bytes())
    };
    forwarded(sent("=?base64?cmVjaGVyY2hlX2Rvbm7DqWVz?=", "recherche_données"));
    assert_eq!(denied(sent("=?base64?w5xiZXItU3VjaGU=?=", "Über-Suche")), Code::McpToolNotAllowed);
    for name in ["=?base64?w5xiZXItU3VjaGU=?=", "=?base64?cmVjaGVyY2hl*?="] {
        let (status, code, _, number, id) = told(sent(name, "recherche_données"));
        assert_eq!(
            (status, code.as_str(), number, id),
            (400, "mcp_header_mismatch", -32020, json!(7)),
            "{name}"
        );
    }
}

#[test]
fn a_refusals_record_names_the_server() {
    let store = allowed(&["github/get_*", "gone"]);
    let provider = |outcome| refused(outcome).0.provider;
    assert_eq!(provider(post(&store, &tool("rm"))), "mcp/github");
    assert_eq!(provider(post(&store, "nonsense")), "mcp/github");
    assert_eq!(provider(send(&store, "POST", "/mcp/docs", PING)), "mcp/docs", "which it may not use");
    assert_eq!(provider(send(&store, "POST", "/mcp/gone", PING)), "", "there is none");
    assert_eq!(provider(post(&with_key(|key| key.status = 3), PING)), "mcp/github");
}

#[test]
fn the_transports_headers_pass_and_credentials_do_not() {
    let store = allowed(&["github"]);
    let extra = [
        ("authorization", "Bearer x"),
        ("cookie", "a=b"),
        ("x-user-email", "a@acme.com"),
        ("x-conversation-id", "c"),
        ("x-latchkey-cluster", "other"),
        ("mcp-protocol-version", "2025-06-18"),
        ("last-event-id", "9"),
        ("accept", "application/json, text/event-stream"),
        ("accept-encoding", "gzip"),
        ("content-type", "application/json"),
        ("content-length", "7"),
    ];
    let headers = headers("POST", PATH, &extra);
    let forward = forwarded(post(&store, PING));
    let edits: Vec<_> = forward
        .edits(Headers(&headers))
        .into_iter()
        .map(|edit| (edit.name.into_owned(), edit.value.map(String::from)))
        .collect();
    let edits: Vec<_> = edits.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let set = |value: &str| Some(value.to_owned());
    assert_eq!(
        edits,
        [
            (":path", set("/api/mcp")),
            (":authority", set("github.example")),
            ("x-latchkey-cluster", set("mcp-github")),
            ("authorization", None),
            ("cookie", None),
            ("x-user-email", None),
            ("x-conversation-id", None),
            ("accept-encoding", None),
        ]
    );
}

/// A gateway of an app with these limits, and no price anywhere.
fn limited(buckets: &[(BucketKind, u64)]) -> TestMemory {
    with_app(|app| {
        app.mcp = Some(testing::all());
        let limits = testing::limits(buckets);
        app.limits = Some(wire::Limits { max_input_tokens: Some(1), max_output_tokens: Some(1), ..limits });
    })
}

#[test]
fn a_request_is_one_and_neither_tokens_nor_money() {
    let kinds = [
        BucketKind::RequestsPerMinute,
        BucketKind::TokensPerMinute,
        BucketKind::TokenBudget,
        BucketKind::CostBudget,
    ];
    let store = limited(&kinds.map(|kind| (kind, 60)));
    testing::grant(&store, SUBJECT, BucketKind::RequestsPerMinute, 60, 10);
    for kind in [BucketKind::TokensPerMinute, BucketKind::TokenBudget, BucketKind::CostBudget] {
        testing::refuse(&store, SUBJECT, kind, 60, account::GrantVerdict::Exhausted);
    }
    for body in [tool("x").as_str(), r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#] {
        let forward = forwarded(post(&store, body));
        let reservation = forward.call.reservation().unwrap();
        assert_eq!(reservation.most_tokens(), None);
        let held: Vec<_> = reservation.held().iter().map(|held| (held.kind, held.amount)).collect();
        assert_eq!(held, [(BucketKind::RequestsPerMinute, 1)]);
        assert!(forward.response_headers.iter().any(|(name, _)| *name == "x-ratelimit-remaining-requests"));
        assert!(forward.response_headers.iter().all(|(name, _)| !name.ends_with("-tokens")));
    }
    assert_eq!(testing::line(&store, SUBJECT, BucketKind::RequestsPerMinute).used, 2);
    for method in ["GET", "DELETE"] {
        assert!(forwarded(send(&store, method, PATH, "")).call.reservation().is_some());
    }
    assert_eq!(testing::line(&store, SUBJECT, BucketKind::RequestsPerMinute).used, 4);
    let free = limited(&[(BucketKind::CostBudget, 1)]);
    assert!(forwarded(post(&free, &tool("x"))).call.reservation().is_none());
}

#[test]
fn a_body_that_a_server_might_decode_otherwise_is_refused() {
    let bearer = format!("Bearer {}", testing::app_key().expose());
    let sent = |extra: &[(&str, &str)]| {
        let all = [&[("authorization", bearer.as_str())][..], extra].concat();
        let store = allowed(&["github/add"]);
        let headers = headers("POST", PATH, &all);
        matches!(
            run(&store, &FixedWorld::at(1000, "192.0.2.1"), &headers, tool("add").as_bytes()),
            BodyDecision::Forward(_)
        )
    };
    for plain in [
        &[][..],
        &[("content-type", "application/json")],
        &[("content-type", "application/json; charset=UTF-8")],
        &[("content-type", "application/json;charset=\"utf8\""), ("content-encoding", "identity")],
    ] {
        assert!(sent(plain), "{plain:?}");
    }
    for other in [
        &[("content-type", "application/json; charset=utf-7")][..],
        &[("content-type", "application/json; x=y; Charset = utf-16le")],
        &[("content-type", "application/json; charset*=utf-8''utf-7")],
        &[("content-type", "application/json"), ("content-type", "application/json; charset=utf-7")],
        &[("content-encoding", "gzip")],
        &[("content-encoding", "identity"), ("content-encoding", "br")],
    ] {
        assert!(!sent(other), "{other:?}");
    }
}

#[test]
fn an_app_of_some_tools_gets_neither_resources_nor_prompts() {
    let ask = |entries: &[&str], method: &str| {
        let body =
            json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"uri": "a://b"}}).to_string();
        matches!(post(&allowed(entries), &body), BodyDecision::Forward(_))
    };
    for method in ["resources/read", "Resources/list", "prompts/get", "completion/complete"] {
        assert!(ask(&["github"], method), "{method}");
        assert!(!ask(&["github/add"], method), "{method}");
    }
    for method in ["initialize", "ping", "server/discover", "notifications/cancelled", "logging/setLevel"] {
        assert!(ask(&["github/add"], method), "{method}");
    }
    for method in ["tasks/list", "tasks/result", "tools/call/", "x/y", "Tools/List"] {
        assert!(ask(&["github"], method), "{method}");
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {}}).to_string();
        let (_, told) = refused(post(&allowed(&["github/add"]), &body));
        assert_eq!(told["error"]["data"]["code"], "mcp_tool_not_allowed", "{method}");
        assert!(told["error"]["message"].as_str().unwrap().contains(&format!("`{method}`")), "{told}");
    }
}

#[test]
fn a_dry_lease_is_waited_for() {
    let store = limited(&[(BucketKind::RequestsPerMinute, 60), (BucketKind::CostBudget, 1)]);
    let view = View::new(&store);
    let bearer = format!("Bearer {}", testing::app_key().expose());
    let headers = headers("POST", PATH, &[("authorization", &bearer)]);
    let HeadersDecision::NeedBody(admitted) = admit(Headers(&headers), &view, &FixedWorld::at(1000, ""))
    else {
        panic!("answered")
    };
    assert_eq!(admitted.endpoint(), "mcp");
    let at = |now| decide(&admitted, PING.as_bytes(), &view, &FixedWorld::at(now, ""));
    let BodyDecision::Wait(demand) = at(1000) else { panic!("goes") };
    let asked: Vec<_> = demand.buckets.iter().map(|ask| (ask.subject, ask.kind, ask.need)).collect();
    assert_eq!(asked, [(SUBJECT, BucketKind::RequestsPerMinute, 1)]);
    let (late, body) = refused(BodyDecision::Reply(admitted.refuse(&Code::LeaseUnavailable.into())));
    assert_eq!((late.status, &body["id"]), (503, &json!("p")), "the message was read by then");
    testing::grant(&store, SUBJECT, BucketKind::RequestsPerMinute, 60, 1);
    forwarded(at(1100));
    assert!(matches!(at(1200), BodyDecision::Wait(_)));
}

#[test]
fn a_limit_of_requests_without_room_refuses() {
    let store = limited(&[(BucketKind::RequestsPerMinute, 60)]);
    testing::refuse(&store, SUBJECT, BucketKind::RequestsPerMinute, 60, account::GrantVerdict::Exhausted);
    let (reply, body) = refused(post(&store, PING));
    assert_eq!((reply.status, reply.code), (429, Some(Code::RateLimitExceeded)));
    assert!(reply.headers.contains(&("retry-after-ms", "9000".into())));
    assert_eq!(body["error"]["data"]["limit"]["name"], "requests_per_minute");
    assert_eq!(body["error"]["data"]["limit"]["owner"], "app");
}

#[test]
fn named_keys_have_limits_of_requests_beside_their_apps() {
    let named = testing::named_key();
    let store = with_app(|app| {
        app.mcp = Some(testing::all());
        app.named_key_limits =
            Some(testing::limits(&[(BucketKind::TokensPerMinute, 9), (BucketKind::RequestsPerDay, 9)]));
    });
    let BodyDecision::Wait(demand) = ask(&store, named.expose(), PATH, PING.as_bytes()) else {
        panic!("goes")
    };
    let key = SubjectId(testing::NAMED_KEY_ID.into_bytes());
    let asked: Vec<_> = demand.buckets.iter().map(|ask| (ask.subject, ask.kind)).collect();
    assert_eq!(asked, [(key, BucketKind::RequestsPerDay)]);
}

#[test]
fn a_full_ring_refuses_those_whose_requests_are_limited() {
    let full = |store: &TestMemory| {
        let view = View::new(store);
        let bearer = format!("Bearer {}", testing::app_key().expose());
        let headers = headers("POST", PATH, &[("authorization", &bearer)]);
        let world = FixedWorld::at(1000, "");
        let HeadersDecision::NeedBody(admitted) = admit(Headers(&headers), &view, &world) else {
            panic!("answered")
        };
        admitted.decide(
            || PING.as_bytes().to_vec(),
            &Gate { view: &view, world: &world, has_room: false, patience: Patience::Whole },
        )
    };
    assert_eq!(denied(full(&limited(&[(BucketKind::RequestsPerDay, 9)]))), Code::LedgerFull);
    forwarded(full(&limited(&[])));
}

#[test]
fn what_changes_while_a_message_is_on_its_way_counts() {
    let store = TestMemory::default();
    let mut replica = testing::synced(&store);
    let allow = |entries: &[&str]| {
        let app = wire::AppPolicy { mcp: Some(testing::only(entries)), ..testing::app() };
        wire::DiscoveryResponse { apps: vec![app], ..testing::increment() }
    };
    assert_eq!(replica.receive(allow(&["github"])), DiscoveryOutcome::Applied);
    let view = View::new(&store);
    let bearer = format!("Bearer {}", testing::app_key().expose());
    let headers = headers("POST", PATH, &[("authorization", &bearer)]);
    let HeadersDecision::NeedBody(admitted) = admit(Headers(&headers), &view, &FixedWorld::at(1000, ""))
    else {
        panic!("answered")
    };
    assert_eq!(replica.receive(allow(&["github/y"])), DiscoveryOutcome::Applied);
    let late = decide(&admitted, tool("x").as_bytes(), &view, &FixedWorld::at(1006, ""));
    assert_eq!(denied(late), Code::McpToolNotAllowed);
}

/// Strings with the same meaning, however they are written.
fn spelled(text: &'static str) -> impl Strategy<Value = String> {
    prop::collection::vec(any::<bool>(), text.len()).prop_map(move |escaped| {
        let letter = |(letter, escaped): (char, bool)| match escaped {
            true => format!("\\u{:04x}", u32::from(letter)),
            false => letter.to_string(),
        };
        let letters: String = text.chars().zip(escaped).map(letter).collect();
        format!("\"{letters}\"")
    })
}

/// Members as a confused or a malicious client may write them.
fn members() -> impl Strategy<Value = String> {
    let name = || prop_oneof![spelled("allowed"), spelled("secret"), Just("7".to_owned())];
    let of_params = (prop_oneof![4 => spelled("name"), 1 => spelled("Name"), 1 => spelled("x")], name());
    let params = prop::collection::vec(of_params, 0..3).prop_map(|members| {
        let members: Vec<_> = members.iter().map(|(name, value)| format!("{name} :{value}")).collect();
        format!("{{{}}}", members.join(","))
    });
    let method = prop_oneof![3 => spelled("tools/call"), 1 => spelled("ping"), 1 => spelled("tools/list")];
    let member = prop_oneof![
        3 => (spelled("method"), method),
        4 => (spelled("params"), params),
        1 => (spelled("Method"), spelled("tools/call")),
        2 => (spelled("id"), Just("1".to_owned())),
        1 => (spelled("x"), Just(r#"{"method":"ping","params":{"name":"allowed"}}"#.to_owned())),
    ];
    prop::collection::vec(member, 0..5).prop_map(|members| {
        let members: Vec<_> = members.iter().map(|(name, value)| format!(",\n{name}: {value}")).collect();
        format!("{{\"jsonrpc\":\"2.0\"{}}}", members.concat())
    })
}

/// Every tool that some parser may take the body to call: of all its members, all that match.
fn may_call(body: &str) -> Vec<String> {
    struct All(Vec<(String, Value)>);
    impl<'de> serde::Deserialize<'de> for All {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Members;
            impl<'de> serde::de::Visitor<'de> for Members {
                type Value = All;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<All, A::Error> {
                    let mut all = Vec::new();
                    while let Some((name, value)) =
                        map.next_entry::<String, Box<serde_json::value::RawValue>>()?
                    {
                        all.push((name, Value::String(value.get().to_owned())));
                    }
                    Ok(All(all))
                }
            }
            deserializer.deserialize_map(Members)
        }
    }
    let all = |text: &str, wanted: &str| -> Vec<String> {
        let All(members) = serde_json::from_str(text).unwrap();
        let matching = members.into_iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        matching.map(|(_, value)| value.as_str().unwrap().to_owned()).collect()
    };
    let text = |value: &String| serde_json::from_str::<String>(value).ok();
    if !all(body, "method").iter().filter_map(text).any(|method| method == "tools/call") {
        return vec![];
    }
    let named = all(body, "params").into_iter().flat_map(|params| all(&params, "name"));
    named.collect::<Vec<_>>().iter().filter_map(text).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_tool_that_is_not_allowed_never_passes(body in members()) {
        let store = allowed(&["github/allowed"]);
        match post(&store, &body) {
            BodyDecision::Forward(forward) => {
                let called = may_call(&body);
                prop_assert!(called.iter().all(|tool| tool == "allowed"), "{body}: {called:?}");
                let expected = if called.is_empty() { "" } else { "github/allowed" };
                prop_assert_eq!(&mcp_call(&forward).tool, expected);
            }
            BodyDecision::Reply(reply) => prop_assert!(matches!(reply.status, 400 | 403)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn no_message_and_no_path_panics(
        path in prop_oneof![3 => Just(PATH.to_owned()), 1 => "/mcp(/[a-z%/.?]{0,8})?"],
        (header, value) in ("mcp-method|mcp-name|content-type|content-encoding", "[ -~]{0,20}"),
        method in "GET|POST|DELETE|PUT",
        body in prop_oneof![any::<Vec<u8>>(), "[\\[{\"a:,}\\]\\\\u]*".prop_map(String::into_bytes), members().prop_map(String::into_bytes)],
    ) {
        let store = allowed(&["github/allowed"]);
        let bearer = format!("Bearer {}", testing::app_key().expose());
        let headers = headers(&method, &path, &[("authorization", &bearer), (&header, &value)]);
        let _ = run(&store, &FixedWorld::at(1000, ""), &headers, &body);
    }
}
