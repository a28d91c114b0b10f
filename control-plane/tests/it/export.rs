//! Lists as files.

use axum::body::Body;
use axum::http::Request;
use futures::StreamExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::support::{START_MS, Test, id, on_both};
use crate::web::visitor::Visitor;

async fn text(test: &Test, path: &str) -> String {
    let mut boss = Visitor::again(test, "boss@acme.com").await;
    let file = boss.open(&format!("/api/v1{path}")).await;
    assert_eq!(file.status, 200, "{path}: {}", file.text);
    file.text
}

/// The lines of a CSV file whose cells have no line breaks.
fn lines(file: &str) -> Vec<String> {
    assert!(file.ends_with("\r\n"), "{file}");
    file.trim_end().split("\r\n").map(str::to_owned).collect()
}

/// A column of a file of lines of JSON.
fn column(file: &str, name: &str) -> Vec<Value> {
    file.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()[name].clone()).collect()
}

on_both! {
    async fn all_logs_are_exported_in_parts_and_as_they_are_listed(test: Test) {
        Visitor::owner(&test).await;
        let rows: Vec<_> = (0..4203).map(|number| format!(
            "INSERT INTO records (at, request_id, gateway, app_id, key_id, user_id, model, served_model, provider, endpoint,
             status, code, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, cost, price_version, settlement,
             latency_ms, streamed, client_address, conversation_id, metadata)
             VALUES ({START_MS}, 'r{number}', 'g', '', '', '', 'm{}', '', '', '', 200, '', 0, 0, 0, 0, 225000, 0, 'none', 0, 0, '', '',
             '{{}}')", number % 2)).collect();
        test.sql(&rows).await;
        let json = text(&test, "/logs/export").await;
        let expected: Vec<_> = (0..4203).rev().map(|number| json!(format!("r{number}"))).collect();
        assert_eq!(column(&json, "request_id"), expected, "newest first, each once");
        let listed = test.get("/logs?limit=2").await.json;
        assert_eq!(json.lines().take(2).map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>(),
            *listed["items"].as_array().unwrap());
        assert_eq!(text(&test, "/logs/export?model=m1&format=ndjson").await.lines().count(), 2101);
        let csv = lines(&text(&test, "/logs/export?format=csv&model=m0").await);
        assert_eq!(csv.len(), 1 + 2102);
        assert!(csv[0].starts_with("id,at,request_id,gateway,app_id,app_name,"), "{}", csv[0]);
        assert!(csv[1].contains(",2026-01-01T00:00:00Z,r4202,g,,,") && csv[1].contains(",0.000225,"), "{}", csv[1]);
        assert_eq!(lines(&text(&test, "/logs/export?format=csv&model=none").await), [csv[0].clone()]);
        let request = Request::builder().uri("/api/v1/logs/export?format=csv").header("authorization", format!("Bearer {}", test.owner));
        let answer = test.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let headers = ["content-type", "content-disposition"].map(|name| answer.headers()[name].to_str().unwrap().to_owned());
        assert_eq!(headers, ["text/csv; charset=utf-8", "attachment; filename=\"latchkey-logs.csv\""]);
        assert!(answer.into_body().into_data_stream().count().await >= 4, "a page at a time");
        for wrong in ["format=xml", "limit=3", "cursor=x", "format=csv&format=csv", "status=9", "finding=nothing", "other=1"] {
            assert_eq!(test.get(&format!("/logs/export?{wrong}")).await.refused(400).0, "invalid_query", "{wrong}");
        }
    }
}

on_both! {
    async fn what_clients_send_is_no_formula_in_a_spreadsheet(test: Test) {
        Visitor::owner(&test).await;
        test.insert("records", json!({"model": "=HYPERLINK(\"https://a\")", "conversation_id": "@x", "metadata": r#"{"a": "b,c"}"#})).await;
        let csv = lines(&text(&test, "/logs/export?format=csv").await);
        assert!(csv[1].contains(r#","'=HYPERLINK(""https://a"")","#) && csv[1].contains(",'@x,"), "{}", csv[1]);
        assert!(csv[1].contains(r#""{""a"":""b,c""}""#), "{}", csv[1]);
        let json = text(&test, "/logs/export").await;
        assert_eq!(column(&json, "conversation_id"), ["@x"], "JSON is as it is");
    }
}

on_both! {
    async fn usage_findings_and_audit_are_exported_with_their_filters(test: Test) {
        Visitor::owner(&test).await;
        let app = test.app(json!({})).await;
        let day = START_MS / 86_400_000;
        for (model, cost) in [("a", 1_000_000_000_i64), ("b", 2_500_000_000)] {
            test.insert("usage_days", json!({"day": day, "app_id": app["id"], "model": model, "requests": 3, "cost": cost})).await;
            test.insert("findings", json!({"request_id": model, "app_id": app["id"], "category": if model == "a" { "pii" } else { "pci" }})).await;
        }
        test.sum_up().await;
        let sums = "requests,denied,input_tokens,cached_input_tokens,output_tokens,reasoning_tokens,cost";
        assert_eq!(lines(&text(&test, "/usage/export?format=csv&group_by=day,app,model").await), [
            format!("day,app_id,app_name,model,{sums}"),
            format!("2026-01-01,{},Support Bot,b,3,0,0,0,0,0,2.5", id(&app)),
            format!("2026-01-01,{},Support Bot,a,3,0,0,0,0,0,1", id(&app)),
        ]);
        assert_eq!(lines(&text(&test, "/usage/export?format=csv&model=a").await), [sums.to_owned(), "3,0,0,0,0,0,1".to_owned()]);
        assert_eq!(column(&text(&test, "/usage/export?group_by=model").await, "model"), ["b", "a"]);
        assert_eq!(column(&text(&test, "/findings/export").await, "request_id"), ["b", "a"]);
        let csv = lines(&text(&test, "/findings/export?format=csv&category=pii").await);
        assert_eq!(csv.len(), 2);
        assert!(csv[0].starts_with("id,at,request_id,") && csv[1].contains(",a,"), "{csv:?}");
        let csv = lines(&text(&test, "/audit/export?format=csv").await);
        assert!(csv[0].starts_with("number,at,actor_kind,") && !csv[0].contains("hash"), "{}", csv[0]);
        let created = text(&test, "/audit/export?action=app.created").await;
        assert_eq!(column(&created, "action"), ["app.created"]);
        let whole = column(&text(&test, "/audit/export").await, "number");
        assert_eq!(csv.len() - 1 + 2, whole.len(), "with the two sign-ins since");
        assert!(whole.is_sorted_by(|a, b| a.as_i64() < b.as_i64()), "the chain is in its order: {whole:?}");
        let of_app = format!("/audit/export?format=csv&app_id={}", id(&app));
        assert!(lines(&text(&test, &of_app).await).len() > 1);
        for wrong in ["/usage/export?limit=3", "/usage/export?from=2026-01-02&to=2026-01-01", "/findings/export?risk=none",
            "/audit/export?action=nonsense", "/audit/export?limit=1"] {
            assert_eq!(test.get(wrong).await.refused(400).0, "invalid_query", "{wrong}");
        }
    }
}

on_both! {
    async fn members_export_their_own_and_with_all_logs_everyones(test: Test) {
        let app = test.app(json!({"mode": "named"})).await;
        test.self_service(&app, json!({"access": {"viewer": {"mode": "everyone"}}})).await;
        let mut alice = Visitor::signed_in(&test, "alice@acme.com").await;
        let own = id(&test.get("/users?search=alice").await.json["items"][0]).to_owned();
        let bob = test.user("bob@acme.com").await;
        for (request, user) in [("mine", &own), ("bobs", &bob)] {
            let row = json!({"request_id": request, "app_id": app["id"], "user_id": user});
            test.insert("records", row.clone()).await;
            test.insert("findings", row).await;
            test.insert("usage_days", json!({"app_id": app["id"], "user_id": user, "day": START_MS / 86_400_000, "requests": 2})).await;
        }
        let of_app = format!("/api/v1/me/apps/{}", id(&app));
        for (requests, sum) in [(vec!["mine"], 2), (vec!["bobs", "mine"], 4)] {
            for list in ["logs", "findings"] {
                let file = alice.open(&format!("{of_app}/{list}/export")).await;
                assert_eq!(column(&file.text, "request_id"), requests, "{list}");
            }
            let file = alice.open(&format!("{of_app}/usage/export")).await;
            assert_eq!(column(&file.text, "requests"), [sum]);
            test.self_service(&app, json!({"access": {"all_logs": {"mode": "everyone"}}})).await;
        }
        for list in ["logs", "findings", "usage", "audit"] {
            assert_eq!(alice.open(&format!("/api/v1/{list}/export")).await.status, 403, "{list}");
        }
        let page = alice.open(&format!("/apps/{}/logs?time=1h&model=none", id(&app))).await;
        assert!(page.all("a[download]").is_empty(), "nothing to export");
        let page = alice.open(&format!("/apps/{}/logs?time=1h&request_id=bobs", id(&app))).await;
        let links: Vec<_> = ["first", "last"].map(|which| page.attribute(&format!("a[download]:{which}-of-type"), "href").unwrap()).into();
        assert!(links[0].starts_with(&format!("{of_app}/logs/export?format=csv&from=2025-12-31T23")), "{links:?}");
        assert_eq!(column(&alice.open(&links[1]).await.text, "request_id"), ["bobs"]);
        let page = alice.open(&format!("/apps/{}/findings", id(&app))).await;
        let csv = alice.open(&page.attribute("a[download]", "href").unwrap()).await;
        assert_eq!((csv.status, lines(&csv.text).len()), (200, 3));
    }
}

on_both! {
    async fn pages_export_what_they_show(test: Test) {
        let app = test.app(json!({})).await;
        let mut boss = Visitor::owner(&test).await;
        for (request, code) in [("a", ""), ("b", "rate_limit_exceeded")] {
            test.insert("records", json!({"request_id": request, "app_id": app["id"], "code": code, "at": START_MS - 1000, "cost": 1000})).await;
            test.insert("findings", json!({"request_id": request, "app_id": app["id"], "category": "pii", "at": START_MS - 1000})).await;
        }
        for (page, rows) in [
            ("/admin/logs?app_id=support+bot&code=rate_limit_exceeded&time=24h", 1),
            ("/admin/findings?time=1h&category=pii", 2),
            ("/admin/usage?time=1h&by=app", 1),
            ("/admin/usage?time=24h", 1),
            ("/admin/audit?action=app.&time=24h", 1),
        ] {
            let shown = boss.open(page).await;
            let csv = boss.open(&shown.attribute("a[download]:first-of-type", "href").unwrap()).await;
            assert_eq!((csv.status, lines(&csv.text).len()), (200, rows + 1), "{page}: {}", csv.text);
            let json = boss.open(&shown.attribute("a[download]:last-of-type", "href").unwrap()).await;
            assert_eq!((json.status, json.text.lines().count()), (200, rows), "{page}: {}", json.text);
        }
        for page in ["/admin/logs?status=9", "/admin/usage?time=2h"] {
            assert!(boss.open(page).await.all("a[download]").is_empty(), "{page}: what is refused is not exported");
        }
    }
}
