use latchkey_proto::discovery as wire;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::testing;

fn tool_filter(format: McpAnswerFormat) -> ToolFilter {
    let mcp = Some(testing::only(&["github/get_*", "docs"]));
    let app = AppPolicy::try_from(wire::AppPolicy { mcp, ..testing::app() }).unwrap();
    let server = McpServer::try_from(testing::mcp_server("github")).unwrap();
    let id = RawValue::from_string("\"q\"".to_owned()).unwrap();
    ToolFilter { format, ..ToolFilter::new(Rc::new(app), Rc::new(server), Some(id)) }
}

/// One that a stream of the server's messages is read by: it answers no request.
fn unasked() -> ToolFilter {
    ToolFilter { id: None, ..tool_filter(McpAnswerFormat::Events) }
}

fn filter(format: McpAnswerFormat, body: &str) -> String {
    String::from_utf8(tool_filter(format).pass(body.as_bytes(), true)).unwrap()
}

fn is_error(message: &str) -> bool {
    let message: Value = serde_json::from_str(message).unwrap();
    message["id"] == "q" && message["error"]["data"]["code"] == "internal_error"
}

#[test]
fn only_tools_that_may_be_called_are_shown_and_each_as_it_was() {
    let body = r#" {"jsonrpc":"2.0", "id":1,"result":{ "tools" : [ {"name":"rm"},
        {"name":"get_me", "inputSchema":{"a": 1e2}} , {"na\u006de":"get\u005fit"} ,{"title":"get_x"}, 7],"nextCursor":"n"} }"#;
    assert_eq!(
        filter(McpAnswerFormat::Json, body),
        r#" {"jsonrpc":"2.0", "id":1,"result":{ "tools" : [{"name":"get_me", "inputSchema":{"a": 1e2}},{"na\u006de":"get\u005fit"}],"nextCursor":"n"} }"#
    );
    let none = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"rm"}]}}"#;
    assert_eq!(filter(McpAnswerFormat::Json, none), r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#);
}

#[test]
fn what_lists_no_other_tools_stays_byte_for_byte() {
    for body in [
        "",
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[ {"name":"get_me"} ]}}"#,
        r#" {"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"Session not found"}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"tool":{"name":"rm"}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"{"type":"error","error":{"code":"provider_timeout"}}"#,
    ] {
        assert_eq!(filter(McpAnswerFormat::Json, body), body);
        let stream = format!(": hi\r\nid: 1\r\n\r\nevent: message\r\ndata: {body}\r\n\r\n");
        assert_eq!(filter(McpAnswerFormat::Events, &stream), stream);
    }
}

#[test]
fn a_stream_loses_the_tools_and_nothing_else() {
    let progress = "event: message\r\nid: 1\r\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\r\n\r\n";
    let list = "id: 2\r\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\r\ndata:{\"tools\":[{\"name\":\"rm\"},\r\nretry: 5\r\ndata: {\"name\":\r\ndata: \"get_me\"}]}}\r\n\r\n";
    let cut = "id: 2\r\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\r\ndata: {\"tools\":[{\"name\":\r\ndata: \"get_me\"}]}}\r\nretry: 5\r\n\r\n";
    let stream = format!("\u{feff}id: 0\r\ndata:\r\n\r\n{progress}{list}: end\r\n\r\n");
    let expected = format!("\u{feff}id: 0\r\ndata:\r\n\r\n{progress}{cut}: end\r\n\r\n");
    assert_eq!(filter(McpAnswerFormat::Events, &stream), expected);
    for end in ["\n", "\r"] {
        assert_eq!(
            filter(McpAnswerFormat::Events, &stream.replace("\r\n", end)),
            expected.replace("\r\n", end),
            "{end:?}"
        );
    }
    let open = "data: {\"result\":{\"tools\":[{\"name\":\"rm\"}]}}";
    assert_eq!(
        filter(McpAnswerFormat::Events, open),
        "data: {\"result\":{\"tools\":[]}}\n",
        "its end is missing"
    );
    let marked = "\u{feff}data: {\"result\":{\"tools\":[{\"name\":\"rm\"}]}}\n\n";
    assert_eq!(filter(McpAnswerFormat::Events, marked), "\u{feff}data: {\"result\":{\"tools\":[]}}\n\n");
}

