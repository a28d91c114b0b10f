//! An editor that looks for planted words.

use std::ops::Range;

use latchkey_filter_core::content::{Place, Replacement, TextEditor, Unread};

/// Words, and what replaces them.
pub const WORDS: [(&str, &str); 3] = [("SECRET", "[X]"), ("[EMAIL_1]", "a\"b\n@x"), ("😀😀é", "")];

/// Replaces planted words, and keeps what it has seen.
#[derive(Default)]
pub struct PlantedWords {
    /// Each text, or part of one, with its path.
    pub seen: Vec<(String, String)>,
    pub unread: Vec<(Unread, String)>,
    /// Paths of texts that have a word, and may not change.
    pub found_read_only: Vec<String>,
    pub new: Vec<String>,
    pub removes_logprobs: bool,
    pub contexts: Vec<usize>,
    pub outcomes: u64,
}

impl PlantedWords {
    /// What it makes of a whole text.
    pub fn whole(text: &str) -> String {
        WORDS.iter().fold(text.to_owned(), |text, (word, replacement)| text.replace(word, replacement))
    }

    /// What it has seen at a path, one after another.
    pub fn text_at(&self, path: &str) -> String {
        self.seen.iter().filter(|(at, _)| at == path).map(|(_, text)| text.as_str()).collect()
    }
}

pub fn decided(text: &str) -> usize {
    let begins = |tail: &str| WORDS.iter().any(|(word, _)| tail.len() < word.len() && word.starts_with(tail));
    text.char_indices().map(|(at, _)| at).find(|at| begins(&text[*at..])).unwrap_or(text.len())
}

impl TextEditor for PlantedWords {
    fn edit(&mut self, text: &str, range: Range<usize>, place: &Place<'_>) -> Vec<Replacement> {
        let path = place.path().to_string();
        self.seen.push((path.clone(), text[range.clone()].to_owned()));
        self.contexts.push(range.start);
        if place.is_new {
            self.new.push(path.clone());
        }
        let mut found = Vec::new();
        for (word, replacement) in WORDS {
            let matches = text.match_indices(word).filter(|(at, _)| range.contains(at));
            found.extend(
                matches.map(|(at, word)| Replacement {
                    span: at..at + word.len(),
                    text: replacement.to_owned(),
                }),
            );
        }
        self.outcomes += found.len() as u64;
        if !place.editable && !found.is_empty() {
            self.found_read_only.push(path);
        }
        found
    }

    fn decided_until(&self, text: &str, _: usize) -> usize {
        decided(text)
    }

    fn outcomes(&self) -> Option<u64> {
        Some(self.outcomes)
    }

    fn unread(&mut self, what: Unread, place: &Place<'_>) {
        self.outcomes += 1;
        self.unread.push((what, place.path().to_string()));
    }

    fn removes_logprobs(&self) -> bool {
        self.removes_logprobs
    }
}

/// Looks, and changes nothing.
pub struct Identity;

impl TextEditor for Identity {
    fn outcomes(&self) -> Option<u64> {
        Some(0)
    }

    fn edit(&mut self, _: &str, _: Range<usize>, _: &Place<'_>) -> Vec<Replacement> {
        Vec::new()
    }
}
