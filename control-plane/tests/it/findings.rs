//! What guardrails found: taken in with the records that carry it, listed, summed, and forgotten with them.

use std::time::Duration;

use axum::http::StatusCode;
use latchkey_core::access::{AccessMode, Rule};
use latchkey_ledger::metrics::LedgerMetrics;
use latchkey_ledger::retention::tidy;
use latchkey_proto::ledger as wire;
use serde_json::{Value, json};
use wire::{FindingAction, FindingDirection, FindingRisk};

use crate::ledger::gateway::{ControlPlane, app, edit_settings, number, record, texts};
use crate::support::{START_MS, Test, id, on_both};

fn card() -> wire::Finding {
    wire::Finding {
        category: "pci".to_owned(),
        detector: "credit_card".to_owned(),
        risk: FindingRisk::High.into(),
        action: FindingAction::Blocked.into(),
        direction: FindingDirection::Request.into(),
        place: "messages[3].content".to_owned(),
        message: Some(3),
        count: 2,
        excerpt: "4111 •••• •••• 1111".to_owned(),
        value_hash: vec![0, 255, 16, 1, 2, 3, 4, 5],
        change_request: Vec::new(),
    }
}

fn with(record: wire::Record, findings: Vec<wire::Finding>) -> wire::Record {
    let inspection = Some(wire::Inspection { unread: 4 });
    wire::Record { findings, inspection, ..record }
}

