//! Brings what looks alike to one spelling, and remembers where it came from.
//!
//! Each character is mapped by itself: compatibility forms (full-width, styled letters, ligatures) to plain
//! ones, accents off, confusable letters of other scripts to Latin ones, digits of other scripts to `0`–`9`,
//! exotic spaces and dashes to ` ` and `-`. What cannot be seen is dropped. So the bytes of a part never
//! depend on its neighbors, but for one bound: of a long row of invisible characters only the first
//! [`MOST_DROPPED`] bytes are dropped, and the rest count as breaks. That is why a rule that looks back over a
//! few characters looks back over a bounded number of bytes.
//!
//! ASCII is read in place.

use std::borrow::Cow;
use std::ops::Range;

use unicode_normalization::char::{decompose_compatible, is_combining_mark};

mod confusables;

/// Bytes of a row of invisible characters that are dropped.
const MOST_DROPPED: usize = 24;

/// What stands for a break: no rule reads over it.
const BREAK: u8 = 0;

/// A text as rules read it.
pub(crate) struct View<'a> {
    text: &'a str,
    /// Where the view begins in the text.
    base: usize,
    bytes: Cow<'a, [u8]>,
    /// Where the bytes came from, ascending; none if they are the text's own.
    steps: Option<Vec<Step>>,
    has_dropped: bool,
}

/// From `view` on, bytes came from `text` on.
#[derive(Clone, Copy)]
struct Step {
    view: usize,
    text: usize,
    source: Source,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Byte by byte.
    Copied,
    /// All from the one character there.
    Mapped,
}

#[derive(Debug, PartialEq, Eq)]
enum Mapped {
    Same,
    Dropped,
    To(char),
    Parts,
}

