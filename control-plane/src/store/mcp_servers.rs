//! MCP servers.

use jiff::Timestamp;
use latchkey_core::name::Slug;
use latchkey_core::provider::BaseUrl;
use latchkey_filter_core::snapshot::SessionKey;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::row::{Columns as _, unfit};
use super::{Store, Tx};

/// An MCP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpServer {
    /// Unique, and never changed: clients call `/mcp/<name>`.
    pub name: Slug,
    /// The URL of its endpoint, as it was given.
    pub url: String,
    /// The same, taken apart.
    pub parts: BaseUrl,
    /// Encrypted.
    pub sealed_credential: Option<Vec<u8>>,
    /// By which gateways seal the ids of its sessions. Clients never learn it.
    pub session_key: SessionKey,
    /// An existing Envoy cluster's name; none where Latchkey runs one.
    pub cluster: Option<String>,
    /// Whether it can be called.
    pub enabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl McpServer {
    /// The Envoy cluster that reaches it.
    #[must_use]
    pub fn cluster_name(&self) -> String {
        self.cluster.clone().unwrap_or_else(|| format!("latchkey-mcp/{}", self.name))
    }
}

impl TryFrom<AnyRow> for McpServer {
    type Error = sqlx::Error;

    fn try_from(row: AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            name: row.try_get::<String, _>("name")?.try_into().map_err(|error| unfit("name", error))?,
            url: row.try_get("url")?,
            parts: row.parsed("url")?,
            sealed_credential: row.try_get("sealed_credential")?,
            session_key: SessionKey(row.try_get("session_key")?),
            cluster: row.try_get("cluster")?,
            enabled: row.flag("enabled")?,
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
        })
    }
}

const ALL: &str = "SELECT name, url, sealed_credential, session_key, cluster, enabled, created_at, updated_at
                   FROM mcp_servers ORDER BY created_at, name";
const ONE: &str = "SELECT name, url, sealed_credential, session_key, cluster, enabled, created_at, updated_at
                   FROM mcp_servers WHERE name = $1";

impl Store {
    /// Every MCP server, oldest first.
    ///
    /// # Errors
    /// The database is away.
    pub async fn mcp_servers(&self) -> sqlx::Result<Vec<McpServer>> {
        sqlx::query(ALL).fetch_all(&self.pool).await?.into_iter().map(McpServer::try_from).collect()
    }

    /// The MCP server of this name.
    ///
    /// # Errors
    /// The database is away.
    pub async fn mcp_server(&self, name: &str) -> sqlx::Result<Option<McpServer>> {
        let row = sqlx::query(ONE).bind(name.to_owned()).fetch_optional(&self.pool).await?;
        row.map(McpServer::try_from).transpose()
    }
}

impl Tx {
    /// The MCP server of this name, locked until the transaction ends.
    ///
    /// # Errors
    /// The database is away.
    pub async fn mcp_server(&mut self, name: &str) -> sqlx::Result<Option<McpServer>> {
        sqlx::query(
            "UPDATE mcp_servers SET enabled = enabled WHERE name = $1
             RETURNING name, url, sealed_credential, session_key, cluster, enabled, created_at, updated_at",
        )
        .bind(name.to_owned())
        .fetch_optional(&mut *self.inner)
        .await?
        .map(McpServer::try_from)
        .transpose()
    }

    /// Adds an MCP server. A name that is taken is a unique violation.
    ///
    /// # Errors
    /// The database is away.
    pub async fn insert_mcp_server(&mut self, server: &McpServer) -> sqlx::Result<()> {
        sqlx::query(
            "INSERT INTO mcp_servers
                 (name, url, sealed_credential, cluster, enabled, created_at, updated_at, session_key)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(server.name.as_str().to_owned())
        .bind(server.url.clone())
        .bind(server.sealed_credential.clone())
        .bind(server.cluster.clone())
        .bind(i64::from(server.enabled))
        .bind(server.created_at.as_millisecond())
        .bind(server.updated_at.as_millisecond())
        .bind(server.session_key.0.clone())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Writes everything of an MCP server but its name.
    ///
    /// # Errors
    /// The database is away.
    pub async fn update_mcp_server(&mut self, server: &McpServer) -> sqlx::Result<()> {
        sqlx::query(
            "UPDATE mcp_servers SET url = $1, sealed_credential = $2, cluster = $3, enabled = $4, updated_at = $5
             WHERE name = $6",
        )
        .bind(server.url.clone())
        .bind(server.sealed_credential.clone())
        .bind(server.cluster.clone())
        .bind(i64::from(server.enabled))
        .bind(server.updated_at.as_millisecond())
        .bind(server.name.as_str().to_owned())
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Removes an MCP server.
    ///
    /// # Errors
    /// The database is away.
    pub async fn delete_mcp_server(&mut self, name: &str) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM mcp_servers WHERE name = $1")
            .bind(name.to_owned())
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }
}
