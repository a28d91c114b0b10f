//! The prompts that an app keeps. A prompt's versions never change: another text is another version.

use std::collections::BTreeMap;

use latchkey_proto::prompt::{Piece, is_id, is_label, pieces};
use serde::{Deserialize, Serialize};

use crate::content::{at_most, long, named, unique};
use crate::invalid::Invalid;
use crate::settings::AppSettings;

/// A prompt that an app keeps, as it is stored. One that has a single version and no labels is stored as before
/// there were any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// Its id in references. Unique in the app, in any case.
    pub name: String,
    /// The text of the newest version.
    pub text: String,
    /// The number of the newest version.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub version: u32,
    /// The texts of the versions before it, by number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub older: BTreeMap<u32, String>,
    /// Versions by label.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, u32>,
}

const MOST_PROMPTS: usize = 100;
/// Most versions of one prompt.
pub const MOST_VERSIONS: usize = 20;
/// Most labels of one prompt.
const MOST_LABELS: usize = 20;
/// Longest text, in characters.
const LONGEST_TEXT: usize = 32 * 1024;
/// Bytes of all prompts with all their versions.
const LARGEST: usize = 400 * 1024;

fn first() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn is_first(version: &u32) -> bool {
    *version == first()
}

impl Prompt {
    /// A prompt of one version.
    #[must_use]
    pub fn new(name: String, text: String) -> Self {
        Self { name, text, version: first(), older: BTreeMap::new(), labels: BTreeMap::new() }
    }

    /// Every version, the newest first.
    pub fn versions(&self) -> impl Iterator<Item = (u32, &str)> {
        let older = self.older.iter().rev().map(|(number, text)| (*number, text.as_str()));
        std::iter::once((self.version, self.text.as_str())).chain(older)
    }

    /// Whether it has this version.
    #[must_use]
    pub fn has(&self, version: u32) -> bool {
        version == self.version || self.older.contains_key(&version)
    }

    /// The variables of a text, each once.
    #[must_use]
    pub fn variables(text: &str) -> Vec<String> {
        let names = pieces(text).filter_map(|piece| match piece {
            Piece::Variable(name) => Some(name.to_owned()),
            Piece::Text(_) => None,
        });
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Notes what is wrong with a new prompt at `path`, which ends in a dot unless it is empty.
    pub fn check_new(&self, path: &str, invalid: &mut Invalid) {
        let id =
            named(&self.name).and_then(|()| if is_id(&self.name) { Ok(()) } else { Err(NOT_AN_ID.into()) });
        invalid.check(&format!("{path}name"), id);
        self.check_version(path, invalid);
    }

    /// Notes what is wrong with the text of a new version.
    pub fn check_version(&self, path: &str, invalid: &mut Invalid) {
        invalid.check(&format!("{path}text"), long(&self.text, LONGEST_TEXT));
    }

    /// Makes another text the newest version.
    pub fn add_version(&mut self, text: String) {
        let before = std::mem::replace(&mut self.text, text);
        self.older.insert(self.version, before);
        self.version = self.version.saturating_add(1);
    }

    fn check(&self, path: &str, invalid: &mut Invalid) {
        invalid.check(&format!("{path}name"), named(&self.name));
        self.check_version(path, invalid);
        for (number, text) in &self.older {
            invalid.check(&format!("{path}older.{number}"), long(text, LONGEST_TEXT));
        }
        let versions = self.older.len() + 1;
        if versions > MOST_VERSIONS {
            let message = format!(
                "would have {versions} labeled versions; the maximum is {MOST_VERSIONS}: remove a label first"
            );
            invalid.check::<(), _>(&format!("{path}labels"), Err(message));
        }
        invalid.check(&format!("{path}labels"), at_most(self.labels.len(), MOST_LABELS));
        for (label, version) in &self.labels {
            let path = format!("{path}labels.{label}");
            invalid.check(&path, check_label(label));
            if !self.has(*version) {
                invalid.check::<(), _>(&path, Err(format!("the prompt has no version {version}")));
            }
        }
    }

    fn size(&self) -> usize {
        self.name.len() + self.versions().map(|(_, text)| text.len()).sum::<usize>()
    }

    /// Takes the labels off versions that it does not have.
    pub fn drop_dangling_labels(&mut self) {
        let kept = self.labels.clone().into_iter().filter(|(_, version)| self.has(*version));
        self.labels = kept.collect();
    }

    /// The prompt as it goes on from what it was: another text is a new version, and no version is lost but the
    /// oldest without a label where there are too many.
    fn continued(mut self, before: &Self) -> Self {
        let known: BTreeMap<_, _> =
            before.versions().map(|(number, text)| (number, text.to_owned())).collect();
        if self.text == before.text {
            self.version = before.version;
            self.older.clone_from(&before.older);
        } else if !self.follows(before, &known) {
            self.version = before.version.saturating_add(1);
            self.older = known;
        }
        while self.older.len() >= MOST_VERSIONS {
            let labelled = |number: &u32| self.labels.values().any(|version| version == number);
            let Some(oldest) = self.older.keys().copied().find(|number| !labelled(number)) else { break };
            self.older.remove(&oldest);
        }
        self
    }

    /// Whether it was continued before, from just what it was.
    fn follows(&self, before: &Self, known: &BTreeMap<u32, String>) -> bool {
        self.version == before.version.saturating_add(1)
            && self.older.get(&before.version) == Some(&before.text)
            && self.older.iter().all(|(number, text)| known.get(number) == Some(text))
    }
}

const NOT_AN_ID: &str = "must be 1 to 100 letters, digits, and -_./, and begin and end with a letter or digit: texts refer to \
     it by `{{prompt:<name>}}`";

/// Whether it may be a label.
///
/// # Errors
/// Why not.
pub fn check_label(label: &str) -> Result<(), &'static str> {
    if is_label(label) {
        return Ok(());
    }
    Err(
        "must be a letter followed by up to 63 letters, digits, hyphens, and underscores, and not look like v3",
    )
}

