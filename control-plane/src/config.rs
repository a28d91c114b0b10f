//! Command line and environment.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use latchkey_core::chain::Anchor;
use latchkey_core::client::TrustedProxies;
use latchkey_core::name::{Email, Name};
use latchkey_core::profile::issuer::is_shared;
use latchkey_core::role::Role;
use latchkey_core::upstream::Open;
use latchkey_service::sign_in::oidc::Settings;
use latchkey_service::sign_in::{self, Lasting, PublicUrl, SignIn};
use latchkey_world::World;
use secrecy::SecretString;
use uuid::Uuid;

use crate::mail::settings::Smtp;

/// Where the API listens unless it is said.
const HTTP_ADDR: &str = "127.0.0.1:8080";

/// The Latchkey control plane: self-service API keys for an LLM gateway.
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
    /// Update the database schema.
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
    /// Create an owner, admin, or auditor, and print an API token for them once.
    Create {
        /// Which database.
        #[command(flatten)]
        database: Database,
        /// Their email address.
        #[arg(long, value_parser = email)]
        email: Email,
        /// Their display name. Default: the email address.
        #[arg(long, value_parser = name)]
        name: Option<Name>,
        /// `owner`, `admin`, or `auditor`.
        #[arg(long, default_value = "admin")]
        role: Role,
    },
    /// Create an invitation link for a user, such as an owner who is locked out, and print it once.
    Invite {
        /// Which database.
        #[command(flatten)]
        database: Database,
        /// Their email address.
        #[arg(long, value_parser = email)]
        email: Email,
        /// The public URL of this Latchkey. Default: LATCHKEY_HTTP_ADDR.
        #[arg(long, env = "LATCHKEY_PUBLIC_URL")]
        public_url: Option<PublicUrl>,
        /// The address that the API listens on.
        #[arg(long, env = "LATCHKEY_HTTP_ADDR", default_value = HTTP_ADDR)]
        http_addr: SocketAddr,
    },
    /// Unlink all users from an OpenID provider, for example after a new client registration. Users are linked
    /// again by their verified email address at the next sign-in.
    Unlink {
        /// Which database.
        #[command(flatten)]
        database: Database,
        /// The issuer, exactly as it appears in the users' identities.
        #[arg(long, env = "LATCHKEY_OIDC_ISSUER")]
        issuer: String,
    },
}

/// Manage API tokens.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Create a token, and print it once.
    Create {
        /// Which database.
        #[command(flatten)]
        database: Database,
        /// A name that says what the token is for.
        #[arg(long, value_parser = name)]
        name: Name,
        /// `owner`, `admin`, `auditor`, or `gateway` (for an Envoy).
        #[arg(long)]
        role: Role,
        /// Days until the token expires. Default: never.
        #[arg(long)]
        expires_in_days: Option<u32>,
        /// For the role `gateway`: the name of the gateway, or `*` if several share the token. Default: the first
        /// gateway that uses it.
        #[arg(long)]
        gateway: Option<String>,
    },
    /// List all tokens, oldest first, without their values.
    List {
        /// Which database.
        #[command(flatten)]
        database: Database,
    },
    /// Revoke a token permanently.
    Revoke {
        /// Which database.
        #[command(flatten)]
        database: Database,
        /// The token's ID: see `latchkey token list`.
        id: Uuid,
    },
}

