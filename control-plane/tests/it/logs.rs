use axum::http::StatusCode;
use latchkey_core::role::Role;
use serde_json::{Value, json};

use crate::support::{START_MS, Test, id, on_both};
use crate::web::visitor::Visitor;

/// The request ids that a query finds.
async fn found(test: &Test, query: &str) -> Vec<String> {
    let page = test.get(&format!("/logs{query}")).await.expect(StatusCode::OK);
    let request = |log: &Value| log["request_id"].as_str().unwrap().to_owned();
    page["items"].as_array().unwrap().iter().map(request).collect()
}

on_both! {
    async fn a_record_tells_all_that_is_known_and_who_it_was(test: Test) {
        let app = test.app(json!({"mode": "named"})).await;
        let key = test.named_key(&app).await;
        test.insert("records", json!({
            "at": START_MS + 1, "request_id": "r1", "app_id": app["id"], "key_id": key["id"], "user_id": key["user_id"],
            "model": "gpt-4o", "served_model": "gpt-4o-2024-08-06", "provider": "openai", "status": 200,
            "input_tokens": 10, "cached_input_tokens": 4, "output_tokens": 20, "reasoning_tokens": 5,
            "cache_write_5m_tokens": 3, "cache_write_1h_tokens": 2, "service_tier": "priority",
            "cost": 225_000, "price_version": 3, "settlement": "reserved", "settlement_reason": "answer_cut",
            "latency_ms": 900, "first_token_ms": 80, "streamed": 1, "client_address": "10.0.0.1", "conversation_id": "c-1", "identity": "al@acme.com",
            "identity_source": "jwt", "old_secret": 1, "repeats": 3, "asked_output_tokens": 32_000, "granted_output_tokens": 1_138,
            "inspected": 1, "findings": 2, "unread": 3, "tried_change_request": app["id"], "metadata": "{\"team\":\"a\"}"
        })).await;
        test.insert("records", json!({"request_id": "r2", "status": 0, "endpoint": ""})).await;
        let page = test.get("/logs").await.expect(StatusCode::OK);
        let mut logs = page["items"].as_array().unwrap().clone();
        assert_eq!((logs.len(), &page["next_cursor"]), (2, &Value::Null));
        for log in &mut logs {
            assert!(log.as_object_mut().unwrap().remove("id").unwrap().is_i64());
        }
        let inspected: Vec<_> = ["inspected", "findings", "unread", "tried_change_request"]
            .map(|field| logs[1].as_object_mut().unwrap().remove(field)).into_iter().flatten().collect();
        assert_eq!(inspected, [json!(true), json!(2), json!(3), app["id"].clone()]);
        assert_eq!(logs[1].as_object_mut().unwrap().remove("attempts"), Some(json!([])));
        let user = test.get(&format!("/users/{}", key["user_id"].as_str().unwrap())).await.expect(StatusCode::OK);
        assert_eq!(logs[1], json!({
            "at": "2026-01-01T00:00:00.001Z", "request_id": "r1", "gateway": "edge-1",
            "app_id": app["id"], "app_name": "Support Bot", "key_id": key["id"], "key_name": "Alice local dev",
            "user_id": key["user_id"], "user_name": user["name"],
            "model": "gpt-4o", "served_model": "gpt-4o-2024-08-06", "provider": "openai",
            "endpoint": "chat_completions", "status": 200, "code": null,
            "input_tokens": 10, "cached_input_tokens": 4, "output_tokens": 20, "reasoning_tokens": 5,
            "cache_write_5m_tokens": 3, "cache_write_1h_tokens": 2, "service_tier": "priority",
            "cost": "0.000225", "price_version": 3, "settlement": "reserved",
            "settlement_reason": "answer_cut", "latency_ms": 900, "first_token_ms": 80, "streamed": true, "client_address": "10.0.0.1", "conversation_id": "c-1",
            "identity": "al@acme.com", "identity_source": "jwt", "old_secret": true, "repeats": 3, "asked_output_tokens": 32_000, "granted_output_tokens": 1_138,
            "prompts": [], "metadata": {"team": "a"}
        }));
        assert_eq!(found(&test, "?service_tier=priority").await, ["r1"]);
        for absent in ["app_id", "app_name", "user_name", "model", "endpoint", "status", "price_version",
            "settlement_reason", "first_token_ms", "client_address", "service_tier", "asked_output_tokens",
            "granted_output_tokens"] {
            assert_eq!(logs[0][absent], Value::Null, "{absent}");
        }
    }
}

