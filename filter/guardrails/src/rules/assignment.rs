//! Values that are assigned to names such as `password` or `api_key`, and bearer tokens.

use crate::class::{self, ALPHA, DIGIT, LOWER, QUOTED, SPACE, UPPER, VALUE};
use crate::cursor::Cursor;
use crate::detector::DetectorId;
use crate::dictionary::Keyword;
use crate::rules::secret::{distinct, is_placeholder};
use crate::sink::Sink;

const LONGEST: usize = 128;
/// Bytes of a value that tell whether it is one.
const PROBE: usize = 32;

/// `password = …`: at least eight characters of three kinds.
pub(crate) fn password(sink: &mut Sink<'_>, keyword: Keyword) {
    assigned(sink, keyword, DetectorId::AssignedPassword, |value| value.len() >= 8 && kinds(value) >= 3);
}

/// `api_key: …`: at least sixteen characters, letters and digits.
pub(crate) fn key(sink: &mut Sink<'_>, keyword: Keyword) {
    assigned(sink, keyword, DetectorId::AssignedKey, is_key);
}

/// `Authorization: Bearer …`
pub(crate) fn bearer(sink: &mut Sink<'_>, keyword: Keyword) {
    if !sink.wants(DetectorId::AssignedKey) {
        return;
    }
    sink.attempt(keyword.end, |cursor| {
        if !cursor.eat(b' ') {
            return None;
        }
        cursor.mark();
        let start = cursor.at();
        let value = cursor.run(class::URL_SAFE | class::PADDED | class::DOT, LONGEST);
        is_key(value).then(|| (DetectorId::AssignedKey, start..cursor.at()))
    });
}

fn is_key(value: &[u8]) -> bool {
    value.len() >= 16
        && kinds(value) >= 2
        && value.iter().any(|byte| class::is(*byte, ALPHA))
        && distinct(value) >= 8
}

/// How many of small letters, capitals, digits and signs a value has; at most one if it has no digit, since it
/// is then a name, a path or a call.
fn kinds(value: &[u8]) -> usize {
    let classes = value.iter().fold(0, |classes, byte| classes | class::class(*byte) | sign(*byte));
    if classes & DIGIT == 0 {
        return 1;
    }
    [LOWER, UPPER, DIGIT, class::SPACE].into_iter().filter(|kind| classes & kind != 0).count()
}

/// Counts signs as spaces, which no value has.
fn sign(byte: u8) -> class::Class {
    if class::is(byte, class::ALNUM) { 0 } else { class::SPACE }
}

/// Whether the first bytes of a value are no word for one.
fn looks_random(value: &[u8], fits: impl FnOnce(&[u8]) -> bool) -> bool {
    let probe = value.get(..PROBE).unwrap_or(value);
    fits(probe) && distinct(probe) >= 5 && !is_placeholder(probe)
}

fn assigned(sink: &mut Sink<'_>, keyword: Keyword, detector: DetectorId, fits: impl FnOnce(&[u8]) -> bool) {
    if !sink.wants(detector) {
        return;
    }
    let limit = keyword.end;
    sink.attempt(keyword.end, |cursor| {
        quote(cursor);
        spaces(cursor);
        if !operator(cursor) {
            return None;
        }
        spaces(cursor);
        let quoted = quote(cursor);
        cursor.mark();
        let start = cursor.at();
        let value = if quoted { cursor.run(QUOTED, LONGEST) } else { unquoted(cursor, start) };
        let value = value.strip_suffix(b".").filter(|_| !quoted).unwrap_or(value);
        let end = start.saturating_add(value.len());
        let literal = |cursor: &mut Cursor<'_>| {
            !matches!(cursor.peek(), Some(b'(' | b'[' | b'{' | b'<'))
                && !value.first().is_some_and(|byte| b"$%&*:=".contains(byte))
                && !is_path(value)
                && !value.windows(2).any(|pair| matches!(pair, b"::" | b"->" | b"${"))
                && !value.windows(3).any(|part| part.eq_ignore_ascii_case(b"env") || part == b"://")
        };
        let near = start.saturating_sub(limit) <= 16;
        (near && looks_random(value, fits) && literal(cursor)).then_some((detector, start..end))
    });
}

/// Whether a value is a name of something in code: `config.token_v2.value`, `MSV1_0_PROTOCOL_MESSAGE_TYPE`.
fn is_path(value: &[u8]) -> bool {
    let letters = |part: &[u8]| part.len() > 2 && part.iter().all(|byte| class::is(*byte, class::ALPHA));
    let name = |part: &[u8]| {
        let digits = part.iter().filter(|byte| class::is(**byte, DIGIT)).count();
        part.first().is_some_and(|byte| class::is(*byte, class::ALPHA)) && digits <= 1
    };
    let dotted = value.contains(&b'.') && value.split(|byte| *byte == b'.').all(name);
    let parts: Vec<&[u8]> = value.split(|byte| *byte == b'_').collect();
    let words = parts.iter().filter(|part| letters(part)).count();
    let snake = parts.len() > 2
        && words.saturating_mul(2) >= parts.len()
        && value.iter().all(|byte| class::is(*byte, class::WORD));
    dotted || snake
}

/// Reads a value, and the padding of base64 after it.
fn unquoted<'a>(cursor: &mut Cursor<'a>, start: usize) -> &'a [u8] {
    cursor.run(VALUE, LONGEST);
    let end = cursor.at();
    let _ = cursor.eat(b'=') && cursor.eat(b'=');
    if cursor.next_is(VALUE | class::PADDED) {
        cursor.go(end);
    }
    cursor.since(start)
}

/// Skips a quote, which may be escaped. Says whether there was one.
fn quote(cursor: &mut Cursor<'_>) -> bool {
    cursor.eat(b'\\');
    cursor.peek().is_some_and(|byte| matches!(byte, b'"' | b'\'' | b'`')) && {
        cursor.skip(1);
        true
    }
}

fn spaces(cursor: &mut Cursor<'_>) {
    cursor.run(SPACE, 4);
}

/// Skips `=`, `:`, `:=`, `=>` or ` is `.
fn operator(cursor: &mut Cursor<'_>) -> bool {
    if cursor.eat(b':') || cursor.eat(b'=') {
        let _ = cursor.eat(b'=') || cursor.eat(b'>');
        return true;
    }
    cursor.literal_any_case("is ")
}
