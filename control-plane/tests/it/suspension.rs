use axum::http::StatusCode;
use latchkey_core::actor::Actor;
use latchkey_discovery::source::From;
use latchkey_proto::discovery::Status;
use latchkey_proto::key::KeyHash;
use latchkey_service::action::By;
use latchkey_service::action::access::{AccessScope, refresh};
use serde_json::{Value, json};

use crate::people::browser::Browser;
use crate::support::{Test, id, on_both};

struct Scene {
    app: Value,
    alice: String,
    group: String,
    key: Value,
}

/// Alice has a key of an app that suspends keys, as a member of a group.
async fn scene(test: &Test) -> Scene {
    let alice = test.user("alice@acme.com").await;
    let group = test.group("engineering", &[&alice]).await;
    let app = test.app(json!({"mode": "named"})).await;
    test.self_service(&app, json!({
        "access": {"viewer": {"mode": "specific", "allow": {"groups": [group]}}}, "suspend_keys_on_lost_access": true,
    })).await;
    let token = test.token_of(&alice).await;
    let body = json!({"name": "laptop"});
    let key = test.with(&token, "POST", &format!("/me/apps/{}/keys", id(&app)), Some(body)).await;
    Scene { key: key.expect(StatusCode::CREATED), app, alice, group }
}

impl Scene {
    async fn suspended(&self, test: &Test) -> bool {
        let path = format!("/apps/{}/keys/{}", id(&self.app), id(&self.key));
        let key = test.get(&path).await.expect(StatusCode::OK);
        assert_eq!(key["status"], "active", "the key's own status stays");
        key["suspended"] == true
    }

    fn membership(&self) -> String {
        format!("/groups/{}/members/{}", self.group, self.alice)
    }
}

/// What gateways are told of a key, of what changed after a revision.
async fn told(test: &Test, after: u64, value: &Value) -> Option<i32> {
    let batch = test.store.feed_batch(From::After(after), None, 100).await.unwrap();
    let hash = KeyHash::of(value.as_str().unwrap());
    batch.keys.iter().find(|key| key.hash == hash.as_bytes()).map(|key| key.status)
}

async fn revision(test: &Test) -> u64 {
    test.store.head().await.unwrap().position.revision
}

on_both! {
    async fn leaving_a_group_stops_the_key_and_coming_back_lets_it_work(test: Test) {
        let scene = scene(&test).await;
        let before = revision(&test).await;
        let left = test.delete(&scene.membership()).await.expect(StatusCode::OK);
        assert_eq!(left["keys"], json!({"suspended": 1, "resumed": 0}));
        assert_eq!(left["propagation"]["complete"], true);
        assert!(scene.suspended(&test).await);
        assert_eq!(told(&test, before, &scene.key["value"]).await, Some(Status::Suspended.into()));
        let between = revision(&test).await;
        let back = test.with(&test.owner, "PUT", &scene.membership(), None).await.expect(StatusCode::OK);
        assert_eq!(back["keys"], json!({"suspended": 0, "resumed": 1}));
        assert!(!scene.suspended(&test).await);
        assert_eq!(told(&test, between, &scene.key["value"]).await, Some(Status::Active.into()));
    }
}

on_both! {
    /// Named in issue 4.
    async fn a_user_removed_from_a_group_while_holding_a_session_a_page_and_a_key(test: Test) {
        let alice = test.local("alice@acme.com").await;
        let group = test.group("engineering", &[&alice]).await;
        let browser = Browser::sign_in(&test, "192.0.2.1", "alice@acme.com").await;
        let mut held = Vec::new();
        for suspends in [true, false] {
            let app = test.app(json!({"mode": "named"})).await;
            test.self_service(&app, json!({
                "access": {"viewer": {"mode": "specific", "allow": {"groups": [group]}}},
                "suspend_keys_on_lost_access": suspends,
            })).await;
            let own = format!("/me/apps/{}", id(&app));
            let key = browser.post(&test, &format!("{own}/keys"), json!({"name": "laptop"})).await;
            held.push((own, key.expect(StatusCode::CREATED)["value"].clone()));
        }
        let before = revision(&test).await;
        let left = test.delete(&format!("/groups/{group}/members/{alice}")).await.expect(StatusCode::OK);
        assert_eq!(left["keys"], json!({"suspended": 1, "resumed": 0}));

        assert_eq!(told(&test, before, &held[0].1).await, Some(Status::Suspended.into()), "the key stops");
        assert_eq!(told(&test, before, &held[1].1).await, None, "that of the app that lets keys live does not");
        assert_eq!(browser.get(&test, "/me/apps").await.expect(StatusCode::OK)["items"], json!([]));
        for (own, _) in &held {
            for path in [own.clone(), format!("{own}/keys"), format!("{own}/logs"), format!("{own}/usage")] {
                assert_eq!(browser.get(&test, &path).await.refused(404).0, "not_found", "{path}");
            }
            let another = browser.post(&test, &format!("{own}/keys"), json!({"name": "another"})).await;
            assert_eq!(another.refused(404).0, "not_found", "the page's token makes no key");
        }
        let me = browser.get(&test, "/me").await.expect(StatusCode::OK);
        assert_eq!((&me["groups"], me["csrf_token"].as_str()), (&json!([]), browser.csrf.as_deref()));
        let token = browser.post(&test, "/me/tokens", json!({"name": "ci"})).await;
        token.expect(StatusCode::CREATED);
    }
}

