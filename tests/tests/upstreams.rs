//! Providers and MCP servers that do not answer as they should: that redirect, hang up, keep silent, or are
//! where gateways do not connect to.

use std::path::PathBuf;
use std::time::Duration;

use latchkey_tests::stack::answer::Answer;
use latchkey_tests::stack::api::App;
use latchkey_tests::stack::gateway::Gateway;
use latchkey_tests::stack::ledger::Record;
use latchkey_tests::stack::port::Port;
use latchkey_tests::stack::{Stack, artifacts, wait};
use latchkey_tests::upstream::{Act, Upstream};
use reqwest::{Client, Method, redirect};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/anthropic_messages/v1/messages";
const PATIENCE: Duration = Duration::from_secs(20);

/// Adds a provider and a model, `told`, at this URL, and an MCP server `told`.
async fn attach(stack: &Stack, url: &str) {
    stack.api().create_provider("told", "anthropic", &format!("{url}/v1"), "any").await.unwrap();
    let model = json!({
        "name": "told", "provider": "told", "max_output_tokens": 100,
        "price": { "input": "1", "cached_input": "1", "output": "10" },
    });
    stack.api().post("/api/v1/models", model).await.unwrap().ok().unwrap();
    let server = json!({ "name": "told", "url": format!("{url}/mcp") });
    stack.api().post("/api/v1/mcp-servers", server).await.unwrap().ok().unwrap();
    stack.until_synced().await.unwrap();
}

async fn app(stack: &Stack, settings: Value) -> App {
    let app = stack.api().create_app(settings).await.unwrap();
    stack.until_synced().await.unwrap();
    app
}

/// Waits until both are reached: Envoy may still be warming their clusters.
async fn reached(stack: &Stack, app: &App) {
    for path in [CHAT, "/mcp/told"] {
        wait::until("it to be reached", PATIENCE, async || {
            Ok((ask(stack.gateway(), path, &app.key).await.status == 200).then_some(()))
        })
        .await
        .unwrap();
    }
}

/// A call of the API at this path, as clients send it, by one that follows no redirect.
async fn ask(gateway: &Gateway, path: &str, key: &str) -> Answer {
    let client = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
    let body = match path.split('?').next().unwrap_or_default() {
        CHAT | MESSAGES => {
            json!({ "model": "told", "max_tokens": 20, "messages": [{ "role": "user", "content": "hi" }] })
        }
        _ => json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "x" } }),
    };
    let request = client.request(Method::POST, gateway.url() + path).bearer_auth(key).json(&body);
    Answer::read(request.send().await.unwrap()).await.unwrap()
}

