//! Who users are to OpenID providers.

use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::row::Columns as _;
use super::{Store, Tx};

/// Someone as an OpenID provider knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInIdentity {
    pub issuer: String,
    pub subject: String,
}

/// What a user is known as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkedIdentity {
    pub id: Uuid,
    pub identity: SignInIdentity,
    pub created_at: Timestamp,
}

impl FromRow<'_, AnyRow> for LinkedIdentity {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let identity = SignInIdentity { issuer: row.try_get("issuer")?, subject: row.try_get("subject")? };
        Ok(Self { id: row.uuid("id")?, identity, created_at: row.time("created_at")? })
    }
}

impl Store {
    /// What a user is known as, the oldest first.
    pub async fn links(&self, user: Uuid) -> sqlx::Result<Vec<LinkedIdentity>> {
        sqlx::query_as(
            "SELECT id, issuer, subject, created_at FROM identities WHERE user_id = $1 ORDER BY id",
        )
        .bind(user.to_string())
        .fetch_all(&self.pool)
        .await
    }
}

impl Tx {
    /// The user who is this, and stays it until the transaction ends.
    pub async fn user_of_identity(&mut self, identity: &SignInIdentity) -> sqlx::Result<Option<Uuid>> {
        // The update that changes nothing locks the row, on both databases.
        sqlx::query(
            "UPDATE identities SET user_id = user_id WHERE issuer = $1 AND subject = $2 RETURNING user_id",
        )
        .bind(identity.issuer.clone())
        .bind(identity.subject.clone())
        .fetch_optional(&mut *self.inner)
        .await?
        .map(|row| row.uuid("user_id"))
        .transpose()
    }

    /// Whether the user is somebody to this provider.
    pub async fn has_identity(&mut self, user: Uuid, issuer: &str) -> sqlx::Result<bool> {
        let row = sqlx::query("SELECT subject FROM identities WHERE user_id = $1 AND issuer = $2 LIMIT 1")
            .bind(user.to_string())
            .bind(issuer.to_owned())
            .fetch_optional(&mut *self.inner)
            .await?;
        Ok(row.is_some())
    }

    /// Links a user to this.
    pub async fn insert_link(&mut self, user: Uuid, link: &LinkedIdentity) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO identities (id, issuer, subject, user_id, created_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(link.id.to_string())
        .bind(link.identity.issuer.clone())
        .bind(link.identity.subject.clone())
        .bind(user.to_string())
        .bind(link.created_at.as_millisecond())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Removes all links to this provider; whose they were, and what.
    pub async fn remove_links(&mut self, issuer: &str) -> sqlx::Result<Vec<(Uuid, LinkedIdentity)>> {
        sqlx::query(
            "DELETE FROM identities WHERE issuer = $1 RETURNING id, issuer, subject, user_id, created_at",
        )
        .bind(issuer.to_owned())
        .fetch_all(&mut *self.inner)
        .await?
        .into_iter()
        .map(|row| Ok((row.uuid("user_id")?, LinkedIdentity::from_row(&row)?)))
        .collect()
    }

    /// The providers that users are linked to.
    pub async fn issuers(&mut self) -> sqlx::Result<Vec<String>> {
        sqlx::query("SELECT DISTINCT issuer FROM identities ORDER BY issuer LIMIT 10")
            .fetch_all(&mut *self.inner)
            .await?
            .iter()
            .map(|row| row.try_get("issuer"))
            .collect()
    }

    /// Removes a link of a user; none where they have none of this id.
    pub async fn remove_link(&mut self, user: Uuid, id: Uuid) -> sqlx::Result<Option<LinkedIdentity>> {
        sqlx::query_as(
            "DELETE FROM identities WHERE user_id = $1 AND id = $2 RETURNING id, issuer, subject, created_at",
        )
        .bind(user.to_string())
        .bind(id.to_string())
        .fetch_optional(&mut *self.inner)
        .await
    }
}
