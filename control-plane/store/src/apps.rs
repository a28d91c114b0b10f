//! Apps and their settings.

use jiff::Timestamp;
use latchkey_core::key_search::KeySearch;
use latchkey_core::name::Name;
use latchkey_core::search::folded;
use latchkey_core::settings::AppSettings;
use latchkey_core::status::Status;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use utoipa::ToSchema;
use uuid::Uuid;

use super::row::{Columns as _, unfit};
use super::{Store, Tx};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    pub id: Uuid,
    pub name: Name,
    /// Stored status.
    pub status: Status,
    /// What its keys may do.
    pub settings: AppSettings,
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// The revision of its last change.
    pub revision: i64,
}

impl FromRow<'_, AnyRow> for App {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let settings: &str = row.try_get("settings")?;
        Ok(Self {
            id: row.uuid("id")?,
            name: Name::stored(row.try_get("name")?).map_err(|error| unfit("name", error))?,
            status: row.parsed("status")?,
            settings: serde_json::from_str(settings).map_err(|error| unfit("settings", error))?,
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
            revision: row.try_get("revision")?,
        })
    }
}

/// An app that changed. One whose row is damaged does not hold up the others.
#[derive(Debug)]
pub struct ChangedApp {
    pub id: Uuid,
    /// The revision of its last change.
    pub revision: i64,
    /// The app, if its row can be read.
    pub app: sqlx::Result<App>,
}

/// Which apps a list holds.
#[derive(Clone, Debug, Default)]
pub struct AppFilter {
    /// The app's name, or one of its keys.
    pub search: KeySearch,
    pub after: Option<Uuid>,
}

/// In which order apps are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AppOrder {
    /// By age, the oldest first.
    #[default]
    Oldest,
    /// By age, the newest first.
    Newest,
    /// By name.
    Name,
    /// By last use, the latest first.
    LastUsed,
    /// By requests, the most first.
    Requests,
}

