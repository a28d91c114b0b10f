use proptest::prelude::*;

use super::*;
use crate::request::endpoint::ModelOperation::{
    ChatCompletions, Completions, Embeddings, Messages, Responses,
};

const SSE: AnswerHead<'_> = labelled("text/event-stream; charset=utf-8");
const JSON: AnswerHead<'_> = labelled("application/json");

const fn labelled(content_type: &str) -> AnswerHead<'_> {
    AnswerHead { content_type: Some(content_type), content_encoding: None }
}

const CHAT: &str = concat!(
    ": keep-alive\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"gpt-4o\",\"choices\":[],\"prompt_filter_results\":[{\"prompt_index\":0}],\"usage\":null}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\\\"lo \"},\"logprobs\":{\"content\":[{\"token\":\"Hello\",\"bytes\":[1,2]}]},\"finish_reason\":null}],\"usage\":null}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},\"finish_reason\":null}],\"usage\":null}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":null}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":19,\"completion_tokens\":10,\"total_tokens\":29,\"prompt_tokens_details\":{\"cached_tokens\":4,\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":3}}}\n\n",
    "data: [DONE]\n\n",
);

const COMPLETION: &str = concat!(
    "data: {\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"choices\":[{\"text\":\"ab\",\"index\":0,\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n",
    "data: {\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"choices\":[{\"text\":\"cde\",\"index\":0,\"logprobs\":null,\"finish_reason\":\"length\"}],\"usage\":null}\n\n",
    "data: {\"id\":\"cmpl-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":7,\"total_tokens\":12}}\n\n",
    "data: [DONE]\n\n",
);

const RESPONSE: &str = concat!(
    "event: response.created\n",
    "data: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_1\",\"status\":\"in_progress\",\"instructions\":\"be\",\"output\":[],\"text\":{\"format\":{\"type\":\"text\"}},\"usage\":null}}\n\n",
    "event: response.output_item.added\n",
    "data: {\"type\":\"response.output_item.added\",\"item\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[]}}\n\n",
    "event: response.output_text.delta\n",
    "data: {\"type\":\"response.output_text.delta\",\"item_id\":\"msg_1\",\"delta\":\"Hi\",\"logprobs\":[],\"obfuscation\":\"xyzxyz\"}\n\n",
    "event: response.output_text.delta\n",
    "data: {\"type\":\"response.output_text.delta\",\"item_id\":\"msg_1\",\"delta\":\" there\"}\n\n",
    "event: response.output_text.done\n",
    "data: {\"type\":\"response.output_text.done\",\"item_id\":\"msg_1\",\"text\":\"Hi there\"}\n\n",
    "event: response.completed\n",
    "data: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\"status\":\"completed\",\"output\":[{\"type\":\"message\",\"content\":[{\"type\":\"output_text\",\"text\":\"Hi there\"}]}],\"usage\":{\"input_tokens\":37,\"input_tokens_details\":{\"cached_tokens\":6},\"output_tokens\":11,\"output_tokens_details\":{\"reasoning_tokens\":2},\"total_tokens\":48},\"metadata\":{}}}\n\n",
);

const MESSAGE: &str = concat!(
    "event: message_start\n",
    "data: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"model\":\"claude\",\"stop_reason\":null,\"usage\":{\"input_tokens\":25,\"cache_creation_input_tokens\":2,\"cache_read_input_tokens\":3,\"output_tokens\":1}}}\n\n",
    "event: content_block_start\n",
    "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    "event: ping\ndata: {\"type\": \"ping\"}\n\n",
    "event: content_block_delta\n",
    "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\n",
    "event: content_block_delta\n",
    "data: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\\\"\"}}\n\n",
    "event: content_block_delta\n",
    "data: {\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"EqQBCgIYAhIM\"}}\n\n",
    "event: message_delta\n",
    "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":15}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);

fn tokens(input: u64, cached_input: u64, output: u64, reasoning: u64) -> TokenUsage {
    TokenUsage { input, cached_input, output, reasoning, ..TokenUsage::default() }
}

fn reader(operation: ModelOperation, head: AnswerHead<'_>, hides_usage: bool) -> UsageReader {
    UsageReader::new(AnswerContext { operation, hides_usage, long_cache: false }, head)
}

/// What the client gets, and what was read.
fn pass<'a>(mut reader: UsageReader, chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, UsageReading) {
    let mut passed = Vec::new();
    for chunk in chunks {
        match reader.chunk(chunk, false) {
            ChunkAction::Pass => passed.extend(chunk),
            ChunkAction::Replace(bytes) => passed.extend(bytes),
        }
    }
    match reader.chunk(&[], true) {
        ChunkAction::Pass => {}
        ChunkAction::Replace(bytes) => passed.extend(bytes),
    }
    (passed, reader.finish())
}

