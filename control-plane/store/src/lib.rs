//! The database: SQLite or PostgreSQL, with one SQL text for both.
//!
//! One file per table, one function per query. Reads take a [`Store`], writes a [`Tx`]; whoever
//! changes what gateways hold asks the [`Tx`] for its revision and stamps the rows with it. Secrets are stored
//! as [`seal`] encrypts them.
//!
//! Every query fails with [`Error`]: where the database does not do its work for now ([`fault::Fault`]), or
//! holds what does not fit.

/// The values of the JSON array that is the parameter `$n`, as a list.
macro_rules! in_list {
    (sqlite, $n:literal) => {
        concat!("(SELECT value FROM json_each(", $n, "))")
    };
    (postgres, $n:literal) => {
        concat!("(SELECT jsonb_array_elements_text(CAST(", $n, " AS jsonb)))")
    };
}

pub mod accounts;
pub mod activity;
pub mod apps;
pub mod audit;
pub mod change_requests;
pub mod conditions;
pub mod deliveries;
pub mod events;
pub mod fault;
pub mod feed;
pub mod findings;
pub mod first_steps;
pub mod gateways;
pub mod group_members;
pub mod groups;
pub mod guardrail_trials;
pub mod health;
pub mod history;
pub mod idempotency;
pub mod identities;
pub mod invitations;
pub mod jwks;
mod key_endings;
pub mod keys;
pub mod ledger;
pub mod mails;
pub mod master_key;
pub mod mcp_tools;
pub mod members;
pub mod models;
pub mod prices;
pub mod queue;
pub mod records;
pub mod resting_targets;
pub mod routing_groups;
pub mod row;
pub mod seal;
mod search_texts;
pub mod sessions;
pub mod sign_in_failures;
pub mod subjects;
pub mod suspension;
pub mod tokens;
pub mod traffic;
mod transaction;
pub mod upstreams;
pub mod usage;
pub mod users;
pub mod versions;
pub mod webhooks;

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use latchkey_core::chain::AuditEntry;
use latchkey_core::search::folded;
use sqlx::any::{AnyArguments, AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::Migrator;
use sqlx::query::QueryAs;
use sqlx::{Any, AnyPool, ConnectOptions as _, Executor as _};
use tokio::sync::Notify;
use uuid::Uuid;

pub use sqlx::{Error, Result};

use health::Health;
use transaction::Transaction;

static SQLITE: Migrator = sqlx::migrate!("../../migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("../../migrations/postgres");

/// Which database is behind the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A file; one control plane.
    Sqlite,
    /// A server; any number of control planes.
    Postgres,
}

#[derive(Clone, Debug)]
pub struct Store {
    pool: AnyPool,
    backend: Backend,
    committed: Arc<Notify>,
    health: Arc<Health>,
}

pub struct Tx {
    inner: Transaction,
    backend: Backend,
    revision: Option<i64>,
    audit: Vec<AuditEntry>,
    committed: Arc<Notify>,
}

/// On SQLite, what each connection is told first: readers do not wait for the writer, a commit is on
/// the disk before it is answered, and a busy database is waited for.
const SQLITE_PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
                              PRAGMA busy_timeout = 5000; PRAGMA cache_size = -32768;";

impl Store {
    /// Opens the database at `url` (`sqlite://file` or `postgres://…`); a missing SQLite file is
    /// created.
    ///
    /// # Errors
    /// A URL of another kind, or a database that cannot be reached.
    pub async fn open(url: &str) -> anyhow::Result<Self> {
        sqlx::any::install_default_drivers();
        let (backend, url) = match url {
            _ if url.starts_with("sqlite:") => {
                (Backend::Sqlite, if url.contains('?') { url.to_owned() } else { format!("{url}?mode=rwc") })
            }
            _ if url.starts_with("postgres:") || url.starts_with("postgresql:") => {
                (Backend::Postgres, url.to_owned())
            }
            _ => anyhow::bail!("DATABASE_URL must begin with sqlite:// or postgres://"),
        };
        let options = AnyConnectOptions::from_str(&url)
            .context("DATABASE_URL is no valid database URL")?
            .log_slow_statements(tracing::log::LevelFilter::Warn, Duration::from_secs(1));
        let pool = AnyPoolOptions::new()
            .max_connections(16)
            .acquire_timeout(Duration::from_secs(10))
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    if backend == Backend::Sqlite {
                        connection.execute(SQLITE_PRAGMAS).await?;
                    }
                    Ok(())
                })
            })
            .connect_with(options)
            .await
            .context("could not open the database")?;
        Ok(Self { pool, backend, committed: Arc::new(Notify::new()), health: Arc::default() })
    }

    /// Brings the schema up to date.
    ///
    /// # Errors
    /// A migration that failed, or a schema newer than this program.
    pub async fn migrate(&self) -> anyhow::Result<()> {
        let migrator = match self.backend {
            Backend::Sqlite => &SQLITE,
            Backend::Postgres => &POSTGRES,
        };
        migrator.run(&self.pool).await.context("could not migrate the database")?;
        self.fill_search_texts().await.context("could not make the names that are there searchable")
    }

    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Begins a transaction that writes; on SQLite it waits for its turn here, not at the commit.
    ///
    /// # Errors
    /// The database is busy or away.
    pub async fn begin(&self) -> sqlx::Result<Tx> {
        let begin = match self.backend {
            Backend::Sqlite => "BEGIN IMMEDIATE",
            Backend::Postgres => "BEGIN",
        };
        Ok(self.tx(Transaction::begin(&self.pool, begin).await?))
    }

    /// Begins a transaction that only reads, and sees the database as it is at one moment. It holds up
    /// nobody, and nothing is to be committed.
    pub async fn snapshot(&self) -> sqlx::Result<Tx> {
        let begin = match self.backend {
            Backend::Sqlite => "BEGIN",
            Backend::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        Ok(self.tx(Transaction::begin(&self.pool, begin).await?))
    }

    fn tx(&self, inner: Transaction) -> Tx {
        Tx {
            inner,
            backend: self.backend,
            revision: None,
            audit: Vec::new(),
            committed: Arc::clone(&self.committed),
        }
    }

    /// Told after each commit that published something, by this process.
    #[must_use]
    pub fn committed(&self) -> Arc<Notify> {
        Arc::clone(&self.committed)
    }

    /// How many connections are open, and how many of them are idle.
    #[must_use]
    pub fn connections(&self) -> (u32, usize) {
        (self.pool.size(), self.pool.num_idle())
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }
}

