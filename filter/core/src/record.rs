//! What one request did, for the ledger. Never text of a prompt or an answer.

pub mod meter;

pub mod ring;

pub mod refusals;

use latchkey_proto::ledger as wire;

use crate::answer::usage::UsageDoubt;
use crate::identity::CallerIdentity;
use crate::limits::account::{Charge, SubjectId};
use crate::limits::quota::OutputCut;
use crate::price::density::Text;
use crate::price::{NanoUsd, TokenUsage};
use crate::request::redaction::without_keys;
use crate::snapshot::{AppId, BucketKind, KeyId, UnixMs, UserId};

/// The most bytes of a text: some of them a stranger has written.
const MOST_BYTES: usize = 256;

/// What one request did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When the request came.
    pub at: UnixMs,
    /// The request's id.
    pub request_id: String,
    /// Whose request it was.
    pub app: AppId,
    /// With which key.
    pub key: KeyId,
    /// A named key's user.
    pub user: Option<UserId>,
    /// How it is known who sent it.
    pub identity: CallerIdentity,
    /// As the client asked; empty when it was refused before that was read.
    pub model: String,
    /// As the provider was asked; empty when it was not.
    pub served_model: String,
    /// The provider's name; empty when none was asked.
    pub provider: String,
    /// `chat_completions`, `responses`, `messages`, ….
    pub endpoint: &'static str,
    /// Of the answer that the client got; 0 when it left before.
    pub status: u32,
    /// Why the gateway refused; empty when it did not.
    pub code: &'static str,
    /// What was used.
    pub tokens: TokenUsage,
    /// What that costs.
    pub cost: NanoUsd,
    /// The price that was charged; 0 where the model has none.
    pub price_version: u64,
    /// How tokens and cost were found.
    pub settlement: Settlement,
    /// Why the provider's own figures were not taken, or not taken for all; none where they were.
    pub settlement_reason: Option<SettlementReason>,
    /// From the request's headers to the end.
    pub latency_ms: u32,
    /// To the first byte of the answer's body; none when none came.
    pub first_token_ms: Option<u32>,
    /// Whether the answer was a stream.
    pub streamed: bool,
    /// The client's address; empty when it is not known.
    pub client_address: String,
    /// The client's name for the conversation; empty when it gave none.
    pub conversation_id: String,
    /// What it used of token and cost buckets.
    pub charges: Vec<Charge>,
    /// Whether it came with a secret that was replaced.
    pub old_secret: bool,
    /// The tier that served it, as far as that is known: see [`crate::price::Served::record`].
    pub service_tier: String,
    /// Where the answer may have fewer tokens than were asked for.
    pub output_cut: Option<OutputCut>,
    /// What the provider read, where its size is comparable to the tokens reported.
    pub text: Option<Text>,
}

/// How tokens and cost were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Nothing was used.
    None,
    /// The provider told.
    Reported,
    /// About what was used, at least. Only where neither tokens nor money are limited.
    Estimated,
    /// Something is not known: what was reserved is charged.
    Reserved,
}

/// Why the provider's own figures were not taken, or not taken for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettlementReason {
    /// The answer ended before its usage.
    AnswerCut,
    /// Nobody knows whether the provider answered.
    AnswerUnknown,
    /// The answer is encoded.
    AnswerUnreadable,
    /// The answer tells no usage.
    UsageMissing,
    /// The usage leaves something out.
    UsagePartial,
    /// The usage contradicts itself, or has parts that nobody knows.
    UsageUnclear,
    /// The usage is beyond what can have been.
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
    /// Its place in the ring is set when it gets there.
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
            cut,
            text,
        } = record;
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
            asked_output_tokens: cut.map_or(0, |cut| cut.asked),
            granted_output_tokens: cut.map_or(0, |cut| cut.granted),
            text,
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

/// A bucket as the wire names it.
pub(crate) fn bucket_id(subject: SubjectId, kind: BucketKind, period: i64) -> wire::BucketId {
    wire::BucketId { owner: subject.0.to_vec(), kind: kind.number(), period }
}

/// The text without keys, or as much of its beginning as is kept.
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
