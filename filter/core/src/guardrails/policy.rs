//! An app's guardrails: what is looked for, and which rule governs a match.

use std::sync::Arc;

use latchkey_guardrails::custom::CustomDefinition;
use latchkey_guardrails::{
    Category, CustomCategory, DETECTORS, DetectorId, Exceptions, Finding as Found, Precedence, Risk, Wanted,
};
use latchkey_proto::discovery as wire;

use super::placeholder::ValueKey;
use crate::snapshot::{InvalidResource, UnixMs, moment};

/// What is looked for, and what is done about it.
#[derive(Clone, Debug)]
pub struct Guardrails {
    pub(super) key: ValueKey,
    pub(super) unseen_texts: UnseenTexts,
    request: DirectedRules,
    response: DirectedRules,
    custom: Vec<CustomDetector>,
}

/// What is looked for in texts that go one way.
#[derive(Clone, Debug)]
struct DirectedRules {
    wanted: Wanted,
    /// In the order of [`DETECTORS`].
    built_in: Vec<Option<RuleAction>>,
    /// In the order of the app's custom categories.
    custom: Vec<Option<RuleAction>>,
}

/// What a rule does about a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RuleAction {
    action: Action,
    /// The rule is on trial until then, and afterwards it does nothing; none: it holds.
    trial_until: Option<UnixMs>,
}

/// What is done about a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    Monitor,
    /// Replaced by a placeholder, and restored in the answer.
    Anonymize,
    /// Replaced for good.
    Redact,
    Block,
}

/// Which way a text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Request,
    Response,
}

/// What becomes of requests that refer to texts which the gateway does not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnseenTexts {
    Refuse,
    Allow,
}

/// What a rule says about a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ruling {
    pub action: Action,
    /// The rule is on trial: it only notes what it would have done.
    pub is_trial: bool,
}

/// What found a match.
#[derive(Clone, Copy, Debug)]
pub(super) struct DetectorInfo<'a> {
    pub category: Category,
    /// Of a custom category its name.
    pub name: &'a str,
    pub risk: Risk,
    /// The word of its placeholders.
    pub placeholder: &'a str,
}

#[derive(Clone, Debug)]
struct CustomDetector {
    name: String,
    placeholder: String,
}

/// A rule, as it comes.
struct Rule {
    target: RuleTarget,
    /// None: the match is let pass.
    action: Option<Action>,
    in_request: bool,
    in_response: bool,
    min_risk: Risk,
    trial_until: Option<UnixMs>,
}

/// What a rule is about, by itself or by its category.
enum RuleTarget {
    Category(Category),
    Detector(DetectorId),
    /// Every custom category.
    Custom,
    /// The custom category of this position.
    OneCustom(usize),
}

/// The longest word of a custom category's placeholders.
const LONGEST_WORD: usize = 24;

impl Guardrails {
    /// What is looked for in texts that go this way.
    pub(super) fn wanted(&self, direction: Direction) -> &Wanted {
        &self.rules(direction).wanted
    }

    /// Whether anything is looked for in texts that go this way.
    pub(super) fn looks(&self, direction: Direction) -> bool {
        !self.rules(direction).wanted.is_empty()
    }

    /// Whether a rule may change or refuse what goes this way.
    pub(super) fn intervenes(&self, direction: Direction) -> bool {
        let DirectedRules { built_in, custom, .. } = self.rules(direction);
        built_in.iter().chain(custom).flatten().any(|rule| rule.action > Action::Monitor)
    }

    /// What is done about a match; none where nothing is.
    pub(super) fn ruling(&self, found: Found, direction: Direction, now: UnixMs) -> Option<Ruling> {
        let DirectedRules { built_in, custom, .. } = self.rules(direction);
        let rule = match found {
            Found::Detector(detector) => built_in.get(detector as usize),
            Found::Custom(position) => custom.get(usize::from(position)),
        };
        let RuleAction { action, trial_until } = rule.copied().flatten()?;
        let is_over = trial_until.is_some_and(|until| now >= until);
        (!is_over).then_some(Ruling { action, is_trial: trial_until.is_some() })
    }

