//! `latchkey`: the control plane's program.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use futures::TryStreamExt as _;
use jiff::SignedDuration;
use latchkey::action;
use latchkey::action::By;
use latchkey::action::invitations::Invitation;
use latchkey::action::tokens::NewToken;
use latchkey::audit::{self, Verdict};
use latchkey::config::{Admin, Audit, Cli, Command, Database, Serve, Token};
use latchkey::seal::MasterKey;
use latchkey::serve::serve;
use latchkey::store::Store;
use latchkey::world::World;
use latchkey_core::actor::Actor;
use latchkey_core::name::{Email, Name};
use latchkey_core::role::Role;
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = match tracing_subscriber::EnvFilter::try_new(&cli.log) {
        Ok(filter) => filter,
        Err(error) => {
            eprintln!("latchkey: LATCHKEY_LOG does not read as a filter: {error}");
            return ExitCode::from(2);
        }
    };
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
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
            println!("the schema is up to date");
            Ok(())
        }
        Command::Admin(Admin::Create { database, email, name, role }) => {
            if !matches!(role, Role::Owner | Role::Admin | Role::Auditor) {
                anyhow::bail!("the role must be owner, admin or auditor");
            }
            let store = open(&database).await?;
            let (_, token) = add_person(&store, &world, email, name, role).await?;
            println!("{}", token.expose_secret());
            Ok(())
        }
        Command::Admin(Admin::Invite { database, email, public_url }) => {
            let store = open(&database).await?;
            let account = store.account_at(&email).await?;
            let user = account.with_context(|| format!("there is no user {email}"))?.user;
            let actor = Actor::system("latchkey admin invite");
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
                "unlinked {users} users: each is linked anew at the next sign-in with a verified address"
            );
            Ok(())
        }
        Command::Token(Token::Create { database, name, role, expires_in_days }) => {
            let store = open(&database).await?;
            let lifetime = expires_in_days.map(|days| SignedDuration::from_hours(i64::from(days) * 24));
            let expires_at = lifetime.map(|lifetime| world.now().checked_add(lifetime)).transpose();
            let expires_at = expires_at.context("--expires-in-days lies too far in the future")?;
            let mut tx = store.begin().await?;
            let new = NewToken { name: name.into(), role, user_id: None, expires_at };
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
                println!("{}  {:8}  {}  {ends}", token.id, token.role.as_str(), token.name);
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
            println!("revoked: the API refuses it from now on, and open streams end within a minute");
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
                    println!("the audit log is whole; keep its newest entry elsewhere, for `--anchor`:");
                    println!("{newest}");
                    Ok(())
                }
                Verdict::Broken { fault, reached } => {
                    anyhow::bail!("the audit log is broken: {fault}; nothing is wrong up to {reached}")
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
            println!("{}", latchkey::api::openapi().to_pretty_json()?);
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
    if store.count_users(Role::Owner).await? == 0 {
        let email = options.owner_email.clone();
        let (user, token) = add_person(&store, &world, email.clone(), None, Role::Owner).await?;
        let link = sign_in_link(&options, &store, &world, user).await?;
        println!("First start: {email} owns this Latchkey. Shown only now:");
        println!("Set a password, within 72 hours, to sign in to the portal:");
        println!("  {link}");
        println!("Sign in to the API with this token:");
        println!("  Authorization: Bearer {}", token.expose_secret());
    }
    serve(options, store, master, world).await
}

async fn add_person(
    store: &Store,
    world: &World,
    email: Email,
    name: Option<Name>,
    role: Role,
) -> anyhow::Result<(Uuid, SecretString)> {
    let name = name.unwrap_or_else(|| Name::of(&email));
    let mut tx = store.begin().await?;
    let actor = Actor::system("latchkey admin create");
    let by = By { actor: &actor, world };
    let user = action::users::create(&mut tx, by, email, name.clone(), role).await;
    let user = user.map_err(said)?;
    let new = NewToken { name: name.into(), role, user_id: Some(user.id), expires_at: None };
    let token = action::tokens::create(&mut tx, by, new).await?;
    tx.commit().await?;
    Ok((user.id, token))
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

async fn sign_in_link(options: &Serve, store: &Store, world: &World, user: Uuid) -> anyhow::Result<String> {
    let actor = Actor::system("first start");
    Ok(options.public_url()?.at(&invite(store, world, &actor, user).await?.path()))
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
