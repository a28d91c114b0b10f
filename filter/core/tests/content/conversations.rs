//! Conversations of a coding agent with 200 messages, mutated: nothing but what is found changes by a byte.

use std::collections::BTreeMap;
use std::rc::Rc;

use latchkey_filter_core::answer::usage::AnswerHead;
use latchkey_filter_core::guardrails::{
    AnswerInspector, Blocked, InspectedContent, InspectedRequest, Inspection, WholeAnswer,
};
use latchkey_filter_core::request::body::BodyFormat;
use latchkey_filter_core::request::endpoint::ModelOperation;
use latchkey_filter_core::snapshot::{AppPolicy, Provider, ProviderKind, UnixMs};
use latchkey_filter_core::upstream::call::{ModelCall, UpstreamCall};
use latchkey_guardrails::Scanner;
use latchkey_proto::discovery as wire;
use proptest::prelude::*;
use serde_json::{Value, json};
use wire::GuardrailAction as Action;

use crate::agent::{Conversation, MESSAGES, Plants, Shape, VALUES, conversation};

fn app(action: Action, categories: &[&str]) -> Rc<AppPolicy> {
    let rule = |category: &&str| wire::GuardrailRule {
        category: (*category).to_owned(),
        action: action.into(),
        direction: wire::GuardrailDirection::Both.into(),
        min_risk: wire::GuardrailRisk::Low.into(),
        ..wire::GuardrailRule::default()
    };
    let rules = categories.iter().map(rule).collect();
    let guardrails = wire::Guardrails { rules, key: vec![7; 32], ..wire::Guardrails::default() };
    let all = || Some(wire::Selection { kind: Some(wire::selection::Kind::All(wire::Everything {})) });
    let app = wire::AppPolicy {
        id: vec![1; 16],
        status: 1,
        mode: 1,
        providers: all(),
        models: all(),
        guardrails: Some(guardrails),
        ..wire::AppPolicy::default()
    };
    AppPolicy::try_from(app).unwrap().into()
}

fn operation(shape: Shape) -> ModelOperation {
    match shape {
        Shape::Chat => ModelOperation::ChatCompletions,
        Shape::Responses => ModelOperation::Responses,
        Shape::Messages => ModelOperation::Messages,
    }
}

fn inspect(app: &Rc<AppPolicy>, shape: Shape, body: &str) -> Result<InspectedRequest, Blocked> {
    let content = InspectedContent::Model(operation(shape), &BodyFormat::Json);
    Inspection::of_request(app, &Rc::new(Scanner::new()), content, body.as_bytes(), UnixMs(1))
}

fn shapes() -> impl Strategy<Value = Shape> {
    prop::sample::select(vec![Shape::Chat, Shape::Responses, Shape::Messages])
}

const ALL: [&str; 3] = ["pii", "pci", "secrets"];

/// Where two texts part, to be read.
fn difference(one: &str, other: &str) -> Option<(String, String)> {
    let at = one.bytes().zip(other.bytes()).position(|(a, b)| a != b);
    let at = at.or((one.len() != other.len()).then(|| one.len().min(other.len())))?;
    let around = |text: &str| {
        let start = text.floor_char_boundary(at.saturating_sub(60));
        text[start..text.floor_char_boundary((at + 60).min(text.len()))].to_owned()
    };
    Some((around(one), around(other)))
}

