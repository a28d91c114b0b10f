//! Phone numbers.

use crate::class::{self, ALNUM, DIGIT};
use crate::cursor::Cursor;
use crate::detector::DetectorId;
use crate::dictionary::Keyword;
use crate::rules::number::{Before, Number};
use crate::sink::Sink;

/// A number as people write it at home: North America in 3-3-4, and what begins with a 0 elsewhere.
pub(crate) fn national(sink: &mut Sink<'_>, number: &Number) {
    let groups = number.groups().len();
    if !sink.wants(DetectorId::Phone) || groups < 2 || number.before != Before::Boundary {
        return;
    }
    for count in 2..=groups.min(6) {
        let ends = match number.following(count) {
            None => number.may_end(count),
            // Prose may go on with a number, but not within the same one.
            Some((separator, length)) => {
                separator == b' ' && number.separator(count) != Some(b' ') && length != 4
            }
        };
        if ends && (north_american(number, count) || trunk(number, count)) {
            return sink.add(DetectorId::Phone, number.span(count));
        }
    }
}

fn north_american(number: &Number, count: usize) -> bool {
    let separators_fit = |skip: usize| {
        let groups = number.groups().get(skip..).unwrap_or_default();
        let [first, second, ..] = groups else { return false };
        matches!(
            (first.separator, second.separator),
            (b'-' | b'.' | b' ', b'-') | (b'.', b'.') | (b' ', b' ')
        )
    };
    match (number.shape(count), number.digits(count)) {
        (0x334, [2..=9, _, _, 2..=9, ..]) => separators_fit(0),
        (0x1334, [1, 2..=9, _, _, 2..=9, ..]) => separators_fit(1),
        _ => false,
    }
}

/// `020 7946 0958`, `07700 900123`, `06 12 34 56 78`, `030-1234567`, `0171/1234567`.
fn trunk(number: &Number, count: usize) -> bool {
    let digits = number.digits(count);
    let Some(first) = number.groups().first() else { return false };
    let rest = number.groups().get(1..count).unwrap_or_default();
    let separators = number.groups().get(..count.saturating_sub(1)).unwrap_or_default();
    let separated = separators.iter().all(|group| matches!(group.separator, b' ' | b'-' | b'/' | b'.'));
    let pairs = number.shape(count) == 0x22222 && number.separator(count).is_some() && !is_sequence(digits);
    let area = matches!(first.length, 3..=5)
        && rest.len() <= 2
        && rest.iter().all(|group| (3..=8).contains(&group.length))
        && separators.iter().all(|group| group.separator != b'.');
    // Belgium, Switzerland, the Netherlands, Australia.
    let area = area || matches!(number.shape(count), 0x4222 | 0x3322 | 0x3222 | 0x28 | 0x244);
    matches!(digits, [0, 1..=9, ..]) && (9..=11).contains(&digits.len()) && separated && (pairs || area)
}

/// `01 02 03 04 05` is a list.
fn is_sequence(digits: &[u8]) -> bool {
    let pairs: Vec<u64> = digits.chunks(2).map(crate::rules::checksum::value).collect();
    let steps: Vec<u64> =
        pairs.windows(2).filter_map(|pair| pair.last()?.checked_sub(*pair.first()?)).collect();
    steps.len() == 4 && steps.windows(2).all(|pair| pair.first() == pair.last())
}

/// How many groups of a number that follows a word for it belong to it: 7 to 13 digits, no date, no decimals.
pub(crate) fn named(number: &Number) -> Option<usize> {
    let fits = |count: &usize| {
        let digits = number.digits(*count);
        let varied = digits.windows(2).any(|pair| pair.first() != pair.last());
        let date = matches!(number.shape(*count), 0x422 | 0x224 | 0x222 | 0x42 | 0x44);
        (7..=13).contains(&digits.len()) && varied && !date && number.may_end(*count)
    };
    (1..=number.groups().len()).rev().find(fits)
}

/// A number with a country code, at its `+`.
pub(crate) fn international(sink: &mut Sink<'_>, keyword: Keyword) {
    if !sink.wants(DetectorId::Phone) || !boundary(sink.bytes, keyword.start) {
        return;
    }
    sink.attempt(keyword.start, |cursor| {
        cursor.skip(1);
        let length = digits(cursor, b" -.()/")?;
        (8..=15).contains(&length).then(|| (DetectorId::Phone, keyword.start..cursor.at()))
    });
}

/// `(415) 555-2671`, `(020) 7946 0958`, at the bracket.
pub(crate) fn bracketed(sink: &mut Sink<'_>, keyword: Keyword) {
    if !sink.wants(DetectorId::Phone) || !boundary(sink.bytes, keyword.start) {
        return;
    }
    sink.attempt(keyword.start, |cursor| {
        cursor.skip(1);
        let area = cursor.run(DIGIT, 5);
        if !(2..=5).contains(&area.len()) || !cursor.eat(b')') {
            return None;
        }
        let _ = cursor.eat(b' ') || cursor.eat(b'-');
        let length = digits(cursor, b" -.")?.saturating_add(area.len());
        let fits = match area {
            [b'0', ..] => (9..=11).contains(&length),
            [b'2'..=b'9', _, _] => length == 10,
            _ => false,
        };
        fits.then(|| (DetectorId::Phone, keyword.start..cursor.at()))
    });
}

fn boundary(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|i| bytes.get(i));
    !before.is_some_and(|byte| class::is(*byte, ALNUM) || b"+-*/=^.".contains(byte))
        || crate::cursor::word_may_begin(bytes, at) && before.is_some_and(|byte| class::is(*byte, ALNUM))
}

/// Counts digits in groups with separators between them. Of a number with a country code, which may have
/// brackets, the first digit is 1 to 9, and a group with the code has at most four.
fn digits(cursor: &mut Cursor<'_>, separators: &[u8]) -> Option<usize> {
    let coded = separators.contains(&b'(');
    let (mut total, mut groups, mut dots) = (0_usize, 0_usize, 0_usize);
    loop {
        let run = cursor.run(DIGIT, 16);
        let gap = gap(cursor, separators);
        let first = groups == 0 && coded;
        let proper = matches!(run.first(), Some(b'1'..=b'9')) && (gap.is_none() || run.len() <= 4);
        total = total.saturating_add(run.len());
        groups = groups.saturating_add(1);
        if run.is_empty() || total > 15 || (first && !proper) {
            return None;
        }
        let Some(gap) = gap else { break };
        dots = dots.saturating_add(usize::from(cursor.peek() == Some(b'.')));
        cursor.skip(gap);
    }
    // One dot is a decimal point.
    let decimal = dots == 1 && groups == 2;
    let next = cursor.peek();
    let joined =
        next.is_some_and(|byte| class::is(byte, ALNUM | class::UNDERSCORE) || byte == b'@' || byte == b'%');
    (!joined && !decimal).then_some(total)
}

/// How many separators lead to the next group: none if no group follows.
fn gap(cursor: &mut Cursor<'_>, separators: &[u8]) -> Option<usize> {
    for length in 1..=3_usize {
        let separator = cursor.peek_at(length.saturating_sub(1))?;
        if !separators.contains(&separator) {
            return None;
        }
        if cursor.peek_at(length).is_some_and(|byte| class::is(byte, DIGIT)) {
            return Some(length);
        }
    }
    None
}
