//! Which settings of guardrails are refused.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use latchkey_guardrails::Exceptions;

use super::{
    GuardrailAction, GuardrailCategory, GuardrailDirection, GuardrailRule, GuardrailSettings, OnFailure,
    UnseenTexts, usable_pattern,
};
use crate::content::CustomCategory;
use crate::hidden;
use crate::invalid::Invalid;
use crate::settings::AppSettings;

const MOST_RULES: usize = 200;
/// External detectors that judge one request.
const MOST_EXTERNAL: usize = 4;
const MOST_EXCEPTIONS: usize = 500;
const MOST_PATTERNS: usize = 50;
const LONGEST_EXCEPTION: usize = 500;
/// In characters.
const LONGEST_PATTERN: usize = 500;
/// How long a rule may be on trial.
const LONGEST_TRIAL: SignedDuration = SignedDuration::from_hours(90 * 24);

impl GuardrailSettings {
    /// Notes what is wrong with the settings at `path` of an app with these categories of its own.
    pub(crate) fn check(&self, path: &str, own: &[CustomCategory], invalid: &mut Invalid) {
        invalid.check(&format!("{path}.rules"), at_most(self.rules.len(), MOST_RULES));
        let external = self.rules.iter().filter(|rule| rule.category == GuardrailCategory::EXTERNAL).count();
        if external > MOST_EXTERNAL {
            let message = format!("name {external} external detectors; the maximum is {MOST_EXTERNAL}");
            invalid.check::<(), _>(&format!("{path}.rules"), Err(message));
        }
        let mut governed = BTreeSet::new();
        for (i, rule) in self.rules.iter().enumerate().take(MOST_RULES) {
            let path = format!("{path}.rules[{i}]");
            rule.check(&path, own, invalid);
            invalid.check(&format!("{path}.action"), self.fits_learned(rule, own));
            if !governed.insert((rule.category.as_str(), rule.detector.as_deref())) {
                let message = "is already covered by another rule: keep only one of them";
                let field = if rule.detector.is_some() { "detector" } else { "category" };
                invalid.check::<(), _>(&format!("{path}.{field}"), Err(message));
            }
        }
        let list = format!("{path}.exceptions");
        invalid.check(&list, at_most(self.exceptions.len(), MOST_EXCEPTIONS));
        for (i, value) in self.exceptions.iter().enumerate().take(MOST_EXCEPTIONS) {
            invalid.check(&format!("{list}[{i}]"), plain_exception(value));
        }
        let list = format!("{path}.exception_patterns");
        invalid.check(&list, at_most(self.exception_patterns.len(), MOST_PATTERNS));
        for (i, pattern) in self.exception_patterns.iter().enumerate().take(MOST_PATTERNS) {
            invalid.check(&format!("{list}[{i}]"), plain_pattern(pattern));
        }
    }
}

impl GuardrailSettings {
    /// Refuses a rule that takes out or blocks what was learned from examples, where that was measured and is not good
    /// enough, or that would have sentences put back.
    fn fits_learned(&self, rule: &GuardrailRule, own: &[CustomCategory]) -> Result<(), String> {
        let changes = rule.action.interferes() && rule.category == GuardrailCategory::CUSTOM;
        let has_own_rule = |name: &String| {
            let of_name = |other: &&GuardrailRule| {
                other.category == GuardrailCategory::CUSTOM && other.detector.as_ref() == Some(name)
            };
            self.rules.iter().find(of_name).is_some_and(|other| other.shadow_until.is_none())
        };
        let governed = own.iter().filter(|category| match &rule.detector {
            Some(detector) => category.name == *detector,
            None => !has_own_rule(&category.name),
        });
        for CustomCategory { name, learned, .. } in governed.filter(|_| changes) {
            let Some(learned) = learned else { continue };
            if rule.action == GuardrailAction::Anonymize {
                return Err(format!(
                    "`{name}` is learned from examples and finds whole sentences, which cannot be restored: \
                     use redact or block"
                ));
            }
            if rule.shadow_until.is_none() {
                learned.good_enough(name)?;
            }
        }
        Ok(())
    }
}

