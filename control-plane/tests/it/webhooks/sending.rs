//! What is sent, when, and what comes of it.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use latchkey::leases::SeenLeases;
use latchkey_service::action::webhooks::messages::{Mailing, give_events};
use serde_json::{Value, json};

use super::receiver::{Received, Receiver};
use super::{deliverer, deliveries, opened, webhook};
use crate::support::{START_MS, Test, id, on_both, pair};

const HOUR: Duration = Duration::from_secs(3600);

/// Something that webhooks are told of.
async fn happen(test: &Test) -> Value {
    test.app(json!({"mode": "named"})).await
}

async fn log(test: &Test, webhook: &Value) -> Vec<Value> {
    let [delivery] = deliveries(test, webhook).await.try_into().unwrap();
    let path = format!("/webhooks/{}/deliveries/{}", id(webhook), delivery["id"]);
    let details = test.get(&path).await.expect(StatusCode::OK);
    details["log"].as_array().unwrap().clone()
}

on_both! {
    async fn an_event_is_sent_once_and_logged(test: Test) {
        let (test, receiver) = (opened(test), Receiver::start().await);
        let webhook = webhook(&test, &receiver, &["key.created"]).await;
        let app = happen(&test).await;
        receiver.answer(200, &[], &format!("thanks for sk-quilr-secret {}", "x".repeat(3_000)));
        let deliverer = deliverer(&test);
        deliverer.deliver_due().await.unwrap();
        deliverer.deliver_due().await.unwrap();
        let [message] = receiver.take().try_into().unwrap();
        assert_eq!(message.path, "/hook");
        let (sent, key) = (message.json(), &app["key"]);
        assert_eq!((&sent["type"], &sent["timestamp"]), (&json!("key.created"), &json!("2026-01-01T00:00:00Z")));
        let data = &sent["data"];
        assert_eq!((&data["app_id"], &data["app_name"]), (&app["id"], &json!("Support Bot")));
        assert_eq!((&data["key_id"], &data["of"], &data["actor"]["kind"]), (&key["id"], &json!("app"), &json!("token")));
        assert_eq!(message.header("webhook-timestamp"), (START_MS / 1000).to_string());
        let [delivery] = deliveries(&test, &webhook).await.try_into().unwrap();
        assert_eq!(message.header("webhook-id"), delivery["message_id"].as_str().unwrap());
        assert!(message.header("webhook-signature").starts_with("v1,"));
        assert_eq!((&delivery["state"], &delivery["attempts"], &delivery["next_at"]), (&json!("delivered"), &json!(1), &Value::Null));
        let [attempt] = log(&test, &webhook).await.try_into().unwrap();
        assert_eq!((&attempt["status"], &attempt["error"]), (&json!(200), &Value::Null));
        let answer = attempt["answer"].as_str().unwrap();
        assert!(answer.starts_with("thanks for [key] x") && answer.len() <= 1_024 && answer.len() > 900, "{answer}");
    }
}

