use std::time::Duration;

use latchkey_core::limits::BucketKind::{CostBudget, RequestsPerHour, RequestsPerMinute, TokensPerMinute};
use latchkey_core::limits::{Budget, TokenBudget};
use latchkey_core::money::NanoUsd;
use latchkey_core::period::Period;
use latchkey_core::settings::AppSettings;
use latchkey_proto::ledger::{BucketId, Lease, Verdict};
use serde_json::json;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::gateway::{
    ControlPlane, app, batch, bucket, edit_settings, leases, number, record, sql, verdict, wants,
};
use crate::support::{START_MS, id, on_both};

/// What a gateway says when it has used all that it was granted.
fn used_up(granted: u64, bucket: &BucketId, want: u64) -> Lease {
    Lease { granted, used: granted, ..wants(bucket.clone(), want, 1) }
}

on_both! {
    async fn grants_stay_within_the_limit_over_all_streams(test: Test) {
        let app = app(&test, |app| app.limits.requests_per_minute = Some(60)).await;
        let plane = ControlPlane::start(&test).await;
        let mut streams = JoinSet::new();
        for i in 0..6 {
            let mut gateway = plane.gateway(&format!("g{i}")).await;
            let minute = bucket(&app, RequestsPerMinute, 0);
            streams.spawn(async move {
                let mut granted = 0;
                for _ in 0..20 {
                    granted = gateway.ask(used_up(granted, &minute, 10)).await.granted.max(granted);
                }
                granted
            });
        }
        let granted: u64 = streams.join_all().await.into_iter().sum();
        assert_eq!(granted, 60);
        assert!(plane.stats.granted(Verdict::Granted) > 6);
    }
}

on_both! {
    async fn two_control_planes_share_one_limit(test: Test) {
        let app = app(&test, |app| app.limits.requests_per_minute = Some(50)).await;
        let planes = [ControlPlane::start(&test).await, ControlPlane::start(&test).await];
        let mut streams = JoinSet::new();
        for i in 0..6 {
            let mut gateway = planes[i % 2].gateway(&format!("g{i}")).await;
            let (minute, app) = (bucket(&app, RequestsPerMinute, 0), app.clone());
            let at = record(&test, &app, 1, vec![]);
            streams.spawn(async move {
                let mut granted = 0;
                for sequence in 1..=15 {
                    let mut report = batch(vec![latchkey_proto::ledger::Record { sequence, ..at.clone() }]);
                    report.leases.push(used_up(granted, &minute, 5));
                    granted = gateway.report(report).await.grants[0].granted.max(granted);
                }
                granted
            });
        }
        let granted: u64 = streams.join_all().await.into_iter().sum();
        assert_eq!(granted, 50);
        assert_eq!(number(&test, "SELECT COUNT(*) FROM records").await, 90);
        assert_eq!(number(&test, "SELECT SUM(requests) FROM usage_days").await, 90);
    }
}

on_both! {
    async fn a_window_that_is_used_up_has_room_again_when_it_has_moved_on(test: Test) {
        let app = app(&test, |app| app.limits.requests_per_minute = Some(5)).await;
        let plane = ControlPlane::start(&test).await;
        let (mut a, mut b) = (plane.gateway("a").await, plane.gateway("b").await);
        let minute = bucket(&app, RequestsPerMinute, 0);
        let grant = a.ask(wants(minute.clone(), 5, 5)).await;
        assert_eq!((verdict(&grant), grant.granted, grant.limit, grant.remaining, grant.ttl_ms), (Verdict::Granted, 5, 5, 0, 10_000));
        a.report(leases(vec![Lease { want: 0, ..used_up(5, &minute, 0) }])).await;
        let grant = b.ask(wants(minute.clone(), 1, 1)).await;
        assert_eq!((verdict(&grant), grant.used, grant.granted), (Verdict::Exhausted, 5, 0));
        assert_eq!((grant.resets_at_ms, grant.retry_after_ms), (START_MS + 61_000, 61_000));
        test.clock.advance(Duration::from_secs(61));
        assert_eq!(verdict(&b.ask(wants(minute, 1, 1)).await), Verdict::Granted);
    }
}

