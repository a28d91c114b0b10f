//! Bodies and streams as the APIs have them.

use std::ops::Range;

use latchkey_filter_core::content::{
    Place, Replacement, StreamEditor, TextEditor, Unread, edit_answer, edit_mcp, edit_request,
};
use latchkey_filter_core::request::body::BodyFormat;
use latchkey_filter_core::request::endpoint::ModelOperation;
use serde_json::{Value, json};

use crate::planted::{Identity, PlantedWords};
use crate::streams::{edit, edit as edit_stream, events, read};

fn request(operation: ModelOperation, body: &Value) -> (Option<Value>, PlantedWords) {
    let mut editor = PlantedWords::default();
    let edited =
        edit_request(operation, &BodyFormat::Json, body.to_string().as_bytes(), &mut editor).unwrap();
    (edited.map(|edited| serde_json::from_slice(&edited).unwrap()), editor)
}

fn seen(editor: &PlantedWords) -> Vec<&str> {
    editor.seen.iter().map(|(path, _)| path.as_str()).collect()
}

#[test]
fn a_conversation_with_claude() {
    let body = json!({
        "model": "claude", "max_tokens": 10, "metadata": {"user_id": "u"},
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "SECRET", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "SECRET"},
                {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"SECRET": ["SECRET", 1]}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "SECRET"}]},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "SECRET"}},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "SECRET"}},
            ]},
        ],
    });
    let (edited, editor) = request(ModelOperation::Messages, &body);
    let edited = edited.unwrap();
    assert_eq!(edited["messages"][1]["content"][0]["thinking"], "SECRET", "it is signed");
    assert_eq!(edited["messages"][1]["content"][2]["input"], json!({"[X]": ["[X]", 1]}));
    assert_eq!(edited["messages"][2]["content"][0]["content"][0]["text"], "[X]");
    assert_eq!(edited["messages"][2]["content"][1], body["messages"][2]["content"][1]);
    assert_eq!(edited["messages"][2]["content"][2]["source"]["data"], "[X]");
    assert_eq!(
        editor.unread,
        [
            (Unread::ReadOnly, "messages[1].content[0].thinking".into()),
            (Unread::Encrypted, "messages[1].content[1].data".into()),
            (Unread::Media, "messages[2].content[1].source.data".into()),
        ]
    );
    assert_eq!(editor.new, ["messages[2].content[0].content[0].text", "messages[2].content[2].source.data"]);
}

