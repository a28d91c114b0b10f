//! Whom apps' self-service settings name: an index of them, written with the settings.

use std::collections::HashMap;
use std::sync::LazyLock;

use latchkey_core::access::{Access, AccessMode, Capability, Subjects};
use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::ledger::bulk::{Bulk, Column, id_rows};
use super::row::{Columns as _, unfit};
use super::{Backend, QueryOf, Store, Tx, json};

/// An app that names a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupReference {
    pub app: Uuid,
    pub name: String,
    /// On which lists the group is: a capability, and `allow` or `except`.
    pub lists: Vec<(Capability, String)>,
}

/// What people and groups are called.
#[derive(Clone, Debug, Default)]
pub struct SubjectNames {
    /// Users' addresses and names.
    pub users: HashMap<Uuid, (String, String)>,
    pub groups: HashMap<Uuid, String>,
}

#[derive(Serialize)]
struct AppSubjectRow {
    app_id: String,
    capability: &'static str,
    list: &'static str,
    kind: &'static str,
    subject: String,
}

static INSERT: LazyLock<Bulk> = LazyLock::new(|| {
    let columns = ["app_id", "capability", "list", "kind", "subject"].map(Column::Text);
    Bulk::new("INSERT INTO app_subjects ({columns}) {rows}", &columns)
});

static GROUPS: LazyLock<Bulk> = LazyLock::new(|| {
    let template = "SELECT groups.id FROM ({rows}) AS given JOIN groups ON groups.id = given.id";
    Bulk::new(template, &[Column::Text("id")])
});

/// The apps that name a group and whose name is like `pattern`, oldest first, after `after`.
fn group_uses(group: Uuid, after: Option<Uuid>, pattern: String, limit: i64) -> QueryOf<GroupReference> {
    sqlx::query_as(
        r"SELECT apps.id, apps.name, STRING_AGG(capability || ' ' || list, ',') AS lists
          FROM app_subjects JOIN apps ON apps.id = app_id
          WHERE kind = 'group' AND subject = $1 AND deleted_at IS NULL AND apps.id > $2
          AND apps.search_text LIKE $3 ESCAPE '\' GROUP BY apps.id, apps.name ORDER BY apps.id LIMIT $4",
    )
    .bind(group.to_string())
    .bind(after.map(|id| id.to_string()).unwrap_or_default())
    .bind(pattern)
    .bind(limit)
}

impl Store {
    /// The apps that name a group and whose name holds `search`, oldest first, after `after`.
    pub async fn group_uses(
        &self,
        group: Uuid,
        search: &str,
        after: Option<Uuid>,
        limit: i64,
    ) -> sqlx::Result<Vec<GroupReference>> {
        group_uses(group, after, super::containing(search), limit).fetch_all(&self.pool).await
    }
}

macro_rules! names {
    ($backend:ident, $columns:literal) => {
        concat!("SELECT id, ", $columns, " WHERE id IN ", in_list!($backend, "$1"))
    };
}

impl Store {
    /// What these people and groups are called; those that are no more are missing.
    pub async fn names(&self, subjects: &Subjects) -> sqlx::Result<SubjectNames> {
        let (users, groups) = match self.backend {
            Backend::Sqlite => (names!(sqlite, "email, name FROM users"), names!(sqlite, "name FROM groups")),
            Backend::Postgres => {
                (names!(postgres, "email, name FROM users"), names!(postgres, "name FROM groups"))
            }
        };
        let mut names = SubjectNames::default();
        if !subjects.users.is_empty() {
            for row in sqlx::query(users).bind(json(&subjects.users)?).fetch_all(&self.pool).await? {
                names.users.insert(row.uuid("id")?, (row.try_get("email")?, row.try_get("name")?));
            }
        }
        if !subjects.groups.is_empty() {
            for row in sqlx::query(groups).bind(json(&subjects.groups)?).fetch_all(&self.pool).await? {
                names.groups.insert(row.uuid("id")?, row.try_get("name")?);
            }
        }
        Ok(names)
    }
}

impl Tx {
    /// The first apps that name a group.
    pub async fn group_uses(&mut self, group: Uuid, limit: i64) -> sqlx::Result<Vec<GroupReference>> {
        group_uses(group, None, "%".to_owned(), limit).fetch_all(&mut *self.inner).await
    }

    /// Which of these ids are groups'.
    pub async fn groups_among(&mut self, ids: &[Uuid]) -> sqlx::Result<Vec<Uuid>> {
        let rows = self.read(&GROUPS, &id_rows(ids)).await?;
        rows.iter().map(|row| row.uuid("id")).collect()
    }

    /// Replaces what the index has of an app.
    pub(super) async fn put_subjects(&mut self, app: Uuid, access: &Access) -> sqlx::Result<()> {
        self.forget_subjects(app).await?;
        self.write(&INSERT, &rows(app, access)).await
    }

    /// Takes an app out of the index.
    pub(super) async fn forget_subjects(&mut self, app: Uuid) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM app_subjects WHERE app_id = $1")
            .bind(app.to_string())
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }
}

fn rows(app: Uuid, access: &Access) -> Vec<AppSubjectRow> {
    let mut rows = Vec::new();
    for capability in Capability::ALL {
        let rule = access.rule(capability);
        let mut push = |list, kind, subject| {
            let capability = capability.as_str();
            rows.push(AppSubjectRow { app_id: app.to_string(), capability, list, kind, subject });
        };
        if rule.mode == AccessMode::Everyone {
            push("allow", "everyone", String::new());
        }
        for (list, Subjects { users, groups }) in [("allow", &rule.allow), ("except", &rule.exceptions)] {
            users.iter().for_each(|id| push(list, "user", id.to_string()));
            groups.iter().for_each(|id| push(list, "group", id.to_string()));
        }
    }
    rows
}

impl FromRow<'_, AnyRow> for GroupReference {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let lists: &str = row.try_get("lists")?;
        let read = |entry: &str| {
            let (capability, list) = entry.split_once(' ')?;
            let capability = Capability::ALL.into_iter().find(|known| known.as_str() == capability)?;
            Some((capability, list.to_owned()))
        };
        let lists = lists.split(',').map(read).collect::<Option<Vec<_>>>();
        let mut lists = lists.ok_or_else(|| unfit("lists", "there is no such capability"))?;
        lists.sort();
        Ok(Self { app: row.uuid("id")?, name: row.try_get("name")?, lists })
    }
}
