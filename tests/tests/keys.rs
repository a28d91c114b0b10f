//! The life of keys, as clients of a real Envoy see it.

use std::time::Duration;

use latchkey_tests::stack::answer::Answer;
use latchkey_tests::stack::api::{App, NamedKey};
use latchkey_tests::stack::{Stack, wait};
use reqwest::Method;
use serde_json::{Value, json};

async fn shared() -> (Stack, App) {
    let stack = Stack::start().await.unwrap();
    let app = stack.api().create_app(json!({ "name": "shared" })).await.unwrap();
    stack.gateway().until_status(&app.key, 200).await.unwrap();
    (stack, app)
}

async fn named() -> (Stack, App, NamedKey) {
    let stack = Stack::start().await.unwrap();
    let app = stack.api().create_app(json!({ "name": "named", "mode": "named" })).await.unwrap();
    let user = stack.api().create_user("alice@acme.com").await.unwrap();
    let key = stack.api().create_key(&app, &user, "laptop").await.unwrap();
    stack.gateway().until_status(&key.value, 200).await.unwrap();
    (stack, app, key)
}

/// Status, code and the rule that decided.
fn denial(answer: &Answer) -> (u16, &str, &str) {
    (answer.status, answer.code(), answer.body["error"]["rule"].as_str().unwrap_or_default())
}

async fn denied(stack: &Stack, key: &str, expected: (u16, &str, &str)) {
    let answer = stack.gateway().hello(key).await.unwrap();
    assert_eq!(denial(&answer), expected, "{}", answer.text);
    assert_eq!(answer.header("x-should-retry"), "false");
    assert!(!answer.text.contains(key), "a key is never repeated: {}", answer.text);
}

/// Which gateways have applied a change, when all have.
fn applied(answer: &Value) -> &Value {
    assert_eq!(answer["propagation"]["complete"], true, "{answer}");
    assert!(answer["propagation"]["elapsed_ms"].is_u64(), "{answer}");
    &answer["propagation"]["applied"]
}

#[tokio::test]
async fn a_key_is_accepted_wherever_one_goes_and_stops_there() {
    let (stack, app) = shared().await;
    stack.provider().forget();
    let body = json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "hello" }] });
    for (name, value) in [
        ("authorization", format!("Bearer {}", app.key)),
        ("authorization", format!("bearer {}", app.key)),
        ("x-api-key", app.key.clone()),
        ("api-key", app.key.clone()),
    ] {
        let request = stack.gateway().request(Method::POST, "/v1/chat/completions").json(&body);
        let answer = request.header(name, &value).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{name}");
    }
    for path in ["/openai_compatible/v1/chat/completions", "/openai_compatible/chat/completions"] {
        assert_eq!(stack.gateway().post(path, &app.key, &body).await.unwrap().status, 200, "{path}");
    }
    let seen = stack.provider().requests();
    assert_eq!(seen.len(), 6);
    for request in &seen {
        assert_eq!(request.path, "/v1/chat/completions");
        assert!(!format!("{request:?}").contains("sk-quilr"), "the key never reaches the provider");
    }
}

#[tokio::test]
async fn what_is_not_our_key_is_refused_and_says_why() {
    let (stack, app) = shared().await;
    stack.provider().forget();
    let mut typo = app.key.clone().into_bytes();
    typo[20] = if typo[20] == b'A' { b'B' } else { b'A' };
    let typo = String::from_utf8(typo).unwrap();
    // Well-formed, and never issued.
    let unknown = "sk-quilr-BwcHBwcHBwcHBwcHBwcHBwcHBwc2U7fF";
    for key in [typo.as_str(), unknown, &app.key[..30], "sk-proj-openai", "sk-quilr-", "Bearer"] {
        denied(&stack, key, (401, "invalid_api_key", "credential")).await;
    }
    let bare = stack.gateway().request(Method::GET, "/v1/models").send().await.unwrap();
    let bare = Answer::read(bare).await.unwrap();
    assert_eq!(denial(&bare), (401, "missing_api_key", "credential"));
    let two = stack.gateway().request(Method::GET, "/v1/models").bearer_auth(&app.key);
    let two = Answer::read(two.header("x-api-key", unknown).send().await.unwrap()).await.unwrap();
    assert_eq!(denial(&two), (401, "conflicting_credentials", "credential"));
    assert_eq!(stack.provider().requests().len(), 0);
}

#[tokio::test]
async fn a_revoked_app_stops_before_the_answer_arrives_and_for_good() {
    let (stack, app) = shared().await;
    let revoked = stack.api().act(&app.path(), "revoke").await.unwrap();
    assert_eq!(applied(&revoked), &json!(["gateway-0"]));
    let answer = stack.gateway().hello(&app.key).await.unwrap();
    assert!(matches!(answer.code(), "app_revoked" | "key_revoked"), "{}", answer.text);
    assert_eq!(answer.status, 401);
    let again = stack.api().post(&format!("{}/activate", app.path()), json!({})).await.unwrap();
    assert_eq!((again.status, &again.body["code"]), (409, &json!("revoked")));
}

