//! Webhooks, sent to a receiver of the test's own by a clock that the test moves.

mod causes;
pub mod receiver;
mod sending;

use std::sync::Arc;

use axum::http::StatusCode;
use latchkey::webhooks::Deliverer;
use latchkey_core::role::Role;
use latchkey_core::upstream::Opened;
use latchkey_store::seal::Purpose;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::support::{Test, id, on_both, pair};
use receiver::Receiver;

/// A control plane that may send webhooks to this machine.
pub fn opened(mut test: Test) -> Test {
    test.api.opened_to_webhooks = Arc::new(loopback());
    test.renew_router();
    test
}

fn loopback() -> Opened {
    Opened::new(vec!["127.0.0.0/8".parse().unwrap()])
}

pub fn deliverer(test: &Test) -> Deliverer {
    let (store, world, master) = (test.store.clone(), test.world.clone(), test.api.master.clone());
    Deliverer::new(store, world, master, Arc::new(loopback())).unwrap()
}

/// A webhook that asks for these events of all apps, as its creation answers.
async fn webhook(test: &Test, receiver: &Receiver, events: &[&str]) -> Value {
    let new = json!({"name": "On-call", "url": receiver.url(), "events": events, "apps": "all"});
    test.post("/webhooks", new).await.expect(StatusCode::CREATED)
}

async fn deliveries(test: &Test, webhook: &Value) -> Vec<Value> {
    let list = test.get(&format!("/webhooks/{}/deliveries", id(webhook))).await.expect(StatusCode::OK);
    list["items"].as_array().unwrap().clone()
}

on_both! {
    async fn a_secret_is_shown_once_and_stored_sealed(test: Test) {
        let (test, receiver) = (opened(test), Receiver::start().await);
        let made = webhook(&test, &receiver, &["*"]).await;
        let secret = made["secret"].as_str().unwrap();
        assert!(secret.starts_with("whsec_"), "{secret}");
        let path = format!("/webhooks/{}", id(&made));
        let read = test.get(&path).await.expect(StatusCode::OK);
        assert_eq!(read["secret"], Value::Null);
        assert_eq!(test.get("/webhooks").await.json["items"], json!([read]));
        let rotated = test.post(&format!("{path}/rotate-secret"), json!({"grace_seconds": 60})).await.expect(StatusCode::OK);
        assert_ne!(rotated["secret"], made["secret"]);
        assert_eq!(rotated["previous_secret_until"], json!("2026-01-01T00:01:00Z"));
        // Neither the audit log nor a column has it, or the URL of a chat.
        let chat = json!({"name": "Chat", "url": "https://hooks.slack.com/services/T0/B0/hidden", "format": "slack",
            "events": ["*"], "apps": "none"});
        let chat = test.post("/webhooks", chat).await.expect(StatusCode::CREATED);
        assert_eq!((chat["url"].as_str(), &chat["secret"]), (Some("https://hooks.slack.com/…"), &Value::Null));
        let refused = test.act(&format!("/webhooks/{}/rotate-secret", id(&chat))).await.refused(409);
        assert_eq!(refused, pair("not_signed", ""));
        for query in ["SELECT data FROM audit", "SELECT shown_url FROM webhooks", "SELECT data FROM events"] {
            let all = test.column(query).await.join("\n");
            assert!(!all.contains("hidden") && !all.contains(secret) && !all.contains("whsec_"), "{query}: {all}");
        }
        let stored = test.store.webhooks().await.unwrap();
        let plain = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("whsec_") || String::from_utf8_lossy(bytes).contains("http");
        assert!(stored.iter().all(|webhook| !plain(&webhook.sealed_url)));
        let stored = stored.into_iter().find(|webhook| webhook.id.to_string() == id(&made)).unwrap();
        assert!(!plain(stored.sealed_secret.as_ref().unwrap()));
        assert!(test.api.master.open(Purpose::WebhookUrl(stored.id), &stored.sealed_url)
            .is_ok_and(|url| url.expose_secret() == receiver.url()));
    }
}

