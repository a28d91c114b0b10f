use std::time::Duration;

use latchkey_core::limits::BucketKind::CostBudget;
use latchkey_core::limits::Budget;
use latchkey_core::money::NanoUsd;
use latchkey_core::period::Period;
use latchkey_proto::ledger::{Lease, Record, Report, Tokens, Verdict};
use serde_json::{Value, json};

use super::gateway::{
    ControlPlane, app, batch, bucket, bytes, edit_settings, number, record, texts, verdict, wants,
};
use crate::support::{START_MS, Test, id, on_both};

fn dollars(app: &mut latchkey_core::settings::AppSettings, nanos: u64) {
    app.limits.budget = Some(Budget { usd: NanoUsd(nanos), per: Period::Total });
}

async fn events(test: &Test) -> Vec<(String, Value)> {
    let kinds = texts(test, "SELECT kind FROM events WHERE kind LIKE 'quota.%' ORDER BY id").await;
    let data = texts(test, "SELECT data FROM events WHERE kind LIKE 'quota.%' ORDER BY id").await;
    kinds.into_iter().zip(data.iter().map(|data| serde_json::from_str(data).unwrap())).collect()
}

on_both! {
    async fn a_report_that_comes_again_after_a_crash_is_applied_once(test: Test) {
        let app = app(&test, |app| dollars(app, 1_000)).await;
        let total = bucket(&app, CostBudget, 0);
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        assert_eq!(gateway.ask(wants(total.clone(), 100, 100)).await.granted, 100);
        let records: Vec<_> = (1..=3).map(|sequence| record(&test, &app, sequence, vec![(total.clone(), 10)])).collect();
        // The answer is never read, as far as the gateway knows it was not written.
        gateway.report(batch(records.clone())).await;
        plane.kill().await;

        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        let later = record(&test, &app, 4, vec![(total.clone(), 5)]);
        let again: Vec<_> = records.into_iter().chain([later]).collect();
        assert_eq!(gateway.record(again.clone()).await, 4);
        assert_eq!(gateway.record(again).await, 4);
        let lease = Lease { granted: 100, returned: 65, ..wants(total.clone(), 1, 1) };
        let grant = gateway.ask(lease.clone()).await;
        assert_eq!((grant.used, grant.granted, grant.remaining), (35, 101, 964));
        assert_eq!(number(&test, "SELECT COUNT(*) FROM records").await, 4);
        assert_eq!(number(&test, "SELECT SUM(requests) FROM usage_days").await, 4);
        assert_eq!(number(&test, "SELECT SUM(requests) FROM key_usage").await, 4);
        assert_eq!(number(&test, "SELECT requests FROM app_usage").await, 4);
        assert_eq!(number(&test, "SELECT used FROM leases").await, 35);
        expect_sums_over_all_apps(&test).await;
    }
}

