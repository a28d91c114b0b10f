//! A form that is sent as it was shown is taken, and changes nothing: also where there are two or more of
//! everything that it can hold.

use axum::http::StatusCode;
use scraper::{Html, Selector};
use serde_json::{Value, json};

use super::visitor::{Shown, Visitor};
use crate::ledger::gateway::edit_settings;
use crate::support::{Test, id, on_both};

/// Where the forms of a page that edit what there is are sent.
fn edits(page: &Shown) -> Vec<String> {
    let html = Html::parse_document(&page.text);
    let (form, button) = (Selector::parse("form[method=post]").unwrap(), Selector::parse("button").unwrap());
    let is_edit = |words: String| ["Save", "Rename", "Preview"].iter().any(|edit| words.starts_with(edit));
    html.select(&form)
        .filter(|form| form.select(&button).any(|button| is_edit(button.text().collect())))
        .map(|form| form.value().attr("action").unwrap().to_owned())
        .collect()
}

/// Two or more of everything; what there is of it, by the API's paths.
async fn plenty(test: &Test) -> (Value, Value) {
    for (name, kind) in [("openai", "openai"), ("azure", "azure_openai"), ("house", "openai_compatible")] {
        let provider = json!({
            "name": name, "kind": kind, "base_url": "https://api.openai.com/v1", "credential": "secret",
            "output_limit": "max_tokens", "stream_options": true, "idle_timeout_seconds": 60,
        });
        test.post("/providers", provider).await.expect(StatusCode::CREATED);
    }
    for model in
        [json!({"name": "gpt-4o", "provider": "openai"}), json!({"name": "o3", "provider": "openai"})]
    {
        test.post("/models", model).await.expect(StatusCode::CREATED);
    }
    for (name, url) in [("files", "https://mcp.acme.com/"), ("wiki", "https://wiki.acme.com/mcp")] {
        test.post("/mcp-servers", json!({"name": name, "url": url, "credential": "secret"}))
            .await
            .expect(StatusCode::CREATED);
    }
    for (name, field) in [("fast", "targets"), ("slow", "tiers")] {
        let targets = json!([{"provider": "openai", "model": "gpt-4o", "weight": 70}, {"provider": "openai", "model": "o3", "weight": 30}]);
        let value = match field {
            "targets" => targets,
            _ => {
                json!([{"name": "low", "up_to_tokens": 8000, "targets": targets}, {"name": "medium", "up_to_tokens": 64000, "targets": targets},
                {"name": "high", "targets": targets}])
            }
        };
        let failover = json!({"attempts": 2, "statuses": [429, 503], "headers_timeout_ms": 2500, "first_event_timeout_ms": 1000,
            "repeat_side_effects": true});
        let group = json!({"name": name, "description": "For chats", "balance": "tokens", "sticky": true, field: value, "failover": failover});
        test.post("/routing-groups", group).await.expect(StatusCode::CREATED);
    }
    let (alice, bob) = (test.local("alice@acme.com").await, test.local("bob@acme.com").await);
    let groups =
        [test.group("Engineers", &[&alice, &bob]).await, test.group("Writers", &[&alice, &bob]).await];
    test.patch(
        &format!("/groups/{}", groups[0]),
        json!({"claim": "eng", "description": "Those who build.\nAnd test."}),
    )
    .await
    .expect(StatusCode::OK);
    let limits = json!({
        "requests_per_minute": 6000, "requests_per_hour": 1_234_567, "requests_per_day": 9_000_000, "tokens_per_minute": 1_000_000,
        "token_budget": {"tokens": 1_234_567, "per": "week"}, "budget": {"usd": "1234.56", "per": "month"},
        "max_input_tokens": 100_000, "max_output_tokens": 5000, "min_output_tokens": 32,
    });
    let app = test.app(json!({
        "mode": "named", "expires_at": "2027-01-31T12:34:56Z", "allowed_providers": ["openai", "azure"],
        "allowed_models": ["gpt-4o", "claude-*"], "mcp_scope": ["files", "wiki/read*"],
        "mcp_argument_rules": [{"tool": "wiki/read*", "argument": "/space", "one_of": ["a, b", 7], "optional": true}, {"tool": "wiki/*", "argument": "/n", "min": 1, "max": 2.5}],
        "routing_groups": ["fast"], "target_header": true,
        "ip_allow_list": ["10.0.0.0/8", "192.0.2.1/32"], "limits": limits, "named_key_limits": limits,
        "time_zone": "Europe/Berlin", "alert_thresholds": [50, 75, 100], "metadata": {"team": "a", "cost": {"center": 1}},
        "tags": ["blue", "green"], "keep_key_values": true, "require_conversation_id": true,
    })).await;
    let categories = [("P", "x{1,2}"), ("Q", "y,z")]
        .map(|(name, pattern)| json!({"name": name, "description": "d", "keywords": ["kilo", "lima"], "patterns": [pattern, "b"], "values": ["Ann Lee", "Größe 10"]}));
    let categories = json!({"custom_categories": categories});
    test.send(test.request("PUT", &format!("/apps/{}/custom-categories", id(&app)), Some(&categories)))
        .await
        .expect(StatusCode::OK);
    // As an older version stored them.
    edit_settings(test, &app, |settings| {
        for category in &mut settings.custom_categories {
            category.examples = vec!["e".to_owned(), "f".to_owned()];
        }
    })
    .await;
    let guardrails = json!({
        "rules": [
            {"category": "pii", "action": "redact", "direction": "request", "min_risk": "high"},
            {"category": "pii", "detector": "email", "action": "allow"},
            {"category": "pci", "action": "block", "shadow_until": "2026-02-03T12:34:56Z"},
            {"category": "pci", "detector": "credit_card", "action": "block", "direction": "response", "min_risk": "high",
             "shadow_until": "2026-03-01T00:00:00Z"},
            {"category": "custom", "action": "anonymize"}, {"category": "custom", "detector": "P", "action": "block"},
        ],
        "exceptions": ["info@example.com", "a, b"], "exception_patterns": ["TEST-[0-9]{2,4}", "x,y"], "unseen_texts": "allow",
    });
    test.patch(&format!("/apps/{}", id(&app)), json!({"guardrails": guardrails}))
        .await
        .expect(StatusCode::OK);
    let who = json!({"users": [alice, bob], "groups": groups});
    let rule = json!({"mode": "specific", "allow": who, "exceptions": {"groups": []}});
    let access = json!({"viewer": rule, "settings_request": rule, "key_visibility": rule, "all_logs": rule});
    let edit = json!({"access": access, "suspend_keys_on_lost_access": true, "most_keys_per_user": 1000, "longest_key_lifetime_days": 3650});
    test.self_service(&app, edit).await;
    let other = test.app(json!({
        "name": "Shared", "allowed_providers": ["openai", "house"],
        "identity": {
            "header": true, "enforce": true, "allowed_domains": ["acme.com", "acme.org"],
            "jwt": {
                "keys": {"jwks_url": "https://login.acme.com/jwks.json"}, "issuers": ["https://a.acme.com", "https://b.acme.com"],
                "parties": ["a", "b"], "audiences": ["c", "d"], "email_claim": "mail",
            },
        },
    })).await;
    test.self_service(
        &other,
        json!({"access": {"settings_request": {"mode": "specific", "allow": {"users": [alice]}}}}),
    )
    .await;
    (app, other)
}

