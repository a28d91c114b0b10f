//! The system under measurement.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use latchkey_tests::stack::gateway::{Gateway, Options};
use latchkey_tests::stack::{Stack, wait};
use reqwest::Method;

use crate::fixed::Fixed;
use crate::race::{self, Contender, Course};
use crate::stock::Stock;
use crate::usage::{Memory, Usage};

/// The provider that takes no time.
pub const PROVIDER: &str = "fixed";

/// The provider's cluster, as the control plane names it.
pub const CLUSTER: &str = "latchkey/fixed";

/// The longest wait for a million keys before a run is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// A control plane that knows keys, and a gateway that has them all, before a provider that takes
/// no time.
pub struct System {
    /// What runs.
    pub stack: Stack,
    /// The keys.
    pub stock: Stock,
    /// The gateway's first start, with nothing known.
    pub cold: ColdStart,
}

/// An Envoy's start until it has every key.
#[derive(Clone, Copy, Debug)]
pub struct ColdStart {
    /// From the start of the process to the first 200 of its readiness route.
    pub elapsed: Duration,
    /// The CPU time that Envoy used meanwhile.
    pub cpu: Duration,
    /// The process's memory after that.
    pub memory: Memory,
}

/// A control plane and a gateway before a provider that takes no time.
pub async fn before(provider: &Fixed) -> anyhow::Result<Stack> {
    let mut stack = Stack::builder().gateways(0).without_catalogue().start().await?;
    let url = format!("http://{}/v1", provider.address());
    stack.api().create_provider(PROVIDER, "openai_compatible", &url, "sk-provider").await?;
    stack.api().create_model("gpt-4o-mini", PROVIDER).await?;
    stack.add_gateway(stack.options("gateway")).await?;
    Ok(stack)
}

impl System {
    /// Starts one with this many keys.
    pub async fn start(provider: &Fixed, keys: u64) -> anyhow::Result<Self> {
        let mut stack = Stack::builder().gateways(0).without_catalogue().start().await?;
        let url = format!("http://{}/v1", provider.address());
        stack.api().create_provider(PROVIDER, "openai_compatible", &url, "sk-provider").await?;
        stack.api().create_model("gpt-4o-mini", PROVIDER).await?;
        let stock = Stock::load(&mut stack, keys).await?;
        let begun = Instant::now();
        stack.add_gateway(stack.options("gateway")).await?;
        let cold = until_ready(stack.gateway(), begun).await?;
        stack.gateway().until_status(&stock.value(0), 200).await?;
        Ok(Self { stack, stock, cold })
    }

    /// The same, where every app and key has limits and a budget, and the model a price.
    pub async fn start_metered(provider: &Fixed, keys: u64) -> anyhow::Result<Self> {
        let system = Self::start(provider, keys).await?;
        system.stock.limit(&system.stack).await?;
        system.stack.until_synced().await?;
        Ok(system)
    }

    /// Stops the gateway, and starts it knowing nothing.
    pub async fn start_cold(&mut self) -> anyhow::Result<ColdStart> {
        let gateway = self.stack.gateway_mut();
        gateway.stop().await?;
        let begun = Instant::now();
        gateway.start().await?;
        let cold = until_ready(gateway, begun).await?;
        gateway.until_status(&self.stock.value(0), 200).await?;
        Ok(cold)
    }

    /// Runs the course with all its Envoys, in the order in which they were added.
    pub fn race(&self, course: Course) -> anyhow::Result<Vec<Contender<'_>>> {
        let contenders = self.stack.gateways().iter().map(|gateway| Contender::new(gateway, &self.stock));
        let mut contenders = contenders.collect::<anyhow::Result<Vec<_>>>()?;
        race::run(course, &mut contenders)?;
        Ok(contenders)
    }

    /// Starts a further Envoy that lets these keys through.
    pub async fn add(&mut self, options: Options) -> anyhow::Result<&Gateway> {
        let key = self.stock.value(0);
        let gateway = self.stack.add_gateway(options).await?;
        gateway.until_status(&key, 200).await?;
        Ok(gateway)
    }
}

/// An Envoy's CPU time and memory.
pub fn usage(gateway: &Gateway) -> anyhow::Result<Usage> {
    Ok(Usage::Process(gateway.id().with_context(|| format!("{} does not run", gateway.name()))?))
}

/// Where an Envoy listens.
pub fn address(gateway: &Gateway) -> anyhow::Result<SocketAddr> {
    Ok(gateway.url().trim_start_matches("http://").parse()?)
}

async fn until_ready(gateway: &Gateway, begun: Instant) -> anyhow::Result<ColdStart> {
    wait::until("the gateway to have every key", PATIENCE, async || {
        let answer = gateway.request(Method::GET, "/latchkey/ready").send().await?;
        Ok(answer.status().is_success().then_some(()))
    })
    .await
    .with_context(|| gateway.log_end())?;
    let elapsed = begun.elapsed();
    let usage = usage(gateway)?;
    Ok(ColdStart { elapsed, cpu: usage.cpu()?, memory: usage.memory()? })
}
