//! Streams, cut anywhere.

use std::collections::BTreeMap;

use latchkey_filter_core::content::{StreamEditor, TextEditor};
use latchkey_filter_core::request::endpoint::ModelOperation;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::planted::{Identity, PlantedWords, decided};
use crate::source::{Part, Source, Style, Tree, decoded, free_object, parts, styles};

/// A text of a stream.
#[derive(Clone, Debug)]
enum Text {
    Plain(Vec<Part>),
    Arguments(Tree),
}

impl Text {
    fn source(&self, style: &mut Style) -> Source {
        match self {
            Self::Plain(parts) => decoded(parts),
            Self::Arguments(tree) => {
                let mut source = Source::default();
                style.tree(tree, &mut source);
                source
            }
        }
    }
}

/// The pieces of a text that are still to come.
struct Channel {
    number: usize,
    is_json: bool,
    before: String,
    after: String,
    sent: usize,
}

impl Channel {
    fn next(&mut self, style: &mut Style) -> Option<String> {
        let rest = &self.before[self.sent..];
        if rest.is_empty() {
            return None;
        }
        let length =
            rest.char_indices().map(|(at, _)| at).nth(style.choice(7) as usize + 1).unwrap_or(rest.len());
        self.sent += length;
        Some(rest[..length].to_owned())
    }
}

/// A stream of one API, and what its channels must become.
pub struct Stream {
    pub bytes: Vec<u8>,
    texts: BTreeMap<String, String>,
}

/// Writes events.
struct Writer {
    style: Style,
    end: &'static str,
    bytes: Vec<u8>,
}

impl Writer {
    fn event(&mut self, name: Option<&str>, data: &str) {
        let end = self.end;
        let space = ["", " "][self.style.choice(2) as usize];
        let mut event = String::new();
        if self.style.choice(6) == 0 {
            event += &format!(": ping{end}");
        }
        if let Some(name) = name {
            event += &format!("event:{space}{name}{end}");
        }
        // The data over two lines.
        let data = match data.strip_prefix('{').filter(|_| self.style.choice(4) == 0) {
            Some(rest) => format!("{{{end}data:{space}{rest}"),
            None => data.to_owned(),
        };
        event += &format!("data:{space}{data}{end}{end}");
        if self.style.choice(8) == 0 {
            event += &format!(": keep-alive{end}{end}");
        }
        self.bytes.extend(event.into_bytes());
    }
}

const OPERATIONS: [ModelOperation; 4] = [
    ModelOperation::ChatCompletions,
    ModelOperation::Completions,
    ModelOperation::Responses,
    ModelOperation::Messages,
];

pub fn stream(operation: ModelOperation, texts: &[(bool, Source)], style: Style) -> Stream {
    let mut writer = Writer { style, end: "\n", bytes: Vec::new() };
    writer.end = ["\n", "\r\n", "\r"][writer.style.choice(3) as usize];
    if writer.style.choice(3) == 0 {
        writer.bytes.extend("\u{feff}".as_bytes());
    }
    let mut channels: Vec<Channel> = texts
        .iter()
        .enumerate()
        .map(|(number, (is_json, source))| Channel {
            number,
            is_json: *is_json && operation != ModelOperation::Completions,
            before: source.before(),
            after: source.after(),
            sent: 0,
        })
        .collect();
    begin(operation, &channels, &mut writer);
    let mut open: Vec<usize> = (0..channels.len()).collect();
    while !open.is_empty() {
        let at = writer.style.choice(open.len() as u64) as usize;
        let channel = &mut channels[open[at]];
        match channel.next(&mut writer.style) {
            Some(piece) => delta(operation, channel, &piece, &mut writer),
            None => {
                end(operation, channel, &mut writer);
                open.remove(at);
            }
        }
    }
    finish(operation, &channels, &mut writer);
    let texts = channels.into_iter().map(|channel| (key(operation, &channel), channel.after));
    Stream { bytes: writer.bytes, texts: texts.filter(|(_, text)| !text.is_empty()).collect() }
}

fn key(operation: ModelOperation, channel: &Channel) -> String {
    let kind = match (operation, channel.is_json) {
        (ModelOperation::ChatCompletions, true) => "tool",
        _ => "text",
    };
    format!("{kind} {}", channel.number)
}

