//! Messages of MCP's clients and servers, mutated from a corpus: whatever comes, nothing panics, no list of
//! tools that an app may not use passes, and a message is read as a plain parser reads it, or refused.
//!
//! `MCP_FUZZ_SECONDS=600 cargo test -p latchkey-filter-core --release --test mcp_fuzz` looks for longer. An input
//! that fails is printed: it belongs into the corpus.

use std::rc::Rc;
use std::time::{Duration, Instant};

use latchkey_filter_core::mcp::{McpAction, McpAnswerFormat, McpMessage, RepeatedHeaders, ToolFilter};
use latchkey_filter_core::request::header::Headers;
use latchkey_filter_core::snapshot::{AppPolicy, McpServer};
use latchkey_proto::discovery as wire;
use serde_json::Value;
use serde_json::value::RawValue;

const ANSWERS: [&[u8]; 7] = [
    include_bytes!("mcp_fuzz/corpus/answers/list.json"),
    include_bytes!("mcp_fuzz/corpus/answers/batch.json"),
    include_bytes!("mcp_fuzz/corpus/answers/returned.json"),
    include_bytes!("mcp_fuzz/corpus/answers/nested.json"),
    include_bytes!("mcp_fuzz/corpus/answers/like_result.json"),
    include_bytes!("mcp_fuzz/corpus/answers/stream.txt"),
    include_bytes!("mcp_fuzz/corpus/answers/endings.txt"),
];

const MESSAGES: [&[u8]; 4] = [
    include_bytes!("mcp_fuzz/corpus/messages/call.json"),
    include_bytes!("mcp_fuzz/corpus/messages/wrapped.json"),
    include_bytes!("mcp_fuzz/corpus/messages/listen.json"),
    include_bytes!("mcp_fuzz/corpus/messages/answer.json"),
];

const WORDS: [&str; 38] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u0074",
    "\"tools\"",
    "\"Tools\"",
    "\"tools[0]\"",
    "\"t\\u006fols\"",
    "\"name\":",
    "\"drop_b\"",
    "\"read_a\"",
    "\"result\":",
    "\"content\":",
    "\"structuredContent\":",
    "\"method\":",
    "\"params\":",
    "\"tools/call\"",
    "\"tools/list\"",
    "\"jsonrpc\":\"2.0\"",
    "\"id\":1",
    "null",
    "1e999",
    "\\ud800",
    "\n",
    "\r",
    "\r\n\r\n",
    "\n\n",
    "data: ",
    "data:",
    ": ",
    "id: 1\n",
    "\u{feff}",
    "é",
];

/// How many inputs each test tries where no time is given.
const INPUTS: u32 = 20_000;

/// A generator of numbers that look random (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % most.max(1) as u64).unwrap()
    }

    /// An input of the corpus, changed in some places.
    fn mutate(&mut self, corpus: &[&[u8]]) -> Vec<u8> {
        let mut input = corpus[self.below(corpus.len())].to_vec();
        for _ in 0..=self.below(6) {
            let (at, other) = (self.below(input.len() + 1), self.below(input.len() + 1));
            let (from, to) = (at.min(other), at.max(other));
            match self.below(6) {
                0 => drop(input.splice(at..at, WORDS[self.below(WORDS.len())].bytes())),
                1 => drop(input.splice(from..to, WORDS[self.below(WORDS.len())].bytes())),
                2 => drop(input.drain(from..to)),
                3 => {
                    let part = input[from..to].to_vec();
                    input.splice(at..at, part);
                }
                4 => {
                    let donor = corpus[self.below(corpus.len())];
                    let cut = self.below(donor.len() + 1);
                    input.splice(at.., donor[cut..].iter().copied());
                }
                _ if at < input.len() => input[at] ^= 1 << self.below(8),
                _ => {}
            }
        }
        input.truncate(4096);
        input
    }
}

