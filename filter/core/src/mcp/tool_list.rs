//! Removes the tools that an app may not use from a server's message, wherever it lists tools.

use std::ops::Range;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::document;
use super::method::AllMembers;
use super::tool_filter::Unreadable;
use crate::request::body::{JsonCursor, JsonObject, may_be_member, span};

/// The member that lists tools.
const TOOLS: &str = "tools";

/// What a called tool returns is left alone, whatever its names.
const RETURNED: [&str; 2] = ["content", "structuredContent"];

/// Deeper messages are refused: the protocol has none.
const DEEPEST: u8 = 64;

/// A tool that a message lists.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListedTool<'a> {
    pub name: &'a str,
    /// As written; none where there is the name alone.
    pub definition: Option<&'a str>,
    /// Whether it stands where a server answers which tools it has.
    pub is_answer: bool,
}

/// The message without the tools for which `may_list` is false; none where it lists no others. Every other
/// byte stays.
pub(super) fn without_hidden_tools(
    text: &str,
    may_list: &mut dyn FnMut(ListedTool<'_>) -> bool,
) -> Result<Option<String>, Unreadable> {
    let _: IgnoredAny = serde_json::from_str(text).map_err(|_| Unreadable)?;
    let mut editor = ToolListEditor { text, may_list, edits: Vec::new() };
    editor.walk(&mut JsonCursor(text), MessagePlace::Message, DEEPEST)?;
    if editor.edits.is_empty() { Ok(None) } else { editor.edited().map(Some) }
}

struct ToolListEditor<'a> {
    text: &'a str,
    may_list: &'a mut dyn FnMut(ListedTool<'_>) -> bool,
    /// In text order, without overlaps.
    edits: Vec<(Range<usize>, String)>,
}

/// A value's place in a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MessagePlace {
    /// A message, or a batch of them.
    Message,
    /// The result of a message.
    Result,
    /// A member of a result that lists tools.
    ResultTools,
    /// Another member that may list tools.
    Tools,
    Elsewhere,
}

impl<'a> ToolListEditor<'a> {
    /// Goes over the next value of valid JSON, once.
    fn walk(&mut self, at: &mut JsonCursor<'a>, place: MessagePlace, depth: u8) -> Result<(), Unreadable> {
        let depth = depth.checked_sub(1).ok_or(Unreadable)?;
        match at.peek().ok_or(Unreadable)? {
            b'[' if matches!(place, MessagePlace::ResultTools | MessagePlace::Tools) => {
                let list = at.written().ok_or(Unreadable)?;
                self.list(list, place == MessagePlace::ResultTools)
            }
            _ if place == MessagePlace::ResultTools => Err(Unreadable),
            b'[' => {
                let is_batch = place == MessagePlace::Message;
                let of = if is_batch { MessagePlace::Message } else { MessagePlace::Elsewhere };
                at.take(1).ok_or(Unreadable)?;
                while at.peek().ok_or(Unreadable)? != b']' {
                    self.walk(at, of, depth)?;
                    at.comma().ok_or(Unreadable)?;
                }
                at.take(1).ok_or(Unreadable)
            }
            b'{' => {
                at.take(1).ok_or(Unreadable)?;
                while at.peek().ok_or(Unreadable)? != b'}' {
                    let name = document::string(at).ok_or(Unreadable)?;
                    at.peek().and_then(|_| at.take(1)).ok_or(Unreadable)?;
                    match place.of(&name) {
                        Some(place) => self.walk(at, place, depth)?,
                        None => at.skip().ok_or(Unreadable)?,
                    }
                    at.comma().ok_or(Unreadable)?;
                }
                at.take(1).ok_or(Unreadable)
            }
            _ => at.skip().ok_or(Unreadable),
        }
    }

    /// A list of tools: each stays as written, or goes.
    fn list(&mut self, list: &'a str, is_answer: bool) -> Result<(), Unreadable> {
        let tools: Vec<&RawValue> = serde_json::from_str(list).map_err(|_| Unreadable)?;
        let shown = tools.iter().map(|tool| tool.get()).filter(|tool| self.is_shown(tool, is_answer));
        let shown: Vec<_> = shown.collect();
        if shown.len() != tools.len() {
            let at = span(self.text, list).ok_or(Unreadable)?;
            self.edits.push((at, ["[", &shown.join(","), "]"].concat()));
        }
        Ok(())
    }

