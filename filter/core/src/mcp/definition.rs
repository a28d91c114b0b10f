//! A tool's definition, and its fingerprint. The gate and the control plane share both.

use sha2::{Digest as _, Sha256};

use super::canonical::canonical;
use crate::request::body::JsonObject;
use crate::snapshot::ToolHash;

/// The longest definition that is reported and kept, in bytes of its canonical form. Of a longer one there is the
/// fingerprint alone.
pub const LONGEST_DEFINITION: usize = 64 << 10;

/// A tool as its server lists it: all of its members, since any may reach a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolDefinition {
    pub name: String,
    /// Canonical JSON.
    pub text: String,
    /// Of the text.
    pub hash: ToolHash,
}

impl ToolDefinition {
    /// Reads an object; none where it has no name, or could be read in two ways.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let name = JsonObject::read(text, ["name"]).ok()?.string("name")?;
        let text = canonical(text)?;
        let hash = fingerprint(&text);
        Some(Self { name, text, hash })
    }
}

/// SHA-256 of a definition's canonical form, or of one that has none as it is written.
pub(super) fn fingerprint(text: &str) -> ToolHash {
    ToolHash(Sha256::digest(text).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_told_by_all_of_its_members() {
        let read = |text: &str| ToolDefinition::read(text).unwrap();
        let tool = read(r#"{"name":"add","description":"Adds.","inputSchema":{"type":"object"}}"#);
        assert_eq!(
            (tool.name.as_str(), tool.hash.to_string().as_str()),
            ("add", "721f6e658ca53e1b1b89cd7e9d2d73559454103c810d0fa15abf7dc2b3b7fc7f"),
        );
        let same =
            read(r#" {"inputSchema": {"type": "object"}, "description": "Add\u0073.", "na\u006de": "add"}"#);
        assert_eq!(same, tool);
        for other in [
            r#"{"name":"add","description":"Adds!","inputSchema":{"type":"object"}}"#,
            r#"{"name":"add","description":"Adds.","inputSchema":{"type":"object"},"title":"Add"}"#,
            r#"{"name":"add","description":"Adds.","inputSchema":{"type":"object"},"outputSchema":{}}"#,
            r#"{"name":"add","description":"Adds.","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true}}"#,
            r#"{"name":"add","description":"Adds.","inputSchema":{"type":"object"},"_meta":{"a":1}}"#,
        ] {
            assert_ne!(read(other).hash, tool.hash, "{other}");
        }
    }

    #[test]
    fn what_is_no_tool_or_an_ambiguous_one_has_no_definition() {
        for text in [
            "[]",
            "\"add\"",
            "{}",
            r#"{"name":7}"#,
            r#"{"name":"a","Name":"b"}"#,
            r#"{"name":"a","description":"x","description":"y"}"#,
            r#"{"name":"a","inputSchema":{"type":"object","type":"object"}}"#,
        ] {
            assert_eq!(ToolDefinition::read(text), None, "{text}");
        }
    }
}
