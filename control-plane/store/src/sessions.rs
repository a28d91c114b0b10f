//! Signed-in browsers, found by the hash of their cookie.

use std::fmt;

use jiff::Timestamp;
use latchkey_core::name::Email;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::row::{Columns as _, unfit};
use super::{Store, Tx};

/// A session's record. The cookie's value is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrowserSession {
    pub id: Uuid,
    pub user_id: Uuid,
    pub method: Method,
    /// What the browser called itself.
    pub user_agent: String,
    /// From where it was begun; empty where that is not known.
    pub client_address: String,
    pub created_at: Timestamp,
    /// When it was last used, to the minute.
    pub seen_at: Timestamp,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
}

/// How a session was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SignInMethod)]
pub enum Method {
    /// By a local account's password.
    Password,
    /// By an invitation, which set the password.
    Invitation,
    Oidc,
}

/// Which sessions are live: those used since `seen_after`, at `now`.
#[derive(Clone, Copy, Debug)]
pub struct LiveSession {
    pub now: Timestamp,
    /// Those last used before are not.
    pub seen_after: Timestamp,
}

impl Method {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Invitation => "invitation",
            Self::Oidc => "oidc",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromRow<'_, AnyRow> for BrowserSession {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let word: &str = row.try_get("method")?;
        let methods = [Method::Password, Method::Invitation, Method::Oidc];
        let method = methods.into_iter().find(|method| method.as_str() == word);
        Ok(Self {
            id: row.uuid("id")?,
            user_id: row.uuid("user_id")?,
            method: method.ok_or_else(|| unfit("method", "it is no method"))?,
            user_agent: row.try_get("user_agent")?,
            client_address: row.try_get("client_address")?,
            created_at: row.time("created_at")?,
            seen_at: row.time("seen_at")?,
            expires_at: row.time("expires_at")?,
        })
    }
}

impl Store {
    /// The live session with this hash.
    pub async fn session(&self, hash: &[u8; 32], live: LiveSession) -> sqlx::Result<Option<BrowserSession>> {
        sqlx::query_as(
            "SELECT id, user_id, method, user_agent, client_address, created_at, seen_at, expires_at FROM sessions
             WHERE hash = $1 AND ended_at IS NULL AND expires_at > $2 AND seen_at > $3",
        )
        .bind(hash.to_vec())
        .bind(live.now.as_millisecond())
        .bind(live.seen_after.as_millisecond())
        .fetch_optional(&self.pool)
        .await
    }

    /// The live sessions of a user, newest first.
    pub async fn sessions_of(&self, user: Uuid, live: LiveSession) -> sqlx::Result<Vec<BrowserSession>> {
        sqlx::query_as(
            "SELECT id, user_id, method, user_agent, client_address, created_at, seen_at, expires_at FROM sessions
             WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2 AND seen_at > $3 ORDER BY id DESC",
        )
        .bind(user.to_string())
        .bind(live.now.as_millisecond())
        .bind(live.seen_after.as_millisecond())
        .fetch_all(&self.pool)
        .await
    }

    /// Whether the user with this address signed in from `client_address` after `since`.
    pub async fn was_here(
        &self,
        email: &Email,
        client_address: &str,
        since: Timestamp,
    ) -> sqlx::Result<bool> {
        let row = sqlx::query(
            "SELECT sessions.id FROM sessions JOIN users ON users.id = sessions.user_id
             WHERE users.email = $1 AND sessions.client_address = $2 AND sessions.created_at > $3 LIMIT 1",
        )
        .bind(email.as_str().to_owned())
        .bind(client_address.to_owned())
        .bind(since.as_millisecond())
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.is_some())
    }

    /// Forgets sessions that expired a month ago, and invitations and failures of two days ago.
    pub async fn forget_sign_ins(&self, now: Timestamp) -> sqlx::Result<()> {
        for (sql, days) in [
            ("DELETE FROM sessions WHERE expires_at < $1", 30),
            ("DELETE FROM invitations WHERE expires_at < $1", 2),
            ("DELETE FROM sign_in_failures WHERE last_at < $1", 2),
        ] {
            let before = now.as_millisecond() - days * 86_400_000;
            sqlx::query(sql).bind(before).execute(&self.pool).await?;
        }
        Ok(())
    }
}

impl Tx {
    pub async fn insert_session(&mut self, session: &BrowserSession, hash: &[u8; 32]) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO sessions (id, user_id, hash, method, user_agent, client_address, created_at, seen_at,
             expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(session.id.to_string())
        .bind(session.user_id.to_string())
        .bind(hash.to_vec())
        .bind(session.method.as_str())
        .bind(session.user_agent.clone())
        .bind(session.client_address.clone())
        .bind(session.created_at.as_millisecond())
        .bind(session.seen_at.as_millisecond())
        .bind(session.expires_at.as_millisecond())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Notes that a session was used; not again when that was noted after `unless_after`.
    pub async fn see_session(
        &mut self,
        id: Uuid,
        now: Timestamp,
        unless_after: Timestamp,
    ) -> sqlx::Result<()> {
        sqlx::query("UPDATE sessions SET seen_at = $1 WHERE id = $2 AND seen_at <= $3")
            .bind(now.as_millisecond())
            .bind(id.to_string())
            .bind(unless_after.as_millisecond())
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Ends a session of this user; false when there is none that has not ended.
    pub async fn end_session(&mut self, user: Uuid, id: Uuid, at: Timestamp) -> sqlx::Result<bool> {
        let done = sqlx::query(
            "UPDATE sessions SET ended_at = $1
             WHERE id = $2 AND user_id = $3 AND ended_at IS NULL AND expires_at > $1",
        )
        .bind(at.as_millisecond())
        .bind(id.to_string())
        .bind(user.to_string())
        .execute(&mut *self.inner)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Ends the sessions of this user, but for `kept`; says how many had not ended.
    pub async fn end_sessions(&mut self, user: Uuid, kept: Option<Uuid>, at: Timestamp) -> sqlx::Result<u64> {
        let done = sqlx::query(
            "UPDATE sessions SET ended_at = $1
             WHERE user_id = $2 AND id <> $3 AND ended_at IS NULL AND expires_at > $1",
        )
        .bind(at.as_millisecond())
        .bind(user.to_string())
        .bind(kept.map(|id| id.to_string()).unwrap_or_default())
        .execute(&mut *self.inner)
        .await?;
        Ok(done.rows_affected())
    }
}