#[test]
fn what_cannot_be_read_becomes_an_error() {
    for body in [
        "nonsense",
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"rm"}]}"#,
        r#"{"result":{"tools":{"name":"rm"}}}"#,
        r#"{"result":{"tools":[],"Tools":{"name":"rm"}}}"#,
    ] {
        assert!(is_error(&filter(McpAnswerFormat::Json, body)), "{body}");
        let told = filter(McpAnswerFormat::Events, &format!("data: {body}\n\n"));
        let told = told.strip_prefix("data: ").and_then(|told| told.strip_suffix("\n\n"));
        assert!(is_error(told.unwrap()), "{body}");
        assert!(is_error(&filter(McpAnswerFormat::Unreadable, body)), "{body}");
        let told = String::from_utf8(unasked().pass(format!("data: {body}\n\n").as_bytes(), false)).unwrap();
        assert!(told.starts_with(": The gateway could not read") && told.ends_with("\n\n"), "{told}");
    }
    let bytes = tool_filter(McpAnswerFormat::Json).pass(b"\xff", true);
    assert!(is_error(str::from_utf8(&bytes).unwrap()));
}

#[test]
fn an_event_passes_when_it_is_whole() {
    let mut filter = tool_filter(McpAnswerFormat::Events);
    let mut pass = |text: &str| String::from_utf8(filter.pass(text.as_bytes(), false)).unwrap();
    let note = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n\n";
    assert_eq!(pass(note), note);
    assert_eq!(pass("data: {\"id\":1,\"result\":{\"tools\":[{\"name\":\"rm\"},"), "");
    let rest = "{\"name\":\"get_me\"}]}}\n\n: pi";
    assert_eq!(pass(rest), "data: {\"id\":1,\"result\":{\"tools\":[{\"name\":\"get_me\"}]}}\n\n");
    assert_eq!(pass("ng\n\n"), ": ping\n\n");
}

#[test]
fn a_document_waits_for_its_end_and_not_beyond_the_longest() {
    let mut filter = tool_filter(McpAnswerFormat::Json);
    assert!(filter.waits(LONGEST, false) && !filter.waits(LONGEST, true));
    assert!(!filter.waits(LONGEST + 1, false));
    let told = filter.pass(&vec![b' '; LONGEST + 1], false);
    assert!(is_error(str::from_utf8(&told).unwrap()));
    assert!(!filter.waits(1, false));
    assert_eq!(filter.pass(b"{}", true), b"", "the rest of it");
    let mut unreadable = super::tests::tool_filter(McpAnswerFormat::Unreadable);
    assert!(!unreadable.waits(1, false));
    assert!(is_error(str::from_utf8(&unreadable.pass(b"x", false)).unwrap()));
    assert_eq!(unreadable.pass(b"x", true), b"");
}

#[test]
fn an_event_that_is_too_long_becomes_an_error_and_the_stream_goes_on() {
    for (mut filter, answers) in [(tool_filter(McpAnswerFormat::Events), true), (unasked(), false)] {
        let mut out = filter.pass(b"data: {}\n\ndata: \"", false);
        for _ in 0..5 {
            out.extend(filter.pass(&vec![b'x'; LONGEST / 2], false));
        }
        out.extend(filter.pass(b"\"\n\ndata: {}\n\n", true));
        let out = String::from_utf8(out).unwrap();
        let told = out.strip_prefix("data: {}\n\n").and_then(|out| out.strip_suffix("data: {}\n\n")).unwrap();
        assert_eq!(told.starts_with("data: "), answers, "{told}");
        if let Some(told) = told.strip_prefix("data: ") {
            assert!(is_error(told), "{told}");
        }
    }
}

#[test]
fn only_plain_json_and_event_streams_can_be_read() {
    let mut filter = tool_filter(McpAnswerFormat::Json);
    let mut format = |status, kind, encoding| filter.answered(status, kind, encoding);
    assert_eq!(format(200, Some("application/json; charset=utf-8"), None), McpAnswerFormat::Json);
    assert_eq!(format(400, Some("application/json"), None), McpAnswerFormat::Json);
    assert_eq!(
        format(200, Some("Text/Event-Stream;charset=utf-8"), Some("identity")),
        McpAnswerFormat::Events
    );
    assert_eq!(format(200, Some("application/json"), Some("gzip")), McpAnswerFormat::Unreadable);
    assert_eq!(format(404, Some("text/event-stream"), Some("br")), McpAnswerFormat::Unreadable);
    assert_eq!(format(200, Some("text/plain"), None), McpAnswerFormat::Unreadable);
    assert_eq!(format(200, None, None), McpAnswerFormat::Unreadable);
    assert_eq!(format(404, Some("text/plain"), None), McpAnswerFormat::Plain);
    assert_eq!(filter.pass(b"Session not found", true), b"Session not found");
}

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"rm"},{"name":"get_me"}]}}"#;

