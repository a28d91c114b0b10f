//! What one request did, for the ledger. It never holds text of a prompt or an answer.

pub mod meter;

pub mod ring;

pub mod refusals;

use latchkey_proto::ledger as wire;

use crate::answer::usage::UsageDoubt;
use crate::guardrails::InspectionReport;
use crate::identity::CallerIdentity;
use crate::limits::account::{Charge, SubjectId};
use crate::limits::quota::OutputCut;
use crate::price::density::Text;
use crate::price::{NanoUsd, TokenUsage};
use crate::request::redaction::without_keys;
use crate::snapshot::{AppId, BucketKind, KeyId, UnixMs, UserId};
use crate::upstream::attempts::AttemptRecord;

/// Longest text of a field, in bytes: clients write some of them.
const MOST_BYTES: usize = 256;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub at: UnixMs,
    pub request_id: String,
    pub app: AppId,
    pub key: KeyId,
    pub user: Option<UserId>,
    /// How the sender is known.
    pub identity: CallerIdentity,
    /// The model the client asked for; empty when refused before that was read.
    pub model: String,
    /// The model the provider was asked for; empty when none was asked.
    pub served_model: String,
    /// Empty when no provider was asked.
    pub provider: String,
    /// `chat_completions`, `responses`, `messages`, ….
    pub endpoint: &'static str,
    /// The client's HTTP status; 0 when the client left before it.
    pub status: u32,
    /// The denial's code; empty when the gateway did not refuse.
    pub code: &'static str,
    pub tokens: TokenUsage,
    pub cost: NanoUsd,
    /// The version of the price charged; 0 where the model has none.
    pub price_version: u64,
    /// How tokens and cost are known.
    pub settlement: Settlement,
    /// Why the provider's figures were not, or not alone, charged; none where they were.
    pub settlement_reason: Option<SettlementReason>,
    /// From the request's headers to its end.
    pub latency_ms: u32,
    /// From the request's headers to the first byte of the answer's body; none without one.
    pub first_token_ms: Option<u32>,
    /// Whether the answer was streamed.
    pub streamed: bool,
    /// Empty when unknown.
    pub client_address: String,
    /// Empty when the client gave none.
    pub conversation_id: String,
    /// Charges to token and cost buckets.
    pub charges: Vec<Charge>,
    /// Whether the request used a secret that a rotation has replaced.
    pub old_secret: bool,
    /// The tier that served it, where known: see [`crate::price::ServedTier::record`].
    pub service_tier: String,
    /// Set where the answer could have fewer output tokens than asked for.
    pub output_cut: Option<OutputCut>,
    /// The size of the prompt's text, where it can be compared with the reported tokens.
    pub text: Option<Text>,
    /// What guardrails found, and what those of a change request would have; none where neither looked.
    pub inspection: Option<Box<InspectionReport>>,
    /// The stored prompts that it referred to, each with its version: `summary@v3`.
    pub prompts: Vec<String>,
    /// What each target of a routing group did that was tried.
    pub attempts: Vec<AttemptRecord>,
}

/// How tokens and cost are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    None,
    Reported,
    /// An estimate: at least this was used. Only where neither tokens nor money are limited.
    Estimated,
    /// The use is not known: what was reserved is charged.
    Reserved,
}

/// Why the provider's figures were not, or not alone, charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettlementReason {
    /// The answer was cut before its usage came.
    AnswerCut,
    /// It is not known whether the provider answered.
    AnswerUnknown,
    AnswerUnreadable,
    /// The answer has no usage.
    UsageMissing,
    /// The usage is incomplete.
    UsagePartial,
    /// The usage contradicts itself, or has unknown parts.
    UsageUnclear,
    /// The usage is larger than possible.
    UsageImplausible,
    /// The tier that served has no price.
    TierNotPriced,
}

impl From<UsageDoubt> for SettlementReason {
    fn from(doubt: UsageDoubt) -> Self {
        match doubt {
            UsageDoubt::Cut => Self::AnswerCut,
            UsageDoubt::Unreadable => Self::AnswerUnreadable,
            UsageDoubt::Missing => Self::UsageMissing,
            UsageDoubt::Partial => Self::UsagePartial,
            UsageDoubt::Unclear => Self::UsageUnclear,
        }
    }
}

