//! Calls of routing groups.

use std::rc::Rc;

use super::*;
use crate::answer::usage::AnswerHead;
use crate::limits::account::SubjectId;
use crate::record::meter::{RequestMeter, UpstreamOutcome};
use crate::record::{Record, Settlement, SettlementReason};
use crate::routing::cooldown;
use crate::snapshot::BucketKind;
use crate::upstream::attempts::{AttemptEnd, SharedAttempts};

mod failed_tries;

const BODY: &[u8] = br#"{"model":"fast","messages":[{"role":"user","content":"hi"}],"max_tokens":100}"#;
const BUDGET: BucketKind = BucketKind::CostBudget;
const SUBJECT: SubjectId = SubjectId(testing::APP.0.into_bytes());

/// In nano-USD per million tokens.
fn price(version: u64, rate: u64) -> Option<wire::Price> {
    let (cache_write_5m, cache_write_1h) = (Some(rate), Some(rate));
    Some(wire::Price {
        version,
        input: rate,
        cached_input: rate,
        output: rate,
        cache_write_5m,
        cache_write_1h,
        ..wire::Price::default()
    })
}

/// A gateway whose group `fast` tries OpenAI (a dollar a million) and then Azure (three).
fn grouped(
    limits: &[(BucketKind, u64)],
    edit: impl FnOnce(&mut wire::Catalogue, &mut wire::AppPolicy),
) -> TestMemory {
    let mut catalogue = testing::catalogue();
    for (at, provider) in catalogue.providers.iter_mut().enumerate() {
        provider.group_cluster = format!("latchkey/group/{at:02}");
    }
    catalogue.models[0].price = price(1, 1_000_000_000);
    catalogue.models[1].price = price(2, 3_000_000_000);
    let targets = [("openai", "gpt-4o", 100), ("azure", "gpt-4o", 0)];
    catalogue.routing_groups = vec![testing::routing_group("fast", &targets)];
    let mut app = wire::AppPolicy {
        routing_groups: Some(testing::only(&["fast"])),
        limits: (!limits.is_empty()).then(|| testing::limits(limits)),
        ..testing::app()
    };
    edit(&mut catalogue, &mut app);
    let store = gateway(wire::DiscoveryResponse {
        apps: vec![app],
        catalogue: Some(catalogue),
        ..testing::increment()
    });
    cooldown::begin(&store).unwrap();
    store
}

fn call(store: &TestMemory, extra: &[(&str, &str)], body: &[u8]) -> BodyDecision {
    let bearer = format!("Bearer {}", testing::app_key().expose());
    let mut all = vec![("authorization", bearer.as_str())];
    all.extend(extra);
    run(store, &FixedWorld::at(1000, ""), &headers("POST", CHAT, &all), body)
}

fn attempts(forward: &Forward) -> SharedAttempts {
    Rc::clone(forward.call.attempts().expect("a group's call"))
}

fn tried(attempts: &SharedAttempts) -> Vec<String> {
    let attempts = attempts.borrow();
    attempts.targets().iter().map(|target| target.offer.provider.name.clone()).collect()
}

#[test]
fn a_group_is_called_like_a_model_and_its_body_stays_for_each_try_to_edit() {
    let store = grouped(&[], |_, _| ());
    let forward = forwarded(call(&store, &[], BODY));
    assert_eq!(tried(&attempts(&forward)), ["openai", "azure"]);
    assert_eq!(forward.body, None);
    assert_eq!(model_call(&forward).model, "fast");
    let client = headers("POST", CHAT, &[("authorization", "x"), ("x-latchkey-target", "azure")]);
    let edits = forward.edits(Headers(&client));
    let of = |name: &str| edits.iter().find(|edit| edit.name == name).map(|edit| edit.value.as_deref());
    assert_eq!(of("x-latchkey-group"), Some(Some("1")));
    assert_eq!(of("x-envoy-max-retries"), Some(Some("1")));
    assert_eq!(of("authorization"), Some(None));
    assert_eq!(of("x-latchkey-target"), Some(None));
    for name in [":path", ":authority", "x-latchkey-cluster", "x-latchkey-idle-timeout"] {
        assert_eq!(of(name), None, "{name}");
    }
}

#[test]
fn a_group_stands_in_for_the_model_of_its_name_where_the_app_has_it() {
    let named = |catalogue: &mut wire::Catalogue| catalogue.routing_groups[0].name = "gpt-4o".into();
    let body = br#"{"model":"gpt-4o","messages":[]}"#;
    let store = grouped(&[], |catalogue, app| {
        named(catalogue);
        app.routing_groups = Some(testing::all());
    });
    assert!(forwarded(call(&store, &[], body)).call.attempts().is_some());
    let store = grouped(&[], |catalogue, _| named(catalogue));
    assert!(forwarded(call(&store, &[], body)).call.attempts().is_none());
}

