//! Who is in which smart group.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use jiff::Timestamp;
use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{FromRow as _, Row as _};
use uuid::Uuid;

use super::ledger::bulk::{Bulk, Column};
use super::row::Columns as _;
use super::users::User;
use super::{Store, Tx};

/// How someone came to be in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipSource {
    Admin,
    /// By the groups claim, at sign-in.
    Claim,
}

#[derive(Clone, Debug)]
pub struct GroupMember {
    pub user: User,
    /// How they came to be in it.
    pub source: MembershipSource,
    pub added_at: Timestamp,
}

#[derive(Serialize)]
struct MembershipRow {
    group_id: String,
    user_id: String,
    source: &'static str,
    added_at: i64,
}

#[derive(Serialize)]
struct TextRow {
    text: String,
}

/// Who was added by hand stays, whatever their claim says.
static INSERT: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(
        "INSERT INTO group_members ({columns}) {rows}
         ON CONFLICT (group_id, user_id) DO UPDATE SET source = excluded.source
         WHERE group_members.source = 'claim' AND excluded.source = 'admin' RETURNING user_id",
        &[
            Column::Text("group_id"),
            Column::Text("user_id"),
            Column::Text("source"),
            Column::Number("added_at"),
        ],
    )
});

static IDS: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(
        "SELECT users.id, users.email FROM ({rows}) AS given JOIN users ON users.id = given.text",
        &[Column::Text("text")],
    )
});

static IDS_BY_EMAIL: LazyLock<Bulk> = LazyLock::new(|| {
    let template =
        "SELECT users.id, users.email FROM ({rows}) AS given JOIN users ON users.email = given.text";
    Bulk::new(template, &[Column::Text("text")])
});

static GROUPS_BY_NAME: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(
        "SELECT groups.id, groups.folded_name FROM ({rows}) AS given
         JOIN groups ON groups.folded_name = given.text",
        &[Column::Text("text")],
    )
});

impl MembershipSource {
    fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Claim => "claim",
        }
    }
}

impl Store {
    /// A group's members whose name or address holds `search`, by id, after `after`.
    pub async fn group_members(
        &self,
        group: Uuid,
        search: &str,
        after: Option<Uuid>,
        limit: i64,
    ) -> sqlx::Result<Vec<GroupMember>> {
        sqlx::query(
            r"SELECT id, email, name, role, created_at, deactivated_at, source, added_at
              FROM group_members JOIN users ON users.id = user_id
              WHERE group_id = $1 AND user_id > $2 AND search_text LIKE $3 ESCAPE '\'
              ORDER BY user_id LIMIT $4",
        )
        .bind(group.to_string())
        .bind(after.map(|id| id.to_string()).unwrap_or_default())
        .bind(super::containing(search))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(|row| {
            let source = if row.try_get::<&str, _>("source")? == "claim" {
                MembershipSource::Claim
            } else {
                MembershipSource::Admin
            };
            let added_at = row.time("added_at")?;
            Ok(GroupMember { user: User::from_row(&row)?, source, added_at })
        })
        .collect()
    }
}

impl Tx {
    /// Which of these ids are users', with their addresses.
    pub async fn users_among(&mut self, ids: &[Uuid]) -> sqlx::Result<HashMap<Uuid, String>> {
        let rows = ids.iter().map(|id| TextRow { text: id.to_string() });
        let found = self.read(&IDS, &rows.collect::<Vec<_>>()).await?;
        found.iter().map(|row| Ok((row.uuid("id")?, row.try_get("email")?))).collect()
    }

    /// The users who have these addresses.
    pub async fn users_by_email(
        &mut self,
        emails: &BTreeSet<impl AsRef<str>>,
    ) -> sqlx::Result<HashMap<String, Uuid>> {
        let rows = emails.iter().map(|email| TextRow { text: email.as_ref().to_owned() });
        let found = self.read(&IDS_BY_EMAIL, &rows.collect::<Vec<_>>()).await?;
        found.iter().map(|row| Ok((row.try_get("email")?, row.uuid("id")?))).collect()
    }

    /// The groups with these names, which are in lower case.
    pub async fn groups_by_name(&mut self, names: &BTreeSet<String>) -> sqlx::Result<HashMap<String, Uuid>> {
        let rows = names.iter().map(|name| TextRow { text: name.clone() });
        let found = self.read(&GROUPS_BY_NAME, &rows.collect::<Vec<_>>()).await?;
        found.iter().map(|row| Ok((row.try_get("folded_name")?, row.uuid("id")?))).collect()
    }

    /// Adds users to a group; those for whom that changed something.
    pub async fn add_group_members(
        &mut self,
        group: Uuid,
        users: &[Uuid],
        source: MembershipSource,
        at: Timestamp,
    ) -> sqlx::Result<Vec<Uuid>> {
        let row = |user: &Uuid| MembershipRow {
            group_id: group.to_string(),
            user_id: user.to_string(),
            source: source.as_str(),
            added_at: at.as_millisecond(),
        };
        let added = self.read(&INSERT, &users.iter().map(row).collect::<Vec<_>>()).await?;
        added.iter().map(|row| row.uuid("user_id")).collect()
    }

    /// Takes a user out of a group; whether they were in it.
    pub async fn remove_group_member(&mut self, group: Uuid, user: Uuid) -> sqlx::Result<bool> {
        let done = sqlx::query("DELETE FROM group_members WHERE group_id = $1 AND user_id = $2")
            .bind(group.to_string())
            .bind(user.to_string())
            .execute(&mut *self.inner)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Takes those out of a group who are in it by its claim; who they were.
    pub async fn remove_claimed_members(&mut self, group: Uuid) -> sqlx::Result<Vec<Uuid>> {
        let rows = sqlx::query(
            "DELETE FROM group_members WHERE group_id = $1 AND source = 'claim' RETURNING user_id",
        )
        .bind(group.to_string())
        .fetch_all(&mut *self.inner)
        .await?;
        rows.iter().map(|row| row.uuid("user_id")).collect()
    }

    /// The groups that a claim fills, with the claim's value, and whether this user is in it by that.
    pub async fn claimed_groups(&mut self, user: Uuid) -> sqlx::Result<Vec<(Uuid, String, bool)>> {
        let rows = sqlx::query(
            "SELECT id, claim, (SELECT COUNT(*) FROM group_members
                WHERE group_id = groups.id AND user_id = $1 AND source = 'claim') AS held
             FROM groups WHERE claim IS NOT NULL ORDER BY id",
        )
        .bind(user.to_string())
        .fetch_all(&mut *self.inner)
        .await?;
        let read = |row: &AnyRow| Ok((row.uuid("id")?, row.try_get("claim")?, row.flag("held")?));
        rows.iter().map(read).collect()
    }
}
