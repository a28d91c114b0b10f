use std::time::Duration;

use axum::http::StatusCode;
use latchkey_core::role::Role;
use latchkey_service::sign_in::oidc::Settings;
use serde_json::{Value, json};
use url::Url;

use super::browser::Browser;
use super::provider::Provider;
use crate::support::{Answer, Test, on_both};

const ALICE: &str = "sub=1&email=Alice@acme.com&email_verified=true&name=Alice%20Smith";

impl Test {
    async fn with_provider(mut self) -> (Self, Provider) {
        let provider = Provider::start();
        self.use_provider(provider.settings());
        (self, provider)
    }

    async fn me(&self, browser: &Browser) -> Value {
        browser.get(self, "/me").await.expect(StatusCode::OK)
    }

    async fn claimed_group(&self, id: &str, name: &str, claim: &str) {
        self.sql(&[format!(
            "INSERT INTO groups (id, name, folded_name, description, claim, created_at, updated_at)
             VALUES ('{id}', '{name}', '{name}', '', {claim}, 0, 0)"
        )])
        .await;
    }
}

fn refused(answer: Answer, status: u16, code: &str) {
    let cookies = answer.headers.get_all("set-cookie").into_iter().map(|line| line.to_str().unwrap());
    assert_eq!(cookies.collect::<Vec<_>>(), ["latchkey-pending=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"]);
    assert_eq!(answer.refused(status).0, code);
}