impl Tx {
    /// Leaves everything as it was, also where it fails.
    pub async fn abandon(self) -> sqlx::Result<()> {
        self.inner.rollback().await
    }

    /// Makes all of it last, with what the audit log was told, and wakes whoever feeds the gateways.
    ///
    /// # Errors
    /// The commit failed; nothing was changed.
    pub async fn commit(mut self) -> sqlx::Result<()> {
        self.write_audit().await?;
        self.inner.commit().await?;
        if self.revision.is_some() {
            self.committed.notify_waiters();
            self.committed.notify_one();
        }
        Ok(())
    }
}

/// A query whose rows are read as `T`: the pool runs it, or a transaction.
type QueryOf<T> = QueryAs<'static, Any, T, AnyArguments>;

/// The `LIKE` pattern, escaped with a backslash, for folded text that holds `search`.
fn containing(search: &str) -> String {
    let mut pattern = String::from("%");
    for c in folded(search).chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern + "%"
}

/// Ids as the parameter of a statement with a list of them.
fn json<'a>(ids: impl IntoIterator<Item = &'a Uuid>) -> sqlx::Result<String> {
    let ids: Vec<_> = ids.into_iter().collect();
    serde_json::to_string(&ids).map_err(|error| sqlx::Error::Encode(error.into()))
}