on_both! {
    async fn a_message_is_tried_ten_times_with_one_id_and_then_has_failed(test: Test) {
        let (test, receiver) = (opened(test), Receiver::start().await);
        let webhook = webhook(&test, &receiver, &["key.created"]).await;
        receiver.answer(500, &[], "no");
        happen(&test).await;
        let deliverer = deliverer(&test);
        let mut sent = Vec::new();
        let waits = [0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
        for (attempt, wait) in (1..).zip(waits.map(Duration::from_secs)) {
            // Never sooner than it is due.
            if wait > Duration::ZERO {
                test.clock.advance(wait - Duration::from_millis(1));
                deliverer.deliver_due().await.unwrap();
                assert_eq!(receiver.take().len(), 0, "before attempt {attempt}");
                test.clock.advance(wait.mul_f64(0.21));
            }
            deliverer.deliver_due().await.unwrap();
            let [message] = receiver.take().try_into().unwrap();
            sent.push(message);
            let [delivery] = deliveries(&test, &webhook).await.try_into().unwrap();
            let state = if attempt < 10 { "pending" } else { "failed" };
            assert_eq!((&delivery["state"], &delivery["attempts"]), (&json!(state), &json!(attempt)));
        }
        test.clock.advance(48 * HOUR);
        deliverer.deliver_due().await.unwrap();
        assert_eq!(receiver.take().len(), 0);
        for message in &sent[1..] {
            assert_eq!(message.header("webhook-id"), sent[0].header("webhook-id"));
            assert_ne!(message.header("webhook-timestamp"), sent[0].header("webhook-timestamp"));
            assert_eq!(message.body, sent[0].body);
        }
        let log = log(&test, &webhook).await;
        assert_eq!(log.len(), 10);
        assert!(log.iter().all(|attempt| attempt["status"] == 500 && attempt["answer"] == "no" && attempt["error"].is_string()));
        assert_ne!(test.get(&format!("/webhooks/{}", id(&webhook))).await.json["failing_since"], Value::Null);

        // Again, by hand: the same, from the first step.
        receiver.answer(204, &[], "");
        let [delivery] = deliveries(&test, &webhook).await.try_into().unwrap();
        let path = format!("/webhooks/{}/deliveries/{}/replay", id(&webhook), delivery["id"]);
        test.act(&path).await.expect(StatusCode::ACCEPTED);
        deliverer.deliver_due().await.unwrap();
        let [again] = receiver.take().try_into().unwrap();
        assert_eq!((again.header("webhook-id"), &again.body), (sent[0].header("webhook-id"), &sent[0].body));
        let [delivery] = deliveries(&test, &webhook).await.try_into().unwrap();
        assert_eq!((&delivery["state"], &delivery["attempts"]), (&json!("delivered"), &json!(11)));
        assert_eq!(test.get(&format!("/webhooks/{}", id(&webhook))).await.json["failing_since"], Value::Null);
    }
}

on_both! {
    async fn an_answer_may_ask_to_wait_and_only_some_may(test: Test) {
        for (status, asked, waits) in [
            (429, "600", 600),
            (503, "600", 600),
            (429, "9999999", 86_400),
            (429, "Thu, 01 Jan 2026 00:10:00 GMT", 600),
            (429, "1", 5),
            (500, "600", 5),
        ] {
            let test = opened(Test::on(&test.url, tempfile::tempdir().unwrap()).await);
            let receiver = Receiver::start().await;
            let webhook = webhook(&test, &receiver, &["key.created"]).await;
            receiver.answer(status, &[("retry-after", asked)], "");
            happen(&test).await;
            deliverer(&test).deliver_due().await.unwrap();
            let [delivery] = deliveries(&test, &webhook).await.try_into().unwrap();
            let next: jiff::Timestamp = delivery["next_at"].as_str().unwrap().parse().unwrap();
            let waited = next.as_second() - START_MS / 1000;
            assert!(waited == waits || (waits == 5 && (5..=6).contains(&waited)), "{status} {asked}: {waited}");
            test.delete(&format!("/webhooks/{}", id(&webhook))).await.expect(StatusCode::NO_CONTENT);
        }
    }
}

on_both! {
    async fn redirects_are_not_followed(test: Test) {
        let (test, receiver, elsewhere) = (opened(test), Receiver::start().await, Receiver::start().await);
        let webhook = webhook(&test, &receiver, &["key.created"]).await;
        receiver.answer(307, &[("location", &elsewhere.url())], "");
        happen(&test).await;
        deliverer(&test).deliver_due().await.unwrap();
        assert_eq!((receiver.take().len(), elsewhere.take().len()), (1, 0));
        let [attempt] = log(&test, &webhook).await.try_into().unwrap();
        assert!(attempt["status"] == 307 && attempt["error"].as_str().unwrap().contains("redirects are not followed"));
    }
}

on_both! {
    async fn one_that_is_gone_is_disabled_and_told_of(test: Test) {
        let (test, receiver, other) = (opened(test), Receiver::start().await, Receiver::start().await);
        let gone = webhook(&test, &receiver, &["key.created"]).await;
        webhook(&test, &other, &["webhook.disabled", "audit.action"]).await;
        receiver.answer(410, &[], "");
        happen(&test).await;
        let deliverer = deliverer(&test);
        deliverer.deliver_due().await.unwrap();
        assert_eq!(receiver.take().len(), 1);
        let path = format!("/webhooks/{}", id(&gone));
        let now = test.get(&path).await.json;
        assert_eq!((&now["enabled"], &now["disabled_reason"]), (&json!(false), &json!("it responded with 410 Gone")));
        deliverer.deliver_due().await.unwrap();
        let told: Vec<_> = other.take().iter().map(|message| message.json()).collect();
        let disabled = told.iter().find(|message| message["type"] == "webhook.disabled").unwrap();
        assert_eq!(disabled["data"]["subject"]["name"], "On-call");
        assert!(told.iter().any(|message| message["data"]["action"] == "webhook.disabled" && message["type"] == "audit.action"));
        assert_eq!(test.audited_of(&id(&gone)).await.last().unwrap(), "webhook.disabled");

        // Disabled: nothing is sent, tried or given.
        happen(&test).await;
        test.clock.advance(HOUR);
        deliverer.deliver_due().await.unwrap();
        assert_eq!((receiver.take().len(), deliveries(&test, &gone).await.len()), (0, 1));
        assert_eq!(test.act(&format!("{path}/test")).await.refused(409), pair("disabled", ""));
        // Enabled again, what waited is sent.
        receiver.answer(204, &[], "");
        test.patch(&path, json!({"enabled": true})).await.expect(StatusCode::OK);
        deliverer.deliver_due().await.unwrap();
        assert_eq!(receiver.take().len(), 1);
        assert_eq!(test.get(&path).await.json["disabled_reason"], Value::Null);
    }
}

on_both! {
    async fn five_days_of_failures_disable_and_a_success_begins_anew(test: Test) {
        let (test, receiver) = (opened(test), Receiver::start().await);
        let webhook = webhook(&test, &receiver, &["key.created"]).await;
        let path = format!("/webhooks/{}", id(&webhook));
        let deliverer = deliverer(&test);
        let fail = async || {
            receiver.answer(500, &[], "");
            happen(&test).await;
            deliverer.deliver_due().await.unwrap();
            test.get(&path).await.json["enabled"] == true
        };
        assert!(fail().await);
        // A clock that jumps is not enough.
        test.clock.advance(6 * 24 * HOUR);
        assert!(fail().await);
        receiver.answer(204, &[], "");
        happen(&test).await;
        deliverer.deliver_due().await.unwrap();
        assert_eq!(test.get(&path).await.json["failing_since"], Value::Null);
        for day in 0..5 {
            assert!(fail().await, "day {day}");
            test.clock.advance(24 * HOUR);
        }
        assert!(!fail().await);
        assert_eq!(test.get(&path).await.json["disabled_reason"], "every delivery has failed for 5 days");
    }
}

on_both! {
    async fn a_receiver_that_is_down_is_tried_again(test: Test) {
        let test = opened(test);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let new = json!({"name": "Down", "url": url, "events": ["key.created"], "apps": "all"});
        let webhook = test.post("/webhooks", new).await.expect(StatusCode::CREATED);
        happen(&test).await;
        deliverer(&test).deliver_due().await.unwrap();
        let [attempt] = log(&test, &webhook).await.try_into().unwrap();
        assert_eq!(attempt["status"], Value::Null);
        assert!(attempt["error"].as_str().unwrap().starts_with("no connection"), "{attempt}");
        assert_eq!(deliveries(&test, &webhook).await[0]["state"], "pending");
    }
}

on_both! {
    async fn a_private_address_behind_a_name_is_not_connected_to(test: Test) {
        let (test, receiver) = (opened(test), Receiver::start().await);
        let webhook = webhook(&test, &receiver, &["key.created"]).await;
        happen(&test).await;
        // The setting that opened it is gone, and the name resolves to this machine.
        let closed = std::sync::Arc::default();
        let closed = latchkey::webhooks::Deliverer::new(
            test.store.clone(), test.world.clone(), test.api.master.clone(), closed).unwrap();
        closed.deliver_due().await.unwrap();
        let port = receiver.url().rsplit_once(':').unwrap().1.to_owned();
        test.patch(&format!("/webhooks/{}", id(&webhook)), json!({"url": format!("http://localhost:{port}")})).await.expect(StatusCode::OK);
        test.clock.advance(HOUR);
        closed.deliver_due().await.unwrap();
        let errors: Vec<_> = log(&test, &webhook).await.iter().map(|attempt| attempt["error"].as_str().unwrap().to_owned()).collect();
        assert_eq!(errors.len(), 2);
        assert!(errors.iter().all(|error| error.contains("is a private address") && error.contains("LATCHKEY_WEBHOOK_ALLOW")), "{errors:?}");
        assert_eq!(receiver.take().len(), 0);
    }
}

on_both! {
    async fn messages_are_signed_by_both_secrets_for_the_grace(test: Test) {
        let (test, receiver) = (opened(test), Receiver::start().await);
        let webhook = webhook(&test, &receiver, &["key.created"]).await;
        let path = format!("/webhooks/{}", id(&webhook));
        let deliverer = deliverer(&test);
        let signatures = async || {
            test.act(&format!("{path}/test")).await.expect(StatusCode::ACCEPTED);
            deliverer.deliver_due().await.unwrap();
            receiver.take()[0].header("webhook-signature").split(' ').count()
        };
        assert_eq!(signatures().await, 1);
        test.act(&format!("{path}/rotate-secret")).await.expect(StatusCode::OK);
        assert_eq!(signatures().await, 2);
        test.clock.advance(24 * HOUR);
        assert_eq!(signatures().await, 1);
        test.post(&format!("{path}/rotate-secret"), json!({"grace_seconds": 0})).await.expect(StatusCode::OK);
        assert_eq!(signatures().await, 1);
    }
}

on_both! {
    async fn each_webhook_gets_what_it_asks_for(test: Test) {
        let test = opened(test);
        let (of_one, keys, none) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
        let first = happen(&test).await;
        let make = async |receiver: &Receiver, events: Value, apps: Value| {
            let new = json!({"name": "x", "url": receiver.url(), "events": events, "apps": apps});
            test.post("/webhooks", new).await.expect(StatusCode::CREATED)
        };
        make(&of_one, json!(["*"]), json!([first["id"]])).await;
        make(&keys, json!(["key.*", "key.rotated"]), json!("all")).await;
        make(&none, json!(["*"]), json!("none")).await;
        let deliverer = deliverer(&test);
        deliverer.deliver_due().await.unwrap();
        for receiver in [&of_one, &keys, &none] {
            receiver.take();
        }
        test.act(&format!("/apps/{}/key/rotate", id(&first))).await.expect(StatusCode::OK);
        let second = happen(&test).await;
        test.act(&format!("/apps/{}/revoke", id(&second))).await.expect(StatusCode::OK);
        test.group("Engineers", &[]).await;
        deliverer.deliver_due().await.unwrap();
        let kinds = |receiver: &Receiver| {
            let kind = |message: &Received| message.json()["type"].as_str().unwrap().to_owned();
            let mut kinds: Vec<_> = receiver.take().iter().map(kind).collect();
            kinds.sort();
            kinds
        };
        assert_eq!(kinds(&of_one), ["audit.action", "key.rotated"]);
        assert_eq!(kinds(&keys), ["key.created", "key.revoked", "key.rotated"]);
        assert_eq!(kinds(&none), ["audit.action"]);
    }
}

on_both! {
    async fn a_time_is_sent_again_with_what_was_never_sent(test: Test) {
        let (test, receiver) = (opened(test), Receiver::start().await);
        happen(&test).await;
        let deliverer = deliverer(&test);
        // Before there was a webhook.
        deliverer.deliver_due().await.unwrap();
        test.clock.advance(HOUR);
        let webhook = webhook(&test, &receiver, &["key.*"]).await;
        happen(&test).await;
        deliverer.deliver_due().await.unwrap();
        let [first] = receiver.take().try_into().unwrap();
        test.clock.advance(HOUR);
        let replay = async |body: Value| {
            let path = format!("/webhooks/{}/replay", id(&webhook));
            let replayed = test.post(&path, body).await.expect(StatusCode::ACCEPTED);
            deliverer.deliver_due().await.unwrap();
            (replayed["messages"].as_u64().unwrap(), receiver.take())
        };
        let (from, to) = ("2026-01-01T00:00:00Z", "2026-01-01T12:00:00Z");
        let (count, again) = replay(json!({"from": from, "to": to})).await;
        assert_eq!((count, again.len()), (2, 2));
        let same = again.iter().find(|message| message.header("webhook-id") == first.header("webhook-id")).unwrap();
        assert_eq!(same.body, first.body);
        assert_eq!(deliveries(&test, &webhook).await.len(), 2);
        assert_eq!(replay(json!({"from": "2026-01-01T00:30:00Z", "to": to})).await.0, 1);
        assert_eq!(replay(json!({"from": from, "to": to, "types": ["key.revoked"]})).await.0, 0);
    }
}

on_both! {
    async fn replicas_send_each_message_once_and_a_dead_one_is_taken_over(test: Test) {
        let (test, receiver) = (opened(test), Receiver::start().await);
        let webhook = webhook(&test, &receiver, &["key.created"]).await;
        for _ in 0..12 {
            happen(&test).await;
        }
        let workers = [deliverer(&test), deliverer(&test), deliverer(&test)];
        let [a, b, c] = &workers;
        let (a, b, c) = tokio::join!(a.deliver_due(), b.deliver_due(), c.deliver_due());
        a.and(b).and(c).unwrap();
        let mut ids: Vec<_> = receiver.take().iter().map(|message| message.header("webhook-id").to_owned()).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 12);
        assert!(deliveries(&test, &webhook).await.iter().all(|delivery| delivery["attempts"] == 1));

        // One dies while it sends.
        happen(&test).await;
        receiver.slow_down(Duration::from_secs(3600));
        let dying = workers[0].clone();
        let dying = tokio::spawn(async move { dying.deliver_due().await });
        while receiver.take().is_empty() {
            tokio::task::yield_now().await;
        }
        dying.abort();
        receiver.slow_down(Duration::ZERO);
        let (now, mut seen) = (Instant::now(), SeenLeases::default());
        let other = &workers[1];
        for (seconds, taken_over) in [(0, 0), (19, 0), (20, 1)] {
            other.watch_leases(&mut seen, now + Duration::from_secs(seconds)).await.unwrap();
            other.deliver_due().await.unwrap();
            assert_eq!(receiver.take().len(), taken_over, "after {seconds} s");
        }
        let newest = &deliveries(&test, &webhook).await[0];
        assert_eq!((&newest["state"], &newest["attempts"]), (&json!("delivered"), &json!(1)));
    }
}

