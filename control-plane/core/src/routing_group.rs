//! Routing groups: a name that clients use as a model's, and the targets that its requests go to.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::hidden;
use crate::invalid::{FieldError, Invalid};
use crate::name::{ModelName, Slug};
use crate::provider::ProviderKind;
use crate::selection::Selection;

#[cfg(test)]
mod tests;

/// The most targets that a group may have, in all its tiers.
pub const MOST_TARGETS: usize = 16;
/// The most targets that a request may try.
pub const MOST_ATTEMPTS: u32 = 4;
/// How many providers may be targets: gateways have a cluster of a fixed name for each.
pub const SLOTS: u8 = 64;

/// What the weights of a tier's targets sum to.
const WHOLE: u32 = 100;
const LONGEST_DESCRIPTION: usize = 500;
const MOST_TOKENS: u64 = 1_000_000_000;
/// In milliseconds.
const TIMEOUTS: std::ops::RangeInclusive<u32> = 100..=600_000;
const FAILURES: std::ops::RangeInclusive<u16> = 400..=599;

/// Where a group's requests go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoutingSettings {
    /// For people: at most 500 characters.
    #[serde(default)]
    pub description: String,
    /// What the weights are shares of.
    #[serde(default)]
    pub balance: RoutingBalance,
    /// Where all requests go; empty where there are tiers.
    #[serde(default)]
    pub targets: Vec<RoutingTarget>,
    /// Where requests go by the size of their input, from the smallest: up to three. Empty where there are targets
    /// for all sizes.
    #[serde(default)]
    pub tiers: Vec<RoutingTier>,
    /// When a request moves to another target.
    #[serde(default)]
    pub failover: Failover,
    /// Whether the requests of a conversation stay at one target, so that its prompt cache stays warm.
    #[serde(default)]
    pub sticky: bool,
}

/// What the weights of targets are shares of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoutingBalance {
    /// Requests.
    #[default]
    Requests,
    /// Tokens, counted over time.
    Tokens,
}

/// A model of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoutingTarget {
    /// The provider's name.
    pub provider: Slug,
    /// The name of one of its models.
    pub model: ModelName,
    /// In percent. Those of a tier sum to 100; one of 0 is only used when others fail.
    pub weight: u32,
}

/// The targets for inputs up to a size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoutingTier {
    /// At most one of each, in this order.
    pub name: TierName,
    /// The most tokens of input, as the gateway estimates them; null for the last tier, which takes all larger ones.
    #[serde(default)]
    pub up_to_tokens: Option<u64>,
    /// At least one.
    pub targets: Vec<RoutingTarget>,
}

/// What a tier is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TierName {
    /// For small inputs.
    Low,
    /// For those between.
    Medium,
    /// For large ones.
    High,
}

/// When a request moves to another target. It always does where a target cannot be connected to, or where the
/// connection ends before the answer, and never once a part of an answer has gone to the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Failover {
    /// How many targets are tried in all: 1 to 4.
    #[schema(minimum = 1, maximum = 4)]
    pub attempts: u32,
    /// Statuses of answers that count as failures, from 400 to 599.
    pub statuses: Vec<u16>,
    /// How long a target may take until the headers of an answer that is no stream: 100 to 600000; null for as long
    /// as it takes.
    pub headers_timeout_ms: Option<u32>,
    /// How long a target may take until the first event of a stream: 100 to 600000; null for as long as it takes.
    pub first_event_timeout_ms: Option<u32>,
    /// Whether requests that leave something behind at the provider may be repeated.
    pub repeat_side_effects: bool,
}

/// Anthropic's status for an overload.
const OVERLOADED: u16 = 529;

impl Default for Failover {
    fn default() -> Self {
        Self {
            attempts: 3,
            statuses: vec![408, 429, 500, 502, 503, 504, OVERLOADED],
            headers_timeout_ms: None,
            first_event_timeout_ms: None,
            repeat_side_effects: false,
        }
    }
}

impl TierName {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

impl RoutingSettings {
    /// The targets of each tier with the path of their list, and the border of the tier. Those for all sizes are
    /// one tier without a border.
    pub fn tiers(&self) -> impl Iterator<Item = (String, Option<u64>, &[RoutingTarget])> {
        let all = (!self.targets.is_empty()).then(|| ("targets".to_owned(), None, self.targets.as_slice()));
        let tiers = self
            .tiers
            .iter()
            .enumerate()
            .map(|(i, tier)| (format!("tiers[{i}].targets"), tier.up_to_tokens, tier.targets.as_slice()));
        all.into_iter().chain(tiers)
    }

