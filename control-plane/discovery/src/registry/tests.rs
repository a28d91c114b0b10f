use super::*;

fn connect(registry: &Registry, stream: u64, name: &str, instance: &str) -> Connection {
    connect_in(&watch::Sender::new(0), registry, stream, name, instance)
}

fn connect_in(
    history: &watch::Sender<u64>,
    registry: &Registry,
    stream: u64,
    name: &str,
    instance: &str,
) -> Connection {
    let greeting = Greeting { gateway: name.to_owned(), instance: instance.to_owned() };
    registry.connect(stream, greeting, history.subscribe())
}

fn applied_up_to(revision: u64) -> Progress {
    Progress { acknowledged: revision, sent: revision, ..Progress::default() }
}

fn refusing(revision: u64, resource: &str) -> Progress {
    let quarantined = BTreeMap::from([(resource.to_owned(), "bad status".to_owned())]);
    Progress { quarantined, ..applied_up_to(revision) }
}

const A_IS_AWAY: &str = "disconnected: process a, while another runs under this name";

/// Who has applied revision 7, and who has not.
fn seven(registry: &Registry) -> (Vec<String>, Vec<(String, String)>) {
    told(registry.obstacles(7, &[]))
}

fn told(obstacles: BTreeMap<String, BTreeSet<Obstacle>>) -> (Vec<String>, Vec<(String, String)>) {
    let (applied, pending): (Vec<_>, Vec<_>) =
        obstacles.into_iter().partition(|(_, obstacles)| obstacles.is_empty());
    let reasons = |(name, obstacles): (String, BTreeSet<Obstacle>)| {
        obstacles.into_iter().map(move |obstacle| (name.clone(), obstacle.to_string()))
    };
    (applied.into_iter().map(|(name, _)| name).collect(), pending.into_iter().flat_map(reasons).collect())
}

fn applied(names: &[&str]) -> (Vec<String>, Vec<(String, String)>) {
    (names.iter().map(|name| (*name).to_owned()).collect(), Vec::new())
}

fn pending(name: &str, reason: &str) -> (Vec<String>, Vec<(String, String)>) {
    (Vec::new(), vec![(name.to_owned(), reason.to_owned())])
}

#[test]
fn those_that_have_applied_a_revision_are_named_and_those_that_have_not() {
    let registry = Registry::default();
    let one = connect(&registry, 1, "gw-1", "a");
    let two = connect(&registry, 2, "gw-2", "b");
    one.report(&applied_up_to(7));
    assert_eq!(
        seven(&registry),
        (vec!["gw-1".to_owned()], vec![("gw-2".to_owned(), "not acknowledged yet".to_owned())])
    );
    two.report(&applied_up_to(8));
    assert_eq!(seven(&registry), applied(&["gw-1", "gw-2"]));
}

#[test]
fn a_gateway_that_disconnects_is_pending_though_it_had_applied() {
    let registry = Registry::default();
    let leaving = connect(&registry, 1, "gw-1", "a");
    leaving.report(&applied_up_to(7));
    drop(leaving);
    assert_eq!(seven(&registry), pending("gw-1", "disconnected"));
    assert!(registry.gateways()[0].disconnected_at.is_some());
}

#[test]
fn a_gateway_that_is_back_counts_once_it_has_acknowledged() {
    let registry = Registry::default();
    drop(connect(&registry, 1, "gw-1", "a"));
    let back = connect(&registry, 2, "gw-1", "a");
    assert_eq!(seven(&registry), pending("gw-1", "not acknowledged yet"));
    back.report(&applied_up_to(7));
    assert_eq!(seven(&registry), applied(&["gw-1"]));
}

#[test]
fn another_process_of_the_same_name_proves_nothing_for_the_first() {
    let registry = Registry::default();
    let leaving = connect(&registry, 1, "gw-1", "a");
    let other = connect(&registry, 2, "gw-1", "b");
    other.report(&applied_up_to(7));
    drop(leaving);
    assert_eq!(seven(&registry), pending("gw-1", A_IS_AWAY));
    drop(other);
    let back = connect(&registry, 3, "gw-1", "b");
    back.report(&applied_up_to(7));
    assert_eq!(seven(&registry), pending("gw-1", A_IS_AWAY), "it was there before the first left");
    let third = connect(&registry, 4, "gw-1", "c");
    third.report(&applied_up_to(7));
    assert_eq!(seven(&registry), pending("gw-1", A_IS_AWAY), "nor does one that came later");
}