/// Verify and export the audit log.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Check the whole hash chain. Names the first entry that was changed, is missing, or is out of order, and
    /// prints the number and hash of the newest entry. Store these elsewhere: passed as `--anchor` later, they
    /// reveal a log that was rewritten from scratch.
    Verify {
        /// Which database.
        #[command(flatten)]
        database: Database,
        /// `NUMBER:HASH` from an earlier check.
        #[arg(long)]
        anchor: Option<Anchor>,
        /// Check an exported file instead of the database.
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Print the log as JSON lines, oldest first.
    Export {
        /// Which database.
        #[command(flatten)]
        database: Database,
        /// Only entries at or after this time, such as 2026-01-31T00:00:00Z.
        #[arg(long)]
        from: Option<Timestamp>,
        /// Only entries before this time.
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
    /// The address that the API and the portal listen on.
    #[arg(long, env = "LATCHKEY_HTTP_ADDR", default_value = HTTP_ADDR)]
    pub http_addr: SocketAddr,
    /// The address that gateways connect to.
    #[arg(long, env = "LATCHKEY_GRPC_ADDR", default_value = "127.0.0.1:8081")]
    pub grpc_addr: SocketAddr,
    /// PEM file with the TLS certificate chain for gateway connections.
    #[arg(long, env = "LATCHKEY_GRPC_TLS_CERT", requires = "grpc_tls_key")]
    pub grpc_tls_cert: Option<PathBuf>,
    /// PEM file with the private key of the certificate.
    #[arg(long, env = "LATCHKEY_GRPC_TLS_KEY", requires = "grpc_tls_cert")]
    pub grpc_tls_key: Option<PathBuf>,
    /// Allow plaintext on non-loopback addresses. Use only if something else encrypts the traffic.
    #[arg(long, env = "LATCHKEY_ALLOW_PLAINTEXT", default_value_t = false, num_args = 0..=1, default_missing_value = "true")]
    pub allow_plaintext: bool,
    /// The master key, 32 bytes in base64.
    #[arg(long, env = "LATCHKEY_MASTER_KEY", hide_env_values = true)]
    pub master_key: Option<SecretString>,
    /// File with the master key. Created if missing.
    #[arg(long, env = "LATCHKEY_MASTER_KEY_FILE", default_value = ".latchkey/master.key")]
    pub master_key_file: PathBuf,
    /// Email address of the owner that is created on the first start.
    #[arg(long, env = "LATCHKEY_OWNER_EMAIL", default_value = "owner@localhost", value_parser = email)]
    pub owner_email: Email,
    /// How long a gateway may take to acknowledge a change before its stream is closed, in milliseconds.
    #[arg(long, env = "LATCHKEY_ACK_TIMEOUT_MS", default_value_t = 10_000)]
    pub ack_timeout_ms: u64,
    /// How long changes wait for a disconnected gateway, in seconds. Its Envoy may still be serving, so
    /// revocations list it as pending until then.
    #[arg(long, env = "LATCHKEY_GATEWAY_GONE_SECONDS", default_value_t = 600)]
    pub gateway_gone_seconds: u32,
    /// How long an answer waits for the gateways at most, in milliseconds.
    #[arg(long, env = "LATCHKEY_APPLY_WAIT_MS", default_value_t = 2_000)]
    pub apply_wait_ms: u64,
    /// File on Envoy's machine with the certificate authorities that it trusts for providers.
    #[arg(long, env = "LATCHKEY_CA_BUNDLE", default_value = "/etc/ssl/certs/ca-certificates.crt")]
    pub ca_bundle: String,
    /// Private addresses that providers, MCP servers, and detectors may use: addresses, CIDR ranges, and host
    /// names. Link-local addresses and metadata services are never allowed.
    #[arg(long, env = "LATCHKEY_UPSTREAM_ALLOW", value_delimiter = ',', value_parser = open)]
    pub upstream_allow: Vec<Open>,
    /// Allow JWK sets on private networks. Link-local addresses are never allowed.
    #[arg(long, env = "LATCHKEY_JWKS_ALLOW_PRIVATE", default_value_t = false, num_args = 0..=1, default_missing_value = "true")]
    pub jwks_allow_private: bool,
    /// Private addresses that webhooks may use: addresses, CIDR ranges, and host names. Link-local addresses and
    /// metadata services are never allowed.
    #[arg(long, env = "LATCHKEY_WEBHOOK_ALLOW", value_delimiter = ',', value_parser = open)]
    pub webhook_allow: Vec<Open>,
    /// How long request records and events are kept, in days. 0 keeps them forever. Usage totals are always kept.
    #[arg(long, env = "LATCHKEY_RECORD_RETENTION_DAYS", default_value_t = 90)]
    pub record_retention_days: u32,
    /// The public URL of this Latchkey. Default: LATCHKEY_HTTP_ADDR.
    #[arg(long, env = "LATCHKEY_PUBLIC_URL")]
    pub public_url: Option<PublicUrl>,
    /// The gateway's URL for clients, which pages show and the playground calls.
    #[arg(long, env = "LATCHKEY_GATEWAY_URL", default_value = "http://127.0.0.1:10000")]
    pub gateway_url: PublicUrl,
    /// Proxies whose X-Forwarded-For header is trusted: addresses and CIDR ranges.
    #[arg(long, env = "LATCHKEY_TRUSTED_PROXIES", value_delimiter = ',', value_parser = range)]
    pub trusted_proxies: Vec<IpNet>,
    /// How long a session may be idle, in minutes.
    #[arg(long, env = "LATCHKEY_SESSION_IDLE_MINUTES", default_value_t = 12 * 60, value_parser = clap::value_parser!(u32).range(1..))]
    pub session_idle_minutes: u32,
    /// How long a session lasts at most, in hours.
    #[arg(long, env = "LATCHKEY_SESSION_HOURS", default_value_t = 7 * 24, value_parser = clap::value_parser!(u32).range(1..))]
    pub session_hours: u32,
    /// The server that email is sent by.
    #[command(flatten)]
    pub smtp: Smtp,
    /// The OpenID provider.
    #[command(flatten)]
    pub oidc: Oidc,
}

/// The OpenID provider; without an issuer there is none.
#[derive(Clone, Debug, Args)]
pub struct Oidc {
    /// URL of the OpenID provider (the issuer).
    #[arg(long, env = "LATCHKEY_OIDC_ISSUER", requires = "oidc_client_id")]
    pub oidc_issuer: Option<String>,
    /// Client ID of this Latchkey at the OpenID provider.
    #[arg(long, env = "LATCHKEY_OIDC_CLIENT_ID", requires = "oidc_issuer")]
    pub oidc_client_id: Option<String>,
    /// Client secret of this Latchkey at the OpenID provider.
    #[arg(
        long,
        env = "LATCHKEY_OIDC_CLIENT_SECRET",
        hide_env_values = true,
        conflicts_with = "oidc_client_secret_file"
    )]
    pub oidc_client_secret: Option<SecretString>,
    /// File with the client secret.
    #[arg(long, env = "LATCHKEY_OIDC_CLIENT_SECRET_FILE")]
    pub oidc_client_secret_file: Option<PathBuf>,
    /// Scopes to request, separated by spaces.
    #[arg(long, env = "LATCHKEY_OIDC_SCOPES", default_value = "openid email profile", value_delimiter = ' ')]
    pub oidc_scopes: Vec<String>,
    /// Claim with a person's groups, for smart groups that a claim fills. Use dots for nested claims:
    /// `realm_access.roles`.
    #[arg(long, env = "LATCHKEY_OIDC_GROUPS_CLAIM")]
    pub oidc_groups_claim: Option<String>,
    /// Email domains that may sign in. Default: all.
    #[arg(long, env = "LATCHKEY_OIDC_EMAIL_DOMAINS", value_delimiter = ',')]
    pub oidc_email_domains: Vec<String>,
    /// Create users for people who sign in for the first time.
    #[arg(long, env = "LATCHKEY_OIDC_CREATE_USERS", default_value_t = true, action = clap::ArgAction::Set)]
    pub oidc_create_users: bool,
    /// Trust the provider's email addresses: they count as verified unless the provider says otherwise. Use only
    /// if your company alone issues them, as in your own Entra tenant.
    #[arg(long, env = "LATCHKEY_OIDC_TRUST_EMAIL", default_value_t = false, num_args = 0..=1, default_missing_value = "true")]
    pub oidc_trust_email: bool,
}

