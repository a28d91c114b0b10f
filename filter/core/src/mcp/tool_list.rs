//! Removes the tools that an app may not use from a server's message, wherever it lists tools.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::tool_filter::Unreadable;
use crate::request::body::{JsonObject, may_be_member, span};

/// The member that lists tools.
const TOOLS: &str = "tools";

/// What a called tool returns is left alone, whatever its names.
const RETURNED: [&str; 2] = ["content", "structuredContent"];

/// Deeper messages are refused: the protocol has none.
const DEEPEST: u8 = 64;

/// The message without the tools for which `may_list` is false; none where it lists no others. Every other
/// byte stays.
pub(super) fn without_hidden_tools(
    text: &str,
    may_list: &dyn Fn(&str) -> bool,
) -> Result<Option<String>, Unreadable> {
    let message: &RawValue = serde_json::from_str(text).map_err(|_| Unreadable)?;
    let mut editor = ToolListEditor { text, may_list, edits: Vec::new() };
    editor.walk(message, MessagePlace::Message, DEEPEST)?;
    if editor.edits.is_empty() { Ok(None) } else { editor.edited().map(Some) }
}

struct ToolListEditor<'a> {
    text: &'a str,
    may_list: &'a dyn Fn(&str) -> bool,
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

impl ToolListEditor<'_> {
    fn walk(&mut self, value: &RawValue, place: MessagePlace, depth: u8) -> Result<(), Unreadable> {
        let depth = depth.checked_sub(1).ok_or(Unreadable)?;
        let text = value.get();
        match text.bytes().next() {
            Some(b'[') => {
                let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| Unreadable)?;
                if matches!(place, MessagePlace::ResultTools | MessagePlace::Tools) {
                    return self.list(value, &elements);
                }
                let of = if place == MessagePlace::Message {
                    MessagePlace::Message
                } else {
                    MessagePlace::Elsewhere
                };
                elements.into_iter().try_for_each(|element| self.walk(element, of, depth))
            }
            _ if place == MessagePlace::ResultTools => Err(Unreadable),
            Some(b'{') => {
                let AllMembers(members) = serde_json::from_str(text).map_err(|_| Unreadable)?;
                let inside = members.into_iter().filter_map(|(name, value)| Some((place.of(&name)?, value)));
                inside.into_iter().try_for_each(|(place, value)| self.walk(value, place, depth))
            }
            _ => Ok(()),
        }
    }

    /// A list of tools: each stays as written, or goes.
    fn list(&mut self, list: &RawValue, tools: &[&RawValue]) -> Result<(), Unreadable> {
        let shown: Vec<_> = tools.iter().map(|tool| tool.get()).filter(|tool| self.is_shown(tool)).collect();
        if shown.len() != tools.len() {
            let at = span(self.text, list.get()).ok_or(Unreadable)?;
            self.edits.push((at, ["[", &shown.join(","), "]"].concat()));
        }
        Ok(())
    }

    /// A tool without a readable name is not shown.
    fn is_shown(&self, tool: &str) -> bool {
        let name = match tool.bytes().next() {
            Some(b'"') => serde_json::from_str(tool).ok(),
            _ => JsonObject::read(tool, ["name"]).ok().and_then(|tool| tool.string("name")),
        };
        name.is_some_and(|name: String| (self.may_list)(&name))
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

/// All members of an object, in order.
pub(super) struct AllMembers<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for AllMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AllMembersVisitor)
    }
}

struct AllMembersVisitor;

impl<'de> Visitor<'de> for AllMembersVisitor {
    type Value = AllMembers<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AllMembers<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(AllMembers(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<Option<String>, Unreadable> {
        without_hidden_tools(text, &|name| name.starts_with("get_"))
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
