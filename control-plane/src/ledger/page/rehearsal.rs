use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use latchkey_core::limits::BucketKind;
use latchkey_proto::ledger as wire;
use uuid::Uuid;

use super::{Leaves, News, Sender, begin, current};
use crate::ledger::intake;
use crate::ledger::owners::Owners;
use crate::ledger::presence::Presence;
use crate::store::Tx;
use crate::store::ledger::bucket::BucketKey;

/// What the book would answer a gateway that holds nothing yet. It answers from memory: nothing is
/// granted by it.
pub struct Rehearsal {
    owners: Owners,
    leaves: Leaves,
    sender: Sender,
    now: Timestamp,
}

impl Rehearsal {
    /// Reads what the limits of these apps and keys have left at `now`.
    pub async fn open(tx: &mut Tx, ids: BTreeSet<Uuid>, now: Timestamp) -> sqlx::Result<Self> {
        let mut owners = Owners::default();
        owners.learn(tx, ids.clone()).await?;
        let named = ids.iter().flat_map(|owner| {
            BucketKind::ALL.into_iter().map(|kind| BucketKey { owner: *owner, kind, period: 0 })
        });
        let keys = named.filter_map(|bucket| Some(current(&owners, bucket, now)?.0)).collect();
        let found = tx.buckets(&keys).await?;
        let leaves = Leaves::new(begin(tx, &owners, found, now).await?, Presence::default(), now);
        // No process calls itself so: theirs are numbers.
        let sender = Sender { gateway: "rehearsal".to_owned(), instance: "rehearsal".to_owned() };
        Ok(Self { owners, leaves, sender, now })
    }

    /// How much of a bucket is used, also where the book has not begun with it.
    pub fn used(&mut self, bucket: &BucketKey) -> u64 {
        let now_ms = self.leaves.now_ms;
        self.leaves.buckets.get_mut(bucket).map_or(0, |bucket| bucket.used(now_ms))
    }

    pub fn answer(&mut self, report: wire::Report) -> wire::LedgerResponse {
        let report = intake::report(report, self.now);
        let nothing = News { records: Vec::new() };
        let Self { owners, leaves, sender, .. } = self;
        leaves.enter(sender, &report, &nothing, owners, &BTreeMap::new(), &mut BTreeMap::new())
    }
}
