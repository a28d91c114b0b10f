//! Providers of models.

use jiff::Timestamp;
use latchkey_core::name::Slug;
use latchkey_core::provider::{BaseUrl, Dialect, OutputLimit, ProviderKind};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::row::{Columns as _, dialect, unfit};
use super::{Store, Tx};

/// A provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Unique, and never changed.
    pub name: Slug,
    /// Whose protocol it speaks.
    pub kind: ProviderKind,
    /// The URL as it was given.
    pub base_url: String,
    /// The same, taken apart.
    pub url: BaseUrl,
    /// Encrypted.
    pub sealed_credential: Option<Vec<u8>>,
    /// An existing Envoy cluster's name; none where Latchkey runs one.
    pub cluster: Option<String>,
    /// How it wants to be asked.
    pub dialect: Dialect,
    /// Whether its models can be called.
    pub enabled: bool,
    /// For how long an answer may be silent; none for the gateway's own limit.
    pub idle_timeout_seconds: Option<u32>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Provider {
    /// The Envoy cluster that reaches it.
    #[must_use]
    pub fn cluster_name(&self) -> String {
        self.cluster.clone().unwrap_or_else(|| format!("latchkey/{}", self.name))
    }
}

impl TryFrom<AnyRow> for Provider {
    type Error = sqlx::Error;

    fn try_from(row: AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            name: row.try_get::<String, _>("name")?.try_into().map_err(|error| unfit("name", error))?,
            kind: row.parsed("kind")?,
            base_url: row.try_get("base_url")?,
            url: row.parsed("base_url")?,
            sealed_credential: row.try_get("sealed_credential")?,
            cluster: row.try_get("cluster")?,
            dialect: dialect(&row)?,
            enabled: row.flag("enabled")?,
            idle_timeout_seconds: row
                .optional_count("idle_timeout_seconds")?
                .and_then(|it| it.try_into().ok()),
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
        })
    }
}

const ALL: &str =
    "SELECT name, kind, base_url, sealed_credential, cluster, output_limit, stream_options, enabled,
                   created_at, updated_at, idle_timeout_seconds FROM providers ORDER BY created_at, name";
const ONE: &str =
    "SELECT name, kind, base_url, sealed_credential, cluster, output_limit, stream_options, enabled,
                   created_at, updated_at, idle_timeout_seconds FROM providers WHERE name = $1";

impl Store {
    /// Every provider, oldest first.
    ///
    /// # Errors
    /// The database is away.
    pub async fn providers(&self) -> sqlx::Result<Vec<Provider>> {
        sqlx::query(ALL).fetch_all(&self.pool).await?.into_iter().map(Provider::try_from).collect()
    }

    /// The provider of this name.
    ///
    /// # Errors
    /// The database is away.
    pub async fn provider(&self, name: &str) -> sqlx::Result<Option<Provider>> {
        let row = sqlx::query(ONE).bind(name.to_owned()).fetch_optional(&self.pool).await?;
        row.map(Provider::try_from).transpose()
    }
}

impl Tx {
    /// The provider of this name, locked until the transaction ends.
    ///
    /// # Errors
    /// The database is away.
    pub async fn provider(&mut self, name: &str) -> sqlx::Result<Option<Provider>> {
        sqlx::query(
            "UPDATE providers SET enabled = enabled WHERE name = $1
             RETURNING name, kind, base_url, sealed_credential, cluster, output_limit, stream_options, enabled,
             created_at, updated_at, idle_timeout_seconds",
        )
        .bind(name.to_owned())
        .fetch_optional(&mut *self.inner)
        .await?
        .map(Provider::try_from)
        .transpose()
    }

    /// Adds a provider. A name that is taken is a unique violation.
    ///
    /// # Errors
    /// The database is away.
    pub async fn insert_provider(&mut self, provider: &Provider) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO providers (name, kind, base_url, sealed_credential, cluster, enabled, created_at, updated_at,
             output_limit, stream_options, idle_timeout_seconds)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(provider.name.as_str().to_owned())
        .bind(provider.kind.as_str())
        .bind(provider.base_url.clone())
        .bind(provider.sealed_credential.clone())
        .bind(provider.cluster.clone())
        .bind(i64::from(provider.enabled))
        .bind(provider.created_at.as_millisecond())
        .bind(provider.updated_at.as_millisecond())
        .bind(provider.dialect.output_limit.map(OutputLimit::as_str))
        .bind(provider.dialect.stream_options.map(i64::from))
        .bind(provider.idle_timeout_seconds.map(i64::from))
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Writes everything of a provider but its name.
    ///
    /// # Errors
    /// The database is away.
    pub async fn update_provider(&mut self, provider: &Provider) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE providers SET kind = $1, base_url = $2, sealed_credential = $3, cluster = $4, enabled = $5,
             updated_at = $6, output_limit = $7, stream_options = $8, idle_timeout_seconds = $9 WHERE name = $10",
        )
        .bind(provider.kind.as_str())
        .bind(provider.base_url.clone())
        .bind(provider.sealed_credential.clone())
        .bind(provider.cluster.clone())
        .bind(i64::from(provider.enabled))
        .bind(provider.updated_at.as_millisecond())
        .bind(provider.dialect.output_limit.map(OutputLimit::as_str))
        .bind(provider.dialect.stream_options.map(i64::from))
        .bind(provider.idle_timeout_seconds.map(i64::from))
        .bind(provider.name.as_str().to_owned())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Removes a provider.
    ///
    /// # Errors
    /// The database is away, or a model still names it.
    pub async fn delete_provider(&mut self, name: &str) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM providers WHERE name = $1")
            .bind(name.to_owned())
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }
}
