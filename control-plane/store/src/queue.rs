//! Who sends what of a queue. Each replica takes what is due by writing its own name there, so that each row is sent by
//! one at a time. While it sends, it counts `beat` up; where that stands still for others, by their own clocks, they
//! take the row over.

use std::collections::BTreeSet;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::{Backend, Store};

/// A table whose rows are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Messages to webhooks.
    Deliveries,
    /// Email.
    Mails,
}

/// What a worker holds, as another sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueueLease {
    /// The row's.
    pub id: i64,
    pub worker: String,
    pub beat: i64,
}

impl Queue {
    fn table(self) -> &'static str {
        match self {
            Self::Deliveries => "deliveries",
            Self::Mails => "mails",
        }
    }

    /// `{table}` in a statement is the queue's; nothing else becomes SQL.
    fn statement(self, shape: &str) -> AssertSqlSafe<String> {
        AssertSqlSafe(shape.replace("{table}", self.table()))
    }
}

impl Store {
    /// Shows that a worker lives, to those who see its leases of these rows.
    pub async fn beat_leases(&self, queue: Queue, worker: &str, ids: &BTreeSet<i64>) -> sqlx::Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        // Numbers, nothing else.
        let ids = ids.join(", ");
        // A row that another transaction holds is left out this once, so that nobody waits for anybody here.
        let locked = match self.backend {
            Backend::Sqlite => "",
            Backend::Postgres => "FOR UPDATE SKIP LOCKED",
        };
        let shape = format!(
            "UPDATE {{table}} SET beat = beat + 1 WHERE id IN
             (SELECT id FROM {{table}} WHERE leased_by = $1 AND id IN ({ids}) {locked})"
        );
        let query = sqlx::query(queue.statement(&shape)).bind(worker.to_owned());
        query.execute(&self.pool).await.map(drop)
    }

    /// What workers hold.
    pub async fn leases(&self, queue: Queue) -> sqlx::Result<Vec<QueueLease>> {
        let query = queue.statement("SELECT id, leased_by, beat FROM {table} WHERE leased_by <> ''");
        let rows = sqlx::query(query).fetch_all(&self.pool).await?;
        let lease = |row: &AnyRow| {
            Ok(QueueLease {
                id: row.try_get("id")?,
                worker: row.try_get("leased_by")?,
                beat: row.try_get("beat")?,
            })
        };
        rows.iter().map(lease).collect()
    }

    /// Gives a lease back, unless its worker has shown that it lives meanwhile.
    pub async fn end_lease(&self, queue: Queue, lease: &QueueLease) -> sqlx::Result<bool> {
        let query = queue
            .statement("UPDATE {table} SET leased_by = '' WHERE id = $1 AND leased_by = $2 AND beat = $3");
        let query = sqlx::query(query).bind(lease.id).bind(lease.worker.clone()).bind(lease.beat);
        Ok(query.execute(&self.pool).await?.rows_affected() > 0)
    }

    /// Gives back all that a worker holds.
    pub async fn end_leases(&self, queue: Queue, worker: &str) -> sqlx::Result<()> {
        let query = queue.statement("UPDATE {table} SET leased_by = '' WHERE leased_by = $1");
        sqlx::query(query).bind(worker.to_owned()).execute(&self.pool).await.map(drop)
    }
}
