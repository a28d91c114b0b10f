//! App keys and named keys.

use std::collections::HashMap;

use jiff::Timestamp;
use latchkey_core::delegation::KeyTerms;
use latchkey_core::limits::Limits;
use latchkey_core::name::Name;
use latchkey_core::search::folded;
use latchkey_core::status::Status;
use latchkey_proto::key::KeyHash;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::row::{Columns as _, unfit};
use super::{QueryOf, Store, Tx};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Opaque; it stays when the secret is rotated.
    pub id: Uuid,
    /// The app that it opens.
    pub app_id: Uuid,
    /// Whose it is; none for the app's own key.
    pub user_id: Option<Uuid>,
    pub name: Name,
    /// Stored status.
    pub status: Status,
    /// When it stops; none for never.
    pub expires_at: Option<Timestamp>,
    /// What it may use; none where the app's limits for named keys apply.
    pub limits: Option<Limits>,
    pub created_at: Timestamp,
    /// When its secret was last replaced.
    pub rotated_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    pub hash: KeyHash,
    /// The current secret's value, encrypted, where the app lets it be seen again.
    pub sealed_value: Option<Vec<u8>>,
    /// The secret that the last rotation replaced.
    pub retired: Option<Retired>,
    /// Whether it stops while its user may not see the app. Written by
    /// [`write_suspended`](Tx::write_suspended), and when the key is made.
    pub suspended: bool,
    /// The revision of its last change.
    pub revision: i64,
}

impl Key {
    /// What it has of its app.
    #[must_use]
    pub fn terms(&self) -> KeyTerms {
        KeyTerms { created_at: self.created_at, expires_at: self.expires_at, limits: self.limits.clone() }
    }
}

/// A secret that was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retired {
    /// What it is found by.
    pub hash: KeyHash,
    /// When it stops, or stopped.
    pub at: Timestamp,
}

/// A key's columns, and whatever follows `FROM keys`.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, app_id, user_id, name, status, expires_at, limits, created_at, rotated_at, revoked_at, ",
            "hash, sealed_value, retired_hash, retires_at, suspended, revision FROM keys ",
            $rest
        )
    };
}

impl FromRow<'_, AnyRow> for Key {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let retired_hash: Option<&[u8]> = row.try_get("retired_hash")?;
        let retired = match (retired_hash, row.optional_time("retires_at")?) {
            (Some(hash), Some(at)) => Some(Retired { hash: key_hash("retired_hash", hash)?, at }),
            _ => None,
        };
        let limits: Option<&str> = row.try_get("limits")?;
        let limits = limits.map(serde_json::from_str).transpose().map_err(|error| unfit("limits", error))?;
        Ok(Self {
            id: row.uuid("id")?,
            app_id: row.uuid("app_id")?,
            user_id: row.optional_uuid("user_id")?,
            name: Name::stored(row.try_get("name")?).map_err(|error| unfit("name", error))?,
            status: row.parsed("status")?,
            expires_at: row.optional_time("expires_at")?,
            limits,
            created_at: row.time("created_at")?,
            rotated_at: row.optional_time("rotated_at")?,
            revoked_at: row.optional_time("revoked_at")?,
            hash: key_hash("hash", row.try_get("hash")?)?,
            sealed_value: row.try_get("sealed_value")?,
            retired,
            suspended: row.flag("suspended")?,
            revision: row.try_get("revision")?,
        })
    }
}

/// Which named keys a list holds.
#[derive(Clone, Debug, Default)]
pub struct KeyFilter {
    /// Part of the name, in any case.
    pub search: String,
    pub user_id: Option<Uuid>,
    pub after: Option<Uuid>,
}

fn named_key(app: Uuid, id: Uuid) -> QueryOf<Key> {
    sqlx::query_as(select!("WHERE id = $1 AND app_id = $2 AND user_id IS NOT NULL"))
        .bind(id.to_string())
        .bind(app.to_string())
}

