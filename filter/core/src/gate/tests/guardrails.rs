use latchkey_guardrails::custom::exact::ExactKey;
use latchkey_guardrails::custom::learned::{BUCKETS, sentences};
use latchkey_proto::discovery::{
    GuardrailAction as Action, GuardrailDirection as Goes, GuardrailRisk, GuardrailRule, UnseenTexts,
};
use serde_json::{Value, json};

use super::*;
use crate::answer::usage::AnswerHead;
use crate::guardrails::{
    AnswerInspector, AnswerMode, Direction, FindingAction, InspectionReport, WholeAnswer,
};
use crate::limits::account::{GrantVerdict, SubjectId};
use crate::snapshot::BucketKind;

const EMAIL: &str = "kim@example.com";
const CARD: &str = "4111 1111 1111 1111";
const KEY: &str = "AKIAQYLPMN5HHHFPZAM2";

fn rule(category: &str, action: Action) -> GuardrailRule {
    GuardrailRule {
        category: category.to_owned(),
        detector: String::new(),
        action: action.into(),
        direction: Goes::Both.into(),
        min_risk: GuardrailRisk::Low.into(),
        ..GuardrailRule::default()
    }
}

fn guarded(rules: Vec<GuardrailRule>) -> TestMemory {
    with_guardrails(wire::Guardrails { rules, key: vec![7; 32], ..wire::Guardrails::default() })
}

fn with_guardrails(guardrails: wire::Guardrails) -> TestMemory {
    with_app(|app| {
        app.guardrails = Some(guardrails);
        app.mcp = Some(testing::all());
    })
}

fn messages(contents: &[(&str, &str)]) -> Vec<u8> {
    let messages: Vec<_> =
        contents.iter().map(|(role, content)| json!({ "role": role, "content": content })).collect();
    json!({ "model": "gpt-4o", "messages": messages }).to_string().into_bytes()
}

fn say(store: &TestMemory, text: &str) -> BodyDecision {
    ask(store, testing::app_key().expose(), CHAT, &messages(&[("user", text)]))
}

/// The text that the provider gets.
fn sent(forward: &Forward, message: usize) -> String {
    let body: Value = serde_json::from_slice(forward.body.as_deref().unwrap()).unwrap();
    body["messages"][message]["content"].as_str().unwrap().to_owned()
}

fn report(forward: &Forward) -> &InspectionReport {
    forward.inspection.as_ref().unwrap().report()
}

fn refusal(outcome: BodyDecision) -> Reply {
    match outcome {
        BodyDecision::Reply(reply) => reply,
        other => panic!("{other:?}"),
    }
}

/// How the provider's answer reaches the client.
fn answered(forward: Forward, body: &Value) -> (WholeAnswer, InspectionReport) {
    let mut inspector = AnswerInspector::new(forward.inspection.unwrap(), &forward.call);
    let head = AnswerHead { content_type: Some("application/json"), content_encoding: None };
    assert_eq!(inspector.answered(200, head), AnswerMode::Whole);
    let answer = inspector.whole(body.to_string().as_bytes());
    (answer, inspector.into_report())
}

fn says(content: &str) -> Value {
    json!({ "id": "c", "choices": [{ "index": 0, "message": { "role": "assistant", "content": content } }] })
}

