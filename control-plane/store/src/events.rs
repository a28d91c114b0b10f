//! What happened. Events are written in the transaction that causes them, and given to the webhooks that ask for
//! them afterwards.

use jiff::Timestamp;
use latchkey_core::webhook::message::{MessageSubject, message};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, FromRow, Row as _};
use uuid::Uuid;

use super::conditions::{Conditions, ListedTime};
use super::row::{Columns as _, unfit};
use super::{Backend, Store, Tx};

#[derive(Clone, Debug, PartialEq)]
pub struct AppEvent {
    /// Later events have higher ones.
    pub id: i64,
    pub at: Timestamp,
    /// What: `quota.threshold`, ….
    pub kind: String,
    pub app_id: Option<Uuid>,
    /// The app's name as it is now.
    pub app_name: Option<String>,
    /// To which key; none for the app as a whole.
    pub key_id: Option<Uuid>,
    /// The key's name as it is now.
    pub key_name: Option<String>,
    pub data: serde_json::Value,
}

/// An event to add.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub at: Timestamp,
    /// What: `change_request.approved`, ….
    pub kind: &'static str,
    /// Of which app; empty for none.
    pub app_id: String,
    /// Of which key; empty for the app as a whole.
    pub key_id: String,
    /// More about it, without secrets.
    pub data: serde_json::Value,
    /// The same for what is the same event, which is told once; none where it cannot be written twice.
    pub once: Option<String>,
}

/// An event, as a message tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct EventMessage {
    pub id: i64,
    pub at: Timestamp,
    pub kind: String,
    /// Of which app; empty for none.
    pub app_id: String,
    /// The body of its message.
    pub body: String,
}

/// Which events a list holds.
#[derive(Clone, Debug)]
pub struct EventFilter {
    pub app: Option<Uuid>,
    pub key: Option<Uuid>,
    pub kind: Option<String>,
    pub time: ListedTime,
    /// Those older than this one.
    pub before: Option<i64>,
}

/// The page is cut before names are looked up.
const PAGE: &str =
    "SELECT page.id, page.at, page.kind, NULLIF(page.app_id, '') AS app_id, apps.name AS app_name,
    NULLIF(page.key_id, '') AS key_id, keys.name AS key_name, page.data
    FROM (SELECT * FROM events {where} ORDER BY id DESC {limit}) AS page
    LEFT JOIN apps ON apps.id = page.app_id LEFT JOIN keys ON keys.id = page.key_id ORDER BY page.id DESC";

impl Store {
    /// Events, newest first.
    pub async fn events(&self, filter: &EventFilter, limit: i64) -> sqlx::Result<Vec<AppEvent>> {
        let EventFilter { app, key, kind, time, before } = filter;
        Conditions::default()
            .text("app_id =", app.as_ref())
            .text("key_id =", key.as_ref())
            .text("kind =", kind.as_ref())
            .listed("events", *time)
            .number("id <", *before)
            .query_as(PAGE, limit)
            .fetch_all(&self.pool)
            .await
    }
}

impl Store {
    /// Whether there are events that were not given to webhooks.
    pub async fn has_undispatched_events(&self) -> sqlx::Result<bool> {
        let query = sqlx::query("SELECT id FROM events WHERE dispatched = 0 LIMIT 1");
        Ok(query.fetch_optional(&self.pool).await?.is_some())
    }

    /// Whether the event that is told once by this was told.
    pub async fn has_event(&self, once: &str) -> sqlx::Result<bool> {
        let query = sqlx::query("SELECT id FROM events WHERE once = $1").bind(once.to_owned());
        Ok(query.fetch_optional(&self.pool).await?.is_some())
    }

    /// Removes at most `limit` events from before `before`, but none that webhooks are still to be given, or that has
    /// deliveries or email: SQLite may give its number to another; how many.
    pub async fn forget_events(&self, before: Timestamp, limit: i64) -> sqlx::Result<u64> {
        let done = sqlx::query(
            "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE at < $1 AND dispatched = 1
             AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.event_id = events.id)
             AND NOT EXISTS (SELECT 1 FROM mail_events WHERE mail_events.event_id = events.id)
             ORDER BY at LIMIT $2)",
        )
        .bind(before.as_millisecond())
        .bind(limit)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}

/// What a message is made of.
macro_rules! messages {
    ($condition:literal) => {
        concat!(
            "SELECT id, at, kind, app_id, (SELECT name FROM apps WHERE apps.id = events.app_id) AS app_name, ",
            "key_id, (SELECT name FROM keys WHERE keys.id = events.key_id) AS key_name, data FROM events ",
            $condition
        )
    };
}

