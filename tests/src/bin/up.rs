//! `make up`: the whole system on this machine, with something to call at once.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser;
use latchkey_tests::provider::Provider;
use latchkey_tests::stack::api::{Api, App};
use latchkey_tests::stack::control_plane::ControlPlane;
use latchkey_tests::stack::gateway::{Gateway, Options};
use latchkey_tests::stack::port::Port;
use latchkey_tests::stack::{MODELS, PROVIDER, PROVIDER_CREDENTIAL, artifacts, wait};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

/// The models of the real provider, called `openai/…` here.
const OPENAI_MODELS: [&str; 4] = ["gpt-4o-mini", "gpt-4o", "gpt-4.1-mini", "text-embedding-3-small"];
const USER: &str = "dev@example.com";
const OWNER: &str = "owner@localhost";
const APP: &str = "sample";
const GATEWAY: &str = "gateway";
const FLOOD_LIMIT: u32 = 10_000;

/// Starts the sample provider, the control plane and Envoy, and stops them on Ctrl-C.
#[derive(Parser)]
struct Arguments {
    /// Where clients send their requests.
    #[arg(long, env = "LATCHKEY_GATEWAY_PORT", default_value_t = 10_000)]
    gateway_port: u16,
    /// The control plane's API.
    #[arg(long, env = "LATCHKEY_API_PORT", default_value_t = 8080)]
    api_port: u16,
    /// Where Envoy meets the control plane.
    #[arg(long, env = "LATCHKEY_GRPC_PORT", default_value_t = 8081)]
    grpc_port: u16,
    /// The sample provider.
    #[arg(long, env = "LATCHKEY_PROVIDER_PORT", default_value_t = 9100)]
    provider_port: u16,
    /// A real provider's key; adds that provider.
    #[arg(long, env = "OPENAI_API_KEY", hide_env_values = true)]
    openai_api_key: Option<String>,
    /// Another database than the SQLite file under `.latchkey/`.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
}

/// What runs.
struct System {
    provider: Provider,
    control_plane: ControlPlane,
    gateway: Gateway,
    api: Api,
}

