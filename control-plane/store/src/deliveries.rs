//! Messages to webhooks: a queue of those that are pending ([`queue`](super::queue)), and the log of all.

use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, FromRow, Row as _};
use utoipa::ToSchema;
use uuid::Uuid;

use super::conditions::Conditions;
use super::ledger::stored;
use super::row::Columns as _;
use super::{Backend, Store, Tx};

/// What has become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It is sent, or will be.
    Pending,
    /// The webhook has taken it.
    Delivered,
    /// No attempt has succeeded, and there will be no other.
    Failed,
}

/// A message to a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Later ones have higher ones.
    pub id: i64,
    pub webhook_id: Uuid,
    /// Of which event; none for a test.
    pub event_id: Option<i64>,
    /// The same at every attempt.
    pub message_id: String,
    /// Of the event.
    pub kind: String,
    pub app_id: Option<Uuid>,
    /// When the event happened.
    pub at: Timestamp,
    /// The message, as of the format `standard`.
    pub body: String,
    pub state: DeliveryState,
    /// How many attempts there were.
    pub attempts: u64,
    /// How many there were since it was last put into the queue.
    pub step: u64,
    /// When it is due, while it is pending.
    pub next_at: Timestamp,
}

/// A message to put into the queue.
#[derive(Clone, Debug)]
pub struct NewDelivery<'a> {
    pub webhook_id: Uuid,
    pub event_id: Option<i64>,
    pub message_id: String,
    pub kind: &'a str,
    /// Empty for none.
    pub app_id: &'a str,
    pub at: Timestamp,
    pub body: &'a str,
}

/// One attempt to send a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryAttempt {
    /// When it ended.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The status of the answer; null where there was none.
    pub status: Option<u64>,
    /// Why it did not succeed; null where it did.
    pub error: Option<String>,
    /// How long it took.
    pub elapsed_ms: u64,
    /// The first kilobyte of the answer's body.
    pub answer: String,
}

/// Which deliveries a list holds.
#[derive(Clone, Debug)]
pub struct DeliveryFilter {
    pub webhook: Uuid,
    pub state: Option<DeliveryState>,
    pub kind: Option<String>,
    /// Those older than this one.
    pub before: Option<i64>,
}

/// Deliveries by what follows.
macro_rules! deliveries {
    ($rest:literal) => {
        concat!(
            "SELECT id, webhook_id, event_id, message_id, kind, app_id, at, body, state, attempts, step, next_at ",
            "FROM deliveries ",
            $rest
        )
    };
}

/// Takes a lease of some that are due.
macro_rules! lease {
    ($locked:literal) => {
        concat!(
            "UPDATE deliveries SET leased_by = $1 WHERE id IN (SELECT id FROM deliveries WHERE webhook_id = $2 ",
            "AND state = 'pending' AND leased_by = '' AND (next_at <= $3 OR next_at > $4) ",
            "ORDER BY next_at, id LIMIT $5",
            $locked,
            ") RETURNING id, webhook_id, event_id, message_id, kind, app_id, at, body, state, attempts, step, next_at"
        )
    };
}

/// Removes old ones.
macro_rules! forget {
    ($locked:literal) => {
        concat!(
            "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE at < $1 AND leased_by = '' ",
            "AND (state <> 'pending' OR next_at < $1) ORDER BY at LIMIT $2",
            $locked,
            ")"
        )
    };
}

impl DeliveryState {
    /// As JSON has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

impl FromStr for DeliveryState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Pending, Self::Delivered, Self::Failed];
        all.into_iter().find(|each| each.as_str() == text).ok_or_else(|| format!("`{text}` is no state"))
    }
}

impl FromRow<'_, AnyRow> for Delivery {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let app_id = match row.try_get("app_id")? {
            "" => None,
            _ => Some(row.uuid("app_id")?),
        };
        Ok(Self {
            id: row.try_get("id")?,
            webhook_id: row.uuid("webhook_id")?,
            event_id: row.try_get("event_id")?,
            message_id: row.try_get("message_id")?,
            kind: row.try_get("kind")?,
            app_id,
            at: row.time("at")?,
            body: row.try_get("body")?,
            state: row.parsed("state")?,
            attempts: row.count("attempts")?,
            step: row.count("step")?,
            next_at: row.time("next_at")?,
        })
    }
}