    pub(super) fn detector(&self, found: Found) -> DetectorInfo<'_> {
        match found {
            Found::Detector(detector) => {
                let detector = detector.detector();
                DetectorInfo {
                    category: detector.category,
                    name: detector.name,
                    risk: detector.risk,
                    placeholder: detector.placeholder,
                }
            }
            Found::Custom(position) => {
                let custom = self.custom.get(usize::from(position));
                DetectorInfo {
                    category: Category::Custom(position),
                    name: custom.map_or("", |custom| &custom.name),
                    risk: Risk::High,
                    placeholder: custom.map_or("CUSTOM", |custom| &custom.placeholder),
                }
            }
        }
    }

    fn rules(&self, direction: Direction) -> &DirectedRules {
        match direction {
            Direction::Request => &self.request,
            Direction::Response => &self.response,
        }
    }
}

impl DirectedRules {
    /// A detector is governed by its own rule, or else by its category's.
    fn new(
        direction: Direction,
        rules: &[Rule],
        custom: &[Arc<CustomCategory>],
        exceptions: &Exceptions,
    ) -> Self {
        let mut wanted = Wanted::default().except(exceptions.clone());
        let mut built_in = Vec::with_capacity(DETECTORS.len());
        for detector in DETECTORS {
            let own = rules
                .iter()
                .find(|rule| matches!(rule.target, RuleTarget::Detector(id) if id == detector.id));
            let of_category = || {
                rules
                    .iter()
                    .find(|rule| matches!(rule.target, RuleTarget::Category(it) if it == detector.category))
            };
            let rule = own.or_else(of_category).filter(|rule| rule.min_risk <= detector.risk);
            let action = rule.and_then(|rule| rule.action_in(direction));
            wanted.set(detector.id, action.map_or(0, RuleAction::precedence));
            built_in.push(action);
        }
        let custom = custom.iter().enumerate().map(|(position, category)| {
            let own =
                rules.iter().find(|rule| matches!(rule.target, RuleTarget::OneCustom(it) if it == position));
            let of_all = || rules.iter().find(|rule| matches!(rule.target, RuleTarget::Custom));
            // What an app looks for by itself is noted, unless a rule says otherwise.
            let noted = RuleAction { action: Action::Monitor, trial_until: None };
            let action = own.or_else(of_all).map_or(Some(noted), |rule| rule.action_in(direction));
            wanted.add_custom(Arc::clone(category), action.map_or(0, RuleAction::precedence));
            action
        });
        let custom = custom.collect();
        Self { wanted, built_in, custom }
    }
}

impl Rule {
    fn action_in(&self, direction: Direction) -> Option<RuleAction> {
        let applies = match direction {
            Direction::Request => self.in_request,
            Direction::Response => self.in_response,
        };
        self.action.filter(|_| applies).map(|action| RuleAction { action, trial_until: self.trial_until })
    }
}

impl RuleAction {
    /// What must not pass is never hidden by what is only noted.
    fn precedence(self) -> Precedence {
        match (self.action, self.trial_until) {
            (Action::Monitor, _) | (_, Some(_)) => 1,
            (Action::Anonymize, None) => 2,
            (Action::Redact, None) => 3,
            (Action::Block, None) => 4,
        }
    }
}

impl TryFrom<wire::Guardrails> for Guardrails {
    type Error = InvalidResource;