on_both! {
    async fn a_record_is_stored_as_it_was_told(test: Test) {
        let app = app(&test, |app| app.metadata = json!({"team": "ä"}).as_object().unwrap().clone()).await;
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        let whole = Record {
            at_ms: START_MS - 1_000,
            user_id: vec![7; 16],
            tokens: Some(Tokens { input: 10, cached_input: 4, output: 20, reasoning: 5, cache_write_5m: 3, cache_write_1h: 2 }),
            cost_nano_usd: 42,
            price_version: 3,
            latency_ms: 900,
            first_token_ms: Some(100),
            streamed: true,
            client_address: "10.0.0.1".to_owned(),
            conversation_id: "c-1".to_owned(),
            identity: "Alice@acme.com".to_owned(),
            identity_source: 2,
            old_secret: true,
            service_tier: "priority".to_owned(),
            ..record(&test, &app, 1, vec![])
        };
        let refused = Record {
            code: "model_not_found".to_owned(),
            model: "made-up".to_owned(),
            served_model: String::new(),
            provider: String::new(),
            status: 404,
            ..record(&test, &app, 2, vec![])
        };
        gateway.record(vec![whole, refused]).await;
        let columns = "at || ' ' || request_id || ' ' || gateway || ' ' || app_id || ' ' || key_id || ' ' || user_id || ' ' || model
            || ' ' || served_model || ' ' || provider || ' ' || endpoint || ' ' || status || ' ' || code || ' ' || input_tokens || ' ' ||
            cached_input_tokens || ' ' || output_tokens || ' ' || reasoning_tokens || ' ' || cost || ' ' || price_version || ' ' ||
            settlement || ' ' || latency_ms || ' ' || first_token_ms || ' ' || streamed || ' ' || client_address || ' ' ||
            conversation_id || ' ' || identity || ' ' || identity_source || ' ' || old_secret || ' ' || metadata";
        let rows = texts(&test, &format!("SELECT {columns} FROM records WHERE first_token_ms IS NOT NULL")).await;
        let expected = format!(
            "{} request-1 gateway-a {} {} 07070707-0707-0707-0707-070707070707 gpt-4o gpt-4o openai chat_completions 200  10 4 20 5 42 3 \
             reported 900 100 1 10.0.0.1 c-1 alice@acme.com jwt 1 {{\"team\":\"ä\"}}",
            START_MS - 1_000, id(&app), id(&app["key"]),
        );
        assert_eq!(rows, [expected]);
        let cached = "SELECT cache_write_5m_tokens || ' ' || cache_write_1h_tokens || ' ' || service_tier FROM records ORDER BY id";
        assert_eq!(texts(&test, cached).await, ["3 2 priority", "0 0 "]);
        let sums = "SELECT day || ' ' || model || ' ' || requests || ' ' || denied || ' ' || input_tokens || ' ' || output_tokens
            || ' ' || cost FROM usage_days ORDER BY day, model";
        let day = START_MS / 86_400_000;
        assert_eq!(texts(&test, sums).await, [format!("{} gpt-4o 1 0 10 20 42", day - 1), format!("{day}  1 1 0 0 0")]);
        assert_eq!(number(&test, "SELECT last_used_at FROM key_usage").await, START_MS);
        assert_eq!(number(&test, "SELECT requests FROM key_usage").await, 2);
        assert_eq!(number(&test, "SELECT last_used_at FROM app_usage").await, START_MS);
        assert_eq!(number(&test, "SELECT old_secret_used_at FROM key_usage").await, START_MS - 1_000);
        assert_eq!(number(&test, "SELECT old_secret_used_at FROM app_usage").await, 0, "it was not the app's own key");
        assert_eq!(number(&test, "SELECT requests FROM app_usage").await, 2);
        expect_sums_over_all_apps(&test).await;
    }
}

on_both! {
    async fn attempts_at_targets_and_targets_that_rest_are_kept_as_told(test: Test) {
        use latchkey_proto::ledger::{Attempt, AttemptEnd, RestingTarget, RestingTargets};

        let app = app(&test, |_| {}).await;
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        let attempt = |provider: &str, status, end: AttemptEnd| Attempt {
            provider: provider.to_owned(),
            model: "gpt-4o".to_owned(),
            status,
            end: end.into(),
            duration_ms: 70,
        };
        let attempts = vec![
            attempt("one", 429, AttemptEnd::Status),
            attempt("two", 0, AttemptEnd::Timeout),
            Attempt { end: 99, ..attempt("three", 200, AttemptEnd::Served) },
        ];
        gateway.record(vec![Record { attempts, ..record(&test, &app, 1, vec![]) }, record(&test, &app, 2, vec![])]).await;
        let logs = test.get("/logs").await.json;
        let expected = json!([
            {"provider": "one", "model": "gpt-4o", "status": 429, "end": "status", "duration_ms": 70},
            {"provider": "two", "model": "gpt-4o", "status": null, "end": "timeout", "duration_ms": 70},
            {"provider": "three", "model": "gpt-4o", "status": 200, "end": "unknown", "duration_ms": 70},
        ]);
        assert_eq!((&logs["items"][1]["attempts"], &logs["items"][0]["attempts"]), (&expected, &json!([])));

        let _stream = test.gateway("gateway-a", 0);
        let resting = async || test.get("/gateways").await.json["items"][0]["resting"].clone();
        assert_eq!(resting().await, json!([]));
        let rests = |until_ms| RestingTarget {
            provider: "one".to_owned(),
            model: "gpt-4o".to_owned(),
            until_ms,
            reason: AttemptEnd::Status.into(),
            status: 429,
        };
        let told = |targets| Report { resting: Some(RestingTargets { targets }), ..Report::default() };
        gateway.report(told(vec![rests(START_MS + 5_000), RestingTarget { provider: "two".to_owned(), ..rests(START_MS) }])).await;
        let one = json!([{"provider": "one", "model": "gpt-4o", "until": "2026-01-01T00:00:05Z", "reason": "status", "status": 429}]);
        assert_eq!(resting().await, one, "what rests no longer is not shown");
        gateway.report(Report::default()).await;
        assert_eq!(resting().await, one, "nothing has changed");
        // Another replica shows it, too.
        let other = test.another().await;
        let _there = other.gateway("gateway-a", 0);
        assert_eq!(other.get("/gateways").await.json["items"][0]["resting"], one);
        gateway.report(told(vec![])).await;
        assert_eq!(resting().await, json!([]));
        gateway.report(told(vec![rests(START_MS + 5_000)])).await;
        test.clock.advance(Duration::from_secs(6));
        assert_eq!(resting().await, json!([]));
    }
}

