use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Test, id, on_both};

async fn seen(test: &Test, token: &str, query: &str) -> Vec<String> {
    let page = test.with(token, "GET", &format!("/me/apps{query}"), None).await.expect(StatusCode::OK);
    page["items"].as_array().unwrap().iter().map(|app| app["name"].as_str().unwrap().to_owned()).collect()
}

async fn app(test: &Test, name: &str, viewer: Value) -> Value {
    let app = test.app(json!({"name": name})).await;
    test.self_service(&app, json!({"access": {"viewer": viewer}})).await;
    test.clock.advance(std::time::Duration::from_millis(1));
    app
}

on_both! {
    async fn users_see_only_the_apps_granted_to_them(test: Test) {
        let (alice, bob) = (test.user("alice@acme.com").await, test.user("bob@acme.com").await);
        let group = test.group("engineering", &[&alice]).await;
        let everyone = app(&test, "everyone", json!({"mode": "everyone"})).await;
        app(&test, "group", json!({"mode": "specific", "allow": {"groups": [group]}})).await;
        let named = app(&test, "named", json!({"mode": "specific", "allow": {"users": [bob]}})).await;
        app(&test, "excepted", json!({"mode": "everyone", "exceptions": {"groups": [group]}})).await;
        let allow = json!({"users": [alice, bob]});
        let disabled = app(&test, "disabled", json!({"mode": "specific", "allow": allow})).await;
        test.self_service(&disabled, json!({"access": {"viewer": {"mode": "disabled", "allow": allow}}})).await;
        test.app(json!({"name": "unset"})).await;
        let asked = test.app(json!({"name": "asked"})).await;
        test.self_service(&asked, json!({"access": {"settings_request": {"mode": "specific", "allow": {"users": [alice]}}}})).await;
        let gone = app(&test, "gone", json!({"mode": "everyone"})).await;
        test.delete(&format!("/apps/{}", id(&gone))).await.expect(StatusCode::OK);
        test.act(&format!("/apps/{}/revoke", id(&everyone))).await.expect(StatusCode::OK);

        let (alices, bobs) = (test.token_of(&alice).await, test.token_of(&bob).await);
        assert_eq!(seen(&test, &alices, "").await, ["everyone", "group", "asked"]);
        assert_eq!(seen(&test, &bobs, "").await, ["everyone", "named", "excepted"]);
        assert_eq!(seen(&test, &bobs, "?search=EX").await, ["excepted"]);
        let page = test.with(&alices, "GET", "/me/apps?limit=2", None).await.expect(StatusCode::OK);
        assert_eq!(page["items"][0]["status"], "revoked", "those that do not work are shown as that");
        assert_eq!(page["items"][0]["capabilities"], json!(["viewer"]));
        let cursor = page["next_cursor"].as_str().unwrap();
        assert_eq!(seen(&test, &alices, &format!("?limit=2&cursor={cursor}")).await, ["asked"]);

        let read = test.with(&bobs, "GET", &format!("/me/apps/{}", id(&named)), None).await;
        assert_eq!(read.expect(StatusCode::OK)["name"], "named");
        for hidden in [&id(&named), &id(&gone), &Uuid::nil().to_string()] {
            for path in ["", "/keys", "/key/value"] {
                let answer = test.with(&alices, "GET", &format!("/me/apps/{hidden}{path}"), None).await;
                assert_eq!(answer.refused(404).0, "not_found", "{path}");
            }
        }
        assert_eq!(test.get("/me/apps").await.refused(403).0, "not_a_user", "a token of nobody");
    }
}

on_both! {
    async fn a_page_is_full_however_many_apps_except_the_user(test: Test) {
        let alice = test.user("alice@acme.com").await;
        for i in 0..9 {
            let except = if i % 3 == 2 { vec![] } else { vec![alice.clone()] };
            app(&test, &format!("app {i}"), json!({"mode": "everyone", "exceptions": {"users": except}})).await;
        }
        let token = test.token_of(&alice).await;
        let page = test.with(&token, "GET", "/me/apps?limit=2", None).await.expect(StatusCode::OK);
        assert_eq!(page["items"].as_array().unwrap().len(), 2);
        let next = format!("?limit=2&cursor={}", page["next_cursor"].as_str().unwrap());
        assert_eq!(seen(&test, &token, &next).await, ["app 8"]);
    }
}

