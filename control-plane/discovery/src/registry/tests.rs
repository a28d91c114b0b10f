use super::*;

const A_WHILE: Duration = Duration::from_secs(5);

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

fn applied(propagation: &Propagation) -> Vec<&str> {
    propagation.applied.iter().map(|gateway| gateway.name.as_str()).collect()
}

fn pending(propagation: &Propagation) -> Vec<(&str, &str)> {
    propagation.pending.iter().map(|gateway| (gateway.name.as_str(), gateway.reason.as_str())).collect()
}

#[tokio::test(start_paused = true)]
async fn answers_as_soon_as_all_have_applied() {
    let registry = Registry::default();
    let one = connect(&registry, 1, "gw-1", "a");
    let two = connect(&registry, 2, "gw-2", "b");
    one.report(&applied_up_to(7));
    let began = Instant::now();
    let (propagation, ()) = tokio::join!(registry.applied(7, &[], A_WHILE), async {
        tokio::time::advance(Duration::from_millis(80)).await;
        two.report(&applied_up_to(8));
    });
    assert_eq!(applied(&propagation), ["gw-1", "gw-2"]);
    assert_eq!(propagation.applied[0].elapsed, Duration::ZERO);
    assert_eq!(propagation.applied[1].elapsed, Duration::from_millis(80));
    assert_eq!(began.elapsed(), Duration::from_millis(80));
}

