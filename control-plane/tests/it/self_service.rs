use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Test, id, on_both, pair};

/// The people that a page holds, by address.
fn people(page: &Value) -> Vec<String> {
    let email = |item: &Value| item["user"]["email"].as_str().unwrap().to_owned();
    let mut people: Vec<_> = page["items"].as_array().unwrap().iter().map(email).collect();
    people.sort();
    people
}

async fn group_of(test: &Test, name: &str, users: &[&String]) -> String {
    let group = id(&test.post("/groups", json!({"name": name})).await.expect(StatusCode::CREATED));
    test.post(&format!("/groups/{group}/members"), json!({"users": users})).await.expect(StatusCode::OK);
    group
}

on_both! {
    async fn nothing_configured_is_disabled_for_everyone(test: Test) {
        let app = test.app(json!({})).await;
        let read = test.get(&format!("/apps/{}/self-service", id(&app))).await.expect(StatusCode::OK);
        let none = json!({"mode": "disabled", "allow": {"users": [], "groups": []}, "exceptions": {"users": [], "groups": []}});
        assert_eq!(read, json!({
            "access": {"viewer": none, "settings_request": none, "key_visibility": none, "all_logs": none},
            "suspend_keys_on_lost_access": false, "most_keys_per_user": null, "longest_key_lifetime_days": null,
        }));
        let user = test.user("alice@acme.com").await;
        let explained = test.get(&format!("/apps/{}/access?user_id={user}", id(&app))).await.expect(StatusCode::OK);
        for decision in explained["decisions"].as_array().unwrap() {
            assert_eq!(decision["granted"], false, "{decision}");
        }
    }
}

on_both! {
    async fn people_and_groups_are_named_by_address_and_name_too(test: Test) {
        let (alice, bob) = (test.user("alice@acme.com").await, test.user("bob@acme.com").await);
        let group = group_of(&test, "Engineering", &[&bob]).await;
        let path = format!("/apps/{}/self-service", id(&test.app(json!({})).await));
        let edit = |email: &str, name: &str| json!({"access": {"viewer": {
            "mode": "specific", "allow": {"emails": [email], "group_names": [name]}
        }}});
        let saved = test.patch(&path, edit("Alice@Acme.com", "ENGINEERING")).await.expect(StatusCode::OK);
        let allow = &saved["access"]["viewer"]["allow"];
        assert_eq!((&allow["users"][0]["id"], &allow["groups"][0]["id"]), (&json!(alice), &json!(group)));
        let unknown = test.patch(&path, edit("nobody@acme.com", "engineering")).await;
        assert_eq!(unknown.refused(422), pair("invalid", "access.viewer.allow.emails[0]"));
        let unknown = test.post(&format!("{path}/preview"), edit("alice@acme.com", "sales")).await;
        assert_eq!(unknown.refused(422), pair("invalid", "access.viewer.allow.group_names[0]"));
        let shown = test.post(&format!("{path}/preview"), edit("alice@acme.com", "engineering")).await.expect(StatusCode::OK);
        assert_eq!(people(&shown), ["alice@acme.com", "bob@acme.com"]);
    }
}

