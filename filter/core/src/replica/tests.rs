use std::collections::HashMap;

use latchkey_proto::key::KeyHash;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::testing::{self, Memory, part, position};
use crate::view::View;

fn refusal(verdict: Verdict) -> String {
    match verdict {
        Verdict::Refused(refusal) => refusal.error_detail,
        Verdict::Applied => "applied".to_owned(),
    }
}

fn knows(store: &Memory, hash: &KeyHash) -> bool {
    let view = View::new(store);
    view.snapshot().is_some_and(|snapshot| view.key(snapshot, hash).is_some())
}

fn hello(replica: &mut Replica<&Memory>) -> wire::Hello {
    match replica.hello("gw").kind {
        Some(Kind::Hello(hello)) => hello,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_is_known_until_the_first_snapshot_ends() {
    let store = Memory::default();
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
    let store = Memory::default();
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
    let store = Memory::default();
    let mut replica = testing::synced(&store);
    let response = wire::DiscoveryResponse {
        removed_keys: vec![testing::app_key_record().hash],
        keys: vec![wire::KeyRecord::default()],
        position: position(9),
        ..testing::increment()
    };
    let Verdict::Refused(refusal) = replica.receive(response) else { panic!("applied") };
    assert_eq!(refusal.rejected[0].resource, "key/");
    assert!(knows(&store, &testing::app_key().hash()));
    assert_eq!(hello(&mut replica).position, position(1));
}

#[test]
fn what_a_snapshot_does_not_name_is_gone_at_its_end() {
    let store = Memory::default();
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
    let store = Memory::default();
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
    let store = Memory::default();
    let instance = hello(&mut testing::synced(&store)).instance;
    let mut replica = Replica::resume(&store, 99);
    let expected = wire::Hello { gateway: "gw".into(), instance, position: position(1), newest: None };
    assert_eq!(hello(&mut replica), expected);
    assert_eq!(refusal(replica.receive(part(Part::Increment))), "applied");
    assert_eq!(replica.revision(), 1);
}

#[test]
fn what_is_held_may_be_newer_than_the_position_and_the_hello_says_so() {
    let store = Memory::default();
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
    let store = Memory::default();
    let mut replica = testing::synced(&store);
    let entries = store.entries();
    let removed_keys = vec![vec![5; 32], testing::app_key_record().hash];
    replica.receive(wire::DiscoveryResponse { removed_keys, ..testing::increment() });
    assert_eq!(store.entries(), entries);
    assert!(!knows(&store, &testing::app_key().hash()));
}

/// What a control plane may do to a gateway, over ten keys.
#[derive(Clone, Debug)]
enum Step {
    Put(u8),
    Remove(u8),
    /// A whole snapshot of the control plane's state, in parts.
    Snapshot,
    /// A snapshot that breaks off after some keys, of a history in which only these exist.
    Interrupted(Vec<u8>),
    /// Another VM of the process.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..10u8).prop_map(Step::Put),
        3 => (0..10u8).prop_map(Step::Remove),
        2 => Just(Step::Snapshot),
        2 => prop::collection::vec(0..10u8, 0..4).prop_map(Step::Interrupted),
        1 => Just(Step::Restart),
    ]
}

fn record(key: u8, version: i64) -> wire::KeyRecord {
    wire::KeyRecord { hash: vec![key; 32], expires_at_ms: version, ..testing::app_key_record() }
}

/// A control plane by the rules of discovery.proto: without a position it sends a snapshot.
fn snapshot(replica: &mut Replica<&Memory>, keys: &HashMap<u8, i64>) {
    replica.receive(part(Part::SnapshotBegin));
    for (&key, &version) in keys {
        let keys = vec![record(key, version)];
        assert_eq!(
            replica.receive(wire::DiscoveryResponse { keys, ..part(Part::SnapshotPart) }),
            Verdict::Applied
        );
    }
    replica.receive(wire::DiscoveryResponse { position: position(1), ..part(Part::SnapshotEnd) });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn a_removed_key_never_survives(steps in prop::collection::vec(step(), 0..30)) {
        let store = Memory::default();
        let mut replica = Replica::resume(&store, 1);
        let mut truth = HashMap::new();
        for (version, step) in (1i64..).zip(steps) {
            match step {
                Step::Interrupted(ref foreign) => {
                    replica.hello("gw");
                    let keys = foreign.iter().map(|&key| record(key, version)).collect();
                    replica.receive(wire::DiscoveryResponse { keys, ..part(Part::SnapshotBegin) });
                }
                Step::Restart => replica = Replica::resume(&store, 2),
                Step::Put(key) => { truth.insert(key, version); }
                Step::Remove(key) => { truth.remove(&key); }
                Step::Snapshot => {}
            }
            let asks_for_all = hello(&mut replica).position.is_none();
            let sent = match step {
                _ if asks_for_all => { snapshot(&mut replica, &truth); Verdict::Applied }
                Step::Snapshot => { snapshot(&mut replica, &truth); Verdict::Applied }
                Step::Put(key) => replica.receive(wire::DiscoveryResponse { keys: vec![record(key, version)], ..testing::increment() }),
                Step::Remove(key) => replica.receive(wire::DiscoveryResponse { removed_keys: vec![vec![key; 32]], ..testing::increment() }),
                Step::Interrupted(_) | Step::Restart => Verdict::Applied,
            };
            prop_assert_eq!(sent, Verdict::Applied);
            let view = View::new(&store);
            let now = view.snapshot().unwrap();
            for key in 0..10u8 {
                let found = view.key(now, &[key; 32].into()).and_then(|record| record.expires).map(|at| at.0);
                prop_assert_eq!(found, truth.get(&key).copied(), "key {}", key);
            }
        }
    }

    #[test]
    fn no_message_breaks_the_replica(messages in prop::collection::vec(any::<Vec<u8>>(), 0..8)) {
        let store = Memory::default();
        let mut replica = Replica::resume(&store, 1);
        for bytes in messages {
            if let Ok(response) = wire::DiscoveryResponse::decode(bytes.as_slice()) {
                let _ = replica.receive(response);
            }
        }
    }
}
