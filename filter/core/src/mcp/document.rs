//! A JSON document that no two parsers read differently, read once: numbers are exact, and no object has a member
//! twice. What follows costs no more for how deeply it nests.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;

use memchr::memchr;
use serde::de::IgnoredAny;

use super::decimal::{Decimal, PLAIN_DIGITS};
use crate::request::body::{JsonCursor, folded_member};

/// Deeper documents are not read.
const DEEPEST: u8 = 64;

/// Longer documents are not read, in bytes.
pub const LONGEST_DOCUMENT: usize = 1 << 20;

/// A value of a document.
#[derive(Debug)]
pub(super) enum JsonNode<'a> {
    Object(Box<ObjectNode<'a>>),
    Array(Vec<Self>),
    /// Decoded.
    String(Cow<'a, str>),
    /// In its one spelling.
    Number(Cow<'a, str>),
    /// `true`, `false` or `null`.
    Literal(&'a str),
}

/// An object: each member once.
#[derive(Debug)]
pub(super) struct ObjectNode<'a> {
    /// In the order of the UTF-16 of their names.
    members: Vec<(Cow<'a, str>, JsonNode<'a>)>,
    /// Where the names are that a lenient reader takes for one: the first, and whether it is alone. Made when it is
    /// first needed.
    alike: OnceCell<BTreeMap<String, (usize, bool)>>,
}

/// A member of an object, as every reader finds it.
#[derive(Debug)]
pub(super) enum FoundMember<'n, 'a> {
    Value(&'n JsonNode<'a>),
    Missing,
    /// Some reader may find something else there.
    Unclear,
}

/// Why a document is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnreadDocument {
    /// Longer than [`LONGEST_DOCUMENT`].
    TooLong,
    /// It nests more than 64 levels.
    TooDeep,
    /// It is malformed, or has a member twice, half a surrogate pair or an absurd exponent.
    Unclear,
}

impl<'a> JsonNode<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, UnreadDocument> {
        if text.len() > LONGEST_DOCUMENT {
            return Err(UnreadDocument::TooLong);
        }
        let _: IgnoredAny = serde_json::from_str(text).map_err(|_| UnreadDocument::Unclear)?;
        Self::take(&mut JsonCursor(text), DEEPEST)
    }

    /// The next value of valid JSON.
    fn take(at: &mut JsonCursor<'a>, depth: u8) -> Result<Self, UnreadDocument> {
        let depth = depth.checked_sub(1).ok_or(UnreadDocument::TooDeep)?;
        let unclear = UnreadDocument::Unclear;
        match at.peek().ok_or(unclear)? {
            b'{' => {
                at.take(1).ok_or(unclear)?;
                let mut members = Vec::new();
                while at.peek().ok_or(unclear)? != b'}' {
                    let name = string(at).ok_or(unclear)?;
                    at.peek().and_then(|_| at.take(1)).ok_or(unclear)?;
                    members.push((name, Self::take(at, depth)?));
                    at.comma().ok_or(unclear)?;
                }
                at.take(1).ok_or(unclear)?;
                ObjectNode::of(members).map(|object| Self::Object(Box::new(object))).ok_or(unclear)
            }
            b'[' => {
                at.take(1).ok_or(unclear)?;
                let mut elements = Vec::new();
                while at.peek().ok_or(unclear)? != b']' {
                    elements.push(Self::take(at, depth)?);
                    at.comma().ok_or(unclear)?;
                }
                at.take(1).ok_or(unclear)?;
                Ok(Self::Array(elements))
            }
            b'"' => string(at).map(Self::String).ok_or(unclear),
            first => {
                let text = at.written().ok_or(unclear)?;
                #[cfg(test)]
                tests::note_read(text.len());
                match first {
                    b't' | b'f' | b'n' => Ok(Self::Literal(text)),
                    _ => number(text).map(Self::Number).ok_or(unclear),
                }
            }
        }
    }

    /// The document in canonical form; none where it cannot be written.
    pub(super) fn canonical(&self) -> Option<String> {
        let mut out = String::new();
        self.put(&mut out)?;
        Some(out)
    }

    fn put(&self, out: &mut String) -> Option<()> {
        match self {
            Self::Object(object) => {
                let mut separator = '{';
                for (name, value) in &object.members {
                    out.push(std::mem::replace(&mut separator, ','));
                    put_string(out, name)?;
                    out.push(':');
                    value.put(out)?;
                }
                out.push_str(if separator == '{' { "{}" } else { "}" });
            }
            Self::Array(elements) => {
                let mut separator = '[';
                for element in elements {
                    out.push(std::mem::replace(&mut separator, ','));
                    element.put(out)?;
                }
                out.push_str(if separator == '[' { "[]" } else { "]" });
            }
            Self::String(text) => put_string(out, text)?,
            Self::Number(text) => out.push_str(text),
            Self::Literal(text) => out.push_str(text),
        }
        Some(())
    }
}