fn attempt(row: &AnyRow) -> sqlx::Result<DeliveryAttempt> {
    let error: String = row.try_get("error")?;
    Ok(DeliveryAttempt {
        at: row.time("at")?,
        status: row.optional_count("status")?,
        error: Some(error).filter(|error| !error.is_empty()),
        elapsed_ms: row.count("elapsed_ms")?,
        answer: row.try_get("answer")?,
    })
}

impl Store {
    /// Deliveries, newest first.
    pub async fn deliveries(&self, filter: &DeliveryFilter, limit: i64) -> sqlx::Result<Vec<Delivery>> {
        let DeliveryFilter { webhook, state, kind, before } = filter;
        Conditions::default()
            .text("webhook_id =", Some(webhook))
            .text("state =", state.map(DeliveryState::as_str))
            .text("kind =", kind.as_ref())
            .number("id <", *before)
            .query_as(deliveries!("{where} ORDER BY id DESC {limit}"), limit)
            .fetch_all(&self.pool)
            .await
    }

    pub async fn delivery(&self, webhook: Uuid, id: i64) -> sqlx::Result<Option<Delivery>> {
        let query = sqlx::query_as(deliveries!("WHERE webhook_id = $1 AND id = $2"));
        query.bind(webhook.to_string()).bind(id).fetch_optional(&self.pool).await
    }

    /// The newest attempts of a delivery, at most `limit`, oldest first.
    pub async fn delivery_attempts(&self, delivery: i64, limit: i64) -> sqlx::Result<Vec<DeliveryAttempt>> {
        let rows = sqlx::query(
            "SELECT at, status, error, elapsed_ms, answer FROM delivery_attempts
             WHERE delivery_id = $1 ORDER BY id DESC LIMIT $2",
        )
        .bind(delivery)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().rev().map(attempt).collect()
    }

    /// Gives a worker at most `limit` messages to a webhook that are due, those first that have waited longest. What
    /// is due only after `latest` was noted by a clock that has been set back since.
    pub async fn lease_deliveries(
        &self,
        webhook: Uuid,
        worker: &str,
        (now, latest): (i64, i64),
        limit: i64,
    ) -> sqlx::Result<Vec<Delivery>> {
        let query = match self.backend {
            Backend::Sqlite => lease!(""),
            Backend::Postgres => lease!(" FOR UPDATE SKIP LOCKED"),
        };
        sqlx::query_as(query)
            .bind(worker.to_owned())
            .bind(webhook.to_string())
            .bind(now)
            .bind(latest)
            .bind(limit)
            .fetch_all(&self.pool)
            .await
    }

    /// Removes at most `limit` deliveries of events from before `before`, with their attempts; how many. One that is
    /// pending stays, unless it has been due since then, as those of disabled webhooks have.
    pub async fn forget_deliveries(&self, before: Timestamp, limit: i64) -> sqlx::Result<u64> {
        let query = match self.backend {
            Backend::Sqlite => forget!(""),
            Backend::Postgres => forget!(" FOR UPDATE SKIP LOCKED"),
        };
        let done = sqlx::query(query).bind(before.as_millisecond()).bind(limit).execute(&self.pool).await?;
        Ok(done.rows_affected())
    }
}

/// A statement with what it inserts, due at `now`.
fn inserting(query: &'static str, new: NewDelivery<'_>, now: Timestamp) -> Query<'static, Any, AnyArguments> {
    let NewDelivery { webhook_id, event_id, message_id, kind, app_id, at, body } = new;
    sqlx::query(query)
        .bind(webhook_id.to_string())
        .bind(event_id)
        .bind(message_id)
        .bind(kind.to_owned())
        .bind(app_id.to_owned())
        .bind(at.as_millisecond())
        .bind(body.to_owned())
        .bind(now.as_millisecond())
}