fn read(operation: ModelOperation, head: AnswerHead<'_>, answer: &str) -> UsageReading {
    pass(reader(operation, head, false), [answer.as_bytes()]).1
}

fn streams() -> [(ModelOperation, &'static str, UsageReading); 4] {
    let reading = |told, output_bytes, deltas| UsageReading {
        reported: told,
        output_bytes,
        deltas,
        ..UsageReading::default()
    };
    let told = TokenUsage { cache_write_5m: 2, ..tokens(30, 3, 15, 0) };
    let message = UsageReading { input_reported: true, ..reading(told, 11, 2) };
    [
        (ChatCompletions, CHAT, reading(tokens(19, 4, 10, 3), 11, 2)),
        (Completions, COMPLETION, reading(tokens(5, 0, 7, 0), 5, 2)),
        (Responses, RESPONSE, reading(tokens(37, 6, 11, 2), 8, 2)),
        (Messages, MESSAGE, message),
    ]
}

/// The stream as other servers write it.
fn dialects(stream: &str) -> [String; 5] {
    [
        stream.to_owned(),
        stream.replace('\n', "\r\n"),
        stream.replace('\n', "\r"),
        format!("\u{feff}\n {}", stream.replace("data: ", "data:")),
        stream.replace(",\"usage\"", ",\ndata: \"usage\"").replace("\"id\":", "\"id\" : "),
    ]
}

fn without_usage(stream: &str, event_end: &str) -> String {
    let events = stream.split_inclusive(event_end);
    events.filter(|event| !(event.contains("\"choices\":[],") && event.contains("prompt_tokens"))).collect()
}

#[test]
fn a_stream_cut_at_any_byte_says_and_passes_the_same() {
    for (operation, stream, expected) in streams() {
        for stream in dialects(stream) {
            for at in 0..=stream.len() {
                let (before, after) = stream.as_bytes().split_at(at);
                let (passed, reading) = pass(reader(operation, SSE, false), [before, after]);
                assert_eq!(reading, expected, "{operation:?} at {at}");
                assert_eq!(passed, stream.as_bytes());
            }
            let bytes = stream.as_bytes().chunks(1);
            assert_eq!(pass(reader(operation, SSE, false), bytes).1, expected, "{operation:?}");
        }
    }
}

#[test]
fn hiding_takes_out_exactly_the_usage_chunk() {
    for (operation, stream, expected) in streams() {
        for (end, at_end) in [("\n", "\n\n"), ("\r\n", "\r\n\r\n"), ("\r", "\r\r")] {
            let stream = stream.replace('\n', end);
            let hidden = without_usage(&stream, at_end);
            assert_eq!(hidden == stream, matches!(operation, Responses | Messages));
            for at in 0..=stream.len() {
                let (before, after) = stream.as_bytes().split_at(at);
                let (passed, reading) = pass(reader(operation, SSE, true), [before, after]);
                assert_eq!(String::from_utf8(passed).unwrap(), hidden, "{operation:?} {end:?} at {at}");
                assert_eq!(reading, expected);
            }
            let (passed, reading) = pass(reader(operation, SSE, true), stream.as_bytes().chunks(1));
            assert_eq!((String::from_utf8(passed).unwrap(), &reading), (hidden, &expected));
        }
    }
}

#[test]
fn while_hiding_whole_events_pass_at_once_and_unchanged() {
    let mut reading = reader(ChatCompletions, SSE, true);
    for event in CHAT.split_inclusive("\n\n") {
        let expected =
            if event.contains("prompt_tokens") { ChunkAction::Replace(vec![]) } else { ChunkAction::Pass };
        assert_eq!(reading.chunk(event.as_bytes(), false), expected, "{event}");
    }
    assert_eq!(reading.chunk(&[], true), ChunkAction::Pass);
}

#[test]
fn while_hiding_an_event_with_choices_passes_before_its_end() {
    let mut reading = reader(ChatCompletions, SSE, true);
    assert_eq!(reading.chunk(b": ping\n", false), ChunkAction::Pass);
    assert_eq!(reading.chunk(b"data: {\"choices\": [", false), ChunkAction::Replace(vec![]));
    let passed = b"data: {\"choices\": [ {\"delta\":{\"content\":\"a".to_vec();
    assert_eq!(reading.chunk(b" {\"delta\":{\"content\":\"a", false), ChunkAction::Replace(passed));
    assert_eq!(reading.chunk(b"b\"}}]}\n\n", false), ChunkAction::Pass);
}

#[test]
fn an_event_with_choices_passes_though_it_has_empty_ones_too() {
    let usage = format!("\"usage\":{{{}}}", counts(9, 1));
    let text = "\"choices\":[{\"delta\":{\"content\":\"a\"}}]";
    let event = format!("data: {{{text},\"choices\":[],{usage}}}\n\n");
    for size in [1, 30, event.len()] {
        let (passed, _) = pass(reader(ChatCompletions, SSE, true), event.as_bytes().chunks(size));
        assert_eq!(String::from_utf8(passed).unwrap(), event);
    }
}

#[test]
fn what_is_kept_back_is_bounded_and_passes_at_the_end() {
    let mut reading = reader(ChatCompletions, SSE, true);
    let start = b"data: {\"choices\":[],\"x\":\"";
    assert_eq!(reading.chunk(start, true), ChunkAction::Pass);

    let mut reading = reader(ChatCompletions, SSE, true);
    assert_eq!(reading.chunk(start, false), ChunkAction::Replace(vec![]));
    assert_eq!(
        reading.chunk(&vec![b'x'; chunk_filter::LIMIT - start.len()], false),
        ChunkAction::Replace(vec![])
    );
    let ChunkAction::Replace(passed) = reading.chunk(b"x", false) else { panic!("kept back") };
    assert_eq!(passed.len(), chunk_filter::LIMIT + 1);
    let end = b"\",\"usage\":{\"prompt_tokens\":1}}\n\n";
    assert_eq!(reading.chunk(end, false), ChunkAction::Pass);
    assert_eq!(reading.finish().reported, tokens(1, 0, 0, 0));
}

#[test]
fn a_usage_chunk_that_ends_with_the_answer_is_hidden_too() {
    let usage = b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}";
    let mut reading = reader(ChatCompletions, SSE, true);
    assert_eq!(reading.chunk(usage, true), ChunkAction::Replace(vec![]));
    assert_eq!(reading.finish().reported, tokens(1, 0, 2, 0));
}

