//! An app's own categories of content.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::guardrails;
use crate::hidden;
use crate::invalid::Invalid;
use crate::settings::AppSettings;

/// A category of content that an app's guardrails look for besides the built-in ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomCategory {
    /// Unique in the app, in any case: 1 to 100 characters.
    pub name: String,
    /// What people see.
    #[serde(default)]
    pub description: String,
    /// Words and phrases, in any case.
    #[serde(default)]
    pub keywords: Vec<String>,
    /// Regular expressions: each is tried with the engine of the gateway before it is stored.
    #[serde(default)]
    pub patterns: Vec<String>,
    /// Examples of such content. They have no effect yet: new ones are refused.
    #[serde(default)]
    pub examples: Vec<String>,
}

const MOST_CATEGORIES: usize = 50;
const MOST_KEYWORDS: usize = 500;
const MOST_EXAMPLES: usize = 50;
/// Of all categories together, since each is compiled.
const MOST_PATTERNS: usize = 100;
const LONGEST_NAME: usize = 100;
const LONGEST_DESCRIPTION: usize = 500;
const LONGEST_KEYWORD: usize = 100;
const LONGEST_PATTERN: usize = 500;
const LONGEST_EXAMPLE: usize = 2000;
/// Bytes of all categories.
const LARGEST: usize = 200 * 1024;

impl CustomCategory {
    fn check(&self, path: &str, invalid: &mut Invalid) {
        invalid.check(&format!("{path}.name"), named(&self.name));
        if self.description.chars().count() > LONGEST_DESCRIPTION {
            let message = format!("must be at most {LONGEST_DESCRIPTION} characters");
            invalid.check::<(), _>(&format!("{path}.description"), Err(message));
        }
        let lists = [
            ("keywords", &self.keywords, MOST_KEYWORDS, LONGEST_KEYWORD),
            ("patterns", &self.patterns, MOST_PATTERNS, LONGEST_PATTERN),
            ("examples", &self.examples, MOST_EXAMPLES, LONGEST_EXAMPLE),
        ];
        for (list, texts, most, longest) in lists {
            invalid.check(&format!("{path}.{list}"), at_most(texts.len(), most));
            for (i, text) in texts.iter().enumerate().take(most) {
                invalid.check(&format!("{path}.{list}[{i}]"), long(text, longest));
            }
        }
        if self.keywords.is_empty() && self.patterns.is_empty() && self.examples.is_empty() {
            let message = "would find nothing: give keywords or patterns";
            invalid.check::<(), _>(path, Err(message));
        }
    }

    /// What gateways are asked for.
    fn sought(&self) -> impl Iterator<Item = &str> {
        self.keywords.iter().chain(&self.patterns).map(String::as_str)
    }

    fn size(&self) -> usize {
        let lists = [&self.keywords, &self.patterns, &self.examples];
        let texts = lists.into_iter().flatten().map(String::len).sum::<usize>();
        self.name.len() + self.description.len() + texts
    }
}

/// Notes what is wrong with an app's categories.
pub fn check_categories(path: &str, categories: &[CustomCategory], invalid: &mut Invalid) {
    let patterns: usize = categories.iter().map(|category| category.patterns.len()).sum();
    if patterns > MOST_PATTERNS {
        let message = format!("have {patterns} patterns together; at most {MOST_PATTERNS} fit");
        invalid.check::<(), _>(path, Err(message));
        return;
    }
    invalid.check(path, at_most(categories.len(), MOST_CATEGORIES));
    invalid.check(path, fits(categories.iter().map(CustomCategory::size).sum()));
    for (i, category) in categories.iter().enumerate().take(MOST_CATEGORIES) {
        category.check(&format!("{path}[{i}]"), invalid);
    }
    unique(path, categories.iter().map(|category| category.name.as_str()), invalid);
}

/// Notes what is new in `after` and has no effect, or is refused by the engine of the gateway. What was there
/// may stay.
pub(crate) fn refuse_new(before: &AppSettings, after: &AppSettings, invalid: &mut Invalid) {
    let known = invalid.0.len();
    let was = |held: &dyn Fn(&CustomCategory) -> bool| before.custom_categories.iter().any(held);
    for (i, category) in after.custom_categories.iter().enumerate().take(MOST_CATEGORIES) {
        let path = format!("custom_categories[{i}]");
        for (i, keyword) in category.keywords.iter().enumerate().take(MOST_KEYWORDS) {
            if !was(&|old| old.keywords.contains(keyword)) && long(keyword, LONGEST_KEYWORD).is_ok() {
                invalid.check(&format!("{path}.keywords[{i}]"), guardrails::usable_keyword(keyword));
            }
        }
        for (i, pattern) in category.patterns.iter().enumerate().take(MOST_PATTERNS) {
            if !was(&|old| old.patterns.contains(pattern)) && long(pattern, LONGEST_PATTERN).is_ok() {
                invalid.check(&format!("{path}.patterns[{i}]"), guardrails::usable_pattern(pattern));
            }
        }
        let old = before.custom_categories.iter().find(|old| old.name == category.name);
        let old = old.map_or(&[][..], |old| &old.examples);
        if let Some(i) = category.examples.iter().position(|example| !old.contains(example)) {
            let message = "have no effect yet: give keywords or patterns instead";
            invalid.check::<(), _>(&format!("{path}.examples[{i}]"), Err(message));
        }
    }
    // Those that are too many, too long or unusable are refused by themselves.
    let patterns: usize = after.custom_categories.iter().map(|category| category.patterns.len()).sum();
    let fits = after.custom_categories.len() <= MOST_CATEGORIES
        && patterns <= MOST_PATTERNS
        && after.custom_categories.iter().map(CustomCategory::size).sum::<usize>() <= LARGEST;
    if fits && invalid.0.len() == known {
        note_unaffordable(before, after, invalid);
    }
}

