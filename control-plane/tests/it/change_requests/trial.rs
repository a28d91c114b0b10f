//! What a request asks of guardrails is tried before it is decided.

use std::time::Duration;

use latchkey_discovery::source::From;
use latchkey_proto::discovery;
use latchkey_proto::ledger as wire;
use wire::{FindingAction, FindingDirection, FindingRisk};

use super::*;
use crate::ledger::gateway::{ControlPlane, record};
use crate::support::START_MS;
use crate::web::visitor::Visitor;

/// What gateways get of the app's trial.
async fn shipped(test: &Test, desk: &Desk) -> Option<discovery::GuardrailTrial> {
    let app = desk.app.parse::<uuid::Uuid>().unwrap().as_bytes().to_vec();
    let batch = test.store.feed_batch(From::Everything, None, 1000).await.unwrap();
    batch.apps.into_iter().find(|policy| policy.id == app).expect("the app is there").guardrail_trial
}

async fn revision(test: &Test) -> u64 {
    test.store.head().await.unwrap().position.revision
}

fn rules(rules: Value) -> Value {
    json!({"guardrails": {"rules": rules}})
}

/// Asks for these guardrails; gives the request's path.
async fn ask_rules(test: &Test, desk: &Desk, wanted: Value) -> String {
    test.clock.advance(Duration::from_millis(1));
    let asked = desk.ask(test, "update_config", rules(wanted)).await.expect(StatusCode::CREATED);
    format!("/change-requests/{}", id(&asked))
}

async fn try_for(test: &Test, path: &str, hours: Value) -> Answer {
    test.post(&format!("{path}/trial"), json!({"hours": hours})).await
}

async fn end(test: &Test, path: &str) -> Answer {
    test.send(test.request("DELETE", &format!("{path}/trial"), None)).await
}

async fn trial(test: &Test, path: &str) -> Value {
    test.get(path).await.expect(StatusCode::OK)["trial"].clone()
}

fn pii(action: &str) -> Value {
    json!({"category": "pii", "action": action})
}

