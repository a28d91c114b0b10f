//! `make bench`: what the gateway costs, next to an Envoy without it and with a million keys.
//!
//! Ratios hold on any machine, since both sides were measured in one run, turn by turn; the rest is
//! this machine's. A missed target is printed, and is no failure: a busy machine misses many.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use fixed::Fixed;
use load::Ask;
use race::Course;
use system::System;

mod active;
mod anatomy;
mod builds;
mod changes;
mod exchange;
mod fixed;
mod governance;
mod guardrails;
mod identity;
mod ingest;
mod leaks;
mod lease;
mod load;
mod lookups;
mod metered;
mod overhead;
mod pages;
mod peers;
mod race;
mod report;
mod routing;
mod statistics;
mod stock;
mod sync;
mod system;
mod turns;
mod usage;
mod variant;

/// Keys of the gateway that others are compared with.
const FEW: u64 = 100;

/// Measures the gateway.
#[derive(Parser)]
struct Arguments {
    /// Only these figures.
    #[arg(long, value_enum)]
    only: Vec<Figure>,
    /// Keys of the gateway that has many.
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// Turns of each Envoy.
    #[arg(long, default_value_t = 60)]
    rounds: u64,
    /// Requests in a turn.
    #[arg(long, default_value_t = 3_000)]
    requests: u64,
    /// Requests before that.
    #[arg(long, default_value_t = 20_000)]
    warm_up: u64,
    /// Connections to an Envoy.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Starts of the gateway that has many keys.
    #[arg(long, default_value_t = 3)]
    starts: usize,
    /// Changes of a key.
    #[arg(long, default_value_t = 300)]
    changes: u64,
    /// Keys that are used at the same time.
    #[arg(long, default_value_t = 100_000)]
    active: u64,
    /// Leases asked for.
    #[arg(long, default_value_t = 3_000)]
    leases: u64,
    /// Made-up user tokens of each kind.
    #[arg(long, default_value_t = 10_000)]
    tokens: u64,
    /// Records sent to the control plane.
    #[arg(long, default_value_t = 300_000)]
    records: u64,
    /// Apps that the portal shows.
    #[arg(long, default_value_t = 1_000)]
    shown_apps: u64,
    /// Records that the portal shows.
    #[arg(long, default_value_t = 1_000_000)]
    shown_records: u64,
    /// Other builds of the filter, which `builds` compares with the one that is there.
    #[arg(long)]
    filter: Vec<PathBuf>,
    /// Serves as the authorizer that `peers` asks, with the keys in this database.
    #[arg(long, hide = true, requires = "port")]
    authorizer: Option<String>,
    /// Where the authorizer listens.
    #[arg(long, hide = true)]
    port: Option<u16>,
    /// Said by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Figure {
    Overhead,
    Sync,
    Lookups,
    Changes,
    Metered,
    Stream,
    Anatomy,
    Builds,
    Active,
    Lease,
    Ingest,
    Governance,
    Guardrails,
    Leaks,
    Identity,
    Pages,
    Routing,
    /// Other gateways, if `tests/peers/install.sh` has installed them.
    Peers,
}

impl Arguments {
    fn wants(&self, figure: Figure) -> bool {
        self.only.is_empty() || self.only.contains(&figure)
    }

    fn course(&self) -> Course {
        Course {
            rounds: self.rounds,
            warm_up: self.warm_up,
            requests: self.requests,
            connections: self.connections,
            ask: Ask::Whole,
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let (Some(database), Some(port)) = (&arguments.authorizer, arguments.port) {
        return peers::authorizer::serve(database, port).await;
    }
    let provider = Fixed::start("provider", fixed::COMPLETION)?;
    keys(&arguments, &provider).await?;
    usage(&arguments, &provider).await
}

/// What checking keys costs, few and many.
async fn keys(arguments: &Arguments, provider: &Fixed) -> anyhow::Result<()> {
    let many = [Figure::Sync, Figure::Lookups, Figure::Changes].map(|figure| arguments.wants(figure));
    if !many.contains(&true) && !arguments.wants(Figure::Overhead) {
        return Ok(());
    }
    let mut few = System::start(provider, FEW).await?;
    if arguments.wants(Figure::Overhead) {
        overhead::measure(&mut few, provider, arguments.course()).await?.print();
    }
    if !many.contains(&true) {
        return Ok(());
    }
    let mut many = System::start(provider, arguments.keys).await?;
    if arguments.wants(Figure::Sync) {
        sync::measure(&few, &mut many, arguments.starts).await?.print();
    }
    if arguments.wants(Figure::Lookups) {
        lookups::measure(&few, &many, arguments.course())?.print();
    }
    if arguments.wants(Figure::Changes) {
        changes::measure(&many, arguments.changes).await?.print();
    }
    Ok(())
}

/// What measuring, limiting and recording requests costs, and looking at it.
async fn usage(arguments: &Arguments, provider: &Fixed) -> anyhow::Result<()> {
    if arguments.wants(Figure::Metered) || arguments.wants(Figure::Stream) {
        let system = metered::start(provider).await?;
        if arguments.wants(Figure::Metered) {
            metered::whole(&system, arguments.course())?.print();
        }
        if arguments.wants(Figure::Stream) {
            metered::streamed(&system, arguments.course())?.print();
        }
    }
    if arguments.wants(Figure::Anatomy) {
        let mut system = metered::start(provider).await?;
        anatomy::measure(&mut system, arguments.course()).await?.print();
    }
    if !arguments.filter.is_empty() && arguments.wants(Figure::Builds) {
        let mut system = metered::start(provider).await?;
        builds::measure(&mut system, &arguments.filter, arguments.course()).await?.print();
    }
    if arguments.wants(Figure::Active) {
        let mut system = System::start_metered(provider, arguments.active).await?;
        active::measure(&mut system, arguments.course()).await?.print();
    }
    if arguments.wants(Figure::Lease) {
        lease::measure(arguments.leases).await?.print();
    }
    if arguments.wants(Figure::Ingest) {
        ingest::measure(arguments.records).await?.print();
    }
    if arguments.wants(Figure::Governance) {
        governance::measure().await?.print();
    }
    if arguments.wants(Figure::Guardrails) {
        guardrails::measure(provider).await?.print();
    }
    if arguments.wants(Figure::Leaks) {
        leaks::measure().await?.print();
    }
    if arguments.wants(Figure::Routing) {
        routing::measure(provider).await?.print();
    }
    // Named alone: it needs what nothing else needs.
    if arguments.only.contains(&Figure::Peers) {
        peers::measure(provider, arguments.rounds).await?.print();
    }
    if arguments.wants(Figure::Identity) {
        identity::measure(arguments.tokens).await?.print();
    }
    if arguments.wants(Figure::Pages) {
        pages::measure(arguments.shown_apps, arguments.shown_records).await?.print();
    }
    Ok(())
}
