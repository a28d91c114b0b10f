//! A transaction on a connection of the pool, which goes back there without one.
//!
//! SQLite ends a transaction by itself when the disk is full or fails. A library that counts what it began then
//! takes the connection for one within a transaction for good, so nothing is counted here: whatever was not
//! committed is rolled back, and a connection of which that is not known to be over is closed.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, Executor as _};

/// How long the database may take to roll back.
const PATIENCE: Duration = Duration::from_secs(10);

/// An open transaction. Dropping it rolls back, also where whoever waited for it is gone.
pub(super) struct Transaction {
    /// None once it is over.
    connection: Option<PoolConnection<Any>>,
}

impl Transaction {
    pub async fn begin(pool: &AnyPool, statement: &'static str) -> sqlx::Result<Self> {
        // From here on whatever was begun is rolled back, even if nobody waits for it any more.
        let mut transaction = Self { connection: Some(pool.acquire().await?) };
        transaction.execute(statement).await?;
        Ok(transaction)
    }

    pub async fn commit(mut self) -> sqlx::Result<()> {
        self.execute("COMMIT").await?;
        self.connection = None;
        Ok(())
    }

    pub async fn rollback(mut self) -> sqlx::Result<()> {
        self.execute("ROLLBACK").await?;
        self.connection = None;
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(roll_back(connection))),
            Err(_) => connection.close_on_drop(),
        }
    }
}

/// Rolls back, and closes the connection where it is not known that it did.
async fn roll_back(mut connection: PoolConnection<Any>) {
    let outcome = tokio::time::timeout(PATIENCE, connection.execute("ROLLBACK")).await;
    let over = match &outcome {
        Ok(Ok(_)) => true,
        // SQLite has done it.
        Ok(Err(sqlx::Error::Database(error))) => error.message().contains("no transaction is active"),
        Ok(Err(_)) | Err(_) => false,
    };
    if !over {
        connection.close_on_drop();
    }
}

impl Deref for Transaction {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        self.connection.as_ref().expect("a transaction has its connection until it is over")
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        self.connection.as_mut().expect("a transaction has its connection until it is over")
    }
}

#[cfg(test)]
mod tests {
    use sqlx::any::AnyPoolOptions;

    use super::*;
    use crate::fault::Fault;

    /// One connection, of a database whose pages are few.
    async fn pool(files: &tempfile::TempDir) -> AnyPool {
        sqlx::any::install_default_drivers();
        let url = format!("sqlite://{}?mode=rwc", files.path().join("test.db").display());
        let pool = AnyPoolOptions::new().max_connections(1).connect(&url).await.unwrap();
        run(&pool, "PRAGMA journal_mode = WAL").await.unwrap();
        run(&pool, "CREATE TABLE t (text TEXT)").await.unwrap();
        pool
    }

    async fn run(pool: &AnyPool, statement: &'static str) -> sqlx::Result<()> {
        pool.execute(statement).await.map(drop)
    }

    async fn insert(transaction: &mut Transaction) -> sqlx::Result<()> {
        transaction.execute("INSERT INTO t SELECT hex(randomblob(100000))").await.map(drop)
    }

    async fn rows(pool: &AnyPool) -> i64 {
        sqlx::query_scalar("SELECT COUNT(*) FROM t").fetch_one(pool).await.unwrap()
    }

    #[tokio::test]
    async fn a_full_disk_passes() {
        let files = tempfile::tempdir().unwrap();
        let pool = pool(&files).await;
        run(&pool, "PRAGMA max_page_count = 20").await.unwrap();
        for _ in 0..3 {
            let mut transaction = Transaction::begin(&pool, "BEGIN IMMEDIATE").await.unwrap();
            let error = insert(&mut transaction).await.unwrap_err();
            assert_eq!(Fault::of(&error), Some(Fault::DiskFull), "{error}");
        }
        run(&pool, "PRAGMA max_page_count = 1000000").await.unwrap();
        let mut transaction = Transaction::begin(&pool, "BEGIN IMMEDIATE").await.unwrap();
        insert(&mut transaction).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(rows(&pool).await, 1);
    }

    #[tokio::test]
    async fn a_database_that_may_be_read_alone_says_so() {
        let files = tempfile::tempdir().unwrap();
        drop(pool(&files).await);
        let url = format!("sqlite://{}?mode=ro", files.path().join("test.db").display());
        let pool = AnyPoolOptions::new().max_connections(1).connect(&url).await.unwrap();
        for _ in 0..2 {
            let mut transaction = Transaction::begin(&pool, "BEGIN").await.unwrap();
            let error = insert(&mut transaction).await.unwrap_err();
            assert_eq!(Fault::of(&error), Some(Fault::ReadOnly), "{error}");
        }
        assert_eq!(rows(&pool).await, 0);
    }

    #[tokio::test]
    async fn whoever_leaves_amid_a_transaction_leaves_none() {
        let files = tempfile::tempdir().unwrap();
        let pool = pool(&files).await;
        for steps in 0..40 {
            let leaving = async {
                let mut transaction = Transaction::begin(&pool, "BEGIN IMMEDIATE").await?;
                insert(&mut transaction).await?;
                insert(&mut transaction).await?;
                // It leaves before this, at some point or other.
                std::future::pending::<()>().await;
                transaction.commit().await
            };
            let mut leaving = std::pin::pin!(leaving);
            for _ in 0..steps {
                assert!(futures::poll!(&mut leaving).is_pending());
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        }
        // Only what is committed is there, and the one connection takes another transaction.
        let mut transaction = Transaction::begin(&pool, "BEGIN IMMEDIATE").await.unwrap();
        insert(&mut transaction).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(rows(&pool).await, 1);
        assert_eq!(pool.size(), 1);
    }
}
