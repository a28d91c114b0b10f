//! Payment card numbers.

use crate::detector::DetectorId;
use crate::rules::checksum::luhn;
use crate::rules::number::{Before, Number};
use crate::sink::Found;

pub(crate) fn find(number: &Number) -> Option<Found> {
    for count in 1..=number.groups().len().min(19) {
        let digits = number.digits(count);
        if digits.len() > 19 {
            break;
        }
        if digits.len() >= 14
            && number.may_end(count)
            && grouped(number, count)
            && issued(digits)
            && luhn(digits)
        {
            return Some((DetectorId::CreditCard, number.start..number.end(count)));
        }
    }
    None
}

/// Whether the digits are written as people write cards: together, in fours, as 4-6-5 or 4-6-4, or one by one.
fn grouped(number: &Number, count: usize) -> bool {
    let Some((lengths, _)) = number.lengths(count) else { return false };
    let fours =
        lengths.split_last().is_some_and(|(last, rest)| *last <= 4 && rest.iter().all(|length| *length == 4));
    let in_row = matches!(number.before, Before::Group(4));
    match lengths.as_slice() {
        [_] => true,
        [4, 6, 4 | 5] => true,
        _ if fours => !in_row,
        _ => lengths.iter().all(|length| *length == 1),
    }
}

/// Whether an issuer has numbers of this length that begin so.
fn issued(digits: &[u8]) -> bool {
    let prefix = digits
        .iter()
        .take(4)
        .fold(0_u32, |value, digit| value.saturating_mul(10).saturating_add(u32::from(*digit)));
    match digits.len() {
        14 => matches!(prefix, 3000..=3059 | 3600..=3699 | 3800..=3999),
        15 => matches!(prefix, 3400..=3499 | 3700..=3799),
        16 => matches!(prefix,
            4000..=4999 | 5100..=5599 | 2221..=2720 | 2200..=2204 | 6011 | 6440..=6599 | 3528..=3589 | 6200..=6299
            | 8100..=8299 | 5018 | 5020 | 5038 | 6304 | 6759 | 6761..=6763 | 6000..=6099 | 5080..=5089),
        17 | 18 => {
            matches!(prefix, 6200..=6299 | 8100..=8199 | 5018 | 5020 | 5038 | 6304 | 6759 | 6761..=6763)
        }
        19 => matches!(prefix, 4000..=4999 | 6200..=6299 | 6759 | 6440..=6599 | 8100..=8199),
        _ => false,
    }
}