on_both! {
    async fn unknown_people_and_groups_are_refused_by_their_paths(test: Test) {
        let app = test.app(json!({})).await;
        let path = format!("/apps/{}/self-service", id(&app));
        let alice = test.user("alice@acme.com").await;
        let edit = json!({"access": {
            "viewer": {"mode": "specific", "allow": {"users": [alice, Uuid::nil()]}},
            "all_logs": {"mode": "everyone", "exceptions": {"groups": [Uuid::nil()]}},
        }});
        let refused = test.patch(&path, edit).await;
        let paths: Vec<_> = refused.json["errors"].as_array().unwrap().iter().map(|error| error["path"].clone()).collect();
        assert_eq!(paths, ["access.viewer.allow.users[1]", "access.all_logs.exceptions.groups[0]"]);
        refused.refused(422);
        for (bad, path_of_it) in [
            (json!({"most_keys_per_user": 0}), "most_keys_per_user"),
            (json!({"longest_key_lifetime_days": 4000}), "longest_key_lifetime_days"),
            (json!({"access": {"viewer": {"allow": {}}}}), "access.viewer"),
            (json!({"access": {"viewer": {"mode": "anyone"}}}), "access.viewer.mode"),
            (json!({"acess": {}}), "acess"),
        ] {
            assert_eq!(test.patch(&path, bad).await.refused(422), pair("invalid", path_of_it));
        }
        let read = test.get(&path).await.expect(StatusCode::OK);
        assert_eq!(read["access"]["viewer"]["mode"], "disabled", "nothing was changed");
    }
}

on_both! {
    async fn lists_are_kept_when_a_mode_changes(test: Test) {
        let app = test.app(json!({})).await;
        let path = format!("/apps/{}/self-service", id(&app));
        let alice = test.user("alice@acme.com").await;
        let allow = json!({"users": [alice]});
        for mode in ["specific", "everyone", "disabled"] {
            let edit = json!({"access": {"viewer": {"mode": mode, "allow": allow}}, "most_keys_per_user": 3});
            let edited = test.patch(&path, edit).await.expect(StatusCode::OK);
            assert_eq!(edited["access"]["viewer"]["mode"], mode);
            assert_eq!(edited["access"]["viewer"]["allow"]["users"][0]["email"], "alice@acme.com");
        }
        let kept = test.patch(&path, json!({"suspend_keys_on_lost_access": true})).await.expect(StatusCode::OK);
        assert_eq!((&kept["most_keys_per_user"], &kept["access"]["viewer"]["mode"]), (&json!(3), &json!("disabled")));
        let lifted = test.patch(&path, json!({"most_keys_per_user": null})).await.expect(StatusCode::OK);
        assert_eq!(lifted["most_keys_per_user"], Value::Null);
    }
}

on_both! {
    async fn decisions_are_explained_in_a_sentence(test: Test) {
        let alice = test.post("/users", json!({"email": "alice@acme.com", "name": "alice"})).await;
        let alice = id(&alice.expect(StatusCode::CREATED));
        let group = group_of(&test, "engineering", &[&alice]).await;
        let app = test.app(json!({"name": "Support Bot"})).await;
        let edit = json!({"access": {
            "viewer": {"mode": "specific", "allow": {"groups": [group]}},
            "all_logs": {"mode": "everyone", "exceptions": {"users": [alice]}},
        }});
        test.patch(&format!("/apps/{}/self-service", id(&app)), edit).await.expect(StatusCode::OK);
        let path = format!("/apps/{}/access?user_id={alice}", id(&app));
        let explained = test.get(&path).await.expect(StatusCode::OK);
        let said: Vec<_> = explained["decisions"].as_array().unwrap().iter().map(|one| one["sentence"].clone()).collect();
        assert_eq!(said, [
            "alice may view Support Bot: member of engineering, which viewer allows",
            "alice may not ask for changes of Support Bot: settings request is disabled",
            "alice may not see key values of Support Bot: key visibility is disabled",
            "alice may not see everyone's logs of Support Bot: all logs excepts them by name",
        ]);
        let one = test.get(&format!("{path}&capability=viewer")).await.expect(StatusCode::OK);
        assert_eq!(one["decisions"], json!([{
            "capability": "viewer", "granted": true, "reason": "allowed",
            "group": {"id": group, "name": "engineering"}, "sentence": said[0],
        }]));
        let unknown = test.get(&format!("/apps/{}/access?user_id={}", id(&app), Uuid::nil())).await;
        assert_eq!(unknown.refused(422), pair("invalid", "user_id"));
    }
}

