//! API tokens, found by their hash.

use jiff::Timestamp;
use latchkey_core::role::Role;
use latchkey_core::search::folded;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::row::Columns as _;
use super::{Store, Tx};

/// A token's record. The token itself is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    pub id: Uuid,
    pub name: String,
    pub role: Role,
    /// Whose it is; none for automation.
    pub user_id: Option<Uuid>,
    /// The user who made it; none where the command line did.
    pub created_by: Option<Uuid>,
    pub created_at: Timestamp,
    /// When it stops; none for never.
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    /// The gateway that it is bound to, of one for gateways; none before its first use.
    pub gateway: Option<String>,
}

impl FromRow<'_, AnyRow> for ApiToken {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.uuid("id")?,
            name: row.try_get("name")?,
            role: row.parsed("role")?,
            user_id: row.optional_uuid("user_id")?,
            created_by: row.optional_uuid("created_by")?,
            created_at: row.time("created_at")?,
            expires_at: row.optional_time("expires_at")?,
            revoked_at: row.optional_time("revoked_at")?,
            gateway: row.try_get("gateway")?,
        })
    }
}

impl Store {
    /// The live token with this hash.
    pub async fn token(&self, hash: &[u8; 32], now: Timestamp) -> sqlx::Result<Option<ApiToken>> {
        sqlx::query_as(
            "SELECT id, name, role, user_id, created_by, created_at, expires_at, revoked_at, gateway FROM tokens
             WHERE hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
        )
        .bind(hash.to_vec())
        .bind(now.as_millisecond())
        .fetch_optional(&self.pool)
        .await
    }
}

impl Store {
    /// Binds a token to a gateway, unless it is bound already.
    pub async fn bind_token(&self, hash: &[u8; 32], gateway: &str) -> sqlx::Result<()> {
        sqlx::query("UPDATE tokens SET gateway = $1 WHERE hash = $2 AND gateway IS NULL")
            .bind(gateway.to_owned())
            .bind(hash.to_vec())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Every token, oldest first.
    pub async fn tokens(&self) -> sqlx::Result<Vec<ApiToken>> {
        sqlx::query_as(
            "SELECT id, name, role, user_id, created_by, created_at, expires_at, revoked_at, gateway FROM tokens ORDER BY id",
        )
        .fetch_all(&self.pool)
        .await
    }
}

impl Store {
    /// Tokens, of this user or of everyone, whose name holds `search`, by id, after `after`.
    pub async fn tokens_of(
        &self,
        user: Option<Uuid>,
        search: &str,
        after: Option<Uuid>,
        limit: i64,
    ) -> sqlx::Result<Vec<ApiToken>> {
        sqlx::query_as(
            r"SELECT id, name, role, user_id, created_by, created_at, expires_at, revoked_at, gateway FROM tokens
              WHERE id > $1 AND ($2 = '' OR user_id = $2) AND search_text LIKE $3 ESCAPE '\' ORDER BY id LIMIT $4",
        )
        .bind(after.map(|id| id.to_string()).unwrap_or_default())
        .bind(user.map(|id| id.to_string()).unwrap_or_default())
        .bind(super::containing(search))
        .bind(limit)
        .fetch_all(&self.pool)
        .await
    }
}

impl Tx {
    /// The token with this id.
    pub async fn token(&mut self, id: Uuid) -> sqlx::Result<Option<ApiToken>> {
        sqlx::query_as(
            "SELECT id, name, role, user_id, created_by, created_at, expires_at, revoked_at, gateway FROM tokens WHERE id = $1",
        )
        .bind(id.to_string())
        .fetch_optional(&mut *self.inner)
        .await
    }

    /// Revokes a token; false when there is no live one of this id.
    pub async fn revoke_token(&mut self, id: Uuid, at: Timestamp) -> sqlx::Result<bool> {
        let done = sqlx::query("UPDATE tokens SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL")
            .bind(at.as_millisecond())
            .bind(id.to_string())
            .execute(&mut *self.inner)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Binds a token to a gateway, or to the next that uses it.
    pub async fn set_token_gateway(&mut self, id: Uuid, gateway: Option<&str>) -> sqlx::Result<()> {
        sqlx::query("UPDATE tokens SET gateway = $1 WHERE id = $2")
            .bind(gateway.map(str::to_owned))
            .bind(id.to_string())
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    pub async fn insert_token(&mut self, token: &ApiToken, hash: &[u8; 32]) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO tokens (id, name, hash, role, user_id, created_by, created_at, expires_at, search_text, gateway)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(token.id.to_string())
        .bind(token.name.clone())
        .bind(hash.to_vec())
        .bind(token.role.as_str())
        .bind(token.user_id.map(|id| id.to_string()))
        .bind(token.created_by.map(|id| id.to_string()))
        .bind(token.created_at.as_millisecond())
        .bind(token.expires_at.map(Timestamp::as_millisecond))
        .bind(folded(&token.name))
        .bind(token.gateway.clone())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }
}
