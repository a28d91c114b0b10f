//! How fast it is. Not run with the other tests; with optimization, alone, and on a disk that syncs:
//! `cargo nextest run --release -p latchkey --run-ignored only --no-capture ledger::speed`.

use std::time::{Duration, Instant};

use latchkey_core::limits::BucketKind::{CostBudget, RequestsPerMinute};
use latchkey_core::limits::Budget;
use latchkey_core::money::NanoUsd;
use latchkey_core::period::Period;
use latchkey_proto::ledger::{Lease, Record};
use tokio::task::JoinSet;

use super::gateway::{ControlPlane, app, batch, bucket, number, record, wants};
use crate::support::Test;

const GATEWAYS: u64 = 4;
const REPORTS: u64 = 25;
const RECORDS: u64 = 200;

async fn ingest(test: Test) {
    let app = app(&test, |app| {
        app.limits.budget = Some(Budget { usd: NanoUsd(1_000_000_000_000), per: Period::Month });
    })
    .await;
    let keys: Vec<_> = (0..20).map(|_| test.world.id()).collect();
    let plane = ControlPlane::start(&test).await;
    let month = bucket(&app, CostBudget, crate::support::START_MS);
    let template = record(&test, &app, 1, vec![(month, 1_000)]);
    let begun = Instant::now();
    let mut gateways = JoinSet::new();
    for i in 0..GATEWAYS {
        let mut gateway = plane.gateway(&format!("g{i}")).await;
        let (template, keys) = (template.clone(), keys.clone());
        gateways.spawn(async move {
            for report in 0..REPORTS {
                let sequences = report * RECORDS + 1..=(report + 1) * RECORDS;
                let record = |sequence: u64| Record {
                    sequence,
                    key_id: keys[usize::try_from(sequence).unwrap() % keys.len()].as_bytes().to_vec(),
                    ..template.clone()
                };
                gateway.record(sequences.map(record).collect()).await;
            }
        });
    }
    gateways.join_all().await;
    let all = GATEWAYS * REPORTS * RECORDS;
    let elapsed = begun.elapsed();
    assert_eq!(number(&test, "SELECT COUNT(*) FROM records").await.unsigned_abs(), all);
    let rate = Duration::from_secs(all).as_secs_f64() / elapsed.as_secs_f64();
    println!("{:?}: {all} records in {elapsed:?}: {rate:.0} per second", test.store.backend());
    println!(
        "  transactions: {:?} in {:.3} s",
        plane.stats.commits.cumulative(),
        plane.stats.commits.sum_seconds()
    );
}

async fn round_trips(test: Test) {
    let app = app(&test, |app| app.limits.requests_per_minute = Some(1_000_000)).await;
    let plane = ControlPlane::start(&test).await;
    let minute = bucket(&app, RequestsPerMinute, 0);
    let mut gateways = JoinSet::new();
    for i in 0..GATEWAYS {
        let mut gateway = plane.gateway(&format!("g{i}")).await;
        let (minute, template) = (minute.clone(), record(&test, &app, 1, vec![]));
        gateways.spawn(async move {
            let (mut granted, mut times) = (0, Vec::new());
            for sequence in 1..=250 {
                let mut report = batch(vec![Record { sequence, ..template.clone() }]);
                report.leases.push(Lease { granted, used: granted, ..wants(minute.clone(), 20, 1) });
                let begun = Instant::now();
                granted = gateway.report(report).await.grants[0].granted;
                times.push(begun.elapsed());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            times
        });
    }
    let mut times: Vec<_> = gateways.join_all().await.into_iter().flatten().collect();
    times.sort();
    let at = |percent: usize| times[times.len() * percent / 100];
    println!(
        "{:?}: median {:?}, 99th percentile {:?}, most {:?}",
        test.store.backend(),
        at(50),
        at(99),
        times.last()
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn ingest_sqlite() {
    ingest(Test::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn ingest_postgres() {
    ingest(Test::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn round_trips_sqlite() {
    round_trips(Test::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn round_trips_postgres() {
    round_trips(Test::postgres().await).await;
}
