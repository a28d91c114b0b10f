//! An app's guardrails: what is looked for, and which rule governs a match.

use std::sync::Arc;

use latchkey_guardrails::custom::exact::ExactHash;
use latchkey_guardrails::custom::learned::{FORMAT, Model};
use latchkey_guardrails::custom::{CustomDefinition, Refused};
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
    /// At most [`MOST_EXTERNAL_RULES`]; for requests.
    pub(super) external: Vec<ExternalRule>,
    exceptions: Exceptions,
}

/// What is looked for in texts that go one way.
#[derive(Clone, Debug)]
struct DirectedRules {
    wanted: Wanted,
    /// The same in earlier turns, where what blocks is redacted: it must not win over a longer text that is. None
    /// where nothing blocks.
    wanted_earlier: Option<Wanted>,
    /// In the order of [`DETECTORS`].
    built_in: Vec<DetectorRules>,
    /// In the order of the app's custom categories.
    custom: Vec<DetectorRules>,
}

/// The rules that govern a detector. One on trial leaves the other in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct DetectorRules {
    /// None: nothing is done.
    in_force: Option<Action>,
    /// What a rule on trial would do, and until when it notes that.
    trial: Option<(Action, UnixMs)>,
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

/// What the rules say about a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ruling {
    /// None: nothing is done.
    pub in_force: Option<Action>,
    /// What a rule on trial would do, beside what is done.
    pub on_trial: Option<Action>,
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

/// A rule about what one external detector finds in requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExternalRule {
    /// In the catalogue; it may be missing there.
    pub detector: String,
    /// The word of its placeholders where it names no label.
    pub placeholder: String,
    pub min_risk: Risk,
    pub on_failure: OnFailure,
    rules: DetectorRules,
}

/// What becomes of a request where an external detector has not looked at all of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnFailure {
    Block,
    Pass,
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

/// What a rule is about.
#[derive(Clone, Copy, PartialEq, Eq)]
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

/// The category of what external detectors find.
const EXTERNAL: &str = "external";

/// How many external detectors one request may be judged by.
const MOST_EXTERNAL_RULES: usize = 4;

impl Guardrails {
    /// What is looked for in texts that go this way.
    pub(super) fn wanted(&self, direction: Direction) -> &Wanted {
        &self.rules(direction).wanted
    }

    /// What is looked for in a request's earlier turns.
    pub(super) fn wanted_earlier(&self) -> &Wanted {
        let DirectedRules { wanted, wanted_earlier, .. } = self.rules(Direction::Request);
        wanted_earlier.as_ref().unwrap_or(wanted)
    }

    /// Whether anything is looked for in texts that go this way.
    pub(super) fn looks(&self, direction: Direction) -> bool {
        !self.rules(direction).wanted.is_empty()
    }

    /// Whether a rule may change or refuse what goes this way.
    pub(super) fn intervenes(&self, direction: Direction) -> bool {
        let DirectedRules { built_in, custom, .. } = self.rules(direction);
        let changes = |action: Action| action > Action::Monitor;
        let external = self.external.iter().filter(|_| direction == Direction::Request);
        built_in.iter().chain(custom).any(|rules| rules.in_force.is_some_and(changes))
            || external.filter_map(|rule| rule.in_force()).any(changes)
            || direction == Direction::Request && self.external.iter().any(ExternalRule::must_look)
    }

    /// What is done about a match.
    pub(super) fn ruling(&self, found: Found, direction: Direction, now: UnixMs) -> Ruling {
        let DirectedRules { built_in, custom, .. } = self.rules(direction);
        let rules = match found {
            Found::Detector(detector) => built_in.get(detector as usize),
            Found::Custom(position) => custom.get(usize::from(position)),
        };
        let DetectorRules { in_force, trial } = rules.copied().unwrap_or_default();
        let on_trial = trial.filter(|(_, until)| now < *until).map(|(action, _)| action);
        Ruling { in_force, on_trial }
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

    /// Whether a value is no finding, whatever has found it.
    pub(super) fn excepts(&self, value: &str) -> bool {
        self.exceptions.cover_text(value)
    }

    fn rules(&self, direction: Direction) -> &DirectedRules {
        match direction {
            Direction::Request => &self.request,
            Direction::Response => &self.response,
        }
    }
}

impl ExternalRule {
    fn in_force(&self) -> Option<Action> {
        self.rules.in_force
    }

    /// Whether the detector is asked at all.
    pub(super) fn is_asked(&self, now: UnixMs) -> bool {
        self.ruling(Risk::High, now) != Ruling { in_force: None, on_trial: None }
    }

    /// Whether no text may pass at which it has not looked. A rule on trial refuses nothing.
    pub(super) fn must_look(&self) -> bool {
        self.on_failure == OnFailure::Block && self.in_force().is_some()
    }

