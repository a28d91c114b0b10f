//! Custom categories as a form has them: one block of fields each, with room for another.

use latchkey_api::problem::Problem;
use latchkey_core::content::{CustomCategory, ListedValue};
use latchkey_core::invalid::FieldError;
use serde_json::{Value, json};

use crate::form::{Field, FieldKind, FormInput, HtmlForm};

/// The most blocks of fields: as many as an app may have categories.
const MOST: usize = 50;
const FIELDS: [&str; 8] = [
    "name",
    "description",
    "keywords",
    "patterns",
    "values",
    "remove_values",
    "examples",
    "counter_examples",
];

/// The form that shows these.
pub(super) fn form(categories: &[CustomCategory]) -> HtmlForm {
    categories.iter().enumerate().fold(HtmlForm::default(), |form, (i, category)| {
        let CustomCategory {
            name,
            description,
            keywords,
            patterns,
            values,
            remove_values,
            examples,
            counter_examples,
            learned: _,
        } = category;
        let at = |field: &str| format!("{}.{field}", path(i));
        form.with(&at("name"), name)
            .with(&at("description"), description)
            .with(&at("keywords"), keywords.join("\n"))
            .with(&at("patterns"), patterns.join("\n"))
            .with(&at("values"), said(values).join("\n"))
            .with(&at("remove_values"), said(remove_values).join("\n"))
            .with(&at("examples"), examples.join("\n"))
            .with(&at("counter_examples"), counter_examples.join("\n"))
    })
}

/// Values as they were typed, and hashes in the place of those that are known by them alone.
fn said(values: &[ListedValue]) -> Vec<String> {
    values.iter().filter_map(|value| value.typed().map(str::to_owned).or_else(|| value.shown())).collect()
}

/// The categories as they are sent: with the values that were typed, which nothing else writes.
pub(super) fn sent(categories: Vec<CustomCategory>) -> Value {
    let sent = categories.into_iter().map(|category| {
        let values = [said(&category.values), said(&category.remove_values)];
        let rest = CustomCategory { values: Vec::new(), remove_values: Vec::new(), ..category };
        let [values, removed] = values;
        let mut sent = json!(rest);
        sent["values"] = json!(values);
        sent["remove_values"] = json!(removed);
        sent
    });
    sent.collect()
}

/// Where the form has categories, or room for one: all that it holds, and one more.
pub(super) fn paths(form: &HtmlForm) -> Vec<String> {
    let held =
        |i: &usize| FIELDS.iter().any(|field| !form.value(&format!("{}.{field}", path(*i))).is_empty());
    let last = (0..MOST).rev().find(held).map_or(0, |last| last + 1);
    (0..=last).take(MOST).map(path).collect()
}

/// What was typed, without the blocks that are to be removed or are empty. Patterns hold commas, so each is
/// a line. `steps`: what else the form has.
///
/// # Errors
/// What was typed belongs to no block, or to one that is to be removed.
pub(super) fn read(typed: &FormInput, steps: &[Field]) -> Result<Vec<CustomCategory>, Problem> {
    let names: Vec<_> = (0..MOST).flat_map(|i| names(typed, &path(i))).collect();
    let fields = names.iter().map(|name| (name.as_str(), FieldKind::Text));
    let fields: Vec<_> = fields.chain(steps.iter().copied()).collect();
    typed.unused(&fields).into_result().map_err(Problem::invalid)?;
    let blocks = (0..MOST).map(|i| block(typed, &path(i)));
    blocks
        .filter_map(Result::transpose)
        .collect::<Result<_, _>>()
        .map_err(|error| Problem::invalid(error.into()))
}

/// The fields of a block: of one that is to be removed, nothing else counts.
fn names(typed: &FormInput, path: &str) -> Vec<String> {
    let remove = format!("{path}.remove");
    match typed.has(&remove) {
        true => vec![remove],
        false => FIELDS.iter().map(|field| format!("{path}.{field}")).collect(),
    }
}

fn block(typed: &FormInput, path: &str) -> Result<Option<CustomCategory>, FieldError> {
    let text = |field: &str| typed.text(&format!("{path}.{field}")).to_owned();
    let lines = |field: &str| {
        let text = text(field);
        text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect::<Vec<_>>()
    };
    if typed.has(&format!("{path}.remove")) {
        return Ok(None);
    }
    let values = |field: &str| {
        let parse = |line: String| ListedValue::parse(&line);
        let values = lines(field).into_iter().map(parse).collect::<Result<Vec<_>, _>>();
        values.map_err(|error| FieldError::new(format!("{path}.{field}"), format!("a line {error}")))
    };
    let category = CustomCategory {
        name: text("name"),
        description: text("description"),
        keywords: lines("keywords"),
        patterns: lines("patterns"),
        values: values("values")?,
        remove_values: values("remove_values")?,
        examples: lines("examples"),
        counter_examples: lines("counter_examples"),
        learned: None,
    };
    Ok(Some(category).filter(|category| *category != CustomCategory::default()))
}

fn path(i: usize) -> String {
    format!("custom_categories[{i}]")
}
