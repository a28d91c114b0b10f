//! An app's own categories of content.

mod listed;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use listed::ListedValue;

use crate::guardrails::{self, FEWEST_EXAMPLES, LearnedCategory, ListKey};
use crate::hidden;
use crate::invalid::Invalid;
use crate::settings::AppSettings;

/// A category of content that an app's guardrails look for besides the built-in ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
    /// Values, in any case: whole words. Only keyed hashes of them are kept, and shown in their place as `hash:…`;
    /// such a hash stands for the value that it was made of. At most 10,000 in all of an app's categories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<ListedValue>,
    /// Values of `values` to take off: it is never shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove_values: Vec<ListedValue>,
    /// Examples of such content: at least 20, with as many of `counter_examples`. Fewer, which an older version kept,
    /// have no effect.
    #[serde(default)]
    pub examples: Vec<String>,
    /// Examples of other content that should not be found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counter_examples: Vec<String>,
    /// What was learned from the examples: it is made when they are saved, and what is sent has no effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned: Option<LearnedCategory>,
}

const MOST_CATEGORIES: usize = 50;
const MOST_KEYWORDS: usize = 500;
const MOST_EXAMPLES: usize = 500;
/// Of all categories together.
const MOST_VALUES: usize = 10_000;
/// Of all categories together, since each is compiled.
const MOST_PATTERNS: usize = 100;
const LONGEST_NAME: usize = 100;
const LONGEST_DESCRIPTION: usize = 500;
const LONGEST_KEYWORD: usize = 100;
const LONGEST_PATTERN: usize = 500;
const LONGEST_EXAMPLE: usize = 2000;
/// Bytes of all categories, without lists of values.
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
            ("counter_examples", &self.counter_examples, MOST_EXAMPLES, LONGEST_EXAMPLE),
        ];
        for (list, texts, most, longest) in lists {
            invalid.check(&format!("{path}.{list}"), at_most(texts.len(), most));
            for (i, text) in texts.iter().enumerate().take(most) {
                invalid.check(&format!("{path}.{list}[{i}]"), long(text, longest));
            }
        }
        // What reaches this point was hashed: what was not must never be stored.
        for (list, values) in [("values", &self.values), ("remove_values", &self.remove_values)] {
            if list == "remove_values" && !values.is_empty() || values.iter().any(ListedValue::is_plain) {
                let message = "was not hashed, and cannot be stored";
                invalid.check::<(), _>(&format!("{path}.{list}"), Err(message));
            }
        }
        let lists = [&self.keywords, &self.patterns, &self.examples];
        if lists.into_iter().all(Vec::is_empty) && self.values.is_empty() {
            let message = "would find nothing: add keywords, patterns, values, or examples";
            invalid.check::<(), _>(path, Err(message));
        }
    }

    /// Puts hashes in the place of the values that were typed, and takes off those that are to be removed.
    fn hash_values(&mut self, path: &str, key: &ListKey, invalid: &mut Invalid) {
        let mut hashed = BTreeSet::new();
        for (i, value) in std::mem::take(&mut self.values).into_iter().enumerate() {
            hashed.extend(invalid.check(&format!("{path}.values[{i}]"), value.hashed(key)));
        }
        for (i, value) in std::mem::take(&mut self.remove_values).into_iter().enumerate() {
            let path = format!("{path}.remove_values[{i}]");
            let Some(value) = invalid.check(&path, value.hashed(key)) else { continue };
            if !hashed.remove(&value) {
                invalid.check::<(), _>(&path, Err("is not among `values`"));
            }
        }
        self.values = hashed.into_iter().collect();
    }

    /// Whether there are enough examples, and they are not too large, to learn from.
    fn is_learnable(&self) -> bool {
        [&self.examples, &self.counter_examples].iter().all(|list| {
            let lengths = list.iter().all(|example| long(example, LONGEST_EXAMPLE).is_ok());
            (FEWEST_EXAMPLES..=MOST_EXAMPLES).contains(&list.len()) && lengths
        })
    }

    fn has_examples_of(&self, other: &Self) -> bool {
        self.examples == other.examples && self.counter_examples == other.counter_examples
    }

    /// Notes examples that nothing could be learned from.
    fn check_examples(&self, path: &str, invalid: &mut Invalid) {
        let (examples, others) = (&self.examples, &self.counter_examples);
        if examples.is_empty() && others.is_empty() {
            return;
        }
        let counts = [examples.len(), others.len()];
        if let Some(i) = counts.iter().position(|count| *count < FEWEST_EXAMPLES) {
            let list = if i == 0 { "examples" } else { "counter_examples" };
            let message = format!(
                "requires at least {FEWEST_EXAMPLES} examples and {FEWEST_EXAMPLES} counter-examples: there \
                 are {} and {}",
                counts[0], counts[1]
            );
            invalid.check::<(), _>(&format!("{path}.{list}"), Err(message));
        }
        let mut seen = BTreeSet::new();
        for (list, texts) in [("examples", examples), ("counter_examples", others)] {
            for (i, text) in texts.iter().enumerate().take(MOST_EXAMPLES) {
                let path = format!("{path}.{list}[{i}]");
                if text.chars().any(char::is_control) {
                    invalid.check::<(), _>(&path, Err("must be one line: add each line as its own example"));
                } else if !guardrails::is_readable(text) {
                    invalid.check::<(), _>(&path, Err("is too short to learn from: use a sentence"));
                } else if !seen.insert(text.trim().to_lowercase()) {
                    invalid.check::<(), _>(&path, Err("is a duplicate: add each example once"));
                }
            }
        }
    }

    /// What gateways are asked for.
    fn sought(&self) -> impl Iterator<Item = &str> {
        self.keywords.iter().chain(&self.patterns).map(String::as_str)
    }

    fn size(&self) -> usize {
        let lists = [&self.keywords, &self.patterns, &self.examples, &self.counter_examples];
        let texts = lists.into_iter().flatten().map(String::len).sum::<usize>();
        self.name.len() + self.description.len() + texts
    }
}

