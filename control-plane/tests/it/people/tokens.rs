use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::browser::Browser;
use crate::support::{Test, id, on_both, pair};

async fn make(test: &Test, token: &str, path: &str, body: Value) -> (String, Value) {
    let mut made = test.with(token, "POST", path, Some(body)).await.expect(StatusCode::CREATED);
    let value = made["value"].take().as_str().unwrap().to_owned();
    (value, made)
}

on_both! {
    async fn ones_own_token_may_no_more_than_what_made_it(test: Test) {
        let alice = test.local("alice@acme.com").await;
        test.patch(&format!("/users/{alice}"), json!({"role": "admin"})).await.expect(StatusCode::OK);
        let browser = Browser::sign_in(&test, "192.0.2.1", "alice@acme.com").await;
        for role in ["owner", "gateway"] {
            let refused = browser.post(&test, "/me/tokens", json!({"name": "x", "role": role})).await;
            assert_eq!(refused.refused(422), pair("invalid", "role"), "{role}");
        }
        let made = browser.post(&test, "/me/tokens", json!({"name": "ci", "role": "auditor"})).await;
        let auditor = made.expect(StatusCode::CREATED)["value"].as_str().unwrap().to_owned();
        assert_eq!(test.with(&auditor, "GET", "/apps", None).await.status, StatusCode::OK);
        assert_eq!(test.with(&auditor, "POST", "/apps", Some(json!({"name": "x"}))).await.status, 403);
        let more = test.with(&auditor, "POST", "/me/tokens", Some(json!({"name": "x", "role": "admin"}))).await;
        assert_eq!(more.refused(422), pair("invalid", "role"), "not the user's role, the token's");
        let (same, view) = make(&test, &auditor, "/me/tokens", json!({"name": "y"})).await;
        assert_eq!((&view["role"], &view["user_id"]), (&json!("auditor"), &json!(alice)));
        let me = test.with(&same, "GET", "/me", None).await.expect(StatusCode::OK);
        assert_eq!((&me["role"], &me["user"]["role"]), (&json!("auditor"), &json!("admin")));
        assert_eq!(me["csrf_token"], json!(null));
        test.patch(&format!("/users/{alice}"), json!({"role": "user"})).await.expect(StatusCode::OK);
        assert_eq!(test.with(&auditor, "GET", "/apps", None).await.status, 403, "demoted");
    }
}

