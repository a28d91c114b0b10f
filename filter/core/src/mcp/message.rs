//! A client's JSON-RPC message. One that two parsers could read differently is refused: the server might call
//! another tool than the allowed one.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::method;
use super::repeated_headers::RepeatedFields;
use crate::answer::denial::{Code, Denial};
use crate::request::body::{JsonObject, UnreadObject};
use crate::request::mcp_endpoint::McpVerb;

/// In bytes. MCP recommends at most 128 characters. It goes into records.
const LONGEST_TOOL: usize = 200;

/// In bytes. It is repeated in errors.
const LONGEST_METHOD: usize = 128;

/// The parts of a message that the gate reads.
#[derive(Debug)]
pub struct McpMessage {
    /// As written: a string or a number. None on a notification.
    pub id: Option<Box<RawValue>>,
    /// None on an answer.
    pub method: Option<String>,
    pub action: McpAction,
    pub(super) repeated: RepeatedFields,
    /// Whether it subscribes to resources.
    pub(super) subscribes: bool,
}

#[derive(Clone, Debug)]
pub enum McpAction {
    CallTool(ToolCall),
    ListTools,
    /// Anything else, or an answer.
    Other,
}

/// What is called, and how.
#[derive(Clone, Debug)]
pub struct ToolCall {
    /// The tool's name.
    pub tool: String,
    /// As written; none where there are none.
    pub arguments: Option<Box<RawValue>>,
}

impl McpMessage {
    /// The called tool's name; none where none is called.
    #[must_use]
    pub fn called_tool(&self) -> Option<&str> {
        match &self.action {
            McpAction::CallTool(call) => Some(&call.tool),
            McpAction::ListTools | McpAction::Other => None,
        }
    }

    /// Whether it is about tools in a way that the gate does not know.
    #[must_use]
    pub fn is_unknown_of_tools(&self) -> bool {
        let method = self.method.as_deref().unwrap_or_default().to_ascii_lowercase();
        matches!(self.action, McpAction::Other) && method.starts_with("tools/")
    }

    /// Reads the whole body of a request; none where the request has no message.
    ///
    /// # Errors
    /// When it is malformed or ambiguous, or when there is one where none belongs.
    pub fn of_request(verb: McpVerb, body: &[u8]) -> Result<Option<Self>, Denial> {
        match verb {
            McpVerb::Post => Self::read(body).map(Some),
            McpVerb::Get | McpVerb::Delete if body.is_empty() => Ok(None),
            McpVerb::Get | McpVerb::Delete => Err(invalid("Send the message with POST.")),
        }
    }

    /// Reads a whole message.
    ///
    /// # Errors
    /// When it is not one message, or an ambiguous one.
    pub fn read(body: &[u8]) -> Result<Self, Denial> {
        if body.is_empty() {
            return Err(malformed("The body is empty."));
        }
        let text =
            str::from_utf8(body).map_err(|_| malformed("The body is not valid JSON: it is not UTF-8."))?;
        let names = ["jsonrpc", "id", "method", "params", "result", "error"];
        let object = JsonObject::read(text, names).map_err(|unread| unreadable(&unread, text))?;
        if object.string("jsonrpc").as_deref() != Some("2.0") {
            return Err(invalid("The body is not a message of JSON-RPC: its `jsonrpc` is not \"2.0\"."));
        }
        let id = id(object.get("id"))?;
        let Some(method) = object.get("method") else {
            if object.get("result").is_none() && object.get("error").is_none() {
                return Err(invalid("The message has neither `method` nor `result` nor `error`."));
            }
            let repeated = RepeatedFields::default();
            return Ok(Self { id, method: None, action: McpAction::Other, repeated, subscribes: false });
        };
        let method: String =
            serde_json::from_str(method.get()).map_err(|_| invalid("`method` is not a string."))?;
        let is_name = (1..=LONGEST_METHOD).contains(&method.len());
        if !is_name || !method.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(invalid(format!(
                "`method` is not a valid method name: it is empty, not printable ASCII, or longer than \
                 {LONGEST_METHOD} bytes."
            )));
        }
        // However a lenient server spells the methods that matter.
        let params = object.get("params");
        let action = match method.to_ascii_lowercase().as_str() {
            "tools/call" => McpAction::CallTool(tool_call(params)?),
            "tools/list" => McpAction::ListTools,
            _ => McpAction::Other,
        };
        let repeated = RepeatedFields::read(&method, params);
        let subscribes = method == "subscriptions/listen" && method::subscribes(params.map(RawValue::get));
        Ok(Self { id, method: Some(method), action, repeated, subscribes })
    }
}

