use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use jiff::SignedDuration;
use latchkey_core::client::TrustedProxies;
use latchkey_service::sign_in::{Lasting, SignIn};
use serde_json::json;

use super::browser::{Browser, PASSWORD, set_cookie};
use crate::support::{Test, id, on_both};

on_both! {
    async fn a_session_does_what_its_user_may(test: Test) {
        let alice = test.local("alice@acme.com").await;
        let browser = Browser::sign_in(&test, "192.0.2.1", "alice@acme.com").await;
        assert_eq!(browser.get(&test, "/apps").await.refused(403).0, "forbidden");
        test.patch(&format!("/users/{alice}"), json!({"role": "admin"})).await.expect(StatusCode::OK);
        assert_eq!(browser.get(&test, "/apps").await.status, StatusCode::OK, "at once");
        let made = browser.post(&test, "/apps", json!({"name": "Bot"})).await;
        assert_eq!(made.status, StatusCode::CREATED);
        let me = browser.get(&test, "/me").await.expect(StatusCode::OK);
        assert_eq!(me["permissions"], json!(["gateway.read", "gateway.update"]));
        test.patch(&format!("/users/{alice}"), json!({"role": "user"})).await.expect(StatusCode::OK);
        assert_eq!(browser.get(&test, "/apps").await.status, StatusCode::FORBIDDEN);
    }
}

on_both! {
    async fn what_changes_something_needs_the_csrf_token(test: Test) {
        let alice = test.local("alice@acme.com").await;
        test.patch(&format!("/users/{alice}"), json!({"role": "admin"})).await.expect(StatusCode::OK);
        let browser = Browser::sign_in(&test, "192.0.2.1", "alice@acme.com").await;
        let other = Browser::sign_in(&test, "192.0.2.1", "alice@acme.com").await;
        let create = async |browser: Browser| browser.post(&test, "/apps", json!({"name": "Bot"})).await;
        for csrf in [None, Some("x".to_owned()), Some(String::new()), other.csrf] {
            assert_eq!(create(Browser { csrf, ..browser.clone() }).await.refused(403).0, "csrf");
        }
        for (header, value) in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "https://evil.example"),
            ("origin", "null"),
        ] {
            assert_eq!(create(browser.clone().with(header, value)).await.refused(403).0, "csrf", "{header}: {value}");
            assert_eq!(browser.clone().with(header, value).get(&test, "/me").await.status, StatusCode::OK);
        }
        let ours = browser.clone().with("sec-fetch-site", "same-origin").with("origin", "http://127.0.0.1:8080");
        assert_eq!(create(ours).await.status, StatusCode::CREATED);
        let ours = browser.clone().with("host", "localhost:8080").with("origin", "http://localhost:8080");
        assert_eq!(create(ours).await.status, StatusCode::CREATED);
        let token = format!("Bearer {}", test.owner);
        let both = Browser { csrf: None, ..browser.clone() }.with("authorization", &token);
        assert_eq!(create(both).await.status, StatusCode::CREATED, "a token needs none, and counts first");
        let me = browser.clone().with("authorization", "Bearer lk_unknown").get(&test, "/me").await;
        assert_eq!(me.refused(401).0, "unauthorized", "a bad token does not fall back to the cookie");
    }
}

on_both! {
    async fn another_sites_page_signs_nobody_in(test: Test) {
        test.local("alice@acme.com").await;
        let forged = Browser::at("192.0.2.1").with("sec-fetch-site", "cross-site");
        assert_eq!(forged.try_sign_in(&test, "alice@acme.com", PASSWORD).await.refused(403).0, "csrf");
    }
}

