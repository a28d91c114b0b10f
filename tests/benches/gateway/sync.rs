//! How long a new gateway takes to learn every key, and how much memory they take.

use crate::report::Report;
use crate::statistics::median;
use crate::system::System;

const MOST_SECONDS: f64 = 15.0;
const MOST_MB: f64 = 450.0;

/// Starts the gateway with many keys several times; one with few keys tells what Envoy takes anyway.
pub async fn measure(few: &System, many: &mut System, starts: usize) -> anyhow::Result<Report> {
    let mut all = vec![many.cold];
    while all.len() < starts {
        all.push(many.start_cold().await?);
    }
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let seconds = |value: f64| format!("{value:.1} s");
    let megabytes = |value: f64| format!("{value:.0} MB");

    let mut report = Report::new("A new gateway learns every key");
    report.note(
        &format!("start to ready with {} keys", few.stock.len()),
        seconds(few.cold.elapsed.as_secs_f64()),
    );
    report.note(&format!("starts with {} keys", many.stock.len()), all.len().to_string());
    let elapsed = all.iter().map(|start| start.elapsed.as_secs_f64());
    report.note("start to ready, median", seconds(median(elapsed.clone())));
    report.at_most("start to ready, longest", elapsed.fold(0.0, f64::max), MOST_SECONDS, seconds);
    let cpu = all.iter().map(|start| start.cpu.as_secs_f64());
    report.note("CPU time of Envoy until then, median", seconds(median(cpu)));
    report.note("memory with few keys", megabytes(mb(few.cold.memory.now)));
    let most = |memory: fn(&crate::usage::Memory) -> u64| {
        all.iter().map(|start| mb(memory(&start.memory))).fold(0.0, f64::max)
    };
    report.note("memory with many keys", megabytes(most(|memory| memory.now)));
    report.note("the same, at its peak", megabytes(most(|memory| memory.peak)));
    report.at_most(
        "growth, at its peak",
        most(|memory| memory.peak) - mb(few.cold.memory.now),
        MOST_MB,
        megabytes,
    );
    Ok(report)
}
