//! A cursor over valid JSON. Every step returns none where it is not valid.

use memchr::{memchr, memchr2};

/// The rest of the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JsonCursor<'a>(pub &'a str);

impl<'a> JsonCursor<'a> {
    /// The next byte that is not white space.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        self.0 = self.0.trim_ascii_start();
        self.0.as_bytes().first().copied()
    }

    pub(crate) fn comma(&mut self) -> Option<()> {
        if self.peek()? == b',' { self.take(1) } else { Some(()) }
    }

    pub(crate) fn take(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.get(bytes..)?;
        Some(())
    }

    /// The string between the quotes.
    pub(crate) fn string(&mut self) -> Option<&'a str> {
        if self.peek()? != b'"' {
            return None;
        }
        self.take(1)?;
        let text = self.0;
        let end = closing_quote(text)?;
        self.0 = text.get(end.checked_add(1)?..)?;
        text.get(..end)
    }

    /// The next value as it is written.
    pub(crate) fn written(&mut self) -> Option<&'a str> {
        self.peek()?;
        let before = self.0;
        self.skip()?;
        before.get(..before.len().checked_sub(self.0.len())?)
    }

    pub(crate) fn skip(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth = depth.checked_add(1)?;
                    self.take(1)?;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.take(1)?;
                }
                b',' | b':' => self.take(1)?,
                _ => {
                    let ends =
                        |byte: u8| matches!(byte, b',' | b':' | b'}' | b']') || byte.is_ascii_whitespace();
                    let end = self.0.bytes().position(ends).unwrap_or(self.0.len());
                    self.take(end)?;
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}

/// Where the quote is that ends a string, from within the string.
pub(crate) fn closing_quote(text: impl AsRef<[u8]>) -> Option<usize> {
    let bytes = text.as_ref();
    let mut at = 0_usize;
    loop {
        let rest = bytes.get(at..)?;
        let found = next_of_two(rest)?;
        at = at.checked_add(found)?;
        if rest.get(found) == Some(&b'"') {
            return Some(at);
        }
        at = at.checked_add(2)?;
    }
}

/// The first quote or backslash.
fn next_of_two(bytes: &[u8]) -> Option<usize> {
    near_byte(bytes, |word| has_byte(word, b'"') | has_byte(word, b'\\'))
        .or_else(|| memchr2(b'"', b'\\', bytes.get(NEAR..)?)?.checked_add(NEAR))
}

/// The first backslash.
pub(crate) fn next_escape(bytes: &[u8]) -> Option<usize> {
    near_byte(bytes, |word| has_byte(word, b'\\'))
        .or_else(|| memchr(b'\\', bytes.get(NEAR..)?)?.checked_add(NEAR))
}

/// Text with many escapes has the next one within so many bytes, where this is faster than a call of memchr.
const NEAR: usize = 32;

fn near_byte(bytes: &[u8], find: impl Fn(u64) -> u64) -> Option<usize> {
    let near = bytes.get(..NEAR).unwrap_or(bytes);
    let mut at = 0_usize;
    let (words, rest) = near.as_chunks::<8>();
    for word in words {
        let found = find(u64::from_le_bytes(*word));
        if found != 0 {
            return at.checked_add(usize::try_from(found.trailing_zeros() / 8).ok()?);
        }
        at = at.saturating_add(8);
    }
    let mut last = [0; 8];
    last.get_mut(..rest.len())?.copy_from_slice(rest);
    let found = find(u64::from_le_bytes(last));
    (found != 0).then(|| at.checked_add(usize::try_from(found.trailing_zeros() / 8).ok()?))?
}

/// The lowest bit set is in the first such byte of a word.
fn has_byte(word: u64, byte: u8) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let zeros = word ^ ONES.wrapping_mul(u64::from(byte));
    zeros.wrapping_sub(ONES) & !zeros & ONES.wrapping_mul(0x80)
}