fn app_key(app: Uuid) -> QueryOf<Key> {
    sqlx::query_as(select!("WHERE app_id = $1 AND user_id IS NULL")).bind(app.to_string())
}

impl Store {
    /// A named key of an app.
    pub async fn named_key(&self, app: Uuid, id: Uuid) -> sqlx::Result<Option<Key>> {
        named_key(app, id).fetch_optional(&self.pool).await
    }

    pub async fn app_key(&self, app: Uuid) -> sqlx::Result<Option<Key>> {
        app_key(app).fetch_optional(&self.pool).await
    }

    /// An app's named keys by age, oldest first.
    pub async fn named_keys(&self, app: Uuid, filter: &KeyFilter, limit: i64) -> sqlx::Result<Vec<Key>> {
        sqlx::query_as(select!(
            r"WHERE app_id = $1 AND user_id IS NOT NULL AND id > $2 AND search_text LIKE $3 ESCAPE '\'
              AND ($4 = '' OR user_id = $4) ORDER BY id LIMIT $5"
        ))
        .bind(app.to_string())
        .bind(filter.after.map(|id| id.to_string()).unwrap_or_default())
        .bind(super::containing(&filter.search))
        .bind(filter.user_id.map(|id| id.to_string()).unwrap_or_default())
        .bind(limit)
        .fetch_all(&self.pool)
        .await
    }
}

impl Store {
    /// A user's named keys whose name holds `search`, oldest first, after `after`, each with its app's name.
    pub async fn keys_of_user(
        &self,
        user: Uuid,
        search: &str,
        after: Option<Uuid>,
        limit: i64,
    ) -> sqlx::Result<Vec<(Key, String)>> {
        sqlx::query(
            r"SELECT keys.id, keys.app_id, keys.user_id, keys.name, keys.status, keys.expires_at, keys.limits,
             keys.created_at, keys.rotated_at, keys.revoked_at, keys.hash, keys.sealed_value, keys.retired_hash,
             keys.retires_at, keys.suspended, keys.revision, apps.name AS app_name
             FROM keys JOIN apps ON apps.id = keys.app_id
             WHERE keys.user_id = $1 AND keys.id > $2 AND keys.search_text LIKE $3 ESCAPE '\' ORDER BY keys.id LIMIT $4",
        )
        .bind(user.to_string())
        .bind(after.map(|id| id.to_string()).unwrap_or_default())
        .bind(super::containing(search))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(|row| {
            let app = row.try_get("app_name")?;
            Ok((Key::from_row(&row)?, app))
        })
        .collect()
    }

    /// How many named keys that are not revoked this user has, by app.
    pub async fn count_keys_of(&self, user: Uuid) -> sqlx::Result<HashMap<Uuid, u64>> {
        let rows = sqlx::query(
            "SELECT app_id, COUNT(*) AS held FROM keys WHERE user_id = $1 AND status <> 'revoked' GROUP BY app_id",
        )
        .bind(user.to_string())
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok((row.uuid("app_id")?, row.count("held")?))).collect()
    }
}

impl Tx {
    /// Whose key it is: none within for an app's own, none at all where there is no such key.
    pub async fn key_user(&mut self, id: Uuid) -> sqlx::Result<Option<Option<Uuid>>> {
        let query = sqlx::query("SELECT user_id FROM keys WHERE id = $1").bind(id.to_string());
        let row = query.fetch_optional(&mut *self.inner).await?;
        row.map(|row| row.optional_uuid("user_id")).transpose()
    }

    /// How many named keys of an app that are not revoked this user has. Who is to add one holds the app's
    /// lock, so that two additions count one after the other.
    pub async fn count_keys(&mut self, app: Uuid, user: Uuid) -> sqlx::Result<u64> {
        sqlx::query(
            "SELECT COUNT(*) AS held FROM keys WHERE user_id = $1 AND app_id = $2 AND status <> 'revoked'",
        )
        .bind(user.to_string())
        .bind(app.to_string())
        .fetch_one(&mut *self.inner)
        .await?
        .count("held")
    }

