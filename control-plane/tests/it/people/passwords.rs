use axum::http::StatusCode;
use serde_json::json;

use super::browser::{Browser, PASSWORD, set_cookie};
use crate::support::{on_both, pair};

on_both! {
    async fn an_invitation_sets_a_password_once(test: Test) {
        let id = test.user("alice@acme.com").await;
        let invite = async || test.act(&format!("/users/{id}/invite")).await.expect(StatusCode::CREATED);
        let invitation = invite().await;
        let token = invitation["token"].as_str().unwrap();
        assert_eq!(invitation["link"], format!("http://127.0.0.1:8080/invitation#{token}"));
        let accept = async |token: &str, password: &str| {
            Browser::at("192.0.2.1").post(&test, "/auth/invitation", json!({"token": token, "password": password})).await
        };
        assert_eq!(accept(token, "alice@acme.com").await.refused(422), pair("invalid", "password"));
        assert_eq!(accept(token, "passwordpassword").await.refused(422), pair("invalid", "password"));
        assert_eq!(accept("unknown", PASSWORD).await.refused(422), pair("invalid", "token"));
        let me = accept(token, PASSWORD).await.expect(StatusCode::OK);
        assert_eq!(me["user"]["email"], "alice@acme.com");
        assert_eq!(me["user"]["sign_in_methods"], json!(["password"]));
        assert_eq!(accept(token, PASSWORD).await.refused(422), pair("invalid", "token"), "used");

        let (first, second) = (invite().await, invite().await);
        assert_eq!(accept(first["token"].as_str().unwrap(), PASSWORD).await.refused(422).1, "token", "replaced");
        test.clock.advance(std::time::Duration::from_hours(72));
        assert_eq!(accept(second["token"].as_str().unwrap(), PASSWORD).await.refused(422).1, "token", "over");
        let third = invite().await;
        test.act(&format!("/users/{id}/deactivate")).await.expect(StatusCode::OK);
        assert_eq!(accept(third["token"].as_str().unwrap(), PASSWORD).await.refused(422).1, "token", "deactivated");
        assert_eq!(test.act(&format!("/users/{id}/invite")).await.refused(409).0, "deactivated");
        assert_eq!(test.audited("invitation.").await.len(), 4);
        assert_eq!(test.audited("password.").await, ["password.changed alice@acme.com 192.0.2.1 alice@acme.com"]);
    }
}

on_both! {
    async fn a_wrong_password_and_an_unknown_address_are_answered_alike(test: Test) {
        test.local("alice@acme.com").await;
        test.user("invited@acme.com").await;
        let gone = test.local("gone@acme.com").await;
        test.act(&format!("/users/{gone}/deactivate")).await.expect(StatusCode::OK);
        let stranger = Browser::at("192.0.2.9");
        let mut answers = Vec::new();
        for email in ["alice@acme.com", "nobody@acme.com", "invited@acme.com", "not an\u{0} address"] {
            answers.push(stranger.try_sign_in(&test, email, "wrong horse battery").await);
        }
        answers.push(stranger.try_sign_in(&test, "gone@acme.com", PASSWORD).await);
        for answer in answers {
            assert!(answer.headers.get("set-cookie").is_none());
            assert_eq!(answer.json["detail"], "the email address or password is incorrect");
            assert_eq!(answer.refused(401), pair("wrong_credentials", ""));
        }
        assert_eq!(test.audited("session.failed").await, [
            "session.failed sign-in 192.0.2.9 alice@acme.com wrong_password",
            "session.failed sign-in 192.0.2.9  unknown_user",
            "session.failed sign-in 192.0.2.9 invited@acme.com wrong_password",
            "session.failed sign-in 192.0.2.9  unknown_user",
            "session.failed sign-in 192.0.2.9 gone@acme.com deactivated",
        ]);
        let me = stranger.clone().signed_in(stranger.try_sign_in(&test, "Alice@ACME.com", PASSWORD).await);
        assert_eq!((&me["role"], &me["permissions"]), (&json!("user"), &json!([])));
    }
}

