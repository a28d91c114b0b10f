//! Categories that were learned from examples: sentences are scored by the words and letters in them.
//!
//! A heuristic: it knows words, not what they mean. Integers alone decide, so that a gateway's score is the one
//! that was measured.

use std::ops::Range;

use crate::class::{SPACE, is};
use crate::custom::Refused;
use crate::custom::keywords::in_spaced_word;
use crate::normalize::normalized;

/// Features of a sentence are numbers below this.
pub const BUCKETS: usize = 1 << 13;
/// Bytes of a sentence that are scored; what follows them, up to its end, is not.
pub const LONGEST_SENTENCE: usize = 2000;
/// Bytes of the shortest sentence that is scored.
const SHORTEST_SENTENCE: usize = 12;
/// Another one is for features that are made in another way.
pub const FORMAT: u32 = 1;

/// What was learned: a weight for each feature.
#[derive(Clone, PartialEq, Eq)]
pub struct Model {
    /// [`BUCKETS`] of them.
    weights: Box<[i8]>,
    bias: i32,
}

/// The features of one sentence, each once.
#[derive(Clone, Debug)]
pub struct Features {
    seen: Box<[u64]>,
    numbers: Vec<u16>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Model")
    }
}

impl Model {
    /// # Errors
    /// There are more or fewer weights than features.
    pub fn new(weights: &[i8], bias: i32) -> Result<Self, Refused> {
        if weights.len() != BUCKETS {
            let message = format!("has {} weights; {BUCKETS} are expected", weights.len());
            return Err(Refused(message));
        }
        Ok(Self { weights: weights.into(), bias })
    }

    /// Whether one of a text's sentences is of the category.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        sentences(text).iter().any(|features| self.matches_features(features))
    }

    /// Whether a sentence is of the category: the sum of its weights over the root of their number, and the bias, are
    /// above zero.
    #[must_use]
    pub fn matches_features(&self, features: &[u16]) -> bool {
        let weight = |number: &u16| self.weights.get(usize::from(*number)).copied().unwrap_or(0);
        let sum: i64 = features.iter().fold(0, |sum, number| sum.saturating_add(i64::from(weight(number))));
        let count = i64::try_from(features.len()).unwrap_or(i64::MAX);
        let bias = i64::from(self.bias);
        let (sum_squared, bias_squared) =
            (sum.saturating_mul(sum), bias.saturating_mul(bias).saturating_mul(count));
        if features.is_empty() {
            return false;
        }
        match (sum > 0, bias > 0) {
            (true, true) => true,
            (true, false) => sum_squared > bias_squared,
            (false, true) => sum_squared < bias_squared,
            (false, false) => false,
        }
    }
}

impl Default for Features {
    fn default() -> Self {
        Self { seen: vec![0; BUCKETS.div_ceil(64)].into_boxed_slice(), numbers: Vec::new() }
    }
}

impl Features {
    /// Reads another sentence: its words, pairs of words, and groups of letters.
    pub(crate) fn read(&mut self, sentence: &str) -> &[u16] {
        for number in self.numbers.drain(..) {
            if let Some(word) = self.seen.get_mut(usize::from(number).wrapping_shr(6)) {
                *word = 0;
            }
        }
        let (mut word, mut before) = (START, START);
        let mut last = [BOUNDARY; 3];
        for c in sentence.chars().chain([' ']) {
            let c = match c {
                '0'..='9' => '0',
                _ if c.is_ascii() => c.to_ascii_lowercase(),
                _ => c.to_lowercase().next().unwrap_or(c),
            };
            if c.is_alphanumeric() {
                word = mixed(word, u32::from(c));
                self.letters(&mut last, u32::from(c));
                if !in_spaced_word(c) {
                    self.add(mixed(mixed(START ^ 2, last[1]), last[2]));
                }
            } else if word != START {
                self.letters(&mut last, BOUNDARY);
                self.add(word);
                self.add(mixed(before, word));
                (before, word) = (word, START);
                last = [BOUNDARY; 3];
            }
        }
        &self.numbers
    }

    /// Three and four letters in a row; a word's ends count as letters.
    fn letters(&mut self, last: &mut [u32; 3], letter: u32) {
        let [first, second, third] = *last;
        let three = mixed(mixed(mixed(START ^ 3, second), third), letter);
        self.add(three);
        self.add(mixed(mixed(three, 4), first));
        *last = [second, third, letter];
    }

