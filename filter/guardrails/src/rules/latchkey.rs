//! Latchkey's own keys: `sk-quilr-` and 32 characters; for a named key also `:ss1.`, 43 characters, a dot and 32.

use crate::class::URL_SAFE;
use crate::detector::DetectorId;
use crate::dictionary::Keyword;
use crate::rules::secret::is_placeholder;
use crate::sink::Sink;

pub(crate) fn key(sink: &mut Sink<'_>, keyword: Keyword) {
    if !sink.wants(DetectorId::LatchkeyKey) {
        return;
    }
    sink.attempt(keyword.start, |cursor| {
        cursor.go(keyword.end);
        let secret = cursor.run(URL_SAFE, 33);
        if secret.len() != 32 || is_placeholder(secret) {
            return None;
        }
        let app_key_end = cursor.at();
        let named = cursor.literal(":ss1.")
            && cursor.run(URL_SAFE, 43).len() == 43
            && cursor.eat(b'.')
            && cursor.run(URL_SAFE, 32).len() == 32;
        let end = if named { cursor.at() } else { app_key_end };
        Some((DetectorId::LatchkeyKey, keyword.start..end))
    });
}
