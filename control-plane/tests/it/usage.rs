use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::support::{START_MS, Test, id, on_both};

const TODAY: i64 = START_MS / 86_400_000;

async fn usage(test: &Test, query: &str) -> Value {
    test.get(&format!("/usage{query}")).await.expect(StatusCode::OK)
}

/// Some of an answer's members, one row each.
fn table(usage: &Value, columns: &[&str]) -> Value {
    let row = |item: &Value| columns.iter().map(|column| item[*column].clone()).collect::<Vec<_>>();
    usage["items"].as_array().unwrap().iter().map(row).collect()
}

on_both! {
    async fn sums_are_grouped_filtered_and_totalled(test: Test) {
        let app = test.app(json!({"mode": "named"})).await;
        let key = test.named_key(&app).await;
        let gone = test.world.id().to_string();
        for (day, app_id, key_id, user_id, model, cost) in [
            (TODAY, &app["id"], &key["id"], &key["user_id"], "gpt-4o", 3_000_000_000_i64),
            (TODAY, &app["id"], &key["id"], &key["user_id"], "gpt-4o-mini", 1_000_000_000),
            (TODAY - 1, &app["id"], &key["id"], &key["user_id"], "gpt-4o", 500_000_000),
            (TODAY, &json!(gone), &json!(gone), &json!(""), "gpt-4o", 2_000_000_000),
            (TODAY - 30, &app["id"], &key["id"], &key["user_id"], "gpt-4o", 7_000_000_000),
        ] {
            test.insert("usage_days", json!({"day": day, "app_id": app_id, "key_id": key_id, "user_id": user_id,
                "model": model, "provider": "openai", "cost": cost, "requests": 2, "denied": 1, "input_tokens": 10,
                "cached_input_tokens": 4, "output_tokens": 20, "reasoning_tokens": 5})).await;
        }
        let all = usage(&test, "").await;
        assert_eq!(all, json!({
            "from": "2025-12-03", "to": "2026-01-01", "items": [], "truncated": false,
            "totals": {"requests": 8, "denied": 4, "input_tokens": 40, "cached_input_tokens": 16,
                "output_tokens": 80, "reasoning_tokens": 20, "cost": "6.5"}
        }));
        let by_app = usage(&test, "?group_by=app").await;
        let apps = json!([[id(&app), "Support Bot", 6, "4.5"], [gone, null, 2, "2"]]);
        assert_eq!(table(&by_app, &["app_id", "app_name", "requests", "cost"]), apps);
        let by_day = usage(&test, "?group_by=model,day").await;
        assert_eq!(table(&by_day, &["day", "model", "cost"]), json!([
            ["2026-01-01", "gpt-4o", "5"], ["2026-01-01", "gpt-4o-mini", "1"], ["2025-12-31", "gpt-4o", "0.5"],
        ]));
        let everything = usage(&test, "?group_by=day,app,user,key,model,provider&model=gpt-4o-mini").await;
        let user = test.get(&format!("/users/{}", key["user_id"].as_str().unwrap())).await.expect(StatusCode::OK);
        assert_eq!(everything["items"], json!([{
            "day": "2026-01-01", "app_id": app["id"], "app_name": "Support Bot", "user_id": key["user_id"],
            "user_name": user["name"], "key_id": key["id"], "key_name": "Alice local dev", "model": "gpt-4o-mini",
            "provider": "openai", "requests": 2, "denied": 1, "input_tokens": 10, "cached_input_tokens": 4,
            "output_tokens": 20, "reasoning_tokens": 5, "cost": "1",
        }]));
        let by_user = usage(&test, &format!("?group_by=user&app_id={gone}")).await;
        assert_eq!(table(&by_user, &["user_id", "requests"]), json!([[null, 2]]));
        assert_eq!(usage(&test, "?from=2025-12-02&to=2025-12-02").await["totals"]["cost"], "7");
        assert_eq!(usage(&test, &format!("?key_id={}&from=2026-01-01", id(&key))).await["totals"]["requests"], 4);
        assert_eq!(usage(&test, "?provider=none&group_by=day").await["totals"]["cost"], "0");
        for wrong in ["?group_by=week", "?from=2026-01-02&to=2026-01-01", "?from=x", "?days=3"] {
            assert_eq!(test.get(&format!("/usage{wrong}")).await.refused(400).0, "invalid_query", "{wrong}");
        }
    }
}

on_both! {
    async fn more_groups_than_fit_are_cut_and_totals_are_not(test: Test) {
        let rows: Vec<_> = (0..1001).map(|i| format!(
            "INSERT INTO usage_days VALUES ({TODAY}, '', '', '', 'm{i}', '', 1, 0, 0, 0, 0, 0, {i})")).collect();
        test.sql(&rows).await;
        test.sum_up().await;
        let by_model = usage(&test, "?group_by=model").await;
        assert_eq!((by_model["items"].as_array().unwrap().len(), &by_model["truncated"]), (1000, &json!(true)));
        assert_eq!((&by_model["items"][0]["model"], &by_model["totals"]["requests"]), (&json!("m1000"), &json!(1001)));
    }
}