#[test]
fn an_answer_that_is_begun_for_the_model_is_new() {
    let body = json!({"system": "s", "messages": [
        {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"}, {"role": "assistant", "content": "{"},
    ]});
    let (_, editor) = request(ModelOperation::Messages, &body);
    assert_eq!(editor.new, ["messages[2].content", "messages[3].content"]);
    let body = json!({"system": "s", "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "{"}]});
    let (_, editor) = request(ModelOperation::Messages, &body);
    assert_eq!(editor.new, ["messages[0].content", "messages[1].content", "system"]);
}

#[test]
fn items_of_the_responses_api() {
    let body = json!({
        "model": "m", "instructions": "SECRET", "prompt_cache_key": "k",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "SECRET"},
                {"type": "input_image", "image_url": "data:image/png;base64,SECRET"},
                {"type": "input_file", "filename": "SECRET.txt", "file_data": "SECRET"}]},
            {"type": "reasoning", "id": "rs_SECRET", "encrypted_content": "SECRET",
                "summary": [{"type": "summary_text", "text": "SECRET"}]},
            {"type": "function_call", "call_id": "SECRET", "name": "f", "arguments": "{\"a\":\"SECRET\"}"},
            {"type": "function_call_output", "call_id": "SECRET", "output": "SECRET"},
            {"type": "custom_tool_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "SECRET"}]},
            {"type": "image_generation_call", "id": "ig", "result": "SECRET"},
        ],
        "tools": [{"type": "function", "name": "f", "description": "SECRET",
            "parameters": {"type": "object", "properties": {"SECRET": {"type": "string", "description": "SECRET"}},
                "required": ["SECRET"]}}],
    });
    let (edited, editor) = request(ModelOperation::Responses, &body);
    let edited = edited.unwrap();
    let expected = body.to_string().replace("SECRET", "[X]");
    let mut expected: Value = serde_json::from_str(&expected).unwrap();
    let input = &mut expected["input"];
    input[0]["content"][1] = body["input"][0]["content"][1].clone();
    input[0]["content"][2]["file_data"] = "SECRET".into();
    input[1]["id"] = "rs_SECRET".into();
    input[1]["encrypted_content"] = "SECRET".into();
    input[2]["call_id"] = "SECRET".into();
    input[3]["call_id"] = "SECRET".into();
    input[5] = body["input"][5].clone();
    expected["tools"][0]["parameters"] = json!({"type": "object",
        "properties": {"SECRET": {"type": "string", "description": "[X]"}}, "required": ["SECRET"]});
    assert_eq!(edited, expected);
    let unread: Vec<_> = editor.unread.iter().map(|(unread, _)| *unread).collect();
    assert_eq!(unread, [Unread::Media, Unread::Media, Unread::Encrypted, Unread::Media]);
    assert!(
        editor.new.contains(&"input[3].output".to_owned())
            && !editor.new.contains(&"instructions".to_owned())
    );
}

#[test]
fn prompts_and_tokens() {
    let body = json!({"model": "m", "prompt": ["SECRET", "b"], "suffix": "SECRET", "logit_bias": {"1": 2}, "stop": "x"});
    let (edited, editor) = request(ModelOperation::Completions, &body);
    assert_eq!(edited.unwrap()["prompt"], json!(["[X]", "b"]));
    // The name in `logit_bias`, too: a client may put text anywhere.
    assert_eq!(seen(&editor).len(), 4);
    for input in [json!([1, 2]), json!([[1], [2, 3]])] {
        let (edited, editor) = request(ModelOperation::Embeddings, &json!({"input": input}));
        assert_eq!((edited, editor.unread.is_empty()), (None, false));
        assert!(editor.unread.iter().all(|(unread, _)| *unread == Unread::TokenIds));
    }
}

#[test]
fn what_is_not_known_is_looked_at_and_not_named() {
    let body = json!({"messages": [{"role": "user", "content": [
        {"type": "hologram", "payload": {"SECRET-name": "SECRET"}},
        {"type": "text", "text": {"deep": ["SECRET"]}},
    ]}], "id": "a SECRET"});
    let (edited, editor) = request(ModelOperation::ChatCompletions, &body);
    let edited = edited.unwrap();
    assert_eq!(edited["messages"][0]["content"][0]["payload"], json!({"SECRET-name": "[X]"}));
    assert_eq!(edited["messages"][0]["content"][1]["text"]["deep"][0], "[X]");
    assert_eq!(edited["id"], "a [X]");
    assert_eq!(editor.found_read_only, ["messages[0].content[0].*.*"]);
}

#[test]
fn names_that_are_written_otherwise_hide_nothing() {
    for body in [
        r#"{"messages":[{"role":"user","c\u006fntent":"SECRET"}]}"#,
        r#"{"messages":[{"role":"user","Content":"SECRET"}]}"#,
        r#"{"messages":[{"role":"user","content":"x","content":"SECRET"}]}"#,
        r#"{"messages":[{"content":[{"source":{"type":"base64","type":"text","data":"SECRET"}}]}]}"#,
        r#"{"messages":[{"content":"\u0053\u0045CRET"}]}"#,
    ] {
        let edited = edit_request(
            ModelOperation::ChatCompletions,
            &BodyFormat::Json,
            body.as_bytes(),
            &mut PlantedWords::default(),
        );
        let edited = String::from_utf8(edited.unwrap().unwrap()).unwrap();
        assert!(edited.contains("[X]") && !edited.contains("SECRET"), "{edited}");
    }
}

#[test]
fn deep_values_are_counted_and_arguments_may_be_deep() {
    let nested = |inner: &str, depth: usize| format!("{}{inner}{}", "[".repeat(depth), "]".repeat(depth));
    let body = format!(r#"{{"messages":{}}}"#, nested("\"SECRET\"", 100_000));
    let mut editor = PlantedWords::default();
    assert_eq!(
        edit_request(ModelOperation::Messages, &BodyFormat::Json, body.as_bytes(), &mut editor),
        Ok(None)
    );
    assert_eq!(editor.unread.len(), 1);
    assert_eq!(editor.unread[0].0, Unread::Nesting);
    let body =
        format!(r#"{{"messages":[{{"content":[{{"input":{{"a":{}}}}}]}}]}}"#, nested("\"SECRET\"", 50_000));
    let edited = edit_request(
        ModelOperation::Messages,
        &BodyFormat::Json,
        body.as_bytes(),
        &mut PlantedWords::default(),
    );
    assert_eq!(String::from_utf8(edited.unwrap().unwrap()).unwrap(), body.replace("SECRET", "[X]"));
}

#[test]
fn a_form_has_texts_and_files() {
    let part =
        |head: &str, text: &str| format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{text}\r\n");
    let form = [
        part("name=\"model\"", "SECRET"),
        part("name=\"prompt\"", "a SECRET\r\n[EMAIL_1]"),
        part("name=\"file\"; filename=\"a\"", "SECRET"),
        "--b--\r\n".to_owned(),
    ]
    .concat();
    let format = BodyFormat::Multipart { boundary: "b".into() };
    let mut editor = PlantedWords::default();
    let edited = edit_request(ModelOperation::Transcriptions, &format, form.as_bytes(), &mut editor);
    let expected = form.replace("a SECRET", "a [X]").replace("[EMAIL_1]", "a\"b\n@x");
    assert_eq!(String::from_utf8(edited.unwrap().unwrap()).unwrap(), expected);
    assert_eq!(editor.unread, [(Unread::Media, "file".to_owned())]);
    assert_eq!(
        edit_request(ModelOperation::Transcriptions, &format, form.as_bytes(), &mut Identity),
        Ok(None)
    );
}

#[test]
fn a_tools_answer_over_mcp() {
    let answer = json!({"jsonrpc": "2.0", "id": "SECRET", "result": {
        "content": [{"type": "text", "text": "SECRET"}, {"type": "image", "data": "SECRET", "mimeType": "image/png"},
            {"type": "resource", "resource": {"uri": "file:///SECRET", "text": "SECRET"}},
            {"type": "resource", "resource": {"uri": "file:///a", "blob": "SECRET"}}],
        "structuredContent": {"type": "SECRET", "id": "SECRET"}, "isError": false,
    }});
    let mut editor = PlantedWords::default();
    let edited = edit_mcp(answer.to_string().as_bytes(), &mut editor).unwrap().unwrap();
    let mut expected: Value = serde_json::from_str(&answer.to_string().replace("SECRET", "[X]")).unwrap();
    expected["id"] = "SECRET".into();
    expected["result"]["content"][1]["data"] = "SECRET".into();
    expected["result"]["content"][3]["resource"]["blob"] = "SECRET".into();
    assert_eq!(serde_json::from_slice::<Value>(&edited).unwrap(), expected);
    assert_eq!(editor.unread.len(), 2);

    let stream = format!("event: message\r\ndata: {answer}\r\n\r\n");
    let mut editor = StreamEditor::mcp();
    let out = editor.push(stream.as_bytes(), true, &mut PlantedWords::default());
    assert_eq!(
        out,
        format!("event: message\r\ndata: {}\r\n\r\n", String::from_utf8(edited).unwrap()).into_bytes()
    );
}

#[test]
fn log_probabilities_go_where_their_text_changes() {
    let answer = |text: &str, logprobs: &str| {
        format!(r#"{{"choices":[{{"message":{{"content":"{text}"}},"logprobs":{logprobs}}}]}}"#)
    };
    let edit = |body: &str, removes_logprobs| {
        let mut editor = PlantedWords { removes_logprobs, ..PlantedWords::default() };
        let edited = edit_answer(ModelOperation::ChatCompletions, body.as_bytes(), &mut editor).unwrap();
        (edited.map(|edited| String::from_utf8(edited).unwrap()), editor.unread.len())
    };
    let logprobs = r#"{"content":[{"token":"SECRET"}]}"#;
    assert_eq!(edit(&answer("SECRET", logprobs), false), (Some(answer("[X]", "null")), 1));
    assert_eq!(edit(&answer("a", logprobs), false), (None, 1));
    assert_eq!(edit(&answer("a", logprobs), true), (Some(answer("a", "null")), 1));
    assert_eq!(edit(&answer("a", "null"), true), (None, 0));
    let stream = |before: &str, after: &str| {
        let event = |text: &str, logprobs: &str| {
            format!(
                "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"logprobs\":{logprobs}}}]}}\n\n"
            )
        };
        [event("a", logprobs), event(before, after), "data: [DONE]\n\n".to_owned()].concat()
    };
    let mut editor = PlantedWords::default();
    let out =
        edit_stream(ModelOperation::ChatCompletions, &[stream("SECRET", logprobs).as_bytes()], &mut editor);
    assert_eq!(String::from_utf8(out).unwrap(), stream("[X]", "null"));
    assert_eq!(editor.unread.len(), 1);
}

/// The arguments of a call, cut within escapes of both levels.
#[test]
fn arguments_that_are_cut_within_escapes() {
    let pieces = [
        r#"{"caf\u00"#,
        r#"e9":"\"#,
        r#"" [EMA"#,
        r#"IL_1] \ud83d"#,
        r#"\ude00\ud83d\ude00\u00e9", "#,
        r#""n":1}"#,
    ];
    let delta = |piece: &str| {
        let delta = json!({"type": "input_json_delta", "partial_json": piece});
        json!({"type": "content_block_delta", "index": 1, "delta": delta}).to_string()
    };
    let stop = r#"{"type":"content_block_stop","index":1}"#.to_owned();
    let stream: String = pieces
        .iter()
        .map(|piece| delta(piece))
        .chain([stop])
        .map(|data| format!("data: {data}\n\n"))
        .collect();
    let out = edit(ModelOperation::Messages, &[stream.as_bytes()], &mut PlantedWords::default());
    let (texts, _) = read(ModelOperation::Messages, &out);
    assert_eq!(texts["text 1"], r#"{"caf\u00e9":"\" a\"b\n@x ", "n":1}"#);
}

#[test]
fn calls_of_two_tools_at_once() {
    let call = |index: usize, piece: &str| {
        json!({"id": "c", "usage": null, "choices": [{"index": 0, "delta": {"tool_calls": [
            {"index": index, "function": {"arguments": piece}}]}, "finish_reason": null}]})
    };
    let first = json!({"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant", "content": null, "tool_calls": [
        {"index": 0, "id": "call_0", "type": "function", "function": {"name": "f", "arguments": "{\"a\":\"SEC"}}]},
        "finish_reason": null}]});
    let finish = json!({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]});
    let all = [first, call(1, "{\"b\":\"[EMAIL"), call(0, "RET [EMA"), call(1, "_1]\"}"), finish.clone()];
    let stream: String = all.iter().map(|event| format!("data: {event}\n\n")).collect();
    let out = edit(ModelOperation::ChatCompletions, &[stream.as_bytes()], &mut PlantedWords::default());
    let (texts, _) = read(ModelOperation::ChatCompletions, &out);
    assert_eq!(texts["tool 0"], r#"{"a":"[X] [EMA"#);
    assert_eq!(texts["tool 1"], r#"{"b":"a\"b\n@x"}"#);
    let events = events(&out);
    assert_eq!(events.len(), all.len() + 1);
    assert_eq!(
        serde_json::from_str::<Value>(&events[4]).unwrap(),
        json!({"id": "c", "usage": null, "choices": [{"index": 0, "delta": {"tool_calls": [
            {"index": 0, "function": {"arguments": "[EMA"}}]}, "finish_reason": null}]})
    );
    assert_eq!(serde_json::from_str::<Value>(&events[5]).unwrap(), finish);
}

#[test]
fn each_string_of_arguments_is_a_text_of_its_own() {
    let delta = |piece: &str| {
        let delta = json!({"type": "input_json_delta", "partial_json": piece});
        format!("data: {}\n\n", json!({"type": "content_block_delta", "index": 0, "delta": delta}))
    };
    let stream = [delta("{\"a\":\"x SEC"), delta("\",\"b\":\"RET"), delta("SECR"), delta("ET\"}")].concat();
    let mut editor = PlantedWords::default();
    let out = edit(ModelOperation::Messages, &[stream.as_bytes()], &mut editor);
    let (texts, _) = read(ModelOperation::Messages, &out);
    assert_eq!(texts["text 0"], r#"{"a":"x SEC","b":"RET[X]"}"#);
    let seen: Vec<_> = editor.seen.iter().map(|(_, text)| text.as_str()).zip(editor.contexts).collect();
    assert_eq!(seen, [("a", 0), ("x ", 0), ("SEC", 2), ("b", 0), ("RET", 0), ("SECRET", 3)]);
}

#[test]
fn a_part_of_the_output_ends_by_itself_or_with_its_item() {
    let delta = |text: &str, logprobs: &Value| {
        json!({"type": "response.output_text.delta", "output_index": 1, "content_index": 2, "logprobs": logprobs,
            "delta": text})
    };
    for end in [
        json!({"type": "response.content_part.done", "output_index": 1, "content_index": 2}),
        json!({"type": "response.output_item.done", "output_index": 1}),
        json!({"type": "response.failed"}),
    ] {
        let others = [
            json!({"type": "response.content_part.done", "output_index": 1, "content_index": 1}),
            json!({"type": "response.output_item.done", "output_index": 2}),
            json!({"type": "response.output_text.done", "output_index": 1, "content_index": 0, "text": ""}),
        ];
        let logprobs = json!([{"token": "SE"}]);
        let all = [vec![delta("SE", &logprobs)], others.to_vec(), vec![end.clone()]].concat();
        let stream: String = all.iter().map(|event| format!("data: {event}\n\n")).collect();
        let out = edit(ModelOperation::Responses, &[stream.as_bytes()], &mut PlantedWords::default());
        let out: Vec<Value> = events(&out).iter().map(|data| serde_json::from_str(data).unwrap()).collect();
        let first = delta("", &logprobs);
        let expected = [vec![first], others.to_vec(), vec![delta("SE", &json!([])), end]].concat();
        assert_eq!(out, expected);
    }
}

#[test]
fn the_last_event_carries_what_is_left_where_it_has_text() {
    let stream = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"[EM\"}}]}\n\n\
        data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"AI\"},\"finish_reason\":\"length\"}]}\n\n";
    let out = edit(ModelOperation::ChatCompletions, &[stream.as_bytes()], &mut PlantedWords::default());
    assert_eq!(String::from_utf8(out).unwrap(), stream.replace("[EM", "").replace("AI", "[EMAI"));
}

#[test]
fn a_stream_that_is_cut_gives_what_it_has() {
    let event = |text: &str| format!("data: {{\"choices\":[{{\"index\":0,\"text\":\"{text}\"}}]}}\n\n");
    let error = "data: {\"error\":{\"message\":\"overloaded\"}}\n\n";
    for (stream, expected) in [
        (event("SECR"), ["", "SECR"].map(event).concat()),
        (event("SECR") + error, ["", "SECR"].map(event).concat() + error),
        (event("SECR").trim_end().to_owned(), event("SECR").trim_end().to_owned()),
        (event("SEC") + event("RET").trim_end(), event("") + event("[X]").trim_end()),
    ] {
        let out = edit(ModelOperation::Completions, &[stream.as_bytes()], &mut PlantedWords::default());
        let out = String::from_utf8(out)
            .unwrap()
            .replace("},\"finish_reason\":null}]", "}]")
            .replace("\",\"finish_reason\":null}]", "\"}]");
        assert_eq!(out, expected);
    }
}

#[test]
fn what_is_no_stream_of_events_passes_and_is_counted() {
    for (body, unread) in [
        ("{\"choices\":[{\"text\":\"SECRET\"}]}", vec![Unread::Format]),
        ("data: SECRET\n\ndata: [1\n\n", vec![Unread::Format, Unread::Format]),
        (": SECRET\n\nevent: SECRET\n\n\n\n", vec![]),
    ] {
        let mut editor = PlantedWords::default();
        let chunks: Vec<_> = body.as_bytes().chunks(3).collect();
        assert_eq!(edit(ModelOperation::Completions, &chunks, &mut editor), body.as_bytes());
        assert_eq!(editor.unread.iter().map(|(unread, _)| *unread).collect::<Vec<_>>(), unread);
    }
}

#[test]
fn what_is_held_and_how_many_channels_there_are_is_bounded() {
    struct Never;
    impl TextEditor for Never {
        fn edit(&mut self, _: &str, _: Range<usize>, _: &Place<'_>) -> Vec<Replacement> {
            Vec::new()
        }
        fn decided_until(&self, _: &str, _: usize) -> usize {
            0
        }
    }
    let event = |choice: usize| {
        let text = "x".repeat(4000);
        format!("data: {{\"choices\":[{{\"index\":{choice},\"text\":\"{text}\"}}]}}\n\n")
    };
    let mut editor = StreamEditor::new(ModelOperation::Completions);
    let (mut came, mut left) = (0, 0);
    for choice in (0..1000).chain([0; 100]) {
        let event = event(choice);
        came += event.len();
        left += editor.push(event.as_bytes(), false, &mut Never).len();
    }
    assert!(came - left < 128 * 4000 + 20_000, "{}", came - left);
    let long = "x".repeat(5 * 1024 * 1024);
    let out = editor.push(format!("data: {{\"a\":\"{long}").as_bytes(), false, &mut Never);
    assert!(out.len() > long.len());
}

#[test]
fn a_match_that_reaches_beyond_what_is_decided_is_decided() {
    struct OneLess(PlantedWords);
    impl TextEditor for OneLess {
        fn edit(&mut self, text: &str, range: Range<usize>, place: &Place<'_>) -> Vec<Replacement> {
            self.0.edit(text, range, place)
        }
        fn decided_until(&self, text: &str, _: usize) -> usize {
            text.len().saturating_sub(1)
        }
    }
    let event = |text: &str| format!("data: {{\"choices\":[{{\"index\":0,\"text\":\"{text}\"}}]}}\n\n");
    let stream = [event("a SECRET"), event("bc"), "data: [DONE]\n\n".to_owned()].concat();
    let out = edit(ModelOperation::Completions, &[stream.as_bytes()], &mut OneLess(PlantedWords::default()));
    assert_eq!(read(ModelOperation::Completions, &out).0["text 0"], "a [X]bc");
}

#[test]
fn text_before_comes_along() {
    let event = |text: &str| format!("data: {{\"choices\":[{{\"index\":0,\"text\":\"{text}\"}}]}}\n\n");
    let stream: String = (0..50).map(|_| event("0123456789 é😀")).collect();
    let mut editor = PlantedWords::default();
    edit(ModelOperation::Completions, &[stream.as_bytes()], &mut editor);
    let mut before = 0;
    for ((_, text), context) in editor.seen.iter().zip(&editor.contexts) {
        assert!(*context >= before.min(256) && *context < 260, "{context}");
        before += text.len();
    }
}