on_both! {
    async fn one_that_lives_keeps_what_it_sends(test: Test) {
        let (test, receiver) = (opened(test), Receiver::start().await);
        webhook(&test, &receiver, &["key.created"]).await;
        happen(&test).await;
        receiver.slow_down(Duration::from_secs(3600));
        let (slow, other) = (deliverer(&test), deliverer(&test));
        let sending = slow.clone();
        let sending = tokio::spawn(async move { sending.deliver_due().await });
        while receiver.take().is_empty() {
            tokio::task::yield_now().await;
        }
        let (now, mut seen) = (Instant::now(), SeenLeases::default());
        for seconds in (0..100).step_by(10) {
            slow.watch_leases(&mut SeenLeases::default(), now).await.unwrap();
            other.watch_leases(&mut seen, now + Duration::from_secs(seconds)).await.unwrap();
        }
        other.deliver_due().await.unwrap();
        assert_eq!(receiver.take().len(), 0);
        sending.abort();
    }
}

on_both! {
    async fn a_slow_receiver_holds_up_nobody(test: Test) {
        let (test, slow, fast) = (opened(test), Receiver::start().await, Receiver::start().await);
        let slow_webhook = webhook(&test, &slow, &["key.created"]).await;
        webhook(&test, &fast, &["key.created"]).await;
        slow.slow_down(Duration::from_secs(3600));
        for _ in 0..70 {
            happen(&test).await;
        }
        let deliverer = deliverer(&test);
        let sending = tokio::spawn(async move { deliverer.deliver_due().await });
        let mut received = 0;
        while received < 70 {
            received += fast.take().len();
            tokio::task::yield_now().await;
        }
        // A few at once, and no more.
        assert_eq!(slow.take().len(), 4);
        sending.abort();
        assert!(deliveries(&test, &slow_webhook).await.iter().all(|delivery| delivery["attempts"] == 0));
    }
}

