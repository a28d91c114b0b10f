//! Writes what gateways have seen of tools, beside the ledger's writer: however much a server lists, no lease and no
//! record waits for it, but on SQLite for one [`PART`] of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use latchkey_core::event::TOOL_CHANGED;
use latchkey_core::mcp_tools::{MOST_TOOLS, Tool, ToolPinning, ToolSighting, ToolState};
use latchkey_store::Store;
use latchkey_store::events::NewEvent;
use latchkey_store::fault::Fault;
use latchkey_store::upstreams::McpProtocol;
use latchkey_world::World;
use serde_json::json;
use tokio::sync::mpsc;

use super::{ReportedSightings, SightingQueue, count};
use crate::stats::Stats;

/// How many reports may wait; each has half a megabyte at most.
const QUEUE: usize = 64;

/// The sightings that one transaction writes; each has 64 KiB at most.
const PART: usize = 32;

/// After which waits a transaction is tried again where the database does not do its work.
const RETRIES_MS: [u64; 3] = [100, 400, 1_600];

/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The only one that writes sightings in this process.
#[derive(Debug)]
pub struct SightingWriter {
    store: Store,
    world: World,
    stats: Arc<Stats>,
    waiting: mpsc::Receiver<ReportedSightings>,
}

impl SightingWriter {
    pub(crate) fn new(store: Store, world: World, stats: Arc<Stats>) -> (SightingQueue, Self) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        (SightingQueue { queue, stats: Arc::clone(&stats) }, Self { store, world, stats, waiting })
    }

    /// Writes until it is dropped.
    pub async fn keep(mut self) {
        while let Some(mut sightings) = self.waiting.recv().await {
            for _ in 1..QUEUE {
                let Ok(more) = self.waiting.try_recv() else { break };
                for (server, more) in more {
                    sightings.entry(server).or_default().extend(more);
                }
            }
            for (server, sightings) in &sightings {
                // In parts: SQLite has one lock for all, and leases and records wait for it.
                for part in sightings.chunks(PART) {
                    self.settle(server, part).await;
                }
            }
            self.stats.sightings.fetch_add(count(&sightings), Ordering::Relaxed);
        }
        // The server is gone, and so is all that could come.
        std::future::pending().await
    }

    /// Writes what was seen of one server's tools. Where that fails it is left out: gateways tell it again.
    async fn settle(&self, server: &str, sightings: &[ToolSighting]) {
        let mut waits = RETRIES_MS.into_iter().map(Duration::from_millis);
        loop {
            let written = tokio::time::timeout(PATIENCE, self.write(server, sightings)).await;
            let (error, passes) = match written {
                Ok(Ok(())) => return,
                Ok(Err(error)) => (error.to_string(), Fault::of(&error).is_some()),
                Err(_) => ("it took too long".to_owned(), true),
            };
            let Some(wait) = waits.next().filter(|_| passes) else {
                tracing::warn!(error, server, "what was seen of an MCP server's tools was not written");
                return;
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Reads and writes the tools once, in a transaction of its own, which also takes the revision by which gateways
    /// hear of them.
    async fn write(&self, server: &str, sightings: &[ToolSighting]) -> latchkey_store::Result<()> {
        let mut tx = self.store.begin().await?;
        // Its lock is that of its tools: of two gateways that report at once, the first wins.
        let Some(upstream) = tx.upstream::<McpProtocol>(server).await? else { return Ok(()) };
        let pinning = upstream.protocol.tool_pinning;
        if pinning == ToolPinning::Unpinned {
            return Ok(());
        }
        let known = tx.mcp_tool_states(server).await?;
        let known = known.into_iter().map(|found| (found.tool.name.clone(), found.tool)).collect();
        let now = self.world.now();
        let mut tools =
            SightedTools { pinning, known, touched: BTreeSet::new(), pins: false, has_dropped: false };
        let mut quarantined = Vec::new();
        for sighting in sightings {
            if let Some(tool) = tools.sight(sighting, now) {
                tracing::warn!(
                    server,
                    tool = tool.name,
                    "an MCP server's tool has changed and is quarantined"
                );
                quarantined.push(changed(server, tool, now));
            }
        }
        if tools.has_dropped {
            tracing::warn!(
                server,
                most = MOST_TOOLS,
                "an MCP server has more tools than are kept: forget those that are gone"
            );
        }
        if tools.touched.is_empty() {
            return Ok(());
        }
        tx.put_sighted_mcp_tools(server, tools.touched()).await?;
        for event in quarantined {
            tx.insert_event(event).await?;
        }
        if tools.pins {
            tx.catalogue_revision(&self.world).await?;
        }
        tx.commit().await
    }
}

/// The tools of one server, with what was seen of them just now.
struct SightedTools {
    pinning: ToolPinning,
    known: BTreeMap<String, Tool>,
    /// The names of those that are written.
    touched: BTreeSet<String>,
    /// Whether gateways must know.
    pins: bool,
    /// Whether there was no room for one.
    has_dropped: bool,
}

impl SightedTools {
    /// Applies a sighting. Gives the tool where it is quarantined from now on.
    fn sight(&mut self, sighting: &ToolSighting, now: Timestamp) -> Option<&Tool> {
        let outcome = match self.known.get(&sighting.name) {
            Some(known) => known.sighted(sighting.clone())?,
            None if self.known.len() >= MOST_TOOLS => {
                self.has_dropped = true;
                return None;
            }
            None => self.pinning.first_sighted(sighting.clone(), now)?,
        };
        self.pins |= outcome.pins;
        self.touched.insert(sighting.name.clone());
        let is_quarantined = outcome.pins && outcome.tool.state == ToolState::Changed;
        self.known.insert(sighting.name.clone(), outcome.tool);
        self.known.get(&sighting.name).filter(|_| is_quarantined)
    }

    fn touched(&self) -> impl Iterator<Item = &Tool> {
        self.touched.iter().filter_map(|name| self.known.get(name))
    }
}

/// The event of a tool that is quarantined: once for each definition that was approved.
fn changed(server: &str, tool: &Tool, at: Timestamp) -> NewEvent {
    let approved = tool.approved.as_ref();
    let hash = approved.map(|approved| approved.definition.hash.as_str());
    let since = approved.map_or(0, |approved| approved.at.as_millisecond());
    NewEvent {
        at,
        kind: TOOL_CHANGED,
        app_id: String::new(),
        key_id: String::new(),
        data: json!({
            "server": server,
            "tool": tool.name,
            "approved_hash": hash,
            "seen_hash": tool.seen.definition.hash,
            "seen_at": tool.seen.at,
        }),
        once: Some(format!("{TOOL_CHANGED}/{server}/{}/{}/{since}", tool.name, hash.unwrap_or_default())),
    }
}
