use latchkey_guardrails::folded_name;

/// A model's name in which `*` stands for any run of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    /// What comes before the first `*`.
    head: String,
    /// What comes between and after the `*`s; empty when there is none.
    rest: Vec<String>,
}

impl Glob {
    /// The glob that `pattern` spells; every string spells one.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        let mut parts = pattern.split('*').map(str::to_owned);
        Self { head: parts.next().unwrap_or_default(), rest: parts.collect() }
    }

    /// The folded names that it stands for.
    #[must_use]
    pub fn folded(&self) -> Self {
        let folded = |part: &String| folded_name(part);
        Self { head: folded(&self.head), rest: self.rest.iter().map(folded).collect() }
    }

    /// Whether it stands for one name.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.rest.is_empty()
    }

    /// Whether the whole of `name` matches. Takes at most the product of their lengths.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let Some((tail, middle)) = self.rest.split_last() else {
            return name == self.head;
        };
        let Some(mut name) = name.strip_prefix(self.head.as_str()) else {
            return false;
        };
        for part in middle {
            let Some((_, after)) = name.split_once(part.as_str()) else {
                return false;
            };
            name = after;
        }
        name.ends_with(tail.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a glob means, straight from its definition.
    fn oracle(pattern: &[char], name: &[char]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some(('*', rest)) => (0..=name.len()).any(|skip| oracle(rest, &name[skip..])),
            Some((first, rest)) => name.first() == Some(first) && oracle(rest, &name[1..]),
        }
    }

    #[test]
    fn stars_stand_for_any_run_of_characters() {
        assert!(Glob::new("gpt-*").matches("gpt-4o"));
        assert!(Glob::new("gpt-*").matches("gpt-"));
        assert!(Glob::new("*-mini*").matches("gpt-4o-mini-2024"));
        assert!(!Glob::new("gpt-*").matches("xgpt-4o"));
        assert!(!Glob::new("gpt-4o").matches("gpt-4o-mini"));
        assert!(!Glob::new("a*a").matches("a"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn agrees_with_the_definition(pattern in "[ab*]{0,8}", name in "[ab]{0,10}") {
            let (p, n): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
            prop_assert_eq!(Glob::new(&pattern).matches(&name), oracle(&p, &n));
        }

        /// So a list of allowed names needs no care for lenient readers: they take a name that it allows for another
        /// one that it allows.
        #[test]
        fn what_a_name_that_matches_may_be_taken_for_matches_as_well(
            pattern in "[abA_é \u{200b}\u{ff42}*]{0,6}",
            name in "[abA_é \u{200b}\u{ff42}]{0,10}",
        ) {
            let glob = Glob::new(&pattern);
            if glob.matches(&name) {
                prop_assert!(glob.folded().matches(&folded_name(&name)));
            }
        }
    }
}
