//! `make bench`: what the gateway costs, next to an Envoy without it and with a million keys.
//!
//! Ratios hold on any machine, since both sides were measured in one run, turn by turn; the rest is
//! this machine's. A missed target is printed, and is no failure: a busy machine misses many.

use clap::{Parser, ValueEnum};

use fixed::Fixed;
use race::Course;
use system::System;

mod changes;
mod fixed;
mod load;
mod lookups;
mod overhead;
mod race;
mod report;
mod statistics;
mod stock;
mod sync;
mod system;
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
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let provider = Fixed::start("provider", fixed::COMPLETION)?;
    let mut few = System::start(&provider, FEW).await?;
    if arguments.wants(Figure::Overhead) {
        overhead::measure(&mut few, &provider, arguments.course()).await?.print();
    }
    if arguments.only == [Figure::Overhead] {
        return Ok(());
    }
    let mut many = System::start(&provider, arguments.keys).await?;
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