    /// Whether it only notes what is new. What else it does concerns earlier turns, too.
    pub(super) fn only_notes(&self) -> bool {
        self.in_force().is_none_or(|action| action == Action::Monitor)
    }

    /// What is done about a finding.
    pub(super) fn ruling(&self, risk: Risk, now: UnixMs) -> Ruling {
        let DetectorRules { in_force, trial } = self.rules;
        let on_trial = trial.filter(|(_, until)| now < *until).map(|(action, _)| action);
        match risk >= self.min_risk {
            true => Ruling { in_force, on_trial },
            false => Ruling { in_force: None, on_trial: None },
        }
    }
}

impl DirectedRules {
    fn new(
        direction: Direction,
        rules: &[Rule],
        custom: &[Arc<CustomCategory>],
        exceptions: &Exceptions,
    ) -> Self {
        let find = |target: RuleTarget| rules.iter().find(|rule| rule.target == target);
        let mut wanted = Wanted::default().except(exceptions.clone());
        let mut built_in = Vec::with_capacity(DETECTORS.len());
        for detector in DETECTORS {
            let own = find(RuleTarget::Detector(detector.id));
            let of_category = find(RuleTarget::Category(detector.category));
            let rules = DetectorRules::new(own, of_category, direction, detector.risk);
            wanted.set(detector.id, rules.precedence());
            built_in.push(rules);
        }
        let of_all = find(RuleTarget::Custom);
        let custom = custom.iter().enumerate().map(|(position, category)| {
            let own = find(RuleTarget::OneCustom(position));
            let mut rules = DetectorRules::new(own, of_all, direction, Risk::High);
            if [own, of_all].into_iter().flatten().all(Rule::is_on_trial) {
                // What an app looks for by itself is noted, unless a rule says otherwise.
                rules.in_force = Some(Action::Monitor);
            }
            wanted.add_custom(Arc::clone(category), rules.precedence());
            rules
        });
        let custom: Vec<DetectorRules> = custom.collect();
        let blocks = |rules: &DetectorRules| rules.in_force == Some(Action::Block);
        let wanted_earlier =
            built_in.iter().chain(&custom).any(blocks).then(|| wanted.clone().at_most(REDACTED));
        Self { wanted, wanted_earlier, built_in, custom }
    }
}

/// The precedence of what is redacted.
const REDACTED: Precedence = 3;

impl DetectorRules {
    /// A detector's own rule governs it in the place of its category's, also where it does not apply. While it is
    /// on trial, and afterward, its category's does.
    fn new(own: Option<&Rule>, of_category: Option<&Rule>, direction: Direction, risk: Risk) -> Self {
        let governing = |rule: &&Rule| !rule.is_on_trial();
        let in_force = own.filter(governing).or(of_category.filter(governing));
        let trial = own.or(of_category);
        Self {
            in_force: in_force.and_then(|rule| rule.action_in(direction, risk)),
            trial: trial.and_then(|rule| rule.action_in(direction, risk).zip(rule.trial_until)),
        }
    }

    /// What must not pass is never hidden by what is only noted.
    fn precedence(self) -> Precedence {
        match (self.in_force, self.trial) {
            (None, None) => 0,
            (Some(Action::Monitor), _) | (None, Some(_)) => 1,
            (Some(Action::Anonymize), _) => 2,
            (Some(Action::Redact), _) => REDACTED,
            (Some(Action::Block), _) => 4,
        }
    }
}

impl Rule {
    fn is_on_trial(&self) -> bool {
        self.trial_until.is_some()
    }

    fn action_in(&self, direction: Direction, risk: Risk) -> Option<Action> {
        let applies = match direction {
            Direction::Request => self.in_request,
            Direction::Response => self.in_response,
        };
        self.action.filter(|_| applies && self.min_risk <= risk)
    }
}

impl TryFrom<wire::Guardrails> for Guardrails {
    type Error = InvalidResource;

