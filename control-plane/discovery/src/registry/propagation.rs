//! Which gateways have applied a revision.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Gateway;

/// Who has applied a revision, and who has not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Propagation {
    /// By name.
    pub applied: Vec<Applied>,
    /// By name.
    pub pending: Vec<Pending>,
}

/// A gateway that has applied the revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The gateway.
    pub name: String,
    /// How long after the question it was seen to have.
    pub elapsed: Duration,
}

/// A gateway that has not applied the revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The gateway.
    pub name: String,
    /// Why: `not acknowledged yet`, `disconnected`, or `refused: …`.
    pub reason: String,
}

/// The streams that one question is about.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    revision: u64,
    resources: &'a [String],
    awaited: BTreeMap<u64, Awaited>,
}

#[derive(Debug)]
struct Awaited {
    name: String,
    instance: String,
    applied_after: Option<Duration>,
}

enum Standing {
    Applied,
    Refused(String),
    NotYet,
    Disconnected,
}

impl<'a> Watch<'a> {
    pub(super) fn new(streams: &BTreeMap<u64, Gateway>, revision: u64, resources: &'a [String]) -> Self {
        let awaited = streams
            .iter()
            .filter(|(_, gateway)| gateway.disconnected_at.is_none())
            .map(|(stream, Gateway { name, instance, .. })| {
                let awaited = Awaited { name: name.clone(), instance: instance.clone(), applied_after: None };
                (*stream, awaited)
            })
            .collect();
        Self { revision, resources, awaited }
    }

    /// Notes who has applied; whether there is nothing left to wait for.
    pub(super) fn look(&mut self, streams: &BTreeMap<u64, Gateway>, elapsed: Duration) -> bool {
        let (revision, resources) = (self.revision, self.resources);
        let mut settled = true;
        for (stream, awaited) in self.awaited.iter_mut().filter(|(_, it)| it.applied_after.is_none()) {
            match standing(streams, *stream, awaited, revision, resources) {
                Standing::Applied => awaited.applied_after = Some(elapsed),
                Standing::Refused(_) => {}
                Standing::NotYet | Standing::Disconnected => settled = false,
            }
        }
        settled
    }

    /// One entry per name: applied when all of its streams have, after the slowest of them.
    pub(super) fn outcome(self, streams: &BTreeMap<u64, Gateway>) -> Propagation {
        let mut by_name: BTreeMap<String, Result<Duration, String>> = BTreeMap::new();
        for (stream, awaited) in &self.awaited {
            let result = awaited.applied_after.ok_or_else(|| {
                match standing(streams, *stream, awaited, self.revision, self.resources) {
                    Standing::Refused(reason) => format!("refused: {reason}"),
                    Standing::Disconnected => "disconnected".to_owned(),
                    Standing::NotYet | Standing::Applied => "not acknowledged yet".to_owned(),
                }
            });
            let entry = by_name.entry(awaited.name.clone()).or_insert(Ok(Duration::ZERO));
            *entry = match (std::mem::replace(entry, Ok(Duration::ZERO)), result) {
                (Ok(one), Ok(other)) => Ok(one.max(other)),
                (Err(reason), _) | (Ok(_), Err(reason)) => Err(reason),
            };
        }
        let mut propagation = Propagation::default();
        for (name, result) in by_name {
            match result {
                Ok(elapsed) => propagation.applied.push(Applied { name, elapsed }),
                Err(reason) => propagation.pending.push(Pending { name, reason }),
            }
        }
        propagation
    }
}

/// How the awaited process stands: by its own stream, or by one that it opened since.
fn standing(
    streams: &BTreeMap<u64, Gateway>,
    stream: u64,
    awaited: &Awaited,
    revision: u64,
    resources: &[String],
) -> Standing {
    let successor = streams
        .range(stream + 1..)
        .map(|(_, gateway)| gateway)
        .filter(|gateway| gateway.name == awaited.name && gateway.instance == awaited.instance)
        .rfind(|gateway| gateway.disconnected_at.is_none());
    let own = streams.get(&stream).filter(|gateway| gateway.disconnected_at.is_none());
    let Some(gateway) = own.or(successor) else { return Standing::Disconnected };
    if gateway.progress.acknowledged < revision {
        return Standing::NotYet;
    }
    let refused = resources.iter().find_map(|name| gateway.progress.quarantined.get(name));
    refused.map_or(Standing::Applied, |reason| Standing::Refused(reason.clone()))
}
