//! Forgets old records in small batches, and leases that can no longer matter.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use latchkey_store::Store;
use latchkey_world::World;

use super::streams::LedgerStreams;
use super::subjects::LimitSubjects;
use super::transaction;

/// A gateway process is lost so long after its last lease has ended.
const WRITE_OFF_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// How many records one statement removes, and how long it rests after each.
const BATCH: i64 = 1_000;
const REST: Duration = Duration::from_millis(100);

/// For how many days deliveries to webhooks, and email, are kept.
const DELIVERY_DAYS: u32 = 30;
/// Events are never kept shorter: what is told once in a period would be told again. The longest has 31 days.
const LEAST_EVENT_DAYS: u32 = 40;

/// Tidies the ledger every hour. Records older than `days` go, sums stay; 0 keeps all.
pub async fn keep_tidy(store: Store, world: World, streams: LedgerStreams, days: u32) {
    let mut hours = tokio::time::interval(Duration::from_secs(3600));
    loop {
        hours.tick().await;
        if let Err(error) = tidy(&store, &world, &streams, days).await {
            tracing::warn!(%error, "could not tidy the ledger");
        }
    }
}

pub async fn tidy(
    store: &Store,
    world: &World,
    streams: &LedgerStreams,
    days: u32,
) -> latchkey_store::Result<()> {
    for instance in streams.instances() {
        store.see_process(&instance, world.now()).await?;
    }
    write_off_lost(store, world, streams).await?;
    store.close_guardrail_trials(world.now()).await?;
    let leases = store.forget_leases(world.now()).await?;
    let windows = store.forget_windows(world.now()).await?;
    let (records, findings) = forget_records(store, world, days).await?;
    let (deliveries, mails, events) = forget_events(store, world, days).await?;
    if records + findings + leases + windows + deliveries + mails + events > 0 {
        tracing::info!(
            records,
            findings,
            leases,
            windows,
            deliveries,
            mails,
            events,
            "old entries of the ledger removed"
        );
    }
    Ok(())
}

/// A process that nobody has heard of for a day will not come back: what it can have spent is charged.
async fn write_off_lost(store: &Store, world: &World, streams: &LedgerStreams) -> latchkey_store::Result<()> {
    let day_ago = world.now().saturating_sub(WRITE_OFF_AFTER).unwrap_or(Timestamp::UNIX_EPOCH);
    let connected = streams.instances();
    for lost in store.lost_processes(day_ago).await? {
        if connected.contains(&lost.instance) {
            continue;
        }
        let mut tx = store.begin().await?;
        let budgets =
            transaction::write_off(&mut tx, &mut LimitSubjects::default(), &lost.instance, world.now())
                .await?;
        tx.commit().await?;
        let (gateway, instance) = (lost.gateway, lost.instance);
        tracing::warn!(
            gateway,
            instance,
            budgets,
            "a gateway is gone for good: what it held of budgets is charged"
        );
    }
    Ok(())
}

/// Forgets old records, and what was found in them; how many of each.
async fn forget_records(store: &Store, world: &World, days: u32) -> latchkey_store::Result<(u64, u64)> {
    let age = SignedDuration::from_hours(i64::from(days) * 24);
    let (Ok(before), 1..) = (world.now().checked_sub(age), days) else { return Ok((0, 0)) };
    let (mut records, mut findings) = (0, 0);
    loop {
        let batch = (store.forget_records(before, BATCH).await?, store.forget_findings(before, BATCH).await?);
        records += batch.0;
        findings += batch.1;
        if batch.0.max(batch.1) < BATCH.unsigned_abs() {
            return Ok((records, findings));
        }
        tokio::time::sleep(REST).await;
    }
}

/// Forgets old deliveries to webhooks and old email, then old events; how many of each.
async fn forget_events(store: &Store, world: &World, days: u32) -> latchkey_store::Result<(u64, u64, u64)> {
    let before = |days: u32| {
        let age = SignedDuration::from_hours(i64::from(days) * 24);
        world.now().checked_sub(age).ok().filter(|_| days > 0)
    };
    let Some(old) = before(DELIVERY_DAYS) else { return Ok((0, 0, 0)) };
    let deliveries = in_batches(|| store.forget_deliveries(old, BATCH)).await?;
    let mails = in_batches(|| store.forget_mails(old, BATCH)).await?;
    let untold = in_batches(|| store.forget_untold(old, BATCH)).await?;
    let mails = mails.saturating_add(untold);
    let kept = if days == 0 { 0 } else { days.max(LEAST_EVENT_DAYS) };
    let Some(old) = before(kept) else { return Ok((deliveries, mails, 0)) };
    let events = in_batches(|| store.forget_events(old, BATCH)).await?;
    Ok((deliveries, mails, events))
}

/// Removes batch after batch, until one is not full; how many entries.
async fn in_batches<F: Future<Output = latchkey_store::Result<u64>>>(
    remove: impl Fn() -> F,
) -> latchkey_store::Result<u64> {
    let mut removed = 0;
    loop {
        let batch = remove().await?;
        removed += batch;
        if batch < BATCH.unsigned_abs() {
            return Ok(removed);
        }
        tokio::time::sleep(REST).await;
    }
}