/// Two models: one of the catalogue, and one with a price of its own and all that it can have.
async fn models(test: &Test) -> Vec<Value> {
    let rates = json!({"input": "1.5", "cached_input": "0.5", "cache_write_5m": "2", "cache_write_1h": "3", "output": "1234.5"});
    let mut long = rates.clone();
    long["above"] = json!(200_000);
    let mut price = rates.clone();
    price["long_context"] = long;
    price["tiers"] = json!({"flex": {"input": "1", "output": "2"}, "priority": {"multiplier": "2.5"}});
    let all = json!({"name": "house", "provider": "house", "upstream_name": "h1", "price": price,
        "max_output_tokens": 16_384, "context_window": 1_000_000, "output_limit": "max_tokens", "stream_options": false});
    let mut made = Vec::new();
    for model in [
        json!({"name": "gpt-5.4", "provider": "openai"}),
        all,
        json!({"name": "unpriced", "provider": "house"}),
    ] {
        made.push(test.post("/models", model).await.expect(StatusCode::CREATED));
    }
    made
}

on_both! {
    async fn forms_of_admins_save_and_change_nothing(test: Test) {
        let (app, other) = plenty(&test).await;
        let models = models(&test).await;
        let mut boss = Visitor::owner(&test).await;
        let (users, groups) = (test.get("/users").await.json, test.get("/groups").await.json);
        let alice = users["items"].as_array().unwrap().iter().find(|user| user["email"] == "alice@acme.com").unwrap();
        let key = json!({"user_id": alice["id"], "name": "laptop", "limits": {"budget": {"usd": "1000.5", "per": "month"}, "requests_per_minute": 5}});
        let key = test.post(&format!("/apps/{}/keys", id(&app)), key).await.expect(StatusCode::CREATED);
        let mut pages = vec![
            ("/admin/providers/azure".to_owned(), "/providers/azure".to_owned()),
            ("/admin/mcp-servers/wiki".to_owned(), "/mcp-servers/wiki".to_owned()),
            (format!("/admin/users/{}", id(alice)), format!("/users/{}", id(alice))),
            (format!("/admin/apps/{}/keys/{}", id(&app), id(&key)), format!("/apps/{}/keys/{}", id(&app), id(&key))),
        ];
        for app in [&app, &other] {
            pages.push((format!("/admin/apps/{}", id(app)), format!("/apps/{}", id(app))));
            pages.push((format!("/admin/apps/{}/self-service", id(app)), format!("/apps/{}/self-service", id(app))));
        }
        pages.extend(models.iter().map(|model| (format!("/admin/models/{}", id(model)), format!("/models/{}", id(model)))));
        let groups = groups["items"].as_array().unwrap();
        pages.extend(groups.iter().map(|group| (format!("/admin/groups/{}", id(group)), format!("/groups/{}", id(group)))));
        let mut sent = 0;
        for (page, object) in pages {
            let before = test.get(&object).await.expect(StatusCode::OK);
            let shown = boss.open(&page).await;
            let forms = edits(&shown);
            assert!(!forms.is_empty(), "{page} has no form that edits: {}", shown.main());
            for action in forms {
                let saved = boss.submit(&shown, &action, &[]).await;
                assert_eq!((saved.status, saved.all(".refused")), (200, vec![]), "{action}: {}", saved.main());
                assert_eq!(saved.all(".flash").len(), 1, "{action}: {}", saved.main());
                assert_eq!(test.get(&object).await.expect(StatusCode::OK), before, "{action}");
                sent += 1;
            }
        }
        assert_eq!(sent, 4 + 2 * 5 + 3 + 2);
    }
}

on_both! {
    async fn forms_of_users_ask_for_nothing(test: Test) {
        let (app, other) = plenty(&test).await;
        let mut alice = Visitor::again(&test, "alice@acme.com").await;
        let asks = |app: &Value, kind| format!("/apps/{}/request/{kind}", id(app));
        for path in [
            asks(&app, "update_config"), asks(&app, "set_tags"), asks(&app, "custom_categories"),
            asks(&other, "update_config"), asks(&other, "jwt_auth_settings"),
        ] {
            let shown = alice.open(&path).await;
            assert_eq!(edits(&shown), [path.as_str()], "{}", shown.main());
            let preview = alice.submit(&shown, &path, &[("step", "preview")]).await;
            let said = preview.all(".refused");
            assert_eq!(said.len(), 1, "{path}: {}", preview.main());
            assert!(said[0].contains("nothing"), "{path}: {said:?}");
        }
    }
}
