use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Test, id, on_both, pair};

/// An app in named mode that everyone may view, a user's id and token, and the path of their keys.
async fn granted(test: &Test, settings: Value, self_service: Value) -> (Value, String, String, String) {
    let mut body = json!({"mode": "named"});
    body.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let app = test.app(body).await;
    test.self_service(&app, json!({"access": {"viewer": {"mode": "everyone"}}})).await;
    test.self_service(&app, self_service).await;
    let alice = test.user("alice@acme.com").await;
    let token = test.token_of(&alice).await;
    let path = format!("/me/apps/{}/keys", id(&app));
    (app, alice, token, path)
}

on_both! {
    async fn a_user_creates_lists_renames_rotates_and_revokes_keys(test: Test) {
        let (app, alice, token, path) = granted(&test, json!({}), json!({})).await;
        let key = test.with(&token, "POST", &path, Some(json!({"name": "laptop"}))).await.expect(StatusCode::CREATED);
        assert_eq!((&key["user_id"], &key["status"], &key["suspended"]), (&json!(alice), &json!("active"), &json!(false)));
        let value = key["value"].as_str().unwrap();
        assert!(value.starts_with(app["key"]["value"].as_str().unwrap()));
        let own = format!("{path}/{}", id(&key));
        let listed = test.with(&token, "GET", &path, None).await.expect(StatusCode::OK);
        assert_eq!((listed["items"].as_array().unwrap().len(), &listed["items"][0]["requests"]), (1, &json!(0)));
        assert!(!listed.to_string().contains(value), "shown once");
        let renamed = test.with(&token, "PATCH", &own, Some(json!({"name": "desktop"}))).await.expect(StatusCode::OK);
        assert_eq!(renamed["name"], "desktop");
        let rotated = test.with(&token, "POST", &format!("{own}/rotate"), Some(json!({"grace_seconds": 60}))).await;
        let rotated = rotated.expect(StatusCode::OK);
        assert_ne!(rotated["key"]["value"], key["value"]);
        assert_eq!(rotated["key"]["old_secret_stops_at"], "2026-01-01T00:01:00Z");
        let revoked = test.with(&token, "POST", &format!("{own}/revoke"), None).await.expect(StatusCode::OK);
        assert_eq!(revoked["status"], "revoked");
        assert_eq!(test.with(&token, "GET", &own, None).await.expect(StatusCode::OK)["status"], "revoked");
        assert_eq!(test.with(&token, "POST", &format!("{own}/rotate"), None).await.refused(409).0, "revoked");
    }
}

on_both! {
    async fn a_creation_sent_twice_creates_once(test: Test) {
        let (_, _, token, path) = granted(&test, json!({}), json!({"most_keys_per_user": 1})).await;
        let mut answers = Vec::new();
        for _ in 0..2 {
            let mut request = test.request("POST", &path, Some(&json!({"name": "laptop"})));
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
            request.headers_mut().insert("idempotency-key", "once".parse().unwrap());
            answers.push(test.send(request).await.expect(StatusCode::CREATED));
        }
        // Each says how far it has come.
        assert!(answers.iter_mut().all(|answer| answer["propagation"].take()["complete"] == true));
        assert_eq!(answers[0], answers[1]);
    }
}

on_both! {
    async fn another_users_key_is_not_there(test: Test) {
        let (app, _, token, path) = granted(&test, json!({"keep_key_values": true}), json!({
            "access": {"key_visibility": {"mode": "everyone"}},
        })).await;
        let others = test.named_key(&app).await;
        let other = format!("{path}/{}", id(&others));
        for (method, path, body) in [
            ("GET", other.clone(), None),
            ("PATCH", other.clone(), Some(json!({"name": "mine"}))),
            ("GET", format!("{other}/value"), None),
            ("POST", format!("{other}/rotate"), None),
            ("POST", format!("{other}/revoke"), None),
        ] {
            assert_eq!(test.with(&token, method, &path, body).await.refused(404).0, "not_found", "{method} {path}");
        }
        assert_eq!(test.with(&token, "GET", &path, None).await.expect(StatusCode::OK)["items"], json!([]));
        let app_key = format!("{path}/{}", app["key"]["id"].as_str().unwrap());
        assert_eq!(test.with(&token, "GET", &app_key, None).await.refused(404).0, "not_found");
    }
}

