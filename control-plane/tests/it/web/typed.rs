//! Nothing that was typed is dropped: what contradicts the option beside it, or belongs to nothing in the form,
//! is refused by its name, and stays in the form.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::visitor::{Shown, Visitor};
use crate::support::{id, on_both};

/// The fields that a page marks as wrong, in its order.
fn marked(page: &Shown) -> Vec<String> {
    page.all(".refused li a")
}

/// Asserts that a form is refused for exactly this field, and that what was typed into `kept` is there.
fn refused(page: &Shown, wrong: &[&str], kept: &[(&str, &str)]) {
    assert_eq!(
        (page.status, marked(page)),
        (422, wrong.iter().map(|path| (*path).to_owned()).collect()),
        "{}",
        page.main()
    );
    for (name, value) in kept {
        let field = format!("[name='{name}']");
        let shown = page.attribute(&field, "value").or_else(|| page.all(&field).pop());
        assert_eq!(shown.as_deref(), Some(*value), "{name}: {}", page.main());
    }
}

on_both! {
    async fn a_new_apps_restriction_is_in_force_or_refused(test: Test) {
        test.catalogue().await;
        let mut boss = Visitor::owner(&test).await;
        let page = boss.open("/admin/apps/new").await;
        let typed = [
            ("name", "Bot"), ("allowed_models.only", "gpt-4o"), ("mcp_scope", "none"), ("mcp_scope.only", "files"),
            ("expires_in", "never"), ("expires_at", "2027-01-31"),
        ];
        let page = boss.submit(&page, "/admin/apps", &typed).await;
        refused(&page, &["expires_at", "allowed_models", "mcp_scope"], &[("allowed_models.only", "gpt-4o"), ("mcp_scope.only", "files"), ("expires_at", "2027-01-31")]);
        assert!(page.all("#allowed_models-error")[0].contains("choose “Only these”, or clear the list"));
        assert!(test.get("/apps").await.expect(StatusCode::OK)["items"].as_array().unwrap().is_empty());
        let chosen = [("allowed_models", "only"), ("mcp_scope", "only"), ("mcp_scope.only", ""), ("expires_in", "day")];
        let page = boss.submit(&page, "/admin/apps", &chosen).await;
        refused(&page, &["mcp_scope"], &[]);
        let page = boss.submit(&page, "/admin/apps", &[("mcp_scope", "all")]).await;
        assert_eq!(page.status, 200, "{}", page.main());
        let app = test.get("/apps").await.expect(StatusCode::OK)["items"][0].clone();
        assert_eq!((&app["allowed_models"], &app["expires_at"]), (&json!(["gpt-4o"]), &json!("2027-02-01T00:00:00Z")));
    }
}

on_both! {
    async fn what_would_have_no_effect_is_refused_on_pages_and_by_the_api(test: Test) {
        test.catalogue().await;
        let mut boss = Visitor::owner(&test).await;
        let page = boss.open("/admin/apps/new").await;
        let idle = [("name", "Bot"), ("alert_thresholds", "70"), ("time_zone", "Europe/Berlin")];
        let page = boss.submit(&page, "/admin/apps", &idle).await;
        refused(&page, &["alert_thresholds", "time_zone"], &[("alert_thresholds", "70"), ("time_zone", "Europe/Berlin")]);
        let page = boss.submit(&page, "/admin/apps", &[("limits.budget.usd", "5")]).await;
        assert_eq!(page.status, 200, "{}", page.main());
        let app = test.get("/apps").await.expect(StatusCode::OK)["items"][0].clone();
        assert_eq!(app["alert_thresholds"], json!([70]));
        let lifted = test.patch(&format!("/apps/{}", id(&app)), json!({"limits": null})).await.expect(StatusCode::OK);
        assert_eq!(lifted["alert_thresholds"], json!([70]), "what was there stays");
        let unknown = test.post("/apps", json!({"name": "x", "allowed_modles": ["gpt-4o"]})).await;
        assert_eq!(unknown.json["errors"][0]["path"], "allowed_modles");
        let mut form = boss.open("/admin/apps/new").await.form("/admin/apps");
        form.retain(|(name, _)| name != "name");
        form.extend([("name", "Bot 2"), ("allowed_modles", "gpt-4o")].map(|(name, value)| (name.to_owned(), value.to_owned())));
        refused(&boss.post("/admin/apps", &form).await, &["allowed_modles"], &[]);
    }
}

