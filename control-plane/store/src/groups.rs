//! Smart groups.

use jiff::Timestamp;
use latchkey_core::name::Name;
use latchkey_core::search;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::row::{Columns as _, unfit};
use super::{QueryOf, Store, Tx};

/// A named set of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub id: Uuid,
    /// Unique, whatever the case.
    pub name: Name,
    /// For people; may be empty.
    pub description: String,
    /// The value of the groups claim that fills it at sign-in; none where people are added by hand only.
    pub claim: Option<String>,
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// How many people are in it.
    pub members: u64,
}

/// A group's columns, and whatever follows `FROM groups`.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, description, claim, created_at, updated_at, ",
            "(SELECT COUNT(*) FROM group_members WHERE group_id = groups.id) AS members FROM groups ",
            $rest
        )
    };
}

impl FromRow<'_, AnyRow> for Group {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.uuid("id")?,
            name: Name::stored(row.try_get("name")?).map_err(|error| unfit("name", error))?,
            description: row.try_get("description")?,
            claim: row.try_get("claim")?,
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
            members: row.count("members")?,
        })
    }
}

fn group(id: Uuid) -> QueryOf<Group> {
    sqlx::query_as(select!("WHERE id = $1")).bind(id.to_string())
}

impl Store {
    /// The group with this id.
    pub async fn group(&self, id: Uuid) -> sqlx::Result<Option<Group>> {
        group(id).fetch_optional(&self.pool).await
    }

    /// Groups whose name holds `search`, oldest first, after `after`.
    pub async fn groups(&self, search: &str, after: Option<Uuid>, limit: i64) -> sqlx::Result<Vec<Group>> {
        sqlx::query_as(select!(r"WHERE id > $1 AND search_text LIKE $2 ESCAPE '\' ORDER BY id LIMIT $3"))
            .bind(after.map(|id| id.to_string()).unwrap_or_default())
            .bind(super::containing(search))
            .bind(limit)
            .fetch_all(&self.pool)
            .await
    }
}

impl Tx {
    /// The group with this id; on PostgreSQL locked until the transaction ends.
    pub async fn group(&mut self, id: Uuid) -> sqlx::Result<Option<Group>> {
        sqlx::query("UPDATE groups SET updated_at = updated_at WHERE id = $1")
            .bind(id.to_string())
            .execute(&mut *self.inner)
            .await?;
        group(id).fetch_optional(&mut *self.inner).await
    }

    /// Adds a group. A name or a claim that is taken is a unique violation.
    pub async fn insert_group(&mut self, group: &Group) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO groups (id, name, folded_name, description, claim, created_at, updated_at, search_text)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(group.id.to_string())
        .bind(group.name.as_str().to_owned())
        .bind(folded(&group.name))
        .bind(group.description.clone())
        .bind(group.claim.clone())
        .bind(group.created_at.as_millisecond())
        .bind(group.updated_at.as_millisecond())
        .bind(search::folded(group.name.as_str()))
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Writes a group's name, description and claim.
    pub async fn update_group(&mut self, group: &Group) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE groups SET name = $1, folded_name = $2, description = $3, claim = $4, updated_at = $5,
             search_text = $6 WHERE id = $7",
        )
        .bind(group.name.as_str().to_owned())
        .bind(folded(&group.name))
        .bind(group.description.clone())
        .bind(group.claim.clone())
        .bind(group.updated_at.as_millisecond())
        .bind(search::folded(group.name.as_str()))
        .bind(group.id.to_string())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Whether another group than `except` has this name, whatever the case, and whether one has this claim.
    pub async fn group_clashes(
        &mut self,
        name: &Name,
        claim: Option<&str>,
        except: Uuid,
    ) -> sqlx::Result<(bool, bool)> {
        let name = folded(name);
        let rows = sqlx::query(
            "SELECT folded_name, claim FROM groups WHERE (folded_name = $1 OR claim = $2) AND id <> $3",
        )
        .bind(name.clone())
        .bind(claim.map(str::to_owned))
        .bind(except.to_string())
        .fetch_all(&mut *self.inner)
        .await?;
        let mut clashes = (false, false);
        for row in &rows {
            clashes.0 |= row.try_get::<&str, _>("folded_name")? == name;
            clashes.1 |= claim.is_some() && row.try_get::<Option<&str>, _>("claim")? == claim;
        }
        Ok(clashes)
    }

    /// Deletes a group and its memberships.
    pub async fn delete_group(&mut self, id: Uuid) -> sqlx::Result<()> {
        for statement in ["DELETE FROM group_members WHERE group_id = $1", "DELETE FROM groups WHERE id = $1"]
        {
            sqlx::query(statement).bind(id.to_string()).execute(&mut *self.inner).await?;
        }
        Ok(())
    }
}

/// What makes a name unique.
fn folded(name: &Name) -> String {
    name.as_str().to_lowercase()
}
