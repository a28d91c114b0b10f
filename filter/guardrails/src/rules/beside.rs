//! Values that count only right after a word for them: what has no form of its own.

use crate::class::{self, ALNUM, DASH, DIGIT, UPPER};
use crate::cursor::Cursor;
use crate::detector::DetectorId as D;
use crate::dictionary::Keyword;
use crate::rules::checksum::weighted;
use crate::rules::context::lead;
use crate::rules::mixed::numbers;
use crate::sink::Sink;

pub(crate) fn passport(sink: &mut Sink<'_>, keyword: Keyword) {
    value(sink, keyword, D::Passport, |cursor| identifier(cursor, 6, 9, 4));
}

pub(crate) fn drivers_license(sink: &mut Sink<'_>, keyword: Keyword) {
    value(sink, keyword, D::DriversLicense, |cursor| identifier(cursor, 5, 18, 4));
}

pub(crate) fn medical_record(sink: &mut Sink<'_>, keyword: Keyword) {
    value(sink, keyword, D::MedicalRecordNumber, |cursor| identifier(cursor, 5, 16, 4));
}

pub(crate) fn health_insurance(sink: &mut Sink<'_>, keyword: Keyword) {
    value(sink, keyword, D::HealthInsuranceId, |cursor| identifier(cursor, 6, 20, 4));
}

pub(crate) fn account(sink: &mut Sink<'_>, keyword: Keyword) {
    value(sink, keyword, D::BankAccount, |cursor| {
        let mut digits = 0_usize;
        loop {
            let run = cursor.run(DIGIT, 18);
            digits = digits.saturating_add(run.len());
            let separated = !run.is_empty() && matches!(cursor.peek(), Some(b'-' | b' '));
            if !separated || !cursor.peek_at(1).is_some_and(|byte| class::is(byte, DIGIT)) || digits > 17 {
                break;
            }
            cursor.skip(1);
        }
        (6..=17).contains(&digits) && !cursor.next_is(class::WORD)
    });
}

/// ISO 3166-1 codes of countries, two letters each.
const COUNTRIES: &[u8] = b"\
    ADAEAFAGAIALAMAOARASATAUAWAZBABBBDBEBFBGBHBIBJBMBNBOBRBSBTBWBYBZCACDCFCGCHCICKCLCMCNCOCRCUCVCWCYCZDE\
    DJDKDMDODZECEEEGERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQGRGTGUGWGYHKHNHRHTHUIDIEILIMINIQIRISITJE\
    JMJOJPKEKGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLSLTLULVLYMAMCMDMEMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNE\
    NGNINLNONPNRNUNZOMPAPEPFPGPHPKPLPMPRPSPTPWPYQARERORSRURWSASBSCSDSESGSHSISKSLSMSNSOSRSSSTSVSXSYSZTCTD\
    TGTHTJTLTMTNTOTRTTTVTWTZUAUGUSUYUZVAVCVEVGVIVNVUWFWSXKYEYTZAZMZW";

/// ISO 9362: a bank, a country, a place, and perhaps a branch.
pub(crate) fn bic(sink: &mut Sink<'_>, keyword: Keyword) {
    value(sink, keyword, D::SwiftBic, |cursor| {
        let code = cursor.run(ALNUM, 12);
        let (bank, rest) = code.split_at_checked(6).unwrap_or((&[], &[]));
        let fits = bank.iter().all(|byte| class::is(*byte, UPPER))
            && rest.iter().all(|byte| class::is(*byte, UPPER | DIGIT));
        let country = bank.get(4..6).is_some_and(|code| COUNTRIES.chunks(2).any(|other| other == code));
        matches!(code.len(), 8 | 11) && fits && country && !cursor.next_is(class::WORD)
    });
}

/// `E11.9`: a letter, two places, and up to four more after a dot.
pub(crate) fn diagnosis(sink: &mut Sink<'_>, keyword: Keyword) {
    value(sink, keyword, D::DiagnosisCode, |cursor| {
        let head = cursor.run(UPPER | DIGIT, 4);
        let shape = matches!(head, [b'A'..=b'Z', b'0'..=b'9', b'0'..=b'9' | b'A' | b'B']);
        if cursor.peek() == Some(b'.') && cursor.peek_at(1).is_some_and(|byte| class::is(byte, UPPER | DIGIT))
        {
            cursor.skip(1);
            cursor.run(UPPER | DIGIT, 4);
        }
        shape && !cursor.next_is(class::WORD)
    });
}

/// `AB1234563`: the registrant's kind, the first letter of the name, and a checksum.
pub(crate) fn dea(sink: &mut Sink<'_>, keyword: Keyword) {
    value(sink, keyword, D::UsDeaNumber, |cursor| {
        let code = cursor.run(ALNUM, 10);
        let (letters, digits) = code.split_at_checked(2).unwrap_or((&[], &[]));
        let kind = matches!(letters, [first, second]
            if b"ABCDEFGHJKLMPRSTUX".contains(&first.to_ascii_uppercase())
                && (second.is_ascii_alphabetic() || *second == b'9'));
        let number = numbers(digits);
        let sum = weighted(&number, &[1, 2, 1, 2, 1, 2]) % 10;
        let check = number.get(6).copied().map(u32::from);
        kind && digits.len() == 7 && digits.iter().all(u8::is_ascii_digit) && check == Some(sum)
    });
}

/// Letters and digits, perhaps with dashes: so many in all, and so many digits among them.
fn identifier(cursor: &mut Cursor<'_>, least: usize, most: usize, digits: usize) -> bool {
    let text = cursor.run(ALNUM | DASH, most.saturating_add(1));
    let found = text.iter().filter(|byte| class::is(**byte, DIGIT)).count();
    let ends = text.last().is_some_and(|byte| class::is(*byte, ALNUM)) && text.first() != Some(&b'-');
    (least..=most).contains(&text.len()) && found >= digits && ends && !cursor.next_is(class::UNDERSCORE)
}

/// Reads a value after its word.
fn value(sink: &mut Sink<'_>, keyword: Keyword, detector: D, rule: impl FnOnce(&mut Cursor<'_>) -> bool) {
    if !sink.wants(detector) {
        return;
    }
    let mut start = keyword.end;
    let mut cursor = Cursor::new(sink.bytes, keyword.end);
    lead(&mut cursor);
    if cursor.at() > keyword.end {
        start = cursor.at();
        if rule(&mut cursor) && sink.near(keyword, start) {
            sink.add(detector, start..cursor.at());
        }
    }
    let _ = start;
    if let Some(at) = cursor.undecided() {
        sink.hold(at);
    }
}
