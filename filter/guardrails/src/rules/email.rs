//! E-mail addresses.

use crate::class::{self, ALNUM, ALPHA, DASH, LOCAL};
use crate::cursor::{Cursor, after_escape};
use crate::detector::DetectorId;
use crate::sink::Sink;

/// RFC 5321, 4.5.3.1.1.
pub(crate) const LONGEST_LOCAL: usize = 64;
const LONGEST_DOMAIN: usize = 190;

/// What ends like a domain but is a file or a unit: `icon@2x.png`, `getty@tty1.service`.
const NO_DOMAINS: [&str; 26] = [
    "css", "gif", "html", "ico", "jpeg", "jpg", "js", "json", "lock", "log", "mount", "pdf", "png", "scss",
    "service", "socket", "svg", "target", "timer", "toml", "ts", "tsx", "txt", "webp", "xml", "yaml",
];

/// Tries an address around an `@` or `%40`.
pub(crate) fn at_sign(sink: &mut Sink<'_>, at: usize) {
    if !sink.wants(DetectorId::Email) {
        return;
    }
    let mut cursor = Cursor::new(sink.bytes, at);
    let read = cursor.eat(b'@') || cursor.literal("%40");
    if !read && cursor.undecided().is_none() {
        return;
    }
    let Some(start) = local_start(sink.bytes, at) else { return };
    let end = if read { domain(&mut cursor) } else { None };
    if cursor.undecided().is_some() {
        sink.hold(start);
    }
    if let Some(end) = end {
        sink.add(DetectorId::Email, start..end);
    }
}

/// Where the part before the @ begins.
fn local_start(bytes: &[u8], at: usize) -> Option<usize> {
    let reversed = bytes.get(..at)?.iter().rev().take(LONGEST_LOCAL.saturating_add(1));
    let length = reversed.take_while(|byte| class::is(**byte, LOCAL)).count();
    if length > LONGEST_LOCAL {
        return None;
    }
    let start = after_escape(bytes, at.saturating_sub(length));
    // What precedes may be percent-encoded as well: `mailto%3Aann%40example.com`.
    let encoded = start.checked_sub(1).and_then(|i| bytes.get(i)) == Some(&b'%');
    let start = if encoded { start.saturating_add(2) } else { start };
    let local = bytes.get(start..at)?;
    let trimmed = local.iter().position(|byte| class::is(*byte, ALNUM))?;
    let name = local.get(trimmed..)?;
    if in_userinfo(bytes, start) {
        return None;
    }
    let proper = !name.windows(2).any(|pair| pair == b"..") && name.last() != Some(&b'.') && name != b"git";
    proper.then(|| start.saturating_add(trimmed))
}

/// Whether what follows is the password of `scheme://user:password@host`.
fn in_userinfo(bytes: &[u8], start: usize) -> bool {
    let before = bytes.get(..start).and_then(|before| before.strip_suffix(b":"));
    let before = before.unwrap_or_default();
    let user = before.iter().rev().take(LONGEST_LOCAL).take_while(|byte| class::is(**byte, LOCAL)).count();
    before.get(..before.len().saturating_sub(user)).is_some_and(|before| before.ends_with(b"://"))
}

/// Reads a domain, and gives where it ends: after the last label that can be a top-level domain.
fn domain(cursor: &mut Cursor<'_>) -> Option<usize> {
    let start = cursor.at();
    let mut end = None;
    let mut labels = 0_u32;
    while cursor.at().saturating_sub(start) < LONGEST_DOMAIN && cursor.next_is(ALNUM) {
        let label = cursor.run(ALNUM | DASH, 63);
        labels = labels.saturating_add(1);
        let top = label.len() >= 2
            && (label.iter().all(|byte| class::is(*byte, ALPHA)) || label.starts_with(b"xn--"));
        if top && labels > 1 && label.len() <= 24 && !is_file(label) {
            end = Some(cursor.at());
        }
        let continues =
            cursor.peek() == Some(b'.') && cursor.peek_at(1).is_some_and(|byte| class::is(byte, ALNUM));
        if !continues {
            break;
        }
        cursor.skip(1);
    }
    end
}

fn is_file(label: &[u8]) -> bool {
    NO_DOMAINS.iter().any(|name| label.eq_ignore_ascii_case(name.as_bytes()))
}
