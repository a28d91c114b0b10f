//! Other gateways beside ours: the same request, provider and machine, in one run.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use latchkey_tests::stack::child::{Output, Process};
use latchkey_tests::stack::port::Port;
use latchkey_tests::stack::{artifacts, postgres, wait};

use crate::FEW;
use crate::fixed::Fixed;
use crate::load::{self, Ask};
use crate::report::Report;
use crate::statistics::{median, percentile};
use crate::system::{self, CLUSTER, System};
use crate::usage::Usage;
use crate::variant::Variant;

pub mod authorizer;

/// How many times as much CPU LiteLLM should take as Latchkey.
const LITELLM: f64 = 30.0;

/// The same of Portkey's gateway.
const PORTKEY: f64 = 5.0;

/// How long a peer is under load before it is measured.
const WARM_UP: Duration = Duration::from_secs(15);

/// How long a turn lasts, more or less.
const TURN: Duration = Duration::from_secs(2);

/// Connections under load, each with one request at a time.
const CONNECTIONS: usize = 8;

/// Requests in a turn that are sent one at a time.
const ALONE: u64 = 60;

/// How long Python may take to read all of LiteLLM.
const PATIENCE: Duration = Duration::from_secs(120);

/// A gateway under measurement.
struct Peer<'a> {
    /// Its name, and what it does with a request.
    name: &'static str,
    address: SocketAddr,
    /// All of its processes.
    processes: Vec<Usage>,
    /// What its requests say besides.
    headers: String,
    key: &'a (dyn Fn(u64) -> String + Sync),
    /// Requests in a turn.
    requests: u64,
    turns: Vec<Turn>,
    /// How long each request took that was sent alone.
    alone: Vec<Duration>,
}

struct Turn {
    /// Of all processes, per request.
    cpu: Duration,
    per_second: f64,
}

impl Peer<'_> {
    fn cpu(&self) -> anyhow::Result<Duration> {
        self.processes.iter().map(Usage::cpu).sum()
    }

    fn send(&self, connections: usize, requests: u64) -> anyhow::Result<load::Took> {
        let body = load::body(Ask::Whole);
        load::send_with(&self.headers, self.address, connections, 0..requests, &body, self.key)
            .with_context(|| format!("calling {}", self.name))
    }

    /// Sends requests until all code is warm, and finds out how many fill a turn.
    fn warm_up(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < WARM_UP {
            let took = self.send(CONNECTIONS, self.requests)?.all;
            let fitting = self.requests as f64 * TURN.div_duration_f64(took);
            self.requests = (fitting as u64).clamp(20, self.requests * 4);
        }
        Ok(())
    }

    fn turn(&mut self) -> anyhow::Result<()> {
        let before = self.cpu()?;
        let took = self.send(CONNECTIONS, self.requests)?.all;
        let cpu = (self.cpu()? - before).div_f64(self.requests as f64);
        self.turns.push(Turn { cpu, per_second: self.requests as f64 / took.as_secs_f64() });
        self.alone.extend(self.send(1, ALONE)?.first);
        Ok(())
    }

    /// CPU time per request, in milliseconds.
    fn cpu_ms(&self) -> f64 {
        median(self.turns.iter().map(|turn| turn.cpu.as_secs_f64() * 1e3))
    }

    fn shown(&self) -> anyhow::Result<String> {
        let alone = |percent| percentile(self.alone.iter().map(|took| took.as_secs_f64() * 1e3), percent);
        let memory: u64 =
            self.processes.iter().map(Usage::proportional_memory).sum::<anyhow::Result<u64>>()?;
        Ok(format!(
            "{:.3} ms CPU, {:.0}/s, alone {:.2} ms (p99 {:.2} ms), {} MB",
            self.cpu_ms(),
            median(self.turns.iter().map(|turn| turn.per_second)),
            alone(50),
            alone(99),
            memory / 1_000_000,
        ))
    }
}

