//! Whether the database does its work: a write now and then tells, where somebody wants to know.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Store;
use super::transaction::Transaction;

/// For how long one answer is given again.
const FRESH: Duration = Duration::from_secs(1);
/// How long the database may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// When it last wrote.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<Option<Instant>>);

impl Store {
    /// Writes a row, unless one was written a moment ago.
    ///
    /// # Errors
    /// The database is away, full, read-only, or fails.
    pub async fn writes(&self) -> sqlx::Result<()> {
        // Who asks meanwhile gets the same answer.
        let mut last = self.health.0.lock().await;
        if last.is_some_and(|at| at.elapsed() < FRESH) {
            return Ok(());
        }
        *last = None;
        let written = tokio::time::timeout(PATIENCE, self.write_probe()).await;
        written.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
        *last = Some(Instant::now());
        Ok(())
    }

    async fn write_probe(&self) -> sqlx::Result<()> {
        let mut transaction = Transaction::begin(&self.pool, "BEGIN").await?;
        sqlx::query("UPDATE probe SET writes = writes + 1 WHERE id = 1").execute(&mut *transaction).await?;
        transaction.commit().await
    }
}
