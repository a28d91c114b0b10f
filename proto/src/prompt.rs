//! How stored prompts are referred to, and the variables in their texts.

/// Begins a reference, `{{prompt:summary@v3}}`.
pub const REFERENCE_OPEN: &str = "{{prompt:";

/// Ends a reference.
pub const REFERENCE_CLOSE: &str = "}}";

/// Begins a reference in its other form, `quilrai-prompt-store-summary`.
pub const LONG_FORM: &str = "quilrai-prompt-store-";

/// The longest id, in characters.
pub const LONGEST_ID: usize = 100;

/// The longest label, in characters.
pub const LONGEST_LABEL: usize = 64;

/// The longest name of a variable, in characters.
pub const LONGEST_VARIABLE: usize = 64;

/// Whether it may be the id of a new prompt: letters and digits of ASCII, `-`, `_`, `.` and `/`, of which the first and
/// the last are a letter or digit. Older ones may be any text.
#[must_use]
pub fn is_id(text: &str) -> bool {
    let is_inside = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./".contains(byte);
    let has_ends = [text.bytes().next(), text.bytes().next_back()]
        .iter()
        .all(|end| end.is_some_and(|byte| byte.is_ascii_alphanumeric()));
    has_ends && text.len() <= LONGEST_ID && text.as_bytes().iter().all(is_inside)
}

/// Whether it may be a label: a letter, and then letters and digits of ASCII, `-` and `_`. What reads as a version,
/// such as `v3`, is none.
#[must_use]
pub fn is_label(text: &str) -> bool {
    text.len() <= LONGEST_LABEL && is_word(text) && !text.starts_with('_') && version(text).is_none()
}

/// The number of a version as references write it, `v3`.
#[must_use]
pub fn version(text: &str) -> Option<u32> {
    let digits = text.strip_prefix('v').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    // One that is too large is a version all the same, and no prompt has it.
    (!digits.is_empty()).then(|| digits.parse().unwrap_or(u32::MAX))
}

/// Whether it may be the name of a variable: a letter or `_`, and then letters and digits of ASCII, `-` and `_`.
#[must_use]
pub fn is_variable(text: &str) -> bool {
    text.len() <= LONGEST_VARIABLE && is_word(text)
}

fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(is_of_word)
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_".contains(&byte)
}

/// A part of a prompt's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Goes on as it is.
    Text(&'a str),
    /// Stands for the value of the variable of this name.
    Variable(&'a str),
}

/// The parts of a prompt's text. A variable is written `{{name}}`; blanks around the name do not matter. Whatever
/// else is in braces is text, references to other prompts included.
pub fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    let mut variable = None;
    std::iter::from_fn(move || {
        if let Some(name) = variable.take() {
            return Some(Piece::Variable(name));
        }
        if rest.is_empty() {
            return None;
        }
        let Some((before, name, after)) = first_variable(rest) else {
            return Some(Piece::Text(std::mem::take(&mut rest)));
        };
        rest = after;
        if before.is_empty() {
            return Some(Piece::Variable(name));
        }
        variable = Some(name);
        Some(Piece::Text(before))
    })
}

fn first_variable(text: &str) -> Option<(&str, &str, &str)> {
    text.match_indices("{").find_map(|(start, _)| {
        let inside = text.get(start..)?.strip_prefix("{{")?.trim_start_matches([' ', '\t']);
        let end = inside.bytes().position(|byte| !is_of_word(byte))?;
        let (name, rest) = inside.split_at_checked(end)?;
        let after = rest.trim_start_matches([' ', '\t']).strip_prefix("}}")?;
        is_variable(name).then_some((text.get(..start)?, name, after))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_fit_into_references() {
        for id in ["a", "summary", "tone-2.1_x", "tone/formal", "0", &"x".repeat(100)] {
            assert!(is_id(id), "{id}");
        }
        for id in ["", "a b", "a@v1", "a}", "-a", "a.", "é", &"x".repeat(101)] {
            assert!(!is_id(id), "{id}");
        }
    }

    #[test]
    fn labels_are_not_versions() {
        for label in ["production", "v", "v3x", "V3", "a-b_c"] {
            assert!(is_label(label), "{label}");
        }
        for label in ["", "v3", "v0003", "v99999999999", "3", "a b", "a.b", "-x", "_x", &"x".repeat(65)] {
            assert!(!is_label(label), "{label}");
        }
        assert_eq!((version("v3"), version("v"), version("v+3"), version("3")), (Some(3), None, None, None));
        assert_eq!(version("v99999999999"), Some(u32::MAX));
    }

    #[test]
    fn variables_are_names_in_two_braces() {
        use Piece::{Text, Variable};
        let of = |text| pieces(text).collect::<Vec<_>>();
        assert_eq!(
            of("Dear {{name}}, {{ the_city }}!"),
            [Text("Dear "), Variable("name"), Text(", "), Variable("the_city"), Text("!"),]
        );
        assert_eq!(of("{{{a}}}{{b}}"), [Text("{"), Variable("a"), Text("}"), Variable("b")]);
        for text in
            ["{{}}", "{{ }}", "{{a b}}", "{{1}}", "{{a", "{{a}", "{a}", "{{prompt:x}}", "{{a\n}}", "{{é}}"]
        {
            assert_eq!(of(text), [Text(text)], "{text}");
        }
        assert_eq!(of(""), []);
    }

    proptest! {
        #[test]
        fn pieces_make_up_the_text(text in "([{}a_ é:]|[{][{]ab[}][}]){0,20}") {
            let pieces: Vec<_> = pieces(&text).collect();
            let whole: String = pieces.iter().map(|piece| match piece {
                Piece::Text(text) => (*text).to_owned(),
                Piece::Variable(name) => format!("{{{{{name}}}}}"),
            }).collect();
            prop_assert_eq!(whole.replace(' ', ""), text.replace(' ', ""));
            let is_plain = |piece: &Piece<'_>| matches!(piece, Piece::Text(text) if text.contains("{{ab}}"));
            prop_assert!(!pieces.iter().any(is_plain));
        }
    }
}
