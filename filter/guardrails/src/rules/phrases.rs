//! Phrases that attacks on models and people begin with. These are heuristics: attacks that are worded
//! otherwise pass, and texts about attacks are found.

use crate::class::{self, SPACE};
use crate::cursor::Cursor;
use crate::detector::DetectorId as D;
use crate::dictionary::{Keyword, phrase};
use crate::sink::Sink;

mod table;

pub(crate) use table::PHRASES;

/// Words in a row.
pub(crate) struct Phrase {
    detector: D,
    slots: &'static [Slot],
}

enum Slot {
    /// One of these words.
    One(&'static [&'static str]),
    /// Up to so many of these words.
    Any(&'static [&'static str], usize),
}

impl Phrase {
    /// The words that it may begin with.
    pub(crate) fn first_words(&self) -> &'static [&'static str] {
        match self.slots.first() {
            Some(Slot::One(words)) => words,
            _ => &[],
        }
    }

    /// Reads the phrase whose first word is there.
    pub(crate) fn read(&self, sink: &mut Sink<'_>, first: Keyword) {
        if !sink.wants(self.detector) {
            return;
        }
        sink.attempt(first.start, |cursor| {
            cursor.go(first.end);
            let all = self.slots.iter().skip(1).all(|slot| match slot {
                Slot::One(words) => next_word(cursor, words),
                Slot::Any(words, most) => {
                    let _ = (0..*most).take_while(|_| next_word(cursor, words)).count();
                    true
                }
            });
            // Names in code are no sentences.
            let text = cursor.since(first.start);
            let code = matches!(self.detector, D::CredentialRequest | D::Impersonation)
                && text.iter().any(|byte| b"_\"`,".contains(byte));
            (all && !code).then(|| (self.detector, first.start..cursor.at()))
        });
    }
}

/// Reads what separates words and one of `words`, or nothing.
fn next_word(cursor: &mut Cursor<'_>, words: &[&str]) -> bool {
    let start = cursor.at();
    for _ in 0..3 {
        if cursor.peek().is_some_and(|byte| class::is(byte, SPACE) || b"-_,\"'*`:.;+".contains(&byte)) {
            cursor.skip(1);
        } else {
            cursor.literal("%20");
        }
    }
    let word = cursor.at();
    let first = cursor.peek().map(|byte| byte.to_ascii_lowercase());
    let read = word > start
        && words.iter().any(|candidate| {
            cursor.go(word);
            first == candidate.bytes().next() && phrase(cursor, candidate)
        });
    if !read {
        cursor.go(start);
    }
    read
}
