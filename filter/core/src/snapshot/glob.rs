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
    }
}