#[test]
fn documents_of_every_kind_are_read() {
    let chat = r#"{"id":"chatcmpl-1","choices":[{"index":0,"message":{"role":"assistant","content":"Hello","refusal":null,"annotations":[]},"finish_reason":"stop"}],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":4}}}"#;
    let completion = r#"{"choices":[{"text":"abc","index":0}],"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}"#;
    let embeddings = r#"{"object":"list","data":[{"object":"embedding","embedding":[0.1,-2e-3],"index":0}],"model":"m","usage":{"prompt_tokens":8,"total_tokens":8}}"#;
    let response = r#"{"id":"resp_1","object":"response","status":"completed","instructions":"usage","output":[{"type":"message","id":"msg_1","content":[{"type":"output_text","text":"Hi!","annotations":[{"title":"x"}]}]}],"usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":0},"output_tokens":87,"output_tokens_details":{"reasoning_tokens":64},"total_tokens":123},"metadata":{"usage":"no"}}"#;
    let message = r#"{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"text","text":"Hi!!"}],"stop_reason":"end_turn","usage":{"input_tokens":10,"cache_creation_input_tokens":0,"cache_read_input_tokens":5,"output_tokens":6}}"#;
    for (operation, answer, usage, output_bytes) in [
        (ChatCompletions, chat, tokens(19, 4, 10, 0), 5),
        (Completions, completion, tokens(5, 0, 7, 0), 3),
        (Embeddings, embeddings, tokens(8, 0, 0, 0), 0),
        (Responses, response, tokens(36, 0, 87, 64), 3),
        (Messages, message, tokens(15, 5, 6, 0), 4),
    ] {
        let input_reported = operation == Messages;
        let expected =
            UsageReading { reported: usage, output_bytes, input_reported, ..UsageReading::default() };
        let pretty: serde_json::Value = serde_json::from_str(answer).unwrap();
        for answer in [answer.to_owned(), serde_json::to_string_pretty(&pretty).unwrap() + "\n"] {
            for at in 0..=answer.len() {
                let (before, after) = answer.as_bytes().split_at(at);
                let (passed, reading) = pass(reader(operation, JSON, true), [before, after]);
                assert_eq!(
                    (&reading, passed),
                    (&expected, answer.clone().into_bytes()),
                    "{operation:?} {at}"
                );
            }
            let cut = read(operation, JSON, answer.trim_end().strip_suffix('}').unwrap());
            assert_eq!(cut.doubt, Some(UsageDoubt::Cut));
        }
    }
}