/// Puts keyed hashes in the place of the values that were typed. What is stored, logged and shown comes after this.
///
/// # Errors
/// Each value that cannot be looked for, or is to be taken off a list that does not have it.
pub fn hash_values(categories: &mut [CustomCategory], key: &ListKey) -> Result<(), Invalid> {
    let mut invalid = Invalid::default();
    let count = |list: fn(&CustomCategory) -> usize| categories.iter().map(list).sum::<usize>();
    let (values, removed) = (count(|it| it.values.len()), count(|it| it.remove_values.len()));
    if values.max(removed) > MOST_VALUES {
        let message = format!("have {} values together; at most {MOST_VALUES} fit", values.max(removed));
        invalid.check::<(), _>("custom_categories", Err(message));
        return invalid.into_result();
    }
    for (i, category) in categories.iter_mut().enumerate() {
        category.hash_values(&format!("custom_categories[{i}]"), key, &mut invalid);
    }
    invalid.into_result()
}

/// Learns from examples that are new, and keeps what was learned from those that are not.
pub(crate) fn learned(before: &[CustomCategory], mut after: Vec<CustomCategory>) -> Vec<CustomCategory> {
    let fits = size_of_all(&after) <= LARGEST;
    for category in &mut after {
        let known = before.iter().find(|old| old.learned.is_some() && old.has_examples_of(category));
        category.learned = match known {
            Some(known) => known.learned.clone(),
            None => (fits && category.is_learnable())
                .then(|| LearnedCategory::learn(&category.examples, &category.counter_examples)),
        };
    }
    after
}

fn size_of_all(categories: &[CustomCategory]) -> usize {
    categories.iter().map(CustomCategory::size).sum()
}

/// Notes what is wrong with an app's categories.
pub fn check_categories(path: &str, categories: &[CustomCategory], invalid: &mut Invalid) {
    let patterns: usize = categories.iter().map(|category| category.patterns.len()).sum();
    if patterns > MOST_PATTERNS {
        let message = format!("have {patterns} patterns in total; the maximum is {MOST_PATTERNS}");
        invalid.check::<(), _>(path, Err(message));
        return;
    }
    invalid.check(path, at_most(categories.len(), MOST_CATEGORIES));
    invalid.check(path, fits(size_of_all(categories)));
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
        if !old.is_some_and(|old| old.has_examples_of(category)) {
            category.check_examples(&path, invalid);
        }
    }
    // Those that are too many, too long or unusable are refused by themselves.
    let patterns: usize = after.custom_categories.iter().map(|category| category.patterns.len()).sum();
    let fits = after.custom_categories.len() <= MOST_CATEGORIES
        && patterns <= MOST_PATTERNS
        && size_of_all(&after.custom_categories) <= LARGEST;
    if fits && invalid.0.len() == known {
        note_unaffordable(before, after, invalid);
    }
}

/// Refuses categories that look for more than before, and together would cost too much, and exceptions that would:
/// those of an older version, or of a change request, may be from before this was checked, or from beside other ones.
///
/// # Errors
/// How much that is, and what to do.
pub fn refuse_unaffordable(before: &AppSettings, after: &AppSettings) -> Result<(), Invalid> {
    let mut invalid = Invalid::default();
    note_unaffordable(before, after, &mut invalid);
    guardrails::note_slow_exceptions(before, after, &mut invalid);
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
            let message = format!("another category is named `{name}`");
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
    Err(format!(
        "must be 1 to {LONGEST_NAME} characters, without control characters or leading and trailing spaces"
    ))
}

