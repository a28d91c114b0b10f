//! What a change request asks of guardrails, as it can be tried before it is approved.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    GuardrailAction, GuardrailCategory, GuardrailDirection, GuardrailSettings, UnseenTexts, check_trials,
};
use crate::change::{Change, Configuration, Path};
use crate::content::{CustomCategory, refuse_unaffordable};
use crate::invalid::Invalid;
use crate::name::Name;
use crate::settings::AppSettings;

/// The guardrails that an app would have with a change request, as far as they can be tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// Without rules of external detectors.
    pub guardrails: GuardrailSettings,
    /// The app's own categories.
    pub custom_categories: Vec<CustomCategory>,
    /// What of the request is not tried, and why.
    pub untried: Vec<String>,
}

/// Why a change request cannot be tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untriable {
    /// Its other changes cannot be tried.
    #[error("this request does not change guardrails or custom categories, so there is nothing to try")]
    NoGuardrails,
    /// Nothing would be looked for.
    #[error("nothing of this request can be tried: {}", if .0.is_empty() { "it would look for nothing".to_owned() } else { .0.join("; ") })]
    Nothing(Vec<String>),
    /// Fields changed since it was submitted.
    #[error("{} changed since this request was submitted: approving it would make it stale", .0.join(", "))]
    Stale(Vec<String>),
    /// It could not be approved either.
    #[error("this request can no longer be applied: {0}")]
    Impossible(String),
}

/// The fields that a trial is about.
const FIELDS: [&str; 2] = ["guardrails", "custom_categories"];

impl Proposal {
    /// Whether a trial is about this field.
    #[must_use]
    pub fn is_about(path: &Path) -> bool {
        FIELDS.contains(&path.root())
    }

    /// What these changes would make of an app's guardrails.
    ///
    /// # Errors
    /// There is nothing to try, or the changes can no longer be made.
    pub fn new(
        name: &Name,
        settings: &AppSettings,
        changes: &[Change],
        now: Timestamp,
    ) -> Result<Self, Untriable> {
        let changes: Vec<_> = changes.iter().filter(|change| Self::is_about(&change.path)).cloned().collect();
        if changes.is_empty() {
            return Err(Untriable::NoGuardrails);
        }
        let current = Configuration::of(name, settings);
        let differ = changes.iter().filter(|change| change.differs(&current));
        let differ: Vec<_> = differ.map(|change| format!("`{}`", change.path)).collect();
        if !differ.is_empty() {
            return Err(Untriable::Stale(differ));
        }
        let Ok((_, wanted)) = current.with(&changes).into_parts() else {
            return Err(Untriable::Impossible("its values no longer fit the settings".to_owned()));
        };
        let impossible = |Invalid(errors): Invalid| {
            let causes: Vec<_> = errors.iter().map(ToString::to_string).collect();
            Untriable::Impossible(causes.join("; "))
        };
        let wanted = wanted.continuing(settings).validated().map_err(impossible)?;
        refuse_unaffordable(settings, &wanted).map_err(impossible)?;
        check_trials(&settings.guardrails, &wanted.guardrails, now).map_err(impossible)?;
        let untried = untried(settings, &wanted);
        let AppSettings { mut guardrails, custom_categories, .. } = wanted;
        guardrails.rules.retain(|rule| rule.category != GuardrailCategory::EXTERNAL);
        if guardrails.rules.is_empty() && custom_categories.is_empty() {
            return Err(Untriable::Nothing(untried));
        }
        Ok(Self { guardrails, custom_categories, untried })
    }
}

/// What a trial of `after` leaves out.
fn untried(before: &AppSettings, after: &AppSettings) -> Vec<String> {
    let mut untried = Vec::new();
    for rule in &after.guardrails.rules {
        let category = rule.category.as_str();
        let name =
            rule.detector.as_ref().map_or(category.to_owned(), |detector| format!("{category}/{detector}"));
        if rule.category == GuardrailCategory::EXTERNAL {
            untried.push(format!("`{name}` is not used during a trial"));
        } else if rule.shadow_until.is_some() {
            untried.push(format!("the rule for `{name}` is itself on trial and would do nothing"));
        }
    }
    if refuses_unseen(after) && !refuses_unseen(before) {
        untried.push("requests that `unseen_texts` would refuse are not counted".to_owned());
    }
    untried
}