impl Oidc {
    /// The provider's settings, where there is one.
    ///
    /// # Errors
    /// An issuer that is no URL, or a secret's file that cannot be read.
    pub fn settings(self) -> anyhow::Result<Option<Settings>> {
        let (Some(issuer), Some(client_id)) = (self.oidc_issuer, self.oidc_client_id) else {
            return Ok(None);
        };
        let url = url::Url::parse(&issuer).context("LATCHKEY_OIDC_ISSUER is not a URL")?;
        if self.oidc_trust_email && is_shared(&url) {
            anyhow::bail!(
                "LATCHKEY_OIDC_TRUST_EMAIL=true cannot be used with LATCHKEY_OIDC_ISSUER={issuer}: other companies have \
                 accounts there, with addresses that nobody has verified. Use an issuer that belongs to your \
                 company, such as https://login.microsoftonline.com/<your tenant's id>/v2.0, or remove the setting"
            );
        }
        let domains = email_domains(&self.oidc_email_domains)?;
        if is_shared(&url) && domains.is_empty() && self.oidc_create_users {
            anyhow::bail!(
                "LATCHKEY_OIDC_ISSUER={issuer} gives accounts to anyone, and all of them could become users: set \
                 LATCHKEY_OIDC_EMAIL_DOMAINS to your company's domains, or LATCHKEY_OIDC_CREATE_USERS=false"
            );
        }
        let client_secret = match (self.oidc_client_secret, self.oidc_client_secret_file) {
            (Some(secret), _) => Some(secret),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(&path);
                let text = text.with_context(|| format!("could not read {}", path.display()))?;
                Some(text.trim().into())
            }
            (None, None) => None,
        };
        Ok(Some(Settings {
            issuer,
            client_id,
            client_secret,
            scopes: self.oidc_scopes.into_iter().filter(|scope| !scope.is_empty()).collect(),
            groups_claim: self.oidc_groups_claim.filter(|claim| !claim.is_empty()),
            domains,
            create_users: self.oidc_create_users,
            trust_email: self.oidc_trust_email,
        }))
    }
}