#[tokio::test(start_paused = true)]
async fn names_who_has_not_after_the_wait() {
    let registry = Registry::default();
    let _slow = connect(&registry, 1, "gw-1", "a");
    let propagation = registry.applied(7, &[], A_WHILE).await;
    assert_eq!(pending(&propagation), [("gw-1", "not acknowledged yet")]);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_disconnects_is_pending() {
    let registry = Registry::default();
    let leaving = connect(&registry, 1, "gw-1", "a");
    let (propagation, ()) = tokio::join!(registry.applied(7, &[], A_WHILE), async { drop(leaving) });
    assert_eq!(pending(&propagation), [("gw-1", "disconnected")]);
    assert!(registry.gateways()[0].disconnected_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_same_process_may_come_back_and_apply() {
    let registry = Registry::default();
    let leaving = connect(&registry, 1, "gw-1", "a");
    let (propagation, _back) = tokio::join!(registry.applied(7, &[], A_WHILE), async {
        drop(leaving);
        let back = connect(&registry, 2, "gw-1", "a");
        back.report(&applied_up_to(7));
        back
    });
    assert_eq!(applied(&propagation), ["gw-1"]);
}

#[tokio::test(start_paused = true)]
async fn another_process_of_the_same_name_proves_nothing_for_the_first() {
    let registry = Registry::default();
    let leaving = connect(&registry, 1, "gw-1", "a");
    let other = connect(&registry, 2, "gw-1", "b");
    other.report(&applied_up_to(7));
    let (propagation, ()) = tokio::join!(registry.applied(7, &[], A_WHILE), async { drop(leaving) });
    assert_eq!(pending(&propagation), [("gw-1", "disconnected")]);
    drop(other);
    let back = connect(&registry, 3, "gw-1", "b");
    back.report(&applied_up_to(7));
    let propagation = registry.applied(7, &[], A_WHILE).await;
    assert_eq!(pending(&propagation), [("gw-1", "disconnected")], "it was there before the first left");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_restarted_counts_in_place_of_the_old_one() {
    let registry = Registry::default();
    let leaving = connect(&registry, 1, "gw-1", "a");
    let (propagation, new) = tokio::join!(registry.applied(7, &[], A_WHILE), async {
        drop(leaving);
        connect(&registry, 2, "gw-1", "b")
    });
    assert_eq!(pending(&propagation), [("gw-1", "not acknowledged yet")]);
    let (propagation, ()) =
        tokio::join!(registry.applied(7, &[], A_WHILE), async { new.report(&applied_up_to(7)) });
    assert_eq!(applied(&propagation), ["gw-1"]);
    assert_eq!(pending(&propagation), []);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_is_awaited_for_a_minute_after_it_disconnected() {
    let registry = Registry::default();
    let leaving = connect(&registry, 1, "gw-1", "a");
    leaving.report(&applied_up_to(7));
    drop(leaving);
    tokio::time::advance(AWAITED - A_WHILE - Duration::from_secs(1)).await;
    let propagation = registry.applied(7, &[], A_WHILE).await;
    assert_eq!(pending(&propagation), [("gw-1", "disconnected")]);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(registry.applied(7, &[], A_WHILE).await, Propagation::default());
    assert_eq!(registry.gateways().len(), 1, "but it is still shown");
}

#[tokio::test(start_paused = true)]
async fn between_two_streams_a_gateway_is_awaited() {
    let registry = Registry::default();
    drop(connect(&registry, 1, "gw-1", "a"));
    let (propagation, _back) = tokio::join!(registry.applied(7, &[], A_WHILE), async {
        tokio::time::advance(Duration::from_millis(200)).await;
        let back = connect(&registry, 2, "gw-1", "a");
        back.report(&applied_up_to(7));
        back
    });
    assert_eq!(applied(&propagation), ["gw-1"]);
    assert_eq!(propagation.applied[0].elapsed, Duration::from_millis(200));
}

#[tokio::test(start_paused = true)]
async fn what_an_ended_stream_acknowledged_does_not_count() {
    let registry = Registry::default();
    let leaving = connect(&registry, 1, "gw-1", "a");
    let slow = connect(&registry, 2, "gw-2", "b");
    leaving.report(&applied_up_to(7));
    let (propagation, back) = tokio::join!(registry.applied(7, &[], A_WHILE), async {
        tokio::task::yield_now().await;
        drop(leaving);
        slow.report(&applied_up_to(7));
        connect(&registry, 3, "gw-1", "a")
    });
    assert_eq!(applied(&propagation), ["gw-2"]);
    assert_eq!(pending(&propagation), [("gw-1", "not acknowledged yet")]);
    back.report(&applied_up_to(7));
    assert_eq!(applied(&registry.applied(7, &[], A_WHILE).await), ["gw-1", "gw-2"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_counts_that_was_acknowledged_in_another_history() {
    let (registry, history) = (Registry::default(), watch::Sender::new(0));
    let stream = connect_in(&history, &registry, 1, "gw-1", "a");
    stream.report(&applied_up_to(100));
    history.send_modify(|count| *count += 1);
    let propagation = registry.applied(91, &[], A_WHILE).await;
    assert_eq!(pending(&propagation), [("gw-1", "disconnected")], "its end is only a moment away");
    drop(stream);
    let back = connect_in(&history, &registry, 2, "gw-1", "a");
    back.report(&applied_up_to(91));
    assert_eq!(applied(&registry.applied(91, &[], A_WHILE).await), ["gw-1"]);
}

#[tokio::test(start_paused = true)]
async fn of_two_streams_with_one_name_the_newest_is_shown_and_both_must_apply() {
    let registry = Registry::default();
    let _old = connect(&registry, 1, "gw-1", "a");
    let new = connect(&registry, 2, "gw-1", "b");
    new.report(&applied_up_to(7));
    let shown = registry.gateways();
    assert_eq!(shown.iter().map(|gateway| gateway.instance.as_str()).collect::<Vec<_>>(), ["b"]);
    let propagation = registry.applied(7, &[], A_WHILE).await;
    assert_eq!(pending(&propagation), [("gw-1", "not acknowledged yet")]);
}

#[tokio::test(start_paused = true)]
async fn all_streams_are_told_apart() {
    let registry = Registry::default();
    let seen = || -> Vec<_> {
        let streams = registry.streams().into_iter();
        streams.map(|it| (it.id, it.gateway.instance, it.gateway.disconnected_at.is_none())).collect()
    };
    let one = connect(&registry, 1, "gw-1", "a");
    let two = connect(&registry, 2, "gw-1", "b");
    drop(one);
    assert_eq!(seen(), [(1, "a".to_owned(), false), (2, "b".to_owned(), true)]);
    let _three = connect(&registry, 3, "gw-1", "a");
    assert_eq!(seen(), [(2, "b".to_owned(), true), (3, "a".to_owned(), true)]);
    drop(two);
    let _four = connect(&registry, 4, "gw-1", "c");
    assert_eq!(seen(), [(3, "a".to_owned(), true), (4, "c".to_owned(), true)]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_resource_is_not_applied_and_not_waited_for() {
    let registry = Registry::default();
    let gateway = connect(&registry, 1, "gw-1", "a");
    gateway.report(&refusing(7, "key/01"));
    let began = Instant::now();
    let propagation = registry.applied(7, &["key/01".to_owned()], A_WHILE).await;
    assert_eq!(pending(&propagation), [("gw-1", "refused: bad status")]);
    assert_eq!(began.elapsed(), Duration::ZERO);
    let other = registry.applied(7, &["key/02".to_owned()], A_WHILE).await;
    assert_eq!(applied(&other), ["gw-1"]);
}

#[tokio::test]
async fn with_no_gateway_there_is_nothing_to_wait_for() {
    assert_eq!(Registry::default().applied(7, &[], A_WHILE).await, Propagation::default());
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
