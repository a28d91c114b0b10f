//! What each request did.

use jiff::Timestamp;
use latchkey_core::money::NanoUsd;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::Store;
use super::conditions::{Conditions, Scope};
use super::row::{Columns as _, unfit};

/// One request. What it does not say is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// Later records have higher ones.
    pub id: i64,
    /// When the request came, by the gateway's clock.
    pub at: Timestamp,
    /// The gateway's id for it.
    pub request_id: String,
    /// The gateway's name.
    pub gateway: String,
    /// Whose request it was.
    pub app: Option<Named>,
    /// With which key.
    pub key: Option<Named>,
    /// By whom.
    pub user: Option<Named>,
    /// As the client asked.
    pub model: Option<String>,
    /// As the provider was asked.
    pub served_model: Option<String>,
    /// The provider's name.
    pub provider: Option<String>,
    /// Which API.
    pub endpoint: Option<String>,
    /// Of the answer that the client got; none when it left before.
    pub status: Option<u64>,
    /// Why the gateway refused.
    pub code: Option<String>,
    /// Tokens of input, with those from the cache.
    pub input_tokens: u64,
    /// Tokens of input that the provider had in its cache.
    pub cached_input_tokens: u64,
    /// Tokens of output, with those for reasoning.
    pub output_tokens: u64,
    /// Tokens of output for reasoning.
    pub reasoning_tokens: u64,
    /// Tokens of input that the provider wrote to its cache, for some minutes.
    pub cache_write_5m_tokens: u64,
    /// The same for an hour or longer.
    pub cache_write_1h_tokens: u64,
    /// What was charged.
    pub cost: NanoUsd,
    /// The price that it was charged at.
    pub price_version: Option<u64>,
    /// How tokens and cost were found.
    pub settlement: String,
    /// Why the provider's own figures were not taken, or not taken for all.
    pub settlement_reason: Option<String>,
    /// From the request's headers to the end.
    pub latency_ms: u64,
    /// To the first byte of the answer's body.
    pub first_token_ms: Option<u64>,
    /// Whether the answer was a stream.
    pub streamed: bool,
    /// The client's address.
    pub client_address: Option<String>,
    /// What the client called the conversation.
    pub conversation_id: Option<String>,
    /// The e-mail address that it claimed.
    pub identity: Option<String>,
    /// How it is known who sent it.
    pub identity_source: String,
    /// Whether it came with a secret that was replaced.
    pub old_secret: bool,
    /// The tier that served it, or else the one that it asked for.
    pub service_tier: Option<String>,
    /// How many requests like it, one after the other, it stands for.
    pub repeats: u64,
    /// How many output tokens each answer was to have, where the gateway lowered that.
    pub asked_output_tokens: Option<u64>,
    /// How many it was given then.
    pub granted_output_tokens: Option<u64>,
    /// The app's metadata at that time.
    pub metadata: serde_json::Value,
}

/// Something that a record names; the name is none where it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its id.
    pub id: Uuid,
    /// What people see.
    pub name: Option<String>,
}

/// Which records a list holds.
#[derive(Clone, Debug)]
pub struct LogFilter {
    /// Of what the reader may see.
    pub scope: Scope,
    /// With this id.
    pub request_id: Option<String>,
    /// Of this app.
    pub app: Option<Uuid>,
    /// With this key.
    pub key: Option<Uuid>,
    /// Of this user.
    pub user: Option<Uuid>,
    /// That claimed this e-mail address, in lower case.
    pub identity: Option<String>,
    /// That asked for this model.
    pub model: Option<String>,
    /// That this provider served.
    pub provider: Option<String>,
    /// Answered with a status from the first to the second.
    pub status: Option<(u16, u16)>,
    /// Refused with this code.
    pub code: Option<String>,
    /// With a secret that was replaced, or not.
    pub old_secret: Option<bool>,
    /// That this tier served.
    pub service_tier: Option<String>,
    /// That came at this moment or later.
    pub from: Option<Timestamp>,
    /// That came before this moment.
    pub to: Option<Timestamp>,
    /// Those older than this one.
    pub before: Option<i64>,
}

