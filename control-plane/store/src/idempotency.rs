//! Answers to creations, kept for a day.

use jiff::Timestamp;
use sqlx::Row as _;

use super::{Store, Tx};

/// An answer that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    /// What was asked: a hash of method, path and body.
    pub fingerprint: Vec<u8>,
    pub status: i64,
    /// The body, encrypted, since it may hold a key.
    pub sealed_body: Vec<u8>,
}

impl Tx {
    /// The answer that `actor` was given under `key`.
    pub async fn answer(&mut self, actor: &str, key: &str) -> sqlx::Result<Option<StoredAnswer>> {
        let row = sqlx::query(
            "SELECT fingerprint, status, sealed_body FROM idempotency WHERE actor = $1 AND key = $2",
        )
        .bind(actor.to_owned())
        .bind(key.to_owned())
        .fetch_optional(&mut *self.inner)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(StoredAnswer {
            fingerprint: row.try_get("fingerprint")?,
            status: row.try_get("status")?,
            sealed_body: row.try_get("sealed_body")?,
        }))
    }

    /// Keeps an answer. A key that is taken is a unique violation.
    pub async fn keep_answer(
        &mut self,
        actor: &str,
        key: &str,
        answer: &StoredAnswer,
        now: Timestamp,
    ) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO idempotency (actor, key, fingerprint, status, sealed_body, created_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(actor.to_owned())
        .bind(key.to_owned())
        .bind(answer.fingerprint.clone())
        .bind(answer.status)
        .bind(answer.sealed_body.clone())
        .bind(now.as_millisecond())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }
}

impl Store {
    /// Forgets answers given before `before`.
    pub async fn forget_answers(&self, before: Timestamp) -> sqlx::Result<u64> {
        let done = sqlx::query("DELETE FROM idempotency WHERE created_at < $1")
            .bind(before.as_millisecond())
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected())
    }
}
