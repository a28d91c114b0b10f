//! National numbers that are digits alone.
//!
//! Those whose separators nothing else has count by themselves; the others need a word before them.

use crate::detector::DetectorId as D;
use crate::rules::checksum::{luhn, mod11_10, value, verhoeff, weighted};
use crate::rules::context::Context;
use crate::rules::number::{Before, Number, found};
use crate::rules::{phone, ssn};
use crate::sink::{Found, Sink};

/// The lengths of groups, their count, what separates them, and what decides.
type Form = (u64, usize, &'static [u8], fn(&[u8]) -> bool, D);

/// A number in the separators of its country.
pub(crate) fn find(number: &Number) -> Option<Found> {
    if number.before == Before::Joined {
        return None;
    }
    let groups = number.groups();
    let separators =
        |expected: &[u8]| groups.iter().zip(expected).all(|(group, separator)| group.separator == *separator);
    let ends = |count: usize| number.may_end(count);
    let alone = number.before == Before::Boundary;
    let checks: [Form; 7] = [
        (0x3332, 4, b"..-", is_cpf, D::BrazilCpf),
        (0x22232, 5, b"..-.", is_belgian, D::BelgiumNationalNumber),
        (0x64, 2, b"-", is_personnummer, D::SwedenPersonnummer),
        (0x84, 2, b"-", is_personnummer, D::SwedenPersonnummer),
        (0x333, 3, b"--", is_sin, D::CanadaSin),
        (0x122_2332, 7, b"      ", is_nir, D::FranceNir),
        (0xd2, 2, b" ", is_nir, D::FranceNir),
    ];
    for (shape, count, expected, check, detector) in checks {
        if alone
            && number.shape(count) == shape
            && separators(expected)
            && ends(count)
            && check(number.digits(count))
        {
            return found(detector, number, count);
        }
    }
    let aadhaar = number.shape(3) == 0x444 && matches!(number.separator(3), Some(b' ' | b'-'));
    let row = !alone || number.following(3).is_some_and(|(_, length)| length == 4);
    // The middle of a UUID.
    let is_joined = number.groups().len() == 3 && number.next == Some(b'-');
    (aadhaar && !row && !is_joined && ends(3) && is_aadhaar(number.digits(3)))
        .then(|| found(D::IndiaAadhaar, number, 3))
        .flatten()
}

type Row = (Context, &'static [usize], fn(&[u8]) -> bool, D);

/// What a word before it makes of a number of so many digits.
const BESIDE_WORDS: [Row; 16] = [
    (Context::Ssn, &[9], ssn::is_ssn, D::UsSsn),
    (Context::Itin, &[9], ssn::is_itin, D::UsItin),
    (Context::Bsn, &[9, 8], is_bsn, D::NetherlandsBsn),
    (Context::SteuerId, &[11], is_steuer_id, D::GermanySteuerId),
    (Context::Pesel, &[11], is_pesel, D::PolandPesel),
    (Context::Nif, &[9], is_nif, D::PortugalNif),
    (Context::Sin, &[9], is_sin, D::CanadaSin),
    (Context::Tfn, &[9, 8], is_tfn, D::AustraliaTfn),
    (Context::Aadhaar, &[12], is_aadhaar, D::IndiaAadhaar),
    (Context::Cpf, &[11], is_cpf, D::BrazilCpf),
    (Context::Personnummer, &[10, 12], is_personnummer, D::SwedenPersonnummer),
    (Context::BelgianNumber, &[11], is_belgian, D::BelgiumNationalNumber),
    (Context::Nir, &[15], is_nir, D::FranceNir),
    (Context::Nhs, &[10], is_nhs, D::UkNhsNumber),
    (Context::Npi, &[10], is_npi, D::UsNpi),
    (Context::Routing, &[9], is_routing_number, D::UsBankRouting),
];

/// Numbers that a word before them makes count.
pub(crate) fn beside_words(sink: &mut Sink<'_>, number: &Number) {
    for (context, lengths, check, detector) in BESIDE_WORDS {
        if sink.context(context, number.start).is_none() {
            continue;
        }
        for length in lengths {
            let Some(count) = number.count_of(*length).filter(|count| number.may_end(*count)) else {
                continue;
            };
            if check(number.digits(count)) {
                sink.add(detector, number.span(count));
                break;
            }
        }
    }
    let beside = |context: Context| sink.context_beside(context, number.start).is_some();
    let cvv = matches!(number.digits(1).len(), 3 | 4) && number.may_end(1) && beside(Context::Cvv);
    if cvv {
        sink.add(D::CardCvv, number.span(1));
    }
    let phone = phone::named(number).filter(|_| sink.context_beside(Context::Phone, number.start).is_some());
    if let Some(count) = phone {
        sink.add(D::Phone, number.span(count));
    }
}

fn all_same(digits: &[u8]) -> bool {
    digits.windows(2).all(|pair| pair.first() == pair.last())
}

fn part(digits: &[u8], from: usize, to: usize) -> &[u8] {
    digits.get(from..to).unwrap_or_default()
}

/// Brazil: two check digits, each modulo 11.
pub(crate) fn is_cpf(digits: &[u8]) -> bool {
    let check = |length: usize| {
        let weights: Vec<u32> = (2_u32..).take(length).collect();
        let sum: u32 = part(digits, 0, length)
            .iter()
            .rev()
            .zip(&weights)
            .map(|(digit, weight)| u32::from(*digit).wrapping_mul(*weight))
            .sum();
        let expected = sum.wrapping_mul(10) % 11 % 10;
        digits.get(length).is_some_and(|digit| u32::from(*digit) == expected)
    };
    digits.len() == 11 && !all_same(digits) && check(9) && check(10)
}

/// Belgium: 97 less the rest of the first nine digits, with a 2 before them for those born from 2000 on.
pub(crate) fn is_belgian(digits: &[u8]) -> bool {
    if digits.len() != 11 || value(part(digits, 2, 4)) > 12 || value(part(digits, 4, 6)) > 31 {
        return false;
    }
    let (number, check) = (value(part(digits, 0, 9)), value(part(digits, 9, 11)));
    let expected = |number: u64| 97_u64.wrapping_sub(number % 97);
    check == expected(number) || check == expected(number.wrapping_add(2_000_000_000))
}

/// Sweden: a date and Luhn. A day from 61 on is a coordination number.
pub(crate) fn is_personnummer(digits: &[u8]) -> bool {
    let short = match digits.len() {
        10 => digits,
        12 if matches!(digits, [1, 9, ..] | [2, 0, ..]) => part(digits, 2, 12),
        _ => return false,
    };
    let day = value(part(short, 4, 6));
    (1..=12).contains(&value(part(short, 2, 4))) && matches!(day, 1..=31 | 61..=91) && luhn(short)
}

/// Canada: Luhn. 0 and 8 begin none.
pub(crate) fn is_sin(digits: &[u8]) -> bool {
    digits.len() == 9 && !matches!(digits.first(), Some(0 | 8)) && luhn(digits)
}

/// France: sex, year, month, place, order, and 97 less the rest.
pub(crate) fn is_nir(digits: &[u8]) -> bool {
    let month = value(part(digits, 3, 5));
    digits.len() == 15
        && matches!(digits.first(), Some(1..=4 | 7 | 8))
        && (matches!(month, 1..=12 | 20..=42 | 50..=99))
        && value(part(digits, 13, 15)) == 97_u64.wrapping_sub(value(part(digits, 0, 13)) % 97)
}

/// India: Verhoeff. Neither 0 nor 1 begins one, and none reads the same backwards.
pub(crate) fn is_aadhaar(digits: &[u8]) -> bool {
    digits.len() == 12
        && digits.first().is_some_and(|digit| *digit > 1)
        && !digits.iter().eq(digits.iter().rev())
        && verhoeff(digits)
}

/// Netherlands: the eleven test, the last digit counting against.
pub(crate) fn is_bsn(digits: &[u8]) -> bool {
    let weights = if digits.len() == 9 { &[9, 8, 7, 6, 5, 4, 3, 2][..] } else { &[8, 7, 6, 5, 4, 3, 2][..] };
    let sum = weighted(digits, weights);
    let last = digits.last().copied().map_or(0, u32::from);
    matches!(digits.len(), 8 | 9) && value(digits) > 0 && sum.wrapping_sub(last) % 11 == 0
}

/// Germany: MOD 11,10. Of the first ten digits one occurs twice or three times.
pub(crate) fn is_steuer_id(digits: &[u8]) -> bool {
    let repeats = |digit: u8| part(digits, 0, 10).iter().filter(|other| **other == digit).count();
    let counts: Vec<usize> = (0..10).map(repeats).filter(|count| *count > 1).collect();
    digits.len() == 11
        && digits.first() != Some(&0)
        && matches!(counts.as_slice(), [2 | 3])
        && mod11_10(digits)
}

/// Poland: a date with the century in the month, and weights 1, 3, 7, 9.
pub(crate) fn is_pesel(digits: &[u8]) -> bool {
    let month = value(part(digits, 2, 4)) % 20;
    let weights = [1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1];
    digits.len() == 11
        && (1..=12).contains(&month)
        && (1..=31).contains(&value(part(digits, 4, 6)))
        && weighted(digits, &weights).is_multiple_of(10)
}

/// Portugal: modulo 11.
pub(crate) fn is_nif(digits: &[u8]) -> bool {
    let check = 11_u32.wrapping_sub(weighted(digits, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11) % 11 % 10;
    digits.len() == 9 && digits.first() != Some(&0) && digits.last().copied().map(u32::from) == Some(check)
}

/// Australia: weights modulo 11.
pub(crate) fn is_tfn(digits: &[u8]) -> bool {
    let weights =
        if digits.len() == 9 { &[1, 4, 3, 7, 5, 8, 6, 9, 10][..] } else { &[10, 7, 8, 4, 6, 3, 5, 1][..] };
    matches!(digits.len(), 8 | 9) && value(digits) > 0 && weighted(digits, weights).is_multiple_of(11)
}

/// United Kingdom: modulo 11.
pub(crate) fn is_nhs(digits: &[u8]) -> bool {
    let weights = [10, 9, 8, 7, 6, 5, 4, 3, 2, 1];
    digits.len() == 10 && value(digits) > 0 && weighted(digits, &weights).is_multiple_of(11)
}

/// US providers: Luhn with 80840 before the number, which adds 24.
pub(crate) fn is_npi(digits: &[u8]) -> bool {
    let prefixed: Vec<u8> = [8, 0, 8, 4, 0].iter().chain(digits).copied().collect();
    digits.len() == 10 && matches!(digits.first(), Some(1 | 2)) && luhn(&prefixed)
}

/// US banks: weights 3, 7, 1, and a Federal Reserve prefix.
pub(crate) fn is_routing_number(digits: &[u8]) -> bool {
    let prefix = value(part(digits, 0, 2));
    digits.len() == 9
        && matches!(prefix, 1..=12 | 21..=32 | 61..=72 | 80)
        && weighted(digits, &[3, 7, 1, 3, 7, 1, 3, 7, 1]).is_multiple_of(10)
}
