//! Digits in groups: what most numbers of people, cards and accounts look like.

use crate::class::{self, ALNUM, DIGIT, SPACE};
use crate::cursor::{Cursor, word_may_begin};
use crate::detector::DetectorId;
use crate::rules::{birth_date, card, ip, mixed, national, phone, ssn, telegram, wallet};
use crate::sink::{Found, Sink};

/// Groups and digits that are read: more than any number has that is looked for.
const MOST_GROUPS: usize = 20;
const MOST_DIGITS: usize = 20;
/// Digits that may be something without a word before them, or another group after them.
const LEAST_ALONE: usize = 8;
/// Digits on both sides of a comma that no decimal has.
const LEAST_DIGITS_OF_TWO: usize = 18;

/// Groups of digits with one byte between them.
pub(crate) struct Number {
    pub(crate) start: usize,
    pub(crate) before: Before,
    digits: [u8; MOST_DIGITS],
    groups: [Group; MOST_GROUPS],
    count: usize,
    /// What follows the last group.
    pub(crate) next: Option<u8>,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Group {
    pub(crate) length: u8,
    /// Digits up to its end.
    digits: u8,
    /// Separators up to its end.
    gaps: u8,
    /// What separates it from the next.
    pub(crate) separator: u8,
}

/// What precedes a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing that belongs to it.
    Boundary,
    /// A group of so many digits, and a space.
    Group(usize),
    /// So many digits, without zeros in front, and a comma: of a list, or of a decimal.
    Comma(usize),
    /// A letter, or digits and another separator: this is a part of something else.
    Joined,
}

/// Tries every rule that begins with a digit, at the first of a run of digits.
#[inline(never)]
pub(crate) fn digits(sink: &mut Sink<'_>, at: usize) {
    let before = before(sink.bytes, at);
    if let Before::Comma(whole) = before {
        after_comma(sink, at, whole);
    }
    if matches!(before, Before::Comma(_) | Before::Joined) {
        return mixed::digits(sink, at);
    }
    mixed::spaced(sink, at);
    let named = sink.contexts.any_near(at);
    if !named && is_plain(sink.bytes, at) {
        return;
    }
    let mut cursor = Cursor::new(sink.bytes, at);
    let number = Number::read(&mut cursor, before, named);
    if let Some(at) = cursor.undecided() {
        sink.hold(at);
    }
    let Some(number) = number else { return };
    grouped(sink, &number);
    if named {
        national::beside_words(sink, &number);
        birth_date::day_first(sink, &number);
    }
    match (number.next, number.digits(1)) {
        (Some(b':'), id) if (8..=10).contains(&id.len()) => telegram::token(sink, at),
        (Some(b'x'), [0]) => wallet::ethereum(sink, at),
        (Some(byte), [1 | 3, ..]) if class::is(byte, ALNUM) => wallet::base58(sink, at),
        _ => {}
    }
    if number.next.is_some_and(|byte| class::is(byte, class::ALPHA)) {
        mixed::digits_first(sink, &number);
    }
}

/// Whether a run of digits is too short for anything by itself, and neither goes on nor leads to more.
fn is_plain(bytes: &[u8], at: usize) -> bool {
    let rest = bytes.get(at..).unwrap_or_default();
    let length = rest.iter().take(LEAST_ALONE).take_while(|byte| class::is(**byte, DIGIT)).count();
    match rest.get(length..) {
        // What comes after the end of the text may be more.
        Some([next, after, ..]) if length < LEAST_ALONE => {
            !(class::is(*next, ALNUM)
                || matches!(next, b' ' | b'-' | b'.' | b'/') && class::is(*after, DIGIT))
        }
        _ => false,
    }
}

/// A card in a list of numbers. A decimal has at most 17 digits that count, since no program writes more of one: with
/// 18 or more on both sides of a comma, or with groups of four after it, two values stand there. And no decimal comma
/// has a comma as its list's separator: where one follows at once, they are values of a row.
fn after_comma(sink: &mut Sink<'_>, at: usize, whole: usize) {
    let mut cursor = Cursor::new(sink.bytes, at);
    let number = Number::read(&mut cursor, Before::Comma(whole), false);
    let is_row = number.as_ref().is_some_and(|number| number.groups().len() == 1)
        && cursor.peek() == Some(b',')
        && cursor.peek_at(1).is_some_and(|byte| !class::is(byte, SPACE));
    if let Some(at) = cursor.undecided() {
        sink.hold(at);
    }
    let is_decimal = |number: &Number| {
        let length = number.digits(1).len();
        length > 4 && !is_row && length.saturating_add(whole) < LEAST_DIGITS_OF_TWO
    };
    if let Some((detector, span)) = number.filter(|number| !is_decimal(number)).as_ref().and_then(card::find)
    {
        sink.add(detector, span);
    }
}

/// What the digits and their groups say alone.
fn grouped(sink: &mut Sink<'_>, number: &Number) {
    let several = number.groups().len() > 1;
    let rules: &[fn(&Number) -> Option<Found>] = match number.digits(1).len() {
        13.. => &[card::find, national::find],
        _ if several => &[card::find, ssn::find, national::find],
        _ => &[],
    };
    for (detector, span) in rules.iter().filter_map(|rule| rule(number)) {
        sink.add(detector, span);
    }
    if several {
        if let Some((detector, span)) = ip::v4(sink.bytes, number) {
            sink.add(detector, span);
        }
        phone::national(sink, number);
    }
}

