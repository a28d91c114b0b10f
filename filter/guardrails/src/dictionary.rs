//! Keywords, looked up where a word begins.
//!
//! Every rule that begins with a word or a fixed prefix has its keyword here, and so has every word that makes
//! a value beside it count. A keyword is looked up by its first two bytes, so a word that no keyword begins
//! like costs one read of a table.

use crate::class::{self, ALNUM, SPACE};
use crate::cursor::Cursor;
use crate::rules::context::Context;
use crate::rules::phrases::Phrase;
use crate::rules::secret::{self, SecretForm};
use crate::rules::words;
use crate::sink::Sink;

/// What happens at a keyword.
#[derive(Clone, Copy)]
pub(crate) enum Trigger {
    /// The keyword is how a secret begins, in exactly this case.
    Secret(&'static SecretForm),
    /// A match begins with the keyword, in exactly this case, whatever follows.
    Prefix(fn(&mut Sink<'_>, Keyword)),
    /// A match begins with this whole word, in any case.
    Word(fn(&mut Sink<'_>, Keyword)),
    /// A phrase begins with this whole word, in any case.
    Phrase(&'static Phrase),
    /// A match may follow this whole word, in any case.
    Before(fn(&mut Sink<'_>, Keyword)),
    /// A whole word that makes a value after it count, in any case.
    Context(Context),
}

/// Where a keyword is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keyword {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

pub(crate) struct Entry {
    /// A space stands for up to two of space, `_`, `-`, `.` and line breaks, or for none.
    pub(crate) word: &'static str,
    pub(crate) trigger: Trigger,
}

#[derive(Default)]
pub(crate) struct Dictionary {
    /// In order of their keys.
    entries: Vec<Entry>,
    /// The third byte of each entry, in lower case; 0 where it may differ.
    thirds: Vec<u8>,
    /// By key: the entries that have it, and the third bytes with which one of them may go on, a bit for each
    /// symbol.
    ranges: Vec<(u16, u16, u64)>,
}

/// Letters in any case, digits, and the rest as one.
const SYMBOLS: u16 = 37;

impl Dictionary {
    pub(crate) fn built_in() -> Self {
        let secrets =
            secret::FORMS.iter().map(|form| Entry { word: form.prefix, trigger: Trigger::Secret(form) });
        Self::new(secrets.chain(words::entries()).collect())
    }

    fn new(mut entries: Vec<Entry>) -> Self {
        let key_of = |entry: &Entry| {
            let mut bytes = entry.word.bytes();
            key(bytes.next().unwrap_or(0), bytes.next().unwrap_or(0))
        };
        entries.sort_by_key(key_of);
        let mut ranges = vec![(0, 0, 0); usize::from(SYMBOLS.saturating_mul(SYMBOLS))];
        for (i, entry) in (0_u16..).zip(&entries) {
            if let Some(range) = ranges.get_mut(key_of(entry)) {
                let (start, thirds) = if range.1 == 0 { (i, 0) } else { (range.0, range.2) };
                let third = match entry.third() {
                    0 => u64::MAX,
                    third => bit(third),
                };
                *range = (start, i.saturating_add(1), thirds | third);
            }
        }
        let thirds = entries.iter().map(|entry| entry.third()).collect();
        Self { entries, thirds, ranges }
    }

    /// Calls what begins at `at`.
    #[inline]
    pub(crate) fn look_up(&self, sink: &mut Sink<'_>, at: usize) {
        let rest = sink.bytes.get(at..).unwrap_or_default();
        let [first, second, ..] = rest else { return sink.hold(at) };
        let (start, end, thirds) = self.ranges.get(key(*first, *second)).copied().unwrap_or_default();
        // At the end of the text the third may still come.
        let goes_on = rest.get(2).is_none_or(|third| thirds & bit(*third) != 0);
        if start != end && goes_on {
            self.call(sink, at, usize::from(start)..usize::from(end));
        }
    }

    fn call(&self, sink: &mut Sink<'_>, at: usize, range: std::ops::Range<usize>) {
        let third = sink.bytes.get(at.saturating_add(2)).map(u8::to_ascii_lowercase);
        let thirds = self.thirds.get(range.clone()).unwrap_or_default();
        let entries = self.entries.get(range).unwrap_or_default();
        for (entry, expected) in entries.iter().zip(thirds) {
            if *expected == 0 || third.is_none_or(|third| third == *expected) {
                entry.call(sink, at);
            }
        }
    }
}

impl Entry {
    fn third(&self) -> u8 {
        match self.word.as_bytes() {
            // After a space anything may follow, and so may after its place.
            [a, b, c, ..] if ![*a, *b, *c].contains(&b' ') => c.to_ascii_lowercase(),
            _ => 0,
        }
    }

    fn call(&self, sink: &mut Sink<'_>, at: usize) {
        let mut cursor = Cursor::new(sink.bytes, at);
        let read = match self.trigger {
            Trigger::Secret(form) => {
                let is_wanted =
                    sink.wants(form.detector) || sink.wants(crate::detector::DetectorId::SampleSecret);
                if is_wanted && !is_joined(sink.bytes, at) {
                    sink.attempt(at, |cursor| form.read(cursor));
                }
                return;
            }
            Trigger::Prefix(_) => cursor.literal(self.word),
            _ => phrase(&mut cursor, self.word),
        };
        let keyword = Keyword { start: at, end: cursor.at() };
        if cursor.undecided().is_some() {
            sink.unsettled();
        }
        match self.trigger {
            Trigger::Prefix(rule) | Trigger::Word(rule) if read => rule(sink, keyword),
            Trigger::Phrase(phrase) if read => phrase.read(sink, keyword),
            Trigger::Before(rule) if read => rule(sink, keyword),
            Trigger::Context(context) if read => sink.contexts.note(context, keyword),
            Trigger::Prefix(_) | Trigger::Word(_) | Trigger::Phrase(_) if cursor.undecided().is_some() => {
                sink.hold(at)
            }
            _ => {}
        }
    }
}

/// Whether `at` continues what precedes with a dash or underscore, as names and runs of base64 do.
fn is_joined(bytes: &[u8], at: usize) -> bool {
    at.checked_sub(1).and_then(|i| bytes.get(i)).is_some_and(|byte| matches!(byte, b'-' | b'_'))
}

/// Reads a keyword in any case, with whatever separates its words.
pub(crate) fn phrase(cursor: &mut Cursor<'_>, words: &str) -> bool {
    for byte in words.bytes() {
        if byte == b' ' {
            for _ in 0..2 {
                if cursor
                    .peek()
                    .is_some_and(|b| class::is(b, SPACE | class::DASH | class::UNDERSCORE | class::DOT))
                {
                    cursor.skip(1);
                }
            }
        } else if cursor.peek().is_some_and(|b| b.eq_ignore_ascii_case(&byte)) {
            cursor.skip(1);
        } else {
            return false;
        }
    }
    // The word ends here, unless the keyword ends in something else than a letter or digit.
    !words.bytes().next_back().is_some_and(|last| class::is(last, ALNUM)) || !cursor.next_is(class::ALPHA)
}

fn key(first: u8, second: u8) -> usize {
    usize::from(symbol(first).saturating_mul(SYMBOLS).saturating_add(symbol(second)))
}

fn bit(byte: u8) -> u64 {
    1_u64.wrapping_shl(u32::from(symbol(byte)))
}

fn symbol(byte: u8) -> u16 {
    match byte {
        b'a'..=b'z' => u16::from(byte).saturating_sub(u16::from(b'a')),
        b'A'..=b'Z' => u16::from(byte).saturating_sub(u16::from(b'A')),
        b'0'..=b'9' => u16::from(byte).saturating_sub(u16::from(b'0')).saturating_add(26),
        _ => 36,
    }
}
