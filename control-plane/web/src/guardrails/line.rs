//! The line of one detector: `pii/email: redact, request, high, until 2026-12-31`, or of an external one
//! `external/company-model: block, on failure pass`.

use latchkey_core::guardrails::{
    GuardrailAction, GuardrailCategory, GuardrailDirection, GuardrailRisk, GuardrailRule, GuardrailSettings,
    OnFailure,
};
use serde_json::{Value, json};

use super::{end_of_trial, last_day};

const ACTIONS: [GuardrailAction; 5] = [
    GuardrailAction::Monitor,
    GuardrailAction::Redact,
    GuardrailAction::Anonymize,
    GuardrailAction::Block,
    GuardrailAction::Allow,
];
const DIRECTIONS: [GuardrailDirection; 3] =
    [GuardrailDirection::Request, GuardrailDirection::Response, GuardrailDirection::Both];
const FAILURES: [OnFailure; 2] = [OnFailure::Block, OnFailure::Pass];
const RISKS: [GuardrailRisk; 2] = [GuardrailRisk::Low, GuardrailRisk::High];

const SHAPE: &str = "must be like `pii/email: redact`, optionally followed by `request` or `response`, `high`, and `until \
     2027-01-31` for a trial; external detectors need `on failure block` or `on failure pass`";

/// What is not said is as it is by default.
pub(super) fn write(rule: &GuardrailRule) -> String {
    let GuardrailRule { category, detector, action, direction, min_risk, shadow_until, on_failure } = rule;
    let mut line = format!("{category}/{}: {}", detector.as_deref().unwrap_or_default(), action.as_str());
    if *direction != usual_direction(*category) {
        line = format!("{line}, {}", direction.as_str());
    }
    if *min_risk != GuardrailRisk::default() {
        line = format!("{line}, {}", min_risk.as_str());
    }
    if let Some(on_failure) = on_failure {
        line = format!("{line}, on failure {}", on_failure.as_str());
    }
    match shadow_until {
        Some(until) => format!("{line}, until {}", last_day(*until)),
        None => line,
    }
}

/// The rule that a line says, over `now`.
pub(super) fn read(line: &str, now: &GuardrailSettings) -> Result<Value, String> {
    let (what, how) = line.rsplit_once(':').ok_or(SHAPE)?;
    let (category, detector) = what.split_once('/').ok_or(SHAPE)?;
    let (category, detector) = (category.trim(), detector.trim());
    let category: GuardrailCategory = category.parse().map_err(|error| format!("the category {error}"))?;
    if detector.is_empty() {
        return Err(SHAPE.to_owned());
    }
    let (mut action, mut direction, mut min_risk, mut until) = (None, None, None, "");
    let mut on_failure = None;
    for word in how.split(',').map(str::trim) {
        let given = match word.split_once(char::is_whitespace) {
            Some(("until", day)) => std::mem::replace(&mut until, day.trim()).is_empty(),
            Some(("on", what)) => {
                let what = what.trim().strip_prefix("failure").ok_or(SHAPE)?.trim();
                take(&mut on_failure, what, FAILURES.map(|it| (it.as_str(), it))).ok_or(SHAPE)?
            }
            _ => take(&mut action, word, ACTIONS.map(|it| (it.as_str(), it)))
                .or_else(|| take(&mut direction, word, DIRECTIONS.map(|it| (it.as_str(), it))))
                .or_else(|| take(&mut min_risk, word, RISKS.map(|it| (it.as_str(), it))))
                .ok_or(SHAPE)?,
        };
        if !given {
            return Err(format!("conflicts at `{word}`"));
        }
    }
    let before =
        |rule: &&GuardrailRule| rule.category == category && rule.detector.as_deref() == Some(detector);
    let until = end_of_trial(until, now.rules.iter().find(before))?;
    Ok(json!({
        "category": category,
        "detector": detector,
        "action": action.ok_or(SHAPE)?,
        "direction": direction.unwrap_or(usual_direction(category)),
        "min_risk": min_risk.unwrap_or_default(),
        "shadow_until": until,
        "on_failure": on_failure,
    }))
}

/// Where a detector looks of which that is not said.
fn usual_direction(category: GuardrailCategory) -> GuardrailDirection {
    match category {
        GuardrailCategory::EXTERNAL => GuardrailDirection::Request,
        _ => GuardrailDirection::default(),
    }
}

/// Takes a word that is one of these; whether it is the first of them.
fn take<T: Copy, const N: usize>(place: &mut Option<T>, word: &str, known: [(&str, T); N]) -> Option<bool> {
    let (_, value) = known.into_iter().find(|(name, _)| *name == word)?;
    Some(place.replace(value).is_none())
}
