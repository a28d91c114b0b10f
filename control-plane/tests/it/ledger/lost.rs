//! Gateways that are gone for good, and how dense the tokens of models are.

use std::time::Duration;

use axum::http::StatusCode;
use latchkey_core::limits::BucketKind::CostBudget;
use latchkey_core::limits::Budget;
use latchkey_core::money::NanoUsd;
use latchkey_core::period::Period;
use latchkey_discovery::source::From;
use latchkey_ledger::calibration::calibrate;
use latchkey_ledger::retention::tidy;
use latchkey_proto::discovery::BytesPerToken;
use latchkey_proto::ledger::{Record, Settlement, Text, Tokens, Verdict};
use serde_json::{Value, json};

use super::gateway::{ControlPlane, app, bucket, record, verdict, wants};
use crate::support::{Test, id, on_both};

/// An app with a dollar in total, of which a gateway took ninety cents to its grave.
async fn orphaned(test: &Test) -> Value {
    let dollar = Budget { usd: NanoUsd(1_000_000_000), per: Period::Total };
    let app = app(test, |app| app.limits.budget = Some(dollar)).await;
    let plane = ControlPlane::start(test).await;
    let mut gateway = plane.gateway("dead").await;
    let units = 900_000_000;
    let grant = gateway.ask(wants(bucket(&app, CostBudget, 0), units, units)).await;
    assert_eq!(verdict(&grant), Verdict::Granted);
    gateway.record(vec![record(test, &app, 1, vec![(bucket(&app, CostBudget, 0), 100_000_000)])]).await;
    drop(gateway);
    plane.kill().await;
    app
}

async fn usage(test: &Test, app: &Value) -> (Value, Value) {
    let app = test.get(&format!("/apps/{}", id(app))).await.expect(StatusCode::OK);
    let usage = &app["usage"]["budget"];
    (usage["used"].clone(), usage["reserved"].clone())
}

on_both! {
    async fn an_admin_writes_off_what_a_gateway_took_to_its_grave(test: Test) {
        let app = orphaned(&test).await;
        assert_eq!(usage(&test, &app).await, (json!("0.1"), json!("0.8")));
        let path = "/gateways/lost/dead/write-off";
        assert_eq!(test.act(path).await.refused(409).0, "may_come_back", "its lease is not over");
        assert_eq!(test.get("/gateways/lost").await.expect(StatusCode::OK)["items"], json!([]));
        test.clock.advance(Duration::from_secs(70));
        let lost = test.get("/gateways/lost").await.expect(StatusCode::OK);
        let lost = &lost["items"][0];
        assert_eq!((&lost["name"], &lost["instance"]), (&json!("gateway-dead"), &json!("dead")));
        assert_eq!((&lost["reserved_usd"], &lost["budgets"]), (&json!("0.8"), &json!(1)));
        test.act(path).await.expect(StatusCode::OK);
        assert_eq!(usage(&test, &app).await, (json!("0.9"), json!("0")));
        assert_eq!(test.act(path).await.refused(404).0, "not_found", "once");
        assert_eq!(test.audited_of("dead").await, ["gateway.written_off"]);
        // Its last words come late: they are in what was written off.
        let plane = ControlPlane::start(&test).await;
        let mut back = plane.gateway("dead").await;
        back.record(vec![record(&test, &app, 2, vec![(bucket(&app, CostBudget, 0), 300_000_000)])]).await;
        assert_eq!(usage(&test, &app).await, (json!("0.9"), json!("0")));
    }
}

on_both! {
    async fn a_gateway_that_is_gone_for_a_day_is_written_off(test: Test) {
        let app = orphaned(&test).await;
        let plane = ControlPlane::start(&test).await;
        for (hours, expected) in [(23, ("0.1", "0.8")), (2, ("0.9", "0"))] {
            test.clock.advance(Duration::from_secs(hours * 3_600));
            tidy(&test.store, &test.world, &plane.streams, 90).await.unwrap();
            assert_eq!(usage(&test, &app).await, (json!(expected.0), json!(expected.1)));
        }
        let events = test.get("/events?kind=quota.threshold").await.expect(StatusCode::OK);
        assert_eq!(events["items"].as_array().map(Vec::len), Some(2), "50 and 80 percent are crossed: {events}");
    }
}

fn read(test: &Test, app: &Value, sequence: u64, ascii: u64, input: u64) -> Record {
    Record {
        settlement: Settlement::Reported.into(),
        tokens: Some(Tokens { input, output: 1, ..Tokens::default() }),
        text: Some(Text { ascii, other: 0 }),
        ..record(test, app, sequence, vec![])
    }
}

on_both! {
    async fn how_dense_tokens_are_is_measured_and_told(test: Test) {
        let provider = json!({"name": "openai", "kind": "openai", "base_url": "https://api.openai.com/v1"});
        test.post("/providers", provider).await.expect(StatusCode::CREATED);
        let model = test.post("/models", json!({"name": "gpt-4o", "provider": "openai"})).await.expect(StatusCode::CREATED);
        let path = format!("/models/{}/density", id(&model));
        let ascii = test.get(&path).await.expect(StatusCode::OK)["items"][0].clone();
        assert_eq!((&ascii["text"], &ascii["bytes_per_token"], &ascii["measured"]), (&json!("ascii"), &json!(2.5), &json!(false)));

        let app = app(&test, |_| {}).await;
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        // Of a hundred and twenty requests five are dense, and one does not count.
        let tokens = |number| if number <= 5 { 2_000 } else { 1_000 };
        let mut records: Vec<_> = (1..=120).map(|number| read(&test, &app, number, 4_000, tokens(number))).collect();
        records.push(Record { text: None, ..read(&test, &app, 121, 4_000, 4_000) });
        gateway.record(records.clone()).await;
        gateway.record(records).await;
        assert_eq!(calibrate(&test.store, &test.world).await.unwrap(), 1);
        let head = test.store.head().await.unwrap().position;
        assert_eq!(calibrate(&test.store, &test.world).await.unwrap(), 0, "by another replica, or later");
        assert_eq!(test.store.head().await.unwrap().position, head);
        let sent = test.store.feed_batch(From::Everything, None, 100).await.unwrap().catalogue.unwrap().models.remove(0);
        assert_eq!(sent.bytes_per_token, Some(BytesPerToken { ascii: 4_000, other: 0 }));
        let ascii = test.get(&path).await.expect(StatusCode::OK)["items"][0].clone();
        assert_eq!(ascii, json!({"text": "ascii", "bytes_per_token": 4.0, "measured": true, "samples": 120,
            "mean_bytes_per_token": 3.84, "beyond_percent": 4.16, "counted_percent": 96.0}));
    }
}