on_both! {
    async fn values_are_seen_again_with_key_visibility_only(test: Test) {
        let (app, alice, token, path) = granted(&test, json!({"keep_key_values": true}), json!({})).await;
        let key = test.with(&token, "POST", &path, Some(json!({"name": "laptop"}))).await.expect(StatusCode::CREATED);
        let value = format!("{path}/{}/value", id(&key));
        assert_eq!(test.with(&token, "GET", &value, None).await.refused(403).0, "no_key_visibility");
        test.self_service(&app, json!({"access": {"key_visibility": {"mode": "specific", "allow": {"users": [alice]}}}})).await;
        let shown = test.with(&token, "GET", &value, None).await.expect(StatusCode::OK);
        assert_eq!(shown["value"], key["value"]);
        assert!(test.audited_of(&id(&key)).await.contains(&"key.value_shown".to_owned()));
    }
}

on_both! {
    async fn only_an_app_that_works_in_named_mode_gives_keys(test: Test) {
        let (app, _, token, path) = granted(&test, json!({}), json!({})).await;
        let body = || Some(json!({"name": "laptop"}));
        let admin = format!("/apps/{}", id(&app));
        let key = test.with(&token, "POST", &path, body()).await.expect(StatusCode::CREATED);
        let rotation = format!("{path}/{}/rotate", id(&key));
        test.patch(&admin, json!({"mode": "shared"})).await.expect(StatusCode::OK);
        assert_eq!(test.with(&token, "POST", &path, body()).await.refused(409).0, "not_in_named_mode");
        test.patch(&admin, json!({"mode": "named"})).await.expect(StatusCode::OK);
        test.act(&format!("{admin}/deactivate")).await.expect(StatusCode::OK);
        assert_eq!(test.with(&token, "POST", &path, body()).await.refused(409).0, "inactive");
        assert_eq!(test.with(&token, "POST", &rotation, None).await.refused(409).0, "inactive");
        test.act(&format!("{admin}/activate")).await.expect(StatusCode::OK);
        test.patch(&admin, json!({"expires_in": "30d"})).await.expect(StatusCode::OK);
        test.clock.advance(Duration::from_secs(31 * 86_400));
        assert_eq!(test.with(&token, "POST", &path, body()).await.refused(409).0, "expired");
        test.act(&format!("{admin}/revoke")).await.expect(StatusCode::OK);
        assert_eq!(test.with(&token, "POST", &path, body()).await.refused(409).0, "revoked");
    }
}

on_both! {
    async fn one_user_has_only_so_many_keys_however_they_hurry(test: Test) {
        let (app, alice, token, path) = granted(&test, json!({}), json!({"most_keys_per_user": 2})).await;
        let create = |name: String| test.with(&token, "POST", &path, Some(json!({"name": name})));
        let (a, b, c, d) = tokio::join!(
            create("a".to_owned()), create("b".to_owned()), create("c".to_owned()), create("d".to_owned()));
        let mut created = Vec::new();
        for answer in [a, b, c, d] {
            if answer.status == StatusCode::CREATED {
                created.push(id(&answer.json));
            } else {
                assert_eq!(answer.refused(409).0, "too_many_keys");
            }
        }
        assert_eq!(created.len(), 2);
        let by_admin = json!({"user_id": alice, "name": "x"});
        let admin = test.post(&format!("/apps/{}/keys", id(&app)), by_admin).await;
        assert_eq!(admin.refused(409).0, "too_many_keys", "the same check for admins");
        test.with(&token, "POST", &format!("{path}/{}/revoke", created[0]), None).await.expect(StatusCode::OK);
        create("e".to_owned()).await.expect(StatusCode::CREATED);
        let bob = test.user("bob@acme.com").await;
        let path = format!("/apps/{}/keys", id(&app));
        let for_bob = |name: &str| test.post(&path, json!({"user_id": bob, "name": name}));
        let (a, b, c, d) = tokio::join!(for_bob("a"), for_bob("b"), for_bob("c"), for_bob("d"));
        let made = [a, b, c, d].into_iter().filter(|answer| answer.status == StatusCode::CREATED).count();
        assert_eq!(made, 2, "however admins hurry");
    }
}

