//! What a routing group costs Envoy against the model behind it, and what it costs a client that a request moves on.

use std::time::{Duration, Instant};

use anyhow::ensure;
use latchkey_tests::stack::api::App;
use latchkey_tests::stack::{PROVIDER_CREDENTIAL, Stack, wait};
use latchkey_tests::upstream::{Act, Upstream};
use reqwest::Client;
use serde_json::{Value, json};

use crate::fixed::Fixed;
use crate::report::{Report, factor};
use crate::statistics::median;
use crate::system::{self, PROVIDER};
use crate::turns::{Ask, cpu_times};

/// How much more a group may cost where nothing fails.
const MOST: f64 = 1.25;

/// How much longer a request may take that moves on, beside what the failed try took, in milliseconds.
const MOST_LATER: f64 = 2.0;

/// Requests of each kind whose time is measured.
const MEASURED: usize = 300;

/// Measures them.
pub async fn measure(provider: &Fixed) -> anyhow::Result<Report> {
    let stack = system::before(provider).await?;
    let failing = Upstream::start(|_| Act::status("500 Oh", "retry-after-ms: 1\r\n", "{}")).await?;
    let api = stack.api();
    api.create_provider("failing", "openai_compatible", &failing.url("/v1"), PROVIDER_CREDENTIAL).await?;
    api.create_model("failing", "failing").await?;
    api.create_model("gpt-4o", PROVIDER).await?;
    let group = |name: &str, first: [&str; 2]| {
        json!({ "name": name, "targets": [
            { "provider": first[0], "model": first[1], "weight": 100 },
            { "provider": PROVIDER, "model": "gpt-4o", "weight": 0 },
        ] })
    };
    api.post("/api/v1/routing-groups", group("well", [PROVIDER, "gpt-4o-mini"])).await?.ok()?;
    api.post("/api/v1/routing-groups", group("ill", ["failing", "failing"])).await?.ok()?;
    let settings = json!({ "name": "grouped", "routing_groups": ["well", "ill"] });
    let app = api.create_app(settings).await?;
    for model in ["gpt-4o-mini", "well", "ill"] {
        wait::until("the model to answer", Duration::from_secs(20), async || {
            let (status, _, _) = ask(&stack, &app, model).await?;
            Ok((status == 200).then_some(()))
        })
        .await?;
    }

    let mut report = Report::new("A routing group against the model behind it");
    let [model, group] = ["gpt-4o-mini", "well"].map(body);
    let asks = [&model, &group].map(|body| Ask { app: &app, body });
    let [model, group] = cpu_times(&stack, asks, 2_000)?;
    report.note("CPU time of Envoy: the model, the group", format!("{model:.0} µs, {group:.0} µs"));
    report.at_most("the group, without a failure, to the model", group / model, MOST, factor);

    let (mut well, mut ill) = (vec![], vec![]);
    while ill.len() < MEASURED {
        let (status, attempts, took_ms) = ask(&stack, &app, "ill").await?;
        ensure!(status == 200, "the group answers {status}");
        if attempts == 2 {
            ill.push(took_ms);
        }
        well.push(ask(&stack, &app, "well").await?.2);
    }
    let (well, ill) = (median(well.into_iter()), median(ill.into_iter()));
    report.note("a request: answered at once, moved on once", format!("{well:.2} ms, {ill:.2} ms"));
    // Of which the failed try took its own part, of some tenths.
    report.at_most("what it takes to move on", ill - well, MOST_LATER, |it| format!("{it:.2} ms"));
    Ok(report)
}

fn body(model: &str) -> Value {
    json!({ "model": model, "max_tokens": 1, "messages": [{ "role": "user", "content": "hello" }] })
}

/// A chat's status, how many targets were tried, and how long it took in milliseconds.
async fn ask(stack: &Stack, app: &App, model: &str) -> anyhow::Result<(u16, u32, f64)> {
    let begun = Instant::now();
    let url = format!("{}/v1/chat/completions", stack.gateway().url());
    let answer = Client::new().post(url).bearer_auth(&app.key).json(&body(model)).send().await?;
    let attempts = answer.headers().get("x-latchkey-attempts").and_then(|it| it.to_str().ok()?.parse().ok());
    let status = answer.status().as_u16();
    answer.bytes().await?;
    Ok((status, attempts.unwrap_or(1), begun.elapsed().as_secs_f64() * 1e3))
}