impl<'a> ObjectNode<'a> {
    /// None where two members have one name.
    fn of(mut members: Vec<(Cow<'a, str>, JsonNode<'a>)>) -> Option<Self> {
        members.sort_unstable_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
        let is_twice = members.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a == b));
        (!is_twice).then(|| Self { members, alike: OnceCell::new() })
    }

    /// The member of this name.
    pub(super) fn find(&self, name: &str) -> FoundMember<'_, 'a> {
        let alike = self.alike.get_or_init(|| {
            let mut alike = BTreeMap::new();
            for (index, (name, _)) in self.members.iter().enumerate() {
                alike
                    .entry(folded_member(name))
                    .and_modify(|(_, is_alone)| *is_alone = false)
                    .or_insert((index, true));
            }
            alike
        });
        let Some((index, is_alone)) = alike.get(&folded_member(name)) else { return FoundMember::Missing };
        match self.members.get(*index) {
            Some((found, value)) if *is_alone && found == name => FoundMember::Value(value),
            _ => FoundMember::Unclear,
        }
    }
}

/// The string at the cursor, decoded; none where there is none, or one with half a surrogate pair.
pub(super) fn string<'a>(at: &mut JsonCursor<'a>) -> Option<Cow<'a, str>> {
    at.peek()?;
    let before = at.0;
    let raw = at.string()?;
    #[cfg(test)]
    tests::note_read(raw.len());
    if memchr(b'\\', raw.as_bytes()).is_none() {
        return Some(Cow::Borrowed(raw));
    }
    let quoted = before.get(..raw.len().checked_add(2)?)?;
    serde_json::from_str(quoted).ok().map(Cow::Owned)
}

/// A number in its one spelling.
fn number(text: &str) -> Option<Cow<'_, str>> {
    let is_plain = text.len() <= usize::from(PLAIN_DIGITS) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_plain && (text == "0" || !text.starts_with('0')) {
        return Some(Cow::Borrowed(text));
    }
    Decimal::parse(text).map(|number| Cow::Owned(number.to_string()))
}

fn put_string(out: &mut String, text: &str) -> Option<()> {
    if text.bytes().any(|byte| byte < b' ' || matches!(byte, b'"' | b'\\')) {
        out.push_str(&serde_json::to_string(text).ok()?);
    } else {
        out.push('"');
        out.push_str(text);
        out.push('"');
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    /// A document of so many bytes that nests so deeply, with members around its text.
    fn nested(depth: usize, bytes: usize) -> String {
        let text = "x".repeat(bytes);
        [&r#"{"a":0,"b":"#.repeat(depth), "\"", &text, "\"", &"}".repeat(depth)].concat()
    }

    #[test]
    fn what_is_too_long_or_too_deep_is_told_apart() {
        let read = |text: &str| JsonNode::read(text).map(|node| node.canonical().unwrap());
        assert_eq!(read(&nested(63, 10)), Ok(nested(63, 10)));
        assert_eq!(read(&nested(64, 10)), Err(UnreadDocument::TooDeep));
        assert_eq!(read(&"[".repeat(1 << 19)), Err(UnreadDocument::Unclear));
        let deep = ["[".repeat(1 << 19), "]".repeat(1 << 19)].concat();
        assert_eq!(read(&deep), Err(UnreadDocument::TooDeep));
        let longest = format!("\"{}\"", "x".repeat(LONGEST_DOCUMENT - 2));
        assert_eq!(read(&longest), Ok(longest.clone()));
        assert_eq!(read(&format!("{longest} ")), Err(UnreadDocument::TooLong));
        assert_eq!(read(r#"{"a":1,"\u0061":1}"#), Err(UnreadDocument::Unclear));
    }

    thread_local! {
        /// The bytes of all values and names that were read.
        static READ: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn note_read(bytes: usize) {
        READ.set(READ.get() + bytes);
    }

    #[test]
    fn each_byte_is_read_once_however_deeply_it_stands() {
        for depth in [1, 8, 63] {
            let text = nested(depth, 100_000);
            READ.set(0);
            JsonNode::read(&text).unwrap();
            assert_eq!(READ.get(), 100_000 + 3 * depth, "{depth}");
        }
    }

    #[test]
    fn a_member_is_found_where_every_reader_finds_it() {
        let find = |text: &str, name: &str| {
            let JsonNode::Object(object) = JsonNode::read(text).unwrap() else { panic!("{text}") };
            match object.find(name) {
                FoundMember::Value(value) => value.canonical().unwrap(),
                FoundMember::Missing => "missing".to_owned(),
                FoundMember::Unclear => "unclear".to_owned(),
            }
        };
        assert_eq!(find(r#"{"re\u0070o":[1, 2],"x":0}"#, "repo"), "[1,2]");
        assert_eq!(find("{}", "repo"), "missing");
        for name in ["Repo", " repo", "repo[0]", "re\\u200bpo", "\\uff52epo", "repo\\u0000", "REPO\\t"] {
            assert_eq!(find(&format!(r#"{{"{name}":1}}"#), "repo"), "unclear", "{name}");
            assert_eq!(find(&format!(r#"{{"repo":1,"{name}":1}}"#), "repo"), "unclear", "{name}");
        }
        assert_eq!(find(r#"{"repoName":1,"repo_name":2}"#, "repo"), "missing");
    }

    proptest! {
        #[test]
        fn numbers_have_one_spelling_whichever_way_they_are_read(text in "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,3})?(e[0-9]{1,2})?") {
            let expected = Decimal::parse(&text).unwrap().to_string();
            prop_assert_eq!(number(&text).unwrap().into_owned(), expected);
        }
    }
}