#[tokio::test]
async fn an_inactive_app_comes_back() {
    let (stack, app) = shared().await;
    applied(&stack.api().act(&app.path(), "deactivate").await.unwrap());
    denied(&stack, &app.key, (401, "app_inactive", "app.status")).await;
    applied(&stack.api().act(&app.path(), "activate").await.unwrap());
    assert_eq!(stack.gateway().hello(&app.key).await.unwrap().status, 200);
}

#[tokio::test]
async fn an_app_expires_by_itself_and_works_again_when_extended() {
    let stack = Stack::start().await.unwrap();
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(6);
    let body = json!({ "name": "short", "expires_at": at.to_string() });
    let app = stack.api().create_app(body).await.unwrap();
    stack.gateway().until_status(&app.key, 200).await.unwrap();
    let expired = stack.gateway().until_status(&app.key, 401).await.unwrap();
    assert_eq!(denial(&expired), (401, "app_expired", "app.expiry"));
    assert!(jiff::Timestamp::now() >= at, "not before its time");
    let extended =
        stack.api().send(Method::PATCH, &app.path(), Some(json!({ "expires_at": null }))).await.unwrap();
    extended.ok().unwrap();
    stack.gateway().until_status(&app.key, 200).await.unwrap();
}

#[tokio::test]
async fn a_deleted_apps_key_is_refused() {
    let (stack, app) = shared().await;
    let deleted = stack.api().send(Method::DELETE, &app.path(), None).await.unwrap().ok().unwrap();
    applied(&deleted);
    denied(&stack, &app.key, (401, "key_revoked", "key.status")).await;
}

#[tokio::test]
async fn rotating_without_grace_ends_the_old_secret_at_once() {
    let (stack, app) = shared().await;
    let new = stack.api().rotate(&format!("{}/key", app.path()), 0).await.unwrap();
    denied(&stack, &app.key, (401, "key_rotated", "key.rotation")).await;
    assert_eq!(stack.gateway().hello(&new).await.unwrap().status, 200);
}

#[tokio::test]
async fn rotating_with_grace_lets_both_work_until_it_ends() {
    let (stack, app) = shared().await;
    let new = stack.api().rotate(&format!("{}/key", app.path()), 6).await.unwrap();
    assert_eq!(stack.gateway().hello(&app.key).await.unwrap().status, 200);
    assert_eq!(stack.gateway().hello(&new).await.unwrap().status, 200);
    let ended = stack.gateway().until_status(&app.key, 401).await.unwrap();
    assert_eq!(denial(&ended), (401, "key_rotated", "key.rotation"));
    assert_eq!(stack.gateway().hello(&new).await.unwrap().status, 200);

    wait::until("the old secret's last use is told", Duration::from_secs(20), async || {
        let told = stack.api().get(&app.path()).await?.ok()?;
        Ok(told["old_secret_used_at"].as_str().map(drop))
    })
    .await
    .unwrap();
    let old = stack.api().records(&app, "old_secret=true").await.unwrap();
    assert!(old.iter().any(|record| record.status == Some(200)), "while it worked");
    let new = stack.api().records(&app, "old_secret=false").await.unwrap();
    assert!(!new.is_empty() && new.iter().all(|record| record.status == Some(200)));
}

