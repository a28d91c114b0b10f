//! IP addresses.
//!
//! Found: what may be the address of a person's device, private ranges included. Not found: loopback,
//! unspecified, broadcast, and addresses of one digit each such as 1.1.1.1 or 8.8.8.8, since versions look so.

use crate::class::{self, ALNUM, DIGIT, HEX};
use crate::cursor::Cursor;
use crate::detector::DetectorId;
use crate::dictionary::Keyword;
use crate::rules::number::{Before, Number, found};
use crate::sink::{Found, Sink};

pub(crate) fn v4(bytes: &[u8], number: &Number) -> Option<Found> {
    let groups = number.groups().get(..4)?;
    if number.separator(4) != Some(b'.')
        || number.before == Before::Joined
        || !groups.iter().all(|g| g.length <= 3)
    {
        return None;
    }
    let ends = match number.following(4) {
        Some((separator, _)) => matches!(separator, b' ' | b'/'),
        None => number.may_end(4),
    };
    let mut octets = [0_u32; 4];
    let mut digits = number.digits(4);
    for (octet, group) in octets.iter_mut().zip(groups) {
        let (part, rest) = digits.split_at_checked(usize::from(group.length))?;
        digits = rest;
        *octet = u32::try_from(crate::rules::checksum::value(part)).ok()?;
        if *octet > 255 || (part.len() > 1 && part.first() == Some(&0)) {
            return None;
        }
    }
    let ignored = match octets {
        [0 | 127, ..] | [255, 255, 255, _] => true,
        octets => octets.iter().all(|octet| *octet < 10) || matches!(octets, [_, 0, 0, 0]),
    };
    (ends && !ignored && !is_version(bytes, number.start))
        .then(|| found(DetectorId::IpAddress, number, 4))
        .flatten()
}

/// Whether what precedes says that this is a version: `v`, `@`, `==`, `-`, `^`, `version `.
fn is_version(bytes: &[u8], start: usize) -> bool {
    let before = bytes.get(..start).unwrap_or_default();
    let tail = before.get(before.len().saturating_sub(9)..).unwrap_or_default();
    let signs: [&[u8]; 12] =
        [b"==", b">=", b"<=", b"~=", b"!=", b"-", b"_", b"^", b"~", b"version ", b"version: ", b"v. "];
    signs.iter().any(|sign| {
        let end = tail.len().checked_sub(sign.len()).and_then(|start| tail.get(start..));
        end.is_some_and(|end| end.eq_ignore_ascii_case(sign))
    })
}

/// An IPv6 address, at its first colon.
pub(crate) fn v6(sink: &mut Sink<'_>, keyword: Keyword) {
    if !sink.wants(DetectorId::IpAddress) {
        return;
    }
    let before = sink.bytes.get(..keyword.start).unwrap_or_default();
    let hex = before.iter().rev().take(5).take_while(|byte| class::is(**byte, HEX)).count();
    let start = keyword.start.saturating_sub(hex);
    let joined = start
        .checked_sub(1)
        .and_then(|i| before.get(i))
        .is_some_and(|byte| class::is(*byte, ALNUM) || b":.-_".contains(byte));
    if hex > 4 || joined {
        return;
    }
    sink.attempt(start, |cursor| read_v6(cursor).map(|()| (DetectorId::IpAddress, start..cursor.at())));
}

fn read_v6(cursor: &mut Cursor<'_>) -> Option<()> {
    let start = cursor.at();
    let (mut groups, mut compressed) = (0_u32, false);
    loop {
        let group = cursor.run(HEX, 5);
        if group.len() > 4 {
            return None;
        }
        if group.is_empty() && groups > 0 && !compressed {
            return None;
        }
        groups = groups.saturating_add(u32::from(!group.is_empty()));
        if cursor.peek() != Some(b':') {
            break;
        }
        let double = cursor.peek_at(1) == Some(b':');
        if double && compressed {
            return None;
        }
        if !double && !cursor.peek_at(1).is_some_and(|byte| class::is(byte, HEX)) {
            break;
        }
        compressed |= double;
        cursor.skip(if double { 2 } else { 1 });
        if groups > 8 || (double && !cursor.next_is(HEX)) {
            break;
        }
    }
    if cursor.peek() == Some(b'.') && cursor.peek_at(1).is_some_and(|byte| class::is(byte, DIGIT)) {
        mapped_v4(cursor);
        groups = groups.saturating_add(1);
    }
    let text = cursor.since(start);
    let digits = text.iter().filter(|byte| class::is(**byte, HEX)).count();
    let complete = if compressed { groups < 8 && digits >= 5 } else { groups == 8 };
    let number = text.iter().any(|byte| class::is(*byte, DIGIT));
    let joined = cursor.next_is(ALNUM | class::UNDERSCORE);
    (complete && number && !joined && !text.starts_with(b"::")).then_some(())
}

/// The rest of an IPv4 address after its first part.
fn mapped_v4(cursor: &mut Cursor<'_>) {
    for _ in 0..3 {
        let more =
            cursor.peek() == Some(b'.') && cursor.peek_at(1).is_some_and(|byte| class::is(byte, DIGIT));
        if more {
            cursor.skip(1);
            cursor.run(DIGIT, 3);
        }
    }
}
