//! Users with the ways in which they sign in.

use jiff::Timestamp;
use latchkey_core::name::Email;
use latchkey_core::role::Role;
use secrecy::SecretString;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::row::Columns as _;
use super::users::{User, search_text};
use super::{Store, Tx};

/// A user with the ways in which they sign in.
#[derive(Clone, Debug)]
pub struct UserAccount {
    pub user: User,
    /// Their password's hash in PHC format.
    pub password_hash: Option<SecretString>,
    /// Whether an OpenID provider knows them.
    pub has_identity: bool,
}

impl FromRow<'_, AnyRow> for UserAccount {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            password_hash: row.try_get::<Option<String>, _>("password_hash")?.map(SecretString::from),
            has_identity: row.count("identities")? > 0,
            user: User::from_row(row)?,
        })
    }
}

impl Store {
    /// The account of the user with this id.
    pub async fn account(&self, id: Uuid) -> sqlx::Result<Option<UserAccount>> {
        sqlx::query_as(
            "SELECT id, email, name, role, created_at, deactivated_at, password_hash,
             (SELECT COUNT(*) FROM identities WHERE user_id = users.id) AS identities FROM users WHERE id = $1",
        )
        .bind(id.to_string())
        .fetch_optional(&self.pool)
        .await
    }

    /// The account with this address.
    pub async fn account_at(&self, email: &Email) -> sqlx::Result<Option<UserAccount>> {
        sqlx::query_as(
            "SELECT id, email, name, role, created_at, deactivated_at, password_hash,
             (SELECT COUNT(*) FROM identities WHERE user_id = users.id) AS identities FROM users WHERE email = $1",
        )
        .bind(email.as_str().to_owned())
        .fetch_optional(&self.pool)
        .await
    }

    /// Accounts whose name or address holds `search`, by id, after `after`.
    pub async fn accounts(
        &self,
        search: &str,
        after: Option<Uuid>,
        limit: i64,
    ) -> sqlx::Result<Vec<UserAccount>> {
        sqlx::query_as(
            r"SELECT id, email, name, role, created_at, deactivated_at, password_hash,
              (SELECT COUNT(*) FROM identities WHERE user_id = users.id) AS identities FROM users
              WHERE id > $1 AND search_text LIKE $2 ESCAPE '\'
              ORDER BY id LIMIT $3",
        )
        .bind(after.map(|id| id.to_string()).unwrap_or_default())
        .bind(super::containing(search))
        .bind(limit)
        .fetch_all(&self.pool)
        .await
    }

    /// The ids and names of the groups that a user is in, in their order.
    pub async fn groups_of(&self, user: Uuid) -> sqlx::Result<Vec<(Uuid, String)>> {
        sqlx::query(
            "SELECT groups.id, groups.name FROM groups JOIN group_members ON group_members.group_id = groups.id
             WHERE group_members.user_id = $1 ORDER BY groups.folded_name",
        )
        .bind(user.to_string())
        .fetch_all(&self.pool)
        .await?
        .iter()
        .map(|row| Ok((row.uuid("id")?, row.try_get("name")?)))
        .collect()
    }

    /// The names of the groups that a user is in, in their order.
    pub async fn group_names_of(&self, user: Uuid) -> sqlx::Result<Vec<String>> {
        sqlx::query(
            "SELECT groups.name FROM groups JOIN group_members ON group_members.group_id = groups.id
             WHERE group_members.user_id = $1 ORDER BY groups.folded_name",
        )
        .bind(user.to_string())
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(|row| row.try_get("name"))
        .collect()
    }
}

impl Tx {
    /// The user with this id, whom no other transaction changes before this one ends.
    pub async fn user_to_change(&mut self, id: Uuid) -> sqlx::Result<Option<User>> {
        // The update that changes nothing locks the row, on both databases.
        sqlx::query_as(
            "UPDATE users SET role = role WHERE id = $1
             RETURNING id, email, name, role, created_at, deactivated_at",
        )
        .bind(id.to_string())
        .fetch_optional(&mut *self.inner)
        .await
    }

    /// The hash of a user's password.
    pub async fn password_hash(&mut self, id: Uuid) -> sqlx::Result<Option<SecretString>> {
        let row = sqlx::query("SELECT password_hash FROM users WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&mut *self.inner)
            .await?;
        let hash = row.map(|row| row.try_get::<Option<String>, _>("password_hash")).transpose()?;
        Ok(hash.flatten().map(SecretString::from))
    }

    /// The id of the user with this address.
    pub async fn user_at(&mut self, email: &Email) -> sqlx::Result<Option<Uuid>> {
        sqlx::query("SELECT id FROM users WHERE email = $1")
            .bind(email.as_str().to_owned())
            .fetch_optional(&mut *self.inner)
            .await?
            .map(|row| row.uuid("id"))
            .transpose()
    }

    /// Every active owner, whom no other transaction demotes or deactivates before this one ends.
    pub async fn active_owners(&mut self) -> sqlx::Result<Vec<Uuid>> {
        sqlx::query("UPDATE users SET role = role WHERE role = $1 AND deactivated_at IS NULL RETURNING id")
            .bind(Role::Owner.as_str())
            .fetch_all(&mut *self.inner)
            .await?
            .iter()
            .map(|row| row.uuid("id"))
            .collect()
    }

    /// Changes a user's name and role.
    pub async fn update_user(&mut self, user: &User) -> sqlx::Result<()> {
        sqlx::query("UPDATE users SET name = $1, role = $2, search_text = $3 WHERE id = $4")
            .bind(user.name.as_str().to_owned())
            .bind(user.role.as_str())
            .bind(search_text(user.name.as_str(), user.email.as_str()))
            .bind(user.id.to_string())
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Deactivates a user at a moment, or, with none, reactivates them.
    pub async fn set_deactivated(&mut self, id: Uuid, at: Option<Timestamp>) -> sqlx::Result<()> {
        sqlx::query("UPDATE users SET deactivated_at = $1 WHERE id = $2")
            .bind(at.map(Timestamp::as_millisecond))
            .bind(id.to_string())
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    pub async fn set_password(&mut self, id: Uuid, hash: String, at: Timestamp) -> sqlx::Result<()> {
        sqlx::query("UPDATE users SET password_hash = $1, password_changed_at = $2 WHERE id = $3")
            .bind(hash)
            .bind(at.as_millisecond())
            .bind(id.to_string())
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }
}
