use axum::http::StatusCode;
use jiff::SignedDuration;
use latchkey_core::actor::Actor;
use latchkey_core::role::Role;
use latchkey_service::action::By;
use latchkey_service::action::tokens::{self, NewToken};
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::support::{on_both, pair};

on_both! {
    async fn without_a_token_nothing_is_seen(test: Test) {
        for header in [None, Some("lk_x"), Some("Basic lk_x"), Some("Bearer lk_unknown")] {
            let mut request = test.request("GET", "/apps", None);
            request.headers_mut().remove("authorization");
            if let Some(header) = header {
                request.headers_mut().insert("authorization", header.parse().unwrap());
            }
            let answer = test.send(request).await;
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
            assert_eq!(answer.refused(401), pair("unauthorized", ""));
        }
    }
}

on_both! {
    async fn each_role_may_do_what_it_permits(test: Test) {
        for (role, reads, writes, people) in [
            (Role::Owner, 200, 201, 201),
            (Role::Admin, 200, 201, 403),
            (Role::Auditor, 200, 403, 403),
            (Role::User, 403, 403, 403),
            (Role::Gateway, 403, 403, 403),
        ] {
            let header = format!("Bearer {}", test.token(role).await);
            let status = async |method: &str, path: &str, body| {
                let mut request = test.request(method, path, Some(&body));
                request.headers_mut().insert("authorization", header.parse().unwrap());
                test.send(request).await.status.as_u16()
            };
            assert_eq!(status("GET", "/apps", json!(null)).await, reads, "{role:?}");
            assert_eq!(status("POST", "/apps", json!({"name": "x"})).await, writes, "{role:?}");
            let person = json!({"email": format!("{}@acme.com", role.as_str()), "name": "x"});
            assert_eq!(status("POST", "/users", person).await, people, "{role:?}");
        }
    }
}

on_both! {
    async fn an_expired_token_stops(test: Test) {
        let mut tx = test.store.begin().await.unwrap();
        let expires_at = Some(test.world.now() + SignedDuration::from_secs(60));
        let new = NewToken { name: "ci".to_owned(), role: Role::Admin, user_id: None, expires_at, gateway: None };
        let token = tokens::create(&mut tx, By { actor: &Actor::system("test"), world: &test.world }, new).await.unwrap();
        tx.commit().await.unwrap();
        let status = async || {
            let mut request = test.request("GET", "/apps", None);
            let header = format!("Bearer {}", token.expose_secret());
            request.headers_mut().insert("authorization", header.parse().unwrap());
            test.send(request).await.status
        };
        assert_eq!(status().await, StatusCode::OK);
        test.clock.advance(std::time::Duration::from_secs(60));
        assert_eq!(status().await, StatusCode::UNAUTHORIZED);
    }
}

on_both! {
    async fn a_revoked_token_stops_and_opens_no_stream(test: Test) {
        use latchkey_service::tokens::GatewayTokens;
        use latchkey_discovery::source::Authenticator as _;

        let token = test.token(Role::Gateway).await;
        let tokens = GatewayTokens::new(test.store.clone(), test.world.clone());
        assert!(tokens.admit(&token).await.unwrap());
        assert!(!tokens.admit(&test.owner).await.unwrap(), "an owner is no gateway");
        let found = test.store.token(&latchkey_service::tokens::hash(&token), test.world.now()).await.unwrap().unwrap();
        let mut tx = test.store.begin().await.unwrap();
        assert!(tx.revoke_token(found.id, test.world.now()).await.unwrap());
        assert!(!tx.revoke_token(found.id, test.world.now()).await.unwrap(), "once");
        tx.commit().await.unwrap();
        assert!(!tokens.admit(&token).await.unwrap());
    }
}

on_both! {
    async fn a_token_of_a_user_permits_no_more_than_its_user(test: Test) {
        let user = test.user("carol@acme.com").await;
        let token = test.token_of(&user).await;
        let status = async || test.with(&token, "GET", "/apps", None).await.status;
        assert_eq!(status().await, StatusCode::FORBIDDEN, "the token is an owner's, carol is a user");
        test.sql(&[format!("UPDATE users SET role = 'auditor' WHERE id = '{user}'")]).await;
        assert_eq!(status().await, StatusCode::OK);
        test.sql(&[format!("UPDATE users SET deactivated_at = 1 WHERE id = '{user}'")]).await;
        assert_eq!(status().await, StatusCode::UNAUTHORIZED);
    }
}
