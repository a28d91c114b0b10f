//! Reads forward through a text, and notes whether its end was seen.

use crate::class::{self, Class};

/// A place in a text that a rule reads from.
///
/// A rule reads what comes only through this. So a rule that never asked for a byte past the end has decided
/// for good, whatever text is appended.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where a match could begin if more text came.
    hold: usize,
    end_seen: bool,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, hold: at, end_seen: false }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Where a match could begin if more text came: nowhere, if the end played no part.
    pub(crate) fn undecided(&self) -> Option<usize> {
        self.end_seen.then_some(self.hold)
    }

    /// Goes back to a place that was read before.
    pub(crate) fn go(&mut self, at: usize) {
        self.at = at;
    }

    /// From here on, a match begins here at the earliest.
    pub(crate) fn mark(&mut self) {
        self.hold = self.at;
    }

    pub(crate) fn peek(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied();
        self.end_seen |= byte.is_none();
        byte
    }

    /// The byte `ahead` of the next one.
    pub(crate) fn peek_at(&mut self, ahead: usize) -> Option<u8> {
        let byte = self.bytes.get(self.at.saturating_add(ahead)).copied();
        self.end_seen |= byte.is_none();
        byte
    }

    pub(crate) fn next_is(&mut self, classes: Class) -> bool {
        self.peek().is_some_and(|byte| class::is(byte, classes))
    }

    pub(crate) fn skip(&mut self, count: usize) {
        self.at = self.at.saturating_add(count).min(self.bytes.len());
    }

    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.skip(1);
        }
        found
    }

    /// Reads `text` as it is written. Part of it counts as nothing read.
    pub(crate) fn literal(&mut self, text: &str) -> bool {
        self.prefix(text, |a, b| a == b)
    }

    /// Reads `text` in any case.
    pub(crate) fn literal_any_case(&mut self, text: &str) -> bool {
        self.prefix(text, |a, b| a.eq_ignore_ascii_case(&b))
    }

    fn prefix(&mut self, text: &str, same: impl Fn(u8, u8) -> bool) -> bool {
        for (ahead, expected) in text.bytes().enumerate() {
            match self.peek_at(ahead) {
                Some(byte) if same(byte, expected) => {}
                _ => return false,
            }
        }
        self.skip(text.len());
        true
    }

    /// Reads at most `most` bytes of these classes.
    pub(crate) fn run(&mut self, classes: Class, most: usize) -> &'a [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let limit = rest.get(..most).unwrap_or(rest);
        let length = limit.iter().position(|byte| !class::is(*byte, classes)).unwrap_or(limit.len());
        self.end_seen |= length == rest.len() && length < most;
        self.skip(length);
        limit.get(..length).unwrap_or_default()
    }

    /// What precedes the next byte.
    pub(crate) fn read(&self) -> &'a [u8] {
        self.bytes.get(..self.at).unwrap_or_default()
    }

    /// The next character. The bytes are a text.
    pub(crate) fn next_char(&mut self) -> Option<char> {
        self.peek()?;
        let rest = self.bytes.get(self.at..self.at.saturating_add(4).min(self.bytes.len()))?;
        rest.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next())
    }

    /// What was read from `start` to here.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }
}

/// Whether a word may begin at `at`: what precedes is no letter or digit, or an escape such as `\n` in a
/// string that is written inside another.
pub(crate) fn word_may_begin(bytes: &[u8], at: usize) -> bool {
    let behind = |back: usize| at.checked_sub(back).and_then(|i| bytes.get(i)).copied();
    match behind(1) {
        None => true,
        Some(b'n' | b't' | b'r') if behind(2) == Some(b'\\') => true,
        Some(byte) => !class::is(byte, class::ALNUM),
    }
}

/// Where a word begins whose first letter may belong to an escape such as `\n` in a string that is written
/// inside another.
pub(crate) fn after_escape(bytes: &[u8], start: usize) -> usize {
    let escaped = start.checked_sub(1).and_then(|i| bytes.get(i)) == Some(&b'\\');
    match bytes.get(start) {
        Some(b'n' | b't' | b'r') if escaped => start.saturating_add(1),
        _ => start,
    }
}
