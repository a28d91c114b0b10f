//! Passwords in URLs, and webhooks whose address is the secret.

use crate::class::{self, ALNUM, QUOTED};
use crate::detector::DetectorId;
use crate::dictionary::Keyword;
use crate::rules::secret::is_placeholder;
use crate::sink::Sink;

/// What stands for a password in examples, in lower case.
const EXAMPLES: [&[u8]; 16] = [
    b"pass",
    b"password",
    b"passwd",
    b"pwd",
    b"pw",
    b"secret",
    b"user",
    b"username",
    b"token",
    b"postgres",
    b"root",
    b"admin",
    b"guest",
    b"test",
    b"mysql",
    b"key",
];

/// The password of `scheme://user:password@host`, at the `://`.
pub(crate) fn password(sink: &mut Sink<'_>, keyword: Keyword) {
    let scheme = keyword.start.checked_sub(1).and_then(|at| sink.bytes.get(at));
    if !sink.wants(DetectorId::UrlPassword) || !scheme.is_some_and(|byte| class::is(*byte, ALNUM)) {
        return;
    }
    sink.attempt(keyword.start, |cursor| {
        cursor.go(keyword.end);
        cursor.mark();
        let user_start = cursor.at();
        while cursor.at().saturating_sub(user_start) < 64 && user(cursor.peek()) {
            cursor.skip(1);
        }
        let user = cursor.since(user_start);
        if !cursor.eat(b':') {
            return None;
        }
        cursor.mark();
        let start = cursor.at();
        while cursor.at().saturating_sub(start) < 128 && password_byte(cursor.peek()) {
            cursor.skip(1);
        }
        let password = cursor.since(start);
        let span = start..cursor.at();
        let host = cursor.eat(b'@') && (cursor.next_is(ALNUM) || cursor.peek() == Some(b'['));
        let example = EXAMPLES.contains(&password.to_ascii_lowercase().as_slice())
            || password == user
            || password.iter().all(|byte| matches!(byte, b'*' | b'x' | b'X' | b'.'))
            || matches!(password.first(), Some(b'$' | b'%'))
            || password.len() > 7 && is_placeholder(password);
        (host && password.len() > 2 && !example).then_some((DetectorId::UrlPassword, span))
    });
}

fn user(byte: Option<u8>) -> bool {
    byte.is_some_and(|byte| class::is(byte, ALNUM) || b"._~%!+-".contains(&byte))
}

fn password_byte(byte: Option<u8>) -> bool {
    byte.is_some_and(|byte| class::is(byte, QUOTED) && !b"/@?#<>{}[]()".contains(&byte))
}