fn text(answer: WholeAnswer) -> String {
    let WholeAnswer::Replace(body) = answer else { panic!("{answer:?}") };
    let body: Value = serde_json::from_slice(&body).unwrap();
    body["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

#[test]
fn a_card_that_is_a_number_does_not_pass() {
    let store = guarded(vec![rule("pci", Action::Redact)]);
    let arguments = r#"{"card":4111111111111111,"n":[1,42,4111111111111111],"id":4111111111111112}"#;
    let body = json!({ "model": "claude", "max_tokens": 1, "messages": [
        { "role": "user", "content": "pay" },
        { "role": "assistant", "content": [
            { "type": "tool_use", "id": "t", "name": "pay", "input": serde_json::from_str::<Value>(arguments).unwrap() },
        ] },
    ] });
    let path = "/anthropic_messages/v1/messages";
    let forward = forwarded(ask(&store, testing::app_key().expose(), path, body.to_string().as_bytes()));
    let sent: Value = serde_json::from_slice(forward.body.as_deref().unwrap()).unwrap();
    let expected = json!({ "card": "[CARD]", "n": [1, 42, "[CARD]"], "id": 4_111_111_111_111_112_u64 });
    assert_eq!(sent["messages"][1]["content"][0]["input"], expected);
    let body = json!({ "model": "gpt-4o", "messages": [
        { "role": "user", "content": "pay" },
        { "role": "assistant", "tool_calls": [
            { "id": "t", "type": "function", "function": { "name": "pay", "arguments": arguments } },
        ] },
    ] });
    let forward = forwarded(ask(&store, testing::app_key().expose(), CHAT, body.to_string().as_bytes()));
    let sent: Value = serde_json::from_slice(forward.body.as_deref().unwrap()).unwrap();
    let sent = sent["messages"][1]["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(sent).unwrap(), expected);
}

#[test]
fn without_guardrails_nothing_is_looked_at() {
    let forward = forwarded(say(&gateway(testing::increment()), EMAIL));
    assert!(forward.inspection.is_none() && forward.body.is_none());
    assert!(forward.response_headers.iter().all(|(name, _)| *name != "x-latchkey-guardrails"));
}

#[test]
fn a_redacted_value_does_not_reach_the_provider() {
    let forward =
        forwarded(say(&guarded(vec![rule("pii", Action::Redact)]), &format!("mail {EMAIL}, please")));
    assert_eq!(sent(&forward, 0), "mail [EMAIL], please");
    assert!(
        forward.response_headers.contains(&(
            "x-latchkey-guardrails",
            "redacted=1; anonymized=0; monitored=0; unread=0".to_owned()
        ))
    );
    let [finding] = report(&forward).findings.as_slice() else { panic!() };
    assert_eq!((finding.category, finding.detector.as_str()), ("pii", "email"));
    assert_eq!((finding.action, finding.direction), (FindingAction::Redacted, Direction::Request));
    assert_eq!((finding.place.as_str(), finding.message), ("messages[0].content", Some(0)));
    assert!(!format!("{:?}", report(&forward)).contains(EMAIL), "{:?}", report(&forward));
}

#[test]
fn what_is_anonymized_is_restored_in_the_answer() {
    let store = guarded(vec![rule("pii", Action::Anonymize)]);
    let forward = forwarded(say(&store, &format!("write to {EMAIL} and lee@example.com, {EMAIL}")));
    let text_sent = sent(&forward, 0);
    let words: Vec<_> = text_sent.split([' ', ',']).filter(|word| word.starts_with("[EMAIL_")).collect();
    let [first, second, third] = words.as_slice() else { panic!("{text_sent}") };
    assert!(first == third && first != second, "{text_sent}");
    let answer = says(&format!("Dear {first}, cc {second} [EMAIL_ffff] [EMAIL] [x"));
    let (answer, report) = answered(forward, &answer);
    assert_eq!(text(answer), format!("Dear {EMAIL}, cc lee@example.com [EMAIL_ffff] [EMAIL] [x"));
    assert_eq!(report.findings.iter().map(|finding| finding.count).sum::<u32>(), 3);
}

#[test]
fn a_value_has_the_same_placeholder_in_the_next_turn() {
    let store = guarded(vec![rule("pii", Action::Anonymize)]);
    let first = sent(&forwarded(say(&store, EMAIL)), 0);
    let turns = [("user", EMAIL), ("assistant", "Hello kim@example.com!"), ("user", "bye")];
    let forward = forwarded(ask(&store, testing::app_key().expose(), CHAT, &messages(&turns)));
    assert_eq!((sent(&forward, 0), sent(&forward, 1)), (first.clone(), format!("Hello {first}!")));
    assert_eq!(report(&forward).findings, [], "they were told in the turn that brought them");
    assert_eq!(report(&forward).anonymized, 2);
}

#[test]
fn secrets_are_never_restored() {
    let store = guarded(vec![rule("secrets", Action::Anonymize)]);
    let forward = forwarded(say(&store, &format!("use {KEY}")));
    assert_eq!(sent(&forward, 0), "use [SECRET]");
}

#[test]
fn embeddings_are_redacted() {
    let store = guarded(vec![rule("pii", Action::Anonymize)]);
    let body = json!({ "model": "gpt-4o", "input": [EMAIL, "x"] }).to_string();
    let forward = forwarded(ask(&store, testing::app_key().expose(), "/v1/embeddings", body.as_bytes()));
    let sent: Value = serde_json::from_slice(forward.body.as_deref().unwrap()).unwrap();
    assert_eq!(sent["input"], json!(["[EMAIL]", "x"]));
}

#[test]
fn a_block_names_the_kind_and_the_place_and_never_the_value() {
    let store = guarded(vec![rule("pci", Action::Block)]);
    let reply = refusal(ask(
        &store,
        testing::app_key().expose(),
        CHAT,
        &messages(&[("system", "be nice"), ("user", &format!("pay with {CARD}"))]),
    ));
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(reply.status, 400);
    assert_eq!(body["error"]["code"], "guardrail_blocked");
    assert_eq!(
        body["error"]["guardrail"],
        json!({ "category": "pci", "detector": "credit_card", "message": 1, "place": "messages[1].content" })
    );
    assert!(!String::from_utf8_lossy(&reply.body).contains("4111"));
    let report = reply.inspection.unwrap();
    let [finding] = report.findings.as_slice() else { panic!("{report:?}") };
    assert_eq!(finding.action, FindingAction::Blocked);
}

#[test]
fn what_was_blocked_before_does_not_block_the_chat_for_ever() {
    let store = guarded(vec![rule("pci", Action::Block)]);
    let turns = [("user", CARD), ("assistant", "I cannot use that."), ("user", "then without")];
    let forward = forwarded(ask(&store, testing::app_key().expose(), CHAT, &messages(&turns)));
    assert_eq!(sent(&forward, 0), "[CARD]", "whoever made up the history");
    assert_eq!(report(&forward).findings, []);
}

#[test]
fn what_cannot_be_replaced_in_an_earlier_turn_does_not_block_either() {
    let store = guarded(vec![rule("pii", Action::Block)]);
    let body = json!({ "model": "gpt-4o", "messages": [
        { "role": "user", "name": EMAIL, "content": "hi" },
        { "role": "assistant", "content": "hello" },
        { "role": "user", "content": "bye" },
    ] });
    let forward = forwarded(ask(&store, testing::app_key().expose(), CHAT, body.to_string().as_bytes()));
    assert_eq!((report(&forward).unread, forward.body), (1, None));
}

#[test]
fn what_is_monitored_passes_unchanged_and_is_noted() {
    let forward = forwarded(say(&guarded(vec![rule("pii", Action::Monitor)]), EMAIL));
    assert!(forward.body.is_none());
    assert_eq!(report(&forward).findings.first().unwrap().action, FindingAction::Monitored);
}

#[test]
fn a_rule_on_trial_changes_nothing_and_ends() {
    let until =
        |shadow_until_ms| guarded(vec![GuardrailRule { shadow_until_ms, ..rule("pii", Action::Block) }]);
    let forward = forwarded(say(&until(1_001), EMAIL));
    assert_eq!(report(&forward).findings.first().unwrap().action, FindingAction::WouldBlock);
    let forward = forwarded(say(&until(1_000), EMAIL));
    assert_eq!(report(&forward).findings, []);
    for shadow_until_ms in [1_001, 1_000] {
        let body = br#"{"model":"gpt-4o","input":"hi","previous_response_id":"x"}"#;
        let forward =
            forwarded(ask(&until(shadow_until_ms), testing::app_key().expose(), "/v1/responses", body));
        assert_eq!(report(&forward).unread, 1, "it changes nothing, and so it refuses nothing");
    }
}

/// The app's own rules, and those that a change request asks for.
fn tried(rules: Vec<GuardrailRule>, asked: Vec<GuardrailRule>) -> TestMemory {
    let guardrails = |rules| wire::Guardrails { rules, key: vec![7; 32], ..wire::Guardrails::default() };
    with_app(|app| {
        app.guardrails = (!rules.is_empty()).then(|| guardrails(rules));
        app.mcp = Some(testing::all());
        let until_ms = 1_001;
        let guardrails = Some(guardrails(asked));
        app.guardrail_trial =
            Some(wire::GuardrailTrial { change_request: vec![9; 16], guardrails, until_ms });
    })
}

fn trial(report: &InspectionReport) -> Vec<(&str, FindingAction, Direction)> {
    let trial = report.trial.as_ref().unwrap();
    assert_eq!(trial.change_request, [9; 16]);
    trial.findings.iter().map(|found| (found.detector.as_str(), found.action, found.direction)).collect()
}

#[test]
fn what_is_tried_changes_nothing_and_says_what_it_would_have_done() {
    use FindingAction::{WouldAnonymize, WouldBlock, WouldMonitor, WouldRedact};
    let text = format!("mail {EMAIL} the key {KEY}");
    for (action, would) in
        [(Action::Redact, WouldRedact), (Action::Anonymize, WouldAnonymize), (Action::Monitor, WouldMonitor)]
    {
        let store = tried(vec![], vec![rule("pii", action), rule("secrets", Action::Redact)]);
        let forward = forwarded(say(&store, &text));
        assert!(forward.body.is_none(), "{action:?}");
        assert!(forward.response_headers.iter().all(|(name, _)| *name != "x-latchkey-guardrails"));
        let report = report(&forward);
        assert!(report.is_tried_only && report.findings.is_empty());
        let found =
            [("email", would, Direction::Request), ("aws_access_key", WouldRedact, Direction::Request)];
        assert_eq!(trial(report), found);
    }
    let store = tried(vec![], vec![rule("pii", Action::Redact), rule("secrets", Action::Block)]);
    let forward = forwarded(say(&store, &format!("{KEY} and {EMAIL}")));
    assert_eq!(trial(report(&forward)).first(), Some(&("aws_access_key", WouldBlock, Direction::Request)));
    let inspector = AnswerInspector::new(forward.inspection.unwrap(), &forward.call);
    assert_eq!(inspector.mode(), AnswerMode::Pass);
    assert_eq!(trial(&inspector.into_report()).len(), 2, "there would have been no answer");
}

#[test]
fn what_is_tried_leaves_the_apps_own_rules_as_they_are() {
    use FindingAction::{WouldBlock, WouldRedact};
    let own = || vec![rule("pii", Action::Redact), rule("pci", Action::Block)];
    let asked = || vec![rule("pii", Action::Block)];
    let (with, without) = (tried(own(), asked()), guarded(own()));
    let text = format!("mail {EMAIL}, thanks");
    let (tried, plain) = (forwarded(say(&with, &text)), forwarded(say(&without, &text)));
    assert_eq!((&tried.body, &tried.response_headers), (&plain.body, &plain.response_headers));
    assert_eq!(report(&tried).findings, report(&plain).findings);
    assert_eq!(trial(report(&tried)), [("email", WouldBlock, Direction::Request)], "the text as it came");

    let text = format!("{CARD} for {EMAIL}");
    let (tried, plain) = (refusal(say(&with, &text)), refusal(say(&without, &text)));
    assert_eq!((&tried.headers, &tried.body), (&plain.headers, &plain.body));
    let told = tried.inspection.unwrap();
    assert_eq!(trial(&told), [("email", WouldBlock, Direction::Request)], "though the app blocked it");
    assert_eq!(told.findings, plain.inspection.unwrap().findings);

    let (with, without) =
        (self::tried(own(), vec![rule("pii", Action::Redact), rule("pci", Action::Redact)]), guarded(own()));
    let answer = says(&format!("ask {EMAIL}"));
    let [tried, plain] = [&with, &without].map(|store| answered(forwarded(say(store, "hi")), &answer));
    assert_eq!(text_of(&tried.0), text_of(&plain.0));
    assert_eq!(tried.1.findings, plain.1.findings);
    assert_eq!(trial(&tried.1), [("email", WouldRedact, Direction::Response)]);
    assert!(plain.1.trial.is_none());
}

fn text_of(answer: &WholeAnswer) -> Vec<u8> {
    let WholeAnswer::Replace(body) = answer else { panic!("{answer:?}") };
    body.clone()
}

#[test]
fn a_trial_watches_answers_and_lets_them_pass() {
    let store = tried(vec![], vec![rule("pii", Action::Redact)]);
    let found = [("email", FindingAction::WouldRedact, Direction::Response)];
    let stream = format!(
        "data: {}\n\ndata: [DONE]\n\n",
        json!({ "choices": [{ "index": 0, "delta": { "content": EMAIL } }] })
    );
    let document = says(EMAIL).to_string();
    for (kind, body) in [("text/event-stream", &stream), ("application/json", &document)] {
        for (size, ends) in [(1, true), (7, true), (usize::MAX, true), (usize::MAX, false)] {
            let forward = forwarded(say(&store, "hi"));
            let mut inspector = AnswerInspector::new(forward.inspection.unwrap(), &forward.call);
            let head = AnswerHead { content_type: Some(kind), content_encoding: None };
            assert_eq!(inspector.answered(200, head), AnswerMode::Watch);
            for chunk in body.as_bytes().chunks(size) {
                inspector.watch(chunk, false);
            }
            if ends {
                inspector.watch(&[], true);
            }
            assert_eq!(trial(&inspector.into_report()), found, "{kind} {size} {ends}");
        }
    }
}

#[test]
fn a_stream_under_the_apps_own_rules_is_tried_as_it_came() {
    let own = || vec![rule("pii", Action::Redact)];
    let (with, without) = (tried(own(), vec![rule("pii", Action::Block)]), guarded(own()));
    for size in [1, 5, 1000] {
        let [(shown, told), (plain, _)] = [&with, &without]
            .map(|store| streamed(forwarded(say(store, "hi")), &["a ", EMAIL, " b ", EMAIL], size));
        assert_eq!(shown, plain);
        assert_eq!(
            trial(&told),
            [("email", FindingAction::WouldBlock, Direction::Response)],
            "once: it ends"
        );
    }
}

#[test]
fn a_trial_ends_by_its_time_and_one_that_cannot_be_read_is_none() {
    let store = with_app(|app| {
        let guardrails = wire::Guardrails {
            rules: vec![rule("pii", Action::Block)],
            key: vec![7; 32],
            ..wire::Guardrails::default()
        };
        app.guardrail_trial = Some(wire::GuardrailTrial {
            change_request: vec![9; 16],
            guardrails: Some(guardrails),
            until_ms: 1_000,
        });
    });
    assert!(forwarded(say(&store, EMAIL)).inspection.is_none());
    let mut unknown = rule("pii", Action::Block);
    unknown.detector = "of_a_later_version".to_owned();
    let store = tried(vec![rule("pii", Action::Redact)], vec![unknown]);
    let forward = forwarded(say(&store, EMAIL));
    assert_eq!(sent(&forward, 0), "[EMAIL]", "the app's own settings are in force");
    assert!(report(&forward).trial.is_none(), "it does not count as tried");
}

#[test]
fn what_an_earlier_turn_would_have_come_to_is_not_told_again() {
    let store = tried(vec![], vec![rule("pii", Action::Redact)]);
    let turns = messages(&[("user", EMAIL), ("assistant", "ok"), ("user", "mail ann@example.com")]);
    let forward = forwarded(ask(&store, testing::app_key().expose(), CHAT, &turns));
    let trial = report(&forward).trial.as_ref().unwrap();
    let places: Vec<_> = trial.findings.iter().map(|found| found.place.as_str()).collect();
    assert_eq!(places, ["messages[2].content"]);
}

#[test]
fn a_rule_on_trial_leaves_the_categorys_in_force() {
    let trial = |category: &str, detector: &str, shadow_until_ms| GuardrailRule {
        detector: detector.to_owned(),
        shadow_until_ms,
        ..rule(category, Action::Block)
    };
    for (until, would) in [(1_001, 1), (1_000, 0)] {
        let store = guarded(vec![rule("pii", Action::Redact), trial("pii", "email", until)]);
        let forward = forwarded(say(&store, EMAIL));
        assert_eq!(sent(&forward, 0), "[EMAIL]");
        let actions: Vec<_> = report(&forward).findings.iter().map(|finding| finding.action).collect();
        assert_eq!(actions.first(), Some(&FindingAction::Redacted));
        assert_eq!(actions.iter().filter(|action| **action == FindingAction::WouldBlock).count(), would);
    }
}

#[test]
fn a_detectors_own_rule_governs_it() {
    let own = |action| GuardrailRule { detector: "email".to_owned(), ..rule("pii", action) };
    let ssn = "123-45-6789";
    let store = guarded(vec![rule("pii", Action::Redact), own(Action::Allow)]);
    assert_eq!(sent(&forwarded(say(&store, &format!("{EMAIL} {ssn}"))), 0), format!("{EMAIL} [SSN]"));
    let only_answers = GuardrailRule { direction: Goes::Response.into(), ..own(Action::Block) };
    let store = guarded(vec![rule("pii", Action::Redact), only_answers]);
    assert_eq!(sent(&forwarded(say(&store, &format!("{EMAIL} {ssn}"))), 0), format!("{EMAIL} [SSN]"));
    let risky = GuardrailRule { min_risk: GuardrailRisk::High.into(), ..rule("pii", Action::Redact) };
    let store = guarded(vec![risky]);
    assert_eq!(sent(&forwarded(say(&store, &format!("{EMAIL} {ssn}"))), 0), format!("{EMAIL} [SSN]"));
}

#[test]
fn answers_are_redacted_and_blocked() {
    let response = |action| GuardrailRule { direction: Goes::Response.into(), ..rule("pii", action) };
    let forward = forwarded(say(&guarded(vec![response(Action::Redact)]), EMAIL));
    assert!(forward.body.is_none(), "the rule is about answers");
    let (answer, report) = answered(forward, &says("ask lee@example.com"));
    assert_eq!(text(answer), "ask [EMAIL]");
    assert_eq!(report.findings.first().unwrap().direction, Direction::Response);

    let forward = forwarded(say(&guarded(vec![response(Action::Block)]), "who?"));
    let (answer, report) = answered(forward, &says("ask lee@example.com"));
    let WholeAnswer::Refuse(reply) = answer else { panic!("{answer:?}") };
    assert_eq!((reply.status, reply.code), (400, Some(Code::GuardrailBlocked)));
    assert!(!String::from_utf8_lossy(&reply.body).contains("lee@"));
    assert_eq!(report.findings.first().unwrap().action, FindingAction::Blocked);
}

#[test]
fn texts_that_the_provider_keeps_are_refused_unless_the_app_allows_them() {
    let body = |member: &str| format!(r#"{{"model":"gpt-4o","input":"hi","{member}":"x"}}"#);
    let ask = |store: &TestMemory, body: &str| {
        ask(store, testing::app_key().expose(), "/v1/responses", body.as_bytes())
    };
    let redacting = guarded(vec![rule("pii", Action::Redact)]);
    let reference = br#"{"model":"gpt-4o","input":[{"type":"item_\u0072eference","id":"x"}]}"#;
    let reply = refusal(self::ask(&redacting, testing::app_key().expose(), "/v1/responses", reference));
    assert_eq!(reply.code, Some(Code::ContentNotInspected));
    for member in ["previous_response_id", "conversation", "prompt"] {
        let reply = refusal(ask(&redacting, &body(member)));
        assert_eq!(reply.code, Some(Code::ContentNotInspected), "{member}");
        assert!(String::from_utf8_lossy(&reply.body).contains(member));
    }
    for (doubled, name) in [
        (r#""previous_response_id":null,"previous_response_id":"x""#, "previous_response_id"),
        (r#""Conversation":"x""#, "conversation"),
    ] {
        let reply = refusal(ask(&redacting, &format!(r#"{{"model":"gpt-4o","input":"hi",{doubled}}}"#)));
        assert_eq!(reply.code, Some(Code::ContentNotInspected), "{doubled}");
        assert!(String::from_utf8_lossy(&reply.body).contains(name));
    }
    let allowing = wire::Guardrails {
        rules: vec![rule("pii", Action::Redact)],
        key: vec![7; 32],
        unseen_texts: UnseenTexts::Allow.into(),
        ..wire::Guardrails::default()
    };
    for store in [with_guardrails(allowing), guarded(vec![rule("pii", Action::Monitor)])] {
        let forward = forwarded(ask(&store, &body("previous_response_id")));
        assert_eq!(report(&forward).unread, 1);
    }
    forwarded(ask(&redacting, r#"{"model":"gpt-4o","input":"hi","previous_response_id":null}"#));
}

#[test]
fn custom_categories_are_noted_unless_a_rule_says_otherwise() {
    let category = wire::CustomCategory {
        name: "Project names".to_owned(),
        keywords: vec!["orion".to_owned()],
        patterns: vec![r"PRJ-\d{4}".to_owned()],
        ..wire::CustomCategory::default()
    };
    let with = |rules| wire::Guardrails {
        rules,
        key: vec![7; 32],
        custom_categories: vec![category.clone()],
        exceptions: vec!["PRJ-0000".to_owned()],
        ..wire::Guardrails::default()
    };
    let text = "Orion is PRJ-1234, not PRJ-0000";
    let forward = forwarded(say(&with_guardrails(with(vec![])), text));
    assert!(forward.body.is_none());
    assert_eq!(report(&forward).monitored, 2);
    let named = GuardrailRule { detector: "Project names".to_owned(), ..rule("custom", Action::Redact) };
    for rule in [named, rule("custom", Action::Redact)] {
        let forward = forwarded(say(&with_guardrails(with(vec![rule])), text));
        assert_eq!(sent(&forward, 0), "[PROJECT_NAMES] is [PROJECT_NAMES], not PRJ-0000");
    }
}

#[test]
fn listed_values_and_learned_sentences_follow_the_rules() {
    let key = ExactKey::new(&[7; 32]);
    let values = ["Ann Lee", "C-1009"].iter().flat_map(|value| key.hashes(value).unwrap());
    let listed = wire::CustomCategory {
        name: "Customers".to_owned(),
        values: values.flat_map(|hash| hash.to_bytes()).collect(),
        ..wire::CustomCategory::default()
    };
    let mut weights = vec![236_u8; BUCKETS];
    for number in sentences("Can we sue our supplier for breach of contract?").into_iter().flatten() {
        weights[usize::from(number)] = 100;
    }
    let learned = wire::LearnedCategory { format: 1, bias: -300, weights };
    let legal = wire::CustomCategory {
        name: "Legal".to_owned(),
        learned: Some(learned.clone()),
        ..wire::CustomCategory::default()
    };
    let with = |rules, own: &[&wire::CustomCategory]| wire::Guardrails {
        rules,
        key: vec![7; 32],
        custom_categories: own.iter().map(|own| (*own).clone()).collect(),
        ..wire::Guardrails::default()
    };
    let named = |name: &str, action| GuardrailRule { detector: name.to_owned(), ..rule("custom", action) };
    let text = "Hi. Can we sue our supplier Ann Lee (c-1009) for breach of contract? Thanks.";
    let redacting = with(vec![named("Customers", Action::Redact)], &[&listed, &legal]);
    let forward = forwarded(say(&with_guardrails(redacting), text));
    assert_eq!(sent(&forward, 0), text.replace("Ann Lee", "[CUSTOMERS]").replace("c-1009", "[CUSTOMERS]"));
    assert_eq!(report(&forward).monitored, 1, "the sentence is noted beside what is redacted in it");
    let redacting = with(vec![rule("custom", Action::Redact)], &[&listed, &legal]);
    let forward = forwarded(say(&with_guardrails(redacting), text));
    assert_eq!(sent(&forward, 0), "Hi. [LEGAL] Thanks.");
    let blocking = with(vec![named("Legal", Action::Block)], &[&listed, &legal]);
    assert_eq!(refusal(say(&with_guardrails(blocking), text)).code, Some(Code::GuardrailBlocked));

    let both = vec![named("Legal", Action::Redact), named("Customers", Action::Block)];
    let both = with_guardrails(with(both, &[&listed, &legal]));
    assert_eq!(refusal(say(&both, text)).code, Some(Code::GuardrailBlocked));
    let body = messages(&[("user", text), ("assistant", "No."), ("user", "Thanks.")]);
    let forward = forwarded(ask(&both, testing::app_key().expose(), CHAT, &body));
    assert_eq!(
        sent(&forward, 0),
        "Hi. [LEGAL] Thanks.",
        "what blocks in a sentence does not save the rest of it"
    );

    let refused = |own: wire::CustomCategory| {
        let guardrails = Some(with(vec![], &[&own]));
        AppPolicy::try_from(wire::AppPolicy { guardrails, ..testing::app() }).unwrap_err().to_string()
    };
    let cut = wire::CustomCategory { values: vec![1; 16], ..listed.clone() };
    assert_eq!(refused(cut), "guardrails: a list of values is cut");
    let other = Some(wire::LearnedCategory { format: 2, ..learned.clone() });
    assert!(refused(wire::CustomCategory { learned: other, ..legal.clone() }).contains("the format 2"));
    let short = Some(wire::LearnedCategory { weights: vec![1; 10], ..learned });
    assert!(refused(wire::CustomCategory { learned: short, ..legal }).contains("has 10 weights"));
}

#[test]
fn a_policy_that_this_gateway_cannot_follow_is_refused_whole() {
    let refused = |rules: Vec<GuardrailRule>, key: usize| {
        let guardrails = wire::Guardrails { rules, key: vec![7; key], ..wire::Guardrails::default() };
        let app = wire::AppPolicy { guardrails: Some(guardrails), ..testing::app() };
        AppPolicy::try_from(app).unwrap_err().to_string()
    };
    assert_eq!(refused(vec![rule("smell", Action::Block)], 32), "guardrails: `smell` has no detector ``");
    let elsewhere = GuardrailRule { detector: "iban_x".to_owned(), ..rule("pii", Action::Block) };
    assert_eq!(refused(vec![elsewhere], 32), "guardrails: `pii` has no detector `iban_x`");
    assert_eq!(
        refused(vec![GuardrailRule { action: 0, ..rule("pii", Action::Block) }], 32),
        "guardrails.rules.action is not set, or not to a known value"
    );
    assert_eq!(refused(vec![], 5), "guardrails.key has 5 bytes instead of 32");
}

#[test]
fn arguments_of_tools_are_looked_at_and_results_restored() {
    let store = guarded(vec![rule("pii", Action::Anonymize)]);
    let call = json!({
        "jsonrpc": "2.0", "id": 7, "method": "tools/call",
        "params": { "name": "send", "arguments": { "to": EMAIL } },
    });
    let forward =
        forwarded(ask(&store, testing::app_key().expose(), "/mcp/github", call.to_string().as_bytes()));
    let sent: Value = serde_json::from_slice(forward.body.as_deref().unwrap()).unwrap();
    let placeholder = sent["params"]["arguments"]["to"].as_str().unwrap().to_owned();
    assert!(placeholder.starts_with("[EMAIL_"), "{sent}");
    let result = json!({
        "jsonrpc": "2.0", "id": 7,
        "result": { "content": [{ "type": "text", "text": format!("sent to {placeholder}") }] },
    });
    let (answer, _) = answered(forward, &result);
    let WholeAnswer::Replace(body) = answer else { panic!("{answer:?}") };
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["result"]["content"][0]["text"], format!("sent to {EMAIL}"));
}

/// The texts that a client reads in a stream, whose bytes come in parts of this size.
fn streamed(forward: Forward, deltas: &[&str], size: usize) -> (String, InspectionReport) {
    let mut inspector = AnswerInspector::new(forward.inspection.unwrap(), &forward.call);
    let head = AnswerHead { content_type: Some("text/event-stream"), content_encoding: None };
    assert_eq!(inspector.answered(200, head), AnswerMode::Stream);
    let events = deltas.iter().map(|delta| json!({ "index": 0, "delta": { "content": delta } }));
    let events = events.chain([json!({ "index": 0, "delta": {}, "finish_reason": "stop" })]);
    let events = events.map(|choice| format!("data: {}\n\n", json!({ "id": "c", "choices": [choice] })));
    let stream: String = events.chain(["data: [DONE]\n\n".to_owned()]).collect();
    let mut shown = Vec::new();
    let parts = stream.as_bytes().chunks(size).collect::<Vec<_>>();
    for (at, part) in parts.iter().enumerate() {
        shown.extend(inspector.chunk(part, at + 1 == parts.len()));
    }
    let shown = String::from_utf8(shown).unwrap();
    let data = shown.lines().filter_map(|line| line.strip_prefix("data: "));
    let chunks = data.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    let text = chunks.filter_map(|chunk| {
        let choice = &chunk["choices"][0]["delta"]["content"];
        choice.as_str().or(chunk["error"]["code"].as_str()).map(str::to_owned)
    });
    (text.collect(), inspector.into_report())
}

#[test]
fn a_stream_is_restored_wherever_it_is_cut() {
    let store = guarded(vec![rule("pii", Action::Anonymize)]);
    let ask = || forwarded(say(&store, &format!("write to {EMAIL}")));
    let placeholder = sent(&ask(), 0).replace("write to ", "");
    let text = format!("Dear {placeholder}, [EMAIL_x] {placeholder}");
    for cut in 1..text.len() {
        let (first, second) = text.split_at(cut);
        for size in [3, 100_000] {
            let (read, _) = streamed(ask(), &[first, second], size);
            assert_eq!(read, format!("Dear {EMAIL}, [EMAIL_x] {EMAIL}"), "cut at {cut}, parts of {size}");
        }
    }
}

#[test]
fn a_block_ends_a_stream_before_the_value() {
    let store = guarded(vec![rule("pci", Action::Block)]);
    for cut in 1..CARD.len() {
        let (first, second) = CARD.split_at(cut);
        let deltas = ["Your card is ", first, second, " and so on"];
        let (read, report) = streamed(forwarded(say(&store, "hi")), &deltas, 1);
        assert_eq!(read, "Your card is guardrail_blocked", "cut at {cut}");
        assert_eq!(report.findings.iter().map(|finding| finding.count).sum::<u32>(), 1);
    }
}

/// What is found in a stream, or another answer, that ends after these chunks, or is cut off after them.
fn watched(forward: Forward, content_type: &str, chunks: &[&str], ends: bool) -> Vec<(String, u32)> {
    let mut inspector = AnswerInspector::new(forward.inspection.unwrap(), &forward.call);
    let head = AnswerHead { content_type: Some(content_type), content_encoding: None };
    assert_eq!(inspector.answered(200, head), AnswerMode::Watch);
    for (at, chunk) in chunks.iter().enumerate() {
        inspector.watch(chunk.as_bytes(), ends && at + 1 == chunks.len());
    }
    let findings = inspector.into_report().findings.into_iter();
    findings.map(|finding| (finding.detector, finding.count)).collect()
}

#[test]
fn what_is_only_monitored_is_not_held_back() {
    let store = guarded(vec![rule("pii", Action::Monitor)]);
    let ask = || forwarded(say(&store, "hi"));
    let event = |text: &str| {
        format!("data: {}\n\n", json!({ "choices": [{ "index": 0, "delta": { "content": text } }] }))
    };
    let found = [("email".to_owned(), 1)];
    let stream = [event("ask kim@exam"), event("ple.com, "), "data: [DONE]\n\n".to_owned()].concat();
    let document = says("ask kim@example.com").to_string();
    for (content_type, body) in [("text/event-stream", &stream), ("application/json", &document)] {
        for cut in 0..body.len() {
            let (first, second) = body.split_at(cut);
            assert_eq!(watched(ask(), content_type, &[first, second], true), found, "{body} cut at {cut}");
        }
        assert_eq!(watched(ask(), content_type, &[body, ""], true), found);
        assert_eq!(watched(ask(), content_type, &[body], false), found, "the client went away");
    }
    let cut_off = document.get(..document.len() - 4).unwrap();
    // By its members, and as a text.
    let twice = [found.clone(), found.clone()].concat();
    assert_eq!(watched(ask(), "application/json", &[cut_off], false), twice, "what passed counts");
    assert_eq!(watched(ask(), "text/event-stream", &[&event("ask kim@example.com")], false), found);
    assert_eq!(watched(ask(), "text/event-stream", &[&document], true), found, "whatever its label says");

    let anonymizing = GuardrailRule { direction: Goes::Request.into(), ..rule("pii", Action::Anonymize) };
    let store = guarded(vec![anonymizing]);
    for (text, mode) in [(EMAIL, AnswerMode::Stream), ("hi", AnswerMode::Pass)] {
        let forward = forwarded(say(&store, text));
        let mut inspector = AnswerInspector::new(forward.inspection.unwrap(), &forward.call);
        let head = AnswerHead { content_type: Some("text/event-stream"), content_encoding: None };
        assert_eq!(inspector.answered(200, head), mode, "placeholders are restored");
    }
}

#[test]
fn of_a_watched_document_no_more_is_kept_than_is_looked_at() {
    let store = guarded(vec![rule("pii", Action::Monitor)]);
    let head = AnswerHead { content_type: Some("application/json"), content_encoding: None };
    let told = |length: usize, size: usize| {
        let forward = forwarded(say(&store, "hi"));
        let mut inspector = AnswerInspector::new(forward.inspection.unwrap(), &forward.call);
        assert_eq!(inspector.answered(200, head), AnswerMode::Watch);
        let around = says("kim@example.com ").to_string().len();
        let body = says(&format!("kim@example.com {}", ".".repeat(length - around))).to_string();
        assert_eq!(body.len(), length);
        let chunks: Vec<_> = body.as_bytes().chunks(size).collect();
        for (at, chunk) in chunks.iter().enumerate() {
            inspector.watch(chunk, at + 1 == chunks.len());
        }
        let report = inspector.into_report();
        (report.findings.len(), report.unread)
    };
    for size in [1 << 14, 1 << 22] {
        assert_eq!(told(1 << 20, size), (1, 0));
        assert_eq!(told((1 << 20) + 1, size), (0, 1), "it passes, and counts as unread");
        assert_eq!(told(3 << 20, size), (0, 1));
    }
}

#[test]
fn answers_without_text_are_not_copied() {
    for (action, mode) in [(Action::Monitor, AnswerMode::Pass), (Action::Redact, AnswerMode::Whole)] {
        let store = guarded(vec![rule("pii", action)]);
        let body = json!({ "model": "gpt-4o", "input": "hi" }).to_string();
        let asked = ask(&store, testing::app_key().expose(), "/v1/embeddings", body.as_bytes());
        let forward = forwarded(asked);
        let mut inspector = AnswerInspector::new(forward.inspection.unwrap(), &forward.call);
        let head = AnswerHead { content_type: Some("application/json"), content_encoding: None };
        assert_eq!(inspector.answered(200, head), mode);
    }
}

#[test]
fn a_block_is_told_apart_from_everything_before_it() {
    let store = guarded(vec![rule("pii", Action::Monitor), rule("pci", Action::Block)]);
    let text: String = (0..600).map(|n| format!("user{n}@example.com ")).collect();
    let reply = refusal(say(&store, &format!("{text} {CARD}")));
    let findings = reply.inspection.unwrap().findings;
    let block = findings.iter().find(|finding| finding.category == "pci").unwrap();
    assert_eq!(block.place, "messages[0].content");
    assert!(!block.excerpt.is_empty() && block.value_hash != [0; 8], "{block:?}");
}

#[test]
fn as_many_values_as_fit_are_anonymized_and_all_are_replaced() {
    let store = guarded(vec![rule("pii", Action::Anonymize)]);
    let text: String = (0..5_000).map(|n| format!("user{n}@example.com ")).collect();
    let forward = forwarded(say(&store, &text));
    let sent = sent(&forward, 0);
    assert!(!sent.contains('@'));
    let report = report(&forward);
    assert_eq!((report.anonymized, report.redacted), (4_096, 904));
    assert_eq!(sent.matches("[EMAIL]").count(), 904);
    assert_eq!(report.findings.iter().map(|finding| finding.count).sum::<u32>(), 5_000);
}

/// An app with a limit of requests, which has no room.
fn used_up(guardrails: Option<wire::Guardrails>, verdict: GrantVerdict) -> TestMemory {
    let buckets = [(BucketKind::RequestsPerMinute, 60), (BucketKind::TokensPerMinute, 100_000)];
    let store = with_app(|app| {
        app.guardrails = guardrails;
        app.mcp = Some(testing::all());
        app.limits = Some(testing::limits(&buckets));
    });
    for (kind, limit) in buckets {
        testing::refuse(&store, SubjectId::from(testing::APP), kind, limit, verdict);
    }
    store
}

#[test]
fn over_its_limit_of_requests_nothing_is_looked_at() {
    let blocking = || {
        let rules = vec![rule("pci", Action::Block)];
        Some(wire::Guardrails { rules, key: vec![7; 32], ..wire::Guardrails::default() })
    };
    let call = json!({
        "jsonrpc": "2.0", "id": 7, "method": "tools/call",
        "params": { "name": "send", "arguments": { "to": CARD } },
    });
    let chat = messages(&[("user", CARD)]);
    for (path, body) in [(CHAT, chat), ("/mcp/github", call.to_string().into_bytes())] {
        let ask = |store: &TestMemory| ask(store, testing::app_key().expose(), path, &body);
        for verdict in [GrantVerdict::Exhausted, GrantVerdict::Away] {
            let reply = refusal(ask(&used_up(blocking(), verdict)));
            let expected = refusal(ask(&used_up(None, verdict)));
            assert_eq!((reply.status, reply.code), (expected.status, expected.code), "{path}");
            assert_eq!((reply.headers, reply.body), (expected.headers, expected.body), "{path}");
            assert_eq!(reply.inspection, None);
        }
        // Units may come: it would wait, and so it is looked at.
        for verdict in [GrantVerdict::Contended, GrantVerdict::Granted] {
            let store = used_up(blocking(), verdict);
            assert_eq!(refusal(ask(&store)).code, Some(Code::GuardrailBlocked), "{path} {verdict:?}");
            assert!(matches!(ask(&used_up(None, verdict)), BodyDecision::Wait(_)), "{path} {verdict:?}");
        }
    }
    let unknown = refusal(model(&used_up(blocking(), GrantVerdict::Exhausted), CHAT, "gpt-0"));
    assert_eq!(unknown.code, Some(Code::ModelNotFound), "the first rule that fails decides");
}

#[test]
fn what_waits_in_vain_tells_what_was_found() {
    let store = with_app(|app| {
        let rules = vec![rule("pii", Action::Monitor)];
        app.guardrails = Some(wire::Guardrails { rules, key: vec![7; 32], ..wire::Guardrails::default() });
        app.mcp = Some(testing::all());
        app.limits = Some(testing::limits(&[(BucketKind::RequestsPerMinute, 60)]));
    });
    let call = json!({
        "jsonrpc": "2.0", "id": 7, "method": "tools/call",
        "params": { "name": "send", "arguments": { "to": EMAIL } },
    });
    let chat = messages(&[("user", EMAIL)]);
    let (view, world) = (View::new(&store), FixedWorld::at(1000, "192.0.2.1"));
    let bearer = format!("Bearer {}", testing::app_key().expose());
    for (path, body, model) in
        [(CHAT, chat, "gpt-4o"), ("/mcp/github", call.to_string().into_bytes(), "github/send")]
    {
        let headers = headers("POST", path, &[("authorization", &bearer)]);
        let HeadersDecision::NeedBody(admitted) = admit(Headers(&headers), &view, &world) else { panic!() };
        let waits = decide(&admitted, &body, &view, &world);
        assert!(matches!(waits, BodyDecision::Wait(_)), "{waits:?}");
        let reply = admitted.refuse_waiting(&Code::LeaseUnavailable.into());
        assert_eq!((reply.status, reply.model.as_str()), (503, model));
        assert_eq!(reply.inspection.unwrap().findings.first().map(|it| it.detector.as_str()), Some("email"));
        assert!(reply.headers.iter().any(|(name, _)| *name == "x-latchkey-guardrails"));
    }
}

#[test]
fn sessions_of_mcp_servers_open_and_close_under_guardrails() {
    let store = guarded(vec![rule("pii", Action::Block)]);
    for method in ["GET", "DELETE"] {
        let bearer = format!("Bearer {}", testing::app_key().expose());
        let headers = headers(method, "/mcp/github", &[("authorization", &bearer)]);
        forwarded(run(&store, &FixedWorld::at(1000, "192.0.2.1"), &headers, b""));
    }
}

#[test]
fn headers_that_repeat_a_message_do_not_carry_what_was_replaced() {
    let store = guarded(vec![rule("pii", Action::Redact)]);
    let call = json!({
        "jsonrpc": "2.0", "id": 7, "method": "tools/call",
        "params": { "name": "send", "arguments": { "to": EMAIL } },
    });
    let bearer = format!("Bearer {}", testing::app_key().expose());
    let extra = [("authorization", bearer.as_str()), ("mcp-param-to", EMAIL), ("mcp-name", "send")];
    let headers = headers("POST", "/mcp/github", &extra);
    let forward =
        forwarded(run(&store, &FixedWorld::at(1000, "192.0.2.1"), &headers, call.to_string().as_bytes()));
    let edits = forward.edits(Headers(&headers));
    for name in ["mcp-param-to", "mcp-name"] {
        assert!(edits.iter().any(|edit| edit.name == name && edit.value.is_none()), "{edits:?}");
    }
}

#[test]
fn no_disguise_hides_a_value() {
    let store =
        guarded(vec![rule("pii", Action::Block), rule("pci", Action::Block), rule("secrets", Action::Block)]);
    let user =
        |content: Value| json!({ "model": "gpt-4o", "messages": [{ "role": "user", "content": content }] });
    let claude = |source: &str| {
        let block = format!(r#"{{"type":"document","source":{source}}}"#);
        format!(r#"{{"model":"claude","max_tokens":1,"messages":[{{"role":"user","content":[{block}]}}]}}"#)
    };
    let chats = [
        user(json!(format!("data:x/y;base64,{KEY}"))),
        user(json!([{ "type": "text", "text": format!("data:image/png;base64,{KEY}") }])),
        json!({ "model": "gpt-4o", "stop": [EMAIL], "messages": [{ "role": "user", "content": "hi" }] }),
        json!({ "model": "gpt-4o", "messages": [{ "role": "tool", "tool_call_id": EMAIL, "content": "hi" }] }),
        json!({ "model": "gpt-4o", "messages": [{ "role": "user", "content": [{ "type": "x", "usage": { "a": EMAIL } }] }] }),
    ];
    for body in chats {
        let outcome = ask(&store, testing::app_key().expose(), CHAT, body.to_string().as_bytes());
        let BodyDecision::Reply(reply) = outcome else { panic!("{body}") };
        assert_eq!(reply.code, Some(Code::GuardrailBlocked), "{body}");
    }
    for source in [
        r#"{"type":"base64","\u0074ype":"text","media_type":"text/plain","data":"mail kim@example.com"}"#,
        r#"{"type":"base64","media_type":"text/plain","data":"mail kim@example.com"}"#,
    ] {
        let body = claude(source);
        let path = "/anthropic_messages/v1/messages";
        let reply = refusal(ask(&store, testing::app_key().expose(), path, body.as_bytes()));
        assert_eq!(reply.code, Some(Code::GuardrailBlocked), "{body}");
    }
    let image =
        user(json!([{ "type": "image_url", "image_url": { "url": "data:image/png;base64,iVBORw0KGgo=" } }]));
    let forward = forwarded(ask(&store, testing::app_key().expose(), CHAT, image.to_string().as_bytes()));
    assert_eq!(report(&forward).unread, 1, "a medium is counted");
}

#[test]
fn what_cannot_be_replaced_is_not_said_to_be() {
    let store = guarded(vec![rule("pii", Action::Redact)]);
    let body = json!({ "model": "gpt-4o", "messages": [{ "role": "user", "name": EMAIL, "content": "hi" }] });
    let forward = forwarded(ask(&store, testing::app_key().expose(), CHAT, body.to_string().as_bytes()));
    assert!(forward.body.is_none());
    let report = report(&forward);
    assert_eq!((report.redacted, report.unread), (0, 1));
    assert_eq!(report.findings.first().unwrap().action, FindingAction::Monitored);
}

#[test]
fn an_answer_is_read_whatever_its_label_says() {
    let response = |action| GuardrailRule { direction: Goes::Response.into(), ..rule("pii", action) };
    let inspector = |action, content_type: &str| {
        let forward = forwarded(say(&guarded(vec![response(action)]), "hi"));
        let mut inspector = AnswerInspector::new(forward.inspection.unwrap(), &forward.call);
        let mode =
            inspector.answered(200, AnswerHead { content_type: Some(content_type), content_encoding: None });
        (inspector, mode)
    };
    let event = format!(
        "data: {}\n\ndata: [DONE]\n\n",
        json!({ "choices": [{ "index": 0, "delta": { "content": EMAIL } }] })
    );
    for (content_type, body) in [("application/json", event.as_str()), ("text/plain", EMAIL)] {
        let (mut redacting, mode) = inspector(Action::Redact, content_type);
        assert_eq!(mode, AnswerMode::Whole);
        let WholeAnswer::Replace(shown) = redacting.whole(body.as_bytes()) else { panic!("{body}") };
        let shown = String::from_utf8(shown).unwrap();
        assert!(shown.contains("[EMAIL]") && !shown.contains(EMAIL), "{shown}");
        let (mut blocking, _) = inspector(Action::Block, content_type);
        assert!(matches!(blocking.whole(body.as_bytes()), WholeAnswer::Refuse(_)), "{body}");
    }
    let document = says(EMAIL).to_string();
    let (mut redacting, mode) = inspector(Action::Redact, "text/event-stream");
    assert_eq!(mode, AnswerMode::Stream);
    let (first, second) = document.split_at(20);
    let shown = [redacting.chunk(first.as_bytes(), false), redacting.chunk(second.as_bytes(), true)].concat();
    assert_eq!(String::from_utf8(shown).unwrap(), document.replace(EMAIL, "[EMAIL]"));
    let (mut redacting, _) = inspector(Action::Redact, "text/event-stream");
    let shown = [
        redacting.chunk(b"", false),
        redacting.chunk(b" \n", false),
        redacting.chunk(document.as_bytes(), true),
    ];
    assert!(!String::from_utf8(shown.concat()).unwrap().contains(EMAIL), "white space tells nothing");
    let (mut blocking, _) = inspector(Action::Block, "text/event-stream");
    let shown = blocking.chunk(document.as_bytes(), true);
    assert!(!String::from_utf8(shown).unwrap().contains(EMAIL) && blocking.is_blocked());
    assert_eq!(
        inspector(Action::Block, "audio/mpeg").1,
        AnswerMode::Pass,
        "sound is counted, and not held back"
    );
}
