//! `latchkey`: the control plane's program.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use futures::TryStreamExt as _;
use jiff::SignedDuration;
use latchkey::config::{self, Admin, Audit, Cli, Command, Database, Serve, Token};
use latchkey::serve::serve;
use latchkey_core::actor::Actor;
use latchkey_core::name::{Email, Name};
use latchkey_core::role::Role;
use latchkey_service::action;
use latchkey_service::action::By;
use latchkey_service::action::invitations::Invitation;
use latchkey_service::action::tokens::NewToken;
use latchkey_service::audit::{self, Verdict};
use latchkey_store::seal::MasterKey;
use latchkey_store::{Store, Tx};
use latchkey_world::World;
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = match tracing_subscriber::EnvFilter::try_new(&cli.log) {
        Ok(filter) => filter,
        Err(error) => {
            eprintln!("latchkey: LATCHKEY_LOG is not a valid filter: {error}");
            return ExitCode::from(2);
        }
    };
    // A log that cannot be written is no reason to fail: its disk may be full together with the database's.
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.with_ansi(false).log_internal_errors(false).init();
    match run(cli.command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("latchkey: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    let world = World::system();
    match command {
        Command::Serve(options) => start(*options, world).await,
        Command::Migrate(database) => {
            open(&database).await?;
            println!("the database schema is up to date");
            Ok(())
        }
        Command::Admin(Admin::Create { database, email, name, role }) => {
            if !matches!(role, Role::Owner | Role::Admin | Role::Auditor) {
                anyhow::bail!("the role must be owner, admin, or auditor");
            }
            let store = open(&database).await?;
            let token = add_person(&store, &world, email, name, role).await?;
            println!("{}", token.expose_secret());
            Ok(())
        }
        Command::Admin(Admin::Invite { database, email, public_url, http_addr }) => {
            let store = open(&database).await?;
            let account = store.account_at(&email).await?;
            let user = account.with_context(|| format!("no user has the address {email}"))?.user;
            let actor = Actor::system("latchkey admin invite");
            let public_url = config::public_url(public_url.as_ref(), http_addr)?;
            println!("{}", public_url.at(&invite(&store, &world, &actor, user.id).await?.path()));
            Ok(())
        }
        Command::Admin(Admin::Unlink { database, issuer }) => {
            let store = open(&database).await?;
            let mut tx = store.begin().await?;
            let actor = Actor::system("latchkey admin unlink");
            let by = By { actor: &actor, world: &world };
            let users = action::users::unlink_all(&mut tx, by, &issuer).await.map_err(said)?;
            tx.commit().await?;
            println!(
                "unlinked {users} users: each is linked again at the next sign-in with a verified address"
            );
            Ok(())
        }
        Command::Token(Token::Create { database, name, role, expires_in_days, gateway }) => {
            if gateway.is_some() && role != Role::Gateway {
                anyhow::bail!("--gateway is only for tokens with the role gateway");
            }
            let store = open(&database).await?;
            let lifetime = expires_in_days.map(|days| SignedDuration::from_hours(i64::from(days) * 24));
            let expires_at = lifetime.map(|lifetime| world.now().checked_add(lifetime)).transpose();
            let expires_at = expires_at.context("--expires-in-days is too far in the future")?;
            let mut tx = store.begin().await?;
            let new = NewToken { name: name.into(), role, user_id: None, expires_at, gateway };
            let actor = Actor::system("latchkey token create");
            let by = By { actor: &actor, world: &world };
            let token = action::tokens::create(&mut tx, by, new).await?;
            tx.commit().await?;
            println!("{}", token.expose_secret());
            Ok(())
        }
        Command::Token(Token::List { database }) => {
            let store = open(&database).await?;
            for token in store.tokens().await? {
                let ends = match (token.revoked_at, token.expires_at) {
                    (Some(at), _) => format!("revoked {at}"),
                    (None, Some(at)) => format!("until {at}"),
                    (None, None) => "never expires".to_owned(),
                };
                let bound = match (token.role, &token.gateway) {
                    (Role::Gateway, Some(gateway)) => format!("  gateway {gateway}"),
                    (Role::Gateway, None) => "  not used yet".to_owned(),
                    _ => String::new(),
                };
                println!("{}  {:8}  {}  {ends}{bound}", token.id, token.role.as_str(), token.name);
            }
            Ok(())
        }
        Command::Token(Token::Revoke { database, id }) => {
            let store = open(&database).await?;
            let mut tx = store.begin().await?;
            let actor = Actor::system("latchkey token revoke");
            let revoked =
                action::tokens::revoke(&mut tx, By { actor: &actor, world: &world }, id, None).await;
            revoked.context("see `latchkey token list`")?;
            tx.commit().await?;
            println!("revoked: the API refuses the token, and open streams end within a minute");
            Ok(())
        }
        Command::Audit(Audit::Verify { database, anchor, file }) => {
            let verdict = match file {
                Some(file) => {
                    let lines =
                        BufReader::new(File::open(&file).context("could not open the export")?).lines();
                    audit::verify_export(lines, anchor)?
                }
                None => audit::verify(&open(&database).await?, anchor).await?,
            };
            match verdict {
                Verdict::Whole(newest) => {
                    println!("the audit log is intact; store its newest entry elsewhere, for `--anchor`:");
                    println!("{newest}");
                    Ok(())
                }
                Verdict::Broken { fault, reached } => {
                    anyhow::bail!("the audit log is broken: {fault}; it is intact up to {reached}")
                }
            }
        }
        Command::Audit(Audit::Export { database, from, to }) => {
            let store = open(&database).await?;
            let mut pages = pin!(audit::export(&store, from, to).await?);
            let mut out = std::io::stdout().lock();
            while let Some(lines) = pages.try_next().await? {
                out.write_all(&lines)?;
            }
            Ok(out.flush()?)
        }
        Command::Openapi => {
            println!("{}", latchkey_api::openapi().to_pretty_json()?);
            Ok(())
        }
    }
}

async fn start(options: Serve, world: World) -> anyhow::Result<()> {
    let store = open(&options.database).await?;
    let master = match &options.master_key {
        Some(text) => MasterKey::parse(text).context("in LATCHKEY_MASTER_KEY")?,
        None => MasterKey::load_or_create(&options.master_key_file, &world)?,
    };
    master.belong_to(&store, &world).await?;
    master.fill_key_endings(&store).await.context("could not read what stored keys end with")?;
    if store.count_users(Role::Owner).await? == 0 {
        let email = options.owner_email.clone();
        let mut tx = store.begin().await?;
        let actor = Actor::system("first start");
        let name = Name::of(&email);
        let user =
            add_user(&mut tx, By { actor: &actor, world: &world }, email.clone(), name, Role::Owner).await?;
        tx.commit().await?;
        let invitation = invite(&store, &world, &actor, user).await?;
        let link = options.public_url()?.at(&invitation.path());
        println!("First start: {email} is the owner.");
        // Whoever reads the log must not become its owner.
        let file = options.master_key_file.with_file_name("owner-invitation");
        match write_private(&file, &link) {
            Ok(()) => println!("Open the link in {} within 72 hours to set a password.", file.display()),
            Err(error) => {
                println!("The link to set a password could not be saved ({error:#}).");
                println!("To print another link: latchkey admin invite --email {email}");
            }
        }
    }
    serve(options, store, master, world).await
}

async fn add_person(
    store: &Store,
    world: &World,
    email: Email,
    name: Option<Name>,
    role: Role,
) -> anyhow::Result<SecretString> {
    let name = name.unwrap_or_else(|| Name::of(&email));
    let mut tx = store.begin().await?;
    let actor = Actor::system("latchkey admin create");
    let by = By { actor: &actor, world };
    let user = add_user(&mut tx, by, email, name.clone(), role).await?;
    let new = NewToken { name: name.into(), role, user_id: Some(user), expires_at: None, gateway: None };
    let token = action::tokens::create(&mut tx, by, new).await?;
    tx.commit().await?;
    Ok(token)
}

async fn add_user(tx: &mut Tx, by: By<'_>, email: Email, name: Name, role: Role) -> anyhow::Result<Uuid> {
    let user = action::users::create(tx, by, email, name, role).await;
    Ok(user.map_err(said)?.id)
}

/// A refusal, as the command line says it.
fn said(refusal: action::Refusal) -> anyhow::Error {
    match refusal {
        action::Refusal::Invalid(invalid) => {
            anyhow::anyhow!("{}", invalid.0.first().map_or("", |error| &error.message))
        }
        other => other.into(),
    }
}

/// Writes a line that only this user reads.
fn write_private(path: &Path, line: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(|| format!("could not create {}", folder.display()))?;
    }
    // Not into a file that others may have opened.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("could not replace {}", path.display()));
        }
        _ => {}
    }
    let mut options = File::options();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| writeln!(file, "{line}"))
        .with_context(|| format!("could not write {}", path.display()))
}

async fn invite(store: &Store, world: &World, actor: &Actor, user: Uuid) -> anyhow::Result<Invitation> {
    let mut tx = store.begin().await?;
    let invitation = action::invitations::create(&mut tx, By { actor, world }, user).await?;
    tx.commit().await?;
    Ok(invitation)
}

/// Opens the database and brings its schema up to date.
async fn open(database: &Database) -> anyhow::Result<Store> {
    let url = &database.database_url;
    let file = url.strip_prefix("sqlite://").map(|rest| Path::new(rest.split('?').next().unwrap_or(rest)));
    if let Some(folder) = file.and_then(Path::parent).filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(|| format!("could not create {}", folder.display()))?;
    }
    let store = Store::open(url).await?;
    store.migrate().await?;
    Ok(store)
}
