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
    /// Make a new invitation for a user, and print its link once: for an owner who is locked out.
    Invite {
        /// Which database.
        #[command(flatten)]
        database: Database,
        /// Their e-mail address.
        #[arg(long, value_parser = email)]
        email: Email,
        /// Where browsers find this Latchkey; LATCHKEY_HTTP_ADDR by default.
        #[arg(long, env = "LATCHKEY_PUBLIC_URL")]
        public_url: Option<PublicUrl>,
        /// Where the API listens.
        #[arg(long, env = "LATCHKEY_HTTP_ADDR", default_value = HTTP_ADDR)]
        http_addr: SocketAddr,
    },
    /// Forget who users are to an OpenID provider, as after a new client registration there: whoever has their
    /// address there, verified, is linked at the next sign-in.
    Unlink {
        /// Which database.
        #[command(flatten)]
        database: Database,
        /// The provider, exactly as the users' identities have it.
        #[arg(long, env = "LATCHKEY_OIDC_ISSUER")]
        issuer: String,
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
        /// With the role gateway: the gateway's name that it is for, or `*` where several Envoys share it. The
        /// first that uses it by default.
        #[arg(long)]
        gateway: Option<String>,
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
    #[arg(long, env = "LATCHKEY_HTTP_ADDR", default_value = HTTP_ADDR)]
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
    /// Seconds after which changes no longer wait for a gateway that has disconnected. Its Envoy may go on with
    /// what it had, so a revocation names it as pending until then.
    #[arg(long, env = "LATCHKEY_GATEWAY_GONE_SECONDS", default_value_t = 600)]
    pub gateway_gone_seconds: u32,
    /// Milliseconds a revocation waits for the gateways at most.
    #[arg(long, env = "LATCHKEY_APPLY_WAIT_MS", default_value_t = 2_000)]
    pub apply_wait_ms: u64,
    /// The certificate authorities that Envoy trusts for providers: a file on Envoy's machine.
    #[arg(long, env = "LATCHKEY_CA_BUNDLE", default_value = "/etc/ssl/certs/ca-certificates.crt")]
    pub ca_bundle: String,
    /// Private addresses at which providers and MCP servers may be: addresses, CIDR ranges and names of hosts.
    /// Link-local addresses and metadata services never.
    #[arg(long, env = "LATCHKEY_UPSTREAM_ALLOW", value_delimiter = ',', value_parser = open)]
    pub upstream_allow: Vec<Open>,
    /// Ask private networks for the JWK sets that apps name. Link-local addresses are never asked.
    #[arg(long, env = "LATCHKEY_JWKS_ALLOW_PRIVATE", default_value_t = false, num_args = 0..=1, default_missing_value = "true")]
    pub jwks_allow_private: bool,
    /// Private addresses to which webhooks may be sent: addresses, CIDR ranges and names of hosts. Link-local
    /// addresses and metadata services never.
    #[arg(long, env = "LATCHKEY_WEBHOOK_ALLOW", value_delimiter = ',', value_parser = open)]
    pub webhook_allow: Vec<Open>,
    /// Days that records of requests and events are kept; 0 keeps them all. Sums stay.
    #[arg(long, env = "LATCHKEY_RECORD_RETENTION_DAYS", default_value_t = 90)]
    pub record_retention_days: u32,
    /// Where browsers find this Latchkey; LATCHKEY_HTTP_ADDR by default.
    #[arg(long, env = "LATCHKEY_PUBLIC_URL")]
    pub public_url: Option<PublicUrl>,
    /// Where clients find the gateway, as pages say it and the playground calls it.
    #[arg(long, env = "LATCHKEY_GATEWAY_URL", default_value = "http://127.0.0.1:10000")]
    pub gateway_url: PublicUrl,
    /// The proxies whose X-Forwarded-For is believed: addresses and CIDR ranges.
    #[arg(long, env = "LATCHKEY_TRUSTED_PROXIES", value_delimiter = ',', value_parser = range)]
    pub trusted_proxies: Vec<IpNet>,
    /// Minutes after which an unused session ends.
    #[arg(long, env = "LATCHKEY_SESSION_IDLE_MINUTES", default_value_t = 12 * 60, value_parser = clap::value_parser!(u32).range(1..))]
    pub session_idle_minutes: u32,
    /// Hours after which a session ends at the latest.
    #[arg(long, env = "LATCHKEY_SESSION_HOURS", default_value_t = 7 * 24, value_parser = clap::value_parser!(u32).range(1..))]
    pub session_hours: u32,
    /// The server that e-mail is sent by.
    #[command(flatten)]
    pub smtp: Smtp,
    /// The OpenID provider.
    #[command(flatten)]
    pub oidc: Oidc,
}

