//! Upstreams: where gateways send requests, which are providers of models, MCP servers and external detectors. Each protocol has a
//! table of its own.

mod detector;
mod mcp;
mod model;

use jiff::Timestamp;
use latchkey_core::name::Slug;
use latchkey_core::provider::{BaseUrl, ProviderKind};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, Row as _};

use super::row::{Columns as _, unfit};
use super::{Store, Tx};
use crate::seal::Purpose;

pub use detector::DetectorProtocol;
pub use mcp::McpProtocol;
pub use model::ModelProtocol;

/// What gateways send requests to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream<P> {
    /// Unique among those of its protocol, and never changed.
    pub name: Slug,
    /// As an admin gave it.
    pub url: String,
    /// The same, taken apart.
    pub address: BaseUrl,
    /// Encrypted.
    pub sealed_credential: Option<Vec<u8>>,
    /// The cluster of the admin's own Envoy configuration; none where Latchkey runs one.
    pub cluster: Option<String>,
    pub enabled: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub protocol: P,
}

/// A provider of models.
pub type Provider = Upstream<ModelProtocol>;

/// An MCP server, which clients call as `/mcp/<name>`.
pub type McpServer = Upstream<McpProtocol>;

/// An external detector, which judges texts.
pub type Detector = Upstream<DetectorProtocol>;

/// What is spoken with an upstream, and where such upstreams are stored.
pub trait Protocol: Clone + PartialEq + Send + Sync + 'static {
    /// What people call an upstream of this protocol.
    const NOUN: &'static str;
    /// What the names of its managed clusters begin with.
    const CLUSTER_PREFIX: &'static str;
    const STATEMENTS: Statements;

    /// What its credential is sealed for.
    fn purpose(name: &str) -> Purpose<'_>;

    /// As whose the credential travels.
    fn credential_kind(&self) -> ProviderKind;

    /// The Envoy cluster that reaches it for routing groups, where it is a target of one.
    fn group_cluster(&self) -> Option<String> {
        None
    }

    /// Reads its own columns.
    ///
    /// # Errors
    /// A column is missing or holds something else.
    fn read(row: &AnyRow) -> sqlx::Result<Self>;

    /// Binds its own columns: `$8` and those after it.
    fn bind(&self, query: AnyQuery) -> AnyQuery;
}

/// A statement, and what is bound to it so far.
pub type AnyQuery = Query<'static, Any, AnyArguments>;

/// The statements of one table, as [`statements!`] writes them.
#[derive(Clone, Copy, Debug)]
pub struct Statements {
    all: &'static str,
    one: &'static str,
    lock: &'static str,
    insert: &'static str,
    update: &'static str,
    delete: &'static str,
}

/// The statements of a table whose column `$url` has the URL, with the protocol's own columns, their parameters,
/// and their assignments.
macro_rules! statements {
    ($table:literal, $url:literal, $own:literal, $parameters:literal, $assignments:literal) => {
        $crate::upstreams::Statements {
            all: concat!(
                "SELECT name, ", $url, " AS url, sealed_credential, cluster, enabled, created_at, updated_at, ", $own,
                " FROM ", $table, " ORDER BY created_at, name"
            ),
            one: concat!(
                "SELECT name, ", $url, " AS url, sealed_credential, cluster, enabled, created_at, updated_at, ", $own,
                " FROM ", $table, " WHERE name = $1"
            ),
            lock: concat!(
                "UPDATE ", $table, " SET enabled = enabled WHERE name = $1 RETURNING name, ", $url,
                " AS url, sealed_credential, cluster, enabled, created_at, updated_at, ", $own
            ),
            insert: concat!(
                "INSERT INTO ", $table, " (name, ", $url,
                ", sealed_credential, cluster, enabled, created_at, updated_at, ", $own,
                ") VALUES ($1, $2, $3, $4, $5, $6, $7, ", $parameters, ")"
            ),
            update: concat!(
                "UPDATE ", $table, " SET ", $url,
                " = $2, sealed_credential = $3, cluster = $4, enabled = $5, created_at = $6, updated_at = $7, ",
                $assignments, " WHERE name = $1"
            ),
            delete: concat!("DELETE FROM ", $table, " WHERE name = $1"),
        }
    };
}
use statements;

