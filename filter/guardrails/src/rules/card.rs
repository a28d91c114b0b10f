//! Payment card numbers, and what else a card has.

use crate::class::{ALNUM, DIGIT, SPACE, UPPER};
use crate::cursor::Cursor;
use crate::detector::DetectorId;
use crate::dictionary::Keyword;
use crate::rules::checksum::luhn;
use crate::rules::number::{Before, Number, found};
use crate::sink::{Found, Sink};

/// A number that an issuer may have given out, in the groups that people write.
pub(crate) fn find(number: &Number) -> Option<Found> {
    let counts = 1..=number.groups().len().min(19);
    for count in counts {
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
            return found(DetectorId::CreditCard, number, count);
        }
    }
    None
}

/// Whether the digits are written together, in fours, as 4-6-5 or 4-6-4, in pairs, or one by one.
fn grouped(number: &Number, count: usize) -> bool {
    if number.separator(count).is_none() {
        return false;
    }
    let groups = number.groups().get(..count).unwrap_or_default();
    let each = |length: u8| groups.iter().all(|group| group.length == length);
    let Some((last, rest)) = groups.split_last() else { return false };
    let fours = rest.iter().all(|group| group.length == 4) && (1..=4).contains(&last.length);
    match count {
        1 => true,
        _ if fours => number.before != Before::Group(4) && !continues(number, count),
        3 => matches!(number.shape(3), 0x465 | 0x464),
        _ => (each(1) || each(2)) && number.before == Before::Boundary,
    }
}

/// Whether another four digits follow, and this is a list: unless they are an expiry date and the last.
fn continues(number: &Number, count: usize) -> bool {
    match number.following(count) {
        Some((_, 4)) => {
            let next = count.saturating_add(1);
            let month = number.digits(next).get(number.digits(count).len()..).and_then(|date| date.get(..2));
            !month.is_some_and(|month| matches!(month, [0, 1..=9] | [1, 0..=2]))
                || number.following(next).is_some()
        }
        _ => false,
    }
}

/// Whether an issuer has numbers of this length that begin so.
pub(crate) fn issued(digits: &[u8]) -> bool {
    let four = digits.iter().take(4);
    let prefix = four.fold(0_u32, |value, digit| value.wrapping_mul(10).wrapping_add(u32::from(*digit)));
    let maestro = matches!(prefix, 5018 | 5020 | 5038 | 6304 | 6759 | 6761..=6763);
    let union_pay = matches!(prefix, 6200..=6299 | 8100..=8199);
    match digits.len() {
        14 => matches!(prefix, 3000..=3059 | 3095 | 3600..=3699 | 3800..=3999),
        15 => matches!(prefix, 3400..=3499 | 3700..=3799),
        16 => {
            maestro
                || union_pay
                || matches!(prefix,
                    // Visa, Mastercard, Mir, Discover, RuPay, JCB.
                    4000..=4999 | 5100..=5599 | 2221..=2720 | 2200..=2204 | 6011 | 6440..=6599
                    | 5080..=5089 | 6060..=6099 | 8200..=8299 | 3528..=3589)
        }
        17 | 18 => maestro || union_pay,
        19 => maestro || union_pay || matches!(prefix, 4000..=4999 | 6011 | 6440..=6599),
        _ => false,
    }
}

/// What the magnetic stripe holds: `%B<number>^NAME/FIRST^2512…` (track 1) or `;<number>=2512…?`
/// (track 2), ISO/IEC 7813.
pub(crate) fn track(sink: &mut Sink<'_>, keyword: Keyword) {
    if !sink.wants(DetectorId::CardTrack) {
        return;
    }
    sink.attempt(keyword.start, |cursor| {
        let first = cursor.eat(b'%');
        if first && !(cursor.eat(b'B') || cursor.eat(b'b')) || !first && !cursor.eat(b';') {
            return None;
        }
        let number: Vec<u8> = cursor.run(DIGIT, 19).iter().map(|byte| byte.wrapping_sub(b'0')).collect();
        if number.len() < 13 || !luhn(&number) {
            return None;
        }
        if first {
            track_name(cursor)?
        } else if !cursor.eat(b'=') {
            return None;
        }
        if cursor.run(DIGIT, 4).len() < 4 {
            return None;
        }
        cursor.run(ALNUM, 60);
        cursor.eat(b'?');
        Some((DetectorId::CardTrack, keyword.start..cursor.at()))
    });
}

fn track_name(cursor: &mut Cursor<'_>) -> Option<()> {
    cursor.eat(b'^').then_some(())?;
    let start = cursor.at();
    while cursor.at().saturating_sub(start) < 26
        && (cursor.next_is(UPPER | SPACE) || cursor.peek() == Some(b'/'))
    {
        cursor.skip(1);
    }
    cursor.eat(b'^').then_some(())
}
