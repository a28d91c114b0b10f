//! Applies the discovery stream's responses to the store, and answers each with an ACK or a NACK. Only the
//! sync role owns one.
//!
//! A rejected resource keeps its last good state: the control plane sends the response again without it. A
//! snapshot's end drops everything that it did not name, so within a snapshot the state of a rejected
//! resource is written again with the snapshot's generation.

use latchkey_proto::discovery as wire;
use wire::discovery_request::Kind;

use crate::discovery::nack::{Nack, ResourceName, ResourceRejection};
use crate::discovery::update::{DiscoveryUpdate, Part};
use crate::snapshot::{AppId, Position, UnixMs};
use crate::store::layout::{self, Generation, StoreMeta};
use crate::store::{NotStored, SharedStore};

/// The one writer of keys, policies and the catalogue.
#[derive(Debug)]
pub struct Replica<S> {
    store: S,
    meta: StoreMeta,
    /// Whether a snapshot has begun on this stream and not ended.
    in_snapshot: bool,
    /// Resources refused in a snapshot's first response, until it comes again and opens its generation.
    refused: Vec<ResourceName>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum DiscoveryOutcome {
    Applied,
    /// Rejected whole: nothing has changed.
    Rejected(Nack),
}

impl DiscoveryOutcome {
    /// The ACK or NACK of the response with this nonce.
    #[must_use]
    pub fn answer(self, nonce: String) -> wire::DiscoveryRequest {
        let kind = match self {
            Self::Applied => Kind::Ack(wire::Ack { nonce }),
            Self::Rejected(Nack { error_detail, rejected }) => {
                let rejected = rejected.into_iter().map(Into::into).collect();
                Kind::Nack(wire::Nack { nonce, error_detail, rejected })
            }
        };
        wire::DiscoveryRequest { kind: Some(kind) }
    }
}

impl<S: SharedStore> Replica<S> {
    /// Resumes from the store. `instance` names this process if nothing has yet.
    pub fn resume(store: S, instance: u64) -> Self {
        let kept = store.get(layout::META).and_then(|value| StoreMeta::decode(&value.bytes));
        let meta = kept.unwrap_or(StoreMeta { instance, ..StoreMeta::default() });
        Self { store, meta, in_snapshot: false, refused: Vec::new() }
    }

    /// The first message of a stream.
    pub fn hello(&mut self, gateway: &str) -> wire::DiscoveryRequest {
        self.in_snapshot = false;
        self.refused.clear();
        let hello = wire::Hello {
            gateway: gateway.to_owned(),
            instance: self.instance(),
            position: self.meta.position.clone().map(Into::into),
            newest: self.meta.newest.clone().map(Into::into),
        };
        wire::DiscoveryRequest { kind: Some(Kind::Hello(hello)) }
    }

    /// The process's id for the control plane.
    pub fn instance(&self) -> String {
        format!("{:x}", self.meta.instance)
    }

    /// Validates a response whole, then applies it.
    pub fn receive(&mut self, response: wire::DiscoveryResponse) -> DiscoveryOutcome {
        let part = Part::try_from(response.part);
        let applied = DiscoveryUpdate::try_from(response).and_then(|update| {
            let generation = self.sequence(update.part)?;
            self.apply(update, generation).map_err(|error| Nack::whole(error.to_string()))
        });
        match applied {
            Ok(()) => DiscoveryOutcome::Applied,
            Err(refusal) => {
                DiscoveryOutcome::Rejected(match self.keep_in_force(part.ok(), &refusal.rejected) {
                    Ok(()) => refusal,
                    Err(error) => Nack::whole(error.to_string()),
                })
            }
        }
    }

    /// The revision applied last; 0 when there is none.
    pub fn revision(&self) -> u64 {
        self.meta.position.as_ref().map_or(0, |position| position.revision)
    }

    /// The number of the last complete snapshot; 0 when there is none.
    pub fn generation(&self) -> u32 {
        self.meta.active.0
    }

    /// Tells the gates that the sync role is alive.
    ///
    /// # Errors
    /// When the host refuses the write.
    pub fn beat(&self, now: UnixMs) -> Result<(), NotStored> {
        self.store.put(layout::HEARTBEAT, &layout::encode_heartbeat(now))
    }

    /// The generation for a response of this part, if the part may come now.
    fn sequence(&self, part: Part) -> Result<Generation, Nack> {
        let StoreMeta { active, started, .. } = self.meta;
        match part {
            Part::SnapshotBegin => started
                .0
                .checked_add(1)
                .map(Generation)
                .ok_or_else(|| Nack::whole("the gateway has run out of generations")),
            Part::SnapshotPart | Part::SnapshotEnd if self.in_snapshot => Ok(started),
            Part::SnapshotPart | Part::SnapshotEnd => {
                Err(Nack::whole("no snapshot has begun on this stream"))
            }
            Part::Increment if self.in_snapshot => Err(Nack::whole("an increment came within a snapshot")),
            Part::Increment if active == Generation(0) || active != started => {
                Err(Nack::whole("an increment came before a complete snapshot"))
            }
            Part::Increment => Ok(active),
        }
    }