/// Apps in one order: by a column, and by age where that is the same.
macro_rules! apps_by {
    ($column:literal, $after:literal, $direction:literal) => {
        concat!(
            "SELECT id, name, status, settings, created_at, updated_at, revision FROM apps
             LEFT JOIN app_usage ON app_id = id
             WHERE deleted_at IS NULL AND (search_text LIKE $2 ESCAPE '\\' OR id IN (SELECT keys.app_id FROM keys
               WHERE keys.ending = $4 OR keys.retired_ending = $4)) AND ($1 = '' OR (",
            $column,
            ", id) ",
            $after,
            " (SELECT ",
            $column,
            ", id FROM apps LEFT JOIN app_usage ON app_id = id WHERE id = $1)) ORDER BY ",
            $column,
            $direction,
            ", id",
            $direction,
            " LIMIT $3"
        )
    };
}

impl AppOrder {
    /// `$1`: the id that the page before ended with, or nothing.
    fn query(self) -> &'static str {
        match self {
            Self::Oldest => apps_by!("id", ">", ""),
            Self::Newest => apps_by!("id", "<", " DESC"),
            Self::Name => apps_by!("search_text", ">", ""),
            Self::LastUsed => apps_by!("COALESCE(last_used_at, 0)", "<", " DESC"),
            Self::Requests => apps_by!("COALESCE(requests, 0)", "<", " DESC"),
        }
    }
}

impl Store {
    /// The app with this id, unless it was deleted.
    pub async fn app(&self, id: Uuid) -> sqlx::Result<Option<App>> {
        sqlx::query_as(
            "SELECT id, name, status, settings, created_at, updated_at, revision FROM apps
             WHERE id = $1 AND deleted_at IS NULL",
        )
        .bind(id.to_string())
        .fetch_optional(&self.pool)
        .await
    }

    pub async fn apps(&self, filter: &AppFilter, order: AppOrder, limit: i64) -> sqlx::Result<Vec<App>> {
        sqlx::query_as(order.query())
            .bind(filter.after.map(|id| id.to_string()).unwrap_or_default())
            .bind(filter.search.name.as_deref().map(super::containing))
            .bind(limit)
            .bind(filter.search.ending.clone())
            .fetch_all(&self.pool)
            .await
    }

    /// The apps that this user has made requests of, unless they were deleted. One whose row cannot be
    /// read is left out.
    pub async fn apps_used_by(&self, user: Uuid) -> sqlx::Result<Vec<App>> {
        let rows = sqlx::query(
            "SELECT id, name, status, settings, created_at, updated_at, revision FROM apps
             WHERE deleted_at IS NULL AND id IN (SELECT app_id FROM usage_days WHERE user_id = $1) ORDER BY id",
        )
        .bind(user.to_string())
        .fetch_all(&self.pool)
        .await?;
        let read = |row: AnyRow| {
            let app = App::from_row(&row);
            app.inspect_err(|error| tracing::error!(%error, "an app's row cannot be read")).ok()
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// Apps that may come into question for this user, by age, oldest first: those whose viewer or settings
    /// request rule is for everyone, or names the user or a group of theirs. Exceptions are not looked at. Of
    /// keys, only the user's are searched.
    pub async fn apps_that_may_be_seen(
        &self,
        user: Uuid,
        filter: &AppFilter,
        limit: i64,
    ) -> sqlx::Result<Vec<App>> {
        sqlx::query_as(
            r"SELECT id, name, status, settings, created_at, updated_at, revision FROM apps
              WHERE deleted_at IS NULL AND id > $1
              AND (search_text LIKE $2 ESCAPE '\' OR id IN (SELECT keys.app_id FROM keys WHERE keys.user_id = $3
                AND (keys.ending = $5 OR keys.retired_ending = $5)))
              AND id IN (
                SELECT app_id FROM app_subjects WHERE kind = 'everyone'
                  AND capability IN ('viewer', 'settings_request')
                UNION SELECT app_id FROM app_subjects WHERE kind = 'user' AND subject = $3 AND list = 'allow'
                  AND capability IN ('viewer', 'settings_request')
                UNION SELECT app_id FROM app_subjects JOIN group_members ON group_id = subject
                  WHERE kind = 'group' AND user_id = $3 AND list = 'allow'
                  AND capability IN ('viewer', 'settings_request'))
              ORDER BY id LIMIT $4",
        )
        .bind(filter.after.map(|id| id.to_string()).unwrap_or_default())
        .bind(filter.search.name.as_deref().map(super::containing))
        .bind(user.to_string())
        .bind(limit)
        .bind(filter.search.ending.clone())
        .fetch_all(&self.pool)
        .await
    }

    /// Apps by revision and id, after these, for gateways.
    pub async fn apps_changed(
        &self,
        revision: i64,
        after: &str,
        limit: i64,
    ) -> sqlx::Result<Vec<ChangedApp>> {
        let rows = sqlx::query(
            "SELECT id, name, status, settings, created_at, updated_at, revision FROM apps
             WHERE deleted_at IS NULL AND (revision, id) > ($1, $2) ORDER BY revision, id LIMIT $3",
        )
        .bind(revision)
        .bind(after.to_owned())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let read = |row: AnyRow| {
            let (id, revision) = (row.uuid("id")?, row.try_get("revision")?);
            let app = App::from_row(&row);
            let app = app.inspect_err(|error| tracing::error!(%id, %error, "an app's row cannot be read"));
            Ok(ChangedApp { id, revision, app })
        };
        rows.into_iter().map(read).collect()
    }
}

impl Tx {
    /// The app with this id, unless it was deleted; on PostgreSQL locked until the transaction ends.
    pub async fn app(&mut self, id: Uuid) -> sqlx::Result<Option<App>> {
        // An update that changes nothing takes the row's lock on both databases.
        sqlx::query_as(
            "UPDATE apps SET revision = revision WHERE id = $1 AND deleted_at IS NULL
             RETURNING id, name, status, settings, created_at, updated_at, revision",
        )
        .bind(id.to_string())
        .fetch_optional(&mut *self.inner)
        .await
    }

    /// Whether there is an app of this id.
    pub async fn has_app(&mut self, id: Uuid) -> sqlx::Result<bool> {
        let query = sqlx::query("SELECT id FROM apps WHERE id = $1 AND deleted_at IS NULL");
        Ok(query.bind(id.to_string()).fetch_optional(&mut *self.inner).await?.is_some())
    }

    pub async fn insert_app(&mut self, app: &App) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO apps (id, name, status, settings, created_at, updated_at, revision, search_text)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(app.id.to_string())
        .bind(app.name.as_str().to_owned())
        .bind(app.status.as_str())
        .bind(json(&app.settings))
        .bind(app.created_at.as_millisecond())
        .bind(app.updated_at.as_millisecond())
        .bind(app.revision)
        .bind(folded(app.name.as_str()))
        .execute(&mut *self.inner)
        .await?;
        self.index(app).await
    }

    /// Writes an app's name, status and settings.
    pub async fn update_app(&mut self, app: &App) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE apps SET name = $1, status = $2, settings = $3, updated_at = $4, revision = $5,
             search_text = $6 WHERE id = $7",
        )
        .bind(app.name.as_str().to_owned())
        .bind(app.status.as_str())
        .bind(json(&app.settings))
        .bind(app.updated_at.as_millisecond())
        .bind(app.revision)
        .bind(folded(app.name.as_str()))
        .bind(app.id.to_string())
        .execute(&mut *self.inner)
        .await?;
        self.index(app).await
    }

    /// Keeps in step what is found by an app's settings.
    async fn index(&mut self, app: &App) -> sqlx::Result<()> {
        self.put_subjects(app.id, &app.settings.self_service.access).await?;
        match app.settings.identity.jwks_url() {
            Some(url) => self.want_jwk_set(url).await,
            None => Ok(()),
        }
    }

    /// Marks an app as deleted; its record stays.
    pub async fn mark_app_deleted(&mut self, id: Uuid, at: Timestamp, revision: i64) -> sqlx::Result<()> {
        sqlx::query("UPDATE apps SET status = 'revoked', deleted_at = $1, revision = $2 WHERE id = $3")
            .bind(at.as_millisecond())
            .bind(revision)
            .bind(id.to_string())
            .execute(&mut *self.inner)
            .await?;
        self.forget_subjects(id).await
    }

    /// The settings of every app that is not deleted, with its name: for what must stay referable.
    pub async fn all_app_settings(&mut self) -> sqlx::Result<Vec<(String, AppSettings)>> {
        let rows = sqlx::query("SELECT name, settings FROM apps WHERE deleted_at IS NULL ORDER BY id")
            .fetch_all(&mut *self.inner)
            .await?;
        let read = |row: &AnyRow| {
            let settings: &str = row.try_get("settings")?;
            Ok((
                row.try_get("name")?,
                serde_json::from_str(settings).map_err(|error| unfit("settings", error))?,
            ))
        };
        rows.iter().map(read).collect()
    }
}

pub(super) fn json(settings: &AppSettings) -> String {
    serde_json::to_string(settings).expect("settings are plain JSON")
}
