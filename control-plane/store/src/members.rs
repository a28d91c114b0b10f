//! Users with their groups, as access rules need them.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use latchkey_core::access::{Member, Subjects};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, FromRow as _, Row as _};
use uuid::Uuid;

use super::ledger::bulk::{Bulk, Column, id_rows};
use super::row::{Columns as _, unfit};
use super::users::User;
use super::{Backend, Store, Tx, json};

const MEMBER: &str = "SELECT id, deactivated_at,
                      (SELECT STRING_AGG(group_id, ' ') FROM group_members WHERE user_id = users.id) AS groups
                      FROM users WHERE id = $1";

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
    Everyone,
    /// Those who are named, by themselves or by a group.
    Named(&'a Subjects),
}

impl Store {
    /// People who may sign in, whose name or address holds `search`, with their groups; by id, after
    /// `after`.
    pub async fn people(
        &self,
        among: Among<'_>,
        search: &str,
        after: Option<Uuid>,
        limit: i64,
    ) -> sqlx::Result<Vec<(User, Member)>> {
        let query = people(self.backend, among, search, after, limit)?;
        query.fetch_all(&self.pool).await?.iter().map(person).collect()
    }

    /// The user with this id and their groups.
    pub async fn member(&self, user: Uuid) -> sqlx::Result<Option<Member>> {
        let row = sqlx::query(MEMBER).bind(user.to_string()).fetch_optional(&self.pool).await?;
        row.as_ref().map(member).transpose()
    }
}

fn people(
    backend: Backend,
    among: Among<'_>,
    search: &str,
    after: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Query<'static, Any, AnyArguments>> {
    let query = match backend {
        Backend::Sqlite => people!(sqlite),
        Backend::Postgres => people!(postgres),
    };
    let (everyone, subjects) = match among {
        Among::Everyone => (1_i64, &Subjects::default()),
        Among::Named(subjects) => (0, subjects),
    };
    let query = sqlx::query(query)
        .bind(after.map(|id| id.to_string()).unwrap_or_default())
        .bind(json(&subjects.users)?)
        .bind(json(&subjects.groups)?)
        .bind(everyone)
        .bind(super::containing(search))
        .bind(limit);
    Ok(query)
}

fn person(row: &AnyRow) -> sqlx::Result<(User, Member)> {
    Ok((User::from_row(row)?, member(row)?))
}

impl Tx {
    /// The first people who may sign in that are named, by themselves or by a group, with their groups; by id.
    pub async fn people_named(
        &mut self,
        subjects: &Subjects,
        limit: i64,
    ) -> sqlx::Result<Vec<(User, Member)>> {
        let query = people(self.backend, Among::Named(subjects), "", None, limit)?;
        query.fetch_all(&mut *self.inner).await?.iter().map(person).collect()
    }

    /// The users with these ids and their groups.
    pub async fn members(&mut self, users: &BTreeSet<Uuid>) -> sqlx::Result<HashMap<Uuid, Member>> {
        let rows = self.read(&MEMBERS, &id_rows(users)).await?;
        rows.iter().map(|row| member(row).map(|member| (member.user, member))).collect()
    }

    /// The user with this id and their groups.
    pub async fn member(&mut self, user: Uuid) -> sqlx::Result<Option<Member>> {
        let row = sqlx::query(MEMBER).bind(user.to_string()).fetch_optional(&mut *self.inner).await?;
        row.as_ref().map(member).transpose()
    }
}

/// From a row whose `groups` are ids with spaces between.
fn member(row: &AnyRow) -> sqlx::Result<Member> {
    let groups: Option<&str> = row.try_get("groups")?;
    let groups = groups.unwrap_or_default().split_whitespace().map(str::parse).collect::<Result<_, _>>();
    Ok(Member {
        user: row.uuid("id")?,
        is_active: row.optional_time("deactivated_at")?.is_none(),
        groups: groups.map_err(|error| unfit("groups", error))?,
    })
}
