//! The ways in which users of other gateways came to more than they were given.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Test, id, on_both, pair};

struct Scene {
    app: Value,
    alice: String,
    token: String,
    group: String,
    keys: String,
}

/// Alice may view the app as a member of a group, and nobody else.
async fn scene(test: &Test, suspend: bool) -> Scene {
    let alice = test.user("alice@acme.com").await;
    let group = test.group("engineering", &[&alice]).await;
    let app = test
        .app(json!({
            "mode": "named", "limits": {"requests_per_minute": 100, "budget": {"usd": "10", "per": "month"}},
            "named_key_limits": {"requests_per_minute": 10, "budget": {"usd": "1", "per": "month"}},
        }))
        .await;
    test.self_service(&app, json!({
        "access": {"viewer": {"mode": "specific", "allow": {"groups": [group]}}}, "suspend_keys_on_lost_access": suspend,
    })).await;
    let token = test.token_of(&alice).await;
    let keys = format!("/me/apps/{}/keys", id(&app));
    Scene { app, alice, token, group, keys }
}

async fn create(test: &Test, scene: &Scene) -> Value {
    let body = json!({"name": "laptop"});
    test.with(&scene.token, "POST", &scene.keys, Some(body)).await.expect(StatusCode::CREATED)
}

on_both! {
    async fn a_key_owner_raising_their_own_budget(test: Test) {
        let scene = scene(&test, false).await;
        let more = json!({"budget": {"usd": "10", "per": "month"}});
        let body = json!({"name": "laptop", "limits": more});
        assert_eq!(test.with(&scene.token, "POST", &scene.keys, Some(body)).await.refused(422), pair("invalid", "limits"));
        let key = create(&test, &scene).await;
        let own = format!("{}/{}", scene.keys, id(&key));
        for field in ["limits", "expires_at", "expires_in", "status", "user_id", "suspended"] {
            let edit = json!({"name": "x", field: more});
            assert_eq!(test.with(&scene.token, "PATCH", &own, Some(edit)).await.refused(422), pair("invalid", field));
        }
        let rotate = json!({"grace_seconds": 0, "limits": more});
        let rotated = test.with(&scene.token, "POST", &format!("{own}/rotate"), Some(rotate)).await;
        assert_eq!(rotated.refused(422), pair("invalid", "limits"));
        let as_admin = format!("/apps/{}/keys/{}", id(&scene.app), id(&key));
        let edit = test.with(&scene.token, "PATCH", &as_admin, Some(json!({"limits": more}))).await;
        // The token permits all that its user may, and a user may nothing here.
        assert_eq!(edit.refused(403).0, "forbidden");
        let settings = format!("/apps/{}/self-service", id(&scene.app));
        let edit = json!({"access": {"all_logs": {"mode": "everyone"}}});
        assert_eq!(test.with(&scene.token, "PATCH", &settings, Some(edit)).await.refused(403).0, "forbidden");
        let kept = test.with(&scene.token, "GET", &own, None).await.expect(StatusCode::OK);
        assert_eq!((&kept["limits"], &kept["usage"]["budget"]["limit"]), (&Value::Null, &json!("1")));
    }
}

on_both! {
    async fn an_update_path_skipping_the_ceiling_that_create_has(test: Test) {
        let scene = scene(&test, false).await;
        test.patch(&format!("/apps/{}", id(&scene.app)), json!({"expires_in": "90d"})).await.expect(StatusCode::OK);
        test.self_service(&scene.app, json!({"longest_key_lifetime_days": 60})).await;
        let admin = format!("/apps/{}/keys", id(&scene.app));
        let beyond = [
            (json!({"limits": {"requests_per_minute": 101}}), "limits.requests_per_minute"),
            (json!({"limits": {"budget": {"usd": "11", "per": "month"}}}), "limits.budget.usd"),
            (json!({"limits": {"budget": {"usd": "1", "per": "day"}}}), "limits.budget.per"),
            (json!({"expires_in": "90d"}), "expires_at"),
            (json!({"expires_in": "1y"}), "expires_at"),
        ];
        let key = create(&test, &scene).await;
        for (excess, path) in beyond {
            let mut new = json!({"user_id": scene.alice, "name": "x"});
            new.as_object_mut().unwrap().extend(excess.as_object().unwrap().clone());
            assert_eq!(test.post(&admin, new).await.refused(422), pair("invalid", path), "create");
            let edit = test.patch(&format!("{admin}/{}", id(&key)), excess).await;
            assert_eq!(edit.refused(422), pair("invalid", path), "update");
        }
    }
}

