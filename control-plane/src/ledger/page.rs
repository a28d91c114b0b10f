//! One transaction of the book: some reports are applied to what the database holds, and answered.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use latchkey_core::bucket::Bucket;
use latchkey_core::grant::{Decision, Verdict, decide};
use latchkey_core::lease::Lease;
use latchkey_core::sequence::{Applied, Step};
use latchkey_proto::ledger as wire;
use uuid::Uuid;

use super::intake::{Batch, LeaseReport, Recorded, Report};
use super::owners::{Known, Limit, Owner, Owners};
use super::presence::Presence;
use crate::store::Tx;
use crate::store::ledger::bucket::{BucketKey, Found, LeaseRow};
use crate::store::ledger::density::DensitySamples;
use crate::store::ledger::usage::RecordSums;
use crate::store::ledger::worker::Worker;
use crate::store::records::Record;

mod alerts;
mod rehearsal;

use self::alerts::Alerts;
pub use self::rehearsal::Rehearsal;

#[derive(Clone, Debug)]
pub struct Sender {
    pub gateway: String,
    pub instance: String,
}

/// What a transaction comes to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The answers, in the order of the reports.
    pub answers: Vec<wire::LedgerResponse>,
    /// What is recalled, by process.
    pub recalls: BTreeMap<String, Vec<wire::BucketId>>,
    pub records: u64,
    /// Records that had been applied before.
    pub duplicates: u64,
    /// Records that are missing or cannot be read.
    pub dropped: u64,
}

struct News<'a> {
    records: Vec<&'a Recorded>,
}

/// Applies `reports`; nothing is answered before the transaction is committed.
pub async fn apply(
    tx: &mut Tx,
    owners: &mut Owners,
    reports: &[(&Sender, &Report)],
    presence: &Presence,
    now: Timestamp,
) -> sqlx::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut workers = tx.lock_workers(&workers(reports), now).await?;
    let news: Vec<_> =
        reports.iter().map(|(sender, report)| sift(sender, report, &mut workers, &mut outcome)).collect();
    owners.learn(tx, ids(reports, &news)).await?;

    let keys = buckets(reports, &news, owners, now);
    let found = tx.lock_buckets(&keys).await?;
    let stored = begin(tx, owners, found, now).await?;
    let mut ledger = Leaves::new(stored, presence.clone(), now);
    for ((sender, report), news) in reports.iter().zip(&news) {
        let answer = ledger.enter(sender, report, news, owners, &workers, &mut outcome.recalls);
        outcome.answers.push(answer);
    }
    ledger.write(tx, reports).await?;
    let (sums, densities) = write_records(tx, owners, reports, &news).await?;
    tx.insert_quota_events(&ledger.alerts.events(), now).await?;
    tx.write_workers(&workers).await?;
    tx.add_usage_by_dimension(&sums).await?;
    tx.add_density_samples(&densities).await?;
    Ok(outcome)
}

/// Charges for good what a process that is gone holds of budgets; how many there were. What it may still
/// tell of them is counted by then.
pub async fn write_off(
    tx: &mut Tx,
    owners: &mut Owners,
    instance: &str,
    now: Timestamp,
) -> sqlx::Result<usize> {
    let keys = tx.held_budgets(instance).await?;
    owners.learn(tx, keys.iter().map(|key| key.owner).collect()).await?;
    let found = tx.lock_buckets(&keys).await?;
    let mut ledger = Leaves::new(begin(tx, owners, found, now).await?, Presence::default(), now);
    let now_ms = ledger.now_ms;
    for (key, bucket) in &mut ledger.buckets {
        let before = bucket.used(now_ms);
        bucket.write_off(instance, now_ms);
        if let Some(owner) = owners.owner(key.owner) {
            ledger.alerts.spent(owner, *key, before, bucket.used(now_ms));
        }
    }
    ledger.write(tx, &[]).await?;
    tx.insert_quota_events(&ledger.alerts.events(), now).await?;
    Ok(keys.len())
}

/// Lets buckets that were not there begin with what was used in their period before: whose limits were
/// edited since it began may have used something of it. Who was not has used nothing.
async fn begin(
    tx: &mut Tx,
    owners: &Owners,
    Found { mut buckets, fresh }: Found,
    now: Timestamp,
) -> sqlx::Result<BTreeMap<BucketKey, Bucket>> {
    for key in fresh {
        let (Some(owner), Some(bucket)) = (owners.owner(key.owner), buckets.get_mut(&key)) else { continue };
        if owner.changed_at.as_millisecond() >= key.period {
            let used = tx.used_since(owner.app_id, owner.key_id, key, now.as_millisecond()).await?;
            bucket.carry(now.as_millisecond(), used);
        }
    }
    Ok(buckets)
}

