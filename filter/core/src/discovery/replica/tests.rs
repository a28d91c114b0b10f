use std::collections::{HashMap, HashSet};

use latchkey_proto::key::KeyHash;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::discovery::view::View;
use crate::testing::{self, TestMemory, part, position};

fn refusal(verdict: DiscoveryOutcome) -> String {
    match verdict {
        DiscoveryOutcome::Rejected(refusal) => refusal.error_detail,
        DiscoveryOutcome::Applied => "applied".to_owned(),
    }
}

fn knows(store: &TestMemory, hash: &KeyHash) -> bool {
    let view = View::new(store);
    view.snapshot().is_some_and(|snapshot| view.key(snapshot, hash).is_some())
}

fn hello(replica: &mut Replica<&TestMemory>) -> wire::Hello {
    match replica.hello("gw").kind {
        Some(Kind::Hello(hello)) => hello,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_is_known_until_the_first_snapshot_ends() {
    let store = TestMemory::default();
    let mut replica = Replica::resume(&store, 0xbeef);
    assert_eq!(
        hello(&mut replica),
        wire::Hello { gateway: "gw".into(), instance: "beef".into(), position: None, newest: None }
    );
    let keys = vec![testing::app_key_record()];
    replica.receive(wire::DiscoveryResponse { keys, ..part(Part::SnapshotBegin) });
    assert_eq!(View::new(&store).snapshot(), None);
    replica.receive(wire::DiscoveryResponse { position: position(3), ..part(Part::SnapshotEnd) });
    assert!(knows(&store, &testing::app_key().hash()));
    assert_eq!(hello(&mut replica).position, position(3));
}

#[test]
fn parts_out_of_sequence_are_refused() {
    let store = TestMemory::default();
    let mut replica = Replica::resume(&store, 1);
    assert_eq!(
        refusal(replica.receive(part(Part::Increment))),
        "an increment came before a complete snapshot"
    );
    assert_eq!(refusal(replica.receive(part(Part::SnapshotPart))), "no snapshot has begun on this stream");
    assert_eq!(refusal(replica.receive(part(Part::SnapshotBegin))), "applied");
    assert_eq!(refusal(replica.receive(part(Part::Increment))), "an increment came within a snapshot");
    hello(&mut replica);
    assert_eq!(refusal(replica.receive(part(Part::SnapshotEnd))), "no snapshot has begun on this stream");
    assert_eq!(
        refusal(replica.receive(part(Part::Increment))),
        "an increment came before a complete snapshot"
    );
}

#[test]
fn a_refused_response_changes_nothing() {
    let store = TestMemory::default();
    let mut replica = testing::synced(&store);
    let response = wire::DiscoveryResponse {
        removed_keys: vec![testing::app_key_record().hash],
        keys: vec![wire::KeyRecord::default()],
        position: position(9),
        ..testing::increment()
    };
    let DiscoveryOutcome::Rejected(refusal) = replica.receive(response) else { panic!("applied") };
    assert_eq!(refusal.rejected[0].resource.to_string(), "key/");
    assert!(knows(&store, &testing::app_key().hash()));
    assert_eq!(hello(&mut replica).position, position(1));
}

#[test]
fn what_a_snapshot_does_not_name_is_gone_at_its_end() {
    let store = TestMemory::default();
    let mut replica = testing::synced(&store);
    replica.receive(part(Part::SnapshotBegin));
    let keys = vec![testing::named_key_record()];
    replica.receive(wire::DiscoveryResponse { keys, ..part(Part::SnapshotPart) });
    assert!(knows(&store, &testing::app_key().hash()), "not before its end");
    replica.receive(part(Part::SnapshotEnd));
    assert!(!knows(&store, &testing::app_key().hash()));
    assert!(knows(&store, &testing::named_key().hash()));
    let view = View::new(&store);
    let snapshot = view.snapshot().unwrap();
    assert!(view.app(snapshot, testing::APP).is_none());
    assert_eq!(view.catalogue(snapshot).models().count(), 0);
}

#[test]
fn an_interrupted_snapshot_asks_for_another_and_never_shares_its_generation() {
    let store = TestMemory::default();
    let mut replica = testing::synced(&store);
    let stray = wire::KeyRecord { hash: vec![7; 32], ..testing::app_key_record() };
    replica.receive(wire::DiscoveryResponse { keys: vec![stray], ..part(Part::SnapshotBegin) });

    let mut replica = Replica::resume(&store, 2);
    assert_eq!(hello(&mut replica).position, None);
    assert!(knows(&store, &testing::app_key().hash()), "the last good state stays in force");
    replica.receive(part(Part::SnapshotBegin));
    replica.receive(wire::DiscoveryResponse { position: position(5), ..part(Part::SnapshotEnd) });
    assert!(!knows(&store, &[7; 32].into()));
}

#[test]
fn another_vm_of_the_process_takes_up_where_the_last_one_was() {
    let store = TestMemory::default();
    let instance = hello(&mut testing::synced(&store)).instance;
    let mut replica = Replica::resume(&store, 99);
    let expected = wire::Hello { gateway: "gw".into(), instance, position: position(1), newest: None };
    assert_eq!(hello(&mut replica), expected);
    assert_eq!(refusal(replica.receive(part(Part::Increment))), "applied");
    assert_eq!(replica.revision(), 1);
}

#[test]
fn what_is_held_may_be_newer_than_the_position_and_the_hello_says_so() {
    let store = TestMemory::default();
    let mut replica = testing::synced(&store);
    let newest = |revision| wire::DiscoveryResponse { newest: position(revision), ..testing::increment() };
    replica.receive(newest(7));
    replica.receive(newest(5));
    let said = hello(&mut replica);
    assert_eq!((said.position, said.newest), (position(1), position(7)), "the newest of all");
    let said = hello(&mut Replica::resume(&store, 2));
    assert_eq!(said.newest, position(7), "another VM says the same");
    replica.receive(wire::DiscoveryResponse { newest: position(3), ..part(Part::SnapshotBegin) });
    replica.receive(wire::DiscoveryResponse { position: position(3), ..part(Part::SnapshotEnd) });
    let said = hello(&mut replica);
    assert_eq!((said.position, said.newest), (position(3), position(3)), "a snapshot is another history");
}

#[test]
fn removing_what_was_never_there_leaves_no_trace() {
    let store = TestMemory::default();
    let mut replica = testing::synced(&store);
    let entries = store.entries();
    let removed_keys = vec![vec![5; 32], testing::app_key_record().hash];
    replica.receive(wire::DiscoveryResponse { removed_keys, ..testing::increment() });
    assert_eq!(store.entries(), entries);
    assert!(!knows(&store, &testing::app_key().hash()));
}

/// The app, the catalogue and the app key as a later build might write them.
fn unreadable() -> wire::DiscoveryResponse {
    let model = testing::model("gpt-4o", "nobody", "x");
    wire::DiscoveryResponse {
        apps: vec![wire::AppPolicy { models: None, ..testing::app() }],
        catalogue: Some(wire::Catalogue { models: vec![model], ..testing::catalogue() }),
        keys: vec![wire::KeyRecord { status: 9, ..testing::app_key_record() }],
        ..Default::default()
    }
}

#[test]
fn what_a_snapshot_names_and_is_refused_keeps_its_last_good_state() {
    for refused_in in [Part::SnapshotBegin, Part::SnapshotPart, Part::SnapshotEnd] {
        let store = TestMemory::default();
        let mut replica = testing::synced(&store);
        for part in [Part::SnapshotBegin, Part::SnapshotPart, Part::SnapshotEnd] {
            let response = wire::DiscoveryResponse { part: part.into(), ..testing::increment() };
            if part == refused_in {
                let refused = wire::DiscoveryResponse { part: part.into(), ..unreadable() };
                assert!(matches!(replica.receive(refused), DiscoveryOutcome::Rejected(_)));
            }
            assert_eq!(replica.receive(response), DiscoveryOutcome::Applied);
        }
        assert!(knows(&store, &testing::app_key().hash()), "{refused_in:?}");
        assert!(!knows(&store, &testing::named_key().hash()), "{refused_in:?}: it was not named");
        let view = View::new(&store);
        let snapshot = view.snapshot().unwrap();
        assert!(view.app(snapshot, testing::APP).is_some(), "{refused_in:?}");
        assert_eq!(view.catalogue(snapshot).models().count(), 2, "{refused_in:?}");
    }
}

#[test]
fn what_was_refused_on_a_stream_that_broke_is_forgotten() {
    let store = TestMemory::default();
    let mut replica = testing::synced(&store);
    let refused = wire::DiscoveryResponse { part: Part::SnapshotBegin.into(), ..unreadable() };
    assert!(matches!(replica.receive(refused), DiscoveryOutcome::Rejected(_)));
    hello(&mut replica);
    replica.receive(part(Part::SnapshotBegin));
    replica.receive(part(Part::SnapshotEnd));
    assert!(!knows(&store, &testing::app_key().hash()));
}

#[test]
fn a_hash_that_is_too_long_keeps_no_other_key() {
    let store = TestMemory::default();
    let mut replica = testing::synced(&store);
    replica.receive(part(Part::SnapshotBegin));
    let hash = [testing::app_key_record().hash, vec![0]].concat();
    let keys = vec![wire::KeyRecord { hash, ..testing::app_key_record() }];
    let refused = wire::DiscoveryResponse { keys, ..part(Part::SnapshotPart) };
    assert!(matches!(replica.receive(refused), DiscoveryOutcome::Rejected(_)));
    replica.receive(part(Part::SnapshotEnd));
    assert!(!knows(&store, &testing::app_key().hash()));
}

/// What a control plane may do to a gateway, over ten keys.
#[derive(Clone, Debug)]
enum Step {
    Put(u8),
    Remove(u8),
    /// The key's record becomes one that gateways refuse.
    Break(u8),
    /// A whole snapshot of the control plane's state, in parts.
    Snapshot,
    /// A snapshot that breaks off after some keys, of a history in which only these exist, and in
    /// which some are refused.
    Interrupted(Vec<(u8, bool)>),
    /// Another VM of the process.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..10u8).prop_map(Step::Put),
        3 => (0..10u8).prop_map(Step::Remove),
        3 => (0..10u8).prop_map(Step::Break),
        2 => Just(Step::Snapshot),
        2 => prop::collection::vec((0..10u8, any::<bool>()), 0..4).prop_map(Step::Interrupted),
        1 => Just(Step::Restart),
    ]
}

/// A key's record; without a version one that is refused.
fn record(key: u8, version: Option<i64>) -> wire::KeyRecord {
    wire::KeyRecord { hash: vec![key; 32], expires_at_ms: version.unwrap_or(-1), ..testing::app_key_record() }
}

/// What the control plane does with a response: what is refused by name is left out when it is
/// sent again.
fn send(replica: &mut Replica<&TestMemory>, mut response: wire::DiscoveryResponse) {
    if let DiscoveryOutcome::Rejected(refusal) = replica.receive(response.clone()) {
        let named: HashSet<_> =
            refusal.rejected.into_iter().map(|rejected| rejected.resource.to_string()).collect();
        response.keys.retain(|key| {
            let hash: [u8; 32] = key.hash.as_slice().try_into().unwrap();
            !named.contains(&format!("key/{}", KeyHash::from(hash)))
        });
        assert_eq!(replica.receive(response), DiscoveryOutcome::Applied);
    }
}

/// A control plane by the rules of discovery.proto: without a position it sends a snapshot.
fn snapshot(replica: &mut Replica<&TestMemory>, keys: &HashMap<u8, Option<i64>>) {
    let parts = [Part::SnapshotBegin, Part::SnapshotPart, Part::SnapshotEnd];
    for (turn, part) in (0u8..).zip(parts) {
        let mine = keys.iter().filter(|(key, _)| *key % 3 == turn);
        let keys = mine.map(|(&key, &version)| record(key, version)).collect();
        let position = position(1).filter(|_| part == Part::SnapshotEnd);
        send(replica, wire::DiscoveryResponse { keys, position, ..testing::part(part) });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn what_is_held_is_the_last_good_state_of_what_exists_and_nothing_else(steps in prop::collection::vec(step(), 0..30)) {
        let store = TestMemory::default();
        let mut replica = Replica::resume(&store, 1);
        let mut truth: HashMap<u8, Option<i64>> = HashMap::new();
        let mut held: HashMap<u8, i64> = HashMap::new();
        for (version, step) in (1i64..).zip(steps) {
            match step {
                Step::Interrupted(ref foreign) => {
                    replica.hello("gw");
                    let version = |refused: bool| (!refused).then_some(version);
                    let keys = foreign.iter().map(|&(key, refused)| record(key, version(refused))).collect();
                    let refused: HashSet<_> = foreign.iter().filter(|(_, refused)| *refused).map(|(key, _)| *key).collect();
                    send(&mut replica, wire::DiscoveryResponse { keys, ..part(Part::SnapshotBegin) });
                    if replica.generation() > 0 {
                        let applied = foreign.iter().map(|(key, _)| *key).filter(|key| !refused.contains(key));
                        held.extend(applied.map(|key| (key, version(false).unwrap())));
                    }
                }
                Step::Restart => replica = Replica::resume(&store, 2),
                Step::Put(key) => { truth.insert(key, Some(version)); }
                Step::Break(key) => { truth.insert(key, None); }
                Step::Remove(key) => { truth.remove(&key); }
                Step::Snapshot => {}
            }
            let asks_for_all = hello(&mut replica).position.is_none();
            match step {
                _ if asks_for_all => snapshot(&mut replica, &truth),
                Step::Snapshot => snapshot(&mut replica, &truth),
                Step::Put(key) | Step::Break(key) => send(&mut replica, wire::DiscoveryResponse { keys: vec![record(key, truth[&key])], ..testing::increment() }),
                Step::Remove(key) => send(&mut replica, wire::DiscoveryResponse { removed_keys: vec![vec![key; 32]], ..testing::increment() }),
                Step::Interrupted(_) | Step::Restart => {}
            }
            held.retain(|key, _| truth.contains_key(key));
            held.extend(truth.iter().filter_map(|(&key, &version)| Some((key, version?))));
            let view = View::new(&store);
            let now = view.snapshot().unwrap();
            for key in 0..10u8 {
                let found = view.key(now, &[key; 32].into()).and_then(|record| record.expires).map(|at| at.0);
                prop_assert_eq!(found, held.get(&key).copied(), "key {}", key);
            }
        }
    }

    #[test]
    fn no_message_breaks_the_replica(messages in prop::collection::vec(any::<Vec<u8>>(), 0..8)) {
        let store = TestMemory::default();
        let mut replica = Replica::resume(&store, 1);
        for bytes in messages {
            if let Ok(response) = wire::DiscoveryResponse::decode(bytes.as_slice()) {
                let _ = replica.receive(response);
            }
        }
    }
}