on_both! {
    async fn an_apps_settings_are_narrowed_or_widened_by_what_is_chosen(test: Test) {
        test.catalogue().await;
        let app = test.app(json!({"allowed_models": ["gpt-4o"], "identity": {"header": true}})).await;
        let path = format!("/admin/apps/{}", id(&app));
        let read = async || test.get(&format!("/apps/{}", id(&app))).await.expect(StatusCode::OK);
        let mut boss = Visitor::owner(&test).await;
        let page = boss.open(&path).await;
        let page = boss.submit(&page, &path, &[("allowed_models", "all"), ("allowed_models.only", "gpt-4o, o3")]).await;
        refused(&page, &["allowed_models"], &[("allowed_models.only", "gpt-4o, o3")]);
        assert_eq!(read().await["allowed_models"], json!(["gpt-4o"]), "nothing changed");
        let page = boss.open(&path).await;
        let page = boss.submit(&page, &path, &[("allowed_models", "all")]).await;
        assert_eq!((page.status, &read().await["allowed_models"]), (200, &json!("all")), "what stands there was not typed");
        let action = format!("{path}/identity");
        let url = ("identity.jwt.keys.jwks_url", "https://login.acme.com/jwks.json");
        let refused_page = boss.submit(&page, &action, &[url]).await;
        refused(&refused_page, &["identity.jwt.keys.jwks_url"], &[url]);
        assert_eq!(read().await["identity"]["jwt"], Value::Null);
        let both = [url, ("identity.jwt.from", "jwks_url"), ("identity.jwt.email_claim", "email"), ("identity.jwt.keys.pem", "x")];
        refused(&boss.submit(&page, &action, &both).await, &["identity.jwt.keys.pem"], &[url]);
        let page = boss.submit(&page, &action, &both[..3]).await;
        assert_eq!(page.status, 200, "{}", page.main());
        assert_eq!(read().await["identity"]["jwt"]["keys"]["jwks_url"], url.1);
    }
}

on_both! {
    async fn a_keys_own_limits_need_their_box_and_a_day_its_option(test: Test) {
        let app = test.app(json!({"mode": "named", "limits": {"requests_per_minute": 60}})).await;
        test.local("alice@acme.com").await;
        let keys = format!("/admin/apps/{}/keys", id(&app));
        let mut boss = Visitor::owner(&test).await;
        let page = boss.open(&format!("{keys}/new")).await;
        let typed = [
            ("email", "alice@acme.com"), ("name", "laptop"), ("limits.requests_per_minute", "5"),
            ("expires_in", "30d"), ("expires_at", "2027-01-31"),
        ];
        let page = boss.submit(&page, &keys, &typed).await;
        refused(&page, &["limits.requests_per_minute", "expires_at"], &[("limits.requests_per_minute", "5")]);
        let page = boss.submit(&page, &keys, &[("own_limits", "true"), ("expires_in", "day")]).await;
        assert_eq!((page.status, page.all("#value").len()), (200, 1), "{}", page.main());
        let key = test.get(&format!("/apps/{}/keys", id(&app))).await.expect(StatusCode::OK)["items"][0].clone();
        assert_eq!(key["limits"], json!({"requests_per_minute": 5}));
        let path = format!("{keys}/{}", id(&key));
        let mut form = boss.open(&path).await.form(&path);
        form.retain(|(name, _)| name != "own_limits");
        let page = boss.post(&path, &form).await;
        assert_eq!(page.status, 200, "its limits were shown, and not typed: {}", page.main());
        let key = test.get(&format!("/apps/{}/keys/{}", id(&app), id(&key))).await.expect(StatusCode::OK);
        assert_eq!(key["limits"], Value::Null);
    }
}

