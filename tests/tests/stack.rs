//! The harness itself: what is stopped starts again in its place.

use latchkey_tests::stack::ledger::LimitUsage;
use latchkey_tests::stack::{Stack, postgres};
use serde_json::json;

#[tokio::test]
async fn processes_stop_and_start_in_place() {
    let mut stack = Stack::builder().gateways(2).start().await.unwrap();
    let app = stack.api().create_app(json!({ "name": "first" })).await.unwrap();
    for gateway in stack.gateways() {
        gateway.until_status(&app.key, 200).await.unwrap();
    }

    stack.control_plane().stop().await.unwrap();
    assert_eq!(stack.gateway().hello(&app.key).await.unwrap().status, 200);
    stack.control_plane().back_up("before").unwrap();
    stack.control_plane().start().await.unwrap();
    stack.until_synced().await.unwrap();

    let later = stack.api().create_app(json!({ "name": "later" })).await.unwrap();
    stack.gateway().until_status(&later.key, 200).await.unwrap();
    stack.control_plane().kill();
    stack.control_plane().restore("before").unwrap();
    stack.control_plane().start().await.unwrap();
    stack.gateway().until_status(&later.key, 401).await.unwrap();

    stack.gateway_mut().kill();
    assert!(stack.gateway().hello(&app.key).await.is_err());
    stack.gateway_mut().start().await.unwrap();
    stack.until_synced().await.unwrap();
    assert_eq!(stack.gateway().hello(&app.key).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_gateway_with_another_token_can_be_added() {
    let mut stack = Stack::start().await.unwrap();
    let app = stack.api().create_app(json!({ "name": "billing" })).await.unwrap();
    stack.gateway().until_status(&app.key, 200).await.unwrap();
    let options = stack.options("stranger").token("lk_wrong");
    let stranger = stack.add_gateway(options).await.unwrap();
    assert_eq!(stranger.hello(&app.key).await.unwrap().status, 503);
    assert_eq!(stack.api().gateway("stranger").await.unwrap(), None);
}

#[tokio::test]
async fn the_stack_runs_on_postgres() {
    let url = postgres::database().await.unwrap();
    let stack = Stack::builder().database_url(&url).start().await.unwrap();
    let app = stack.api().create_app(json!({ "name": "billing" })).await.unwrap();
    stack.gateway().until_status(&app.key, 200).await.unwrap();
    let revoked = stack.api().act(&app.path(), "revoke").await.unwrap();
    assert_eq!(revoked["propagation"]["applied"], json!(["gateway-0"]));
    assert_eq!(stack.gateway().hello(&app.key).await.unwrap().status, 401);
}

#[tokio::test]
async fn limits_prices_and_usage_are_written_and_read() {
    let stack = Stack::builder().priced().gateways(0).start().await.unwrap();
    let api = stack.api();
    let limits = json!({ "requests_per_minute": 60, "budget": { "usd": "1.50", "per": "month" } });
    let app = api.create_limited_app("limited", limits).await.unwrap();
    let unused = |limit| LimitUsage { limit, used: 0, reserved: 0 };
    assert_eq!(api.limit_usage(&app.path(), "requests_per_minute").await.unwrap(), unused(60));
    assert_eq!(api.limit_usage(&app.path(), "budget").await.unwrap(), unused(1_500_000_000));
    api.limit(&app, json!({ "requests_per_minute": null, "requests_per_day": 5 })).await.unwrap();
    assert_eq!(api.limit_usage(&app.path(), "requests_per_day").await.unwrap(), unused(5));
    assert!(api.limit_usage(&app.path(), "requests_per_minute").await.is_err());
    assert!(api.limit_usage(&app.path(), "budget").await.is_ok(), "what is left out stays");

    assert_eq!(api.records(&app, "status=4xx").await.unwrap().len(), 0);
    let events = api.events(&app).await.unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["key.created"]);
    assert_eq!(api.sums(&app, "").await.unwrap()["requests"], 0);
}
