use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Answer, Test, on_both};

async fn post_once(test: &Test, path: &str, key: &str, body: Value) -> Answer {
    let mut request = test.request("POST", path, Some(&body));
    request.headers_mut().insert("idempotency-key", key.parse().unwrap());
    test.send(request).await
}

on_both! {
    async fn a_creation_sent_twice_creates_once_and_answers_the_same(test: Test) {
        let first = post_once(&test, "/apps", "a", json!({"name": "x"})).await;
        let second = post_once(&test, "/apps", "a", json!({"name": "x"})).await;
        assert_eq!(second.headers["idempotency-replayed"], "true");
        let (mut first, mut second) = (first.expect(StatusCode::CREATED), second.expect(StatusCode::CREATED));
        for made in [&mut first, &mut second] {
            assert_eq!(made["propagation"].take()["complete"], true, "each says how far it has come");
        }
        assert_eq!(first, second);
        let other = post_once(&test, "/apps", "b", json!({"name": "x"})).await.expect(StatusCode::CREATED);
        assert_ne!(first["id"], other["id"]);
        assert_eq!(test.get("/apps").await.expect(StatusCode::OK)["items"].as_array().unwrap().len(), 2);
    }
}

on_both! {
    async fn a_rotation_sent_twice_rotates_once(test: Test) {
        let app = test.app(json!({"mode": "named"})).await;
        let key = test.named_key(&app).await;
        let app = app["id"].as_str().unwrap();
        let ours = format!("/apps/{app}/keys/{}/rotate", key["id"].as_str().unwrap());
        for (path, name) in [(format!("/apps/{app}/key/rotate"), "a"), (ours, "b")] {
            let hour = json!({"grace_seconds": 3600});
            let first = post_once(&test, &path, name, hour.clone()).await.expect(StatusCode::OK);
            let second = post_once(&test, &path, name, hour).await;
            assert_eq!(second.headers["idempotency-replayed"], "true", "{path}");
            let second = second.expect(StatusCode::OK);
            assert_eq!(first["key"], second["key"], "{path}");
            assert_eq!(second["propagation"]["complete"], true, "it says again how far that has come");
            let other = post_once(&test, &path, &format!("{name}-2"), json!({})).await.expect(StatusCode::OK);
            assert_ne!(first["key"]["value"], other["key"]["value"], "{path}");
        }
    }
}

on_both! {
    async fn a_rotation_sent_twice_answers_though_its_names_would_no_longer_be_taken(test: Test) {
        let app = test.app(json!({"mode": "named"})).await;
        let key = test.named_key(&app).await;
        let (app, key) = (app["id"].as_str().unwrap(), key["id"].as_str().unwrap());
        test.sql(&[format!("UPDATE keys SET name = 'ad\u{202e}min' WHERE id = '{key}'")]).await;
        let path = format!("/apps/{app}/keys/{key}/rotate");
        let first = post_once(&test, &path, "a", json!({})).await.expect(StatusCode::OK);
        assert_eq!(first["key"]["name"], "ad\u{202e}min");
        let second = post_once(&test, &path, "a", json!({})).await.expect(StatusCode::OK);
        assert_eq!(first["key"], second["key"]);
    }
}

on_both! {
    async fn an_invitation_sent_twice_is_made_once(test: Test) {
        let user = test.user("alice@acme.com").await;
        let path = format!("/users/{user}/invite");
        let first = post_once(&test, &path, "a", json!({})).await.expect(StatusCode::CREATED);
        assert_eq!(first, post_once(&test, &path, "a", json!({})).await.expect(StatusCode::CREATED));
        assert_ne!(first["link"], test.act(&path).await.expect(StatusCode::CREATED)["link"]);
    }
}

on_both! {
    async fn a_key_used_for_something_else_is_refused(test: Test) {
        post_once(&test, "/apps", "a", json!({"name": "x"})).await.expect(StatusCode::CREATED);
        let refused = post_once(&test, "/apps", "a", json!({"name": "y"})).await.refused(422);
        assert_eq!(refused.0, "idempotency_key_reused");
    }
}

on_both! {
    async fn a_refused_creation_may_be_mended_under_its_key(test: Test) {
        assert_eq!(post_once(&test, "/apps", "a", json!({"name": ""})).await.status, 422);
        post_once(&test, "/apps", "a", json!({"name": "x"})).await.expect(StatusCode::CREATED);
    }
}

on_both! {
    async fn answers_are_forgotten_after_a_day_and_stored_without_secrets(test: Test) {
        let app = post_once(&test, "/apps", "a", json!({"name": "x"})).await.expect(StatusCode::CREATED);
        let mut tx = test.store.begin().await.unwrap();
        let token = test.store.token(&latchkey_service::tokens::hash(&test.owner), test.world.now()).await.unwrap();
        let answer = tx.answer(&token.unwrap().id.to_string(), "a").await.unwrap().unwrap();
        drop(tx);
        let value = app["key"]["value"].as_str().unwrap().as_bytes();
        assert!(!answer.sealed_body.windows(value.len()).any(|window| window == value));
        test.clock.advance(std::time::Duration::from_secs(86_401));
        let yesterday = test.world.now() - jiff::SignedDuration::from_hours(24);
        assert_eq!(test.store.forget_answers(yesterday).await.unwrap(), 1);
    }
}