on_both! {
    async fn logs_are_filtered_newest_first(test: Test) {
        let (a, b) = (test.world.id().to_string(), test.world.id().to_string());
        for (request, at, app, model, provider, status, code) in [
            ("r1", 0, &a, "gpt-4o", "openai", 200, ""),
            ("r2", 1000, &a, "gpt-4o", "openai", 429, "rate_limited"),
            ("r3", 2000, &b, "claude", "anthropic", 404, "model_not_found"),
            ("r4", 3000, &b, "gpt-4o", "openai", 500, ""),
        ] {
            test.insert("records", json!({"request_id": request, "at": START_MS + at, "app_id": app, "key_id": app,
                "user_id": app, "identity": format!("{}@acme.com", request), "model": model, "provider": provider, "status": status, "code": code, "old_secret": u8::from(request == "r2")})).await;
        }
        for (query, requests) in [
            (String::new(), vec!["r4", "r3", "r2", "r1"]),
            (format!("?app_id={a}"), vec!["r2", "r1"]),
            (format!("?key_id={b}"), vec!["r4", "r3"]),
            (format!("?user_id={b}&model=gpt-4o"), vec!["r4"]),
            ("?model=claude".into(), vec!["r3"]),
            ("?identity=R2@acme.com".into(), vec!["r2"]),
            ("?provider=openai&status=200".into(), vec!["r1"]),
            ("?status=4xx".into(), vec!["r3", "r2"]),
            ("?status=429".into(), vec!["r2"]),
            ("?code=model_not_found".into(), vec!["r3"]),
            ("?old_secret=true".into(), vec!["r2"]),
            ("?old_secret=false".into(), vec!["r4", "r3", "r1"]),
            ("?from=2026-01-01T00:00:01Z&to=2026-01-01T00:00:03Z".into(), vec!["r3", "r2"]),
            (format!("?app_id={a}&from=2026-01-01T00:00:01Z"), vec!["r2"]),
            ("?model=%27+OR+1%3D1".into(), vec![]),
        ] {
            assert_eq!(found(&test, &query).await, requests, "{query}");
        }
        for wrong in ["?status=6xx", "?status=x", "?status=4x", "?app_id=1", "?from=today", "?path=x", "?cursor=AA"] {
            assert_eq!(test.get(&format!("/logs{wrong}")).await.refused(400).0, "invalid_query", "{wrong}");
        }
    }
}

on_both! {
    /// Records come in any order: a gateway that was away brings old ones late.
    async fn logs_of_a_short_and_of_a_long_time_are_found_whatever_their_order(test: Test) {
        let hour = 3_600_000;
        for (request, hours) in [("new", 1), ("old", 100), ("late", 30), ("older", 2000), ("newest", 0), ("oldest", 3000)] {
            test.insert("records", json!({"request_id": request, "at": START_MS - hours * hour})).await;
            test.insert("findings", json!({"request_id": request, "at": START_MS - hours * hour})).await;
        }
        for (query, requests) in [
            ("?from=2025-12-31T23:00:00Z", vec!["newest", "new"]),
            ("?from=2025-12-30T00:00:00Z", vec!["newest", "late", "new"]),
            ("?from=2025-12-30T00:00:00Z&to=2025-12-31T00:00:00Z", vec!["late"]),
            ("?from=2025-12-27T00:00:00Z", vec!["newest", "late", "old", "new"]),
            ("?to=2025-12-01T00:00:00Z", vec!["oldest", "older"]),
            ("?from=2025-08-01T00:00:00Z&to=2025-12-31T00:00:00Z", vec!["oldest", "older", "late", "old"]),
            ("?from=2025-12-29T00:00:00Z&to=2025-12-30T00:00:00Z", vec![]),
            ("?from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", vec![]),
        ] {
            assert_eq!(found(&test, query).await, requests, "{query}");
            let page = test.get(&format!("/findings{query}")).await.expect(StatusCode::OK);
            let found: Vec<_> = page["items"].as_array().unwrap().iter().map(|item| item["request_id"].as_str().unwrap()).collect();
            assert_eq!(found, requests, "{query}");
        }
    }
}

on_both! {
    async fn logs_are_filtered_by_conversation_target_and_finding(test: Test) {
        let (a, b) = (test.world.id().to_string(), test.world.id().to_string());
        let attempt = |provider: &str, model: &str| json!({"provider": provider, "model": model, "status": 503, "end": "status", "duration_ms": 4});
        for (request, app, conversation, attempts) in [
            ("r1", &a, "c-1", json!([attempt("openai", "gpt-4o"), attempt("azure", "gpt_4o")])),
            ("r2", &a, "c-2", json!([attempt("azure", "gpt-4o")])),
            ("r3", &b, "c-1", json!(null)),
            ("r4", &b, "", json!(null)),
        ] {
            let attempts = if attempts.is_null() { String::new() } else { attempts.to_string() };
            test.insert("records", json!({"request_id": request, "app_id": app, "conversation_id": conversation,
                "attempts": attempts, "inspected": 1, "findings": i64::from(request != "r4")})).await;
        }
        for (request, app, category) in [("r1", &a, "pii"), ("r1", &a, "pii"), ("r2", &a, "secrets"), ("r3", &a, "pii")] {
            test.insert("findings", json!({"request_id": request, "app_id": app, "category": category})).await;
        }
        for (query, requests) in [
            ("?conversation_id=c-1".to_owned(), vec!["r3", "r1"]),
            (format!("?conversation_id=c-1&app_id={a}"), vec!["r1"]),
            ("?conversation_id=c".to_owned(), vec![]),
            ("?target=azure".to_owned(), vec!["r2", "r1"]),
            ("?target=azure/gpt-4o".to_owned(), vec!["r2"]),
            ("?target=azure/gpt_4o".to_owned(), vec!["r1"]),
            ("?target=openai/gpt_4o".to_owned(), vec![]),
            ("?target=azur".to_owned(), vec![]),
            ("?finding=pii".to_owned(), vec!["r1"]),
            ("?finding=secrets&findings=true&from=2025-12-31T23:59:00Z".to_owned(), vec!["r2"]),
        ] {
            assert_eq!(found(&test, &query).await, requests, "{query}");
        }
        assert_eq!(test.get("/logs?finding=nothing").await.refused(400).0, "invalid_query");
    }
}

