//! Values that are looked for without being known: by keyed hashes.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::normalize::normalized;

/// A value as it is stored and sent to gateways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExactValue {
    /// Bytes of the normalized value.
    pub length: u16,
    /// Sixteen bits that rule out most other texts at once.
    pub fingerprint: u16,
    /// HMAC-SHA-256 of the normalized value in lower case.
    pub mac: [u8; 32],
}

impl ExactValue {
    /// What is stored of `value`.
    #[must_use]
    pub fn new(key: &[u8], value: &str) -> Self {
        let value = normalized(value).to_ascii_lowercase();
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        Self { length, fingerprint: fingerprint(&value), mac: mac(key, &value) }
    }
}

/// FNV-1a, folded.
pub(crate) fn fingerprint(value: &[u8]) -> u16 {
    let hash =
        value.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    let [a, b, c, d] = hash.to_be_bytes();
    u16::from_be_bytes([a ^ c, b ^ d])
}

pub(crate) fn mac(key: &[u8], value: &[u8]) -> [u8; 32] {
    // A key of any length is one.
    Hmac::<Sha256>::new_from_slice(key).map_or([0; 32], |mut mac| {
        mac.update(value);
        mac.finalize().into_bytes().into()
    })
}