fn workers(reports: &[(&Sender, &Report)]) -> BTreeMap<Worker, String> {
    let of = |(sender, report): &(&Sender, &Report)| -> Vec<(Worker, String)> {
        let worker = |batch: &Batch| {
            (Worker { instance: sender.instance.clone(), number: batch.worker }, sender.gateway.clone())
        };
        report.batches.iter().map(worker).collect()
    };
    reports.iter().flat_map(of).collect()
}

/// Takes the records that were not applied before.
fn sift<'a>(
    sender: &Sender,
    report: &'a Report,
    workers: &mut BTreeMap<Worker, Applied>,
    outcome: &mut Outcome,
) -> News<'a> {
    let mut records = Vec::new();
    let Sender { gateway, instance } = sender;
    for Batch { worker, entries } in &report.batches {
        let number = *worker;
        let applied = workers.entry(Worker { instance: instance.clone(), number }).or_default();
        let before = applied.dropped;
        for entry in entries {
            match (applied.take(entry.sequence), &entry.record) {
                (Step::Duplicate, Ok(_)) => {
                    outcome.duplicates += 1;
                    continue;
                }
                (Step::Duplicate, Err(_)) if entry.sequence > 0 => {
                    outcome.duplicates += 1;
                    continue;
                }
                (Step::New { .. }, Ok(record)) => records.push(&**record),
                (_, Err(reason)) => {
                    tracing::warn!(
                        gateway,
                        worker,
                        sequence = entry.sequence,
                        reason,
                        "a record cannot be read"
                    );
                    applied.lose();
                }
            }
            applied.tell(entry.dropped);
        }
        let missing = applied.dropped.saturating_sub(before);
        if missing > 0 {
            tracing::warn!(gateway, worker, missing, "records of a gateway are missing");
        }
        outcome.dropped += missing;
    }
    outcome.records += records.len() as u64;
    News { records }
}