/// The domains of a list; what is empty is not there.
fn email_domains(list: &[String]) -> anyhow::Result<Vec<String>> {
    let domains = list.iter().map(|domain| domain.trim().to_ascii_lowercase());
    let domains: Vec<_> = domains.filter(|domain| !domain.is_empty()).collect();
    let is_domain = |domain: &&String| {
        domain.split('.').all(|label| {
            !label.is_empty() && label.chars().all(|letter| letter.is_alphanumeric() || letter == '-')
        })
    };
    match domains.iter().find(|domain| !is_domain(domain)) {
        Some(wrong) => anyhow::bail!(
            "LATCHKEY_OIDC_EMAIL_DOMAINS: `{wrong}` is not a domain: use comma-separated domains such as \
             acme.com, without @ and *"
        ),
        None => Ok(domains),
    }
}

impl Serve {
    /// Where browsers find this Latchkey.
    ///
    /// # Errors
    /// None is known: an address is always a URL.
    pub fn public_url(&self) -> anyhow::Result<PublicUrl> {
        public_url(self.public_url.as_ref(), self.http_addr)
    }

    /// How people come in.
    ///
    /// # Errors
    /// A public URL that would send sessions over the network in plaintext, or a provider's
    /// settings that do not hold.
    pub fn sign_in(&self, world: &World) -> anyhow::Result<SignIn> {
        let public_url = self.public_url()?;
        if !public_url.is_secure() && !public_url.is_loopback() && !self.allow_plaintext {
            anyhow::bail!(
                "LATCHKEY_PUBLIC_URL={} would send sessions over the network in plaintext: use https, or set \
                 LATCHKEY_ALLOW_PLAINTEXT=true if something else encrypts the traffic",
                public_url.origin()
            );
        }
        let oidc = self.oidc.clone().settings()?.map(sign_in::oidc::Oidc::new).transpose()?;
        Ok(SignIn {
            trusted: TrustedProxies(self.trusted_proxies.clone()),
            lasting: Lasting {
                idle: SignedDuration::from_mins(self.session_idle_minutes.into()),
                longest: SignedDuration::from_hours(self.session_hours.into()),
            },
            oidc,
            ..SignIn::new(public_url, world)
        })
    }
}

