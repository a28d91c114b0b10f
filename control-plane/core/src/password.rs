//! What may be a password: by NIST SP 800-63B (5.1.1.2), any characters, neither common, nor expected, nor
//! repetitive.

use crate::name::{Email, Name};

/// The fewest characters.
const SHORTEST: usize = 12;
/// The most characters.
const LONGEST: usize = 128;
/// The fewest different characters.
const FEWEST_DIFFERENT: usize = 5;

/// What people choose first when twelve characters are asked of them, without digits and signs.
const COMMON: [&str; 16] = [
    "password",
    "passwort",
    "passphrase",
    "letmein",
    "letmeinplease",
    "welcome",
    "qwertyuiop",
    "qwertyuiopasdfghjkl",
    "qwertzuiop",
    "asdfghjkl",
    "abcdefghijkl",
    "administrator",
    "changeme",
    "changemeplease",
    "iloveyou",
    "latchkey",
];

/// Why a password is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Weak {
    /// Too short or too long.
    #[error("must be {SHORTEST} to {LONGEST} characters")]
    Length,
    /// Hardly any different characters.
    #[error("repeats the same few characters: use at least {FEWEST_DIFFERENT} different ones")]
    Repetitive,
    /// One of those tried first.
    #[error("is a commonly used password: use several unrelated words")]
    Common,
    /// What everyone knows of its user.
    #[error("must not contain your name or email address")]
    Personal,
}

/// Whether `text` may be the password of this user.
///
/// # Errors
/// It is too short, too long, or easily guessed.
pub fn check(text: &str, email: &Email, name: &Name) -> Result<(), Weak> {
    if !(SHORTEST..=LONGEST).contains(&text.chars().count()) {
        return Err(Weak::Length);
    }
    let folded = text.to_lowercase();
    let different = folded.chars().collect::<std::collections::BTreeSet<_>>().len();
    if different < FEWEST_DIFFERENT {
        return Err(Weak::Repetitive);
    }
    let letters = folded.chars().filter(|c| c.is_alphabetic()).collect::<String>();
    if letters.is_empty() && is_run(&folded) || COMMON.iter().any(|common| letters == *common) {
        return Err(Weak::Common);
    }
    let local = email.as_str().split('@').next().unwrap_or_default();
    let known = [email.as_str(), local, &name.as_str().to_lowercase()];
    // A word of few characters is found in many a good password.
    if known.iter().any(|known| known.chars().count() > 3 && folded.contains(known)) {
        return Err(Weak::Personal);
    }
    Ok(())
}

/// Whether each character follows the one before it, up or down, as in `1234567890`.
fn is_run(text: &str) -> bool {
    let digits = text.chars().filter_map(|c| c.to_digit(10)).collect::<Vec<_>>();
    let runs = |step: u32| digits.windows(2).all(|pair| matches!(pair, [a, b] if (a + step) % 10 == *b));
    digits.len() == text.chars().count() && (runs(1) || runs(9))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice(text: &str) -> Result<(), Weak> {
        let email = Email::try_from("alice.smith@acme.com".to_owned()).unwrap();
        check(text, &email, &Name::try_from("Alice Smith".to_owned()).unwrap())
    }

    #[test]
    fn long_and_unforeseen_passwords_pass() {
        for good in ["correct horse battery", "Tr0ub4dor&3-xkcd", "ünïcödé-wörter-7"] {
            assert_eq!(alice(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn the_easily_guessed_are_refused_with_the_reason() {
        for (bad, reason) in [
            ("short-12345", Weak::Length),
            (&"a1b2c3d4".repeat(17), Weak::Length),
            ("aaaaaaaaaaaaaaa", Weak::Repetitive),
            ("abababababab", Weak::Repetitive),
            ("Password1234", Weak::Common),
            ("123456789012", Weak::Common),
            ("9876543210987", Weak::Common),
            ("Qwertyuiop123!", Weak::Common),
            ("I am ALICE SMITH", Weak::Personal),
            ("xx-alice.smith-xx", Weak::Personal),
        ] {
            assert_eq!(alice(bad), Err(reason), "{bad}");
        }
    }

    #[test]
    fn a_short_name_is_no_reason() {
        let email = Email::try_from("bo@acme.com".to_owned()).unwrap();
        assert_eq!(check("above-the-board", &email, &Name::try_from("Bo".to_owned()).unwrap()), Ok(()));
    }
}
