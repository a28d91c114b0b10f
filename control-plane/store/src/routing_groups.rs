//! Routing groups.

use jiff::Timestamp;
use latchkey_core::name::ModelName;
use latchkey_core::routing_group::RoutingSettings;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::row::{Columns as _, unfit};
use super::{QueryOf, Store, Tx};

/// A name that clients use as a model's, and where its requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingGroup {
    pub id: Uuid,
    /// Unique among groups, and never changed. It may be a model's.
    pub name: ModelName,
    pub settings: RoutingSettings,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// The revision of its last change.
    pub revision: i64,
}

impl FromRow<'_, AnyRow> for RoutingGroup {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let settings: &str = row.try_get("settings")?;
        Ok(Self {
            id: row.uuid("id")?,
            name: row.try_get::<String, _>("name")?.try_into().map_err(|error| unfit("name", error))?,
            settings: serde_json::from_str(settings).map_err(|error| unfit("settings", error))?,
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
            revision: row.try_get("revision")?,
        })
    }
}

fn all() -> QueryOf<RoutingGroup> {
    sqlx::query_as(
        "SELECT id, name, settings, created_at, updated_at, revision FROM routing_groups ORDER BY id",
    )
}

impl Store {
    /// Every group, oldest first.
    pub async fn routing_groups(&self) -> sqlx::Result<Vec<RoutingGroup>> {
        all().fetch_all(&self.pool).await
    }

    pub async fn routing_group(&self, id: Uuid) -> sqlx::Result<Option<RoutingGroup>> {
        let query =
            "SELECT id, name, settings, created_at, updated_at, revision FROM routing_groups WHERE id = $1";
        sqlx::query_as(query).bind(id.to_string()).fetch_optional(&self.pool).await
    }
}

impl Tx {
    /// Every group, oldest first.
    pub async fn routing_groups(&mut self) -> sqlx::Result<Vec<RoutingGroup>> {
        all().fetch_all(&mut *self.inner).await
    }

    /// The group with this id, locked until the transaction ends.
    pub async fn routing_group(&mut self, id: Uuid) -> sqlx::Result<Option<RoutingGroup>> {
        let query = "UPDATE routing_groups SET name = name WHERE id = $1
                     RETURNING id, name, settings, created_at, updated_at, revision";
        sqlx::query_as(query).bind(id.to_string()).fetch_optional(&mut *self.inner).await
    }

    /// Whether there is a group of this name.
    pub async fn has_routing_group(&mut self, name: &str) -> sqlx::Result<bool> {
        let query = sqlx::query("SELECT id FROM routing_groups WHERE name = $1").bind(name.to_owned());
        Ok(query.fetch_optional(&mut *self.inner).await?.is_some())
    }

    /// Adds a group. A name that is taken is a unique violation.
    pub async fn insert_routing_group(&mut self, group: &RoutingGroup) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO routing_groups (id, name, settings, created_at, updated_at, revision)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(group.id.to_string())
        .bind(group.name.as_str().to_owned())
        .bind(json(&group.settings))
        .bind(group.created_at.as_millisecond())
        .bind(group.updated_at.as_millisecond())
        .bind(group.revision)
        .execute(&mut *self.inner)
        .await
        .map(drop)
    }

    pub async fn update_routing_group(&mut self, group: &RoutingGroup) -> sqlx::Result<()> {
        sqlx::query("UPDATE routing_groups SET settings = $1, updated_at = $2, revision = $3 WHERE id = $4")
            .bind(json(&group.settings))
            .bind(group.updated_at.as_millisecond())
            .bind(group.revision)
            .bind(group.id.to_string())
            .execute(&mut *self.inner)
            .await
            .map(drop)
    }

    pub async fn delete_routing_group(&mut self, id: Uuid) -> sqlx::Result<()> {
        let query = sqlx::query("DELETE FROM routing_groups WHERE id = $1").bind(id.to_string());
        query.execute(&mut *self.inner).await.map(drop)
    }

    /// The slots that are taken, ascending.
    pub async fn group_slots(&mut self) -> sqlx::Result<Vec<u8>> {
        let query = "SELECT group_slot FROM providers WHERE group_slot IS NOT NULL ORDER BY group_slot";
        let rows = sqlx::query(query).fetch_all(&mut *self.inner).await?;
        let read =
            |row: &AnyRow| row.count("group_slot")?.try_into().map_err(|error| unfit("group_slot", error));
        rows.iter().map(read).collect()
    }

    /// Gives a provider a slot that it keeps as long as it is there.
    pub async fn set_group_slot(&mut self, provider: &str, slot: u8) -> sqlx::Result<()> {
        sqlx::query("UPDATE providers SET group_slot = $1 WHERE name = $2")
            .bind(i64::from(slot))
            .bind(provider.to_owned())
            .execute(&mut *self.inner)
            .await
            .map(drop)
    }
}

fn json(settings: &RoutingSettings) -> String {
    serde_json::to_string(settings).expect("settings are plain JSON")
}
