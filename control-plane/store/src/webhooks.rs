//! Webhooks: where events are sent to.

use jiff::Timestamp;
use latchkey_core::name::Name;
use latchkey_core::selection::Selection;
use latchkey_core::webhook::{EventPattern, WebhookFormat, asks_for_app};
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::ledger::stored;
use super::row::{Columns as _, unfit};
use super::{QueryOf, Store, Tx};

/// A webhook, whose URL and secrets are sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    pub id: Uuid,
    pub name: Name,
    pub format: WebhookFormat,
    pub sealed_url: Vec<u8>,
    /// What may be shown of the URL.
    pub shown_url: String,
    pub events: Vec<EventPattern>,
    /// Ids of apps.
    pub apps: Selection,
    /// None where the format is not signed.
    pub sealed_secret: Option<Vec<u8>>,
    /// What also signs, until then.
    pub previous_secret: Option<(Vec<u8>, Timestamp)>,
    pub enabled: bool,
    /// Why Latchkey disabled it; empty where it did not.
    pub disabled_reason: String,
    /// Since when attempts have failed, with no success since.
    pub failing_since: Option<Timestamp>,
    /// How many attempts have failed since then.
    pub failures: u64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Which events a webhook asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub events: Vec<EventPattern>,
    /// Ids of apps.
    pub apps: Selection,
}

/// What a failed attempt has made of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailingWebhook {
    pub name: String,
    pub enabled: bool,
    pub since: Timestamp,
    pub failures: u64,
}

/// Webhooks by what follows.
macro_rules! webhooks {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, format, url, shown_url, events, apps, secret, previous_secret, previous_until, enabled, ",
            "disabled_reason, failing_since, failures, created_at, updated_at FROM webhooks ",
            $rest
        )
    };
}

impl Webhook {
    /// Whether it asks for an event of this kind and app (empty: of none).
    #[must_use]
    pub fn asks_for(&self, kind: &str, app: &str) -> bool {
        asks_for(&self.events, &self.apps, kind, app)
    }
}

impl Subscription {
    /// Whether it asks for an event of this kind and app (empty: of none).
    #[must_use]
    pub fn asks_for(&self, kind: &str, app: &str) -> bool {
        asks_for(&self.events, &self.apps, kind, app)
    }
}

fn asks_for(events: &[EventPattern], apps: &Selection, kind: &str, app: &str) -> bool {
    events.iter().any(|pattern| pattern.matches(kind)) && asks_for_app(apps, app)
}

impl FromRow<'_, AnyRow> for Webhook {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let (events, apps): (&str, &str) = (row.try_get("events")?, row.try_get("apps")?);
        let previous: Option<Vec<u8>> = row.try_get("previous_secret")?;
        Ok(Self {
            id: row.uuid("id")?,
            name: Name::stored(row.try_get("name")?).map_err(|error| unfit("name", error))?,
            format: row.parsed("format")?,
            sealed_url: row.try_get("url")?,
            shown_url: row.try_get("shown_url")?,
            events: serde_json::from_str(events).map_err(|error| unfit("events", error))?,
            apps: serde_json::from_str(apps).map_err(|error| unfit("apps", error))?,
            sealed_secret: row.try_get("secret")?,
            previous_secret: previous.zip(row.optional_time("previous_until")?),
            enabled: row.flag("enabled")?,
            disabled_reason: row.try_get("disabled_reason")?,
            failing_since: row.optional_time("failing_since")?,
            failures: row.count("failures")?,
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
        })
    }
}

fn all() -> QueryOf<Webhook> {
    sqlx::query_as(webhooks!("ORDER BY id"))
}

impl Store {
    /// Every webhook, oldest first.
    pub async fn webhooks(&self) -> sqlx::Result<Vec<Webhook>> {
        all().fetch_all(&self.pool).await
    }

    pub async fn webhook(&self, id: Uuid) -> sqlx::Result<Option<Webhook>> {
        sqlx::query_as(webhooks!("WHERE id = $1")).bind(id.to_string()).fetch_optional(&self.pool).await
    }

    /// How many webhooks get nothing: their last attempt has failed, or Latchkey has disabled them.
    pub async fn failing_webhooks(&self) -> sqlx::Result<u64> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS failing FROM webhooks
             WHERE enabled = 1 AND failing_since IS NOT NULL OR enabled = 0 AND disabled_reason <> ''",
        )
        .fetch_one(&self.pool)
        .await?;
        row.count("failing")
    }

    /// The enabled webhooks for which something is due at `now`, by Unix milliseconds. What is due only after
    /// `latest` was noted by a clock that has been set back since: it is due as well.
    pub async fn webhooks_with_due(&self, now: i64, latest: i64) -> sqlx::Result<Vec<Webhook>> {
        sqlx::query_as(webhooks!(
            "WHERE enabled = 1 AND EXISTS (SELECT 1 FROM deliveries WHERE deliveries.webhook_id = webhooks.id
             AND state = 'pending' AND leased_by = '' AND (next_at <= $1 OR next_at > $2)) ORDER BY id"
        ))
        .bind(now)
        .bind(latest)
        .fetch_all(&self.pool)
        .await
    }
}

impl Tx {
    /// Every webhook, oldest first.
    pub async fn webhooks(&mut self) -> sqlx::Result<Vec<Webhook>> {
        all().fetch_all(&mut *self.inner).await
    }

