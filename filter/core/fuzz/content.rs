//! What must hold of the edits of every body and stream: used by the fuzzer, and by the test that replays its
//! corpus.

use std::ops::Range;

use latchkey_filter_core::content::{
    Place, Replacement, StreamEditor, TextEditor, edit_answer, edit_mcp, edit_request,
};
use latchkey_filter_core::request::body::BodyFormat;
use latchkey_filter_core::request::endpoint::ModelOperation;

/// Replaces a word that may still grow where a text ends.
struct Word;

const WORD: &str = "\"word";

impl TextEditor for Word {
    fn edit(&mut self, text: &str, range: Range<usize>, _: &Place<'_>) -> Vec<Replacement> {
        assert!(text.is_char_boundary(range.start) && text.is_char_boundary(range.end));
        let matches = text.match_indices(WORD).filter(|(at, _)| range.contains(at));
        matches
            .map(|(at, word)| Replacement { span: at..at + word.len(), text: "a\"\\\né".to_owned() })
            .collect()
    }

    fn decided_until(&self, text: &str, _: usize) -> usize {
        let begins = |length: &usize| text.ends_with(WORD.get(..*length).unwrap_or_default());
        text.len() - (1..WORD.len()).rev().find(begins).unwrap_or(0)
    }
}

/// The first byte chooses what it is, and the second where a stream is cut into chunks.
pub fn check(input: &[u8]) {
    let [choice, cut, body @ ..] = input else { return };
    let operation = ModelOperation::ALL[usize::from(*choice) % ModelOperation::ALL.len()];
    let edits = [
        edit_request(operation, &BodyFormat::Json, body, &mut Word),
        edit_request(operation, &BodyFormat::Multipart { boundary: "b".to_owned() }, body, &mut Word),
        edit_answer(operation, body, &mut Word),
        edit_mcp(body, &mut Word),
    ];
    let is_json = |body: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
    for edited in edits.into_iter().flatten().flatten() {
        assert!(edited != body, "nothing has changed");
        assert!(!is_json(body) || is_json(&edited), "the edited body is no JSON");
    }
    let streams = || if choice & 0x80 == 0 { StreamEditor::new(operation) } else { StreamEditor::mcp() };
    let whole = streams().push(body, true, &mut Word);
    let (mut stream, mut parts) = (streams(), Vec::new());
    for chunk in body.chunks(usize::from(*cut).max(1)) {
        parts.extend(stream.push(chunk, false, &mut Word));
    }
    parts.extend(stream.push(&[], true, &mut Word));
    assert_eq!(
        String::from_utf8_lossy(&whole),
        String::from_utf8_lossy(&parts),
        "what goes out depends on the chunks"
    );
}
