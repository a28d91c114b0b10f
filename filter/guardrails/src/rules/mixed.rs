//! Identifiers of letters and digits: IBAN, national numbers, Medicare.

use crate::class::{self, ALNUM, ALPHA, DIGIT, UPPER};
use crate::cursor::{Cursor, word_may_begin};
use crate::detector::DetectorId as D;
use crate::rules::checksum::{value, weighted};
use crate::rules::iban;
use crate::rules::number::{Before, Number};
use crate::sink::Sink;

/// Letters that may precede the first digit of such an identifier.
pub(crate) const MOST_LETTERS: usize = 6;

/// Tries what begins with letters, at its first digit.
pub(crate) fn digits(sink: &mut Sink<'_>, at: usize) {
    let before = sink.bytes.get(..at).unwrap_or_default();
    let letters = before
        .iter()
        .rev()
        .take(MOST_LETTERS.saturating_add(2))
        .take_while(|byte| class::is(**byte, ALPHA))
        .count();
    // The letter of an escape such as `\n` is no part of it.
    let start = crate::cursor::after_escape(sink.bytes, at.saturating_sub(letters));
    if !word_may_begin(sink.bytes, start) || joined(sink.bytes, start) {
        return;
    }
    match at.saturating_sub(start) {
        1 => {
            sink.attempt(start, |cursor| spanish_nie(cursor).then(|| (D::SpainNie, start..cursor.at())));
            sink.attempt(start, |cursor| nric(cursor).then(|| (D::SingaporeNric, start..cursor.at())));
        }
        2 => {
            iban::find(sink, start);
            nino(sink, start);
        }
        5 => sink.attempt(start, |cursor| indian_pan(cursor).then(|| (D::IndiaPan, start..cursor.at()))),
        6 => sink.attempt(start, |cursor| {
            codice_fiscale(cursor).then(|| (D::ItalyCodiceFiscale, start..cursor.at()))
        }),
        _ => {}
    }
}

/// Tries what has two letters and a space before its digits.
pub(crate) fn spaced(sink: &mut Sink<'_>, at: usize) {
    let Some(start) = at.checked_sub(3) else { return };
    let parts = sink.bytes.get(start..at).unwrap_or_default();
    if let [a, b, b' '] = parts
        && class::is(*a, UPPER)
        && class::is(*b, UPPER)
        && word_may_begin(sink.bytes, start)
    {
        nino(sink, start);
    }
}

/// Tries what begins with digits that a letter follows.
pub(crate) fn digits_first(sink: &mut Sink<'_>, number: &Number) {
    if number.before != Before::Boundary {
        return;
    }
    let start = number.start;
    if number.groups().len() == 1 && number.digits(1).len() == 8 {
        sink.attempt(start, |cursor| spanish_dni(cursor).then(|| (D::SpainDni, start..cursor.at())));
    }
    if number.digits(1).len() == 1 {
        sink.attempt(start, |cursor| medicare(cursor).then(|| (D::UsMedicareId, start..cursor.at())));
    }
}

/// Whether what precedes makes this a part of something longer.
fn joined(bytes: &[u8], start: usize) -> bool {
    let behind = |back: usize| start.checked_sub(back).and_then(|i| bytes.get(i)).copied();
    matches!(behind(1), Some(b'-' | b'_' | b'.' | b'/' | b'+'))
        && behind(2).is_some_and(|byte| class::is(byte, ALNUM))
}

fn ends(cursor: &mut Cursor<'_>) -> bool {
    if cursor.next_is(ALNUM | class::UNDERSCORE) {
        return false;
    }
    !(cursor.next_is(class::DASH | class::PADDED)
        && cursor.peek_at(1).is_some_and(|byte| class::is(byte, ALNUM)))
}

/// 0 to 22, as the last letter of a DNI or NIE.
const DNI_LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";

fn spanish_dni(cursor: &mut Cursor<'_>) -> bool {
    let number = numbers(cursor.run(DIGIT, 8));
    letter_fits(cursor, value(&number)) && ends(cursor)
}

fn spanish_nie(cursor: &mut Cursor<'_>) -> bool {
    let lead = match cursor.peek().map(|byte| byte.to_ascii_uppercase()) {
        Some(b'X') => 0,
        Some(b'Y') => 10_000_000,
        Some(b'Z') => 20_000_000,
        _ => return false,
    };
    cursor.skip(1);
    let number = numbers(cursor.run(DIGIT, 7));
    number.len() == 7 && letter_fits(cursor, value(&number).wrapping_add(lead)) && ends(cursor)
}

fn letter_fits(cursor: &mut Cursor<'_>, number: u64) -> bool {
    let letter = usize::try_from(number % 23).ok().and_then(|i| DNI_LETTERS.get(i));
    let fits = cursor.peek().map(|byte| byte.to_ascii_uppercase()) == letter.copied();
    cursor.skip(1);
    fits
}