#[test]
fn it_is_a_conversation_of_200_messages() {
    let Conversation { body, redacted, planted } = conversation(Shape::Chat, 1, Plants::Nowhere, 0);
    assert_eq!((body.as_str(), planted), (redacted.as_str(), 0));
    let chat: Value = serde_json::from_str(&body).unwrap();
    let messages = chat["messages"].as_array().unwrap();
    assert_eq!(messages.len(), MESSAGES);
    assert!(messages.iter().filter(|message| message["role"] == "tool").count() > 50);
    assert!(body.len() > 150_000, "{}", body.len());
    let same = conversation(Shape::Chat, 1, Plants::Nowhere, 0);
    assert_eq!(same.body, body, "from its seed");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(12) })]

    #[test]
    fn nothing_but_what_is_found_changes(shape in shapes(), seed: u64, style: u64) {
        let Conversation { body, redacted, planted } = conversation(shape, seed, Plants::Anywhere, style);
        prop_assert!(planted > 0);
        let inspected = inspect(&app(Action::Redact, &ALL), shape, &body).unwrap();
        let sent = inspected.body.map(|sent| String::from_utf8(sent).unwrap()).unwrap_or(body);
        prop_assert_eq!(difference(&sent, &redacted), None);
        prop_assert_eq!(inspected.inspection.report().redacted as usize, planted);
        // Encrypted reasoning cannot be read.
        prop_assert_eq!(inspected.inspection.report().unread > 0, shape == Shape::Responses);
    }

    #[test]
    fn a_conversation_without_values_is_left_alone(shape in shapes(), seed: u64, style: u64) {
        let Conversation { body, .. } = conversation(shape, seed, Plants::Nowhere, style);
        for action in [Action::Redact, Action::Anonymize, Action::Block] {
            let categories = if action == Action::Anonymize { &ALL[..2] } else { &ALL };
            let inspected = inspect(&app(action, categories), shape, &body).unwrap();
            prop_assert!(inspected.body.is_none());
            prop_assert_eq!(&inspected.inspection.report().findings, &[]);
        }
    }

    #[test]
    fn block_looks_at_what_is_new(shape in shapes(), seed: u64, style: u64) {
        let blocking = app(Action::Block, &ALL);
        let Conversation { body, redacted, planted } = conversation(shape, seed, Plants::Earlier, style);
        prop_assert!(planted > 0);
        let inspected = inspect(&blocking, shape, &body).unwrap();
        let sent = String::from_utf8(inspected.body.unwrap()).unwrap();
        prop_assert_eq!(difference(&sent, &redacted), None);
        prop_assert_eq!(&inspected.inspection.report().findings, &[], "it was told when it was new");
        let Conversation { body, planted, .. } = conversation(shape, seed, Plants::Last, style);
        prop_assert_eq!(planted, 1);
        let Blocked { denial, report } = inspect(&blocking, shape, &body).unwrap_err();
        let block = denial.block.unwrap();
        let newest = if shape == Shape::Chat { Some(MESSAGES as u32 - 1) } else { block.message };
        prop_assert_eq!((block.message, report.unwrap().findings.len()), (newest, 1));
        prop_assert!(VALUES.iter().all(|(value, _)| !denial.message.contains(value)));
    }

    #[test]
    fn placeholders_come_back_as_the_values(shape in shapes(), seed: u64, style: u64) {
        let Conversation { body, .. } = conversation(shape, seed, Plants::Anywhere, style);
        let anonymizing = app(Action::Anonymize, &ALL[..2]);
        let inspected = inspect(&anonymizing, shape, &body).unwrap();
        // A key is not looked for here, and cards or addresses may not be among the values.
        let Some(sent) = inspected.body else { return Ok(()) };
        let sent = String::from_utf8(sent).unwrap();
        let placeholders = placeholders(&sent);
        prop_assert!(!placeholders.is_empty());
        let mut restored = BTreeMap::new();
        let text = placeholders.join("\n");
        let answer = restore(inspected.inspection, &text);
        for (placeholder, value) in placeholders.iter().zip(answer.split('\n')) {
            restored.insert(placeholder.clone(), value.to_owned());
        }
        prop_assert_eq!(restored.len(), placeholders.len());
        let mut back: Value = serde_json::from_str(&sent).unwrap();
        put_back(&mut back, &restored);
        let mut before: Value = serde_json::from_str(&body).unwrap();
        put_back(&mut before, &BTreeMap::new());
        prop_assert_eq!(difference(&back.to_string(), &before.to_string()), None);
        // What comes back in the history becomes the same again.
        let again = inspect(&anonymizing, shape, &body).unwrap().body.unwrap();
        prop_assert_eq!(String::from_utf8(again).unwrap(), sent);
    }
}

/// Every placeholder in a text, once.
fn placeholders(text: &str) -> Vec<String> {
    let of = |part: &str| {
        let (name, _) = part.split_once(']')?;
        let (kind, hash) = name.split_once('_')?;
        let is_one =
            ["EMAIL", "CARD", "SSN"].contains(&kind) && hash.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_one.then(|| format!("[{name}]"))
    };
    let mut found: Vec<_> = text.split('[').skip(1).filter_map(of).collect();
    found.sort();
    found.dedup();
    found
}

/// What an answer with this text says to the client.
fn restore(inspection: Box<Inspection>, text: &str) -> String {
    let bounds = BodyFormat::Json
        .read(ModelOperation::ChatCompletions, br#"{"model":"m","messages":[]}"#)
        .unwrap()
        .bounds;
    let provider = Provider {
        name: "p".to_owned(),
        kind: ProviderKind::OpenAi,
        cluster: "p".to_owned(),
        authority: "p".to_owned(),
        path_prefix: String::new(),
        idle_timeout: None,
    };
    let call = UpstreamCall::Model(ModelCall {
        operation: ModelOperation::ChatCompletions,
        model: "m".to_owned(),
        served_model: "m".to_owned(),
        provider: provider.into(),
        price: None,
        context_window: None,
        bounds,
        reservation: None,
        output_cut: None,
        attempts: None,
    });
    let mut inspector = AnswerInspector::new(inspection, &call);
    inspector.answered(200, AnswerHead { content_type: Some("application/json"), content_encoding: None });
    let answer = json!({ "choices": [{ "index": 0, "message": { "role": "assistant", "content": text } }] });
    let WholeAnswer::Replace(answer) = inspector.whole(answer.to_string().as_bytes()) else {
        panic!("nothing is restored")
    };
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

/// Puts values in the place of placeholders, in JSON in strings, too; a card that is a number is a text.
fn put_back(value: &mut Value, values: &BTreeMap<String, String>) {
    match value {
        Value::Number(number) if number.as_u64() == Some(4_111_111_111_111_111) => {
            *value = number.to_string().into();
        }
        Value::String(text) => {
            let nested = serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
            *text = match nested {
                Some(mut nested) => {
                    put_back(&mut nested, values);
                    nested.to_string()
                }
                None => values
                    .iter()
                    .fold(text.clone(), |text, (placeholder, value)| text.replace(placeholder, value)),
            };
        }
        Value::Array(items) => items.iter_mut().for_each(|item| put_back(item, values)),
        Value::Object(members) => {
            let put = |name: &String| {
                values
                    .iter()
                    .fold(name.clone(), |name, (placeholder, value)| name.replace(placeholder, value))
            };
            *members = std::mem::take(members)
                .into_iter()
                .map(|(name, mut member)| {
                    put_back(&mut member, values);
                    (put(&name), member)
                })
                .collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
