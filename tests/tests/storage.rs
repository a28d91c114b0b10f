//! A database that cannot be written for a while: the API says why, and all is well again by itself.

use std::collections::BTreeSet;
use std::time::Duration;

use latchkey_tests::stack::api::App;
use latchkey_tests::stack::disk::{Disk, limit_files};
use latchkey_tests::stack::{Stack, wait};
use reqwest::StatusCode;
use serde_json::{Value, json};

/// Answers to records that wait for the database.
const REQUESTS: usize = 20;

async fn stack(disk: &Disk) -> (Stack, App) {
    let url = format!("sqlite://{}", disk.path().join("latchkey.db").display());
    let stack = Stack::builder().priced().database_url(&url).start().await.unwrap();
    let app =
        stack.api().create_limited_app("limited", json!({ "requests_per_minute": 1000 })).await.unwrap();
    stack.until_synced().await.unwrap();
    (stack, app)
}

/// Creates apps until that is refused, and tells how.
async fn refusal(stack: &Stack) -> Value {
    let mut body = json!({ "name": "large", "metadata": { "text": "x".repeat(15_000) } });
    for field in ["allowed_models", "allowed_providers"] {
        body[field] = json!("all");
    }
    wait::until("a creation to be refused", Duration::from_secs(60), async || {
        let answer = stack.api().post("/api/v1/apps", body.clone()).await?;
        Ok((answer.status != 201).then(|| json!({ "status": answer.status, "problem": answer.body })))
    })
    .await
    .unwrap()
}

async fn readiness(stack: &Stack) -> StatusCode {
    reqwest::get(format!("{}/readyz", stack.api().url())).await.unwrap().status()
}

async fn until_ready(stack: &Stack, status: StatusCode) {
    let what = format!("readiness to be {status}");
    wait::until(
        &what,
        Duration::from_secs(10),
        async || Ok((readiness(stack).await == status).then_some(())),
    )
    .await
    .unwrap();
}

/// `begins` makes the database fail, `ends` makes it well; what is told of it holds `reason`.
async fn passes(disk: &Disk, reason: &str, begins: impl Fn(&mut Stack), ends: impl Fn(&mut Stack)) {
    let (mut stack, app) = stack(disk).await;
    begins(&mut stack);
    let refused = refusal(&stack).await;
    assert_eq!(refused["status"], 503, "{refused}");
    assert_eq!(refused["problem"]["code"], "database_unavailable", "{refused}");
    assert!(refused["problem"]["detail"].as_str().unwrap().contains(reason), "{refused}");
    until_ready(&stack, StatusCode::SERVICE_UNAVAILABLE).await;
    // Keys go on by what is leased, and whatever is answered is recorded once it can be.
    let mut answered = BTreeSet::new();
    for _ in 0..REQUESTS {
        let answer = stack.gateway().hello(&app.key).await.unwrap();
        answered.extend((answer.status == 200).then(|| answer.header("x-request-id").to_owned()));
    }
    ends(&mut stack);
    until_ready(&stack, StatusCode::OK).await;
    stack.api().create_app(json!({ "name": "after" })).await.unwrap();
    wait::until("every record, once", Duration::from_secs(30), async || {
        let records = stack.api().records(&app, "").await?;
        let ids: BTreeSet<_> = records.iter().map(|record| record.request_id.clone()).collect();
        anyhow::ensure!(ids.len() == records.len(), "{} records of {}", records.len(), ids.len());
        Ok(answered.is_subset(&ids).then_some(()))
    })
    .await
    .unwrap();
    stack.gateway().until_status(&app.key, 200).await.unwrap();
    let revoked = stack.api().act(&app.path(), "revoke").await.unwrap();
    assert_eq!(revoked["propagation"]["complete"], true, "{revoked}");
}

fn limit(stack: &mut Stack, bytes: Option<u64>) {
    limit_files(stack.control_plane().id().unwrap(), bytes).unwrap();
}

#[tokio::test]
async fn a_full_disk_passes() {
    let disk = Disk::small(12).unwrap();
    if disk.is_mounted() {
        passes(&disk, "disk is full", |_| disk.fill().unwrap(), |_| disk.free().unwrap()).await;
    } else {
        failing_files_pass(&disk).await;
    }
}

#[tokio::test]
async fn a_disk_that_fails_passes() {
    failing_files_pass(&Disk::small(64).unwrap()).await;
}

async fn failing_files_pass(disk: &Disk) {
    passes(disk, "cannot read or write", |stack| limit(stack, Some(4096)), |stack| limit(stack, None)).await;
}