/// Whether requests that refer to texts which the gateway does not see are refused.
fn refuses_unseen(settings: &AppSettings) -> bool {
    let changes_requests = settings.guardrails.rules.iter().any(|rule| {
        let acts = matches!(
            rule.action,
            GuardrailAction::Redact | GuardrailAction::Anonymize | GuardrailAction::Block
        );
        acts && rule.direction != GuardrailDirection::Response && rule.shadow_until.is_none()
    });
    changes_requests && settings.guardrails.unseen_texts == UnseenTexts::Refuse
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn settings(guardrails: Value, categories: Value) -> AppSettings {
        let settings = json!({ "guardrails": guardrails, "custom_categories": categories });
        serde_json::from_value(settings).unwrap()
    }

    fn tried(before: &AppSettings, after: &AppSettings, now: &AppSettings) -> Result<Proposal, Untriable> {
        let name = Name::stored("app".to_owned()).unwrap();
        let changes = Configuration::of(&name, before).changes(&Configuration::of(&name, after));
        Proposal::new(&name, now, &changes, "2026-01-01T00:00:00Z".parse().unwrap())
    }

    #[test]
    fn what_can_be_tried_is_the_whole_of_what_the_app_would_have() {
        let pii = json!({ "category": "pii", "action": "redact" });
        let pci = json!({ "category": "pci", "action": "block" });
        let own = json!([{ "name": "Own", "keywords": ["orion"] }]);
        let before = settings(json!({ "rules": [pii] }), json!([]));
        let after = settings(json!({ "rules": [pii, pci] }), own);
        let proposal = tried(&before, &after, &before).unwrap();
        assert_eq!((proposal.guardrails.rules.len(), proposal.custom_categories.len()), (2, 1));
        assert_eq!(proposal.untried, [""; 0]);
        let text = serde_json::to_string(&proposal).unwrap();
        assert_eq!(serde_json::from_str::<Proposal>(&text).unwrap(), proposal);
    }

    #[test]
    fn what_cannot_be_tried_is_named() {
        let none = AppSettings::default();
        let external = json!({ "category": "external", "detector": "model", "action": "redact",
            "direction": "request", "on_failure": "block" });
        let pii = json!({ "category": "pii", "action": "redact" });
        let trial = json!({ "category": "pci", "action": "block", "shadow_until": "2026-01-02T00:00:00Z" });
        let after = settings(json!({ "rules": [external, pii, trial] }), json!([]));
        let proposal = tried(&none, &after, &none).unwrap();
        assert!(proposal.guardrails.rules.iter().all(|rule| rule.category != GuardrailCategory::EXTERNAL));
        let told = proposal.untried.join("\n");
        for part in
            ["`external/model` is not used", "`pci` is itself on trial", "`unseen_texts` would refuse"]
        {
            assert!(told.contains(part), "{part}: {told}");
        }
        let after = settings(json!({ "rules": [external] }), json!([]));
        let refused = tried(&none, &after, &none).unwrap_err();
        assert!(refused.to_string().contains("external/model"), "{refused}");
    }

    #[test]
    fn what_has_nothing_to_try_or_could_not_be_approved_is_refused() {
        let none = AppSettings::default();
        let tags = AppSettings { tags: vec!["x".into()], ..AppSettings::default() };
        assert_eq!(tried(&none, &tags, &none), Err(Untriable::NoGuardrails));
        let pii = settings(json!({ "rules": [{ "category": "pii", "action": "redact" }] }), json!([]));
        assert_eq!(tried(&pii, &none, &pii), Err(Untriable::Nothing(vec![])));
        assert_eq!(tried(&none, &pii, &pii), Err(Untriable::Stale(vec!["`guardrails.rules`".into()])));
        let late = json!({ "category": "pii", "action": "redact", "shadow_until": "2025-01-02T00:00:00Z" });
        let late = settings(json!({ "rules": [late] }), json!([]));
        let refused = tried(&none, &late, &none).unwrap_err();
        assert!(matches!(&refused, Untriable::Impossible(why) if why.contains("in the past")), "{refused}");
    }
}
