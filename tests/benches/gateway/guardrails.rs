//! What it costs Envoy to look for everything that is built in, in requests and answers in which there is
//! nothing, against an app without guardrails. The two take turns.

use serde_json::json;

use crate::fixed::{CHUNKS, Fixed};
use crate::report::{Report, factor};
use crate::system;
use crate::turns::{Ask, cpu_times};

const CATEGORIES: [&str; 8] =
    ["pii", "phi", "pfi", "pci", "secrets", "prompt_injection", "jailbreak", "social_engineering"];

/// Text of a prompt with code and numbers in it, and nothing that is looked for.
const TEXT: &str = "Please review the function below. It reads version 3.12.4 of the config from /etc/app/config.toml, \
    retries 5 times with a delay of 250 ms, and logs the elapsed time in seconds. let total = items.iter().map(|it| \
    it.price * it.count).sum::<u64>(); The tests in tests/orders.rs cover 17 of 23 cases; commit 9fceb02d0ae598e95dc970b\
    74767f19372d61af8 broke the build on 2026-03-14 at 09:26. ";

/// Requests of a kind: their text's size in bytes, how many make a turn, and the most that looking may cost
/// each, in microseconds.
const SIZES: [(&str, usize, u64, f64); 3] =
    [("1.4 kB", 1_400, 2_000, 25.0), ("64 kB", 64_000, 300, 600.0), ("1 MB", 1_000_000, 16, 12_000.0)];

/// How much more a stream may cost.
const MOST_STREAMED: f64 = 1.15;

/// Measures them.
pub async fn measure(provider: &Fixed) -> anyhow::Result<Report> {
    let stack = system::before(provider).await?;
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
        let asks = [&off, &on].map(|app| Ask { app, body: &body });
        let [off, on] = cpu_times(&stack, asks, requests)?;
        report.note(&format!("a request of {name}: without, with"), format!("{off:.0} µs, {on:.0} µs"));
        report
            .at_most(&format!("a request of {name}: guardrails"), on - off, most, |it| format!("{it:.0} µs"));
    }
    let body = json!({
        "model": "gpt-4o-mini", "stream": true, "messages": [{ "role": "user", "content": "hello" }],
    });
    let asks = [&off, &on].map(|app| Ask { app, body: &body });
    let [off, on] = cpu_times(&stack, asks, 200)?;
    report.note(&format!("a stream of {CHUNKS} chunks: without, with"), format!("{off:.0} µs, {on:.0} µs"));
    report.at_most("a stream, with guardrails to without", on / off, MOST_STREAMED, factor);
    Ok(report)
}
