use std::collections::BTreeSet;
use std::time::Duration;

use latchkey_discovery::registry::{Obstacle, Registry};
use latchkey_discovery::resource;
use latchkey_proto::discovery::discovery_client::DiscoveryClient;
use latchkey_proto::discovery::discovery_request::Kind;
use latchkey_proto::discovery::{Nack, Part, Position};
use latchkey_proto::key::KeyHash;
use tonic::Code;

use crate::support::{ControlPlane, Memory, Verdict, with_token};

#[tokio::test]
async fn a_new_gateway_gets_everything_then_what_changes() {
    let control_plane = ControlPlane::start().await;
    for id in 1..=25 {
        control_plane.source.write(id);
    }
    let mut gateway = control_plane.connect("gw-1", None).await;
    assert_eq!(gateway.apply().await, (Part::SnapshotBegin, (1..=10).collect()));
    assert_eq!(gateway.apply().await, (Part::SnapshotPart, (11..=20).collect()));
    assert_eq!(gateway.apply().await, (Part::SnapshotEnd, (21..=25).collect()));
    control_plane.source.write(3);
    assert_eq!(gateway.apply().await, (Part::Increment, vec![3]));
    control_plane.source.remove(3);
    let response = gateway.receive().await.unwrap();
    assert_eq!(response.removed_keys, [vec![3; 32]]);
}

#[tokio::test]
async fn a_gateway_that_comes_back_gets_only_what_it_missed() {
    let control_plane = ControlPlane::start().await;
    control_plane.source.write(1);
    let mut gateway = control_plane.connect("gw-1", None).await;
    assert_eq!(gateway.apply().await, (Part::SnapshotBegin, vec![1]));
    assert_eq!(gateway.apply().await, (Part::SnapshotEnd, vec![]));
    let position = gateway.position.clone();
    drop(gateway);
    control_plane.until(|registry| registry.gateways()[0].disconnected_at.is_some()).await;

    let mut same = control_plane.connect("gw-1", position.clone()).await;
    control_plane.until(|registry| registry.gateways()[0].progress.acknowledged == 1).await;
    control_plane.source.write(2);
    assert_eq!(same.apply().await, (Part::Increment, vec![2]), "nothing came before");

    let mut behind = control_plane.connect("gw-2", position).await;
    assert_eq!(behind.apply().await, (Part::Increment, vec![2]));
}

#[tokio::test]
async fn a_gateway_from_another_history_gets_everything() {
    let control_plane = ControlPlane::with(Memory::new(2)).await;
    control_plane.source.write(1);
    let mut gateway = control_plane.connect("gw-1", Some(Position { revision: 1, tag: vec![1; 16] })).await;
    assert_eq!(gateway.apply().await, (Part::SnapshotBegin, vec![1]));
}

#[tokio::test]
async fn a_history_replaced_under_an_open_stream_ends_it_and_a_new_one_brings_everything() {
    let control_plane = ControlPlane::start().await;
    control_plane.source.write(1);
    let mut gateway = control_plane.connect("gw-1", None).await;
    gateway.apply().await;
    gateway.apply().await;
    control_plane.until(|registry| registry.gateways()[0].progress.acknowledged == 1).await;

    // Higher revisions, so that the head alone does not give it away.
    control_plane.source.replace(2, 7..=9);
    let obstacles = control_plane.obstacles("gw-1", 1, &[]);
    assert_eq!(obstacles, [Obstacle::Disconnected], "revision 1 is another one now");
    let status = gateway.receive().await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "the control plane's history was replaced")
    );
    control_plane.until(|registry| registry.gateways()[0].disconnected_at.is_some()).await;
    let mut gateway = control_plane.connect("gw-1", gateway.position).await;
    assert_eq!(gateway.apply().await, (Part::SnapshotBegin, vec![7, 8, 9]));
    assert_eq!(control_plane.obstacles("gw-1", 3, &[]), [Obstacle::NotYet]);
    gateway.apply().await;
    control_plane.until(|registry| registry.obstacles(3, &[])["gw-1"].is_empty()).await;
    assert_eq!(control_plane.registry.obstacles(3, &[]).len(), 1);
}

#[tokio::test]
async fn a_revocation_is_proven_by_three_gateways() {
    let control_plane = ControlPlane::start().await;
    let mut fleet = Vec::new();
    for name in ["gw-1", "gw-2", "gw-3"] {
        let mut gateway = control_plane.connect(name, None).await;
        gateway.apply().await;
        gateway.apply().await;
        fleet.push(gateway);
    }
    let revision = control_plane.source.write(1);
    for gateway in &mut fleet[..2] {
        gateway.apply().await;
    }
    control_plane
        .until(|registry| registry.gateways()[..2].iter().all(|it| it.progress.acknowledged == revision))
        .await;
    let obstacles = ["gw-1", "gw-2", "gw-3"].map(|name| control_plane.obstacles(name, revision, &[]));
    assert_eq!(obstacles, [vec![], vec![], vec![Obstacle::NotYet]]);
    fleet[2].apply().await;
    let all_have_applied = |registry: &Registry| {
        let obstacles = registry.obstacles(revision, &[]);
        obstacles.len() == 3 && obstacles.values().all(BTreeSet::is_empty)
    };
    control_plane.until(all_have_applied).await;
}

