//! Classes of bytes.

/// A set of classes.
pub(crate) type Class = u16;

pub(crate) const DIGIT: Class = 1;
pub(crate) const UPPER: Class = 1 << 1;
pub(crate) const LOWER: Class = 1 << 2;
/// `0`–`9`, `a`–`f`, `A`–`F`.
pub(crate) const HEX: Class = 1 << 3;
/// What ends no run of base64, standard or URL: letters, digits, `+ / - _`.
pub(crate) const BASE64: Class = 1 << 4;
/// What the part of an e-mail address before the @ is made of.
pub(crate) const LOCAL: Class = 1 << 5;
/// Bytes other than letters and digits at which a rule may begin.
pub(crate) const EVENT: Class = 1 << 6;
/// Space, tab and line breaks.
pub(crate) const SPACE: Class = 1 << 7;
/// `-`
pub(crate) const DASH: Class = 1 << 8;
/// `_`
pub(crate) const UNDERSCORE: Class = 1 << 9;
/// `.`
pub(crate) const DOT: Class = 1 << 10;
/// Printable ASCII without spaces, quotes, brackets, separators and operators: what an unquoted value is made of.
pub(crate) const VALUE: Class = 1 << 11;
/// Printable ASCII without spaces, quotes and backslash: what a quoted value is made of.
pub(crate) const QUOTED: Class = 1 << 14;
/// `+`, `/` and `=`
pub(crate) const PADDED: Class = 1 << 12;
/// `0`–`9`, `a`–`f`
pub(crate) const LOWER_HEX: Class = 1 << 13;

pub(crate) const ALPHA: Class = UPPER | LOWER;
pub(crate) const ALNUM: Class = ALPHA | DIGIT;
/// Letters, digits and `_`.
pub(crate) const WORD: Class = ALNUM | UNDERSCORE;
/// Letters, digits, `-` and `_`.
pub(crate) const URL_SAFE: Class = WORD | DASH;

pub(crate) static TABLE: [Class; 256] = table();

/// The classes of a byte.
#[inline]
pub(crate) fn class(byte: u8) -> Class {
    TABLE.get(usize::from(byte)).copied().unwrap_or(0)
}

/// Whether a byte is in one of the classes.
#[inline]
pub(crate) fn is(byte: u8, classes: Class) -> bool {
    class(byte) & classes != 0
}

#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "evaluated at compile time")]
const fn table() -> [Class; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 128 {
        table[i] = classes(i as u8);
        i += 1;
    }
    table
}

const fn classes(byte: u8) -> Class {
    let mut class = match byte {
        b'0'..=b'9' => DIGIT | HEX | LOWER_HEX | BASE64 | LOCAL,
        b'a'..=b'f' => LOWER | HEX | LOWER_HEX | BASE64 | LOCAL,
        b'g'..=b'z' => LOWER | BASE64 | LOCAL,
        b'A'..=b'F' => UPPER | HEX | BASE64 | LOCAL,
        b'G'..=b'Z' => UPPER | BASE64 | LOCAL,
        b' ' | b'\t' | b'\n' | b'\r' => SPACE,
        b'-' => DASH | BASE64 | LOCAL | EVENT,
        b'_' => UNDERSCORE | BASE64 | LOCAL,
        b'+' => BASE64 | LOCAL | EVENT | PADDED,
        b'/' => BASE64 | PADDED,
        b'=' => PADDED,
        b'.' => DOT | LOCAL,
        b'\'' => LOCAL,
        b'%' | b'@' | b':' | b'<' | b'(' | b';' | b'[' => EVENT,
        _ => 0,
    };
    if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'`' | b'\\') {
        class |= QUOTED;
        if !matches!(
            byte,
            b'<' | b'>' | b'(' | b')' | b'{' | b'}' | b'[' | b']' | b',' | b';' | b'&' | b'=' | b':'
        ) {
            class |= VALUE;
        }
    }
    class
}
