use std::time::Duration;

use axum::http::StatusCode;
use latchkey_proto::key::ApiKey;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Test, id, on_both, pair};

async fn named_app(test: &Test, settings: Value) -> (Value, String) {
    let mut body = json!({"mode": "named"});
    body.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let app = test.app(body).await;
    let path = format!("/apps/{}/keys", id(&app));
    (app, path)
}

on_both! {
    async fn a_named_key_names_its_user_and_itself_and_leaks_no_address(test: Test) {
        let (app, _) = named_app(&test, json!({})).await;
        let key = test.named_key(&app).await;
        let Ok(ApiKey::Named(named)) = ApiKey::parse(key["value"].as_str().unwrap()) else { panic!("{key}") };
        assert_eq!(named.claim().key.to_string(), id(&key));
        assert_eq!(named.claim().user.to_string(), key["user_id"].as_str().unwrap());
        assert!(!named.expose().contains("acme"));
    }
}

on_both! {
    async fn named_keys_need_named_mode_an_app_that_works_and_a_user(test: Test) {
        let user = test.user("alice@acme.com").await;
        let body = json!({"user_id": user, "name": "laptop"});
        let shared = test.app(json!({})).await;
        let refused = test.post(&format!("/apps/{}/keys", id(&shared)), body.clone()).await.refused(409);
        assert_eq!(refused.0, "not_in_named_mode");
        let (app, path) = named_app(&test, json!({"expires_in": "30d"})).await;
        let stranger = json!({"user_id": Uuid::nil(), "name": "laptop"});
        assert_eq!(test.post(&path, stranger).await.refused(422), pair("invalid", "user_id"));
        let late = json!({"user_id": user, "name": "laptop", "expires_in": "60d"});
        assert_eq!(test.post(&path, late).await.refused(422), pair("invalid", "expires_at"));
        test.clock.advance(Duration::from_secs(31 * 86_400));
        assert_eq!(test.post(&path, body.clone()).await.refused(409).0, "expired");
        test.act(&format!("/apps/{}/revoke", id(&app))).await.expect(StatusCode::OK);
        assert_eq!(test.post(&path, body).await.refused(409).0, "revoked");
    }
}

on_both! {
    async fn an_edit_cannot_outlive_the_app(test: Test) {
        let (app, path) = named_app(&test, json!({"expires_in": "30d"})).await;
        let key = test.named_key(&app).await;
        let path = format!("{path}/{}", id(&key));
        let late = test.patch(&path, json!({"expires_in": "60d"})).await.refused(422);
        assert_eq!(late, pair("invalid", "expires_at"));
        let both = test.patch(&path, json!({"expires_at": null, "expires_in": "30d"})).await.refused(422);
        assert_eq!(both, pair("invalid", "expires_at"));
        let renamed = test.patch(&path, json!({"name": "desktop"})).await.expect(StatusCode::OK);
        assert_eq!((&renamed["name"], &renamed["expires_at"]), (&json!("desktop"), &Value::Null));
    }
}

on_both! {
    async fn lists_hold_named_keys_only_and_filter_by_user_and_name(test: Test) {
        let (app, path) = named_app(&test, json!({})).await;
        let (first, second) = (test.named_key(&app).await, test.named_key(&app).await);
        test.patch(&format!("{path}/{}", id(&second)), json!({"name": "CI"})).await.expect(StatusCode::OK);
        let ids = async |query: &str| {
            let page = test.get(&format!("{path}{query}")).await.expect(StatusCode::OK);
            let mut ids: Vec<_> = page["items"].as_array().unwrap().iter().map(id).collect();
            ids.sort();
            ids
        };
        let mut both = vec![id(&first), id(&second)];
        both.sort();
        assert_eq!(ids("").await, both);
        assert_eq!(ids("?search=ci").await, [id(&second)]);
        assert_eq!(ids(&format!("?user_id={}", first["user_id"].as_str().unwrap())).await, [id(&first)]);
    }
}

on_both! {
    async fn rotating_keeps_the_id_and_ends_the_old_secret_after_its_grace(test: Test) {
        let (app, path) = named_app(&test, json!({})).await;
        let key = test.named_key(&app).await;
        let path = format!("{path}/{}", id(&key));
        let rotated = test.post(&format!("{path}/rotate"), json!({"grace_seconds": 60})).await.expect(StatusCode::OK);
        assert_eq!(rotated["key"]["id"], key["id"]);
        assert_ne!(rotated["key"]["value"], key["value"]);
        assert_eq!(rotated["key"]["old_secret_stops_at"], "2026-01-01T00:01:00Z");
        let at_once = test.act(&format!("{path}/rotate")).await.expect(StatusCode::OK);
        assert_eq!(at_once["key"]["old_secret_stops_at"], "1970-01-01T00:00:00.001Z");
        let long = test.post(&format!("{path}/rotate"), json!({"grace_seconds": 9_999_999})).await;
        assert_eq!(long.refused(422), pair("invalid", "grace_seconds"));
    }
}

on_both! {
    async fn a_revoked_key_keeps_its_record_and_loses_its_value(test: Test) {
        let (app, path) = named_app(&test, json!({"keep_key_values": true})).await;
        let key = test.named_key(&app).await;
        let path = format!("{path}/{}", id(&key));
        let value = test.get(&format!("{path}/value")).await.expect(StatusCode::OK);
        assert_eq!(value["value"], key["value"]);
        let revoked = test.act(&format!("{path}/revoke")).await.expect(StatusCode::OK);
        assert_eq!((&revoked["status"], &revoked["revoked_at"]), (&json!("revoked"), &json!("2026-01-01T00:00:00Z")));
        assert_eq!(test.get(&path).await.expect(StatusCode::OK)["status"], "revoked");
        assert_eq!(test.get(&format!("{path}/value")).await.refused(409).0, "value_not_kept");
        for action in ["activate", "deactivate", "rotate"] {
            assert_eq!(test.act(&format!("{path}/{action}")).await.refused(409).0, "revoked", "{action}");
        }
        assert_eq!(test.patch(&path, json!({"name": "x"})).await.refused(409).0, "revoked");
    }
}

on_both! {
    async fn a_key_is_found_only_under_its_own_app(test: Test) {
        let (app, _) = named_app(&test, json!({})).await;
        let (_, elsewhere) = named_app(&test, json!({})).await;
        let key = test.named_key(&app).await;
        assert_eq!(test.get(&format!("{elsewhere}/{}", id(&key))).await.refused(404).0, "not_found");
        assert_eq!(test.act(&format!("{elsewhere}/{}/revoke", id(&key))).await.refused(404).0, "not_found");
        let app_key = app["key"]["id"].as_str().unwrap();
        let own = format!("/apps/{}/keys/{app_key}", id(&app));
        assert_eq!(test.get(&own).await.refused(404).0, "not_found", "the app's own key is no named key");
        assert_eq!(test.get(&format!("{elsewhere}/not-an-id")).await.refused(404).0, "not_found");
    }
}