impl<'a> View<'a> {
    /// The view of `text` from `base` on, which is a character boundary.
    pub(crate) fn new(text: &'a str, base: usize) -> Self {
        let part = text.get(base..).unwrap_or_default();
        if part.is_ascii() {
            return Self {
                text,
                base,
                bytes: Cow::Borrowed(part.as_bytes()),
                steps: None,
                has_dropped: false,
            };
        }
        let steps = Vec::with_capacity(16);
        let mut writer = Writer { bytes: Vec::with_capacity(part.len()), steps, ..Writer::default() };
        let mut rest = part;
        while let Some(c) = rest.chars().next() {
            let at = text.len().saturating_sub(rest.len());
            let plain = rest.bytes().position(|byte| !byte.is_ascii()).unwrap_or(rest.len());
            if plain > 0 {
                writer.copy(rest.get(..plain).unwrap_or_default(), at);
                rest = rest.get(plain..).unwrap_or_default();
            } else {
                writer.map(c, at);
                rest = rest.get(c.len_utf8()..).unwrap_or_default();
            }
        }
        let Writer { bytes, steps, has_dropped, .. } = writer;
        Self { text, base, bytes: Cow::Owned(bytes), steps: Some(steps), has_dropped }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether there are invisible characters.
    pub(crate) fn has_dropped(&self) -> bool {
        self.has_dropped
    }

    /// The bytes of the text that `span` of the view came from, on character boundaries.
    pub(crate) fn span(&self, span: &Range<usize>) -> Range<usize> {
        let start = self.text.floor_char_boundary(self.origin(span.start));
        start..self.text.ceil_char_boundary(self.origin_end(span.end)).max(start)
    }

    /// Where the byte at `at` came from; the end of the text for the view's end.
    pub(crate) fn origin(&self, at: usize) -> usize {
        if at >= self.bytes.len() {
            return self.text.len();
        }
        let Some(steps) = &self.steps else {
            return self.base.saturating_add(at);
        };
        let found = steps.partition_point(|step| step.view <= at).checked_sub(1);
        match found.and_then(|i| steps.get(i)) {
            Some(step) if step.source == Source::Copied => {
                step.text.saturating_add(at.saturating_sub(step.view))
            }
            Some(step) => step.text,
            None => self.base,
        }
    }

    /// Where the character ends that the byte before `end` came from.
    fn origin_end(&self, end: usize) -> usize {
        let Some(last) = end.checked_sub(1) else {
            return self.base;
        };
        let origin = self.text.floor_char_boundary(self.origin(last));
        let length = self.text.get(origin..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        origin.saturating_add(length)
    }

    /// The place in the view of a byte of the text; of what was dropped, that of what follows it.
    pub(crate) fn place(&self, origin: usize) -> usize {
        let Some(steps) = &self.steps else {
            return origin.saturating_sub(self.base).min(self.bytes.len());
        };
        let next = steps.partition_point(|step| step.text <= origin);
        let limit = steps.get(next).map_or(self.bytes.len(), |step| step.view);
        let Some(step) = next.checked_sub(1).and_then(|i| steps.get(i)) else {
            return 0;
        };
        match step.source {
            Source::Copied => step.view.saturating_add(origin.saturating_sub(step.text)).min(limit),
            Source::Mapped if origin == step.text => step.view,
            Source::Mapped => limit,
        }
    }
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    steps: Vec<Step>,
    /// Bytes of invisible characters just before.
    dropped: usize,
    /// There were any.
    has_dropped: bool,
}

impl Writer {
    fn copy(&mut self, plain: &str, at: usize) {
        let view = self.bytes.len();
        let continues = self.steps.last().is_some_and(|step| {
            step.source == Source::Copied && at.checked_sub(step.text) == view.checked_sub(step.view)
        });
        if !continues {
            self.steps.push(Step { view, text: at, source: Source::Copied });
        }
        self.bytes.extend_from_slice(plain.as_bytes());
        self.dropped = 0;
    }

    fn map(&mut self, c: char, at: usize) {
        match mapped(c) {
            Mapped::Same => self.copy(c.encode_utf8(&mut [0; 4]), at),
            Mapped::To(to) => self.replace(at, |bytes| push(bytes, to)),
            Mapped::Parts => self.replace(at, |bytes| parts(c, |part| push(bytes, part))),
            Mapped::Dropped if self.dropped < MOST_DROPPED => {
                self.has_dropped = true;
                self.dropped = self.dropped.saturating_add(c.len_utf8());
            }
            Mapped::Dropped => {
                let dropped = self.dropped;
                self.replace(at, |bytes| bytes.push(BREAK));
                self.dropped = dropped;
            }
        }
    }

    fn replace(&mut self, at: usize, write: impl FnOnce(&mut Vec<u8>)) {
        self.steps.push(Step { view: self.bytes.len(), text: at, source: Source::Mapped });
        write(&mut self.bytes);
        self.dropped = 0;
    }
}

/// A text as rules read it, where no offsets are needed.
pub(crate) fn normalized(text: &str) -> Vec<u8> {
    View::new(text, 0).bytes.into_owned()
}

fn push(bytes: &mut Vec<u8>, c: char) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn mapped(c: char) -> Mapped {
    match c {
        // What most texts of Western Europe have.
        '\u{e0}'..='\u{e5}' => Mapped::To('a'),
        '\u{e7}' => Mapped::To('c'),
        '\u{e8}'..='\u{eb}' => Mapped::To('e'),
        '\u{ec}'..='\u{ef}' => Mapped::To('i'),
        '\u{f1}' => Mapped::To('n'),
        '\u{f2}'..='\u{f6}' => Mapped::To('o'),
        '\u{f9}'..='\u{fc}' => Mapped::To('u'),
        '\u{df}' | '\u{2022}' => Mapped::Same,
        _ => of_any(c),
    }
}

fn of_any(c: char) -> Mapped {
    match c {
        // CJK, kana and Hangul: most of what is not Latin.
        '\u{3041}'..='\u{3096}'
        | '\u{30a1}'..='\u{30fa}'
        | '\u{3400}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7a3}' => Mapped::Same,
        _ if is_invisible(c) => Mapped::Dropped,
        '\u{2028}' | '\u{2029}' | '\u{85}' => Mapped::To('\n'),
        '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' | '\u{a0}' => {
            Mapped::To(' ')
        }
        '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' => {
            Mapped::To('-')
        }
        '\u{2018}' | '\u{2019}' => Mapped::To('\''),
        '\u{201c}' | '\u{201d}' => Mapped::To('"'),
        _ => match confusables::latin(c).or_else(|| confusables::digit(c)) {
            Some(to) => Mapped::To(to),
            None if is_combining_mark(c) => Mapped::Dropped,
            None => by_parts(c),
        },
    }
}

/// Whether a character cannot be seen, and is no white space.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// What Unicode's compatibility decomposition makes of a character.
fn by_parts(c: char) -> Mapped {
    let (mut count, mut first) = (0_u32, c);
    parts(c, |part| {
        if count == 0 {
            first = part;
        }
        count = count.saturating_add(1);
    });
    match count {
        0 => Mapped::Dropped,
        1 if first == c => Mapped::Same,
        1 => Mapped::To(first),
        _ => Mapped::Parts,
    }
}

/// The parts of a character, without marks. What is not ASCII is in lower case, since keywords are compared
/// so; ASCII keeps its case.
fn parts(c: char, mut write: impl FnMut(char)) {
    decompose_compatible(c, |part| {
        if is_combining_mark(part) {
            return;
        }
        let part = confusables::latin(part).or_else(|| confusables::digit(part)).unwrap_or(part);
        let mut lower = part.to_lowercase();
        match (lower.next(), lower.next()) {
            (Some(lower), None) if !part.is_ascii() => write(lower),
            _ => write(part),
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_characters_are_mapped_like_all() {
        for c in '\0'..=char::MAX {
            assert_eq!(mapped(c), of_any(c), "{c:?}");
        }
    }
}
