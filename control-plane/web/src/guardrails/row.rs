//! The row of a category: what is done about all of it.

use std::collections::BTreeSet;

use latchkey_core::guardrails::{GuardrailCategory, GuardrailDirection, GuardrailRisk, GuardrailSettings};
use latchkey_core::invalid::FieldError;
use latchkey_guardrails::{Detector, Strength};
use serde_json::{Value, json};

use super::{end_of_trial, last_day};
use crate::form::{FormInput, HtmlForm};
use crate::format;

/// A row's fields.
pub(super) const PARTS: [&str; 4] = ["action", "direction", "min_risk", "shadow_until"];

const DIRECTIONS: &[(&str, &str)] =
    &[("both", "requests and answers"), ("request", "requests"), ("response", "answers")];
const RISKS: &[(&str, &str)] = &[("low", "any risk"), ("high", "high risk only")];

/// A category, as a form shows it.
#[derive(Clone, Debug)]
pub struct CategoryRow {
    pub title: String,
    /// How far its findings can be trusted, in words; empty for the app's own.
    pub strength: String,
    /// The fields' paths, in the order of the parts.
    pub action: String,
    pub direction: String,
    pub min_risk: String,
    pub shadow_until: String,
    pub actions: Vec<(&'static str, &'static str)>,
    pub directions: &'static [(&'static str, &'static str)],
    pub risks: &'static [(&'static str, &'static str)],
    pub detectors: Vec<&'static Detector>,
}

/// The rows of a form: `custom` only where the app has categories of its own, or a rule for them.
#[must_use]
pub fn rows(form: &HtmlForm, has_own: bool) -> Vec<CategoryRow> {
    let is_shown = |category: &GuardrailCategory| {
        *category != GuardrailCategory::CUSTOM
            || has_own
            || !form.value(&field(*category, "action")).is_empty()
    };
    categories().filter(is_shown).map(row).collect()
}

/// The categories with a row: external detectors have a line each.
pub(super) fn categories() -> impl Iterator<Item = GuardrailCategory> {
    GuardrailCategory::all().filter(|category| *category != GuardrailCategory::EXTERNAL)
}

fn row(category: GuardrailCategory) -> CategoryRow {
    let off = match category {
        GuardrailCategory::CUSTOM => ("", "Monitor (default)"),
        _ => ("", "Off"),
    };
    let actions =
        [("monitor", "Monitor"), ("redact", "Redact"), ("anonymize", "Anonymize"), ("block", "Block")];
    let offered = |(action, _): &(&str, &str)| *action != "anonymize" || category.is_restored();
    CategoryRow {
        title: title(category.as_str()),
        strength: strength(category),
        action: field(category, "action"),
        direction: field(category, "direction"),
        min_risk: field(category, "min_risk"),
        shadow_until: field(category, "shadow_until"),
        actions: std::iter::once(off).chain(actions.into_iter().filter(offered)).collect(),
        directions: DIRECTIONS,
        risks: RISKS,
        detectors: category.detectors().collect(),
    }
}

/// A category's name as people read it: `PII`, `Prompt injection`.
#[must_use]
pub fn title(category: &str) -> String {
    if category.len() <= 3 {
        return category.to_uppercase();
    }
    let words = format::words(category);
    let mut chars = words.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn strength(category: GuardrailCategory) -> String {
    let strengths: BTreeSet<_> = category.detectors().map(|detector| detector.strength).collect();
    let words = strengths.iter().rev().map(strength_words).collect::<Vec<_>>();
    words.join(" and ")
}

/// How far a finding can be trusted, in words.
#[must_use]
pub fn strength_words(strength: &Strength) -> &'static str {
    match strength {
        Strength::Strong => "strong",
        Strength::PatternOnly => "pattern-only",
        Strength::Heuristic => "heuristic",
    }
}

/// Where a part of a row is typed.
pub(super) fn field(category: GuardrailCategory, part: &str) -> String {
    format!("guardrails.{}.{part}", category.as_str())
}

pub(super) fn filled(form: HtmlForm, category: GuardrailCategory, settings: &GuardrailSettings) -> HtmlForm {
    let rule = settings.rule_of(category);
    let put = |form: HtmlForm, part: &str, value: String| form.with(&field(category, part), value);
    let form = put(form, "action", rule.map_or("", |rule| rule.action.as_str()).to_owned());
    let direction = rule.map_or(GuardrailDirection::default(), |rule| rule.direction);
    let form = put(form, "direction", direction.as_str().to_owned());
    let min_risk = rule.map_or(GuardrailRisk::default(), |rule| rule.min_risk);
    let form = put(form, "min_risk", min_risk.as_str().to_owned());
    let until = rule.and_then(|rule| rule.shadow_until).map(last_day).unwrap_or_default();
    put(form, "shadow_until", until)
}

/// The rule that was typed; none where the category is off.
pub(super) fn read(
    typed: &FormInput,
    category: GuardrailCategory,
    now: &GuardrailSettings,
) -> Result<Option<Value>, FieldError> {
    let of = |part| typed.text(&field(category, part)).to_owned();
    let wrong = |part, message: &str| Err(FieldError::new(field(category, part), message));
    let (action, direction, min_risk, until) =
        (of("action"), of("direction"), of("min_risk"), of("shadow_until"));
    if action.is_empty() {
        let direction_set = !matches!(direction.as_str(), "" | "both");
        return match (until.is_empty(), direction_set || !matches!(min_risk.as_str(), "" | "low")) {
            (true, false) => Ok(None),
            (false, _) => wrong("shadow_until", "has no effect without an action"),
            (true, true) => {
                wrong("action", "choose an action: without one, the other settings have no effect")
            }
        };
    }
    let until = end_of_trial(&until, now.rule_of(category))
        .map_err(|message| FieldError::new(field(category, "shadow_until"), message))?;
    let or = |chosen: String, default: &str| if chosen.is_empty() { default.to_owned() } else { chosen };
    let (direction, min_risk) = (or(direction, "both"), or(min_risk, "low"));
    Ok(Some(json!({
        "category": category, "action": action, "direction": direction, "min_risk": min_risk, "shadow_until": until
    })))
}
