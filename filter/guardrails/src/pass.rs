//! One pass over the bytes that calls rules where they may begin.

use crate::class::{self, ALNUM, ALPHA, BASE64, Class, DIGIT, EVENT, HEX, LOCAL, LOWER, UPPER, class};
use crate::cursor::after_escape;
use crate::detector::DetectorId;
use crate::dictionary::Dictionary;
use crate::rules::{email, long_run, number};
use crate::sink::Sink;

pub(crate) fn run(dictionary: &Dictionary, sink: &mut Sink<'_>) {
    let bytes = sink.bytes;
    let mut before: Class = 0;
    let mut run_start = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let now = class(*byte);
        if now & ALNUM != 0 {
            if begins_word(bytes, at, before, now) {
                dictionary.look_up(sink, at);
            }
            if now & DIGIT != 0 && before & DIGIT == 0 {
                number::digits(sink, at);
            }
        } else if now & EVENT != 0 {
            event(dictionary, sink, at, *byte);
        }
        if now & BASE64 == 0 {
            if before & BASE64 != 0 {
                long_run::ended(sink, run_start, at);
            }
        } else if before & BASE64 == 0 {
            run_start = at;
        }
        before = now;
    }
    if before & BASE64 != 0 {
        long_run::ended(sink, run_start, bytes.len());
    }
    hold_tail(sink);
}

/// Whether a keyword may begin with this letter: at the start of a word, at a capital after a small letter, or
/// after an escape such as `\n`.
#[inline]
fn begins_word(bytes: &[u8], at: usize, before: Class, now: Class) -> bool {
    if now & ALPHA == 0 {
        return false;
    }
    before & ALNUM == 0
        || (before & LOWER != 0 && (now & UPPER != 0 || crate::cursor::word_may_begin(bytes, at)))
}

fn event(dictionary: &Dictionary, sink: &mut Sink<'_>, at: usize, byte: u8) {
    match byte {
        b'@' | b'%' => email::at_sign(sink, at),
        _ => dictionary.look_up(sink, at),
    }
}

/// Holds back the end of the text where a rule that is called by a later byte could begin.
fn hold_tail(sink: &mut Sink<'_>) {
    let tail = |classes: Class, most: usize, sink: &Sink<'_>| {
        let length = sink
            .bytes
            .iter()
            .rev()
            .take(most.saturating_add(1))
            .take_while(|b| class::is(**b, classes))
            .count();
        (1..=most).contains(&length).then(|| sink.bytes.len().saturating_sub(length))
    };
    let local = tail(LOCAL, email::LONGEST_LOCAL, sink).filter(|_| sink.wants(DetectorId::Email));
    let letters = tail(ALPHA, 8, sink);
    for at in [local, letters].into_iter().flatten() {
        sink.hold(at);
    }
    let _ = (HEX, after_escape);
}
