//! Words that make a value after them count.

use crate::class::{self, ALNUM, SPACE};
use crate::cursor::Cursor;
use crate::dictionary::{Keyword, phrase};
use crate::sink::Sink;

/// How far after its word a value may be, in bytes of the normalized text.
const REACH: usize = 64;
/// The same in bytes of the text as given, where invisible characters may lie between. With what is looked at
/// before the word it stays below [`crate::CONTEXT`].
const REACH_AS_GIVEN: usize = 160;

/// What a word announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Context {
    Ssn,
    Itin,
    Phone,
    BirthDate,
    Cvv,
    Bsn,
    SteuerId,
    Pesel,
    Nif,
    Sin,
    Tfn,
    Aadhaar,
    Cpf,
    Personnummer,
    BelgianNumber,
    Nir,
    Nhs,
    Npi,
    Routing,
    AwsSecret,
    HexKey,
    UuidKey,
}

const CONTEXTS: usize = 22;

/// The words that were read last.
#[derive(Clone, Default)]
pub(crate) struct Contexts {
    seen: u32,
    /// Where the last of them ends.
    end: usize,
    /// Those that were seen; none where none was.
    last: Option<Box<[Keyword; CONTEXTS]>>,
}

impl Contexts {
    pub(crate) fn note(&mut self, context: Context, keyword: Keyword) {
        self.seen |= bit(context);
        self.end = self.end.max(keyword.end);
        if let Some(slot) = self.last.get_or_insert_default().get_mut(context as usize) {
            *slot = keyword;
        }
    }

    /// The same in a view in which the byte at `before` is at `after`, where no value begins before `first`. What
    /// lies before the view is out of reach.
    pub(crate) fn moved(&mut self, first: usize, before: usize, after: usize) {
        if !self.any_near(first) {
            return *self = Self::default();
        }
        let Some(last) = &mut self.last else { return };
        let moved = |at: usize| at.saturating_add(after).checked_sub(before);
        self.end = moved(self.end).unwrap_or(0);
        for (i, keyword) in last.iter_mut().enumerate() {
            match moved(keyword.start).zip(moved(keyword.end)) {
                Some((start, end)) => *keyword = Keyword { start, end },
                None => self.seen &= !1_u32.wrapping_shl(u32::try_from(i).unwrap_or(0)),
            }
        }
    }

    /// Whether any word precedes `at` closely enough.
    pub(crate) fn any_near(&self, at: usize) -> bool {
        self.seen != 0 && at.saturating_sub(self.end) <= REACH
    }

    fn last(&self, context: Context) -> Option<Keyword> {
        if self.seen & bit(context) == 0 {
            return None;
        }
        self.last.as_ref()?.get(context as usize).copied()
    }
}

fn bit(context: Context) -> u32 {
    1_u32.wrapping_shl(u32::from(context as u8))
}

impl Sink<'_> {
    /// The word for `context` that precedes `at` closely enough.
    pub(crate) fn context(&self, context: Context, at: usize) -> Option<Keyword> {
        self.contexts.last(context).filter(|keyword| self.near(*keyword, at))
    }

    /// Whether a keyword precedes `at` closely enough.
    pub(crate) fn near(&self, keyword: Keyword, at: usize) -> bool {
        let near = at >= keyword.end && at.saturating_sub(keyword.end) <= REACH;
        near && self.view.origin(at).saturating_sub(self.view.origin(keyword.start)) <= REACH_AS_GIVEN
    }

    /// As [`Self::context`], but only words and signs that lead to a value may stand between.
    pub(crate) fn context_beside(&self, context: Context, at: usize) -> Option<Keyword> {
        let keyword = self.context(context, at)?;
        let mut cursor = Cursor::new(self.bytes.get(..at).unwrap_or_default(), keyword.end);
        lead(&mut cursor);
        (cursor.at() == at).then_some(keyword)
    }
}

/// Words that stand between the name of a number and the number.
const LEADING: [&str; 16] = [
    "number", "numbers", "no", "num", "nr", "id", "ids", "is", "was", "are", "code", "card", "of", "the",
    "value", "for",
];

/// Skips what leads from a word to its value: signs, and words such as "number is". A value begins at the
/// last mark.
pub(crate) fn lead(cursor: &mut Cursor<'_>) {
    let start = cursor.at();
    while cursor.at().saturating_sub(start) < 32 {
        cursor.mark();
        match cursor.peek() {
            Some(byte) if class::is(byte, SPACE) || b":=#\"'()[]*|>.-_\\,".contains(&byte) => cursor.skip(1),
            Some(byte) if class::is(byte, class::ALPHA) => {
                let at = cursor.at();
                if !LEADING.iter().any(|word| leading_word(cursor, at, word)) {
                    return;
                }
            }
            _ => return,
        }
    }
    cursor.mark();
}

fn leading_word(cursor: &mut Cursor<'_>, at: usize, word: &str) -> bool {
    cursor.go(at);
    let read = phrase(cursor, word) && !cursor.next_is(ALNUM);
    if !read {
        cursor.go(at);
    }
    read
}
