use std::collections::HashSet;
use std::time::Duration;

use axum::http::StatusCode;
use latchkey_core::access::{AccessMode, Capability};
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

/// What a key's value is shown as.
fn masked(value: &Value) -> String {
    let value = value.as_str().unwrap();
    format!("sk-quilr-…{}", &value[value.len() - 4..])
}

fn escaped(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

on_both! {
    async fn keys_are_recognized_by_their_ends(test: Test) {
        let (app, path) = named_app(&test, json!({})).await;
        assert_eq!(app["key"]["masked"], masked(&app["key"]["value"]));
        let key = test.named_key(&app).await;
        let shown = masked(&key["value"]);
        assert_eq!(key["masked"], shown);
        assert_ne!(key["masked"], test.named_key(&app).await["masked"]);
        let read = test.get(&format!("/apps/{}", id(&app))).await.expect(StatusCode::OK);
        assert_eq!(read["key"]["masked"], app["key"]["masked"]);
        let rotated = test.post(&format!("{path}/{}/rotate", id(&key)), json!({"grace_seconds": 60})).await;
        let rotated = rotated.expect(StatusCode::OK)["key"].clone();
        assert_eq!((&rotated["masked"], &rotated["old_secret_masked"]), (&json!(masked(&rotated["value"])), &json!(shown)));
        let read = test.get(&format!("{path}/{}", id(&key))).await.expect(StatusCode::OK);
        assert_eq!((&read["masked"], &read["old_secret_masked"]), (&rotated["masked"], &json!(shown)));
    }
}

on_both! {
    async fn a_leaked_key_is_found_by_its_end_and_never_kept(test: Test) {
        let (app, path) = named_app(&test, json!({"name": "Zephyr"})).await;
        let (key, other) = (test.named_key(&app).await, test.named_key(&app).await);
        let found = async |list: &str, search: &str| {
            let page = test.get(&format!("{list}?search={}", escaped(search))).await.expect(StatusCode::OK);
            page["items"].as_array().unwrap().iter().map(id).collect::<HashSet<_>>()
        };
        let value = key["value"].as_str().unwrap().to_owned();
        let end = value[value.len() - 4..].to_owned();
        let user = format!("/users/{}/keys", key["user_id"].as_str().unwrap());
        for search in [value.as_str(), &end, &format!("…{end}"), &format!("sk-quilr-…{end}"), &format!("...{}", &end[1..])] {
            for list in [path.as_str(), "/keys", &user] {
                assert_eq!(found(list, search).await, HashSet::from([id(&key)]), "{list} {search}");
            }
            let is_whole = search.ends_with(&end);
            assert_eq!(found("/apps", search).await, HashSet::from_iter(is_whole.then(|| id(&app))), "{search}");
        }
        let swapped: String = end.chars().map(|c| if c.is_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }).collect();
        if swapped != end {
            assert!(found("/keys", &format!("…{swapped}")).await.is_empty(), "in its case only");
        }
        assert_eq!(found("/apps", app["key"]["value"].as_str().unwrap()).await, HashSet::from([id(&app)]));
        test.post(&format!("{path}/{}/rotate", id(&key)), json!({"grace_seconds": 60})).await.expect(StatusCode::OK);
        assert_eq!(found("/keys", &value).await, HashSet::from([id(&key)]), "the secret that was replaced");
        assert_eq!(found("/keys", "Alice").await, HashSet::from([id(&key), id(&other)]));
        let kept = test.column("SELECT data FROM audit").await.join(" ") + &test.column("SELECT subject_name FROM audit").await.join(" ");
        assert!(!kept.contains(&value) && !kept.contains(&end));
    }
}

on_both! {
    async fn ends_of_keys_of_an_earlier_version_are_read_from_what_is_stored(test: Test) {
        let (app, path) = named_app(&test, json!({"keep_key_values": true})).await;
        let key = test.named_key(&app).await;
        let (other, others) = named_app(&test, json!({"keep_key_values": false})).await;
        let lost = test.named_key(&other).await;
        test.sql(&["UPDATE keys SET ending = NULL".to_owned()]).await;
        let shown = async |path: &str, key: &Value| {
            test.get(&format!("{path}/{}", id(key))).await.expect(StatusCode::OK)["masked"].clone()
        };
        assert_eq!(shown(&path, &key).await, Value::Null);
        test.api.master.fill_key_endings(&test.store).await.unwrap();
        assert_eq!(shown(&path, &key).await, masked(&key["value"]));
        assert_eq!(shown(&others, &lost).await, Value::Null, "its value is nowhere");
        let rotated = test.act(&format!("{others}/{}/rotate", id(&lost))).await.expect(StatusCode::OK);
        assert_eq!(shown(&others, &lost).await, masked(&rotated["key"]["value"]));
    }
}