on_both! {
    async fn an_app_shows_models_with_prices_and_limits_left_and_nothing_of_its_administration(test: Test) {
        test.catalogue().await;
        test.post("/models", json!({"name": "gpt-4o-mini", "provider": "openai"})).await.expect(StatusCode::CREATED);
        test.post("/models", json!({"name": "o3", "provider": "openai", "enabled": false})).await.expect(StatusCode::CREATED);
        test.clock.advance(std::time::Duration::from_millis(1));
        let other = json!({"name": "other", "kind": "openai_compatible", "base_url": "https://other.example/v1"});
        test.post("/providers", other).await.expect(StatusCode::CREATED);
        let body = json!({"name": "gpt-4o", "provider": "other", "price": {"input": "1", "output": "1"}});
        test.post("/models", body).await.expect(StatusCode::CREATED);
        let alice = test.user("alice@acme.com").await;
        let app = test.app(json!({
            "mode": "named", "allowed_models": ["gpt-4o", "o*"], "ip_allow_list": ["10.1.2.3"],
            "metadata": {"cost_centre": "4711"}, "tags": ["support"],
            "limits": {"requests_per_minute": 60, "budget": {"usd": "10", "per": "month"}},
        })).await;
        test.self_service(&app, json!({
            "access": {"viewer": {"mode": "specific", "allow": {"users": [alice]}}}, "most_keys_per_user": 2,
        })).await;
        let token = test.token_of(&alice).await;
        let path = format!("/me/apps/{}", id(&app));
        let read = test.with(&token, "GET", &path, None).await.expect(StatusCode::OK);
        assert_eq!(read["models"].as_array().unwrap().len(), 1, "{:#}", read["models"]);
        assert_eq!((&read["models"][0]["name"], &read["models"][0]["provider"]), (&json!("gpt-4o"), &json!("openai")));
        assert_eq!(read["models"][0]["price"]["input"], "2.5");
        assert_eq!(read["usage"]["requests_per_minute"]["remaining"], 60);
        assert_eq!(read["usage"]["budget"]["remaining"], "10");
        assert_eq!((&read["mode"], &read["keys"], &read["most_keys_per_user"]), (&json!("named"), &json!(0), &json!(2)));
        assert_eq!((&read["key"], &read["tags"]), (&Value::Null, &json!(["support"])));
        for secret in ["10.1.2.3", "4711", alice.as_str(), "allow", "\"requests\""] {
            assert!(!read.to_string().contains(secret), "{secret}: {read:#}");
        }
        test.self_service(&app, json!({"access": {"all_logs": {"mode": "everyone"}}})).await;
        let read = test.with(&token, "GET", &path, None).await.expect(StatusCode::OK);
        assert_eq!(read["requests"], 0, "app-wide usage goes with all logs");
    }
}

on_both! {
    async fn the_shared_key_is_shown_with_key_visibility_and_that_is_audited(test: Test) {
        let alice = test.user("alice@acme.com").await;
        let token = test.token_of(&alice).await;
        let app = test.app(json!({"keep_key_values": true})).await;
        test.self_service(&app, json!({"access": {"viewer": {"mode": "everyone"}}})).await;
        let path = format!("/me/apps/{}", id(&app));
        let value = format!("{path}/key/value");
        assert_eq!(test.with(&token, "GET", &value, None).await.refused(403).0, "no_key_visibility");
        let details = test.with(&token, "GET", &path, None).await.expect(StatusCode::OK);
        assert_eq!((&details["values_visible"], &details["key"]["rotated_at"]), (&json!(false), &Value::Null));
        let shown = app["key"]["value"].as_str().unwrap();
        assert!(!details.to_string().contains(shown.split_at(20).0), "{details}");
        assert_eq!(details["key"]["masked"], app["key"]["masked"]);

        test.self_service(&app, json!({"access": {"key_visibility": {"mode": "everyone"}}})).await;
        let shown = test.with(&token, "GET", &value, None).await.expect(StatusCode::OK);
        assert_eq!(shown["value"], app["key"]["value"]);
        assert!(test.audited_of(app["key"]["id"].as_str().unwrap()).await.contains(&"key.value_shown".to_owned()));
        test.patch(&format!("/apps/{}", id(&app)), json!({"keep_key_values": false})).await.expect(StatusCode::OK);
        assert_eq!(test.with(&token, "GET", &value, None).await.refused(409).0, "value_not_kept");
        test.patch(&format!("/apps/{}", id(&app)), json!({"mode": "named"})).await.expect(StatusCode::OK);
        assert_eq!(test.with(&token, "GET", &value, None).await.refused(409).0, "not_in_shared_mode");
    }
}
