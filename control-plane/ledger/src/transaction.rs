//! One transaction of the book: some reports are applied to what the database holds, and answered.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use latchkey_core::bucket::Bucket;
use latchkey_core::grant::{LeaseDecision, LeaseVerdict, decide};
use latchkey_core::lease::Lease;
use latchkey_core::sequence::{Applied, SequenceStep};
use latchkey_proto::ledger as wire;
use latchkey_store::Tx;
use latchkey_store::ledger::bucket::{BucketKey, LeaseRow, StoredBuckets};
use latchkey_store::ledger::density::DensitySamples;
use latchkey_store::ledger::usage::RecordSums;
use latchkey_store::ledger::worker::Worker;
use latchkey_store::records::Record;
use uuid::Uuid;

use super::findings::NewFinding;
use super::intake::{GatewayReport, LeaseReport, Recorded, WorkerBatch};
use super::presence::Presence;
use super::subjects::{CurrentLimit, LimitSubject, LimitSubjects, SubjectLookup};
use latchkey_store::findings::FindingRow;
use latchkey_store::ledger::stored;

mod alerts;
mod counts;
mod dry_run;
mod failing;
mod resolve;

use self::alerts::Alerts;
pub use self::dry_run::DryRun;
pub use self::resolve::{may_be_resolved, resolve};

#[derive(Clone, Debug)]
pub struct Sender {
    pub gateway: String,
    pub instance: String,
}

/// What a transaction comes to.
#[derive(Debug, Default)]
pub struct TransactionOutcome {
    /// The answers, in the order of the reports.
    pub answers: Vec<wire::LedgerResponse>,
    /// What is recalled, by process.
    pub recalls: BTreeMap<String, Vec<wire::BucketId>>,
    pub records: u64,
    /// Records that had been applied before.
    pub duplicates: u64,
    /// Records that are missing or cannot be read.
    pub dropped: u64,
    /// How many findings there were of each category and action.
    pub findings: BTreeMap<(String, &'static str), u64>,
}

struct NewRecords<'a> {
    records: Vec<&'a Recorded>,
}

/// Applies `reports`; nothing is answered before the transaction is committed.
pub async fn apply(
    tx: &mut Tx,
    subjects: &mut LimitSubjects,
    reports: &[(&Sender, &GatewayReport)],
    presence: &Presence,
    now: Timestamp,
) -> latchkey_store::Result<TransactionOutcome> {
    let mut outcome = TransactionOutcome::default();
    let mut workers = tx.lock_workers(&workers(reports), now).await?;
    let new: Vec<_> = reports
        .iter()
        .map(|(sender, report)| new_records(sender, report, &mut workers, &mut outcome))
        .collect();
    subjects.learn(tx, ids(reports, &new)).await?;

    let keys = buckets(reports, &new, subjects, now);
    let found = tx.lock_buckets(&keys).await?;
    let stored = begin(tx, subjects, found, now).await?;
    let mut ledger = LedgerBuckets::new(stored, presence.clone(), now);
    for ((sender, report), new) in reports.iter().zip(&new) {
        let answer = ledger.enter(sender, report, new, subjects, &workers, &mut outcome.recalls);
        outcome.answers.push(answer);
    }
    ledger.write(tx, reports).await?;
    let (sums, densities) = write_records(tx, subjects, reports, &new).await?;
    count_findings(&new, &mut outcome);
    tx.insert_quota_events(&ledger.alerts.events(), now).await?;
    tx.write_workers(&workers).await?;
    tx.add_usage_by_dimension(&sums).await?;
    tx.add_density_samples(&densities).await?;
    counts::write(tx, &new, now).await?;
    // Of several reports of one gateway the last is true.
    let resting =
        reports.iter().filter_map(|(sender, report)| Some((&sender.gateway, report.resting.as_ref()?)));
    let resting = resting.collect::<BTreeMap<_, _>>();
    for (gateway, targets) in &resting {
        tx.set_resting_targets(gateway, targets, now).await?;
    }
    failing::write(tx, &resting, now).await?;
    Ok(outcome)
}