on_both! {
    async fn what_a_killed_gateway_held_of_a_window_counts_from_the_end_of_its_lease(test: Test) {
        let app = app(&test, |app| app.limits.requests_per_hour = Some(5)).await;
        let plane = ControlPlane::start(&test).await;
        let (mut a, mut b) = (plane.gateway("a").await, plane.gateway("b").await);
        let hour = bucket(&app, RequestsPerHour, 0);
        a.ask(wants(hour.clone(), 5, 5)).await;
        drop(a);
        assert_eq!(verdict(&b.ask(wants(hour.clone(), 1, 1)).await), Verdict::Contended);
        test.clock.advance(Duration::from_secs(20));
        let grant = b.ask(wants(hour.clone(), 1, 1)).await;
        assert_eq!((verdict(&grant), grant.used), (Verdict::Exhausted, 5));
        // It was not killed after all, and tells what it did.
        let mut a = plane.gateway("a").await;
        let told = Lease { granted: 5, used: 3, returned: 2, ..wants(hour.clone(), 1, 1) };
        let grant = a.ask(told).await;
        assert_eq!((verdict(&grant), grant.used), (Verdict::Exhausted, 5), "nothing counts twice");
        test.clock.advance(Duration::from_secs(3_700));
        assert_eq!(verdict(&b.ask(wants(hour, 5, 5)).await), Verdict::Granted);
    }
}

on_both! {
    async fn a_holder_is_asked_to_give_back_what_another_waits_for(test: Test) {
        let app = app(&test, |app| app.limits.requests_per_minute = Some(10)).await;
        let plane = ControlPlane::start(&test).await;
        let (mut a, mut b) = (plane.gateway("a").await, plane.gateway("b").await);
        let minute = bucket(&app, RequestsPerMinute, 0);
        assert_eq!(a.ask(wants(minute.clone(), 10, 10)).await.granted, 10);
        let grant = b.ask(wants(minute.clone(), 4, 1)).await;
        assert_eq!((verdict(&grant), grant.retry_after_ms), (Verdict::Contended, 100));
        let recall = a.next().await.unwrap().unwrap();
        assert_eq!((recall.report, &recall.recalls), (0, &vec![minute.clone()]));
        a.report(leases(vec![Lease { granted: 10, used: 2, returned: 8, bucket: Some(minute.clone()), ..Lease::default() }])).await;
        assert_eq!(b.ask(wants(minute, 4, 1)).await.granted, 2, "a slice of what came back");
    }
}

on_both! {
    async fn control_planes_keep_what_comes_back_for_who_has_waited_longest(test: Test) {
        let app = app(&test, |app| app.limits.requests_per_minute = Some(10)).await;
        let planes = [ControlPlane::start(&test).await, ControlPlane::start(&test).await];
        let (mut a, mut b) = (planes[0].gateway("a").await, planes[0].gateway("b").await);
        let mut c = planes[1].gateway("c").await;
        let minute = bucket(&app, RequestsPerMinute, 0);
        assert_eq!(a.ask(wants(minute.clone(), 10, 10)).await.granted, 10);
        assert_eq!(verdict(&b.ask(wants(minute.clone(), 4, 4)).await), Verdict::Contended);
        a.report(leases(vec![Lease { granted: 10, returned: 5, bucket: Some(minute.clone()), ..Lease::default() }])).await;
        let kept = c.ask(wants(minute.clone(), 2, 2)).await;
        assert_eq!((verdict(&kept), kept.remaining), (Verdict::Contended, 1));
        test.clock.advance(Duration::from_secs(1));
        assert_eq!(c.ask(wants(minute, 2, 2)).await.granted, 2, "the other asks no more");
    }
}

