//! Digits in groups: what most numbers of people, cards and accounts look like.

use crate::class::{self, ALNUM, DIGIT};
use crate::cursor::{Cursor, word_may_begin};
use crate::rules::{card, ssn};
use crate::sink::Sink;

/// Groups and digits that are read: more than any number has that is looked for.
const MOST_GROUPS: usize = 20;
const MOST_DIGITS: usize = 32;

/// Groups of digits with one byte between them.
#[derive(Clone, Copy)]
pub(crate) struct Number {
    pub(crate) start: usize,
    digits: [u8; MOST_DIGITS],
    groups: [Group; MOST_GROUPS],
    count: usize,
    pub(crate) before: Before,
    /// What follows the last group.
    next: Option<u8>,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Group {
    pub(crate) length: usize,
    /// Where it ends in the text.
    pub(crate) end: usize,
    /// Digits up to its end.
    digits: usize,
    /// What separates it from the next.
    separator: u8,
}

/// What precedes a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing that belongs to it.
    Boundary,
    /// Another group of so many digits (5 for more), and a space.
    Group(usize),
    /// A letter, or digits and a separator: this is a part of something else.
    Joined,
}

/// Tries every rule that begins with a digit, at the first of a run of digits.
pub(crate) fn digits(sink: &mut Sink<'_>, at: usize) {
    let before = before(sink.bytes, at);
    if before == Before::Joined {
        return;
    }
    let mut cursor = Cursor::new(sink.bytes, at);
    let number = Number::read(&mut cursor, before);
    if let Some(at) = cursor.undecided() {
        sink.hold(at);
    }
    for found in [card::find(&number), ssn::find(&number)].into_iter().flatten() {
        sink.add(found.0, found.1);
    }
}

fn before(bytes: &[u8], at: usize) -> Before {
    let behind = |back: usize| at.checked_sub(back).and_then(|i| bytes.get(i)).copied();
    let digit = |back: usize| behind(back).is_some_and(|byte| class::is(byte, DIGIT));
    if !word_may_begin(bytes, at) {
        return Before::Joined;
    }
    match behind(1) {
        Some(b'-' | b'.' | b',' | b'/' | b':' | b'_') if digit(2) => Before::Joined,
        Some(b' ') if digit(2) => Before::Group((2..7).take_while(|back| digit(*back)).count()),
        _ => Before::Boundary,
    }
}

impl Number {
    fn read(cursor: &mut Cursor<'_>, before: Before) -> Self {
        let start = cursor.at();
        let mut number = Self {
            start,
            digits: [0; MOST_DIGITS],
            groups: [Group::default(); MOST_GROUPS],
            count: 0,
            before,
            next: None,
        };
        let mut total = 0_usize;
        for group in &mut number.groups {
            let run = cursor.run(DIGIT, MOST_DIGITS.saturating_sub(total));
            for (slot, digit) in number.digits.iter_mut().skip(total).zip(run) {
                *slot = digit.wrapping_sub(b'0');
            }
            total = total.saturating_add(run.len());
            *group = Group { length: run.len(), end: cursor.at(), digits: total, separator: 0 };
            number.count = number.count.saturating_add(1);
            number.next = cursor.peek();
            let separated = matches!(number.next, Some(b' ' | b'-' | b'.' | b'/'));
            if total == MOST_DIGITS
                || !separated
                || !cursor.peek_at(1).is_some_and(|byte| class::is(byte, DIGIT))
            {
                break;
            }
            group.separator = number.next.unwrap_or(0);
            cursor.skip(1);
        }
        number
    }

    pub(crate) fn groups(&self) -> &[Group] {
        self.groups.get(..self.count).unwrap_or_default()
    }

    /// The lengths of the first `count` groups if one separator stands between them all.
    pub(crate) fn lengths(&self, count: usize) -> Option<(Vec<usize>, u8)> {
        let groups = self.groups().get(..count)?;
        let (_, inner) = groups.split_last()?;
        let separator = inner.first().map_or(0, |group| group.separator);
        let uniform = inner.iter().all(|group| group.separator == separator);
        uniform.then(|| (groups.iter().map(|group| group.length).collect(), separator))
    }

    /// The digits of the first `count` groups.
    pub(crate) fn digits(&self, count: usize) -> &[u8] {
        let group = count.checked_sub(1).and_then(|last| self.groups().get(last));
        group.and_then(|group| self.digits.get(..group.digits)).unwrap_or_default()
    }

    pub(crate) fn end(&self, count: usize) -> usize {
        let group = count.checked_sub(1).and_then(|last| self.groups().get(last));
        group.map_or(self.start, |group| group.end)
    }

    /// Whether the number may end after `count` groups: no letter or digit follows, and what follows after a
    /// separator other than a space is no digit.
    pub(crate) fn may_end(&self, count: usize) -> bool {
        match self.separator_after(count) {
            Some(separator) => separator == b' ',
            None => !self.next.is_some_and(|byte| class::is(byte, ALNUM | class::UNDERSCORE) || byte == b'@'),
        }
    }

    /// What separates group `count` from the one after it.
    pub(crate) fn separator_after(&self, count: usize) -> Option<u8> {
        (count < self.count)
            .then(|| count.checked_sub(1).and_then(|last| self.groups().get(last)))
            .flatten()
            .map(|g| g.separator)
    }
}
