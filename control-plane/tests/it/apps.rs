use std::time::Duration;

use axum::http::StatusCode;
use latchkey_proto::key::ApiKey;
use serde_json::{Value, json};

use crate::support::{id, on_both, pair};

on_both! {
    async fn a_new_app_shows_its_key_once(test: Test) {
        let app = test.app(json!({})).await;
        let value = app["key"]["value"].as_str().unwrap();
        assert!(matches!(ApiKey::parse(value), Ok(ApiKey::App(_))));
        assert_eq!((&app["mode"], &app["status"]), (&json!("shared"), &json!("active")));
        assert_eq!(app["created_at"], "2026-01-01T00:00:00Z");
        let path = format!("/apps/{}", id(&app));
        let read = test.get(&path).await;
        assert_eq!(read.headers["cache-control"], "no-store");
        let read = read.expect(StatusCode::OK);
        assert!(!read.to_string().contains(value), "{read}");
        assert_eq!(test.get(&format!("{path}/key/value")).await.refused(409).0, "value_not_kept");
    }
}

on_both! {
    async fn values_are_shown_again_only_while_the_app_keeps_them(test: Test) {
        let app = test.app(json!({"keep_key_values": true})).await;
        let path = format!("/apps/{}", id(&app));
        let shown = test.get(&format!("{path}/key/value")).await.expect(StatusCode::OK);
        assert_eq!(shown["value"], app["key"]["value"]);
        test.patch(&path, json!({"keep_key_values": false})).await.expect(StatusCode::OK);
        test.patch(&path, json!({"keep_key_values": true})).await.expect(StatusCode::OK);
        assert_eq!(test.get(&format!("{path}/key/value")).await.refused(409).0, "value_not_kept");
    }
}

on_both! {
    async fn lists_search_and_page(test: Test) {
        for i in 0..5 {
            test.app(json!({"name": format!("Bot {i}")})).await;
        }
        test.app(json!({"name": "100% other_"})).await;
        let mut seen = Vec::new();
        let mut path = "/apps?limit=2&search=bOt".to_owned();
        loop {
            let page = test.get(&path).await.expect(StatusCode::OK);
            let names = page["items"].as_array().unwrap().iter().map(|app| app["name"].as_str().unwrap().to_owned());
            seen.extend(names);
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            path = format!("/apps?limit=2&search=bOt&cursor={cursor}");
        }
        seen.sort();
        assert_eq!(seen, ["Bot 0", "Bot 1", "Bot 2", "Bot 3", "Bot 4"]);
        for (search, found) in [("%25", 1), ("_", 1), ("nothing", 0), ("%5C", 0)] {
            let page = test.get(&format!("/apps?search={search}")).await.expect(StatusCode::OK);
            assert_eq!(page["items"].as_array().unwrap().len(), found, "{search}");
        }
        assert_eq!(test.get("/apps?limit=0").await.refused(400).0, "invalid_query");
        assert_eq!(test.get("/apps?cursor=x").await.refused(400).0, "invalid_query");
        assert_eq!(test.get("/apps?serach=x").await.refused(400).0, "invalid_query");
    }
}