on_both! {
    async fn a_budget_begins_anew_in_its_time_zone(test: Test) {
        // The test begins at midnight in UTC, which is 19:00 of the day before in New York.
        let app = app(&test, |app| {
            app.time_zone = "America/New_York".to_owned();
            app.limits.budget = Some(Budget { usd: NanoUsd(1_000), per: Period::Day });
        }).await;
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        let hours = |hours: i64| START_MS + hours * 3_600_000;
        let first = gateway.ask(wants(bucket(&app, CostBudget, -1), 1_000, 1_000)).await;
        let day = first.bucket.clone().unwrap();
        assert_eq!((day.period, first.granted, first.resets_at_ms), (hours(-19), 1_000, hours(5)));
        let acknowledged = gateway.record(vec![record(&test, &app, 1, vec![(day.clone(), 900)])]).await;
        assert_eq!(acknowledged, 1);
        let told = |returned| Lease { granted: 1_000, returned, ..wants(day.clone(), 200, 200) };
        let spent = gateway.ask(told(100)).await;
        assert_eq!((verdict(&spent), spent.used, spent.resets_at_ms), (Verdict::Exhausted, 900, hours(5)));
        test.clock.advance(Duration::from_secs(5 * 3_600));
        // It still speaks of yesterday.
        let next = gateway.ask(told(100)).await;
        assert_eq!((verdict(&next), next.bucket.unwrap().period, next.granted, next.used), (Verdict::Granted, hours(5), 200, 0));
    }
}

on_both! {
    async fn what_a_killed_gateway_held_of_a_budget_stays_charged_until_the_period_ends(test: Test) {
        let app = app(&test, |app| {
            app.limits.token_budget = Some(TokenBudget { tokens: 100, per: Period::Day });
        }).await;
        let plane = ControlPlane::start(&test).await;
        let (mut a, mut b) = (plane.gateway("a").await, plane.gateway("b").await);
        let ask = |want, least| wants(bucket(&app, latchkey_core::limits::BucketKind::TokenBudget, -1), want, least);
        assert_eq!(a.ask(ask(80, 80)).await.granted, 80);
        drop(a);
        test.clock.advance(Duration::from_secs(3_600));
        let grant = b.ask(ask(30, 30)).await;
        assert_eq!((verdict(&grant), grant.remaining), (Verdict::Exhausted, 20));
        assert_eq!(verdict(&b.ask(ask(20, 20)).await), Verdict::Granted);
        test.clock.advance(Duration::from_secs(23 * 3_600));
        assert_eq!(verdict(&b.ask(ask(100, 100)).await), Verdict::Granted);
    }
}

on_both! {
    async fn a_limit_that_is_edited_keeps_what_was_used(test: Test) {
        let app = app(&test, |app| app.limits.requests_per_minute = Some(10)).await;
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        let minute = bucket(&app, RequestsPerMinute, 0);
        gateway.ask(wants(minute.clone(), 10, 10)).await;
        assert_eq!(verdict(&gateway.ask(used_up(10, &minute, 1)).await), Verdict::Exhausted);
        edit_settings(&test, &app, |app| app.limits.requests_per_minute = Some(12)).await;
        let grant = gateway.ask(used_up(10, &minute, 5)).await;
        assert_eq!((verdict(&grant), grant.limit, grant.used, grant.granted), (Verdict::Granted, 12, 10, 11));
        edit_settings(&test, &app, |app| app.limits.requests_per_minute = None).await;
        assert_eq!(verdict(&gateway.ask(used_up(11, &minute, 5)).await), Verdict::Unlimited);
        edit_settings(&test, &app, |app| app.limits.requests_per_minute = Some(11)).await;
        let grant = gateway.ask(used_up(11, &minute, 5)).await;
        assert_eq!((verdict(&grant), grant.used), (Verdict::Exhausted, 11), "it was lifted, not forgotten");
    }
}

on_both! {
    async fn a_named_key_has_limits_of_its_own_or_those_that_its_app_gives(test: Test) {
        let app = app(&test, |app| app.named_key_limits.requests_per_minute = Some(7)).await;
        let (plain, special) = (test.named_key(&app).await, test.named_key(&app).await);
        let limits = json!({"tokens_per_minute": 1_000}).to_string();
        sql(&test, &format!("UPDATE keys SET limits = '{limits}' WHERE id = '{}'", id(&special))).await;
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        assert_eq!(gateway.ask(wants(bucket(&plain, RequestsPerMinute, 0), 1, 1)).await.limit, 7);
        assert_eq!(verdict(&gateway.ask(wants(bucket(&special, RequestsPerMinute, 0), 1, 1)).await), Verdict::Unlimited);
        assert_eq!(gateway.ask(wants(bucket(&special, TokensPerMinute, 0), 1, 1)).await.limit, 1_000);
    }
}