/// Tries inputs until the time is over.
fn fuzz(corpus: &[&[u8]], mut check: impl FnMut(&[u8], &mut Dice)) {
    let seconds = std::env::var("MCP_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let (begun, mut tried) = (Instant::now(), 0);
    let mut dice = Dice(if seconds.is_some() { std::process::id().into() } else { 1 });
    for input in corpus {
        check(input, &mut dice);
    }
    while seconds.map_or(tried < INPUTS, |seconds| begun.elapsed() < Duration::from_secs(seconds)) {
        let input = dice.mutate(corpus);
        check(&input, &mut dice);
        tried += 1;
    }
    println!("{tried} inputs");
}

fn filter(content_type: &str) -> ToolFilter {
    use wire::selection::Kind;
    let kind = |kind| Some(wire::Selection { kind: Some(kind) });
    let names = vec!["files/read_*".to_owned()];
    let app = wire::AppPolicy {
        id: vec![1; 16],
        status: 1,
        mode: 1,
        providers: kind(Kind::All(wire::Everything {})),
        models: kind(Kind::All(wire::Everything {})),
        mcp: kind(Kind::Only(wire::Names { names })),
        ..wire::AppPolicy::default()
    };
    let server = wire::McpServer {
        name: "files".to_owned(),
        cluster: "mcp".to_owned(),
        authority: "mcp.example".to_owned(),
        path: "/mcp".to_owned(),
        session_key: vec![7; 32],
        pins: None,
    };
    let (app, server) = (AppPolicy::try_from(app).unwrap(), McpServer::try_from(server).unwrap());
    let id = RawValue::from_string("\"q\"".to_owned()).unwrap();
    let mut filter = ToolFilter::new(Rc::new(app), Rc::new(server), Some(id));
    assert_ne!(filter.answered(200, Some(content_type), None), McpAnswerFormat::Unreadable);
    filter
}

/// The tools that a message lists, by the plainest reading: every list called `tools`, but for those in what a
/// called tool returns.
fn listed(value: &Value, in_result: bool, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| listed(item, false, found)),
        Value::Object(members) => {
            for (name, value) in members {
                match (name.to_ascii_lowercase().as_str(), value) {
                    ("content" | "structuredcontent", _) if in_result => {}
                    ("tools", Value::Array(tools)) => {
                        let name =
                            |tool: &Value| tool.as_str().or(tool["name"].as_str()).unwrap_or("?").to_owned();
                        found.extend(tools.iter().map(name));
                    }
                    (name, value) => listed(value, name == "result", found),
                }
            }
        }
        _ => {}
    }
}

fn assert_no_other_tools(message: &str, input: &[u8]) {
    let Ok(value) = serde_json::from_str::<Value>(message) else { return };
    let mut found = Vec::new();
    listed(&value, false, &mut found);
    let others: Vec<_> = found.iter().filter(|tool| !tool.starts_with("read_")).collect();
    assert!(others.is_empty(), "{others:?} pass: {:?}", String::from_utf8_lossy(input));
}

/// The data of events, by a reading of their lines alone.
fn data(stream: &str) -> Vec<String> {
    let plain = stream.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    let field = |line: &str| {
        let value = line.strip_prefix("data:").or_else(|| (line == "data").then_some(""))?;
        Some(value.strip_prefix(' ').unwrap_or(value).to_owned())
    };
    let event = |lines: &str| lines.split('\n').filter_map(field).collect::<Vec<_>>().join("\n");
    plain.split("\n\n").map(event).collect()
}

/// A stream in parts, cut anywhere.
fn in_parts(input: &[u8], dice: &mut Dice) -> Vec<u8> {
    let (mut filter, mut rest, mut out) = (filter("text/event-stream"), input, Vec::new());
    while !rest.is_empty() {
        let (part, after) = rest.split_at(1 + dice.below(rest.len()));
        out.extend(filter.pass(part, false));
        rest = after;
    }
    out.extend(filter.pass(&[], true));
    out
}

#[test]
fn no_answer_lists_other_tools() {
    fuzz(&ANSWERS, |input, dice| {
        let shown = filter("application/json").pass(input, true);
        assert_no_other_tools(&String::from_utf8(shown).unwrap(), input);
        let shown = String::from_utf8(in_parts(input, dice)).unwrap();
        for message in data(&shown) {
            assert_no_other_tools(&message, input);
        }
    });
}

#[test]
fn a_message_is_read_as_a_plain_parser_reads_it_or_refused() {
    fuzz(&MESSAGES, |input, _| {
        let Ok(message) = McpMessage::read(input) else { return };
        // What the gate does not look at may hold half of a surrogate pair, which this parser refuses.
        let Ok(plain) = serde_json::from_slice::<Value>(input) else { return };
        let shown = || String::from_utf8_lossy(input);
        assert_eq!(plain["method"].as_str(), message.method.as_deref(), "{}", shown());
        let tool = plain["params"]["name"].as_str();
        match &message.action {
            McpAction::CallTool(call) => assert_eq!(tool, Some(call.tool.as_str()), "{}", shown()),
            McpAction::ListTools | McpAction::Other => {
                assert!(plain["method"].as_str().is_none_or(|method| method != "tools/call"), "{}", shown());
            }
        }
        let _ = message.is_open_to_partial_access();
        let _ =
            RepeatedHeaders::of(Headers(&[("mcp-name".to_owned(), input.to_vec())])).check(Some(&message));
    });
}
