//! People.

use jiff::Timestamp;
use latchkey_core::name::{Email, Name};
use latchkey_core::role::Role;
use latchkey_core::search::folded;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::row::{Columns as _, unfit};
use super::{Store, Tx};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub id: Uuid,
    /// Unique.
    pub email: Email,
    pub name: Name,
    pub role: Role,
    /// When the record was made.
    pub created_at: Timestamp,
    /// Since when they may not sign in; none while they may.
    pub deactivated_at: Option<Timestamp>,
}

impl User {
    /// Whether they may sign in.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.deactivated_at.is_none()
    }
}

/// What a user is found by: a search holds no line break, and so is within the one or the other.
pub(super) fn search_text(name: &str, email: &str) -> String {
    folded(name) + "\n" + &folded(email)
}

impl FromRow<'_, AnyRow> for User {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let text = |column| row.try_get::<String, _>(column);
        Ok(Self {
            id: row.uuid("id")?,
            email: Email::stored(text("email")?).map_err(|error| unfit("email", error))?,
            name: Name::stored(text("name")?).map_err(|error| unfit("name", error))?,
            role: row.parsed("role")?,
            created_at: row.time("created_at")?,
            deactivated_at: row.optional_time("deactivated_at")?,
        })
    }
}

impl Store {
    /// The user with this id.
    pub async fn user(&self, id: Uuid) -> sqlx::Result<Option<User>> {
        sqlx::query_as("SELECT id, email, name, role, created_at, deactivated_at FROM users WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&self.pool)
            .await
    }

    /// Users whose name or address holds `search`, by id, after `after`.
    pub async fn users(&self, search: &str, after: Option<Uuid>, limit: i64) -> sqlx::Result<Vec<User>> {
        sqlx::query_as(
            r"SELECT id, email, name, role, created_at, deactivated_at FROM users
              WHERE id > $1 AND search_text LIKE $2 ESCAPE '\'
              ORDER BY id LIMIT $3",
        )
        .bind(after.map(|id| id.to_string()).unwrap_or_default())
        .bind(super::containing(search))
        .bind(limit)
        .fetch_all(&self.pool)
        .await
    }

    /// How many users have this role.
    pub async fn count_users(&self, role: Role) -> sqlx::Result<i64> {
        sqlx::query("SELECT COUNT(*) AS users FROM users WHERE role = $1")
            .bind(role.as_str())
            .fetch_one(&self.pool)
            .await?
            .try_get("users")
    }
}

impl Tx {
    /// Adds a user. An address that is taken is a unique violation.
    pub async fn insert_user(&mut self, user: &User) -> sqlx::Result<()> {
        sqlx::query("INSERT INTO users (id, email, name, role, created_at, search_text) VALUES ($1, $2, $3, $4, $5, $6)")
            .bind(user.id.to_string())
            .bind(user.email.as_str().to_owned())
            .bind(user.name.as_str().to_owned())
            .bind(user.role.as_str())
            .bind(user.created_at.as_millisecond())
            .bind(search_text(user.name.as_str(), user.email.as_str()))
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// The user with this id.
    pub async fn user(&mut self, id: Uuid) -> sqlx::Result<Option<User>> {
        sqlx::query_as("SELECT id, email, name, role, created_at, deactivated_at FROM users WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&mut *self.inner)
            .await
    }

    /// The owners and admins who may sign in, by id.
    pub async fn admins(&mut self, limit: i64) -> sqlx::Result<Vec<User>> {
        sqlx::query_as(
            "SELECT id, email, name, role, created_at, deactivated_at FROM users
             WHERE role IN ('owner', 'admin') AND deactivated_at IS NULL ORDER BY id LIMIT $1",
        )
        .bind(limit)
        .fetch_all(&mut *self.inner)
        .await
    }

    /// Whether there is a user with this id.
    pub async fn has_user(&mut self, id: Uuid) -> sqlx::Result<bool> {
        let row = sqlx::query("SELECT id FROM users WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&mut *self.inner)
            .await?;
        Ok(row.is_some())
    }
}
