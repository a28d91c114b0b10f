//! A store in memory, and a small world to test in.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;

use latchkey_proto::discovery as wire;
use latchkey_proto::key::{AppKey, KeyClaim, NamedKey};
use uuid::Uuid;
use wire::selection::Kind;

use crate::discovery::replica::{DiscoveryOutcome, Replica};
use crate::discovery::update::Part;
use crate::gate::World;
use crate::identity::CallerIdentity;
use crate::limits::account::{
    self, AccountChange, AccountLine, BucketStatus, LeaseAccount, NO_PERIOD, ReceivedGrant, SubjectId,
};
use crate::price::{Ceiling, NanoUsd, Price, RateCard, Rates, TierChoice, TokenUsage};
use crate::record::{Record, Settlement};
use crate::snapshot::{AppId, BucketKind, KeyId, UnixMs};
use crate::store::{NotStored, SharedStore, Stored, Swap, memory};

/// A price with one tier, which charges nothing more for writing to the cache.
pub const fn price(version: u64, input: u64, cached_input: u64, output: u64) -> Price {
    let rates = Rates { input, cached_input, cache_write_5m: input, cache_write_1h: input, output };
    Price { version, standard: RateCard { rates, long_context: None }, tiers: vec![] }
}

/// The most that a request costs that leaves the tier open.
pub fn ceiling(price: &Price) -> Ceiling {
    price.ceiling(&TierChoice::default()).unwrap()
}

pub const APP: AppId = AppId(Uuid::from_u128(10));
pub const USER: Uuid = Uuid::from_u128(11);
pub const APP_KEY_ID: Uuid = Uuid::from_u128(12);
pub const NAMED_KEY_ID: Uuid = Uuid::from_u128(13);

/// Until when leases and refusals hold, in Unix milliseconds.
pub const ANSWER_MS: i64 = 10_000;

#[derive(Default)]
pub struct TestMemory {
    inner: memory::Memory,
    /// What other threads do, each just before a swap.
    intruders: RefCell<VecDeque<Intruder>>,
}

type Intruder = Box<dyn FnOnce(&TestMemory)>;

impl SharedStore for TestMemory {
    fn get(&self, key: &str) -> Option<Stored> {
        self.inner.get(key)
    }

    fn put(&self, key: &str, value: &[u8]) -> Result<(), NotStored> {
        self.inner.put(key, value)
    }

    fn swap(&self, key: &str, value: &[u8], write: u32) -> Swap {
        let intruder = self.intruders.borrow_mut().pop_front();
        if let Some(intruder) = intruder {
            intruder(self);
        }
        self.inner.swap(key, value, write)
    }
}

impl SharedStore for Rc<TestMemory> {
    fn get(&self, key: &str) -> Option<Stored> {
        (**self).get(key)
    }

    fn put(&self, key: &str, value: &[u8]) -> Result<(), NotStored> {
        (**self).put(key, value)
    }

    fn swap(&self, key: &str, value: &[u8], write: u32) -> Swap {
        (**self).swap(key, value, write)
    }
}

impl TestMemory {
    /// Another thread does this between the read and the swap of whoever swaps next.
    pub fn interrupt(&self, intruder: impl FnOnce(&Self) + 'static) {
        self.intruders.borrow_mut().push_back(Box::new(intruder));
    }

    pub fn calm(&self) {
        self.intruders.borrow_mut().clear();
    }

    pub fn entries(&self) -> usize {
        self.inner.entries()
    }
}

/// A fixed time and place, which tells whether it was asked for.
pub struct FixedWorld {
    pub now: UnixMs,
    pub address: Option<IpAddr>,
    /// For the address.
    pub asked: Cell<bool>,
}

impl FixedWorld {
    pub fn at(now: i64, address: &str) -> Self {
        Self { now: UnixMs(now), address: address.parse().ok(), asked: Cell::new(false) }
    }
}

impl World for FixedWorld {
    fn now(&self) -> UnixMs {
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
    NamedKey::new(&app_key(), KeyClaim { user: USER, key: NAMED_KEY_ID }, [2; 20])
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
        ..wire::Provider::default()
    }
}

pub fn model(name: &str, provider: &str, upstream_name: &str) -> wire::Model {
    wire::Model {
        name: name.into(),
        provider: provider.into(),
        upstream_name: upstream_name.into(),
        created_at: 7,
        ..wire::Model::default()
    }
}

pub fn mcp_server(name: &str) -> wire::McpServer {
    wire::McpServer {
        name: name.into(),
        cluster: format!("mcp-{name}"),
        authority: format!("{name}.example"),
        path: "/api/mcp".into(),
        session_key: vec![7; 32],
        pins: None,
    }
}

/// An approved tool.
pub fn pin(tool: &str, hash: [u8; 32]) -> wire::McpPin {
    wire::McpPin { tool: tool.into(), hash: hash.to_vec(), changed: false, approved_at_ms: 500 }
}

