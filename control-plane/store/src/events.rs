//! What webhooks will tell.

use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::conditions::Conditions;
use super::row::{Columns as _, unfit};
use super::{Store, Tx};

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

/// An event of an app to add.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub at: Timestamp,
    /// What: `change_request.approved`, ….
    pub kind: String,
    pub app_id: Uuid,
    /// More about it, without secrets.
    pub data: serde_json::Value,
    /// The same for what is the same event, which is told once.
    pub once: String,
}

/// Which events a list holds.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    pub app: Option<Uuid>,
    pub key: Option<Uuid>,
    pub kind: Option<String>,
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
        let EventFilter { app, key, kind, before } = filter;
        Conditions::default()
            .text("app_id =", app.as_ref())
            .text("key_id =", key.as_ref())
            .text("kind =", kind.as_ref())
            .number("id <", *before)
            .query_as(PAGE, limit)
            .fetch_all(&self.pool)
            .await
    }
}

impl Tx {
    /// Adds an event, unless it was told before.
    pub async fn insert_event(&mut self, event: NewEvent) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO events (at, kind, app_id, key_id, data, once) VALUES ($1, $2, $3, '', $4, $5)
             ON CONFLICT (once) DO NOTHING",
        )
        .bind(event.at.as_millisecond())
        .bind(event.kind)
        .bind(event.app_id.to_string())
        .bind(event.data.to_string())
        .bind(event.once)
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }
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
