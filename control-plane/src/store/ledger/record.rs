//! What each request did.

use std::sync::{Arc, LazyLock};

use serde::Serialize;
use uuid::Uuid;

use super::bulk::Column::{Number, Text};
use super::bulk::{Bulk, Column};
use super::stored;
use crate::store::Tx;

/// What one request did, in the form in which it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When it came, in Unix milliseconds.
    pub at_ms: i64,
    /// Its id.
    pub request_id: String,
    /// Which app it used.
    pub app_id: Uuid,
    /// With which key.
    pub key_id: Uuid,
    /// Whose that is; none for an app's own key.
    pub user_id: Option<Uuid>,
    /// As the client asked.
    pub model: String,
    /// As the provider was asked; empty when it was not.
    pub served_model: String,
    /// Who served it.
    pub provider: String,
    /// What kind of request.
    pub endpoint: String,
    /// Of the answer; 0 when the client left before.
    pub status: u32,
    /// Why the gateway refused; empty when it did not.
    pub code: String,
    /// With those from the cache.
    pub input_tokens: u64,
    /// From the provider's cache.
    pub cached_input_tokens: u64,
    /// With those for reasoning.
    pub output_tokens: u64,
    /// For reasoning.
    pub reasoning_tokens: u64,
    /// Written to the provider's cache, for some minutes.
    pub cache_write_5m_tokens: u64,
    /// Written to the provider's cache, for an hour or longer.
    pub cache_write_1h_tokens: u64,
    /// In nano-USD.
    pub cost: u64,
    /// 0 where the model has no price.
    pub price_version: u64,
    /// `none`, `reported`, `estimated` or `reserved`.
    pub settlement: &'static str,
    /// Why the provider's own figures were not taken, or not taken for all; empty where they were.
    pub settlement_reason: &'static str,
    /// From the request's headers to the end.
    pub latency_ms: u32,
    /// To the first byte of the answer's body.
    pub first_token_ms: Option<u32>,
    /// Whether the answer was a stream.
    pub streamed: bool,
    /// Whence it came.
    pub client_address: String,
    /// Of which conversation it is a part.
    pub conversation_id: String,
    /// The e-mail address that it claimed, in lower case; empty when it claimed none.
    pub identity: String,
    /// `none`, `key`, `jwt` or `header`.
    pub identity_source: &'static str,
    /// Whether it came with a secret that was replaced.
    pub old_secret: bool,
    /// The tier that served it; empty where nobody said.
    pub service_tier: String,
    /// How many requests like it, one after the other, it stands for.
    pub repeats: u64,
    /// How many output tokens each answer was to have, where the gateway lowered that; 0 where it did not.
    pub asked_output_tokens: u64,
    /// How many it was given then.
    pub granted_output_tokens: u64,
    /// The size of its text, where that is comparable to the tokens reported.
    pub text: Option<latchkey_core::density::Text>,
}

/// A record to insert.
#[derive(Clone, Debug)]
pub struct RecordRow<'a> {
    /// What the request did.
    pub record: &'a Record,
    /// Whose it is: by the key, or by the address that it claimed.
    pub user_id: Option<Uuid>,
    /// Which gateway says so.
    pub gateway: &'a str,
    /// The app's metadata, as JSON.
    pub metadata: Arc<str>,
}

#[derive(Serialize)]
struct Row<'a> {
    at: i64,
    request_id: &'a str,
    gateway: &'a str,
    app_id: Uuid,
    key_id: Uuid,
    user_id: String,
    model: &'a str,
    served_model: &'a str,
    provider: &'a str,
    endpoint: &'a str,
    status: u32,
    code: &'a str,
    input_tokens: i64,
    cached_input_tokens: i64,
    output_tokens: i64,
    reasoning_tokens: i64,
    cache_write_5m_tokens: i64,
    cache_write_1h_tokens: i64,
    cost: i64,
    price_version: i64,
    settlement: &'a str,
    settlement_reason: &'a str,
    latency_ms: u32,
    first_token_ms: Option<u32>,
    streamed: u8,
    client_address: &'a str,
    conversation_id: &'a str,
    identity: &'a str,
    identity_source: &'a str,
    old_secret: u8,
    service_tier: &'a str,
    repeats: i64,
    asked_output_tokens: i64,
    granted_output_tokens: i64,
    metadata: &'a str,
}

const COLUMNS: [Column; 35] = [
    Number("at"),
    Text("request_id"),
    Text("gateway"),
    Text("app_id"),
    Text("key_id"),
    Text("user_id"),
    Text("model"),
    Text("served_model"),
    Text("provider"),
    Text("endpoint"),
    Number("status"),
    Text("code"),
    Number("input_tokens"),
    Number("cached_input_tokens"),
    Number("output_tokens"),
    Number("reasoning_tokens"),
    Number("cache_write_5m_tokens"),
    Number("cache_write_1h_tokens"),
    Number("cost"),
    Number("price_version"),
    Text("settlement"),
    Text("settlement_reason"),
    Number("latency_ms"),
    Number("first_token_ms"),
    Number("streamed"),
    Text("client_address"),
    Text("conversation_id"),
    Text("identity"),
    Text("identity_source"),
    Number("old_secret"),
    Text("service_tier"),
    Number("repeats"),
    Number("asked_output_tokens"),
    Number("granted_output_tokens"),
    Text("metadata"),
];

static INSERT: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::new("INSERT INTO records ({columns}) {rows}", &COLUMNS));

impl Tx {
    /// Adds records.
    ///
    /// # Errors
    /// The database is away.
    pub async fn insert_records(&mut self, records: &[RecordRow<'_>]) -> sqlx::Result<()> {
        let rows: Vec<_> = records.iter().map(row).collect();
        self.write(&INSERT, &rows).await
    }
}

fn row<'a>(RecordRow { record, user_id, gateway, metadata }: &'a RecordRow<'_>) -> Row<'a> {
    Row {
        at: record.at_ms,
        request_id: &record.request_id,
        gateway,
        app_id: record.app_id,
        key_id: record.key_id,
        user_id: user_id.map(|id| id.to_string()).unwrap_or_default(),
        model: &record.model,
        served_model: &record.served_model,
        provider: &record.provider,
        endpoint: &record.endpoint,
        status: record.status,
        code: &record.code,
        input_tokens: stored(record.input_tokens),
        cached_input_tokens: stored(record.cached_input_tokens),
        output_tokens: stored(record.output_tokens),
        reasoning_tokens: stored(record.reasoning_tokens),
        cache_write_5m_tokens: stored(record.cache_write_5m_tokens),
        cache_write_1h_tokens: stored(record.cache_write_1h_tokens),
        cost: stored(record.cost),
        price_version: stored(record.price_version),
        settlement: record.settlement,
        settlement_reason: record.settlement_reason,
        latency_ms: record.latency_ms,
        first_token_ms: record.first_token_ms,
        streamed: u8::from(record.streamed),
        client_address: &record.client_address,
        conversation_id: &record.conversation_id,
        identity: &record.identity,
        identity_source: record.identity_source,
        old_secret: u8::from(record.old_secret),
        service_tier: &record.service_tier,
        repeats: stored(record.repeats),
        asked_output_tokens: stored(record.asked_output_tokens),
        granted_output_tokens: stored(record.granted_output_tokens),
        metadata,
    }
}
