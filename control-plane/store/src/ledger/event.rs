//! Events of the ledger: of quotas, written with the spend; of what requests did, counted with their records; and of
//! keys that end.

use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::bulk::Bulk;
use super::bulk::Column::{Number, Text};
use crate::row::{Columns as _, unfit};
use crate::{Store, Tx};

/// An event that is told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaEvent {
    /// `quota.threshold` or `quota.exceeded`.
    pub kind: &'static str,
    pub app_id: Uuid,
    /// Of which named key; none for the app as a whole.
    pub key_id: Option<Uuid>,
    pub data: serde_json::Value,
    /// The same for what is the same event.
    pub once: String,
}

/// That a budget was used up, and has not been told to be available again.
#[derive(Clone, Debug, PartialEq)]
pub struct UnresolvedQuota {
    pub id: i64,
    /// Of which bucket: see [`QuotaEvent::once`].
    pub once: String,
    pub data: serde_json::Value,
}

/// What requests did within a minute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct EventCount {
    /// In minutes since 1970, by the control plane's clock.
    pub minute: i64,
    /// Of events: `request.rate_limited`, ….
    pub kind: String,
    pub app_id: String,
    /// The code of the refusal, or what was found.
    pub rule: String,
    /// What was done about it; empty for a refusal.
    pub action: String,
    pub total: i64,
}

/// A key that ends soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiringKey {
    pub id: String,
    pub app_id: String,
    /// Whose it is; none for an app's own.
    pub user_id: Option<String>,
    pub expires_at: Timestamp,
}

#[derive(Serialize)]
struct QuotaEventRow<'a> {
    at: i64,
    kind: &'a str,
    app_id: Uuid,
    key_id: String,
    data: String,
    once: &'a str,
}

static INSERT: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(
        "INSERT INTO events ({columns}) {rows} ON CONFLICT (once) DO NOTHING",
        &[Number("at"), Text("kind"), Text("app_id"), Text("key_id"), Text("data"), Text("once")],
    )
});

static COUNT: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(
        "INSERT INTO event_counts ({columns}) {rows} ON CONFLICT (minute, kind, app_id, rule, action)
         DO UPDATE SET total = event_counts.total + excluded.total",
        &[Number("minute"), Text("kind"), Text("app_id"), Text("rule"), Text("action"), Number("total")],
    )
});

impl Store {
    /// At most `limit` budgets that were used up and not told to be available again, oldest first, from after the
    /// event `after`.
    pub async fn unresolved_quotas(&self, after: i64, limit: i64) -> sqlx::Result<Vec<UnresolvedQuota>> {
        let rows = sqlx::query(
            "SELECT id, once, data FROM events WHERE kind = 'quota.exceeded' AND resolved = 0 AND id > $1
             ORDER BY id LIMIT $2",
        )
        .bind(after)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let unresolved = |row: &AnyRow| {
            let data: &str = row.try_get("data")?;
            Ok(UnresolvedQuota {
                id: row.try_get("id")?,
                once: row.try_get::<Option<String>, _>("once")?.unwrap_or_default(),
                data: serde_json::from_str(data).map_err(|error| unfit("data", error))?,
            })
        };
        rows.iter().map(unresolved).collect()
    }

    /// At most `limit` active keys that end within `days` from `now`, but not within a day if there are more; that were
    /// made longer before; and of which no event with this number of days has been written.
    pub async fn expiring_keys(
        &self,
        now: Timestamp,
        days: i64,
        limit: i64,
    ) -> sqlx::Result<Vec<ExpiringKey>> {
        let span = SignedDuration::from_hours(days.saturating_mul(24));
        let not_within = if days > 1 { SignedDuration::from_hours(24) } else { SignedDuration::ZERO };
        let at = |span| now.saturating_add(span).unwrap_or(Timestamp::MAX).as_millisecond();
        let rows = sqlx::query(
            "SELECT id, app_id, user_id, expires_at FROM keys
             WHERE expires_at > $1 AND expires_at <= $2 AND created_at <= expires_at - $3 AND status = 'active'
             AND NOT EXISTS (SELECT 1 FROM events WHERE events.once = 'key/' || keys.id || $4 || keys.expires_at)
             ORDER BY expires_at, id LIMIT $5",
        )
        .bind(at(not_within))
        .bind(at(span))
        .bind(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
        .bind(expiring_within(days))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let key = |row: &AnyRow| {
            Ok(ExpiringKey {
                id: row.try_get("id")?,
                app_id: row.try_get("app_id")?,
                user_id: row.try_get("user_id")?,
                expires_at: row.time("expires_at")?,
            })
        };
        rows.iter().map(key).collect()
    }
}

impl ExpiringKey {
    /// What its event is told once by.
    #[must_use]
    pub fn once(&self, days: i64) -> String {
        format!("key/{}{}{}", self.id, expiring_within(days), self.expires_at.as_millisecond())
    }
}

fn expiring_within(days: i64) -> String {
    format!("/expires_within/{days}/")
}

impl Tx {
    /// Counts what requests did; sorted, each once.
    pub async fn add_event_counts(&mut self, counts: &[EventCount]) -> sqlx::Result<()> {
        self.write(&COUNT, counts).await
    }

    /// Takes the counts of minutes before `before`, and of minutes after `latest`: a clock that has been set back
    /// since wrote those.
    pub async fn take_event_counts(&mut self, before: i64, latest: i64) -> sqlx::Result<Vec<EventCount>> {
        let rows = sqlx::query(
            "DELETE FROM event_counts WHERE minute < $1 OR minute > $2
             RETURNING minute, kind, app_id, rule, action, total",
        )
        .bind(before)
        .bind(latest)
        .fetch_all(&mut *self.inner)
        .await?;
        let count = |row: &AnyRow| {
            Ok(EventCount {
                minute: row.try_get("minute")?,
                kind: row.try_get("kind")?,
                app_id: row.try_get("app_id")?,
                rule: row.try_get("rule")?,
                action: row.try_get("action")?,
                total: row.try_get("total")?,
            })
        };
        rows.iter().map(count).collect()
    }

    /// Notes that a budget is available again, so that the next time that it is used up is told as well; false where
    /// that was noted before.
    pub async fn resolve_quota(&mut self, id: i64) -> sqlx::Result<bool> {
        let query = "UPDATE events SET resolved = 1, once = once || '/' || id WHERE id = $1 AND resolved = 0";
        Ok(sqlx::query(query).bind(id).execute(&mut *self.inner).await?.rows_affected() > 0)
    }

    /// Adds the events that were not told before; they are sorted by `once`.
    pub async fn insert_quota_events(&mut self, events: &[QuotaEvent], at: Timestamp) -> sqlx::Result<()> {
        let rows = events.iter().map(|event| QuotaEventRow {
            at: at.as_millisecond(),
            kind: event.kind,
            app_id: event.app_id,
            key_id: event.key_id.map(|id| id.to_string()).unwrap_or_default(),
            data: event.data.to_string(),
            once: &event.once,
        });
        self.write(&INSERT, &rows.collect::<Vec<_>>()).await
    }
}

impl Store {
    /// Whether counts are kept of minutes before `before`, or after `latest`.
    pub async fn has_event_counts(&self, before: i64, latest: i64) -> sqlx::Result<bool> {
        let query = "SELECT minute FROM event_counts WHERE minute < $1 OR minute > $2 LIMIT 1";
        let query = sqlx::query(query).bind(before).bind(latest);
        Ok(query.fetch_optional(&self.pool).await?.is_some())
    }
}
