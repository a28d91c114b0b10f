use std::time::Duration;

use axum::http::StatusCode;
use latchkey_core::role::Role;
use latchkey_discovery::session::Progress;
use latchkey_discovery::source::Position;
use latchkey_service::gateways::Await;
use latchkey_service::gateways::propagation::Propagation;
use serde_json::{Value, json};

use crate::support::{Test, id, on_both};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

const FIRST_IS_AWAY: &str = "disconnected: process first, while another runs under this name";

type Pending = Vec<(String, String)>;

/// Names of those that have applied this revision, and those that have not with the reason.
async fn applied(test: &Test, revision: i64, wait: Duration) -> (Vec<String>, Pending) {
    awaited(test, revision, wait, Await::All).await
}

async fn awaited(test: &Test, revision: i64, wait: Duration, whom: Await) -> (Vec<String>, Pending) {
    let resources = ["app/a".to_owned()];
    let Propagation { applied, pending, .. } =
        test.api.gateways.propagation(revision, &resources, wait, whom).await;
    (applied, pending.into_iter().map(|pending| (pending.gateway, pending.reason)).collect())
}

fn late(gateway: &str, reason: &str) -> (Vec<String>, Pending) {
    (Vec::new(), vec![(gateway.to_owned(), reason.to_owned())])
}

fn done(gateways: &[&str]) -> (Vec<String>, Pending) {
    (gateways.iter().map(|name| (*name).to_owned()).collect(), Vec::new())
}

/// Where history stands, after some changes.
async fn head(test: &Test) -> (i64, Position) {
    test.app(json!({})).await;
    let position = test.store.head().await.unwrap().position;
    (i64::try_from(position.revision).unwrap(), position)
}

fn up_to(at: Position) -> Progress {
    Progress { acknowledged: at.revision, sent: at.revision, tag: at.tag, ..Progress::default() }
}

/// One look of the control plane at its gateways, this long after the last.
async fn look(test: &Test, passed: Duration) {
    test.api.gateways.keep(passed).await.unwrap();
}

async fn shown(test: &Test) -> Vec<(String, String)> {
    let list = test.get("/gateways").await.expect(StatusCode::OK);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let rows = list["items"].as_array().unwrap().iter();
    rows.map(|gateway| (text(&gateway["name"]), text(&gateway["status"]))).collect()
}

/// The processes for which changes wait beside the one that is listed first.
async fn earlier(test: &Test) -> Value {
    test.get("/gateways").await.expect(StatusCode::OK)["items"][0]["earlier"].take()
}

async fn rows(test: &Test) -> Vec<String> {
    test.column("SELECT gateway FROM gateway_streams ORDER BY gateway").await
}

on_both! {
    /// A control plane that is killed, or one of two replicas, says nothing of its gateways.
    async fn a_gateway_of_a_control_plane_that_was_killed_is_awaited_until_it_has_acknowledged(test: Test) {
        let (before, _) = head(&test).await;
        let gateway = test.gateway("gw", before as u64);
        look(&test, Duration::ZERO).await;
        let second = test.another().await;
        // Nothing of `test` runs any more, though its row may look alive for some seconds.
        let (revision, at) = head(&second).await;
        let (named, pending) = applied(&second, revision, Duration::ZERO).await;
        assert_eq!((named.len(), pending.len(), pending[0].0.as_str()), (0, 1, "gw"));
        let back = second.connect("gw", "gw-process", before as u64);
        assert_eq!(applied(&second, revision, Duration::ZERO).await, late("gw", "not acknowledged yet"));
        look(&second, Duration::ZERO).await;
        assert_eq!(applied(&second, revision, Duration::ZERO).await, late("gw", "not acknowledged yet"));
        let (answer, ()) = tokio::join!(applied(&second, revision, MINUTE), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            back.report(&up_to(at));
        });
        assert_eq!(answer, done(&["gw"]));
        drop(gateway);
    }
}

