//! Links by which a user sets a password, once.

use jiff::Timestamp;
use uuid::Uuid;

use super::row::Columns as _;
use super::{Store, Tx};

impl Store {
    /// The user whose invitation has this hash, while it can be used.
    pub async fn invited(&self, hash: &[u8; 32], now: Timestamp) -> sqlx::Result<Option<Uuid>> {
        sqlx::query("SELECT user_id FROM invitations WHERE hash = $1 AND used_at IS NULL AND expires_at > $2")
            .bind(hash.to_vec())
            .bind(now.as_millisecond())
            .fetch_optional(&self.pool)
            .await?
            .map(|row| row.uuid("user_id"))
            .transpose()
    }
}

impl Tx {
    pub async fn insert_invitation(
        &mut self,
        id: Uuid,
        user: Uuid,
        hash: &[u8; 32],
        now: Timestamp,
        expires_at: Timestamp,
    ) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO invitations (id, user_id, hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(id.to_string())
        .bind(user.to_string())
        .bind(hash.to_vec())
        .bind(now.as_millisecond())
        .bind(expires_at.as_millisecond())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Removes the invitations of a user.
    pub async fn remove_invitations(&mut self, user: Uuid) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM invitations WHERE user_id = $1")
            .bind(user.to_string())
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Uses an invitation up, and gives its user; none when it cannot be used, or no longer.
    pub async fn use_invitation(&mut self, hash: &[u8; 32], now: Timestamp) -> sqlx::Result<Option<Uuid>> {
        sqlx::query(
            "UPDATE invitations SET used_at = $1 WHERE hash = $2 AND used_at IS NULL AND expires_at > $1
             RETURNING user_id",
        )
        .bind(now.as_millisecond())
        .bind(hash.to_vec())
        .fetch_optional(&mut *self.inner)
        .await?
        .map(|row| row.uuid("user_id"))
        .transpose()
    }
}