/// Whether a text is there and not too long, in characters.
pub(crate) fn long(text: &str, longest: usize) -> Result<(), String> {
    if (1..=longest).contains(&text.chars().count()) {
        return Ok(());
    }
    Err(format!("must be 1 to {longest} characters"))
}

pub(crate) fn at_most(count: usize, most: usize) -> Result<(), String> {
    if count > most { Err(format!("has {count} entries; the maximum is {most}")) } else { Ok(()) }
}

fn fits(size: usize) -> Result<(), String> {
    if size > LARGEST { Err(format!("is {size} bytes; the maximum is {LARGEST}")) } else { Ok(()) }
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
            ..CustomCategory::default()
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

    fn listed(values: &[&str], removed: &[&str]) -> CustomCategory {
        let parse = |list: &[&str]| list.iter().map(|value| ListedValue::parse(value).unwrap()).collect();
        CustomCategory {
            name: "Customers".into(),
            values: parse(values),
            remove_values: parse(removed),
            ..CustomCategory::default()
        }
    }

    fn hashed(category: CustomCategory, key: &[u8]) -> Result<CustomCategory, Vec<(String, String)>> {
        let mut categories = [category];
        hash_values(&mut categories, &ListKey::new(key)).map_err(|Invalid(errors)| {
            errors.into_iter().map(|error| (error.path, error.message)).collect::<Vec<_>>()
        })?;
        let [category] = categories;
        Ok(category)
    }

    #[test]
    fn values_are_hashed_and_their_hashes_keep_them() {
        let first = hashed(listed(&["C-1009", "Ann Lee", "ann  lee"], &[]), b"key").unwrap();
        assert_eq!(first.values.len(), 2, "one value in two spellings");
        let text = serde_json::to_string(&first).unwrap();
        assert!(
            text.contains("hash:") && !text.to_lowercase().contains("lee") && !text.contains("1009"),
            "{text}"
        );
        let again: CustomCategory = serde_json::from_str(&text).unwrap();
        assert_eq!(hashed(again.clone(), b"key").unwrap(), first);
        let mut more = again.clone();
        more.values.push(ListedValue::plain("Bob Roe"));
        more.remove_values.push(ListedValue::plain("ANN LEE"));
        let more = hashed(more, b"key").unwrap();
        assert_eq!((more.values.len(), more.remove_values.len()), (2, 0));
        let path = |refused: Vec<(String, String)>| refused.into_iter().next().unwrap();
        let foreign = path(hashed(again, b"other").unwrap_err());
        assert_eq!(foreign.0, "custom_categories[0].values[0]");
        assert!(foreign.1.contains("another app or installation"), "{foreign:?}");
        let gone = path(hashed(listed(&["C-1009"], &["Bob Roe"]), b"key").unwrap_err());
        assert_eq!(
            gone,
            ("custom_categories[0].remove_values[0]".to_owned(), "is not among `values`".to_owned())
        );
        let short = path(hashed(listed(&["C-1009", "abc"], &[]), b"key").unwrap_err());
        assert_eq!(short.0, "custom_categories[0].values[1]");
        assert!(!short.1.contains("abc"), "{short:?}");
        assert!(ListedValue::parse("hash:nonsense").is_err());
        let many: Vec<_> = (0..10_001).map(|i| format!("C-{i:05}")).collect();
        let many = listed(&many.iter().map(String::as_str).collect::<Vec<_>>(), &[]);
        assert_eq!(path(hashed(many, b"key").unwrap_err()).0, "custom_categories");
    }

    #[test]
    fn a_value_that_was_not_hashed_is_never_stored_or_printed() {
        let plain = listed(&["C-1009"], &[]);
        assert_eq!(refused(std::slice::from_ref(&plain)), ["c[0].values"]);
        assert!(serde_json::to_string(&plain).is_err());
        assert!(!format!("{plain:?}").contains("1009"));
        assert_eq!(refused(&[hashed(plain, b"key").unwrap()]), [""; 0]);
        let removed = hashed(listed(&["C-1009"], &[]), b"key").unwrap();
        let kept = CustomCategory { remove_values: removed.values.clone(), ..removed };
        assert_eq!(refused(&[kept]), ["c[0].remove_values"]);
    }

    #[test]
    fn names_are_unique_in_any_case() {
        assert_eq!(refused(&[category("A"), category("b"), category("a")]), ["c[2].name"]);
    }
}