    /// A named key of an app.
    pub async fn named_key(&mut self, app: Uuid, id: Uuid) -> sqlx::Result<Option<Key>> {
        named_key(app, id).fetch_optional(&mut *self.inner).await
    }

    /// An app's own key; every app has one.
    pub async fn app_key(&mut self, app: Uuid) -> sqlx::Result<Key> {
        app_key(app).fetch_one(&mut *self.inner).await
    }

    pub async fn insert_key(&mut self, key: &Key) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO keys (id, app_id, user_id, name, status, expires_at, created_at, hash, sealed_value, revision,
             limits, suspended, search_text)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        )
        .bind(key.id.to_string())
        .bind(key.app_id.to_string())
        .bind(key.user_id.map(|id| id.to_string()))
        .bind(key.name.as_str().to_owned())
        .bind(key.status.as_str())
        .bind(key.expires_at.map(Timestamp::as_millisecond))
        .bind(key.created_at.as_millisecond())
        .bind(key.hash.as_bytes().to_vec())
        .bind(key.sealed_value.clone())
        .bind(key.revision)
        .bind(key.limits.as_ref().map(json))
        .bind(i64::from(key.suspended))
        .bind(folded(key.name.as_str()))
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Writes everything of a key that can be changed for it alone.
    pub async fn update_key(&mut self, key: &Key) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE keys SET name = $1, status = $2, expires_at = $3, rotated_at = $4, revoked_at = $5, hash = $6,
             sealed_value = $7, retired_hash = $8, retires_at = $9, revision = $10, limits = $11,
             search_text = $12 WHERE id = $13",
        )
        .bind(key.name.as_str().to_owned())
        .bind(key.status.as_str())
        .bind(key.expires_at.map(Timestamp::as_millisecond))
        .bind(key.rotated_at.map(Timestamp::as_millisecond))
        .bind(key.revoked_at.map(Timestamp::as_millisecond))
        .bind(key.hash.as_bytes().to_vec())
        .bind(key.sealed_value.clone())
        .bind(key.retired.map(|retired| retired.hash.as_bytes().to_vec()))
        .bind(key.retired.map(|retired| retired.at.as_millisecond()))
        .bind(key.revision)
        .bind(key.limits.as_ref().map(json))
        .bind(folded(key.name.as_str()))
        .bind(key.id.to_string())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Revokes every key of an app, and forgets their values.
    pub async fn revoke_keys_of(&mut self, app: Uuid, at: Timestamp, revision: i64) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE keys SET status = 'revoked', revoked_at = $1, sealed_value = NULL, revision = $2
             WHERE app_id = $3 AND status <> 'revoked'",
        )
        .bind(at.as_millisecond())
        .bind(revision)
        .bind(app.to_string())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Forgets the values of an app's named keys, which may no longer be seen.
    pub async fn forget_named_values(&mut self, app: Uuid) -> sqlx::Result<()> {
        sqlx::query("UPDATE keys SET sealed_value = NULL WHERE app_id = $1 AND user_id IS NOT NULL")
            .bind(app.to_string())
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Forgets the value of an app's own key, which may no longer be seen.
    pub async fn forget_app_key_value(&mut self, app: Uuid) -> sqlx::Result<()> {
        sqlx::query("UPDATE keys SET sealed_value = NULL WHERE app_id = $1 AND user_id IS NULL")
            .bind(app.to_string())
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }
}

fn key_hash(column: &str, bytes: &[u8]) -> sqlx::Result<KeyHash> {
    KeyHash::try_from(bytes).map_err(|error| unfit(column, error))
}

fn json(limits: &Limits) -> String {
    serde_json::to_string(limits).expect("limits are plain JSON")
}
