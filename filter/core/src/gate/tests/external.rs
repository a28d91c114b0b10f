//! External detectors: what they are asked, and what follows from their answers and from their silence.

use latchkey_proto::discovery::{
    DetectorFailure as OnFailure, GuardrailAction as Action, GuardrailDirection as Goes, GuardrailRisk,
    GuardrailRule,
};
use serde_json::{Value, json};

use super::*;
use crate::guardrails::{DetectorAnswer, DetectorCall, DetectorFailure, FindingAction, InspectionReport};
use crate::limits::account::SubjectId;
use crate::snapshot::BucketKind;

const PROJECT: &str = "Project Nightingale";

fn rule(action: Action, on_failure: OnFailure) -> GuardrailRule {
    GuardrailRule {
        category: "external".to_owned(),
        detector: "nightingale".to_owned(),
        action: action.into(),
        direction: Goes::Request.into(),
        min_risk: GuardrailRisk::Low.into(),
        shadow_until_ms: 0,
        on_failure: on_failure.into(),
    }
}

fn redacting_emails() -> GuardrailRule {
    GuardrailRule {
        category: "pii".to_owned(),
        detector: String::new(),
        on_failure: 0,
        ..rule(Action::Redact, OnFailure::Block)
    }
}

fn app(rules: Vec<GuardrailRule>) -> wire::AppPolicy {
    let guardrails = wire::Guardrails { rules, key: vec![7; 32], ..wire::Guardrails::default() };
    wire::AppPolicy { guardrails: Some(guardrails), mcp: Some(testing::all()), ..testing::app() }
}

fn guarded(rules: Vec<GuardrailRule>) -> TestMemory {
    gateway(wire::DiscoveryResponse { apps: vec![app(rules)], ..testing::increment() })
}

/// A conversation: an earlier turn, and a new message.
fn conversation(old: &str, new: &str) -> Vec<u8> {
    json!({ "model": "gpt-4o", "messages": [
        { "role": "user", "content": old },
        { "role": "assistant", "content": "fine" },
        { "role": "user", "content": new },
    ] })
    .to_string()
    .into_bytes()
}

fn say(text: &str) -> Vec<u8> {
    json!({ "model": "gpt-4o", "messages": [{ "role": "user", "content": text }] }).to_string().into_bytes()
}

/// One request at the gate, decided on step by step.
struct Asking<'a> {
    view: View<&'a TestMemory>,
    world: FixedWorld,
    admitted: Box<Admitted>,
    body: Vec<u8>,
}

impl<'a> Asking<'a> {
    fn on(store: &'a TestMemory, path: &str, body: &[u8]) -> Self {
        let (view, world) = (View::new(store), FixedWorld::at(1000, "192.0.2.1"));
        let bearer = format!("Bearer {}", testing::app_key().expose());
        let headers = headers("POST", path, &[("authorization", &bearer)]);
        let HeadersDecision::NeedBody(admitted) = admit(Headers(&headers), &view, &world) else { panic!() };
        Self { view, world, admitted, body: body.to_vec() }
    }

    fn decide(&self) -> BodyDecision {
        decide(&self.admitted, &self.body, &self.view, &self.world)
    }

    fn asks(&self) -> Vec<DetectorCall> {
        match self.decide() {
            BodyDecision::Ask(calls) => calls,
            other => panic!("{other:?}"),
        }
    }

    fn told(&self, outcomes: Vec<Result<DetectorAnswer, DetectorFailure>>) -> BodyDecision {
        self.admitted.judged(outcomes);
        self.decide()
    }
}

/// What the sample's detector says: each place of the project's name.
fn answers(call: &DetectorCall) -> Result<DetectorAnswer, DetectorFailure> {
    let mut findings = Vec::new();
    for (id, text) in texts(call).into_iter().enumerate() {
        for (at, _) in text.match_indices(PROJECT) {
            let start = text[..at].chars().count();
            findings
                .push(json!({ "id": id, "start": start, "end": start + PROJECT.len(), "label": "PROJECT" }));
        }
    }
    call.read(200, json!({ "findings": findings }).to_string().as_bytes())
}

fn texts(call: &DetectorCall) -> Vec<String> {
    let body: Value = serde_json::from_slice(&call.body).unwrap();
    body["texts"].as_array().unwrap().iter().map(|it| it["text"].as_str().unwrap().to_owned()).collect()
}