on_both! {
    async fn a_clock_that_is_set_back_delays_nothing(test: Test) {
        let (test, receiver) = (opened(test), Receiver::start().await);
        let webhook = webhook(&test, &receiver, &["key.created"]).await;
        receiver.answer(500, &[], "");
        happen(&test).await;
        let deliverer = deliverer(&test);
        deliverer.deliver_due().await.unwrap();
        // By a clock that was a year ahead.
        test.sql(&[format!("UPDATE deliveries SET next_at = next_at + {}", 365_i64 * 86_400_000)]).await;
        test.sql(&[format!("UPDATE webhooks SET failing_since = failing_since + {}", 365_i64 * 86_400_000)]).await;
        receiver.take();
        deliverer.deliver_due().await.unwrap();
        assert_eq!(receiver.take().len(), 1);
        assert_eq!(deliveries(&test, &webhook).await[0]["attempts"], 2);
        assert_eq!(test.get(&format!("/webhooks/{}", id(&webhook))).await.json["failing_since"], "2026-01-01T00:00:00Z");
    }
}

on_both! {
    async fn chats_are_told_in_their_own_json_without_a_signature(test: Test) {
        let test = opened(test);
        for (format, member) in [("slack", "text"), ("teams", "attachments")] {
            let receiver = Receiver::start().await;
            let new = json!({"name": "Chat", "url": receiver.url(), "format": format, "events": ["key.created"], "apps": "all"});
            test.post("/webhooks", new).await.expect(StatusCode::CREATED);
            happen(&test).await;
            deliverer(&test).deliver_due().await.unwrap();
            let [message] = receiver.take().try_into().unwrap();
            assert!(message.json()[member].to_string().contains("Key created"), "{format}: {}", message.body);
            assert!(!message.headers.contains_key("webhook-signature") && !message.headers.contains_key("webhook-id"));
            assert_eq!(message.header("content-type"), "application/json");
        }
    }
}