/// What the last run has left in `.latchkey/dev.env`, and this one leaves.
#[derive(Default)]
struct Known {
    admin_token: String,
    sample_key: String,
    /// Of the owner and of the sample user, at the portal.
    password: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    arguments.check_ports()?;
    let dir = artifacts::root().join(".latchkey");
    fs::create_dir_all(&dir)?;
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut system = tokio::select! {
        started = start(&arguments, &dir) => started?,
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    let outcome = tokio::select! {
        ended = system.until_one_ends() => ended,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    println!("\nStopping.");
    system.gateway.stop().await?;
    // A revocation need not wait for what has ended. Where it cannot be told, it waits for ten minutes.
    if let Err(error) = forget_gateway(&system.api).await {
        println!("The control plane still waits for the gateway that has ended: {error:#}");
    }
    system.control_plane.stop().await?;
    outcome
}

async fn forget_gateway(api: &Api) -> anyhow::Result<()> {
    let path = format!("/api/v1/gateways/{GATEWAY}");
    wait::until("the gateway to be forgotten", Duration::from_secs(5), async || {
        let status = api.send(Method::DELETE, &path, None).await?.status;
        Ok(matches!(status, 204 | 404).then_some(()))
    })
    .await
}

async fn start(arguments: &Arguments, dir: &Path) -> anyhow::Result<System> {
    let mut known = Known::read(&dir.join("dev.env"));
    let provider =
        Provider::start(([127, 0, 0, 1], arguments.provider_port).into(), Some(PROVIDER_CREDENTIAL)).await?;
    let ports = (Port::fixed(arguments.api_port), Port::fixed(arguments.grpc_port));
    let mut control_plane = ControlPlane::new(dir, ports.0, ports.1);
    if let Some(url) = &arguments.database_url {
        control_plane.set_variable("DATABASE_URL", url);
    }
    let gateway_url = format!("http://127.0.0.1:{}", arguments.gateway_port);
    control_plane.set_variable("LATCHKEY_GATEWAY_URL", &gateway_url);
    control_plane.set_variable("LATCHKEY_OWNER_EMAIL", OWNER);
    println!("Starting the control plane.");
    control_plane.start().await?;

    let gateway_token = dir.join("gateway.token");
    let known_here =
        Api::new(&control_plane.url(), &known.admin_token).get("/api/v1/apps").await?.status == 200;
    if !known_here || !gateway_token.exists() {
        known.admin_token = control_plane.token("make-up", "owner").await?;
        write_secret(&gateway_token, &control_plane.token("make-up-gateway", "gateway").await?)?;
    }
    let api = Api::new(&control_plane.url(), &known.admin_token);
    fill_catalogue(&api, &provider, arguments.openai_api_key.as_deref()).await?;

    println!("Starting Envoy.");
    let token = fs::read_to_string(&gateway_token)?;
    let options = Options::new(GATEWAY, control_plane.grpc_address(), &token)
        .port(arguments.gateway_port)
        .flood_limit(FLOOD_LIMIT)
        .concurrency(2);
    let mut gateway = Gateway::new(dir, options)?;
    gateway.start().await?;

    println!("Waiting for a request to pass.");
    let works = !known.sample_key.is_empty() && gateway.until_status(&known.sample_key, 200).await.is_ok();
    if !works {
        known.sample_key = sample_key(&api).await?;
        gateway.until_status(&known.sample_key, 200).await?;
    }
    known.password = passwords(&api, &known.password).await?;
    known.write(&dir.join("dev.env"), &gateway.url(), &control_plane.url())?;
    known.print(&gateway.url(), &control_plane.url());
    Ok(System { provider, control_plane, gateway, api })
}

/// The sample provider and its models, and the real one's; what is there already stays.
async fn fill_catalogue(api: &Api, sample: &Provider, openai_key: Option<&str>) -> anyhow::Result<()> {
    ensure_provider(api, PROVIDER, "openai_compatible", &sample.url(), PROVIDER_CREDENTIAL).await?;
    for model in MODELS {
        ensure_model(api, model, PROVIDER, model).await?;
    }
    let Some(key) = openai_key else { return Ok(()) };
    ensure_provider(api, "openai", "openai", "https://api.openai.com/v1", key).await?;
    for model in OPENAI_MODELS {
        ensure_model(api, &format!("openai/{model}"), "openai", model).await?;
    }
    Ok(())
}

/// Creates the provider, or gives the one that is there this address and credential.
async fn ensure_provider(
    api: &Api,
    name: &str,
    kind: &str,
    url: &str,
    credential: &str,
) -> anyhow::Result<()> {
    if !is_listed(api, "/api/v1/providers", "name", name).await? {
        return api.create_provider(name, kind, url, credential).await.map(drop);
    }
    let edit = json!({ "base_url": url, "credential": credential });
    let answer = api.send(Method::PATCH, &format!("/api/v1/providers/{name}"), Some(edit)).await?;
    answer.ok().with_context(|| format!("editing provider {name}")).map(drop)
}

async fn ensure_model(api: &Api, name: &str, provider: &str, upstream_name: &str) -> anyhow::Result<()> {
    if is_listed(api, "/api/v1/models", "name", name).await? {
        return Ok(());
    }
    let body = json!({ "name": name, "provider": provider, "upstream_name": upstream_name });
    api.post("/api/v1/models", body).await?.ok().with_context(|| format!("creating model {name}")).map(drop)
}

/// A new key of the sample user for the sample app; both are made when they are not there.
async fn sample_key(api: &Api) -> anyhow::Result<String> {
    let user = match listed(api, &format!("/api/v1/users?search={USER}"), "email", USER).await? {
        Some(user) => id(&user)?,
        None => api.create_user(USER).await?,
    };
    let app = match listed(api, &format!("/api/v1/apps?search={APP}"), "name", APP).await? {
        Some(app) => App { id: id(&app)?, key: String::new(), key_id: String::new() },
        None => {
            let app = api.create_app(json!({ "name": APP, "mode": "named" })).await?;
            let everyone = json!({ "access": { "viewer": { "mode": "everyone" } } });
            let path = format!("/api/v1/apps/{}/self-service", app.id);
            api.send(Method::PATCH, &path, Some(everyone)).await?.ok()?;
            app
        }
    };
    Ok(api.create_key(&app, &user, "made by make up").await?.value)
}

/// The password by which the owner and the sample user sign in to the portal: the one that is known already,
/// or a new one.
async fn passwords(api: &Api, known: &str) -> anyhow::Result<String> {
    let credentials = |password: &str| json!({ "email": OWNER, "password": password });
    if !known.is_empty() && api.post("/api/v1/auth/sign-in", credentials(known)).await?.status == 200 {
        return Ok(known.to_owned());
    }
    let mut password = String::new();
    for email in [OWNER, USER] {
        let user = listed(api, &format!("/api/v1/users?search={email}"), "email", email).await?;
        let path =
            format!("/api/v1/users/{}/invite", id(&user.with_context(|| format!("no user {email}"))?)?);
        let invitation = api.post(&path, json!({})).await?.ok()?;
        let token = invitation["token"].as_str().context("an invitation without a token")?;
        if password.is_empty() {
            // As random as the invitation itself, which is used up by it.
            password = token.to_owned();
        }
        let body = json!({ "token": token, "password": password });
        api.post("/api/v1/auth/invitation", body).await?.ok()?;
    }
    Ok(password)
}

async fn is_listed(api: &Api, path: &str, field: &str, value: &str) -> anyhow::Result<bool> {
    Ok(listed(api, path, field, value).await?.is_some())
}

/// The listed item whose `field` is `value`, unless it was revoked.
async fn listed(api: &Api, path: &str, field: &str, value: &str) -> anyhow::Result<Option<Value>> {
    let list = api.get(path).await?.ok().with_context(|| format!("listing {path}"))?;
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(items.iter().find(|item| item[field] == value && item["status"] != "revoked").cloned())
}

fn id(item: &Value) -> anyhow::Result<String> {
    item["id"].as_str().map(str::to_owned).with_context(|| format!("no id in {item}"))
}

impl System {
    async fn until_one_ends(&mut self) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                () = self.provider.wait() => bail!("the sample provider has ended"),
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
            }
            self.control_plane.check()?;
            self.gateway.check()?;
        }
    }
}

