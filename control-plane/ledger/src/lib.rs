//! The ledger: usage comes in, leases go out.
//!
//! Each gateway process has a stream ([`server`]). One task, the [`book`], takes the reports of all of
//! them and writes many in one transaction ([`transaction`]); only when that is committed are they answered. What
//! gateways see of MCP servers' tools is written by another ([`tool_sightings`]), for which nobody waits.

mod attempts;
pub mod book;
pub mod calibration;
mod findings;
pub mod intake;
pub mod metrics;
pub mod notices;
pub mod presence;
pub mod retention;
pub mod server;
pub mod stats;
pub mod streams;
pub mod subjects;
pub mod suspects;
pub mod tool_sightings;
pub mod transaction;

use std::sync::Arc;

use latchkey_discovery::source::Authenticator;
use latchkey_store::Store;
use latchkey_world::World;
use tokio::sync::{mpsc, watch};

use self::book::LedgerWriter;
use self::presence::Presence;
use self::server::{LedgerService, Queues};
use self::stats::Stats;
use self::streams::LedgerStreams;
use self::suspects::Suspects;
use self::tool_sightings::writer::SightingWriter;

/// The parts of a running ledger.
#[derive(Debug)]
pub struct Ledger<A> {
    pub server: LedgerService<A>,
    pub book: LedgerWriter,
    /// Writes what gateways see of MCP servers' tools.
    pub sightings: SightingWriter,
    /// The gateways that are connected.
    pub streams: LedgerStreams,
    /// Who may still give back what it holds.
    pub presence: Presence,
    pub stats: Arc<Stats>,
    /// Apps that refused users' tokens.
    pub suspects: Suspects,
}

/// How many reports may wait for the book.
const QUEUE: usize = 1024;

impl<A: Authenticator> Ledger<A> {
    /// A ledger whose streams end once `stopping` holds true.
    #[must_use]
    pub fn new(store: Store, world: World, authenticator: Arc<A>, stopping: watch::Receiver<bool>) -> Self {
        let (queue, reports) = mpsc::channel(QUEUE);
        let (streams, presence) = (LedgerStreams::default(), Presence::default());
        let (stats, suspects) = (Arc::new(Stats::default()), Suspects::default());
        let (seen, sightings) = SightingWriter::new(store.clone(), world.clone(), Arc::clone(&stats));
        let book = LedgerWriter::new(
            store,
            world.clone(),
            streams.clone(),
            presence.clone(),
            Arc::clone(&stats),
            reports,
        );
        let queues = Queues { reports: queue, sightings: seen };
        let server =
            LedgerService::new(authenticator, world, queues, streams.clone(), suspects.clone(), stopping);
        Self { server, book, sightings, streams, presence, stats, suspects }
    }
}