/// A group of one tier with these targets, as provider, model and weight.
pub fn routing_group(name: &str, targets: &[(&str, &str, u32)]) -> wire::RoutingGroup {
    let target = |(provider, model, weight): &(&str, &str, u32)| wire::RoutingTarget {
        provider: (*provider).into(),
        model: (*model).into(),
        weight: *weight,
    };
    let targets = targets.iter().map(target).collect();
    wire::RoutingGroup {
        name: name.into(),
        created_at: 9,
        tiers: vec![wire::RoutingTier { max_input_tokens: 0, targets }],
        balance: wire::RoutingBalance::Requests.into(),
        failover: Some(wire::Failover {
            max_attempts: 3,
            statuses: vec![429, 500, 503],
            headers_timeout_ms: 30_000,
            first_event_timeout_ms: 10_000,
            repeats_side_effects: false,
        }),
        sticky: false,
    }
}

pub fn detector(name: &str) -> wire::Detector {
    wire::Detector {
        name: name.into(),
        cluster: format!("detector-{name}"),
        authority: format!("{name}.example"),
        path: "/judge".into(),
        timeout_ms: 500,
        max_text_bytes: 65_536,
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
        mcp_servers: vec![mcp_server("github"), mcp_server("docs")],
        detectors: vec![detector("nightingale"), detector("second")],
        ..wire::Catalogue::default()
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
pub fn synced(store: &TestMemory) -> Replica<&TestMemory> {
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
        assert_eq!(replica.receive(response), DiscoveryOutcome::Applied);
    }
    replica
}

/// What a request did that used nothing.
pub fn record() -> Record {
    Record {
        at: UnixMs(1),
        request_id: "r".into(),
        app: APP,
        key: KeyId(NAMED_KEY_ID),
        user: None,
        identity: CallerIdentity::Unknown,
        model: "gpt-4o".into(),
        served_model: "gpt-4o".into(),
        provider: "openai".into(),
        endpoint: "chat_completions",
        status: 200,
        code: "",
        tokens: TokenUsage::default(),
        cost: NanoUsd(0),
        price_version: 0,
        settlement: Settlement::None,
        settlement_reason: None,
        latency_ms: 1,
        first_token_ms: None,
        streamed: false,
        client_address: String::new(),
        conversation_id: String::new(),
        charges: Vec::new(),
        old_secret: false,
        service_tier: String::new(),
        output_cut: None,
        text: None,
        inspection: None,
        prompts: Vec::new(),
        attempts: vec![],
    }
}

/// Limits as the wire has them: buckets by kind.
pub fn limits(buckets: &[(BucketKind, u64)]) -> wire::Limits {
    let bucket = |&(kind, limit): &(BucketKind, u64)| wire::Bucket { kind: kind.number(), limit };
    wire::Limits { buckets: buckets.iter().map(bucket).collect(), ..wire::Limits::default() }
}

/// The control plane's answer to the wish for `units`: that many more, or why there are none.
pub fn answer(
    store: &TestMemory,
    subject: SubjectId,
    kind: BucketKind,
    limit: u64,
    units: u64,
    status: BucketStatus,
) {
    if LeaseAccount::read(store, subject).is_none() {
        store.put(&subject.name(), &LeaseAccount::default().encode()).unwrap();
    }
    let status = BucketStatus { limit, ..status };
    let changed = LeaseAccount::change(store, subject, |account| {
        account.edit(kind, NO_PERIOD, |line| {
            let total = line.granted + units;
            line.grant(ReceivedGrant { total, want: units, deadline_ms: ANSWER_MS, status }, 0);
        });
    });
    assert_eq!(changed, AccountChange::Done(()));
}

pub fn grant(store: &TestMemory, subject: SubjectId, kind: BucketKind, limit: u64, units: u64) {
    let status = BucketStatus {
        verdict: account::GrantVerdict::Granted,
        refused: u64::MAX,
        ..BucketStatus::default()
    };
    answer(store, subject, kind, limit, units, status);
}

/// A refusal, whatever little is asked for.
pub fn refuse(
    store: &TestMemory,
    subject: SubjectId,
    kind: BucketKind,
    limit: u64,
    verdict: account::GrantVerdict,
) {
    answer(store, subject, kind, limit, 0, refusal(verdict));
}

/// What the control plane says where it has nothing.
pub fn refusal(verdict: account::GrantVerdict) -> BucketStatus {
    BucketStatus {
        verdict,
        refused: 1,
        fresh_until_ms: ANSWER_MS,
        retry_at_ms: ANSWER_MS,
        ..BucketStatus::default()
    }
}

/// A subject's current account line.
pub fn line(store: &TestMemory, subject: SubjectId, kind: BucketKind) -> AccountLine {
    *LeaseAccount::read(store, subject).unwrap().0.current(kind).unwrap()
}
