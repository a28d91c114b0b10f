//! Reads the store for the gates. Policies and the catalogue are parsed once per VM and version.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use latchkey_guardrails::Scanner;
use latchkey_proto::discovery as wire;
use latchkey_proto::key::KeyHash;
use prost::Message as _;

use crate::identity::Verified;
use crate::mcp::sightings::{LastSightings, Sightings};
use crate::routing::shares::TokenShares;
use crate::snapshot::{AppId, AppPolicy, Catalogue, KeyRecord, UnixMs};
use crate::store::SharedStore;
use crate::store::layout::{self, Generation, StoreMeta};

/// Parsed policies to keep; all are dropped when there are more.
const MAX_PARSED_APPS: usize = 4096;

#[derive(Debug)]
pub struct View<S> {
    store: S,
    apps: RefCell<HashMap<AppId, Parsed<AppPolicy>>>,
    catalogue: RefCell<Option<Parsed<Catalogue>>>,
    verified: Verified,
    scanner: Rc<Scanner>,
    shares: TokenShares,
    sightings: LastSightings,
}

/// The complete snapshot in force, read once per request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    active: Generation,
    changes: u32,
}

#[derive(Debug)]
struct Parsed<T> {
    value: Rc<T>,
    generation: Generation,
    /// The store's write number.
    write: u32,
    /// The store need not be read while this equals [`Snapshot::changes`].
    changes: u32,
}

impl<S: SharedStore> View<S> {
    pub fn new(store: S) -> Self {
        Self {
            store,
            apps: RefCell::default(),
            catalogue: RefCell::default(),
            verified: Verified::default(),
            scanner: Rc::default(),
            shares: TokenShares::default(),
            sightings: LastSightings::default(),
        }
    }

    pub fn store(&self) -> &S {
        &self.store
    }

    pub fn verified(&self) -> &Verified {
        &self.verified
    }

    /// The detectors of guardrails, compiled as they are needed.
    pub fn scanner(&self) -> &Rc<Scanner> {
        &self.scanner
    }

    /// How many tokens the targets of routing groups had.
    pub fn shares(&self) -> &TokenShares {
        &self.shares
    }

    /// The tools of MCP servers that are not as they are pinned.
    pub fn sightings(&self) -> Rc<Sightings> {
        self.sightings.read(&self.store)
    }

    /// None before the first complete snapshot.
    pub fn snapshot(&self) -> Option<Snapshot> {
        let meta = StoreMeta::decode(&self.store.get(layout::META)?.bytes)?;
        let StoreMeta { active, changes, .. } = meta;
        (active > Generation(0)).then_some(Snapshot { active, changes })
    }

    /// The record that this hash finds.
    pub fn key(&self, snapshot: Snapshot, hash: &KeyHash) -> Option<KeyRecord> {
        let stored = self.store.get(&layout::key_name(hash))?;
        let (generation, record) = layout::decode_key(&stored.bytes, hash)?;
        snapshot.holds(generation).then_some(record)
    }

    pub fn app(&self, snapshot: Snapshot, id: AppId) -> Option<Rc<AppPolicy>> {
        let mut apps = self.apps.borrow_mut();
        if let Some(known) = apps.get_mut(&id).filter(|known| known.changes == snapshot.changes) {
            return known.value_in(snapshot);
        }
        let parsed = self.read(snapshot, &layout::app_name(id), apps.remove(&id), |bytes| {
            AppPolicy::try_from(wire::AppPolicy::decode(bytes).ok()?).ok()
        })?;
        let policy = parsed.value_in(snapshot);
        if apps.len() >= MAX_PARSED_APPS {
            apps.clear();
        }
        apps.insert(id, parsed);
        policy
    }

    /// The catalogue; empty when there is none.
    pub fn catalogue(&self, snapshot: Snapshot) -> Rc<Catalogue> {
        let mut slot = self.catalogue.borrow_mut();
        if slot.as_ref().is_none_or(|known| known.changes != snapshot.changes) {
            let known = slot.take();
            *slot = self.read(snapshot, layout::CATALOGUE, known, |bytes| {
                Catalogue::try_from(wire::Catalogue::decode(bytes).ok()?).ok()
            });
        }
        slot.as_ref().and_then(|parsed| parsed.value_in(snapshot)).unwrap_or_default()
    }

    /// When the sync role was last alive.
    pub fn heartbeat(&self) -> Option<UnixMs> {
        layout::decode_heartbeat(&self.store.get(layout::HEARTBEAT)?.bytes)
    }

    /// The value under `name`, parsed again only if it was written since.
    fn read<T>(
        &self,
        snapshot: Snapshot,
        name: &str,
        known: Option<Parsed<T>>,
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Option<Parsed<T>> {
        let stored = self.store.get(name)?;
        let changes = snapshot.changes;
        if let Some(known) = known.filter(|known| known.write == stored.write) {
            return Some(Parsed { changes, ..known });
        }
        let (generation, bytes) = layout::decode_resource(&stored.bytes)?;
        Some(Parsed { value: Rc::new(parse(bytes)?), generation, write: stored.write, changes })
    }
}

impl Snapshot {
    fn holds(self, generation: Generation) -> bool {
        generation >= self.active
    }
}

impl<T> Parsed<T> {
    fn value_in(&self, snapshot: Snapshot) -> Option<Rc<T>> {
        snapshot.holds(self.generation).then(|| Rc::clone(&self.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::replica::{DiscoveryOutcome, Replica};
    use crate::testing::{self, TestMemory};

    #[test]
    fn a_policy_is_parsed_once_and_again_when_it_changes() {
        let store = TestMemory::default();
        let mut replica = testing::synced(&store);
        let view = View::new(&store);
        let read = |view: &View<_>| view.app(view.snapshot().unwrap(), testing::APP).unwrap();
        let first = read(&view);
        assert!(Rc::ptr_eq(&first, &read(&view)));

        let other = wire::AppPolicy { id: vec![9; 16], ..testing::app() };
        apply(&mut replica, wire::DiscoveryResponse { apps: vec![other], ..testing::increment() });
        assert!(Rc::ptr_eq(&first, &read(&view)), "another app's change costs a read, not a parse");

        let changed = wire::AppPolicy { status: 2, ..testing::app() };
        apply(&mut replica, wire::DiscoveryResponse { apps: vec![changed], ..testing::increment() });
        assert!(!Rc::ptr_eq(&first, &read(&view)));
    }

    #[test]
    fn a_removed_policy_is_gone_at_once() {
        let store = TestMemory::default();
        let mut replica = testing::synced(&store);
        let view = View::new(&store);
        assert!(view.app(view.snapshot().unwrap(), testing::APP).is_some());
        let removed_apps = vec![testing::app().id];
        apply(&mut replica, wire::DiscoveryResponse { removed_apps, ..testing::increment() });
        assert!(view.app(view.snapshot().unwrap(), testing::APP).is_none());
    }

    fn apply(replica: &mut Replica<&TestMemory>, response: wire::DiscoveryResponse) {
        assert_eq!(replica.receive(response), DiscoveryOutcome::Applied);
    }
}