#[test]
fn one_that_may_have_been_restarted_or_cut_off_is_awaited_beside_its_successor() {
    let registry = Registry::default();
    drop(connect(&registry, 1, "gw-1", "a"));
    let new = connect(&registry, 2, "gw-1", "b");
    let both = vec![
        ("gw-1".to_owned(), "not acknowledged yet".to_owned()),
        ("gw-1".to_owned(), A_IS_AWAY.to_owned()),
    ];
    assert_eq!(seven(&registry), (Vec::new(), both));
    new.report(&applied_up_to(7));
    assert_eq!(seven(&registry), pending("gw-1", A_IS_AWAY));
    let back = connect(&registry, 3, "gw-1", "a");
    assert_eq!(seven(&registry), pending("gw-1", "not acknowledged yet"));
    back.report(&applied_up_to(7));
    assert_eq!(seven(&registry), applied(&["gw-1"]));
}

#[test]
fn nothing_counts_that_was_acknowledged_in_another_history() {
    let (registry, history) = (Registry::default(), watch::Sender::new(0));
    let stream = connect_in(&history, &registry, 1, "gw-1", "a");
    stream.report(&applied_up_to(100));
    history.send_modify(|count| *count += 1);
    assert_eq!(seven(&registry), pending("gw-1", "disconnected"), "its end is only a moment away");
    drop(stream);
    let back = connect_in(&history, &registry, 2, "gw-1", "a");
    back.report(&applied_up_to(91));
    assert_eq!(seven(&registry), applied(&["gw-1"]));
}

#[test]
fn of_two_streams_with_one_name_the_newest_is_shown_and_both_must_apply() {
    let registry = Registry::default();
    let _old = connect(&registry, 1, "gw-1", "a");
    let new = connect(&registry, 2, "gw-1", "b");
    new.report(&applied_up_to(7));
    let shown = registry.gateways();
    assert_eq!(shown.iter().map(|gateway| gateway.instance.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(seven(&registry), pending("gw-1", "not acknowledged yet"));
}

#[test]
fn all_streams_are_told_apart() {
    let registry = Registry::default();
    let seen = || -> Vec<_> {
        registry.streams().into_iter().map(|it| (it.id, it.gateway.instance, it.open)).collect()
    };
    let one = connect(&registry, 1, "gw-1", "a");
    drop(one);
    let two = connect(&registry, 2, "gw-1", "b");
    assert_eq!(seen(), [(1, "a".to_owned(), false), (2, "b".to_owned(), true)], "restarted or cut off");
    let _three = connect(&registry, 3, "gw-1", "a");
    drop(two);
    assert_eq!(seen(), [(2, "b".to_owned(), false), (3, "a".to_owned(), true)], "the first is back");
    let _four = connect(&registry, 4, "gw-1", "b");
    assert_eq!(seen(), [(3, "a".to_owned(), true), (4, "b".to_owned(), true)], "back");
}

#[test]
fn what_is_forgotten_is_awaited_no_more_unless_it_is_connected() {
    let registry = Registry::default();
    drop(connect(&registry, 1, "gw-1", "a"));
    let _two = connect(&registry, 2, "gw-2", "b");
    registry.forget(&BTreeSet::from([1, 2]));
    assert_eq!(seven(&registry), pending("gw-2", "not acknowledged yet"));
}

#[test]
fn a_refused_resource_is_not_applied() {
    let registry = Registry::default();
    let gateway = connect(&registry, 1, "gw-1", "a");
    gateway.report(&refusing(7, "key/01"));
    let of = |resource: &str| told(registry.obstacles(7, &[resource.to_owned()]));
    assert_eq!(of("key/01"), pending("gw-1", "refused: bad status"));
    assert_eq!(of("key/02"), applied(&["gw-1"]));
}

#[test]
fn a_process_that_moved_to_another_replica_counts_by_either_of_its_streams() {
    let hanging = Sighting { name: "gw-1".into(), instance: "a".into(), open: true, ..Sighting::default() };
    let moved = Sighting { acknowledged: 7, ..hanging.clone() };
    assert_eq!(told(obstacles([hanging, moved], 7, &[])), applied(&["gw-1"]));
}

#[test]
fn one_that_is_gone_is_in_neither_list() {
    let gone = Sighting { name: "gw-1".into(), instance: "a".into(), gone: true, ..Sighting::default() };
    let away = Sighting { gone: false, ..gone.clone() };
    assert_eq!(told(obstacles([gone.clone()], 7, &[])), applied(&[]));
    assert_eq!(told(obstacles([gone, away], 7, &[])), pending("gw-1", "disconnected"), "seen again since");
}

#[tokio::test]
async fn changes_are_announced_once_each() {
    let registry = Registry::default();
    let mut changed = registry.changed();
    let gateway = connect(&registry, 1, "gw-1", "a");
    assert!(changed.has_changed().unwrap());
    changed.mark_unchanged();
    gateway.report(&Progress::default());
    assert!(!changed.has_changed().unwrap(), "nothing is new");
    drop(gateway);
    assert!(changed.has_changed().unwrap());
}