/// The ledger has kept them as they are when they are made of those by day and key.
async fn expect_sums_over_all_apps(test: &Test) {
    let sums = "SELECT dimension || ' ' || day || ' ' || value || ' ' || model || ' ' || provider || ' ' || requests || ' ' || denied || ' ' || input_tokens
        || ' ' || cached_input_tokens || ' ' || output_tokens || ' ' || reasoning_tokens || ' ' || cost
        FROM usage_sums ORDER BY dimension, day, value, model, provider";
    let kept = texts(test, sums).await;
    test.sum_up().await;
    assert_eq!(kept, texts(test, sums).await);
    assert!(kept.len() >= 5, "{kept:?}");
}

on_both! {
    async fn gaps_and_what_cannot_be_read_are_counted_and_hold_up_nothing(test: Test) {
        let app = app(&test, |_| {}).await;
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        let unreadable = Record { app_id: vec![1, 2], ..record(&test, &app, 5, vec![]) };
        let odd = Record { model: "a\0b".to_owned(), dropped: 2, ..record(&test, &app, 6, vec![]) };
        let records = vec![record(&test, &app, 1, vec![]), record(&test, &app, 4, vec![]), unreadable, odd];
        assert_eq!(gateway.record(records).await, 6);
        // Two in the gap, one that cannot be read, two that the gateway told of.
        assert_eq!(number(&test, "SELECT dropped FROM ledger_workers").await, 5);
        assert_eq!(number(&test, "SELECT COUNT(*) FROM records").await, 3);
        let told = Record { dropped: 3, ..record(&test, &app, 7, vec![]) };
        assert_eq!(gateway.record(vec![told]).await, 7);
        assert_eq!(number(&test, "SELECT dropped FROM ledger_workers").await, 6);
        assert_eq!(plane.stats.dropped.load(std::sync::atomic::Ordering::Relaxed), 6);
    }
}

on_both! {
    async fn each_threshold_is_told_once_in_a_period(test: Test) {
        let app = app(&test, |app| dollars(app, 1_000)).await;
        let total = bucket(&app, CostBudget, 0);
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        gateway.ask(wants(total.clone(), 400, 400)).await;
        gateway.record(vec![record(&test, &app, 1, vec![(total.clone(), 490)])]).await;
        assert_eq!(events(&test).await, []);
        gateway.record(vec![record(&test, &app, 2, vec![(total.clone(), 10)]), record(&test, &app, 3, vec![(total.clone(), 300)])]).await;
        let told = events(&test).await;
        let percents: Vec<_> = told.iter().map(|(kind, data)| (kind.as_str(), data["percent"].as_i64())).collect();
        assert_eq!(percents, [("quota.threshold", Some(50)), ("quota.threshold", Some(80))]);
        let first = json!({"bucket": "cost_budget", "per": "total", "limit": "0.000001", "used": "0.0000005",
            "period_start": null, "period_end": null, "percent": 50});
        assert_eq!(told[0].1, first);
        // A higher limit is crossed again, and told of no more; what was used stays.
        edit_settings(&test, &app, |app| dollars(app, 2_000)).await;
        gateway.record(vec![record(&test, &app, 4, vec![(total.clone(), 300)])]).await;
        assert_eq!(events(&test).await.len(), 2);
        gateway.record(vec![record(&test, &app, 5, vec![(total.clone(), 900)]), record(&test, &app, 6, vec![(total.clone(), 900)])]).await;
        let kinds: Vec<_> = events(&test).await.into_iter().skip(2).map(|(kind, data)| (kind, data["percent"].as_i64())).collect();
        assert_eq!(kinds, [("quota.threshold".to_owned(), Some(100)), ("quota.exceeded".to_owned(), None)]);
        assert_eq!(texts(&test, "SELECT key_id FROM events WHERE kind LIKE 'quota.%'").await, ["", "", "", ""]);
    }
}

