//! Who users are to OpenID providers.

use jiff::Timestamp;
use uuid::Uuid;

use super::Tx;
use super::row::Columns as _;

/// Someone as an OpenID provider knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The provider.
    pub issuer: String,
    /// Its name for them.
    pub subject: String,
}

impl Tx {
    /// The user who is this.
    ///
    /// # Errors
    /// The database is away.
    pub async fn user_of_identity(&mut self, identity: &Identity) -> sqlx::Result<Option<Uuid>> {
        sqlx::query("SELECT user_id FROM identities WHERE issuer = $1 AND subject = $2")
            .bind(identity.issuer.clone())
            .bind(identity.subject.clone())
            .fetch_optional(&mut *self.inner)
            .await?
            .map(|row| row.uuid("user_id"))
            .transpose()
    }

    /// Whether the user is somebody to this provider.
    ///
    /// # Errors
    /// The database is away.
    pub async fn has_identity(&mut self, user: Uuid, issuer: &str) -> sqlx::Result<bool> {
        let row = sqlx::query("SELECT subject FROM identities WHERE user_id = $1 AND issuer = $2 LIMIT 1")
            .bind(user.to_string())
            .bind(issuer.to_owned())
            .fetch_optional(&mut *self.inner)
            .await?;
        Ok(row.is_some())
    }

    /// Links a user to this.
    ///
    /// # Errors
    /// The database is away.
    pub async fn insert_identity(
        &mut self,
        identity: &Identity,
        user: Uuid,
        now: Timestamp,
    ) -> sqlx::Result<()> {
        sqlx::query("INSERT INTO identities (issuer, subject, user_id, created_at) VALUES ($1, $2, $3, $4)")
            .bind(identity.issuer.clone())
            .bind(identity.subject.clone())
            .bind(user.to_string())
            .bind(now.as_millisecond())
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }
}
