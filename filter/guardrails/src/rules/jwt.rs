//! JSON Web Tokens: three parts, the first of which decodes to a header.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::class::{self, URL_SAFE};
use crate::detector::DetectorId;
use crate::dictionary::Keyword;
use crate::sink::Sink;

/// Tries a token at its `eyJ`, which is `{"`.
pub(crate) fn token(sink: &mut Sink<'_>, keyword: Keyword) {
    let joined = keyword
        .start
        .checked_sub(1)
        .and_then(|at| sink.bytes.get(at))
        .is_some_and(|byte| class::is(*byte, URL_SAFE));
    if joined || !sink.wants(DetectorId::Jwt) {
        return;
    }
    sink.attempt(keyword.start, |cursor| {
        let header = cursor.run(URL_SAFE, 1024);
        if !has_algorithm(header) || !cursor.eat(b'.') {
            return None;
        }
        let payload = cursor.run(URL_SAFE, 4096);
        if payload.len() < 8 || !cursor.eat(b'.') {
            return None;
        }
        cursor.run(URL_SAFE, 1024);
        (!cursor.next_is(URL_SAFE)).then(|| (DetectorId::Jwt, keyword.start..cursor.at()))
    });
}

fn has_algorithm(header: &[u8]) -> bool {
    let decoded = URL_SAFE_NO_PAD.decode(header).unwrap_or_default();
    decoded.starts_with(b"{\"")
        && decoded.windows(5).any(|part| part == b"\"alg\"")
        && decoded.ends_with(b"}")
}
