//! What it costs Envoy to look for everything that is built in, in requests and answers in which there is
//! nothing, against an app without guardrails. The two take turns.

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use latchkey_tests::stack::Stack;
use latchkey_tests::stack::api::App;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::report::{Report, factor};
use crate::statistics::median;
use crate::system;

/// Connections, each with one request at a time.
const CONNECTIONS: usize = 4;

/// Turns of each app.
const ROUNDS: usize = 15;

const CATEGORIES: [&str; 8] =
    ["pii", "phi", "pfi", "pci", "secrets", "prompt_injection", "jailbreak", "social_engineering"];

/// Text of a prompt with code and numbers in it, and nothing that is looked for.
const TEXT: &str = "Please review the function below. It reads version 3.12.4 of the config from /etc/app/config.toml, \
    retries 5 times with a delay of 250 ms, and logs the elapsed time in seconds. let total = items.iter().map(|it| \
    it.price * it.count).sum::<u64>(); The tests in tests/orders.rs cover 17 of 23 cases; commit 9fceb02d0ae598e95dc970b\
    74767f19372d61af8 broke the build on 2026-03-14 at 09:26. ";

/// Requests of a kind: their text's size in bytes, how many make a turn, and the most that looking may cost
/// each, in microseconds.
const SIZES: [(&str, usize, usize, f64); 3] =
    [("1.4 kB", 1_400, 1_000, 25.0), ("64 kB", 64_000, 150, 600.0), ("1 MB", 1_000_000, 10, 12_000.0)];

/// How much more a stream may cost.
const MOST_STREAMED: f64 = 1.15;

/// Measures them.
pub async fn measure() -> anyhow::Result<Report> {
    let stack = Stack::start().await?;
    let rules: Vec<_> = CATEGORIES
        .iter()
        .map(|category| json!({ "category": category, "action": "monitor", "direction": "both" }))
        .collect();
    let off = stack.api().create_app(json!({ "name": "off" })).await?;
    let on = json!({ "name": "on", "guardrails": { "rules": rules } });
    let on = stack.api().create_app(on).await?;
    for app in [&off, &on] {
        stack.gateway().until_status(&app.key, 200).await?;
    }

    let mut report =
        Report::new("CPU time of Envoy for guardrails that look for everything and find nothing");
    for (name, bytes, requests, most) in SIZES {
        let text: String = TEXT.chars().cycle().take(bytes).collect();
        let body = json!({
            "model": "gpt-4o-mini", "max_tokens": 1, "messages": [{ "role": "user", "content": text }],
        });
        let [off, on] = race(&stack, [&off, &on], &body, "", requests).await?;
        report.note(&format!("a request of {name}: without, with"), format!("{off:.0} µs, {on:.0} µs"));
        report
            .at_most(&format!("a request of {name}: guardrails"), on - off, most, |it| format!("{it:.0} µs"));
    }
    let body = json!({
        "model": "gpt-4o-mini", "stream": true, "messages": [{ "role": "user", "content": "hello" }],
    });
    let [off, on] = race(&stack, [&off, &on], &body, "tokens=220", 200).await?;
    report.note("a stream of 190 chunks: without, with", format!("{off:.0} µs, {on:.0} µs"));
    report.at_most("a stream, with guardrails to without", on / off, MOST_STREAMED, factor);
    Ok(report)
}

/// The median CPU time of a request of each app, in microseconds.
async fn race(
    stack: &Stack,
    apps: [&App; 2],
    body: &Value,
    sample: &str,
    requests: usize,
) -> anyhow::Result<[f64; 2]> {
    let mut times = [vec![], vec![]];
    for round in 0..=ROUNDS {
        for (app, times) in apps.iter().zip(&mut times) {
            let time = turn(stack, app, body, sample, requests).await?;
            // The first warms up.
            if round > 0 {
                times.push(time);
            }
        }
    }
    Ok(times.map(|times| median(times.into_iter())))
}

async fn turn(stack: &Stack, app: &App, body: &Value, sample: &str, requests: usize) -> anyhow::Result<f64> {
    let usage = system::usage(stack.gateway())?;
    let before = usage.cpu()?;
    let body = body.to_string();
    let drive = async || {
        let client = Client::builder().pool_max_idle_per_host(1).build()?;
        for _ in 0..requests.div_ceil(CONNECTIONS) {
            let url = format!("{}/v1/chat/completions", stack.gateway().url());
            let request = client.request(Method::POST, url).bearer_auth(&app.key).header("x-sample", sample);
            let request = request.header("content-type", "application/json").body(body.clone());
            let answer = request.send().await.context("asking the gateway")?;
            ensure!(answer.status() == StatusCode::OK, "{}", answer.text().await?);
            answer.bytes().await?;
        }
        anyhow::Ok(())
    };
    try_join_all((0..CONNECTIONS).map(|_| drive())).await?;
    let sent = requests.div_ceil(CONNECTIONS) * CONNECTIONS;
    Ok((usage.cpu()? - before).as_secs_f64() * 1e6 / sent as f64)
}
