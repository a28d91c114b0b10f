//! Values that are looked for without being known: by keyed hashes.
//!
//! A text is gone over once for all lists of an app. Each run of words whose length some value has is hashed by a
//! rolling hash, which rules out nearly all of them, and what is left by HMAC-SHA-256.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::class::{SPACE, is};
use crate::custom::keywords::{begins_word, char_before, in_spaced_word, spellings};
use crate::custom::{LONGEST_CUSTOM_MATCH, Refused};
use crate::scanner::End;

/// Words of a value, at most: a run of letters and digits is one, and each letter of a script without spaces.
pub const MOST_WORDS: usize = 16;
/// The fewest characters of a value: shorter ones stand in any text.
const SHORTEST: usize = 4;
/// The most characters of a value.
const LONGEST: usize = 100;
/// White space that counts as one space.
const MOST_SPACES: usize = 3;

/// The key of a list's hashes.
#[derive(Clone)]
pub struct ExactKey {
    mac: [u8; 32],
    /// By that key, ready for a value.
    prepared: Hmac<Sha256>,
    /// Of the rolling hash: odd.
    base: u64,
    /// Twelve bits that tell keys apart.
    check: u16,
}

/// One spelling of a value, as it is stored and sent to gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExactHash {
    /// Keyed bits that rule out nearly every other text at once.
    fingerprint: u32,
    /// The first bytes of the HMAC-SHA-256.
    mac: [u8; 8],
    /// Bytes of the normalized value, less one.
    length: u8,
    words: u8,
    check: u16,
}

/// The values of a category.
#[derive(Clone, Default)]
pub(crate) struct ExactValues {
    key: Option<Arc<ExactKey>>,
    hashes: Vec<ExactHash>,
}

impl std::fmt::Debug for ExactKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ExactKey")
    }
}

impl std::fmt::Debug for ExactValues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExactValues").field("count", &self.hashes.len()).finish_non_exhaustive()
    }
}

impl ExactKey {
    /// Made of an app's key, of any length.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        let made = hmac(key, b"exact values");
        let [a, b, c, d, e, f, g, h, check @ ..] = hmac(key, b"exact fingerprints");
        let check = check.first_chunk().map_or(0, |bytes: &[u8; 2]| u16::from_be_bytes(*bytes));
        let mut block = [0; 64];
        block.iter_mut().zip(made).for_each(|(to, from)| *to = from);
        let prepared = Hmac::new(&block.into());
        let base = u64::from_be_bytes([a, b, c, d, e, f, g, h]) | 1;
        Self { mac: made, prepared, base, check: check & 0xfff }
    }

    fn mac(&self, spelling: &[u8]) -> [u8; 8] {
        let mut mac = self.prepared.clone();
        mac.update(spelling);
        first_eight(&mac.finalize().into_bytes().into())
    }

    /// What is stored of a value: a hash of each of its spellings, since letters of other scripts may look Latin
    /// in one case only.
    ///
    /// # Errors
    /// It cannot be looked for. The reason does not show it.
    pub fn hashes(&self, value: &str) -> Result<Vec<ExactHash>, Refused> {
        let refused = |message: String| Err(Refused(message));
        if !(SHORTEST..=LONGEST).contains(&value.chars().count()) {
            return refused(format!("must have {SHORTEST} to {LONGEST} characters"));
        }
        let mut hashes = BTreeSet::new();
        for spelling in spellings(value) {
            let text = String::from_utf8_lossy(&spelling);
            let ends = [text.chars().next(), text.chars().next_back()];
            if !ends.into_iter().all(|end| end.is_some_and(char::is_alphanumeric)) {
                return refused("must begin and end with a letter or digit".to_owned());
            }
            if text.chars().count() < SHORTEST {
                return refused(format!("must have at least {SHORTEST} characters that can be seen"));
            }
            let Some(length) = spelling.len().checked_sub(1).and_then(|length| u8::try_from(length).ok())
            else {
                return refused(format!("must have at most {LONGEST_CUSTOM_MATCH} bytes"));
            };
            let words = word_count(&spelling);
            let Some(words) = u8::try_from(words).ok().filter(|words| usize::from(*words) <= MOST_WORDS)
            else {
                return refused(format!("must have at most {MOST_WORDS} words, and has {words}"));
            };
            let fingerprint = fingerprint(spelling.iter().fold(0, |hash, byte| self.roll(hash, *byte)));
            let mac = self.mac(&spelling);
            hashes.insert(ExactHash { fingerprint, mac, length, words, check: self.check });
        }
        Ok(hashes.into_iter().collect())
    }

    /// Whether a hash was made with this key, and not with that of another app or installation.
    #[must_use]
    pub fn made(&self, hash: &ExactHash) -> bool {
        self.check == hash.check
    }

    fn roll(&self, hash: u64, byte: u8) -> u64 {
        hash.wrapping_mul(self.base).wrapping_add(u64::from(byte)).wrapping_add(1)
    }
}

