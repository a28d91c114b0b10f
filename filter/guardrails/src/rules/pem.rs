//! Private keys in PEM, also percent-encoded.

use crate::class::{self, ALNUM, DIGIT, PADDED, SPACE, UPPER};
use crate::cursor::Cursor;
use crate::detector::DetectorId;
use crate::dictionary::Keyword;
use crate::sink::Sink;

/// Bytes of the longest key that is found whole.
const LONGEST: usize = 7 * 1024;
/// Words of the longest label.
const MOST_WORDS: usize = 8;

/// Tries a key at its first dash. Without an end, as in a text that was cut, the key goes as far as its lines.
pub(crate) fn private_key(sink: &mut Sink<'_>, keyword: Keyword) {
    let before = keyword.start.checked_sub(1).and_then(|at| sink.bytes.get(at));
    if !sink.wants(DetectorId::PrivateKey) || before == Some(&b'-') {
        return;
    }
    sink.attempt(keyword.start, |cursor| {
        let begins = cursor.literal("-----BEGIN") && gap(cursor) && names_private_key(cursor);
        if !begins || !cursor.literal("-----") {
            return None;
        }
        let end = body(cursor, keyword.start)?;
        Some((DetectorId::PrivateKey, keyword.start..end))
    });
}

/// Reads what is between two words.
fn gap(cursor: &mut Cursor<'_>) -> bool {
    cursor.eat(b' ') || cursor.eat(b'+') || cursor.literal("%20")
}

/// Reads a label, and says whether it is that of a private key.
fn names_private_key(cursor: &mut Cursor<'_>) -> bool {
    let mut last: [&[u8]; 3] = Default::default();
    for _ in 0..MOST_WORDS {
        let [_, second, third] = last;
        last = [second, third, cursor.run(UPPER | DIGIT, 24)];
        if !gap(cursor) {
            break;
        }
    }
    matches!(last, [_, b"PRIVATE", b"KEY"] | [b"PRIVATE", b"KEY", b"BLOCK"])
}

/// What percent encoding makes of a line's end, of the signs of base64, and of what stands between lines.
const ESCAPES: [&str; 11] = ["%0A", "%0D", "%20", "%2B", "%2F", "%3D", "%5C", "%3A", "%2C", "%22", "%27"];

fn escape(cursor: &mut Cursor<'_>) -> bool {
    ESCAPES.iter().any(|escape| cursor.literal_any_case(escape))
}

/// Reads the lines of a key, and gives where it ends.
fn body(cursor: &mut Cursor<'_>, start: usize) -> Option<usize> {
    let mut end = None;
    while cursor.at().saturating_sub(start) < LONGEST {
        let line = cursor.run(ALNUM | PADDED, 1024);
        if line.len() >= 16 {
            end = Some(cursor.at());
        }
        match cursor.peek() {
            Some(b'-') if cursor.peek_at(1) == Some(b'-') => return end_line(cursor, end),
            Some(byte) if class::is(byte, SPACE) || b"\\-:,\"'+".contains(&byte) => cursor.skip(1),
            Some(byte) if class::is(byte, ALNUM | PADDED) || (byte == b'%' && escape(cursor)) => {}
            _ => return end,
        }
    }
    end
}

/// Reads `-----END … PRIVATE KEY-----`.
fn end_line(cursor: &mut Cursor<'_>, body: Option<usize>) -> Option<usize> {
    if !cursor.literal("-----END") || !gap(cursor) {
        return body;
    }
    names_private_key(cursor);
    if cursor.literal("-----") { body.map(|_| cursor.at()) } else { body }
}