    /// The webhook with this id, locked until the transaction ends.
    pub async fn webhook(&mut self, id: Uuid) -> sqlx::Result<Option<Webhook>> {
        sqlx::query("UPDATE webhooks SET name = name WHERE id = $1")
            .bind(id.to_string())
            .execute(&mut *self.inner)
            .await?;
        sqlx::query_as(webhooks!("WHERE id = $1")).bind(id.to_string()).fetch_optional(&mut *self.inner).await
    }

    /// What the enabled webhooks ask for.
    pub async fn subscriptions(&mut self) -> sqlx::Result<Vec<Subscription>> {
        let query = sqlx::query("SELECT events, apps FROM webhooks WHERE enabled = 1");
        let mut all = Vec::new();
        for row in query.fetch_all(&mut *self.inner).await? {
            let (events, apps): (&str, &str) = (row.try_get("events")?, row.try_get("apps")?);
            // What cannot be read, as from a newer version, asks for nothing here: what causes the event goes on.
            if let (Ok(events), Ok(apps)) = (serde_json::from_str(events), serde_json::from_str(apps)) {
                all.push(Subscription { events, apps });
            }
        }
        Ok(all)
    }

    pub async fn insert_webhook(&mut self, webhook: &Webhook) -> sqlx::Result<()> {
        let query =
            "INSERT INTO webhooks (name, format, url, shown_url, events, apps, secret, previous_secret,
             previous_until, enabled, disabled_reason, failing_since, failures, created_at, updated_at, id)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
        self.write_webhook(query, webhook).await
    }

    pub async fn update_webhook(&mut self, webhook: &Webhook) -> sqlx::Result<()> {
        let query =
            "UPDATE webhooks SET name = $1, format = $2, url = $3, shown_url = $4, events = $5, apps = $6,
             secret = $7, previous_secret = $8, previous_until = $9, enabled = $10, disabled_reason = $11,
             failing_since = $12, failures = $13, created_at = $14, updated_at = $15 WHERE id = $16";
        self.write_webhook(query, webhook).await
    }

    async fn write_webhook(&mut self, query: &'static str, webhook: &Webhook) -> sqlx::Result<()> {
        let (previous, until) = webhook.previous_secret.clone().unzip();
        sqlx::query(query)
            .bind(webhook.name.as_str().to_owned())
            .bind(webhook.format.as_str())
            .bind(webhook.sealed_url.clone())
            .bind(webhook.shown_url.clone())
            .bind(serde_json::to_string(&webhook.events).expect("patterns are plain JSON"))
            .bind(serde_json::to_string(&webhook.apps).expect("a selection is plain JSON"))
            .bind(webhook.sealed_secret.clone())
            .bind(previous)
            .bind(until.map(Timestamp::as_millisecond))
            .bind(i64::from(webhook.enabled))
            .bind(webhook.disabled_reason.clone())
            .bind(webhook.failing_since.map(Timestamp::as_millisecond))
            .bind(stored(webhook.failures))
            .bind(webhook.created_at.as_millisecond())
            .bind(webhook.updated_at.as_millisecond())
            .bind(webhook.id.to_string())
            .execute(&mut *self.inner)
            .await
            .map(drop)
    }

    /// Removes a webhook with all its deliveries.
    pub async fn delete_webhook(&mut self, id: Uuid) -> sqlx::Result<()> {
        let query = sqlx::query("DELETE FROM webhooks WHERE id = $1").bind(id.to_string());
        query.execute(&mut *self.inner).await.map(drop)
    }

    /// Notes that an attempt has succeeded.
    pub async fn webhook_succeeded(&mut self, id: Uuid) -> sqlx::Result<()> {
        let query = "UPDATE webhooks SET failing_since = NULL, failures = 0
                     WHERE id = $1 AND failing_since IS NOT NULL";
        sqlx::query(query).bind(id.to_string()).execute(&mut *self.inner).await.map(drop)
    }

    /// Notes that an attempt has failed, and what that makes of the webhook; none where it is gone. A clock that was
    /// set back begins anew.
    pub async fn webhook_failed(&mut self, id: Uuid, now: Timestamp) -> sqlx::Result<Option<FailingWebhook>> {
        let row = sqlx::query(
            "UPDATE webhooks SET failures = failures + 1, failing_since =
             CASE WHEN failing_since IS NULL OR failing_since > $2 THEN $2 ELSE failing_since END
             WHERE id = $1 RETURNING name, enabled, failing_since, failures",
        )
        .bind(id.to_string())
        .bind(now.as_millisecond())
        .fetch_optional(&mut *self.inner)
        .await?;
        let read = |row: AnyRow| {
            Ok(FailingWebhook {
                name: row.try_get("name")?,
                enabled: row.flag("enabled")?,
                since: row.time("failing_since")?,
                failures: row.count("failures")?,
            })
        };
        row.map(read).transpose()
    }

    /// Disables a webhook, and keeps why.
    pub async fn disable_webhook(&mut self, id: Uuid, reason: &str, now: Timestamp) -> sqlx::Result<()> {
        sqlx::query("UPDATE webhooks SET enabled = 0, disabled_reason = $2, updated_at = $3 WHERE id = $1")
            .bind(id.to_string())
            .bind(reason.to_owned())
            .bind(now.as_millisecond())
            .execute(&mut *self.inner)
            .await
            .map(drop)
    }
}
