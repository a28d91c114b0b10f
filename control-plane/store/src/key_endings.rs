//! What keys end with, of those that an earlier version wrote and whose values are stored.

use latchkey_proto::key::KeyEnding;
use secrecy::ExposeSecret as _;
use sqlx::Row as _;
use uuid::Uuid;

use super::Store;
use super::row::Columns as _;
use super::seal::{MasterKey, Purpose};

/// How many are written in one transaction.
const BATCH: usize = 1000;

impl MasterKey {
    /// Writes the endings that are not known and can be. A value that does not open is left alone.
    ///
    /// # Errors
    /// The database is away.
    pub async fn fill_key_endings(&self, store: &Store) -> sqlx::Result<()> {
        let mut after = String::new();
        loop {
            let rows = sqlx::query(
                "SELECT id, hash, sealed_value FROM keys
                 WHERE ending IS NULL AND sealed_value IS NOT NULL AND id > $1 ORDER BY id LIMIT 1000",
            )
            .bind(after)
            .fetch_all(&store.pool)
            .await?;
            let mut tx = store.begin().await?;
            let mut last = Uuid::nil();
            for row in &rows {
                last = row.uuid("id")?;
                let Ok(value) = self.open(Purpose::KeyValue(last), row.try_get("sealed_value")?) else {
                    continue;
                };
                let hash: &[u8] = row.try_get("hash")?;
                // Unless it was rotated meanwhile.
                sqlx::query("UPDATE keys SET ending = $1 WHERE id = $2 AND hash = $3")
                    .bind(KeyEnding::of(value.expose_secret()).map(|ending| ending.to_string()))
                    .bind(last.to_string())
                    .bind(hash.to_vec())
                    .execute(&mut *tx.inner)
                    .await?;
            }
            tx.commit().await?;
            if rows.len() < BATCH {
                return Ok(());
            }
            after = last.to_string();
        }
    }
}