#[tokio::test]
async fn a_gateway_is_served_once_it_is_recorded() {
    let control_plane = ControlPlane::recording(Registry::recorded()).await;
    control_plane.source.write(1);
    let mut gateway = control_plane.connect("gw-1", None).await;
    control_plane.until(|registry| !registry.gateways().is_empty()).await;
    let early = tokio::time::timeout(Duration::from_millis(50), gateway.receive()).await;
    assert!(early.is_err(), "nothing came yet: {early:?}");
    control_plane.registry.recorded_up_to(*control_plane.registry.changed().borrow());
    assert_eq!(gateway.apply().await, (Part::SnapshotBegin, vec![1]));
}

#[tokio::test]
async fn a_gateway_that_cannot_be_recorded_is_sent_away() {
    let control_plane = ControlPlane::recording(Registry::recorded()).await;
    let mut gateway = control_plane.connect("gw-1", None).await;
    control_plane.until(|registry| !registry.gateways().is_empty()).await;
    tokio::time::pause();
    let status = gateway.receive().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
}

#[tokio::test]
async fn a_refused_key_is_shown_and_the_rest_is_applied() {
    let control_plane = ControlPlane::start().await;
    let mut gateway = control_plane.connect("gw-1", None).await;
    gateway.apply().await;
    gateway.apply().await;
    let revision = control_plane.source.write(1);
    let refused = gateway.receive().await.unwrap();
    let name = resource::key(&KeyHash::from([1; 32]));
    gateway.reject(&refused, name.clone()).await;
    assert_eq!(gateway.apply().await, (Part::Increment, vec![]));
    let name_of = std::slice::from_ref(&name);
    control_plane.until(|registry| registry.gateways()[0].progress.acknowledged == revision).await;
    let obstacles = control_plane.obstacles("gw-1", revision, name_of);
    assert_eq!(obstacles, [Obstacle::Refused("no status".to_owned())]);
    assert_eq!(obstacles[0].to_string(), "refused: no status");
    let shown = &control_plane.registry.gateways()[0].progress;
    assert_eq!(shown.quarantined[&name], "no status");
    assert_eq!(shown.last_error, Some(format!("{name}: no status")));
}

#[tokio::test]
async fn a_gateway_that_answers_nothing_is_let_go() {
    let control_plane = ControlPlane::start().await;
    let mut gateway = control_plane.connect("gw-1", None).await;
    gateway.receive().await.unwrap();
    tokio::time::pause();
    let status = gateway.receive().await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::DeadlineExceeded, "no answer in 10s"));
}

#[tokio::test]
async fn a_wrong_token_or_none_opens_nothing() {
    let control_plane = ControlPlane::start().await;
    for token in [None, Some("wrong"), Some("")] {
        let request = with_token(tokio_stream::pending(), token);
        let status =
            DiscoveryClient::new(control_plane.channel.clone()).subscribe(request).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
    }
    assert!(control_plane.registry.gateways().is_empty());
}

#[tokio::test]
async fn a_token_of_another_gateway_shows_and_brings_nothing() {
    let control_plane = ControlPlane::start().await;
    let mut gateway = control_plane.connect("taken", None).await;
    assert_eq!(gateway.receive().await.unwrap_err().code(), Code::PermissionDenied);
    assert!(control_plane.registry.gateways().is_empty());
}

#[tokio::test]
async fn a_stream_ends_when_its_token_is_revoked_but_not_while_that_cannot_be_told() {
    let control_plane = ControlPlane::start().await;
    let mut gateway = control_plane.connect("gw-1", None).await;
    let revision = control_plane.source.write(1);
    while gateway.position.as_ref().is_none_or(|at| at.revision < revision) {
        gateway.apply().await;
    }
    control_plane.until(|registry| registry.gateways()[0].progress.acknowledged == revision).await;

    control_plane.token.becomes(Verdict::Unknown);
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(61)).await;
    tokio::time::resume();
    assert_eq!(control_plane.token.checks(), 2);
    control_plane.source.write(2);
    assert_eq!(gateway.apply().await, (Part::Increment, vec![2]));
    control_plane.until(|registry| registry.gateways()[0].progress.acknowledged == 2).await;

    control_plane.token.becomes(Verdict::Revoked);
    tokio::time::pause();
    let status = gateway.receive().await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unauthenticated, "the gateway token is wrong or was revoked")
    );
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_the_stream() {
    let control_plane = ControlPlane::start().await;
    let mut gateway = control_plane.connect("gw-1", None).await;
    gateway.receive().await.unwrap();
    let error_detail = "x".repeat(2 << 20);
    gateway.say(Kind::Nack(Nack { error_detail, ..Nack::default() })).await;
    assert_eq!(gateway.receive().await.unwrap_err().code(), Code::OutOfRange);
}

#[tokio::test]
async fn streams_end_when_the_control_plane_stops() {
    let control_plane = ControlPlane::start().await;
    let mut gateway = control_plane.connect("gw-1", None).await;
    gateway.receive().await.unwrap();
    control_plane.stop();
    let status = gateway.receive().await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "the control plane is stopping"));
}
