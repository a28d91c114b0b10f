//! Targets that have failed rest for a while, for all workers of the gateway.
//!
//! One value of the shared data lists them. A target that has rested is tried by one request; until that one's
//! answer comes, the others pass it by.

use std::cell::Cell;
use std::rc::Rc;

use latchkey_proto::ledger as wire;
use prost::Message as _;

use crate::snapshot::{RoutingTarget, UnixMs};
use crate::store::layout::{self, Generation};
use crate::store::{NotStored, SharedStore, Swap};

/// The first rest of a target, which doubles with each failure after it, to the longest.
const FIRST_MS: i64 = 5_000;
const LONGEST_MS: i64 = 60_000;

/// The longest rest that a target itself may ask for.
const LONGEST_ASKED_MS: i64 = 300_000;

/// For how long one request may try a target before another one may.
const TRIAL_MS: i64 = 30_000;

/// Targets that are remembered; of more the oldest is forgotten.
const MOST: usize = 256;

/// Attempts of a compare-and-swap.
const MOST_TRIES: u32 = 100;

/// The targets that have failed last, as they were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cooldowns(Vec<Rest>);

/// Why a target rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    pub end: wire::AttemptEnd,
    /// Of its answer; 0 where none came.
    pub status: u16,
    /// For how long it asks not to be called, in milliseconds.
    pub retry_after_ms: Option<i64>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Rest {
    #[prost(message, optional, tag = "1")]
    target: Option<wire::RestingTarget>,
    /// Failures in a row.
    #[prost(uint32, tag = "2")]
    failures: u32,
    /// One request tries it until then: Unix milliseconds.
    #[prost(int64, tag = "3")]
    trial_until_ms: i64,
    /// When it has failed last: Unix milliseconds.
    #[prost(int64, tag = "4")]
    failed_at_ms: i64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Rests {
    #[prost(message, repeated, tag = "1")]
    rests: Vec<Rest>,
}

/// Creates the list, once in a process: workers change only what is there.
///
/// # Errors
/// When the host refuses it.
pub fn begin<S: SharedStore>(store: &S) -> Result<(), NotStored> {
    match store.get(layout::COOLDOWNS) {
        Some(_) => Ok(()),
        None => store.put(layout::COOLDOWNS, &encode(Vec::new())),
    }
}

impl Cooldowns {
    #[must_use]
    pub fn read<S: SharedStore>(store: &S) -> Self {
        Self(store.get(layout::COOLDOWNS).map(|stored| decode(&stored.bytes)).unwrap_or_default())
    }

    /// Whether the target gets no requests now.
    #[must_use]
    pub fn rests(&self, target: &RoutingTarget, now: UnixMs) -> bool {
        self.of(target).is_some_and(|rest| rest.rests(now))
    }

    /// Whether the target has failed, and has not answered since.
    #[must_use]
    pub fn has_failed(&self, target: &RoutingTarget) -> bool {
        self.of(target).is_some()
    }

    /// The list for the control plane.
    #[must_use]
    pub fn on_wire(&self) -> wire::RestingTargets {
        wire::RestingTargets { targets: self.0.iter().filter_map(|rest| rest.target.clone()).collect() }
    }

    pub(super) fn soonest_first(&self, mut targets: Vec<Rc<RoutingTarget>>) -> Vec<Rc<RoutingTarget>> {
        targets.sort_by_key(|target| self.of(target).map_or(0, Rest::until_ms));
        targets
    }

    fn of(&self, target: &RoutingTarget) -> Option<&Rest> {
        self.0.iter().find(|rest| rest.is_of(target))
    }
}

/// A target has failed: it rests.
pub fn failed<S: SharedStore>(store: &S, target: &RoutingTarget, failure: Failure, now: UnixMs) {
    change(store, |rests| {
        let before = rests.iter().position(|rest| rest.is_of(target)).map(|at| rests.remove(at));
        let in_a_row = before.as_ref().map_or(0, |rest| rest.failures);
        // What was under way when it began to rest says nothing new.
        let is_known =
            before.as_ref().is_some_and(|rest| rest.is_resting_by(now) && rest.trial_until_ms == 0);
        let failures = if is_known { in_a_row } else { in_a_row.saturating_add(1) };
        let asked =
            failure.retry_after_ms.filter(|asked| *asked > 0).map(|asked| asked.min(LONGEST_ASKED_MS));
        let doubled =
            FIRST_MS.saturating_mul(1_i64.checked_shl(failures.saturating_sub(1)).unwrap_or(i64::MAX));
        let rest_ms = asked.unwrap_or(doubled.clamp(FIRST_MS, LONGEST_MS));
        let known_until = before.as_ref().filter(|_| is_known).map_or(0, Rest::until_ms);
        if rests.len() >= MOST {
            rests.remove(0);
        }
        rests.push(Rest {
            target: Some(wire::RestingTarget {
                provider: target.offer.provider.name.clone(),
                model: target.model.clone(),
                until_ms: if asked.is_none() && is_known {
                    known_until
                } else {
                    known_until.max(now.0.saturating_add(rest_ms))
                },
                reason: failure.end.into(),
                status: failure.status.into(),
            }),
            failures,
            trial_until_ms: 0,
            failed_at_ms: now.0,
        });
    });
}

/// A target has answered a request that was sent at `started`: it rests no more, unless it has failed since.
pub fn recovered<S: SharedStore>(store: &S, target: &RoutingTarget, started: UnixMs) {
    change(store, |rests| rests.retain(|rest| !rest.is_of(target) || rest.failed_at_ms >= started.0));
}

/// The request that tried a target has ended without saying anything of it: another one may try.
pub fn tries_no_more<S: SharedStore>(store: &S, target: &RoutingTarget) {
    change(store, |rests| {
        if let Some(rest) = rests.iter_mut().find(|rest| rest.is_of(target)) {
            rest.trial_until_ms = 0;
        }
    });
}

/// A request is about to try a target that has rested: others pass it by meanwhile. False where another worker's request
/// does so already, or the target rests again.
pub fn tries<S: SharedStore>(store: &S, target: &RoutingTarget, now: UnixMs) -> bool {
    let is_first = Cell::new(true);
    change(store, |rests| {
        let rest = rests.iter_mut().find(|rest| rest.is_of(target));
        is_first.set(rest.as_ref().is_none_or(|rest| !rest.rests(now)));
        if let Some(rest) = rest.filter(|_| is_first.get()) {
            rest.trial_until_ms = now.0.saturating_add(TRIAL_MS);
        }
    });
    is_first.get()
}

impl Rest {
    fn is_of(&self, target: &RoutingTarget) -> bool {
        self.target
            .as_ref()
            .is_some_and(|rest| rest.model == target.model && rest.provider == target.offer.provider.name)
    }

    fn until_ms(&self) -> i64 {
        self.target.as_ref().map_or(0, |target| target.until_ms)
    }

    /// A clock that was set back does not make a rest longer than any.
    fn is_resting_by(&self, now: UnixMs) -> bool {
        let left = self.until_ms().saturating_sub(now.0);
        (1..=LONGEST_ASKED_MS).contains(&left)
    }

    fn rests(&self, now: UnixMs) -> bool {
        let trial = self.trial_until_ms.saturating_sub(now.0);
        self.is_resting_by(now) || (1..=TRIAL_MS).contains(&trial)
    }
}

/// Where the host fails, a target is called though it should rest, which costs an attempt.
fn change<S: SharedStore>(store: &S, edit: impl Fn(&mut Vec<Rest>)) {
    for _ in 0..MOST_TRIES {
        let Some(stored) = store.get(layout::COOLDOWNS) else { return };
        let before = decode(&stored.bytes);
        let mut after = before.clone();
        edit(&mut after);
        if after == before {
            return;
        }
        match store.swap(layout::COOLDOWNS, &encode(after), stored.write) {
            Swap::Changed => {}
            Swap::Done | Swap::Failed => return,
        }
    }
}

fn encode(rests: Vec<Rest>) -> Vec<u8> {
    layout::encode_resource(Generation(0), &Rests { rests }.encode_to_vec())
}

fn decode(bytes: &[u8]) -> Vec<Rest> {
    let resource = layout::decode_resource(bytes).map(|(_, resource)| resource);
    resource.and_then(|resource| Rests::decode(resource).ok()).map(|read| read.rests).unwrap_or_default()
}
