//! Self-service at a real Envoy: what is granted in the control plane, and what it opens at the gateway.

use std::time::Duration;

use latchkey_tests::stack::Stack;
use latchkey_tests::stack::api::{Api, App};
use reqwest::Method;
use serde_json::{Value, json};

const GATEWAY_WAIT: Duration = Duration::from_secs(1);

/// A user who may view an app as the member of a group, and the API as they reach it.
struct Granted {
    app: App,
    user: String,
    group: String,
    mine: Api,
}

impl Granted {
    async fn in_app(stack: &mut Stack, suspend: bool) -> Self {
        let arguments = ["admin", "create", "--email", "alice@acme.com", "--role", "auditor"];
        let token = stack.control_plane().command(&arguments).await.unwrap();
        stack
            .control_plane()
            .sql("UPDATE users SET role = 'user' WHERE email = 'alice@acme.com'")
            .await
            .unwrap();
        let api = stack.api();
        let body = json!({ "name": "Support Bot", "mode": "named" });
        let app = api.create_app(body).await.unwrap();
        let found = api.get("/api/v1/users?search=alice").await.unwrap().ok().unwrap();
        let user = found["items"][0]["id"].as_str().unwrap().to_owned();
        let group = api.post("/api/v1/groups", json!({ "name": "engineering" })).await.unwrap().ok().unwrap();
        let group = group["id"].as_str().unwrap().to_owned();
        let edit = json!({
            "access": { "viewer": { "mode": "specific", "allow": { "groups": [group] } } },
            "suspend_keys_on_lost_access": suspend,
        });
        let path = format!("{}/self-service", app.path());
        api.send(Method::PATCH, &path, Some(edit)).await.unwrap().ok().unwrap();
        let mine = api.with_token(&token);
        Self { app, user, group, mine }
    }

    async fn join(&self, stack: &Stack) -> Value {
        stack.api().send(Method::PUT, &self.membership(), None).await.unwrap().ok().unwrap()
    }

    async fn leave(&self, stack: &Stack) -> Value {
        stack.api().send(Method::DELETE, &self.membership(), None).await.unwrap().ok().unwrap()
    }

    /// Creates a key by the API, as the user.
    async fn key(&self) -> String {
        let key = self.mine.post(&self.keys(), json!({ "name": "laptop" })).await.unwrap().ok().unwrap();
        key["value"].as_str().unwrap().to_owned()
    }

    fn membership(&self) -> String {
        format!("/api/v1/groups/{}/members/{}", self.group, self.user)
    }

    fn keys(&self) -> String {
        format!("/api/v1/me/apps/{}/keys", self.app.id)
    }
}

/// Which gateways know of the keys that a change of members stopped, when all do.
fn applied_in_time(change: &Value) {
    assert_eq!(change["propagation"]["complete"], true, "{change}");
    let elapsed = Duration::from_millis(change["propagation"]["elapsed_ms"].as_u64().unwrap());
    assert!(elapsed <= GATEWAY_WAIT, "{change}");
}

#[tokio::test]
async fn a_granted_user_makes_a_key_that_stops_with_their_access_and_works_again_with_it() {
    let mut stack = Stack::start().await.unwrap();
    let granted = Granted::in_app(&mut stack, true).await;
    assert_eq!(granted.mine.get(&granted.keys()).await.unwrap().status, 404, "not granted yet");
    granted.join(&stack).await;
    let key = granted.key().await;
    stack.gateway().until_status(&key, 200).await.unwrap();

    applied_in_time(&granted.leave(&stack).await);
    let refused = stack.gateway().hello(&key).await.unwrap();
    assert_eq!((refused.status, refused.code()), (401, "key_suspended"), "{}", refused.text);
    assert_eq!(refused.header("x-should-retry"), "false");
    assert_eq!(granted.mine.get(&granted.keys()).await.unwrap().status, 404, "with the same token");
    let another = granted.mine.post(&granted.keys(), json!({ "name": "another" })).await.unwrap();
    assert_eq!(another.status, 404);

    applied_in_time(&granted.join(&stack).await);
    let works = stack.gateway().hello(&key).await.unwrap();
    assert_eq!(works.status, 200, "{}", works.text);
}

#[tokio::test]
async fn a_key_that_was_issued_keeps_working_where_the_app_does_not_suspend() {
    let mut stack = Stack::start().await.unwrap();
    let granted = Granted::in_app(&mut stack, false).await;
    granted.join(&stack).await;
    let key = granted.key().await;
    stack.gateway().until_status(&key, 200).await.unwrap();

    let left = granted.leave(&stack).await;
    assert_eq!(left["keys"], json!({ "suspended": 0, "resumed": 0 }));
    stack.until_synced().await.unwrap();
    assert_eq!(stack.gateway().hello(&key).await.unwrap().status, 200);
    assert_eq!(granted.mine.get(&granted.keys()).await.unwrap().status, 404);
    let another = granted.mine.post(&granted.keys(), json!({ "name": "another" })).await.unwrap();
    assert_eq!(another.status, 404);
}

#[tokio::test]
async fn suspension_that_is_turned_on_later_reaches_the_gateway_too() {
    let mut stack = Stack::start().await.unwrap();
    let granted = Granted::in_app(&mut stack, false).await;
    granted.join(&stack).await;
    let key = granted.key().await;
    stack.gateway().until_status(&key, 200).await.unwrap();
    granted.leave(&stack).await;
    let path = format!("{}/self-service", granted.app.path());
    let edit = json!({ "suspend_keys_on_lost_access": true });
    stack.api().send(Method::PATCH, &path, Some(edit)).await.unwrap().ok().unwrap();
    assert_eq!(stack.gateway().until_status(&key, 401).await.unwrap().code(), "key_suspended");
}