    /// Every target, with its path.
    pub fn targets(&self) -> impl Iterator<Item = (String, &RoutingTarget)> {
        self.tiers().flat_map(|(path, _, targets)| {
            targets.iter().enumerate().map(move |(i, target)| (format!("{path}[{i}]"), target))
        })
    }

    /// Whether a model of a provider is a target.
    #[must_use]
    pub fn has_target(&self, provider: &str, model: &str) -> bool {
        self.targets()
            .any(|(_, target)| target.provider.as_str() == provider && target.model.as_str() == model)
    }

    /// Whether a model of this provider is a target.
    #[must_use]
    pub fn has_provider(&self, provider: &str) -> bool {
        self.targets().any(|(_, target)| target.provider.as_str() == provider)
    }

    /// The settings in their normal form.
    ///
    /// # Errors
    /// Every field that is wrong in itself. Whether the targets exist is asked elsewhere.
    pub fn validated(mut self) -> Result<Self, Invalid> {
        let mut invalid = Invalid::default();
        invalid.check("description", description(&self.description));
        match (self.targets.is_empty(), self.tiers.is_empty()) {
            (true, true) => {
                let message = "is empty: add at least one target, such as {\"provider\": \"openai\", \"model\": \
                               \"gpt-4o\", \"weight\": 100}, or tiers";
                invalid.0.push(FieldError::new("targets", message));
            }
            (false, false) => {
                let message = "cannot be combined with `targets`: leave one of them empty";
                invalid.0.push(FieldError::new("tiers", message));
            }
            (false, true) | (true, false) => {}
        }
        check_tiers(&self.tiers, &mut invalid);
        for (path, _, targets) in self.tiers() {
            check_targets(&path, targets, &mut invalid);
        }
        let count = self.targets().count();
        if count > MOST_TARGETS {
            let path = if self.tiers.is_empty() { "targets" } else { "tiers" };
            let message = format!("has {count} targets; the maximum is {MOST_TARGETS}");
            invalid.0.push(FieldError::new(path, message));
        }
        self.failover.check("failover", &mut invalid);
        self.failover.statuses.sort_unstable();
        self.failover.statuses.dedup();
        invalid.into_result().map(|()| self)
    }

    /// Notes each target that speaks another API than the first one. `kind` knows whose protocol a provider speaks;
    /// those that it does not know are left out.
    pub fn check_family(&self, kind: impl Fn(&str) -> Option<ProviderKind>, invalid: &mut Invalid) {
        let mut first: Option<(String, ApiFamily)> = None;
        for (path, target) in self.targets() {
            let Some(family) = kind(target.provider.as_str()).map(ApiFamily::of) else { continue };
            let (first_path, first_family) = first.get_or_insert_with(|| (path.clone(), family));
            if *first_family != family {
                let message = format!(
                    "`{}` uses {}'s API and `{first_path}` uses {}'s: all targets of a group must use the \
                     same API",
                    target.provider,
                    family.vendor(),
                    first_family.vendor(),
                );
                invalid.0.push(FieldError::new(format!("{path}.provider"), message));
            }
        }
    }
}

/// Whose API a provider speaks: a request is sent to any target of a group as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ApiFamily {
    Openai,
    Anthropic,
}

impl ApiFamily {
    fn of(kind: ProviderKind) -> Self {
        match kind {
            ProviderKind::Openai | ProviderKind::AzureOpenai | ProviderKind::OpenaiCompatible => Self::Openai,
            ProviderKind::Anthropic => Self::Anthropic,
        }
    }

    fn vendor(self) -> &'static str {
        match self {
            Self::Openai => "OpenAI",
            Self::Anthropic => "Anthropic",
        }
    }
}

