//! How often the gate and Envoy cross over for one request. Each crossing costs CPU time, and one that brings
//! data costs an allocation in the module besides.

use std::collections::BTreeMap;
use std::time::Duration;

use latchkey_tests::stack::ledger::CHEAP;
use latchkey_tests::stack::{Stack, wait};
use serde_json::json;

/// What was called how often, by name.
type Calls = BTreeMap<String, usize>;

/// Calls between Envoy and the gate for one request, in both directions.
#[derive(Debug, Default, PartialEq, Eq)]
struct Crossings {
    /// Into the module.
    entries: Calls,
    /// Out of it.
    host_calls: Calls,
    /// Calls of the module's allocator, for what a host call brings.
    allocations: usize,
}

impl Crossings {
    /// Reads what Envoy's `wasm` logger traced for the request that came last.
    fn of_last_request(log: &str) -> Self {
        let mut crossings = Self::default();
        // Of each thread: what it is in within the module.
        let mut inside: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for line in log.lines().filter(|line| line.contains("[trace][wasm]")) {
            let Some(thread) = line.split("][").nth(1) else { continue };
            let stack = inside.entry(thread).or_default();
            let name = |text: &'static str| {
                line.split_once(text).and_then(|(_, rest)| rest.split(['(', ' ']).next())
            };
            if let Some(entry) = name("[host->vm] ") {
                // Contexts without a parent are roots.
                if entry == "proxy_on_context_create" && !line.ends_with(", 0)") {
                    crossings = Self::default();
                }
                stack.push(entry);
                match stack[..] {
                    [entry] if is_of_requests(entry) => {
                        *crossings.entries.entry(entry.to_owned()).or_default() += 1;
                    }
                    [outer, .., "malloc"] if is_of_requests(outer) => crossings.allocations += 1,
                    _ => {}
                }
            } else if line.contains("[host<-vm] ") {
                stack.pop();
            } else if let Some(call) = name("[vm->host] env.proxy_")
                && stack.first().is_some_and(|entry| is_of_requests(entry))
            {
                *crossings.host_calls.entry(call.to_owned()).or_default() += 1;
            }
        }
        crossings
    }
}

/// Whether this is called for a request, and not for the gate as a whole.
fn is_of_requests(entry: &str) -> bool {
    let of_gate =
        ["proxy_on_tick", "proxy_on_queue_ready", "proxy_on_grpc", "proxy_on_configure", "proxy_on_vm_start"];
    entry.starts_with("proxy_on_") && !of_gate.iter().any(|name| entry.starts_with(name))
}

fn calls(calls: &[(&str, usize)]) -> Calls {
    calls.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// Lets the gateway serve a request with this key, and counts.
async fn crossings(stack: &Stack, key: &str) -> Crossings {
    let gateway = stack.gateway();
    let body = json!({ "model": CHEAP.name, "messages": [{ "role": "user", "content": "hello" }] });
    gateway.set_log_level("wasm", "trace").await.unwrap();
    assert_eq!(gateway.chat(key, body).await.unwrap().status, 200);
    let what = "the end of the request in Envoy's log";
    let crossings = wait::until(what, Duration::from_secs(10), async || {
        let crossings = Crossings::of_last_request(&gateway.log()?);
        Ok(crossings.entries.contains_key("proxy_on_delete").then_some(crossings))
    })
    .await
    .unwrap();
    gateway.set_log_level("wasm", "info").await.unwrap();
    crossings
}

/// Fails when no request crosses just this often. One that comes in more pieces, or asks for units, crosses more often.
async fn assert_crossings(stack: &Stack, key: &str, expected: &Crossings) {
    let mut seen = vec![];
    while seen.len() < 10 && !seen.contains(expected) {
        seen.push(crossings(stack, key).await);
    }
    assert_eq!(seen.last(), Some(expected));
}

/// Nothing is added to the way of every request unnoticed.
#[tokio::test]
async fn a_chat_completion_crosses_between_envoy_and_the_gate_this_often() {
    let stack = Stack::builder().priced().start().await.unwrap();
    let limits = json!({
        "requests_per_minute": 1_000_000,
        "tokens_per_minute": 1_000_000_000,
        "budget": { "usd": "1000", "per": "month" }
    });
    let apps = [
        stack.api().create_app(json!({ "name": "free" })).await.unwrap(),
        stack.api().create_limited_app("limited", limits).await.unwrap(),
    ];
    for app in &apps {
        stack.gateway().until_status(&app.key, 200).await.unwrap();
    }

    // Twice for the bodies' parts.
    let entries = calls(&[
        ("proxy_on_context_create", 1),
        ("proxy_on_request_headers", 1),
        ("proxy_on_request_body", 2),
        ("proxy_on_response_headers", 1),
        ("proxy_on_response_body", 2),
        ("proxy_on_done", 1),
        ("proxy_on_log", 1),
        ("proxy_on_delete", 1),
    ]);
    let free = Crossings {
        entries: entries.clone(),
        host_calls: calls(&[
            ("get_header_map_pairs", 2),
            ("get_buffer_bytes", 2),
            ("get_property", 1),
            ("get_shared_data", 2),
            ("get_current_time_nanoseconds", 4),
            ("set_property", 2),
            ("replace_header_map_value", 2),
            ("remove_header_map_value", 3),
            ("set_shared_data", 1),
        ]),
        allocations: 7,
    };
    // The account is read and written twice. Six headers tell what is left, and the body says how long the answer may be.
    let limited = Crossings {
        entries,
        host_calls: calls(&[
            ("get_header_map_pairs", 2),
            ("get_buffer_bytes", 2),
            ("get_property", 1),
            ("get_shared_data", 4),
            ("get_current_time_nanoseconds", 4),
            ("set_property", 2),
            ("replace_header_map_value", 9),
            ("remove_header_map_value", 3),
            ("set_buffer_bytes", 1),
            ("set_shared_data", 3),
        ]),
        allocations: 9,
    };
    assert_crossings(&stack, &apps[0].key, &free).await;
    assert_crossings(&stack, &apps[1].key, &limited).await;
}
