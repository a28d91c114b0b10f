//! How many records the control plane commits in a second.

use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::future::try_join_all;
use latchkey_proto::discovery::BucketKind;
use latchkey_proto::ledger::{Batch, BucketId, Charge, Lease, Record, Settlement, Tokens};
use latchkey_tests::stack::Stack;
use latchkey_tests::stack::api::App;
use uuid::Uuid;

use crate::exchange::{self, Exchange};
use crate::report::Report;

const LEAST_PER_SECOND: f64 = 20_000.0;

/// Gateways that send at the same time.
const GATEWAYS: u64 = 3;

/// Records of a report.
const RECORDS: u64 = 500;

/// Reports of a gateway that wait for their answer.
const AHEAD: u64 = 4;

/// Sends as many records to each control plane, and waits until all are committed.
pub async fn measure(records: u64) -> anyhow::Result<Report> {
    let mut report = Report::new("Records that the control plane commits, each with a charge of a budget");
    report.note("gateways", GATEWAYS.to_string());
    report.note("records of a report", RECORDS.to_string());
    for (database, stack) in exchange::control_planes().await? {
        let app = exchange::app(&stack).await?;
        let each = records / GATEWAYS;
        let begun = Instant::now();
        try_join_all((0..GATEWAYS).map(|number| send(&stack, &app, number, each))).await?;
        let rate = (each * GATEWAYS) as f64 / begun.elapsed().as_secs_f64();
        report.at_least(database, rate, LEAST_PER_SECOND, |rate| format!("{rate:.0}/s"));
    }
    Ok(report)
}

/// Sends records as one gateway.
async fn send(stack: &Stack, app: &App, gateway: u64, records: u64) -> anyhow::Result<()> {
    let mut exchange = Exchange::open(stack, &format!("bench-{gateway}")).await?;
    let bucket = exchange::bucket(app, BucketKind::CostBudget)?;
    let want = records * COST;
    let lease = Lease { bucket: Some(bucket.clone()), want, least: 1, ..Lease::default() };
    exchange.report(vec![], vec![lease]).await?;
    exchange.answer().await?;

    let sample = sample(app, bucket)?;
    let (mut sent, mut committed, mut waiting) = (0, 0, 0);
    while committed < records {
        while sent < records && waiting < AHEAD {
            let last = records.min(sent + RECORDS);
            let batch = (sent + 1..=last).map(|sequence| numbered(&sample, sequence)).collect();
            exchange.report(vec![Batch { worker: 0, records: batch }], vec![]).await?;
            (sent, waiting) = (last, waiting + 1);
        }
        ensure!(waiting > 0, "{committed} of {sent} records were acknowledged, and no answer is to come");
        let answer = tokio::time::timeout(Duration::from_secs(30), exchange.answer()).await??;
        waiting -= 1;
        let acknowledged = answer.acknowledged.iter().map(|acknowledged| acknowledged.sequence).max();
        committed = acknowledged.unwrap_or(committed).max(committed);
    }
    Ok(())
}

/// What a record costs, in nano-USD.
const COST: u64 = 53_850;

fn sample(app: &App, bucket: BucketId) -> anyhow::Result<Record> {
    let id = |text: &str| text.parse::<Uuid>().map(|id| id.as_bytes().to_vec());
    Ok(Record {
        at_ms: i64::try_from(exchange::nanos()? / 1_000_000)?,
        app_id: id(&app.id)?,
        key_id: id(&app.key_id)?,
        model: "gpt-4o-mini".to_owned(),
        served_model: "gpt-4o-mini-2024-07-18".to_owned(),
        provider: "sample".to_owned(),
        endpoint: "chat_completions".to_owned(),
        status: 200,
        tokens: Some(Tokens { input: 319, output: 10, ..Tokens::default() }),
        cost_nano_usd: COST,
        price_version: 1,
        settlement: Settlement::Reported.into(),
        latency_ms: 812,
        first_token_ms: Some(230),
        streamed: true,
        client_address: "192.0.2.7".to_owned(),
        charges: vec![Charge { bucket: Some(bucket), amount: COST }],
        ..Record::default()
    })
}

fn numbered(sample: &Record, sequence: u64) -> Record {
    let request_id = Uuid::from_u128(u128::from(sequence)).to_string();
    Record { sequence, request_id, ..sample.clone() }
}
