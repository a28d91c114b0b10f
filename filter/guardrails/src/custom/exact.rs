//! Values that are looked for without being known: by keyed hashes.

use std::collections::BTreeSet;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::class::{ALNUM, is};
use crate::custom::{LONGEST_CUSTOM_MATCH, Refused};
use crate::normalize::normalized;

/// Different lengths that values may have: each is tried at every word.
const MOST_LENGTHS: usize = 32;

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

/// The values of a category.
#[derive(Clone, Default)]
pub(crate) struct ExactValues {
    key: Vec<u8>,
    /// Ascending.
    lengths: Vec<usize>,
    fingerprints: BTreeSet<u16>,
    macs: BTreeSet<[u8; 32]>,
}

impl std::fmt::Debug for ExactValues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExactValues").field("count", &self.macs.len()).finish_non_exhaustive()
    }
}

impl ExactValue {
    /// What is stored of `value`.
    #[must_use]
    pub fn new(key: &[u8], value: &str) -> Self {
        let value = normalized(value).to_ascii_lowercase();
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        let fingerprint = folded(value.iter().fold(FNV_START, |hash, byte| fnv(hash, *byte)));
        Self { length, fingerprint, mac: mac(key, &value) }
    }
}

impl ExactValues {
    pub(crate) fn new(values: &[ExactValue], key: &[u8]) -> Result<Self, Refused> {
        let lengths: BTreeSet<usize> = values.iter().map(|value| usize::from(value.length)).collect();
        if lengths.len() > MOST_LENGTHS {
            let message =
                format!("the values have {} different lengths; at most {MOST_LENGTHS} fit", lengths.len());
            return Err(Refused(message));
        }
        if lengths.first().is_some_and(|shortest| *shortest < 3) {
            return Err(Refused("a value must have at least 3 characters".to_owned()));
        }
        if lengths.last().is_some_and(|longest| *longest > LONGEST_CUSTOM_MATCH) {
            return Err(Refused(format!("a value must have at most {LONGEST_CUSTOM_MATCH} bytes")));
        }
        Ok(Self {
            key: key.to_vec(),
            lengths: lengths.into_iter().collect(),
            fingerprints: values.iter().map(|value| value.fingerprint).collect(),
            macs: values.iter().map(|value| value.mac).collect(),
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    pub(crate) fn longest(&self) -> usize {
        self.lengths.last().copied().unwrap_or(0)
    }

    /// The longest value that `rest` begins with, and ends as a word. Counts its steps.
    pub(crate) fn find(&self, rest: &[u8], steps: &mut u64) -> Option<usize> {
        let (mut hash, mut hashed, mut found) = (FNV_START, 0, None);
        for length in &self.lengths {
            let Some(value) = rest.get(..*length) else { break };
            let cut = rest.get(*length).is_some_and(|byte| is(*byte, ALNUM))
                && value.last().is_some_and(|byte| is(*byte, ALNUM));
            *steps = steps.saturating_add(1);
            if cut {
                continue;
            }
            let added = value.get(hashed..).unwrap_or_default();
            hash = added.iter().fold(hash, |hash, byte| fnv(hash, byte.to_ascii_lowercase()));
            hashed = *length;
            *steps = steps.saturating_add(u64::try_from(added.len()).unwrap_or(0));
            if self.fingerprints.contains(&folded(hash)) {
                *steps = steps.saturating_add(100);
                if self.macs.contains(&mac(&self.key, &value.to_ascii_lowercase())) {
                    found = Some(*length);
                }
            }
        }
        found
    }
}

const FNV_START: u32 = 0x811c_9dc5;

/// FNV-1a.
fn fnv(hash: u32, byte: u8) -> u32 {
    (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
}

fn folded(hash: u32) -> u16 {
    let [a, b, c, d] = hash.to_be_bytes();
    u16::from_be_bytes([a ^ c, b ^ d])
}

fn mac(key: &[u8], value: &[u8]) -> [u8; 32] {
    // A key of any length is one.
    Hmac::<Sha256>::new_from_slice(key).map_or([0; 32], |mut mac| {
        mac.update(value);
        mac.finalize().into_bytes().into()
    })
}