impl Known {
    fn read(path: &PathBuf) -> Self {
        let text = fs::read_to_string(path).unwrap_or_default();
        let value = |name: &str| {
            let line = text.lines().find_map(|line| {
                line.strip_prefix("export ").unwrap_or(line).strip_prefix(name)?.strip_prefix('=')
            });
            line.unwrap_or_default().to_owned()
        };
        Self {
            admin_token: value("LATCHKEY_ADMIN_TOKEN"),
            sample_key: value("LATCHKEY_SAMPLE_KEY"),
            password: value("LATCHKEY_PASSWORD"),
        }
    }

    fn write(&self, path: &Path, gateway: &str, api: &str) -> anyhow::Result<()> {
        let Self { admin_token, sample_key, password } = self;
        let text = format!(
            "export LATCHKEY_GATEWAY_URL={gateway}\nexport LATCHKEY_API_URL={api}\n\
             export LATCHKEY_PASSWORD={password}\nexport LATCHKEY_ADMIN_TOKEN={admin_token}\n\
             export LATCHKEY_SAMPLE_KEY={sample_key}\n"
        );
        write_secret(path, &text)
    }

    fn print(&self, gateway: &str, api: &str) {
        let Self { admin_token, sample_key, password } = self;
        println!(
            "
Latchkey is up. Ctrl-C stops it.

  portal       {api}
  sign in      {OWNER} (an owner) or {USER} (a user)
  password     {password}

  gateway      {gateway}/v1
  sample key   {sample_key}
  API          {api}/api/v1
  API token    Authorization: Bearer {admin_token}

Try it:

  curl {gateway}/v1/chat/completions -H 'Authorization: Bearer {sample_key}' \\
    -H 'Content-Type: application/json' \\
    -d '{{\"model\":\"gpt-4o-mini\",\"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}]}}'

The same values are in .latchkey/dev.env; logs are in .latchkey/."
        );
    }
}

impl Arguments {
    fn check_ports(&self) -> anyhow::Result<()> {
        let ports = [
            ("LATCHKEY_GATEWAY_PORT", self.gateway_port),
            ("LATCHKEY_API_PORT", self.api_port),
            ("LATCHKEY_GRPC_PORT", self.grpc_port),
            ("LATCHKEY_PROVIDER_PORT", self.provider_port),
        ];
        for (variable, port) in ports {
            TcpListener::bind(("127.0.0.1", port))
                .with_context(|| format!("port {port} cannot be used: set {variable} to another"))?;
        }
        Ok(())
    }
}

/// Writes a file that only its owner reads.
fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = fs::File::options();
    let mut file = options.create(true).write(true).truncate(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn dev_env_is_read_back_and_reaches_the_programs_of_the_shell_that_sources_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dev.env");
        let known = Known {
            admin_token: "lk_token".to_owned(),
            sample_key: "sk-quilr-parent:ss1.claim.secret".to_owned(),
            password: "correct-horse_battery".to_owned(),
        };
        known.write(&path, "http://127.0.0.1:10000", "http://127.0.0.1:8080").unwrap();
        let read = Known::read(&path);
        assert_eq!(read.admin_token, known.admin_token);
        assert_eq!(read.sample_key, known.sample_key);
        assert_eq!(read.password, known.password);

        let names = ["GATEWAY_URL", "API_URL", "PASSWORD", "ADMIN_TOKEN", "SAMPLE_KEY"];
        let names = names.map(|name| format!("LATCHKEY_{name}"));
        let child = format!(". {} && printenv {}", path.display(), names.join(" "));
        let mut shell = Command::new("sh");
        for name in &names {
            shell.env_remove(name);
        }
        let output = shell.args(["-c", &child]).output().unwrap();
        assert_eq!(
            String::from_utf8(output.stdout).unwrap().lines().collect::<Vec<_>>(),
            [
                "http://127.0.0.1:10000",
                "http://127.0.0.1:8080",
                &known.password,
                &known.admin_token,
                &known.sample_key
            ]
        );
    }

    #[test]
    fn what_an_older_make_up_wrote_without_export_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dev.env");
        fs::write(&path, "LATCHKEY_PASSWORD=p\nLATCHKEY_ADMIN_TOKEN=lk_t\nLATCHKEY_SAMPLE_KEY=k\n").unwrap();
        let Known { admin_token, sample_key, password } = Known::read(&path);
        assert_eq!([admin_token, sample_key, password], ["lk_t", "k", "p"]);
    }
}
