//! Buckets and their leases.
//!
//! A bucket is keyed by its subject, its kind and its period, never by its limit: an edited
//! limit finds what was used before. A budget that gets another `per` or time zone has another period,
//! and so another bucket: it begins with what was used since that period began.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use latchkey_core::bucket::{Bucket, Spent};
use latchkey_core::lease::Lease;
use latchkey_core::limits::BucketKind;
use latchkey_core::period;
use latchkey_core::turns::Turns;
use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, FromRow, Row as _};
use uuid::Uuid;

use super::bulk::Column::{Number, Text};
use super::bulk::{Bulk, Column};
use super::{count, stored};
use crate::Tx;
use crate::row::{Columns as _, unfit};

/// What a bucket is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketKey {
    /// An app, or a named key.
    pub subject: Uuid,
    pub kind: BucketKind,
    /// The id of its period; 0 for what has none.
    pub period: i64,
}

/// Buckets as they were found.
#[derive(Debug)]
pub struct StoredBuckets {
    pub buckets: BTreeMap<BucketKey, Bucket>,
    /// Those of periods that were not there.
    pub fresh: Vec<BucketKey>,
}

#[derive(Clone, Debug)]
pub struct LeaseRow {
    pub bucket: BucketKey,
    pub instance: String,
    pub gateway: String,
    pub lease: Lease,
}

#[derive(Serialize)]
pub(crate) struct BucketKeyRow {
    owner: Uuid,
    kind: i32,
    period: i64,
}

#[derive(Serialize)]
struct BucketRow {
    #[serde(flatten)]
    key: BucketKeyRow,
    used: i64,
    slots: String,
    turns: String,
}

#[derive(Serialize)]
struct LeaseColumns<'a> {
    #[serde(flatten)]
    key: BucketKeyRow,
    instance: &'a str,
    gateway: &'a str,
    granted: i64,
    used: i64,
    returned: i64,
    local: i64,
    expired: i64,
    expires_at: i64,
}

const KEY: [Column; 3] = [Text("owner"), Number("kind"), Number("period")];

const BUCKET: [Column; 6] = [KEY[0], KEY[1], KEY[2], Number("used"), Text("slots"), Text("turns")];

const LEASE: [Column; 11] = [
    KEY[0],
    KEY[1],
    KEY[2],
    Text("instance"),
    Text("gateway"),
    Number("granted"),
    Number("used"),
    Number("returned"),
    Number("local"),
    Number("expired"),
    Number("expires_at"),
];

/// `used` of a row that this transaction has made and not yet written.
const MADE: i64 = -1;

/// An update that changes nothing takes the row's lock.
static LOCK: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(
        "INSERT INTO buckets ({columns}) {rows} ON CONFLICT (owner, kind, period) DO UPDATE SET used = buckets.used
         RETURNING owner, kind, period, used, slots, turns",
        &BUCKET,
    )
});

static READ: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(
        "SELECT buckets.owner, buckets.kind, buckets.period, used, slots FROM ({rows}) AS wanted CROSS JOIN buckets
         WHERE buckets.owner = wanted.owner AND buckets.kind = wanted.kind AND buckets.period = wanted.period",
        &KEY,
    )
});

static WRITE: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(
        "INSERT INTO buckets ({columns}) {rows}
         ON CONFLICT (owner, kind, period) DO UPDATE SET used = excluded.used, slots = excluded.slots,
         turns = excluded.turns",
        &BUCKET,
    )
});

static LEASES: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(
        "SELECT leases.owner, leases.kind, leases.period, instance, granted, used, returned, local, expired, expires_at
         FROM ({rows}) AS wanted CROSS JOIN leases
         WHERE leases.owner = wanted.owner AND leases.kind = wanted.kind AND leases.period = wanted.period",
        &KEY,
    )
});

static WRITE_LEASES: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(
        "INSERT INTO leases ({columns}) {rows}
         ON CONFLICT (owner, kind, period, instance) DO UPDATE SET granted = excluded.granted,
         used = excluded.used, returned = excluded.returned, local = excluded.local,
         expired = excluded.expired, expires_at = excluded.expires_at",
        &LEASE,
    )
});

const DAY_MS: i64 = 86_400_000;

impl Tx {
    /// The buckets of these keys, which are sorted, with all their leases. They are made where they were
    /// missing, and locked until the transaction ends. Those that cannot be read are left out, and as they are.
    pub async fn lock_buckets(&mut self, keys: &BTreeSet<BucketKey>) -> sqlx::Result<StoredBuckets> {
        let made = |key: &BucketKey| BucketRow {
            key: key.row(),
            used: MADE,
            slots: "[]".to_owned(),
            turns: "[]".to_owned(),
        };
        let rows: Vec<_> = keys.iter().map(made).collect();
        let (mut reading, mut fresh) = (BucketRows::default(), Vec::new());
        for row in self.read(&LOCK, &rows).await? {
            let key = reading.spent(&row)?;
            if key.kind.span_ms().is_none() && row.try_get::<i64, _>("used").is_ok_and(|used| used == MADE) {
                fresh.push(key);
            }
            reading.turns.insert(key, turns(&row)?);
        }
        // Read when the locks are held: whoever had them before has committed.
        let (buckets, _) = self.whole(keys, reading).await?;
        Ok(StoredBuckets { buckets, fresh })
    }

