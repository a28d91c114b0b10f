//! Custom categories as a form has them: one block of fields each, with room for another.

use latchkey_api::problem::Problem;
use latchkey_core::content::CustomCategory;

use crate::form::{Field, FieldKind, FormInput, HtmlForm};

/// The most blocks of fields: as many as an app may have categories.
const MOST: usize = 50;
const FIELDS: [&str; 5] = ["name", "description", "keywords", "patterns", "examples"];

/// The form that shows these.
pub(super) fn form(categories: &[CustomCategory]) -> HtmlForm {
    categories.iter().enumerate().fold(HtmlForm::default(), |form, (i, category)| {
        let CustomCategory { name, description, keywords, patterns, examples } = category;
        let at = |field: &str| format!("{}.{field}", path(i));
        form.with(&at("name"), name)
            .with(&at("description"), description)
            .with(&at("keywords"), keywords.join("\n"))
            .with(&at("patterns"), patterns.join("\n"))
            .with(&at("examples"), examples.join("\n"))
    })
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
    Ok((0..MOST).filter_map(|i| block(typed, &path(i))).collect())
}

/// The fields of a block: of one that is to be removed, nothing else counts.
fn names(typed: &FormInput, path: &str) -> Vec<String> {
    let remove = format!("{path}.remove");
    match typed.has(&remove) {
        true => vec![remove],
        false => FIELDS.iter().map(|field| format!("{path}.{field}")).collect(),
    }
}

fn block(typed: &FormInput, path: &str) -> Option<CustomCategory> {
    let text = |field: &str| typed.text(&format!("{path}.{field}")).to_owned();
    let lines = |field: &str| {
        let text = text(field);
        text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect::<Vec<_>>()
    };
    let category = CustomCategory {
        name: text("name"),
        description: text("description"),
        keywords: lines("keywords"),
        patterns: lines("patterns"),
        examples: lines("examples"),
    };
    let empty = CustomCategory {
        name: String::new(),
        description: String::new(),
        keywords: Vec::new(),
        patterns: Vec::new(),
        examples: Vec::new(),
    };
    let removed = typed.has(&format!("{path}.remove"));
    Some(category).filter(|category| *category != empty && !removed)
}

fn path(i: usize) -> String {
    format!("custom_categories[{i}]")
}
