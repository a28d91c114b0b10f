//! How many bytes of text a token is taken to have.

use std::ops::RangeInclusive;

/// In thousandths, whatever was measured: a token has at least a byte, and more than four are not counted on.
pub const BYTES_PER_TOKEN: RangeInclusive<u32> = 1_000..=4_000;

/// In thousandths, of ASCII and of other text, until there are enough records. English has about 4.5, code 3;
/// Cyrillic and CJK have about 2.5 in the worst tokenizers of today, rarer scripts less.
pub const ASSUMED: (u32, u32) = (2_500, 1_500);
