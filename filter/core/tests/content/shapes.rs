//! Streams whose events have few shapes: what is not read again is as if it were.

use std::ops::Range;

use latchkey_filter_core::content::{Place, Replacement, StreamEditor, TextEditor, Unread};
use latchkey_filter_core::request::endpoint::ModelOperation;
use proptest::prelude::*;

use crate::planted::PlantedWords;

/// Data of events: `P` is a piece, `N` a number, `O` some string.
const DATA: &[&str] = &[
    r#"{"id":"c-1234567890","created":N,"choices":[{"index":0,"delta":{"content":"P"},"finish_reason":null}]}"#,
    r#"{"choices":[{"index":1,"delta":{"content":"P"},"logprobs":null}],"obfuscation":"O"}"#,
    r#"{"choices":[{"index":0,"delta":{"content":"P"},"logprobs":{"content":[1]}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"content":"P"},"finish_reason":"stop"}]}"#,
    r#"{"choices":[{"index":0,"delta":{"role":"O","content":"P"}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"content":"P","note":"P"}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"P"}}]}}]}"#,
    r#"{"id":"SECRET","choices":[{"index":0,"text":"P"}]}"#,
    r#"{"choices":[{"index":0,"delta":{"content":"P"}}],"error":null,"x":"see SECRET"}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"P"}}"#,
    r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"P"}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"P"}}"#,
    r#"{"type":"content_block_stop","index":0}"#,
    r#"{"type":"message_stop"}"#,
    r#"{"type":"response.output_text.delta","sequence_number":N,"output_index":0,"delta":"P","obfuscation":"O"}"#,
    r#"{"type":"response.output_text.delta","sequence_number":N,"output_index":N,"delta":"P"}"#,
    r#"{"type":"response.function_call_arguments.delta","output_index":1,"delta":"P"}"#,
    r#"{"type":"response.output_text.done","output_index":0,"text":"P"}"#,
    r#"{"type":"response.audio.delta","delta":"P"}"#,
    "[DONE]",
];

/// Where the fragments are joined, some of the planted words are found.
const PIECES: &[&str] = &[
    "SECRET",
    "SEC",
    "RET",
    "S",
    " and ",
    "a",
    "",
    " ",
    "é",
    "😀",
    "\\n",
    "\\\"",
    "\\\\",
    "\\u00e9",
    "\\u0053EC",
    "\\",
    "\\ud83d\\ude00",
    "\\ud83d",
    "[EMAIL_1]",
    "[EM",
    "\"",
    "\n",
    "\r",
    "\n\n",
    "{\\\"a\\\":1,",
    "\\\"b SECRET\\\"}",
];

const ENDS: &[&str] = &["\n\n", "\n\n", "\n\n", "\n\n", "\r\n\r\n", "\r\r", "\nid: 7\n\n", "\ndata: 1\n\n"];

/// Must be shown each text.
#[derive(Default)]
struct EachText(PlantedWords);

impl TextEditor for EachText {
    fn edit(&mut self, text: &str, range: Range<usize>, place: &Place<'_>) -> Vec<Replacement> {
        self.0.edit(text, range, place)
    }

    fn decided_until(&self, text: &str, from: usize) -> usize {
        self.0.decided_until(text, from)
    }

    fn unread(&mut self, what: Unread, place: &Place<'_>) {
        self.0.unread(what, place);
    }

    fn removes_logprobs(&self) -> bool {
        self.0.removes_logprobs
    }
}

#[derive(Clone, Debug)]
struct Event {
    data: usize,
    pieces: Vec<&'static str>,
    number: u32,
    end: &'static str,
    /// A byte that is another, somewhere.
    other: Option<(usize, char)>,
}

