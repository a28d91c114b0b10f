//! A JSON document that comes in pieces: its usage objects are kept, its generated text counted, and
//! the rest skipped. Memory is bounded. It is no validator: what it does not understand it skips.

use memchr::memchr2;

use super::names::{ENDS, Name, Word};

/// A longer usage object is not read, and said to be lost.
pub(super) const MAX_USAGE: usize = 1024 * 1024;

/// Deeper strings mean nothing. One bit for each level.
const MAX_DEPTH: u32 = 60;

/// Names are known down to here: no usage object has a deeper one.
const MAX_NAMED: usize = 4;

/// One document under way.
#[derive(Debug, Default)]
pub(super) struct Document {
    at: At,
    depth: u32,
    /// The bit of a depth tells that it is an object.
    objects: u64,
    /// The next string is a name.
    naming: bool,
    /// The latest name at each depth from 1, and the latest of all.
    path: [Name; MAX_NAMED],
    latest: Name,
    word: Word,
    /// The depth of a container whose strings are not counted; 0 for none.
    muted: u32,
    usage: Vec<u8>,
    /// The depth of the usage object that is under way.
    within_usage: Option<u32>,
    usage_ready: bool,
    place: Place,
    /// The bit of a depth tells that it has had a usage object in the usual place.
    usual: u64,
    /// There is a usage object at the top.
    has_usage: bool,
    has_error: bool,
    choices: Choices,
    ends: bool,
    text_bytes: u64,
    /// Something was generated whose length says nothing.
    opaque: bool,
    tier: Option<Word>,
    /// It may hold usage that was not seen: a name in another spelling, a longer object, or a second
    /// document behind it.
    obscure: bool,
}

/// Where a usage object stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// Where the APIs put it.
    #[default]
    Usual,
    /// Where some servers put it: within a choice, or among their own members.
    Unusual,
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
    /// What came was no object, or not one alone.
    Lost,
}