fn begin(operation: ModelOperation, channels: &[Channel], writer: &mut Writer) {
    match operation {
        ModelOperation::Messages => {
            writer.event(Some("message_start"), r#"{"type":"message_start","message":{"content":[]}}"#);
            for channel in channels {
                let block = match channel.is_json {
                    true => r#"{"type":"tool_use","id":"SECRET","name":"f","input":{}}"#,
                    false => r#"{"type":"text","text":""}"#,
                };
                let number = channel.number;
                writer.event(
                    Some("content_block_start"),
                    &format!(r#"{{"type":"content_block_start","index":{number},"content_block":{block}}}"#),
                );
            }
        }
        ModelOperation::Responses => {
            writer.event(Some("response.created"), r#"{"type":"response.created","response":{"output":[]}}"#);
        }
        _ => {}
    }
}

fn delta(operation: ModelOperation, channel: &Channel, piece: &str, writer: &mut Writer) {
    let Channel { number, is_json, .. } = channel;
    let piece = writer.style.escaped(piece);
    match operation {
        ModelOperation::ChatCompletions => {
            // The first piece brings the tool's name.
            let first = if channel.before.starts_with(&piece) && channel.sent == piece.len() {
                r#""id":"SECRET","name":"#
            } else {
                ""
            };
            let delta = match is_json {
                true if first.is_empty() => {
                    format!(r#"{{"tool_calls":[{{"function":{{"arguments":"{piece}"}},"index":{number}}}]}}"#)
                }
                true => format!(
                    r#"{{"tool_calls":[{{"index":{number},"id":"SECRET","function":{{"name":"f","arguments":"{piece}"}}}}]}}"#
                ),
                false => format!(r#"{{"content":"{piece}"}}"#),
            };
            let choice = if *is_json { 9 } else { *number };
            writer.event(
                None,
                &format!(r#"{{"id":"SECRET","choices":[{{"delta":{delta},"index":{choice}}}]}}"#),
            );
        }
        ModelOperation::Completions => {
            writer.event(
                None,
                &format!(r#"{{"choices":[{{"text":"{piece}","index":{number}}}],"usage":null}}"#),
            );
        }
        ModelOperation::Messages => {
            let (kind, name) =
                if *is_json { ("input_json_delta", "partial_json") } else { ("text_delta", "text") };
            writer.event(
                Some("content_block_delta"),
                &format!(
                    r#"{{"type":"content_block_delta","index":{number},"delta":{{"type":"{kind}","{name}":"{piece}"}}}}"#
                ),
            );
        }
        _ => {
            let kind = if *is_json { "response.function_call_arguments" } else { "response.output_text" };
            writer.event(
                Some(&format!("{kind}.delta")),
                &format!(
                    r#"{{"type":"{kind}.delta","item_id":"SECRET","output_index":{number},"content_index":0,"delta":"{piece}","obfuscation":"SECRET"}}"#
                ),
            );
        }
    }
}

fn end(operation: ModelOperation, channel: &Channel, writer: &mut Writer) {
    let Channel { number, is_json, before, .. } = channel;
    match operation {
        ModelOperation::Messages => writer.event(
            Some("content_block_stop"),
            &format!(r#"{{"type":"content_block_stop","index":{number}}}"#),
        ),
        ModelOperation::Responses => {
            let (kind, name) = match is_json {
                true => ("response.function_call_arguments.done", "arguments"),
                false => ("response.output_text.done", "text"),
            };
            let text = writer.style.escaped(before);
            writer.event(
                Some(kind),
                &format!(
                    r#"{{"type":"{kind}","output_index":{number},"content_index":0,"{name}":"{text}"}}"#
                ),
            );
        }
        _ if !is_json => writer.event(
            None,
            &format!(r#"{{"choices":[{{"index":{number},"delta":{{}},"finish_reason":"stop"}}]}}"#),
        ),
        _ => {}
    }
}

fn finish(operation: ModelOperation, channels: &[Channel], writer: &mut Writer) {
    match operation {
        ModelOperation::Messages => {
            writer.event(
                Some("message_delta"),
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#,
            );
            writer.event(Some("message_stop"), r#"{"type":"message_stop"}"#);
        }
        ModelOperation::Responses => {
            let output: Vec<_> = channels
                .iter()
                .map(|channel| match channel.is_json {
                    true => json!({"type": "function_call", "arguments": channel.before}),
                    false => json!({"type": "message", "content": [{"type": "output_text", "text": channel.before}]}),
                })
                .collect();
            let data = json!({"type": "response.completed", "response": {"output": output}});
            writer.event(Some("response.completed"), &data.to_string());
        }
        _ => {
            writer.event(None, r#"{"choices":[],"usage":{"total_tokens":1}}"#);
            writer.event(None, "[DONE]");
        }
    }
}

/// What comes out of a stream that comes in these chunks.
pub fn edit(operation: ModelOperation, chunks: &[&[u8]], editor: &mut dyn TextEditor) -> Vec<u8> {
    let mut stream = StreamEditor::new(operation);
    let mut out: Vec<u8> = chunks.iter().flat_map(|chunk| stream.push(chunk, false, editor)).collect();
    out.extend(stream.push(&[], true, editor));
    out
}

/// The data of each event.
pub fn events(stream: &[u8]) -> Vec<String> {
    let text = str::from_utf8(stream).unwrap().trim_start_matches('\u{feff}');
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let data = |event: &str| {
        let lines = event.lines().filter_map(|line| line.strip_prefix("data:"));
        let lines: Vec<_> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    };
    text.split("\n\n").filter_map(data).collect()
}

/// The texts that a client puts together from deltas, and those that come as a whole.
pub fn read(
    operation: ModelOperation,
    stream: &[u8],
) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let (mut texts, mut whole) = (BTreeMap::<String, String>::new(), BTreeMap::new());
    let mut names = 0;
    let mut add = |key: String, text: &Value| {
        if let Some(text) = text.as_str().filter(|text| !text.is_empty()) {
            *texts.entry(key).or_default() += text;
        }
    };
    for data in events(stream) {
        if data == "[DONE]" {
            continue;
        }
        let event: Value = serde_json::from_str(&data).unwrap();
        for choice in event["choices"].as_array().into_iter().flatten() {
            let index = &choice["index"];
            add(format!("text {index}"), &choice["text"]);
            add(format!("text {index}"), &choice["delta"]["content"]);
            for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
                add(format!("tool {}", call["index"]), &call["function"]["arguments"]);
                names += usize::from(call["function"]["name"] == "f");
            }
        }
        let kind = event["type"].as_str().unwrap_or_default();
        if kind == "content_block_delta" {
            add(format!("text {}", event["index"]), &event["delta"]["text"]);
            add(format!("text {}", event["index"]), &event["delta"]["partial_json"]);
        }
        if kind.starts_with("response.") {
            add(format!("text {}", event["output_index"]), &event["delta"]);
        }
        if kind.ends_with(".done") {
            let text = event["text"].as_str().or(event["arguments"].as_str()).unwrap();
            whole.insert(format!("text {}", event["output_index"]), text.to_owned());
        }
        for (at, item) in event["response"]["output"].as_array().into_iter().flatten().enumerate() {
            let text = item["arguments"].as_str().or(item["content"][0]["text"].as_str()).unwrap();
            let again = whole.insert(format!("text {at}"), text.to_owned());
            assert_eq!(again.as_deref(), Some(text), "both whole texts are the same");
        }
    }
    let tools = texts.keys().filter(|key| key.starts_with("tool")).count();
    if operation == ModelOperation::ChatCompletions {
        assert!(names <= tools, "a tool's name came {names} times");
    }
    whole.retain(|_, text: &mut String| !text.is_empty());
    (texts, whole)
}

/// An event without the text that it brings.
fn skeleton(data: &str) -> String {
    let Ok(mut event) = serde_json::from_str::<Value>(data) else { return data.to_owned() };
    for pointer in [
        "/delta",
        "/delta/text",
        "/delta/partial_json",
        "/choices/0/text",
        "/choices/0/delta/content",
        "/choices/0/delta/tool_calls/0/function/arguments",
        "/text",
        "/arguments",
    ] {
        if let Some(Value::String(text)) = event.pointer_mut(pointer) {
            text.clear();
        }
    }
    if event["type"] == "response.completed" {
        event["response"].take();
    }
    event.to_string()
}

fn texts() -> impl Strategy<Value = Vec<Text>> {
    let text = prop_oneof![parts().prop_map(Text::Plain), free_object().prop_map(Text::Arguments)];
    prop::collection::vec(text, 1..4)
}

fn sources(texts: &[Text], style: &mut Style) -> Vec<(bool, Source)> {
    texts.iter().map(|text| (matches!(text, Text::Arguments(_)), text.source(style))).collect()
}

pub fn chunks<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([0, bytes.len()]).collect();
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_stream_becomes_what_its_whole_texts_become(
        texts in texts(), mut style in styles(), cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let sources = sources(&texts, &mut style);
        for operation in OPERATIONS {
            // A completion's choices are plain texts: words in their JSON are written as they are.
            if operation == ModelOperation::Completions && sources.iter().any(|(is_json, _)| *is_json) {
                continue;
            }
            let stream = stream(operation, &sources, style.clone());
            let whole = edit(operation, &[&stream.bytes], &mut PlantedWords::default());
            let (texts, repeated) = read(operation, &whole);
            prop_assert_eq!(&texts, &stream.texts, "{}", String::from_utf8_lossy(&whole));
            if operation == ModelOperation::Responses {
                prop_assert_eq!(&repeated, &stream.texts);
            }
            let cut = edit(operation, &chunks(&stream.bytes, &cuts), &mut PlantedWords::default());
            prop_assert_eq!(String::from_utf8_lossy(&cut), String::from_utf8_lossy(&whole));
            let bytes: Vec<_> = stream.bytes.chunks(1).collect();
            let cut = edit(operation, &bytes, &mut PlantedWords::default());
            prop_assert_eq!(String::from_utf8_lossy(&cut), String::from_utf8_lossy(&whole));
            let same = edit(operation, &bytes, &mut Identity);
            prop_assert_eq!(read(operation, &same), read(operation, &stream.bytes));
            // An escape of a tool's arguments that is cut waits for its rest.
            if sources.iter().all(|(is_json, _)| !is_json) {
                prop_assert_eq!(same, stream.bytes.clone());
            }

            let mut left = events(&whole).into_iter();
            for event in events(&stream.bytes) {
                let event = skeleton(&event);
                prop_assert!(left.any(|left| skeleton(&left) == event), "{} was lost", event);
            }
        }
    }

    #[test]
    fn what_is_decided_goes_out_at_once(parts in parts(), mut style in styles()) {
        let source = decoded(&parts);
        for operation in OPERATIONS {
            let stream = stream(operation, &[(false, source.clone())], style.clone());
            let (mut came, mut left, mut editor) = (Vec::new(), Vec::new(), PlantedWords::default());
            let mut out = StreamEditor::new(operation);
            for chunk in stream.bytes.chunks(style.choice(40) as usize + 1) {
                came.extend_from_slice(chunk);
                left.extend(out.push(chunk, false, &mut editor));
                // Events that are whole.
                let text = String::from_utf8_lossy(&came).replace("\r\n", "\n").replace('\r', "\n");
                let Some(end) = text.rfind("\n\n") else { continue };
                let came = read(operation, &text.as_bytes()[..end]).0.remove("text 0").unwrap_or_default();
                let left = read(operation, &left).0.remove("text 0").unwrap_or_default();
                let now = PlantedWords::whole(&came[..decided(&came)]);
                prop_assert!(left.starts_with(&now), "{came:?}: {left:?}, not {now:?}");
            }
            let path = match operation {
                ModelOperation::ChatCompletions => "choices[0].delta.content",
                ModelOperation::Completions => "choices[0].text",
                ModelOperation::Messages => "content[0].text",
                _ => "output[0].delta",
            };
            prop_assert_eq!(editor.text_at(path), source.before(), "{:?}", operation);
        }
    }

    #[test]
    fn no_stream_stops_the_editor(
        stream in "(data: |event: |\n|\r|\\{|\\}|\"choices\":|\\[|\\]|\"delta\":|\"content\":|\"a\"|:|,|SECRE|T|\\\\|1){0,60}",
        cuts in prop::collection::vec(any::<usize>(), 0..4),
    ) {
        for operation in OPERATIONS {
            let whole = edit(operation, &[stream.as_bytes()], &mut PlantedWords::default());
            let cut = edit(operation, &chunks(stream.as_bytes(), &cuts), &mut PlantedWords::default());
            prop_assert_eq!(String::from_utf8_lossy(&cut), String::from_utf8_lossy(&whole));
            prop_assert_eq!(edit(operation, &[stream.as_bytes()], &mut Identity), stream.as_bytes());
        }
    }
}
