//! Finding names whatever their case, in every language and on every database.

use unicode_normalization::UnicodeNormalization as _;

/// The dot that the lower case of `İ` has.
const DOT_ABOVE: char = '\u{307}';

/// The text as it is searched for and searched in: without case, and composed in one way. It is stored beside
/// each name, since databases differ in what they know of case.
#[must_use]
pub fn folded(text: &str) -> String {
    // Some letters have a fold of their own in each direction: ẞ, ß and SS meet only after all three.
    let cased =
        text.nfd().flat_map(char::to_lowercase).flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    let mut folded = String::with_capacity(text.len());
    for c in cased.nfd() {
        if c != DOT_ABOVE || !folded.ends_with('i') {
            folded.push(c);
        }
    }
    folded.nfc().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// In capitals it is a letter of its own, to which the marks that follow it belong from then on.
    const IOTA_SUBSCRIPT: char = '\u{345}';

    #[test]
    fn names_are_found_whatever_the_case() {
        for same in [
            &["Übersetzer", "übersetzer", "ÜBERSETZER", "U\u{308}bersetzer"][..],
            &["Отдел продаж", "отдел продаж", "ОТДЕЛ ПРОДАЖ"],
            &["Straße", "STRASSE", "STRAẞE", "strasse"],
            &["Σίσυφος", "ΣΊΣΥΦΟΣ", "σίσυφοσ"],
            &["İstanbul", "istanbul", "ISTANBUL", "i\u{307}stanbul", "ıstanbul"],
            &["Émile", "E\u{301}MILE", "émile"],
            &["Ꭰ", "ꭰ"],
        ] {
            for text in same {
                assert_eq!(folded(text), folded(same[0]), "{text}");
            }
        }
        assert_eq!(folded("a%_\\b"), "a%_\\b");
        assert_ne!(folded("Emile"), folded("Émile"));
    }

    #[test]
    fn every_letter_meets_its_other_cases() {
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            let fold = folded(&c.to_string());
            assert!(!fold.is_empty(), "{c:?}");
            for other in [c.to_uppercase().to_string(), c.to_lowercase().to_string(), fold.clone()] {
                assert_eq!(folded(&other), fold, "{c:?} and {other:?}");
            }
            assert_eq!(fold, folded(&c.nfd().collect::<String>()), "{c:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_found_however_it_is_written(name in "\\PC{1,12}") {
            prop_assume!(!name.nfd().any(|c| c == IOTA_SUBSCRIPT));
            let fold = folded(&name);
            for other in [
                name.to_uppercase(),
                name.to_lowercase(),
                name.nfd().collect(),
                name.nfc().collect(),
                name.to_uppercase().to_lowercase().nfc().collect(),
                fold.clone(),
            ] {
                prop_assert_eq!(folded(&other), fold.as_str(), "{:?}", other);
            }
        }
    }
}