/// Refuses categories that look for more than before, and together would cost too much: those of an older
/// version, or of a change request, may be from before this was checked, or from beside other ones.
///
/// # Errors
/// How much that is, and what to do.
pub fn refuse_unaffordable(before: &AppSettings, after: &AppSettings) -> Result<(), Invalid> {
    let mut invalid = Invalid::default();
    note_unaffordable(before, after, &mut invalid);
    invalid.into_result()
}

fn note_unaffordable(before: &AppSettings, after: &AppSettings, invalid: &mut Invalid) {
    if looks_for_more(&before.custom_categories, &after.custom_categories) {
        invalid.check("custom_categories", guardrails::affordable(&after.custom_categories));
    }
}

/// Whether gateways would be asked for anything that they are not asked for already.
fn looks_for_more(before: &[CustomCategory], after: &[CustomCategory]) -> bool {
    let mut known = BTreeMap::<&str, usize>::new();
    for text in before.iter().flat_map(CustomCategory::sought) {
        *known.entry(text).or_default() += 1;
    }
    after.iter().flat_map(CustomCategory::sought).any(|text| match known.get_mut(text) {
        Some(count @ 1..) => {
            *count -= 1;
            false
        }
        _ => true,
    })
}

/// Notes names that are there more than once, in any case.
pub(crate) fn unique<'a>(path: &str, names: impl Iterator<Item = &'a str>, invalid: &mut Invalid) {
    let mut seen = BTreeSet::new();
    for (i, name) in names.enumerate() {
        if !seen.insert(name.to_lowercase()) {
            let message = format!("another one here is called `{name}`");
            invalid.check::<(), _>(&format!("{path}[{i}].name"), Err(message));
        }
    }
}

/// Whether it may be a name that people give.
pub(crate) fn named(name: &str) -> Result<(), String> {
    if let Some(hidden) = hidden::find(name) {
        return Err(format!("must not contain the invisible character {hidden}"));
    }
    let fits = name.trim() == name && !name.chars().any(char::is_control);
    if fits && (1..=LONGEST_NAME).contains(&name.chars().count()) {
        return Ok(());
    }
    Err(format!("must be 1 to {LONGEST_NAME} characters, without control characters or outer spaces"))
}

/// Whether a text is there and not too long, in characters.
pub(crate) fn long(text: &str, longest: usize) -> Result<(), String> {
    if (1..=longest).contains(&text.chars().count()) {
        return Ok(());
    }
    Err(format!("must be 1 to {longest} characters"))
}

pub(crate) fn at_most(count: usize, most: usize) -> Result<(), String> {
    if count > most { Err(format!("has {count} entries; at most {most} fit")) } else { Ok(()) }
}

fn fits(size: usize) -> Result<(), String> {
    if size > LARGEST { Err(format!("is {size} bytes; at most {LARGEST} are kept")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn category(name: &str) -> CustomCategory {
        CustomCategory {
            name: name.to_owned(),
            description: String::new(),
            keywords: vec!["orion".into()],
            patterns: vec![r"PRJ-\d{4}".into()],
            examples: Vec::new(),
        }
    }

    fn refused(categories: &[CustomCategory]) -> Vec<String> {
        let mut invalid = Invalid::default();
        check_categories("c", categories, &mut invalid);
        invalid.0.into_iter().map(|error| error.path).collect()
    }

    fn with(edit: impl FnOnce(&mut CustomCategory)) -> Vec<String> {
        let mut category = category("Projects");
        edit(&mut category);
        refused(&[category])
    }

    #[test]
    fn a_category_is_bounded() {
        assert!(with(|_| ()).is_empty());
        assert_eq!(with(|category| category.patterns.push("x".repeat(501))), ["c[0].patterns[1]"]);
        assert_eq!(with(|category| category.keywords.push(String::new())), ["c[0].keywords[1]"]);
        assert_eq!(with(|category| category.name = " x".into()), ["c[0].name"]);
        assert_eq!(with(|category| category.patterns = vec!["x".into(); 101]), ["c"]);
        let empty = |category: &mut CustomCategory| {
            category.keywords.clear();
            category.patterns.clear();
        };
        assert_eq!(with(empty), ["c[0]"]);
    }

    #[test]
    fn what_costs_too_much_is_refused_unless_it_was_there() {
        let app = |patterns: usize| {
            let mut slow = category("Slow");
            slow.patterns = vec![r"\w+x".into(); patterns];
            AppSettings { custom_categories: vec![slow], ..AppSettings::default() }
        };
        let refused = |before: &AppSettings, after: &AppSettings| {
            refuse_unaffordable(before, after).err().map(|Invalid(errors)| errors[0].path.clone())
        };
        assert_eq!(refused(&app(1), &app(40)).as_deref(), Some("custom_categories"));
        assert_eq!(refused(&app(1), &app(2)), None);
        assert_eq!(refused(&app(40), &app(40)), None, "it was there");
        assert_eq!(refused(&app(40), &app(39)), None, "fewer");
        assert!(refused(&app(40), &app(41)).is_some());
    }

    #[test]
    fn names_are_unique_in_any_case() {
        assert_eq!(refused(&[category("A"), category("b"), category("a")]), ["c[2].name"]);
    }
}
