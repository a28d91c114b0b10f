//! Scans a JSON document that comes in pieces: keeps its usage objects, counts its generated text, and skips
//! the rest, in bounded memory. It is no validator.

use memchr::memchr2;

use super::names::{ENDS, MemberName, ShortText};

/// A longer usage object is not read, which makes the answer obscure.
pub(super) const MAX_USAGE: usize = 1024 * 1024;

/// Deeper strings are skipped. One bit per level.
const MAX_DEPTH: u32 = 60;

/// Names are tracked down to here: no usage object has a deeper one.
const MAX_NAMED: usize = 4;

#[derive(Debug, Default)]
pub(super) struct DocumentScanner {
    at: ScanState,
    depth: u32,
    /// One bit per depth: set for objects.
    objects: u64,
    /// The next string is a member's name.
    naming: bool,
    /// The latest name at each depth from 1.
    path: [MemberName; MAX_NAMED],
    latest: MemberName,
    word: ShortText,
    /// The depth of a container whose strings are not counted; 0 for none.
    muted: u32,
    usage: Vec<u8>,
    /// The depth of the current usage object.
    within_usage: Option<u32>,
    usage_ready: bool,
    place: UsagePlace,
    /// One bit per depth: set once it has had a usage object in the usual place.
    usual: u64,
    /// It has a usage object at the top.
    has_usage: bool,
    has_error: bool,
    choices: ChoicesState,
    ends: bool,
    text_bytes: u64,
    /// Something was generated whose length says nothing.
    opaque: bool,
    tier: Option<ShortText>,
    /// It may hold usage that was not seen: a name in another spelling, a usage object that is too long, or a
    /// second document behind it.
    obscure: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum UsagePlace {
    /// Where the APIs document it.
    #[default]
    Usual,
    /// Where some servers put it: within a choice, or among their own members.
    Unusual,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ScanState {
    #[default]
    Start,
    /// After this many bytes of `[DONE]`.
    Done(usize),
    Between,
    Text(StringUse),
    /// After a backslash in a string.
    Escape(StringUse),
    Closed,
    /// Not an object, or more than one.
    Lost,
}

/// What a string is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StringUse {
    Name,
    Type,
    Tier,
    Generated,
    Opaque,
    Nothing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ChoicesState {
    #[default]
    Absent,
    Opened,
    Empty,
    Filled,
}

const DONE: &[u8] = b"[DONE]";

impl DocumentScanner {
    pub(super) fn reset(&mut self) {
        let mut usage = std::mem::take(&mut self.usage);
        usage.clear();
        *self = Self { usage, ..Self::default() };
    }

    /// Reads until the end of a usage object, of the document, or of the bytes; tells how many it has read.
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
    pub(super) fn place(&self) -> UsagePlace {
        self.place
    }

    /// It has begun and not ended.
    pub(super) fn is_open(&self) -> bool {
        self.depth > 0
    }

    pub(super) fn is_closed(&self) -> bool {
        self.at == ScanState::Closed
    }

    /// `[DONE]`, or an event that comes last.
    pub(super) fn ends_stream(&self) -> bool {
        self.at == ScanState::Done(DONE.len()) || self.ends && self.is_closed()
    }

    /// The chunk that `include_usage` asks for.
    pub(super) fn is_usage_chunk(&self) -> bool {
        self.is_closed() && self.may_be_usage_chunk() && self.has_usage
    }

    /// It may still become the usage chunk.
    pub(super) fn may_be_usage_chunk(&self) -> bool {
        match self.at {
            ScanState::Done(_) | ScanState::Lost => false,
            ScanState::Closed if !self.has_usage => false,
            _ => self.choices != ChoicesState::Filled && !self.has_error,
        }
    }

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

    pub(super) fn tier(&self) -> Option<ShortText> {
        self.tier
    }

    pub(super) fn text_bytes(&self) -> u64 {
        self.text_bytes
    }

    /// Reads at least one byte; tells how many.
    fn step(&mut self, rest: &[u8]) -> usize {
        let Some(byte) = rest.first().copied() else {
            return 0;
        };
        match self.at {
            ScanState::Start => {
                self.at = match byte {
                    b'{' => ScanState::Between,
                    b'[' => ScanState::Done(1),
                    b' ' | b'\t' | b'\r' | b'\n' | 0xef | 0xbb | 0xbf => ScanState::Start,
                    _ => ScanState::Lost,
                };
                if byte == b'{' {
                    self.open(byte);
                }
                1
            }
            ScanState::Done(seen) => {
                match DONE.get(seen) {
                    Some(expected) if *expected == byte => self.at = ScanState::Done(seen.saturating_add(1)),
                    Some(_) => self.at = ScanState::Lost,
                    None => {}
                }
                1
            }
            ScanState::Between => self.between(byte, rest),
            ScanState::Text(used) => {
                let end = memchr2(b'"', b'\\', rest);
                let text = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
                self.spell(used, text);
                match end.and_then(|end| rest.get(end)) {
                    Some(b'"') => self.close_text(used),
                    Some(_) => {
                        self.spell(used, b"\\");
                        self.at = ScanState::Escape(used);
                    }
                    None => {}
                }
                text.len().saturating_add(usize::from(end.is_some()))
            }
            ScanState::Escape(used) => {
                // Nobody escapes these names, but every parser would read them.
                self.obscure |= used == StringUse::Name && self.depth as usize <= MAX_NAMED;
                self.spell(used, &[byte]);
                self.at = ScanState::Text(used);
                1
            }
            ScanState::Closed => {
                if rest.iter().any(|byte| !byte.is_ascii_whitespace()) {
                    self.obscure = true;
                    self.at = ScanState::Lost;
                }
                rest.len()
            }
            ScanState::Lost => rest.len(),
        }
    }

    fn between(&mut self, byte: u8, rest: &[u8]) -> usize {
        if self.choices == ChoicesState::Opened && !byte.is_ascii_whitespace() {
            self.choices = if byte == b']' { ChoicesState::Empty } else { ChoicesState::Filled };
        }
        match byte {
            b'"' => {
                self.word = ShortText::default();
                self.at = ScanState::Text(self.next_use());
            }
            b'{' | b'[' => self.open(byte),
            b'}' | b']' => self.close(),
            b':' => self.naming = false,
            b',' => self.naming = self.in_object(),
            _ => {
                let structural = |byte: &u8| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']' | b':' | b',');
                // White space says nothing about `choices`.
                return match self.choices {
                    ChoicesState::Opened => 1,
                    _ => rest.iter().position(structural).unwrap_or(rest.len()),
                };
            }
        }
        1
    }

    fn open(&mut self, byte: u8) {
        let object = byte == b'{';
        let place = if object { self.usage_place() } else { None };
        let first = self.choices != ChoicesState::Filled;
        if self.depth == 1 && self.top() == MemberName::Choices && !object && first {
            self.choices = ChoicesState::Opened;
        }
        self.has_error |= self.depth == 1 && self.top() == MemberName::Error;
        if self.muted == 0 && self.latest == MemberName::Muted {
            self.muted = self.depth.saturating_add(1);
        }
        self.depth = self.depth.saturating_add(1);
        if self.depth <= MAX_DEPTH {
            let bit = self.bit();
            self.objects = if object { self.objects | bit } else { self.objects & !bit };
        }
        self.name_at(self.depth, MemberName::Other);
        self.naming = object;
        if let Some(place) = place {
            self.usage.clear();
            self.within_usage = Some(self.depth);
            self.place = place;
            if place == UsagePlace::Usual {
                // Parsers differ in which of two they take.
                self.obscure |= self.usual & self.bit() != 0;
                self.usual |= self.bit();
            }
            self.has_usage |= self.depth == 2;
        }
    }

    /// The place of the object that begins here, if it is a usage object.
    fn usage_place(&self) -> Option<UsagePlace> {
        if self.within_usage.is_some() || !self.in_object() {
            return None;
        }
        match (self.depth, self.path) {
            (1, [MemberName::Usage, ..]) => Some(UsagePlace::Usual),
            (1, [MemberName::UsageMetadata, ..]) => Some(UsagePlace::Unusual),
            (2, [MemberName::Envelope, MemberName::Usage, ..]) => Some(UsagePlace::Usual),
            (2, [MemberName::Groq | MemberName::Delta, MemberName::Usage, ..])
            | (3, [MemberName::Choices, _, MemberName::Usage, _])
            | (4, [MemberName::Choices, _, MemberName::Delta | MemberName::Envelope, MemberName::Usage]) => {
                Some(UsagePlace::Unusual)
            }
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
        self.latest = MemberName::Other;
        self.naming = false;
        if self.depth == 0 {
            self.at = ScanState::Closed;
        }
    }

    fn next_use(&self) -> StringUse {
        let generated = matches!(self.top(), MemberName::Choices | MemberName::Delta | MemberName::Generated)
            && self.muted == 0
            && self.within_usage.is_none()
            && !matches!(self.latest, MemberName::Fixed | MemberName::Type | MemberName::ServiceTier);
        match (self.depth, self.path) {
            (depth, _) if depth > MAX_DEPTH => StringUse::Nothing,
            _ if self.naming => StringUse::Name,
            (1, [MemberName::Type, ..]) => StringUse::Type,
            (1, [MemberName::ServiceTier, ..]) | (2, [MemberName::Envelope, MemberName::ServiceTier, ..]) => {
                StringUse::Tier
            }
            _ if generated && self.latest == MemberName::Opaque => StringUse::Opaque,
            _ if generated => StringUse::Generated,
            _ => StringUse::Nothing,
        }
    }

    fn spell(&mut self, used: StringUse, text: &[u8]) {
        match used {
            StringUse::Name | StringUse::Type | StringUse::Tier => self.word.push(text),
            StringUse::Generated => {
                let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
                self.text_bytes = self.text_bytes.saturating_add(bytes);
            }
            StringUse::Opaque => self.opaque |= !text.is_empty(),
            StringUse::Nothing => {}
        }
    }

    fn close_text(&mut self, used: StringUse) {
        self.at = ScanState::Between;
        let word = self.word.spelled();
        match used {
            StringUse::Name => {
                self.latest = MemberName::of(word);
                self.name_at(self.depth, self.latest);
            }
            StringUse::Type => self.ends = ENDS.contains(&word),
            StringUse::Tier => self.tier = Some(self.word),
            StringUse::Generated | StringUse::Opaque | StringUse::Nothing => {}
        }
    }

    fn top(&self) -> MemberName {
        let [top, ..] = self.path;
        top
    }

    fn name_at(&mut self, depth: u32, name: MemberName) {
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
