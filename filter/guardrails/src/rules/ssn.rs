//! US Social Security numbers.

use crate::detector::DetectorId;
use crate::rules::number::{Before, Number};
use crate::sink::Found;

pub(crate) fn find(number: &Number) -> Option<Found> {
    let (lengths, separator) = number.lengths(3)?;
    let form = lengths == [3, 2, 4] && separator == b'-' && number.before == Before::Boundary;
    (form && number.may_end(3) && valid(number.digits(3)))
        .then(|| (DetectorId::UsSsn, number.start..number.end(3)))
}

/// Areas 000 and 666, group 00 and serial 0000 are none. Areas from 900 were never issued; with dashes they are
/// found nevertheless, since people take them for SSNs as well.
fn valid(digits: &[u8]) -> bool {
    let part = |range: std::ops::Range<usize>| digits.get(range).unwrap_or_default();
    !matches!(part(0..3), [0, 0, 0] | [6, 6, 6]) && part(3..5) != [0, 0] && part(5..9) != [0, 0, 0, 0]
}
