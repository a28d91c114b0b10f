use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use latchkey::router::router;
use latchkey_core::role::Role;
use latchkey_ledger::metrics::LedgerMetrics;
use latchkey_ledger::stats::Stats;
use latchkey_proto::ledger::Verdict;
use serde_json::json;
use tower::ServiceExt as _;

use crate::support::{Test, id, on_both};

async fn scrape(test: &Test, token: Option<&str>) -> (StatusCode, String) {
    let mut request = Request::builder().uri("/metrics");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request.body(Body::empty()).unwrap();
    let response = router(test.api.clone()).oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

on_both! {
    async fn requests_are_counted_by_route_and_status(test: Test) {
        let app = test.app(json!({})).await;
        test.get(&format!("/apps/{}", id(&app))).await.expect(StatusCode::OK);
        test.get("/apps/none").await.refused(404);
        test.get("/nowhere/at/all").await.refused(404);
        let stats = Arc::new(Stats::default());
        stats.records.fetch_add(3, Ordering::Relaxed);
        stats.count(Verdict::Contended);
        stats.commits.observe(Duration::from_millis(4));
        test.api.metrics.register(|registry| registry.register_collector(Box::new(LedgerMetrics(stats))));
        assert_eq!(scrape(&test, None).await.0, StatusCode::UNAUTHORIZED);
        let token = test.token(Role::Gateway).await;
        let (status, text) = scrape(&test, Some(&token)).await;
        assert_eq!(status, StatusCode::OK);
        for line in [
            r#"latchkey_http_requests_total{method="POST",route="/api/v1/apps",status="201"} 1"#,
            r#"latchkey_http_requests_total{method="GET",route="/api/v1/apps/{id}",status="200"} 1"#,
            r#"latchkey_http_requests_total{method="GET",route="/api/v1/apps/{id}",status="404"} 1"#,
            r#"latchkey_http_requests_total{method="GET",route="unmatched",status="404"} 1"#,
            r#"latchkey_http_requests_total{method="GET",route="/metrics",status="401"} 1"#,
            r#"latchkey_http_request_duration_seconds_count{method="GET",route="/api/v1/apps/{id}"} 2"#,
            "latchkey_gateways_connected 0",
            "latchkey_ledger_records_total 3",
            r#"latchkey_ledger_grants_total{verdict="contended"} 1"#,
            r#"latchkey_ledger_commit_seconds_bucket{le="0.002"} 0"#,
            r#"latchkey_ledger_commit_seconds_bucket{le="0.005"} 1"#,
            "latchkey_ledger_commit_seconds_count 1",
            concat!("latchkey_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ] {
            assert!(text.lines().any(|other| other == line), "no `{line}` in\n{text}");
        }
        assert!(text.contains("\nlatchkey_database_connections "), "{text}");
        assert!(!text.contains(&id(&app)) && !text.contains("nowhere"), "a path that a client made up is no label");
    }
}

on_both! {
    async fn what_is_known_without_the_database_is_told_without_it(test: Test) {
        let token = test.token(Role::Gateway).await;
        let stranger = test.token(Role::Gateway).await;
        let up = |text: &str| text.lines().any(|line| line == "latchkey_database_up 1");
        assert!(up(&scrape(&test, Some(&token)).await.1));
        test.store.close().await;
        for _ in 0..3 {
            test.clock.advance(Duration::from_secs(200));
            let (status, text) = scrape(&test, Some(&token)).await;
            assert_eq!(status, StatusCode::OK, "{text}");
            assert!(text.lines().any(|line| line == "latchkey_database_up 0"), "{text}");
            assert!(text.contains("latchkey_http_requests_total"), "{text}");
        }
        assert!(scrape(&test, Some(&stranger)).await.0.is_server_error(), "nobody knows who that is");
        assert_eq!(scrape(&test, None).await.0, StatusCode::UNAUTHORIZED);
        test.clock.advance(Duration::from_secs(301));
        assert!(scrape(&test, Some(&token)).await.0.is_server_error(), "too long ago");
    }
}

on_both! {
    async fn a_token_that_was_revoked_before_the_outage_is_not_let_in(test: Test) {
        let token = test.token(Role::Gateway).await;
        assert_eq!(scrape(&test, Some(&token)).await.0, StatusCode::OK);
        test.sql(&["UPDATE tokens SET revoked_at = 1 WHERE role = 'gateway'".to_owned()]).await;
        assert_eq!(scrape(&test, Some(&token)).await.0, StatusCode::UNAUTHORIZED);
        test.store.close().await;
        assert!(scrape(&test, Some(&token)).await.0.is_server_error());
    }
}

on_both! {
    /// The dashboard beside Envoy's configuration asks for nothing that is not measured.
    async fn the_dashboard_asks_for_metrics_that_exist(test: Test) {
        test.get("/apps").await.expect(StatusCode::OK);
        let gateway = json!({"name": "edge-1", "instance": "i", "connected": true, "revision": 7, "lag": 3,
            "connected_at": "2026-01-01T00:00:00Z", "rejected": [{"resource": "catalogue", "reason": "r"}]});
        test.api.metrics.set_gateways(&[serde_json::from_value(gateway).unwrap()]);
        let ledger = LedgerMetrics(Arc::new(Stats::default()));
        test.api.metrics.register(|registry| registry.register_collector(Box::new(ledger)));
        let mut known = test.api.metrics.text().unwrap();
        for line in [
            "latchkey_gateways_connected 1",
            r#"latchkey_gateway_lag_revisions{gateway="edge-1"} 3"#,
            r#"latchkey_gateway_rejected_resources{gateway="edge-1"} 1"#,
        ] {
            assert!(known.lines().any(|other| other == line), "no `{line}` in\n{known}");
        }
        known.push_str(include_str!("../../../filter/src/metrics.rs"));
        let dashboard: serde_json::Value =
            serde_json::from_str(include_str!("../../../envoy/grafana/latchkey.json")).unwrap();
        let mut asked = 0;
        for target in dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array()) {
            for query in target {
                let query = query["expr"].as_str().unwrap().replace("latchkey_control_plane", "");
                let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                for name in words.filter(|word| word.starts_with("latchkey_")) {
                    let base = name.trim_end_matches("_bucket").trim_end_matches("_total");
                    let found = |end: char| known.contains(&format!("{base}{end}"));
                    assert!(found(' ') || found('"'), "`{name}` is not measured");
                    asked += 1;
                }
            }
        }
        assert!(asked >= 16, "only {asked} metrics");
    }
}