on_both! {
    async fn a_person_comes_in_and_is_known_the_next_time(test: Test) {
        let (test, provider) = test.with_provider().await;
        let (browser, answer) = test.sign_in_as(ALICE).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{:#}", answer.json);
        assert_eq!((&answer.headers["location"], &answer.headers["referrer-policy"]), (&"/apps".parse().unwrap(), &"no-referrer".parse().unwrap()));
        let me = test.me(&browser).await;
        assert_eq!((&me["user"]["email"], &me["user"]["name"]), (&json!("alice@acme.com"), &json!("Alice Smith")));
        assert_eq!((&me["role"], &me["user"]["sign_in_methods"]), (&json!("user"), &json!(["oidc"])));
        let (again, _) = test.sign_in_as("sub=1&email=new@acme.com&email_verified=false").await;
        assert_eq!(test.me(&again).await["user"]["id"], me["user"]["id"], "found by the subject");
        assert_eq!(test.audited("user.").await, [
            "user.created sign-in  alice@acme.com",
            "user.linked alice@acme.com  alice@acme.com",
            "user.groups_unstated alice@acme.com  alice@acme.com absent",
            "user.groups_unstated alice@acme.com  alice@acme.com absent",
        ]);
        assert_eq!(test.audited("session.").await.len(), 2);
        drop(provider);
    }
}

on_both! {
    async fn a_user_is_linked_by_a_verified_address_only(test: Test) {
        let (test, _provider) = test.with_provider().await;
        let alice = test.user("alice@acme.com").await;
        for (unverified, code) in [
            ("sub=9&email=alice@acme.com&email_verified=false", "email_not_verified"),
            ("sub=9&email=alice@acme.com", "email_not_verified"),
            ("sub=9", "email_missing"),
        ] {
            let (browser, answer) = test.sign_in_as(unverified).await;
            refused(answer, 403, code);
            assert_eq!(browser.get(&test, "/me").await.status, StatusCode::UNAUTHORIZED);
        }
        let (browser, _) = test.sign_in_as(ALICE).await;
        assert_eq!(test.me(&browser).await["user"]["id"], alice);
        let (_, answer) = test.sign_in_as("sub=2&email=alice@acme.com&email_verified=true").await;
        refused(answer, 403, "already_linked");
        assert_eq!(test.audited("session.failed").await.len(), 4);
    }
}

on_both! {
    async fn an_owner_unlinks_a_user_and_whoever_came_in_so_is_out(test: Test) {
        let (test, _provider) = test.with_provider().await;
        let (browser, _) = test.sign_in_as(ALICE).await;
        let id = test.me(&browser).await["user"]["id"].as_str().unwrap().to_owned();
        let path = format!("/users/{id}");
        let shown = test.get(&path).await.expect(StatusCode::OK);
        assert_eq!((&shown["email"], &shown["identities"][0]["subject"]), (&json!("alice@acme.com"), &json!("1")));
        let admin = test.token(Role::Admin).await;
        let to_admin = test.with(&admin, "GET", &path, None).await.expect(StatusCode::OK);
        assert_eq!(to_admin["identities"], json!(null));
        let link = format!("/identities/{}", shown["identities"][0]["id"].as_str().unwrap());
        let bob = test.user("bob@acme.com").await;
        assert_eq!(test.delete(&format!("/users/{bob}{link}")).await.refused(404).0, "not_found");
        assert_eq!(test.with(&admin, "DELETE", &format!("{path}{link}"), None).await.refused(403).0, "forbidden");
        test.me(&browser).await;
        test.delete(&format!("{path}{link}")).await.expect(StatusCode::NO_CONTENT);
        assert_eq!(browser.get(&test, "/me").await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(test.delete(&format!("{path}{link}")).await.refused(404).0, "not_found");
        assert_eq!(test.get(&path).await.expect(StatusCode::OK)["identities"], json!([]));
        let (_, answer) = test.sign_in_as("sub=1&email=new@acme.com").await;
        refused(answer, 403, "email_not_verified");
        let (renewed, _) = test.sign_in_as("sub=2&email=alice@acme.com&email_verified=true").await;
        assert_eq!(test.me(&renewed).await["user"]["id"], id, "linked by the address");
        assert_eq!(test.audited("user.unlinked").await, ["user.unlinked owner  alice@acme.com"]);
    }
}

on_both! {
    async fn only_the_browser_that_left_comes_back(test: Test) {
        let (test, _provider) = test.with_provider().await;
        let (browser, to) = test.depart("/").await;
        let path = test.return_path(&to, ALICE).await;
        let stranger = Browser::at("192.0.2.1");
        refused(test.visit(&stranger, &path).await, 401, "sign_in_expired");
        let (other, _) = test.depart("/").await;
        refused(test.visit(&other, &path).await, 401, "sign_in_expired");
        let state = Url::parse(&format!("http://x{path}")).unwrap();
        let state = state.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        for wrong in [path.replace(&state, "x"), path.replace("state=", "no=")] {
            refused(test.visit(&browser, &wrong).await, 401, "sign_in_expired");
        }
        let iss = format!("{path}&iss=https://evil.example");
        assert_eq!(test.visit(&browser, &iss).await.status, 400, "a parameter given twice");
        assert_eq!(test.visit(&browser, &path).await.status, StatusCode::SEE_OTHER);
        refused(test.visit(&browser, &path).await, 401, "sign_in_refused");
    }
}

on_both! {
    async fn another_providers_answer_and_a_refusal_sign_nobody_in(test: Test) {
        let (test, _provider) = test.with_provider().await;
        for (extra, code) in [
            ("code=x&iss=https://evil.example", "sign_in_refused"),
            ("error=access_denied", "sign_in_refused"),
            ("", "sign_in_expired"),
            ("code=unknown", "sign_in_refused"),
        ] {
            let (browser, to) = test.depart("/").await;
            let state = to.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
            refused(test.visit(&browser, &format!("/auth/oidc/callback?state={state}&{extra}")).await, 401, code);
        }
    }
}

on_both! {
    async fn another_nonce_or_verifier_signs_nobody_in(test: Test) {
        let (test, _provider) = test.with_provider().await;
        for field in ["nonce", "code_challenge"] {
            let (browser, mut to) = test.depart("/").await;
            let other = "x".repeat(43);
            let pairs = to.query_pairs().map(|(name, value)| {
                let value = if name == field { other.clone() } else { value.into_owned() };
                (name.into_owned(), value)
            });
            let pairs = pairs.collect::<Vec<_>>();
            to.query_pairs_mut().clear().extend_pairs(pairs);
            let path = test.return_path(&to, ALICE).await;
            refused(test.visit(&browser, &path).await, 401, "sign_in_refused");
        }
        assert!(test.audited("session.started").await.is_empty());
    }
}

on_both! {
    async fn a_sign_in_takes_ten_minutes_at_most(test: Test) {
        let (test, _provider) = test.with_provider().await;
        let (browser, to) = test.depart("/").await;
        let path = test.return_path(&to, ALICE).await;
        test.clock.advance(Duration::from_mins(10));
        refused(test.visit(&browser, &path).await, 401, "sign_in_expired");
    }
}

on_both! {
    async fn the_groups_claim_is_followed_at_each_sign_in(test: Test) {
        let (test, _provider) = test.with_provider().await;
        let ids = [1, 2, 3].map(|digit| format!("00000000-0000-0000-0000-00000000000{digit}"));
        test.claimed_group(&ids[0], "engineering", "'eng'").await;
        test.claimed_group(&ids[1], "operations", "'ops'").await;
        test.claimed_group(&ids[2], "friends", "NULL").await;
        let groups = async |claim: &str| {
            let (browser, _) = test.sign_in_as(&format!("{ALICE}{claim}")).await;
            test.me(&browser).await["groups"].clone()
        };
        assert_eq!(groups("&groups=eng,unknown").await, json!(["engineering"]));
        let alice = test.store.users("alice", None, 1).await.unwrap()[0].id;
        test.sql(&[format!(
            "INSERT INTO group_members (group_id, user_id, source, added_at) VALUES ('{}', '{alice}', 'admin', 0)",
            ids[2]
        )])
        .await;
        assert_eq!(groups("&groups=eng,ops").await, json!(["engineering", "friends", "operations"]));
        assert_eq!(groups("&groups=ops").await, json!(["friends", "operations"]));
        test.sql(&[format!("UPDATE group_members SET source = 'admin' WHERE group_id = '{}'", ids[1])]).await;
        assert_eq!(groups("").await, json!(["friends", "operations"]), "what was given by hand stays");
        assert_eq!(test.audited("group.").await, [
            "group.member_added alice@acme.com  engineering",
            "group.member_added alice@acme.com  operations",
            "group.member_removed alice@acme.com  engineering",
        ]);
    }
}

on_both! {
    async fn a_deactivated_user_does_not_come_in(test: Test) {
        let (test, _provider) = test.with_provider().await;
        let (browser, _) = test.sign_in_as(ALICE).await;
        let id = test.me(&browser).await["user"]["id"].as_str().unwrap().to_owned();
        test.act(&format!("/users/{id}/deactivate")).await.expect(StatusCode::OK);
        let (browser, answer) = test.sign_in_as(ALICE).await;
        refused(answer, 403, "deactivated");
        assert_eq!(browser.get(&test, "/me").await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(test.audited("session.failed").await, ["session.failed sign-in  alice@acme.com deactivated"]);
    }
}

on_both! {
    async fn who_comes_in_is_configured(mut_test: Test) {
        let (mut test, provider) = mut_test.with_provider().await;
        test.use_provider(Settings { create_users: false, ..provider.settings() });
        refused(test.sign_in_as(ALICE).await.1, 403, "unknown_user");
        test.user("alice@acme.com").await;
        assert_eq!(test.sign_in_as(ALICE).await.1.status, StatusCode::SEE_OTHER);
        test.use_provider(Settings { domains: vec!["Example.com".to_owned()], ..provider.settings() });
        refused(test.sign_in_as(ALICE).await.1, 403, "domain_not_allowed");
        let bob = "sub=2&email=bob@example.com&email_verified=true";
        assert_eq!(test.sign_in_as(bob).await.1.status, StatusCode::SEE_OTHER);
        refused(test.sign_in_as("sub=3&email=eve@example.com").await.1, 403, "email_not_verified");
    }
}

on_both! {
    async fn the_way_back_leads_to_no_other_site(test: Test) {
        let (test, _provider) = test.with_provider().await;
        for bad in ["//evil.example", "https://evil.example", "/%5Cevil.example", "/%09/evil.example", "apps"] {
            let answer = test.visit(&Browser::at("192.0.2.1"), &format!("/auth/oidc?return_to={bad}")).await;
            assert_eq!(answer.refused(400).0, "invalid_query", "{bad}");
        }
    }
}

on_both! {
    async fn a_provider_that_is_away_is_asked_again(mut_test: Test) {
        let mut test: Test = mut_test;
        assert_eq!(test.visit(&Browser::at("192.0.2.1"), "/auth/oidc").await.refused(404).0, "oidc_not_configured");
        let provider = Provider::start();
        let settings = provider.settings();
        let port = Url::parse(&settings.issuer).unwrap().port().unwrap();
        drop(provider);
        test.use_provider(settings);
        let away = test.visit(&Browser::at("192.0.2.1"), "/auth/oidc").await;
        assert_eq!(away.headers["retry-after"], "1");
        assert_eq!(away.refused(503).0, "identity_provider_unavailable");
        assert_eq!(test.get("/apps").await.status, StatusCode::OK, "all else works");
        let _provider = Provider::start_at(port);
        assert_eq!(test.visit(&Browser::at("192.0.2.1"), "/auth/oidc").await.status, 503, "not at each request");
        test.clock.advance(Duration::from_secs(5));
        assert_eq!(test.sign_in_as(ALICE).await.1.status, StatusCode::SEE_OTHER);
    }
}
