//! The whole system, on ports of its own, in a directory of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use futures::future::try_join_all;
use serde_json::Value;
use tempfile::TempDir;

pub mod artifacts;
pub mod child;
pub mod control_plane;
pub mod disk;
pub mod gateway;
pub mod link;
pub mod port;
pub mod postgres;
pub mod wait;

pub mod answer;
pub mod api;
pub mod ledger;

use crate::provider::Provider;
use api::Api;
use control_plane::ControlPlane;
use gateway::{Gateway, Options};
use port::Port;

/// What the sample provider asks for, which only the control plane and Envoy know.
pub const PROVIDER_CREDENTIAL: &str = "sk-sample-provider-credential";
/// The provider that a stack begins with.
pub const PROVIDER: &str = "sample";
/// The models that a stack begins with.
pub const MODELS: [&str; 5] =
    ["gpt-4o-mini", "gpt-4o", "gpt-3.5-turbo-instruct", "text-embedding-3-small", "claude-sonnet-4-5"];

/// A running system. Everything stops when it is dropped; when a test has failed, the ends of all
/// logs are printed. `LATCHKEY_KEEP=1` keeps its directory.
pub struct Stack {
    provider: Provider,
    gateways: Vec<Gateway>,
    control_plane: ControlPlane,
    api: Api,
    gateway_token: String,
    dir: TempDir,
}

/// What a stack is made of.
#[derive(Clone, Debug)]
pub struct Builder {
    name: String,
    gateways: usize,
    trusted_hops: u32,
    concurrency: u32,
    catalogue: Catalogue,
    database_url: Option<String>,
    variables: Vec<(String, String)>,
}

/// What the control plane knows at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Catalogue {
    Sample,
    Priced,
    Empty,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            name: "gateway".to_owned(),
            gateways: 1,
            trusted_hops: 0,
            concurrency: 1,
            catalogue: Catalogue::Sample,
            database_url: None,
            variables: vec![],
        }
    }
}

impl Builder {
    /// Names its Envoys `<name>-0` and so on, instead of `gateway-0`.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// This many Envoys, named `gateway-0` and so on.
    #[must_use]
    pub fn gateways(mut self, count: usize) -> Self {
        self.gateways = count;
        self
    }

    /// As many proxies in front of each Envoy are trusted to name the client.
    #[must_use]
    pub fn trusted_hops(mut self, hops: u32) -> Self {
        self.trusted_hops = hops;
        self
    }

    /// This many workers in each Envoy.
    #[must_use]
    pub fn concurrency(mut self, workers: u32) -> Self {
        self.concurrency = workers;
        self
    }

    /// Besides the usual models those of [`ledger`], with their prices.
    #[must_use]
    pub fn priced(mut self) -> Self {
        self.catalogue = Catalogue::Priced;
        self
    }

    /// No provider and no model at the start.
    #[must_use]
    pub fn without_catalogue(mut self) -> Self {
        self.catalogue = Catalogue::Empty;
        self
    }

    /// A database other than a new SQLite file.
    #[must_use]
    pub fn database_url(mut self, url: &str) -> Self {
        self.database_url = Some(url.to_owned());
        self
    }

    /// A variable in the control plane's environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts everything, and returns once every gateway has all that the control plane knows.
    ///
    /// # Errors
    /// When a process does not start; then with the end of its log.
    pub async fn start(self) -> anyhow::Result<Stack> {
        let mut dir = tempfile::Builder::new().prefix("latchkey-").tempdir()?;
        dir.disable_cleanup(std::env::var_os("LATCHKEY_KEEP").is_some());
        let provider = Provider::start(([127, 0, 0, 1], 0).into(), Some(PROVIDER_CREDENTIAL)).await?;

        let mut control_plane = ControlPlane::new(dir.path(), Port::free()?, Port::free()?);
        if let Some(url) = &self.database_url {
            control_plane.set_variable("DATABASE_URL", url);
        }
        // A busy machine takes its time; a test that wants less says so.
        control_plane.set_variable("LATCHKEY_APPLY_WAIT_MS", "10000");
        for (name, value) in &self.variables {
            control_plane.set_variable(name, value);
        }
        let api = Api::new(&control_plane.url(), &control_plane.token("tests", "owner").await?);
        let gateway_token = control_plane.token("gateways", "gateway").await?;
        let options = |index| {
            Options::new(&format!("{}-{index}", self.name), control_plane.grpc_address(), &gateway_token)
                .trusted_hops(self.trusted_hops)
                .concurrency(self.concurrency)
        };
        let mut gateways = (0..self.gateways)
            .map(|index| Gateway::new(dir.path(), options(index)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        if let Some(first) = gateways.first() {
            control_plane.set_variable("LATCHKEY_GATEWAY_URL", &first.url());
        }
        control_plane.start().await?;

        if self.catalogue != Catalogue::Empty {
            api.create_provider(PROVIDER, "openai_compatible", &provider.url(), PROVIDER_CREDENTIAL).await?;
            for model in MODELS {
                api.create_model(model, PROVIDER).await?;
            }
        }
        if self.catalogue == Catalogue::Priced {
            for model in [ledger::CHEAP, ledger::DEAR] {
                api.create_priced_model(&model, PROVIDER).await?;
            }
        }
        try_join_all(gateways.iter_mut().map(Gateway::start)).await?;
        let stack = Stack { provider, gateways, control_plane, api, gateway_token, dir };
        stack.until_synced().await?;
        Ok(stack)
    }
}

impl Stack {
    /// A system with one gateway, the sample provider and its models.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub async fn start() -> anyhow::Result<Self> {
        Self::builder().start().await
    }

    /// A system that is not the usual one.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The API, as an owner.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// The sample provider.
    #[must_use]
    pub fn provider(&self) -> &Provider {
        &self.provider
    }

    /// The control plane, to be stopped, changed and started.
    pub fn control_plane(&mut self) -> &mut ControlPlane {
        &mut self.control_plane
    }

    /// Where gateways meet the control plane.
    #[must_use]
    pub fn grpc_address(&self) -> SocketAddr {
        self.control_plane.grpc_address()
    }

    /// Kills the control plane and starts it over the same data, on the same ports.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn crash_control_plane(&mut self) -> anyhow::Result<()> {
        self.control_plane.kill();
        self.control_plane.start().await
    }

