//! Every state that an app's configuration had. Rows are never changed.

use jiff::Timestamp;
use latchkey_core::actor::Actor;
use latchkey_core::change::{Change, Operation, Path};
use latchkey_core::name::Name;
use latchkey_core::settings::AppSettings;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::apps::{self, App};
use super::conditions::Conditions;
use super::row::{Columns as _, unfit};
use super::{QueryOf, Store, Tx};

/// What is told of a version in lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionHead {
    /// From 1, per app.
    pub number: i64,
    pub at: Timestamp,
    pub operation: Operation,
    /// `user`, `token` or `system`.
    pub actor_kind: String,
    /// Of the user or the token; empty for the system.
    pub actor_id: String,
    /// What the actor was called then.
    pub actor_name: String,
    /// The change request that it was made for.
    pub change_request_id: Option<Uuid>,
    /// What differs from the version before.
    pub changed: Vec<Path>,
}

/// A version with the state that it keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppVersion {
    /// What is told of it.
    pub head: VersionHead,
    pub name: Name,
    pub settings: AppSettings,
}

#[derive(Clone, Copy, Debug)]
pub struct NewVersion<'a> {
    /// The app as it is from now on.
    pub app: &'a App,
    pub operation: Operation,
    pub actor: &'a Actor,
    pub change_request: Option<Uuid>,
    /// What differs from the version before.
    pub changes: &'a [Change],
}

impl FromRow<'_, AnyRow> for VersionHead {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let changed: &str = row.try_get("changed")?;
        Ok(Self {
            number: row.try_get("number")?,
            at: row.time("at")?,
            operation: row.parsed("operation")?,
            actor_kind: row.try_get("actor_kind")?,
            actor_id: row.try_get("actor_id")?,
            actor_name: row.try_get("actor_name")?,
            change_request_id: row.optional_uuid("change_request_id")?,
            changed: serde_json::from_str(changed).map_err(|error| unfit("changed", error))?,
        })
    }
}

impl FromRow<'_, AnyRow> for AppVersion {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let settings: &str = row.try_get("settings")?;
        Ok(Self {
            head: VersionHead::from_row(row)?,
            name: Name::stored(row.try_get("name")?).map_err(|error| unfit("name", error))?,
            settings: serde_json::from_str(settings).map_err(|error| unfit("settings", error))?,
        })
    }
}

const HEADS: &str =
    "SELECT number, at, operation, actor_kind, actor_id, actor_name, change_request_id, changed
    FROM app_versions {where} ORDER BY number DESC {limit}";

fn version(app: Uuid, number: i64) -> QueryOf<AppVersion> {
    sqlx::query_as(
        "SELECT number, at, operation, actor_kind, actor_id, actor_name, change_request_id, changed, name,
         settings FROM app_versions WHERE app_id = $1 AND number = $2",
    )
    .bind(app.to_string())
    .bind(number)
}

/// 0 where there is none.
fn newest_version(app: Uuid) -> QueryOf<(i64,)> {
    sqlx::query_as("SELECT COALESCE(MAX(number), 0) AS number FROM app_versions WHERE app_id = $1")
        .bind(app.to_string())
}

impl Store {
    /// Versions of an app, newest first: those before `before`.
    pub async fn versions(
        &self,
        app: Uuid,
        before: Option<i64>,
        limit: i64,
    ) -> sqlx::Result<Vec<VersionHead>> {
        Conditions::default()
            .text("app_id =", Some(app))
            .number("number <", before)
            .query_as(HEADS, limit)
            .fetch_all(&self.pool)
            .await
    }

    /// One version of an app.
    pub async fn version(&self, app: Uuid, number: i64) -> sqlx::Result<Option<AppVersion>> {
        version(app, number).fetch_optional(&self.pool).await
    }

    /// The number of an app's newest version; 0 where there is none.
    pub async fn newest_version(&self, app: Uuid) -> sqlx::Result<i64> {
        Ok(newest_version(app).fetch_one(&self.pool).await?.0)
    }
}

impl Tx {
    /// One version of an app.
    pub async fn version(&mut self, app: Uuid, number: i64) -> sqlx::Result<Option<AppVersion>> {
        version(app, number).fetch_optional(&mut *self.inner).await
    }

    /// Versions of an app after the one of this number, the oldest first.
    pub async fn versions_after(
        &mut self,
        app: Uuid,
        number: i64,
        limit: i64,
    ) -> sqlx::Result<Vec<VersionHead>> {
        sqlx::query_as(
            "SELECT number, at, operation, actor_kind, actor_id, actor_name, change_request_id, changed
             FROM app_versions WHERE app_id = $1 AND number > $2 ORDER BY number LIMIT $3",
        )
        .bind(app.to_string())
        .bind(number)
        .bind(limit)
        .fetch_all(&mut *self.inner)
        .await
    }

    /// The number of an app's newest version; 0 where there is none.
    pub async fn newest_version(&mut self, app: Uuid) -> sqlx::Result<i64> {
        Ok(newest_version(app).fetch_one(&mut *self.inner).await?.0)
    }

    /// Adds the next version of an app, whose row the transaction holds, and gives its number.
    pub async fn insert_version(&mut self, new: NewVersion<'_>) -> sqlx::Result<i64> {
        let NewVersion { app, operation, actor, change_request, changes } = new;
        let number = self.newest_version(app.id).await? + 1;
        let changed: Vec<_> = changes.iter().map(|change| &change.path).collect();
        sqlx::query(
            "INSERT INTO app_versions (app_id, number, at, operation, actor_kind, actor_id, actor_name,
             change_request_id, name, settings, changed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(app.id.to_string())
        .bind(number)
        .bind(app.updated_at.as_millisecond())
        .bind(operation.as_str())
        .bind(actor.kind())
        .bind(actor.id())
        .bind(actor.name.clone())
        .bind(change_request.map(|id| id.to_string()))
        .bind(app.name.as_str().to_owned())
        .bind(apps::json(&app.settings))
        .bind(serde_json::to_string(&changed).expect("paths are plain JSON"))
        .execute(&mut *self.inner)
        .await?;
        Ok(number)
    }
}
