//! How many guesses find a password, as zxcvbn estimates it. The estimate of dates reads the clock, so it is not
//! among the business rules.

use latchkey_core::name::{Email, Name};
use zxcvbn::{Score, zxcvbn};

/// Few guesses find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is too easy to guess (common words, names, dates, repetitions, or keyboard patterns): use several \
     unrelated words"
)]
pub struct Few;

/// Whether it takes many, also for who knows the user.
///
/// # Errors
/// It takes few.
pub fn check(password: &str, email: &Email, name: &Name) -> Result<(), Few> {
    let words = name.as_str().split_whitespace().chain(email.as_str().split(['@', '.', '-', '_', '+']));
    let known = words.chain([email.as_str(), name.as_str(), "latchkey"]).collect::<Vec<_>>();
    if zxcvbn(password, &known).score() < Score::Three { Err(Few) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice(password: &str) -> Result<(), Few> {
        let email = Email::try_from("alice.smith@acme.com".to_owned()).unwrap();
        check(password, &email, &Name::try_from("Alice Smith".to_owned()).unwrap())
    }

    #[test]
    fn what_people_repeat_and_expect_takes_few() {
        for bad in [
            "passwordpassword",
            "PasswordPassword1!",
            "P@ssw0rdP@ssw0rd",
            "dragondragondragon",
            "monkey monkey monkey",
            "acme2024acme2024",
            "qwerty123456qwerty",
            "latchkeylatchkey",
            "smithsmithsmith1",
        ] {
            assert_eq!(alice(bad), Err(Few), "{bad}");
        }
    }

    #[test]
    fn words_that_do_not_belong_together_take_many() {
        for good in
            ["correct horse battery", "correct horse battery staple", "Tr0ub4dor&3-xkcd", "ünïcödé-wörter-7"]
        {
            assert_eq!(alice(good), Ok(()), "{good}");
        }
    }
}
