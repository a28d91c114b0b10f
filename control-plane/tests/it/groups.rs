use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Test, id, on_both, pair};

async fn group(test: &Test, name: &str) -> String {
    id(&test.post("/groups", json!({"name": name})).await.expect(StatusCode::CREATED))
}

fn names(page: &Value, field: &str) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|item| item[field].as_str().unwrap().to_owned()).collect()
}

on_both! {
    async fn a_name_is_one_groups_whatever_the_case(test: Test) {
        let first = group(&test, "Engineering").await;
        let again = test.post("/groups", json!({"name": "ENGINEERING"})).await;
        assert_eq!(again.refused(422), pair("invalid", "name"));
        let second = group(&test, "Support").await;
        let taken = test.patch(&format!("/groups/{second}"), json!({"name": "engineering"})).await;
        assert_eq!(taken.refused(422), pair("invalid", "name"));
        let edit = json!({"name": "engineering", "description": "Builders"});
        let renamed = test.patch(&format!("/groups/{first}"), edit).await.expect(StatusCode::OK);
        assert_eq!((&renamed["name"], &renamed["description"]), (&json!("engineering"), &json!("Builders")));
        let claimed = test.patch(&format!("/groups/{first}"), json!({"claim": "eng"})).await.expect(StatusCode::OK);
        assert_eq!(claimed["claim"], "eng");
        let twice = test.post("/groups", json!({"name": "x", "claim": "eng"})).await;
        assert_eq!(twice.refused(422), pair("invalid", "claim"));
        for bad in [json!({"name": ""}), json!({"name": "x", "claim": ""}), json!({"name": "x", "description": "a\u{7}"})] {
            assert_eq!(test.post("/groups", bad).await.refused(422).0, "invalid");
        }
    }
}

on_both! {
    async fn lists_count_members_search_and_page(test: Test) {
        for name in ["Engineering", "Support", "Sales engineering"] {
            group(&test, name).await;
            test.clock.advance(std::time::Duration::from_millis(1));
        }
        let page = test.get("/groups?search=ENGIN&limit=1").await.expect(StatusCode::OK);
        assert_eq!(names(&page, "name"), ["Engineering"]);
        let next = format!("/groups?search=engin&limit=1&cursor={}", page["next_cursor"].as_str().unwrap());
        let page = test.get(&next).await.expect(StatusCode::OK);
        assert_eq!((names(&page, "name"), &page["next_cursor"]), (vec!["Sales engineering".to_owned()], &Value::Null));
        let engineering = id(&page["items"][0]);
        let alice = test.user("alice@acme.com").await;
        test.post(&format!("/groups/{engineering}/members"), json!({"users": [alice]})).await.expect(StatusCode::OK);
        let read = test.get(&format!("/groups/{engineering}")).await.expect(StatusCode::OK);
        assert_eq!(read["members"], 1);
    }
}

on_both! {
    async fn members_come_by_id_or_address_all_or_none(test: Test) {
        let (alice, bob) = (test.user("alice@acme.com").await, test.user("bob@acme.com").await);
        let group = group(&test, "engineering").await;
        let path = format!("/groups/{group}/members");
        let unknown = json!({"users": [alice, Uuid::nil()], "emails": ["bob@acme.com", "eve@acme.com"]});
        let refused = test.post(&path, unknown).await;
        assert_eq!(refused.json["errors"][0]["path"], "users[1]", "{}", refused.json);
        assert_eq!(refused.json["errors"][1]["path"], "emails[1]");
        refused.refused(422);
        assert_eq!(test.get(&path).await.expect(StatusCode::OK)["items"], json!([]), "nothing was changed");
        assert_eq!(test.post(&path, json!({})).await.refused(422).0, "invalid");

        let both = json!({"users": [alice, alice], "emails": ["BOB@acme.com"]});
        let added = test.post(&path, both).await.expect(StatusCode::OK);
        assert_eq!((&added["added"], &added["keys"]), (&json!(2), &json!({"suspended": 0, "resumed": 0})));
        let again = test.with(&test.owner, "PUT", &format!("{path}/{alice}"), None).await.expect(StatusCode::OK);
        assert_eq!(again["added"], 0);
        let mut members = names(&test.get(&path).await.expect(StatusCode::OK), "email");
        members.sort();
        assert_eq!(members, ["alice@acme.com", "bob@acme.com"]);
        assert_eq!(names(&test.get(&format!("{path}?search=bob")).await.expect(StatusCode::OK), "id"), std::slice::from_ref(&bob));

        test.delete(&format!("{path}/{bob}")).await.expect(StatusCode::OK);
        assert_eq!(test.delete(&format!("{path}/{bob}")).await.refused(404).0, "not_found");
        assert_eq!(names(&test.get(&path).await.expect(StatusCode::OK), "email"), ["alice@acme.com"]);
        assert_eq!(test.get(&format!("/groups/{}/members", Uuid::nil())).await.refused(404).0, "not_found");
    }
}