impl From<Record> for wire::Record {
    /// The ring sets the sequence.
    fn from(record: Record) -> Self {
        let Record {
            at,
            request_id,
            app,
            key,
            user,
            identity,
            model,
            served_model,
            provider,
            endpoint,
            status,
            code,
            tokens,
            cost,
            price_version,
            settlement,
            settlement_reason,
            latency_ms,
            first_token_ms,
            streamed,
            client_address,
            conversation_id,
            charges,
            old_secret,
            service_tier,
            output_cut,
            text,
            inspection,
            prompts,
            attempts,
        } = record;
        let inspection = inspection.map(|report| *report);
        let inspected = inspection.as_ref().filter(|report| !report.is_tried_only);
        let inspected = inspected.map(|report| wire::Inspection { unread: report.unread });
        let InspectionReport { findings, trial, .. } = inspection.unwrap_or_default();
        let tried = trial.as_ref().map(|trial| trial.change_request.to_vec()).unwrap_or_default();
        let tried_findings = trial.map(|trial| Vec::from(*trial)).unwrap_or_default();
        Self {
            sequence: 0,
            at_ms: at.0,
            request_id: kept(&request_id),
            app_id: app.0.as_bytes().to_vec(),
            key_id: key.0.as_bytes().to_vec(),
            user_id: user.map(|user| user.0.as_bytes().to_vec()).unwrap_or_default(),
            model: kept(&model),
            served_model: kept(&served_model),
            provider: kept(&provider),
            endpoint: endpoint.to_owned(),
            status,
            code: code.to_owned(),
            tokens: Some(tokens.into()),
            cost_nano_usd: cost.0,
            price_version,
            settlement: wire::Settlement::from(settlement).into(),
            latency_ms,
            first_token_ms,
            streamed,
            client_address: kept(&client_address),
            conversation_id: kept(&conversation_id),
            charges: charges.into_iter().map(Into::into).collect(),
            dropped: 0,
            identity: identity.email().map(kept).unwrap_or_default(),
            identity_source: identity.source().into(),
            old_secret,
            service_tier: kept(&service_tier),
            repeats: 0,
            settlement_reason: settlement_reason
                .map_or(0, |reason| wire::SettlementReason::from(reason).into()),
            asked_output_tokens: output_cut.map_or(0, |output_cut| output_cut.asked),
            granted_output_tokens: output_cut.map_or(0, |output_cut| output_cut.granted),
            text,
            findings: findings.into_iter().map(Into::into).chain(tried_findings).collect(),
            inspection: inspected,
            prompts: prompts.iter().map(|prompt| kept(prompt)).collect(),
            attempts: attempts.into_iter().map(Into::into).collect(),
            tried_change_request: tried,
        }
    }
}

impl From<AttemptRecord> for wire::Attempt {
    fn from(attempt: AttemptRecord) -> Self {
        let AttemptRecord { provider, model, status, end, duration_ms } = attempt;
        Self {
            provider: kept(&provider),
            model: kept(&model),
            status: status.into(),
            end: end.into(),
            duration_ms,
        }
    }
}

impl From<Charge> for wire::Charge {
    fn from(Charge { subject, kind, period, amount }: Charge) -> Self {
        Self { bucket: Some(bucket_id(subject, kind, period)), amount }
    }
}

impl From<TokenUsage> for wire::Tokens {
    fn from(tokens: TokenUsage) -> Self {
        let TokenUsage { input, cached_input, cache_write_5m, cache_write_1h, output, reasoning } = tokens;
        Self { input, cached_input, output, reasoning, cache_write_5m, cache_write_1h }
    }
}

impl From<Settlement> for wire::Settlement {
    fn from(settlement: Settlement) -> Self {
        match settlement {
            Settlement::None => Self::None,
            Settlement::Reported => Self::Reported,
            Settlement::Estimated => Self::Estimated,
            Settlement::Reserved => Self::Reserved,
        }
    }
}

impl From<SettlementReason> for wire::SettlementReason {
    fn from(reason: SettlementReason) -> Self {
        match reason {
            SettlementReason::AnswerCut => Self::AnswerCut,
            SettlementReason::AnswerUnknown => Self::AnswerUnknown,
            SettlementReason::AnswerUnreadable => Self::AnswerUnreadable,
            SettlementReason::UsageMissing => Self::UsageMissing,
            SettlementReason::UsagePartial => Self::UsagePartial,
            SettlementReason::UsageUnclear => Self::UsageUnclear,
            SettlementReason::UsageImplausible => Self::UsageImplausible,
            SettlementReason::TierNotPriced => Self::TierNotPriced,
        }
    }
}

/// A bucket's id on the wire.
pub(crate) fn bucket_id(subject: SubjectId, kind: BucketKind, period: i64) -> wire::BucketId {
    wire::BucketId { owner: subject.0.to_vec(), kind: kind.number(), period }
}

/// The text without keys, cut to [`MOST_BYTES`].
fn kept(text: &str) -> String {
    let mut text = without_keys(text).into_owned();
    text.truncate(text.floor_char_boundary(MOST_BYTES));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(kept(&"é".repeat(200)), "é".repeat(128));
        assert_eq!(kept(&format!("a{}", "é".repeat(200))).len(), 255);
        assert_eq!(kept("short"), "short");
    }

    #[test]
    fn no_key_is_kept_wherever_it_stands() {
        assert_eq!(kept("files/sk-quilr-AbC"), "files/[key]");
        let beyond = format!("{}sk-quilr-AbC", "x".repeat(MOST_BYTES - 3));
        assert!(!kept(&beyond).contains("sk-"), "what is cut is no part of a key");
    }
}
