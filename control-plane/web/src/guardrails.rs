//! Guardrails as forms have them: a row for each category, and a line for each detector with a rule of its own.

mod line;
mod row;

use std::sync::LazyLock;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use latchkey_core::guardrails::{GuardrailCategory, GuardrailRule, GuardrailSettings, UnseenTexts};
use latchkey_core::invalid::{FieldError, Invalid};
use serde_json::{Value, json};

use super::form::{Field, FieldKind, FormInput, HtmlForm};
use latchkey_api::problem::Problem;

pub use row::{CategoryRow, rows, strength_words, title};

/// What the select of texts that the gateway does not see offers.
pub const UNSEEN: &[(&str, &str)] =
    &[("refuse", "Refuse the request"), ("allow", "Let it pass, and count it as not inspected")];

/// Where detectors with rules of their own are typed.
const DETECTORS: &str = "guardrails.detectors";

/// Every field of the form.
pub static FIELDS: LazyLock<Vec<Field>> = LazyLock::new(|| {
    let of_row = |category: GuardrailCategory| {
        row::PARTS.map(|part| (&*row::field(category, part).leak(), FieldKind::Aside))
    };
    let lists = ["detectors", "exceptions", "exception_patterns", "unseen_texts"];
    let lists = lists.map(|list| (&*format!("guardrails.{list}").leak(), FieldKind::Aside));
    row::categories().flat_map(of_row).chain(lists).collect()
});

/// What was typed, as the API takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct TypedGuardrails {
    pub json: Value,
    /// Where each rule was typed: the field, and the line of it where it has several.
    places: Vec<(String, Option<String>)>,
}

/// The form, filled with these settings.
#[must_use]
pub fn filled(form: HtmlForm, settings: &GuardrailSettings) -> HtmlForm {
    let own = settings.rules.iter().filter(|rule| rule.detector.is_some()).map(line::write);
    let unseen = match settings.unseen_texts {
        UnseenTexts::Refuse => "refuse",
        UnseenTexts::Allow => "allow",
    };
    let form = form
        .with(DETECTORS, own.collect::<Vec<_>>().join("\n"))
        .with("guardrails.exceptions", settings.exceptions.join("\n"))
        .with("guardrails.exception_patterns", settings.exception_patterns.join("\n"))
        .with("guardrails.unseen_texts", unseen);
    row::categories().fold(form, |form, category| row::filled(form, category, settings))
}

/// What was typed over `now`.
///
/// # Errors
/// What was typed is no rule; each field is named.
pub fn read(typed: &FormInput, now: &GuardrailSettings) -> Result<TypedGuardrails, Problem> {
    let mut wrong = Invalid::default();
    let (mut rules, mut places) = (Vec::new(), Vec::new());
    for category in row::categories() {
        match row::read(typed, category, now) {
            Ok(None) => {}
            Ok(Some(rule)) => {
                rules.push(rule);
                places.push((format!("guardrails.{}", category.as_str()), None));
            }
            Err(error) => wrong.0.push(error),
        }
    }
    for text in lines(typed.text(DETECTORS)) {
        match line::read(&text, now) {
            Ok(rule) => {
                rules.push(rule);
                places.push((DETECTORS.to_owned(), Some(text)));
            }
            Err(error) => wrong.0.push(FieldError::new(DETECTORS, format!("`{text}`: {error}"))),
        }
    }
    wrong.into_result().map_err(Problem::invalid)?;
    let json = json!({
        "rules": rules,
        "exceptions": lines(typed.text("guardrails.exceptions")),
        "exception_patterns": lines(typed.text("guardrails.exception_patterns")),
        "unseen_texts": match typed.text("guardrails.unseen_texts") {
            "" => "refuse",
            chosen => chosen,
        },
    });
    Ok(TypedGuardrails { json, places })
}

impl TypedGuardrails {
    /// The problem, whose errors name the fields of the form in the place of the API's rules.
    #[must_use]
    pub fn placed(&self, mut problem: Problem) -> Problem {
        for error in &mut problem.errors {
            if let Some(placed) = self.place(error) {
                *error = placed;
            }
        }
        problem
    }

    fn place(&self, error: &FieldError) -> Option<FieldError> {
        let (_, rest) = error.path.split_once("guardrails.rules[")?;
        let (number, field) = rest.split_once(']')?;
        let (place, text) = self.places.get(number.parse::<usize>().ok()?)?;
        Some(match text {
            Some(text) => FieldError::new(place, format!("`{text}`: {}", error.message)),
            None => {
                let field = field.trim_start_matches('.');
                let part = if row::PARTS.contains(&field) { field } else { "action" };
                FieldError::new(format!("{place}.{part}"), &error.message)
            }
        })
    }
}

/// Each on a line of its own: patterns hold commas.
fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// The last day, in UTC, of a trial.
fn last_day(until: Timestamp) -> String {
    let last = until.checked_sub(SignedDuration::from_millis(1)).unwrap_or(until);
    last.to_zoned(TimeZone::UTC).date().to_string()
}

/// When a trial ends of which this is the last day: where that stays, so does the moment.
fn end_of_trial(day: &str, before: Option<&GuardrailRule>) -> Result<Option<Timestamp>, String> {
    let before = before.and_then(|rule| rule.shadow_until);
    match (day, before) {
        ("", _) => Ok(None),
        (day, Some(until)) if last_day(until) == day => Ok(Some(until)),
        (day, _) => {
            let day: jiff::civil::Date =
                day.parse().map_err(|_| "enter a date such as 2027-01-31".to_owned())?;
            let end = day.tomorrow().and_then(|next| next.to_zoned(TimeZone::UTC));
            end.map(|end| Some(end.timestamp())).map_err(|_| "is too far in the future".to_owned())
        }
    }
}

#[cfg(test)]
mod tests;
