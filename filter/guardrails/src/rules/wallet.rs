//! Addresses of crypto wallets.

use sha2::{Digest, Sha256};

use crate::class::{self, ALNUM, HEX};
use crate::detector::DetectorId;
use crate::dictionary::Keyword;
use crate::rules::secret::is_placeholder;
use crate::sink::Sink;

const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const BECH32: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// A Bitcoin address that begins with 1 or 3: Base58Check.
pub(crate) fn base58(sink: &mut Sink<'_>, start: usize) {
    if !sink.wants(DetectorId::CryptoWallet) {
        return;
    }
    sink.attempt(start, |cursor| {
        let text = cursor.run(ALNUM, 36);
        let complete = (26..=35).contains(&text.len()) && !cursor.next_is(class::WORD);
        (complete && base58_check(text)).then(|| (DetectorId::CryptoWallet, start..cursor.at()))
    });
}

/// 25 bytes: a version, 20 of a hash, and the first four of SHA-256 twice over these.
fn base58_check(text: &[u8]) -> bool {
    // 224 bits, the lowest first.
    let mut words = [0_u32; 7];
    for character in text {
        let Some(value) = BASE58.iter().position(|other| other == character) else { return false };
        let mut carry = u64::try_from(value).unwrap_or(0);
        for word in &mut words {
            carry = carry.wrapping_add(u64::from(*word).wrapping_mul(58));
            *word = u32::try_from(carry & 0xffff_ffff).unwrap_or(0);
            carry = carry.wrapping_shr(32);
        }
        if carry > 0 {
            return false;
        }
    }
    let bytes: Vec<u8> = words.iter().rev().flat_map(|word| word.to_be_bytes()).collect();
    // 28 bytes were computed, 25 count.
    let Some((&[0, 0, 0], bytes)) = bytes.split_first_chunk::<3>() else { return false };
    let Some((payload, check)) = bytes.split_last_chunk::<4>() else { return false };
    Sha256::digest(Sha256::digest(payload)).starts_with(check)
}

/// A Bitcoin address that begins with `bc1`: BIP 173 and BIP 350.
pub(crate) fn bech32(sink: &mut Sink<'_>, keyword: Keyword) {
    if !sink.wants(DetectorId::CryptoWallet) {
        return;
    }
    sink.attempt(keyword.start, |cursor| {
        if !cursor.literal_any_case("bc1") {
            return None;
        }
        let data = cursor.run(ALNUM, 88);
        let complete = (39..=87).contains(&data.len()) && !cursor.next_is(class::WORD);
        (complete && bech32_check(data)).then(|| (DetectorId::CryptoWallet, keyword.start..cursor.at()))
    });
}

fn bech32_check(data: &[u8]) -> bool {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let step = |sum: u32, value: u8| {
        let top = sum.wrapping_shr(25);
        let sum = (sum & 0x01ff_ffff).wrapping_shl(5) ^ u32::from(value);
        (0_u32..)
            .zip(GENERATOR)
            .fold(sum, |sum, (bit, term)| if top.wrapping_shr(bit) & 1 == 1 { sum ^ term } else { sum })
    };
    // The human-readable part `bc`: high bits, a zero, low bits.
    let mut sum = [3, 3, 0, 2, 3].into_iter().fold(1, step);
    for character in data {
        let lower = character.to_ascii_lowercase();
        let Some(value) = BECH32.iter().position(|other| *other == lower).and_then(|i| u8::try_from(i).ok())
        else {
            return false;
        };
        sum = step(sum, value);
    }
    matches!(sum, 1 | 0x2bc8_30a3)
}

/// An Ethereum address: `0x` and forty hexadecimal digits. Its checksum is optional and not looked at.
pub(crate) fn ethereum(sink: &mut Sink<'_>, start: usize) {
    if !sink.wants(DetectorId::EthereumAddress) {
        return;
    }
    sink.attempt(start, |cursor| {
        if !cursor.literal("0x") {
            return None;
        }
        let digits = cursor.run(HEX, 41);
        let complete = digits.len() == 40 && !cursor.next_is(class::WORD) && !is_placeholder(digits);
        complete.then(|| (DetectorId::EthereumAddress, start..cursor.at()))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_bitcoin_addresses() {
        assert!(base58_check(b"1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"));
        assert!(!base58_check(b"1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3"));
        assert!(bech32_check(b"qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"));
        assert!(!bech32_check(b"qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5"));
    }
}
