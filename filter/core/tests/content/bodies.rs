//! Whole bodies.

use latchkey_filter_core::content::{UnreadableBody, edit_answer, edit_mcp, edit_request};
use latchkey_filter_core::request::body::BodyFormat;
use latchkey_filter_core::request::endpoint::ModelOperation;
use proptest::prelude::*;
use serde_json::Value;

use crate::planted::{Identity, PlantedWords};
use crate::source::{Source, Style, Tree, free, free_object, styles, texts};

/// Something with a planted word in it that is not a text.
fn fixed() -> Tree {
    Tree::Fixed("\"SECRET-EMAIL\"".to_owned())
}

fn kind(name: &str) -> Tree {
    Tree::Fixed(format!("\"{name}\""))
}

/// Blocks and parts of all APIs.
fn block() -> BoxedStrategy<Tree> {
    let leaf = prop_oneof![
        texts().prop_map(|text| Tree::Object(vec![("text", text), ("type", kind("text"))])),
        texts().prop_map(|text| Tree::Object(vec![("type", kind("new_kind")), ("secret_text", text)])),
        free_object().prop_map(|input| Tree::Object(vec![
            ("type", kind("tool_use")),
            ("id", fixed()),
            ("input", input),
            ("cache_control", Tree::Object(vec![("type", kind("ephemeral"))])),
        ])),
        texts().prop_map(|text| {
            let source = vec![("data", text), ("type", kind("text")), ("media_type", fixed())];
            Tree::Object(vec![("type", kind("document")), ("source", Tree::Object(source))])
        }),
        Just(Tree::Object(vec![("source", Tree::Object(vec![("data", fixed()), ("type", kind("base64"))]))])),
        Just(Tree::Object(vec![
            ("type", kind("input_audio")),
            ("input_audio", Tree::Object(vec![("data", fixed())]))
        ])),
        Just(Tree::Object(vec![("type", kind("thinking")), ("thinking", fixed()), ("signature", fixed())])),
        Just(Tree::Object(vec![("encrypted_content", fixed())])),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop::collection::vec(inner, 0..3).prop_map(|blocks| {
            Tree::Object(vec![
                ("type", kind("tool_result")),
                ("content", Tree::List(blocks)),
                ("tool_use_id", fixed()),
            ])
        })
    })
    .boxed()
}

fn content() -> impl Strategy<Value = Tree> {
    prop_oneof![texts(), prop::collection::vec(block(), 0..4).prop_map(Tree::List)]
}

fn arguments() -> impl Strategy<Value = Tree> {
    prop_oneof![
        free_object().prop_map(|tree| Tree::Json(Box::new(tree))),
        prop::collection::vec(free(), 0..3).prop_map(|trees| Tree::Json(Box::new(Tree::List(trees)))),
        texts(),
    ]
}

fn message() -> impl Strategy<Value = Tree> {
    (content(), arguments(), texts()).prop_map(|(content, arguments, reasoning)| {
        let function = Tree::Object(vec![("name", kind("f")), ("arguments", arguments)]);
        let call = Tree::Object(vec![("id", fixed()), ("type", kind("function")), ("function", function)]);
        Tree::Object(vec![
            ("content", content),
            ("role", kind("assistant")),
            ("tool_calls", Tree::List(vec![call])),
            ("reasoning_content", reasoning),
        ])
    })
}

fn body() -> impl Strategy<Value = Tree> {
    (prop::collection::vec(message(), 0..4), content(), free_object(), texts(), texts()).prop_map(
        |(messages, system, metadata, unknown, description)| {
            let schema = Tree::Object(vec![("type", kind("string")), ("description", description)]);
            let schema = Tree::Object(vec![("properties", Tree::Object(vec![("x", schema)]))]);
            let function = Tree::Object(vec![("name", kind("f")), ("parameters", schema)]);
            Tree::Object(vec![
                ("model", fixed()),
                ("messages", Tree::List(messages)),
                ("system", system),
                ("metadata", metadata),
                ("not_known", unknown),
                ("tools", Tree::List(vec![Tree::Object(vec![("function", function)])])),
                ("stop", Tree::List(vec![fixed()])),
            ])
        },
    )
}

fn source(tree: &Tree, style: &mut Style) -> Source {
    let mut source = Source::default();
    style.tree(tree, &mut source);
    source
}

fn check(source: &Source, edited: Option<Vec<u8>>) -> Result<(), TestCaseError> {
    let edited = edited.map(|edited| String::from_utf8(edited).unwrap());
    prop_assert!(serde_json::from_str::<Value>(&source.after()).is_ok());
    if source.before() == source.after() {
        prop_assert_eq!(edited, None);
    } else {
        prop_assert_eq!(edited.as_ref(), Some(&source.after()));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn only_planted_words_in_texts_change(tree in body(), mut style in styles()) {
        let source = source(&tree, &mut style);
        let body = source.before();
        let body = body.as_bytes();
        for operation in [ModelOperation::ChatCompletions, ModelOperation::Messages] {
            let edited = edit_request(operation, &BodyFormat::Json, body, &mut PlantedWords::default());
            check(&source, edited.unwrap())?;
        }
        let same = edit_request(ModelOperation::Messages, &BodyFormat::Json, body, &mut Identity);
        prop_assert_eq!(same, Ok(None));
    }

    #[test]
    fn answers_and_mcp_messages_are_edited_alike(tree in message(), free in free_object(), mut style in styles()) {
        let answer = Tree::Object(vec![("choices", Tree::List(vec![Tree::Object(vec![("message", tree)])]))]);
        let answer = source(&answer, &mut style);
        let edited = edit_answer(ModelOperation::ChatCompletions, answer.before().as_bytes(), &mut PlantedWords::default());
        check(&answer, edited.unwrap())?;
        let call = Tree::Object(vec![("name", fixed()), ("arguments", free)]);
        let call = Tree::Object(vec![("jsonrpc", kind("2.0")), ("id", fixed()), ("params", call)]);
        let call = source(&call, &mut style);
        let mut editor = PlantedWords::default();
        check(&call, edit_mcp(call.before().as_bytes(), &mut editor).unwrap())?;
        prop_assert_eq!(editor.found_read_only, ["params.name"]);
    }

    #[test]
    fn no_body_stops_the_walk(body in "[{}\\[\\],:\"a1\\\\ ]{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        for body in [body.as_bytes(), &bytes] {
            for operation in ModelOperation::ALL {
                if let Ok(Some(edited)) = edit_request(operation, &BodyFormat::Json, body, &mut PlantedWords::default()) {
                    prop_assert_ne!(edited, body);
                }
            }
        }
    }
}

#[test]
fn what_is_no_json_is_told() {
    let edit = |body: &[u8]| {
        edit_request(ModelOperation::Messages, &BodyFormat::Json, body, &mut Identity).unwrap_err()
    };
    assert_eq!(edit(b"\xff"), UnreadableBody::NotUtf8);
    for body in ["", "{", "{}x", r#"{"a":{"b":1}"#, r#"{"a""b"}"#] {
        assert_eq!(edit(body.as_bytes()), UnreadableBody::MalformedJson, "{body}");
    }
}
