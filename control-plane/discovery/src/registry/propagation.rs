//! Which gateways have applied a revision.

use std::collections::BTreeMap;
use std::fmt;

use super::{Gateway, Stream};

/// Who has applied a revision, and who has not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Propagation {
    /// Names, in order.
    pub applied: Vec<String>,
    /// By name.
    pub pending: Vec<Pending>,
}

/// A gateway that has not applied the revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The gateway.
    pub name: String,
    /// Why.
    pub reason: Reason,
}

/// Why a gateway has not applied a revision. The worst comes last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It is connected.
    NotYet,
    /// It has no stream, and may live on with what it had.
    Disconnected,
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
    /// Whether another process of its name was seen connected at the same time: then no process stands
    /// for another.
    pub shares_name: bool,
    /// Whether it has been away for so long that nobody waits for it.
    pub gone: bool,
}

/// How far `revision`, of which `resources` are a part, has come on those that were seen.
///
/// Every process counts by its open streams, on whichever replica. One that has none is pending, for its
/// Envoy may live on with what it had, unless it is gone, or another process of its name has connected
/// since: then its Envoy was restarted, and that process counts in its place.
pub fn propagation(
    sightings: impl IntoIterator<Item = Sighting>,
    revision: u64,
    resources: &[String],
) -> Propagation {
    let mut names: BTreeMap<String, BTreeMap<String, Vec<Sighting>>> = BTreeMap::new();
    for sighting in sightings {
        let processes = names.entry(sighting.name.clone()).or_default();
        processes.entry(sighting.instance.clone()).or_default().push(sighting);
    }
    let mut propagation = Propagation::default();
    for (name, processes) in names {
        let replaced = |process: &[Sighting]| {
            let successor = |other: &Sighting| other.open && !other.shares_name;
            !process.iter().any(|it| it.open || it.shares_name) && processes.values().flatten().any(successor)
        };
        let awaited =
            processes.values().filter(|process| !process.iter().all(|it| it.gone) && !replaced(process));
        let obstacles: Vec<_> = awaited.map(|process| obstacle(process, revision, resources)).collect();
        match obstacles.iter().flatten().max() {
            Some(reason) => propagation.pending.push(Pending { name, reason: reason.clone() }),
            None if obstacles.is_empty() => {}
            None => propagation.applied.push(name),
        }
    }
    propagation
}

/// Why a process has not applied the revision; `None` when it has: one of its streams proves that.
fn obstacle(process: &[Sighting], revision: u64, resources: &[String]) -> Option<Reason> {
    let mut reasons = Vec::new();
    for Sighting { acknowledged, rejected, .. } in process.iter().filter(|it| it.open) {
        match resources.iter().find_map(|name| rejected.get(name)) {
            _ if *acknowledged < revision => reasons.push(Reason::NotYet),
            Some(why) => reasons.push(Reason::Refused(why.clone())),
            None => return None,
        }
    }
    Some(reasons.into_iter().max().unwrap_or(Reason::Disconnected))
}

impl From<Stream> for Sighting {
    fn from(stream: Stream) -> Self {
        let Stream { gateway: Gateway { name, instance, progress, .. }, open, shares_name, .. } = stream;
        Self {
            name,
            instance,
            open,
            acknowledged: progress.acknowledged,
            rejected: progress.quarantined,
            shares_name,
            gone: false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYet => f.write_str("not acknowledged yet"),
            Self::Disconnected => f.write_str("disconnected"),
            Self::Refused(why) => write!(f, "refused: {why}"),
        }
    }
}