on_both! {
    async fn pages_of_logs_do_not_shift_when_more_come(test: Test) {
        for i in 1..=5 {
            test.insert("records", json!({"request_id": format!("r{i}")})).await;
        }
        let first = test.get("/logs?limit=2").await.expect(StatusCode::OK);
        test.insert("records", json!({"request_id": "r6"})).await;
        let cursor = first["next_cursor"].as_str().unwrap();
        assert_eq!(found(&test, &format!("?limit=2&cursor={cursor}")).await, ["r3", "r2"]);
        assert_eq!(found(&test, &format!("?limit=4&cursor={cursor}")).await, ["r3", "r2", "r1"]);
    }
}

on_both! {
    async fn events_are_listed_newest_first_by_app_and_kind(test: Test) {
        let app = id(&test.app(json!({})).await);
        // That its key was created is an event, too.
        test.sql(&["DELETE FROM events".to_owned()]).await;
        for (i, (kind, app)) in [("quota.threshold", app.as_str()), ("quota.exceeded", &app), ("quota.threshold", "")]
            .into_iter().enumerate()
        {
            test.insert("events", json!({"at": START_MS, "kind": kind, "app_id": app, "key_id": "",
                "data": format!("{{\"percent\":{i}}}"), "once": format!("{i}")})).await;
        }
        let events = async |query: &str| {
            let page = test.get(&format!("/events{query}")).await.expect(StatusCode::OK);
            let percents = page["items"].as_array().unwrap().iter().map(|event| event["data"]["percent"].as_i64().unwrap());
            (percents.collect::<Vec<_>>(), page)
        };
        assert_eq!(events("").await.0, [2, 1, 0]);
        assert_eq!(events(&format!("?app_id={app}")).await.0, [1, 0]);
        assert_eq!(events("?kind=quota.threshold").await.0, [2, 0]);
        let (_, page) = events("?limit=1").await;
        assert_eq!(page["items"][0]["app_id"], Value::Null);
        let (rest, page) = events(&format!("?limit=2&cursor={}", page["next_cursor"].as_str().unwrap())).await;
        assert_eq!((rest, &page["next_cursor"]), (vec![1, 0], &Value::Null));
        assert_eq!(page["items"][0]["kind"], "quota.exceeded");
        assert_eq!((&page["items"][0]["app_id"], &page["items"][0]["key_id"]), (&json!(app), &Value::Null));
    }
}

on_both! {
    async fn logs_usage_and_events_are_for_those_who_may_read(test: Test) {
        for (role, status) in [(Role::Auditor, 200), (Role::Gateway, 403)] {
            let token = test.token(role).await;
            for path in ["/logs", "/usage", "/events", "/catalogue"] {
                let mut request = test.request("GET", path, None);
                request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
                assert_eq!(test.send(request).await.status, status, "{role:?} {path}");
            }
        }
    }
}

on_both! {
    async fn a_time_that_ends_before_it_begins_and_an_unknown_kind_are_refused(test: Test) {
        let mut boss = Visitor::owner(&test).await;
        for list in ["logs", "audit", "audit/export", "usage"] {
            let (late, early) = match list {
                "usage" => ("2026-01-02", "2026-01-01"),
                _ => ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"),
            };
            let answer = test.get(&format!("/{list}?from={late}&to={early}")).await;
            assert_eq!(answer.json["detail"], "`from` must not be after `to`", "{list}");
            assert_eq!(answer.refused(400).0, "invalid_query");
            if list != "audit/export" {
                let page = boss.open(&format!("/admin/{list}?from=2026-01-02&to=2026-01-01")).await;
                assert!(page.status >= 400 && page.main().contains("must not be after"), "{list}: {}", page.main());
            }
        }
        let same = "/logs?from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z";
        test.get(same).await.expect(StatusCode::OK);
        let unknown = test.get("/events?kind=zzz").await;
        assert!(unknown.json["detail"].as_str().unwrap().contains("`zzz`"), "{:#}", unknown.json);
        assert_eq!(unknown.refused(400).0, "invalid_query");
        for kind in latchkey_core::event::KINDS {
            test.get(&format!("/events?kind={kind}")).await.expect(StatusCode::OK);
        }
    }
}
