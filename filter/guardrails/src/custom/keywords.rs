//! Keywords of an app.

use std::collections::BTreeSet;

use crate::class::{SPACE, is};
use crate::cursor::Cursor;
use crate::custom::{LONGEST_CUSTOM_MATCH, Refused};
use crate::normalize::normalized;

/// Keywords, found byte by byte.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keywords {
    /// Normalized, in lower case, sorted.
    words: Vec<Box<[u8]>>,
}

impl Keywords {
    pub(crate) fn new(keywords: &[String]) -> Result<Self, Refused> {
        let words: BTreeSet<Box<[u8]>> = keywords.iter().flat_map(|keyword| spellings(keyword)).collect();
        for keyword in keywords {
            let length = spelling(keyword).len();
            if !(2..=LONGEST_CUSTOM_MATCH).contains(&length) {
                let message = format!(
                    "`{keyword}` must have 2 to {LONGEST_CUSTOM_MATCH} bytes when spaces at its ends are off"
                );
                return Err(Refused(message));
            }
        }
        Ok(Self { words: words.into_iter().collect() })
    }

    pub(crate) fn words(&self) -> &[Box<[u8]>] {
        &self.words
    }

    /// Reads the longest keyword that begins here, and gives where it ends. Counts its steps.
    pub(crate) fn read(&self, cursor: &mut Cursor<'_>, steps: &mut u64) -> Option<usize> {
        let mut words = self.words.as_slice();
        let mut found = None;
        for depth in 0.. {
            *steps = steps.saturating_add(2);
            if words.first().is_some_and(|word| word.len() == depth) {
                let (_, longer) = words.split_first()?;
                if ends_word(cursor) {
                    found = Some(cursor.at());
                }
                words = longer;
            }
            if words.is_empty() {
                break;
            }
            let Some(byte) = cursor.peek().map(|byte| byte.to_ascii_lowercase()) else { break };
            let byte = if is(byte, SPACE) { b' ' } else { byte };
            let at = |word: &[u8]| word.get(depth).copied().unwrap_or(0);
            let from = words.partition_point(|word| at(word) < byte);
            let to = words.partition_point(|word| at(word) <= byte);
            words = words.get(from..to).unwrap_or_default();
            cursor.skip(1);
            for _ in 0..2 {
                if byte == b' ' && cursor.next_is(SPACE) {
                    cursor.skip(1);
                }
            }
        }
        found
    }
}

/// How a keyword may be written in normalized text. Letters of other scripts may look Latin in one case only,
/// so each case is a spelling of its own.
pub(crate) fn spellings(keyword: &str) -> [Box<[u8]>; 4] {
    let mut letters = keyword.chars();
    let capitalized: String = letters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .chain(letters.flat_map(char::to_lowercase))
        .collect();
    [
        spelling(keyword),
        spelling(&keyword.to_lowercase()),
        spelling(&keyword.to_uppercase()),
        spelling(&capitalized),
    ]
}

fn spelling(keyword: &str) -> Box<[u8]> {
    let text = normalized(keyword).to_ascii_lowercase();
    let words: Vec<&[u8]> = text.split(|byte| is(*byte, SPACE)).filter(|word| !word.is_empty()).collect();
    words.join(&b' ').into_boxed_slice()
}

/// Whether no word goes on here that the last read byte belongs to.
fn ends_word(cursor: &mut Cursor<'_>) -> bool {
    let last = char_before(cursor.read());
    !last.is_some_and(in_spaced_word) || !cursor.next_char().is_some_and(in_spaced_word)
}

/// Whether no word comes before `at` that the character there belongs to.
pub(crate) fn begins_word(bytes: &[u8], at: usize) -> bool {
    let (before, after) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
    // A character has four bytes at most: the rest is not to be looked at for each word.
    let head = after.get(..4).unwrap_or(after);
    let first = head.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next());
    !first.is_some_and(in_spaced_word)
        || !char_before(before).is_some_and(in_spaced_word)
        || crate::cursor::word_may_begin(bytes, at)
}

/// The last character.
pub(super) fn char_before(bytes: &[u8]) -> Option<char> {
    let tail = bytes.get(bytes.len().saturating_sub(4)..)?;
    let start = tail.iter().rposition(|byte| byte & 0xc0 != 0x80)?;
    std::str::from_utf8(tail.get(start..)?).ok()?.chars().next_back()
}

/// Letters and digits of scripts that put spaces between words.
pub(crate) fn in_spaced_word(c: char) -> bool {
    c.is_alphanumeric()
        && !matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
            | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{20000}'..='\u{3ffff}')
}