impl ExactHash {
    /// Bytes of a hash.
    pub const SIZE: usize = 15;

    /// As it is stored and sent.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        let [f0, f1, f2, f3] = self.fingerprint.to_be_bytes();
        let [m0, m1, m2, m3, m4, m5, m6, m7] = self.mac;
        let words = u16::from(self.words.saturating_sub(1)) & 0xf;
        let [c0, c1] = (self.check.wrapping_shl(4) | words).to_be_bytes();
        [self.length, c0, c1, f0, f1, f2, f3, m0, m1, m2, m3, m4, m5, m6, m7]
    }

    /// Reads what [`Self::to_bytes`] gave.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        let [length, c0, c1, f0, f1, f2, f3, m0, m1, m2, m3, m4, m5, m6, m7] = bytes;
        Self {
            fingerprint: u32::from_be_bytes([f0, f1, f2, f3]),
            mac: [m0, m1, m2, m3, m4, m5, m6, m7],
            length,
            words: (c1 & 0xf).saturating_add(1),
            check: u16::from_be_bytes([c0, c1]).wrapping_shr(4),
        }
    }

    fn length(&self) -> usize {
        usize::from(self.length).saturating_add(1)
    }
}

impl ExactValues {
    pub(crate) fn new(hashes: &[ExactHash], key: &[u8]) -> Self {
        let key = (!hashes.is_empty()).then(|| Arc::new(ExactKey::new(key)));
        Self { key, hashes: hashes.to_vec() }
    }
}

/// The lists of categories that share a key, ready to be looked for.
#[derive(Clone, Debug)]
pub(crate) struct ExactIndex {
    key: Arc<ExactKey>,
    /// Powers of the rolling hash's base.
    powers: Vec<u64>,
    /// By number of words: bytes of the longest value that has so many or more.
    longest: [usize; MOST_WORDS],
    /// Bytes that values have: a bit for each length.
    lengths: [u64; 4],
    /// A bit for each low part of a fingerprint.
    filter: Vec<u64>,
    filter_mask: u32,
    /// Sorted, with the position of the category.
    hashes: Vec<(ExactHash, u16)>,
}

/// A key, and the hashes that were made with it, with the positions of their categories.
type KeyedHashes = (Arc<ExactKey>, Vec<(ExactHash, u16)>);

/// Where a run of words begins.
#[derive(Clone, Copy)]
struct Start {
    at: usize,
    /// Bytes before it, where white space counts once.
    length: usize,
    hash: u64,
    /// The number of its first word.
    word: usize,
}

