//! Which gateways have applied a revision.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Gateway, Stream};

/// Why a gateway, or a process of it, has not applied a revision. The worst comes last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// It is connected.
    NotYet,
    /// It has no stream, and may live on with what it had.
    Disconnected,
    /// Another process runs under its name, and this one has no stream: it was restarted, or only lost its
    /// network and lives on with what it had.
    Earlier(String),
    /// It refuses a resource, and says why.
    Refused(String),
}

/// A gateway's process, as one of its streams on some replica shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// The gateway's name.
    pub name: String,
    /// Its process.
    pub instance: String,
    /// Whether the stream is open, and what it acknowledges counts.
    pub open: bool,
    /// The revision up to which everything is applied.
    pub acknowledged: u64,
    /// What it refuses, by resource name, with its reasons.
    pub rejected: BTreeMap<String, String>,
    /// Whether it has been away for so long that nobody waits for it.
    pub gone: bool,
}

/// Why each gateway that was seen has not applied `revision`, of which `resources` are a part: none of those
/// that have. Each obstacle of a gateway once.
///
/// Every process counts for itself, by its open streams on whichever replica. One that has none is pending
/// until it is gone, for its Envoy may live on with what it had. A process that connects under its name later
/// is no proof that it was restarted: a cut network looks the same from here.
pub fn obstacles(
    sightings: impl IntoIterator<Item = Sighting>,
    revision: u64,
    resources: &[String],
) -> BTreeMap<String, BTreeSet<Obstacle>> {
    let mut gateways: BTreeMap<String, BTreeMap<String, Vec<Sighting>>> = BTreeMap::new();
    for sighting in sightings {
        let processes = gateways.entry(sighting.name.clone()).or_default();
        processes.entry(sighting.instance.clone()).or_default().push(sighting);
    }
    gateways.retain(|_, processes| !processes.values().flatten().all(|it| it.gone));
    let of_processes = |processes: BTreeMap<String, Vec<Sighting>>| {
        let connected = processes.values().flatten().any(|it| it.open);
        let awaited = processes.into_iter().filter(|(_, process)| !process.iter().all(|it| it.gone));
        let found = awaited.filter_map(|(instance, process)| match obstacle(&process, revision, resources) {
            Some(Obstacle::Disconnected) if connected => Some(Obstacle::Earlier(instance)),
            other => other,
        });
        found.collect()
    };
    gateways.into_iter().map(|(name, processes)| (name, of_processes(processes))).collect()
}

/// Why a process has not applied the revision; `None` when it has: one of its streams proves that.
fn obstacle(process: &[Sighting], revision: u64, resources: &[String]) -> Option<Obstacle> {
    let mut reasons = Vec::new();
    for Sighting { acknowledged, rejected, .. } in process.iter().filter(|it| it.open) {
        match resources.iter().find_map(|name| rejected.get(name)) {
            _ if *acknowledged < revision => reasons.push(Obstacle::NotYet),
            Some(why) => reasons.push(Obstacle::Refused(why.clone())),
            None => return None,
        }
    }
    Some(reasons.into_iter().max().unwrap_or(Obstacle::Disconnected))
}

impl From<Stream> for Sighting {
    fn from(stream: Stream) -> Self {
        let Stream { gateway: Gateway { name, instance, progress, .. }, open, .. } = stream;
        Self {
            name,
            instance,
            open,
            acknowledged: progress.acknowledged,
            rejected: progress.quarantined,
            gone: false,
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYet => f.write_str("not acknowledged yet"),
            Self::Disconnected => f.write_str("disconnected"),
            Self::Earlier(instance) => {
                write!(f, "disconnected: process {instance}, while another runs under this name")
            }
            Self::Refused(why) => write!(f, "refused: {why}"),
        }
    }
}