on_both! {
    async fn a_deactivated_users_keys_stop_and_work_again_with_them(test: Test) {
        let scene = scene(&test).await;
        let lenient = test.app(json!({"mode": "named"})).await;
        let body = json!({"user_id": scene.alice, "name": "other"});
        let lasting = test.post(&format!("/apps/{}/keys", id(&lenient)), body).await.expect(StatusCode::CREATED);
        for (action, status, suspended) in
            [("deactivate", Status::Suspended, true), ("reactivate", Status::Active, false)]
        {
            let before = revision(&test).await;
            test.act(&format!("/users/{}/{action}", scene.alice)).await.expect(StatusCode::OK);
            assert_eq!(scene.suspended(&test).await, suspended, "{action}");
            assert_eq!(told(&test, before, &scene.key["value"]).await, Some(status.into()), "{action}");
            assert_eq!(told(&test, before, &lasting["value"]).await, None, "that app does not suspend keys");
        }
    }
}

on_both! {
    async fn every_cause_is_followed_at_once(test: Test) {
        let scene = scene(&test).await;
        let rule = |mode: &str, groups: &[&String], exceptions: &[&String]| json!({"access": {"viewer": {
            "mode": mode, "allow": {"groups": groups}, "exceptions": {"users": exceptions},
        }}});
        for (edit, suspended) in [
            (rule("disabled", &[&scene.group], &[]), true),
            (rule("everyone", &[], &[]), false),
            (rule("everyone", &[], &[&scene.alice]), true),
            (json!({"suspend_keys_on_lost_access": false}), false),
            (json!({"suspend_keys_on_lost_access": true}), true),
            (json!({"access": {"settings_request": {"mode": "everyone"}}}), true),
            (rule("disabled", &[], &[]), false),
            (json!({"access": {"settings_request": {"mode": "disabled"}}}), true),
            (rule("specific", &[&scene.group], &[]), false),
        ] {
            test.self_service(&scene.app, edit.clone()).await;
            assert_eq!(scene.suspended(&test).await, suspended, "{edit}");
        }
        for (sql, suspended) in [("1", true), ("NULL", false)] {
            test.sql(&[format!("UPDATE users SET deactivated_at = {sql} WHERE id = '{}'", scene.alice)]).await;
            let actor = Actor::system("test");
            let mut tx = test.store.begin().await.unwrap();
            let by = By { actor: &actor, world: &test.world };
            refresh(&mut tx, by, AccessScope::Users(&[scene.alice.parse().unwrap()])).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(scene.suspended(&test).await, suspended, "deactivated_at {sql}");
        }
    }
}

on_both! {
    async fn a_suspended_key_that_is_edited_stays_suspended(test: Test) {
        let scene = scene(&test).await;
        test.delete(&scene.membership()).await.expect(StatusCode::OK);
        let path = format!("/apps/{}/keys/{}", id(&scene.app), id(&scene.key));
        for action in ["deactivate", "activate", "rotate"] {
            let before = revision(&test).await;
            let answer = test.act(&format!("{path}/{action}")).await.expect(StatusCode::OK);
            let value = answer["key"]["value"].as_str().map_or(scene.key["value"].clone(), |value| json!(value));
            let expected = if action == "deactivate" { Status::Inactive } else { Status::Suspended };
            assert_eq!(told(&test, before, &value).await, Some(expected.into()), "{action}");
        }
        test.patch(&path, json!({"name": "x"})).await.expect(StatusCode::OK);
        assert!(scene.suspended(&test).await);
    }
}

on_both! {
    async fn a_key_that_an_admin_makes_for_someone_without_access_waits_for_it(test: Test) {
        let scene = scene(&test).await;
        let bob = test.user("bob@acme.com").await;
        let body = json!({"user_id": bob, "name": "x"});
        let key = test.post(&format!("/apps/{}/keys", id(&scene.app)), body).await.expect(StatusCode::CREATED);
        assert_eq!(key["suspended"], true);
        let members = json!({"users": [bob]});
        let added = test.post(&format!("/groups/{}/members", scene.group), members).await.expect(StatusCode::OK);
        assert_eq!(added["keys"], json!({"suspended": 0, "resumed": 1}));
    }
}

on_both! {
    async fn apps_that_do_not_suspend_leave_keys_alone(test: Test) {
        let scene = scene(&test).await;
        test.self_service(&scene.app, json!({"suspend_keys_on_lost_access": false})).await;
        let left = test.delete(&scene.membership()).await.expect(StatusCode::OK);
        assert_eq!(left, json!({"keys": {"suspended": 0, "resumed": 0}, "propagation": null}));
        assert!(!scene.suspended(&test).await);
    }
}

on_both! {
    async fn a_group_that_only_another_app_names_changes_nothing_here(test: Test) {
        let scene = scene(&test).await;
        let other = test.group("other", &[&scene.alice]).await;
        let left = test.delete(&format!("/groups/{other}/members/{}", scene.alice)).await.expect(StatusCode::OK);
        assert_eq!(left["keys"], json!({"suspended": 0, "resumed": 0}));
        assert!(!scene.suspended(&test).await);
    }
}

on_both! {
    async fn an_app_whose_row_is_damaged_holds_up_no_group(test: Test) {
        let scene = scene(&test).await;
        let other = test.app(json!({"mode": "named"})).await;
        let edit = json!({"access": {"viewer": {"mode": "specific", "allow": {"groups": [scene.group]}}}});
        test.self_service(&other, edit).await;
        test.damage_app(&id(&other)).await;
        let left = test.delete(&scene.membership()).await.expect(StatusCode::OK);
        assert_eq!(left["keys"]["suspended"], 1);
    }
}