    /// A tool without a readable name is not shown. One that has several is not shown, and asked about by the first and
    /// the last that is spelled as readers expect it.
    fn is_shown(&mut self, tool: &str, is_answer: bool) -> bool {
        let string = |value: &str| serde_json::from_str::<String>(value).ok();
        let mut may_list =
            |name: &str, definition| (self.may_list)(ListedTool { name, definition, is_answer });
        if tool.starts_with('"') {
            return string(tool).is_some_and(|name| may_list(&name, None));
        }
        if let Ok(object) = JsonObject::read(tool, ["name"]) {
            return object.string("name").is_some_and(|name| may_list(&name, Some(tool)));
        }
        let AllMembers(members) = serde_json::from_str(tool).unwrap_or_default();
        let mut names =
            members.iter().filter(|(name, _)| name == "name").filter_map(|(_, it)| string(it.get()));
        for name in [names.next(), names.next_back()].into_iter().flatten() {
            may_list(&name, Some(tool));
        }
        false
    }

    fn edited(&self) -> Result<String, Unreadable> {
        let (mut out, mut rest) = (String::with_capacity(self.text.len()), 0);
        for (at, list) in &self.edits {
            out.push_str(self.text.get(rest..at.start).ok_or(Unreadable)?);
            out.push_str(list);
            rest = at.end;
        }
        out.push_str(self.text.get(rest..).ok_or(Unreadable)?);
        Ok(out)
    }
}

impl MessagePlace {
    /// The place of a member's value; none where it is left alone.
    fn of(self, name: &str) -> Option<Self> {
        match self {
            Self::Result if RETURNED.contains(&name) => None,
            Self::Result if may_be_member(name, TOOLS) => Some(Self::ResultTools),
            _ if may_be_member(name, TOOLS) => Some(Self::Tools),
            // A result in another spelling is looked into, too.
            Self::Message if name == "result" => Some(Self::Result),
            _ => Some(Self::Elsewhere),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<Option<String>, Unreadable> {
        without_hidden_tools(text, &mut |tool| tool.name.starts_with("get_"))
    }

    #[test]
    fn lists_are_cut_wherever_they_stand() {
        for (message, expected) in [
            (
                r#"{"id":9,"result":{"tools":[{"name":"rm"},{"name":"get_a"}]}}"#,
                r#"{"id":9,"result":{"tools":[{"name":"get_a"}]}}"#,
            ),
            (
                r#"[{"id":1,"result":{}},{"result":{"tools":[{"name":"rm"}]}}]"#,
                r#"[{"id":1,"result":{}},{"result":{"tools":[]}}]"#,
            ),
            (r#"{"result":{"page":{"tools":[{"name":"rm"}]}}}"#, r#"{"result":{"page":{"tools":[]}}}"#),
            (r#"{"result":[{"tools":[{"name":"rm"}]}]}"#, r#"{"result":[{"tools":[]}]}"#),
            (
                r#"{"result":{"capabilities":{"tools":["rm","get_a"]}}}"#,
                r#"{"result":{"capabilities":{"tools":["get_a"]}}}"#,
            ),
            (
                r#"{"method":"x","params":{"to\u006fls":[{"name":"rm"}]}}"#,
                r#"{"method":"x","params":{"to\u006fls":[]}}"#,
            ),
            (r#"{"result":{},"Result":{"Tools":[{"name":"rm"}]}}"#, r#"{"result":{},"Result":{"Tools":[]}}"#),
            (r#"{"result":{"tools":[],"tools":[{"name":"rm"}]}}"#, r#"{"result":{"tools":[],"tools":[]}}"#),
            (r#"{"result[":{"content":{"tools":["rm"]}}}"#, r#"{"result[":{"content":{"tools":[]}}}"#),
            (r#"{"tools":[7,null,{"title":"get_a"},{"name":"get_a","NAME":"rm"}]}"#, r#"{"tools":[]}"#),
            (
                r#"{"tools":[{"name":"rm"}],"a": "é" ,"result":{"tools":["rm"]}}"#,
                r#"{"tools":[],"a": "é" ,"result":{"tools":[]}}"#,
            ),
        ] {
            assert_eq!(shown(message), Ok(Some(expected.to_owned())), "{message}");
        }
    }

    #[test]
    fn what_lists_no_other_tools_stays() {
        for message in [
            r#"{"result":{"tools":[{"name":"get_a","inputSchema":{"tools":[{"name":"rm"}]}}]}}"#,
            r#"{"result":{"capabilities":{"tools":{"listChanged":true}}}}"#,
            r#"{"result":{"content":[{"tools":[{"name":"rm"}]}],"structuredContent":{"tools":[{"name":"rm"}]}}}"#,
            r#"{"error":{"code":-32601,"message":"no tools"}}"#,
            "[]",
            "7",
        ] {
            assert_eq!(shown(message), Ok(None), "{message}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_no_message() {
        let deep = ["[".repeat(70), "]".repeat(70)].concat();
        for message in
            ["", "nonsense", r#"{"result":{"tools":[]}"#, "{}{}", r#"{"result":{"tools":{"rm":{}}}}"#, &deep]
        {
            assert_eq!(shown(message), Err(Unreadable), "{message}");
        }
    }
}
