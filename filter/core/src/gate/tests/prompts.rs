use latchkey_proto::discovery::{GuardrailAction, GuardrailDirection, GuardrailRisk, GuardrailRule};
use latchkey_proto::ledger;
use serde_json::{Value, json};

use super::*;
use crate::limits::account::SubjectId;
use crate::prompts::{HEADER, UsedPrompts};
use crate::record::meter::{RequestMeter, UpstreamOutcome};
use crate::snapshot::BucketKind;

const TEXT: &str = "Sum up for {{name}}, and write to kim@example.com.";

fn prompts() -> wire::Prompts {
    let version = |number, text: &str| wire::PromptVersion { number, text: text.to_owned() };
    let prompt = wire::Prompt {
        id: "summary".to_owned(),
        versions: vec![version(1, "Sum up."), version(3, TEXT)],
        labels: vec![wire::PromptLabel { name: "production".to_owned(), version: 1 }],
    };
    wire::Prompts { prompts: vec![prompt], required: false }
}

fn body(system: &str) -> Vec<u8> {
    let messages =
        json!([{ "role": "system", "content": system }, { "role": "user", "content": "{{prompt:summary}}" }]);
    json!({ "model": "gpt-4o", "messages": messages }).to_string().into_bytes()
}

/// Asks with these variables; none where they are empty.
fn say(store: &TestMemory, system: &str, variables: &str) -> BodyDecision {
    told(store, system, variables).0
}

/// The decision, and the prompts that were put in.
fn told(store: &TestMemory, system: &str, variables: &str) -> (BodyDecision, Option<UsedPrompts>) {
    let bearer = format!("Bearer {}", testing::app_key().expose());
    let mut extra = vec![("authorization", bearer.as_str())];
    if !variables.is_empty() {
        extra.push((HEADER, variables));
    }
    let (view, world) = (View::new(store), FixedWorld::at(1000, "192.0.2.1"));
    let headers = headers("POST", CHAT, &extra);
    let HeadersDecision::NeedBody(admitted) = admit(Headers(&headers), &view, &world) else { panic!() };
    let decision = decide(&admitted, &body(system), &view, &world);
    (decision, admitted.take_prompts())
}

fn used(ids: &[&str]) -> Option<UsedPrompts> {
    Some(UsedPrompts(ids.iter().map(|id| (*id).to_owned()).collect()))
}

fn sent(forward: &Forward) -> [String; 2] {
    let body: Value = serde_json::from_slice(forward.body.as_deref().unwrap()).unwrap();
    [0, 1].map(|message| body["messages"][message]["content"].as_str().unwrap().to_owned())
}

fn refusal(outcome: BodyDecision) -> Reply {
    match outcome {
        BodyDecision::Reply(reply) => reply,
        other => panic!("{other:?}"),
    }
}

fn redacting() -> wire::Guardrails {
    let rule = GuardrailRule {
        category: "pii".to_owned(),
        detector: String::new(),
        action: GuardrailAction::Redact.into(),
        direction: GuardrailDirection::Request.into(),
        min_risk: GuardrailRisk::Low.into(),
        ..GuardrailRule::default()
    };
    wire::Guardrails { rules: vec![rule], key: vec![7; 32], ..wire::Guardrails::default() }
}

