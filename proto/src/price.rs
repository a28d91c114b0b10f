//! What is assumed where no price is known.

/// The dearest that writing to the cache costs at any vendor, for some minutes and for longer: five quarters of
/// `input` and twice that, which is OpenAI's.
#[must_use]
pub fn dearest_writes(input: u64) -> [u64; 2] {
    let minutes = input.saturating_add(input.div_ceil(4));
    [minutes, minutes.saturating_mul(2)]
}