    fn try_from(guardrails: wire::Guardrails) -> Result<Self, InvalidResource> {
        let wire::Guardrails { rules, key, custom_categories, exceptions, exception_patterns, unseen_texts } =
            guardrails;
        let length = key.len();
        let key: [u8; 32] = key.try_into().map_err(|_| InvalidResource::Length {
            field: "guardrails.key",
            expected: 32,
            actual: length,
        })?;
        let refused = |error: &dyn std::fmt::Display| InvalidResource::Guardrails(error.to_string());
        let exceptions =
            Exceptions::compile(&exceptions, &exception_patterns).map_err(|error| refused(&error))?;
        let (mut custom, mut compiled) = (Vec::new(), Vec::new());
        for wire::CustomCategory { name, keywords, patterns, values, learned } in custom_categories {
            let (hashes, rest) = values.as_chunks::<{ ExactHash::SIZE }>();
            if !rest.is_empty() {
                return Err(InvalidResource::Guardrails("a list of values is cut".to_owned()));
            }
            let category = CustomCategory::compile(&CustomDefinition {
                keywords,
                patterns,
                exact: hashes.iter().map(|hash| ExactHash::from_bytes(*hash)).collect(),
                exact_key: key.to_vec(),
                learned: learned.map(model).transpose().map_err(|error| refused(&error))?,
            })
            .map_err(|error| refused(&error))?;
            compiled.push(Arc::new(category));
            custom.push(CustomDetector { placeholder: word(&name), name });
        }
        let (external, rules): (Vec<_>, Vec<_>) =
            rules.into_iter().partition(|rule| rule.category == EXTERNAL);
        let rules: Vec<_> = rules.into_iter().map(|it| rule(it, &custom)).collect::<Result<_, _>>()?;
        if external.len() > MOST_EXTERNAL_RULES {
            return Err(refused(&format!("more than {MOST_EXTERNAL_RULES} rules of `{EXTERNAL}`")));
        }
        Ok(Self {
            key: ValueKey::new(key),
            unseen_texts: match wire::UnseenTexts::try_from(unseen_texts) {
                Ok(wire::UnseenTexts::Allow) => UnseenTexts::Allow,
                Ok(wire::UnseenTexts::Refuse) | Err(_) => UnseenTexts::Refuse,
            },
            request: DirectedRules::new(Direction::Request, &rules, &compiled, &exceptions),
            response: DirectedRules::new(Direction::Response, &rules, &compiled, &exceptions),
            custom,
            exceptions,
            external: external.into_iter().map(ExternalRule::try_from).collect::<Result<_, _>>()?,
        })
    }
}

fn model(learned: wire::LearnedCategory) -> Result<Model, Refused> {
    let wire::LearnedCategory { format, bias, weights } = learned;
    if format != FORMAT {
        return Err(Refused(format!("what was learned has the format {format}, which is not known here")));
    }
    let weights: Vec<i8> = weights.into_iter().map(|weight| i8::from_be_bytes([weight])).collect();
    Model::new(&weights, bias)
}

impl TryFrom<wire::GuardrailRule> for ExternalRule {
    type Error = InvalidResource;

    fn try_from(rule: wire::GuardrailRule) -> Result<Self, InvalidResource> {
        let on_failure = match rule.on_failure() {
            wire::DetectorFailure::Block => OnFailure::Block,
            wire::DetectorFailure::Pass => OnFailure::Pass,
            wire::DetectorFailure::Unspecified => {
                return Err(InvalidResource::Unset("guardrails.rules.on_failure"));
            }
        };
        let detector = rule.detector.clone();
        if detector.is_empty() {
            return Err(InvalidResource::Unset("guardrails.rules.detector"));
        }
        let Rule { target: _, action, in_request, in_response, min_risk, trial_until } =
            read(RuleTarget::Custom, &rule)?;
        if !in_request || in_response {
            let told = format!("`{EXTERNAL}` is for requests alone");
            return Err(InvalidResource::Guardrails(told));
        }
        let rules = match trial_until {
            None => DetectorRules { in_force: action, trial: None },
            Some(until) => DetectorRules { in_force: None, trial: action.map(|action| (action, until)) },
        };
        Ok(Self { placeholder: word(&detector), detector, min_risk, on_failure, rules })
    }
}

fn rule(rule: wire::GuardrailRule, custom: &[CustomDetector]) -> Result<Rule, InvalidResource> {
    let wire::GuardrailRule { category, detector, .. } = &rule;
    let unknown = || InvalidResource::Guardrails(format!("`{category}` has no detector `{detector}`"));
    let target = match (&**category, &**detector) {
        ("custom", "") => RuleTarget::Custom,
        ("custom", name) => {
            RuleTarget::OneCustom(custom.iter().position(|it| it.name == *name).ok_or_else(unknown)?)
        }
        (_, "") => RuleTarget::Category(Category::parse(category).ok_or_else(unknown)?),
        (_, name) => {
            let detector = DetectorId::parse(name).filter(|it| it.detector().category.name() == *category);
            RuleTarget::Detector(detector.ok_or_else(unknown)?)
        }
    };
    read(target, &rule)
}

/// What a rule says, whatever it is about.
fn read(target: RuleTarget, rule: &wire::GuardrailRule) -> Result<Rule, InvalidResource> {
    let (action, direction, risk) = (rule.action(), rule.direction(), rule.min_risk());
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
        trial_until: moment(rule.shadow_until_ms, "guardrails.rules.shadow_until_ms")?,
    })
}

/// The word of a custom category's placeholders: `ORDER_NO` for `Order no.`.
pub(super) fn word(name: &str) -> String {
    let letters =
        name.chars().map(|char| if char.is_ascii_alphanumeric() { char.to_ascii_uppercase() } else { '_' });
    let word: String = letters.take(LONGEST_WORD).collect();
    let word = word.trim_matches('_');
    if word.is_empty() { "CUSTOM".to_owned() } else { word.to_owned() }
}
