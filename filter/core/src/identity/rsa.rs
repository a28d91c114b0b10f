//! RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, 8.2.2). Verification alone: it has no secret to leak.

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd};
use pkcs1::RsaPublicKeyRef;
use pkcs1::der::Encode as _;
use pkcs1::der::asn1::BitStringRef;
use sha2::{Digest as _, Sha256};
use spki::SubjectPublicKeyInfo;

/// Shorter moduli are too weak. Longer ones are too slow: what it takes to refuse a signature grows with the
/// square of their length.
const BITS: std::ops::RangeInclusive<u32> = 2048..=4096;

/// Longer public exponents are not in use.
const LONGEST_EXPONENT: usize = 4;

/// The DER of a `DigestInfo` with SHA-256, up to the digest.
const DIGEST_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    0x04, 0x20,
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RsaKey {
    modulus: BoxedMontyParams,
    exponent: BoxedUint,
    /// The modulus's length in bytes, which a signature has too.
    length: usize,
    /// X.509's `SubjectPublicKeyInfo` in DER.
    spki: Box<[u8]>,
}

/// Whether this is PKCS #1's `RSAPublicKey` with a modulus that is too long.
pub(super) fn is_too_long(der: &[u8]) -> bool {
    RsaPublicKeyRef::try_from(der).is_ok_and(|key| {
        BoxedUint::from_be_slice_vartime(key.modulus.as_bytes()).bits_vartime() > *BITS.end()
    })
}

impl RsaKey {
    /// Reads PKCS #1's `RSAPublicKey`; none where that is malformed or not fit for use.
    pub(super) fn from_der(der: &[u8]) -> Option<Self> {
        let RsaPublicKeyRef { modulus, public_exponent } = RsaPublicKeyRef::try_from(der).ok()?;
        let (modulus, exponent) = (modulus.as_bytes(), public_exponent.as_bytes());
        let is_odd = exponent.last().is_some_and(|last| last & 1 == 1);
        if exponent.len() > LONGEST_EXPONENT || !is_odd || exponent == [1] {
            return None;
        }
        let number = BoxedUint::from_be_slice_vartime(modulus);
        if !BITS.contains(&number.bits_vartime()) {
            return None;
        }
        let odd: Option<Odd<_>> = Odd::new(number).into();
        let subject_public_key = BitStringRef::from_bytes(der).ok()?;
        let spki = SubjectPublicKeyInfo { algorithm: pkcs1::ALGORITHM_ID, subject_public_key };
        Some(Self {
            modulus: BoxedMontyParams::new_vartime(odd?),
            exponent: BoxedUint::from_be_slice_vartime(exponent),
            length: modulus.len(),
            spki: spki.to_der().ok()?.into(),
        })
    }

    /// X.509's `SubjectPublicKeyInfo` in DER.
    pub(super) fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Whether a signature can be this key's, by its length.
    pub(super) fn takes(&self, signature: &[u8]) -> bool {
        signature.len() == self.length
    }

    /// Whether `signature` is of `message`.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        if !self.takes(signature) {
            return false;
        }
        let modulus = self.modulus.modulus();
        let Ok(signature) = BoxedUint::from_be_slice(signature, modulus.bits_precision()) else {
            return false;
        };
        if signature >= **modulus {
            return false;
        }
        let power = BoxedMontyForm::new(signature, &self.modulus).pow(&self.exponent).retrieve();
        *power.to_be_bytes() == *self.encode(message, modulus.bits_precision())
    }

    /// EMSA-PKCS1-v1_5, with zeros before it to fill `bits`.
    fn encode(&self, message: &[u8], bits: u32) -> Vec<u8> {
        let digest = Sha256::digest(message);
        let zeros = usize::try_from(bits.div_ceil(8)).unwrap_or_default().saturating_sub(self.length);
        // 0x00 0x01 before the padding and 0x00 after it.
        let tail = DIGEST_INFO.len().saturating_add(digest.len()).saturating_add(3);
        let padding = self.length.saturating_sub(tail);
        let mut encoded = vec![0; zeros];
        encoded.extend([0, 1]);
        encoded.extend(std::iter::repeat_n(0xff, padding));
        encoded.push(0);
        encoded.extend(DIGEST_INFO);
        encoded.extend(digest);
        encoded
    }
}