on_both! {
    async fn an_attempt_ends_after_its_time(test: Test) {
        let (test, receiver) = (opened(test), Receiver::start().await);
        let webhook = webhook(&test, &receiver, &["key.created"]).await;
        receiver.slow_down(HOUR);
        happen(&test).await;
        deliverer(&test).with_patience(Duration::from_millis(200)).deliver_due().await.unwrap();
        let [attempt] = log(&test, &webhook).await.try_into().unwrap();
        assert_eq!((&attempt["status"], &attempt["error"]), (&Value::Null, &json!("no response within 200ms")));
        assert_eq!(deliveries(&test, &webhook).await[0]["state"], "pending");
    }
}

on_both! {
    async fn where_too_many_wait_the_rest_fails_at_once_and_can_be_sent_again(test: Test) {
        let (test, receiver) = (opened(test), Receiver::start().await);
        let made = webhook(&test, &receiver, &["key.created"]).await;
        let other = webhook(&test, &receiver, &["key.created"]).await;
        let fill = format!(
            "INSERT INTO deliveries (webhook_id, message_id, kind, app_id, at, body, state, attempts, step, next_at)
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)
             SELECT '{}', 'full-' || i, 'webhook.test', '', 0, '{{}}', 'pending', 0, 0, 0 FROM n RETURNING message_id",
            id(&made)
        );
        assert_eq!(test.column(&fill).await.len(), 9_999);
        happen(&test).await;
        happen(&test).await;
        while give_events(&test.store, &test.world, Mailing::Off).await.unwrap() > 0 {}
        let [last, first] = deliveries(&test, &made).await[..2].to_vec().try_into().unwrap();
        assert_eq!((&first["state"], &last["state"], &last["attempts"]), (&json!("pending"), &json!("failed"), &json!(0)));
        let path = format!("/webhooks/{}", id(&made));
        let details = test.get(&format!("{path}/deliveries/{}", last["id"])).await.expect(StatusCode::OK);
        assert_eq!(details["log"][0]["error"], "not sent: 10000 messages were waiting");
        let states: Vec<_> = deliveries(&test, &other).await.iter().map(|one| one["state"].clone()).collect();
        assert_eq!(states, ["pending", "pending"]);
        let all = json!({"from": "2025-12-31T00:00:00Z", "to": "2026-02-01T00:00:00Z"});
        assert_eq!(test.post(&format!("{path}/replay"), all.clone()).await.refused(409).0, "too_many_pending");
        let emptied = "DELETE FROM deliveries WHERE message_id LIKE 'full-%' RETURNING message_id";
        assert_eq!(test.column(emptied).await.len(), 9_999);
        let again = test.post(&format!("{path}/replay"), all).await.expect(StatusCode::ACCEPTED);
        assert_eq!(again["messages"], 2);
        deliverer(&test).deliver_due().await.unwrap();
        assert!(deliveries(&test, &made).await.iter().all(|one| one["state"] == "delivered"));
    }
}

