//! Headers that do not pass the gateway. What Envoy obeys from clients that it trusts commands nothing, as
//! nobody is trusted; and neither side is told what is not for it.

use std::collections::BTreeSet;
use std::time::Duration;

use latchkey_filter_core::upstream::header_filter::{
    FORWARDED, HeaderSet, WITHHELD_FROM_CLIENTS, WITHHELD_FROM_SERVERS,
};
use latchkey_tests::stack::answer::Answer;
use latchkey_tests::stack::api::App;
use latchkey_tests::stack::{Stack, wait};
use latchkey_tests::upstream::{Act, Upstream};
use reqwest::{Client, Method};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const MCP: &str = "/mcp/told";
const ANSWER: &str = r#"{"jsonrpc":"2.0","id":1,"result":{},"choices":[]}"#;

/// Every request header by which a client may command Envoy 1.40, or be believed by it, with a value that
/// would show: from the names in Envoy's binary and its documentation of header sanitizing.
const COMMANDS: &[(&str, &str)] = &[
    // The router: attempts, timeouts, statistics.
    ("x-envoy-retry-on", "retriable-status-codes,5xx,gateway-error,reset,connect-failure,retriable-4xx"),
    ("x-envoy-retry-grpc-on", "cancelled,deadline-exceeded,internal,resource-exhausted,unavailable"),
    ("x-envoy-retriable-status-codes", "200"),
    ("x-envoy-retriable-header-names", "content-type"),
    ("x-envoy-max-retries", "150"),
    ("x-envoy-hedge-on-per-try-timeout", "true"),
    ("x-envoy-upstream-rq-timeout-ms", "1"),
    ("x-envoy-upstream-rq-per-try-timeout-ms", "1"),
    ("x-envoy-upstream-rq-timeout-alt-response", "1"),
    ("x-envoy-upstream-stream-duration-ms", "1"),
    ("x-envoy-expected-rq-timeout-ms", "1"),
    ("x-envoy-upstream-alt-stat-name", "forged"),
    ("x-envoy-upstream-canary", "true"),
    ("x-envoy-upstream-healthchecked-cluster", "forged"),
    ("x-envoy-attempt-count", "9"),
    ("x-envoy-is-timeout-retry", "true"),
    // Where it goes.
    ("x-envoy-original-dst-host", "127.0.0.1:1"),
    ("x-envoy-original-host", "forged"),
    ("x-envoy-original-method", "GET"),
    ("x-envoy-original-path", "/forged"),
    ("x-envoy-original-url", "http://forged/"),
    ("x-latchkey-cluster", "latchkey_control_plane"),
    // Who it is.
    ("x-envoy-internal", "true"),
    ("x-envoy-external-address", "203.0.113.9"),
    ("x-envoy-ip-tags", "forged"),
    ("x-envoy-downstream-service-cluster", "forged"),
    ("x-envoy-downstream-service-node", "forged"),
    ("x-envoy-peer-metadata", "forged"),
    ("x-envoy-peer-metadata-id", "forged"),
    ("x-forwarded-client-cert", "By=forged"),
    ("x-forwarded-host", "forged"),
    ("x-forwarded-port", "1"),
    ("x-forwarded-proto", "https"),
    // Faults, health and load.
    ("x-envoy-fault-abort-request", "503"),
    ("x-envoy-fault-abort-request-percentage", "100"),
    ("x-envoy-fault-abort-grpc-request", "14"),
    ("x-envoy-fault-delay-request", "5000"),
    ("x-envoy-fault-delay-request-percentage", "100"),
    ("x-envoy-fault-throughput-response", "1"),
    ("x-envoy-fault-throughput-response-percentage", "100"),
    ("x-envoy-immediate-health-check-fail", "true"),
    ("x-envoy-degraded", "true"),
    ("x-envoy-overloaded", "true"),
    ("x-envoy-local-overloaded", "true"),
    ("x-envoy-ratelimited", "true"),
    // Traces.
    ("x-envoy-force-trace", "true"),
    ("x-envoy-decorator-operation", "forged"),
    ("x-client-trace-id", "forged"),
    ("x-ot-span-context", "forged"),
    ("x-b3-traceid", "463ac35c9f6413ad48485a3953bb6124"),
    ("x-b3-sampled", "1"),
    ("b3", "463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-1"),
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ("tracestate", "forged=1"),
    ("x-datadog-trace-id", "1"),
    ("x-amzn-trace-id", "Root=1-5759e988-bd862e3fe1be46a994272793"),
    ("sw8", "1-forged"),
    // Of one connection, or of gRPC.
    ("grpc-timeout", "1m"),
    ("te", "trailers"),
    ("early-data", "1"),
];