#[test]
fn clients_choose_a_target_only_where_the_app_allows_it() {
    let ask = |allowed: bool, target| {
        let store = grouped(&[], |_, app| app.target_header = allowed);
        call(&store, &[("x-latchkey-target", target)], BODY)
    };
    assert_eq!(tried(&attempts(&forwarded(ask(false, "azure")))), ["openai", "azure"]);
    assert_eq!(tried(&attempts(&forwarded(ask(true, "azure/gpt-4o")))), ["azure"]);
    assert_eq!(denied(ask(true, "anthropic")), Code::InvalidParameter);
}

#[test]
fn lists_of_models_name_the_groups_and_no_target() {
    let list = |store: &TestMemory, path: &str| {
        let bearer = format!("Bearer {}", testing::app_key().expose());
        let headers = headers("GET", path, &[("authorization", &bearer)]);
        let BodyDecision::Reply(reply) = run(store, &FixedWorld::at(1000, ""), &headers, b"") else {
            panic!()
        };
        serde_json::from_slice::<serde_json::Value>(&reply.body).unwrap()
    };
    let store = grouped(&[], |_, _| ());
    let models = list(&store, "/v1/models");
    let ids: Vec<_> =
        models["data"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["gpt-4o", "claude", "fast"]);
    let expected = serde_json::json!({"id": "fast", "object": "model", "created": 9, "owned_by": "latchkey"});
    assert_eq!(models["data"][2], expected);
    assert_eq!(list(&store, "/v1/models/fast"), expected);
    for edit in [(|app: &mut wire::AppPolicy| app.routing_groups = None) as fn(&mut wire::AppPolicy), |app| {
        app.models = Some(testing::only(&["claude"]))
    }] {
        let store = grouped(&[], |_, app| edit(app));
        assert!(!list(&store, "/v1/models").to_string().contains("fast"));
        assert_ne!(list(&store, "/v1/models/fast")["error"], serde_json::Value::Null);
    }
}