    /// The budgets of which a process holds something.
    pub async fn held_budgets(&mut self, instance: &str) -> sqlx::Result<BTreeSet<BucketKey>> {
        let keys: Vec<_> = sqlx::query_as(
            "SELECT owner, kind, period FROM leases WHERE instance = $1 AND kind > 4
             AND granted + local > used + returned + expired",
        )
        .bind(instance.to_owned())
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(keys.into_iter().collect())
    }

    /// The buckets of these keys, with all their leases, as they are in a transaction that only reads.
    pub async fn buckets(&mut self, keys: &BTreeSet<BucketKey>) -> sqlx::Result<StoredBuckets> {
        let rows: Vec<_> = keys.iter().map(BucketKey::row).collect();
        // Whoever only reads asks for nothing, and has no turn.
        let mut reading = BucketRows::default();
        for row in self.read(&READ, &rows).await? {
            reading.spent(&row)?;
        }
        let fresh =
            keys.iter().filter(|key| !reading.spent.contains_key(key) && key.kind.span_ms().is_none());
        let fresh: Vec<_> = fresh.copied().collect();
        for key in keys {
            reading.spent.entry(*key).or_insert_with(|| Spent::stored(key.kind, 0, Vec::new()));
        }
        let (buckets, unreadable) = self.whole(keys, reading).await?;
        match unreadable.first() {
            Some(key) => Err(unfit("buckets", format!("the bucket {key:?} cannot be read"))),
            None => Ok(StoredBuckets { buckets, fresh }),
        }
    }

    /// The buckets with their leases, and those that cannot be read.
    async fn whole(
        &mut self,
        keys: &BTreeSet<BucketKey>,
        mut reading: BucketRows,
    ) -> sqlx::Result<(BTreeMap<BucketKey, Bucket>, BTreeSet<BucketKey>)> {
        let rows: Vec<_> = keys.iter().map(BucketKey::row).collect();
        let mut leases: BTreeMap<BucketKey, BTreeMap<_, _>> = BTreeMap::new();
        for row in self.read(&LEASES, &rows).await? {
            let key = BucketKey::from_row(&row)?;
            if let Some((instance, lease)) = reading.readable(key, lease(&row)) {
                leases.entry(key).or_default().insert(instance, lease);
            }
        }
        let BucketRows { spent, mut turns, unreadable } = reading;
        let readable = spent.into_iter().filter(|(key, _)| !unreadable.contains(key));
        let whole = |(key, spent)| {
            let bucket = Bucket::new(spent, leases.remove(&key).unwrap_or_default());
            (key, bucket.with_turns(turns.remove(&key).unwrap_or_default()))
        };
        Ok((readable.map(whole).collect(), unreadable))
    }

    /// What was used of a budget since `key.period`, whatever the budget was then, by the records of its
    /// subject; with what live leases of its other periods hold, since that may still be used.
    pub async fn used_since(
        &mut self,
        app: Uuid,
        named_key: Option<Uuid>,
        key: BucketKey,
        now_ms: i64,
    ) -> sqlx::Result<u64> {
        let amount = match key.kind {
            BucketKind::CostBudget => "cost",
            _ => "input_tokens + output_tokens",
        };
        // Each finds its index.
        let column = if named_key.is_some() { "key_id" } else { "app_id" };
        let sum = |of: &str| {
            let sum = format!("SELECT CAST(COALESCE(SUM({amount}), 0) AS BIGINT) AS units FROM {of}");
            sqlx::query(AssertSqlSafe(sum.replace("{column}", column)))
        };
        let id = named_key.unwrap_or(app).to_string();
        let start = period::start_ms(key.period);
        let first_day = start.div_euclid(DAY_MS) + i64::from(start % DAY_MS != 0);
        let whole = sum("usage_days WHERE {column} = $1 AND day >= $2").bind(id.clone()).bind(first_day);
        let mut used = count(whole.fetch_one(&mut *self.inner).await?.try_get("units")?);
        // Sums are by days of UTC: what comes before the first whole one is asked of the records.
        if start < first_day * DAY_MS {
            let before = sum("records WHERE {column} = $1 AND at >= $2 AND at < $3");
            let before = before.bind(id).bind(start).bind(first_day * DAY_MS);
            used = used.saturating_add(count(before.fetch_one(&mut *self.inner).await?.try_get("units")?));
        }
        let held = sqlx::query(
            "SELECT CAST(COALESCE(SUM(granted + local - used - returned - expired), 0) AS BIGINT) AS units
             FROM leases WHERE owner = $1 AND kind = $2 AND period <> $3 AND expires_at > $4
             AND granted + local > used + returned + expired",
        )
        .bind(key.subject.to_string())
        .bind(i64::from(key.kind.number()))
        .bind(key.period)
        .bind(now_ms)
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(used.saturating_add(count(held.try_get("units")?)))
    }