on_both! {
    async fn giving_a_key_to_someone_else(test: Test) {
        let scene = scene(&test, false).await;
        let bob = test.user("bob@acme.com").await;
        let body = json!({"name": "laptop", "user_id": bob});
        assert_eq!(test.with(&scene.token, "POST", &scene.keys, Some(body)).await.refused(422), pair("invalid", "user_id"));
        let key = create(&test, &scene).await;
        let edit = json!({"user_id": bob});
        let admin = format!("/apps/{}/keys/{}", id(&scene.app), id(&key));
        assert_eq!(test.patch(&admin, edit).await.refused(422), pair("invalid", "user_id"), "not even an admin");
        test.with(&test.owner, "PUT", &format!("/groups/{}/members/{bob}", scene.group), None).await.expect(StatusCode::OK);
        let bobs = test.token_of(&bob).await;
        let listed = test.with(&bobs, "GET", &scene.keys, None).await.expect(StatusCode::OK);
        assert_eq!(listed["items"], json!([]));
    }
}

on_both! {
    async fn a_removed_group_member_creating_a_key(test: Test) {
        let scene = scene(&test, false).await;
        let key = create(&test, &scene).await;
        let own = format!("{}/{}", scene.keys, id(&key));
        test.delete(&format!("/groups/{}/members/{}", scene.group, scene.alice)).await.expect(StatusCode::OK);
        for (method, path, body) in [
            ("POST", scene.keys.clone(), Some(json!({"name": "another"}))),
            ("GET", scene.keys.clone(), None),
            ("PATCH", own.clone(), Some(json!({"name": "x"}))),
            ("POST", format!("{own}/rotate"), None),
            ("GET", format!("{own}/value"), None),
        ] {
            let answer = test.with(&scene.token, method, &path, body).await;
            assert_eq!(answer.refused(404).0, "not_found", "{method} {path}");
        }
        let admin = test.get(&format!("/apps/{}/keys/{}", id(&scene.app), id(&key))).await.expect(StatusCode::OK);
        assert_eq!((&admin["status"], &admin["suspended"]), (&json!("active"), &json!(false)), "it keeps working");
    }
}

on_both! {
    async fn a_group_of_the_same_name_restoring_access(test: Test) {
        let scene = scene(&test, true).await;
        let key = create(&test, &scene).await;
        test.self_service(&scene.app, json!({"access": {"viewer": {"mode": "specific"}}})).await;
        assert_eq!(test.delete(&format!("/groups/{}", scene.group)).await.status, StatusCode::NO_CONTENT);
        test.group("engineering", &[&scene.alice]).await;
        assert_eq!(test.with(&scene.token, "GET", &scene.keys, None).await.refused(404).0, "not_found");
        let admin = test.get(&format!("/apps/{}/keys/{}", id(&scene.app), id(&key))).await.expect(StatusCode::OK);
        assert_eq!(admin["suspended"], true);
    }
}

on_both! {
    async fn a_key_created_while_its_user_is_removed(test: Test) {
        let scene = scene(&test, true).await;
        let membership = format!("/groups/{}/members/{}", scene.group, scene.alice);
        for turn in 0..8 {
            let body = json!({"name": format!("laptop {turn}")});
            let (created, removed) = tokio::join!(
                test.with(&scene.token, "POST", &scene.keys, Some(body)),
                test.delete(&membership),
            );
            removed.expect(StatusCode::OK);
            // Whoever came first: no key works without access.
            if created.status == StatusCode::CREATED {
                let key = format!("/apps/{}/keys/{}", id(&scene.app), id(&created.json));
                assert_eq!(test.get(&key).await.expect(StatusCode::OK)["suspended"], true);
            } else {
                assert_eq!(created.refused(404).0, "not_found");
            }
            test.with(&test.owner, "PUT", &membership, None).await.expect(StatusCode::OK);
        }
    }
}

on_both! {
    async fn a_group_named_by_an_app_while_it_is_deleted(test: Test) {
        let app = test.app(json!({})).await;
        for i in 0..8 {
            let group = test.group(&format!("g{i}"), &[]).await;
            let edit = json!({"access": {"viewer": {"mode": "specific", "allow": {"groups": [group]}}}});
            let path = format!("/apps/{}/self-service", id(&app));
            let deletion = format!("/groups/{group}");
            let (named, deleted) = tokio::join!(test.patch(&path, edit), test.delete(&deletion));
            match deleted.status {
                StatusCode::NO_CONTENT => assert_eq!(named.refused(422).0, "invalid"),
                _ => {
                    named.expect(StatusCode::OK);
                    assert_eq!(deleted.refused(409).0, "group_in_use");
                }
            }
        }
    }
}