on_both! {
    async fn a_gateway_that_never_comes_back_is_awaited_for_ten_minutes_of_watching(test: Test) {
        let (revision, _) = head(&test).await;
        drop(test.gateway("gw", 0));
        look(&test, Duration::ZERO).await;
        // Whatever the clocks say, and whoever is started anew, meanwhile.
        test.clock.advance(60 * MINUTE);
        let second = test.another().await;
        for watching in [&test, &second] {
            look(watching, Duration::ZERO).await;
            look(watching, 10 * MINUTE - SECOND).await;
            assert_eq!(applied(watching, revision, Duration::ZERO).await, late("gw", "disconnected"));
        }
        assert_eq!(shown(&second).await, [("gw".to_owned(), "disconnected".to_owned())]);
        // The first is no more: until then it would watch its own.
        test.sql(&["UPDATE gateway_streams SET seen_at = 0".to_owned()]).await;
        look(&second, 2 * SECOND).await;
        assert_eq!(applied(&second, revision, Duration::ZERO).await, done(&[]));
        assert_eq!(shown(&second).await, [("gw".to_owned(), "gone".to_owned())]);
        let third = test.another().await;
        assert_eq!(applied(&third, revision, Duration::ZERO).await, done(&[]), "that is known from now on");
        let _back = third.gateway("gw", 0);
        assert_eq!(applied(&third, revision, Duration::ZERO).await, late("gw", "not acknowledged yet"));
        assert_eq!(shown(&third).await, [("gw".to_owned(), "connected".to_owned())]);
    }
}

on_both! {
    async fn a_gateway_that_an_admin_forgets_is_not_awaited(test: Test) {
        let (revision, _) = head(&test).await;
        test.delete("/gateways/gw").await.refused(404);
        let gateway = test.gateway("gw", 0);
        look(&test, Duration::ZERO).await;
        assert_eq!(test.delete("/gateways/gw").await.refused(409).0, "gateway_connected");
        drop(gateway);
        look(&test, Duration::ZERO).await;
        let auditor = test.token(Role::Auditor).await;
        test.with(&auditor, "DELETE", "/gateways/gw", None).await.refused(403);
        assert_eq!(applied(&test, revision, Duration::ZERO).await, late("gw", "disconnected"));
        let second = test.another().await;
        assert_eq!(second.delete("/gateways/gw").await.status, StatusCode::NO_CONTENT);
        for replica in [&second, &test] {
            assert_eq!(applied(replica, revision, Duration::ZERO).await, done(&[]));
            look(replica, Duration::ZERO).await;
            assert_eq!(applied(replica, revision, Duration::ZERO).await, done(&[]));
        }
        assert_eq!((shown(&test).await, rows(&test).await), (vec![], vec![]));
        assert_eq!(test.audited_of("gw").await, ["gateway.forgotten"]);
    }
}

on_both! {
    /// Nobody can tell whether the first was restarted or only lost its network.
    async fn a_process_whose_name_another_has_taken_is_awaited_until_it_is_gone(test: Test) {
        let (revision, at) = head(&test).await;
        drop(test.connect("gw", "first", at.revision));
        look(&test, Duration::ZERO).await;
        let second = test.connect("gw", "second", 0);
        look(&test, Duration::ZERO).await;
        let waits = [("gw".to_owned(), "not acknowledged yet".to_owned()), ("gw".to_owned(), FIRST_IS_AWAY.to_owned())];
        assert_eq!(applied(&test, revision, Duration::ZERO).await, (Vec::new(), waits.to_vec()));
        second.report(&up_to(at));
        look(&test, 10 * MINUTE - SECOND).await;
        assert_eq!(applied(&test, revision, Duration::ZERO).await, late("gw", FIRST_IS_AWAY));
        assert_eq!(earlier(&test).await, json!(["first"]));
        look(&test, SECOND).await;
        assert_eq!(applied(&test, revision, Duration::ZERO).await, done(&["gw"]));
        // Nor does a crash loop leave rows for a day.
        look(&test, Duration::ZERO).await;
        assert_eq!((rows(&test).await, earlier(&test).await), (vec!["gw".to_owned()], json!([])));
        let back = test.connect("gw", "first", 0);
        assert_eq!(applied(&test, revision, Duration::ZERO).await, late("gw", "not acknowledged yet"));
        back.report(&up_to(at));
        assert_eq!(applied(&test, revision, Duration::ZERO).await, done(&["gw"]));
    }
}

on_both! {
    async fn a_process_whose_name_another_has_taken_is_awaited_after_a_restart(test: Test) {
        let (revision, at) = head(&test).await;
        drop(test.connect("gw", "first", at.revision));
        look(&test, Duration::ZERO).await;
        let second = test.another().await;
        let _new = second.connect("gw", "second", at.revision);
        look(&second, Duration::ZERO).await;
        assert_eq!(applied(&second, revision, Duration::ZERO).await, late("gw", FIRST_IS_AWAY));
    }
}

on_both! {
    async fn what_is_new_does_not_wait_for_a_process_whose_name_another_has_taken(test: Test) {
        let (revision, at) = head(&test).await;
        drop(test.connect("gw", "first", at.revision));
        let second = test.connect("gw", "second", 0);
        look(&test, Duration::ZERO).await;
        let (answer, ()) = tokio::join!(awaited(&test, revision, MINUTE, Await::Reachable), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            second.report(&up_to(at));
        });
        assert_eq!(answer, late("gw", FIRST_IS_AWAY));
    }
}