/// The prompts of settings that go on from others.
pub(crate) fn continued(before: &[Prompt], after: Vec<Prompt>) -> Vec<Prompt> {
    let go_on = |prompt: Prompt| match before.iter().find(|old| old.name == prompt.name) {
        Some(old) => prompt.continued(old),
        None => prompt,
    };
    after.into_iter().map(go_on).collect()
}

/// Notes what is wrong with an app's prompts.
pub(crate) fn check_prompts(path: &str, prompts: &[Prompt], invalid: &mut Invalid) {
    invalid.check(path, at_most(prompts.len(), MOST_PROMPTS));
    let size: usize = prompts.iter().map(Prompt::size).sum();
    if size > LARGEST {
        let message = format!("are {size} bytes with all versions; the maximum is {LARGEST}");
        invalid.check::<(), _>(path, Err(message));
    }
    for (i, prompt) in prompts.iter().enumerate().take(MOST_PROMPTS) {
        prompt.check(&format!("{path}[{i}]."), invalid);
    }
    unique(path, prompts.iter().map(|prompt| prompt.name.as_str()), invalid);
}

/// Notes new names that texts could not refer to. What was there may stay.
pub(crate) fn refuse_new(before: &AppSettings, after: &AppSettings, invalid: &mut Invalid) {
    for (i, prompt) in after.prompts.iter().enumerate().take(MOST_PROMPTS) {
        let was = before.prompts.iter().any(|old| old.name == prompt.name);
        if !was && !is_id(&prompt.name) && named(&prompt.name).is_ok() {
            invalid.check::<(), _>(&format!("prompts[{i}].name"), Err(NOT_AN_ID));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn with(texts: &[&str], labels: &[(&str, u32)]) -> Prompt {
        let mut prompt = Prompt::new("a".to_owned(), texts.last().copied().unwrap_or_default().to_owned());
        prompt.version = u32::try_from(texts.len()).unwrap();
        prompt.older = (1..prompt.version).zip(texts).map(|(n, text)| (n, (*text).to_owned())).collect();
        prompt.labels = labels.iter().map(|(label, version)| ((*label).to_owned(), *version)).collect();
        prompt
    }

    fn errors(prompts: &[Prompt]) -> Vec<String> {
        let mut invalid = Invalid::default();
        check_prompts("p", prompts, &mut invalid);
        invalid.0.into_iter().map(|error| error.path).collect()
    }

    #[test]
    fn what_was_stored_before_versions_is_the_first() {
        let stored = json!({"name": "a", "text": "x"});
        let read: Prompt = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(read, with(&["x"], &[]));
        assert_eq!(serde_json::to_value(&read).unwrap(), stored, "and is stored as it was");
        let later = with(&["x", "y"], &[("production", 1)]);
        let stored =
            json!({"name": "a", "text": "y", "version": 2, "older": {"1": "x"}, "labels": {"production": 1}});
        assert_eq!(serde_json::to_value(&later).unwrap(), stored);
        assert_eq!(serde_json::from_value::<Prompt>(stored).unwrap(), later);
    }

    #[test]
    fn another_text_is_another_version() {
        let before = with(&["x"], &[("production", 1)]);
        let edited = Prompt { text: "y".to_owned(), ..before.clone() };
        let after = edited.continued(&before);
        assert_eq!(after, with(&["x", "y"], &[("production", 1)]));
        assert_eq!(after.clone().continued(&before), after, "once");
        assert_eq!(
            before.clone().continued(&after),
            with(&["x", "y", "x"], &[("production", 1)]),
            "a way back"
        );
        let labelled = Prompt { labels: BTreeMap::new(), ..after.clone() };
        assert_eq!(labelled.continued(&after), with(&["x", "y"], &[]));
    }

    #[test]
    fn the_oldest_without_a_label_goes() {
        let mut prompt = with(&["0"], &[("production", 2)]);
        for text in 1..30 {
            let edited = Prompt { text: text.to_string(), ..prompt.clone() };
            prompt = edited.continued(&prompt);
        }
        let numbers: Vec<_> = prompt.versions().map(|(number, _)| number).collect();
        assert_eq!((numbers.len(), numbers[0], numbers[18], numbers[19]), (20, 30, 12, 2));
        assert_eq!(errors(std::slice::from_ref(&prompt)), [""; 0]);
        prompt.labels = prompt.older.keys().map(|number| (format!("l{number}"), *number)).collect();
        prompt.labels.insert("new".to_owned(), 30);
        assert_eq!(errors(std::slice::from_ref(&prompt)), [""; 0]);
        let edited = Prompt { text: "more".to_owned(), ..prompt.clone() };
        assert_eq!(errors(&[edited.continued(&prompt)]), ["p[0].labels"]);
    }

    #[test]
    fn labels_are_of_versions() {
        assert_eq!(errors(&[with(&["x"], &[("production", 2)])]), ["p[0].labels.production"]);
        assert_eq!(errors(&[with(&["x"], &[("v1", 1)])]), ["p[0].labels.v1"]);
        let mut prompt = with(&["x"], &[("new", 2), ("old", 1)]);
        prompt.drop_dangling_labels();
        assert_eq!(prompt, with(&["x"], &[("old", 1)]));
    }

    #[test]
    fn prompts_are_bounded_together() {
        let prompt = |i: usize| Prompt::new(format!("p{i}"), "x".repeat(LONGEST_TEXT));
        assert_eq!(errors(&(0..12).map(prompt).collect::<Vec<_>>()), [""; 0]);
        assert_eq!(errors(&(0..13).map(prompt).collect::<Vec<_>>()), ["p"]);
        let names = [
            Prompt::new("a".into(), "x".into()),
            Prompt::new("A".into(), "x".into()),
            Prompt::new(String::new(), "x".into()),
        ];
        assert_eq!(errors(&names), ["p[2].name", "p[1].name"]);
    }

    #[test]
    fn a_new_name_fits_into_a_reference_and_an_old_one_stays() {
        let settings = |names: &[&str]| AppSettings {
            prompts: names.iter().map(|name| Prompt::new((*name).to_owned(), "x".to_owned())).collect(),
            ..AppSettings::default()
        };
        let paths = |after: &AppSettings, before: &AppSettings| -> Vec<String> {
            let checked = after.clone().validated_over(before);
            checked.err().into_iter().flat_map(|Invalid(errors)| errors).map(|error| error.path).collect()
        };
        assert_eq!(paths(&settings(&["a", "b c"]), &AppSettings::default()), ["prompts[1].name"]);
        assert_eq!(paths(&settings(&["a/x", "b c"]), &settings(&["b c"])), [""; 0]);
    }

    #[test]
    fn variables_are_listed_once() {
        assert_eq!(Prompt::variables("{{b}} {{ a }} {{b}} {{prompt:c}}"), ["a", "b"]);
    }

    proptest! {
        #[test]
        fn no_version_ever_changes(texts in prop::collection::vec("[xyz]", 1..60)) {
            let mut prompt = Prompt::new("a".to_owned(), "first".to_owned());
            let mut all: BTreeMap<u32, String> = prompt.versions().map(|(n, text)| (n, text.to_owned())).collect();
            for text in texts {
                let edited = Prompt { text, ..prompt.clone() };
                let after = edited.continued(&prompt);
                prop_assert!(after.older.len() < MOST_VERSIONS);
                for (number, text) in after.versions() {
                    prop_assert_eq!(all.entry(number).or_insert_with(|| text.to_owned()), text);
                }
                prompt = after;
            }
        }
    }
}