/// The page is cut before names are looked up.
const PAGE: &str = "SELECT page.id, page.at, request_id, gateway, NULLIF(page.app_id, '') AS app_id,
    NULLIF(page.key_id, '') AS key_id, NULLIF(page.user_id, '') AS user_id, apps.name AS app_name,
    keys.name AS key_name, users.name AS user_name, NULLIF(model, '') AS model,
    NULLIF(served_model, '') AS served_model, NULLIF(provider, '') AS provider, NULLIF(endpoint, '') AS endpoint,
    NULLIF(page.status, 0) AS status, NULLIF(code, '') AS code, input_tokens, cached_input_tokens, output_tokens,
    reasoning_tokens, cache_write_5m_tokens, cache_write_1h_tokens, cost, NULLIF(price_version, 0) AS price_version,
    settlement, NULLIF(settlement_reason, '') AS settlement_reason, latency_ms, first_token_ms,
    streamed, NULLIF(client_address, '') AS client_address, NULLIF(conversation_id, '') AS conversation_id,
    NULLIF(identity, '') AS identity, identity_source, old_secret,
    NULLIF(service_tier, '') AS service_tier, repeats,
    NULLIF(asked_output_tokens, 0) AS asked_output_tokens,
    NULLIF(granted_output_tokens, 0) AS granted_output_tokens, metadata
    FROM (SELECT * FROM records {where} ORDER BY id DESC {limit}) AS page
    LEFT JOIN apps ON apps.id = page.app_id LEFT JOIN keys ON keys.id = page.key_id
    LEFT JOIN users ON users.id = page.user_id ORDER BY page.id DESC";

impl Store {
    /// Records, newest first.
    ///
    /// # Errors
    /// The database is away.
    pub async fn logs(&self, filter: &LogFilter, limit: i64) -> sqlx::Result<Vec<Log>> {
        let LogFilter {
            scope,
            request_id,
            app,
            key,
            user,
            identity,
            model,
            provider,
            status,
            code,
            old_secret,
            service_tier,
            from,
            to,
            before,
        } = filter;
        // Failures and refusals have partial indexes, which a query must name to be given them.
        let at_least = match status {
            Some((500.., _)) => "status >= 500 AND status >=",
            Some((400.., _)) => "status >= 400 AND status >=",
            _ => "status >=",
        };
        Conditions::within(scope)
            .text("request_id =", request_id.as_ref())
            .text("app_id =", app.as_ref())
            .text("key_id =", key.as_ref())
            .text("user_id =", user.as_ref())
            .text("identity =", identity.as_ref())
            .text("model =", model.as_ref())
            .text("provider =", provider.as_ref())
            .number(at_least, status.map(|(least, _)| least.into()))
            .number("status <=", status.map(|(_, most)| most.into()))
            .text("code <> '' AND code =", code.as_ref())
            .number("old_secret =", old_secret.map(i64::from))
            .text("service_tier =", service_tier.as_ref())
            .number("at >=", from.map(Timestamp::as_millisecond))
            .number("at <", to.map(Timestamp::as_millisecond))
            .number("id <", *before)
            .query(PAGE, limit)
            .fetch_all(&self.pool)
            .await?
            .into_iter()
            .map(Log::try_from)
            .collect()
    }
}

impl TryFrom<AnyRow> for Log {
    type Error = sqlx::Error;

    fn try_from(row: AnyRow) -> sqlx::Result<Self> {
        let named = |id, name| -> sqlx::Result<_> {
            let Some(id) = row.optional_uuid(id)? else { return Ok(None) };
            Ok(Some(Named { id, name: row.try_get(name)? }))
        };
        let metadata: &str = row.try_get("metadata")?;
        let metadata = match metadata {
            "" => serde_json::Value::Object(serde_json::Map::new()),
            json => serde_json::from_str(json).map_err(|error| unfit("metadata", error))?,
        };
        Ok(Self {
            id: row.try_get("id")?,
            at: row.time("at")?,
            request_id: row.try_get("request_id")?,
            gateway: row.try_get("gateway")?,
            app: named("app_id", "app_name")?,
            key: named("key_id", "key_name")?,
            user: named("user_id", "user_name")?,
            model: row.try_get("model")?,
            served_model: row.try_get("served_model")?,
            provider: row.try_get("provider")?,
            endpoint: row.try_get("endpoint")?,
            status: row.optional_count("status")?,
            code: row.try_get("code")?,
            input_tokens: row.count("input_tokens")?,
            cached_input_tokens: row.count("cached_input_tokens")?,
            output_tokens: row.count("output_tokens")?,
            reasoning_tokens: row.count("reasoning_tokens")?,
            cache_write_5m_tokens: row.count("cache_write_5m_tokens")?,
            cache_write_1h_tokens: row.count("cache_write_1h_tokens")?,
            cost: NanoUsd(row.count("cost")?),
            price_version: row.optional_count("price_version")?,
            settlement: row.try_get("settlement")?,
            settlement_reason: row.try_get("settlement_reason")?,
            latency_ms: row.count("latency_ms")?,
            first_token_ms: row.optional_count("first_token_ms")?,
            streamed: row.flag("streamed")?,
            client_address: row.try_get("client_address")?,
            conversation_id: row.try_get("conversation_id")?,
            identity: row.try_get("identity")?,
            identity_source: row.try_get("identity_source")?,
            old_secret: row.flag("old_secret")?,
            service_tier: row.try_get("service_tier")?,
            repeats: row.count("repeats")?,
            asked_output_tokens: row.optional_count("asked_output_tokens")?,
            granted_output_tokens: row.optional_count("granted_output_tokens")?,
            metadata,
        })
    }
}