/// What no provider is told, beside the commands: keys, who called, and what chooses a price, a path or a place.
const UNKNOWN: &[&str] = &[
    "x-user-email",
    "x-conversation-id",
    "x-latchkey-anything",
    "x-amzn-bedrock-service-tier",
    "x-vertex-ai-llm-shared-request-type",
    "x-goog-user-project",
    "x-portkey-custom-host",
    "range",
    "prefer",
    "x-forwarded-authorization",
    "x-anything",
];

/// How the body is written, which is not for a test to say.
const FRAMING: [&str; 3] = ["content-length", "content-type", "transfer-encoding"];

/// A stack with a model `told` and an MCP server `told`, both of an upstream, and an app that may use both.
async fn stack(act: impl Fn(&str) -> Act + Send + Sync + 'static) -> (Stack, App, Upstream) {
    let upstream = Upstream::start(act).await.unwrap();
    let stack = Stack::start().await.unwrap();
    stack.api().create_provider("told", "openai_compatible", &upstream.url("/v1"), "any").await.unwrap();
    stack.api().create_model("told", "told").await.unwrap();
    let server = json!({ "name": "told", "url": upstream.url("/mcp") });
    stack.api().post("/api/v1/mcp-servers", server).await.unwrap().ok().unwrap();
    let app = stack.api().create_app(json!({ "name": "app" })).await.unwrap();
    stack.until_synced().await.unwrap();
    for path in [CHAT, MCP] {
        wait::until("the upstream to be reached", Duration::from_secs(10), async || {
            let reached = ask(&stack, &Client::new(), path, &app.key, &[]).await.status == 200;
            Ok(reached.then_some(()))
        })
        .await
        .unwrap();
    }
    upstream.take();
    (stack, app, upstream)
}

async fn ask(stack: &Stack, client: &Client, path: &str, key: &str, headers: &[(&str, &str)]) -> Answer {
    let request =
        client.request(Method::POST, stack.gateway().url() + path).bearer_auth(key).json(&body(path));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    Answer::read(request.send().await.unwrap()).await.unwrap()
}

fn body(path: &str) -> Value {
    match path {
        CHAT => json!({ "model": "told", "messages": [] }),
        _ => json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "x" } }),
    }
}

fn clients() -> [(&'static str, Client); 2] {
    let http2 = Client::builder().http2_prior_knowledge().build().unwrap();
    [("HTTP/1", Client::new()), ("HTTP/2", http2)]
}

async fn stats(stack: &Stack) -> BTreeSet<String> {
    let stats = stack.gateway().admin("/stats").await.unwrap().text;
    stats.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.to_owned()).collect()
}

/// The value of a header in a head, or nothing.
fn value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .find_map(|line| line.split_once(": ").filter(|(known, _)| *known == name))
        .map(|(_, value)| value)
}