#[test]
fn a_list_is_cut_whatever_it_is_called() {
    for text in [LIST, &format!("\u{feff} {LIST}")] {
        let shown = filter(McpAnswerFormat::Plain, text);
        assert!(!shown.contains("rm"), "{shown}");
    }
    assert!(is_error(&filter(McpAnswerFormat::Plain, &format!("{LIST} and more"))));
    let mut plain = tool_filter(McpAnswerFormat::Plain);
    assert!(plain.waits(3, false));
    assert_eq!(plain.pass(b"<html>", false), b"<html>");
    assert!(!plain.waits(3, false));
    assert_eq!(plain.pass(b"{}", true), b"{}");
}

#[test]
fn a_list_that_is_not_in_the_data_of_an_event_does_not_pass() {
    let lines = LIST.replace(',', ",\n");
    for stream in [
        LIST.to_owned(),
        format!("{LIST}\n\n"),
        format!("{lines}\n\n"),
        format!(": {LIST}\n\n"),
        format!("event: {LIST}\ndata: {{\"jsonrpc\":\"2.0\"}}\n\n"),
        format!("id: 1\nmessage: {LIST}\r\n\r\n"),
    ] {
        let shown = filter(McpAnswerFormat::Events, &stream);
        let message = shown.strip_prefix("data: ").unwrap_or_else(|| panic!("{stream} came as {shown}"));
        assert!(is_error(message.trim_end()), "{shown}");
        assert!(!String::from_utf8(unasked().pass(stream.as_bytes(), true)).unwrap().contains("rm"));
    }
}

/// Every string in a value.
fn strings(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| strings(value, found)),
        Value::Object(members) => members.values().for_each(|value| strings(value, found)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn no_answer_panics(
        body in prop_oneof![any::<Vec<u8>>(), "(data|:| |\n|\r|\\{|\\}|\\[|\\]|\"|tools|result|name|rm|,)*".prop_map(String::into_bytes)],
    ) {
        for format in [McpAnswerFormat::Json, McpAnswerFormat::Events, McpAnswerFormat::Unreadable] {
            let _ = tool_filter(format).pass(&body, true);
        }
    }

    #[test]
    fn exactly_the_tools_that_may_be_called_are_shown(
        names in prop::collection::vec("get_[a-c]|rm_[a-c]|\"\\\\|é\u{2028}", 0..6),
        pretty: bool,
        end in "\n|\r\n|\r",
        cut: prop::sample::Index,
    ) {
        let tools: Vec<_> = names.iter().map(|name| json!({"name": name, "n": 1})).collect();
        let message = json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": tools}});
        let text = if pretty { serde_json::to_string_pretty(&message).unwrap() } else { message.to_string() };
        let shown: Vec<_> = names.iter().filter(|name| name.starts_with("get_")).cloned().collect();
        let read = |text: &str| {
            let message: Value = serde_json::from_str(text).unwrap();
            let mut found = Vec::new();
            strings(&message["result"], &mut found);
            found
        };
        prop_assert_eq!(read(&filter(McpAnswerFormat::Json, &text)), shown.clone());
        let stream: String = text.split('\n').map(|line| format!("data: {line}{end}")).chain([end.clone()]).collect();
        let filtered = filter(McpAnswerFormat::Events, &stream);
        let data: Vec<_> = crate::mcp::sse::events(&filtered).filter_map(|event| event.data).collect();
        prop_assert_eq!(data.len(), 1);
        prop_assert_eq!(read(&data[0]), shown);
        let mut filter = tool_filter(McpAnswerFormat::Events);
        let (first, second) = stream.as_bytes().split_at(cut.index(stream.len() + 1));
        let parts = [filter.pass(first, false), filter.pass(second, true)].concat();
        prop_assert_eq!(String::from_utf8(parts).unwrap(), filtered);
    }
}