/// Every app or key that is spoken of.
fn ids(reports: &[(&Sender, &Report)], news: &[News<'_>]) -> BTreeSet<Uuid> {
    let leases = reports.iter().flat_map(|(_, report)| &report.leases);
    let leased = leases.filter_map(|lease| lease.bucket).map(|bucket| bucket.owner);
    let records = news.iter().flat_map(|news| &news.records);
    let recorded = records.flat_map(|Recorded { record, charges, .. }| {
        record.app_id.into_iter().chain(charges.iter().map(|charge| charge.bucket.owner))
    });
    leased.chain(recorded).collect()
}

/// Every bucket that is spoken of and has an owner; sorted, for the locks.
fn buckets(
    reports: &[(&Sender, &Report)],
    news: &[News<'_>],
    owners: &Owners,
    now: Timestamp,
) -> BTreeSet<BucketKey> {
    let charges = news.iter().flat_map(|news| &news.records).flat_map(|record| &record.charges);
    let charged = charges.map(|charge| charge.bucket);
    let leases = reports.iter().flat_map(|(_, report)| &report.leases);
    let leased = leases.flat_map(|lease| {
        let asked = lease.ask.and(lease.bucket).and_then(|bucket| current(owners, bucket, now));
        let told = lease.bucket.filter(|bucket| bucket.period >= 0);
        told.into_iter().chain(asked.map(|(bucket, ..)| bucket))
    });
    let known = |bucket: &BucketKey| owners.owner(bucket.owner).is_some() && is_plausible(bucket.period, now);
    charged.chain(leased).filter(known).collect()
}

/// Whether a period may still matter: what is made up makes no bucket.
fn is_plausible(period: i64, now: Timestamp) -> bool {
    let ahead = period.saturating_sub(now.as_millisecond());
    period == 0 || (-LONGEST_PERIOD_MS..=DAY_MS).contains(&ahead)
}

/// The bucket of this owner and kind in its period of now, and its limit.
fn current(owners: &Owners, bucket: BucketKey, now: Timestamp) -> Option<(BucketKey, Limit)> {
    let limit = owners.owner(bucket.owner)?.limit(bucket.kind, now)?;
    Some((BucketKey { period: limit.period, ..bucket }, limit))
}

/// The buckets of a transaction, and what becomes of them.
struct Leaves {
    buckets: BTreeMap<BucketKey, Bucket>,
    before: BTreeMap<BucketKey, BTreeMap<String, Lease>>,
    alerts: Alerts,
    presence: Presence,
    now: Timestamp,
    now_ms: i64,
}

impl Leaves {
    fn new(buckets: BTreeMap<BucketKey, Bucket>, presence: Presence, now: Timestamp) -> Self {
        let before = buckets.iter().map(|(key, bucket)| (*key, bucket.leases().clone())).collect();
        Self { buckets, before, alerts: Alerts::default(), presence, now, now_ms: now.as_millisecond() }
    }

    /// Enters what records charged, then what leases say, then what is asked for.
    fn enter(
        &mut self,
        sender: &Sender,
        report: &Report,
        news: &News<'_>,
        owners: &Owners,
        workers: &BTreeMap<Worker, Applied>,
        recalls: &mut BTreeMap<String, Vec<wire::BucketId>>,
    ) -> wire::LedgerResponse {
        let now_ms = self.now_ms;
        for charge in news.records.iter().flat_map(|record| &record.charges) {
            let Some(bucket) = self.buckets.get_mut(&charge.bucket) else { continue };
            let before = bucket.used(now_ms);
            bucket.charge(&sender.instance, charge.units, now_ms);
            let after = bucket.used(now_ms);
            if let Some(owner) = owners.owner(charge.bucket.owner) {
                self.alerts.spent(owner, charge.bucket, before, after);
            }
        }
        for lease in &report.leases {
            if let Some(bucket) = lease.bucket.and_then(|key| self.buckets.get_mut(&key)) {
                bucket.learn(&sender.instance, lease.told, now_ms);
            }
        }
        let mut grants = Vec::new();
        for lease in report.leases.iter().filter(|lease| lease.ask.is_some()) {
            grants.push(self.answer(sender, lease, owners, recalls));
        }
        let acknowledged = |batch: &Batch| {
            let worker = Worker { instance: sender.instance.clone(), number: batch.worker };
            let sequence = workers.get(&worker).map_or(0, |applied| applied.sequence);
            wire::Acknowledgement { worker: batch.worker, sequence }
        };
        wire::LedgerResponse {
            report: report.id,
            acknowledged: report.batches.iter().map(acknowledged).collect(),
            grants,
            recalls: Vec::new(),
        }
    }

    fn answer(
        &mut self,
        sender: &Sender,
        lease: &LeaseReport,
        owners: &Owners,
        recalls: &mut BTreeMap<String, Vec<wire::BucketId>>,
    ) -> wire::Grant {
        let plain = |verdict: wire::Verdict, retry_after_ms| wire::Grant {
            bucket: Some(lease.named.clone()),
            granted: lease.told.granted,
            verdict: verdict.into(),
            retry_after_ms,
            ..wire::Grant::default()
        };
        let (Some(named), Some(ask)) = (lease.bucket, lease.ask) else {
            return plain(wire::Verdict::Exhausted, REFUSED_RETRY_MS);
        };
        let owner = match owners.get(named.owner) {
            Known::Owner(owner) => owner,
            Known::Unknown => return plain(wire::Verdict::Unlimited, 0),
            Known::Unreadable => return plain(wire::Verdict::Exhausted, REFUSED_RETRY_MS),
        };
        if !owner.is_active(self.now) {
            return plain(wire::Verdict::Exhausted, REFUSED_RETRY_MS);
        }
        let Some((key, limit)) = current(owners, named, self.now) else {
            return plain(wire::Verdict::Unlimited, 0);
        };
        let Some(bucket) = self.buckets.get_mut(&key) else {
            return plain(wire::Verdict::Exhausted, REFUSED_RETRY_MS);
        };
        let gone = |process: &str| self.presence.is_gone(process);
        let decision = decide(bucket, limit.terms, &sender.instance, ask, gone, self.now_ms);
        let granted = bucket.leases().get(&sender.instance).map_or(0, |lease| lease.granted);
        let id = wire::BucketId { period: key.period, ..lease.named.clone() };
        match &decision.verdict {
            Verdict::Contended { holders } => recall(recalls, holders, &id),
            Verdict::Exhausted if decision.is_spent => self.alerts.exhausted(owner, key, decision.used),
            Verdict::Exhausted | Verdict::Granted(_) => {}
        }
        grant(id, granted, limit, &decision)
    }

    async fn write(&mut self, tx: &mut Tx, reports: &[(&Sender, &Report)]) -> sqlx::Result<()> {
        let now_ms = self.now_ms;
        let used: Vec<_> = self.buckets.values_mut().map(|bucket| bucket.used(now_ms)).collect();
        let rows: Vec<_> =
            self.buckets.iter().zip(used).map(|((key, bucket), used)| (*key, bucket, used)).collect();
        tx.write_buckets(&rows).await?;
        let gateways: BTreeMap<_, _> =
            reports.iter().map(|(sender, _)| (sender.instance.as_str(), sender.gateway.as_str())).collect();
        let mut leases = Vec::new();
        for (key, bucket) in &self.buckets {
            let before = self.before.get(key);
            for (instance, lease) in bucket.leases() {
                if before.and_then(|before| before.get(instance)) != Some(lease) {
                    // Where another process's lease ran out its name is known already.
                    let gateway = gateways.get(instance.as_str()).copied().unwrap_or_default().to_owned();
                    leases.push(LeaseRow {
                        bucket: *key,
                        instance: instance.clone(),
                        gateway,
                        lease: *lease,
                    });
                }
            }
        }
        tx.write_leases(&leases).await
    }
}

const DAY_MS: i64 = 86_400_000;
/// As long as buckets are kept.
const LONGEST_PERIOD_MS: i64 = 40 * DAY_MS;

/// After how long to ask again for what an admin must change first.
const REFUSED_RETRY_MS: u32 = 10_000;

fn recall(recalls: &mut BTreeMap<String, Vec<wire::BucketId>>, holders: &[String], id: &wire::BucketId) {
    for holder in holders {
        let of = recalls.entry(holder.clone()).or_default();
        if !of.contains(id) {
            of.push(id.clone());
        }
    }
}

fn grant(id: wire::BucketId, granted: u64, limit: Limit, decision: &Decision) -> wire::Grant {
    let verdict = match &decision.verdict {
        Verdict::Granted(_) => wire::Verdict::Granted,
        Verdict::Exhausted => wire::Verdict::Exhausted,
        Verdict::Contended { .. } => wire::Verdict::Contended,
    };
    wire::Grant {
        bucket: Some(id),
        granted,
        verdict: verdict.into(),
        ttl_ms: u32::try_from(decision.ttl_ms).unwrap_or(0),
        limit: limit.terms.limit,
        remaining: decision.remaining,
        reachable: decision.reachable,
        used: decision.used,
        resets_at_ms: decision.resets_at_ms.unwrap_or(0),
        retry_after_ms: decision.retry_after_ms,
    }
}

async fn write_records(
    tx: &mut Tx,
    owners: &Owners,
    reports: &[(&Sender, &Report)],
    news: &[News<'_>],
) -> sqlx::Result<(RecordSums, DensitySamples)> {
    let users = claimed_users(tx, news).await?;
    let (mut rows, mut sums, mut densities) = (Vec::new(), RecordSums::default(), DensitySamples::default());
    for ((sender, _), news) in reports.iter().zip(news) {
        for Recorded { record, text, .. } in &news.records {
            let claimed = record.identity.as_ref().and_then(|identity| users.get(identity)).copied();
            let user_id = record.user_id.or(claimed);
            sums.add(record, user_id);
            densities.add(record, *text);
            let owner = record.app_id.and_then(|id| owners.owner(id));
            let metadata = owner.map(|owner| owner.metadata.clone()).unwrap_or_default();
            rows.push(Record { user_id, gateway: sender.gateway.clone(), metadata, ..record.clone() });
        }
    }
    tx.insert_records(&rows).await?;
    tx.add_usage(&sums).await?;
    Ok((sums, densities))
}

/// Those who have the addresses that records claim.
async fn claimed_users(tx: &mut Tx, news: &[News<'_>]) -> sqlx::Result<HashMap<String, Uuid>> {
    let records = news.iter().flat_map(|news| &news.records).map(|recorded| &recorded.record);
    let claims = records.filter(|record| record.user_id.is_none());
    let emails: BTreeSet<_> = claims.filter_map(|record| record.identity.as_deref()).collect();
    tx.users_by_email(&emails).await
}
