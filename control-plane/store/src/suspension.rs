//! Named keys that stop while their user may not see the app: what decides it, read in few statements,
//! and the decision, written in one.

use std::sync::LazyLock;

use latchkey_core::access::SelfService;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::ledger::bulk::{Bulk, Column};
use super::row::Columns as _;
use super::{Backend, Tx, json};

/// A named key that is not revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessKey {
    pub key: Uuid,
    /// The app that it opens.
    pub app: Uuid,
    pub user: Uuid,
    pub suspended: bool,
}

/// Of which apps and users.
#[derive(Clone, Copy, Debug)]
pub enum AccessScope<'a> {
    App(Uuid),
    /// Of these users, of the apps that name this group.
    Group(Uuid, &'a [Uuid]),
    Users(&'a [Uuid]),
}

/// An app's settings, of which nothing else is read.
#[derive(Deserialize)]
struct SelfServiceSettings {
    #[serde(default)]
    self_service: SelfService,
}

#[derive(Serialize)]
struct SuspensionRow {
    id: String,
    suspended: i64,
    revision: i64,
}

static UPDATE: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(
        "UPDATE keys SET suspended = given.suspended, revision = given.revision
         FROM ({rows}) AS given WHERE keys.id = given.id",
        &[Column::Text("id"), Column::Number("suspended"), Column::Number("revision")],
    )
});

macro_rules! apps_of {
    ($backend:ident) => {
        concat!(
            "SELECT id, settings FROM apps WHERE deleted_at IS NULL AND id IN (SELECT app_id FROM keys WHERE user_id IN ",
            in_list!($backend, "$1"),
            " AND status <> 'revoked')"
        )
    };
}

macro_rules! keys_of {
    ($backend:ident) => {
        concat!(
            "SELECT id, app_id, user_id, suspended FROM keys WHERE status <> 'revoked' AND user_id IN ",
            in_list!($backend, "$1"),
            " AND app_id IN ",
            in_list!($backend, "$2")
        )
    };
}

impl Tx {
    /// The self-service settings of the apps in `scope`. One whose row cannot be read is left out.
    pub async fn self_services(&mut self, scope: AccessScope<'_>) -> sqlx::Result<Vec<(Uuid, SelfService)>> {
        let (statement, parameter) = match scope {
            AccessScope::App(id) => {
                ("SELECT id, settings FROM apps WHERE deleted_at IS NULL AND id = $1", id.to_string())
            }
            AccessScope::Group(group, _) => (
                "SELECT id, settings FROM apps WHERE deleted_at IS NULL AND id IN
                 (SELECT app_id FROM app_subjects WHERE kind = 'group' AND subject = $1)",
                group.to_string(),
            ),
            AccessScope::Users(users) => {
                let statement = match self.backend {
                    Backend::Sqlite => apps_of!(sqlite),
                    Backend::Postgres => apps_of!(postgres),
                };
                (statement, json(users)?)
            }
        };
        let rows = sqlx::query(statement).bind(parameter).fetch_all(&mut *self.inner).await?;
        let mut read = Vec::with_capacity(rows.len());
        for row in &rows {
            let id = row.uuid("id")?;
            match serde_json::from_str::<SelfServiceSettings>(row.try_get("settings")?) {
                Ok(settings) => read.push((id, settings.self_service)),
                Err(error) => tracing::error!(%id, %error, "an app's row cannot be read"),
            }
        }
        Ok(read)
    }

    /// The named keys in `scope` that open one of `apps` and are not revoked.
    pub async fn held_keys(&mut self, scope: AccessScope<'_>, apps: &[Uuid]) -> sqlx::Result<Vec<AccessKey>> {
        let rows = match scope {
            AccessScope::App(id) => {
                sqlx::query(
                    "SELECT id, app_id, user_id, suspended FROM keys
                     WHERE status <> 'revoked' AND user_id IS NOT NULL AND app_id = $1",
                )
                .bind(id.to_string())
                .fetch_all(&mut *self.inner)
                .await?
            }
            AccessScope::Group(_, users) | AccessScope::Users(users) => {
                let statement = match self.backend {
                    Backend::Sqlite => keys_of!(sqlite),
                    Backend::Postgres => keys_of!(postgres),
                };
                let query = sqlx::query(statement).bind(json(users)?).bind(json(apps)?);
                query.fetch_all(&mut *self.inner).await?
            }
        };
        let read = |row: &AnyRow| {
            Ok(AccessKey {
                key: row.uuid("id")?,
                app: row.uuid("app_id")?,
                user: row.uuid("user_id")?,
                suspended: row.flag("suspended")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Suspends these keys, or lets them work again, with this revision.
    pub async fn write_suspended(&mut self, keys: &[AccessKey], revision: i64) -> sqlx::Result<()> {
        let row = |held: &AccessKey| SuspensionRow {
            id: held.key.to_string(),
            suspended: held.suspended.into(),
            revision,
        };
        self.write(&UPDATE, &keys.iter().map(row).collect::<Vec<_>>()).await
    }
}
