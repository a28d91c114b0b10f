//! Budgets that were used up and are available again: their limit was raised or removed, or a new period has begun.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use latchkey_core::limits::BucketKind;
use latchkey_core::money::NanoUsd;
use latchkey_store::Tx;
use latchkey_store::events::NewEvent;
use latchkey_store::ledger::bucket::BucketKey;
use latchkey_store::ledger::event::UnresolvedQuota;
use serde_json::{Value, json};

use super::alerts::amount;
use super::{LedgerBuckets, LimitSubject, LimitSubjects, begin};
use crate::presence::Presence;
use crate::subjects::{CurrentLimit, SubjectLookup};

/// What has become of a budget that was used up.
enum QuotaChange {
    /// Nothing, or not enough.
    None,
    /// Its app or key is gone, or is served no longer: nobody is told.
    Gone,
    /// It is no longer limited.
    Removed,
    /// It is limited so, in the bucket of its period of now; why that may be enough.
    To(BucketKey, CurrentLimit, &'static str),
}

/// Which bucket was used up.
fn bucket_of(quota: &UnresolvedQuota) -> Option<BucketKey> {
    let mut parts = quota.once.split('/');
    let (subject, kind, period) = (parts.next()?, parts.next()?, parts.next()?);
    let kind = BucketKind::from_number(kind.parse().ok()?)?;
    Some(BucketKey { subject: subject.parse().ok()?, kind, period: period.parse().ok()? })
}

/// Those of `quotas` that may be available again, by what `subjects` know after learning them from `tx`.
pub async fn may_be_resolved(
    tx: &mut Tx,
    subjects: &mut LimitSubjects,
    quotas: Vec<UnresolvedQuota>,
    now: Timestamp,
) -> latchkey_store::Result<Vec<UnresolvedQuota>> {
    learn(tx, subjects, &quotas).await?;
    Ok(quotas
        .into_iter()
        .filter(|quota| !matches!(change(subjects, quota, now), QuotaChange::None))
        .collect())
}

/// Tells of those of `quotas` that are available again; how many. Spends of them wait meanwhile.
pub async fn resolve(
    tx: &mut Tx,
    subjects: &mut LimitSubjects,
    quotas: &[UnresolvedQuota],
    now: Timestamp,
) -> latchkey_store::Result<usize> {
    learn(tx, subjects, quotas).await?;
    let changes: Vec<_> = quotas.iter().map(|quota| (quota, change(subjects, quota, now))).collect();
    let keys: BTreeSet<_> = changes
        .iter()
        .filter_map(|(_, change)| match change {
            QuotaChange::To(key, ..) => Some(*key),
            QuotaChange::None | QuotaChange::Gone | QuotaChange::Removed => None,
        })
        .collect();
    let found = tx.lock_buckets(&keys).await?;
    let mut ledger = LedgerBuckets::new(begin(tx, subjects, found, now).await?, Presence::default(), now);
    let mut resolved = 0;
    let mut events = Vec::new();
    for (quota, change) in &changes {
        let told = match change {
            QuotaChange::None => continue,
            QuotaChange::Gone => None,
            QuotaChange::Removed => {
                Some((Value::Null, Value::Null, json!(quota.data["used"]), "limit_removed"))
            }
            QuotaChange::To(key, limit, reason) => {
                let Some(bucket) = ledger.buckets.get_mut(key) else { continue };
                let used = bucket.used(ledger.now_ms);
                if used >= limit.terms.limit {
                    continue;
                }
                let [most, used] = [limit.terms.limit, used].map(|units| amount(key.kind, units));
                Some((json!(limit.per), most, used, *reason))
            }
        };
        events.push((*quota, told));
    }
    ledger.write(tx, &[]).await?;
    for (quota, told) in events {
        if !tx.resolve_quota(quota.id).await? {
            continue;
        }
        resolved += 1;
        let subject = bucket_of(quota).and_then(|key| subjects.subject(key.subject).map(Arc::clone));
        let (Some(subject), Some((per, limit, used, reason))) = (subject, told) else { continue };
        let bucket = &quota.data["bucket"];
        let data = json!({"bucket": bucket, "per": per, "limit": limit, "used": used, "reason": reason});
        tx.insert_event(event(&subject, data, now)).await?;
    }
    Ok(resolved)
}

async fn learn(
    tx: &mut Tx,
    subjects: &mut LimitSubjects,
    quotas: &[UnresolvedQuota],
) -> latchkey_store::Result<()> {
    let ids = quotas.iter().filter_map(bucket_of).map(|key| key.subject);
    subjects.learn(tx, ids.collect()).await
}

fn change(subjects: &LimitSubjects, quota: &UnresolvedQuota, now: Timestamp) -> QuotaChange {
    let Some(key) = bucket_of(quota) else { return QuotaChange::Gone };
    let subject = match subjects.get(key.subject) {
        SubjectLookup::Found(subject) if subject.is_active(now) => subject,
        SubjectLookup::Found(_) | SubjectLookup::Unknown => return QuotaChange::Gone,
        SubjectLookup::Unreadable => return QuotaChange::None,
    };
    let Some(limit) = subject.limit(key.kind, now) else { return QuotaChange::Removed };
    let of_now = BucketKey { period: limit.period, ..key };
    if of_now != key {
        let reason = if of_now.period > key.period { "new_period" } else { "limit_changed" };
        return QuotaChange::To(of_now, limit, reason);
    }
    match limit.terms.limit > units(&quota.data["limit"]) {
        true => QuotaChange::To(key, limit, "limit_raised"),
        false => QuotaChange::None,
    }
}

fn event(subject: &LimitSubject, data: Value, now: Timestamp) -> NewEvent {
    NewEvent {
        at: now,
        kind: "quota.resolved",
        app_id: subject.app_id.to_string(),
        key_id: subject.key_id.map(|id| id.to_string()).unwrap_or_default(),
        data,
        once: None,
    }
}

/// An amount, as an event has it; one that cannot be read is never exceeded by a raise.
fn units(value: &Value) -> u64 {
    let dollars = || value.as_str()?.parse::<NanoUsd>().ok();
    value.as_u64().or_else(|| dollars().map(|NanoUsd(units)| units)).unwrap_or(u64::MAX)
}