on_both! {
    async fn who_is_gone_is_unlimited_and_who_is_stopped_gets_nothing(test: Test) {
        let app = app(&test, |app| {
            app.limits.requests_per_minute = Some(10);
            app.named_key_limits.requests_per_minute = Some(10);
        }).await;
        let key = test.named_key(&app).await;
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        let stranger = BucketId { owner: Uuid::nil().as_bytes().to_vec(), ..bucket(&app, RequestsPerMinute, 0) };
        assert_eq!(verdict(&gateway.ask(wants(stranger, 1, 1)).await), Verdict::Unlimited);
        let unreadable = BucketId { kind: 99, ..bucket(&app, RequestsPerMinute, 0) };
        assert_eq!(verdict(&gateway.ask(wants(unreadable, 1, 1)).await), Verdict::Exhausted);
        let of_key = wants(bucket(&key, RequestsPerMinute, 0), 1, 1);
        assert_eq!(verdict(&gateway.ask(of_key.clone()).await), Verdict::Granted);
        test.act(&format!("/apps/{}/deactivate", id(&app))).await.expect(axum::http::StatusCode::OK);
        assert_eq!(verdict(&gateway.ask(of_key.clone()).await), Verdict::Exhausted);
        test.act(&format!("/apps/{}/activate", id(&app))).await.expect(axum::http::StatusCode::OK);
        assert_eq!(verdict(&gateway.ask(of_key.clone()).await), Verdict::Granted);
        test.act(&format!("/apps/{}/keys/{}/revoke", id(&app), id(&key))).await.expect(axum::http::StatusCode::OK);
        assert_eq!(verdict(&gateway.ask(of_key).await), Verdict::Exhausted);
    }
}

on_both! {
    async fn a_budget_with_another_period_keeps_what_was_used_since_that_began(test: Test) {
        let per = |per| move |app: &mut AppSettings| app.limits.budget = Some(Budget { usd: NanoUsd(1_000), per });
        let app = app(&test, per(Period::Day)).await;
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        let mut spend = async |sequence, cost| {
            let day = gateway.ask(wants(bucket(&app, CostBudget, -1), cost, cost)).await.bucket.unwrap();
            let record = record(&test, &app, sequence, vec![(day, cost)]);
            let record = latchkey_proto::ledger::Record { cost_nano_usd: cost, ..record };
            assert_eq!(gateway.record(vec![record]).await, sequence);
        };
        spend(1, 300).await;
        test.clock.advance(Duration::from_secs(30 * 3_600));
        spend(2, 200).await;
        let mut other = plane.gateway("b").await;
        let mut used = async || other.ask(wants(bucket(&app, CostBudget, -1), 1, 1)).await.used;
        let shown = async || {
            let read = test.get(&format!("/apps/{}", id(&app))).await.expect(axum::http::StatusCode::OK);
            read["usage"]["budget"]["used"].clone()
        };
        assert_eq!(used().await, 200);
        edit_settings(&test, &app, per(Period::Month)).await;
        assert_eq!(shown().await, "0.000000501", "before anyone asks");
        assert_eq!(used().await, 501, "with what the live lease of the day may still use");
        edit_settings(&test, &app, |app| {
            app.limits.budget = Some(Budget { usd: NanoUsd(1_000), per: Period::Day });
            app.time_zone = "Asia/Tokyo".to_owned();
        }).await;
        assert_eq!(shown().await, "0.000000202");
        assert_eq!(used().await, 202, "since 15:00 of the first of January in UTC");
        edit_settings(&test, &app, per(Period::Total)).await;
        assert_eq!(used().await, 503);
    }
}