/// What a string is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Name,
    Type,
    Tier,
    Generated,
    Opaque,
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

    /// Reads until the end of a usage object, of the document, or of the bytes; how many it has read.
    pub(super) fn read(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        let closed = self.is_closed();
        while !rest.is_empty() && !self.usage_ready && self.is_closed() == closed {
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

    /// Where that usage object stood.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// It has begun, and its end has not come.
    pub(super) fn is_open(&self) -> bool {
        self.depth > 0
    }

    pub(super) fn is_closed(&self) -> bool {
        self.at == At::Closed
    }

    /// It is `[DONE]`, or an event that comes last.
    pub(super) fn ends_stream(&self) -> bool {
        self.at == At::Done(DONE.len()) || self.ends && self.is_closed()
    }

    /// It is the chunk that `include_usage` asks for.
    pub(super) fn is_usage_chunk(&self) -> bool {
        self.is_closed() && self.may_be_usage_chunk() && self.has_usage
    }

    /// It may still become that chunk.
    pub(super) fn may_be_usage_chunk(&self) -> bool {
        match self.at {
            At::Done(_) | At::Lost => false,
            At::Closed if !self.has_usage => false,
            _ => self.choices != Choices::Filled && !self.has_error,
        }
    }

    /// Something was generated.
    pub(super) fn has_output(&self) -> bool {
        self.text_bytes > 0 || self.opaque
    }

    pub(super) fn has_text(&self) -> bool {
        self.text_bytes > 0
    }

    /// It may hold usage that was not seen.
    pub(super) fn is_obscure(&self) -> bool {
        self.obscure
    }

    /// The tier that served.
    pub(super) fn tier(&self) -> Option<Word> {
        self.tier
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
                // Nobody escapes the names that matter, but every parser reads them so.
                self.obscure |= used == Use::Name && self.depth as usize <= MAX_NAMED;
                self.spell(used, &[byte]);
                self.at = At::Text(used);
                1
            }
            At::Closed => {
                if rest.iter().any(|byte| !byte.is_ascii_whitespace()) {
                    self.obscure = true;
                    self.at = At::Lost;
                }
                rest.len()
            }
            At::Lost => rest.len(),
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
        let place = if object { self.usage_place() } else { None };
        let first = self.choices != Choices::Filled;
        if self.depth == 1 && self.top() == Name::Choices && !object && first {
            self.choices = Choices::Opened;
        }
        self.has_error |= self.depth == 1 && self.top() == Name::Error;
        if self.muted == 0 && self.latest == Name::Muted {
            self.muted = self.depth.saturating_add(1);
        }
        self.depth = self.depth.saturating_add(1);
        if self.depth <= MAX_DEPTH {
            let bit = self.bit();
            self.objects = if object { self.objects | bit } else { self.objects & !bit };
        }
        self.name_at(self.depth, Name::Other);
        self.naming = object;
        if let Some(place) = place {
            self.usage.clear();
            self.within_usage = Some(self.depth);
            self.place = place;
            if place == Place::Usual {
                // Parsers differ in which of two they take.
                self.obscure |= self.usual & self.bit() != 0;
                self.usual |= self.bit();
            }
            self.has_usage |= self.depth == 2;
        }
    }

    /// Where the object that begins here stands, if it is a usage object.
    fn usage_place(&self) -> Option<Place> {
        if self.within_usage.is_some() || !self.in_object() {
            return None;
        }
        match (self.depth, self.path) {
            (1, [Name::Usage, ..]) => Some(Place::Usual),
            (1, [Name::UsageMetadata, ..]) => Some(Place::Unusual),
            (2, [Name::Envelope, Name::Usage, ..]) => Some(Place::Usual),
            (2, [Name::Groq | Name::Delta, Name::Usage, ..])
            | (3, [Name::Choices, _, Name::Usage, _])
            | (4, [Name::Choices, _, Name::Delta | Name::Envelope, Name::Usage]) => Some(Place::Unusual),
            _ => None,
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
        let generated = matches!(self.top(), Name::Choices | Name::Delta | Name::Generated)
            && self.muted == 0
            && self.within_usage.is_none()
            && !matches!(self.latest, Name::Fixed | Name::Type | Name::ServiceTier);
        match (self.depth, self.path) {
            (depth, _) if depth > MAX_DEPTH => Use::Nothing,
            _ if self.naming => Use::Name,
            (1, [Name::Type, ..]) => Use::Type,
            (1, [Name::ServiceTier, ..]) | (2, [Name::Envelope, Name::ServiceTier, ..]) => Use::Tier,
            _ if generated && self.latest == Name::Opaque => Use::Opaque,
            _ if generated => Use::Generated,
            _ => Use::Nothing,
        }
    }

    fn spell(&mut self, used: Use, text: &[u8]) {
        match used {
            Use::Name | Use::Type | Use::Tier => self.word.push(text),
            Use::Generated => {
                let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
                self.text_bytes = self.text_bytes.saturating_add(bytes);
            }
            Use::Opaque => self.opaque |= !text.is_empty(),
            Use::Nothing => {}
        }
    }

    fn close_text(&mut self, used: Use) {
        self.at = At::Between;
        let word = self.word.spelled();
        match used {
            Use::Name => {
                self.latest = Name::of(word);
                self.name_at(self.depth, self.latest);
            }
            Use::Type => self.ends = ENDS.contains(&word),
            Use::Tier => self.tier = Some(self.word),
            Use::Generated | Use::Opaque | Use::Nothing => {}
        }
    }

    fn top(&self) -> Name {
        let [top, ..] = self.path;
        top
    }

    fn name_at(&mut self, depth: u32, name: Name) {
        let slot = (depth as usize).checked_sub(1).and_then(|at| self.path.get_mut(at));
        if let Some(slot) = slot {
            *slot = name;
        }
    }

    fn keep(&mut self, taken: &[u8]) {
        match self.usage.len().saturating_add(taken.len()) {
            0..=MAX_USAGE => self.usage.extend_from_slice(taken),
            _ => {
                self.usage.clear();
                self.within_usage = None;
                self.obscure = true;
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