on_both! {
    async fn a_group_in_use_says_where_and_stays(test: Test) {
        let group = group(&test, "engineering").await;
        let app = test.app(json!({"name": "Support Bot"})).await;
        let path = format!("/apps/{}/self-service", id(&app));
        let rules = json!({"access": {
            "viewer": {"mode": "specific", "allow": {"groups": [group]}},
            "all_logs": {"mode": "everyone", "exceptions": {"groups": [group]}},
        }});
        test.patch(&path, rules).await.expect(StatusCode::OK);
        let uses = test.get(&format!("/groups/{group}/uses")).await.expect(StatusCode::OK);
        assert_eq!(uses["items"], json!([{"app_id": id(&app), "app_name": "Support Bot", "lists": [
            {"capability": "viewer", "list": "allow"}, {"capability": "all_logs", "list": "except"},
        ]}]));
        let refused = test.delete(&format!("/groups/{group}")).await;
        assert!(refused.json["detail"].as_str().unwrap().contains("Support Bot (viewer allow, all_logs except)"));
        assert_eq!(refused.refused(409).0, "group_in_use");
        test.get(&format!("/groups/{group}")).await.expect(StatusCode::OK);

        let none = json!({"access": {"viewer": {"mode": "specific"}, "all_logs": {"mode": "disabled"}}});
        test.patch(&path, none).await.expect(StatusCode::OK);
        assert_eq!(test.delete(&format!("/groups/{group}")).await.status, StatusCode::NO_CONTENT);
        assert_eq!(test.get(&format!("/groups/{group}")).await.refused(404).0, "not_found");
    }
}

on_both! {
    async fn a_deleted_app_uses_no_group(test: Test) {
        let group = group(&test, "engineering").await;
        let app = test.app(json!({})).await;
        let rule = json!({"access": {"viewer": {"mode": "specific", "allow": {"groups": [group]}}}});
        test.patch(&format!("/apps/{}/self-service", id(&app)), rule).await.expect(StatusCode::OK);
        test.delete(&format!("/apps/{}", id(&app))).await.expect(StatusCode::OK);
        assert_eq!(test.get(&format!("/groups/{group}/uses")).await.expect(StatusCode::OK)["items"], json!([]));
        assert_eq!(test.delete(&format!("/groups/{group}")).await.status, StatusCode::NO_CONTENT);
    }
}

on_both! {
    async fn a_claim_fills_its_group_at_sign_in_and_empties_it_when_it_goes(test: Test) {
        use latchkey_service::action::{By, groups};
        use latchkey_core::actor::Actor;
        use latchkey_core::profile::groups::Stated;

        let by_claim = test.post("/groups", json!({"name": "engineering", "claim": "eng"})).await;
        let by_claim = id(&by_claim.expect(StatusCode::CREATED));
        let other = test.post("/groups", json!({"name": "sales", "claim": "sales"})).await;
        let other = id(&other.expect(StatusCode::CREATED));
        let alice = test.user("alice@acme.com").await;
        let sign_in = async |claims: &[&str]| {
            let claims = Stated::Names(claims.iter().map(|claim| (*claim).to_owned()).collect());
            let actor = Actor::system("test");
            let mut tx = test.store.begin().await.unwrap();
            let by = By { actor: &actor, world: &test.world };
            groups::replace_claimed(&mut tx, by, alice.parse().unwrap(), &claims).await.unwrap();
            tx.commit().await.unwrap();
        };
        let members = async |group: &str| {
            let page = test.get(&format!("/groups/{group}/members")).await.expect(StatusCode::OK);
            page["items"].as_array().unwrap().iter().map(|member| member["by_claim"] == true).collect::<Vec<_>>()
        };
        sign_in(&["eng", "unknown"]).await;
        assert_eq!((members(&by_claim).await, members(&other).await), (vec![true], vec![]));
        sign_in(&["sales"]).await;
        assert_eq!((members(&by_claim).await, members(&other).await), (vec![], vec![true]));
        let added = test.with(&test.owner, "PUT", &format!("/groups/{other}/members/{alice}"), None).await;
        assert_eq!(added.expect(StatusCode::OK)["added"], 1, "by hand now");
        sign_in(&[]).await;
        assert_eq!(members(&other).await, [false], "an admin's word stays");
        sign_in(&["eng"]).await;
        test.patch(&format!("/groups/{by_claim}"), json!({"claim": null})).await.expect(StatusCode::OK);
        assert_eq!(members(&by_claim).await, [false; 0], "the claim is gone, and who came by it too");
    }
}

on_both! {
    async fn every_change_of_a_group_is_in_the_audit_log(test: Test) {
        let group = group(&test, "engineering").await;
        let (alice, bob) = (test.user("alice@acme.com").await, test.user("bob@acme.com").await);
        let path = format!("/groups/{group}/members");
        test.post(&path, json!({"users": [alice]})).await.expect(StatusCode::OK);
        test.post(&path, json!({"users": [alice, bob], "emails": ["bob@acme.com"]})).await.expect(StatusCode::OK);
        test.delete(&format!("{path}/{alice}")).await.expect(StatusCode::OK);
        test.patch(&format!("/groups/{group}"), json!({"name": "builders"})).await.expect(StatusCode::OK);
        test.delete(&format!("/groups/{group}")).await;
        let actions = test.audited_of(&group).await;
        assert_eq!(actions, [
            "group.created", "group.member_added", "group.member_added", "group.member_removed", "group.updated",
            "group.deleted",
        ]);
    }
}

on_both! {
    async fn a_claim_holds_nothing_that_nobody_sees(test: Test) {
        let group = group(&test, "Engineers").await;
        for claim in [" eng", "eng ", "\u{3000}eng", "e\u{202e}ng", "eng\u{200b}", "", "e\tng"] {
            let edited = test.patch(&format!("/groups/{group}"), json!({"claim": claim})).await;
            assert_eq!(edited.refused(422), pair("invalid", "claim"), "{claim:?}");
            let made = test.post("/groups", json!({"name": "Writers", "claim": claim})).await;
            assert_eq!(made.refused(422), pair("invalid", "claim"), "{claim:?}");
        }
        test.patch(&format!("/groups/{group}"), json!({"claim": "Engineers of Zürich"})).await.expect(StatusCode::OK);
    }
}