impl Tx {
    /// Puts a message into the queue, due at `now`. One that is there already, of the same event, is sent again from
    /// its first step. Nothing changes where it is being sent; whether something did.
    pub async fn queue_delivery(&mut self, new: NewDelivery<'_>, now: Timestamp) -> sqlx::Result<bool> {
        let query = "INSERT INTO deliveries (webhook_id, event_id, message_id, kind, app_id, at, body, state,
             attempts, step, next_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 'pending', 0, 0, $8)
             ON CONFLICT (webhook_id, event_id) DO UPDATE SET state = 'pending', step = 0, next_at = excluded.next_at
             WHERE deliveries.leased_by = ''";
        let done = inserting(query, new, now).execute(&mut *self.inner).await?;
        Ok(done.rows_affected() > 0)
    }

    /// How many messages wait for a webhook, as far as `most`.
    pub async fn pending_deliveries(&mut self, webhook: Uuid, most: u64) -> sqlx::Result<u64> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS pending FROM
             (SELECT id FROM deliveries WHERE webhook_id = $1 AND state = 'pending' LIMIT $2) AS waiting",
        )
        .bind(webhook.to_string())
        .bind(stored(most))
        .fetch_one(&mut *self.inner)
        .await?;
        row.count("pending")
    }

    /// Logs a message that is not sent, and why. It can be sent again like any that has failed.
    pub async fn log_unsent(&mut self, new: NewDelivery<'_>, why: &str, now: Timestamp) -> sqlx::Result<()> {
        let query = "INSERT INTO deliveries (webhook_id, event_id, message_id, kind, app_id, at, body, state,
             attempts, step, next_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 'failed', 0, 0, $8)
             ON CONFLICT (webhook_id, event_id) DO NOTHING RETURNING id";
        let Some(row) = inserting(query, new, now).fetch_optional(&mut *self.inner).await? else {
            return Ok(());
        };
        sqlx::query(
            "INSERT INTO delivery_attempts (delivery_id, at, status, error, elapsed_ms, answer)
             VALUES ($1, $2, NULL, $3, 0, '')",
        )
        .bind(row.try_get::<i64, _>("id")?)
        .bind(now.as_millisecond())
        .bind(why.to_owned())
        .execute(&mut *self.inner)
        .await
        .map(drop)
    }

    /// Sends a delivery again, from its first step; one that waits is sent at once. Nothing changes where it is being
    /// sent. Whether there is such a delivery.
    pub async fn requeue_delivery(
        &mut self,
        webhook: Uuid,
        id: i64,
        now: Timestamp,
    ) -> sqlx::Result<Option<Delivery>> {
        sqlx::query(
            "UPDATE deliveries SET state = 'pending', step = 0, next_at = $3
             WHERE webhook_id = $1 AND id = $2 AND leased_by = ''",
        )
        .bind(webhook.to_string())
        .bind(id)
        .bind(now.as_millisecond())
        .execute(&mut *self.inner)
        .await?;
        let query = sqlx::query_as(deliveries!("WHERE webhook_id = $1 AND id = $2"));
        query.bind(webhook.to_string()).bind(id).fetch_optional(&mut *self.inner).await
    }

    /// Ends an attempt of this worker; false where another has taken the message over, and nothing is noted.
    pub async fn end_attempt(
        &mut self,
        worker: &str,
        delivery: &Delivery,
        attempt: &DeliveryAttempt,
    ) -> sqlx::Result<bool> {
        let done = sqlx::query(
            "UPDATE deliveries SET state = $1, attempts = $2, step = $3, next_at = $4, leased_by = ''
             WHERE id = $5 AND leased_by = $6 AND message_id = $7",
        )
        .bind(delivery.state.as_str())
        .bind(stored(delivery.attempts))
        .bind(stored(delivery.step))
        .bind(delivery.next_at.as_millisecond())
        .bind(delivery.id)
        .bind(worker.to_owned())
        // SQLite may give the id of a message that was deleted to another.
        .bind(delivery.message_id.clone())
        .execute(&mut *self.inner)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO delivery_attempts (delivery_id, at, status, error, elapsed_ms, answer)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(delivery.id)
        .bind(attempt.at.as_millisecond())
        .bind(attempt.status.map(stored))
        .bind(attempt.error.clone().unwrap_or_default())
        .bind(stored(attempt.elapsed_ms))
        .bind(attempt.answer.clone())
        .execute(&mut *self.inner)
        .await?;
        Ok(true)
    }
}