    fn add(&mut self, hash: u32) {
        let bucket = (hash ^ hash.wrapping_shr(15)).wrapping_mul(0x2c1b_3c6d).wrapping_shr(19);
        let Ok(number) = u16::try_from(bucket) else { return };
        let bit = 1_u64.wrapping_shl(u32::from(number & 63));
        if let Some(word) = self.seen.get_mut(usize::from(number).wrapping_shr(6))
            && *word & bit == 0
        {
            *word |= bit;
            self.numbers.push(number);
        }
    }
}

const START: u32 = 0x811c_9dc5;
const BOUNDARY: u32 = 0x11_ffff;

fn mixed(hash: u32, with: u32) -> u32 {
    (hash ^ with).wrapping_mul(0x0100_0193).rotate_left(7)
}

/// The features of each sentence of a text that is scored.
#[must_use]
pub fn sentences(text: &str) -> Vec<Vec<u16>> {
    let bytes = normalized(text);
    let mut features = Features::default();
    let mut spans = Vec::new();
    let last = each(&bytes, 0, Begin::Text, |span| spans.push(span));
    spans.extend(last);
    let spans: Vec<_> = spans.into_iter().map(|span| trimmed(&bytes, span)).collect();
    let sentences = spans.iter().filter_map(|span| readable(&bytes, span));
    sentences.map(|sentence| features.read(sentence).to_vec()).collect()
}

/// Whether a text begins where one starts to read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    Text,
    Within,
}

/// Calls `read` with what is scored of each sentence that begins at `from` or later, and whose end, or whose first
/// [`LONGEST_SENTENCE`] bytes, are there. Gives the one whose end is not, from its beginning. White space around
/// them is theirs.
///
/// A sentence ends with its line, or with a mark that white space follows. That can be seen beside its beginning, so
/// a stream has the same sentences wherever it is cut.
pub(crate) fn each(
    bytes: &[u8],
    from: usize,
    begin: Begin,
    mut read: impl FnMut(Range<usize>),
) -> Option<Range<usize>> {
    let begins = |at: usize| (at == 0 && begin == Begin::Text) || is_boundary(bytes, at);
    let mut start = (from..bytes.len()).find(|at| begins(*at))?;
    loop {
        let end = (start.saturating_add(1)..=bytes.len()).find(|at| is_boundary(bytes, *at));
        let known = end.unwrap_or(bytes.len());
        if known.saturating_sub(start) > LONGEST_SENTENCE {
            read(start..cut(bytes, start.saturating_add(LONGEST_SENTENCE)));
        } else if end.is_some() {
            read(start..known);
        } else {
            return Some(start..known);
        }
        start = end.filter(|end| *end < bytes.len())?;
    }
}

/// The text of a sentence, where it is long enough to be scored.
pub(crate) fn readable<'a>(bytes: &'a [u8], span: &Range<usize>) -> Option<&'a str> {
    let sentence = bytes.get(span.clone()).filter(|sentence| sentence.len() >= SHORTEST_SENTENCE)?;
    // An identifier is no sentence; scripts without spaces have them.
    let has_words = !sentence.is_ascii() || sentence.iter().filter(|byte| is(**byte, SPACE)).count() >= 2;
    str::from_utf8(sentence).ok().filter(|_| has_words)
}

fn is_boundary(bytes: &[u8], at: usize) -> bool {
    let before = bytes.get(..at).unwrap_or_default();
    match before.last() {
        Some(b'\n' | b'\r') => true,
        Some(b'.' | b'!' | b'?') => bytes.get(at).is_some_and(|byte| is(*byte, SPACE)),
        Some(0x82) => before.ends_with("。".as_bytes()),
        _ => false,
    }
}

/// The last space before `at`, or the last end of a character.
fn cut(bytes: &[u8], at: usize) -> usize {
    let head = bytes.get(..at).unwrap_or(bytes);
    let tail = head.get(at.saturating_sub(64)..).unwrap_or_default();
    let back = tail.iter().rev().position(|byte| is(*byte, SPACE));
    let back = back
        .or_else(|| tail.iter().rev().position(|byte| byte & 0xc0 != 0x80).map(|at| at.saturating_add(1)));
    at.saturating_sub(back.unwrap_or(0))
}

pub(crate) fn trimmed(bytes: &[u8], span: Range<usize>) -> Range<usize> {
    let sentence = bytes.get(span.clone()).unwrap_or_default();
    let before = sentence.len().saturating_sub(sentence.trim_ascii_start().len());
    let start = span.start.saturating_add(before);
    start..start.saturating_add(sentence.trim_ascii().len())
}
