//! What OpenID providers really say: Entra, Keycloak, Zitadel, Okta.

use axum::http::StatusCode;
use latchkey_service::sign_in::oidc::Settings;
use serde_json::{Value, json};

use super::scripted::Scripted;
use crate::support::{Test, id, on_both, pair};

async fn with(test: &mut Test, change: impl FnOnce(&mut Settings)) -> Scripted {
    let provider = Scripted::start().await;
    let mut settings = provider.settings();
    change(&mut settings);
    test.use_provider(settings);
    provider
}

fn ana(more: Value) -> Value {
    let mut claims = json!({"email": "ana@acme.example", "email_verified": true, "name": "Ana"});
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

/// As Entra says it.
fn entra(more: Value) -> Value {
    let mut claims = json!({
        "oid": "o1", "tid": "tenant", "email": "ana@acme.example", "preferred_username": "ana@acme.example", "name": "Ana"
    });
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

impl Test {
    async fn filled_by(&self, name: &str, claim: &str) -> String {
        id(&self.post("/groups", json!({"name": name, "claim": claim})).await.expect(StatusCode::CREATED))
    }

    /// Ana's groups after she signed in with these claims.
    async fn groups_after(&self, provider: &Scripted, token: Value, userinfo: Value) -> Value {
        let (browser, answer) = provider.sign_in(self, ana(token), userinfo).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{:#}", answer.json);
        browser.get(self, "/me").await.expect(StatusCode::OK)["groups"].clone()
    }
}

on_both! {
    async fn a_claim_that_says_nothing_leaves_memberships_and_is_audited(mut_test: Test) {
        let mut test = mut_test;
        let provider = with(&mut test, |_| ()).await;
        test.filled_by("engineering", "eng").await;
        let friends = test.group("friends", &[]).await;
        assert_eq!(test.groups_after(&provider, json!({"groups": ["eng"]}), json!({})).await, json!(["engineering"]));
        let members = json!({"emails": ["ana@acme.example"]});
        test.post(&format!("/groups/{friends}/members"), members).await.expect(StatusCode::OK);
        let app = test.app(json!({"mode": "named"})).await;
        let engineering = json!({"mode": "specific", "allow": {"group_names": ["engineering"]}});
        test.self_service(&app, json!({"access": {"viewer": engineering}, "suspend_keys_on_lost_access": true})).await;
        let ana = test.store.users("ana@acme.example", None, 1).await.unwrap()[0].id;
        let key = json!({"user_id": ana, "name": "Ana's"});
        let key = test.post(&format!("/apps/{}/keys", id(&app)), key).await.expect(StatusCode::CREATED);
        let key = format!("/apps/{}/keys/{}", id(&app), id(&key));
        let suspended = async || test.get(&key).await.expect(StatusCode::OK)["suspended"].clone();
        let source = json!({"src1": {"endpoint": "https://graph.example/users/o1/getMemberObjects"}});
        for silent in [
            json!({"_claim_names": {"groups": "src1"}, "_claim_sources": source}),
            json!({"hasgroups": true}),
            json!({}),
            json!({"groups": null}),
            json!({"groups": [{"name": "eng"}]}),
            json!({"groups": ["ops", 1.5]}),
            json!({"groups": {}}),
            json!({"groups": true}),
        ] {
            let groups = test.groups_after(&provider, silent.clone(), json!({})).await;
            assert_eq!(groups, json!(["engineering", "friends"]), "{silent}");
            assert_eq!(suspended().await, json!(false), "{silent}");
        }
        let audited = test.audited("user.groups_unstated").await;
        let reasons = audited.iter().map(|entry| entry.rsplit(' ').next().unwrap()).collect::<Vec<_>>();
        assert_eq!(reasons[..4], ["elsewhere", "elsewhere", "absent", "null"]);
        assert_eq!(reasons[4..], ["unreadable"; 4]);
        assert_eq!(test.groups_after(&provider, json!({"groups": []}), json!({})).await, json!(["friends"]));
        assert_eq!(suspended().await, json!(true));
        assert_eq!(test.audited("user.groups_unstated").await.len(), 8);
    }
}

on_both! {
    async fn groups_are_read_as_providers_write_them(mut_test: Test) {
        let mut test = mut_test;
        let provider = with(&mut test, |_| ()).await;
        test.filled_by("engineering", "eng").await;
        test.filled_by("operations", "ops").await;
        let both = json!(["engineering", "operations"]);
        let zitadel = "urn:zitadel:iam:org:project:roles";
        for (claim, token, groups) in [
            ("realm_access.roles", json!({"realm_access": {"roles": ["eng", "offline_access"]}}), json!(["engineering"])),
            (zitadel, json!({zitadel: {"eng": {"2301": "acme.example"}}}), json!(["engineering"])),
            ("https://acme.example/groups", json!({"https://acme.example/groups": ["eng"]}), json!(["engineering"])),
            ("groups", json!({"groups": "eng"}), json!(["engineering"])),
            ("groups", json!({"groups": "eng,ops"}), both.clone()),
            ("groups", json!({"groups": ["/eng", "/x/ops"]}), json!(["engineering"])),
            ("groups", json!({"groups": ["other"]}), json!([])),
        ] {
            test.use_provider(Settings { groups_claim: Some(claim.to_owned()), ..provider.settings() });
            assert_eq!(test.groups_after(&provider, token.clone(), json!({})).await, groups, "{claim} {token}");
        }
    }
}

on_both! {
    async fn the_id_tokens_groups_come_before_those_of_userinfo(mut_test: Test) {
        let mut test = mut_test;
        let provider = with(&mut test, |_| ()).await;
        test.filled_by("engineering", "eng").await;
        test.filled_by("operations", "ops").await;
        for (token, userinfo, groups) in [
            (json!({}), json!({"groups": ["eng"]}), json!(["engineering"])),
            (json!({"groups": ["eng"]}), json!({"groups": ["ops"]}), json!(["engineering"])),
            (json!({"groups": [{}]}), json!({"groups": ["ops"]}), json!(["operations"])),
            (json!({"groups": [{}]}), json!({"groups": []}), json!(["operations"])),
            (json!({}), json!({"groups": [{}]}), json!(["operations"])),
            (json!({"groups": []}), json!({"groups": ["ops"]}), json!([])),
        ] {
            let now = test.groups_after(&provider, token.clone(), userinfo.clone()).await;
            assert_eq!(now, groups, "{token} {userinfo}");
        }
    }
}

on_both! {
    async fn without_trust_an_address_must_be_verified(mut_test: Test) {
        let mut test = mut_test;
        let provider = with(&mut test, |_| ()).await;
        let (_, answer) = provider.sign_in(&test, entra(json!({})), json!({"email": "ana@acme.example"})).await;
        assert!(answer.json["detail"].as_str().unwrap().contains("LATCHKEY_OIDC_TRUST_EMAIL"), "{:#}", answer.json);
        assert_eq!(answer.refused(403).0, "email_not_verified");
        for verified in [json!({"xms_edov": true}), json!({"xms_edov": "1"}), json!({"email_verified": "true"})] {
            let (_, answer) = provider.sign_in(&test, entra(verified), json!({})).await;
            assert_eq!(answer.status, StatusCode::SEE_OTHER, "{:#}", answer.json);
        }
        let (_, linked) = provider.sign_in(&test, entra(json!({})), json!({})).await;
        assert_eq!(linked.status, StatusCode::SEE_OTHER);
        test.use_provider(Settings { domains: vec!["acme.example".to_owned()], ..provider.settings() });
        let (_, answer) = provider.sign_in(&test, entra(json!({})), json!({})).await;
        assert_eq!(answer.refused(403).0, "email_not_verified");
    }
}

on_both! {
    async fn an_operator_vouches_for_addresses_that_are_not_denied(mut_test: Test) {
        let mut test = mut_test;
        let provider = with(&mut test, |settings| settings.trust_email = true).await;
        let invited = test.user("ana@acme.example").await;
        let (browser, _) = provider.sign_in(&test, entra(json!({})), json!({"email": "ana@acme.example"})).await;
        let me = browser.get(&test, "/me").await.expect(StatusCode::OK);
        assert_eq!(me["user"]["id"], json!(invited), "linked by the address");
        let bob = json!({"sub": "s2", "email": "bob@acme.example"});
        let (_, new) = provider.sign_in(&test, entra(bob), json!({})).await;
        assert_eq!(new.status, StatusCode::SEE_OTHER, "made by the address");
        for (token, userinfo) in [
            (json!({"email_verified": false}), json!({})),
            (json!({"email_verified": "false"}), json!({"email_verified": true, "email": "cy@acme.example"})),
            (json!({"xms_edov": false}), json!({})),
            (json!({}), json!({"email_verified": false})),
        ] {
            let (mut denied, info) = (json!({"sub": "s3", "email": "cy@acme.example"}), userinfo.clone());
            denied.as_object_mut().unwrap().extend(token.as_object().unwrap().clone());
            let (_, answer) = provider.sign_in(&test, entra(denied), info).await;
            assert_eq!(answer.refused(403).0, "email_not_verified", "{token} {userinfo}");
        }
        let domains = vec!["acme.example".to_owned()];
        test.use_provider(Settings { domains, trust_email: true, ..provider.settings() });
        let (_, linked) = provider.sign_in(&test, entra(json!({})), json!({})).await;
        assert_eq!(linked.status, StatusCode::SEE_OTHER, "linked, and of the domain: {:#}", linked.json);
        let stranger = json!({"sub": "s4", "email": "eve@evil.example"});
        let (_, answer) = provider.sign_in(&test, entra(stranger), json!({})).await;
        assert_eq!(answer.refused(403).0, "domain_not_allowed");
    }
}

on_both! {
    async fn new_subjects_are_refused_until_an_owner_unlinks_everybody_at_once(mut_test: Test) {
        let mut test = mut_test;
        let provider = with(&mut test, |_| ()).await;
        let person = |n: usize, registration: usize| {
            let email = format!("person{n}@acme.example");
            json!({"sub": format!("s{n}-{registration}"), "email": email, "email_verified": true, "name": "P"})
        };
        let mut sessions = Vec::new();
        for n in 0..4 {
            sessions.push(provider.sign_in(&test, person(n, 1), json!({})).await.0);
        }
        let me = sessions[0].get(&test, "/me").await.expect(StatusCode::OK);
        test.patch(&format!("/users/{}", me["user"]["id"].as_str().unwrap()), json!({"role": "owner"})).await.expect(StatusCode::OK);
        let (_, answer) = provider.sign_in(&test, person(0, 2), json!({})).await;
        assert!(answer.json["detail"].as_str().unwrap().contains("unlink"), "{:#}", answer.json);
        assert_eq!(answer.refused(403).0, "already_linked");
        assert!(test.audited("session.failed").await[0].ends_with("already_linked"));
        let path = |issuer: &str| format!("/identities?issuer={issuer}");
        let wrong = test.delete(&path("https://id.example")).await;
        assert!(wrong.json["errors"][0]["message"].as_str().unwrap().contains(&provider.issuer), "{:#}", wrong.json);
        assert_eq!(wrong.refused(422), pair("invalid", "issuer"));
        let owner = &mut sessions[0];
        owner.csrf = me["csrf_token"].as_str().map(str::to_owned);
        let done = owner.send(&test, "DELETE", &path(&provider.issuer), None).await.expect(StatusCode::OK);
        assert_eq!(done, json!({"users": 4}));
        assert_eq!(test.audited("user.unlinked").await.len(), 4);
        assert_eq!(sessions[0].get(&test, "/me").await.status, StatusCode::OK, "the owner stays");
        for session in &sessions[1..] {
            assert_eq!(session.get(&test, "/me").await.status, StatusCode::UNAUTHORIZED);
        }
        for n in 0..4 {
            let (browser, _) = provider.sign_in(&test, person(n, 2), json!({})).await;
            assert_eq!(browser.get(&test, "/me").await.status, StatusCode::OK, "linked anew");
        }
        assert_eq!(test.audited("user.created").await.len(), 4);
    }
}

on_both! {
    async fn who_has_no_address_is_told_so(mut_test: Test) {
        let mut test = mut_test;
        let provider = with(&mut test, |settings| settings.trust_email = true).await;
        for (token, code) in [
            (json!({"preferred_username": "ana@acme.example"}), "email_missing"),
            (json!({"email": "", "email_verified": true}), "email_missing"),
            (json!({"email": "ana", "email_verified": true}), "email_invalid"),
        ] {
            let (_, answer) = provider.sign_in(&test, token, json!({})).await;
            assert_eq!(answer.refused(403).0, code);
        }
        let reasons = test.audited("session.failed").await;
        assert_eq!(reasons.len(), 3);
        assert!(reasons[0].ends_with("email_missing"), "{reasons:?}");
    }
}
