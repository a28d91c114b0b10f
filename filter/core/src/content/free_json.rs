//! Finds the strings of any JSON: what tools are called with, and what they give back. It may come in pieces, as
//! a stream's tool arguments do, and nest as deeply as it likes.

use crate::request::body::closing_quote;

/// The state at the next byte.
#[derive(Clone, Debug, Default)]
pub(super) struct FreeJson {
    /// Whether each of the open containers is an object.
    containers: Vec<bool>,
    /// The next string is a member's name.
    naming: bool,
    /// Within a string, which is a name or not.
    string: Option<bool>,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FreePiece {
    /// Some of a string: from this offset to its quote, or to the end of the text.
    String { start: usize, end: usize, is_name: bool, is_closed: bool },
    /// The value has ended before this offset.
    End(usize),
    /// The text has ended.
    More,
    /// Not JSON from this offset on.
    Malformed(usize),
}

/// A container that nests more deeply makes the text malformed.
const MAX_DEPTH: usize = 100_000;

impl FreeJson {
    /// The next piece after the offset; the caller goes on behind it.
    pub(super) fn next(&mut self, text: &str, mut at: usize) -> FreePiece {
        if let Some(is_name) = self.string {
            return self.string(text, at, is_name);
        }
        while let Some(byte) = text.as_bytes().get(at) {
            let next = at.saturating_add(1);
            match byte {
                b'"' => {
                    let is_name = std::mem::take(&mut self.naming);
                    self.string = Some(is_name);
                    return self.string(text, next, is_name);
                }
                b'{' | b'[' if self.containers.len() < MAX_DEPTH => {
                    self.containers.push(*byte == b'{');
                    self.naming = *byte == b'{';
                }
                b'}' | b']' => {
                    if self.containers.pop() != Some(*byte == b'}') {
                        return FreePiece::Malformed(at);
                    }
                    self.naming = false;
                    if self.containers.is_empty() {
                        return FreePiece::End(next);
                    }
                }
                b',' => self.naming = self.containers.last() == Some(&true),
                b':' | b' ' | b'\t' | b'\r' | b'\n' => {}
                b'0'..=b'9' | b'a'..=b'z' | b'+' | b'-' | b'.' | b'E' if !self.containers.is_empty() => {}
                _ => return FreePiece::Malformed(at),
            }
            at = next;
        }
        FreePiece::More
    }

    fn string(&mut self, text: &str, start: usize, is_name: bool) -> FreePiece {
        let rest = text.get(start..).unwrap_or_default();
        match closing_quote(rest) {
            Some(length) => {
                self.string = None;
                FreePiece::String { start, end: start.saturating_add(length), is_name, is_closed: true }
            }
            None => FreePiece::String { start, end: text.len(), is_name, is_closed: false },
        }
    }

    /// Whether the value is a string that has ended.
    pub(super) fn is_outside(&self) -> bool {
        self.containers.is_empty() && self.string.is_none()
    }
}