#[tokio::test]
async fn a_client_commands_nothing() {
    let (stack, app, upstream) = stack(|_| Act::ok("", ANSWER)).await;
    let forwarded = [None, Some(("x-forwarded-for", "203.0.113.9"))];
    for (_, client) in &clients() {
        for (path, forwarded) in [CHAT, MCP].into_iter().flat_map(|path| forwarded.map(|it| (path, it))) {
            let headers = forwarded.into_iter().chain([("x-request-id", "forged")]).collect::<Vec<_>>();
            assert_eq!(ask(&stack, client, path, &app.key, &headers).await.status, 200);
        }
    }
    upstream.take();
    let before = stats(&stack).await;
    for (version, client) in &clients() {
        for (path, forwarded) in [CHAT, MCP].into_iter().flat_map(|path| forwarded.map(|it| (path, it))) {
            let each = COMMANDS.iter().map(std::slice::from_ref);
            for commands in each.chain([COMMANDS]) {
                let headers = [commands, &[("x-request-id", "forged")], forwarded.as_slice()].concat();
                let what = format!("{version} {path} {headers:?}");
                let answer = ask(&stack, client, path, &app.key, &headers).await;
                assert_eq!((answer.status, answer.text.as_str()), (200, ANSWER), "{what}");
                let heads = upstream.take();
                let [head] = heads.as_slice() else { panic!("{what} called {} times", heads.len()) };
                for (name, _) in COMMANDS.iter().chain(&[("x-forwarded-for", "")]) {
                    assert_eq!(value(head, name), None, "{what}");
                }
                let id = answer.header("x-request-id");
                assert!(!id.is_empty() && id != "forged", "{what}: {id}");
                assert_eq!(value(head, "x-request-id"), Some(id), "{what}");
            }
        }
    }
    let new = stats(&stack).await.difference(&before).cloned().collect::<Vec<_>>();
    assert_eq!(new, Vec::<String>::new(), "no client makes statistics");
}

fn examples(names: &HeaderSet) -> impl Iterator<Item = String> {
    names
        .whole
        .iter()
        .map(|name| (*name).to_owned())
        .chain(names.prefixes.iter().map(|it| format!("{it}test")))
}

#[tokio::test]
async fn what_is_not_for_the_other_side_does_not_reach_it() {
    let told = examples(&WITHHELD_FROM_CLIENTS).map(|name| format!("{name}: told\r\n")).collect::<String>();
    let told =
        told + "x-where: http://mcp.internal/\r\nx-node: 127.0.0.1\r\nx-kept: yes\r\nmcp-session-id: s1\r\n";
    let (stack, app, upstream) = stack(move |_| Act::ok(&told, ANSWER)).await;
    for ((version, client), path) in
        clients().iter().flat_map(|client| [CHAT, MCP].map(|path| (client, path)))
    {
        let known = examples(&FORWARDED).filter(|name| !FRAMING.contains(&name.as_str())).collect::<Vec<_>>();
        let mut withheld = examples(&WITHHELD_FROM_SERVERS).collect::<Vec<_>>();
        withheld.extend(["session_id", "x_latchkey_cluster"].map(str::to_owned));
        if path == CHAT {
            withheld.extend(UNKNOWN.iter().map(|name| (*name).to_owned()));
        }
        let told = |name: &str| if name == "te" { "trailers" } else { "told" };
        let headers: Vec<_> = known.iter().chain(&withheld).map(|name| (name.as_str(), told(name))).collect();
        // The app's users are not asked who they are, so nothing is wrong with these.
        let answer = ask(&stack, client, path, &app.key, &headers).await;
        assert_eq!(answer.status, 200, "{version} {path}: {}", answer.text);
        let heads = upstream.take();
        let [head] = heads.as_slice() else { panic!("{version} {path} called {} times", heads.len()) };
        for name in &withheld {
            assert_eq!(value(head, name), None, "{version} {path}: {name}: {head}");
        }
        for name in known.iter().filter(|name| *name != "x-request-id") {
            assert_eq!(value(head, name), Some("told"), "{version} {path}: {name}: {head}");
        }
        for name in examples(&WITHHELD_FROM_CLIENTS).chain(["x-where".to_owned(), "x-node".to_owned()]) {
            assert_eq!(answer.header(&name), "", "{version} {path}: {name}");
        }
        assert_eq!(answer.header("x-kept"), "yes", "{version} {path}");
        // An MCP server's is sealed by the gate.
        assert!(answer.header("mcp-session-id").starts_with("s1"), "{version} {path}: {:?}", answer.headers);
    }
}
