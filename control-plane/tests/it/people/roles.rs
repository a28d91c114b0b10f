use std::time::Duration;

use axum::http::StatusCode;
use latchkey_core::actor::Actor;
use latchkey_core::role::Role;
use latchkey_service::action::users::{self, EditUser};
use latchkey_service::action::{By, Refusal};
use serde_json::json;

use super::browser::{Browser, PASSWORD};
use crate::support::{Test, on_both, pair};

on_both! {
    async fn the_last_active_owner_stays_one(test: Test) {
        let (one, two) = (test.user("one@acme.com").await, test.user("two@acme.com").await);
        let role = async |id: &str, role: &str| test.patch(&format!("/users/{id}"), json!({"role": role})).await;
        role(&one, "owner").await.expect(StatusCode::OK);
        assert_eq!(role(&one, "admin").await.refused(409).0, "last_owner");
        assert_eq!(test.act(&format!("/users/{one}/deactivate")).await.refused(409).0, "last_owner");
        role(&two, "owner").await.expect(StatusCode::OK);
        test.act(&format!("/users/{two}/deactivate")).await.expect(StatusCode::OK);
        assert_eq!(role(&one, "user").await.refused(409).0, "last_owner", "the other one is not active");
        test.act(&format!("/users/{two}/reactivate")).await.expect(StatusCode::OK);
        role(&one, "user").await.expect(StatusCode::OK);
        assert_eq!(role(&two, "auditor").await.refused(409).0, "last_owner");
        assert_eq!(role(&two, "owner").await.expect(StatusCode::OK)["role"], "owner");
    }
}

#[tokio::test]
async fn two_owners_demoted_at_once_leave_one() {
    let test = Test::postgres().await;
    let mut owners = Vec::new();
    for email in ["one@acme.com", "two@acme.com"] {
        let id = test.user(email).await;
        test.patch(&format!("/users/{id}"), json!({"role": "owner"})).await.expect(StatusCode::OK);
        owners.push(id.parse().unwrap());
    }
    let actor = Actor::system("test");
    let by = By { actor: &actor, world: &test.world };
    let mut first = test.store.begin().await.unwrap();
    let edit = EditUser { role: Some(Role::User), ..EditUser::default() };
    users::update(&mut first, by, owners[0], edit).await.unwrap();
    let mut tx = test.store.begin().await.unwrap();
    let mut second = std::pin::pin!(users::deactivate(&mut tx, by, owners[1]));
    // The second must wait for the first; that it does not come is what is waited for.
    let early = tokio::time::timeout(Duration::from_millis(300), &mut second).await;
    assert!(early.is_err(), "{early:?}");
    first.commit().await.unwrap();
    let refusal = second.await.unwrap_err();
    assert!(matches!(refusal, Refusal::Conflict { code: "last_owner", .. }), "{refusal:?}");
}

on_both! {
    async fn a_deactivated_user_is_out_at_once(test: Test) {
        let id = test.local("alice@acme.com").await;
        let token = test.token_of(&id).await;
        let browser = Browser::sign_in(&test, "192.0.2.1", "alice@acme.com").await;
        let view = test.act(&format!("/users/{id}/deactivate")).await.expect(StatusCode::OK);
        assert_eq!((&view["active"], &view["deactivated_at"]), (&json!(false), &json!("2026-01-01T00:00:00Z")));
        assert_eq!(browser.get(&test, "/me").await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(test.with(&token, "GET", "/me", None).await.status, StatusCode::UNAUTHORIZED);
        let again = Browser::at("192.0.2.1").try_sign_in(&test, "alice@acme.com", PASSWORD).await;
        assert_eq!(again.refused(401).0, "wrong_credentials");
        test.act(&format!("/users/{id}/deactivate")).await.expect(StatusCode::OK);
        let view = test.act(&format!("/users/{id}/reactivate")).await.expect(StatusCode::OK);
        assert_eq!((&view["active"], &view["deactivated_at"]), (&json!(true), &json!(null)));
        assert_eq!(browser.get(&test, "/me").await.status, StatusCode::UNAUTHORIZED, "sessions do not come back");
        assert_eq!(test.with(&token, "GET", "/me", None).await.status, StatusCode::OK);
        Browser::sign_in(&test, "192.0.2.1", "alice@acme.com").await;
        assert_eq!(test.audited("user.").await, [
            "user.created owner  alice@acme.com",
            "user.deactivated owner  alice@acme.com",
            "user.reactivated owner  alice@acme.com",
        ]);
    }
}

on_both! {
    async fn only_an_owner_manages_people(test: Test) {
        let id = test.user("alice@acme.com").await;
        let missing = "00000000-0000-0000-0000-000000000000";
        for role in [Role::Admin, Role::Auditor, Role::User, Role::Gateway] {
            let token = test.token(role).await;
            for (method, path, body) in [
                ("PATCH", "", Some(json!({"role": "owner"}))),
                ("POST", "/deactivate", None),
                ("POST", "/reactivate", None),
                ("POST", "/invite", None),
                ("GET", "/sessions", None),
                ("POST", "/sessions/end", None),
            ] {
                let answer = test.with(&token, method, &format!("/users/{id}{path}"), body).await;
                assert_eq!(answer.refused(403).0, "forbidden", "{role:?} {method} {path}");
            }
        }
        for (method, path) in [("PATCH", ""), ("POST", "/deactivate"), ("POST", "/reactivate"), ("POST", "/invite")] {
            let answer = test.with(&test.owner, method, &format!("/users/{missing}{path}"), Some(json!({}))).await;
            assert_eq!(answer.refused(404).0, "not_found", "{method} {path}");
        }
        let edit = async |body| test.patch(&format!("/users/{id}"), body).await;
        assert_eq!(edit(json!({"role": "gateway"})).await.refused(422), pair("invalid", "role"));
        assert_eq!(edit(json!({"email": "x@acme.com"})).await.refused(422), pair("invalid", "email"));
        assert_eq!(edit(json!({"name": ""})).await.refused(422), pair("invalid", "name"));
        assert_eq!(edit(json!({"name": "Alice"})).await.expect(StatusCode::OK)["name"], "Alice");
        assert_eq!(edit(json!({})).await.expect(StatusCode::OK)["role"], "user");
    }
}
