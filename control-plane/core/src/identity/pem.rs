//! Public keys and certificates in PEM.

use pkcs1::RsaPublicKeyRef;
use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode as _, Error};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::jwk::MOST_KEYS;
use super::key::{PublicKey, Unfit};

const LARGEST: usize = 64 * 1024;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Why a text is refused. It is never quoted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPem {
    /// Too long.
    #[error("is longer than {LARGEST} bytes")]
    Large,
    /// It should not have left its owner.
    #[error(
        "contains a private key, which was not stored: send only the public key, and treat the private key \
         as leaked"
    )]
    Private,
    /// No PEM, or not only that.
    #[error("is not PEM: it must be blocks of BEGIN PUBLIC KEY or BEGIN CERTIFICATE")]
    Malformed,
    /// Nothing.
    #[error("contains no key")]
    Empty,
    /// Too many.
    #[error("contains more than {MOST_KEYS} keys")]
    Many,
    /// A block, counted from 1, and what is wrong with it.
    #[error("block {0}: {1}")]
    Block(usize, Unfit),
    /// A block, counted from 1, that is neither a public key nor a certificate.
    #[error("block {0} is neither a public key nor a certificate")]
    Tag(usize),
}

/// Reads one or more public keys or certificates. Of a certificate the key alone counts.
///
/// # Errors
/// Says what is wrong, and never quotes it.
pub fn read(text: &str) -> Result<Vec<PublicKey>, BadPem> {
    if text.len() > LARGEST {
        return Err(BadPem::Large);
    }
    if text.to_ascii_uppercase().contains("PRIVATE KEY") {
        return Err(BadPem::Private);
    }
    let blocks = pem::parse_many(text).map_err(|_| BadPem::Malformed)?;
    if blocks.len() != text.matches("-----BEGIN ").count() {
        return Err(BadPem::Malformed);
    }
    match blocks.len() {
        0 => return Err(if text.trim().is_empty() { BadPem::Empty } else { BadPem::Malformed }),
        1..=MOST_KEYS => {}
        _ => return Err(BadPem::Many),
    }
    blocks.iter().zip(1..).map(|(block, number)| key(block, number)).collect()
}

/// The keys of a stored text: without those that a later version no longer takes.
#[must_use]
pub fn usable(text: &str) -> Vec<PublicKey> {
    let blocks = pem::parse_many(text).unwrap_or_default();
    blocks.iter().zip(1..).filter_map(|(block, number)| key(block, number).ok()).collect()
}

fn key(block: &pem::Pem, number: usize) -> Result<PublicKey, BadPem> {
    let malformed = |_: Error| Unfit::Malformed;
    let der = block.contents();
    let key = match block.tag() {
        "PUBLIC KEY" => {
            SubjectPublicKeyInfoOwned::from_der(der).map_err(malformed).and_then(|info| of(&info))
        }
        "CERTIFICATE" => Certificate::from_der(der)
            .map_err(malformed)
            .and_then(|certificate| of(certificate.tbs_certificate().subject_public_key_info())),
        "RSA PUBLIC KEY" => rsa(der),
        _ => return Err(BadPem::Tag(number)),
    };
    key.map_err(|unfit| BadPem::Block(number, unfit))
}

fn of(info: &SubjectPublicKeyInfoOwned) -> Result<PublicKey, Unfit> {
    let bytes = info.subject_public_key.as_bytes().ok_or(Unfit::Malformed)?;
    let parameters = info.algorithm.parameters.as_ref();
    match info.algorithm.oid {
        RSA => rsa(bytes),
        EC if parameters.and_then(|any| any.decode_as().ok()) == Some(P256) => PublicKey::p256(bytes),
        ED25519 => PublicKey::ed25519(bytes),
        _ => Err(Unfit::Kind),
    }
}

fn rsa(der: &[u8]) -> Result<PublicKey, Unfit> {
    let key = RsaPublicKeyRef::try_from(der).map_err(|_| Unfit::Malformed)?;
    PublicKey::rsa(key.modulus.as_bytes(), key.public_exponent.as_bytes())
}
