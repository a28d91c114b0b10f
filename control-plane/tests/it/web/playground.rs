use axum::http::StatusCode;
use serde_json::{Value, json};

use super::visitor::{Shown, Visitor};
use crate::support::{START_MS, Test, on_both};

/// What the page tells of a request that has this record.
async fn known(test: &Test, boss: &mut Visitor<'_>, id: &str, more: Value) -> Shown {
    let app = test.app(json!({})).await;
    let mut record = json!({"app_id": app["id"], "request_id": id, "at": START_MS - 1_000});
    record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    test.insert("records", record).await;
    boss.open(&format!("/admin/playground/record?request_id={id}")).await
}

const ROWS: &str = "[aria-label=Attempts] tbody tr";

on_both! {
async fn each_attempt_at_a_routing_group_is_shown_with_why_it_moved_on(test: Test) {
    let mut boss = Visitor::owner(&test).await;
    let attempts = json!([
        {"provider": "one", "model": "gpt-4o", "status": 503, "end": "status", "duration_ms": 120},
        {"provider": "two", "model": "dep-4o", "status": null, "end": "connection", "duration_ms": 3},
        {"provider": "three", "model": "gpt-4o", "status": null, "end": "timeout", "duration_ms": 2_000},
        {"provider": "four", "model": "gpt-4o", "status": 200, "end": "served", "duration_ms": 900},
    ]);
    let record = json!({"model": "fast", "provider": "four", "served_model": "gpt-4o", "attempts": attempts.to_string()});
    let page = known(&test, &mut boss, "r-1", record).await;
    let expected = [
        "one gpt-4o 503 120 ms Moved on: The group counts this status as a failure.",
        "two dep-4o none 3 ms Moved on: The connection failed, or closed before a response arrived.",
        "three gpt-4o none 2.0 s Moved on: It timed out.",
        "four gpt-4o 200 900 ms Answered",
    ];
    assert_eq!(page.all(ROWS), expected, "{}", page.text);
    assert_eq!(page.attribute(&format!("{ROWS} a"), "href").as_deref(), Some("/admin/providers/one"));
    assert!(page.text.contains("routing group <code>fast</code>"), "{}", page.text);

    let attempts = json!([
        {"provider": "one", "model": "gpt-4o", "status": 200, "end": "error_event", "duration_ms": 9},
        {"provider": "two", "model": "gpt-4o", "status": 429, "end": "status", "duration_ms": 5},
    ]);
    let page = known(&test, &mut boss, "r-2", json!({"attempts": attempts.to_string(), "status": 429})).await;
    let expected = [
        "one gpt-4o 200 9 ms Moved on: The first event of its stream was an error.",
        "two gpt-4o 429 5 ms The group counts this status as a failure.",
    ];
    assert_eq!(page.all(ROWS), expected, "nothing came after the last");

    let page = known(&test, &mut boss, "r-3", json!({"model": "gpt-4o", "provider": "one"})).await;
    assert!(page.text.contains("<h3>Record</h3>") && !page.text.contains("Attempts"), "{}", page.text);
}
}

on_both! {
async fn routing_groups_are_offered_beside_models(test: Test) {
    let mut boss = Visitor::owner(&test).await;
    let provider = json!({"name": "one", "kind": "openai", "base_url": "https://api.acme.com/v1"});
    test.post("/providers", provider).await.expect(StatusCode::CREATED);
    test.post("/models", json!({"name": "gpt-4o", "provider": "one"})).await.expect(StatusCode::CREATED);
    let targets = json!([{"provider": "one", "model": "gpt-4o", "weight": 100}]);
    for name in ["fast", "gpt-4o"] {
        let group = json!({"name": name, "targets": targets});
        test.post("/routing-groups", group).await.expect(StatusCode::CREATED);
    }
    let page = boss.open("/admin/playground").await;
    let offered = page.text.split("<datalist id=\"models\">").nth(1).unwrap().split("</datalist>").next().unwrap();
    let names: Vec<_> = offered.split("value=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(names, ["fast", "gpt-4o"], "each name once");
}
}