impl ExactIndex {
    /// One for each key among the categories: all of an app's have one.
    pub(crate) fn all<'a>(categories: impl Iterator<Item = &'a ExactValues>) -> Vec<Self> {
        let mut by_key: Vec<KeyedHashes> = Vec::new();
        for (values, position) in categories.zip(0..) {
            let Some(key) = &values.key else { continue };
            let hashes = values.hashes.iter().map(|hash| (*hash, position));
            match by_key.iter_mut().find(|(known, _)| known.mac == key.mac) {
                Some((_, all)) => all.extend(hashes),
                None => by_key.push((Arc::clone(key), hashes.collect())),
            }
        }
        by_key.into_iter().map(|(key, hashes)| Self::new(key, hashes)).collect()
    }

    fn new(key: Arc<ExactKey>, mut hashes: Vec<(ExactHash, u16)>) -> Self {
        hashes.sort_unstable();
        let bits = hashes.len().saturating_mul(16).clamp(64, 1 << 20).next_power_of_two();
        let mut index = Self {
            powers: Vec::new(),
            longest: [0; MOST_WORDS],
            lengths: [0; 4],
            filter: vec![0; bits.div_ceil(64)],
            filter_mask: u32::try_from(bits).unwrap_or(64).saturating_sub(1),
            hashes,
            key,
        };
        let mut power: u64 = 1;
        for _ in 0..=LONGEST_CUSTOM_MATCH {
            index.powers.push(power);
            power = power.wrapping_mul(index.key.base);
        }
        for (hash, _) in &index.hashes {
            for longest in index.longest.iter_mut().take(usize::from(hash.words)) {
                *longest = (*longest).max(hash.length());
            }
            set(&mut index.lengths, usize::from(hash.length));
            set(&mut index.filter, low_bits(hash.fingerprint, index.filter_mask));
        }
        index
    }

    /// Calls `found` with each value that begins at `from` or later, and the position of its category, and gives
    /// the first place from which a value may reach beyond the end.
    pub(crate) fn scan(
        &self,
        bytes: &[u8],
        from: usize,
        end: End,
        found: impl FnMut(Range<usize>, u16),
    ) -> Option<usize> {
        self.scan_with(&mut KnownMacs::default(), bytes, from, end, found)
    }

    fn scan_with(
        &self,
        macs: &mut KnownMacs,
        bytes: &[u8],
        from: usize,
        end: End,
        mut found: impl FnMut(Range<usize>, u16),
    ) -> Option<usize> {
        let mut starts: VecDeque<Start> = VecDeque::with_capacity(MOST_WORDS);
        let (mut at, mut length, mut hash) = (from, 0_usize, 0_u64);
        let (mut spaces, mut word) = (0_usize, 0_usize);
        // Of the character before, whether a word may go on after it.
        let before = bytes.get(..from).and_then(char_before);
        let mut in_word = before.is_some_and(in_spaced_word);
        while let Some(byte) = bytes.get(at).copied() {
            if is(byte, SPACE) {
                spaces = spaces.saturating_add(1);
                match spaces {
                    1 => (length, hash) = (length.saturating_add(1), self.key.roll(hash, b' ')),
                    2..=MOST_SPACES => {}
                    _ => starts.clear(),
                }
                at = at.saturating_add(1);
                in_word = false;
                continue;
            }
            spaces = 0;
            let (is_alnum, is_spaced, size) = character(bytes, at, byte);
            let is_escaped = in_word && after_escape(bytes, at);
            if is_alnum && (!in_word || !is_spaced || is_escaped) && begins_word(bytes, at) {
                // What follows an escape such as `\n` may be a word, and so may the escape's letter with it.
                if !is_escaped {
                    word = word.saturating_add(1);
                }
                while starts.front().is_some_and(|start| word.saturating_sub(start.word) >= MOST_WORDS) {
                    starts.pop_front();
                }
                starts.push_back(Start { at, length, hash, word });
            }
            let next = at.saturating_add(size);
            for byte in bytes.get(at..next).unwrap_or_default() {
                hash = self.key.roll(hash, byte.to_ascii_lowercase());
            }
            length = length.saturating_add(size);
            at = next;
            in_word = is_spaced;
            if is_alnum && !(is_spaced && continues(bytes, at)) {
                self.ends(macs, bytes, at, (length, hash, word), &starts, &mut found);
            }
        }
        if end == End::Closed {
            return None;
        }
        // The word may still go on; after anything else, another one would have to come.
        let more = usize::from(!in_word);
        let is_open = |start: &&Start| {
            let words = word.saturating_sub(start.word).saturating_add(more);
            let longest = self.longest.get(words).copied().unwrap_or(0);
            length.saturating_sub(start.length) <= longest
        };
        starts.iter().find(is_open).map(|start| start.at)
    }

    /// A word ends: looks at each run of words that ends with it.
    fn ends(
        &self,
        macs: &mut KnownMacs,
        bytes: &[u8],
        at: usize,
        (length, hash, word): (usize, u64, usize),
        starts: &VecDeque<Start>,
        found: &mut impl FnMut(Range<usize>, u16),
    ) {
        for start in starts.iter().rev() {
            let run = length.saturating_sub(start.length);
            let longest = self.longest.get(word.saturating_sub(start.word)).copied().unwrap_or(0);
            if run > longest {
                break;
            }
            let Some(last) = run.checked_sub(1).filter(|last| has(&self.lengths, *last)) else { continue };
            let power = self.powers.get(run).copied().unwrap_or_default();
            let fingerprint = fingerprint(hash.wrapping_sub(start.hash.wrapping_mul(power)));
            if has(&self.filter, low_bits(fingerprint, self.filter_mask)) {
                self.look_up(macs, bytes, start.at..at, (fingerprint, last), found);
            }
        }
    }

    fn look_up(
        &self,
        macs: &mut KnownMacs,
        bytes: &[u8],
        span: Range<usize>,
        (fingerprint, last): (u32, usize),
        found: &mut impl FnMut(Range<usize>, u16),
    ) {
        let from = self.hashes.partition_point(|(hash, _)| hash.fingerprint < fingerprint);
        let alike = self.hashes.get(from..).unwrap_or_default().iter();
        let mut mac = None;
        for (hash, position) in alike.take_while(|(hash, _)| hash.fingerprint == fingerprint) {
            let mac = *mac.get_or_insert_with(|| {
                macs.of(&self.key, spelled(bytes.get(span.clone()).unwrap_or_default()))
            });
            if usize::from(hash.length) == last && hash.mac == mac {
                found(span.clone(), *position);
            }
        }
    }
}

/// The HMACs of one scan, so that a value that is repeated costs one.
#[derive(Default)]
struct KnownMacs {
    known: BTreeMap<Vec<u8>, [u8; 8]>,
    made: usize,
}

/// Values whose HMACs are kept.
const MOST_KNOWN: usize = 64;