fn id(value: Option<&RawValue>) -> Result<Option<Box<RawValue>>, Denial> {
    let Some(value) = value.filter(|value| value.get() != "null") else { return Ok(None) };
    let is_good = match value.get().bytes().next() {
        Some(b'"') => serde_json::from_str::<String>(value.get()).is_ok(),
        Some(b'-' | b'0'..=b'9') => true,
        _ => false,
    };
    if is_good { Ok(Some(value.to_owned())) } else { Err(invalid("`id` is neither a string nor a number.")) }
}

/// The called tool and its arguments.
fn tool_call(params: Option<&RawValue>) -> Result<ToolCall, Denial> {
    let text = params.ok_or_else(|| invalid("The tool call has no `params`."))?.get();
    let params = JsonObject::read(text, ["name", "arguments"]).map_err(|unread| match unread {
        UnreadObject::Ambiguous(name) => invalid(format!("`params` has more than one `{name}`.")),
        _ => invalid("`params` is not an object."),
    })?;
    let arguments = params.get("arguments").map(ToOwned::to_owned);
    let name = params.get("name").ok_or_else(|| invalid("The tool call has no `params.name`."))?;
    let name: String =
        serde_json::from_str(name.get()).map_err(|_| invalid("`params.name` is not a string."))?;
    if !is_tool_name(&name) {
        return Err(invalid(format!(
            "`params.name` is not a valid tool name: it is empty, has a control character, or is longer than \
             {LONGEST_TOOL} bytes."
        )));
    }
    Ok(ToolCall { tool: name, arguments })
}

/// Whether a tool of this name can be called.
#[must_use]
pub fn is_tool_name(name: &str) -> bool {
    (1..=LONGEST_TOOL).contains(&name.len()) && !name.chars().any(char::is_control)
}

fn unreadable(unread: &UnreadObject, text: &str) -> Denial {
    match unread {
        UnreadObject::Malformed(line, column) => {
            malformed(format!("The body is not valid JSON: line {line}, column {column}."))
        }
        UnreadObject::NotAnObject if text.trim_start().starts_with('[') => {
            invalid("The body is a list. Send one message per request: batches are not supported.")
        }
        UnreadObject::NotAnObject => invalid("The body is not a JSON object."),
        UnreadObject::Ambiguous(name) => invalid(format!("The message has more than one `{name}`.")),
    }
}

fn malformed(message: impl Into<Cow<'static, str>>) -> Denial {
    Denial::new(Code::InvalidJson, message)
}