/// `S1234567D`: Singapore.
fn nric(cursor: &mut Cursor<'_>) -> bool {
    let kind = cursor.peek().unwrap_or(0);
    cursor.skip(1);
    let (table, lead) = match kind {
        b'S' => (b"JZIHGFEDCBA", 0),
        b'T' => (b"JZIHGFEDCBA", 4),
        b'F' => (b"XWUTRQPNMLK", 0),
        b'G' => (b"XWUTRQPNMLK", 4),
        _ => return false,
    };
    let number = numbers(cursor.run(DIGIT, 7));
    let sum = weighted(&number, &[2, 7, 6, 5, 4, 3, 2]).wrapping_add(lead);
    let letter = usize::try_from(sum % 11).ok().and_then(|i| table.get(i));
    let fits = number.len() == 7 && cursor.peek() == letter.copied();
    cursor.skip(1);
    fits && ends(cursor)
}

/// `ABCPE1234F`: the fourth letter says what the holder is. The check letter's rule is not published.
fn indian_pan(cursor: &mut Cursor<'_>) -> bool {
    let letters = cursor.run(UPPER, 5);
    let kind = letters.get(3).is_some_and(|letter| b"ABCFGHJLPT".contains(letter));
    let shape = letters.len() == 5 && cursor.run(DIGIT, 4).len() == 4 && cursor.run(UPPER, 1).len() == 1;
    kind && shape && ends(cursor)
}

/// `AB 12 34 56 C`: the United Kingdom. Some pairs of letters were never given out.
fn nino(sink: &mut Sink<'_>, start: usize) {
    if !sink.wants(D::UkNino) {
        return;
    }
    sink.attempt(start, |cursor| {
        let prefix = cursor.run(UPPER, 2);
        let [first, second] = prefix else { return None };
        // QQ is that of the documentation.
        let barred = b"DFIQUV".contains(first) || b"DFIOQUV".contains(second);
        let unused = [b"BG", b"GB", b"KN", b"NK", b"NT", b"TN", b"ZZ"].iter().any(|pair| *pair == prefix);
        if (barred || unused) && prefix != b"QQ" {
            return None;
        }
        for _ in 0..3 {
            cursor.eat(b' ');
            if cursor.run(DIGIT, 2).len() < 2 {
                return None;
            }
        }
        cursor.eat(b' ');
        let suffix = cursor.peek().is_some_and(|byte| (b'A'..=b'D').contains(&byte));
        cursor.skip(1);
        (suffix && ends(cursor)).then(|| (D::UkNino, start..cursor.at()))
    });
}

/// `RSSMRA85T10A562S`: Italy.
fn codice_fiscale(cursor: &mut Cursor<'_>) -> bool {
    let text = cursor.run(ALNUM, 16).to_ascii_uppercase();
    // Where digits are; each may be a letter instead, where two persons would have the same code.
    let shape = text.iter().enumerate().all(|(i, byte)| match i {
        0..=5 | 8 | 11 | 15 => byte.is_ascii_uppercase(),
        _ => byte.is_ascii_digit() || b"LMNPQRSTUV".contains(byte),
    });
    let month = text.get(8).is_some_and(|byte| b"ABCDEHLMPRST".contains(byte));
    text.len() == 16 && shape && month && codice_check(&text) && ends(cursor)
}

fn codice_check(text: &[u8]) -> bool {
    /// What a character at an odd place counts, by its value.
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let value = |byte: u8| match byte {
        b'0'..=b'9' => byte.wrapping_sub(b'0'),
        _ => byte.wrapping_sub(b'A'),
    };
    let Some((check, rest)) = text.split_last() else { return false };
    let term = |(i, byte): (usize, &u8)| match i & 1 {
        0 => ODD.get(usize::from(value(*byte))).copied().unwrap_or(0),
        _ => u32::from(value(*byte)),
    };
    let sum: u32 = rest.iter().enumerate().map(term).sum();
    sum % 26 == u32::from(value(*check))
}

/// `1EG4-TE5-MK73`: eleven places with a class each, and no S, L, O, I, B, Z.
fn medicare(cursor: &mut Cursor<'_>) -> bool {
    let letter = |byte: u8| byte.is_ascii_uppercase() && !b"SLOIBZ".contains(&byte);
    let mut letters = 0_u32;
    for (i, place) in b"CANDANDAADD".iter().enumerate() {
        if matches!(i, 4 | 7) {
            cursor.eat(b'-');
        }
        let Some(byte) = cursor.peek() else { return false };
        let fits = match place {
            b'C' => (b'1'..=b'9').contains(&byte),
            b'A' => letter(byte),
            b'N' => letter(byte) || byte.is_ascii_digit(),
            _ => byte.is_ascii_digit(),
        };
        if !fits {
            return false;
        }
        letters = letters.saturating_add(u32::from(letter(byte)));
        cursor.skip(1);
    }
    letters >= 4 && ends(cursor)
}

pub(crate) fn numbers(digits: &[u8]) -> Vec<u8> {
    digits.iter().map(|digit| digit.wrapping_sub(b'0')).collect()
}