/// The OpenID provider; without an issuer there is none.
#[derive(Clone, Debug, Args)]
pub struct Oidc {
    /// Its URL, as its metadata has it.
    #[arg(long, env = "LATCHKEY_OIDC_ISSUER", requires = "oidc_client_id")]
    pub oidc_issuer: Option<String>,
    /// What it calls this Latchkey.
    #[arg(long, env = "LATCHKEY_OIDC_CLIENT_ID", requires = "oidc_issuer")]
    pub oidc_client_id: Option<String>,
    /// By which it knows this Latchkey.
    #[arg(
        long,
        env = "LATCHKEY_OIDC_CLIENT_SECRET",
        hide_env_values = true,
        conflicts_with = "oidc_client_secret_file"
    )]
    pub oidc_client_secret: Option<SecretString>,
    /// The file with the same.
    #[arg(long, env = "LATCHKEY_OIDC_CLIENT_SECRET_FILE")]
    pub oidc_client_secret_file: Option<PathBuf>,
    /// What is asked for.
    #[arg(long, env = "LATCHKEY_OIDC_SCOPES", default_value = "openid email profile", value_delimiter = ' ')]
    pub oidc_scopes: Vec<String>,
    /// The claim that names a person's groups, for smart groups that a claim fills. Dots lead inwards:
    /// `realm_access.roles`.
    #[arg(long, env = "LATCHKEY_OIDC_GROUPS_CLAIM")]
    pub oidc_groups_claim: Option<String>,
    /// The e-mail domains that may sign in; all by default.
    #[arg(long, env = "LATCHKEY_OIDC_EMAIL_DOMAINS", value_delimiter = ',')]
    pub oidc_email_domains: Vec<String>,
    /// Whether people who are not known yet become users.
    #[arg(long, env = "LATCHKEY_OIDC_CREATE_USERS", default_value_t = true, action = clap::ArgAction::Set)]
    pub oidc_create_users: bool,
    /// Vouch for the provider's e-mail addresses: one counts as verified unless the provider says that it is
    /// not. Only for a provider where nobody but your company gives out addresses, such as one tenant of Entra.
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
        let url = url::Url::parse(&issuer).context("LATCHKEY_OIDC_ISSUER is no URL")?;
        if self.oidc_trust_email && is_shared(&url) {
            anyhow::bail!(
                "LATCHKEY_OIDC_TRUST_EMAIL=true cannot go with LATCHKEY_OIDC_ISSUER={issuer}: accounts of other \
                 companies come from it, and their addresses may be anybody's. Use an issuer of your company \
                 alone, such as https://login.microsoftonline.com/<your tenant's id>/v2.0, or leave the setting \
                 out"
            );
        }
        let domains = email_domains(&self.oidc_email_domains)?;
        if is_shared(&url) && domains.is_empty() && self.oidc_create_users {
            anyhow::bail!(
                "LATCHKEY_OIDC_ISSUER={issuer} gives accounts to anybody, and all of them would become users: set \
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
            "LATCHKEY_OIDC_EMAIL_DOMAINS: `{wrong}` is no domain; write acme.com, without @ and *, with commas between"
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
                "LATCHKEY_PUBLIC_URL={} would send sessions in plaintext over the network: use https, or set \
                 LATCHKEY_ALLOW_PLAINTEXT=true where something else encrypts",
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
            assert!(of(wrong).unwrap_err().to_string().contains("is no domain"), "{wrong}");
        }
    }
}