impl Tx {
    /// Adds an event, unless it was told before.
    pub async fn insert_event(&mut self, event: NewEvent) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO events (at, kind, app_id, key_id, data, once) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (once) DO NOTHING",
        )
        .bind(event.at.as_millisecond())
        .bind(event.kind)
        .bind(event.app_id)
        .bind(event.key_id)
        .bind(event.data.to_string())
        .bind(event.once)
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Takes at most `limit` events that were not given to webhooks, oldest first: no other transaction is given
    /// them. They are noted as given.
    pub async fn take_undispatched_events(&mut self, limit: i64) -> sqlx::Result<Vec<EventMessage>> {
        let query = match self.backend {
            Backend::Sqlite => messages!("WHERE dispatched = 0 ORDER BY id LIMIT $1"),
            Backend::Postgres => {
                messages!("WHERE dispatched = 0 ORDER BY id LIMIT $1 FOR UPDATE OF events SKIP LOCKED")
            }
        };
        let rows = sqlx::query(query).bind(limit).fetch_all(&mut *self.inner).await?;
        let mut ids = Vec::new();
        let mut events = Vec::new();
        for row in &rows {
            let id: i64 = row.try_get("id")?;
            ids.push(id.to_string());
            match event_message(row) {
                Ok(event) => events.push(event),
                // It stays listed, and does not hold up the others.
                Err(error) => tracing::error!(%error, id, "an event cannot be read; no webhook is told"),
            }
        }
        // Numbers, nothing else.
        let update = format!("UPDATE events SET dispatched = 1 WHERE id IN ({})", ids.join(", "));
        if !ids.is_empty() {
            sqlx::query(AssertSqlSafe(update)).execute(&mut *self.inner).await?;
        }
        Ok(events)
    }

    /// The events that an email is about, oldest first.
    pub async fn events_of_mail(
        &mut self,
        mail: i64,
        after: i64,
        limit: i64,
    ) -> sqlx::Result<Vec<EventMessage>> {
        sqlx::query(messages!(
            "WHERE id IN (SELECT event_id FROM mail_events WHERE mail_id = $1 AND event_id > $2)
             ORDER BY id LIMIT $3"
        ))
        .bind(mail)
        .bind(after)
        .bind(limit)
        .fetch_all(&mut *self.inner)
        .await?
        .iter()
        .map(event_message)
        .collect()
    }

    /// Events from the moment `from` up to before `to`, oldest first.
    pub async fn event_messages(
        &mut self,
        from: Timestamp,
        to: Timestamp,
        limit: i64,
    ) -> sqlx::Result<Vec<EventMessage>> {
        sqlx::query(messages!("WHERE at >= $1 AND at < $2 ORDER BY at, id LIMIT $3"))
            .bind(from.as_millisecond())
            .bind(to.as_millisecond())
            .bind(limit)
            .fetch_all(&mut *self.inner)
            .await?
            .iter()
            .map(event_message)
            .collect()
    }
}

fn event_message(row: &AnyRow) -> sqlx::Result<EventMessage> {
    let (kind, app_id, key_id): (String, String, String) =
        (row.try_get("kind")?, row.try_get("app_id")?, row.try_get("key_id")?);
    let (id, at, data): (i64, _, &str) = (row.try_get("id")?, row.time("at")?, row.try_get("data")?);
    let data = serde_json::from_str(data).map_err(|error| unfit("data", error))?;
    let given = |id: &String| Some(id.clone()).filter(|id| !id.is_empty());
    let subject = MessageSubject {
        event_id: Some(id),
        app_id: given(&app_id),
        app_name: row.try_get("app_name")?,
        key_id: given(&key_id),
        key_name: row.try_get("key_name")?,
    };
    let body = message(&kind, at, subject, data);
    Ok(EventMessage { id, at, kind, app_id, body })
}

impl FromRow<'_, AnyRow> for AppEvent {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let data: &str = row.try_get("data")?;
        Ok(Self {
            id: row.try_get("id")?,
            at: row.time("at")?,
            kind: row.try_get("kind")?,
            app_id: row.optional_uuid("app_id")?,
            app_name: row.try_get("app_name")?,
            key_id: row.optional_uuid("key_id")?,
            key_name: row.try_get("key_name")?,
            data: serde_json::from_str(data).map_err(|error| unfit("data", error))?,
        })
    }
}
