//! What stands in the place of a value: the same for one value within one app.

use std::collections::HashMap;
use std::fmt;

use hmac::digest::KeyInit as _;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// An app's key, by which values become placeholders and hashes. It cannot be printed.
#[derive(Clone)]
pub(super) struct ValueKey(Hmac<Sha256>);

/// The longest placeholder in bytes: the longest name, a hash, and what is around them.
pub(super) const LONGEST: usize = 64;

/// Values of one request that have a placeholder: each costs a hash.
pub(super) const MOST: usize = 4096;

/// Hex digits of a hash in a placeholder; more where two values of one request would be alike.
const DIGITS: [usize; 3] = [4, 8, 16];

impl fmt::Debug for ValueKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ValueKey")
    }
}

/// The hashes of a request's values, so that none is computed twice.
#[derive(Default)]
pub(super) struct ValueHashes {
    /// By name and value.
    known: HashMap<String, [u8; 8]>,
    /// Room for a name and a value.
    key: String,
}

/// Values whose hashes are kept: more than a report tells apart.
const MOST_HASHES: usize = 512;

/// Bytes of a value whose hash is kept. There are few that are longer.
const LONGEST_KEPT: usize = 256;

/// The values must not be printed.
impl fmt::Debug for ValueHashes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} hashes", self.known.len())
    }
}

impl ValueHashes {
    /// The hash of a value; none where there are too many.
    pub(super) fn of(&mut self, key: &ValueKey, name: &str, value: &str) -> Option<[u8; 8]> {
        let hash = || key.short_hash(name, value);
        if value.len() > LONGEST_KEPT {
            return Some(hash());
        }
        self.key.clear();
        self.key.extend([name, "\0", value]);
        if let Some(known) = self.known.get(&self.key) {
            return Some(*known);
        }
        if self.known.len() >= MOST_HASHES {
            return None;
        }
        let hash = hash();
        self.known.insert(self.key.clone(), hash);
        Some(hash)
    }
}

impl ValueKey {
    pub(super) fn new(key: [u8; 32]) -> Self {
        let mut block = [0; 64];
        block.iter_mut().zip(key).for_each(|(to, from)| *to = from);
        Self(Hmac::new(&block.into()))
    }

    /// The beginning of [`Self::hash`].
    pub(super) fn short_hash(&self, name: &str, value: &str) -> [u8; 8] {
        self.hash(name, value).first_chunk().copied().unwrap_or_default()
    }

    /// A hash that tells whether two findings are of one value.
    pub(super) fn hash(&self, name: &str, value: &str) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(name.as_bytes());
        mac.update(&[0]);
        mac.update(value.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// The placeholders of one request, and the values that they stand for. Values are kept only as long as it.
#[derive(Default)]
pub(super) struct Placeholders {
    values: HashMap<String, String>,
    /// By name and value.
    made: HashMap<String, String>,
    /// Room for a name and a value.
    key: String,
}

impl fmt::Debug for Placeholders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} placeholders", self.values.len())
    }
}

impl Placeholders {
    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The placeholder of a value: `[EMAIL_7f3a]`; none where there are too many.
    pub(super) fn of(&mut self, key: &ValueKey, name: &str, value: &str) -> Option<String> {
        self.key.clear();
        self.key.extend([name, "\0", value]);
        if let Some(known) = self.made.get(&self.key) {
            return Some(known.clone());
        }
        if self.made.len() >= MOST {
            return None;
        }
        let placeholder = self.make(key, name, value);
        self.made.insert(self.key.clone(), placeholder.clone());
        Some(placeholder)
    }

    fn make(&mut self, key: &ValueKey, name: &str, value: &str) -> String {
        let hash = key.hash(name, value);
        let hash = hash.first_chunk().copied().map(u64::from_be_bytes).unwrap_or_default();
        let hex = format!("{hash:016x}");
        let mut last = String::new();
        for digits in DIGITS {
            last = format!("[{name}_{}]", hex.get(..digits).unwrap_or(&hex));
            match self.values.get(&last) {
                Some(known) if known != value => {}
                Some(_) => return last,
                None => {
                    self.values.insert(last.clone(), value.to_owned());
                    return last;
                }
            }
        }
        last
    }

