//! A JSON document that comes in pieces: its usage object is kept, its generated text counted, and
//! the rest skipped. Memory is bounded. It is no validator: what it does not understand it skips.

use memchr::memchr2;

use super::name::{ENDS, Name, Word};

/// A longer usage object is not read.
const MAX_USAGE: usize = 4 * 1024;

/// Deeper strings mean nothing. One bit for each level.
const MAX_DEPTH: u32 = 60;

/// One document under way.
#[derive(Debug, Default)]
pub(super) struct Document {
    at: At,
    depth: u32,
    /// The bit of a depth tells that it is an object.
    objects: u64,
    /// The next string is a name.
    naming: bool,
    /// The name at the top, the one below it, and the latest.
    top: Name,
    second: Name,
    latest: Name,
    word: Word,
    /// The depth of a container whose strings are not counted; 0 for none.
    muted: u32,
    usage: Vec<u8>,
    /// The depth of the usage object that is under way.
    within_usage: Option<u32>,
    usage_ready: bool,
    has_usage: bool,
    choices: Choices,
    ends: bool,
    text_bytes: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Start,
    /// After so many bytes of `[DONE]`.
    Done(usize),
    Between,
    Text(Use),
    /// After a backslash in a string.
    Escape(Use),
    /// After the document.
    Closed,
    /// What came was no object.
    Lost,
}

/// What a string is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Name,
    Type,
    Generated,
    Nothing,
}

/// `choices`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Choices {
    #[default]
    Absent,
    Opened,
    Empty,
    Filled,
}

const DONE: &[u8] = b"[DONE]";

impl Document {
    /// Starts the next document.
    pub(super) fn reset(&mut self) {
        let mut usage = std::mem::take(&mut self.usage);
        usage.clear();
        *self = Self { usage, ..Self::default() };
    }

    /// Reads until the end of a usage object or of the bytes; how many it has read.
    pub(super) fn read(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() && !self.usage_ready {
            let before = self.within_usage.is_some();
            let (taken, after) = rest.split_at_checked(self.step(rest)).unwrap_or((rest, &[]));
            if before || self.within_usage.is_some() || self.usage_ready {
                self.keep(taken);
            }
            rest = after;
        }
        bytes.len().saturating_sub(rest.len())
    }

    /// A usage object that has just ended.
    pub(super) fn take_usage(&mut self) -> Option<&[u8]> {
        std::mem::take(&mut self.usage_ready)
            .then_some(self.usage.as_slice())
            .filter(|usage| !usage.is_empty())
    }

    pub(super) fn is_closed(&self) -> bool {
        self.at == At::Closed
    }

    /// It is `[DONE]`, or an event that comes last or right before that.
    pub(super) fn ends_stream(&self) -> bool {
        self.at == At::Done(DONE.len()) || self.ends && self.is_closed() || self.is_usage_chunk()
    }

    /// It is the chunk that `include_usage` asks for.
    pub(super) fn is_usage_chunk(&self) -> bool {
        self.is_closed() && self.choices == Choices::Empty && self.has_usage
    }

    /// It is not that chunk, whatever comes.
    pub(super) fn has_choices(&self) -> bool {
        self.choices == Choices::Filled
    }

    pub(super) fn has_text(&self) -> bool {
        self.text_bytes > 0
    }

    pub(super) fn text_bytes(&self) -> u64 {
        self.text_bytes
    }

    /// Reads some bytes, at least one; how many.
    fn step(&mut self, rest: &[u8]) -> usize {
        let Some(byte) = rest.first().copied() else {
            return 0;
        };
        match self.at {
            At::Start => {
                self.at = match byte {
                    b'{' => At::Between,
                    b'[' => At::Done(1),
                    b' ' | b'\t' | b'\r' | b'\n' | 0xef | 0xbb | 0xbf => At::Start,
                    _ => At::Lost,
                };
                if byte == b'{' {
                    self.open(byte);
                }
                1
            }
            At::Done(seen) => {
                match DONE.get(seen) {
                    Some(expected) if *expected == byte => self.at = At::Done(seen.saturating_add(1)),
                    Some(_) => self.at = At::Lost,
                    None => {}
                }
                1
            }
            At::Between => self.between(byte, rest),
            At::Text(used) => {
                let end = memchr2(b'"', b'\\', rest);
                let text = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
                self.spell(used, text);
                match end.and_then(|end| rest.get(end)) {
                    Some(b'"') => self.close_text(used),
                    Some(_) => {
                        self.spell(used, b"\\");
                        self.at = At::Escape(used);
                    }
                    None => {}
                }
                text.len().saturating_add(usize::from(end.is_some()))
            }
            At::Escape(used) => {
                self.spell(used, &[byte]);
                self.at = At::Text(used);
                1
            }
            At::Closed | At::Lost => rest.len(),
        }
    }

