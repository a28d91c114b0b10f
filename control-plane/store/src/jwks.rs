//! The JWK sets that apps name, as they were last fetched.

use std::collections::BTreeMap;

use jiff::Timestamp;
use latchkey_core::identity::key::PublicKey;
use latchkey_core::settings::AppSettings;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use uuid::Uuid;

use super::row::{Columns as _, unfit};
use super::{Store, Tx};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedJwkSet {
    pub url: String,
    /// Its keys, of the last answer that was good.
    pub keys: Vec<PublicKey>,
    /// When that was; none before the first.
    pub fetched_at: Option<Timestamp>,
    /// When it was last asked for, for good or bad.
    pub tried_at: Timestamp,
    /// Why that failed; empty when it did not.
    pub error: String,
    /// When it was last fetched out of turn, because a token was refused.
    pub suspected_at: Timestamp,
}

impl FromRow<'_, AnyRow> for FetchedJwkSet {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let keys: &str = row.try_get("keys")?;
        Ok(Self {
            url: row.try_get("url")?,
            keys: serde_json::from_str(keys).map_err(|error| unfit("keys", error))?,
            fetched_at: row.optional_time("fetched_at")?,
            tried_at: row.time("tried_at")?,
            error: row.try_get("error")?,
            suspected_at: row.time("suspected_at")?,
        })
    }
}

/// Settings that name a JWK set.
const NAMES_A_SET: &str = r#"%"jwks_url":%"#;

impl Store {
    /// Every JWK set, by its URL.
    pub async fn jwk_sets(&self) -> sqlx::Result<Vec<FetchedJwkSet>> {
        sqlx::query_as("SELECT url, keys, fetched_at, tried_at, error, suspected_at FROM jwks ORDER BY url")
            .fetch_all(&self.pool)
            .await
    }

    /// The keys of every JWK set.
    pub async fn jwk_keys(&self) -> sqlx::Result<BTreeMap<String, Vec<PublicKey>>> {
        Ok(self.jwk_sets().await?.into_iter().map(|set| (set.url, set.keys)).collect())
    }

    /// Notes that the set is fetched out of turn at `at`; false where another control plane came first.
    pub async fn suspect_jwk_set(&self, set: &FetchedJwkSet, at: Timestamp) -> sqlx::Result<bool> {
        let done = sqlx::query("UPDATE jwks SET suspected_at = $1 WHERE url = $2 AND suspected_at = $3")
            .bind(at.as_millisecond())
            .bind(set.url.clone())
            .bind(set.suspected_at.as_millisecond())
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Notes that the set was asked for at `at`, and why that failed; what is held of it stays.
    pub async fn jwk_set_tried(&self, url: &str, at: Timestamp, error: &str) -> sqlx::Result<()> {
        sqlx::query("UPDATE jwks SET tried_at = $1, error = $2 WHERE url = $3")
            .bind(at.as_millisecond())
            .bind(error.to_owned())
            .bind(url.to_owned())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

impl Tx {
    /// Notes that an app names this set: it is fetched soon, if it was not.
    pub async fn want_jwk_set(&mut self, url: &str) -> sqlx::Result<()> {
        // Whether it is there is read first: an insert that meets a row which another transaction writes
        // would wait for it, and that one for the app.
        sqlx::query(
            "INSERT INTO jwks (url, keys, tried_at, error) SELECT $1, '[]', 0, ''
             WHERE NOT EXISTS (SELECT 1 FROM jwks WHERE url = $1) ON CONFLICT (url) DO NOTHING",
        )
        .bind(url.to_owned())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// The set of this URL; on PostgreSQL locked until the transaction ends.
    pub async fn jwk_set(&mut self, url: &str) -> sqlx::Result<Option<FetchedJwkSet>> {
        sqlx::query_as(
            "UPDATE jwks SET url = url WHERE url = $1
             RETURNING url, keys, fetched_at, tried_at, error, suspected_at",
        )
        .bind(url.to_owned())
        .fetch_optional(&mut *self.inner)
        .await
    }

    pub async fn write_jwk_set(&mut self, set: &FetchedJwkSet) -> sqlx::Result<()> {
        sqlx::query("UPDATE jwks SET keys = $1, fetched_at = $2, tried_at = $3, error = $4 WHERE url = $5")
            .bind(serde_json::to_string(&set.keys).map_err(|error| sqlx::Error::Encode(error.into()))?)
            .bind(set.fetched_at.map(Timestamp::as_millisecond))
            .bind(set.tried_at.as_millisecond())
            .bind(set.error.clone())
            .bind(set.url.clone())
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Forgets a set that no app names.
    pub async fn forget_jwk_set(&mut self, url: &str) -> sqlx::Result<()> {
        let query = sqlx::query("DELETE FROM jwks WHERE url = $1").bind(url.to_owned());
        query.execute(&mut *self.inner).await?;
        Ok(())
    }

    /// The apps that name JWK sets, by the URL. One whose settings cannot be read is left out.
    pub async fn apps_with_jwk_sets(&mut self) -> sqlx::Result<BTreeMap<String, Vec<Uuid>>> {
        let rows = sqlx::query(
            "SELECT id, settings FROM apps WHERE deleted_at IS NULL AND settings LIKE $1 ORDER BY id",
        )
        .bind(NAMES_A_SET)
        .fetch_all(&mut *self.inner)
        .await?;
        let mut apps = BTreeMap::<String, Vec<Uuid>>::new();
        for row in rows {
            let settings: &str = row.try_get("settings")?;
            let Ok(settings) = serde_json::from_str::<AppSettings>(settings) else { continue };
            if let Some(url) = settings.identity.jwks_url() {
                apps.entry(url.to_owned()).or_default().push(row.uuid("id")?);
            }
        }
        Ok(apps)
    }

    /// Locks these apps on PostgreSQL. Whoever changes an app locks it before the transaction takes its
    /// revision, and so must whoever changes several.
    pub async fn lock_apps(&mut self, ids: &[Uuid]) -> sqlx::Result<()> {
        for id in ids {
            let query = sqlx::query("UPDATE apps SET revision = revision WHERE id = $1").bind(id.to_string());
            query.execute(&mut *self.inner).await?;
        }
        Ok(())
    }

    /// Has gateways be sent these apps again.
    pub async fn publish_apps(&mut self, ids: &[Uuid], revision: i64) -> sqlx::Result<()> {
        for id in ids {
            sqlx::query("UPDATE apps SET revision = $1 WHERE id = $2")
                .bind(revision)
                .bind(id.to_string())
                .execute(&mut *self.inner)
                .await?;
        }
        Ok(())
    }
}