on_both! {
    async fn keys_last_no_longer_than_the_app_lets_them(test: Test) {
        let (app, alice, token, path) = granted(&test, json!({}), json!({"longest_key_lifetime_days": 45})).await;
        let create = async |body: Value| test.with(&token, "POST", &path, Some(body)).await;
        let key = create(json!({"name": "a"})).await.expect(StatusCode::CREATED);
        assert_eq!(key["expires_at"], "2026-02-15T00:00:00Z", "as late as it may");
        assert_eq!(create(json!({"name": "b", "expires_in": "30d"})).await.expect(StatusCode::CREATED)["expires_at"], "2026-01-31T00:00:00Z");
        for longer in [json!({"name": "c", "expires_in": "60d"}), json!({"name": "c", "expires_in": "never"})] {
            assert_eq!(create(longer).await.refused(422), pair("invalid", "expires_at"));
        }
        let admin = format!("/apps/{}/keys", id(&app));
        let longer = json!({"user_id": alice, "name": "d", "expires_in": "never"});
        assert_eq!(test.post(&admin, longer).await.refused(422), pair("invalid", "expires_at"), "whoever asks");
        test.clock.advance(Duration::from_secs(20 * 86_400));
        let edit = format!("{admin}/{}", id(&key));
        for longer in [json!({"expires_in": "30d"}), json!({"expires_at": null})] {
            assert_eq!(test.patch(&edit, longer).await.refused(422), pair("invalid", "expires_at"), "from its creation on");
        }
        test.patch(&edit, json!({"name": "still"})).await.expect(StatusCode::OK);
    }
}

on_both! {
    async fn a_lifetime_that_came_later_stops_renewals_but_not_the_key(test: Test) {
        let (app, _, token, path) = granted(&test, json!({}), json!({})).await;
        let key = test.with(&token, "POST", &path, Some(json!({"name": "a"}))).await.expect(StatusCode::CREATED);
        let own = format!("{path}/{}", id(&key));
        let admin = format!("/apps/{}/keys/{}", id(&app), id(&key));
        test.act(&format!("{admin}/deactivate")).await.expect(StatusCode::OK);
        test.self_service(&app, json!({"longest_key_lifetime_days": 30})).await;
        let rotated = test.with(&token, "POST", &format!("{own}/rotate"), None).await;
        assert_eq!(rotated.refused(422), pair("invalid", "expires_at"));
        assert_eq!(test.act(&format!("{admin}/activate")).await.refused(422), pair("invalid", "expires_at"));
        assert_eq!(test.act(&format!("{admin}/rotate")).await.refused(422), pair("invalid", "expires_at"));
        let renamed = test.with(&token, "PATCH", &own, Some(json!({"name": "b"}))).await.expect(StatusCode::OK);
        assert_eq!(renamed["expires_at"], Value::Null);
        test.patch(&admin, json!({"expires_in": "30d"})).await.expect(StatusCode::OK);
        test.act(&format!("{admin}/activate")).await.expect(StatusCode::OK);
        test.with(&token, "POST", &format!("{own}/rotate"), None).await.expect(StatusCode::OK);
    }
}

on_both! {
    async fn a_key_of_an_app_that_one_no_longer_sees_can_still_be_seen_and_revoked(test: Test) {
        let (app, _, token, path) = granted(&test, json!({}), json!({})).await;
        let key = test.with(&token, "POST", &path, Some(json!({"name": "laptop"}))).await.expect(StatusCode::CREATED);
        let lost = async || test.with(&token, "GET", "/me/keys/without-access", None).await.expect(StatusCode::OK)["items"].clone();
        assert_eq!(lost().await, json!([]));
        test.self_service(&app, json!({"access": {"viewer": {"mode": "disabled"}}})).await;
        let listed = lost().await;
        assert_eq!((&listed[0]["id"], &listed[0]["app_name"], &listed[0]["masked"]), (&key["id"], &app["name"], &key["masked"]));
        let own = format!("{path}/{}", id(&key));
        test.with(&token, "POST", &format!("{own}/rotate"), None).await.refused(404);
        let stranger = test.user("mallory@acme.com").await;
        let stranger = test.token_of(&stranger).await;
        test.with(&stranger, "POST", &format!("{own}/revoke"), None).await.refused(404);
        let revoked = test.with(&token, "POST", &format!("{own}/revoke"), None).await.expect(StatusCode::OK);
        assert_eq!(revoked["status"], "revoked");
        assert_eq!(lost().await, json!([]));
    }
}
