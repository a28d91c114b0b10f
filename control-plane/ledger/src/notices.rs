//! Events that no request causes: budgets that are available again, keys that end soon, and what requests did within
//! a minute.

use std::time::Duration;

use jiff::Timestamp;
use latchkey_core::event::{GUARDRAIL_VIOLATION, RATE_LIMITED};
use latchkey_store::Store;
use latchkey_store::events::NewEvent;
use latchkey_store::ledger::event::{EventCount, ExpiringKey};
use latchkey_world::World;
use serde_json::json;

use super::subjects::LimitSubjects;
use super::transaction::{may_be_resolved, resolve};

/// How often it is looked.
const PERIOD: Duration = Duration::from_secs(15);
/// How many days before its end a key's owner is told.
const DAYS_BEFORE: [i64; 2] = [7, 1];
/// How many events are read or written at a time.
const BATCH: i64 = 200;
/// How many minutes a minute must be over before it is told: what counts in it may be committed late.
const GRACE: i64 = 1;
const MINUTE_MS: i64 = 60_000;

/// Looks for as long as the process runs. Several replicas may: each event is written once.
pub async fn keep_noticing(store: Store, world: World) {
    let mut periods = tokio::time::interval(PERIOD);
    periods.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut subjects = LimitSubjects::default();
    loop {
        periods.tick().await;
        if let Err(error) = notice(&store, &world, &mut subjects).await {
            tracing::warn!(%error, "could not look for what webhooks are to be told");
        }
    }
}

/// Looks once.
///
/// # Errors
/// The database is away.
pub async fn notice(
    store: &Store,
    world: &World,
    subjects: &mut LimitSubjects,
) -> latchkey_store::Result<()> {
    tell_resolved(store, world, subjects).await?;
    for days in DAYS_BEFORE {
        tell_expiring(store, world, days).await?;
    }
    tell_counts(store, world).await
}

/// The minute of a moment, since 1970.
pub(crate) fn minute(at: Timestamp) -> i64 {
    at.as_millisecond().div_euclid(MINUTE_MS)
}

async fn tell_resolved(
    store: &Store,
    world: &World,
    subjects: &mut LimitSubjects,
) -> latchkey_store::Result<()> {
    let mut after = 0;
    loop {
        let quotas = store.unresolved_quotas(after, BATCH).await?;
        let Some(last) = quotas.last() else { return Ok(()) };
        after = last.id;
        let mut snapshot = store.snapshot().await?;
        let candidates = may_be_resolved(&mut snapshot, subjects, quotas, world.now()).await?;
        snapshot.abandon().await?;
        if candidates.is_empty() {
            continue;
        }
        let mut tx = store.begin().await?;
        resolve(&mut tx, subjects, &candidates, world.now()).await?;
        tx.commit().await?;
    }
}

async fn tell_expiring(store: &Store, world: &World, days: i64) -> latchkey_store::Result<()> {
    loop {
        let keys = store.expiring_keys(world.now(), days, BATCH).await?;
        if keys.is_empty() {
            return Ok(());
        }
        let mut tx = store.begin().await?;
        for key in keys {
            let once = Some(key.once(days));
            let ExpiringKey { id, app_id, user_id, expires_at } = key;
            let of = if user_id.is_some() { "user" } else { "app" };
            let data = json!({"expires_at": expires_at, "days": days, "of": of, "user_id": user_id});
            let at = world.now();
            tx.insert_event(NewEvent { at, kind: "key.expiring", app_id, key_id: id, data, once }).await?;
        }
        tx.commit().await?;
    }
}

async fn tell_counts(store: &Store, world: &World) -> latchkey_store::Result<()> {
    let now = minute(world.now());
    let (before, latest) = (now.saturating_sub(GRACE), now.saturating_add(GRACE));
    if !store.has_event_counts(before, latest).await? {
        return Ok(());
    }
    let mut tx = store.begin().await?;
    for count in tx.take_event_counts(before, latest).await? {
        let EventCount { minute, kind, app_id, rule, action, total } = count;
        let moment = |minute: i64| Timestamp::from_millisecond(minute.saturating_mul(MINUTE_MS));
        let (Ok(from), Ok(to)) = (moment(minute), moment(minute.saturating_add(1))) else { continue };
        let mut data = json!({"rule": rule, "count": total, "from": from, "to": to});
        let kind = if kind == GUARDRAIL_VIOLATION {
            data["action"] = json!(action);
            GUARDRAIL_VIOLATION
        } else {
            RATE_LIMITED
        };
        let event =
            NewEvent { at: to.min(world.now()), kind, app_id, key_id: String::new(), data, once: None };
        tx.insert_event(event).await?;
    }
    tx.commit().await
}
