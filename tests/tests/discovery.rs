//! How keys reach gateways, and what happens when something on the way breaks.

use std::time::Duration;

use latchkey_tests::stack::api::App;
use latchkey_tests::stack::postgres;
use latchkey_tests::stack::{Stack, wait};
use serde_json::{Value, json};

async fn stack() -> (Stack, App) {
    let stack = Stack::start().await.unwrap();
    let app = new_app(&stack, "first").await;
    stack.gateway().until_status(&app.key, 200).await.unwrap();
    (stack, app)
}

async fn new_app(stack: &Stack, name: &str) -> App {
    stack.api().create_app(json!({ "name": name })).await.unwrap()
}

async fn until_gateway(stack: &Stack, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    wait::until("the gateway to look like this in the list", Duration::from_secs(20), async || {
        Ok(stack.api().gateway(name).await?.filter(|gateway| wanted(gateway)))
    })
    .await
    .unwrap()
}

/// How many full snapshots a gateway has been through since its process began.
async fn snapshots(stack: &Stack) -> u64 {
    stack.gateway().stat("wasmcustom.latchkey_discovery_generation").await.unwrap()
}

#[tokio::test]
async fn a_change_arrives_within_moments_and_admins_see_it() {
    let (stack, _) = stack().await;
    let app = new_app(&stack, "second").await;
    stack.gateway().until_status(&app.key, 200).await.unwrap();
    let gateway = until_gateway(&stack, "gateway-0", |gateway| gateway["lag"] == 0).await;
    assert_eq!((&gateway["connected"], &gateway["last_error"]), (&json!(true), &Value::Null));
    assert!(gateway["revision"].as_u64().unwrap() > 0 && gateway["instance"].is_string(), "{gateway}");
}

#[tokio::test]
async fn keys_keep_working_while_the_control_plane_is_away_and_the_stream_resumes() {
    let (mut stack, app) = stack().await;
    let before = snapshots(&stack).await;
    assert_eq!(before, 1);
    stack.control_plane().stop().await.unwrap();
    for _ in 0..5 {
        assert_eq!(stack.gateway().hello(&app.key).await.unwrap().status, 200);
    }
    let unknown = stack.gateway().hello("sk-quilr-BwcHBwcHBwcHBwcHBwcHBwcHBwc2U7fF").await.unwrap();
    assert_eq!(unknown.status, 401);
    stack.control_plane().start().await.unwrap();
    let second = new_app(&stack, "second").await;
    stack.gateway().until_status(&second.key, 200).await.unwrap();
    assert_eq!(stack.gateway().hello(&app.key).await.unwrap().status, 200);
    assert_eq!(snapshots(&stack).await, before, "resumed without a full snapshot");
}

#[tokio::test]
async fn a_control_plane_that_is_killed_comes_back() {
    let (mut stack, app) = stack().await;
    stack.control_plane().kill();
    assert_eq!(stack.gateway().hello(&app.key).await.unwrap().status, 200);
    stack.control_plane().start().await.unwrap();
    stack.until_synced().await.unwrap();
    stack.api().act(&app.path(), "revoke").await.unwrap();
    assert_eq!(stack.gateway().hello(&app.key).await.unwrap().status, 401);
    assert_eq!(snapshots(&stack).await, 1);
}

#[tokio::test]
async fn an_older_database_means_a_full_snapshot_and_what_it_lacks_is_gone() {
    let (mut stack, old) = stack().await;
    stack.control_plane().stop().await.unwrap();
    stack.control_plane().back_up("backup").unwrap();
    stack.control_plane().start().await.unwrap();
    let lost = new_app(&stack, "lost").await;
    stack.gateway().until_status(&lost.key, 200).await.unwrap();
    stack.control_plane().stop().await.unwrap();
    stack.control_plane().restore("backup").unwrap();
    stack.control_plane().start().await.unwrap();
    let gone = stack.gateway().until_status(&lost.key, 401).await.unwrap();
    assert_eq!(gone.code(), "invalid_api_key");
    assert_eq!(stack.gateway().hello(&old.key).await.unwrap().status, 200);
    assert_eq!(snapshots(&stack).await, 2);
}

#[tokio::test]
async fn an_older_database_is_noticed_even_when_it_has_caught_up() {
    let (mut stack, _) = stack().await;
    stack.control_plane().stop().await.unwrap();
    stack.control_plane().back_up("backup").unwrap();
    stack.control_plane().start().await.unwrap();
    let lost = new_app(&stack, "lost").await;
    stack.gateway().until_status(&lost.key, 200).await.unwrap();
    // The gateway cannot reach the control plane while the other history goes past what it knows.
    stack.gateway().pause().unwrap();
    stack.control_plane().stop().await.unwrap();
    stack.control_plane().restore("backup").unwrap();
    stack.control_plane().start().await.unwrap();
    let mut last = new_app(&stack, "other").await;
    for i in 0..3 {
        last = new_app(&stack, &format!("other {i}")).await;
    }
    stack.gateway().resume().unwrap();
    stack.gateway().until_status(&last.key, 200).await.unwrap();
    assert_eq!(stack.gateway().hello(&lost.key).await.unwrap().code(), "invalid_api_key");
}

#[tokio::test]
async fn a_restarted_envoy_learns_everything_anew() {
    let (mut stack, app) = stack().await;
    let before = until_gateway(&stack, "gateway-0", |gateway| gateway["connected"] == true).await;
    stack.gateway_mut().restart().await.unwrap();
    stack.gateway().until_status(&app.key, 200).await.unwrap();
    let after = until_gateway(&stack, "gateway-0", |gateway| gateway["instance"] != before["instance"]).await;
    assert_eq!(after["connected"], true);
}

