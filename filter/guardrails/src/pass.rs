//! One pass over the bytes that calls rules where they may begin.

use crate::class::{self, ALNUM, ALPHA, BASE64, Class, DIGIT, EVENT, HEX, LOCAL, LOWER, UPPER, class};
use crate::detector::DetectorId;
use crate::dictionary::Keyword;
use crate::rules::{card, email, ip, long_run, mixed, number, pem, phone, url};
use crate::sink::Sink;

pub(crate) fn run(sink: &mut Sink<'_>) {
    let bytes = sink.bytes;
    let dictionary = sink.dictionary;
    let mut before: Class = 0;
    let mut before_byte = 0;
    let mut run_start = 0;
    // Where a letter is the first after an escape such as `\n`.
    let mut escaped = usize::MAX;
    for (at, byte) in bytes.iter().enumerate() {
        let now = class(*byte);
        if now & ALPHA != 0 {
            let begins = before & ALNUM == 0 || (before & LOWER != 0 && now & UPPER != 0) || at == escaped;
            if before_byte == b'\\' && matches!(byte, b'n' | b't' | b'r') {
                escaped = at.saturating_add(1);
            } else if begins {
                dictionary.look_up(sink, at);
            }
        } else if now & DIGIT != 0 {
            if before & DIGIT == 0 {
                number::digits(sink, at);
            }
        } else if now & EVENT != 0 {
            event(sink, at, *byte);
        }
        if now & BASE64 == 0 {
            if before & BASE64 != 0 && at.saturating_sub(run_start) >= long_run::SHORTEST {
                long_run::ended(sink, run_start, at);
            }
        } else if before & BASE64 == 0 {
            run_start = at;
        }
        before = now;
        before_byte = *byte;
    }
    if before & BASE64 != 0 {
        long_run::ended(sink, run_start, bytes.len());
    }
    hold_tail(sink);
}

fn event(sink: &mut Sink<'_>, at: usize, byte: u8) {
    let here = Keyword { start: at, end: at.saturating_add(1) };
    let next = sink.bytes.get(here.end).copied();
    match byte {
        b'@' => email::at_sign(sink, at),
        b'%' => {
            email::at_sign(sink, at);
            card::track(sink, here);
        }
        b';' => card::track(sink, here),
        b'+' => phone::international(sink, here),
        b'(' => phone::bracketed(sink, here),
        b':' if next == Some(b'/') => url::password(sink, Keyword { start: at, end: at.saturating_add(3) }),
        b':' => ip::v6(sink, here),
        b'-' if next.is_none_or(|next| next == b'-') => pem::private_key(sink, here),
        b'<' | b'[' => sink.dictionary.look_up(sink, at),
        _ => {}
    }
}

/// Holds back the end of the text where a rule that a later byte calls could begin.
fn hold_tail(sink: &mut Sink<'_>) {
    let tail = |classes: Class, most: usize| {
        let reversed = sink.bytes.iter().rev().take(most.saturating_add(1));
        let length = reversed.take_while(|byte| class::is(**byte, classes)).count();
        (1..=most).contains(&length).then(|| sink.bytes.len().saturating_sub(length))
    };
    let local = tail(LOCAL, email::LONGEST_LOCAL).filter(|_| sink.wants(DetectorId::Email));
    let letters = tail(ALPHA, mixed::MOST_LETTERS.saturating_add(1));
    let hex = tail(HEX, 4);
    let spaced = match sink.bytes {
        [.., a, b, b' '] if class::is(*a, UPPER) && class::is(*b, UPPER) => sink.bytes.len().checked_sub(3),
        _ => None,
    };
    for at in [local, letters, hex, spaced].into_iter().flatten() {
        sink.hold(at);
    }
}
