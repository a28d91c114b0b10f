//! Private keys in PEM.

use crate::class::{self, ALNUM, DIGIT, PADDED, SPACE, UPPER};
use crate::cursor::Cursor;
use crate::detector::DetectorId;
use crate::dictionary::Keyword;
use crate::sink::Sink;

/// Bytes of the longest key that is found whole.
const LONGEST: usize = 7 * 1024;

/// Tries a key at its first dash. Without an end, as in a text that was cut, the key goes as far as its lines.
pub(crate) fn private_key(sink: &mut Sink<'_>, keyword: Keyword) {
    let before = keyword.start.checked_sub(1).and_then(|at| sink.bytes.get(at));
    if !sink.wants(DetectorId::PrivateKey) || before == Some(&b'-') {
        return;
    }
    sink.attempt(keyword.start, |cursor| {
        if !cursor.literal("-----BEGIN ") {
            return None;
        }
        let label = cursor.run(UPPER | DIGIT | SPACE, 48);
        let private = label.ends_with(b"PRIVATE KEY") || label.ends_with(b"PRIVATE KEY BLOCK");
        if !private || !cursor.literal("-----") {
            return None;
        }
        let end = body(cursor, keyword.start)?;
        Some((DetectorId::PrivateKey, keyword.start..end))
    });
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
            Some(byte) if class::is(byte, ALNUM | PADDED) => {}
            _ => return end,
        }
    }
    end
}

/// Reads `-----END … PRIVATE KEY-----`.
fn end_line(cursor: &mut Cursor<'_>, body: Option<usize>) -> Option<usize> {
    if !cursor.literal("-----END ") {
        return body;
    }
    cursor.run(UPPER | DIGIT | SPACE, 52);
    if cursor.literal("-----") { body.map(|_| cursor.at()) } else { body }
}
