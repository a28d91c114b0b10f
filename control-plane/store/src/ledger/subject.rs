//! Apps and named keys, as subjects of limits.

use std::sync::LazyLock;

use jiff::Timestamp;
use latchkey_core::limits::Limits;
use latchkey_core::settings::AppSettings;
use latchkey_core::status::Status;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::bulk::Column::Text;
use super::bulk::{Bulk, Column, id_rows};
use crate::Tx;
use crate::row::{Columns as _, unfit};

/// An app, deleted or not.
#[derive(Clone, Debug)]
pub struct AppLimitsRow {
    pub id: Uuid,
    /// Stored status; a deleted app is revoked.
    pub status: Status,
    /// What its keys may do.
    pub settings: AppSettings,
    /// When that was last changed.
    pub updated_at: Timestamp,
}

#[derive(Clone, Debug)]
pub struct KeyLimitsRow {
    pub id: Uuid,
    pub app_id: Uuid,
    /// Stored status.
    pub status: Status,
    /// When it stops; none for never.
    pub expires_at: Option<Timestamp>,
    /// Its own limits; none where the app's for named keys apply.
    pub limits: Option<Limits>,
    /// When it was last changed; none where that was long ago.
    pub changed_at: Option<Timestamp>,
}

const ID: [Column; 1] = [Text("id")];

static APPS: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new("SELECT id, status, settings, updated_at FROM apps WHERE id IN ({rows})", &ID)
});

static KEYS: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(
        "SELECT id, app_id, status, expires_at, limits, revisions.created_at AS changed_at FROM keys
         LEFT JOIN revisions ON revisions.revision = keys.revision
         WHERE user_id IS NOT NULL AND id IN ({rows})",
        &ID,
    )
});

impl Tx {
    /// The tag of the newest revision: another one means that subjects may have changed.
    pub async fn newest_tag(&mut self) -> sqlx::Result<Vec<u8>> {
        sqlx::query("SELECT tag FROM head").fetch_one(&mut *self.inner).await?.try_get("tag")
    }

    /// Those of `ids` that are apps. One whose row cannot be read is an error of its own.
    pub async fn app_limits(
        &mut self,
        ids: &[Uuid],
    ) -> sqlx::Result<Vec<(Uuid, sqlx::Result<AppLimitsRow>)>> {
        let mut rows = Vec::new();
        for row in self.read(&APPS, &id_rows(ids)).await? {
            rows.push((row.uuid("id")?, app(&row)));
        }
        Ok(rows)
    }

    /// Those of `ids` that are named keys.
    pub async fn key_limits(
        &mut self,
        ids: &[Uuid],
    ) -> sqlx::Result<Vec<(Uuid, sqlx::Result<KeyLimitsRow>)>> {
        let mut rows = Vec::new();
        for row in self.read(&KEYS, &id_rows(ids)).await? {
            rows.push((row.uuid("id")?, key(&row)));
        }
        Ok(rows)
    }
}

fn app(row: &AnyRow) -> sqlx::Result<AppLimitsRow> {
    let settings: &str = row.try_get("settings")?;
    Ok(AppLimitsRow {
        id: row.uuid("id")?,
        status: row.parsed("status")?,
        settings: serde_json::from_str(settings).map_err(|error| unfit("settings", error))?,
        updated_at: row.time("updated_at")?,
    })
}

fn key(row: &AnyRow) -> sqlx::Result<KeyLimitsRow> {
    let limits: Option<&str> = row.try_get("limits")?;
    let limits = limits.map(serde_json::from_str).transpose().map_err(|error| unfit("limits", error))?;
    Ok(KeyLimitsRow {
        id: row.uuid("id")?,
        app_id: row.uuid("app_id")?,
        status: row.parsed("status")?,
        expires_at: row.optional_time("expires_at")?,
        limits,
        changed_at: row.optional_time("changed_at")?,
    })
}
