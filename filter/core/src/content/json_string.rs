//! The strings of JSON: decoded, and with a way back from the decoded text to the bytes that came.

use std::fmt::Write;

use memchr::memchr;

use super::editor::Replacement;
use crate::request::body::next_escape;

/// Decodes what is between a string's quotes. Half a surrogate pair, or an escape that is none, becomes U+FFFD.
pub(super) fn decode<'a>(raw: &'a str, buffer: &'a mut String) -> &'a str {
    if memchr(b'\\', raw.as_bytes()).is_none() {
        return raw;
    }
    buffer.clear();
    buffer.reserve(raw.len());
    append_decoded(raw, buffer);
    buffer
}

pub(super) fn append_decoded(raw: &str, text: &mut String) {
    let mut rest = raw;
    while let Some((plain, escape)) =
        rest.split_at_checked(next_escape(rest.as_bytes()).unwrap_or(rest.len()))
    {
        text.push_str(plain);
        let Some((char, source)) = unescape(escape) else { return };
        text.push(char);
        rest = escape.get(source..).unwrap_or_default();
    }
}

/// Moves replacements in a decoded text, whose order is that of the text, to the source between the quotes.
pub(super) fn in_source(raw: &str, replacements: Vec<Replacement>) -> Vec<Replacement> {
    let mut offsets = SourceOffsets::new(raw);
    let mut moved = replacements;
    for Replacement { span, text } in &mut moved {
        *span = offsets.at(span.start)..offsets.at(span.end);
        if text.bytes().any(|byte| byte < b' ' || matches!(byte, b'"' | b'\\')) {
            *text = escape(text);
        }
    }
    moved
}

/// Finds offsets in a string's source by offsets in its decoded text, each at or after the one before.
pub(super) struct SourceOffsets<'a> {
    runs: Runs<'a>,
    run: Option<Run<'a>>,
    decoded: usize,
    source: usize,
}

impl<'a> SourceOffsets<'a> {
    pub(super) fn new(raw: &'a str) -> Self {
        let mut runs = Runs(raw);
        let run = runs.next();
        Self { runs, run, decoded: 0, source: 0 }
    }

    pub(super) fn at(&mut self, decoded: usize) -> usize {
        while let Some(run) = self.run {
            let ahead = decoded.saturating_sub(self.decoded);
            let (text, source) = match run {
                _ if ahead == 0 => break,
                Run::Plain(plain) if ahead < plain.len() => return self.source.saturating_add(ahead),
                Run::Plain(plain) => (plain.len(), plain.len()),
                Run::Escape { char, source } => (char.len_utf8(), source),
            };
            self.decoded = self.decoded.saturating_add(text);
            self.source = self.source.saturating_add(source);
            self.run = self.runs.next();
        }
        self.source
    }
}

/// The source of a string between its quotes, as plain text and escapes.
struct Runs<'a>(&'a str);

#[derive(Clone, Copy)]
enum Run<'a> {
    Plain(&'a str),
    Escape {
        char: char,
        /// Bytes of the source.
        source: usize,
    },
}

impl<'a> Iterator for Runs<'a> {
    type Item = Run<'a>;

    fn next(&mut self) -> Option<Run<'a>> {
        let end = next_escape(self.0.as_bytes()).unwrap_or(self.0.len());
        if end > 0 {
            let (plain, rest) = self.0.split_at_checked(end)?;
            self.0 = rest;
            return Some(Run::Plain(plain));
        }
        let (char, source) = unescape(self.0)?;
        self.0 = self.0.get(source..)?;
        Some(Run::Escape { char, source })
    }
}

/// The character of the escape at the beginning, and its length.
fn unescape(text: &str) -> Option<(char, usize)> {
    let char = match text.as_bytes() {
        [] => return None,
        [_, b'n', ..] => '\n',
        [_, b'"', ..] => '"',
        [_, b'\\', ..] => '\\',
        [_, b't', ..] => '\t',
        [_, b'/', ..] => '/',
        [_, b'r', ..] => '\r',
        [_, b'b', ..] => '\u{8}',
        [_, b'f', ..] => '\u{c}',
        [_, b'u', ..] => return Some(unicode(text)),
        [_, ..] => {
            let other = text.get(1..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
            return Some((char::REPLACEMENT_CHARACTER, other.saturating_add(1)));
        }
    };
    Some((char, 2))
}

fn unicode(text: &str) -> (char, usize) {
    let Some(unit) = unit(text) else { return (char::REPLACEMENT_CHARACTER, 2) };
    if let Some(char) = char::from_u32(unit) {
        return (char, 6);
    }
    let low = text.get(6..).and_then(self::unit).filter(|_| is_high(unit));
    let units = [u16::try_from(unit).ok(), low.and_then(|low| u16::try_from(low).ok())];
    match char::decode_utf16(units.into_iter().flatten()).next() {
        Some(Ok(char)) => (char, 12),
        _ => (char::REPLACEMENT_CHARACTER, 6),
    }
}

fn is_high(unit: u32) -> bool {
    (0xd800..0xdc00).contains(&unit)
}

/// The code unit of `\uXXXX` at the beginning.
fn unit(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
}

/// The length of the source up to an escape that what comes next may complete: part of one, or the first half of
/// a surrogate pair.
pub(super) fn complete_until(raw: &str) -> usize {
    let (mut at, mut half) = (0_usize, None);
    for run in Runs(raw) {
        let tail = raw.get(at..).unwrap_or_default();
        let length = match run {
            Run::Plain(plain) => {
                half = None;
                plain.len()
            }
            Run::Escape { .. } if is_partial(tail) => return half.unwrap_or(at),
            Run::Escape { source, .. } => {
                half = (source == 6 && unit(tail).is_some_and(is_high)).then_some(at);
                source
            }
        };
        at = at.saturating_add(length);
    }
    half.unwrap_or(raw.len())
}

fn is_partial(tail: &str) -> bool {
    match tail.strip_prefix("\\u") {
        Some(digits) => digits.len() < 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()),
        None => tail == "\\",
    }
}

/// A text as it stands between quotes.
pub(super) fn escape(text: &str) -> String {
    let mut source = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '"' => source.push_str("\\\""),
            '\\' => source.push_str("\\\\"),
            '\n' => source.push_str("\\n"),
            '\r' => source.push_str("\\r"),
            '\t' => source.push_str("\\t"),
            '\0'..='\u{1f}' => {
                // Writing to a string does not fail.
                let _ = write!(source, "\\u{:04x}", u32::from(char));
            }
            char => source.push(char),
        }
    }
    source
}