on_both! {
    async fn a_changed_password_ends_the_other_sessions(test: Test) {
        test.local("alice@acme.com").await;
        let here = Browser::sign_in(&test, "192.0.2.1", "alice@acme.com").await;
        let there = Browser::sign_in(&test, "192.0.2.2", "alice@acme.com").await;
        let change = async |current: &str, new: &str| {
            here.post(&test, "/me/password", json!({"current": current, "new": new})).await
        };
        let new = "another horse battery";
        assert_eq!(change("wrong", new).await.refused(422), pair("invalid", "current"));
        assert_eq!(change(PASSWORD, "too short").await.refused(422), pair("invalid", "new"));
        assert_eq!(there.get(&test, "/me").await.status, StatusCode::OK);
        assert_eq!(change(PASSWORD, new).await.status, StatusCode::NO_CONTENT);
        assert_eq!(there.get(&test, "/me").await.refused(401).0, "unauthorized");
        assert_eq!(here.get(&test, "/me").await.status, StatusCode::OK);
        let old = Browser::at("192.0.2.3").try_sign_in(&test, "alice@acme.com", PASSWORD).await;
        assert_eq!(old.refused(401).0, "wrong_credentials");
        let new = Browser::at("192.0.2.3").try_sign_in(&test, "alice@acme.com", new).await;
        assert_eq!(new.status, StatusCode::OK);
    }
}

on_both! {
    async fn guessing_the_current_password_is_held_up(test: Test) {
        test.local("alice@acme.com").await;
        let browser = Browser::sign_in(&test, "192.0.2.1", "alice@acme.com").await;
        let body = json!({"current": "wrong", "new": "another horse battery"});
        for _ in 0..6 {
            assert_eq!(browser.post(&test, "/me/password", body.clone()).await.refused(422).1, "current");
        }
        assert_eq!(browser.post(&test, "/me/password", body).await.refused(429).0, "too_many_attempts");
    }
}

on_both! {
    async fn a_new_invitation_is_a_way_back_that_ends_every_session(test: Test) {
        let id = test.local("alice@acme.com").await;
        let thief = Browser::sign_in(&test, "192.0.2.66", "alice@acme.com").await;
        let link = test.act(&format!("/users/{id}/invite")).await.expect(StatusCode::CREATED);
        assert_eq!(thief.get(&test, "/me").await.status, StatusCode::OK);
        let body = json!({"token": link["token"], "password": "another horse battery"});
        Browser::at("192.0.2.1").post(&test, "/auth/invitation", body).await.expect(StatusCode::OK);
        assert_eq!(thief.get(&test, "/me").await.refused(401).0, "unauthorized");
    }
}

on_both! {
    async fn without_a_password_there_is_none_to_change(test: Test) {
        let id = test.user("alice@acme.com").await;
        let token = test.token_of(&id).await;
        let body = json!({"current": PASSWORD, "new": "another horse battery"});
        assert_eq!(test.with(&token, "POST", "/me/password", Some(body)).await.refused(409).0, "no_password");
        assert_eq!(test.post("/me/password", json!({})).await.refused(403).0, "not_a_user");
    }
}

on_both! {
    async fn no_secret_is_stored_as_it_is(test: Test) {
        let id = test.local("alice@acme.com").await;
        let invitation = test.act(&format!("/users/{id}/invite")).await.expect(StatusCode::CREATED);
        let answer = Browser::at("192.0.2.1").try_sign_in(&test, "alice@acme.com", PASSWORD).await;
        let cookie = set_cookie(&answer.headers);
        let cookie = cookie.split(['=', ';']).nth(1).unwrap();
        let csrf = answer.json["csrf_token"].as_str().unwrap();
        Browser::at("192.0.2.1").try_sign_in(&test, "my secret by mistake", "x").await.refused(401);
        let secrets = [PASSWORD, invitation["token"].as_str().unwrap(), cookie, csrf, "my secret by mistake"];
        for table in ["users", "sessions", "invitations", "audit", "sign_in_failures"] {
            let dump = test.dump(table).await;
            assert!(!dump.is_empty(), "{table}");
            for secret in secrets {
                assert!(!dump.contains(secret), "{table} holds {secret}");
            }
        }
    }
}
