use proptest::prelude::*;
use serde_json::{Value, json};

use super::protocol::{self, AnsweredFinding, MOST_ANSWER_BYTES};
use super::question::AskedText;
use super::*;
use crate::content::Role;

fn texts(texts: &[&str]) -> Vec<AskedText> {
    let asked = |text: &&str| AskedText { text: (*text).into(), sent: text.len(), role: Role::User };
    texts.iter().map(asked).collect()
}

fn read(about: &[&str], answer: &Value) -> Result<Vec<(usize, String, Option<String>)>, DetectorFailure> {
    let texts = texts(about);
    let answer = protocol::read(200, answer.to_string().as_bytes(), &texts)?;
    let found = |AnsweredFinding { text, span, label, .. }: AnsweredFinding| {
        (text, about[text].get(span).unwrap().to_owned(), label)
    };
    Ok(answer.findings.into_iter().map(found).collect())
}

fn finding(id: usize, start: usize, end: usize) -> Value {
    json!({ "id": id, "start": start, "end": end })
}

#[test]
fn a_question_has_the_texts_as_far_as_they_are_sent() {
    let mut asked = texts(&["hello", "world"]);
    asked[1] = AskedText { sent: 3, role: Role::None, ..asked[1].clone() };
    let written: Value = serde_json::from_slice(&protocol::write("billing \"bot\"", &asked)).unwrap();
    let expected = json!({ "app": "billing \"bot\"", "direction": "request", "texts": [
        { "id": 0, "role": "user", "text": "hello" },
        { "id": 1, "role": null, "text": "wor" },
    ] });
    assert_eq!(written, expected);
}

#[test]
fn spans_are_in_code_points_and_are_the_whole_text_where_there_are_none() {
    let found = json!({ "findings": [
        { "id": 1, "label": "TOPIC", "score": 0.5 },
        { "id": 0, "start": 6, "end": 8, "label": "PERSON", "risk": "low" },
        { "id": 0, "start": 0, "end": 1 },
    ], "model": "m" });
    let told = read(&["é日𝄞 x 𝄞é", "all of it"], &found).unwrap();
    let label = |label: &str| Some(label.to_owned());
    assert_eq!(
        told,
        [
            (0, "é".to_owned(), None),
            (0, "𝄞é".to_owned(), label("PERSON")),
            (1, "all of it".to_owned(), label("TOPIC"))
        ]
    );
    assert_eq!(read(&["x"], &json!({ "findings": [] })), Ok(vec![]));
}