on_both! {
    async fn people_with_access_are_listed_also_for_a_draft(test: Test) {
        let mut users = Vec::new();
        for i in 0..5 {
            users.push(test.user(&format!("user{i}@acme.com")).await);
            test.clock.advance(std::time::Duration::from_millis(1));
        }
        let group = group_of(&test, "engineering", &[&users[0], &users[1]]).await;
        let app = test.app(json!({})).await;
        let path = format!("/apps/{}", id(&app));
        let edit = json!({"access": {
            "viewer": {"mode": "specific", "allow": {"groups": [group]}},
            "settings_request": {"mode": "specific", "allow": {"users": [users[2]]}},
            "key_visibility": {"mode": "everyone", "exceptions": {"users": [users[0]]}},
        }});
        test.patch(&format!("{path}/self-service"), edit).await.expect(StatusCode::OK);
        let list = async |query: &str| {
            people(&test.get(&format!("{path}/access/people{query}")).await.expect(StatusCode::OK))
        };
        assert_eq!(list("").await, ["user0@acme.com", "user1@acme.com", "user2@acme.com"]);
        assert_eq!(list("?capability=key_visibility").await, ["user1@acme.com", "user2@acme.com"]);
        assert_eq!(list("?capability=all_logs").await, [""; 0]);
        assert_eq!(list("?search=USER2").await, ["user2@acme.com"]);
        let first = test.get(&format!("{path}/access/people?limit=2")).await.expect(StatusCode::OK);
        assert_eq!(people(&first), ["user0@acme.com", "user1@acme.com"]);
        assert_eq!(first["items"][0]["capabilities"], json!(["viewer"]));
        let cursor = first["next_cursor"].as_str().unwrap();
        assert_eq!(list(&format!("?limit=2&cursor={cursor}")).await, ["user2@acme.com"]);

        let draft = json!({"access": {"viewer": {"mode": "everyone", "exceptions": {"groups": [group]}}}});
        let preview = test.post(&format!("{path}/self-service/preview"), draft).await.expect(StatusCode::OK);
        assert_eq!(people(&preview), ["user2@acme.com", "user3@acme.com", "user4@acme.com"]);
        let unknown = json!({"access": {"viewer": {"mode": "specific", "allow": {"groups": [Uuid::nil()]}}}});
        let refused = test.post(&format!("{path}/self-service/preview"), unknown).await.refused(422);
        assert_eq!(refused, pair("invalid", "access.viewer.allow.groups[0]"));
        assert_eq!(list("").await.len(), 3, "nothing was changed");
    }
}

on_both! {
    async fn settings_that_are_edited_elsewhere_leave_self_service_alone(test: Test) {
        let app = test.app(json!({})).await;
        let path = format!("/apps/{}", id(&app));
        let edit = json!({"access": {"viewer": {"mode": "everyone"}}});
        test.patch(&format!("{path}/self-service"), edit).await.expect(StatusCode::OK);
        test.patch(&path, json!({"name": "x"})).await.expect(StatusCode::OK);
        let read = test.get(&format!("{path}/self-service")).await.expect(StatusCode::OK);
        assert_eq!(read["access"]["viewer"]["mode"], "everyone");
        assert_eq!(test.audited_of(&id(&app)).await, ["app.created", "app.self_service_updated", "app.updated"]);
        let told = test.column("SELECT data FROM audit WHERE action = 'app.self_service_updated'").await;
        let told: serde_json::Value = serde_json::from_str(&told[0]).unwrap();
        assert_eq!((&told["version"], &told["changes"]), (&json!(2), &json!([
            {"path": "self_service.access.viewer.mode", "before": "disabled", "after": "everyone"},
        ])));
        test.act(&format!("{path}/revoke")).await.expect(StatusCode::OK);
        let refused = test.patch(&format!("{path}/self-service"), json!({"most_keys_per_user": 1})).await;
        assert_eq!(refused.refused(409).0, "revoked");
    }
}