/// Where browsers find this Latchkey, unless it is said: where it listens.
///
/// # Errors
/// None is known: an address is always a URL.
pub fn public_url(configured: Option<&PublicUrl>, http_addr: SocketAddr) -> anyhow::Result<PublicUrl> {
    match configured {
        Some(url) => Ok(url.clone()),
        None => format!("http://{http_addr}").parse().map_err(anyhow::Error::msg),
    }
}

fn open(text: &str) -> Result<Open, String> {
    text.parse()
}

fn range(text: &str) -> Result<IpNet, String> {
    let range = latchkey_core::address::range(text).map_err(|error| error.to_string())?;
    range.parse().map_err(|_| "is no range".to_owned())
}

fn email(text: &str) -> Result<Email, String> {
    Email::try_from(text.to_owned()).map_err(|error| error.to_string())
}

fn name(text: &str) -> Result<Name, String> {
    Name::try_from(text.to_owned()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(options: &[&str]) -> anyhow::Result<Settings> {
        let known = ["latchkey", "serve", "--oidc-client-id", "c"].iter().chain(options);
        let Command::Serve(serve) = Cli::try_parse_from(known)?.command else { unreachable!() };
        Ok(serve.oidc.settings()?.unwrap())
    }

    #[test]
    fn addresses_of_a_shared_provider_are_not_vouched_for() {
        let of = |issuer: &str, trust: &[&str]| settings(&[&["--oidc-issuer", issuer], trust].concat());
        let microsoft = |tenant: &str| format!("https://login.microsoftonline.com/{tenant}/v2.0");
        for tenant in ["common", "organizations", "consumers", "9188040d-6c67-4c5b-b112-36a304b66dad"] {
            let domains = ["--oidc-email-domains", "acme.com"];
            assert!(!of(&microsoft(tenant), &domains).unwrap().trust_email);
            let refused = of(&microsoft(tenant), &["--oidc-trust-email"]).unwrap_err().to_string();
            assert!(refused.contains("LATCHKEY_OIDC_TRUST_EMAIL"), "{refused}");
        }
        let anybody = of("https://accounts.google.com", &[]).unwrap_err().to_string();
        assert!(anybody.contains("LATCHKEY_OIDC_EMAIL_DOMAINS"), "{anybody}");
        let known = of("https://accounts.google.com", &["--oidc-create-users=false"]).unwrap();
        assert!(!known.create_users);
        let own = microsoft("72f988bf-86f1-41af-91ab-2d7cd011db47");
        assert!(of(&own, &["--oidc-trust-email=true"]).unwrap().trust_email);
        assert!(!of(&own, &["--oidc-trust-email=false"]).unwrap().trust_email);
    }

    #[test]
    fn domains_are_read_as_people_write_them_or_refused() {
        let of = |list: &str| {
            settings(&["--oidc-issuer", "https://id.acme.com", "--oidc-email-domains", list])
                .map(|settings| settings.domains)
        };
        assert_eq!(of("acme.com, Acme.Example ,").unwrap(), ["acme.com", "acme.example"]);
        assert!(of("").unwrap().is_empty());
        for wrong in ["@acme.com", "*.acme.com", "acme.com b.com", "https://acme.com", "acme..com"] {
            assert!(of(wrong).unwrap_err().to_string().contains("is not a domain"), "{wrong}");
        }
    }
}
