//! A cursor over valid JSON. Every step returns none where it is not valid.

use memchr::memchr2;

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
        let mut end = 0_usize;
        loop {
            let tail = text.as_bytes().get(end..)?;
            let found = memchr2(b'"', b'\\', tail)?;
            let at = end.checked_add(found)?;
            if tail.get(found) == Some(&b'"') {
                self.0 = text.get(at.checked_add(1)?..)?;
                return text.get(..at);
            }
            end = at.checked_add(2)?;
        }
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