    fn try_from(guardrails: wire::Guardrails) -> Result<Self, InvalidResource> {
        let wire::Guardrails { rules, key, custom_categories, exceptions, exception_patterns, unseen_texts } =
            guardrails;
        let length = key.len();
        let key = key.try_into().map_err(|_| InvalidResource::Length {
            field: "guardrails.key",
            expected: 32,
            actual: length,
        })?;
        let refused = |error: &dyn std::fmt::Display| InvalidResource::Guardrails(error.to_string());
        let exceptions =
            Exceptions::compile(&exceptions, &exception_patterns).map_err(|error| refused(&error))?;
        let (mut custom, mut compiled) = (Vec::new(), Vec::new());
        for wire::CustomCategory { name, keywords, patterns } in custom_categories {
            let category = CustomCategory::compile(&CustomDefinition {
                keywords,
                patterns,
                ..CustomDefinition::default()
            })
            .map_err(|error| refused(&error))?;
            compiled.push(Arc::new(category));
            custom.push(CustomDetector { placeholder: word(&name), name });
        }
        let rules: Vec<_> = rules.into_iter().map(|it| rule(it, &custom)).collect::<Result<_, _>>()?;
        Ok(Self {
            key: ValueKey(key),
            unseen_texts: match wire::UnseenTexts::try_from(unseen_texts) {
                Ok(wire::UnseenTexts::Allow) => UnseenTexts::Allow,
                Ok(wire::UnseenTexts::Refuse) | Err(_) => UnseenTexts::Refuse,
            },
            request: DirectedRules::new(Direction::Request, &rules, &compiled, &exceptions),
            response: DirectedRules::new(Direction::Response, &rules, &compiled, &exceptions),
            custom,
        })
    }
}

fn rule(rule: wire::GuardrailRule, custom: &[CustomDetector]) -> Result<Rule, InvalidResource> {
    let (action, direction, risk) = (rule.action(), rule.direction(), rule.min_risk());
    let wire::GuardrailRule { category, detector, shadow_until_ms, .. } = rule;
    let unknown = || InvalidResource::Guardrails(format!("`{category}` has no detector `{detector}`"));
    let target = match (&*category, &*detector) {
        ("custom", "") => RuleTarget::Custom,
        ("custom", name) => {
            RuleTarget::OneCustom(custom.iter().position(|it| it.name == name).ok_or_else(unknown)?)
        }
        (_, "") => RuleTarget::Category(Category::parse(&category).ok_or_else(unknown)?),
        (_, name) => {
            let detector = DetectorId::parse(name).filter(|it| it.detector().category.name() == category);
            RuleTarget::Detector(detector.ok_or_else(unknown)?)
        }
    };
    let (in_request, in_response) = match direction {
        wire::GuardrailDirection::Request => (true, false),
        wire::GuardrailDirection::Response => (false, true),
        wire::GuardrailDirection::Both => (true, true),
        wire::GuardrailDirection::Unspecified => {
            return Err(InvalidResource::Unset("guardrails.rules.direction"));
        }
    };
    Ok(Rule {
        target,
        action: match action {
            wire::GuardrailAction::Monitor => Some(Action::Monitor),
            wire::GuardrailAction::Redact => Some(Action::Redact),
            wire::GuardrailAction::Anonymize => Some(Action::Anonymize),
            wire::GuardrailAction::Block => Some(Action::Block),
            wire::GuardrailAction::Allow => None,
            wire::GuardrailAction::Unspecified => {
                return Err(InvalidResource::Unset("guardrails.rules.action"));
            }
        },
        in_request,
        in_response,
        min_risk: match risk {
            wire::GuardrailRisk::Low => Risk::Low,
            wire::GuardrailRisk::High => Risk::High,
            wire::GuardrailRisk::Unspecified => {
                return Err(InvalidResource::Unset("guardrails.rules.min_risk"));
            }
        },
        trial_until: moment(shadow_until_ms, "guardrails.rules.shadow_until_ms")?,
    })
}

/// The word of a custom category's placeholders: `ORDER_NO` for `Order no.`.
fn word(name: &str) -> String {
    let letters =
        name.chars().map(|char| if char.is_ascii_alphanumeric() { char.to_ascii_uppercase() } else { '_' });
    let word: String = letters.take(LONGEST_WORD).collect();
    let word = word.trim_matches('_');
    if word.is_empty() { "CUSTOM".to_owned() } else { word.to_owned() }
}