    fn between(&mut self, byte: u8, rest: &[u8]) -> usize {
        if self.choices == Choices::Opened && !byte.is_ascii_whitespace() {
            self.choices = if byte == b']' { Choices::Empty } else { Choices::Filled };
        }
        match byte {
            b'"' => {
                self.word = Word::default();
                self.at = At::Text(self.next_use());
            }
            b'{' | b'[' => self.open(byte),
            b'}' | b']' => self.close(),
            b':' => self.naming = false,
            b',' => self.naming = self.in_object(),
            _ => {
                let structural = |byte: &u8| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']' | b':' | b',');
                // White space before the first element says nothing about `choices`.
                return match self.choices {
                    Choices::Opened => 1,
                    _ => rest.iter().position(structural).unwrap_or(rest.len()),
                };
            }
        }
        1
    }

    fn open(&mut self, byte: u8) {
        let object = byte == b'{';
        let usage = match self.depth {
            1 => self.top == Name::Usage,
            2 => self.top == Name::Envelope && self.second == Name::Usage && self.in_object(),
            _ => false,
        };
        if self.depth == 1 && self.top == Name::Choices && !object {
            self.choices = Choices::Opened;
        }
        if self.muted == 0 && self.latest == Name::Muted {
            self.muted = self.depth.saturating_add(1);
        }
        self.depth = self.depth.saturating_add(1);
        if self.depth <= MAX_DEPTH {
            let bit = self.bit();
            self.objects = if object { self.objects | bit } else { self.objects & !bit };
        }
        self.naming = object;
        if usage && object && self.within_usage.is_none() {
            self.usage.clear();
            self.within_usage = Some(self.depth);
            self.has_usage |= self.depth == 2;
        }
    }

    fn close(&mut self) {
        if self.within_usage == Some(self.depth) {
            self.within_usage = None;
            self.usage_ready = true;
        }
        if self.muted == self.depth {
            self.muted = 0;
        }
        self.depth = self.depth.saturating_sub(1);
        self.latest = Name::Other;
        self.naming = false;
        if self.depth == 0 {
            self.at = At::Closed;
        }
    }

    fn next_use(&self) -> Use {
        let generated = matches!(self.top, Name::Choices | Name::Generated)
            && self.muted == 0
            && !matches!(self.latest, Name::Fixed | Name::Type);
        match self.depth {
            depth if depth > MAX_DEPTH => Use::Nothing,
            _ if self.naming => Use::Name,
            1 if self.top == Name::Type => Use::Type,
            _ if generated => Use::Generated,
            _ => Use::Nothing,
        }
    }

    fn spell(&mut self, used: Use, text: &[u8]) {
        match used {
            Use::Name | Use::Type => self.word.push(text),
            Use::Generated => {
                let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
                self.text_bytes = self.text_bytes.saturating_add(bytes);
            }
            Use::Nothing => {}
        }
    }

    fn close_text(&mut self, used: Use) {
        self.at = At::Between;
        match used {
            Use::Name => {
                self.latest = Name::of(self.word.spelled());
                match self.depth {
                    1 => (self.top, self.second) = (self.latest, Name::Other),
                    2 => self.second = self.latest,
                    _ => {}
                }
            }
            Use::Type => self.ends = ENDS.contains(&self.word.spelled()),
            Use::Generated | Use::Nothing => {}
        }
    }

    fn keep(&mut self, taken: &[u8]) {
        match self.usage.len().saturating_add(taken.len()) {
            0..=MAX_USAGE => self.usage.extend_from_slice(taken),
            _ => {
                self.usage.clear();
                self.within_usage = None;
            }
        }
    }

    fn in_object(&self) -> bool {
        self.depth <= MAX_DEPTH && self.objects & self.bit() != 0
    }

    fn bit(&self) -> u64 {
        1_u64.checked_shl(self.depth).unwrap_or(0)
    }
}
