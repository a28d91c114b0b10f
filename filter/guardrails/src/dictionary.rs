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
    /// How each entry begins.
    heads: Vec<Head>,
    /// By key: which of the groups has it.
    keys: Vec<u16>,
    /// The entries of one key. The first has none, and is that of all keys that nothing begins with.
    groups: Vec<Group>,
}

/// The first four bytes in lower case, as far as they are fixed. What does not begin so is not the entry.
#[derive(Clone, Copy, Default)]
struct Head {
    fixed: u32,
    bytes: u32,
}

/// Entries with the same first two bytes.
#[derive(Clone, Copy, Default)]
struct Group {
    start: u16,
    end: u16,
    /// The third bytes with which one of them may go on, a bit for each symbol.
    thirds: u64,
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
        let mut keys = vec![0; usize::from(SYMBOLS.saturating_mul(SYMBOLS))];
        let mut groups = vec![Group::default()];
        for (i, entry) in (0_u16..).zip(&entries) {
            let Some(key) = keys.get_mut(key_of(entry)) else { continue };
            if *key == 0 {
                *key = u16::try_from(groups.len()).unwrap_or(0);
                groups.push(Group { start: i, end: i, thirds: 0 });
            }
            if let Some(group) = groups.get_mut(usize::from(*key)) {
                group.end = i.saturating_add(1);
                group.thirds |= Head::of(entry.word).third().map_or(u64::MAX, bit);
            }
        }
        let heads = entries.iter().map(|entry| Head::of(entry.word)).collect();
        Self { entries, heads, keys, groups }
    }

    /// Calls what begins at `at`.
    #[inline]
    pub(crate) fn look_up(&self, sink: &mut Sink<'_>, at: usize) {
        let rest = sink.bytes.get(at..).unwrap_or_default();
        let [first, second, ..] = rest else { return sink.hold(at) };
        let group = self.keys.get(key(*first, *second)).copied().unwrap_or(0);
        let Group { start, end, thirds } = self.groups.get(usize::from(group)).copied().unwrap_or_default();
        // At the end of the text the third may still come.
        let goes_on = rest.get(2).map_or(start != end, |third| thirds & bit(*third) != 0);
        if goes_on {
            self.call(sink, at, usize::from(start)..usize::from(end));
        }
    }

    #[inline(never)]
    fn call(&self, sink: &mut Sink<'_>, at: usize, range: std::ops::Range<usize>) {
        let rest = sink.bytes.get(at..).unwrap_or_default();
        // At the end of the text what is fixed may still come.
        let text = rest.first_chunk().copied().map(u32::from_le_bytes);
        let heads = self.heads.get(range.clone()).unwrap_or_default();
        let entries = self.entries.get(range).unwrap_or_default();
        for (entry, head) in entries.iter().zip(heads) {
            if text.is_none_or(|text| head.fits(text)) {
                entry.call(sink, at);
            }
        }
    }
}

/// Where letters differ by their case.
const CASE: u32 = 0x2020_2020;

impl Head {
    fn of(word: &str) -> Self {
        let mut head = Self::default();
        let places = [0, 8, 16, 24];
        // After a space anything may follow, and so may after its place.
        for (byte, place) in word.bytes().take_while(|byte| *byte != b' ').zip(places) {
            head.fixed |= 0xff_u32.wrapping_shl(place);
            head.bytes |= u32::from(byte).wrapping_shl(place);
        }
        head.bytes |= CASE & head.fixed;
        head
    }

    /// The third byte, where it is fixed.
    fn third(self) -> Option<u8> {
        let ([_, _, fixed, _], [_, _, third, _]) = (self.fixed.to_le_bytes(), self.bytes.to_le_bytes());
        (fixed != 0).then_some(third)
    }

    /// Whether a text that begins so may be it, in whatever case.
    fn fits(self, text: u32) -> bool {
        (text | CASE) & self.fixed == self.bytes
    }
}

impl Entry {
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

#[inline]
fn symbol(byte: u8) -> u16 {
    OF_BYTE.get(usize::from(byte)).copied().unwrap_or(0).into()
}

static OF_BYTE: [u8; 256] = of_bytes();

#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "evaluated at compile time")]
const fn of_bytes() -> [u8; 256] {
    let mut symbols = [36; 256];
    let mut byte = 0;
    while byte < 256 {
        symbols[byte] = match byte as u8 {
            lower @ b'a'..=b'z' => lower - b'a',
            upper @ b'A'..=b'Z' => upper - b'A',
            digit @ b'0'..=b'9' => digit - b'0' + 26,
            _ => 36,
        };
        byte += 1;
    }
    symbols
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_keyword_is_passed_over() {
        let dictionary = Dictionary::built_in();
        for entry in &dictionary.entries {
            let word = entry.word;
            // As it is written, in capitals, and with what a space may stand for.
            // Keys are of two bytes: a space among them stands for something.
            let is_keyed_by_space = word.find(' ').is_some_and(|at| at < 2);
            let joined = if is_keyed_by_space { word.to_owned() } else { word.replace(' ', "") };
            let spellings = [word.to_owned(), word.to_uppercase(), word.replace(' ', "__"), joined];
            for text in spellings.map(|spelling| spelling + "    ") {
                let [first, second, third, ..] = text.as_bytes() else { panic!("{text}") };
                let group = dictionary.groups[usize::from(dictionary.keys[key(*first, *second)])];
                assert!(group.thirds & bit(*third) != 0, "{text}");
                let head = text.as_bytes().first_chunk().copied().map(u32::from_le_bytes);
                let mut heads = dictionary.heads[usize::from(group.start)..usize::from(group.end)].iter();
                let place = dictionary.entries[usize::from(group.start)..]
                    .iter()
                    .position(|other| other.word == word);
                let own = heads.nth(place.unwrap()).unwrap();
                assert!(own.fits(head.unwrap()), "{text}");
                assert!(!own.fits(0), "{text}");
            }
        }
    }
}
