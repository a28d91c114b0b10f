//! Users with their groups, as access rules need them.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use latchkey_core::access::{Member, Subjects};
use serde::Serialize;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::ledger::bulk::{Bulk, Column};
use super::row::{Columns as _, unfit};
use super::users::User;
use super::{Backend, Store, Tx, json};

/// A row per group, and one without a group for who is in none.
const MEMBER: &str = "SELECT users.deactivated_at, group_members.group_id FROM users
                      LEFT JOIN group_members ON group_members.user_id = users.id WHERE users.id = $1";

static MEMBERS: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(
        "SELECT users.id, users.deactivated_at,
         (SELECT STRING_AGG(group_id, ' ') FROM group_members WHERE user_id = users.id) AS groups
         FROM ({rows}) AS given JOIN users ON users.id = given.id",
        &[Column::Text("id")],
    )
});

/// Users with their groups: those whom the lists in `$2` (users) and `$3` (groups) name, or all.
macro_rules! people {
    ($backend:ident) => {
        concat!(
            r"SELECT id, email, name, role, created_at, deactivated_at,
              (SELECT STRING_AGG(group_id, ' ') FROM group_members WHERE user_id = users.id) AS groups
              FROM users WHERE id > $1 AND deactivated_at IS NULL
              AND search_text LIKE $5 ESCAPE '\'
              AND ($4 = 1 OR id IN ",
            in_list!($backend, "$2"),
            " OR id IN (SELECT user_id FROM group_members WHERE group_id IN ",
            in_list!($backend, "$3"),
            ")) ORDER BY id LIMIT $6"
        )
    };
}

/// Which people may come into question for something.
#[derive(Clone, Debug)]
pub enum Among<'a> {
    /// All.
    Everyone,
    /// Those who are named, by themselves or by a group.
    Named(&'a Subjects),
}

impl Store {
    /// People who may sign in, whose name or address holds `search`, with their groups; by id, after
    /// `after`.
    ///
    /// # Errors
    /// The database is away.
    pub async fn people(
        &self,
        among: Among<'_>,
        search: &str,
        after: Option<Uuid>,
        limit: i64,
    ) -> sqlx::Result<Vec<(User, Member)>> {
        let query = match self.backend {
            Backend::Sqlite => people!(sqlite),
            Backend::Postgres => people!(postgres),
        };
        let (everyone, subjects) = match among {
            Among::Everyone => (1_i64, &Subjects::default()),
            Among::Named(subjects) => (0, subjects),
        };
        let rows = sqlx::query(query)
            .bind(after.map(|id| id.to_string()).unwrap_or_default())
            .bind(json(&subjects.users)?)
            .bind(json(&subjects.groups)?)
            .bind(everyone)
            .bind(super::containing(search))
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        let read = |row: AnyRow| {
            let (_, member) = with_groups(&row)?;
            Ok((User::try_from(row)?, member))
        };
        rows.into_iter().map(read).collect()
    }

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
    /// The users with these ids and their groups.
    ///
    /// # Errors
    /// The database is away.
    pub async fn members(&mut self, users: &BTreeSet<Uuid>) -> sqlx::Result<HashMap<Uuid, Member>> {
        #[derive(Serialize)]
        struct Id {
            id: Uuid,
        }
        let rows = self.read(&MEMBERS, &users.iter().map(|id| Id { id: *id }).collect::<Vec<_>>()).await?;
        rows.iter().map(with_groups).collect()
    }

    /// The user with this id and their groups.
    ///
    /// # Errors
    /// The database is away.
    pub async fn member(&mut self, user: Uuid) -> sqlx::Result<Option<Member>> {
        let rows = sqlx::query(MEMBER).bind(user.to_string()).fetch_all(&mut *self.inner).await?;
        member(user, &rows)
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

/// A row whose `groups` are ids with spaces between.
fn with_groups(row: &AnyRow) -> sqlx::Result<(Uuid, Member)> {
    let user = row.uuid("id")?;
    let groups: Option<&str> = row.try_get("groups")?;
    let groups = groups.unwrap_or_default().split_whitespace().map(str::parse).collect::<Result<_, _>>();
    let is_active = row.optional_time("deactivated_at")?.is_none();
    Ok((user, Member { user, is_active, groups: groups.map_err(|error| unfit("groups", error))? }))
}