    fn apply(&mut self, update: DiscoveryUpdate, generation: Generation) -> Result<(), NotStored> {
        let DiscoveryUpdate { part, position, catalogue, apps, keys, removed_keys, removed_apps, newest } =
            update;
        if part == Part::SnapshotBegin {
            self.begin(generation)?;
            self.refused.iter().try_for_each(|resource| self.carry_over(resource, generation))?;
        }
        self.raise_newest(newest)?;
        let touched = catalogue.is_some() || !apps.is_empty() || !removed_apps.is_empty();
        if let Some(catalogue) = catalogue {
            self.store.put(layout::CATALOGUE, &layout::encode_resource(generation, &catalogue.0))?;
        }
        for (id, policy) in apps {
            self.store.put(&layout::app_name(id), &layout::encode_resource(generation, &policy.0))?;
        }
        for key in keys {
            self.store.put(&layout::key_name(&key.hash), &layout::encode_key(&key, generation))?;
        }
        for hash in removed_keys {
            self.tombstone(&layout::key_name(&hash))?;
        }
        for id in removed_apps {
            self.tombstone(&layout::app_name(AppId(id.0)))?;
        }
        let mut meta = self.meta.clone();
        if part == Part::SnapshotEnd {
            meta.active = generation;
        }
        if touched || part == Part::SnapshotEnd {
            meta.changes = meta.changes.wrapping_add(1);
        }
        if part == Part::Increment || part == Part::SnapshotEnd {
            meta.position = position.or(meta.position);
        }
        self.put_meta(meta)?;
        self.in_snapshot = matches!(part, Part::SnapshotBegin | Part::SnapshotPart);
        self.refused.clear();
        Ok(())
    }

    /// Keeps the last good state of refused resources in force.
    fn keep_in_force(&mut self, part: Option<Part>, rejected: &[ResourceRejection]) -> Result<(), NotStored> {
        let mut resources = rejected.iter().map(|rejected| &rejected.resource);
        match part {
            Some(Part::SnapshotBegin) => self.refused.extend(resources.cloned()),
            Some(Part::SnapshotPart | Part::SnapshotEnd) if self.in_snapshot => {
                return resources.try_for_each(|resource| self.carry_over(resource, self.meta.started));
            }
            // Neither an increment nor a part out of sequence drops anything.
            Some(_) | None => {}
        }
        Ok(())
    }

    /// Writes a resource again with this generation if it is in force; never brings one back.
    fn carry_over(&self, resource: &ResourceName, generation: Generation) -> Result<(), NotStored> {
        let (name, carried) = match resource {
            ResourceName::Catalogue => self.carry_over_resource(layout::CATALOGUE.to_owned(), generation),
            ResourceName::App(id) => self.carry_over_resource(layout::app_name(*id), generation),
            ResourceName::Key(hash) => {
                let name = layout::key_name(hash);
                let held = self.store.get(&name);
                let held = held.and_then(|stored| layout::decode_key(&stored.bytes, hash));
                let held = held.filter(|(written, _)| self.in_force(*written));
                (name, held.map(|(_, record)| layout::encode_key(&record, generation)))
            }
            ResourceName::Nameless(_) => return Ok(()),
        };
        carried.map_or(Ok(()), |value| self.store.put(&name, &value))
    }

    fn carry_over_resource(&self, name: String, generation: Generation) -> (String, Option<Vec<u8>>) {
        let held = self.store.get(&name);
        let held = held.as_ref().and_then(|stored| layout::decode_resource(&stored.bytes));
        let held = held.filter(|(written, _)| self.in_force(*written));
        let carried = held.map(|(_, resource)| layout::encode_resource(generation, resource));
        (name, carried)
    }

    /// Whether gates use what was written with this generation.
    fn in_force(&self, written: Generation) -> bool {
        let active = self.meta.active;
        active > Generation(0) && written >= active
    }

    /// Until the snapshot's end the store mixes two histories: no position describes it, and if the stream
    /// breaks, only another snapshot helps.
    fn begin(&mut self, generation: Generation) -> Result<(), NotStored> {
        self.put_meta(StoreMeta { started: generation, position: None, newest: None, ..self.meta.clone() })
    }

    /// What is written next may be as late as this position.
    fn raise_newest(&mut self, newest: Option<Position>) -> Result<(), NotStored> {
        let revision = |point: &Option<Position>| point.as_ref().map(|point| point.revision);
        if revision(&newest) > revision(&self.meta.newest) {
            self.put_meta(StoreMeta { newest, ..self.meta.clone() })?;
        }
        Ok(())
    }

    fn put_meta(&mut self, meta: StoreMeta) -> Result<(), NotStored> {
        if meta != self.meta {
            self.store.put(layout::META, &meta.encode())?;
            self.meta = meta;
        }
        Ok(())
    }

    /// Does not create what was never there.
    fn tombstone(&self, name: &str) -> Result<(), NotStored> {
        match self.store.get(name) {
            Some(_) => self.store.put(name, &[]),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