on_both! {
    async fn findings_are_written_once_with_their_records(test: Test) {
        let app = app(&test, |_| {}).await;
        let alice = test.user("alice@acme.com").await;
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        let claimed = wire::Record { identity: "alice@acme.com".to_owned(), identity_source: 3, ..record(&test, &app, 1, vec![]) };
        let unsaid = wire::Finding { action: 0, ..card() };
        let email = wire::Finding {
            category: "custom".to_owned(), detector: "Project\0 Orion".to_owned(), message: None, place: String::new(),
            action: FindingAction::WouldRedact.into(), direction: FindingDirection::Response.into(), risk: FindingRisk::Low.into(),
            ..card()
        };
        let records = vec![
            with(claimed, vec![card(), email, unsaid]),
            with(record(&test, &app, 2, vec![]), vec![]),
            record(&test, &app, 3, vec![]),
        ];
        assert_eq!(gateway.record(records.clone()).await, 3);
        plane.kill().await;
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        assert_eq!(gateway.record(records).await, 3, "told again after a crash");
        assert_eq!(number(&test, "SELECT COUNT(*) FROM findings").await, 2);

        let page = test.get("/findings").await.expect(StatusCode::OK);
        let mut found = page["items"].as_array().unwrap().clone();
        for finding in &mut found {
            assert!(finding.as_object_mut().unwrap().remove("id").unwrap().is_i64());
        }
        assert_eq!(found[1], json!({
            "at": "2026-01-01T00:00:00Z", "request_id": "request-1", "gateway": "gateway-a",
            "app_id": app["id"], "app_name": "Support Bot", "key_id": app["key"]["id"], "key_name": "Support Bot",
            "user_id": alice, "user_name": "alice@acme.com",
            "category": "pci", "detector": "credit_card", "risk": "high", "action": "blocked", "direction": "request",
            "place": "messages[3].content", "message": 3, "count": 2, "excerpt": "4111 •••• •••• 1111", "value_hash": "00ff100102030405",
            "change_request_id": null,
        }));
        assert_eq!((&found[0]["place"], &found[0]["message"], &found[0]["action"]), (&Value::Null, &Value::Null, &json!("would_redact")));
        assert_eq!(found[0]["detector"], "Project Orion", "without what PostgreSQL takes not");

        let logs = test.get("/logs").await.expect(StatusCode::OK);
        let told: Vec<_> = logs["items"].as_array().unwrap().iter()
            .map(|log| (log["inspected"].as_bool().unwrap(), log["findings"].as_u64().unwrap(), log["unread"].as_u64().unwrap())).collect();
        assert_eq!(told, [(false, 0, 0), (true, 0, 4), (true, 3, 4)], "what could not be read is counted");
        let requests = async |query: &str| {
            let page = test.get(&format!("/logs?{query}")).await.expect(StatusCode::OK);
            page["items"].as_array().unwrap().iter().map(|log| log["request_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(requests("findings=true").await, ["request-1"]);
        assert_eq!(requests("findings=false").await, ["request-2"]);
    }
}

on_both! {
    async fn findings_are_counted_when_they_are_committed(test: Test) {
        let app = app(&test, |_| {}).await;
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        let strange = wire::Finding { category: "weather".to_owned(), ..card() };
        let records = vec![with(record(&test, &app, 1, vec![]), vec![card(), card(), strange])];
        gateway.record(records.clone()).await;
        gateway.record(records).await;
        let metrics = latchkey_service::metrics::Metrics::new();
        metrics.register(|registry| registry.register_collector(Box::new(LedgerMetrics(plane.stats.clone()))));
        let text = metrics.text().unwrap();
        for line in [
            r#"latchkey_findings_total{category="pci",action="blocked"} 2"#,
            r#"latchkey_findings_total{category="other",action="blocked"} 1"#,
        ] {
            assert!(text.lines().any(|known| known == line), "{line}: {text}");
        }
    }
}

on_both! {
    async fn many_findings_of_one_request_are_bounded(test: Test) {
        let app = app(&test, |_| {}).await;
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        gateway.record(vec![with(record(&test, &app, 1, vec![]), vec![card(); 300])]).await;
        assert_eq!(number(&test, "SELECT COUNT(*) FROM findings").await, 200);
        assert_eq!(number(&test, "SELECT findings FROM records").await, 300);
    }
}

/// Writes a finding of this request, with what is said.
async fn insert(test: &Test, request: &str, more: Value) {
    let mut row = json!({"request_id": request});
    row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    test.insert("findings", row).await;
}

/// The requests of the findings that the pages of a list hold, newest first.
async fn names(test: &Test, token: &str, path: &str) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = test.with(token, "GET", &format!("{path}{cursor}"), None).await.expect(StatusCode::OK);
        let items = page["items"].as_array().unwrap();
        found.extend(items.iter().map(|finding| finding["request_id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { return found };
        cursor = format!("{}cursor={next}", if path.contains('?') { '&' } else { '?' });
    }
}

on_both! {
    async fn findings_are_filtered_newest_first_and_paged(test: Test) {
        let (a, b) = (test.world.id().to_string(), test.world.id().to_string());
        for (request, at, more) in [
            ("r1", 0, json!({"app_id": a, "user_id": b})),
            ("r2", 1000, json!({"app_id": a, "category": "pci", "detector": "credit_card", "risk": "high", "action": "blocked"})),
            ("r3", 2000, json!({"app_id": b, "key_id": a, "action": "would_block", "direction": "response"})),
            ("r4", 3000, json!({"app_id": b, "action": "redacted"})),
        ] {
            let mut row = more;
            row["at"] = json!(START_MS + at);
            insert(&test, request, row).await;
        }
        for (query, requests) in [
            (String::new(), vec!["r4", "r3", "r2", "r1"]),
            ("?limit=1".into(), vec!["r4", "r3", "r2", "r1"]),
            ("?request_id=r3".into(), vec!["r3"]),
            (format!("?app_id={a}"), vec!["r2", "r1"]),
            (format!("?key_id={a}"), vec!["r3"]),
            (format!("?user_id={b}"), vec!["r1"]),
            ("?category=pii&limit=2".into(), vec!["r4", "r3", "r1"]),
            ("?detector=credit_card".into(), vec!["r2"]),
            ("?risk=high".into(), vec!["r2"]),
            ("?action=blocked".into(), vec!["r2"]),
            ("?action=blocked,would_block,redacted&limit=2".into(), vec!["r4", "r3", "r2"]),
            ("?direction=response".into(), vec!["r3"]),
            ("?from=2026-01-01T00:00:01Z&to=2026-01-01T00:00:03Z".into(), vec!["r3", "r2"]),
            (format!("?app_id={b}&action=redacted"), vec!["r4"]),
            ("?detector=%27+OR+1%3D1".into(), vec![]),
            ("?category=custom".into(), vec![]),
        ] {
            assert_eq!(names(&test, &test.owner, &format!("/findings{query}")).await, requests, "{query}");
        }
        for wrong in ["?action=none", "?category=weather", "?category=%27+OR+1%3D1", "?action=blocked,", "?risk=medium", "?direction=both", "?app_id=1", "?from=today", "?x=1",
            "?cursor=AA", "?limit=0", "?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z"] {
            assert_eq!(test.get(&format!("/findings{wrong}")).await.refused(400).0, "invalid_query", "{wrong}");
        }
    }
}

on_both! {
    async fn a_user_sees_their_own_findings_and_all_of_an_app_only_with_that_capability(test: Test) {
        let (app, hidden) = (test.app(json!({})).await, test.app(json!({})).await);
        let (alice, bob) = (test.user("alice@acme.com").await, test.user("bob@acme.com").await);
        let token = test.token_of(&alice).await;
        for (request, app, user) in [("a1", &app, alice.as_str()), ("b1", &app, &bob), ("a2", &hidden, &alice), ("k1", &app, "")] {
            insert(&test, request, json!({"app_id": app["id"], "user_id": user, "action": "blocked"})).await;
            test.insert("usage_days", json!({"app_id": app["id"], "user_id": user, "key_id": request})).await;
            test.insert("records", json!({"request_id": request, "app_id": app["id"], "user_id": user, "inspected": 1})).await;
        }
        let path = format!("/me/apps/{}/findings", id(&app));
        let summary = format!("{path}/summary?group_by=user");
        for path in [&path, &summary] {
            assert_eq!(test.with(&token, "GET", path, None).await.refused(404).0, "not_found");
        }
        let nothing: [&str; 0] = [];
        assert_eq!(names(&test, &token, "/me/findings").await, nothing);
        let everyone = || Rule { mode: AccessMode::Everyone, ..Rule::default() };
        edit_settings(&test, &app, |settings| settings.self_service.access.viewer = everyone()).await;
        assert_eq!(names(&test, &token, &path).await, ["a1"]);
        assert_eq!(names(&test, &token, "/me/findings").await, ["a1"]);
        let sums = test.with(&token, "GET", &summary, None).await.expect(StatusCode::OK);
        assert_eq!((&sums["totals"]["findings"], &sums["inspected_requests"]), (&json!(1), &json!(1)));
        assert_eq!(sums["items"], json!([{"user_id": alice, "user_name": "alice@acme.com", "findings": 1, "values": 1, "requests": 1}]));
        for filter in [format!("user_id={bob}"), format!("app_id={}", id(&hidden)), "request_id=b1".to_owned()] {
            assert_eq!(names(&test, &token, &format!("{path}?{filter}")).await, nothing, "{filter}");
        }
        edit_settings(&test, &app, |settings| settings.self_service.access.all_logs = everyone()).await;
        assert_eq!(names(&test, &token, &path).await, ["k1", "b1", "a1"]);
        assert_eq!(names(&test, &token, "/me/findings").await, ["a1"], "own, unless the app is asked for");
        assert_eq!(names(&test, &token, &format!("/me/findings?app_id={}", id(&app))).await, ["k1", "b1", "a1"]);
        let sums = test.with(&token, "GET", &summary, None).await.expect(StatusCode::OK);
        assert_eq!((&sums["totals"]["findings"], &sums["inspected_requests"]), (&json!(3), &json!(3)));
        assert_eq!(test.get("/me/findings").await.refused(403).0, "not_a_user");
    }
}

on_both! {
    async fn findings_are_summed_by_what_is_asked_for(test: Test) {
        let app = test.app(json!({})).await;
        let day = 86_400_000;
        for (request, at, more) in [
            ("r1", 0, json!({"count": 3})),
            ("r1", 0, json!({"category": "pci", "detector": "credit_card", "action": "blocked"})),
            ("r2", 0, json!({"count": 5})),
            ("r3", -day, json!({"action": "redacted"})),
            ("r4", -40 * day, json!({})),
        ] {
            let mut row = more;
            row["at"] = json!(START_MS + at);
            row["app_id"] = app["id"].clone();
            insert(&test, request, row).await;
        }
        for (request, inspected) in [("r1", 1), ("r2", 1), ("r3", 1), ("r5", 1), ("r6", 0)] {
            test.insert("records", json!({"request_id": request, "app_id": app["id"], "inspected": inspected})).await;
        }
        let by_hour = test.get("/findings/summary?group_by=hour").await.expect(StatusCode::OK);
        let hours: Vec<_> = by_hour["items"].as_array().unwrap().iter().map(|item| item["began_at"].as_str().unwrap()).collect();
        assert!(!hours.is_empty() && hours.iter().all(|hour| hour.ends_with(":00:00Z")), "{by_hour:#}");
        assert!(hours.is_sorted_by(|later, hour| later > hour), "the newest first: {hours:?}");
        let sum = async |query: &str| test.get(&format!("/findings/summary?{query}")).await.expect(StatusCode::OK);
        let all = sum("").await;
        assert_eq!((&all["items"], &all["truncated"]), (&json!([]), &json!(false)));
        assert_eq!(all["totals"], json!({"findings": 4, "values": 10, "requests": 3}), "of 30 days");
        assert_eq!((&all["inspected_requests"], &all["from"], &all["to"]),
            (&json!(4), &json!("2025-12-02T00:00:00Z"), &json!("2026-01-01T00:00:00Z")));
        let by_day = sum("group_by=category,day").await;
        assert_eq!(by_day["items"], json!([
            {"day": "2026-01-01", "category": "pii", "findings": 2, "values": 8, "requests": 2},
            {"day": "2026-01-01", "category": "pci", "findings": 1, "values": 1, "requests": 1},
            {"day": "2025-12-31", "category": "pii", "findings": 1, "values": 1, "requests": 1},
        ]));
        let by_action = sum("group_by=action&from=2025-11-01T00:00:00Z").await;
        assert_eq!(by_action["items"][0], json!({"action": "monitored", "findings": 3, "values": 9, "requests": 3}));
        let by_app = sum("group_by=app,user,detector&category=pci").await;
        assert_eq!(by_app["items"], json!([{"detector": "credit_card", "app_id": app["id"], "app_name": "Support Bot",
            "findings": 1, "values": 1, "requests": 1}]));
        assert_eq!(by_app["inspected_requests"], 4);
        for wrong in ["group_by=model", "from=2025-01-01T00:00:00Z", "action=x", "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "limit=1"] {
            assert_eq!(test.get(&format!("/findings/summary?{wrong}")).await.refused(400).0, "invalid_query", "{wrong}");
        }
    }
}

on_both! {
    async fn findings_go_with_old_records(test: Test) {
        let plane = ControlPlane::start(&test).await;
        let day = 86_400_000;
        for (request, at) in [("old", START_MS - 31 * day), ("new", START_MS - 29 * day)] {
            insert(&test, request, json!({"at": at})).await;
            test.insert("records", json!({"request_id": request, "at": at})).await;
        }
        tidy(&test.store, &test.world, &plane.streams, 0).await.unwrap();
        assert_eq!(number(&test, "SELECT COUNT(*) FROM findings").await, 2, "0 keeps all");
        tidy(&test.store, &test.world, &plane.streams, 30).await.unwrap();
        for table in ["findings", "records"] {
            assert_eq!(texts(&test, &format!("SELECT request_id FROM {table}")).await, ["new"], "{table}");
        }
        for i in 0..3 {
            test.sql(&[format!(
                "INSERT INTO findings (at, request_id, gateway, app_id, key_id, user_id, category, detector, risk, action, direction,
                 place, message, count, excerpt, value_hash)
                 SELECT {i}, 'many', '', '', '', '', 'pii', 'email', 'low', 'monitored', 'request', '', NULL, 1, '', ''
                 FROM (SELECT 1 AS x UNION ALL SELECT 2) AS a, (SELECT 1 AS y UNION ALL SELECT 2) AS b"
            )]).await;
        }
        test.clock.advance(Duration::from_secs(1));
        tidy(&test.store, &test.world, &plane.streams, 30).await.unwrap();
        assert_eq!(number(&test, "SELECT COUNT(*) FROM findings").await, 1);
    }
}