on_both! {
    async fn every_order_and_status_holds_each_app_once_page_by_page(test: Test) {
        let mut made = Vec::new();
        for (i, name) in ["beta", "Alpha", "alpha", "delta", "gamma"].into_iter().enumerate() {
            let app = test.app(json!({"name": name, "expires_in": if i == 3 { "30d" } else { "never" }})).await;
            made.push(id(&app));
            test.clock.advance(Duration::from_secs(1));
        }
        for (app, requests, last) in [(0, 5, 100), (1, 9, 50), (4, 5, 300)] {
            test.insert("app_usage", json!({"app_id": made[app], "requests": requests, "last_used_at": last})).await;
        }
        test.act(&format!("/apps/{}/deactivate", made[0])).await.expect(StatusCode::OK);
        test.clock.advance(Duration::from_secs(40 * 86_400));
        let listed = async |query: &str| {
            let (mut seen, mut path) = (Vec::new(), format!("/apps?limit=2&{query}"));
            loop {
                let page = test.get(&path).await.expect(StatusCode::OK);
                let place = |app: &Value| made.iter().position(|one| *one == app["id"]).unwrap();
                seen.extend(page["items"].as_array().unwrap().iter().map(place));
                let Some(cursor) = page["next_cursor"].as_str() else { break seen };
                path = format!("/apps?limit=2&{query}&cursor={cursor}");
            }
        };
        assert_eq!(listed("sort=oldest").await, [0, 1, 2, 3, 4]);
        assert_eq!(listed("sort=newest").await, [4, 3, 2, 1, 0]);
        assert_eq!(listed("sort=name").await, [1, 2, 0, 3, 4]);
        assert_eq!(listed("sort=last_used").await, [4, 0, 1, 3, 2]);
        assert_eq!(listed("sort=requests").await, [1, 4, 0, 3, 2]);
        assert_eq!(listed("sort=newest&status=active").await, [4, 2, 1]);
        assert_eq!(listed("status=expired").await, [3]);
        assert_eq!(listed("status=inactive&search=b").await, [0]);
        assert_eq!(listed("status=revoked").await, [0_usize; 0]);
        assert_eq!(test.get("/apps?sort=luck").await.refused(400).0, "invalid_query");
    }
}

on_both! {
    async fn who_has_applied_an_app_as_it_is_now_is_told(test: Test) {
        let app = test.app(json!({})).await;
        let path = format!("/apps/{}/propagation", id(&app));
        let told = test.get(&path).await.expect(StatusCode::OK);
        assert_eq!((&told["complete"], &told["applied"]), (&json!(true), &json!([])));
        let revision = told["revision"].as_u64().unwrap();
        let _gateways = [test.gateway("new", revision), test.gateway("old", revision - 1)];
        let told = test.get(&path).await.expect(StatusCode::OK);
        assert_eq!((&told["complete"], &told["applied"]), (&json!(false), &json!(["new"])));
        assert_eq!(told["pending"][0]["gateway"], "old");
    }
}

on_both! {
    async fn wrong_settings_are_refused_with_their_path_and_change_nothing(test: Test) {
        test.catalogue().await;
        for (settings, path) in [
            (json!({"budget": 5}), "budget"),
            (json!({"name": ""}), "name"),
            (json!({"allowed_models": []}), "allowed_models"),
            (json!({"allowed_models": ["gpt-5"]}), "allowed_models[0]"),
            (json!({"allowed_models": ["gpt-4o", 1]}), "allowed_models[1]"),
            (json!({"allowed_providers": ["openai", "azure"]}), "allowed_providers[1]"),
            (json!({"ip_allow_list": []}), "ip_allow_list"),
            (json!({"ip_allow_list": ["10.0.0.1/8"]}), "ip_allow_list[0]"),
            (json!({"expires_at": "2025-12-31T23:59:59Z"}), "expires_at"),
            (json!({"expires_at": "2027-01-01T00:00:00Z", "expires_in": "30d"}), "expires_at"),
            (json!({"expires_in": "31d"}), "expires_in"),
            (json!({"mode": "open"}), "mode"),
            (json!({"metadata": [1]}), "metadata"),
        ] {
            let mut body = json!({"name": "x"});
            body.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
            assert_eq!(test.post("/apps", body).await.refused(422), pair("invalid", path), "{settings}");
        }
        assert_eq!(test.get("/apps").await.expect(StatusCode::OK)["items"], json!([]));
        test.app(json!({"allowed_models": ["gpt-4o", "claude-*"], "allowed_providers": ["openai"]})).await;
    }
}

on_both! {
    async fn an_edit_changes_only_what_it_names(test: Test) {
        let app = test.app(json!({"ip_allow_list": ["10.0.0.0/8"], "tags": ["a"], "expires_in": "30d"})).await;
        let path = format!("/apps/{}", id(&app));
        let edited = test.patch(&path, json!({"name": "Renamed", "ip_allow_list": null})).await.expect(StatusCode::OK);
        assert_eq!(edited["name"], "Renamed");
        assert_eq!(edited["ip_allow_list"], Value::Null);
        assert_eq!((&edited["tags"], &edited["expires_at"]), (&app["tags"], &app["expires_at"]));
        let edited = test.patch(&path, json!({"expires_at": null})).await.expect(StatusCode::OK);
        assert_eq!(edited["expires_at"], Value::Null);
        let both = json!({"expires_at": null, "expires_in": "30d"});
        assert_eq!(test.patch(&path, both).await.refused(422), pair("invalid", "expires_at"), "never is an answer too");
        assert_eq!(test.patch(&path, json!({"id": "x"})).await.refused(422), pair("invalid", "id"));
    }
}

