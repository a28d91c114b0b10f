//! What the control plane says that gateways would do, beside what they do.

mod gateway;
mod identity;
mod property;

use std::time::Duration;

use axum::http::StatusCode;
use latchkey_core::role::Role;
use latchkey_core::settings::AppSettings;
use serde_json::{Value, json};

use crate::ledger::gateway::edit_settings;
use crate::support::{START_MS, Test, id, on_both, pair};

async fn explain(test: &Test, app: &Value, question: Value) -> Value {
    test.post(&format!("/apps/{}/explain", id(app)), question).await.expect(StatusCode::OK)
}

async fn code(test: &Test, app: &Value, question: Value) -> String {
    let explanation = explain(test, app, question).await;
    assert_eq!(explanation["allowed"], json!(false), "{explanation:#}");
    explanation["code"].as_str().unwrap().to_owned()
}

/// An app in named mode, and its path.
async fn named(test: &Test) -> (Value, Value) {
    test.catalogue().await;
    let app = test.app(json!({"mode": "named"})).await;
    let key = test.named_key(&app).await;
    (app, key)
}

/// How much of a limit was used for good.
async fn spend(test: &Test, app: &Value, kind: i32, period: i64, used: u64, slots: &str) {
    let row = json!({"owner": id(app), "kind": kind, "period": period, "used": used, "slots": slots});
    test.insert("buckets", row).await;
}

on_both! {
    async fn a_request_as_large_as_gateways_take_is_explained(test: Test) {
        test.catalogue().await;
        let app = test.app(json!({"limits": {"max_input_tokens": 1_000_000}})).await;
        let body = |bytes: usize| {
            json!({"body": {"model": "gpt-4o", "messages": [{"role": "user", "content": "a".repeat(bytes)}]}})
        };
        assert_eq!(explain(&test, &app, body(300 << 10)).await["allowed"], true);
        assert_eq!(code(&test, &app, body(16 << 20)).await, "max_input_tokens_exceeded");
        let path = format!("/apps/{}/explain", id(&app));
        assert_eq!(test.post(&path, body(18 << 20)).await.refused(413).0, "body_unreadable");
        let large = json!({"name": "a".repeat(300 << 10)});
        assert_eq!(test.post("/apps", large).await.refused(413).0, "body_unreadable", "others take less");
    }
}

on_both! {
    async fn a_good_request_goes_to_the_provider_that_the_gate_chooses(test: Test) {
        test.catalogue().await;
        let limits = json!({"requests_per_minute": 10, "tokens_per_minute": 10_000, "max_output_tokens": 50});
        let app = test.app(json!({"limits": limits})).await;
        let explained = explain(&test, &app, json!({"model": "gpt-4o", "max_tokens": 200})).await;
        assert_eq!((&explained["allowed"], &explained["code"], &explained["status"]),
            (&json!(true), &Value::Null, &Value::Null));
        let forward = &explained["forward"];
        assert_eq!((&forward["model"], &forward["provider"], &forward["path"]),
            (&json!("gpt-4o"), &json!("openai"), &json!("/v1/chat/completions")));
        assert_eq!(forward["max_output_tokens"], json!(50));
        assert_eq!(explained["reserved"][0], json!({"owner": "app", "name": "requests_per_minute", "amount": 1}));
        assert_eq!(explained["reserved"][1]["name"], json!("tokens_per_minute"));
        assert_eq!(forward["headers"]["x-ratelimit-limit-requests"], json!("10"));
        assert_eq!(explained["key_id"], app["key"]["id"]);
    }
}