/// Measures Latchkey, an authorizer, Portkey and LiteLLM in turns, `rounds` of them.
pub async fn measure(provider: &Fixed, rounds: u64) -> anyhow::Result<Report> {
    let installed = artifacts::target().join("peers");
    ensure!(installed.exists(), "the peers are not there: run tests/peers/install.sh");
    let mut system = System::start_metered(provider, FEW).await?;
    let provider_url = format!("http://{}/v1", provider.address());

    let database = postgres::database().await?;
    let keys = (0..FEW).map(|number| system.stock.value(number)).collect::<Vec<_>>();
    authorizer::fill(&database, &keys).await?;
    let dir = system.stack.dir().to_owned();
    let port = Port::free()?;
    let own = std::env::current_exe()?;
    let arguments = ["--authorizer", &database, "--port", &port.number().to_string()].map(str::to_owned);
    let authorizer = start(&dir, "authorizer", &own, &arguments, &[])?;
    let config = Variant::ExtAuthz(port.address()).write(&dir, CLUSTER)?;
    system.add(system.stack.options("ext_authz").config(&config)).await?;

    let portkey_port = Port::free()?;
    let script = installed.join("node_modules/@portkey-ai/gateway/build/start-server.js");
    let arguments =
        [script.display().to_string(), format!("--port={}", portkey_port.number()), "--headless".into()];
    let mut portkey = start(&dir, "portkey", Path::new("node"), &arguments, &[])?;

    let litellm_port = Port::free()?;
    let config = artifacts::root().join("tests/peers/litellm.yaml").display().to_string();
    let number = litellm_port.number().to_string();
    let arguments = ["--config", &config, "--host", "127.0.0.1", "--port", &number].map(str::to_owned);
    let variables = [
        ("PROVIDER_URL", provider_url.as_str()),
        ("LITELLM_LOCAL_MODEL_COST_MAP", "True"),
        ("LITELLM_TELEMETRY", "False"),
        ("LITELLM_LOG", "ERROR"),
    ];
    let mut litellm = start(&dir, "litellm", &installed.join("litellm/bin/litellm"), &arguments, &variables)?;

    let client = reqwest::Client::new();
    let url = format!("http://{}/", portkey_port.address());
    portkey.until_ready("Portkey to listen", &client, &url, PATIENCE).await?;
    let url = format!("http://{}/health/liveliness", litellm_port.address());
    litellm.until_ready("LiteLLM to listen", &client, &url, PATIENCE).await?;
    let backends = wait::until("the authorizer to connect", PATIENCE, async || {
        let ids = authorizer::processes(&database).await?;
        Ok((ids.len() == authorizer::CONNECTIONS as usize).then_some(ids))
    })
    .await?;

    let control_plane = system.stack.control_plane().id().context("the control plane does not run")?;
    let [gate, ext_authz] = system.stack.gateways() else { anyhow::bail!("two Envoys were started") };
    let stock_key = |number: u64| keys[usize::try_from(number % FEW).unwrap_or(0)].clone();
    let peer_key = |_: u64| "sk-peer".to_owned();
    let peer = |name, address, processes, headers, key| Peer {
        name,
        address,
        processes,
        headers,
        key,
        requests: 50,
        turns: vec![],
        alone: vec![],
    };
    let backends = backends.into_iter().map(Usage::Process);
    let asking = [system::usage(ext_authz)?, Usage::Process(authorizer.id())];
    let of_portkey = format!("x-portkey-provider: openai\r\nx-portkey-custom-host: {provider_url}\r\n");
    let mut peers = [
        peer(
            "Latchkey: keys, limits, a budget, records",
            system::address(gate)?,
            vec![system::usage(gate)?, Usage::Process(control_plane)],
            String::new(),
            &stock_key as &(dyn Fn(u64) -> String + Sync),
        ),
        peer(
            "Envoy, ext_authz, PostgreSQL: keys",
            system::address(ext_authz)?,
            asking.into_iter().chain(backends).collect(),
            String::new(),
            &stock_key,
        ),
        peer(
            "Portkey's gateway: no keys, no limits",
            portkey_port.address(),
            vec![Usage::Process(portkey.id())],
            of_portkey,
            &peer_key,
        ),
        peer(
            "LiteLLM: the master key, no limits",
            litellm_port.address(),
            vec![Usage::Process(litellm.id())],
            String::new(),
            &peer_key,
        ),
    ];
    tokio::task::block_in_place(|| -> anyhow::Result<()> {
        for peer in &mut peers {
            peer.warm_up()?;
        }
        for _ in 0..rounds {
            for peer in &mut peers {
                peer.turn()?;
            }
        }
        Ok(())
    })?;

    let mut report = Report::new("Other gateways: all their processes, per chat completion of 1.4 kB");
    for peer in &peers {
        report.note(peer.name, peer.shown()?);
    }
    let [latchkey, ext_authz, portkey, litellm] = peers.each_ref().map(Peer::cpu_ms);
    let times = |value: f64| format!("{value:.1} ×");
    report.note("CPU time of ext_authz with PostgreSQL, to Latchkey", times(ext_authz / latchkey));
    report.at_least("CPU time of Portkey, to Latchkey", portkey / latchkey, PORTKEY, times);
    report.at_least("CPU time of LiteLLM, to Latchkey", litellm / latchkey, LITELLM, times);
    Ok(report)
}

/// Starts a program that logs into `dir`.
fn start(
    dir: &Path,
    name: &str,
    program: &Path,
    arguments: &[String],
    variables: &[(&str, &str)],
) -> anyhow::Result<Process> {
    let log = dir.join(format!("{name}.log"));
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let output = Output { out: log.clone(), err: log };
    Process::start(name, program, arguments, &variables.collect::<Vec<_>>(), &output)
}