on_both! {
    async fn ones_own_tokens_are_listed_and_revoked(test: Test) {
        let alice = test.token_of(&test.user("alice@acme.com").await).await;
        let bob = test.token_of(&test.user("bob@acme.com").await).await;
        let (value, view) = make(&test, &alice, "/me/tokens", json!({"name": "laptop", "expires_in": "30d"})).await;
        assert_eq!(view["expires_at"], "2026-01-31T00:00:00Z");
        let list = test.with(&alice, "GET", "/me/tokens?search=LAP", None).await.expect(StatusCode::OK);
        assert_eq!(list["items"].as_array().unwrap().len(), 1);
        assert_eq!((&list["items"][0]["name"], &list["items"][0]["value"]), (&json!("laptop"), &json!(null)));
        let bobs = test.with(&bob, "GET", "/me/tokens", None).await.expect(StatusCode::OK);
        assert_eq!(bobs["items"].as_array().unwrap().len(), 1, "only his");
        let path = format!("/me/tokens/{}", id(&view));
        assert_eq!(test.with(&bob, "DELETE", &path, None).await.refused(404).0, "not_found");
        assert_eq!(test.with(&value, "GET", "/me", None).await.status, StatusCode::OK);
        let revoked = test.with(&alice, "DELETE", &path, None).await.expect(StatusCode::OK);
        assert_eq!(revoked["revoked_at"], "2026-01-01T00:00:00Z");
        assert_eq!(test.with(&value, "GET", "/me", None).await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(test.with(&alice, "DELETE", &path, None).await.status, StatusCode::OK, "once more does nothing");
        assert_eq!(test.audited("token.revoked").await, ["token.revoked alice@acme.com  laptop"]);
    }
}

on_both! {
    async fn an_owner_manages_every_token(test: Test) {
        let alice = test.user("alice@acme.com").await;
        let (gateway, _) = make(&test, &test.owner, "/tokens", json!({"name": "edge", "role": "gateway"})).await;
        assert_eq!(test.with(&gateway, "GET", "/apps", None).await.status, StatusCode::FORBIDDEN);
        let refused = async |body| test.post("/tokens", body).await.refused(422);
        let body = json!({"name": "x", "role": "gateway", "user_id": alice});
        assert_eq!(refused(body).await, pair("invalid", "role"));
        let body = json!({"name": "x", "role": "user", "user_id": "00000000-0000-0000-0000-000000000000"});
        assert_eq!(refused(body).await, pair("invalid", "user_id"));
        let body = json!({"name": "x", "role": "user", "expires_at": "2025-12-31T00:00:00Z"});
        assert_eq!(refused(body).await, pair("invalid", "expires_at"));
        let body = json!({"name": "alices", "role": "owner", "user_id": alice, "expires_at": "2026-01-01T01:00:00Z"});
        let (alices, view) = make(&test, &test.owner, "/tokens", body).await;
        let me = test.with(&alices, "GET", "/me", None).await.expect(StatusCode::OK);
        assert_eq!(me["role"], "user", "a token never may more than its user");
        for (method, path) in [("GET", "/tokens".to_owned()), ("DELETE", format!("/tokens/{}", id(&view)))] {
            assert_eq!(test.with(&alices, method, &path, None).await.refused(403).0, "forbidden");
        }
        test.clock.advance(Duration::from_hours(1));
        assert_eq!(test.with(&alices, "GET", "/me", None).await.status, StatusCode::UNAUTHORIZED);
        let list = test.get("/tokens?limit=2").await.expect(StatusCode::OK);
        assert_eq!(list["items"].as_array().unwrap().len(), 2);
        assert!(list["next_cursor"].is_string());
        assert_eq!(test.delete(&format!("/tokens/{}", id(&view))).await.status, StatusCode::OK);
        assert_eq!(test.delete("/tokens/00000000-0000-0000-0000-000000000000").await.refused(404).0, "not_found");
    }
}

on_both! {
    async fn a_creation_sent_twice_makes_one_token(test: Test) {
        let send = async || {
            let mut request = test.request("POST", "/tokens", Some(&json!({"name": "ci", "role": "admin"})));
            request.headers_mut().insert("idempotency-key", "once".parse().unwrap());
            test.send(request).await.expect(StatusCode::CREATED)
        };
        assert_eq!(send().await["value"], send().await["value"]);
        let list = test.get("/tokens?search=ci").await.expect(StatusCode::OK);
        assert_eq!(list["items"].as_array().unwrap().len(), 1);
    }
}

on_both! {
    async fn a_gateways_token_is_unbound_only_where_that_is_said(test: Test) {
        let new = json!({"name": "edge", "role": "gateway", "gateway": "edge-1"});
        let token = test.post("/tokens", new).await.expect(StatusCode::CREATED);
        let path = format!("/tokens/{}/gateway", id(&token));
        let bind = async |body: Value| test.send(test.request("PUT", &path, Some(&body))).await;
        let silent = bind(json!({})).await;
        assert!(silent.json["errors"][0]["message"].as_str().unwrap().contains("`gateway`"), "{:#}", silent.json);
        assert_eq!(silent.refused(422).0, "invalid");
        let now = test.get("/tokens").await.expect(StatusCode::OK);
        let bound = now["items"].as_array().unwrap().iter().find(|one| one["id"] == token["id"]).unwrap();
        assert_eq!(bound["gateway"], "edge-1");
        assert_eq!(bind(json!({"gateway": null})).await.expect(StatusCode::OK)["gateway"], Value::Null);
    }
}