    /// Writes what was used for good; `used` is what counts now.
    pub async fn write_buckets(&mut self, buckets: &[(BucketKey, &Bucket, u64)]) -> sqlx::Result<()> {
        let row = |(key, bucket, used): &(BucketKey, &Bucket, u64)| {
            let slots = match bucket.spent() {
                Spent::Window(window) => serde_json::json!(window.slots()).to_string(),
                Spent::Sum(_) => "[]".to_owned(),
            };
            let turns = serde_json::json!(bucket.turns()).to_string();
            BucketRow { key: key.row(), used: stored(*used), slots, turns }
        };
        self.write(&WRITE, &buckets.iter().map(row).collect::<Vec<_>>()).await
    }

    /// Writes leases of buckets that are locked.
    pub async fn write_leases(&mut self, leases: &[LeaseRow]) -> sqlx::Result<()> {
        self.write(&WRITE_LEASES, &leases.iter().map(whole).collect::<Vec<_>>()).await
    }
}

fn whole(LeaseRow { bucket, instance, gateway, lease }: &LeaseRow) -> LeaseColumns<'_> {
    let Lease { granted, used, returned, local, expired, expires_at_ms } = *lease;
    LeaseColumns {
        key: bucket.row(),
        instance,
        gateway,
        granted: stored(granted),
        used: stored(used),
        returned: stored(returned),
        local: stored(local),
        expired: stored(expired),
        expires_at: expires_at_ms,
    }
}

impl BucketKey {
    pub(crate) fn row(&self) -> BucketKeyRow {
        BucketKeyRow { owner: self.subject, kind: self.kind.number(), period: self.period }
    }
}

impl FromRow<'_, AnyRow> for BucketKey {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let number: i64 = row.try_get("kind")?;
        let kind = i32::try_from(number).ok().and_then(BucketKind::from_number);
        Ok(Self {
            subject: row.uuid("owner")?,
            kind: kind.ok_or_else(|| unfit("kind", "no kind of bucket has this number"))?,
            period: row.try_get("period")?,
        })
    }
}

/// What was used of buckets, while their rows are read.
#[derive(Default)]
struct BucketRows {
    spent: BTreeMap<BucketKey, Spent>,
    turns: BTreeMap<BucketKey, Turns>,
    /// Those whose rows, or whose leases' rows, hold what does not fit.
    unreadable: BTreeSet<BucketKey>,
}

impl BucketRows {
    fn spent(&mut self, row: &AnyRow) -> sqlx::Result<BucketKey> {
        let key = BucketKey::from_row(row)?;
        if let Some(spent) = self.readable(key, spent(key.kind, row)) {
            self.spent.insert(key, spent);
        }
        Ok(key)
    }

    /// What was read of a bucket's rows, unless it does not fit.
    fn readable<T>(&mut self, key: BucketKey, read: sqlx::Result<T>) -> Option<T> {
        let error = match read {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        if self.unreadable.insert(key) {
            let BucketKey { subject, kind, period } = key;
            tracing::error!(%error, %subject, ?kind, period, "a bucket cannot be read; it grants nothing");
        }
        None
    }
}

fn spent(kind: BucketKind, row: &AnyRow) -> sqlx::Result<Spent> {
    let slots: &str = row.try_get("slots")?;
    let slots = serde_json::from_str(slots).map_err(|error| unfit("slots", error))?;
    Ok(Spent::stored(kind, count(row.try_get("used")?), slots))
}

fn lease(row: &AnyRow) -> sqlx::Result<(String, Lease)> {
    let number = |column| row.try_get(column).map(count);
    let lease = Lease {
        granted: number("granted")?,
        used: number("used")?,
        returned: number("returned")?,
        local: number("local")?,
        expired: number("expired")?,
        expires_at_ms: row.try_get("expires_at")?,
    };
    Ok((row.try_get("instance")?, lease))
}

/// Those of a build that writes them otherwise are lost, which does no harm: who waits asks again.
fn turns(row: &AnyRow) -> sqlx::Result<Turns> {
    let turns: &str = row.try_get("turns")?;
    Ok(serde_json::from_str(turns).unwrap_or_default())
}