    /// The value of a placeholder; none where it is no placeholder of this request.
    pub(super) fn value(&self, placeholder: &str) -> Option<&str> {
        self.values.get(placeholder).map(String::as_str)
    }
}

/// Whether text after `rest`, which begins with `[`, could make it a placeholder.
pub(super) fn may_become(rest: &str) -> bool {
    let Some(inside) = rest.strip_prefix('[') else { return false };
    rest.len() < LONGEST
        && inside.bytes().all(|byte| {
            byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_' || byte.is_ascii_lowercase()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_has_one_placeholder_within_an_app() {
        let key = ValueKey::new([7; 32]);
        let mut of_one = Placeholders::default();
        let placeholder = of_one.of(&key, "EMAIL", "kim@example.com");
        assert_eq!(placeholder, of_one.of(&key, "EMAIL", "kim@example.com"));
        assert_eq!(placeholder, Placeholders::default().of(&key, "EMAIL", "kim@example.com"));
        assert_ne!(
            placeholder,
            Placeholders::default().of(&ValueKey::new([8; 32]), "EMAIL", "kim@example.com")
        );
        assert_ne!(placeholder, of_one.of(&key, "EMAIL", "lee@example.com"));
        let placeholder = placeholder.unwrap();
        assert_eq!(of_one.value(&placeholder), Some("kim@example.com"));
        assert!(placeholder.starts_with("[EMAIL_") && placeholder.len() == "[EMAIL_7f3a]".len());
    }

    #[test]
    fn values_that_would_be_alike_are_told_apart() {
        let key = ValueKey::new([7; 32]);
        let mut placeholders = Placeholders::default();
        let values: Vec<_> = (0..3_000).map(|n| format!("user{n}@example.com")).collect();
        let made: Vec<_> =
            values.iter().map(|value| placeholders.of(&key, "EMAIL", value).unwrap()).collect();
        for (value, placeholder) in values.iter().zip(&made) {
            assert_eq!(placeholders.value(placeholder), Some(value.as_str()));
            assert!(placeholder.len() <= LONGEST);
        }
    }

    #[test]
    fn the_beginning_of_a_placeholder_is_told() {
        for begin in ["[", "[EM", "[EMAIL_", "[EMAIL_7f3"] {
            assert!(may_become(begin), "{begin}");
        }
        for other in ["", "x", "[EMAIL_7f3a]", "[a b", "[é"] {
            assert!(!may_become(other), "{other}");
        }
    }

    #[test]
    fn hashes_are_those_of_hmac_and_are_kept_for_so_many_values() {
        let (key, mut hashes) = (ValueKey::new([7; 32]), ValueHashes::default());
        let mut mac = Hmac::<Sha256>::new_from_slice(&[7; 32]).unwrap();
        mac.update(b"EMAIL\0kim@example.com");
        let expected: [u8; 32] = mac.finalize().into_bytes().into();
        assert_eq!(key.hash("EMAIL", "kim@example.com"), expected);
        let of = |hashes: &mut ValueHashes, n: usize| hashes.of(&key, "EMAIL", &format!("{n}@example.com"));
        let first: Vec<_> = (0..MOST_HASHES).map(|n| of(&mut hashes, n).unwrap()).collect();
        assert_eq!(of(&mut hashes, MOST_HASHES), None);
        assert!((0..MOST_HASHES).all(|n| of(&mut hashes, n) == first.get(n).copied()));
        let long = "x".repeat(LONGEST_KEPT + 1);
        assert_eq!(hashes.of(&key, "KEY", &long).as_ref(), key.hash("KEY", &long).first_chunk());
    }

    #[test]
    fn nothing_secret_is_printed() {
        let key = ValueKey::new([7; 32]);
        let mut placeholders = Placeholders::default();
        placeholders.of(&key, "EMAIL", "kim@example.com");
        assert_eq!(format!("{key:?} {placeholders:?}"), "ValueKey 1 placeholders");
    }
}