on_both! {
    async fn names_of_a_users_keys_for_an_app_are_unique(test: Test) {
        let (_, path) = named_app(&test, json!({})).await;
        let (_, elsewhere) = named_app(&test, json!({})).await;
        let (alice, bob) = (test.user("alice@acme.com").await, test.user("bob@acme.com").await);
        let create = async |path: &str, user: &str, name: &str| test.post(path, json!({"user_id": user, "name": name})).await;
        let first = create(&path, &alice, "Laptop").await.expect(StatusCode::CREATED);
        assert_eq!(create(&path, &alice, "laptop").await.refused(422), pair("invalid", "name"));
        create(&path, &bob, "Laptop").await.expect(StatusCode::CREATED);
        create(&elsewhere, &alice, "Laptop").await.expect(StatusCode::CREATED);
        let second = create(&path, &alice, "CI").await.expect(StatusCode::CREATED);
        let second = format!("{path}/{}", id(&second));
        assert_eq!(test.patch(&second, json!({"name": "LAPTOP"})).await.refused(422), pair("invalid", "name"));
        test.patch(&second, json!({"name": "ci"})).await.expect(StatusCode::OK);
        test.act(&format!("{path}/{}/revoke", id(&first))).await.expect(StatusCode::OK);
        create(&path, &alice, "laptop").await.expect(StatusCode::CREATED);
    }
}

on_both! {
    async fn keys_that_have_the_same_name_already_still_work(test: Test) {
        let (_, path) = named_app(&test, json!({})).await;
        let alice = test.user("alice@acme.com").await;
        let mut keys = Vec::new();
        for name in ["one", "two"] {
            let key = test.post(&path, json!({"user_id": alice, "name": name})).await.expect(StatusCode::CREATED);
            keys.push(format!("{path}/{}", id(&key)));
        }
        test.sql(&["UPDATE keys SET name = 'one', search_text = 'one' WHERE name = 'two'".to_owned()]).await;
        test.patch(&keys[1], json!({"name": "one", "expires_in": "30d"})).await.expect(StatusCode::OK);
        test.act(&format!("{}/deactivate", keys[1])).await.expect(StatusCode::OK);
        test.act(&format!("{}/activate", keys[1])).await.expect(StatusCode::OK);
        test.patch(&keys[1], json!({"name": "two"})).await.expect(StatusCode::OK);
        assert_eq!(test.patch(&keys[1], json!({"name": "one"})).await.refused(422), pair("invalid", "name"));
    }
}

