//! How long the walk over texts takes, without an editor's own work: `cargo run --release -p latchkey-filter-core --example content_speed`.

use std::hint::black_box;
use std::ops::Range;
use std::time::Instant;

use latchkey_filter_core::content::{Place, Replacement, StreamEditor, TextEditor, edit_request};
use latchkey_filter_core::request::body::BodyFormat;
use latchkey_filter_core::request::endpoint::ModelOperation;
use serde_json::json;

#[derive(Default)]
struct Identity {
    texts: usize,
    bytes: usize,
}

impl TextEditor for Identity {
    fn edit(&mut self, _: &str, range: Range<usize>, _: &Place<'_>) -> Vec<Replacement> {
        self.texts += 1;
        self.bytes += range.len();
        Vec::new()
    }
}

fn main() {
    let body = conversation(200).to_string().into_bytes();
    let mut editor = Identity::default();
    let per_pass = nanoseconds(200, || {
        editor = Identity::default();
        let edited = edit_request(ModelOperation::Messages, &BodyFormat::Json, black_box(&body), &mut editor);
        assert_eq!(edited, Ok(None));
    });
    println!(
        "a conversation of 200 messages: {} bytes, {} texts of {} bytes, {:.2} ns per byte",
        body.len(),
        editor.texts,
        editor.bytes,
        per_pass / body.len() as f64
    );
    for (name, operation, chunks) in [
        ("chat", ModelOperation::ChatCompletions, chat(200)),
        ("messages", ModelOperation::Messages, messages(200)),
    ] {
        let per_pass = nanoseconds(500, || {
            let (mut stream, mut editor) = (StreamEditor::new(operation), Identity::default());
            for chunk in &chunks {
                assert_eq!(black_box(stream.push(black_box(chunk), false, &mut editor)).len(), chunk.len());
            }
        });
        let bytes: usize = chunks.iter().map(Vec::len).sum();
        println!(
            "a {name} stream of {} chunks of {} bytes: {:.0} ns per chunk",
            chunks.len(),
            bytes / chunks.len(),
            per_pass / chunks.len() as f64
        );
    }
}

/// Of the fastest pass: others may have been interrupted.
fn nanoseconds(passes: u32, mut pass: impl FnMut()) -> f64 {
    let times = (0..passes).map(|_| {
        let start = Instant::now();
        pass();
        start.elapsed().as_secs_f64() * 1e9
    });
    times.fold(f64::INFINITY, f64::min)
}

/// A coding agent's: code, tool calls and their results.
fn conversation(messages: usize) -> serde_json::Value {
    let code = "fn main() {\n    let name = \"world\";\n    println!(\"Hello, {name}!\");\n}\n".repeat(20);
    let tool = json!({"name": "edit", "description": "Edits a file. ".repeat(40), "input_schema": {"type": "object",
        "properties": {"path": {"type": "string", "description": "The file"}, "text": {"type": "string"}},
        "required": ["path", "text"]}});
    let turn = |at: usize| match at % 2 {
        0 => json!({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": format!("toolu_{at}"), "content": code},
            {"type": "text", "text": "Go on, and keep the tests green: we ship at 10:30."}]}),
        _ => json!({"role": "assistant", "content": [
            {"type": "thinking", "thinking": "The file has a bug in line 3.", "signature": "c2lnbmF0dXJl".repeat(20)},
            {"type": "text", "text": "I will edit the file now."},
            {"type": "tool_use", "id": format!("toolu_{at}"), "name": "edit",
                "input": {"path": "src/main.rs", "text": code, "lines": [1, 2, 3]}}]}),
    };
    json!({"model": "claude", "max_tokens": 1024, "system": "You are a coding agent. ".repeat(200),
        "tools": vec![tool; 20], "messages": (0..messages).map(turn).collect::<Vec<_>>()})
}

fn chat(chunks: usize) -> Vec<Vec<u8>> {
    let chunk = json!({"id": "chatcmpl-1234567890", "object": "chat.completion.chunk", "created": 1_700_000_000,
        "model": "gpt", "system_fingerprint": "fp_1234567890", "choices": [{"index": 0,
        "delta": {"content": " world"}, "logprobs": null, "finish_reason": null}]});
    vec![format!("data: {chunk}\n\n").into_bytes(); chunks]
}

fn messages(chunks: usize) -> Vec<Vec<u8>> {
    let delta =
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " world"}});
    vec![format!("event: content_block_delta\ndata: {delta}\n\n").into_bytes(); chunks]
}
