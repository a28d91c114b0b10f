//! A store in memory, and a small world to test in.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;

use latchkey_proto::discovery as wire;
use latchkey_proto::key::{AppKey, Claim, NamedKey};
use uuid::Uuid;
use wire::selection::Kind;

use crate::discovery::Part;
use crate::gate::World;
use crate::replica::{Replica, Verdict};
use crate::snapshot::{AppId, UnixMs};
use crate::store::{NotStored, Store, Stored};

pub const APP: AppId = AppId(Uuid::from_u128(10));
pub const USER: Uuid = Uuid::from_u128(11);
pub const APP_KEY_ID: Uuid = Uuid::from_u128(12);
pub const NAMED_KEY_ID: Uuid = Uuid::from_u128(13);

/// Shared data in memory.
#[derive(Debug, Default)]
pub struct Memory {
    values: RefCell<HashMap<String, Stored>>,
    writes: Cell<u32>,
}

impl Store for Memory {
    fn get(&self, key: &str) -> Option<Stored> {
        self.values.borrow().get(key).filter(|stored| !stored.bytes.is_empty()).cloned()
    }

    fn put(&self, key: &str, value: &[u8]) -> Result<(), NotStored> {
        self.writes.set(self.writes.get() + 1);
        let stored = Stored { bytes: value.to_vec(), write: self.writes.get() };
        self.values.borrow_mut().insert(key.to_owned(), stored);
        Ok(())
    }
}

impl Memory {
    pub fn entries(&self) -> usize {
        self.values.borrow().len()
    }
}

/// A fixed time and place, which tell whether they were asked for.
pub struct Place {
    pub now: UnixMs,
    pub address: Option<IpAddr>,
    pub asked: Cell<bool>,
}

impl Place {
    pub fn at(now: i64, address: &str) -> Self {
        Self { now: UnixMs(now), address: address.parse().ok(), asked: Cell::new(false) }
    }
}

impl World for Place {
    fn now(&self) -> UnixMs {
        self.asked.set(true);
        self.now
    }

    fn client_address(&self) -> Option<IpAddr> {
        self.asked.set(true);
        self.address
    }
}

pub fn app_key() -> AppKey {
    AppKey::new([1; 20])
}

pub fn named_key() -> NamedKey {
    NamedKey::new(&app_key(), Claim { user: USER, key: NAMED_KEY_ID }, [2; 20])
}

pub fn app_key_record() -> wire::KeyRecord {
    wire::KeyRecord {
        hash: app_key().hash().as_bytes().to_vec(),
        key_id: APP_KEY_ID.as_bytes().to_vec(),
        app_id: APP.0.as_bytes().to_vec(),
        status: 1,
        ..Default::default()
    }
}

pub fn named_key_record() -> wire::KeyRecord {
    wire::KeyRecord {
        hash: named_key().hash().as_bytes().to_vec(),
        key_id: NAMED_KEY_ID.as_bytes().to_vec(),
        user_id: USER.as_bytes().to_vec(),
        ..app_key_record()
    }
}

pub fn all() -> wire::Selection {
    wire::Selection { kind: Some(Kind::All(wire::Everything {})) }
}

pub fn only(names: &[&str]) -> wire::Selection {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    wire::Selection { kind: Some(Kind::Only(wire::Names { names })) }
}

pub fn app() -> wire::AppPolicy {
    wire::AppPolicy {
        id: APP.0.as_bytes().to_vec(),
        name: "demo".into(),
        status: 1,
        mode: 1,
        providers: Some(all()),
        models: Some(all()),
        ..Default::default()
    }
}

pub fn provider(name: &str, kind: i32, path_prefix: &str) -> wire::Provider {
    wire::Provider {
        name: name.into(),
        kind,
        cluster: format!("provider-{name}"),
        authority: format!("{name}.example"),
        path_prefix: path_prefix.into(),
    }
}

pub fn model(name: &str, provider: &str, upstream_name: &str) -> wire::Model {
    wire::Model {
        name: name.into(),
        provider: provider.into(),
        upstream_name: upstream_name.into(),
        created_at: 7,
    }
}

pub fn catalogue() -> wire::Catalogue {
    wire::Catalogue {
        providers: vec![
            provider("openai", 1, "/v1"),
            provider("azure", 2, "/openai/v1"),
            provider("anthropic", 3, ""),
        ],
        models: vec![
            model("gpt-4o", "openai", "gpt-4o"),
            model("gpt-4o", "azure", "my-deployment"),
            model("claude", "anthropic", "claude-4"),
        ],
    }
}

pub fn increment() -> wire::DiscoveryResponse {
    wire::DiscoveryResponse { nonce: "n".into(), ..Default::default() }
}

pub fn part(part: Part) -> wire::DiscoveryResponse {
    wire::DiscoveryResponse { part: part.into(), ..increment() }
}

pub fn position(revision: u64) -> Option<wire::Position> {
    Some(wire::Position { revision, tag: vec![revision as u8; 16] })
}

/// A replica that has received a first snapshot: the catalogue, the app and both keys.
pub fn synced(store: &Memory) -> Replica<&Memory> {
    let mut replica = Replica::resume(store, 1);
    replica.hello("gw");
    let end = wire::DiscoveryResponse {
        catalogue: Some(catalogue()),
        apps: vec![app()],
        keys: vec![app_key_record(), named_key_record()],
        position: position(1),
        ..part(Part::SnapshotEnd)
    };
    for response in [part(Part::SnapshotBegin), end] {
        assert_eq!(replica.receive(response), Verdict::Applied);
    }
    replica
}