impl GuardrailRule {
    /// Whether a request may be changed or refused by it.
    fn may_change_requests(&self) -> bool {
        let must_look = self.on_failure == Some(OnFailure::Block) && self.shadow_until.is_none();
        (self.action.interferes() || must_look) && self.direction != GuardrailDirection::Response
    }

    fn check(&self, path: &str, own: &[CustomCategory], invalid: &mut Invalid) {
        self.check_external(path, invalid);
        if self.category == GuardrailCategory::CUSTOM && own.is_empty() {
            let message = "the app has no custom categories: add one first, or remove this rule";
            invalid.check::<(), _>(&format!("{path}.category"), Err(message));
        } else if let Some(detector) = &self.detector {
            invalid.check(&format!("{path}.detector"), self.category.refuse_unknown(detector, own));
        }
        let action = match self.action {
            GuardrailAction::Anonymize if !self.category.is_restored() => {
                Err("secrets are never restored: use redact")
            }
            GuardrailAction::Allow if self.category == GuardrailCategory::EXTERNAL => {
                Err("has no effect: there is no rule for all of `external`. Remove this rule")
            }
            GuardrailAction::Allow if self.detector.is_none() => {
                Err("`allow` must name a `detector`: add one, or remove the rule")
            }
            _ => Ok(()),
        };
        invalid.check(&format!("{path}.action"), action);
        if self.shadow_until.is_some() && !self.action.interferes() {
            let message = "has no effect with this action: leave it out";
            invalid.check::<(), _>(&format!("{path}.shadow_until"), Err(message));
        }
    }
}

impl GuardrailRule {
    /// Notes what is wrong with a rule of an external detector, and what another one says that only those may.
    fn check_external(&self, path: &str, invalid: &mut Invalid) {
        let mut refuse = |field: &str, message: &str| {
            invalid.check::<(), _>(&format!("{path}.{field}"), Err(message));
        };
        if self.category != GuardrailCategory::EXTERNAL {
            if self.on_failure.is_some() {
                refuse("on_failure", "applies only to rules of the category `external`: leave it out");
            }
            return;
        }
        if self.detector.as_deref().unwrap_or_default().is_empty() {
            refuse("detector", "name the external detector to use");
        }
        if self.direction != GuardrailDirection::Request {
            refuse("direction", "external detectors only check requests: use `request`");
        }
        if self.on_failure.is_none() {
            refuse(
                "on_failure",
                "set what happens to requests if the detector fails: `block` refuses them, `pass` lets them \
                 through",
            );
        }
    }
}

/// Refuses trials of `after` that are new since `before`, and over already or too long.
///
/// # Errors
/// Each of them.
pub fn check_trials(
    before: &GuardrailSettings,
    after: &GuardrailSettings,
    now: Timestamp,
) -> Result<(), Invalid> {
    let mut invalid = Invalid::default();
    let latest = now.saturating_add(LONGEST_TRIAL).unwrap_or(Timestamp::MAX);
    for (i, rule) in after.rules.iter().enumerate().filter(|(_, rule)| !before.rules.contains(rule)) {
        let message = match rule.shadow_until {
            Some(until) if until <= now => {
                "is in the past: choose a later time, or leave it out to apply the rule"
            }
            Some(until) if until > latest => "is too far ahead: a trial lasts at most 90 days",
            _ => continue,
        };
        invalid.check::<(), _>(&format!("guardrails.rules[{i}].shadow_until"), Err(message));
    }
    invalid.into_result()
}