on_both! {
    async fn what_is_wrong_is_named_and_changes_nothing(test: Test) {
        let (test, receiver) = (opened(test), Receiver::start().await);
        let good = json!({"name": "On-call", "url": receiver.url(), "events": ["quota.*"], "apps": "all"});
        let unknown = "0198f3a0-0000-7000-8000-000000000000";
        for (field, value, path) in [
            ("name", json!(" "), "name"),
            ("url", json!("http://hooks.acme.com/"), "url"),
            ("url", json!("https://10.0.0.1/"), "url"),
            ("url", json!("https://169.254.169.254/"), "url"),
            ("url", json!("https://[::1]/"), "url"),
            ("url", json!("ftp://hooks.acme.com/"), "url"),
            ("url", json!("https://user:pass@hooks.acme.com/"), "url"),
            ("format", json!("xml"), "format"),
            ("events", json!([]), "events"),
            ("events", json!(["quota"]), "events[0]"),
            ("events", json!(["*", "key.*", "none.*"]), "events[2]"),
            ("apps", json!([]), "apps"),
            ("apps", json!(["x"]), "apps[0]"),
            ("apps", json!([unknown]), "apps[0]"),
            ("apps", Value::Null, "apps"),
            ("more", json!(1), "more"),
        ] {
            let mut new = good.clone();
            new[field] = value.clone();
            assert_eq!(test.post("/webhooks", new).await.refused(422), pair("invalid", path), "{field} {value}");
        }
        for missing in ["name", "url", "events", "apps"] {
            let mut new = good.clone();
            new.as_object_mut().unwrap().remove(missing);
            let refused = test.post("/webhooks", new).await;
            let detail = refused.json["detail"].as_str().unwrap().to_owned();
            assert!(refused.status == 422 && detail.contains(missing), "{missing}: {detail}");
        }
        assert_eq!(test.get("/webhooks").await.json["items"], json!([]));
        let made = test.post("/webhooks", good).await.expect(StatusCode::CREATED);
        let path = format!("/webhooks/{}", id(&made));
        for (edit, field) in [
            (json!({"url": "https://127.1.1.1.nip.io:99999/"}), "url"),
            (json!({"events": []}), "events"),
            (json!({"format": "slack"}), "format"),
            (json!({"apps": [unknown]}), "apps[0]"),
        ] {
            assert_eq!(test.patch(&path, edit.clone()).await.refused(422), pair("invalid", field), "{edit}");
        }
        let too_long = json!({"grace_seconds": 2_592_001});
        let refused = test.post(&format!("{path}/rotate-secret"), too_long).await.refused(422);
        assert_eq!(refused, pair("invalid", "grace_seconds"));
        let backwards = json!({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"});
        assert_eq!(test.post(&format!("{path}/replay"), backwards).await.refused(422), pair("invalid", "to"));
        let mut now = test.get(&path).await.expect(StatusCode::OK);
        now["secret"] = made["secret"].clone();
        assert_eq!(now, made);
        for query in ["?state=lost", "?type=none", "?limit=0", "?more=1"] {
            assert_eq!(test.get(&format!("{path}/deliveries{query}")).await.refused(400), pair("invalid_query", ""), "{query}");
        }
    }
}

on_both! {
    async fn only_admins_see_webhooks(test: Test) {
        let (test, receiver) = (opened(test), Receiver::start().await);
        let path = format!("/webhooks/{}", id(&webhook(&test, &receiver, &["*"]).await));
        for (role, status) in [(Role::Admin, 200), (Role::Auditor, 403), (Role::User, 403), (Role::Gateway, 403)] {
            let token = test.token(role).await;
            for path in ["/webhooks", &path, &format!("{path}/deliveries")] {
                assert_eq!(test.with(&token, "GET", path, None).await.status, status, "{role:?} {path}");
            }
        }
    }
}

on_both! {
    async fn what_is_done_with_webhooks_is_audited(test: Test) {
        let (test, receiver) = (opened(test), Receiver::start().await);
        let made = webhook(&test, &receiver, &["*"]).await;
        let path = format!("/webhooks/{}", id(&made));
        test.patch(&path, json!({"name": "Night shift"})).await.expect(StatusCode::OK);
        // What changes nothing is nothing.
        test.patch(&path, json!({"name": "Night shift", "url": receiver.url(), "enabled": true})).await.expect(StatusCode::OK);
        test.act(&format!("{path}/rotate-secret")).await.expect(StatusCode::OK);
        test.act(&format!("{path}/test")).await.expect(StatusCode::ACCEPTED);
        test.delete(&path).await.expect(StatusCode::NO_CONTENT);
        assert_eq!(test.delete(&path).await.refused(404), pair("not_found", ""));
        assert_eq!(
            test.audited_of(&id(&made)).await,
            ["webhook.created", "webhook.updated", "webhook.secret_rotated", "webhook.tested", "webhook.deleted"]
        );
    }
}
