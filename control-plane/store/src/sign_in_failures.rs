//! Failed sign-ins, by what they are counted for.

use jiff::Timestamp;
use latchkey_core::throttle::Failures;
use sqlx::any::AnyRow;

use super::Tx;
use super::row::Columns as _;

fn failures(row: AnyRow) -> sqlx::Result<Failures> {
    Ok(Failures {
        count: u32::try_from(row.count("failures")?).unwrap_or(u32::MAX),
        last: row.time("last_at")?,
        blocked_until: row.time("blocked_until")?,
    })
}

impl Tx {
    /// The failures of `subject`, which no other transaction changes before this one ends.
    pub async fn sign_in_failures(&mut self, subject: &str, now: Timestamp) -> sqlx::Result<Failures> {
        // Writing in any case locks the row, on both databases.
        let row = sqlx::query(
            "INSERT INTO sign_in_failures (subject, failures, last_at, blocked_until) VALUES ($1, 0, $2, 0)
             ON CONFLICT (subject) DO UPDATE SET failures = sign_in_failures.failures
             RETURNING failures, last_at, blocked_until",
        )
        .bind(subject.to_owned())
        .bind(now.as_millisecond())
        .fetch_one(&mut *self.inner)
        .await?;
        failures(row)
    }

    /// Puts these in the place of what was known of `subject`.
    pub async fn keep_sign_in_failures(&mut self, subject: &str, failures: Failures) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE sign_in_failures SET failures = $2, last_at = $3, blocked_until = $4 WHERE subject = $1",
        )
        .bind(subject.to_owned())
        .bind(i64::from(failures.count))
        .bind(failures.last.as_millisecond())
        .bind(failures.blocked_until.as_millisecond())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Takes back one failure of `subject`, and what it was blocked for.
    pub async fn take_back_sign_in_failure(&mut self, subject: &str) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE sign_in_failures SET failures = failures - 1, blocked_until = 0
             WHERE subject = $1 AND failures > 0",
        )
        .bind(subject.to_owned())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Forgets the failures of `subject`.
    pub async fn forget_sign_in_failures(&mut self, subject: &str) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM sign_in_failures WHERE subject = $1")
            .bind(subject.to_owned())
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }
}