on_both! {
    async fn each_rule_says_why(test: Test) {
        let (app, key) = named(&test).await;
        let ask = |more: Value| {
            let mut question = json!({"key_id": key["id"], "model": "gpt-4o"});
            question.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            question
        };
        assert_eq!(explain(&test, &app, ask(json!({}))).await["allowed"], json!(true));
        let own = explain(&test, &app, json!({"model": "gpt-4o"})).await;
        assert_eq!((&own["code"], &own["rule"], &own["status"]),
            (&json!("named_key_required"), &json!("app.credential_mode"), &json!(401)));
        assert_eq!(own["answer"]["body"]["error"]["code"], json!("named_key_required"));
        assert_eq!(own["answer"]["headers"]["www-authenticate"], json!("Bearer"));
        assert_eq!(own["message"], own["answer"]["body"]["error"]["message"]);
        assert_eq!(code(&test, &app, ask(json!({"model": "nope"}))).await, "model_not_found");
        assert_eq!(code(&test, &app, json!({"key_id": key["id"]})).await, "model_required");
        assert_eq!(code(&test, &app, ask(json!({"path": "/v1/nothing"}))).await, "unknown_endpoint");
        assert_eq!(code(&test, &app, ask(json!({"path": "/v1/models", "method": "POST"}))).await, "method_not_allowed");
        assert_eq!(code(&test, &app, ask(json!({"endpoint": "messages"}))).await, "endpoint_not_supported");
        let twice = r#"{"model": "gpt-4o", "model": "gpt-5"}"#;
        let path = format!("/apps/{}/explain", id(&app));
        let mut request = test.request("POST", &path, None);
        let question = format!(r#"{{"key_id": {}, "body": {twice}}}"#, key["id"]);
        *request.body_mut() = question.into();
        assert_eq!(test.send(request).await.expect(StatusCode::OK)["code"], "invalid_json", "as it was sent");
        for (edit, address, expected) in [
            (
                (|settings| settings.ip_allow_list = Some(vec!["10.0.0.0/8".to_owned()])) as fn(&mut AppSettings),
                "192.0.2.1",
                "ip_not_allowed",
            ),
            (|settings| settings.allowed_models = latchkey_core::selection::Selection::None, "10.0.0.1", "model_not_allowed"),
            (|settings| settings.allowed_providers = latchkey_core::selection::Selection::None, "10.0.0.1", "model_not_allowed"),
        ] {
            edit_settings(&test, &app, edit).await;
            assert_eq!(code(&test, &app, ask(json!({"address": address}))).await, expected);
        }
        let key_path = format!("/apps/{}/keys/{}", id(&app), id(&key));
        for (act, expected) in [("deactivate", "key_inactive"), ("revoke", "key_revoked")] {
            test.act(&format!("{key_path}/{act}")).await.expect(StatusCode::OK);
            assert_eq!(code(&test, &app, ask(json!({}))).await, expected);
        }
        test.act(&format!("/apps/{}/revoke", id(&app))).await.expect(StatusCode::OK);
        assert_eq!(code(&test, &app, json!({})).await, "key_revoked");
        test.delete(&format!("/apps/{}", id(&app))).await;
        assert_eq!(test.post(&path, json!({})).await.refused(404).0, "not_found");
    }
}

on_both! {
    async fn a_message_to_an_mcp_server_is_explained_by_its_tool(test: Test) {
        let server = json!({"name": "files", "url": "https://mcp.acme.com/files/"});
        test.post("/mcp-servers", server).await.expect(StatusCode::CREATED);
        let limits = json!({"requests_per_minute": 10, "budget": {"usd": "1", "per": "month"}});
        let app = test.app(json!({"mcp_scope": ["files/read"], "limits": limits})).await;
        let explained = explain(&test, &app, json!({"path": "/mcp/files", "model": "read"})).await;
        let forward = &explained["forward"];
        assert_eq!((&forward["model"], &forward["provider"], &forward["path"]),
            (&json!("files/read"), &json!("mcp/files"), &json!("/files/")), "{explained:#}");
        assert_eq!(explained["reserved"], json!([{"owner": "app", "name": "requests_per_minute", "amount": 1}]));
        assert_eq!(code(&test, &app, json!({"path": "/mcp/files", "model": "drop"})).await, "mcp_tool_not_allowed");
        assert_eq!(code(&test, &app, json!({"path": "/mcp/other"})).await, "mcp_server_not_found");
        assert_eq!(explain(&test, &app, json!({"path": "/mcp/files", "method": "DELETE"})).await["allowed"], true);
    }
}

on_both! {
    async fn what_costs_nothing_is_not_stopped_by_a_budget(test: Test) {
        test.catalogue().await;
        let limits = json!({"budget": {"usd": "1", "per": "month"}, "tokens_per_minute": 100});
        let app = test.app(json!({"limits": limits})).await;
        let explained = explain(&test, &app, json!({"endpoint": "moderations", "model": "gpt-4o"})).await;
        assert_eq!(explained["allowed"], true, "{explained:#}");
    }
}

on_both! {
    async fn a_key_that_will_have_expired_is_refused_then(test: Test) {
        let (app, key) = named(&test).await;
        let edit = json!({"expires_at": "2026-01-02T00:00:00Z"});
        test.patch(&format!("/apps/{}/keys/{}", id(&app), id(&key)), edit).await.expect(StatusCode::OK);
        let at = |moment: &str| json!({"key_id": key["id"], "model": "gpt-4o", "at": moment});
        assert_eq!(explain(&test, &app, at("2026-01-01T23:59:59Z")).await["allowed"], json!(true));
        assert_eq!(code(&test, &app, at("2026-01-02T00:00:00Z")).await, "key_expired");
    }
}

on_both! {
    async fn spent_limits_say_what_is_left_and_when_there_is_more(test: Test) {
        test.catalogue().await;
        let limits = json!({"requests_per_minute": 5, "budget": {"usd": "1", "per": "day"}});
        let app = test.app(json!({"limits": limits})).await;
        let question = json!({"model": "gpt-4o", "max_tokens": 100});
        assert_eq!(explain(&test, &app, question.clone()).await["allowed"], json!(true));
        spend(&test, &app, 1, 0, 5, &format!("[[{},5]]", START_MS / 1000)).await;
        let refused = explain(&test, &app, question.clone()).await;
        assert_eq!((&refused["code"], &refused["status"]), (&json!("rate_limit_exceeded"), &json!(429)));
        let limit = &refused["answer"]["body"]["error"]["limit"];
        assert_eq!((&limit["owner"], &limit["limit"], &limit["remaining"]), (&json!("app"), &json!(5), &json!(0)));
        assert_eq!(limit["resets_at"], json!(START_MS / 1000 + 61));
        assert_eq!(refused["answer"]["headers"]["retry-after-ms"], json!("61000"));
        let mut later = question.clone();
        later["at"] = json!("2026-01-01T00:02:00Z");
        assert_eq!(explain(&test, &app, later.clone()).await["allowed"], json!(true), "the window slides");
        spend(&test, &app, 6, START_MS, 1_000_000_000, "[]").await;
        let broke = explain(&test, &app, later.clone()).await;
        assert_eq!((&broke["code"], &broke["status"]), (&json!("insufficient_quota"), &json!(429)));
        assert_eq!(broke["answer"]["headers"]["x-should-retry"], json!("false"));
        later["at"] = json!("2026-01-02T00:00:00Z");
        assert_eq!(explain(&test, &app, later).await["allowed"], json!(true), "another day");
    }
}

on_both! {
    async fn a_model_without_a_price_is_refused_on_a_budget(test: Test) {
        test.catalogue().await;
        test.post("/models", json!({"name": "mine", "provider": "openai", "price": null}))
            .await
            .expect(StatusCode::CREATED);
        let app = test.app(json!({"limits": {"budget": {"usd": "1", "per": "total"}}})).await;
        assert_eq!(code(&test, &app, json!({"model": "mine"})).await, "model_not_priced");
    }
}

on_both! {
    async fn asking_changes_and_reserves_nothing(test: Test) {
        test.catalogue().await;
        let limits = json!({"requests_per_minute": 1, "tokens_per_minute": 1000});
        let app = test.app(json!({"limits": limits})).await;
        let head = test.store.head().await.unwrap().position;
        for _ in 0..3 {
            assert_eq!(explain(&test, &app, json!({"model": "gpt-4o"})).await["allowed"], json!(true));
        }
        assert_eq!(test.store.head().await.unwrap().position, head);
        // The app's key was made; nothing else happened.
        for table in ["buckets", "leases", "records", "events WHERE kind <> 'key.created'"] {
            let rows = crate::ledger::gateway::number(&test, &format!("SELECT COUNT(*) FROM {table}")).await;
            assert_eq!(rows, 0, "{table}");
        }
        let usage = &test.get(&format!("/apps/{}", id(&app))).await.expect(StatusCode::OK)["usage"];
        assert_eq!(usage["requests_per_minute"]["remaining"], json!(1));
    }
}

on_both! {
    async fn what_cannot_be_meant_is_refused_with_its_path(test: Test) {
        let app = test.app(json!({})).await;
        let path = format!("/apps/{}/explain", id(&app));
        for (question, field) in [
            (json!({"endpoint": "chat"}), "endpoint"),
            (json!({"endpoint": "responses", "path": "/v1/responses"}), "endpoint"),
            (json!({"path": "v1/responses"}), "path"),
            (json!({"body": {"model": "a"}, "model": "a"}), "model"),
            (json!({"body": {"model": "a"}, "max_tokens": 1}), "max_tokens"),
            (json!({"endpoint": "embeddings", "max_tokens": 1}), "max_tokens"),
            (json!({"address": "nowhere"}), "address"),
            (json!({"at": "soon"}), "at"),
            (json!({"key_id": app["id"]}), "key_id"),
            (json!({"key": "sk"}), "key"),
        ] {
            assert_eq!(test.post(&path, question.clone()).await.refused(422), pair("invalid", field), "{question}");
        }
        let other = test.app(json!({"mode": "named"})).await;
        let key = test.named_key(&other).await;
        assert_eq!(test.post(&path, json!({"key_id": key["id"]})).await.refused(422), pair("invalid", "key_id"));
        let user = test.token(Role::User).await;
        assert_eq!(test.with(&user, "POST", &path, Some(json!({}))).await.refused(403).0, "forbidden");
        let auditor = test.token(Role::Auditor).await;
        test.with(&auditor, "POST", &path, Some(json!({}))).await.expect(StatusCode::OK);
        test.clock.advance(Duration::from_secs(1));
    }
}