#[test]
fn what_is_no_answer_is_a_failure_and_never_nothing_found() {
    let fails = |answer: &Value| read(&["hello", "wörld"], answer).unwrap_err();
    let one = |finding: Value| json!({ "findings": [finding] });
    for malformed in [
        json!({}),
        json!([]),
        json!(null),
        json!({ "findings": null }),
        json!({ "findings": {} }),
        one(json!({})),
        one(json!({ "id": -1 })),
        one(json!({ "id": "0" })),
        one(json!({ "id": 0, "start": 1.5, "end": 2 })),
        one(json!({ "id": 0, "risk": "medium" })),
    ] {
        assert_eq!(fails(&malformed), DetectorFailure::Malformed, "{malformed}");
    }
    assert_eq!(fails(&one(finding(2, 0, 1))), DetectorFailure::UnknownText(0));
    for (start, end) in [(0, 6), (5, 6), (3, 3), (4, 2), (9, 10)] {
        assert_eq!(fails(&one(finding(1, start, end))), DetectorFailure::Span(0), "{start}..{end}");
        assert_eq!(fails(&one(finding(0, start, end))), DetectorFailure::Span(0), "{start}..{end}");
    }
    assert_eq!(fails(&one(json!({ "id": 0, "start": 1 }))), DetectorFailure::Span(0));
    for label in ["", "a b", "x\n", &"l".repeat(65), "é"] {
        assert_eq!(fails(&one(json!({ "id": 0, "label": label }))), DetectorFailure::Label(0), "{label:?}");
    }
    let both = |one, two| json!({ "findings": [one, two] });
    assert_eq!(fails(&both(finding(1, 2, 4), finding(1, 0, 3))), DetectorFailure::Overlap);
    assert!(read(&["hello", "wörld"], &both(finding(1, 2, 4), finding(1, 0, 2))).is_ok());
    let many = json!({ "findings": vec![json!({ "id": 0 }); 10_001] });
    assert_eq!(fails(&many), DetectorFailure::ManyFindings);
    let about = texts(&["hello"]);
    let status = |status, body: &[u8]| protocol::read(status, body, &about).unwrap_err();
    let fine = br#"{"findings":[]}"#;
    assert_eq!(status(500, fine), DetectorFailure::Status(500));
    assert_eq!(status(201, fine), DetectorFailure::Status(201));
    assert_eq!(status(504, fine), DetectorFailure::Late);
    assert_eq!(status(0, fine), DetectorFailure::Unreachable);
    assert_eq!(status(200, b""), DetectorFailure::Malformed);
    assert_eq!(status(200, &[b' '; MOST_ANSWER_BYTES + 1]), DetectorFailure::LongAnswer);
    assert_eq!(status(200, br#"{"findings":[],"findings":[{"id":0}]}"#), DetectorFailure::Malformed);
}

#[test]
fn a_text_that_is_sent_in_part_has_no_findings_beyond_that_part() {
    let cut = [AskedText { sent: 3, ..texts(&["hello"]).remove(0) }];
    let read = |start, end| {
        protocol::read(200, json!({ "findings": [finding(0, start, end)] }).to_string().as_bytes(), &cut)
    };
    assert!(read(0, 3).is_ok());
    assert_eq!(read(0, 4), Err(DetectorFailure::Span(0)));
    let whole = protocol::read(200, br#"{"findings":[{"id":0}]}"#, &cut).unwrap();
    let span = whole.findings.first().map(|finding| finding.span.clone());
    assert_eq!(span, Some(0.."hello".len()), "a text as a whole is also what was not sent");
}

#[test]
fn an_answer_with_many_findings_is_read_in_one_go_over_its_text() {
    let text = "é".repeat(400_000);
    let spans = (0..10_000_usize).map(|number| finding(0, 390_000 + number, 390_001 + number));
    let answer = json!({ "findings": spans.rev().collect::<Vec<_>>() }).to_string();
    let about = texts(&[&text]);
    let begin = std::time::Instant::now();
    let findings = protocol::read(200, answer.as_bytes(), &about).unwrap().findings;
    assert!(begin.elapsed() < std::time::Duration::from_secs(10), "{:?}", begin.elapsed());
    let spans: Vec<_> = findings.into_iter().map(|finding| finding.span).collect();
    let expected: Vec<_> = (390_000..400_000_usize).map(|at| at * 2..(at + 1) * 2).collect();
    assert_eq!(spans, expected);
}

proptest! {
    #[test]
    fn no_answer_panics_and_every_span_is_within_its_text(
        about in prop::collection::vec("\\PC{0,12}", 0..3),
        body in prop_oneof![
            any::<Vec<u8>>(),
            prop::collection::vec((0_usize..4, 0_usize..14, 0_usize..14), 0..4).prop_map(|found| {
                let found: Vec<_> = found.into_iter().map(|(id, start, end)| finding(id, start, end)).collect();
                json!({ "findings": found }).to_string().into_bytes()
            }),
        ],
    ) {
        let about: Vec<_> = about.iter().map(String::as_str).collect();
        if let Ok(answer) = protocol::read(200, &body, &texts(&about)) {
            for AnsweredFinding { text, span, .. } in answer.findings {
                prop_assert!(about[text].get(span).is_some_and(|value| !value.is_empty()));
            }
        }
    }
}