impl Failover {
    fn check(&self, path: &str, invalid: &mut Invalid) {
        let Self { attempts, statuses, headers_timeout_ms, first_event_timeout_ms, repeat_side_effects: _ } =
            self;
        if !(1..=MOST_ATTEMPTS).contains(attempts) {
            let message = format!("must be 1 to {MOST_ATTEMPTS}");
            invalid.0.push(FieldError::new(format!("{path}.attempts"), message));
        }
        for (i, status) in statuses.iter().enumerate() {
            if !FAILURES.contains(status) {
                let message = format!("must be {} to {}", FAILURES.start(), FAILURES.end());
                invalid.0.push(FieldError::new(format!("{path}.statuses[{i}]"), message));
            }
        }
        for (name, timeout) in
            [("headers_timeout_ms", headers_timeout_ms), ("first_event_timeout_ms", first_event_timeout_ms)]
        {
            if timeout.is_some_and(|ms| !TIMEOUTS.contains(&ms)) {
                let (least, most) = (TIMEOUTS.start(), TIMEOUTS.end());
                let message = format!("must be {least} to {most} milliseconds, or null for no timeout");
                invalid.0.push(FieldError::new(format!("{path}.{name}"), message));
            }
        }
    }
}

/// Notes each name of an app's routing groups that can be none.
pub fn check_names(path: &str, names: &Selection, invalid: &mut Invalid) {
    let Selection::Only(names) = names else { return };
    for (i, name) in names.iter().enumerate() {
        if ModelName::try_from(name.clone()).is_err() {
            let message =
                format!("`{name}` is not a valid routing group name: patterns are not supported here");
            invalid.0.push(FieldError::new(format!("{path}[{i}]"), message));
        }
    }
}

fn description(text: &str) -> Result<(), String> {
    if let Some(hidden) = hidden::find(text) {
        return Err(format!("must not contain the invisible character {hidden}"));
    }
    let fits =
        text.chars().count() <= LONGEST_DESCRIPTION && !text.chars().any(|c| c.is_control() && c != '\n');
    if fits {
        return Ok(());
    }
    Err(format!("must be at most {LONGEST_DESCRIPTION} characters, without control characters"))
}

/// Checks the names and borders of tiers.
fn check_tiers(tiers: &[RoutingTier], invalid: &mut Invalid) {
    let last = tiers.len().saturating_sub(1);
    let (mut name_before, mut border_before) = (None, 0);
    for (i, tier) in tiers.iter().enumerate() {
        let path = |field: &str| format!("tiers[{i}].{field}");
        if name_before.is_some_and(|before| before >= tier.name) {
            let message =
                "is out of order: tiers are `low`, `medium`, and `high`, in this order, at most one of each";
            invalid.0.push(FieldError::new(path("name"), message));
        }
        name_before = Some(tier.name);
        let wrong = match tier.up_to_tokens {
            Some(_) if i == last => {
                Some("must be left out: the last tier takes all larger inputs".to_owned())
            }
            None if i != last => Some("is required, except for the last tier".to_owned()),
            Some(tokens) if tokens > MOST_TOKENS => Some(format!("must be at most {MOST_TOKENS}")),
            Some(tokens) if tokens <= border_before => Some(match border_before {
                0 => "must be at least 1".to_owned(),
                before => format!("must be more than {before}, the limit of the tier before"),
            }),
            Some(_) | None => None,
        };
        if let Some(message) = wrong {
            invalid.0.push(FieldError::new(path("up_to_tokens"), message));
        }
        border_before = tier.up_to_tokens.unwrap_or(border_before);
        if tier.targets.is_empty() {
            let message = "is empty: add at least one target, or leave out the tier";
            invalid.0.push(FieldError::new(path("targets"), message));
        }
    }
}

fn check_targets(path: &str, targets: &[RoutingTarget], invalid: &mut Invalid) {
    for (i, target) in targets.iter().enumerate() {
        if target.weight > WHOLE {
            let message = format!("must be 0 to {WHOLE} percent");
            invalid.0.push(FieldError::new(format!("{path}[{i}].weight"), message));
        }
        let same = |other: &RoutingTarget| other.provider == target.provider && other.model == target.model;
        if targets.iter().take(i).any(same) {
            let message =
                format!("`{}` of `{}` is duplicated: combine the weights", target.model, target.provider);
            invalid.0.push(FieldError::new(format!("{path}[{i}]"), message));
        }
    }
    let sum = targets.iter().fold(0_u32, |sum, target| sum.saturating_add(target.weight));
    if !targets.is_empty() && sum != WHOLE {
        let message = format!("have weights that add up to {sum}: they must add up to {WHOLE}");
        invalid.0.push(FieldError::new(path, message));
    }
}
