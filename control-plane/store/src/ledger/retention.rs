//! What of the ledger is forgotten, and when.

use jiff::{SignedDuration, Timestamp};
use latchkey_core::limits::BucketKind;
use latchkey_core::money::NanoUsd;
use latchkey_proto::window::Window;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};

use crate::row::unfit;
use crate::{Store, Tx};

/// How long a gateway process that was not heard of may still come back.
const FORGET_PROCESS_AFTER: SignedDuration = SignedDuration::from_hours(30 * 24);
/// When a period is over for certain: the longest has 31 days.
const ENDED: SignedDuration = SignedDuration::from_hours(40 * 24);
/// When nothing of a lease counts in a window any more: the longest has a day.
const LEFT: SignedDuration = SignedDuration::from_hours(48);

/// A gateway process that has not been heard of since its leases ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostProcess {
    pub instance: String,
    pub gateway: String,
    /// When the last of its leases ended.
    pub ended_at: Timestamp,
    /// Of how many budgets it holds something.
    pub budgets: u64,
    /// How much money that is.
    pub cost: NanoUsd,
    /// How many tokens, of budgets of tokens.
    pub tokens: u64,
}

/// Processes with what they hold of budgets, by a condition and by what follows.
macro_rules! lost {
    ($condition:literal, $rest:literal) => {
        concat!(
            "SELECT instance, MAX(gateway) AS gateway, MAX(expires_at) AS expires_at, COUNT(*) AS budgets, ",
            "CAST(SUM(CASE WHEN kind = 6 THEN granted + local - used - returned - expired ELSE 0 END) AS BIGINT) ",
            "AS cost, ",
            "CAST(SUM(CASE WHEN kind = 5 THEN granted + local - used - returned - expired ELSE 0 END) AS BIGINT) ",
            "AS tokens FROM leases WHERE kind > 4 AND granted + local > used + returned + expired ",
            $condition,
            " GROUP BY instance ",
            $rest
        )
    };
}

impl FromRow<'_, AnyRow> for LostProcess {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let ended_at = Timestamp::from_millisecond(row.try_get("expires_at")?);
        let number = |column| row.try_get::<i64, _>(column).map(|number| u64::try_from(number).unwrap_or(0));
        Ok(Self {
            instance: row.try_get("instance")?,
            gateway: row.try_get("gateway")?,
            ended_at: ended_at.map_err(|error| unfit("expires_at", error))?,
            budgets: number("budgets")?,
            cost: NanoUsd(number("cost")?),
            tokens: number("tokens")?,
        })
    }
}

impl Tx {
    /// What a process holds of budgets, whenever it was heard of; none where that is nothing.
    pub async fn lost_process(&mut self, instance: &str) -> sqlx::Result<Option<LostProcess>> {
        sqlx::query_as(lost!("AND instance = $1", ""))
            .bind(instance.to_owned())
            .fetch_optional(&mut *self.inner)
            .await
    }
}

impl Store {
    /// Removes at most `limit` records from before `before`; how many.
    pub async fn forget_records(&self, before: Timestamp, limit: i64) -> sqlx::Result<u64> {
        let done = sqlx::query(
            "DELETE FROM records WHERE id IN (SELECT id FROM records WHERE at < $1 ORDER BY at LIMIT $2)",
        )
        .bind(before.as_millisecond())
        .bind(limit)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }

    /// Removes at most `limit` findings in requests from before `before`; how many.
    pub async fn forget_findings(&self, before: Timestamp, limit: i64) -> sqlx::Result<u64> {
        let done = sqlx::query(
            "DELETE FROM findings WHERE id IN (SELECT id FROM findings WHERE at < $1 ORDER BY at LIMIT $2)",
        )
        .bind(before.as_millisecond())
        .bind(limit)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }

    /// Notes that a gateway process is there, though it may have nothing to tell.
    pub async fn see_process(&self, instance: &str, now: Timestamp) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE ledger_workers SET seen_at = $2 WHERE instance = $1
             AND worker = (SELECT MIN(worker) FROM ledger_workers WHERE instance = $1)",
        )
        .bind(instance.to_owned())
        .bind(now.as_millisecond())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The processes that hold something of budgets and whose leases are over since before `before`; at most
    /// a hundred.
    pub async fn lost_processes(&self, before: Timestamp) -> sqlx::Result<Vec<LostProcess>> {
        sqlx::query_as(lost!("", "HAVING MAX(expires_at) < $1 ORDER BY instance LIMIT 100"))
            .bind(before.as_millisecond())
            .fetch_all(&self.pool)
            .await
    }

    /// Removes the workers of processes that are gone, and leases that can no longer matter: of periods
    /// that ended, of windows that moved on, and settled ones of processes that are gone.
    pub async fn forget_leases(&self, now: Timestamp) -> sqlx::Result<u64> {
        let ago = |age: SignedDuration| {
            now.as_millisecond().saturating_sub(age.as_millis().try_into().unwrap_or(0))
        };
        sqlx::query(
            "DELETE FROM ledger_workers WHERE instance IN
             (SELECT instance FROM ledger_workers GROUP BY instance HAVING MAX(seen_at) < $1)",
        )
        .bind(ago(FORGET_PROCESS_AFTER))
        .execute(&self.pool)
        .await?;
        let leases = sqlx::query(
            "DELETE FROM leases WHERE kind <= 4 AND expires_at < $1 OR kind > 4 AND period > 0 AND period < $2
             OR kind > 4 AND expires_at < $3 AND granted + local <= used + returned + expired
             AND instance NOT IN (SELECT instance FROM ledger_workers)",
        )
        .bind(ago(LEFT))
        .bind(ago(ENDED))
        .bind(ago(FORGET_PROCESS_AFTER))
        .execute(&self.pool)
        .await?;
        let budgets = sqlx::query("DELETE FROM buckets WHERE kind > 4 AND period > 0 AND period < $1")
            .bind(ago(ENDED))
            .execute(&self.pool)
            .await?;
        Ok(leases.rows_affected() + budgets.rows_affected())
    }

    /// Removes windows in which nothing counts any more and of which nothing is leased.
    pub async fn forget_windows(&self, now: Timestamp) -> sqlx::Result<u64> {
        let (mut after, mut removed) = (String::new(), 0);
        loop {
            let rows = sqlx::query(
                "SELECT owner, kind, slots FROM buckets WHERE kind <= 4 AND owner > $1 AND NOT EXISTS
                 (SELECT 1 FROM leases WHERE leases.owner = buckets.owner AND leases.kind = buckets.kind)
                 ORDER BY owner LIMIT 1000",
            )
            .bind(after.clone())
            .fetch_all(&self.pool)
            .await?;
            let Some(last) = rows.last() else { return Ok(removed) };
            after = last.try_get("owner")?;
            for row in &rows {
                let (owner, kind, slots): (String, i64, String) =
                    (row.try_get("owner")?, row.try_get("kind")?, row.try_get("slots")?);
                match counts(kind, &slots, now) {
                    Ok(false) => {}
                    Ok(true) => continue,
                    Err(error) => {
                        tracing::error!(%error, owner, kind, "a bucket cannot be read; it is kept");
                        continue;
                    }
                }
                // As it was read: what was used meanwhile is not lost.
                let done = sqlx::query("DELETE FROM buckets WHERE owner = $1 AND kind = $2 AND slots = $3")
                    .bind(owner)
                    .bind(kind)
                    .bind(slots)
                    .execute(&self.pool)
                    .await?;
                removed += done.rows_affected();
            }
        }
    }
}

/// Whether something counts in a window with these slots.
fn counts(kind: i64, slots: &str, now: Timestamp) -> sqlx::Result<bool> {
    let kind = i32::try_from(kind).ok().and_then(BucketKind::from_number);
    let Some(span_ms) = kind.and_then(BucketKind::span_ms) else { return Ok(true) };
    let slots = serde_json::from_str(slots).map_err(|error| unfit("slots", error))?;
    Ok(Window::with_slots(span_ms, slots).used(now.as_millisecond()) > 0)
}
