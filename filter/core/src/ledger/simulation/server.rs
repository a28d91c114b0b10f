//! A control plane that is correct, simple and slow.

use std::collections::{BTreeMap, BTreeSet};

use latchkey_proto::ledger as wire;
use latchkey_proto::window::{FEW_PART, Window};

use super::{BucketKind, Random, SubjectId};

/// A gateway adds to the time of its lease what it took to ask; the server adds this to be sure.
const MARGIN_MS: i64 = 500;
pub const TTL_MS: u32 = 8_000;
/// Where a gateway holds at most a part of the limit.
pub const FEW_TTL_MS: u32 = 40_000;
pub const PERIOD_MS: i64 = 97_000;

type BucketKey = (SubjectId, BucketKind, i64);

#[derive(Clone, Copy, Debug, Default)]
struct GrantedBucket {
    granted: u64,
    used: u64,
    returned: u64,
    local: u64,
    /// Units up to here count as used, since a lease has ended.
    floor: u64,
    expires_at_ms: i64,
}

#[derive(Default)]
pub struct SimulatedServer {
    pub limits: BTreeMap<(SubjectId, BucketKind), u64>,
    rows: BTreeMap<(BucketKey, u64), GrantedBucket>,
    windows: BTreeMap<(SubjectId, BucketKind), Window>,
    pub used: BTreeMap<BucketKey, u64>,
    sequences: BTreeMap<(u64, u32), u64>,
    pub records: BTreeSet<String>,
    pub recalls: Vec<(u64, wire::BucketId)>,
    /// Grants of more than was needed that may be kept for long.
    pub cushions: u64,
}

impl GrantedBucket {
    fn counted(&self) -> u64 {
        (self.used + self.returned).max(self.floor)
    }

    fn outstanding(&self) -> u64 {
        (self.granted + self.local).saturating_sub(self.counted())
    }
}

impl SimulatedServer {
    /// What a gateway still has of windows and periods that are not over.
    pub fn outstanding_of(&self, instance: u64, now_ms: i64) -> u64 {
        let is_over = |period: i64| period > 0 && period + PERIOD_MS <= now_ms;
        let rows = self.rows.iter().filter(|((bucket, of), _)| *of == instance && !is_over(bucket.2));
        rows.map(|(_, row)| row.outstanding()).sum()
    }

    pub fn answer(
        &mut self,
        instance: u64,
        report: wire::Report,
        now_ms: i64,
        random: &mut Random,
    ) -> wire::LedgerResponse {
        self.expire(now_ms);
        let mut response = wire::LedgerResponse { report: report.id, ..wire::LedgerResponse::default() };
        for wire::Batch { worker, records } in report.batches {
            for record in records {
                let last = self.sequences.entry((instance, worker)).or_default();
                if record.sequence <= *last {
                    continue;
                }
                assert_eq!(record.sequence, *last + 1, "a gap");
                *last = record.sequence;
                assert!(self.records.insert(record.request_id), "a record was applied twice");
                for wire::Charge { bucket, amount } in record.charges {
                    self.use_up(read(&bucket.unwrap()), instance, amount, now_ms);
                }
            }
            let sequence = self.sequences[&(instance, worker)];
            response.acknowledged.push(wire::Acknowledgement { worker, sequence });
        }
        for lease in report.leases {
            let bucket = read(lease.bucket.as_ref().unwrap());
            if bucket.2 >= 0 {
                let row = self.rows.entry((bucket, instance)).or_default();
                assert!(row.granted >= lease.granted, "a grant was invented");
                row.returned = row.returned.max(lease.returned);
                row.local = row.local.max(lease.local);
                let more = lease.used.saturating_sub(row.used);
                self.use_up(bucket, instance, more, now_ms);
            }
            if lease.want > 0 {
                response.grants.push(self.grant(bucket, instance, lease.want, lease.least, now_ms, random));
            }
        }
        response
    }

