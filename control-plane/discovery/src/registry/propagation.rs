//! Which gateways have applied a revision.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{AWAITED, Gateway, Known, Streams};

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
    standing: Standing,
}

#[derive(Debug)]
enum Standing {
    /// Seen on the stream `by`; it counts while that is open.
    Applied {
        by: u64,
        after: Duration,
    },
    Refused(String),
    NotYet,
    Disconnected,
}

impl<'a> Watch<'a> {
    pub(super) fn new(streams: &Streams, revision: u64, resources: &'a [String]) -> Self {
        let awaited = streams
            .iter()
            .filter(|(_, known)| known.ended.is_none_or(|at| at.elapsed() < AWAITED))
            .map(|(stream, Known { gateway: Gateway { name, instance, .. }, .. })| {
                let standing = Standing::NotYet;
                (*stream, Awaited { name: name.clone(), instance: instance.clone(), standing })
            })
            .collect();
        Self { revision, resources, awaited }
    }

    /// Notes how everyone stands; whether there is nothing left to wait for.
    pub(super) fn look(&mut self, streams: &Streams, elapsed: Duration) -> bool {
        for (stream, awaited) in &mut self.awaited {
            if let Standing::Applied { by, .. } = &awaited.standing
                && streams.get(by).is_some_and(Known::is_open)
            {
                continue;
            }
            awaited.standing = match awaited.served_by(*stream, streams) {
                Some((by, gateway)) => obstacle(gateway, self.revision, self.resources)
                    .unwrap_or(Standing::Applied { by, after: elapsed }),
                None => Standing::Disconnected,
            };
        }
        let settled =
            |awaited: &Awaited| matches!(awaited.standing, Standing::Applied { .. } | Standing::Refused(_));
        self.awaited.values().all(settled)
    }

    /// One entry per name: applied when all of its streams have, after the slowest of them.
    pub(super) fn outcome(self) -> Propagation {
        let mut by_name: BTreeMap<String, Result<Duration, String>> = BTreeMap::new();
        for Awaited { name, standing, .. } in self.awaited.into_values() {
            let result = match standing {
                Standing::Applied { after, .. } => Ok(after),
                Standing::Refused(reason) => Err(format!("refused: {reason}")),
                Standing::Disconnected => Err("disconnected".to_owned()),
                Standing::NotYet => Err("not acknowledged yet".to_owned()),
            };
            let entry = by_name.entry(name).or_insert(Ok(Duration::ZERO));
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

impl Awaited {
    /// The open stream that speaks for the awaited one: itself, one that its process opened since,
    /// or the newest of its name once another process has replaced it.
    fn served_by<'s>(&self, stream: u64, streams: &'s Streams) -> Option<(u64, &'s Gateway)> {
        let own = streams.get(&stream).filter(|known| known.is_open()).map(|known| (stream, known));
        let is_same = |known: &Known| known.is_of(&self.name, &self.instance);
        let mut later = streams.range(stream + 1..).map(|(id, known)| (*id, known));
        let successor = later.clone().rfind(|(_, known)| is_same(known) && known.is_open());
        // A process that has left is known until another one replaces it.
        let replaced = !streams.values().any(is_same);
        let replacement = later.rfind(|(_, known)| replaced && known.gateway.name == self.name);
        own.or(successor)
            .or(replacement.filter(|(_, known)| known.is_open()))
            .map(|(id, known)| (id, &known.gateway))
    }
}

/// Why a gateway has not applied the revision; `None` when it has.
fn obstacle(gateway: &Gateway, revision: u64, resources: &[String]) -> Option<Standing> {
    if gateway.progress.acknowledged < revision {
        return Some(Standing::NotYet);
    }
    let reason = resources.iter().find_map(|name| gateway.progress.quarantined.get(name))?;
    Some(Standing::Refused(reason.clone()))
}
