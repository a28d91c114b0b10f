use unicode_normalization::UnicodeNormalization as _;

use crate::normalize::is_invisible;

/// What of a name is left where neither compatibility forms nor case count, and white space, control characters and
/// what cannot be seen are gone. Names that a lenient reader takes for one another are folded alike. A part of a name
/// is folded as it is within the whole, but for marks that follow it.
#[must_use]
pub fn folded_name(name: &str) -> String {
    let counts = |c: &char| !c.is_whitespace() && !c.is_control() && !is_invisible(*c);
    if name.is_ascii() {
        return name.chars().filter(counts).map(|c| c.to_ascii_lowercase()).collect();
    }
    // What cannot be seen would keep marks apart that belong into one order.
    let plain = name.chars().filter(counts).nfkd().filter(counts);
    // Upper case first: it brings together what has one upper case and two lower ones.
    plain.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_normalization::UnicodeNormalization as _;

    use super::*;

    #[test]
    fn what_a_lenient_reader_takes_for_one_name_is_folded_alike() {
        for name in [
            "Create_Issue",
            " create_issue\t",
            "create\u{200b}_issue",
            "create_issue\u{feff}",
            "\u{ff43}reate_i\u{17f}sue",
            "CREATE\u{ff3f}ISSUE",
            "cre\u{0}ate_issue\u{2003}",
        ] {
            assert_eq!(folded_name(name), "create_issue", "{name:?}");
        }
        assert_eq!(folded_name("straße"), folded_name("STRASSE"));
        assert_eq!(folded_name("\u{212a}ey"), "key");
        assert_eq!(folded_name("e\u{301}"), folded_name("É"));
        for (a, b) in [("create_issue", "create-issue"), ("é", "e"), ("с", "c"), ("नाम", "नम")] {
            assert_ne!(folded_name(a), folded_name(b), "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn no_normal_form_case_or_margin_makes_another_name(name in "[\\PC]{0,12}") {
            let folded = folded_name(&name);
            for same in [
                name.nfc().collect(),
                name.nfd().collect(),
                name.nfkc().collect::<String>(),
                format!(" \u{200d}{name}\u{a0}"),
                name.chars().flat_map(|c| [c, '\u{2060}']).collect(),
            ] {
                prop_assert_eq!(&folded_name(&same), &folded, "{:?}", same);
            }
            if name.is_ascii() {
                prop_assert_eq!(folded_name(&name.to_ascii_uppercase()), folded);
            }
        }
    }
}