impl Event {
    fn text(&self) -> String {
        let data = DATA[self.data % DATA.len()].replace('P', &self.pieces.concat());
        let data =
            data.replace('N', &self.number.to_string()).replace('O', &"x".repeat(self.number as usize % 5));
        let mut text = format!("data: {data}{}", self.end);
        if let Some((at, other)) = self.other {
            let at = text.floor_char_boundary(at % text.len());
            let length = text[at..].chars().next().map_or(0, char::len_utf8);
            text.replace_range(at..at + length, &other.to_string());
        }
        text
    }
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let other = proptest::option::weighted(
        0.05,
        (any::<usize>(), "[ -~\n]".prop_map(|it| it.chars().next().unwrap())),
    );
    let piece = prop::collection::vec(prop::sample::select(PIECES), 0..4);
    let event = (any::<u8>(), piece, 0..20_u32, prop::sample::select(ENDS), other);
    // Most are of one of few kinds.
    (prop::collection::vec(0..DATA.len(), 1..4), prop::collection::vec(event, 1..24)).prop_map(
        |(kinds, events)| {
            let event = |(kind, pieces, number, end, other): (u8, _, _, _, _)| {
                let data = if kind < 16 { usize::from(kind) } else { kinds[usize::from(kind) % kinds.len()] };
                Event { data, pieces, number, end, other }
            };
            events.into_iter().map(event).collect()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 2_000 } else { 40_000 }))]

    #[test]
    fn events_of_a_shape_are_edited_as_if_each_was_read(
        events in events(), cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        let stream: String = events.iter().map(Event::text).collect();
        for operation in [ModelOperation::ChatCompletions, ModelOperation::Responses, ModelOperation::Messages] {
            for removes_logprobs in [false, true] {
                let mut shaped = PlantedWords { removes_logprobs, ..PlantedWords::default() };
                let mut each = EachText(PlantedWords { removes_logprobs, ..PlantedWords::default() });
                let (mut first, mut second) = (StreamEditor::new(operation), StreamEditor::new(operation));
                let chunks = crate::streams::chunks(stream.as_bytes(), &cuts);
                for (at, chunk) in chunks.iter().enumerate() {
                    let last = at + 1 == chunks.len();
                    let (left, right) = (first.push(chunk, last, &mut shaped), second.push(chunk, last, &mut each));
                    prop_assert_eq!(String::from_utf8_lossy(&left), String::from_utf8_lossy(&right), "{}", stream);
                }
                let EachText(each) = each;
                prop_assert_eq!(&shaped.unread, &each.unread);
                prop_assert_eq!(&shaped.found_read_only, &each.found_read_only);
                prop_assert_eq!(shaped.outcomes, each.outcomes);
                for (path, _) in each.seen.iter().filter(|(path, _)| path.contains("delta") || path.contains("text")) {
                    prop_assert_eq!(shaped.text_at(path), each.text_at(path), "{}", path);
                }
            }
        }
    }
}

#[test]
fn what_differs_from_event_to_event_is_read_once() {
    for data in [DATA[0], DATA[1], DATA[9], DATA[10], DATA[11], DATA[14], DATA[16]] {
        let operation = match data {
            data if data.contains("choices") => ModelOperation::ChatCompletions,
            data if data.contains("block") => ModelOperation::Messages,
            _ => ModelOperation::Responses,
        };
        let event = |number: u32| {
            let data = data.replace('P', "a b ").replace('N', &number.to_string());
            format!("data: {}\n\n", data.replace('O', &"y".repeat(number as usize)))
        };
        let (mut editor, mut shown) = (StreamEditor::new(operation), Shown(0));
        for number in 0..20 {
            editor.push(event(number).as_bytes(), false, &mut shown);
        }
        // The id once more than that would be each time.
        assert!(shown.0 <= 21, "{data}: {}", shown.0);
    }
}

/// Counts the texts that it is shown.
struct Shown(usize);

impl TextEditor for Shown {
    fn edit(&mut self, _: &str, _: Range<usize>, _: &Place<'_>) -> Vec<Replacement> {
        self.0 += 1;
        Vec::new()
    }

    fn outcomes(&self) -> Option<u64> {
        Some(0)
    }
}