impl<P: Protocol> Upstream<P> {
    /// The Envoy cluster that reaches it.
    #[must_use]
    pub fn cluster_name(&self) -> String {
        self.cluster.clone().unwrap_or_else(|| format!("{}/{}", P::CLUSTER_PREFIX, self.name))
    }

    fn bound(&self, statement: &'static str) -> AnyQuery {
        let query = sqlx::query(statement)
            .bind(self.name.as_str().to_owned())
            .bind(self.url.clone())
            .bind(self.sealed_credential.clone())
            .bind(self.cluster.clone())
            .bind(i64::from(self.enabled))
            .bind(self.created_at.as_millisecond())
            .bind(self.updated_at.as_millisecond());
        self.protocol.bind(query)
    }
}

impl<P: Protocol> TryFrom<AnyRow> for Upstream<P> {
    type Error = sqlx::Error;

    fn try_from(row: AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            name: row.try_get::<String, _>("name")?.try_into().map_err(|error| unfit("name", error))?,
            url: row.try_get("url")?,
            address: row.parsed("url")?,
            sealed_credential: row.try_get("sealed_credential")?,
            cluster: row.try_get("cluster")?,
            enabled: row.flag("enabled")?,
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
            protocol: P::read(&row)?,
        })
    }
}

impl Store {
    /// Every upstream of a protocol, oldest first.
    pub async fn upstreams<P: Protocol>(&self) -> sqlx::Result<Vec<Upstream<P>>> {
        let rows = sqlx::query(P::STATEMENTS.all).fetch_all(&self.pool).await?;
        rows.into_iter().map(Upstream::try_from).collect()
    }

    pub async fn upstream<P: Protocol>(&self, name: &str) -> sqlx::Result<Option<Upstream<P>>> {
        let row = sqlx::query(P::STATEMENTS.one).bind(name.to_owned()).fetch_optional(&self.pool).await?;
        row.map(Upstream::try_from).transpose()
    }
}

impl Tx {
    /// Every upstream of a protocol, oldest first.
    pub async fn upstreams<P: Protocol>(&mut self) -> sqlx::Result<Vec<Upstream<P>>> {
        let rows = sqlx::query(P::STATEMENTS.all).fetch_all(&mut *self.inner).await?;
        rows.into_iter().map(Upstream::try_from).collect()
    }

    /// The upstream of this name, locked until the transaction ends.
    pub async fn upstream<P: Protocol>(&mut self, name: &str) -> sqlx::Result<Option<Upstream<P>>> {
        let query = sqlx::query(P::STATEMENTS.lock).bind(name.to_owned());
        query.fetch_optional(&mut *self.inner).await?.map(Upstream::try_from).transpose()
    }

    /// Whether there is an upstream of this name. It is not locked: after the transaction's revision was taken that
    /// would be against the order, and whoever deletes one takes a revision, too.
    pub async fn has_upstream<P: Protocol>(&mut self, name: &str) -> sqlx::Result<bool> {
        let query = sqlx::query(P::STATEMENTS.one).bind(name.to_owned());
        Ok(query.fetch_optional(&mut *self.inner).await?.is_some())
    }

    /// Adds an upstream. A name that is taken is a unique violation.
    pub async fn insert_upstream<P: Protocol>(&mut self, upstream: &Upstream<P>) -> sqlx::Result<()> {
        upstream.bound(P::STATEMENTS.insert).execute(&mut *self.inner).await.map(drop)
    }

    pub async fn update_upstream<P: Protocol>(&mut self, upstream: &Upstream<P>) -> sqlx::Result<()> {
        upstream.bound(P::STATEMENTS.update).execute(&mut *self.inner).await.map(drop)
    }

    /// Removes an upstream. Where a model still names it, that is a foreign key violation.
    pub async fn delete_upstream<P: Protocol>(&mut self, name: &str) -> sqlx::Result<()> {
        let query = sqlx::query(P::STATEMENTS.delete).bind(name.to_owned());
        query.execute(&mut *self.inner).await.map(drop)
    }
}
