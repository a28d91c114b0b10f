//! Characters that nobody sees, and that make one name look like another: they turn the direction of writing,
//! or take no room. Names that people type have none.
//!
//! Some scripts and emoji are not written without them, so joiners and variation selectors stay where they
//! change what is seen.

use std::fmt;

/// A character that a name must not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hidden(pub char);

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(c) = *self;
        write!(f, "U+{:04X}", u32::from(c))?;
        match kind(c) {
            Some(kind) => write!(f, " ({kind})"),
            None => Ok(()),
        }
    }
}

/// The first character of a text that is hidden there.
#[must_use]
pub fn find(text: &str) -> Option<Hidden> {
    letters(text).find(|(_, is_seen)| !is_seen).map(|(c, _)| Hidden(c))
}

/// The text with what is hidden in it, and control characters but for line breaks and tabs, as `⟨U+200B⟩`.
#[must_use]
pub fn reveal(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for (c, is_seen) in letters(text) {
        if is_seen && (!c.is_control() || matches!(c, '\n' | '\t')) {
            shown.push(c);
        } else {
            shown.push_str(&format!("\u{27e8}U+{:04X}\u{27e9}", u32::from(c)));
        }
    }
    shown
}

/// The characters of a text, and whether each is seen there.
fn letters(text: &str) -> impl Iterator<Item = (char, bool)> {
    let mut before = None;
    let mut rest = text.chars().peekable();
    std::iter::from_fn(move || {
        let c = rest.next()?;
        let is_seen = match c {
            '\u{200c}' | '\u{200d}' => joins(before, rest.peek().copied()),
            '\u{fe0e}' | '\u{fe0f}' => before.is_some_and(|before: char| !before.is_alphabetic()),
            '\u{fe00}'..='\u{fe0d}' | '\u{e0100}'..='\u{e01ef}' => before.is_some_and(is_ideograph),
            _ => kind(c).is_none(),
        };
        before = Some(c);
        Some((c, is_seen))
    })
}

/// Why a character is hidden, wherever it stands. Unicode calls these `Default_Ignorable_Code_Point` or
/// `Bidi_Control`; beside them are separators of lines, and letters without a shape.
fn kind(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{202e}' => "right-to-left override",
        '\u{202d}' => "left-to-right override",
        '\u{202a}'..='\u{202c}' | '\u{2066}'..='\u{2069}' => "bidirectional embedding or isolate",
        '\u{61c}' | '\u{200e}' | '\u{200f}' => "direction mark",
        '\u{200b}' => "zero width space",
        '\u{200c}' => "zero width non-joiner",
        '\u{200d}' => "zero width joiner",
        '\u{2060}' | '\u{feff}' => "zero width no-break space",
        '\u{ad}' => "soft hyphen",
        '\u{2028}' | '\u{2029}' => "line or paragraph separator",
        '\u{e0000}'..='\u{e007f}' => "tag",
        '\u{fe00}'..='\u{fe0f}' | '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{e0100}'..='\u{e01ef}' => {
            "variation selector"
        }
        '\u{34f}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180e}'
        | '\u{2061}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0080}'..='\u{e00ff}'
        | '\u{e01f0}'..='\u{e0fff}' => "invisible character",
        _ => return None,
    })
}

/// Whether a joiner between these changes how they look: within emoji and the scripts that join their letters,
/// and at the end of a word after a virama, as Malayalam writes.
fn joins(before: Option<char>, after: Option<char>) -> bool {
    before.is_some_and(|before| is_virama(before) || (has_joins(before) && after.is_some_and(has_joins)))
}

/// Emoji, their selectors, and scripts from Hebrew on; neither Latin, Greek and Cyrillic nor punctuation.
fn has_joins(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{1bff}' | '\u{2190}'..='\u{2bff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe0f}' | '\u{fe70}'..='\u{fefc}' | '\u{a800}'..='\u{abff}' | '\u{10800}'..='\u{1fbff}')
        && kind(c).is_none_or(|kind| kind == "variation selector")
}

fn is_virama(c: char) -> bool {
    matches!(
        c,
        '\u{94d}'
            | '\u{9cd}'
            | '\u{a4d}'
            | '\u{acd}'
            | '\u{b4d}'
            | '\u{bcd}'
            | '\u{c4d}'
            | '\u{ccd}'
            | '\u{d4d}'
            | '\u{dca}'
            | '\u{1039}'
            | '\u{17d2}'
    )
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_revealed() {
        assert_eq!(reveal("Adds.\u{200b}\u{e0041}\n\tA\u{7}"), "Adds.⟨U+200B⟩⟨U+E0041⟩\n\tA⟨U+0007⟩");
        assert_eq!(reveal("Größe 👩\u{200d}💻"), "Größe 👩\u{200d}💻", "an emoji of two");
    }

    #[test]
    fn names_in_every_script_and_emoji_are_as_they_are_written() {
        for good in [
            "Support Bot ✓",
            "Überprüfung №5 ™",
            "عربى بوت",
            "בוט תמיכה",
            "می‌خواهم",
            "क्‍ष क्ष",
            "അവന്‍ bot",
            "ශ්‍රී",
            "👨‍👩‍👧‍👦 family",
            "👩🏽‍💻",
            "🏳️‍🌈",
            "❤️ ©️ 1️⃣",
            "🇩🇪",
            "葛\u{e0100}城",
            "日本　語",
            "e\u{301}t",
        ] {
            assert_eq!(find(good), None, "{good}");
        }
    }

    #[test]
    fn what_is_not_seen_is_found_and_named() {
        for (bad, named) in [
            ("a\u{202e}b", "U+202E (right-to-left override)"),
            ("a\u{202a}b", "U+202A (bidirectional embedding or isolate)"),
            ("a\u{2069}", "U+2069 (bidirectional embedding or isolate)"),
            ("\u{200f}a", "U+200F (direction mark)"),
            ("a\u{200b}b", "U+200B (zero width space)"),
            ("a\u{200d}b", "U+200D (zero width joiner)"),
            ("é\u{200d}é", "U+200D (zero width joiner)"),
            ("я\u{200c}я", "U+200C (zero width non-joiner)"),
            ("\u{200d}क", "U+200D (zero width joiner)"),
            ("👩\u{200d}", "U+200D (zero width joiner)"),
            ("👩\u{200d}\u{200d}👩", "U+200D (zero width joiner)"),
            ("م\u{200c} م", "U+200C (zero width non-joiner)"),
            ("a\u{fe0f}", "U+FE0F (variation selector)"),
            ("a\u{e0101}", "U+E0101 (variation selector)"),
            ("a\u{feff}", "U+FEFF (zero width no-break space)"),
            ("a\u{ad}b", "U+00AD (soft hyphen)"),
            ("🏴\u{e0067}", "U+E0067 (tag)"),
            ("a\u{3164}b", "U+3164 (invisible character)"),
            ("\u{2800}", "U+2800 (invisible character)"),
            ("a\u{2028}b", "U+2028 (line or paragraph separator)"),
        ] {
            assert_eq!(find(bad).map(|hidden| hidden.to_string()).as_deref(), Some(named), "{bad:?}");
        }
    }

    #[test]
    fn no_character_alone_is_a_control_of_direction_or_has_no_width() {
        for c in
            "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}"
                .chars()
        {
            for text in [format!("{c}"), format!("a{c}b"), format!("א{c}ב"), format!("क{c}क")] {
                assert_eq!(find(&text), Some(Hidden(c)), "{text:?}");
            }
        }
    }
}