on_both! {
    async fn an_admin_forgets_a_process_whose_name_another_has_taken(test: Test) {
        let (revision, at) = head(&test).await;
        drop(test.connect("gw", "first", at.revision));
        let _second = test.connect("gw", "second", at.revision);
        look(&test, Duration::ZERO).await;
        assert_eq!(applied(&test, revision, Duration::ZERO).await, late("gw", FIRST_IS_AWAY));
        assert_eq!(test.delete("/gateways/gw").await.status, StatusCode::NO_CONTENT);
        assert_eq!(applied(&test, revision, Duration::ZERO).await, done(&["gw"]));
        assert_eq!(test.delete("/gateways/gw").await.refused(409).0, "gateway_connected");
    }
}

on_both! {
    async fn two_envoys_of_one_name_are_both_awaited_after_a_restart(test: Test) {
        let (revision, at) = head(&test).await;
        let _both = [test.connect("gw", "first", at.revision), test.connect("gw", "second", at.revision)];
        look(&test, Duration::ZERO).await;
        let second = test.another().await;
        let back = second.connect("gw", "second", 0);
        back.report(&up_to(at));
        look(&second, Duration::ZERO).await;
        let (named, pending) = applied(&second, revision + 1, Duration::ZERO).await;
        assert!(named.is_empty() && pending.contains(&("gw".to_owned(), "not acknowledged yet".to_owned())), "{pending:?}");
        back.report(&up_to(Position { revision: at.revision + 1, ..at }));
        let (named, pending) = applied(&second, revision + 1, Duration::ZERO).await;
        assert_eq!((named.len(), pending.len()), (0, 1), "the first has not come back: {pending:?}");
    }
}

on_both! {
    async fn what_is_new_waits_for_those_that_are_connected_and_not_for_those_that_are_away(test: Test) {
        let (revision, at) = head(&test).await;
        let gateway = test.gateway("gw", 0);
        drop(test.gateway("away", 0));
        look(&test, Duration::ZERO).await;
        look(&test, 7 * SECOND).await;
        let (answer, ()) = tokio::join!(awaited(&test, revision, MINUTE, Await::Reachable), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            gateway.report(&up_to(at));
        });
        assert_eq!(answer, (vec!["gw".to_owned()], vec![("away".to_owned(), "disconnected".to_owned())]));
        let app = test.app(json!({"mode": "named"})).await;
        assert_eq!(app["propagation"]["complete"], false);
        let key = test.named_key(&app).await;
        assert_eq!(key["propagation"]["pending"].as_array().unwrap().len(), 2, "{key}");
        let revision = key["propagation"]["revision"].as_u64().unwrap();
        gateway.report(&Progress { acknowledged: revision + 100, ..up_to(at) });
        let key = test.named_key(&app).await;
        assert_eq!(key["propagation"]["applied"], json!(["gw"]));
        let path = format!("/apps/{}/keys/{}", id(&app), id(&key));
        test.act(&format!("{path}/deactivate")).await.expect(StatusCode::OK);
        let on = test.act(&format!("{path}/activate")).await.expect(StatusCode::OK);
        assert_eq!(on["propagation"]["applied"], json!(["gw"]));
    }
}

on_both! {
    async fn the_time_that_a_change_took_is_that_since_the_request_came(test: Test) {
        let app = test.app(json!({})).await;
        // Somebody else writes meanwhile.
        let mut other = test.store.begin().await.unwrap();
        other.revision(&test.world).await.unwrap();
        let path = format!("/apps/{}/revoke", id(&app));
        let (revoked, ()) = tokio::join!(test.act(&path), async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            other.commit().await.unwrap();
        });
        let propagation = &revoked.expect(StatusCode::OK)["propagation"];
        assert!(propagation["elapsed_ms"].as_u64().unwrap() >= 290, "{propagation}");
    }
}

/// Another replica that lives; only PostgreSQL has several.
async fn replicas() -> (Test, Test) {
    let test = Test::postgres().await;
    let other = test.another().await;
    (test, other)
}

#[tokio::test]
async fn a_gateway_of_another_replica_is_awaited() {
    let (test, other) = replicas().await;
    let (revision, at) = head(&test).await;
    let gateway = other.gateway("gw", 0);
    look(&other, Duration::ZERO).await;
    assert_eq!(applied(&test, revision, Duration::ZERO).await, late("gw", "not acknowledged yet"));
    let (answer, ()) = tokio::join!(applied(&test, revision, MINUTE), async {
        gateway.report(&up_to(at));
        look(&other, Duration::ZERO).await;
    });
    assert_eq!(answer, done(&["gw"]));
}

