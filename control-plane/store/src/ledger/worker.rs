//! How far each worker's records were applied.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::Timestamp;
use latchkey_core::sequence::Applied;
use serde::Serialize;
use sqlx::Row as _;

use super::bulk::Bulk;
use super::bulk::Column::{Number, Text};
use super::{count, stored};
use crate::Tx;

/// One worker of a gateway process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Worker {
    pub instance: String,
    pub number: u32,
}

#[derive(Serialize)]
struct WorkerRow<'a> {
    instance: &'a str,
    worker: u32,
    gateway: &'a str,
    sequence: i64,
    dropped: i64,
    told: i64,
    seen_at: i64,
}

/// An update that changes nothing takes the row's lock.
static LOCK: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(
        "INSERT INTO ledger_workers ({columns}) {rows}
         ON CONFLICT (instance, worker) DO UPDATE SET gateway = excluded.gateway, seen_at = excluded.seen_at
         RETURNING instance, worker, sequence, dropped, told",
        &COLUMNS,
    )
});

static WRITE: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(
        "INSERT INTO ledger_workers ({columns}) {rows}
         ON CONFLICT (instance, worker) DO UPDATE SET sequence = excluded.sequence, dropped = excluded.dropped,
         told = excluded.told",
        &COLUMNS,
    )
});

const COLUMNS: [super::bulk::Column; 7] = [
    Text("instance"),
    Number("worker"),
    Text("gateway"),
    Number("sequence"),
    Number("dropped"),
    Number("told"),
    Number("seen_at"),
];

impl Tx {
    /// How far the workers were applied, each with its gateway's name; locked until the transaction ends.
    pub async fn lock_workers(
        &mut self,
        workers: &BTreeMap<Worker, String>,
        now: Timestamp,
    ) -> sqlx::Result<BTreeMap<Worker, Applied>> {
        let at_ms = now.as_millisecond();
        let fresh = workers.iter().map(|(worker, gateway)| row(worker, gateway, Applied::default(), at_ms));
        let rows: Vec<_> = fresh.collect();
        let mut applied = BTreeMap::new();
        for row in self.read(&LOCK, &rows).await? {
            let number: i64 = row.try_get("worker")?;
            let worker = Worker {
                instance: row.try_get("instance")?,
                number: u32::try_from(number).unwrap_or(u32::MAX),
            };
            let known = Applied {
                sequence: count(row.try_get("sequence")?),
                dropped: count(row.try_get("dropped")?),
                told: count(row.try_get("told")?),
            };
            applied.insert(worker, known);
        }
        Ok(applied)
    }

    /// Writes how far workers that are locked were applied.
    pub async fn write_workers(&mut self, workers: &BTreeMap<Worker, Applied>) -> sqlx::Result<()> {
        let rows: Vec<_> = workers.iter().map(|(worker, applied)| row(worker, "", *applied, 0)).collect();
        self.write(&WRITE, &rows).await
    }
}

fn row<'a>(worker: &'a Worker, gateway: &'a str, applied: Applied, seen_at: i64) -> WorkerRow<'a> {
    WorkerRow {
        instance: &worker.instance,
        worker: worker.number,
        gateway,
        sequence: stored(applied.sequence),
        dropped: stored(applied.dropped),
        told: stored(applied.told),
        seen_at,
    }
}
