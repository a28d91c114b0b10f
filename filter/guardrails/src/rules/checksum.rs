//! Check digits. `digits` are values from 0 to 9, not characters.

/// ISO/IEC 7812-1, as cards have it.
pub(crate) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits.iter().rev().enumerate().map(|(i, digit)| luhn_term(i, *digit)).sum();
    !digits.is_empty() && sum % 10 == 0
}

fn luhn_term(place: usize, digit: u8) -> u32 {
    let digit = u32::from(digit);
    if place & 1 == 0 { digit } else { (digit << 1) / 10 + (digit << 1) % 10 }
}