/// The records of what was asked of the upstream, once there are as many as these.
async fn records(stack: &Stack, app: &App, provider: &str, count: usize) -> Vec<Record> {
    wait::until("the records", PATIENCE, async || {
        let records = stack.api().records(app, &format!("provider={provider}")).await?;
        Ok((records.len() == count).then_some(records))
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn a_redirect_is_told_to_the_admin_and_not_followed_by_the_client() {
    let upstream = Upstream::start(|head| {
        // The client has chosen nothing; the path says what is tried.
        let line = head.lines().next().unwrap_or_default().to_owned();
        let query =
            line.split_once('?').map(|(_, rest)| rest.split(' ').next().unwrap_or_default().to_owned());
        let query = query.unwrap_or_default();
        let (status, location) = query.split_once('&').unwrap_or(("307", "0"));
        let location = LOCATIONS[location.parse::<usize>().unwrap_or_default()];
        Act::status(
            &format!("{status} Elsewhere"),
            &format!("location: {location}\r\nrefresh: 0; url=/x\r\n"),
            "{}",
        )
    });
    let upstream = upstream.await.unwrap();
    let stack = Stack::start().await.unwrap();
    attach(&stack, &upstream.url("")).await;
    let limits = json!({ "name": "limited", "limits": { "budget": { "usd": "1", "per": "day" } } });
    let app = app(&stack, limits).await;
    let mut sent = 0;
    for path in [CHAT, MESSAGES, "/mcp/told"] {
        for status in [301, 302, 303, 307, 308, 300, 304] {
            for (index, location) in LOCATIONS.iter().enumerate() {
                let answer = ask(stack.gateway(), &format!("{path}?{status}&{index}"), &app.key).await;
                let what = format!("{path} {status} {location}");
                sent += usize::from(path != "/mcp/told");
                assert_eq!((answer.status, answer.header("location")), (502, ""), "{what}");
                assert_eq!(answer.header("refresh"), "", "{what}");
                let code = if path == MESSAGES {
                    answer.body["error"]["code"].as_str()
                } else {
                    Some(answer.code())
                };
                assert_eq!(code, Some("upstream_redirected"), "{what}: {}", answer.text);
                assert_eq!(answer.header("x-should-retry"), "false", "{what}");
                assert!(answer.text.contains("…/mcp/"), "what to register is named: {what}: {}", answer.text);
                assert!(!format!("{answer:?}").contains("internal"), "{what}: {answer:?}");
            }
        }
    }
    let line = stack.gateway().until_logged(|line| line["redirected_to"] == LOCATIONS[0]).await.unwrap();
    assert_eq!((&line["status"], &line["code"]), (&json!(502), &json!("upstream_redirected")), "{line}");
    for record in records(&stack, &app, "told", sent).await {
        assert_eq!((record.status, record.code.as_deref()), (Some(502), Some("upstream_redirected")));
        assert_eq!((record.cost(), record.settlement.as_str()), (0, "none"), "it did no work");
    }
}

/// Where it redirects: all of them to the path `/mcp/`.
const LOCATIONS: [&str; 4] = [
    "http://mcp.internal:9300/mcp/",
    "//mcp.internal/mcp/",
    "/mcp/",
    "https://user:secret@mcp.internal/mcp/?session=1",
];

#[tokio::test]
async fn a_path_below_a_server_is_told_the_servers_own() {
    let stack = Stack::start().await.unwrap();
    for (path, meant) in [("/mcp/files/", "/mcp/files"), ("/mcp/files/x/y", "/mcp/files")] {
        let answer = ask(stack.gateway(), path, "sk").await;
        assert_eq!((answer.status, answer.code()), (404, "unknown_endpoint"), "{}", answer.text);
        let message = answer.body["error"]["message"].as_str().unwrap();
        assert!(message.ends_with(&format!("Did you mean {meant}?")), "{message}");
    }
    let answer = ask(stack.gateway(), "/v1/chat/completions/", "sk").await;
    assert!(answer.text.contains("Did you mean /v1/chat/completions?"), "{}", answer.text);
}

/// The product's configuration, in which a provider may be silent for two seconds only.
fn impatient(stack: &Stack) -> PathBuf {
    let template = std::fs::read_to_string(artifacts::root().join("envoy/envoy.yaml")).unwrap();
    let path = stack.dir().join("impatient.yaml");
    std::fs::write(&path, template.replace("idle_timeout: 600s", "idle_timeout: 2s")).unwrap();
    path
}

#[tokio::test]
async fn what_may_have_been_billed_is_not_to_be_sent_again() {
    let silent = Upstream::start(|_| Act::Silence).await.unwrap();
    let mut stack = Stack::start().await.unwrap();
    attach(&stack, &silent.url("")).await;
    let limits = json!({ "name": "limited", "limits": { "budget": { "usd": "1", "per": "day" } } });
    let app = app(&stack, limits).await;
    let options = stack.options("impatient").config(&impatient(&stack));
    stack.add_gateway(options).await.unwrap();
    stack.until_synced().await.unwrap();
    let gateway = &stack.gateways()[1];

    // The OpenAI SDK would try twice more.
    let told = gateway.sdk("errors.py", &app.key, &[("MODELS", "told"), ("MAX_RETRIES", "2")]).await.unwrap();
    assert_eq!((&told[0]["status"], &told[0]["code"]), (&json!(504), &json!("provider_timeout")), "{told}");
    assert_eq!(told[0]["should_retry"], "false", "{told}");
    assert_eq!(silent.heads().len(), 1, "the provider is called once");
    let record = records(&stack, &app, "told", 1).await.remove(0);
    assert_eq!((record.status, record.settlement.as_str()), (Some(504), "reserved"));
    assert!(record.cost() > 0, "and charged once");
}

#[tokio::test]
async fn a_provider_that_hangs_up_is_told_from_one_that_is_not_there() {
    let rude = Upstream::start(|_| Act::HangUp).await.unwrap();
    let stack = Stack::start().await.unwrap();
    attach(&stack, &rude.url("")).await;
    let app = app(&stack, json!({ "name": "app" })).await;
    let told = [("MODELS", "told"), ("MAX_RETRIES", "2")];
    let told = stack.gateway().sdk("errors.py", &app.key, &told).await.unwrap();
    assert_eq!(
        (&told[0]["status"], &told[0]["code"]),
        (&json!(503), &json!("provider_unreachable")),
        "{told}"
    );
    assert_eq!((&told[0]["should_retry"], rude.heads().len()), (&json!("false"), 1), "{told}");

    let nobody = Port::free().unwrap();
    let edit = json!({ "base_url": format!("http://{}/v1", nobody.address()), "credential": null });
    stack.api().send(Method::PATCH, "/api/v1/providers/told", Some(edit)).await.unwrap().ok().unwrap();
    let answer = wait::until("the provider to be gone", PATIENCE, async || {
        let answer = ask(stack.gateway(), CHAT, &app.key).await;
        Ok((answer.header("retry-after") == "1").then_some(answer))
    })
    .await
    .unwrap();
    assert_eq!((answer.status, answer.code()), (503, "provider_unreachable"), "{}", answer.text);
    assert_eq!(answer.header("x-should-retry"), "", "no connection was made: it may be tried again");
}

#[tokio::test]
async fn a_provider_may_be_given_more_patience() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let parts = ["", head, "content-length: 2\r\n\r\n{}"].map(|part| part.as_bytes().to_vec());
    // Three seconds until the head is whole, of which Envoy hears nothing before.
    let slow =
        Upstream::start(move |_| Act::Paced(Duration::from_millis(1500), parts.to_vec())).await.unwrap();
    let mut stack = Stack::start().await.unwrap();
    attach(&stack, &slow.url("")).await;
    let app = app(&stack, json!({ "name": "app" })).await;
    let options = stack.options("impatient").config(&impatient(&stack));
    stack.add_gateway(options).await.unwrap();
    stack.until_synced().await.unwrap();
    let gateway = &stack.gateways()[1];
    assert_eq!(ask(gateway, CHAT, &app.key).await.code(), "provider_timeout");

    let edit = json!({ "idle_timeout_seconds": 1800 });
    stack.api().send(Method::PATCH, "/api/v1/providers/told", Some(edit)).await.unwrap().ok().unwrap();
    stack.until_synced().await.unwrap();
    let patient = ask(gateway, CHAT, &app.key).await;
    assert_eq!(patient.status, 200, "{}", patient.text);
    for head in slow.heads() {
        assert!(!head.contains("x-latchkey"), "{head}");
    }
}

#[tokio::test]
async fn a_stream_lives_on_comments() {
    let events = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let parts = [events].into_iter().chain([": keep-alive\n\n"; 8]).chain(["data: [DONE]\n\n"]);
    let parts: Vec<_> = parts.map(|part| part.as_bytes().to_vec()).collect();
    // Four seconds without anything but comments.
    let slow = Upstream::start(move |_| Act::Paced(Duration::from_millis(500), parts.clone())).await.unwrap();
    let mut stack = Stack::start().await.unwrap();
    attach(&stack, &slow.url("")).await;
    let app = app(&stack, json!({ "name": "app" })).await;
    let options = stack.options("impatient").config(&impatient(&stack));
    stack.add_gateway(options).await.unwrap();
    stack.until_synced().await.unwrap();
    let gateway = &stack.gateways()[1];
    let answer = wait::until("the provider to be known", PATIENCE, async || {
        let answer = ask(gateway, CHAT, &app.key).await;
        Ok((answer.status == 200).then_some(answer))
    });
    let answer = answer.await.unwrap();
    assert!(answer.text.ends_with("data: [DONE]\n\n"), "{}", answer.text);
}

#[tokio::test]
async fn a_gateway_does_not_connect_to_what_is_not_opened_whatever_a_name_resolves_to() {
    let upstream = Upstream::start(|_| Act::ok("", "{}")).await.unwrap();
    let mut stack = Stack::start().await.unwrap();
    attach(&stack, &upstream.url("")).await;
    let app = app(&stack, json!({ "name": "app" })).await;
    reached(&stack, &app).await;
    // An upgrade from a time when nothing was asked; and a name that has come to resolve to this machine.
    for host in ["127.0.0.1", "localhost"] {
        upstream.take();
        stack.control_plane().stop().await.unwrap();
        let url = format!("http://{host}:{}", upstream.address().port());
        for statement in [
            format!("UPDATE providers SET base_url = '{url}/v1' WHERE name = 'told'"),
            format!("UPDATE mcp_servers SET url = '{url}/mcp' WHERE name = 'told'"),
        ] {
            stack.control_plane().sql(&statement).await.unwrap();
        }
        stack.control_plane().set_variable("LATCHKEY_UPSTREAM_ALLOW", "10.0.0.0/8");
        stack.control_plane().start().await.unwrap();
        for path in [CHAT, "/mcp/told"] {
            let answer = wait::until("it to be refused", PATIENCE, async || {
                let answer = ask(stack.gateway(), path, &app.key).await;
                Ok((answer.status == 502).then_some(answer))
            });
            let answer = answer.await.unwrap();
            assert_eq!(answer.code(), "provider_out_of_reach", "{host} {path}: {}", answer.text);
            assert_eq!(answer.header("x-should-retry"), "false");
        }
        let shown = stack.api().get("/api/v1/providers/told").await.unwrap().ok().unwrap();
        assert!(
            shown["out_of_reach"].as_str().is_some_and(|why| why.contains("LATCHKEY_UPSTREAM_ALLOW")),
            "{shown}"
        );
        stack.control_plane().set_variable("LATCHKEY_UPSTREAM_ALLOW", "127.0.0.0/8");
        stack.control_plane().restart().await.unwrap();
        reached(&stack, &app).await;
    }
    // One for each host and path, and no fewer: gateways send again what a control plane that stopped has
    // not acknowledged.
    let recorded = wait::until("the refusals to be recorded", PATIENCE, async || {
        let refused = stack.api().records(&app, "status=502").await?;
        Ok((refused.len() >= 4).then_some(refused))
    });
    let refused = recorded.await.unwrap();
    assert!(refused.iter().all(|record| record.settlement == "none"), "{refused:?}");
}
