//! Check digits. `digits` are values from 0 to 9, not characters; each function expects its number's length.

/// ISO/IEC 7812-1, as cards have it.
pub(crate) fn luhn(digits: &[u8]) -> bool {
    let term = |(place, digit): (usize, &u8)| {
        let digit = u32::from(*digit);
        if place & 1 == 0 { digit } else { doubled(digit) }
    };
    !digits.is_empty() && digits.iter().rev().enumerate().map(term).sum::<u32>() % 10 == 0
}

fn doubled(digit: u32) -> u32 {
    let double = digit << 1;
    if double > 9 { double.wrapping_sub(9) } else { double }
}

/// The sum of digits times weights.
pub(crate) fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| u32::from(*digit).wrapping_mul(*weight)).sum()
}

/// The number that the digits write.
pub(crate) fn value(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |value, digit| value.wrapping_mul(10).wrapping_add(u64::from(*digit)))
}

/// ISO/IEC 7064 MOD 97-10 of letters and digits.
pub(crate) fn mod97(text: impl Iterator<Item = u8>) -> u32 {
    text.fold(0, |rest, byte| match byte {
        b'0'..=b'9' => append(rest, 10, u32::from(byte.wrapping_sub(b'0'))),
        b'A'..=b'Z' => append(rest, 100, u32::from(byte.wrapping_sub(b'A')).wrapping_add(10)),
        b'a'..=b'z' => append(rest, 100, u32::from(byte.wrapping_sub(b'a')).wrapping_add(10)),
        _ => rest,
    })
}

fn append(rest: u32, shift: u32, value: u32) -> u32 {
    rest.wrapping_mul(shift).wrapping_add(value) % 97
}

/// ISO/IEC 7064 MOD 11,10: the German tax ID.
pub(crate) fn mod11_10(digits: &[u8]) -> bool {
    let Some((check, digits)) = digits.split_last() else { return false };
    let product = digits.iter().fold(10_u32, |product, digit| {
        let sum = product.wrapping_add(u32::from(*digit)) % 10;
        (if sum == 0 { 10 } else { sum }).wrapping_mul(2) % 11
    });
    11_u32.wrapping_sub(product) % 10 == u32::from(*check)
}

/// The dihedral group of order 10: Aadhaar.
pub(crate) fn verhoeff(digits: &[u8]) -> bool {
    const PRODUCT: [[u8; 10]; 10] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        [1, 2, 3, 4, 0, 6, 7, 8, 9, 5],
        [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
        [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
        [4, 0, 1, 2, 3, 9, 5, 6, 7, 8],
        [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
        [6, 5, 9, 8, 7, 1, 0, 4, 3, 2],
        [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
        [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
        [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
    ];
    const PERMUTED: [[u8; 10]; 8] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        [1, 5, 7, 6, 2, 8, 3, 0, 9, 4],
        [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
        [8, 9, 1, 6, 0, 4, 3, 5, 2, 7],
        [9, 4, 5, 3, 1, 2, 6, 8, 7, 0],
        [4, 2, 8, 6, 5, 7, 3, 9, 0, 1],
        [2, 7, 9, 3, 8, 0, 6, 4, 1, 5],
        [7, 0, 4, 6, 9, 1, 3, 2, 5, 8],
    ];
    let at = |row: Option<&[u8; 10]>, column: u8| {
        row.and_then(|row| row.get(usize::from(column))).copied().unwrap_or(0)
    };
    let rows = PERMUTED.iter().cycle();
    let check = digits
        .iter()
        .rev()
        .zip(rows)
        .fold(0_u8, |check, (digit, row)| at(PRODUCT.get(usize::from(check)), at(Some(row), *digit)));
    check == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(text: &str) -> Vec<u8> {
        text.bytes().map(|byte| byte - b'0').collect()
    }

    #[test]
    fn known_numbers() {
        assert!(luhn(&digits("4111111111111111")) && !luhn(&digits("4111111111111112")));
        assert!(verhoeff(&digits("234567890124")) && !verhoeff(&digits("234567890123")));
        assert!(mod11_10(&digits("86095742719")) && !mod11_10(&digits("86095742718")));
        assert_eq!(mod97(b"WEST12345698765432GB82".iter().copied()), 1);
        assert_eq!(value(&digits("097")), 97);
    }
}
