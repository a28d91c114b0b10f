//! The harness itself: what is stopped starts again in its place.

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