fn before(bytes: &[u8], at: usize) -> Before {
    let behind = |back: usize| at.checked_sub(back).and_then(|i| bytes.get(i)).copied();
    let digit = |back: usize| behind(back).is_some_and(|byte| class::is(byte, DIGIT));
    if !word_may_begin(bytes, at) {
        return Before::Joined;
    }
    match behind(1) {
        Some(b',') if digit(2) => {
            let length = (2..10).take_while(|back| digit(*back)).count();
            let digits = (2..length.saturating_add(2)).rev();
            Before::Comma(digits.skip_while(|back| behind(*back) == Some(b'0')).count())
        }
        Some(b'-' | b'.' | b'/' | b':' | b'_') if digit(2) => Before::Joined,
        Some(b' ') if digit(2) => Before::Group((2..8).take_while(|back| digit(*back)).count()),
        _ => Before::Boundary,
    }
}

impl Number {
    /// Reads the groups. Of a list of short groups only the first is read, unless a word may have named one
    /// of the others.
    fn read(cursor: &mut Cursor<'_>, before: Before, named: bool) -> Option<Self> {
        let start = cursor.at();
        let mut number = Self {
            start,
            before,
            digits: [0; MOST_DIGITS],
            groups: [Group::default(); MOST_GROUPS],
            count: 0,
            next: None,
        };
        let mut total = 0_usize;
        for group in &mut number.groups {
            let run = cursor.run(DIGIT, MOST_DIGITS.saturating_sub(total));
            for (slot, digit) in number.digits.iter_mut().skip(total).zip(run) {
                *slot = digit.wrapping_sub(b'0');
            }
            total = total.saturating_add(run.len());
            number.next = cursor.peek();
            if number.count == 0 && !named && continues_list(before, run.len(), number.next) {
                return None;
            }
            let gaps = cursor.at().saturating_sub(start).saturating_sub(total);
            *group =
                Group { length: small(run.len()), digits: small(total), gaps: small(gaps), separator: 0 };
            number.count = number.count.saturating_add(1);
            let separated = matches!(number.next, Some(b' ' | b'-' | b'.' | b'/'));
            let full = total == MOST_DIGITS;
            if full || !separated || !cursor.peek_at(1).is_some_and(|byte| class::is(byte, DIGIT)) {
                break;
            }
            group.separator = number.next.unwrap_or(0);
            cursor.skip(1);
        }
        Some(number)
    }

    pub(crate) fn groups(&self) -> &[Group] {
        self.groups.get(..self.count).unwrap_or_default()
    }

    fn group(&self, count: usize) -> Option<&Group> {
        count.checked_sub(1).and_then(|last| self.groups().get(last))
    }

    /// The lengths of the first `count` groups as hexadecimal digits, whatever separates them: `0x324` for an
    /// SSN; 0 if there are fewer.
    pub(crate) fn shape(&self, count: usize) -> u64 {
        let groups = self.groups().get(..count).unwrap_or_default();
        groups.iter().fold(0, |shape: u64, group| shape.wrapping_shl(4) | u64::from(group.length.min(15)))
    }

    /// What separates the first `count` groups, if one byte does; 0 for a single group.
    pub(crate) fn separator(&self, count: usize) -> Option<u8> {
        let (_, inner) = self.groups().get(..count)?.split_last()?;
        let separator = inner.first().map_or(0, |group| group.separator);
        inner.iter().all(|group| group.separator == separator).then_some(separator)
    }

    /// The digits of the first `count` groups.
    pub(crate) fn digits(&self, count: usize) -> &[u8] {
        self.group(count).and_then(|group| self.digits.get(..usize::from(group.digits))).unwrap_or_default()
    }

    pub(crate) fn span(&self, count: usize) -> std::ops::Range<usize> {
        let bytes = self
            .group(count)
            .map_or(0, |group| usize::from(group.digits).saturating_add(usize::from(group.gaps)));
        self.start..self.start.saturating_add(bytes)
    }

    /// Whether the number may end after `count` groups: no letter or digit follows, and what follows after a
    /// separator other than a space is no digit.
    pub(crate) fn may_end(&self, count: usize) -> bool {
        match self.following(count) {
            Some((separator, _)) => separator == b' ',
            None => !self.next.is_some_and(|byte| class::is(byte, ALNUM | class::UNDERSCORE) || byte == b'@'),
        }
    }

    /// The separator and the length of the group after the first `count`.
    pub(crate) fn following(&self, count: usize) -> Option<(u8, usize)> {
        let separator = self.group(count)?.separator;
        self.group(count.saturating_add(1)).map(|next| (separator, usize::from(next.length)))
    }

    /// How many groups have so many digits together.
    pub(crate) fn count_of(&self, digits: usize) -> Option<usize> {
        let found = self.groups().iter().position(|group| usize::from(group.digits) == digits)?;
        Some(found.saturating_add(1))
    }
}

/// A detector and a place, where a number is one.
pub(crate) fn found(detector: DetectorId, number: &Number, count: usize) -> Option<crate::sink::Found> {
    Some((detector, number.span(count)))
}

/// Whether a number is one of a list: another precedes it, and by itself it is too short for anything.
fn continues_list(before: Before, length: usize, next: Option<u8>) -> bool {
    match before {
        Before::Group(before) => next != Some(b'.') && (length < 4 || length == 4 && before == 4),
        _ => false,
    }
}

fn small(length: usize) -> u8 {
    u8::try_from(length).unwrap_or(u8::MAX)
}
