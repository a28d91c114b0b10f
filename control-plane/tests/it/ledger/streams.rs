use std::time::Duration;

use latchkey::ledger::retention::tidy;
use latchkey_core::limits::BucketKind::{CostBudget, RequestsPerMinute};
use latchkey_core::limits::Budget;
use latchkey_core::money::NanoUsd;
use latchkey_core::period::Period;
use latchkey_core::role::Role;
use latchkey_proto::ledger::{Lease, LedgerRequest, Record};
use tonic::Code;

use super::gateway::{ControlPlane, app, batch, bucket, leases, number, record, sql, texts, wants};
use crate::support::on_both;

on_both! {
    async fn only_a_gateways_token_opens_a_stream(test: Test) {
        let plane = ControlPlane::start(&test).await;
        assert_eq!(plane.open("nonsense").await.unwrap_err().code(), Code::Unauthenticated);
        let admin = test.token(Role::Admin).await;
        assert_eq!(plane.open(&admin).await.unwrap_err().code(), Code::Unauthenticated);
        let gateway = test.token(Role::Gateway).await;
        assert!(plane.open(&gateway).await.is_ok());
    }
}

on_both! {
    async fn a_stream_begins_with_a_hello(test: Test) {
        let plane = ControlPlane::start(&test).await;
        let token = test.token(Role::Gateway).await;
        let (requests, mut responses) = plane.open(&token).await.unwrap();
        requests.send(LedgerRequest { kind: None }).await.unwrap();
        assert_eq!(responses.message().await.unwrap_err().code(), Code::InvalidArgument);
    }
}

on_both! {
    async fn old_records_are_forgotten_and_their_sums_are_not(test: Test) {
        let app = app(&test, |_| {}).await;
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        gateway.record((1..=2_100).map(|sequence| record(&test, &app, sequence, vec![])).collect()).await;
        test.clock.advance(Duration::from_secs(89 * 86_400));
        gateway.record(vec![record(&test, &app, 2_101, vec![])]).await;
        tidy(&test.store, &test.world, &plane.streams, 90).await.unwrap();
        assert_eq!(number(&test, "SELECT COUNT(*) FROM records").await, 2_101);
        test.clock.advance(Duration::from_secs(2 * 86_400));
        tidy(&test.store, &test.world, &plane.streams, 0).await.unwrap();
        assert_eq!(number(&test, "SELECT COUNT(*) FROM records").await, 2_101, "0 days keep all");
        tidy(&test.store, &test.world, &plane.streams, 90).await.unwrap();
        assert_eq!(number(&test, "SELECT COUNT(*) FROM records").await, 1);
        assert_eq!(number(&test, "SELECT SUM(requests) FROM usage_days").await, 2_101);
    }
}

on_both! {
    async fn what_can_no_longer_matter_is_forgotten_and_no_more(test: Test) {
        let app = app(&test, |app| {
            app.limits.requests_per_minute = Some(10);
            app.limits.budget = Some(Budget { usd: NanoUsd(1_000), per: Period::Total });
        }).await;
        let plane = ControlPlane::start(&test).await;
        let (mut here, mut gone) = (plane.gateway("here").await, plane.gateway("gone").await);
        let (minute, total) = (bucket(&app, RequestsPerMinute, 0), bucket(&app, CostBudget, 0));
        for gateway in [&mut here, &mut gone] {
            gateway.ask(wants(minute.clone(), 2, 2)).await;
            gateway.ask(wants(total.clone(), 100, 100)).await;
            gateway.record(vec![record(&test, &app, 1, vec![(total.clone(), 60)])]).await;
            let settled = Lease { granted: 100, returned: 40, bucket: Some(total.clone()), ..Lease::default() };
            gateway.report(leases(vec![settled])).await;
        }
        // A third one takes what it holds of the budget to its grave: it is charged then.
        let mut killed = plane.gateway("killed").await;
        killed.ask(wants(total.clone(), 50, 50)).await;
        drop((gone, killed));
        while plane.streams.instances() != ["here"] {
            tokio::task::yield_now().await;
        }
        test.clock.advance(Duration::from_secs(20 * 86_400));
        tidy(&test.store, &test.world, &plane.streams, 0).await.unwrap();
        test.clock.advance(Duration::from_secs(20 * 86_400));
        tidy(&test.store, &test.world, &plane.streams, 0).await.unwrap();
        assert_eq!(number(&test, "SELECT COUNT(*) FROM leases WHERE kind = 1").await, 0);
        assert_eq!(number(&test, "SELECT COUNT(*) FROM buckets WHERE kind = 1").await, 0);
        let left = texts(&test, "SELECT instance FROM leases ORDER BY instance").await;
        assert_eq!(left, ["here", "killed"]);
        let workers = texts(&test, "SELECT instance FROM ledger_workers").await;
        assert_eq!(workers, ["here"]);
        let after = here.ask(Lease { granted: 100, returned: 40, ..wants(total, 1, 1) }).await;
        assert_eq!((after.used, after.remaining), (120 + 50, 1_000 - 120 - 50 - 1));
        // What a process says of a lease that was forgotten does not count again.
        let minute = here.ask(Lease { granted: 2, used: 2, ..wants(minute, 1, 1) }).await;
        assert_eq!((minute.used, minute.granted), (0, 3));
    }
}

on_both! {
    async fn what_cannot_be_written_is_not_acknowledged(test: Test) {
        let app = app(&test, |_| {}).await;
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        sql(&test, "ALTER TABLE records RENAME TO elsewhere").await;
        gateway.send(batch(vec![record(&test, &app, 1, vec![])])).await;
        while plane.stats.retries.load(std::sync::atomic::Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        sql(&test, "ALTER TABLE elsewhere RENAME TO records").await;
        let answer = gateway.next().await.unwrap().unwrap();
        assert_eq!((answer.report, answer.acknowledged[0].sequence), (1, 1));
        assert_eq!(number(&test, "SELECT COUNT(*) FROM records").await, 1);

        sql(&test, "ALTER TABLE records RENAME TO elsewhere").await;
        gateway.send(batch(vec![record(&test, &app, 2, vec![])])).await;
        assert_eq!(gateway.next().await.unwrap_err().code(), Code::Unavailable);
        assert_eq!(number(&test, "SELECT sequence FROM ledger_workers").await, 1);
    }
}

on_both! {
    async fn absurd_reports_do_no_harm(test: Test) {
        let app = app(&test, |app| app.limits.requests_per_minute = Some(10)).await;
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        let minute = bucket(&app, RequestsPerMinute, 0);
        let most = u64::MAX;
        let lease = Lease { granted: most, used: most, returned: most, local: most, want: most, least: most, floor: most, ahead: false, bucket: Some(minute.clone()) };
        let odd = Record { at_ms: i64::MIN, cost_nano_usd: most, ..record(&test, &app, 1, vec![(bucket(&app, CostBudget, 0), most)]) };
        gateway.record(vec![odd]).await;
        gateway.ask(lease).await;
        gateway.report(leases(vec![Lease::default()])).await;
        let mut other = plane.gateway("b").await;
        test.clock.advance(Duration::from_secs(120));
        assert_eq!(other.ask(wants(minute, 1, 1)).await.granted, 1);
    }
}
