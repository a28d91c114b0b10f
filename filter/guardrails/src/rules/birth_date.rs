//! Dates of birth: any date that a word for it precedes.

use crate::class::{self, DIGIT};
use crate::cursor::Cursor;
use crate::detector::DetectorId;
use crate::dictionary::{Keyword, phrase};
use crate::rules::checksum::value;
use crate::rules::context::Context;
use crate::rules::mixed::numbers;
use crate::rules::number::Number;
use crate::sink::Sink;

pub(crate) const MONTHS: [&str; 23] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "jan",
    "feb",
    "mar",
    "apr",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
];

/// A date that begins with a number: `1980-01-31`, `31.01.1980`, `1/31/80`, `31 January 1980`.
pub(crate) fn day_first(sink: &mut Sink<'_>, number: &Number) {
    if !sink.wants(DetectorId::BirthDate) || sink.context(Context::BirthDate, number.start).is_none() {
        return;
    }
    let separated = matches!(number.separator(3), Some(b'-' | b'.' | b'/' | b' '));
    if separated && number.may_end(3) && is_date(number) {
        return sink.add(DetectorId::BirthDate, number.span(3));
    }
    if number.groups().len() == 1
        && number.digits(1).len() == 8
        && compact(number.digits(1))
        && number.may_end(1)
    {
        return sink.add(DetectorId::BirthDate, number.span(1));
    }
    if number.digits(1).len() <= 2 {
        let start = number.start;
        sink.attempt(start, |cursor| {
            let day = value(&numbers(cursor.run(DIGIT, 2)));
            ordinal(cursor);
            cursor.eat(b' ');
            let _ = word(cursor, "of ") || cursor.eat(b'-');
            let named = MONTHS.iter().any(|month| word(cursor, month));
            let date = (1..=31).contains(&day) && named && year(cursor);
            date.then(|| (DetectorId::BirthDate, start..cursor.at()))
        });
    }
}

/// A date that begins with a month: `January 31, 1980`.
pub(crate) fn month_first(sink: &mut Sink<'_>, month: Keyword) {
    if !sink.wants(DetectorId::BirthDate) || sink.context(Context::BirthDate, month.start).is_none() {
        return;
    }
    sink.attempt(month.start, |cursor| {
        cursor.go(month.end);
        separators(cursor);
        let day = cursor.run(DIGIT, 2);
        let fits = !day.is_empty() && (1..=31).contains(&value(&numbers(day)));
        ordinal(cursor);
        (fits && year(cursor)).then(|| (DetectorId::BirthDate, month.start..cursor.at()))
    });
}

fn word(cursor: &mut Cursor<'_>, word: &str) -> bool {
    let start = cursor.at();
    let read = phrase(cursor, word);
    if !read {
        cursor.go(start);
    }
    read
}

fn ordinal(cursor: &mut Cursor<'_>) {
    let _ = ["st", "nd", "rd", "th"].iter().any(|suffix| cursor.literal_any_case(suffix));
}

fn separators(cursor: &mut Cursor<'_>) {
    for _ in 0..3 {
        if cursor.peek().is_some_and(|byte| b" ,.-".contains(&byte)) {
            cursor.skip(1);
        }
    }
}

fn year(cursor: &mut Cursor<'_>) -> bool {
    separators(cursor);
    let year = cursor.run(DIGIT, 5);
    matches!(year, [b'1', b'8' | b'9', _, _] | [b'2', b'0', _, _]) && !cursor.next_is(class::WORD)
}

/// Day, month and year in any usual order; a year of two digits comes last.
fn is_date(number: &Number) -> bool {
    let digits = number.digits(3);
    let mut rest = digits;
    let mut parts = [0_u64; 3];
    for (part, group) in parts.iter_mut().zip(number.groups()) {
        let (head, tail) = rest.split_at_checked(usize::from(group.length)).unwrap_or((rest, &[]));
        *part = value(head);
        rest = tail;
    }
    let day_and_month =
        |a: u64, b: u64| (1..=31).contains(&a) && (1..=31).contains(&b) && (a <= 12 || b <= 12);
    let year = |year: u64| (1880..=2099).contains(&year);
    match (number.shape(3), parts) {
        (0x411 | 0x412 | 0x421 | 0x422, [y, a, b]) => year(y) && day_and_month(a, b),
        (0x114 | 0x124 | 0x214 | 0x224, [a, b, y]) => year(y) && day_and_month(a, b),
        (0x112 | 0x122 | 0x212 | 0x222, [a, b, _]) => day_and_month(a, b),
        _ => false,
    }
}

/// `19800131`
fn compact(digits: &[u8]) -> bool {
    let part = |from: usize, to: usize| value(digits.get(from..to).unwrap_or_default());
    (1880..=2099).contains(&part(0, 4)) && (1..=12).contains(&part(4, 6)) && (1..=31).contains(&part(6, 8))
}