/// Notes what is new in `after` and would have no effect, and patterns that the gateway's engine refuses. What
/// was there may stay.
pub fn refuse_without_effect(before: &AppSettings, after: &AppSettings, invalid: &mut Invalid) {
    let (old, new) = (&before.guardrails, &after.guardrails);
    if new.rules.is_empty() && after.custom_categories.is_empty() {
        let lists = [
            ("exceptions", &old.exceptions, &new.exceptions),
            ("exception_patterns", &old.exception_patterns, &new.exception_patterns),
        ];
        for (field, old, new) in lists {
            if !new.is_empty() && new != old {
                let message = "have no effect without rules: add a rule or a custom category";
                invalid.check::<(), _>(&format!("guardrails.{field}"), Err(message));
            }
        }
    }
    let is_new = new.unseen_texts == UnseenTexts::Allow && new.unseen_texts != old.unseen_texts;
    if is_new && !new.rules.iter().any(GuardrailRule::may_change_requests) {
        let message = "has no effect unless a rule for requests blocks, redacts, or anonymizes: add one, or leave it \
             out";
        invalid.check::<(), _>("guardrails.unseen_texts", Err(message));
    }
    for (i, rule) in new.rules.iter().enumerate() {
        let is_governed = rule.category == GuardrailCategory::CUSTOM || new.rule_of(rule.category).is_some();
        if rule.action == GuardrailAction::Allow && !is_governed && !old.rules.contains(rule) {
            let message = format!(
                "has no effect without a rule for all of `{}`: add that, or remove this one",
                rule.category.as_str()
            );
            invalid.check::<(), _>(&format!("guardrails.rules[{i}].action"), Err(message));
        }
    }
    for (i, rule) in new.rules.iter().enumerate().filter(|(_, rule)| !old.rules.contains(rule)) {
        if rule.category.finds_nothing_of(rule.detector.as_deref(), rule.min_risk) {
            let message =
                "would find nothing, because this detector only finds low risk: use low, or remove the rule";
            invalid.check::<(), _>(&format!("guardrails.rules[{i}].min_risk"), Err(message));
        }
    }
    for (i, pattern) in new.exception_patterns.iter().enumerate().take(MOST_PATTERNS) {
        if !old.exception_patterns.contains(pattern) && plain_pattern(pattern).is_ok() {
            let path = format!("guardrails.exception_patterns[{i}]");
            invalid.check(&path, usable_pattern(pattern));
        }
    }
    if new.exception_patterns.len() <= MOST_PATTERNS {
        note_slow_exceptions(before, after, invalid);
    }
}

/// Notes exceptions that together are too slow, where one is new. Those that cannot be used at all are refused by
/// themselves, and gateways do not get them.
pub(crate) fn note_slow_exceptions(before: &AppSettings, after: &AppSettings, invalid: &mut Invalid) {
    let (old, new) = (&before.guardrails.exception_patterns, &after.guardrails.exception_patterns);
    if new.iter().any(|pattern| !old.contains(pattern)) {
        let usable: Vec<_> = new.iter().filter(|pattern| usable_pattern(pattern).is_ok()).cloned().collect();
        invalid.check("guardrails.exception_patterns", Exceptions::check(&usable));
    }
}

fn plain_exception(value: &str) -> Result<(), String> {
    plain(value, LONGEST_EXCEPTION)
}

/// One line as it is typed: forms have one in each.
fn plain(value: &str, longest: usize) -> Result<(), String> {
    if let Some(hidden) = hidden::find(value) {
        return Err(format!("must not contain the invisible character {hidden}"));
    }
    let fits = (1..=longest).contains(&value.chars().count()) && value.trim() == value;
    if fits && !value.chars().any(char::is_control) {
        return Ok(());
    }
    Err(format!(
        "must be 1 to {longest} characters, without control characters or leading and trailing spaces"
    ))
}

fn plain_pattern(pattern: &str) -> Result<(), String> {
    plain(pattern, LONGEST_PATTERN)
}

fn at_most(count: usize, most: usize) -> Result<(), String> {
    if count > most { Err(format!("has {count} entries; the maximum is {most}")) } else { Ok(()) }
}