#[tokio::test]
async fn a_gateway_that_moves_to_another_replica_is_awaited_there() {
    let (test, other) = replicas().await;
    let (revision, at) = head(&test).await;
    drop(test.gateway("gw", 0));
    look(&test, Duration::ZERO).await;
    let back = other.gateway("gw", 0);
    look(&other, Duration::ZERO).await;
    for replica in [&test, &other] {
        assert_eq!(applied(replica, revision, Duration::ZERO).await, late("gw", "not acknowledged yet"));
    }
    back.report(&up_to(at));
    look(&other, Duration::ZERO).await;
    look(&test, Duration::ZERO).await;
    for replica in [&test, &other] {
        assert_eq!(applied(replica, revision, Duration::ZERO).await, done(&["gw"]));
    }
    assert_eq!(rows(&test).await, ["gw"]);
}

#[tokio::test]
async fn what_a_replica_says_of_another_history_is_no_proof() {
    let (test, other) = replicas().await;
    let (revision, at) = head(&test).await;
    let gateway = other.gateway("gw", 0);
    gateway.report(&up_to(Position { tag: [7; 16], ..at }));
    look(&other, Duration::ZERO).await;
    assert_eq!(applied(&test, revision, Duration::ZERO).await, late("gw", "not acknowledged yet"));
}

#[tokio::test]
async fn one_that_refuses_the_resource_elsewhere_is_named() {
    let (test, other) = replicas().await;
    let (revision, at) = head(&test).await;
    let quarantined = [("app/a".to_owned(), "odd".to_owned())].into();
    other.gateway("gone", 0);
    let gateway = other.gateway("gw", 0);
    gateway.report(&Progress { quarantined, ..up_to(at) });
    look(&other, Duration::ZERO).await;
    let (_, pending) = applied(&test, revision, Duration::ZERO).await;
    assert!(pending.contains(&("gw".to_owned(), "refused: odd".to_owned())), "{pending:?}");
}

#[tokio::test]
async fn names_that_two_replicas_see_at_once_stand_for_nobody_else() {
    let (test, other) = replicas().await;
    let (revision, at) = head(&test).await;
    let first = test.connect("gw", "first", 0);
    let second = other.connect("gw", "second", 0);
    for replica in [&test, &other, &test] {
        look(replica, Duration::ZERO).await;
    }
    drop((first, second));
    look(&test, Duration::ZERO).await;
    look(&other, Duration::ZERO).await;
    let third = other.connect("gw", "third", 0);
    third.report(&up_to(at));
    look(&other, Duration::ZERO).await;
    let (named, pending) = applied(&other, revision, Duration::ZERO).await;
    assert_eq!((named.len(), pending.len()), (0, 2), "{pending:?}");
}

on_both! {
    async fn a_row_that_cannot_be_read_is_no_proof(test: Test) {
        let (revision, _) = head(&test).await;
        test.sql(&["INSERT INTO gateway_streams (replica, stream, gateway, seen_at, state)
                    VALUES ('another', 1, 'gw', 0, '{\"name\":\"gw\"}')".to_owned()]).await;
        let reason = "its control plane replica runs a different version";
        assert_eq!(applied(&test, revision, Duration::ZERO).await, late("gw", reason));
        look(&test, 10 * MINUTE).await;
        look(&test, SECOND).await;
        assert_eq!(applied(&test, revision, Duration::ZERO).await, done(&[]));
    }
}

on_both! {
    async fn what_the_version_before_this_one_has_written_is_awaited(test: Test) {
        let (revision, _) = head(&test).await;
        let state = json!({"name": "gw", "instance": "p1", "connected": true, "connected_at": "2026-01-01T00:00:00Z",
            "disconnected_at": null, "revision": 999, "acknowledged_at": null, "lag": 0,
            "last_error": null, "cluster_error": null, "rejected": []});
        test.sql(&[format!("INSERT INTO gateway_streams (replica, stream, gateway, seen_at, state)
                            VALUES ('another', 1, 'gw', 0, '{state}')")]).await;
        assert_eq!(applied(&test, revision, Duration::ZERO).await, late("gw", "disconnected"));
        let _back = test.connect("gw", "p1", revision as u64);
        assert_eq!(applied(&test, revision, Duration::ZERO).await, done(&["gw"]));
    }
}