fn judged(store: &TestMemory, body: &[u8]) -> BodyDecision {
    let asking = Asking::on(store, CHAT, body);
    let calls = asking.asks();
    asking.told(calls.iter().map(answers).collect())
}

fn sent(forward: &Forward, message: usize) -> String {
    let body: Value = serde_json::from_slice(forward.body.as_deref().unwrap()).unwrap();
    body["messages"][message]["content"].as_str().unwrap().to_owned()
}

fn report(forward: &Forward) -> &InspectionReport {
    forward.inspection.as_ref().unwrap().report()
}

fn refusal(decision: BodyDecision) -> Reply {
    match decision {
        BodyDecision::Reply(reply) => reply,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_detector_finds_is_redacted_and_recorded_without_the_value() {
    let store = guarded(vec![rule(Action::Redact, OnFailure::Block)]);
    let forward = forwarded(judged(&store, &say(&format!("é: {PROJECT} is late, {PROJECT}!"))));
    assert_eq!(sent(&forward, 0), "é: [PROJECT] is late, [PROJECT]!");
    let [finding] = report(&forward).findings.as_slice() else { panic!("{:?}", report(&forward)) };
    assert_eq!((finding.category, finding.detector.as_str()), ("external", "nightingale/PROJECT"));
    assert_eq!((finding.action, finding.count), (FindingAction::Redacted, 2));
    assert_eq!(finding.place, "messages[0].content");
    assert!(!format!("{:?}", report(&forward)).contains("Nightingale"));
    let header = "redacted=2; anonymized=0; monitored=0; unread=0";
    assert!(forward.response_headers.contains(&("x-latchkey-guardrails", header.to_owned())));
}

#[test]
fn a_detector_is_asked_by_its_name_and_sees_what_the_gateway_has_replaced() {
    let store = guarded(vec![redacting_emails(), rule(Action::Block, OnFailure::Block)]);
    let asking = Asking::on(&store, CHAT, &say("mail kim@example.com"));
    let [call] = asking.asks().try_into().unwrap();
    let expected = json!({ "app": "demo", "direction": "request",
        "texts": [{ "id": 0, "role": "user", "text": "mail [EMAIL]" }] });
    assert_eq!(serde_json::from_slice::<Value>(&call.body).unwrap(), expected);
    assert_eq!((call.detector.cluster.as_str(), call.app), ("detector-nightingale", testing::APP));
    assert!(call.headers().contains(&(":path", "/judge")));
    let forward = forwarded(asking.told(vec![answers(&call)]));
    assert_eq!(sent(&forward, 0), "mail [EMAIL]");
}

#[test]
fn a_block_names_the_detector_and_the_place_and_not_the_value() {
    let store = guarded(vec![rule(Action::Block, OnFailure::Block)]);
    let reply = refusal(judged(&store, &say(PROJECT)));
    assert_eq!((reply.status, reply.code), (400, Some(Code::GuardrailBlocked)));
    let body = String::from_utf8(reply.body).unwrap();
    assert!(body.contains("external (nightingale/PROJECT) was found in `messages[0].content`"), "{body}");
    assert!(!body.contains("Nightingale"));
    let findings = reply.inspection.unwrap().findings;
    assert_eq!(findings.iter().map(|it| it.action).collect::<Vec<_>>(), [FindingAction::Blocked]);
}

#[test]
fn in_an_earlier_turn_a_block_replaces_and_does_not_report_again() {
    let store = guarded(vec![rule(Action::Block, OnFailure::Block)]);
    let forward = forwarded(judged(&store, &conversation(PROJECT, "and?")));
    assert_eq!(sent(&forward, 0), "[PROJECT]");
    assert_eq!(report(&forward).findings, []);
}

#[test]
fn a_rule_that_only_notes_asks_about_what_is_new() {
    let old_and_new = conversation("old", PROJECT);
    let store = guarded(vec![rule(Action::Monitor, OnFailure::Pass)]);
    assert_eq!(texts(&Asking::on(&store, CHAT, &old_and_new).asks()[0]), [PROJECT]);
    let forward = forwarded(judged(&store, &old_and_new));
    assert_eq!((forward.body.as_ref(), report(&forward).monitored), (None, 1));
    let store = guarded(vec![rule(Action::Redact, OnFailure::Pass)]);
    assert_eq!(texts(&Asking::on(&store, CHAT, &old_and_new).asks()[0]), ["old", "fine", PROJECT]);
}

#[test]
fn what_is_anonymized_can_be_restored_and_hides_no_other_placeholder() {
    let anonymized = GuardrailRule { action: Action::Anonymize.into(), ..redacting_emails() };
    let store = guarded(vec![anonymized, rule(Action::Anonymize, OnFailure::Block)]);
    let asking = Asking::on(&store, CHAT, &say("ask kim@example.com now"));
    let [call] = asking.asks().try_into().unwrap();
    let answer = call.read(200, br#"{"findings":[{"id":0,"label":"PLAN"}]}"#);
    let forward = forwarded(asking.told(vec![answer]));
    let placeholder = sent(&forward, 0);
    assert!(placeholder.starts_with("[PLAN_") && placeholder.ends_with(']'), "{placeholder}");
    let mut inspection = forward.inspection.unwrap();
    let answer =
        json!({ "choices": [{ "index": 0, "message": { "role": "assistant", "content": placeholder } }] });
    let mut inspector = crate::guardrails::AnswerInspector::new(
        std::mem::replace(&mut inspection, forwarded(judged(&store, &say("x"))).inspection.unwrap()),
        &forward.call,
    );
    let head =
        crate::answer::usage::AnswerHead { content_type: Some("application/json"), content_encoding: None };
    inspector.answered(200, head);
    let crate::guardrails::WholeAnswer::Replace(body) = inspector.whole(answer.to_string().as_bytes()) else {
        panic!()
    };
    assert!(String::from_utf8(body).unwrap().contains("ask kim@example.com now"));
}

#[test]
fn a_failure_refuses_or_passes_as_the_rule_says() {
    let failures = [
        DetectorFailure::Unreachable,
        DetectorFailure::Late,
        DetectorFailure::Status(500),
        DetectorFailure::Malformed,
        DetectorFailure::Overlap,
        DetectorFailure::Resting,
    ];
    for failure in failures {
        for action in [Action::Monitor, Action::Redact, Action::Block] {
            let store = guarded(vec![rule(action, OnFailure::Block)]);
            let asking = Asking::on(&store, CHAT, &say(PROJECT));
            asking.asks();
            let reply = refusal(asking.told(vec![Err(failure.clone())]));
            assert_eq!((reply.status, reply.code), (503, Some(Code::GuardrailUnavailable)), "{failure}");
            assert!(reply.headers.contains(&("retry-after", "5".into())));
            assert_eq!(reply.inspection.unwrap().unread, 1);
            let store = guarded(vec![rule(action, OnFailure::Pass)]);
            let asking = Asking::on(&store, CHAT, &say(PROJECT));
            asking.asks();
            let forward = forwarded(asking.told(vec![Err(failure.clone())]));
            assert_eq!((forward.body.as_ref(), report(&forward).unread), (None, 1), "{failure}");
            let header = "redacted=0; anonymized=0; monitored=0; unread=1";
            assert!(forward.response_headers.contains(&("x-latchkey-guardrails", header.to_owned())));
        }
    }
}

#[test]
fn a_call_that_nobody_told_of_has_failed() {
    let store = guarded(vec![rule(Action::Redact, OnFailure::Block)]);
    let asking = Asking::on(&store, CHAT, &say(PROJECT));
    asking.asks();
    assert_eq!(denied(asking.decide()), Code::GuardrailUnavailable);
}

#[test]
fn a_detector_that_is_switched_off_fails_as_the_rule_says() {
    let missing =
        |on_failure| GuardrailRule { detector: "gone".to_owned(), ..rule(Action::Redact, on_failure) };
    let store = guarded(vec![missing(OnFailure::Block)]);
    assert_eq!(denied(Asking::on(&store, CHAT, &say("x")).decide()), Code::GuardrailUnavailable);
    let store = guarded(vec![missing(OnFailure::Pass)]);
    assert_eq!(report(&forwarded(Asking::on(&store, CHAT, &say("x")).decide())).unread, 1);
}

#[test]
fn text_beyond_what_a_detector_is_sent_counts_as_not_looked_at() {
    let long = "x".repeat(70_000);
    let store = guarded(vec![rule(Action::Redact, OnFailure::Block)]);
    let reply = refusal(Asking::on(&store, CHAT, &say(&long)).decide());
    assert_eq!((reply.status, reply.code), (400, Some(Code::ContentNotInspected)));
    assert!(String::from_utf8(reply.body).unwrap().contains("at most 65536 bytes"));
    let store = guarded(vec![rule(Action::Redact, OnFailure::Pass)]);
    let text = format!("{PROJECT}{long}");
    let forward = forwarded(judged(&store, &say(&text)));
    assert_eq!(sent(&forward, 0), format!("[PROJECT]{long}"), "what was seen is replaced");
    assert_eq!(report(&forward).unread, 1);
}

#[test]
fn a_rule_on_trial_notes_and_refuses_nothing() {
    let trial = |until| GuardrailRule { shadow_until_ms: until, ..rule(Action::Block, OnFailure::Block) };
    let store = guarded(vec![trial(2_000)]);
    let forward = forwarded(judged(&store, &say(PROJECT)));
    let actions: Vec<_> = report(&forward).findings.iter().map(|it| it.action).collect();
    assert_eq!((forward.body.as_ref(), actions), (None, vec![FindingAction::WouldBlock]));
    let asking = Asking::on(&store, CHAT, &say(PROJECT));
    asking.asks();
    assert_eq!(report(&forwarded(asking.told(vec![Err(DetectorFailure::Late)]))).unread, 1);
    let over = guarded(vec![trial(1_000)]);
    assert_eq!(report(&forwarded(Asking::on(&over, CHAT, &say(PROJECT)).decide())).unread, 0);
}

#[test]
fn a_low_risk_and_an_exception_are_no_findings() {
    let high =
        GuardrailRule { min_risk: GuardrailRisk::High.into(), ..rule(Action::Block, OnFailure::Block) };
    let store = guarded(vec![high.clone()]);
    let asking = Asking::on(&store, CHAT, &say(PROJECT));
    let answer = asking.asks()[0].read(200, br#"{"findings":[{"id":0,"risk":"low"}]}"#);
    assert_eq!(forwarded(asking.told(vec![answer])).body, None);
    let mut excepting = app(vec![high]);
    excepting.guardrails.as_mut().unwrap().exceptions = vec!["PROJECT nightingale".to_owned()];
    let store = gateway(wire::DiscoveryResponse { apps: vec![excepting], ..testing::increment() });
    let forward = forwarded(judged(&store, &say(PROJECT)));
    assert_eq!((forward.body.as_ref(), report(&forward).findings.len()), (None, 0));
}

#[test]
fn several_detectors_are_asked_at_once_and_the_strictest_rule_wins_where_they_overlap() {
    let second = GuardrailRule { detector: "second".to_owned(), ..rule(Action::Anonymize, OnFailure::Pass) };
    let store = guarded(vec![second, rule(Action::Redact, OnFailure::Block)]);
    let asking = Asking::on(&store, CHAT, &say("abcdefgh"));
    let calls = asking.asks();
    assert_eq!(
        calls.iter().map(|call| call.detector.name.as_str()).collect::<Vec<_>>(),
        ["second", "nightingale"]
    );
    let span = |start: usize, end: usize| {
        json!({ "findings": [{ "id": 0, "start": start, "end": end }] }).to_string().into_bytes()
    };
    let outcomes = vec![calls[0].read(200, &span(1, 4)), calls[1].read(200, &span(3, 6))];
    assert_eq!(sent(&forwarded(asking.told(outcomes)), 0), "a[NIGHTINGALE]gh");
    let asking = Asking::on(&store, CHAT, &say("abcdefgh"));
    let calls = asking.asks();
    let forward = forwarded(asking.told(vec![Err(DetectorFailure::Late), calls[1].read(200, &span(3, 6))]));
    assert_eq!((sent(&forward, 0).as_str(), report(&forward).unread), ("abc[NIGHTINGALE]gh", 1));
}

#[test]
fn what_cannot_be_replaced_is_counted() {
    let store = guarded(vec![rule(Action::Redact, OnFailure::Block)]);
    let body = json!({ "model": "gpt-4o", "messages": [{ "role": "user", "content": "x" }],
        PROJECT: "y" })
    .to_string();
    let forward = forwarded(judged(&store, body.as_bytes()));
    let report = report(&forward);
    assert_eq!((forward.body.as_ref(), report.unread, report.monitored), (None, 1, 1), "{report:?}");
}

#[test]
fn an_app_that_changes_meanwhile_has_its_request_judged_by_its_new_rules() {
    let store = TestMemory::default();
    let mut replica = testing::synced(&store);
    let mut apply = |rules| {
        let response = wire::DiscoveryResponse { apps: vec![app(rules)], ..testing::increment() };
        assert_eq!(replica.receive(response), DiscoveryOutcome::Applied);
    };
    apply(vec![rule(Action::Monitor, OnFailure::Pass)]);
    let mut asking = Asking::on(&store, CHAT, &say(PROJECT));
    let calls = asking.asks();
    apply(vec![rule(Action::Redact, OnFailure::Block)]);
    asking.world.now = UnixMs(2_000);
    asking.admitted.judged(calls.iter().map(answers).collect());
    let calls = asking.asks();
    assert_eq!(sent(&forwarded(asking.told(calls.iter().map(answers).collect())), 0), "[PROJECT]");
    let asking = Asking::on(&store, CHAT, &say(PROJECT));
    asking.asks();
    apply(vec![]);
}

#[test]
fn a_request_that_waits_for_units_is_judged_once() {
    let mut limited = app(vec![rule(Action::Redact, OnFailure::Block)]);
    limited.limits = Some(testing::limits(&[(BucketKind::RequestsPerMinute, 10)]));
    let store = gateway(wire::DiscoveryResponse { apps: vec![limited], ..testing::increment() });
    let asking = Asking::on(&store, CHAT, &say(PROJECT));
    let calls = asking.asks();
    let waits = asking.told(calls.iter().map(answers).collect());
    assert!(matches!(waits, BodyDecision::Wait(_)), "{waits:?}");
    testing::grant(&store, SubjectId(*testing::APP.0.as_bytes()), BucketKind::RequestsPerMinute, 10, 10);
    assert_eq!(sent(&forwarded(asking.decide()), 0), "[PROJECT]");
}

#[test]
fn calls_of_tools_are_judged_too() {
    let store = guarded(vec![rule(Action::Redact, OnFailure::Block)]);
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "search", "arguments": { "q": PROJECT } } })
    .to_string();
    let asking = Asking::on(&store, "/mcp/github", body.as_bytes());
    let calls = asking.asks();
    let forward = forwarded(asking.told(calls.iter().map(answers).collect()));
    let sent: Value = serde_json::from_slice(forward.body.as_deref().unwrap()).unwrap();
    assert_eq!(sent["params"]["arguments"]["q"], "[PROJECT]");
    let asking = Asking::on(&store, "/mcp/github", body.as_bytes());
    asking.asks();
    assert_eq!(denied(asking.told(vec![Err(DetectorFailure::Late)])), Code::GuardrailUnavailable);
}

#[test]
fn a_refused_model_costs_the_detector_nothing() {
    let store = guarded(vec![rule(Action::Redact, OnFailure::Block)]);
    let body = br#"{"model":"unknown","messages":[{"role":"user","content":"x"}]}"#;
    assert_eq!(denied(Asking::on(&store, CHAT, body).decide()), Code::ModelNotFound);
}

#[test]
fn rules_that_cannot_be_followed_are_refused() {
    let refused = |rules: Vec<GuardrailRule>| AppPolicy::try_from(app(rules)).unwrap_err().to_string();
    let good = || rule(Action::Redact, OnFailure::Block);
    let unset = |field: &str| format!("{field} is not set, or not to a known value");
    let on_failure = GuardrailRule { on_failure: 0, ..good() };
    assert_eq!(refused(vec![on_failure]), unset("guardrails.rules.on_failure"));
    let detector = GuardrailRule { detector: String::new(), ..good() };
    assert_eq!(refused(vec![detector]), unset("guardrails.rules.detector"));
    for direction in [Goes::Response, Goes::Both] {
        let rule = GuardrailRule { direction: direction.into(), ..good() };
        assert_eq!(refused(vec![rule]), "guardrails: `external` is for requests alone");
    }
    let five = (0..5).map(|n| GuardrailRule { detector: format!("d{n}"), ..good() }).collect();
    assert_eq!(refused(five), "guardrails: more than 4 rules of `external`");
}