/// Charges for good what a process that is gone holds of budgets; how many there were. What it may still
/// tell of them is counted by then.
pub async fn write_off(
    tx: &mut Tx,
    subjects: &mut LimitSubjects,
    instance: &str,
    now: Timestamp,
) -> latchkey_store::Result<usize> {
    let keys = tx.held_budgets(instance).await?;
    subjects.learn(tx, keys.iter().map(|key| key.subject).collect()).await?;
    let found = tx.lock_buckets(&keys).await?;
    let mut ledger = LedgerBuckets::new(begin(tx, subjects, found, now).await?, Presence::default(), now);
    let now_ms = ledger.now_ms;
    for (key, bucket) in &mut ledger.buckets {
        let before = bucket.used(now_ms);
        bucket.write_off(instance, now_ms);
        if let Some(subject) = subjects.subject(key.subject) {
            ledger.alerts.spent(subject, *key, before, bucket.used(now_ms));
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
    subjects: &LimitSubjects,
    StoredBuckets { mut buckets, fresh }: StoredBuckets,
    now: Timestamp,
) -> latchkey_store::Result<BTreeMap<BucketKey, Bucket>> {
    for key in fresh {
        let (Some(subject), Some(bucket)) = (subjects.subject(key.subject), buckets.get_mut(&key)) else {
            continue;
        };
        if subject.changed_at.as_millisecond() >= key.period {
            let used = tx.used_since(subject.app_id, subject.key_id, key, now.as_millisecond()).await?;
            bucket.carry(now.as_millisecond(), used);
        }
    }
    Ok(buckets)
}

fn workers(reports: &[(&Sender, &GatewayReport)]) -> BTreeMap<Worker, String> {
    let of = |(sender, report): &(&Sender, &GatewayReport)| -> Vec<(Worker, String)> {
        let worker = |batch: &WorkerBatch| {
            (Worker { instance: sender.instance.clone(), number: batch.worker }, sender.gateway.clone())
        };
        report.batches.iter().map(worker).collect()
    };
    reports.iter().flat_map(of).collect()
}

/// Takes the records that were not applied before.
fn new_records<'a>(
    sender: &Sender,
    report: &'a GatewayReport,
    workers: &mut BTreeMap<Worker, Applied>,
    outcome: &mut TransactionOutcome,
) -> NewRecords<'a> {
    let mut records = Vec::new();
    let Sender { gateway, instance } = sender;
    for WorkerBatch { worker, entries } in &report.batches {
        let number = *worker;
        let applied = workers.entry(Worker { instance: instance.clone(), number }).or_default();
        let before = applied.dropped;
        for entry in entries {
            match (applied.take(entry.sequence), &entry.record) {
                (SequenceStep::Duplicate, Ok(_)) => {
                    outcome.duplicates += 1;
                    continue;
                }
                (SequenceStep::Duplicate, Err(_)) if entry.sequence > 0 => {
                    outcome.duplicates += 1;
                    continue;
                }
                (SequenceStep::New { .. }, Ok(record)) => records.push(&**record),
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
    NewRecords { records }
}

/// Every app or key that is spoken of.
fn ids(reports: &[(&Sender, &GatewayReport)], new: &[NewRecords<'_>]) -> BTreeSet<Uuid> {
    let leases = reports.iter().flat_map(|(_, report)| &report.leases);
    let leased = leases.filter_map(|lease| lease.bucket).map(|bucket| bucket.subject);
    let records = new.iter().flat_map(|new| &new.records);
    let recorded = records.flat_map(|Recorded { record, charges, .. }| {
        record.app_id.into_iter().chain(charges.iter().map(|charge| charge.bucket.subject))
    });
    leased.chain(recorded).collect()
}

/// Every bucket that is spoken of and has a subject; sorted, for the locks.
fn buckets(
    reports: &[(&Sender, &GatewayReport)],
    new: &[NewRecords<'_>],
    subjects: &LimitSubjects,
    now: Timestamp,
) -> BTreeSet<BucketKey> {
    let charges = new.iter().flat_map(|new| &new.records).flat_map(|record| &record.charges);
    let charged = charges.map(|charge| charge.bucket);
    let leases = reports.iter().flat_map(|(_, report)| &report.leases);
    let leased = leases.flat_map(|lease| {
        let asked = lease.ask.and(lease.bucket).and_then(|bucket| current(subjects, bucket, now));
        let told = lease.bucket.filter(|bucket| bucket.period >= 0);
        told.into_iter().chain(asked.map(|(bucket, ..)| bucket))
    });
    let known =
        |bucket: &BucketKey| subjects.subject(bucket.subject).is_some() && is_plausible(bucket.period, now);
    charged.chain(leased).filter(known).collect()
}

/// Whether a period may still matter: what is made up makes no bucket.
fn is_plausible(period: i64, now: Timestamp) -> bool {
    let ahead = period.saturating_sub(now.as_millisecond());
    period == 0 || (-LONGEST_PERIOD_MS..=DAY_MS).contains(&ahead)
}

/// The bucket of this subject and kind in its period of now, and its limit.
fn current(subjects: &LimitSubjects, bucket: BucketKey, now: Timestamp) -> Option<(BucketKey, CurrentLimit)> {
    let limit = subjects.subject(bucket.subject)?.limit(bucket.kind, now)?;
    Some((BucketKey { period: limit.period, ..bucket }, limit))
}

/// The buckets of a transaction, and what becomes of them.
struct LedgerBuckets {
    buckets: BTreeMap<BucketKey, Bucket>,
    before: BTreeMap<BucketKey, BTreeMap<String, Lease>>,
    alerts: Alerts,
    presence: Presence,
    now: Timestamp,
    now_ms: i64,
}

impl LedgerBuckets {
    fn new(buckets: BTreeMap<BucketKey, Bucket>, presence: Presence, now: Timestamp) -> Self {
        let before = buckets.iter().map(|(key, bucket)| (*key, bucket.leases().clone())).collect();
        Self { buckets, before, alerts: Alerts::default(), presence, now, now_ms: now.as_millisecond() }
    }

    /// Enters what records charged, then what leases say, then what is asked for.
    fn enter(
        &mut self,
        sender: &Sender,
        report: &GatewayReport,
        new: &NewRecords<'_>,
        subjects: &LimitSubjects,
        workers: &BTreeMap<Worker, Applied>,
        recalls: &mut BTreeMap<String, Vec<wire::BucketId>>,
    ) -> wire::LedgerResponse {
        let now_ms = self.now_ms;
        for charge in new.records.iter().flat_map(|record| &record.charges) {
            let Some(bucket) = self.buckets.get_mut(&charge.bucket) else { continue };
            let before = bucket.used(now_ms);
            bucket.charge(&sender.instance, charge.units, now_ms);
            let after = bucket.used(now_ms);
            if let Some(subject) = subjects.subject(charge.bucket.subject) {
                self.alerts.spent(subject, charge.bucket, before, after);
            }
        }
        for lease in &report.leases {
            if let Some(bucket) = lease.bucket.and_then(|key| self.buckets.get_mut(&key)) {
                bucket.learn(&sender.instance, lease.told, now_ms);
            }
        }
        let mut grants = Vec::new();
        for lease in report.leases.iter().filter(|lease| lease.ask.is_some()) {
            grants.push(self.answer(sender, lease, subjects, recalls));
        }
        let acknowledged = |batch: &WorkerBatch| {
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
        subjects: &LimitSubjects,
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
        let subject = match subjects.get(named.subject) {
            SubjectLookup::Found(subject) => subject,
            SubjectLookup::Unknown => return plain(wire::Verdict::Unlimited, 0),
            SubjectLookup::Unreadable => return plain(wire::Verdict::Exhausted, REFUSED_RETRY_MS),
        };
        if !subject.is_active(self.now) {
            return plain(wire::Verdict::Exhausted, REFUSED_RETRY_MS);
        }
        let Some((key, limit)) = current(subjects, named, self.now) else {
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
            LeaseVerdict::Contended { holders } => recall(recalls, holders, &id),
            LeaseVerdict::Exhausted if decision.is_spent => {
                self.alerts.exhausted(subject, key, decision.used)
            }
            LeaseVerdict::Exhausted | LeaseVerdict::Granted(_) => {}
        }
        grant(id, granted, limit, &decision)
    }

    async fn write(
        &mut self,
        tx: &mut Tx,
        reports: &[(&Sender, &GatewayReport)],
    ) -> latchkey_store::Result<()> {
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

fn grant(id: wire::BucketId, granted: u64, limit: CurrentLimit, decision: &LeaseDecision) -> wire::Grant {
    let verdict = match &decision.verdict {
        LeaseVerdict::Granted(_) => wire::Verdict::Granted,
        LeaseVerdict::Exhausted => wire::Verdict::Exhausted,
        LeaseVerdict::Contended { .. } => wire::Verdict::Contended,
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
    subjects: &LimitSubjects,
    reports: &[(&Sender, &GatewayReport)],
    new: &[NewRecords<'_>],
) -> latchkey_store::Result<(RecordSums, DensitySamples)> {
    let users = claimed_users(tx, new).await?;
    let (mut rows, mut sums, mut densities) = (Vec::new(), RecordSums::default(), DensitySamples::default());
    let mut found = Vec::new();
    for ((sender, _), new) in reports.iter().zip(new) {
        for Recorded { record, text, charges: _, findings } in &new.records {
            let claimed = record.identity.as_ref().and_then(|identity| users.get(identity)).copied();
            let user_id = record.user_id.or(claimed);
            sums.add(record, user_id);
            densities.add(record, *text);
            found.extend(
                findings.iter().map(|finding| finding_row(record, user_id, &sender.gateway, finding)),
            );
            let subject = record.app_id.and_then(|id| subjects.subject(id));
            let metadata = subject.map(|subject| subject.metadata.clone()).unwrap_or_default();
            rows.push(Record { user_id, gateway: sender.gateway.clone(), metadata, ..record.clone() });
        }
    }
    tx.insert_records(&rows).await?;
    tx.insert_findings(&found).await?;
    tx.add_usage(&sums).await?;
    Ok((sums, densities))
}

fn finding_row<'a>(
    record: &'a Record,
    user_id: Option<Uuid>,
    gateway: &'a str,
    finding: &'a NewFinding,
) -> FindingRow<'a> {
    let id = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    FindingRow {
        at: record.at.as_millisecond(),
        request_id: &record.request_id,
        gateway,
        app_id: id(record.app_id),
        key_id: id(record.key_id),
        user_id: id(user_id),
        category: &finding.category,
        detector: &finding.detector,
        risk: finding.risk,
        action: finding.action,
        direction: finding.direction,
        place: finding.place.as_deref().unwrap_or_default(),
        message: finding.message.map(stored),
        count: stored(finding.count),
        excerpt: &finding.excerpt,
        value_hash: &finding.value_hash,
        change_request_id: id(finding.change_request),
    }
}

fn count_findings(new: &[NewRecords<'_>], outcome: &mut TransactionOutcome) {
    for finding in new.iter().flat_map(|new| &new.records).flat_map(|recorded| &recorded.findings) {
        *outcome.findings.entry((finding.category.clone(), finding.action)).or_default() += 1;
    }
}

/// Those who have the addresses that records claim.
async fn claimed_users(tx: &mut Tx, new: &[NewRecords<'_>]) -> latchkey_store::Result<HashMap<String, Uuid>> {
    let records = new.iter().flat_map(|new| &new.records).map(|recorded| &recorded.record);
    let claims = records.filter(|record| record.user_id.is_none());
    let emails: BTreeSet<_> = claims.filter_map(|record| record.identity.as_deref()).collect();
    tx.users_by_email(&emails).await
}