impl KnownMacs {
    fn of(&mut self, key: &ExactKey, spelling: Vec<u8>) -> [u8; 8] {
        if let Some(known) = self.known.get(&spelling) {
            return *known;
        }
        self.made = self.made.saturating_add(1);
        let mac = key.mac(&spelling);
        if self.known.len() < MOST_KNOWN {
            self.known.insert(spelling, mac);
        }
        mac
    }
}

/// Of the character at `at`, whether it is a letter or digit, whether such of its script make up spaced words, and
/// its bytes.
fn character(bytes: &[u8], at: usize, byte: u8) -> (bool, bool, usize) {
    if byte.is_ascii() {
        let alnum = byte.is_ascii_alphanumeric();
        return (alnum, alnum, 1);
    }
    match char_at(bytes, at) {
        Some(c) => (c.is_alphanumeric(), in_spaced_word(c), c.len_utf8()),
        None => (false, false, 1),
    }
}

fn char_at(bytes: &[u8], at: usize) -> Option<char> {
    let rest = bytes.get(at..at.saturating_add(4).min(bytes.len()))?;
    rest.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next())
}

/// Whether a word goes on at `at`.
fn continues(bytes: &[u8], at: usize) -> bool {
    match bytes.get(at) {
        Some(byte) if byte.is_ascii() => byte.is_ascii_alphanumeric(),
        Some(_) => char_at(bytes, at).is_some_and(in_spaced_word),
        None => false,
    }
}

/// Whether the byte before belongs to an escape such as `\n`.
fn after_escape(bytes: &[u8], at: usize) -> bool {
    at.checked_sub(2).and_then(|i| bytes.get(i)) == Some(&b'\\')
}

/// Words of a value that stands alone, as they are counted in a text.
fn word_count(value: &[u8]) -> usize {
    let (mut at, mut words, mut in_word) = (0, 0_usize, false);
    while let Some(byte) = value.get(at).copied() {
        let (is_alnum, is_spaced, size) = character(value, at, byte);
        if is_alnum && (!in_word || !is_spaced) && begins_word(value, at) {
            words = words.saturating_add(1);
        }
        at = at.saturating_add(size);
        in_word = is_spaced;
    }
    words
}

/// In lower case, with white space as one space.
fn spelled(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len());
    for byte in bytes {
        match is(*byte, SPACE) {
            true if text.last() == Some(&b' ') => {}
            true => text.push(b' '),
            false => text.push(byte.to_ascii_lowercase()),
        }
    }
    text
}

fn set(bits: &mut [u64], bit: usize) {
    if let Some(word) = bits.get_mut(bit.wrapping_shr(6)) {
        *word |= 1_u64.wrapping_shl(u32::try_from(bit & 63).unwrap_or(0));
    }
}

fn has(bits: &[u64], bit: usize) -> bool {
    let mask = 1_u64.wrapping_shl(u32::try_from(bit & 63).unwrap_or(0));
    bits.get(bit.wrapping_shr(6)).is_some_and(|word| word & mask != 0)
}

fn low_bits(fingerprint: u32, mask: u32) -> usize {
    usize::try_from(fingerprint & mask).unwrap_or(0)
}

fn fingerprint(hash: u64) -> u32 {
    let mixed = (hash ^ hash.wrapping_shr(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u32::try_from(mixed.wrapping_shr(32)).unwrap_or(0)
}

fn first_eight(mac: &[u8; 32]) -> [u8; 8] {
    mac.first_chunk().copied().unwrap_or_default()
}

fn hmac(key: &[u8], value: &[u8]) -> [u8; 32] {
    // A key of any length is one.
    Hmac::<Sha256>::new_from_slice(key).map_or([0; 32], |mut mac| {
        mac.update(value);
        mac.finalize().into_bytes().into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_repeated_costs_one_hash() {
        let hashes: Vec<_> =
            ["Anna", "4711"].iter().flat_map(|v| ExactKey::new(b"k").hashes(v).unwrap()).collect();
        let values = ExactValues::new(&hashes, b"k");
        let index = ExactIndex::all([&values].into_iter()).remove(0);
        let text = "anna ANNA 4711 ".repeat(1000);
        let (mut macs, mut count) = (KnownMacs::default(), 0);
        let open = index.scan_with(&mut macs, text.as_bytes(), 0, End::Closed, |_, _| count += 1);
        assert_eq!((open, count, macs.made), (None, 3000, 2));
    }

    #[test]
    fn few_hashes_are_kept() {
        let (key, mut macs) = (ExactKey::new(b"k"), KnownMacs::default());
        for number in 0..1000_u32 {
            let spelling = number.to_string().into_bytes();
            assert_eq!(macs.of(&key, spelling.clone()), first_eight(&hmac(&key.mac, &spelling)));
        }
        assert_eq!((macs.known.len(), macs.made), (MOST_KNOWN, 1000));
    }
}