on_both! {
    async fn a_price_is_charged_or_refused(test: Test) {
        test.catalogue().await;
        let mut boss = Visitor::owner(&test).await;
        let page = boss.open("/admin/models/new").await;
        for priced in ["catalogue", "none"] {
            let typed = [("name", "house"), ("priced", priced), ("price.input", "0.10"), ("price.output", "0.40")];
            let page = boss.submit(&page, "/admin/models", &typed).await;
            refused(&page, &["price.input", "price.output"], &[("price.input", "0.10")]);
        }
        let own = [("name", "house"), ("priced", "own"), ("price.input", "0.10"), ("price.output", "0.40")];
        let page = boss.submit(&page, "/admin/models", &own).await;
        assert_eq!(page.status, 200, "{}", page.main());
        let path = page.at.clone();
        let page = boss.submit(&page, &path, &[("unpriced", "true"), ("price.output", "0.50")]).await;
        refused(&page, &["price.output"], &[("price.output", "0.50")]);
    }
}

on_both! {
    async fn a_credential_is_replaced_or_forgotten(test: Test) {
        let mut boss = Visitor::owner(&test).await;
        let provider = json!({"name": "openai", "kind": "openai", "base_url": "https://api.openai.com/v1", "credential": "a"});
        test.post("/providers", provider).await.expect(StatusCode::CREATED);
        test.post("/mcp-servers", json!({"name": "files", "url": "https://mcp.acme.com/", "credential": "a"})).await.expect(StatusCode::CREATED);
        for path in ["/admin/providers/openai", "/admin/mcp-servers/files"] {
            let page = boss.open(path).await;
            let both = [("credential", "b"), ("forget_credential", "true")];
            refused(&boss.submit(&page, path, &both).await, &["forget_credential"], &[]);
            assert_eq!(boss.submit(&page, path, &both[1..]).await.status, 200);
        }
    }
}

on_both! {
    async fn a_request_for_a_change_asks_for_what_was_typed(test: Test) {
        test.catalogue().await;
        let alice = test.local("alice@acme.com").await;
        let app = test.app(json!({})).await;
        let access = json!({"access": {"settings_request": {"mode": "specific", "allow": {"users": [alice]}}}});
        test.patch(&format!("/apps/{}/self-service", id(&app)), access).await.expect(StatusCode::OK);
        let mut alice = Visitor::again(&test, "alice@acme.com").await;
        let config = format!("/apps/{}/request/update_config", id(&app));
        let page = alice.open(&config).await;
        let page = alice.submit(&page, &config, &[("allowed_models.only", "gpt-4o"), ("step", "preview")]).await;
        refused(&page, &["allowed_models"], &[("allowed_models.only", "gpt-4o")]);
        let jwt = format!("/apps/{}/request/jwt_auth_settings", id(&app));
        let page = alice.open(&jwt).await;
        let url = ("identity.jwt.keys.jwks_url", "https://login.acme.com/jwks.json");
        let page = alice.submit(&page, &jwt, &[("identity.header", "true"), url, ("step", "preview")]).await;
        refused(&page, &["identity.jwt.keys.jwks_url"], &[url]);
        let page = alice.submit(&page, &jwt, &[("keys", "jwks_url"), ("step", "preview")]).await;
        assert_eq!((page.status, page.all("h1").len()), (200, 1), "{}", page.main());
    }
}

