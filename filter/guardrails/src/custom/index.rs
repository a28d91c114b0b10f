//! What all of an app's categories have in common, so that a text is gone over once for all of them.

use crate::custom::CustomCategory;
use crate::custom::exact::ExactIndex;

/// By first bytes: what may begin there.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    /// A bit for every pair of bytes that a keyword begins with.
    pairs: Vec<u64>,
    /// For every byte the patterns that may begin with it, by their number.
    patterns: Vec<Vec<u16>>,
    pub(crate) has_keywords: bool,
    /// The lists of values.
    pub(crate) exact: Vec<ExactIndex>,
    pub(crate) has_learned: bool,
    pub(crate) has_patterns: bool,
}

impl Index {
    pub(crate) fn new<'a>(categories: impl Iterator<Item = &'a CustomCategory> + Clone) -> Self {
        let mut index = Self {
            pairs: vec![0; 1024],
            patterns: vec![Vec::new(); 256],
            has_keywords: categories.clone().any(|category| !category.keywords.words().is_empty()),
            exact: ExactIndex::all(categories.clone().map(|category| &category.exact)),
            has_learned: categories.clone().any(|category| category.learned.is_some()),
            has_patterns: categories.clone().any(|category| !category.patterns.is_empty()),
        };
        for word in categories.clone().flat_map(|category| category.keywords.words()) {
            if let Some([first, second]) = word.first_chunk::<2>()
                && let (slot, bit) = place(*first, *second)
                && let Some(bits) = index.pairs.get_mut(slot)
            {
                *bits |= bit;
            }
        }
        for (number, pattern) in (0..).zip(categories.flat_map(|category| &category.patterns)) {
            for (byte, list) in (0..=u8::MAX).zip(&mut index.patterns) {
                if pattern.may_begin(byte) {
                    list.push(number);
                }
            }
        }
        index
    }

    pub(crate) fn keyword_may_begin(&self, first: u8, second: u8) -> bool {
        let (slot, bit) = place(first.to_ascii_lowercase(), second.to_ascii_lowercase());
        self.pairs.get(slot).is_some_and(|bits| bits & bit != 0)
    }

    pub(crate) fn patterns_from(&self, byte: u8) -> &[u16] {
        self.patterns.get(usize::from(byte)).map_or(&[], Vec::as_slice)
    }
}

fn place(first: u8, second: u8) -> (usize, u64) {
    let pair = u16::from_be_bytes([first, second]);
    (usize::from(pair.wrapping_shr(6)), 1_u64.wrapping_shl(u32::from(pair & 63)))
}
