//! Searching keys by name, or by what a leaked key shows.

use latchkey_proto::key::{ENDING_CHARS, KeyEnding, PREFIX, SECRET_CHARS};

/// What stands for the characters of a key that are not shown.
const ELLIPSES: [&str; 2] = ["…", "..."];

/// What separates the parts of a named key.
const NAMED_KEY: &str = ":ss1.";

/// How many characters after an ellipsis are still what somebody was shown of a key.
const LONGEST_SHOWN: usize = 8;

/// What a list of keys is searched for: it holds those to which one of the two applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySearch {
    /// Part of the name; none where the text is of a key, which is no name.
    pub name: Option<String>,
    /// What the key ends with: 1 to 4 characters, in their case.
    pub ending: Option<String>,
}

/// Everything is found.
impl Default for KeySearch {
    fn default() -> Self {
        Self::parse("")
    }
}

impl KeySearch {
    /// Reads a search. Of a key only its last characters are kept.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let trimmed = text.trim();
        let of_a_key = is_of_a_key(trimmed);
        let shown = ELLIPSES.iter().filter_map(|mark| Some(trimmed.rsplit_once(mark)?.1)).next_back();
        let shown = shown.filter(|_| of_a_key).unwrap_or(trimmed);
        // A name may also be the end of a key, or a key whose prefix was not copied.
        let is_ending =
            if of_a_key { !shown.is_empty() } else { [ENDING_CHARS, SECRET_CHARS].contains(&shown.len()) };
        let ending = Some(shown).filter(|shown| is_ending && KeyEnding::is_made_of(last(shown).as_bytes()));
        Self {
            name: Some(text.to_owned()).filter(|_| !of_a_key),
            ending: ending.map(|shown| last(shown).to_owned()),
        }
    }
}

/// The search without the key in it, where it has one: `…` and the key's end. It is what may be shown,
/// linked to and kept.
#[must_use]
pub fn without_key(text: &str) -> Option<String> {
    has_key(text).then(|| format!("…{}", KeySearch::parse(text).ending.unwrap_or_default()))
}

/// Whether a text has a key in it, or more of one than is shown.
fn has_key(text: &str) -> bool {
    let secret = |rest: &str| rest.len() > ENDING_CHARS && KeyEnding::is_made_of(first(rest).as_bytes());
    text.split(PREFIX).skip(1).any(secret) || text.contains(NAMED_KEY)
}

/// Whether a text says that it is a key or part of one, and no name.
fn is_of_a_key(text: &str) -> bool {
    let masked = |mark| {
        let shown = text.strip_prefix(PREFIX).unwrap_or(text).strip_prefix(mark);
        shown.is_some_and(|shown| shown.len() <= LONGEST_SHOWN && KeyEnding::is_made_of(shown.as_bytes()))
    };
    text.strip_prefix(PREFIX).is_some_and(|rest| KeyEnding::is_made_of(rest.as_bytes()) && !rest.is_empty())
        || ELLIPSES.into_iter().any(masked)
        || has_key(text)
}

/// The last characters of a text, as many as a key shows.
fn last(text: &str) -> &str {
    let start = text.char_indices().rev().nth(ENDING_CHARS - 1).map_or(0, |(at, _)| at);
    text.get(start..).unwrap_or(text)
}

/// More of a text's first characters than a key shows.
fn first(text: &str) -> &str {
    let end = text.char_indices().nth(ENDING_CHARS + 1).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sk-quilr-AAAAAAAAAAAAAAAAAAAAAAAAAAAA7haQ";

    fn search(name: Option<&str>, ending: Option<&str>) -> KeySearch {
        KeySearch { name: name.map(str::to_owned), ending: ending.map(str::to_owned) }
    }

    #[test]
    fn a_key_is_found_by_what_a_leak_shows_of_it() {
        for text in [KEY, "sk-quilr-…7haQ", "…7haQ", "...7haQ", " …7haQ\n", "sk-quilr-...AAAA7haQ"] {
            assert_eq!(KeySearch::parse(text), search(None, Some("7haQ")), "{text}");
        }
        assert_eq!(KeySearch::parse("sk-quilr-…7ha"), search(None, Some("7ha")));
        let named = format!("{KEY}:ss1.AAAA.BBBB-_9z");
        assert_eq!(KeySearch::parse(&named), search(None, Some("-_9z")));
        assert_eq!(KeySearch::parse(":ss1.AAAA.BBBB-_9z"), search(None, Some("-_9z")));
    }

    #[test]
    fn a_name_may_be_an_ending_too() {
        assert_eq!(KeySearch::parse("7haQ"), search(Some("7haQ"), Some("7haQ")));
        assert_eq!(KeySearch::parse("AAAA7haQ"), search(Some("AAAA7haQ"), None));
        for name in ["Acme...", "ci...prod", "sk-quilr- keys", "…", "wait for it…really now"] {
            assert_eq!(
                KeySearch::parse(name).name.as_deref(),
                Some(name).filter(|name| *name != "…"),
                "{name}"
            );
        }
        let cut = &KEY[PREFIX.len()..];
        assert_eq!(KeySearch::parse(cut), search(Some(cut), Some("7haQ")));
        assert_eq!(KeySearch::parse("ci"), search(Some("ci"), None));
        assert_eq!(KeySearch::default(), search(Some(""), None), "all of a list");
        assert_eq!(KeySearch::parse("my laptop!"), search(Some("my laptop!"), None));
        assert_eq!(KeySearch::parse("Schlüssel für"), search(Some("Schlüssel für"), None));
    }

    #[test]
    fn what_is_cut_to_nothing_finds_nothing() {
        assert_eq!(KeySearch::parse("sk-quilr-…"), search(None, None));
        assert_eq!(KeySearch::parse("…"), search(None, None));
    }

    #[test]
    fn a_pasted_key_is_not_repeated() {
        assert_eq!(without_key(KEY).as_deref(), Some("…7haQ"));
        assert_eq!(without_key(&format!("key: {KEY}")).as_deref(), Some("…7haQ"));
        assert_eq!(without_key(&format!("{KEY}:ss1.AAAA.BBBB-_9z")).as_deref(), Some("…-_9z"));
        assert_eq!(without_key(&format!("{KEY} ?")).as_deref(), Some("…"), "what follows it is no end of it");
        for text in ["…7haQ", "sk-quilr-…7haQ", "sk-quilr-", "my sk-quilr- key"] {
            assert_eq!(without_key(text), None, "{text}");
        }
        assert_eq!(without_key("ci"), None);
        assert_eq!(without_key("019b76da-a800-7ad9-a95d-a0237e4eda1d"), None, "an id");
    }
}
