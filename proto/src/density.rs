//! How many bytes of text a token is taken to have.

use std::ops::RangeInclusive;

/// In thousandths, whatever was measured: a token has at least a byte, and more than four are not counted on.
pub const BYTES_PER_TOKEN: RangeInclusive<u32> = 1_000..=4_000;