#[test]
fn what_repeats_the_text_is_not_counted_twice() {
    for (choices, expected) in [
        (r#"{"logprobs":null},{"text":"abc"}"#, 3),
        (r#"{"logprobs":{"content":[{"token":"abc"}]},"text":"abc"},{"text":"d"}"#, 4),
        (r#"{"text":"abc","reasoning_details":[{"text":"abc"}]}"#, 3),
        (r#"{"text":"a","finish_reason":"length","id":"12345"}"#, 1),
    ] {
        let answer = format!(r#"{{"choices":[{choices}]}}"#);
        assert_eq!(read(ChatCompletions, JSON, &answer).output_bytes, expected, "{choices}");
    }
}

#[test]
fn only_the_answers_own_usage_counts() {
    for answer in [
        r#"{"metadata":{"usage":{"prompt_tokens":1}}}"#,
        r#"{"choices":[{"message":{"x":{"usage":{"prompt_tokens":1}}}}]}"#,
        r#"{"choices":{"usage":{"prompt_tokens":1}}}"#,
        r#"{"response":{"metadata":{"usage":{"prompt_tokens":1}}}}"#,
        r#"{"choices":[{"message":{"content":"\"usage\":{\"prompt_tokens\":1}"}}]}"#,
        r#"{"usage":null}"#,
        r#"{"usage":[{"prompt_tokens":1}]}"#,
        r#"{"x\"usage":{"prompt_tokens":1}}"#,
        r#"[{"usage":{"prompt_tokens":1}}]"#,
        r#"{"usage":{"prompt_tokens":1"#,
        r#"{"usage":{"prompt_tokens":1,}}"#,
        "",
    ] {
        assert_eq!(read(ChatCompletions, JSON, answer).reported, TokenUsage::default(), "{answer}");
    }
    let deep =
        format!(r#"{{"x":{}1{},"usage":{{"prompt_tokens":1}}}}"#, "[".repeat(9_000), "]".repeat(9_000));
    assert_eq!(read(ChatCompletions, JSON, &deep).reported, tokens(1, 0, 0, 0));
}

#[test]
fn the_size_of_a_usage_object_is_no_reason_to_lose_it() {
    let usage = |padding| {
        let usage = r#""usage":{"prompt_tokens":7,"completion_tokens":1"#;
        format!(r#"{{"choices":[],{usage},"x":"{}"}}}}"#, "x".repeat(padding))
    };
    let told = |padding| {
        let reading = read(ChatCompletions, JSON, &usage(padding));
        (reading.reported.input, reading.doubt)
    };
    assert_eq!(told(60_000), (7, None));
    assert_eq!(told(document::MAX_USAGE - 100), (7, None));
    assert_eq!(told(document::MAX_USAGE), (0, Some(UsageDoubt::Unclear)), "but for one that nobody sends");
    let events = format!("data: {}\n\ndata: [DONE]\n\n", usage(60_000));
    let (passed, reading) = pass(reader(ChatCompletions, SSE, true), events.as_bytes().chunks(1_000));
    assert_eq!((reading.reported.input, reading.doubt), (7, None));
    assert_eq!(String::from_utf8(passed).unwrap(), "data: [DONE]\n\n");
}

#[test]
fn usage_in_unusual_places_is_read_and_never_twice() {
    let usage =
        r#""usage":{"prompt_tokens":1200,"completion_tokens":300,"total_tokens":1500,"cached_tokens":1024}"#;
    let done = "data: [DONE]\n\n";
    let delta = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ok\"}}]}\n\n";
    let usual = format!("data: {{\"choices\":[],{usage}}}\n\n");
    for last in [
        format!("{{\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"stop\",{usage}}}]}}"),
        format!("{{\"choices\":[{{\"index\":0,\"delta\":{{{usage}}}}}]}}"),
        format!("{{\"choices\":[{{\"index\":0,\"message\":{{{usage}}}}}]}}"),
        format!("{{\"choices\":[{{\"index\":0,\"delta\":{{}}}}],\"x_groq\":{{\"id\":\"r\",{usage}}}}}"),
        "{\"choices\":[{\"delta\":{}}],\"usageMetadata\":{\"promptTokenCount\":1200,\"candidatesTokenCount\":300,\"cachedContentTokenCount\":1024,\"totalTokenCount\":1500}}".to_owned(),
    ] {
        let last = format!("data: {last}\n\n");
        for stream in [[delta, &last, done].concat(), [delta, &last, &usual, done].concat()] {
            let reading = read(ChatCompletions, SSE, &stream);
            assert_eq!((reading.reported, reading.doubt), (tokens(1_200, 1_024, 300, 0), None), "{stream}");
        }
    }
    let groq = format!("{{\"choices\":[{{\"message\":{{\"content\":\"ok\"}}}}],\"x_groq\":{{{usage}}}}}");
    assert_eq!(read(ChatCompletions, JSON, &groq).reported, tokens(1_200, 1_024, 300, 0));
}

fn chunk(delta: &str, usage: &str) -> String {
    let usage = if usage.is_empty() { String::new() } else { format!(",\"usage\":{{{usage}}}") };
    format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{delta}\"}}}}]{usage}}}\n\n")
}

fn counts(input: u64, output: u64) -> String {
    format!("\"prompt_tokens\":{input},\"completion_tokens\":{output}")
}

const DONE: &str = "data: [DONE]\n\n";

#[test]
fn usage_on_every_chunk_is_read_from_the_last_and_passes() {
    let stream = chunk("a", &counts(3, 1)) + &chunk("b", &counts(3, 2));
    let (passed, reading) = pass(reader(ChatCompletions, SSE, true), [stream.as_bytes()]);
    assert_eq!(passed, stream.as_bytes());
    assert_eq!((reading.reported, reading.doubt), (tokens(3, 0, 2, 0), Some(UsageDoubt::Cut)));
    assert_eq!(read(ChatCompletions, SSE, &(stream + DONE)).doubt, None);
}

#[test]
fn every_end_of_a_response_is_an_end_and_a_cut_is_none() {
    for (kind, doubt) in
        [("completed", None), ("incomplete", None), ("failed", None), ("in_progress", Some(UsageDoubt::Cut))]
    {
        let event = format!(
            "data: {{\"type\":\"response.{kind}\",\"response\":{{\"usage\":{{\"input_tokens\":1,\"output_tokens\":2}}}}}}\n\n"
        );
        let reading = read(Responses, SSE, &event);
        assert_eq!((reading.doubt, reading.reported), (doubt, tokens(1, 0, 2, 0)));
    }
    for (operation, stream, _) in streams() {
        let last = stream.find("\"completion_tokens").or(stream.rfind("event: ")).unwrap();
        assert_eq!(read(operation, SSE, &stream[..last]).doubt, Some(UsageDoubt::Cut), "{operation:?}");
    }
    let done = CHAT.strip_suffix(DONE).unwrap();
    assert_eq!(read(ChatCompletions, SSE, done).doubt, None);
    assert_eq!(read(ChatCompletions, SSE, "data: [DONE]").doubt, Some(UsageDoubt::Missing));
    assert_eq!(read(ChatCompletions, SSE, "data: [DON]\n\n").doubt, Some(UsageDoubt::Cut));
}

#[test]
fn what_comes_after_a_usage_that_looked_like_the_last_was_not_told_by_it() {
    let early = format!("data: {{\"choices\":[],\"usage\":{{{}}}}}\n\n", counts(9, 1));
    let reading = |stream: &[&str]| read(ChatCompletions, SSE, &stream.concat());
    assert_eq!(reading(&[&early]).doubt, None);
    let text = chunk("abc", "");
    assert_eq!(reading(&[&early, &text]).doubt, Some(UsageDoubt::Cut));
    assert_eq!(reading(&[&early, &text, DONE]).doubt, Some(UsageDoubt::Partial));
    let placeholder = format!("data: {{\"choices\":[],\"usage\":{{{}}}}}\n\n", counts(0, 0));
    assert_eq!(reading(&[&early, &text, &placeholder, DONE]).doubt, Some(UsageDoubt::Partial));
    let input = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9}}\n\n";
    assert_eq!(reading(&[&early, &text, input, DONE]).doubt, Some(UsageDoubt::Partial));
    assert_eq!(reading(&[&early, &text, &early, DONE]).doubt, None);
}

#[test]
fn a_placeholder_does_not_take_back_what_was_told() {
    let usage = |counts: &str| format!("data: {{\"choices\":[],\"usage\":{counts}}}\n\n");
    let told = usage(&format!("{{{}}}", counts(700, 90)));
    for last in ["{}", "null", "{\"prompt_tokens\":0,\"completion_tokens\":0,\"total_tokens\":0}"] {
        let reading =
            read(ChatCompletions, SSE, &[chunk("abc", ""), told.clone(), usage(last), DONE.into()].concat());
        assert_eq!((reading.reported, reading.doubt), (tokens(700, 0, 90, 0), None), "{last}");
    }
}

#[test]
fn zeros_beside_text_are_no_report() {
    let document = |content: &str, usage: &str| {
        let answer = format!("{{\"choices\":[{{\"message\":{{{content}}}}}],\"usage\":{{{usage}}}}}");
        read(ChatCompletions, JSON, &answer).doubt
    };
    let text = "\"content\":\"Hello\"";
    let doubtful = Some(UsageDoubt::Partial);
    assert_eq!(document(text, &counts(9, 2)), None);
    assert_eq!(document(text, &counts(0, 0)), doubtful);
    assert_eq!(document(text, &counts(9, 0)), doubtful);
    assert_eq!(document(text, &counts(0, 2)), doubtful, "every request has input");
    assert_eq!(document(text, "\"prompt_tokens\":9"), doubtful);
    assert_eq!(document(text, "\"prompt_tokens\":9,\"total_tokens\":9"), doubtful);
    assert_eq!(document(text, "\"prompt_tokens\":9,\"total_tokens\":12"), None);
    assert_eq!(document(text, "\"completion_tokens\":9"), doubtful);
    assert_eq!(document("\"content\":\"\"", &counts(9, 0)), None);
    assert_eq!(document("\"audio\":{\"data\":\"UklGR\"}", &counts(9, 0)), doubtful);
    let long = format!("\"content\":\"{}\"", "a".repeat(3_000));
    assert_eq!(document(&long, &counts(9, 2)), doubtful, "no token is so long");
    assert_eq!(document(&long, &counts(9, 3)), None);
}

#[test]
fn a_document_that_breaks_off_after_a_whole_one_may_have_told_more() {
    let early = format!("{{\"choices\":[],\"usage\":{{{}}}}}", counts(9, 1));
    let more = "{\"choices\":[],\"usage\":{\"prompt_tokens\":500";
    let events = format!("data: {early}\n\ndata: {more}");
    assert_eq!(read(ChatCompletions, SSE, &events).doubt, Some(UsageDoubt::Cut));
    assert_eq!(
        read(ChatCompletions, SSE, &[&events, "\n\n", DONE].concat()).doubt,
        Some(UsageDoubt::Unclear)
    );
    assert_eq!(read(ChatCompletions, JSON, &format!("{early}\n{more}")).doubt, Some(UsageDoubt::Cut));
    assert_eq!(read(ChatCompletions, SSE, &format!("data: {early}\n\ndata: [DO")).doubt, None);
}

#[test]
fn two_usage_objects_in_one_place_are_unclear() {
    let one = |input, output| format!("\"usage\":{{{}}}", counts(input, output));
    for (answer, expected) in [
        (format!("{{{},{}}}", one(900, 5), one(900, 50)), Some(UsageDoubt::Unclear)),
        (format!("{{\"response\":{{{},{}}}}}", one(900, 5), one(900, 50)), Some(UsageDoubt::Unclear)),
        (format!("{{{},\"usage\":null}}", one(900, 5)), None),
        (format!("{{{},\"usageMetadata\":{{}}}}", one(900, 5)), None),
    ] {
        assert_eq!(read(ChatCompletions, JSON, &answer).doubt, expected, "{answer}");
    }
}

#[test]
fn an_input_that_is_unclear_is_not_final() {
    let told = |usage: &str| {
        let start = format!("data: {{\"type\":\"message_start\",\"message\":{{\"usage\":{{{usage}}}}}}}\n\n");
        let reading = read(Messages, SSE, &start);
        (reading.doubt, reading.input_reported)
    };
    assert_eq!(told("\"input_tokens\":60"), (Some(UsageDoubt::Cut), true));
    assert_eq!(
        told("\"input_tokens\":60,\"cache_creation_input_tokens\":\"900\""),
        (Some(UsageDoubt::Cut), false)
    );
    assert_eq!(
        told("\"input_tokens\":60,\"input_tokens\":60}},\"x\":{\"y\":{"),
        (Some(UsageDoubt::Cut), false)
    );
}

#[test]
fn an_answer_and_its_usage_that_name_two_tiers_name_none() {
    let tier = |answer: &str, usage: &str| {
        let answer =
            format!("{{\"service_tier\":{answer},\"usage\":{{\"service_tier\":{usage},{}}}}}", counts(9, 1));
        read(ChatCompletions, JSON, &answer).served.service_tier
    };
    assert_eq!(tier("\"default\"", "null").as_deref(), Some("default"));
    assert_eq!(tier("null", "\"priority\"").as_deref(), Some("priority"));
    assert_eq!(tier("\"priority\"", "\"priority\"").as_deref(), Some("priority"));
    assert_eq!(tier("\"default\"", "\"priority\"").as_deref(), Some(UNKNOWN));
    assert_eq!(tier("\"auto\"", "\"priority\"").as_deref(), Some(UNKNOWN));
}

#[test]
fn output_of_embeddings_is_unclear() {
    let doubt = |usage: &str| read(Embeddings, JSON, &format!("{{\"data\":[],\"usage\":{{{usage}}}}}")).doubt;
    assert_eq!(doubt("\"prompt_tokens\":8,\"total_tokens\":8"), None);
    assert_eq!(doubt("\"total_tokens\":8"), None);
    assert_eq!(doubt("\"prompt_tokens\":8,\"total_tokens\":900"), Some(UsageDoubt::Unclear));
}

#[test]
fn the_first_bytes_tell_what_is_read_whatever_the_label() {
    let labels =
        ["application/json", "text/plain; charset=utf-8", "application/octet-stream", "text/event-stream"];
    let heads = labels.map(labelled).into_iter().chain([AnswerHead::default()]);
    for head in heads {
        for (operation, stream, expected) in streams() {
            for stream in dialects(stream) {
                let hidden = pass(reader(operation, SSE, true), [stream.as_bytes()]).0;
                for chunks in [1, 3, stream.len()] {
                    let (passed, reading) =
                        pass(reader(operation, head, true), stream.as_bytes().chunks(chunks));
                    assert_eq!(reading, expected, "{operation:?} {head:?}");
                    assert_eq!(String::from_utf8_lossy(&passed), String::from_utf8_lossy(&hidden));
                }
            }
        }
        let document = format!("\n {{\"choices\":[],\"usage\":{{{}}}}}\n", counts(9, 1));
        let (passed, reading) = pass(reader(ChatCompletions, head, true), document.as_bytes().chunks(2));
        assert_eq!(
            (passed, reading.reported, reading.doubt),
            (document.into_bytes(), tokens(9, 0, 1, 0), None)
        );
    }
}

#[test]
fn lines_of_json_are_read_like_events_and_what_is_neither_tells_nothing() {
    let lines = |last: &str| {
        let line = "{\"choices\":[{\"delta\":{\"content\":\"ab\"}}]}\n";
        read(ChatCompletions, labelled("application/x-ndjson"), &[line, line, last].concat())
    };
    let last = lines(&format!("{{\"choices\":[],\"usage\":{{{}}}}}\n", counts(9, 4)));
    assert_eq!((last.reported, last.doubt, last.output_bytes), (tokens(9, 0, 4, 0), None, 4));
    assert_eq!(lines("").doubt, Some(UsageDoubt::Cut));
    let usage = format!("{{\"usage\":{{{}}}}}", counts(1, 1));
    let more = format!("data: {{\"usage\":{{{}}}}}\n\n", counts(500, 500));
    assert_eq!(read(ChatCompletions, JSON, &format!("{usage}\n{more}")).doubt, Some(UsageDoubt::Unclear));
    for (before, after) in [("", "x"), ("", "x{}"), ("{],", "{}"), ("{}", ",{\"choices\":[]}")] {
        let answer = [before, &usage, after].concat();
        let whole = pass(reader(ChatCompletions, JSON, false), [answer.as_bytes()]).1;
        assert_eq!(whole.doubt, Some(UsageDoubt::Unclear), "{answer}");
        assert_eq!(
            pass(reader(ChatCompletions, JSON, false), answer.as_bytes().chunks(1)).1,
            whole,
            "{answer}"
        );
    }
    let escaped = format!("{{\"usage\":{{{}}},\"\\u0075sage\":{{{}}}}}", counts(1, 1), counts(5, 5));
    assert_eq!(read(ChatCompletions, JSON, &escaped).doubt, Some(UsageDoubt::Unclear));
    assert_eq!(read(ChatCompletions, JSON, &format!("[{usage}]")).doubt, Some(UsageDoubt::Cut));
}

#[test]
fn what_is_encoded_is_not_read() {
    let usage = format!("{{\"usage\":{{{}}}}}", counts(1, 1));
    let doubt = |encoding| {
        let head = AnswerHead { content_encoding: Some(encoding), ..JSON };
        read(ChatCompletions, head, &usage).doubt
    };
    assert_eq!(["gzip", "br", "x", "identity, gzip"].map(doubt), [Some(UsageDoubt::Unreadable); 4]);
    assert_eq!(["identity", "Identity", "", " "].map(doubt), [None; 4]);
    let head = AnswerHead { content_encoding: Some("gzip"), ..SSE };
    let (passed, _) = pass(reader(ChatCompletions, head, true), CHAT.as_bytes().chunks(7));
    assert_eq!(passed, CHAT.as_bytes());
}

#[test]
fn an_event_that_cannot_be_the_usage_chunk_is_not_kept_back() {
    for event in ["data: [DONE]\n", "data: {\"error\":{\"message\":\"no", "data: {\"x\":1}\n", "data: none"] {
        let mut reading = reader(ChatCompletions, SSE, true);
        assert_eq!(reading.chunk(b"data: {}\n\n", false), ChunkAction::Pass);
        assert_eq!(reading.chunk(event.as_bytes(), false), ChunkAction::Pass, "{event}");
    }
}

#[test]
fn an_error_tells_nothing() {
    let error = r#"{"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}"#;
    let doubt = |doubt| UsageReading { doubt: Some(doubt), ..UsageReading::default() };
    assert_eq!(read(ChatCompletions, JSON, error), doubt(UsageDoubt::Missing));
    assert_eq!(
        read(ChatCompletions, AnswerHead::default(), "upstream connect error"),
        doubt(UsageDoubt::Cut)
    );
}

#[test]
fn an_estimate_takes_the_larger_count() {
    let body = br#"{"model":"a","messages":[{"role":"user","content":"Hello there"}]}"#;
    let bounds = crate::request::body::BodyFormat::Json.read(ChatCompletions, body).unwrap().bounds;
    let output = |output_bytes, deltas| {
        estimate(&UsageReading { output_bytes, deltas, ..UsageReading::default() }, &bounds)
    };
    assert_eq!(output(41, 3), tokens(body.len().div_ceil(4) as u64, 0, 11, 0));
    assert_eq!(output(41, 30).output, 30);
    assert_eq!(output(0, 0).output, 0);
    let start = MESSAGE.split_inclusive("\n\n").next().unwrap();
    let delta = "data: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"0123456789\"}}\n\n";
    let cut = read(Messages, SSE, &[start, delta].concat());
    let told = TokenUsage { cache_write_5m: 2, ..tokens(30, 3, 1, 0) };
    assert_eq!((cut.doubt, cut.input_reported, cut.reported), (Some(UsageDoubt::Cut), true, told));
    assert_eq!(estimate(&cut, &bounds), TokenUsage { output: 3, ..told });
}

/// Splits at random places.
fn shred(bytes: &[u8], mut places: Vec<prop::sample::Index>) -> Vec<Vec<u8>> {
    let mut ends: Vec<usize> = places.drain(..).map(|place| place.index(bytes.len() + 1)).collect();
    ends.extend([0, bytes.len()]);
    ends.sort_unstable();
    ends.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect()
}

fn noise() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "data: ",
        "data:",
        "{",
        "}",
        "[",
        "]",
        "\"usage\":",
        "\"choices\":",
        "\"prompt_tokens\":1",
        ",",
        "\n",
        "\r",
        "\n\n",
        "\\",
        "\"",
        "[DONE]",
        ":",
        "\u{feff}",
        "event: x",
        "\"type\":\"message_stop\"",
        "null",
        "é",
    ]);
    let words = prop::collection::vec(words, 0..40).prop_map(|words| words.concat().into_bytes());
    prop_oneof![words, any::<Vec<u8>>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn chunks_do_not_matter(which in 0..4_usize, dialect in 0..5_usize, hide: bool, places: Vec<prop::sample::Index>) {
        let (operation, stream, expected) = &streams()[which];
        let stream = &dialects(stream)[dialect];
        let chunks = shred(stream.as_bytes(), places);
        let whole = pass(reader(*operation, SSE, hide), [stream.as_bytes()]);
        let parts = pass(reader(*operation, SSE, hide), chunks.iter().map(Vec::as_slice));
        prop_assert_eq!(&parts.1, expected);
        prop_assert_eq!(parts, whole);
    }

    #[test]
    fn no_bytes_panic_and_chunks_never_matter(
        bytes in noise(), places: Vec<prop::sample::Index>, hide: bool, streamed: bool, anthropic: bool
    ) {
        let operation = if anthropic { Messages } else { ChatCompletions };
        let new = || reader(operation, if streamed { SSE } else { JSON }, hide);
        let whole = pass(new(), [bytes.as_slice()]);
        let chunks = shred(&bytes, places);
        prop_assert_eq!(&pass(new(), chunks.iter().map(Vec::as_slice)), &whole);
        if !hide || !streamed {
            prop_assert_eq!(whole.0, bytes);
        }
    }
}
