//! One pass over the bytes that calls rules where they may begin.

use crate::class::{self, ALPHA, Class, HEX, LOCAL, UPPER};
use crate::detector::DetectorId;
use crate::dictionary::Keyword;
use crate::rules::context::Contexts;
use crate::rules::{card, email, ip, long_run, mixed, number, pem, phone, url};
use crate::scanner::End;
use crate::sink::Sink;
use crate::step::{BEGINS_RUN, DIGITS, ENDS_RUN, EVENT, Kind, MAY_ESCAPE, WORD, step};

/// Where a pass goes on once there is more text: what it has read before is settled.
#[derive(Clone)]
pub(crate) struct Resume {
    /// The next byte.
    pub(crate) at: usize,
    before: Kind,
    run_start: usize,
    contexts: Contexts,
    /// How many candidates were found before.
    pub(crate) candidates: usize,
}

impl Resume {
    /// The same in a view in which the next byte is at `at`.
    pub(crate) fn moved(mut self, at: usize) -> Self {
        // A run may still be named by a word before it.
        let first = if self.before.is_in_run() { self.run_start.min(self.at) } else { self.at };
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
    let (mut at, mut before, mut run_start) = (0, Kind::Other, 0);
    if let Some(resume) = resume {
        (at, before, run_start) = (resume.at, resume.before, resume.run_start);
        sink.contexts = resume.contexts;
    }
    let mut next = None;
    while let Some((found, here)) = quiet(bytes, &mut at, &mut before) {
        let Found { byte, now, steps } = found;
        let candidates = sink.candidates.len();
        let mut after = now;
        if steps & WORD != 0 {
            if steps & MAY_ESCAPE != 0 && matches!(byte, b'n' | b't' | b'r') {
                after = Kind::Escaped;
            } else {
                sink.dictionary.look_up(sink, here);
            }
        } else if steps & DIGITS != 0 {
            number::digits(sink, here);
        } else if steps & EVENT != 0 {
            event(sink, here, byte);
        }
        if steps & ENDS_RUN != 0 && here.saturating_sub(run_start) >= long_run::SHORTEST {
            long_run::ended(sink, run_start, here);
        }
        if sink.is_unsettled && next.is_none() {
            let contexts = sink.settled_contexts.clone();
            next = Some(Resume { at: here, before, run_start, contexts, candidates });
        }
        if steps & BEGINS_RUN != 0 {
            run_start = here;
        }
        before = after;
        at = here.saturating_add(1);
    }
    if next.is_none() && sink.end == End::Open {
        let (contexts, candidates) = (sink.contexts.clone(), sink.candidates.len());
        next = Some(Resume { at: bytes.len(), before, run_start, contexts, candidates });
    }
    if before.is_in_run() {
        long_run::ended(sink, run_start, bytes.len());
    }
    hold_tail(sink);
    next
}

/// A byte at which something is to be done.
struct Found {
    byte: u8,
    now: Kind,
    steps: u8,
}

/// Goes over bytes at which nothing is to be done, to the next one, and what precedes it. Most bytes are within a
/// word: this loop calls nothing, so that all it needs stays in registers.
#[inline]
fn quiet(bytes: &[u8], at: &mut usize, before: &mut Kind) -> Option<(Found, usize)> {
    let mut last = *before;
    for (ahead, byte) in bytes.get(*at..)?.iter().enumerate() {
        let now = Kind::of(*byte);
        let steps = step(last, now);
        if steps != 0 {
            *before = last;
            return Some((Found { byte: *byte, now, steps }, at.saturating_add(ahead)));
        }
        last = now;
    }
    *before = last;
    None
}

#[inline(never)]
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
