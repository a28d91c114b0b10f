//! Removes API keys from texts that clients wrote. Whatever is stored, logged or shown goes through
//! [`without_keys`].

use std::borrow::Cow;

use latchkey_proto::key::PREFIX;
use memchr::memmem;
use percent_encoding::percent_decode;

/// Replaces a key.
const HIDDEN: &str = "[key]";

/// How many layers of percent-encoding are looked through.
const DEEPEST: usize = 4;

/// Whether a text has an API key, or the beginning of one, plain or percent-encoded.
#[must_use]
pub fn holds_key(text: &str) -> bool {
    let mut text = Cow::Borrowed(text.as_bytes());
    for _ in 0..DEEPEST {
        if memmem::find(&text, PREFIX.as_bytes()).is_some() {
            return true;
        }
        if memchr::memchr(b'%', &text).is_none() {
            return false;
        }
        text = Cow::Owned(percent_decode(&text).collect());
    }
    memmem::find(&text, PREFIX.as_bytes()).is_some()
}

/// The text without keys. Where one is encoded, nothing of the text is left.
#[must_use]
pub fn without_keys(text: &str) -> Cow<'_, str> {
    if !holds_key(text) {
        return Cow::Borrowed(text);
    }
    let mut parts = text.split(PREFIX);
    let mut hidden = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        hidden.push_str(HIDDEN);
        hidden.push_str(part.trim_start_matches(is_of_a_key));
    }
    if holds_key(&hidden) { Cow::Borrowed(HIDDEN) } else { Cow::Owned(hidden) }
}

fn is_of_a_key(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "-_.:".contains(letter)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_taken_out_and_the_rest_stays() {
        for (text, left) in [
            ("gpt-4o", "gpt-4o"),
            ("100%", "100%"),
            ("sk-quilr-AbC:ss1.x.y", "[key]"),
            (
                "The tool `sk-quilr-AbC` and `sk-quilr-` are no tools.",
                "The tool `[key]` and `[key]` are no tools.",
            ),
            ("sk-sk-quilr-quilr-x", "sk-[key]"),
            ("a %73k-quilr-x", "[key]"),
            ("%2573k-quilr-x sk-quilr-x", "[key]"),
        ] {
            assert_eq!(without_keys(text), left, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_key_is_left(text in "(sk-quilr-|%73k|-quilr-|sk|%25|[a-z:.`% -]){0,12}") {
            let left = without_keys(&text);
            prop_assert!(!holds_key(&left), "{}", left);
            prop_assert_eq!(without_keys(&left), left.clone());
            if !holds_key(&text) {
                prop_assert_eq!(&*left, text.as_str());
            }
        }
    }
}