on_both! {
    async fn signing_out_ends_the_session_not_only_the_cookie(test: Test) {
        test.local("alice@acme.com").await;
        let browser = Browser::sign_in(&test, "192.0.2.1", "alice@acme.com").await;
        let answer = browser.send(&test, "POST", "/auth/sign-out", None).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        assert_eq!(set_cookie(&answer.headers), "latchkey=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
        assert_eq!(browser.get(&test, "/me").await.refused(401).0, "unauthorized");
        let started = test.audited("session.").await;
        let last = &started[started.len() - 2..];
        assert_eq!(last[0], "session.started alice@acme.com 192.0.2.1 alice@acme.com password");
        assert_eq!(last[1], "session.ended alice@acme.com 192.0.2.1 alice@acme.com");
        assert_eq!(test.act("/auth/sign-out").await.refused(403).0, "not_a_user");
    }
}

on_both! {
    async fn sessions_end_unused_and_at_the_latest(test: Test) {
        test.local("alice@acme.com").await;
        let used = Browser::sign_in(&test, "192.0.2.1", "alice@acme.com").await;
        let unused = Browser::sign_in(&test, "192.0.2.1", "alice@acme.com").await;
        for hours in 1..=14 {
            test.clock.advance(Duration::from_mins(11 * 60 + 59));
            assert_eq!(used.get(&test, "/me").await.status, StatusCode::OK, "{hours}");
        }
        assert_eq!(unused.get(&test, "/me").await.status, StatusCode::UNAUTHORIZED);
        test.clock.advance(Duration::from_mins(14));
        assert_eq!(used.get(&test, "/me").await.status, StatusCode::UNAUTHORIZED, "a week is over");
    }
}

on_both! {
    async fn how_long_sessions_last_is_configured(mut_test: Test) {
        let mut test = mut_test;
        let lasting = Lasting { idle: SignedDuration::from_mins(5), longest: SignedDuration::from_mins(8) };
        let usual = SignIn::new("https://latchkey.example.com".parse().unwrap(), &test.world);
        test.api.sign_in = Arc::new(SignIn { lasting, ..usual });
        test.renew_router();
        test.local("alice@acme.com").await;
        let answer = Browser::at("192.0.2.1").try_sign_in(&test, "alice@acme.com", PASSWORD).await;
        let cookie = set_cookie(&answer.headers);
        assert!(cookie.starts_with("__Host-latchkey="), "{cookie}");
        assert!(cookie.ends_with("; Path=/; Max-Age=480; HttpOnly; SameSite=Lax; Secure"), "{cookie}");
        let mut browser = Browser::at("192.0.2.1");
        browser.signed_in(answer);
        for (minutes, status) in [(4, 200), (3, 200), (1, 401)] {
            test.clock.advance(Duration::from_mins(minutes));
            assert_eq!(browser.get(&test, "/me").await.status, status);
        }
        let plain = Browser { cookie: browser.cookie.map(|cookie| cookie.replace("__Host-", "")), ..browser };
        assert_eq!(plain.get(&test, "/me").await.status, 401, "a cookie that another host could have set");
    }
}

on_both! {
    async fn use_is_noted_once_a_minute(test: Test) {
        test.local("alice@acme.com").await;
        let browser = Browser::sign_in(&test, "192.0.2.1", "alice@acme.com").await;
        let seen = async |after: u64| {
            test.clock.advance(Duration::from_secs(after));
            let sessions = browser.get(&test, "/me/sessions").await.expect(StatusCode::OK);
            sessions["items"][0]["seen_at"].as_str().unwrap()[11..19].to_owned()
        };
        assert_eq!(seen(59).await, "00:00:00");
        assert_eq!(seen(1).await, "00:01:00");
        assert_eq!(seen(59).await, "00:01:00");
        assert_eq!(seen(1).await, "00:02:00");
    }
}

on_both! {
    async fn ones_own_sessions_are_listed_and_ended(test: Test) {
        test.local("alice@acme.com").await;
        test.local("bob@acme.com").await;
        let here = Browser::sign_in(&test, "192.0.2.1", "alice@acme.com").await;
        test.clock.advance(Duration::from_secs(1));
        let mut there = Browser::at("192.0.2.2").with("user-agent", &format!("Mozilla/5.0 {}", "x".repeat(300)));
        there.signed_in(there.try_sign_in(&test, "alice@acme.com", PASSWORD).await);
        let bob = Browser::sign_in(&test, "192.0.2.3", "bob@acme.com").await;
        let list = async |browser: &Browser| browser.get(&test, "/me/sessions").await.expect(StatusCode::OK)["items"].clone();
        let sessions = list(&here).await;
        assert_eq!(sessions.as_array().unwrap().len(), 2);
        assert_eq!((&sessions[0]["current"], &sessions[1]["current"]), (&json!(false), &json!(true)));
        assert_eq!(sessions[0]["client_address"], "192.0.2.2");
        assert_eq!(sessions[0]["user_agent"].as_str().unwrap().len(), 200);
        assert_eq!(sessions[0]["method"], "password");
        let path = format!("/me/sessions/{}", id(&sessions[0]));
        assert_eq!(bob.send(&test, "DELETE", &path, None).await.refused(404).0, "not_found");
        assert_eq!(there.get(&test, "/me").await.status, StatusCode::OK);
        assert_eq!(here.send(&test, "DELETE", &path, None).await.status, StatusCode::NO_CONTENT);
        assert_eq!(here.send(&test, "DELETE", &path, None).await.refused(404).0, "not_found");
        assert_eq!(there.get(&test, "/me").await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(list(&here).await.as_array().unwrap().len(), 1);
    }
}

on_both! {
    async fn an_owner_signs_a_user_out_everywhere(test: Test) {
        let alice = test.local("alice@acme.com").await;
        let bob = Browser::sign_in(&test, "192.0.2.3", { test.local("bob@acme.com").await; "bob@acme.com" }).await;
        let one = Browser::sign_in(&test, "192.0.2.1", "alice@acme.com").await;
        let two = Browser::sign_in(&test, "192.0.2.2", "alice@acme.com").await;
        let path = format!("/users/{alice}/sessions");
        assert_eq!(one.get(&test, &path).await.refused(403).0, "forbidden");
        assert_eq!(test.get(&path).await.expect(StatusCode::OK)["items"].as_array().unwrap().len(), 2);
        let ended = test.act(&format!("{path}/end")).await.expect(StatusCode::OK);
        assert_eq!(ended["sessions"], 2);
        for (browser, status) in [(one, 401), (two, 401), (bob, 200)] {
            assert_eq!(browser.get(&test, "/me").await.status, status);
        }
        let nobody = "/users/00000000-0000-0000-0000-000000000000/sessions";
        assert_eq!(test.get(nobody).await.refused(404).0, "not_found");
        assert_eq!(test.act(&format!("{nobody}/end")).await.refused(404).0, "not_found");
    }
}

on_both! {
    async fn a_proxys_word_counts_only_where_it_is_trusted(mut_test: Test) {
        let mut test: Test = mut_test;
        test.local("alice@acme.com").await;
        let from = async |test: &Test, peer: &'static str| {
            test.clock.advance(Duration::from_secs(1));
            let browser = Browser::at(peer).with("x-forwarded-for", "1.1.1.1, 203.0.113.9");
            let mut browser = browser;
            browser.signed_in(browser.try_sign_in(test, "alice@acme.com", PASSWORD).await);
            let sessions = browser.get(test, "/me/sessions").await.expect(StatusCode::OK);
            sessions["items"][0]["client_address"].as_str().unwrap().to_owned()
        };
        assert_eq!(from(&test, "10.0.0.1").await, "10.0.0.1");
        let usual = SignIn::new("http://127.0.0.1:8080".parse().unwrap(), &test.world);
        let trusted = TrustedProxies(vec!["10.0.0.0/8".parse().unwrap()]);
        test.api.sign_in = Arc::new(SignIn { trusted, ..usual });
        test.renew_router();
        assert_eq!(from(&test, "10.0.0.1").await, "203.0.113.9");
        assert_eq!(from(&test, "192.0.2.1").await, "192.0.2.1");
        let started = test.audited("session.started").await;
        assert_eq!(started[started.len() - 2], "session.started alice@acme.com 203.0.113.9 alice@acme.com password");
    }
}
