//! Values that are assigned to names such as `password` or `api_key`, and bearer tokens.

use crate::class::{self, ALPHA, DIGIT, LOWER, SPACE, UPPER, VALUE};
use crate::cursor::Cursor;
use crate::detector::DetectorId;
use crate::dictionary::Keyword;
use crate::rules::secret::{distinct, is_placeholder};
use crate::sink::Sink;

const LONGEST: usize = 200;

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
    let has = |classes| value.iter().any(|byte| class::is(*byte, classes));
    let signs = value.iter().any(|byte| !class::is(*byte, class::ALNUM));
    if !has(DIGIT) {
        return 1;
    }
    [has(LOWER), has(UPPER), has(DIGIT), signs].into_iter().filter(|kind| *kind).count()
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
        let value = cursor.run(VALUE, LONGEST);
        let value = value.strip_suffix(b".").filter(|_| !quoted).unwrap_or(value);
        let end = start.saturating_add(value.len());
        let literal = !matches!(cursor.peek(), Some(b'(' | b'[' | b'{' | b'<'))
            && !value.first().is_some_and(|byte| b"$%&*:=".contains(byte))
            && !value.windows(2).any(|pair| matches!(pair, b"::" | b"->" | b"${"))
            && !value.windows(3).any(|part| part.eq_ignore_ascii_case(b"env") || part == b"://");
        let near = start.saturating_sub(limit) <= 16;
        (near && literal && !is_placeholder(value) && distinct(value) >= 5 && fits(value))
            .then_some((detector, start..end))
    });
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
