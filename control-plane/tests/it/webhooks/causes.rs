//! What writes events, and how often.

use std::time::Duration;

use latchkey_core::limits::BucketKind::CostBudget;
use latchkey_core::limits::Budget;
use latchkey_core::money::NanoUsd;
use latchkey_core::period::Period;
use latchkey_ledger::notices::notice;
use latchkey_ledger::subjects::LimitSubjects;
use latchkey_proto::ledger::{
    AttemptEnd, Finding, FindingAction, FindingDirection, FindingRisk, Record, Report, RestingTarget,
    RestingTargets,
};
use serde_json::{Value, json};

use super::receiver::Receiver;
use super::{opened, webhook};
use crate::ledger::gateway::{self, ControlPlane, edit_settings, record, texts};
use crate::support::{Test, id, on_both};

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn noticed(test: &Test) {
    notice(&test.store, &test.world, &mut LimitSubjects::default()).await.unwrap();
}

/// The data of events of this kind, oldest first.
async fn events(test: &Test, kind: &str) -> Vec<Value> {
    let data = texts(test, &format!("SELECT data FROM events WHERE kind = '{kind}' ORDER BY id")).await;
    data.iter().map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn reasons(events: &[Value]) -> Vec<&str> {
    events.iter().map(|data| data["reason"].as_str().unwrap()).collect()
}

on_both! {
    async fn a_budget_is_available_again_after_a_raise_and_may_be_used_up_again(test: Test) {
        let limit = |nanos: u64| move |app: &mut latchkey_core::settings::AppSettings| {
            app.limits.budget = Some(Budget { usd: NanoUsd(nanos), per: Period::Total });
        };
        let app = gateway::app(&test, limit(1_000)).await;
        let total = gateway::bucket(&app, CostBudget, 0);
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        gateway.record(vec![record(&test, &app, 1, vec![(total.clone(), 1_000)])]).await;
        assert_eq!(events(&test, "quota.exceeded").await.len(), 1);
        noticed(&test).await;
        assert_eq!(events(&test, "quota.resolved").await.len(), 0);
        edit_settings(&test, &app, limit(2_000)).await;
        noticed(&test).await;
        noticed(&test).await;
        let resolved = events(&test, "quota.resolved").await;
        assert_eq!(reasons(&resolved), ["limit_raised"]);
        assert_eq!((&resolved[0]["limit"], &resolved[0]["used"]), (&json!("0.000002"), &json!("0.000001")));
        // It is told again, and again resolved: by no limit at all.
        gateway.record(vec![record(&test, &app, 2, vec![(total, 1_000)])]).await;
        assert_eq!(events(&test, "quota.exceeded").await.len(), 2);
        edit_settings(&test, &app, |app| app.limits.budget = None).await;
        noticed(&test).await;
        assert_eq!(reasons(&events(&test, "quota.resolved").await), ["limit_raised", "limit_removed"]);
    }
}

on_both! {
    async fn a_budget_is_available_again_in_its_next_period(test: Test) {
        let app = gateway::app(&test, |app| app.limits.budget = Some(Budget { usd: NanoUsd(1_000), per: Period::Day })).await;
        let today = gateway::bucket(&app, CostBudget, test.world.now().as_millisecond());
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        gateway.record(vec![record(&test, &app, 1, vec![(today, 1_500)])]).await;
        assert_eq!(events(&test, "quota.exceeded").await.len(), 1);
        test.clock.advance(DAY - Duration::from_millis(1));
        noticed(&test).await;
        assert_eq!(events(&test, "quota.resolved").await.len(), 0);
        test.clock.advance(Duration::from_millis(1));
        noticed(&test).await;
        let resolved = events(&test, "quota.resolved").await;
        assert_eq!((reasons(&resolved), &resolved[0]["used"]), (vec!["new_period"], &json!("0")));
        noticed(&test).await;
        assert_eq!(events(&test, "quota.resolved").await.len(), 1);
        // The bucket that was looked at is as it should be.
        assert_eq!(texts(&test, "SELECT CAST(MIN(used) AS TEXT) FROM buckets").await, ["0"]);
    }
}

on_both! {
    async fn keys_that_end_are_told_of_twice(test: Test) {
        let app = test.app(json!({"mode": "named"})).await;
        let user = test.user("alice@acme.com").await;
        let path = format!("/apps/{}/keys", id(&app));
        let make = async |lifetime: &str| {
            let key = json!({"user_id": user, "name": lifetime, "expires_in": lifetime});
            id(&test.post(&path, key).await.expect(201.try_into().unwrap()))
        };
        let (month, _quarter) = (make("30d").await, make("90d").await);
        let days = async || {
            noticed(&test).await;
            let events = events(&test, "key.expiring").await;
            events.iter().map(|data| data["days"].as_u64().unwrap()).collect::<Vec<_>>()
        };
        test.clock.advance(23 * DAY - Duration::from_millis(1));
        assert_eq!(days().await, [0_u64; 0]);
        test.clock.advance(Duration::from_millis(1));
        assert_eq!(days().await, [7]);
        assert_eq!(days().await, [7]);
        test.clock.advance(6 * DAY);
        assert_eq!(days().await, [7, 1]);
        test.clock.advance(DAY);
        assert_eq!(days().await, [7, 1]);
        let keys = texts(&test, "SELECT key_id FROM events WHERE kind = 'key.expiring'").await;
        assert_eq!(keys, [month.clone(), month]);
        assert_eq!(events(&test, "key.expiring").await[0]["user_id"], json!(user));
    }
}

on_both! {
    async fn refusals_and_findings_are_told_once_a_minute_if_anybody_asks(test: Test) {
        let test = opened(test);
        let app = gateway::app(&test, |_| {}).await;
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        let refused = |sequence, repeats| Record {
            code: "rate_limit_exceeded".to_owned(), status: 429, repeats, ..record(&test, &app, sequence, vec![])
        };
        let found = |sequence, action: FindingAction| Record {
            findings: vec![Finding {
                category: "pii".to_owned(), detector: "email".to_owned(), risk: FindingRisk::Low.into(), action: action.into(),
                direction: FindingDirection::Request.into(), count: 2, excerpt: "k•••@acme.com".to_owned(), value_hash: vec![1; 8],
                ..Finding::default()
            }],
            ..record(&test, &app, sequence, vec![])
        };
        let receiver = Receiver::start().await;
        let of_others = json!({"name": "Others", "url": receiver.url(), "events": ["*"], "apps": "none"});
        test.post("/webhooks", of_others).await.expect(201.try_into().unwrap());
        gateway.record(vec![refused(1, 1), found(2, FindingAction::Blocked)]).await;
        assert_eq!(texts(&test, "SELECT kind FROM event_counts").await, [""; 0]);
        webhook(&test, &receiver, &["guardrail.*", "request.rate_limited"]).await;
        gateway.record(vec![refused(3, 5), refused(4, 1), found(5, FindingAction::Blocked)]).await;
        gateway.record(vec![refused(6, 1), found(7, FindingAction::Blocked), found(8, FindingAction::Monitored)]).await;
        noticed(&test).await;
        assert_eq!(events(&test, "request.rate_limited").await.len(), 0);
        test.clock.advance(Duration::from_secs(60));
        gateway.record(vec![refused(9, 1)]).await;
        test.clock.advance(Duration::from_secs(60));
        noticed(&test).await;
        noticed(&test).await;
        let refusals = events(&test, "request.rate_limited").await;
        let minute = |from: &str, to: &str, count: u64| json!({"rule": "rate_limit_exceeded", "count": count, "from": from, "to": to});
        assert_eq!(refusals, [minute("2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z", 7)]);
        let mut findings: Vec<_> = events(&test, "guardrail.violation").await;
        findings.sort_by_key(|data| data["action"].to_string());
        let told: Vec<_> = findings.iter().map(|data| (data["rule"].as_str(), data["action"].as_str(), data["count"].as_u64())).collect();
        assert_eq!(told, [(Some("pii/email"), Some("blocked"), Some(4)), (Some("pii/email"), Some("monitored"), Some(2))]);
        test.clock.advance(Duration::from_secs(60));
        noticed(&test).await;
        assert_eq!(events(&test, "request.rate_limited").await.len(), 2);
        assert_eq!(texts(&test, "SELECT kind FROM event_counts").await, [""; 0]);
    }
}

on_both! {
    async fn what_is_audited_is_an_event_only_if_anybody_asks(test: Test) {
        let test = opened(test);
        test.group("Before", &[]).await;
        let receiver = Receiver::start().await;
        let made = webhook(&test, &receiver, &["audit.action"]).await;
        test.group("Meanwhile", &[]).await;
        test.patch(&format!("/webhooks/{}", id(&made)), json!({"enabled": false})).await.expect(200.try_into().unwrap());
        test.group("After", &[]).await;
        let app = test.app(json!({})).await;
        let of_an_app = json!({"name": "One app", "url": receiver.url(), "events": ["audit.*"], "apps": [id(&app)]});
        test.post("/webhooks", of_an_app).await.expect(201.try_into().unwrap());
        test.group("Of no app", &[]).await;
        test.patch(&format!("/apps/{}", id(&app)), json!({"name": "Of that app"})).await.expect(200.try_into().unwrap());
        let names: Vec<_> = events(&test, "audit.action").await.iter().map(|data| data["subject"]["name"].clone()).collect();
        assert_eq!(names, ["On-call", "Meanwhile", "Of that app"]);
    }
}

on_both! {
    async fn what_is_refused_or_undone_is_no_event(test: Test) {
        let app = test.app(json!({"mode": "named"})).await;
        let key = test.named_key(&app).await;
        let before = events(&test, "key.created").await.len();
        assert_eq!(before, 2);
        let path = format!("/apps/{}/keys", id(&app));
        assert_eq!(test.post(&path, json!({"user_id": id(&app), "name": "x"})).await.status, 422);
        let path = format!("{path}/{}", id(&key));
        for _ in 0..2 {
            test.act(&format!("{path}/revoke")).await.expect(200.try_into().unwrap());
        }
        assert_eq!(test.act(&format!("{path}/rotate")).await.status, 409);
        assert_eq!(events(&test, "key.created").await.len(), before);
        let revoked = events(&test, "key.revoked").await;
        assert_eq!((revoked.len(), revoked[0]["of"].as_str()), (1, Some("user")));
        assert_eq!(events(&test, "key.rotated").await.len(), 0);
    }
}

on_both! {
    async fn a_gateway_that_stays_away_is_told_of_once(test: Test) {
        drop(test.gateway("edge-1", 0));
        let _connected = test.gateway("edge-2", 0);
        let ms = |time: std::time::SystemTime| time.duration_since(std::time::UNIX_EPOCH).unwrap();
        // Streams are timed by the machine's clock.
        let start = Duration::from_millis(crate::support::START_MS.unsigned_abs());
        test.clock.advance(ms(std::time::SystemTime::now()) - start + Duration::from_secs(30));
        test.api.gateways.tell_disconnected().await.unwrap();
        assert_eq!(events(&test, "gateway.disconnected").await.len(), 0);
        test.clock.advance(Duration::from_secs(31));
        for _ in 0..2 {
            test.api.gateways.tell_disconnected().await.unwrap();
        }
        let told = events(&test, "gateway.disconnected").await;
        assert_eq!((told.len(), &told[0]["gateway"]), (1, &json!("edge-1")));
    }
}

on_both! {
    async fn a_target_that_rests_is_told_of_once_an_hour(test: Test) {
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        let target = RestingTarget {
            provider: "openai".to_owned(), model: "gpt-4o".to_owned(), status: 503, reason: AttemptEnd::Status.into(),
            until_ms: test.world.now().as_millisecond() + 30_000,
        };
        let resting = || Report { resting: Some(RestingTargets { targets: vec![target.clone()] }), ..Report::default() };
        for _ in 0..2 {
            gateway.report(resting()).await;
        }
        let told = events(&test, "provider.failing").await;
        assert_eq!((told.len(), &told[0]["provider"], &told[0]["status"]), (1, &json!("openai"), &json!(503)));
        test.clock.advance(Duration::from_secs(3600));
        gateway.report(resting()).await;
        gateway.report(Report { resting: Some(RestingTargets::default()), ..Report::default() }).await;
        assert_eq!(events(&test, "provider.failing").await.len(), 2);
    }
}
