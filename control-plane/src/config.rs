//! Command line and environment.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;
use latchkey_core::chain::Anchor;
use latchkey_core::name::{Email, Name};
use latchkey_core::role::Role;
use secrecy::SecretString;
use uuid::Uuid;

/// Self-service API keys for an LLM gateway: the control plane.
#[derive(Debug, Parser)]
#[command(name = "latchkey", version, about)]
pub struct Cli {
    /// What to log: `info`, `latchkey=debug`, …
    #[arg(long, env = "LATCHKEY_LOG", default_value = "info", global = true)]
    pub log: String,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API and the gateways' streams.
    Serve(Box<Serve>),
    /// Bring the database's schema up to date.
    Migrate(Database),
    /// Manage admins.
    #[command(subcommand)]
    Admin(Admin),
    /// Manage API tokens.
    #[command(subcommand)]
    Token(Token),
    /// Verify and export the audit log.
    #[command(subcommand)]
    Audit(Audit),
    /// Print the OpenAPI document.
    Openapi,
}

/// Which database.
#[derive(Debug, Args)]
pub struct Database {
    /// `sqlite://file` or `postgres://user:password@host/database`.
    #[arg(
        long,
        env = "DATABASE_URL",
        default_value = "sqlite://.latchkey/latchkey.db",
        hide_env_values = true
    )]
    pub database_url: String,
}

/// Manage admins.
#[derive(Debug, Subcommand)]
pub enum Admin {
    /// Add an owner, admin or auditor, and print an API token for them once.
    Create {
        /// Which database.
        #[command(flatten)]
        database: Database,
        /// Their e-mail address.
        #[arg(long, value_parser = email)]
        email: Email,
        /// What others see; their address by default.
        #[arg(long, value_parser = name)]
        name: Option<Name>,
        /// owner, admin or auditor.
        #[arg(long, default_value = "admin")]
        role: Role,
    },
}

/// Manage API tokens.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token, and print it once.
    Create {
        /// Which database.
        #[command(flatten)]
        database: Database,
        /// What admins see.
        #[arg(long, value_parser = name)]
        name: Name,
        /// owner, admin, auditor, or gateway for an Envoy.
        #[arg(long)]
        role: Role,
        /// Days until it stops; never by default.
        #[arg(long)]
        expires_in_days: Option<u32>,
    },
    /// List the tokens, oldest first, without their values.
    List {
        /// Which database.
        #[command(flatten)]
        database: Database,
    },
    /// Revoke a token for good.
    Revoke {
        /// Which database.
        #[command(flatten)]
        database: Database,
        /// The token's id, as `latchkey token list` shows it.
        id: Uuid,
    },
}

/// Verify and export the audit log.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Check the whole chain, name the first entry that was changed, is missing or out of order, and print
    /// the newest one's number and hash. Keep that elsewhere: with it, a later check also finds a log
    /// that was written anew.
    Verify {
        /// Which database.
        #[command(flatten)]
        database: Database,
        /// What an earlier check printed: `NUMBER:HASH`.
        #[arg(long)]
        anchor: Option<Anchor>,
        /// Check an exported file instead of the database.
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Print the log as lines of JSON, oldest first.
    Export {
        /// Which database.
        #[command(flatten)]
        database: Database,
        /// Begin with the first entry at this moment or later: 2026-01-31T00:00:00Z.
        #[arg(long)]
        from: Option<Timestamp>,
        /// End with the last entry before this moment.
        #[arg(long)]
        to: Option<Timestamp>,
    },
}

/// How to serve.
#[derive(Debug, Args)]
pub struct Serve {
    /// Which database.
    #[command(flatten)]
    pub database: Database,
    /// Where the API listens.
    #[arg(long, env = "LATCHKEY_HTTP_ADDR", default_value = "127.0.0.1:8080")]
    pub http_addr: SocketAddr,
    /// Where the gateways' streams listen.
    #[arg(long, env = "LATCHKEY_GRPC_ADDR", default_value = "127.0.0.1:8081")]
    pub grpc_addr: SocketAddr,
    /// PEM file of the streams' TLS certificate chain.
    #[arg(long, env = "LATCHKEY_GRPC_TLS_CERT", requires = "grpc_tls_key")]
    pub grpc_tls_cert: Option<PathBuf>,
    /// PEM file of the certificate's key.
    #[arg(long, env = "LATCHKEY_GRPC_TLS_KEY", requires = "grpc_tls_cert")]
    pub grpc_tls_key: Option<PathBuf>,
    /// Serve plaintext on addresses other than loopback: only where something else encrypts.
    #[arg(long, env = "LATCHKEY_ALLOW_PLAINTEXT", default_value_t = false, num_args = 0..=1, default_missing_value = "true")]
    pub allow_plaintext: bool,
    /// The master key, 32 bytes in base64.
    #[arg(long, env = "LATCHKEY_MASTER_KEY", hide_env_values = true)]
    pub master_key: Option<SecretString>,
    /// The file with the master key; made when missing.
    #[arg(long, env = "LATCHKEY_MASTER_KEY_FILE", default_value = ".latchkey/master.key")]
    pub master_key_file: PathBuf,
    /// The e-mail address of the owner that the first start creates.
    #[arg(long, env = "LATCHKEY_OWNER_EMAIL", default_value = "owner@localhost", value_parser = email)]
    pub owner_email: Email,
    /// Milliseconds a gateway may take to acknowledge before its stream is closed.
    #[arg(long, env = "LATCHKEY_ACK_TIMEOUT_MS", default_value_t = 10_000)]
    pub ack_timeout_ms: u64,
    /// Milliseconds a revocation waits for the gateways at most.
    #[arg(long, env = "LATCHKEY_APPLY_WAIT_MS", default_value_t = 2_000)]
    pub apply_wait_ms: u64,
    /// The certificate authorities that Envoy trusts for providers: a file on Envoy's machine.
    #[arg(long, env = "LATCHKEY_CA_BUNDLE", default_value = "/etc/ssl/certs/ca-certificates.crt")]
    pub ca_bundle: String,
    /// Ask private networks for the JWK sets that apps name. Link-local addresses are never asked.
    #[arg(long, env = "LATCHKEY_JWKS_ALLOW_PRIVATE", default_value_t = false, num_args = 0..=1, default_missing_value = "true")]
    pub jwks_allow_private: bool,
    /// Days that records of requests are kept; 0 keeps them all. Sums stay.
    #[arg(long, env = "LATCHKEY_RECORD_RETENTION_DAYS", default_value_t = 90)]
    pub record_retention_days: u32,
}

fn email(text: &str) -> Result<Email, String> {
    Email::try_from(text.to_owned()).map_err(|error| error.to_string())
}

fn name(text: &str) -> Result<Name, String> {
    Name::try_from(text.to_owned()).map_err(|error| error.to_string())
}
