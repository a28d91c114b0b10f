use std::time::Duration;

use latchkey_core::limits::BucketKind::{CostBudget, RequestsPerMinute};
use latchkey_core::limits::Budget;
use latchkey_core::money::NanoUsd;
use latchkey_core::period::Period;
use latchkey_core::role::Role;
use latchkey_core::settings::AppSettings;
use latchkey_ledger::retention::tidy;
use latchkey_proto::ledger::{Lease, LedgerRequest, Record, Verdict};
use latchkey_store::Backend;
use sqlx::{AnyConnection, Connection as _};
use tonic::Code;

use super::gateway::{ControlPlane, app, batch, bucket, leases, number, record, sql, texts, verdict, wants};
use crate::support::{Test, id, on_both};

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
        // What was written off is settled, too.
        assert_eq!(texts(&test, "SELECT instance FROM leases").await, ["here"]);
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
        let mut locked = lock(&test).await;
        gateway.send(batch(vec![record(&test, &app, 1, vec![])])).await;
        while plane.stats.retries.load(std::sync::atomic::Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        sqlx::raw_sql("ROLLBACK").execute(&mut locked).await.unwrap();
        let answer = gateway.next().await.unwrap().unwrap();
        assert_eq!((answer.report, answer.acknowledged[0].sequence), (1, 1));
        assert_eq!(number(&test, "SELECT COUNT(*) FROM records").await, 1);

        sql(&test, "ALTER TABLE records RENAME TO elsewhere").await;
        gateway.send(batch(vec![record(&test, &app, 2, vec![])])).await;
        let before = plane.stats.retries.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(gateway.next().await.unwrap_err().code(), Code::Unavailable);
        assert_eq!(number(&test, "SELECT sequence FROM ledger_workers").await, 1);
        assert_eq!(plane.stats.retries.load(std::sync::atomic::Ordering::Relaxed), before, "that does not pass");
    }
}

/// A transaction of somebody else that keeps the ledger from writing.
async fn lock(test: &Test) -> AnyConnection {
    let mut other = AnyConnection::connect(&test.url).await.unwrap();
    let lock = match test.store.backend() {
        Backend::Sqlite => "BEGIN IMMEDIATE",
        Backend::Postgres => "BEGIN; LOCK TABLE ledger_workers, buckets IN ACCESS EXCLUSIVE MODE",
    };
    sqlx::raw_sql(lock).execute(&mut other).await.unwrap();
    other
}

on_both! {
    async fn a_bucket_that_cannot_be_read_stops_nobody_else(test: Test) {
        let limited = |app: &mut AppSettings| {
            app.limits.requests_per_minute = Some(10);
            app.limits.budget = Some(Budget { usd: NanoUsd(1_000), per: Period::Total });
        };
        let (damaged, good) = (app(&test, limited).await, app(&test, limited).await);
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        let (bad, sound) = (bucket(&damaged, RequestsPerMinute, 0), bucket(&good, RequestsPerMinute, 0));
        let total = bucket(&damaged, CostBudget, 0);
        gateway.ask(wants(bad.clone(), 1, 1)).await;
        sql(&test, &format!("UPDATE buckets SET slots = 'damaged' WHERE kind = 1 AND owner = '{}'", id(&damaged))).await;
        let mut report = leases(vec![wants(bad.clone(), 1, 1), wants(sound, 1, 1), wants(total.clone(), 5, 5)]);
        report.batches = batch(vec![
            record(&test, &damaged, 1, vec![(bad.clone(), 1), (total, 5)]),
            record(&test, &good, 2, vec![]),
        ]).batches;
        let answer = gateway.report(report).await;
        let verdicts: Vec<_> = answer.grants.iter().map(verdict).collect();
        assert_eq!(verdicts, [Verdict::Exhausted, Verdict::Granted, Verdict::Granted]);
        assert_eq!(answer.acknowledged[0].sequence, 2);
        assert_eq!(plane.stats.retries.load(std::sync::atomic::Ordering::Relaxed), 0);
        // It is left as it is, also by those who tidy up.
        test.clock.advance(Duration::from_secs(3 * 86_400));
        tidy(&test.store, &test.world, &plane.streams, 0).await.unwrap();
        assert_eq!(texts(&test, "SELECT slots FROM buckets WHERE slots = 'damaged'").await.len(), 1);
        sql(&test, "UPDATE buckets SET slots = '[]' WHERE slots = 'damaged'").await;
        assert_eq!(verdict(&gateway.ask(wants(bad, 1, 1)).await), Verdict::Granted, "mended");
    }
}

on_both! {
    async fn a_report_that_cannot_be_written_ends_its_own_stream_alone(test: Test) {
        let app = app(&test, |_| {}).await;
        let plane = ControlPlane::start(&test).await;
        let mut gateways = Vec::new();
        for name in ["first", "a", "bad", "b"] {
            let mut gateway = plane.gateway(name).await;
            assert_eq!(gateway.record(vec![record(&test, &app, 1, vec![])]).await, 1);
            gateways.push(gateway);
        }
        sql(&test, "CREATE UNIQUE INDEX refused ON records (conversation_id) WHERE conversation_id = 'refused'").await;
        let refused = |sequence| Record {
            conversation_id: "refused".to_owned(),
            ..record(&test, &app, sequence, vec![])
        };
        // What comes while the first waits for the lock is written together.
        let mut locked = lock(&test).await;
        for (index, gateway) in gateways.iter_mut().enumerate() {
            let records = if index == 2 { vec![refused(2), refused(3)] } else { vec![record(&test, &app, 2, vec![])] };
            gateway.send(batch(records)).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // It is sent before the one that fails is answered, and comes again after it.
        gateways[2].send(batch(vec![record(&test, &app, 4, vec![])])).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        sqlx::raw_sql("ROLLBACK").execute(&mut locked).await.unwrap();
        for index in [0, 1, 3] {
            let answer = gateways[index].next().await.unwrap().unwrap();
            assert_eq!(answer.acknowledged[0].sequence, 2, "{index}");
        }
        assert_eq!(gateways[2].next().await.unwrap_err().code(), Code::Unavailable);
        let sequence = "SELECT sequence FROM ledger_workers WHERE instance = 'bad'";
        assert_eq!(number(&test, sequence).await, 1, "nothing of it is lost");
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