on_both! {
    async fn keys_about_to_expire_are_listed(test: Test) {
        let (_, path) = named_app(&test, json!({})).await;
        let alice = test.user("alice@acme.com").await;
        for (name, lifetime) in [("soon", json!("2026-01-08T00:00:00Z")), ("later", json!("2026-01-31T00:00:00Z")), ("never", Value::Null), ("off", json!("2026-01-06T00:00:00Z"))] {
            let mut body = json!({"user_id": alice, "name": name});
            if !lifetime.is_null() {
                body["expires_at"] = lifetime;
            }
            let key = test.post(&path, body).await.expect(StatusCode::CREATED);
            if name == "off" {
                test.act(&format!("{path}/{}/deactivate", id(&key))).await.expect(StatusCode::OK);
            }
        }
        let named = async |query: &str| {
            let page = test.get(&format!("/keys?{query}")).await.expect(StatusCode::OK);
            page["items"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect::<HashSet<_>>()
        };
        assert_eq!(named("expires_within_days=7").await, HashSet::from(["soon".to_owned()]));
        assert_eq!(named("expires_within_days=30").await, ["soon", "later"].map(str::to_owned).into());
        assert_eq!(named("expires_within_days=30&search=late").await, HashSet::from(["later".to_owned()]));
        test.clock.advance(Duration::from_secs(8 * 86_400));
        assert!(named("expires_within_days=7").await.is_empty(), "it is over");
        for wrong in ["0", "3651"] {
            test.get(&format!("/keys?expires_within_days={wrong}")).await.refused(400);
        }
    }
}

on_both! {
    async fn all_keys_of_a_user_are_revoked_at_once(test: Test) {
        let ((_, one), (_, two)) = (named_app(&test, json!({})).await, named_app(&test, json!({})).await);
        let (alice, bob) = (test.user("alice@acme.com").await, test.user("bob@acme.com").await);
        let create = async |path: &str, user: &str, name: &str| {
            id(&test.post(path, json!({"user_id": user, "name": name})).await.expect(StatusCode::CREATED))
        };
        let keys = [create(&one, &alice, "a").await, create(&one, &alice, "b").await, create(&two, &alice, "a").await];
        let (gone, others) = (create(&two, &alice, "gone").await, create(&one, &bob, "a").await);
        test.act(&format!("{two}/{gone}/revoke")).await.expect(StatusCode::OK);
        test.act(&format!("{one}/{}/deactivate", keys[1])).await.expect(StatusCode::OK);
        let path = format!("/users/{alice}/keys/revoke");
        let revoked = test.act(&path).await.expect(StatusCode::OK);
        let mut ids: Vec<_> = revoked["revoked"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
        ids.sort();
        let mut expected = keys.to_vec();
        expected.sort();
        assert_eq!((ids, &revoked["propagation"]["complete"]), (expected, &json!(true)));
        let left = test.get(&format!("/users/{alice}/keys")).await.expect(StatusCode::OK);
        assert!(left["items"].as_array().unwrap().iter().all(|key| key["status"] == "revoked"));
        for key in &keys {
            assert_eq!(test.audited_of(key).await.last().unwrap(), "key.revoked");
        }
        assert_eq!(test.get(&format!("{one}/{others}")).await.expect(StatusCode::OK)["status"], "active");
        let again = test.act(&path).await.expect(StatusCode::OK);
        assert_eq!(again["revoked"], json!([]));
        assert_eq!(test.audited_of(&gone).await, ["key.created", "key.revoked"]);
        test.act(&format!("/users/{}/keys/revoke", Uuid::nil())).await.refused(404);
    }
}

on_both! {
    async fn keys_of_lost_access_are_those_whose_users_the_rules_do_not_let_in(test: Test) {
        let (alice, bob) = (test.user("alice@acme.com").await, test.user("bob@acme.com").await);
        let group = test.group("engineering", &[&bob]).await;
        let lists = [json!({}), json!({"users": [alice]}), json!({"groups": [group]}), json!({"users": [alice], "groups": [group]})];
        let mut rules = vec![json!({"mode": "disabled"})];
        for list in &lists {
            rules.push(json!({"mode": "specific", "allow": list}));
            rules.push(json!({"mode": "everyone", "exceptions": list}));
        }
        rules.push(json!({"mode": "specific", "allow": {"users": [alice, bob]}, "exceptions": {"groups": [group]}}));
        let mut apps = Vec::new();
        for (at, viewer) in rules.iter().enumerate() {
            let (app, path) = named_app(&test, json!({})).await;
            let asks = &rules[(at * 4 + 1) % rules.len()];
            // It says nothing of access, whatever it looks like.
            let metadata = json!({"viewer": {"mode": "everyone"}, "settings_request": {"mode": "specific"}});
            test.patch(&format!("/apps/{}", id(&app)), json!({"metadata": metadata})).await.expect(StatusCode::OK);
            test.self_service(&app, json!({"access": {"viewer": viewer, "settings_request": asks}})).await;
            for user in [&alice, &bob] {
                test.post(&path, json!({"user_id": user, "name": "key"})).await.expect(StatusCode::CREATED);
            }
            apps.push(app);
        }
        for deactivated in [false, true] {
            if deactivated {
                test.act(&format!("/users/{bob}/deactivate")).await.expect(StatusCode::OK);
            }
            let mut expected = 0;
            for app in &apps {
                let listed = test.get(&format!("/apps/{}/keys?lost_access=true", id(app))).await.expect(StatusCode::OK);
                let listed: HashSet<_> = listed["items"].as_array().unwrap().iter().map(|key| key["user_id"].as_str().unwrap().to_owned()).collect();
                let (stored, ids) = (test.store.app(id(app).parse().unwrap()).await.unwrap().unwrap(), [&alice, &bob]);
                let access = &stored.settings.self_service.access;
                let nobody = [Capability::Viewer, Capability::SettingsRequest].iter().all(|capability| access.rule(*capability).mode == AccessMode::Disabled);
                let mut lost = HashSet::new();
                for user in ids {
                    let member = test.store.member(user.parse().unwrap()).await.unwrap().unwrap();
                    if !access.grants(Capability::Viewer, &member) && (!nobody || !member.is_active) {
                        lost.insert(user.clone());
                    }
                }
                assert_eq!(listed, lost, "{access:?}");
                expected += lost.len();
            }
            let all = test.get("/keys?lost_access=true&limit=200").await.expect(StatusCode::OK);
            assert_eq!(all["items"].as_array().unwrap().len(), expected);
            assert!(expected > 4);
        }
    }
}