    fn use_up(&mut self, bucket: BucketKey, instance: u64, amount: u64, now_ms: i64) {
        let row = self.rows.entry((bucket, instance)).or_default();
        let before = row.counted();
        row.used += amount;
        let counted = row.counted() - before;
        if let Some(span_ms) = bucket.1.span_ms() {
            self.windows
                .entry((bucket.0, bucket.1))
                .or_insert_with(|| Window::new(span_ms))
                .add(now_ms, counted);
        }
        *self.used.entry(bucket).or_default() += amount;
    }

    fn expire(&mut self, now_ms: i64) {
        for ((bucket, _), row) in &mut self.rows {
            let Some(span_ms) = bucket.1.span_ms().filter(|_| now_ms >= row.expires_at_ms) else { continue };
            let lost = row.outstanding();
            row.floor = row.floor.max(row.granted + row.local);
            self.windows
                .entry((bucket.0, bucket.1))
                .or_insert_with(|| Window::new(span_ms))
                .add(now_ms, lost);
        }
    }

    fn grant(
        &mut self,
        (subject, kind, _): BucketKey,
        instance: u64,
        want: u64,
        least: u64,
        now_ms: i64,
        random: &mut Random,
    ) -> wire::Grant {
        assert!(least >= 1 && want >= least);
        let period = match kind {
            BucketKind::CostBudget => now_ms.div_euclid(PERIOD_MS) * PERIOD_MS,
            _ => 0,
        };
        let bucket = (subject, kind, period);
        let limit = self.limits[&(subject, kind)];
        let used = match kind.span_ms() {
            Some(_) => self.windows.get_mut(&(subject, kind)).map_or(0, |window| window.used(now_ms)),
            None => self.used.get(&bucket).copied().unwrap_or_default(),
        };
        let held: u64 =
            self.rows.iter().filter(|((of, _), _)| *of == bucket).map(|(_, row)| row.outstanding()).sum();
        let free = limit.saturating_sub(used + held);
        let most = want.min(free);
        let mut grant = wire::Grant {
            bucket: Some(crate::record::bucket_id(subject, kind, period)),
            limit,
            remaining: free,
            reachable: free + held - self.rows.get(&(bucket, instance)).map_or(0, GrantedBucket::outstanding),
            used,
            resets_at_ms: if period > 0 { period + PERIOD_MS } else { 0 },
            retry_after_ms: 300,
            ..wire::Grant::default()
        };
        let row = self.rows.entry((bucket, instance)).or_default();
        if most >= least {
            let amount = least + random.below(most - least + 1);
            row.granted += amount;
            let is_few = row.outstanding() <= limit / FEW_PART;
            let ttl_ms = if is_few { FEW_TTL_MS } else { TTL_MS };
            self.cushions += u64::from(is_few && amount > least);
            row.expires_at_ms = row.expires_at_ms.max(now_ms + i64::from(ttl_ms) + MARGIN_MS);
            grant.remaining -= amount;
            grant.reachable = grant.reachable.saturating_sub(amount);
            let left_ms = period + PERIOD_MS - now_ms;
            grant.ttl_ms = if period > 0 { ttl_ms.min(left_ms as u32) } else { ttl_ms };
            grant.verdict = wire::Verdict::Granted.into();
        } else if held > 0 {
            grant.verdict = wire::Verdict::Contended.into();
            let others = self
                .rows
                .iter()
                .filter(|((of, by), row)| *of == bucket && *by != instance && row.outstanding() > 0);
            self.recalls.extend(others.map(|((_, by), _)| (*by, grant.bucket.clone().unwrap())));
        } else {
            grant.verdict = wire::Verdict::Exhausted.into();
        }
        grant.granted = self.rows[&(bucket, instance)].granted;
        grant
    }
}

fn read(bucket: &wire::BucketId) -> BucketKey {
    let subject = SubjectId(bucket.owner.as_slice().try_into().unwrap());
    (subject, BucketKind::from_number(bucket.kind).unwrap(), bucket.period)
}