#[test]
fn responses_that_leave_something_behind_are_tried_once() {
    let store = grouped(&[], |_, _| ());
    let repeating = grouped(&[], |catalogue, _| {
        catalogue.routing_groups[0].failover.as_mut().unwrap().repeats_side_effects = true;
    });
    for (more, tries) in [
        ("", 2),
        (r#","background":false,"conversation":null"#, 2),
        (r#","background":true"#, 1),
        (r#","previous_response_id":"resp_1""#, 1),
        (r#","background":false,"background":true"#, 1),
        (r#","tools":[{"type":"function","name":"f"},{"type":"web_search"}]"#, 2),
        (r#","tools":[{"type":"mcp","server_url":"https://x"}]"#, 1),
    ] {
        let body = format!(r#"{{"model":"fast","input":"hi"{more}}}"#);
        let of = |store| forwarded(ask(store, testing::app_key().expose(), "/v1/responses", body.as_bytes()));
        assert_eq!(attempts(&of(&store)).borrow().targets().len(), tries, "{more}");
        assert_eq!(attempts(&of(&repeating)).borrow().targets().len(), 2, "{more}");
    }
}

/// A million tokens cost so many nano-USD; the body has this many as its upper bound.
fn held(store: &TestMemory) -> u64 {
    testing::line(store, SUBJECT, BUDGET).held
}

#[test]
fn the_dearest_target_and_the_input_of_each_further_try_are_reserved() {
    let of = |edit: fn(&mut wire::Catalogue)| {
        let store = grouped(&[(BUDGET, 1_000_000_000)], |catalogue, _| edit(catalogue));
        testing::grant(&store, SUBJECT, BUDGET, 1_000_000_000, 900_000_000);
        let forward = forwarded(call(&store, &[], BODY));
        (held(&store), forward)
    };
    let (dear, _) =
        of(|catalogue| catalogue.routing_groups[0].tiers[0].targets.retain(|it| it.provider == "azure"));
    let (cheap, _) = of(|catalogue| catalogue.routing_groups[0].tiers[0].targets.truncate(1));
    let (both, forward) = of(|_| ());
    assert_eq!(dear, 3 * cheap);
    let input = forward.call.reservation().unwrap().input_tokens.unwrap();
    assert_eq!(both, dear + 3_000 * input);
    let (once, _) = of(|catalogue| catalogue.routing_groups[0].failover.as_mut().unwrap().max_attempts = 1);
    assert_eq!(once, cheap, "what is not tried is not reserved");
}

#[test]
fn where_the_budget_holds_one_try_only_there_is_no_failover() {
    let store = grouped(&[(BUDGET, 400_000)], |_, _| ());
    testing::grant(&store, SUBJECT, BUDGET, 400_000, 400_000);
    let forward = forwarded(call(&store, &[], BODY));
    assert_eq!(tried(&attempts(&forward)), ["openai"]);
}

#[test]
fn a_target_without_a_price_is_none_for_an_app_with_a_budget() {
    let store = grouped(&[(BUDGET, 1_000_000_000)], |catalogue, _| catalogue.models[0].price = None);
    testing::grant(&store, SUBJECT, BUDGET, 1_000_000_000, 900_000_000);
    assert_eq!(tried(&attempts(&forwarded(call(&store, &[], BODY)))), ["azure"]);
    let store = grouped(&[(BUDGET, 1_000_000_000)], |catalogue, _| {
        catalogue.models.iter_mut().for_each(|model| model.price = None);
    });
    testing::grant(&store, SUBJECT, BUDGET, 1_000_000_000, 900_000_000);
    assert_eq!(denied(call(&store, &[], BODY)), Code::ModelNotPriced);
}

#[test]
fn a_target_that_rested_is_tried_by_one_request() {
    let store = grouped(&[], |_, _| ());
    let first = attempts(&forwarded(call(&store, &[], BODY)));
    let openai = Rc::clone(&first.borrow().targets()[0]);
    let failure = cooldown::Failure { end: AttemptEnd::Status, status: 500, retry_after_ms: None };
    cooldown::failed(&store, &openai, failure, UnixMs(900));
    let order = |now| {
        let bearer = format!("Bearer {}", testing::app_key().expose());
        let headers = headers("POST", CHAT, &[("authorization", &bearer)]);
        tried(&attempts(&forwarded(run(&store, &FixedWorld::at(now, ""), &headers, BODY))))
    };
    assert_eq!(order(1_000), ["azure", "openai"]);
    assert_eq!(order(6_000), ["openai", "azure"], "its rest is over: this one tries it");
    assert_eq!(order(6_001), ["azure", "openai"], "and no other meanwhile");
}

/// The record of a call whose tries go as `play` says.
fn record(
    store: &TestMemory,
    play: impl FnOnce(&SharedAttempts, &mut RequestMeter),
    outcome: UpstreamOutcome,
) -> Record {
    let decision = call(store, &[], BODY);
    let forward = forwarded(decision);
    let attempts = attempts(&forward);
    let bearer = format!("Bearer {}", testing::app_key().expose());
    let view = View::new(store);
    let client = headers("POST", CHAT, &[("authorization", &bearer)]);
    let HeadersDecision::NeedBody(admitted) = admit(Headers(&client), &view, &FixedWorld::at(1000, ""))
    else {
        panic!()
    };
    let mut meter =
        RequestMeter::new(admitted.attribution.clone(), "chat_completions", Headers(&client), UnixMs(1_000));
    meter.forwarded(forward.call);
    play(&attempts, &mut meter);
    meter.finish(store, outcome, UnixMs(9_000))
}

const ANSWER: &[u8] =
    br#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14}}"#;

fn answers(meter: &mut RequestMeter) {
    let head = AnswerHead { content_type: Some("application/json"), content_encoding: None };
    assert!(meter.answered(200, head));
    let _ = meter.chunk(ANSWER, true, || UnixMs(2_000));
}

#[test]
fn the_target_that_served_is_charged_and_named() {
    let store = grouped(&[(BUDGET, 1_000_000_000)], |_, _| ());
    testing::grant(&store, SUBJECT, BUDGET, 1_000_000_000, 900_000_000);
    let record = record(
        &store,
        |attempts, meter| {
            attempts.borrow_mut().begin("openai", &[], &store, UnixMs(1_000)).unwrap();
            attempts.borrow_mut().answered(0, 503, Headers(&[]), &store, UnixMs(1_100));
            attempts.borrow_mut().begin("azure", &[], &store, UnixMs(1_101)).unwrap();
            attempts.borrow_mut().answered(1, 200, Headers(&[]), &store, UnixMs(1_900));
            answers(meter);
        },
        UpstreamOutcome::Answered,
    );
    assert_eq!((record.model.as_str(), record.served_model.as_str()), ("fast", "my-deployment"));
    assert_eq!((record.provider.as_str(), record.price_version), ("azure", 2));
    assert_eq!((record.cost.0, record.settlement), (14 * 3_000, Settlement::Reported));
    let ends: Vec<_> = record.attempts.iter().map(|it| (it.provider.as_str(), it.status, it.end)).collect();
    assert_eq!(ends, [("openai", 503, AttemptEnd::Status), ("azure", 200, AttemptEnd::Served)]);
    assert_eq!((held(&store), testing::line(&store, SUBJECT, BUDGET).used), (0, 42_000));
}

#[test]
fn the_input_of_a_try_that_nobody_saw_an_answer_of_is_charged_and_said() {
    for (never_sent, lost) in [(false, true), (true, false)] {
        let store = grouped(&[(BUDGET, 1_000_000_000)], |_, _| ());
        testing::grant(&store, SUBJECT, BUDGET, 1_000_000_000, 900_000_000);
        let mut input = 0;
        let record = record(
            &store,
            |attempts, meter| {
                input = meter.call().unwrap().reservation().unwrap().input_tokens.unwrap();
                attempts.borrow_mut().begin("openai", &[], &store, UnixMs(1_000)).unwrap();
                attempts.borrow_mut().ended(0, never_sent, UnixMs(1_100));
                attempts.borrow_mut().begin("azure", &[], &store, UnixMs(1_101)).unwrap();
                attempts.borrow_mut().answered(1, 200, Headers(&[]), &store, UnixMs(1_900));
                answers(meter);
            },
            UpstreamOutcome::Answered,
        );
        let expected = 14 * 3_000 + if lost { 1_000 * input } else { 0 };
        assert_eq!(record.cost.0, expected, "never sent: {never_sent}");
        let told = (record.settlement, record.settlement_reason);
        let known = (Settlement::Reported, None);
        let unknown = (Settlement::Reserved, Some(SettlementReason::AnswerUnknown));
        assert_eq!(told, if lost { unknown } else { known });
        assert_eq!((held(&store), testing::line(&store, SUBJECT, BUDGET).used), (0, expected));
    }
}

#[test]
fn an_outage_of_all_targets_costs_nothing_where_nothing_was_sent() {
    let store = grouped(&[(BUDGET, 1_000_000_000)], |_, _| ());
    testing::grant(&store, SUBJECT, BUDGET, 1_000_000_000, 900_000_000);
    let record = record(
        &store,
        |attempts, meter| {
            attempts.borrow_mut().begin("openai", &[], &store, UnixMs(1_000)).unwrap();
            attempts.borrow_mut().ended(0, true, UnixMs(1_100));
            attempts.borrow_mut().begin("azure", &[], &store, UnixMs(1_101)).unwrap();
            assert!(!meter.answered(503, AnswerHead::default()) || meter.has_status());
        },
        UpstreamOutcome::NeverSent,
    );
    assert_eq!((record.cost.0, record.settlement), (0, Settlement::None));
    let ends: Vec<_> = record.attempts.iter().map(|it| it.end).collect();
    assert_eq!(ends, [AttemptEnd::Connection, AttemptEnd::Connection]);
    assert_eq!((held(&store), testing::line(&store, SUBJECT, BUDGET).used), (0, 0));
}

#[test]
fn without_a_route_for_groups_nobody_was_asked_and_nobody_rests() {
    let store = grouped(&[(BUDGET, 1_000_000_000)], |_, _| ());
    testing::grant(&store, SUBJECT, BUDGET, 1_000_000_000, 900_000_000);
    let mut tried = None;
    let record = record(
        &store,
        |attempts, meter| {
            tried = Some(Rc::clone(attempts));
            let reply = meter.unrouted().unwrap();
            assert_eq!((reply.status, reply.code), (503, Some(Code::GroupNotRouted)));
            let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
            assert!(body["error"]["message"].as_str().unwrap().contains("envoy/README.md"), "{body}");
        },
        UpstreamOutcome::NoHost,
    );
    assert_eq!((record.code, record.status, record.model.as_str()), ("group_not_routed", 503, "fast"));
    assert_eq!((record.attempts.len(), record.cost.0, record.settlement), (0, 0, Settlement::None));
    assert_eq!((held(&store), testing::line(&store, SUBJECT, BUDGET).used), (0, 0));
    let cooldowns = cooldown::Cooldowns::read(&store);
    assert!(tried.unwrap().borrow().targets().iter().all(|target| !cooldowns.has_failed(target)));
}

#[test]
fn an_answer_is_not_shortened_for_the_sake_of_further_tries() {
    // One try of OpenAI takes 349 units of a thousand; three times the price and the input again do not fit.
    let store = grouped(&[(BUDGET, 1_000_000)], |_, _| ());
    testing::grant(&store, SUBJECT, BUDGET, 1_000_000, 1_000_000);
    let forward = forwarded(call(&store, &[], BODY));
    assert_eq!(tried(&attempts(&forward)), ["openai"]);
    assert_eq!(model_call(&forward).output_cut, None);
    // What the app allows at most is no reason.
    let store = grouped(&[(BUDGET, 1_000_000_000)], |_, app| {
        app.limits.as_mut().unwrap().max_output_tokens = Some(30);
    });
    testing::grant(&store, SUBJECT, BUDGET, 1_000_000_000, 900_000_000);
    let forward = forwarded(call(&store, &[], BODY));
    assert_eq!(tried(&attempts(&forward)), ["openai", "azure"]);
    assert!(model_call(&forward).output_cut.is_some());
}
