//! Email addresses, as plain as identity providers give them.

use latchkey_proto::key::PREFIX;

const LONGEST: usize = 254;
const LONGEST_LOCAL: usize = 64;
const LONGEST_LABEL: usize = 63;

/// The address in lower case, if it is a plausible one.
///
/// ASCII only: other letters have lower cases that meet those of ASCII, and one user's address must not
/// become another's. An address that contains a key is refused, as keys must not get into records.
pub(super) fn normal(text: &str) -> Option<String> {
    let (local, domain) = text.split_once('@')?;
    let plausible =
        text.len() <= LONGEST && is_local(local) && domain.split('.').all(is_label) && !text.contains(PREFIX);
    plausible.then(|| text.to_ascii_lowercase())
}

/// The domain of an address.
pub(super) fn domain(email: &str) -> &str {
    email.rsplit_once('@').map_or("", |(_, domain)| domain)
}

fn is_local(local: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    (1..=LONGEST_LOCAL).contains(&local.len())
        && local.chars().all(allowed)
        && !local.starts_with('.')
        && !local.ends_with('.')
}

fn is_label(label: &str) -> bool {
    (1..=LONGEST_LABEL).contains(&label.len())
        && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plausible_addresses_are_taken_in_lower_case() {
        assert_eq!(normal("Alice.O'Hara+llm@ACME.co.uk").as_deref(), Some("alice.o'hara+llm@acme.co.uk"));
        assert_eq!(normal("owner@localhost").as_deref(), Some("owner@localhost"));
        assert_eq!(domain("alice@acme.com"), "acme.com");
    }

    #[test]
    fn others_are_not() {
        let kelvin = "mar\u{212a}@acme.com";
        let key = format!("{PREFIX}abc@acme.com");
        let long = format!("{}@acme.com", "a".repeat(65));
        for bad in [
            "",
            "alice",
            "@acme.com",
            "alice@",
            "a@b@acme.com",
            "a b@acme.com",
            "a@acme..com",
            "a@-acme.com",
            "a@acme.com,b@acme.com",
            "<a@acme.com>",
            "\"a\"@acme.com",
            ".a@acme.com",
            "a@acme.com.",
            kelvin,
            &key,
            &long,
            "a@ac_me.com",
            "a@acm\u{e9}.com",
            "a@acme.com\n",
        ] {
            assert_eq!(normal(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_stays_as_it_is(text in "[ -~]{0,12}@[ -~]{0,20}") {
            if let Some(email) = normal(&text) {
                prop_assert_eq!(normal(&email), Some(email.clone()));
                prop_assert_eq!(email.matches('@').count(), 1);
            }
        }
    }
}
