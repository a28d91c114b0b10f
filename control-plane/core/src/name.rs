//! Names that people give to things.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::hidden::{self, Hidden};

/// The longest name, in characters.
const LONGEST: usize = 100;

/// The name of an app, a key, a person or a group: what people see in lists. 1 to 100 characters, no control
/// characters, none that nobody sees, no space at either end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, min_length = 1, max_length = 100, pattern = "^[^\\s\\u0000-\\u001f\\u007f-\\u009f]([^\\u0000-\\u001f\\u007f-\\u009f]*[^\\s\\u0000-\\u001f\\u007f-\\u009f])?$")]
pub struct Name(String);

/// A name that stands in lists and in Envoy's configuration: lower-case letters, digits, `-`
/// and `_`, 1 to 63 characters, beginning with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
pub struct Slug(String);

/// The name of a model, as clients ask for it: 1 to 200 printable ASCII characters, no space.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[!-)+-~]{1,200}$")]
pub struct ModelName(String);

/// An email address, in lower case. Only its shape is checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, max_length = 254, pattern = "^[^@\\s\\u0000-\\u001f\\u007f-\\u009f]+@[^@.\\s\\u0000-\\u001f\\u007f-\\u009f]+(\\.[^@.\\s\\u0000-\\u001f\\u007f-\\u009f]+)*$")]
pub struct Email(String);

/// Why a string is no such name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAName {
    /// Not a [`Name`].
    #[error("must be 1 to {LONGEST} characters, without control characters or leading and trailing spaces")]
    Name,
    /// A [`Name`] or an [`Email`] with a character that nobody sees.
    #[error("must not contain the invisible character {0}")]
    Hidden(Hidden),
    /// Not a [`Slug`].
    #[error("must be 1 to 63 lowercase letters, digits, `-`, or `_`, and begin with a letter or digit")]
    Slug,
    /// Not a [`ModelName`].
    #[error("must be 1 to 200 printable ASCII characters without spaces or `*`")]
    Model,
    /// Not an [`Email`].
    #[error("must be an email address such as alice@example.com")]
    Email,
}

fn is_name(text: &str) -> bool {
    (1..=LONGEST).contains(&text.chars().count())
        && text.trim() == text
        && !text.chars().any(char::is_control)
}

fn is_slug(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.bytes().next().is_some_and(plain)
        && text.bytes().all(|c| plain(c) || c == b'-' || c == b'_')
}

fn is_model(text: &str) -> bool {
    (1..=200).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_graphic() && c != b'*')
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    !local.is_empty()
        && text.len() <= 254
        && !domain.contains('@')
        && domain.split('.').all(|label| !label.is_empty())
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

macro_rules! names {
    ($($type:ident, $holds:ident, $error:ident, $normal:expr;)*) => {$(
        impl TryFrom<String> for $type {
            type Error = NotAName;

            fn try_from(text: String) -> Result<Self, NotAName> {
                match hidden::find(&text) {
                    Some(hidden) => Err(NotAName::Hidden(hidden)),
                    None => Self::stored(text),
                }
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl $type {
            /// One that is stored already, maybe of a time when hidden characters were taken.
            ///
            /// # Errors
            /// It is none even so.
            pub fn stored(text: String) -> Result<Self, NotAName> {
                let text = $normal(text);
                if $holds(&text) { Ok(Self(text)) } else { Err(NotAName::$error) }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

/// Reads a name that was written by Latchkey itself: see [`Name::stored`].
///
/// # Errors
/// It is none even so.
pub fn deserialize_stored<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
    Name::stored(String::deserialize(deserializer)?).map_err(D::Error::custom)
}

names! {
    Name, is_name, Name, std::convert::identity;
    Slug, is_slug, Slug, std::convert::identity;
    ModelName, is_model, Model, std::convert::identity;
    Email, is_email, Email, |text: String| lower_case(&text);
}

/// A text in lower case, but for letters that look like one of ASCII's and would become it, such as the Kelvin
/// sign: whoever has such an address is not whoever has the plain one.
fn lower_case(text: &str) -> String {
    let becomes_ascii =
        |letter: &char| !letter.is_ascii() && letter.to_lowercase().any(|lower| lower.is_ascii());
    let mut lower = String::with_capacity(text.len());
    for letter in text.chars() {
        match becomes_ascii(&letter) {
            true => lower.push(letter),
            false => lower.extend(letter.to_lowercase()),
        }
    }
    lower
}

impl Name {
    /// The name of someone of whom only the address is known.
    #[must_use]
    pub fn of(email: &Email) -> Self {
        Self(email.as_str().chars().take(LONGEST).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Result<Name, NotAName> {
        Name::try_from(text.to_owned())
    }

    #[test]
    fn no_letter_of_an_address_becomes_another_that_it_looks_like() {
        let email = |text: &str| Email::try_from(text.to_owned()).ok().map(String::from);
        assert_eq!(email("Ana@ACME.com").as_deref(), Some("ana@acme.com"));
        assert_eq!(email("ÉVA@acme.com").as_deref(), email("éva@acme.com").as_deref());
        for letter in ['\u{212a}', '\u{130}'] {
            assert_ne!(email(&format!("{letter}@acme.com")), email("k@acme.com"));
            assert_ne!(email(&format!("{letter}@acme.com")), email("i\u{307}@acme.com"));
        }
    }

    #[test]
    fn names_are_short_visible_text() {
        assert!(name("Support Bot").is_ok());
        assert!(name("Überprüfung ✓").is_ok());
        for bad in ["", " x", "x ", "a\nb", &"x".repeat(101)] {
            assert_eq!(name(bad), Err(NotAName::Name), "{bad:?}");
        }
    }

    #[test]
    fn names_hold_nothing_that_nobody_sees_and_say_what() {
        let refused = name("Support\u{202e}toB").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "must not contain the invisible character U+202E (right-to-left override)"
        );
        assert!(Name::stored("Support\u{202e}toB".to_owned()).is_ok(), "what is there stays readable");
        assert!(name("👩🏽\u{200d}💻").is_ok());
        let email = Email::try_from("a\u{200b}lice@acme.com".to_owned());
        assert_eq!(email, Err(NotAName::Hidden(Hidden('\u{200b}'))));
    }

    #[test]
    fn an_address_is_a_name() {
        let email = Email::try_from(format!("{}@acme.com", "ü".repeat(120))).unwrap();
        assert!(name(Name::of(&email).as_str()).is_ok());
    }

    #[test]
    fn slugs_fit_into_envoys_cluster_names() {
        assert!(Slug::try_from("azure-eu_2".to_owned()).is_ok());
        for bad in ["", "-a", "A", "a/b", "a b", &"x".repeat(64)] {
            assert_eq!(Slug::try_from(bad.to_owned()), Err(NotAName::Slug), "{bad:?}");
        }
    }

    #[test]
    fn models_may_hold_slashes_but_no_globs() {
        assert!(ModelName::try_from("meta-llama/Llama-3.1:free".to_owned()).is_ok());
        for bad in ["", "gpt 4", "gpt-*", "modèle"] {
            assert_eq!(ModelName::try_from(bad.to_owned()), Err(NotAName::Model), "{bad:?}");
        }
    }

    #[test]
    fn emails_are_kept_in_lower_case() {
        assert_eq!(Email::try_from("Alice@ACME.com".to_owned()).unwrap().as_str(), "alice@acme.com");
        for bad in ["", "alice", "@acme.com", "a@b@c", "a@", "a b@c", "a@.com"] {
            assert_eq!(Email::try_from(bad.to_owned()), Err(NotAName::Email), "{bad:?}");
        }
    }
}