on_both! {
    async fn an_app_expires_by_the_clock_and_works_again_when_extended(test: Test) {
        let app = test.app(json!({"expires_in": "30d"})).await;
        let path = format!("/apps/{}", id(&app));
        test.clock.advance(Duration::from_secs(30 * 86_400));
        assert_eq!(test.get(&path).await.expect(StatusCode::OK)["status"], "expired");
        let extended = test.patch(&path, json!({"expires_in": "never"})).await.expect(StatusCode::OK);
        assert_eq!(extended["status"], "active");
    }
}

on_both! {
    async fn deactivating_is_reversible_and_revoking_is_final(test: Test) {
        let app = test.app(json!({})).await;
        let path = format!("/apps/{}", id(&app));
        let off = test.act(&format!("{path}/deactivate")).await.expect(StatusCode::OK);
        assert_eq!(off["status"], "inactive");
        assert_eq!((&off["propagation"]["complete"], &off["propagation"]["applied"]), (&json!(true), &json!([])));
        assert_eq!(test.act(&format!("{path}/activate")).await.expect(StatusCode::OK)["status"], "active");
        assert_eq!(test.act(&format!("{path}/revoke")).await.expect(StatusCode::OK)["status"], "revoked");
        assert_eq!(test.act(&format!("{path}/activate")).await.refused(409).0, "revoked");
        assert_eq!(test.patch(&path, json!({"name": "x"})).await.refused(409).0, "revoked");
        assert_eq!(test.act(&format!("{path}/key/rotate")).await.refused(409).0, "revoked");
    }
}

on_both! {
    async fn switching_from_named_to_shared_replaces_the_app_key(test: Test) {
        let app = test.app(json!({"mode": "named"})).await;
        let path = format!("/apps/{}", id(&app));
        let key = test.named_key(&app).await;
        let old = app["key"]["value"].as_str().unwrap();
        assert!(key["value"].as_str().unwrap().starts_with(old));
        let shared = test.patch(&path, json!({"mode": "shared"})).await.expect(StatusCode::OK);
        let new = shared["key"]["value"].as_str().unwrap();
        assert_ne!(new, old);
        assert_eq!(shared["key"]["old_secret_stops_at"], "1970-01-01T00:00:00.001Z");
        let again = test.patch(&path, json!({"mode": "shared"})).await.expect(StatusCode::OK);
        assert!(again.get("key").is_none(), "nothing changed: {again}");
    }
}

on_both! {
    async fn switching_from_shared_to_named_makes_named_keys_possible(test: Test) {
        let app = test.app(json!({})).await;
        let path = format!("/apps/{}", id(&app));
        let named = test.patch(&path, json!({"mode": "named"})).await.expect(StatusCode::OK);
        let parent = named["key"]["value"].as_str().unwrap();
        assert!(test.named_key(&app).await["value"].as_str().unwrap().starts_with(parent));
    }
}

on_both! {
    async fn a_deleted_app_is_gone_and_its_keys_are_revoked(test: Test) {
        let app = test.app(json!({"mode": "named"})).await;
        let path = format!("/apps/{}", id(&app));
        test.named_key(&app).await;
        test.delete(&path).await.expect(StatusCode::OK);
        for answer in [
            test.get(&path).await,
            test.delete(&path).await,
            test.get(&format!("{path}/keys")).await,
            test.patch(&path, json!({"name": "x"})).await,
            test.act(&format!("{path}/activate")).await,
        ] {
            assert_eq!(answer.refused(404).0, "not_found");
        }
        assert_eq!(test.get("/apps").await.expect(StatusCode::OK)["items"], json!([]));
    }
}