on_both! {
    async fn a_budget_of_which_too_little_is_left_is_told_as_exceeded(test: Test) {
        let app = app(&test, |app| app.named_key_limits.budget = Some(Budget { usd: NanoUsd(1_000), per: Period::Month })).await;
        let key = test.named_key(&app).await;
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        let month = gateway.ask(wants(bucket(&key, CostBudget, -1), 950, 950)).await.bucket.unwrap();
        assert_eq!(latchkey_core::period::start_ms(month.period), START_MS);
        let of_key = Record { key_id: bytes(&key), ..record(&test, &app, 1, vec![(month.clone(), 950)]) };
        gateway.record(vec![of_key]).await;
        for _ in 0..2 {
            let refused = gateway.ask(Lease { granted: 950, ..wants(month.clone(), 100, 100) }).await;
            assert_eq!(verdict(&refused), Verdict::Exhausted);
        }
        let told = events(&test).await;
        assert_eq!(told.last().unwrap().0, "quota.exceeded");
        assert_eq!((told.len(), told[0].1["period_end"].as_str()), (3, Some("2026-02-01T00:00:00Z")));
        assert_eq!(texts(&test, "SELECT key_id FROM events WHERE kind LIKE 'quota.%'").await, vec![id(&key); 3]);
    }
}

on_both! {
    async fn what_is_settled_after_the_period_counts_in_it(test: Test) {
        let app = app(&test, |app| app.limits.budget = Some(Budget { usd: NanoUsd(1_000), per: Period::Day })).await;
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        let day = gateway.ask(wants(bucket(&app, CostBudget, -1), 600, 600)).await.bucket.unwrap();
        test.clock.advance(Duration::from_secs(25 * 3_600));
        gateway.record(vec![record(&test, &app, 1, vec![(day.clone(), 500)])]).await;
        let today = gateway.ask(wants(bucket(&app, CostBudget, -1), 1, 1)).await;
        assert_eq!((today.used, today.bucket.unwrap().period), (0, START_MS + 86_400_000));
        assert_eq!(number(&test, &format!("SELECT used FROM buckets WHERE period = {START_MS}")).await, 500);
        assert_eq!(events(&test).await.len(), 1, "half of yesterday's");
    }
}

on_both! {
    async fn records_of_apps_that_are_gone_are_stored_and_made_up_buckets_are_not(test: Test) {
        let app = app(&test, |_| {}).await;
        let mut stranger = record(&test, &app, 1, vec![(bucket(&app, CostBudget, 77), 5)]);
        stranger.charges[0].bucket.as_mut().unwrap().owner = vec![9; 16];
        stranger.app_id = vec![9; 16];
        let odd_period = record(&test, &app, 2, vec![(bucket(&app, CostBudget, 77), 5)]);
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        assert_eq!(gateway.record(vec![stranger, odd_period]).await, 2);
        assert_eq!(texts(&test, "SELECT metadata FROM records ORDER BY id").await, ["{}", "{}"]);
        assert_eq!(number(&test, "SELECT COUNT(*) FROM buckets").await, 0);
    }
}

on_both! {
    async fn reports_of_many_workers_are_acknowledged_each(test: Test) {
        let app = app(&test, |_| {}).await;
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        let worker = |worker: u32, until: u64| latchkey_proto::ledger::Batch {
            worker,
            records: (1..=until).map(|sequence| record(&test, &app, sequence, vec![])).collect(),
        };
        let report = Report { batches: vec![worker(0, 300), worker(1, 2), worker(2, 0)], ..Report::default() };
        let answer = gateway.report(report).await;
        let acknowledged: Vec<_> = answer.acknowledged.iter().map(|each| (each.worker, each.sequence)).collect();
        assert_eq!(acknowledged, [(0, 300), (1, 2), (2, 0)]);
        assert_eq!(number(&test, "SELECT COUNT(*) FROM records").await, 302);
    }
}

on_both! {
    async fn a_record_is_of_the_user_who_has_the_address_that_it_claims(test: Test) {
        let app = app(&test, |_| {}).await;
        let alice = test.user("alice@acme.com").await;
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        let claims = |sequence, email: &str, source: i32| Record {
            identity: email.to_owned(), identity_source: source, ..record(&test, &app, sequence, vec![])
        };
        let records = vec![
            claims(1, "alice@acme.com", 2),
            claims(2, "ALICE@acme.com", 3),
            claims(3, "stranger@acme.com", 3),
            claims(4, "", 0),
            // What the key says counts.
            Record { user_id: vec![7; 16], ..claims(5, "alice@acme.com", 1) },
            claims(6, "' OR 1=1 --@acme.com", 99),
        ];
        assert_eq!(gateway.record(records).await, 6);
        let users = texts(&test, "SELECT user_id FROM records ORDER BY id").await;
        assert_eq!(users, [&alice, &alice, "", "", "07070707-0707-0707-0707-070707070707", ""]);
        let sources = texts(&test, "SELECT identity_source FROM records ORDER BY id").await;
        assert_eq!(sources, ["jwt", "header", "header", "none", "key", "none"]);
        let sum = format!("SELECT requests FROM usage_days WHERE user_id = '{alice}'");
        assert_eq!(number(&test, &sum).await, 2);
    }
}