#[tokio::test]
async fn a_gateway_with_a_wrong_token_learns_nothing() {
    let (mut stack, app) = stack().await;
    let admin = stack.control_plane().token("admin", "admin").await.unwrap();
    for (name, token) in [("stranger", "lk_wrong"), ("impostor", admin.as_str())] {
        let options = stack.options(name).token(token);
        let gateway = stack.add_gateway(options).await.unwrap();
        let answer = gateway.hello(&app.key).await.unwrap();
        assert_eq!((answer.status, answer.code()), (503, "snapshot_not_ready"), "{name}");
        assert_eq!(answer.header("retry-after"), "1");
        let refused = async || {
            Ok((gateway.stat("wasmcustom.latchkey_discovery_streams_ended").await? > 1).then_some(()))
        };
        wait::until("the gateway to have been refused twice", Duration::from_secs(20), refused)
            .await
            .unwrap();
        assert_eq!(gateway.hello(&app.key).await.unwrap().status, 503, "{name}");
        let ready = gateway.get("/latchkey/ready", "").await.unwrap();
        assert_eq!(ready.status, 503, "{}", ready.text);
    }
    let list = stack.api().get("/api/v1/gateways").await.unwrap().ok().unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
}

#[tokio::test]
async fn a_refused_policy_leaves_the_last_good_state_and_blocks_nothing_else() {
    let (mut stack, app) = stack().await;
    let other = new_app(&stack, "other").await;
    stack.gateway().until_status(&other.key, 200).await.unwrap();
    // A value that the API would never write.
    let corrupt = format!(
        "UPDATE apps SET settings = REPLACE(settings, '\"ip_allow_list\":null', '\"ip_allow_list\":[\"nowhere\"]'),
         revision = (SELECT revision + 1 FROM head) WHERE id = '{}'",
        app.id
    );
    stack.control_plane().sql(&corrupt).await.unwrap();
    // The next commit publishes it as well.
    let revoked = stack.api().act(&other.path(), "revoke").await.unwrap();
    assert_eq!(revoked["propagation"]["complete"], true, "{revoked}");
    assert_eq!(stack.gateway().hello(&other.key).await.unwrap().status, 401);
    assert_eq!(
        stack.gateway().hello(&app.key).await.unwrap().status,
        200,
        "the last good policy is in force"
    );
    let name = format!("app/{}", app.id);
    let gateway =
        until_gateway(&stack, "gateway-0", |gateway| gateway["rejected"][0]["resource"] == name.as_str())
            .await;
    assert!(gateway["last_error"].is_string(), "{gateway}");
    // It cannot be proven that the broken app is off, and the answer says so.
    let off = stack.api().act(&app.path(), "deactivate").await.unwrap();
    assert_eq!(off["propagation"]["complete"], false, "{off}");
    // Mended, it is applied.
    let edit = json!({ "ip_allow_list": null });
    stack.api().send(reqwest::Method::PATCH, &app.path(), Some(edit)).await.unwrap().ok().unwrap();
    let mended = until_gateway(&stack, "gateway-0", |gateway| gateway["rejected"] == json!([])).await;
    assert_eq!(mended["lag"], 0);
    stack.gateway().until_status(&app.key, 401).await.unwrap();
}

#[tokio::test]
async fn a_revocation_right_after_a_restart_does_not_claim_what_it_does_not_know() {
    let mut stack = Stack::builder().variable("LATCHKEY_APPLY_WAIT_MS", "300").start().await.unwrap();
    let app = new_app(&stack, "first").await;
    stack.gateway().until_status(&app.key, 200).await.unwrap();
    stack.gateway().pause().unwrap();
    stack.control_plane().kill();
    stack.control_plane().start().await.unwrap();
    let revoked = stack.api().act(&app.path(), "revoke").await.unwrap();
    assert_eq!(revoked["propagation"]["complete"], false, "{revoked}");
    assert_eq!(revoked["propagation"]["pending"][0]["gateway"], "gateway-0");
    stack.gateway().resume().unwrap();
    stack.gateway().until_status(&app.key, 401).await.unwrap();
}

#[tokio::test]
async fn two_control_planes_over_one_postgresql_wait_for_each_others_gateways() {
    let database = postgres::database().await.unwrap();
    let stack = Stack::builder().database_url(&database).start().await.unwrap();
    let mut other = Stack::builder()
        .database_url(&database)
        .variable("LATCHKEY_MASTER_KEY_FILE", stack.dir().join("master.key").to_str().unwrap())
        .without_catalogue()
        .named("second")
        .start()
        .await
        .unwrap();
    let app = new_app(&stack, "first").await;
    stack.gateway().until_status(&app.key, 200).await.unwrap();
    let second = other.gateway();
    second.until_status(&app.key, 200).await.unwrap();
    let revoked = other.api().act(&app.path(), "revoke").await.unwrap();
    assert_eq!(revoked["propagation"]["complete"], true, "{revoked}");
    assert_eq!(revoked["propagation"]["applied"], json!(["gateway-0", "second-0"]));
    assert_eq!(stack.gateway().hello(&app.key).await.unwrap().status, 401);
    assert_eq!(other.gateway().hello(&app.key).await.unwrap().status, 401);
    other.control_plane().stop().await.unwrap();
}