on_both! {
    async fn a_trial_reaches_gateways_and_ends_by_itself(test: Test) {
        let desk = Desk::new(&test, rules(json!([pii("redact")]))).await;
        let path = ask_rules(&test, &desk, json!([pii("block"), {"category": "pci", "action": "block"}])).await;
        assert_eq!(trial(&test, &path).await, Value::Null);
        assert_eq!(shipped(&test, &desk).await, None);
        let before = revision(&test).await;
        let started = try_for(&test, &path, json!(2)).await.expect(StatusCode::OK);
        assert_eq!(started["trial"], json!({
            "running": true, "started_at": "2026-01-01T00:00:00.001Z", "until": "2026-01-01T02:00:00.001Z",
            "ended_at": null, "ended_because": null, "untried": [], "requests": 0,
            "would_block": 0, "would_redact": 0, "would_anonymize": 0, "would_monitor": 0,
        }));
        assert!(revision(&test).await > before, "gateways hear of it");
        let wire = shipped(&test, &desk).await.unwrap();
        assert_eq!(wire.until_ms, START_MS + 7_200_001);
        assert_eq!(wire.change_request, started["id"].as_str().unwrap().parse::<uuid::Uuid>().unwrap().as_bytes());
        let tried = wire.guardrails.unwrap();
        assert_eq!(tried.rules.len(), 2);
        let app = desk.now(&test).await;
        assert_eq!(app["guardrails"]["rules"][0]["action"], "redact", "the app is as it was");

        let later = try_for(&test, &path, json!(3)).await.expect(StatusCode::OK);
        assert_eq!((&later["trial"]["started_at"], &later["trial"]["until"]),
            (&json!("2026-01-01T00:00:00.001Z"), &json!("2026-01-01T03:00:00.001Z")), "its end is set anew");
        test.clock.advance(Duration::from_hours(3));
        let over = trial(&test, &path).await;
        assert_eq!((&over["running"], &over["ended_at"], &over["ended_because"]),
            (&json!(false), &json!("2026-01-01T03:00:00.001Z"), &Value::Null));
        assert_eq!(end(&test, &path).await.refused(409).0, "not_running");
        assert_eq!(status(&test, &path).await, "pending", "the request still waits");
        try_for(&test, &path, json!(1)).await.expect(StatusCode::OK);
        assert_eq!(trial(&test, &path).await["running"], true, "it can be started again");
        let entries = test.get("/audit?limit=200").await.expect(StatusCode::OK);
        let actions: Vec<_> = entries["items"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
        assert_eq!(actions.iter().filter(|action| **action == "change_request.trial_started").count(), 3, "{actions:?}");
    }
}

on_both! {
    async fn an_admin_ends_a_trial(test: Test) {
        let desk = Desk::new(&test, json!({})).await;
        let path = ask_rules(&test, &desk, json!([pii("block")])).await;
        assert_eq!(end(&test, &path).await.refused(409).0, "not_running");
        try_for(&test, &path, json!(1)).await.expect(StatusCode::OK);
        let before = revision(&test).await;
        let ended = end(&test, &path).await.expect(StatusCode::OK);
        assert_eq!((&ended["trial"]["running"], &ended["trial"]["ended_because"]), (&json!(false), &json!("an admin ended it")));
        assert!(revision(&test).await > before && shipped(&test, &desk).await.is_none());
        let entries = test.get("/audit").await.expect(StatusCode::OK);
        assert_eq!(entries["items"][0]["action"], "change_request.trial_ended");
    }
}

on_both! {
    async fn a_decision_ends_the_trial(test: Test) {
        let desk = Desk::new(&test, json!({})).await;
        for how in ["approve", "reject", "withdraw", "stale"] {
            let path = ask_rules(&test, &desk, json!([pii("redact"), {"category": "pci", "action": "block"}])).await;
            try_for(&test, &path, json!(1)).await.expect(StatusCode::OK);
            assert!(shipped(&test, &desk).await.is_some(), "{how}");
            let before = revision(&test).await;
            match how {
                "approve" => { approve(&test, &path).await.expect(StatusCode::OK); }
                "reject" => { reject(&test, &path).await.expect(StatusCode::OK); }
                "withdraw" => {
                    test.with(&desk.token, "POST", &format!("/me{path}/withdraw"), None).await.expect(StatusCode::OK);
                }
                _ => { test.patch(&desk.path, rules(json!([pii("monitor")]))).await.expect(StatusCode::OK); }
            }
            assert!(revision(&test).await > before, "{how}");
            assert_eq!(shipped(&test, &desk).await, None, "{how}");
            let over = trial(&test, &path).await;
            assert_eq!((&over["running"], &over["ended_because"]), (&json!(false), &json!("the request was decided")), "{how}");
            assert_eq!(try_for(&test, &path, json!(1)).await.refused(409).0, "not_pending", "{how}");
            test.patch(&desk.path, rules(json!([]))).await.expect(StatusCode::OK);
        }
    }
}

on_both! {
    async fn another_change_of_the_guardrails_ends_the_trial_and_no_other_change(test: Test) {
        let desk = Desk::new(&test, json!({})).await;
        let path = ask_rules(&test, &desk, json!([pii("block")])).await;
        try_for(&test, &path, json!(1)).await.expect(StatusCode::OK);
        test.patch(&desk.path, json!({"tags": ["x"]})).await.expect(StatusCode::OK);
        assert!(shipped(&test, &desk).await.is_some(), "it goes on");
        let own = json!({"custom_categories": [{"name": "Own", "keywords": ["orion"]}]});
        let put = test.request("PUT", &format!("{}/custom-categories", desk.path), Some(&own));
        test.send(put).await.expect(StatusCode::OK);
        let over = trial(&test, &path).await;
        assert_eq!(over["ended_because"], "version 4 of the app changed its guardrails");
        assert_eq!((shipped(&test, &desk).await, status(&test, &path).await.as_str()), (None, "pending"));
        try_for(&test, &path, json!(1)).await.expect(StatusCode::OK);
        let wire = shipped(&test, &desk).await.unwrap().guardrails.unwrap();
        assert_eq!(wire.custom_categories.len(), 1, "on top of what the app is now");
    }
}

on_both! {
    async fn custom_categories_of_every_kind_are_tried(test: Test) {
        let desk = Desk::new(&test, json!({})).await;
        let names = ["Ann", "Bob", "Kim", "Lee", "Max", "Sue", "Tom", "Uwe", "Eva", "Ida"];
        let of = |texts: [&str; 2]| names.iter().flat_map(|who| texts.map(|text| text.replace("{}", who))).collect::<Vec<_>>();
        let category = json!({
            "name": "Own", "keywords": ["orion"], "patterns": ["OR-[0-9]{4}"], "values": ["Zephyrine Quill"],
            "examples": of(["Can we sue {} for breach of the contract?", "Is the liability clause with {} enforceable in court?"]),
            "counter_examples": of(["Write a friendly birthday greeting for {}.", "Which restaurant would {} like for lunch?"]),
        });
        let asked = desk.ask(&test, "custom_categories", json!({"custom_categories": [category]})).await;
        let path = format!("/change-requests/{}", id(&asked.expect(StatusCode::CREATED)));
        try_for(&test, &path, json!(1)).await.expect(StatusCode::OK);
        let wire = shipped(&test, &desk).await.unwrap().guardrails.unwrap();
        let [own] = wire.custom_categories.try_into().unwrap();
        assert_eq!((own.keywords.len(), own.patterns.len(), own.values.len()), (1, 1, 15));
        assert!(own.learned.is_some());
        assert_eq!((wire.rules.len(), wire.key.len()), (1, 32), "monitored, as without a rule");
    }
}

on_both! {
    async fn what_cannot_be_tried_is_refused_and_changes_nothing(test: Test) {
        let desk = Desk::new(&test, rules(json!([pii("redact")]))).await;
        let path = ask_rules(&test, &desk, json!([pii("block")])).await;
        for (hours, field) in [(json!(0), "hours"), (json!(721), "hours"), (json!("x"), "hours"), (Value::Null, "hours")] {
            assert_eq!(try_for(&test, &path, hours).await.refused(422), pair("invalid", field));
        }
        let more = test.post(&format!("{path}/trial"), json!({"hours": 1, "days": 2})).await;
        assert_eq!(more.refused(422), pair("invalid", "days"));
        let tags = desk.ask_tags(&test, &["x"]).await;
        assert_eq!(try_for(&test, &tags, json!(1)).await.refused(409).0, "nothing_to_try");
        let none = ask_rules(&test, &desk, json!([])).await;
        assert_eq!(try_for(&test, &none, json!(1)).await.refused(409).0, "nothing_to_try");
        let own = test.with(&desk.token, "POST", &format!("{path}/trial"), Some(json!({"hours": 1}))).await;
        assert_eq!(own.refused(403).0, "forbidden");
        test.sql(&[format!("UPDATE users SET role = 'admin' WHERE id = '{}'", desk.alice)]).await;
        let own = test.with(&desk.token, "POST", &format!("{path}/trial"), Some(json!({"hours": 1}))).await;
        assert_eq!(own.refused(403).0, "own_request");
        assert_eq!(trial(&test, &path).await, Value::Null);
        assert_eq!(try_for(&test, &format!("/change-requests/{}", desk.app), json!(1)).await.refused(404).0, "not_found");
        edit(&test, &desk.app, |settings| settings.self_service.access.settings_request = Rule::default()).await;
        assert_eq!(try_for(&test, &path, json!(1)).await.refused(409).0, "requester_lost_access");
    }
}

on_both! {
    async fn one_request_for_an_app_is_tried_at_a_time(test: Test) {
        let desk = Desk::new(&test, json!({})).await;
        let first = ask_rules(&test, &desk, json!([pii("block")])).await;
        let second = ask_rules(&test, &desk, json!([pii("redact")])).await;
        try_for(&test, &first, json!(1)).await.expect(StatusCode::OK);
        let refused = try_for(&test, &second, json!(1)).await;
        let told = refused.json["detail"].as_str().unwrap().to_owned();
        assert_eq!(refused.refused(409).0, "trial_running");
        assert!(told.contains(first.rsplit('/').next().unwrap()) && told.contains("alice@acme.com"), "{told}");
        test.clock.advance(Duration::from_hours(1));
        try_for(&test, &second, json!(1)).await.expect(StatusCode::OK);
        assert_eq!((&trial(&test, &first).await["running"], &trial(&test, &second).await["running"]), (&json!(false), &json!(true)));
        let (one, other) = tokio::join!(end(&test, &second), reject(&test, &second));
        assert!(other.status == StatusCode::OK, "{one:?} {other:?}");
        assert_eq!((trial(&test, &second).await["running"].clone(), shipped(&test, &desk).await), (json!(false), None));
    }
}

on_both! {
    async fn what_it_would_have_done_is_counted_by_requests(test: Test) {
        let app = crate::ledger::gateway::app(&test, |settings| {
            settings.self_service.access.settings_request = everyone();
        }).await;
        let alice = test.user("alice@acme.com").await;
        let token = test.token_of(&alice).await;
        let desk = Desk { path: format!("/apps/{}", id(&app)), app: id(&app), alice, token };
        let path = ask_rules(&test, &desk, json!([pii("redact")])).await;
        try_for(&test, &path, json!(1)).await.expect(StatusCode::OK);
        let request = path.rsplit('/').next().unwrap().parse::<uuid::Uuid>().unwrap();
        let plane = ControlPlane::start(&test).await;
        let mut gateway = plane.gateway("a").await;
        let found = |action: FindingAction, tried: bool| wire::Finding {
            category: "pii".to_owned(), detector: "email".to_owned(), risk: FindingRisk::Low.into(), action: action.into(),
            direction: FindingDirection::Request.into(), count: 1, excerpt: "k••••@example.com".to_owned(),
            value_hash: vec![1; 8], change_request: if tried { request.as_bytes().to_vec() } else { vec![] },
            ..wire::Finding::default()
        };
        let of = |sequence, findings: Vec<wire::Finding>| wire::Record {
            findings, tried_change_request: request.as_bytes().to_vec(), ..record(&test, &app, sequence, vec![])
        };
        let two = vec![found(FindingAction::WouldRedact, true), found(FindingAction::WouldRedact, true), found(FindingAction::WouldMonitor, true)];
        gateway.record(vec![
            of(1, two), of(2, vec![]), of(3, vec![found(FindingAction::WouldBlock, true)]),
            // A rule of the app's own that is on trial, and requests that were not tried.
            of(4, vec![found(FindingAction::WouldBlock, false)]), record(&test, &app, 5, vec![]),
            wire::Record { repeats: 3, ..of(6, vec![]) },
        ]).await;
        let counts = trial(&test, &path).await;
        let counts = ["requests", "would_block", "would_redact", "would_anonymize", "would_monitor"].map(|field| counts[field].as_u64().unwrap());
        assert_eq!(counts, [7, 1, 1, 0, 1]);
        let found = test.get(&format!("/findings?change_request_id={request}")).await.expect(StatusCode::OK);
        assert_eq!(found["items"].as_array().unwrap().len(), 4);
        assert!(found["items"].as_array().unwrap().iter().all(|finding| finding["change_request_id"] == json!(request)));
        let sums = test.get(&format!("/findings/summary?group_by=action&change_request_id={request}")).await.expect(StatusCode::OK);
        assert_eq!(sums["totals"]["findings"], 4, "{sums}");
        let all = test.get("/findings?action=would_block").await.expect(StatusCode::OK);
        let whose: Vec<_> = all["items"].as_array().unwrap().iter().map(|finding| finding["change_request_id"].clone()).collect();
        assert_eq!(whose, [Value::Null, json!(request)]);
        let logs = test.get("/logs").await.expect(StatusCode::OK);
        let tried: Vec<_> = logs["items"].as_array().unwrap().iter().map(|log| log["tried_change_request"].clone()).collect();
        assert_eq!(tried[1], Value::Null);
        assert_eq!(tried.iter().filter(|it| **it == json!(request)).count(), 5);
        let own: Vec<_> = logs["items"].as_array().unwrap().iter().map(|log| log["findings"].as_u64().unwrap()).collect();
        assert_eq!(own, [0, 0, 1, 0, 0, 0], "what would have been found is no finding");
    }
}

on_both! {
    async fn an_admin_tries_a_request_on_its_page(test: Test) {
        let desk = Desk::new(&test, json!({})).await;
        let path = format!("/admin{}", ask_rules(&test, &desk, json!([pii("block")])).await.replace("change-", ""));
        let api = path.replace("/admin/", "/change-");
        let mut boss = Visitor::with_role(&test, "boss@acme.com", "admin").await;
        let page = boss.open(&path).await;
        let action = format!("{path}/trial");
        assert!(page.all("#trial").len() == 1 && page.main().contains("without changing or refusing anything"), "{}", page.main());
        let wrong = boss.submit(&page, &action, &[("hours", "0")]).await;
        assert_eq!((wrong.status, wrong.all("#hours-error").len()), (422, 1), "{}", wrong.main());
        let none = boss.submit(&page, &action, &[("hours", "")]).await;
        assert_eq!((none.status, none.all("#hours-error").len()), (422, 1), "{}", none.main());
        let started = boss.submit(&page, &action, &[("hours", "24")]).await;
        assert_eq!((started.status, started.all(".flash").len()), (200, 1), "{}", started.main());
        assert!(started.main().contains("Would have done nothing in 0 requests since"), "{}", started.main());
        let request = path.rsplit('/').next().unwrap();
        test.insert("records", json!({"request_id": "r1", "app_id": desk.app, "tried_change_request": request})).await;
        test.insert("findings", json!({"request_id": "r1", "app_id": desk.app, "category": "pii", "action": "would_block",
            "excerpt": "k••••@example.com", "change_request_id": request})).await;
        let shown = boss.open(&path).await;
        assert!(shown.main().contains("Would have blocked 1 of 1 request"), "{}", shown.main());
        assert!(shown.main().contains("k••••@example.com"), "{}", shown.main());
        assert!(shown.attribute("#trial a[href*='logs?request_id=r1']", "href").is_some());
        let all = boss.open(&shown.attribute("#trial a[href*='findings?change_request_id']", "href").unwrap()).await;
        assert_eq!((all.status, all.all("td a[href^='/admin/logs?request_id']").len()), (200, 1), "{}", all.main());
        assert_eq!(all.attribute("td a[href^='/admin/requests/']", "href"), Some(path.clone()));
        let mut auditor = Visitor::with_role(&test, "auditor@acme.com", "auditor").await;
        let seen = auditor.open(&path).await;
        assert_eq!((seen.all("#trial").len(), seen.all("#trial form").len()), (1, 0), "who decides nothing starts nothing");
        let ended = boss.submit(&shown, &format!("{path}/trial/end"), &[]).await;
        assert!(ended.main().contains("an admin ended it"), "{}", ended.main());
        assert_eq!(trial(&test, &api).await["running"], false);
        let tags = format!("/admin{}", desk.ask_tags(&test, &["x"]).await.replace("change-", ""));
        assert_eq!(boss.open(&tags).await.all("#trial").len(), 0, "there is nothing to try");
    }
}

on_both! {
    async fn one_that_this_version_cannot_read_tries_nothing_and_holds_up_no_decision(test: Test) {
        let desk = Desk::new(&test, json!({})).await;
        let path = ask_rules(&test, &desk, json!([pii("block")])).await;
        try_for(&test, &path, json!(1)).await.expect(StatusCode::OK);
        test.sql(&["UPDATE guardrail_trials SET proposal = '{\"of\": \"a newer version\"}'".to_owned()]).await;
        assert!(shipped(&test, &desk).await.is_none());
        assert_eq!(trial(&test, &path).await["running"], true);
        approve(&test, &path).await.expect(StatusCode::OK);
        assert_eq!(trial(&test, &path).await["ended_because"], "the request was decided");
    }
}