    /// Where the running gateways listen.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let running = self.gateways.iter().filter(|gateway| gateway.is_running());
        running.map(Gateway::address).collect()
    }

    /// A token for one more gateway.
    #[must_use]
    pub fn gateway_token(&self) -> &str {
        &self.gateway_token
    }

    /// The first gateway.
    ///
    /// # Panics
    /// When the stack was built without one.
    #[must_use]
    pub fn gateway(&self) -> &Gateway {
        &self.gateways[0]
    }

    /// The first gateway, to be stopped and started.
    ///
    /// # Panics
    /// When the stack was built without one.
    pub fn gateway_mut(&mut self) -> &mut Gateway {
        &mut self.gateways[0]
    }

    /// All gateways.
    #[must_use]
    pub fn gateways(&self) -> &[Gateway] {
        &self.gateways
    }

    /// All gateways, to be stopped and started.
    pub fn gateways_mut(&mut self) -> &mut [Gateway] {
        &mut self.gateways
    }

    /// Where everything is kept.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What a further gateway is started with, unless changed.
    #[must_use]
    pub fn options(&self, name: &str) -> Options {
        Options::new(name, self.control_plane.grpc_address(), &self.gateway_token)
    }

    /// Starts one more gateway, and returns once it listens: it may not know anything yet.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn add_gateway(&mut self, options: Options) -> anyhow::Result<&Gateway> {
        let mut gateway = Gateway::new(self.dir.path(), options)?;
        gateway.start().await?;
        self.gateways.push(gateway);
        self.gateways.last().context("a gateway was just added")
    }

    /// Waits until every running gateway has applied all that the control plane knows.
    ///
    /// # Errors
    /// Names the gateway that has not, after 20 seconds.
    pub async fn until_synced(&self) -> anyhow::Result<()> {
        for gateway in self.gateways.iter().filter(|gateway| gateway.is_running()) {
            let what = format!("{} to be in step with the control plane", gateway.name());
            wait::until(&what, Duration::from_secs(20), async || {
                let known = self.api.gateway(gateway.name()).await?;
                Ok(known.filter(|known| known["connected"] == true && known["lag"] == 0))
            })
            .await
            .with_context(|| gateway.log_end())?;
            self.until_clusters(gateway).await?;
        }
        Ok(())
    }

    /// Waits until the gateway has the cluster of every provider that brings none, and where it gets those for routing
    /// groups, that one as well.
    async fn until_clusters(&self, gateway: &Gateway) -> anyhow::Result<()> {
        let providers = self.api.get("/api/v1/providers").await?.ok()?;
        let providers = providers["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let managed = |provider: &&Value| provider["managed_cluster"] == true && provider["enabled"] == true;
        let managed: Vec<_> = providers.iter().filter(managed).collect();
        let in_groups = managed.iter().filter(|provider| provider["group_cluster"].is_string()).count();
        let what = format!("{} to have the clusters of {} providers", gateway.name(), managed.len());
        wait::until(&what, Duration::from_secs(60), async || {
            let known = self.api.gateway(gateway.name()).await?;
            let for_groups = known.is_some_and(|known| known["group_clusters"] == true);
            let needed = managed.len() + if for_groups { in_groups } else { 0 };
            Ok((gateway.provider_clusters().await? >= needed).then_some(()))
        })
        .await
        .with_context(|| gateway.log_end())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // The runner shows what a test has printed only when the test has failed.
        if !std::thread::panicking() && std::env::var_os("NEXTEST").is_none() {
            return;
        }
        eprintln!("{}", self.control_plane.log_end());
        for gateway in &self.gateways {
            eprintln!("{}", gateway.log_end());
        }
    }
}

/// The end of a log, under its path.
fn end_of(path: &Path) -> String {
    const LINES: usize = 60;
    let log = std::fs::read(path).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines = log.lines().collect::<Vec<_>>();
    let end = lines[lines.len().saturating_sub(LINES)..].join("\n");
    format!("--- {}\n{end}", path.display())
}

/// A file in a directory, as text that Envoy's configuration can hold.
fn text(path: &Path) -> String {
    path.display().to_string()
}