fn invalid(message: impl Into<Cow<'static, str>>) -> Denial {
    Denial::new(Code::InvalidMcpMessage, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_post_has_a_body() {
        for verb in [McpVerb::Get, McpVerb::Delete] {
            assert_eq!(McpMessage::of_request(verb, b"").unwrap().map(|_| ()), None);
            assert_eq!(McpMessage::of_request(verb, b"{}").unwrap_err().code, Code::InvalidMcpMessage);
        }
        assert_eq!(McpMessage::of_request(McpVerb::Post, b"").unwrap_err().code, Code::InvalidJson);
    }

    /// The id, and what the message does, with the arguments of a call.
    fn read(text: &str) -> (Option<String>, String) {
        let McpMessage { id, action, .. } = McpMessage::read(text.as_bytes()).unwrap();
        let action = match action {
            McpAction::CallTool(ToolCall { tool, arguments }) => {
                format!("{tool}({})", arguments.as_deref().map(RawValue::get).unwrap_or_default())
            }
            McpAction::ListTools => "list".to_owned(),
            McpAction::Other => "other".to_owned(),
        };
        (id.map(|id| id.get().to_owned()), action)
    }

    fn refused(text: &str) -> Code {
        McpMessage::read(text.as_bytes()).unwrap_err().code
    }

    #[test]
    fn requests_notifications_and_answers_are_read() {
        let call = r#"{"jsonrpc":"2.0","id":"a\u0062","method":"tools/call","params":{"name":"x","arguments":{"name":"y"}}}"#;
        assert_eq!(read(call), (Some(r#""a\u0062""#.into()), r#"x({"name":"y"})"#.into()));
        let list = r#"{"jsonrpc":"2.0","id":-1.5e3,"method":"tools/list"}"#;
        assert_eq!(read(list), (Some("-1.5e3".into()), "list".into()));
        for other in [
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"ping","params":[]}"#,
        ] {
            assert_eq!(read(other), (None, "other".into()), "{other}");
        }
        for answer in [
            r#"{"jsonrpc":"2.0","id":1,"result":{"method":"tools/call"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}"#,
        ] {
            assert_eq!(read(answer), (Some("1".into()), "other".into()), "{answer}");
        }
    }

    #[test]
    fn a_tool_is_named_however_it_is_written() {
        for call in [
            r#"{"jsonrpc":"2.0","id":1,"m\u0065thod":"tools\/c\u0061ll","params":{"na\u006de":"\u0078"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"Tools/CALL","params":{"name":"x"}}"#,
            r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"x"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{},"method":"tools/call","params":{"name":"x"}}"#,
        ] {
            assert_eq!(read(call).1, "x()", "{call}");
        }
    }

    #[test]
    fn what_two_parsers_may_read_differently_is_refused() {
        for twice in [
            r#""method":"ping","method":"tools/call","params":{"name":"x"}"#,
            r#""method":"ping","meth\u006fd":"tools/call","params":{"name":"x"}"#,
            r#""method":"ping","Method":"tools/call","params":{"name":"x"}"#,
            r#""Method":"tools/call","params":{"name":"x"}"#,
            r#""method":"tools/call","params":{"name":"x"},"params":{"name":"y"}"#,
            r#""method":"tools/call","params":{"name":"x"},"PARAMS":{"name":"y"}"#,
            r#""method":"tools/call","params":{"name":"x","name":"y"}"#,
            r#""method":"tools/call","params":{"name":"x","na\u006de":"y"}"#,
            r#""method":"tools/call","params":{"name":"x","Name":"y"}"#,
            r#""method":"tools/call","params":{"name":"x","arguments":{"a":1},"arguments":{"a":2}}"#,
            r#""method":"tools/call","params":{"name":"x","arguments":{"a":1},"Arguments":{"a":2}}"#,
            r#""method":"tools/call","params":{"name":"x","arguments":{"a":1},"\uff41rguments":{"a":2}}"#,
            r#""method":"tools/call","params":{"name":"x","\uff4eame":"y"}"#,
            r#""method":"tools/call","params":{"name":"x"},"par\u200bams":{"name":"y"}"#,
            r#""method":"ping","id":2"#,
        ] {
            let text = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,{twice}}}");
            assert_eq!(refused(&text), Code::InvalidMcpMessage, "{text}");
        }
    }

    #[test]
    fn methods_of_tools_that_are_not_known_are_told_apart() {
        let is_unknown = |method: &str| {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"name":"x"}}}}"#);
            McpMessage::read(body.as_bytes()).unwrap().is_unknown_of_tools()
        };
        assert!(is_unknown("tools/run") && is_unknown("Tools/call/now") && is_unknown("tools/"));
        assert!(!is_unknown("tools/call") && !is_unknown("TOOLS/LIST") && !is_unknown("ping"));
    }

    #[test]
    fn what_is_not_one_message_is_refused() {
        for text in ["", " ", "{", "{}x", "\u{feff}{}", r#"{"a":}"#] {
            assert_eq!(refused(text), Code::InvalidJson, "{text}");
        }
        assert_eq!(McpMessage::read(b"\xff{}").unwrap_err().code, Code::InvalidJson);
        let batch = McpMessage::read(br#" [{"jsonrpc":"2.0","method":"tools/call","params":{"name":"x"}}]"#);
        assert!(batch.unwrap_err().message.contains("batches are not supported"));
        for text in [
            "1",
            "{}",
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"id":1,"method":"ping"}"#,
            r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":"\ud800","method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":""}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call\u0000","params":{"name":"x"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":" tools/call","params":{"name":"x"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"toolſ/call","params":{"name":"x"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[]}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":null}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":""}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a\u0000"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\ud800"}}"#,
        ] {
            assert_eq!(refused(text), Code::InvalidMcpMessage, "{text}");
        }
        let long = "x".repeat(LONGEST_TOOL + 1);
        let text = format!(r#"{{"jsonrpc":"2.0","method":"tools/call","params":{{"name":"{long}"}}}}"#);
        assert_eq!(refused(&text), Code::InvalidMcpMessage);
    }
}
