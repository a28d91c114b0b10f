//! One pass over the bytes that calls rules where they may begin.

use crate::class::{self, ALNUM, ALPHA, BASE64, Class, DIGIT, EVENT, HEX, LOCAL, LOWER, UPPER, class};
use crate::detector::DetectorId;
use crate::dictionary::Keyword;
use crate::rules::context::Contexts;
use crate::rules::{card, email, ip, long_run, mixed, number, pem, phone, url};
use crate::scanner::End;
use crate::sink::Sink;

/// Where a pass goes on once there is more text: what it has read before is settled.
#[derive(Clone)]
pub(crate) struct Resume {
    /// The next byte.
    pub(crate) at: usize,
    before: Class,
    before_byte: u8,
    run_start: usize,
    is_escaped: bool,
    contexts: Contexts,
    /// How many candidates were found before.
    pub(crate) candidates: usize,
}

impl Resume {
    /// The same in a view in which the next byte is at `at`.
    pub(crate) fn moved(mut self, at: usize) -> Self {
        // A run may still be named by a word before it.
        let first = if self.before & BASE64 == 0 { self.at } else { self.run_start.min(self.at) };
        self.contexts.moved(first, self.at, at);
        // A run that begins before the view was decided earlier.
        self.run_start = self.run_start.saturating_add(at).saturating_sub(self.at);
        self.at = at;
        self
    }
}

/// Goes over the bytes, or on from where an earlier pass has stopped. Gives where the next one may go on, if the
/// text is open.
pub(crate) fn run(sink: &mut Sink<'_>, resume: Option<Resume>) -> Option<Resume> {
    let bytes = sink.bytes;
    let dictionary = sink.dictionary;
    let mut from = 0;
    let mut before: Class = 0;
    let mut before_byte = 0;
    let mut run_start = 0;
    // Where a letter is the first after an escape such as `\n`.
    let mut escaped = usize::MAX;
    if let Some(resume) = resume {
        from = resume.at;
        (before, before_byte, run_start) = (resume.before, resume.before_byte, resume.run_start);
        escaped = if resume.is_escaped { from } else { usize::MAX };
        sink.contexts = resume.contexts;
    }
    let mut next = None;
    for (at, byte) in bytes.iter().enumerate().skip(from) {
        let now = class(*byte);
        let is_escaped = at == escaped;
        // Most bytes are within a word.
        if now & before & LOWER != 0 && !is_escaped {
            before_byte = *byte;
            before = now;
            continue;
        }
        let candidates = sink.candidates.len();
        if now & ALPHA != 0 {
            let begins = before & ALNUM == 0 || (before & LOWER != 0 && now & UPPER != 0) || is_escaped;
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
        if now & BASE64 == 0 && before & BASE64 != 0 && at.saturating_sub(run_start) >= long_run::SHORTEST {
            long_run::ended(sink, run_start, at);
        }
        if sink.is_unsettled && next.is_none() {
            let contexts = sink.settled_contexts.clone();
            next = Some(Resume { at, before, before_byte, run_start, is_escaped, contexts, candidates });
        }
        if now & BASE64 != 0 && before & BASE64 == 0 {
            run_start = at;
        }
        before = now;
        before_byte = *byte;
    }
    if next.is_none() && sink.end == End::Open {
        next = Some(Resume {
            at: bytes.len(),
            before,
            before_byte,
            run_start,
            is_escaped: escaped == bytes.len(),
            contexts: sink.contexts.clone(),
            candidates: sink.candidates.len(),
        });
    }
    if before & BASE64 != 0 {
        long_run::ended(sink, run_start, bytes.len());
    }
    hold_tail(sink);
    next
}

fn event(sink: &mut Sink<'_>, at: usize, byte: u8) {
    let here = Keyword { start: at, end: at.saturating_add(1) };
    let next = sink.bytes.get(here.end).copied();
    if next.is_none() {
        sink.unsettled();
    }
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
