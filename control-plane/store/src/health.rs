//! Whether the database does its work: a write now and then tells, where somebody wants to know.

use std::fmt;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::fault::Fault;
use super::transaction::Transaction;
use super::{Backend, Store};

/// For how long one answer is given again.
const FRESH: Duration = Duration::from_secs(1);
/// How long the database may take: less than SQLite itself waits for a lock.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the last write came to, and when.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<Option<(Instant, Result<(), Failing>)>>);

/// Why nothing can be written; none where that is no known fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failing(Option<Fault>);

impl Store {
    /// Writes a row, unless that was tried a moment ago. Whoever asks meanwhile gets the same answer, also if
    /// the first to ask has left.
    pub async fn writes(&self) -> Result<(), Failing> {
        let store = self.clone();
        tokio::spawn(async move { store.probe().await }).await.unwrap_or(Err(Failing(None)))
    }

    async fn probe(&self) -> Result<(), Failing> {
        let mut last = self.health.0.lock().await;
        if let Some((at, outcome)) = *last
            && at.elapsed() < FRESH
        {
            return outcome;
        }
        let outcome = self.write_probe(Instant::now() + PATIENCE).await;
        *last = Some((Instant::now(), outcome));
        outcome
    }

    async fn write_probe(&self, deadline: Instant) -> Result<(), Failing> {
        // SQLite is a file here: what takes long is that others hold it.
        let unreached = match self.backend {
            Backend::Sqlite => Fault::Busy,
            Backend::Postgres => Fault::Away,
        };
        let begun = timeout_at(deadline, Transaction::begin(&self.pool, "BEGIN")).await;
        let mut transaction = done(begun, unreached)?;
        let written = timeout_at(deadline, async {
            sqlx::query("UPDATE probe SET writes = writes + 1 WHERE id = 1")
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await
        });
        done(written.await, Fault::Busy)
    }
}

/// What was done in time; `late` is why it was not.
fn done<T>(outcome: Result<sqlx::Result<T>, tokio::time::error::Elapsed>, late: Fault) -> Result<T, Failing> {
    let failing = match outcome {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the database cannot be written");
            Failing(Fault::of(&error))
        }
        Err(_) => Failing(Some(late)),
    };
    Err(failing)
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(fault) => fault.fmt(f),
            None => f.write_str("the database fails"),
        }
    }
}