#[tokio::test]
async fn in_named_mode_only_a_named_key_opens() {
    let (stack, app, key) = named().await;
    stack.provider().forget();
    denied(&stack, &app.key, (401, "named_key_required", "app.credential_mode")).await;
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJlbWFpbCI6ImFsaWNlQGFjbWUuY29tIn0.c2lnbmF0dXJl";
    denied(&stack, jwt, (401, "invalid_api_key", "credential")).await;
    let body = json!({ "model": "gpt-4o-mini", "messages": [{ "role": "user", "content": "hello" }] });
    for (header, value) in [("x-user-email", "alice@acme.com"), ("authorization", &format!("Bearer {jwt}"))] {
        let request = stack.gateway().request(Method::POST, "/v1/chat/completions").json(&body);
        let answer = Answer::read(request.header(header, value).send().await.unwrap()).await.unwrap();
        assert_eq!(answer.status, 401, "{header} alone: {}", answer.text);
        let request = stack.gateway().request(Method::POST, "/v1/chat/completions").json(&body);
        let request = request.header("x-api-key", &app.key).header(header, value);
        let answer = Answer::read(request.send().await.unwrap()).await.unwrap();
        assert_eq!(answer.code(), "named_key_required", "{header} with the bare key: {}", answer.text);
    }
    assert_eq!(stack.provider().requests().len(), 0);
    assert_eq!(stack.gateway().hello(&key.value).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_named_keys_user_is_in_the_access_log() {
    let (stack, app, key) = named().await;
    let record = stack.api().get(&key.path()).await.unwrap().ok().unwrap();
    let line = stack.gateway().until_logged(|line| line["status"] == 200).await.unwrap();
    assert_eq!(
        (&line["app"], &line["key"], &line["user"]),
        (&json!(app.id), &json!(key.id), &record["user_id"])
    );
}

#[tokio::test]
async fn a_named_key_is_switched_rotated_and_revoked_by_itself() {
    let (stack, app, key) = named().await;
    let user = stack.api().create_user("bob@acme.com").await.unwrap();
    let other = stack.api().create_key(&app, &user, "other").await.unwrap();
    stack.gateway().until_status(&other.value, 200).await.unwrap();
    applied(&stack.api().act(&key.path(), "deactivate").await.unwrap());
    denied(&stack, &key.value, (401, "key_inactive", "key.status")).await;
    applied(&stack.api().act(&key.path(), "activate").await.unwrap());
    assert_eq!(stack.gateway().hello(&key.value).await.unwrap().status, 200);
    let new = stack.api().rotate(&key.path(), 0).await.unwrap();
    denied(&stack, &key.value, (401, "key_rotated", "key.rotation")).await;
    assert_eq!(stack.gateway().hello(&new).await.unwrap().status, 200);
    applied(&stack.api().act(&key.path(), "revoke").await.unwrap());
    denied(&stack, &new, (401, "key_revoked", "key.status")).await;
    assert_eq!(stack.gateway().hello(&other.value).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_named_key_expires_by_itself() {
    let (stack, app, _) = named().await;
    let user = stack.api().create_user("bob@acme.com").await.unwrap();
    let at = (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(6)).to_string();
    let body = json!({ "user_id": user, "name": "short", "expires_at": at });
    let key = stack.api().post(&format!("{}/keys", app.path()), body).await.unwrap().ok().unwrap();
    let value = key["value"].as_str().unwrap();
    stack.gateway().until_status(value, 200).await.unwrap();
    let expired = stack.gateway().until_status(value, 401).await.unwrap();
    assert_eq!(denial(&expired), (401, "key_expired", "key.expiry"));
}

#[tokio::test]
async fn switching_from_named_to_shared_ends_the_app_key_that_named_keys_contain() {
    let (stack, app, key) = named().await;
    let edited =
        stack.api().send(Method::PATCH, &app.path(), Some(json!({ "mode": "shared" }))).await.unwrap();
    let edited = edited.ok().unwrap();
    let new = edited["key"]["value"].as_str().unwrap();
    stack.gateway().until_status(new, 200).await.unwrap();
    denied(&stack, &app.key, (401, "key_rotated", "key.rotation")).await;
    assert_eq!(
        stack.gateway().hello(&key.value).await.unwrap().status,
        200,
        "issued named keys keep working"
    );
}

#[tokio::test]
async fn three_gateways_acknowledge_a_revocation() {
    let stack = Stack::builder().gateways(3).start().await.unwrap();
    let app = stack.api().create_app(json!({ "name": "shared" })).await.unwrap();
    for gateway in stack.gateways() {
        gateway.until_status(&app.key, 200).await.unwrap();
    }
    let revoked = stack.api().act(&app.path(), "revoke").await.unwrap();
    assert_eq!(applied(&revoked), &json!(["gateway-0", "gateway-1", "gateway-2"]));
    for gateway in stack.gateways() {
        assert_eq!(gateway.hello(&app.key).await.unwrap().status, 401, "{}", gateway.name());
    }
}

#[tokio::test]
async fn a_gateway_that_has_not_applied_a_revocation_is_named() {
    let stack = Stack::builder().gateways(2).variable("LATCHKEY_APPLY_WAIT_MS", "300").start().await.unwrap();
    let app = stack.api().create_app(json!({ "name": "shared" })).await.unwrap();
    for gateway in stack.gateways() {
        gateway.until_status(&app.key, 200).await.unwrap();
    }
    stack.gateways()[1].pause().unwrap();
    let revoked = stack.api().act(&app.path(), "revoke").await.unwrap();
    let propagation = &revoked["propagation"];
    assert_eq!((&propagation["complete"], &propagation["applied"]), (&json!(false), &json!(["gateway-0"])));
    assert_eq!(propagation["pending"][0]["gateway"], "gateway-1");
    assert!(propagation["elapsed_ms"].as_u64().unwrap() >= 300, "{propagation}");
    stack.gateways()[1].resume().unwrap();
    stack.gateways()[1].until_status(&app.key, 401).await.unwrap();
    wait::until("the late gateway to be in step", Duration::from_secs(10), async || {
        Ok(stack.api().gateway("gateway-1").await?.filter(|gateway| gateway["lag"] == 0))
    })
    .await
    .unwrap();
}
