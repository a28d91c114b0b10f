//! How long a change takes to reach a gateway that has many keys.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::report::Report;
use crate::statistics::percentile;
use crate::system::System;

const MOST_MS: f64 = 50.0;

/// A change of one key.
struct Change {
    /// From the commit to the gateway's acknowledgement, as the control plane tells it.
    acknowledged: Duration,
    /// From the API's request to its answer, which waits for the acknowledgement.
    answered: Duration,
    /// From the API's request to the gateway's answer to a request with the key.
    in_force: Duration,
}

/// Switches random keys off and on again.
pub async fn measure(system: &System, changes: u64) -> anyhow::Result<Report> {
    let mut all = vec![];
    for number in 0..changes.div_ceil(2) {
        let key = system.stock.draw(number);
        all.push(change(system, key, "deactivate", 401).await?);
        all.push(change(system, key, "activate", 200).await?);
    }
    let mut report = Report::new("A change of a key reaches a gateway that has many");
    report.note(&format!("changes with {} keys", system.stock.len()), all.len().to_string());
    describe(&mut report, "commit to acknowledged", all.iter().map(|change| change.acknowledged));
    describe(&mut report, "request to answer of the API", all.iter().map(|change| change.answered));
    describe(&mut report, "request to in force at the gateway", all.iter().map(|change| change.in_force));
    Ok(report)
}

fn describe(report: &mut Report, what: &str, durations: impl Iterator<Item = Duration> + Clone) {
    let samples = || durations.clone().map(|duration| duration.as_secs_f64() * 1e3);
    let ms = |value: f64| format!("{value:.1} ms");
    report.note(&format!("{what}, median"), ms(percentile(samples(), 50)));
    report.note(&format!("{what}, longest"), ms(percentile(samples(), 100)));
    report.at_most(&format!("{what}, 99th percentile"), percentile(samples(), 99), MOST_MS, ms);
}

async fn change(system: &System, key: u64, action: &str, status: u16) -> anyhow::Result<Change> {
    let value = system.stock.value(key);
    let begun = Instant::now();
    let answer = system.stack.api().act(&system.stock.path(key), action).await?;
    let answered = begun.elapsed();
    let said = system.stack.gateway().hello(&value).await?;
    let in_force = begun.elapsed();
    ensure!(said.status == status, "after {action} the gateway answers {}: {}", said.status, said.text);
    let propagation = &answer["propagation"];
    ensure!(propagation["complete"] == true, "no gateway has acknowledged in time: {answer}");
    let elapsed_ms = propagation["elapsed_ms"].as_u64().context("no elapsed_ms in the answer")?;
    Ok(Change { acknowledged: Duration::from_millis(elapsed_ms), answered, in_force })
}
