use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use latchkey_core::limits::BucketKind;
use latchkey_proto::ledger as wire;
use latchkey_store::Tx;
use latchkey_store::ledger::bucket::BucketKey;
use uuid::Uuid;

use super::{LedgerBuckets, NewRecords, Sender, begin, current};
use crate::intake;
use crate::presence::Presence;
use crate::subjects::LimitSubjects;

/// What the book would answer a gateway that holds nothing yet. It answers from memory: nothing is
/// granted by it.
pub struct DryRun {
    subjects: LimitSubjects,
    buckets: LedgerBuckets,
    sender: Sender,
    now: Timestamp,
}

impl DryRun {
    /// Reads what the limits of these apps and keys have left at `now`.
    pub async fn open(tx: &mut Tx, ids: BTreeSet<Uuid>, now: Timestamp) -> latchkey_store::Result<Self> {
        let mut subjects = LimitSubjects::default();
        subjects.learn(tx, ids.clone()).await?;
        let named = ids.iter().flat_map(|subject| {
            BucketKind::ALL.into_iter().map(|kind| BucketKey { subject: *subject, kind, period: 0 })
        });
        let keys = named.filter_map(|bucket| Some(current(&subjects, bucket, now)?.0)).collect();
        let found = tx.buckets(&keys).await?;
        let buckets = LedgerBuckets::new(begin(tx, &subjects, found, now).await?, Presence::default(), now);
        // No process calls itself so: theirs are numbers.
        let sender = Sender { gateway: "dry-run".to_owned(), instance: "dry-run".to_owned() };
        Ok(Self { subjects, buckets, sender, now })
    }

    /// How much of a bucket is used, also where the book has not begun with it.
    pub fn used(&mut self, bucket: &BucketKey) -> u64 {
        let now_ms = self.buckets.now_ms;
        self.buckets.buckets.get_mut(bucket).map_or(0, |bucket| bucket.used(now_ms))
    }

    pub fn answer(&mut self, report: wire::Report) -> wire::LedgerResponse {
        let report = intake::report(report, self.now);
        let nothing = NewRecords { records: Vec::new() };
        let Self { subjects, buckets, sender, .. } = self;
        buckets.enter(sender, &report, &nothing, subjects, &BTreeMap::new(), &mut BTreeMap::new())
    }
}