on_both! {
    async fn a_number_with_a_decimal_comma_is_refused_wherever_it_is_typed(test: Test) {
        test.catalogue().await;
        let mut boss = Visitor::owner(&test).await;
        let page = boss.open("/admin/apps/new").await;
        let form = page.form("/admin/apps");
        let is_number = |name: &&str| name.contains("limits.") && !name.ends_with(".per");
        let numbers: Vec<_> = form.iter().map(|(name, _)| name.as_str()).filter(is_number).collect();
        assert_eq!(numbers.len(), 2 * 9, "{numbers:?}");
        let mut typed: Vec<_> = numbers.iter().map(|name| (*name, "5,50")).collect();
        typed.extend([("name", "Bot"), ("alert_thresholds", "50 80")]);
        let page = boss.submit(&page, "/admin/apps", &typed).await;
        let mut wrong = marked(&page);
        wrong.sort();
        let mut all: Vec<_> = numbers.iter().map(|name| (*name).to_owned()).collect();
        all.push("alert_thresholds".to_owned());
        all.sort();
        assert_eq!((page.status, wrong), (422, all), "{}", page.main());
        assert_eq!(page.attribute("[name='limits.budget.usd']", "value").as_deref(), Some("5,50"));
        assert!(page.all("[id='limits.budget.usd-error']")[0].contains("1,250.50"), "{}", page.main());

        let page = boss.open("/admin/models/new").await;
        let form = page.form("/admin/models");
        let is_price = |name: &&str| name.starts_with("price.") && *name != "price.tiers";
        let prices: Vec<_> = form.iter().map(|(name, _)| name.as_str()).filter(is_price).collect();
        assert_eq!(prices.len(), 5 + 6);
        let mut typed: Vec<_> = prices.iter().map(|name| (*name, "0,01")).collect();
        typed.extend([("name", "house"), ("priced", "own"), ("max_output_tokens", "1,5"), ("price.tiers", "priority 1,5")]);
        let page = boss.submit(&page, "/admin/models", &typed).await;
        assert_eq!((page.status, marked(&page).len()), (422, prices.len() + 2), "{}", page.main());
        assert_eq!(test.get("/models").await.expect(StatusCode::OK)["items"].as_array().unwrap().len(), 1);
        let thousands = [("name", "house"), ("priced", "own"), ("price.input", "$1,250.50"), ("price.output", "2,000")];
        let page = boss.open("/admin/models/new").await;
        let page = boss.submit(&page, "/admin/models", &thousands).await;
        assert_eq!((page.status, &page.all("tbody td.number")[..]), (200, &["$1250.50", "$1250.50", "$2000.00"].map(String::from)[..]), "{}", page.main());
    }
}

on_both! {
    async fn a_key_that_is_pasted_does_not_replace_the_app_that_is_picked(test: Test) {
        let app = test.app(json!({"keep_key_values": true})).await;
        let app = id(&app);
        let mut boss = Visitor::owner(&test).await;
        let page = boss.open("/admin/playground").await;
        let typed = [("app", app.as_str()), ("key", "sk-quilr-other"), ("model", "m"), ("message", "hi")];
        let both = boss.submit(&page, "/admin/playground", &typed).await;
        refused(&both, &["key"], &[("message", "hi")]);
        let page = boss.submit(&page, "/admin/playground", &[("app", ""), ("model", "m")]).await;
        refused(&page, &["app"], &[]);
        let odd = [("app", app.as_str()), ("model", "m"), ("max_tokens", "1,5"), ("temperature", "2")];
        let page = boss.submit(&page, "/admin/playground", &odd).await;
        refused(&page, &["temperature", "max_tokens"], &[]);
    }
}

