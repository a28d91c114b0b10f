//! An app's guardrails: what is looked for in requests and answers, and what is done about it.

mod category;
mod check;
mod learning;
mod proposal;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(crate) use category::affordable;
pub use category::{GuardrailCategory, usable_keyword, usable_pattern};
pub(crate) use check::note_slow_exceptions;
pub use check::{check_trials, refuse_without_effect};
/// What the values of an app's lists are hashed with.
pub use latchkey_guardrails::custom::exact::ExactKey as ListKey;
pub use learning::LearnedCategory;
pub(crate) use learning::{FEWEST_EXAMPLES, is_readable};
pub use proposal::{Proposal, Untriable};

/// What an app's guardrails look for, and what they do about it. The app's own categories stand beside it,
/// as `custom_categories`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GuardrailSettings {
    /// At most one for each category and detector; at most 200.
    pub rules: Vec<GuardrailRule>,
    /// Values that are no findings, in any case: at most 500.
    pub exceptions: Vec<String>,
    /// Regular expressions of values that are no findings: at most 50. Each matches a value as a whole.
    pub exception_patterns: Vec<String>,
    /// What becomes of a request that has the provider read texts that the gateway does not see
    /// (`previous_response_id`, `conversation`, a stored prompt), where a rule blocks, redacts or anonymizes.
    pub unseen_texts: UnseenTexts,
}

/// What is done about one category of content, or about one detector of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GuardrailRule {
    /// What is looked for.
    pub category: GuardrailCategory,
    /// One detector of the category, which this rule then governs in the place of the category's; of `custom`
    /// the name of one of the app's own; of `external` the name of an external detector. Absent: all of them, but
    /// for `external`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detector: Option<String>,
    /// What is done.
    #[serde(default)]
    pub action: GuardrailAction,
    /// Where it is looked for.
    #[serde(default)]
    pub direction: GuardrailDirection,
    /// From which risk on.
    #[serde(default)]
    pub min_risk: GuardrailRisk,
    /// The rule is on trial until then: it only notes what it would have done, and afterwards it does nothing.
    /// At most 90 days ahead. Absent: the rule holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub shadow_until: Option<Timestamp>,
    /// What becomes of a request where the external detector has not looked at all text. Of a rule of `external`, and
    /// there required; a rule on trial refuses nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
}

/// What becomes of a request where an external detector has not looked at all text: it did not answer in time, or
/// wrongly, or there was more text than it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It is refused.
    Block,
    /// It passes, and is counted as not looked at.
    Pass,
}

/// What is done about a finding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GuardrailAction {
    /// Note it, and change nothing.
    #[default]
    Monitor,
    /// Replace it for good.
    Redact,
    /// Replace it by a placeholder, which is restored in the answer.
    Anonymize,
    /// Refuse the request, or end the answer.
    Block,
    /// Look away: for a detector whose category has another rule.
    Allow,
}

/// Where a rule looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GuardrailDirection {
    /// In what is sent to the provider.
    Request,
    /// In what comes back.
    Response,
    /// In both.
    #[default]
    Both,
}

/// How bad it is if a finding passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GuardrailRisk {
    /// And everything above.
    #[default]
    Low,
    /// Only what is of high risk.
    High,
}

/// What becomes of requests whose texts the gateway does not see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnseenTexts {
    /// They are refused.
    #[default]
    Refuse,
    /// They pass, and are counted as not looked at.
    Allow,
}

impl GuardrailSettings {
    /// Whether there are values or patterns that are no findings.
    #[must_use]
    pub fn has_exceptions(&self) -> bool {
        !self.exceptions.is_empty() || !self.exception_patterns.is_empty()
    }

    /// The rule for a whole category.
    #[must_use]
    pub fn rule_of(&self, category: GuardrailCategory) -> Option<&GuardrailRule> {
        self.rules.iter().find(|rule| rule.category == category && rule.detector.is_none())
    }
}

impl GuardrailSettings {
    /// Puts the rules into their order: by category, and first that for all of it.
    pub(crate) fn sort(&mut self) {
        self.rules.sort_by(|a, b| (a.category, &a.detector).cmp(&(b.category, &b.detector)));
    }
}

impl GuardrailRule {
    /// What holds for a category that is looked for without more being said.
    #[must_use]
    pub fn monitor(category: GuardrailCategory) -> Self {
        let (action, direction) = (GuardrailAction::default(), GuardrailDirection::default());
        let min_risk = GuardrailRisk::default();
        Self { category, detector: None, action, direction, min_risk, shadow_until: None, on_failure: None }
    }
}

impl GuardrailAction {
    /// Whether a request may be changed or refused for it.
    #[must_use]
    pub fn interferes(self) -> bool {
        matches!(self, Self::Redact | Self::Anonymize | Self::Block)
    }
}

macro_rules! words {
    ($($type:ident { $($word:literal $variant:ident),* })*) => {$(
        impl $type {
            /// The word for it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }
    )*};
}

words! {
    GuardrailAction { "monitor" Monitor, "redact" Redact, "anonymize" Anonymize, "block" Block, "allow" Allow }
    GuardrailDirection { "request" Request, "response" Response, "both" Both }
    GuardrailRisk { "low" Low, "high" High }
 OnFailure { "block" Block, "pass" Pass }
    UnseenTexts { "refuse" Refuse, "allow" Allow }
}
