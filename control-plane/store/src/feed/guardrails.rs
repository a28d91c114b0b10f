//! An app's guardrails, as gateways hold them.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use latchkey_core::content::{CustomCategory, ListedValue};
use latchkey_core::guardrails::{
    GuardrailAction, GuardrailCategory, GuardrailDirection, GuardrailRisk, GuardrailRule, GuardrailSettings,
    LearnedCategory, ListKey, OnFailure, Proposal, UnseenTexts, usable_keyword, usable_pattern,
};
use latchkey_proto::discovery as wire;
use sha2::Sha256;
use sqlx::Row as _;
use uuid::Uuid;

use crate::guardrail_trials::GuardrailTrial;
use crate::{Store, Tx};

/// What the apps' keys of guardrails are made of: random, made once with the database, and never told.
pub(super) struct GuardrailSecret(Vec<u8>);

impl fmt::Debug for GuardrailSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GuardrailSecret")
    }
}

impl GuardrailSecret {
    /// The key of an app: its placeholders and the hashes in its findings are made with it.
    fn key(&self, app: Uuid) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any length is a key");
        mac.update(app.as_bytes());
        mac.finalize().into_bytes().to_vec()
    }
}

impl Store {
    pub(super) async fn guardrail_secret(&self) -> sqlx::Result<GuardrailSecret> {
        let row = sqlx::query("SELECT value FROM installation_secrets WHERE name = 'guardrails'")
            .fetch_one(&self.pool)
            .await?;
        row.try_get("value").map(GuardrailSecret)
    }
}

impl Tx {
    /// What the values of an app's lists are hashed with.
    pub async fn list_key(&mut self, app: Uuid) -> sqlx::Result<ListKey> {
        let row = sqlx::query("SELECT value FROM installation_secrets WHERE name = 'guardrails'")
            .fetch_one(&mut *self.inner)
            .await?;
        row.try_get("value").map(|secret| ListKey::new(&GuardrailSecret(secret).key(app)))
    }
}

/// None where nothing is looked for. Categories that were stored before they were checked together are sent as
/// they are, whatever they cost: to leave them out would let pass what they look for. `serve` logs them when it
/// starts, and whoever adds to them is refused.
pub(super) fn guardrails(
    app: Uuid,
    settings: &GuardrailSettings,
    own: &[CustomCategory],
    secret: &GuardrailSecret,
) -> Option<wire::Guardrails> {
    if settings.rules.is_empty() && own.is_empty() {
        return None;
    }
    let mut rules: Vec<_> = settings.rules.iter().map(rule).collect();
    if !own.is_empty() && settings.rule_of(GuardrailCategory::CUSTOM).is_none() {
        rules.push(rule(&GuardrailRule::monitor(GuardrailCategory::CUSTOM)));
    }
    let key = secret.key(app);
    let list_key = ListKey::new(&key);
    let custom = |category: &CustomCategory| {
        let CustomCategory {
            name,
            description: _,
            keywords,
            patterns,
            values,
            remove_values: _,
            examples: _,
            counter_examples: _,
            learned,
        } = category;
        let keywords = keywords.iter().filter(|keyword| takes(app, keyword, usable_keyword)).cloned();
        let patterns = patterns.iter().filter(|pattern| takes(app, pattern, usable_pattern)).cloned();
        wire::CustomCategory {
            name: name.clone(),
            keywords: keywords.collect(),
            patterns: patterns.collect(),
            values: value_hashes(app, values, &list_key),
            learned: learned.as_ref().and_then(|it| learned_category(app, it)),
        }
    };
    let exception_patterns = settings.exception_patterns.iter();
    let exception_patterns = exception_patterns.filter(|pattern| takes(app, pattern, usable_pattern));
    Some(wire::Guardrails {
        rules,
        key,
        custom_categories: own.iter().map(custom).collect(),
        exceptions: settings.exceptions.clone(),
        exception_patterns: exception_patterns.cloned().collect(),
        unseen_texts: match settings.unseen_texts {
            UnseenTexts::Refuse => wire::UnseenTexts::Refuse,
            UnseenTexts::Allow => wire::UnseenTexts::Allow,
        }
        .into(),
    })
}

/// What is tried, as gateways get it; none where nothing would be looked for.
pub(super) fn trial(trial: &GuardrailTrial, secret: &GuardrailSecret) -> Option<wire::GuardrailTrial> {
    let Proposal { guardrails: settings, custom_categories, untried: _ } = trial.proposal.as_ref()?;
    Some(wire::GuardrailTrial {
        change_request: trial.change_request.as_bytes().to_vec(),
        guardrails: Some(guardrails(trial.app_id, settings, custom_categories, secret)?),
        until_ms: trial.until.as_millisecond(),
    })
}

/// The hashes of a list's values. Those of another key, which a copied database may hold, would find nothing.
fn value_hashes(app: Uuid, values: &[ListedValue], key: &ListKey) -> Vec<u8> {
    let hashes = || values.iter().flat_map(ListedValue::hashes);
    let foreign = hashes().filter(|hash| !key.made(hash)).count();
    if foreign > 0 {
        tracing::warn!(%app, foreign, "hashes of listed values were made with another key and find nothing");
    }
    hashes().filter(|hash| key.made(hash)).flat_map(|hash| hash.to_bytes()).collect()
}

fn learned_category(app: Uuid, learned: &LearnedCategory) -> Option<wire::LearnedCategory> {
    let LearnedCategory { format, bias, .. } = learned;
    let Some(weights) = learned.weight_bytes() else {
        tracing::error!(%app, "what was learned from examples is damaged and left out: save them again");
        return None;
    };
    Some(wire::LearnedCategory { format: *format, bias: *bias, weights })
}

/// Whether gateways take it. What an older version stored may be refused by their engine, and would keep all of
/// the app from them.
fn takes(app: Uuid, text: &str, usable: fn(&str) -> Result<(), String>) -> bool {
    let taken = usable(text);
    if let Err(error) = &taken {
        tracing::warn!(%app, error, "a pattern or keyword is left out, since gateways cannot use it");
    }
    taken.is_ok()
}

fn rule(rule: &GuardrailRule) -> wire::GuardrailRule {
    let GuardrailRule { category, detector, action, direction, min_risk, shadow_until, on_failure } = rule;
    wire::GuardrailRule {
        category: category.as_str().to_owned(),
        detector: detector.clone().unwrap_or_default(),
        action: match action {
            GuardrailAction::Monitor => wire::GuardrailAction::Monitor,
            GuardrailAction::Redact => wire::GuardrailAction::Redact,
            GuardrailAction::Anonymize => wire::GuardrailAction::Anonymize,
            GuardrailAction::Block => wire::GuardrailAction::Block,
            GuardrailAction::Allow => wire::GuardrailAction::Allow,
        }
        .into(),
        direction: match direction {
            GuardrailDirection::Request => wire::GuardrailDirection::Request,
            GuardrailDirection::Response => wire::GuardrailDirection::Response,
            GuardrailDirection::Both => wire::GuardrailDirection::Both,
        }
        .into(),
        min_risk: match min_risk {
            GuardrailRisk::Low => wire::GuardrailRisk::Low,
            GuardrailRisk::High => wire::GuardrailRisk::High,
        }
        .into(),
        on_failure: match on_failure {
            None => wire::DetectorFailure::Unspecified,
            Some(OnFailure::Block) => wire::DetectorFailure::Block,
            Some(OnFailure::Pass) => wire::DetectorFailure::Pass,
        }
        .into(),
        shadow_until_ms: shadow_until.map_or(0, jiff::Timestamp::as_millisecond),
    }
}