on_both! {
    async fn what_is_typed_into_no_category_is_refused(test: Test) {
        let alice = test.local("alice@acme.com").await;
        let app = test.app(json!({})).await;
        let access = json!({"access": {"settings_request": {"mode": "specific", "allow": {"users": [alice]}}}});
        test.patch(&format!("/apps/{}/self-service", id(&app)), access).await.expect(StatusCode::OK);
        let now = json!({"custom_categories": [{"name": "P", "description": "", "keywords": ["kilo"], "patterns": [], "examples": []}]});
        let set = test.request("PUT", &format!("/apps/{}/custom-categories", id(&app)), Some(&now));
        test.send(set).await.expect(StatusCode::OK);
        let mut alice = Visitor::again(&test, "alice@acme.com").await;
        let path = format!("/apps/{}/request/custom_categories", id(&app));
        let page = alice.open(&path).await;
        for step in ["preview", "edit"] {
            let lost = [
                ("custom_categories[1].name", "Q"), ("custom_categories[50].name", "R"), ("custom_categories[1].colour", "red"),
                ("step", step),
            ];
            let again = alice.submit(&page, &path, &lost).await;
            refused(&again, &["custom_categories[50].name", "custom_categories[1].colour"], &[("custom_categories[1].name", "Q")]);
            let beside = [("custom_categories[0].remove", "true"), ("custom_categories[0].description", "new"), ("step", step)];
            let again = alice.submit(&page, &path, &beside).await;
            refused(&again, &["custom_categories[0].description"], &[("custom_categories[0].description", "new")]);
        }
        let page = alice.submit(&page, &path, &[("custom_categories[0].remove", "true"), ("step", "preview")]).await;
        assert_eq!((page.status, page.all(".refused")), (200, vec![]), "what stands there was not typed: {}", page.main());
    }
}

on_both! {
    async fn a_list_that_the_mode_does_not_use_is_refused(test: Test) {
        let (alice, bob) = (test.local("alice@acme.com").await, test.local("bob@acme.com").await);
        let group = test.group("Engineers", &[&alice]).await;
        let app = test.app(json!({})).await;
        let api = format!("/apps/{}/self-service", id(&app));
        for (mode, list, path) in [
            ("everyone", "allow", "access.all_logs.allow"), ("disabled", "allow", "access.all_logs.allow"),
            ("disabled", "exceptions", "access.all_logs.exceptions"),
        ] {
            for who in [json!({"users": [alice]}), json!({"group_names": ["Engineers"]})] {
                let edit = json!({"access": {"all_logs": {"mode": mode, list: who}}});
                assert_eq!(test.patch(&api, edit.clone()).await.refused(422).1, path, "{edit}");
                let preview = test.post(&format!("{api}/preview"), edit).await;
                assert_eq!(preview.refused(422).1, path);
            }
        }
        let viewer = json!({"access": {"viewer": {"mode": "disabled", "exceptions": {"users": [bob]}}}});
        test.patch(&api, viewer).await.expect(StatusCode::OK);
        let all = json!({"mode": "specific", "allow": {"users": [alice], "groups": [group]}, "exceptions": {"users": [bob]}});
        test.patch(&api, json!({"access": {"all_logs": all}})).await.expect(StatusCode::OK);

        let path = format!("/admin/apps/{}/self-service", id(&app));
        let mut boss = Visitor::owner(&test).await;
        let page = boss.open(&path).await;
        let modes = [("access.all_logs.mode", "disabled")];
        let page = boss.submit(&page, &path, &modes).await;
        assert_eq!(page.status, 200, "what stands there was not typed: {}", page.main());
        let stored = test.get(&api).await.expect(StatusCode::OK);
        assert_eq!(stored["access"]["all_logs"]["allow"]["users"][0]["id"], alice.as_str(), "it is kept");
        let page = boss.submit(&page, &path, &[]).await;
        assert_eq!((page.status, test.get(&api).await.expect(StatusCode::OK)), (200, stored), "{}", page.main());
        let typed = [
            ("access.all_logs.mode", "everyone"), ("access.all_logs.allow.emails", "bob@acme.com"),
            ("access.key_visibility.allow.group_names", "Engineers"), ("access.key_visibility.exceptions.emails", "bob@acme.com"),
        ];
        let page = boss.submit(&page, &path, &typed).await;
        let wrong = ["access.key_visibility.allow.group_names", "access.key_visibility.exceptions.emails", "access.all_logs.allow.emails"];
        let mut found = marked(&page);
        found.sort();
        let mut wrong: Vec<_> = wrong.map(str::to_owned).to_vec();
        wrong.sort();
        assert_eq!((page.status, found), (422, wrong), "{}", page.main());
        let typed = [("access.all_logs.mode", "specific"), ("access.key_visibility.mode", "specific")];
        assert_eq!(boss.submit(&page, &path, &typed).await.status, 200);
    }
}
