//! Users with their groups, as access rules need them.

use std::collections::BTreeSet;

use latchkey_core::access::Member;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::row::{Columns as _, unfit};
use super::{Store, Tx};

/// A row per group, and one without a group for who is in none.
const MEMBER: &str = "SELECT users.deactivated_at, group_members.group_id FROM users
                      LEFT JOIN group_members ON group_members.user_id = users.id WHERE users.id = $1";

impl Store {
    /// The user with this id and their groups.
    ///
    /// # Errors
    /// The database is away.
    pub async fn member(&self, user: Uuid) -> sqlx::Result<Option<Member>> {
        let rows = sqlx::query(MEMBER).bind(user.to_string()).fetch_all(&self.pool).await?;
        member(user, &rows)
    }
}

impl Tx {
    /// The user with this id and their groups.
    ///
    /// # Errors
    /// The database is away.
    pub async fn member(&mut self, user: Uuid) -> sqlx::Result<Option<Member>> {
        let rows = sqlx::query(MEMBER).bind(user.to_string()).fetch_all(&mut *self.inner).await?;
        member(user, &rows)
    }
}

impl Tx {
    /// Whether there is a smart group with this id.
    ///
    /// # Errors
    /// The database is away.
    pub async fn has_group(&mut self, id: Uuid) -> sqlx::Result<bool> {
        let row = sqlx::query("SELECT id FROM groups WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&mut *self.inner)
            .await?;
        Ok(row.is_some())
    }
}

fn member(user: Uuid, rows: &[AnyRow]) -> sqlx::Result<Option<Member>> {
    let Some(first) = rows.first() else { return Ok(None) };
    let is_active = first.optional_time("deactivated_at")?.is_none();
    let mut groups = BTreeSet::new();
    for row in rows {
        if let Some(id) = row.try_get::<Option<&str>, _>("group_id")? {
            groups.insert(id.parse().map_err(|error| unfit("group_id", error))?);
        }
    }
    Ok(Some(Member { user, is_active, groups }))
}
