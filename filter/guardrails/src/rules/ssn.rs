//! US Social Security numbers and taxpayer numbers.

use crate::detector::DetectorId;
use crate::rules::number::{Before, Number, found};
use crate::sink::Found;

/// With dashes, which nothing else is written with.
pub(crate) fn find(number: &Number) -> Option<Found> {
    let form = number.shape(3) == 0x324 && number.separator(3) == Some(b'-');
    if !form || number.before != Before::Boundary || !number.may_end(3) {
        return None;
    }
    let digits = number.digits(3);
    match (is_itin(digits), is_ssn(digits)) {
        (true, _) => found(DetectorId::UsItin, number, 3),
        (_, true) => found(DetectorId::UsSsn, number, 3),
        _ => None,
    }
}

/// Areas 000 and 666, group 00 and serial 0000 are none (20 CFR 422.110, POMS RM 10201.035). Areas from 900 were
/// never issued; they count nevertheless, since people take them for SSNs.
pub(crate) fn is_ssn(digits: &[u8]) -> bool {
    let part = |range: std::ops::Range<usize>| digits.get(range).unwrap_or_default();
    digits.len() == 9
        && !matches!(part(0..3), [0, 0, 0] | [6, 6, 6])
        && part(3..5) != [0, 0]
        && part(5..9) != [0, 0, 0, 0]
}

/// Area 9xx and a group that the IRS assigns.
pub(crate) fn is_itin(digits: &[u8]) -> bool {
    let [9, _, _, a, b, _, _, _, _] = digits else { return false };
    matches!((a, b), (5, _) | (6, 0..=5) | (7, _) | (8, 0..=8) | (9, 0..=2 | 4..=9))
}