#[test]
fn a_reference_becomes_the_stored_text_and_the_header_stays_here() {
    let store = with_app(|app| app.prompts = Some(prompts()));
    let (decision, prompts) = told(&store, "{{prompt:summary}}", r#"{"name":"Lee"}"#);
    let forward = forwarded(decision);
    assert_eq!(sent(&forward), ["Sum up for Lee, and write to kim@example.com.", "{{prompt:summary}}"]);
    assert_eq!(prompts, used(&["summary@v3"]));
    let headers = headers("POST", CHAT, &[(HEADER, r#"{"name":"Lee"}"#)]);
    let edits = forward.edits(Headers(&headers));
    assert!(edits.iter().any(|edit| edit.name == HEADER && edit.value.is_none()));
    assert_eq!(sent(&forwarded(say(&store, "{{prompt:summary@production}}", "")))[0], "Sum up.");
}

#[test]
fn an_app_without_prompts_knows_no_references() {
    let (decision, used) = told(&gateway(testing::increment()), "{{prompt:summary}}", "no JSON");
    assert!(forwarded(decision).body.is_none() && used.is_none());
    let store = with_app(|app| app.prompts = Some(prompts()));
    assert!(forwarded(chat(&store)).body.is_none());
}

#[test]
fn refusals_are_400_and_name_what_is_wrong() {
    let store = with_app(|app| app.prompts = Some(prompts()));
    for (system, variables, code, named) in [
        ("{{prompt:nope}}", "", "prompt_not_found", "`nope`"),
        ("{{prompt:summary@v2}}", "", "prompt_not_found", "`v2`"),
        ("{{prompt:summary}}", "", "invalid_prompt_variables", "`name`"),
        ("{{prompt:summary@v1}}", r#"{"zip":1}"#, "invalid_prompt_variables", "`zip`"),
    ] {
        let reply = refusal(say(&store, system, variables));
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!((reply.status, &body["error"]["code"]), (400, &json!(code)));
        assert!(body["error"]["message"].as_str().unwrap().contains(named), "{body}");
    }
    let store = with_app(|app| app.prompts = Some(wire::Prompts { required: true, ..prompts() }));
    let reply = refusal(say(&store, "Be nice.", ""));
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((reply.status, &body["error"]["code"]), (400, &json!("prompt_required")));
    assert_eq!(body["error"]["param"], "messages[0].content");
    forwarded(say(&store, "{{prompt:summary@v1}}", ""));
}

#[test]
fn guardrails_look_at_what_was_put_in() {
    let store = with_app(|app| {
        app.prompts = Some(prompts());
        app.guardrails = Some(redacting());
    });
    let forward = forwarded(say(&store, "{{prompt:summary}}", r#"{"name":"lee@example.com"}"#));
    assert_eq!(sent(&forward)[0], "Sum up for [EMAIL], and write to [EMAIL].");
    assert!(forward.inspection.is_some());
}

#[test]
fn what_was_put_in_counts_against_limits() {
    let long = "word ".repeat(4_000);
    let store = with_app(|app| {
        let mut stored = prompts();
        stored.prompts[0].versions.push(wire::PromptVersion { number: 4, text: long.clone() });
        app.prompts = Some(stored);
        app.limits = Some(wire::Limits { max_input_tokens: Some(1_000), ..wire::Limits::default() });
    });
    let (decision, prompts) = told(&store, "{{prompt:summary}}", "");
    assert_eq!(denied(decision), Code::MaxInputTokensExceeded);
    assert_eq!(prompts, used(&["summary@v4"]), "a refusal's record names them, too");
    forwarded(say(&store, "{{prompt:summary@v1}}", ""));
}

#[test]
fn a_waiting_request_is_expanded_once() {
    let buckets = testing::limits(&[(BucketKind::RequestsPerMinute, 10)]);
    let store = with_app(|app| {
        app.prompts = Some(prompts());
        app.guardrails = Some(redacting());
        app.limits = Some(buckets.clone());
    });
    let (view, world) = (View::new(&store), FixedWorld::at(1000, "192.0.2.1"));
    let bearer = format!("Bearer {}", testing::app_key().expose());
    let values = r#"{"name":"Lee"}"#;
    let headers = headers("POST", CHAT, &[("authorization", &bearer), (HEADER, values)]);
    let HeadersDecision::NeedBody(admitted) = admit(Headers(&headers), &view, &world) else { panic!() };
    let waits = decide(&admitted, &body("{{prompt:summary}}"), &view, &world);
    assert!(matches!(waits, BodyDecision::Wait(_)), "{waits:?}");
    let subject = SubjectId(testing::APP.0.into_bytes());
    testing::grant(&store, subject, BucketKind::RequestsPerMinute, 10, 5);
    // What was read is kept: the body is not asked for again.
    let forward = forwarded(decide(&admitted, b"no longer there", &view, &world));
    assert_eq!(sent(&forward)[0], "Sum up for Lee, and write to [EMAIL].");
    assert_eq!(admitted.take_prompts(), used(&["summary@v3"]));
}

#[test]
fn a_waiting_request_follows_the_prompts_of_now() {
    let limits = testing::limits(&[(BucketKind::RequestsPerMinute, 10)]);
    let app = wire::AppPolicy { prompts: Some(prompts()), limits: Some(limits), ..testing::app() };
    let store = TestMemory::default();
    let mut replica = testing::synced(&store);
    let update = |app| wire::DiscoveryResponse { apps: vec![app], ..testing::increment() };
    assert_eq!(replica.receive(update(app.clone())), DiscoveryOutcome::Applied);
    let view = View::new(&store);
    let bearer = format!("Bearer {}", testing::app_key().expose());
    let headers = headers("POST", CHAT, &[("authorization", &bearer)]);
    let world = FixedWorld::at(1000, "192.0.2.1");
    let HeadersDecision::NeedBody(admitted) = admit(Headers(&headers), &view, &world) else { panic!() };
    let body = body("{{prompt:summary@production}}");
    assert!(matches!(decide(&admitted, &body, &view, &world), BodyDecision::Wait(_)));
    let mut newer = app;
    newer.prompts.as_mut().unwrap().prompts[0].versions[0].text = "Sum up well.".to_owned();
    assert_eq!(replica.receive(update(newer)), DiscoveryOutcome::Applied);
    testing::grant(&store, SubjectId(testing::APP.0.into_bytes()), BucketKind::RequestsPerMinute, 10, 5);
    let later = FixedWorld::at(1100, "192.0.2.1");
    assert_eq!(sent(&forwarded(decide(&admitted, &body, &view, &later)))[0], "Sum up well.");
}

#[test]
fn the_record_names_the_prompts_and_never_their_texts() {
    let store = with_app(|app| app.prompts = Some(prompts()));
    let (decision, prompts) =
        told(&store, "{{prompt:summary}}{{prompt:summary@v1}}", r#"{"name":"planted"}"#);
    let headers = headers("POST", CHAT, &[(HEADER, r#"{"name":"planted"}"#)]);
    let attribution = Attribution::from(&KeyRecord::try_from(testing::app_key_record()).unwrap());
    let mut meter = RequestMeter::new(attribution, "chat_completions", Headers(&headers), UnixMs(1));
    meter.expanded(prompts.unwrap());
    meter.forwarded(forwarded(decision).call);
    let record = meter.finish(&&store, UpstreamOutcome::Answered, UnixMs(2));
    let shown = format!("{record:?}");
    assert!(!shown.contains("planted") && !shown.contains("Sum up"), "{shown}");
    assert_eq!(ledger::Record::from(record).prompts, ["summary@v1", "summary@v3"]);
}