on_both! {
    async fn messages_are_forgotten_after_30_days_even_those_that_a_disabled_webhook_never_took(test: Test) {
        let (test, receiver) = (opened(test), Receiver::start().await);
        let taken = webhook(&test, &receiver, &["key.created"]).await;
        let disabled = webhook(&test, &receiver, &["key.created"]).await;
        happen(&test).await;
        while give_events(&test.store, &test.world, Mailing::Off).await.unwrap() > 0 {}
        test.patch(&format!("/webhooks/{}", id(&disabled)), json!({"enabled": false})).await.expect(StatusCode::OK);
        deliverer(&test).deliver_due().await.unwrap();
        let days = |days: u32| before(test.world.now(), days);
        let forget = async |before| test.store.forget_deliveries(before, 100).await.unwrap();
        test.clock.advance(29 * 24 * HOUR);
        assert_eq!(forget(days(30)).await, 0);
        test.clock.advance(2 * 24 * HOUR);
        // One that is asked for again is kept as long as it waits.
        test.patch(&format!("/webhooks/{}", id(&disabled)), json!({"enabled": true})).await.expect(StatusCode::OK);
        let [waits] = deliveries(&test, &disabled).await.try_into().unwrap();
        test.act(&format!("/webhooks/{}/deliveries/{}/replay", id(&disabled), waits["id"])).await.expect(StatusCode::ACCEPTED);
        assert_eq!(forget(days(30)).await, 1);
        assert_eq!((deliveries(&test, &taken).await.len(), deliveries(&test, &disabled).await.len()), (0, 1));
        test.clock.advance(31 * 24 * HOUR);
        assert_eq!(forget(days(30)).await, 1);
        assert_eq!(test.column("SELECT error FROM delivery_attempts").await, [""; 0]);
    }
}

fn before(now: Timestamp, days: u32) -> Timestamp {
    now.checked_sub(SignedDuration::from_hours(i64::from(days) * 24)).unwrap()
}
