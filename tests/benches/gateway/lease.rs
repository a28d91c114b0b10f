//! How long a request waits whose lease is dry: a round trip to the control plane.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use latchkey_proto::discovery::BucketKind;
use latchkey_proto::ledger::{Lease, Verdict};

use crate::exchange::{self, Exchange};
use crate::report::Report;
use crate::statistics::percentile;

const MOST_MS: f64 = 5.0;

/// Asks for as many leases, one after the other, of each control plane.
pub async fn measure(leases: u64) -> anyhow::Result<Report> {
    let mut report = Report::new("A lease: from a gateway's report to the grant");
    report.note("leases", leases.to_string());
    for (database, stack) in exchange::control_planes().await? {
        let bucket = exchange::bucket(&exchange::app(&stack).await?, BucketKind::RequestsPerMinute)?;
        let mut exchange = Exchange::open(&stack, "bench").await?;
        let mut all = vec![];
        let mut granted = 0;
        for _ in 0..leases {
            let lease = Lease {
                bucket: Some(bucket.clone()),
                granted,
                used: granted,
                returned: 0,
                local: 0,
                want: 10,
                least: 1,
                ahead: false,
                floor: 0,
            };
            let begun = Instant::now();
            exchange.report(vec![], vec![lease]).await?;
            let answer = exchange.answer().await?;
            all.push(begun.elapsed());
            let grant = answer.grants.first().context("no grant came")?;
            ensure!(grant.verdict() == Verdict::Granted, "not granted: {grant:?}");
            ensure!(grant.granted > granted, "nothing more was granted: {grant:?}");
            granted = grant.granted;
        }
        let samples = || all.iter().map(Duration::as_secs_f64).map(|seconds| seconds * 1e3);
        let ms = |value: f64| format!("{value:.2} ms");
        report.note(&format!("{database}, median"), ms(percentile(samples(), 50)));
        report.note(&format!("{database}, longest"), ms(percentile(samples(), 100)));
        report.at_most(&format!("{database}, 99th percentile"), percentile(samples(), 99), MOST_MS, ms);
    }
    Ok(report)
}
