//! `/api/v1/logs`

use std::str::FromStr;

use axum::extract::State;
use jiff::Timestamp;
use latchkey_core::money::NanoUsd;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Api;
use super::auth::{Person, ReaderGuard};
use super::body::{PathParams, Query};
use super::pagination::{ListPage, in_order, paging};
use super::problem::Problem;
use crate::store::conditions::Scope;
use crate::store::logs::{Log, LogFilter, Named};

/// What one request did. Never text of a prompt or an answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LogView {
    /// Later records have higher ones.
    pub id: i64,
    /// When the request came, by the gateway's clock.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// As the client got it in `x-request-id`.
    pub request_id: String,
    /// The gateway's name.
    pub gateway: String,
    /// Whose request it was; null where no key was recognised. So with the other names and ids.
    pub app_id: Option<Uuid>,
    /// The app's name as it is now.
    pub app_name: Option<String>,
    /// With which key: a named key or the app's own.
    pub key_id: Option<Uuid>,
    /// The key's name as it is now.
    pub key_name: Option<String>,
    /// By whom; null for an app key.
    pub user_id: Option<Uuid>,
    /// The user's name as it is now.
    pub user_name: Option<String>,
    /// As the client asked; null where the request was refused before that was read.
    pub model: Option<String>,
    /// As the provider was asked; null where it was not.
    pub served_model: Option<String>,
    /// The provider's name.
    pub provider: Option<String>,
    /// Which API: `chat_completions`, `responses`, ….
    pub endpoint: Option<String>,
    /// Of the answer that the client got; null where it left before.
    pub status: Option<u64>,
    /// Why the gateway refused; null where it did not.
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
    /// Tokens of input that the provider wrote to its cache, for an hour or longer.
    pub cache_write_1h_tokens: u64,
    /// What was charged, in US dollars.
    pub cost: NanoUsd,
    /// The version of the price that it was charged at; null where there was none.
    pub price_version: Option<u64>,
    /// How tokens and cost were found: `none` (nothing was used), `reported` by the provider, `reserved`
    /// (something is not known: what was reserved is charged), or, where neither tokens nor money are
    /// limited, `estimated` by the gateway: a floor, since more may have been used.
    pub settlement: String,
    /// Why the provider's own figures were not taken, or not taken for all: `answer_cut`, `answer_unknown`,
    /// `answer_unreadable`, `usage_missing`, `usage_partial`, `usage_unclear`,
    /// `usage_implausible` or `tier_not_priced`; null where they were.
    pub settlement_reason: Option<String>,
    /// From the request's headers to the end.
    pub latency_ms: u64,
    /// To the first byte of the answer's body; null where none came.
    pub first_token_ms: Option<u64>,
    /// Whether the answer was a stream.
    pub streamed: bool,
    /// The client's address.
    pub client_address: Option<String>,
    /// What the client called the conversation.
    pub conversation_id: Option<String>,
    /// The e-mail address that the request claimed, and the app accepted.
    pub identity: Option<String>,
    /// How it is known who sent it: `none` (it is not), `key` (a named key), `jwt` or `header`.
    pub identity_source: String,
    /// Whether it came with a secret that was replaced.
    pub old_secret: bool,
    /// The tier that served it, as the answer said, or else the one that the request asked for:
    /// `priority`, `speed=fast`. Null where neither says.
    pub service_tier: Option<String>,
    /// How many requests it stands for: refusals of one key that repeat are counted together, and the texts are
    /// those of the last. 1 for every other.
    pub repeats: u64,
    /// How many output tokens each answer was to have, where the gateway lowered that: it was told in
    /// `x-latchkey-asked-output-tokens` and `x-latchkey-granted-output-tokens`. Null where it did not.
    pub asked_output_tokens: Option<u64>,
    /// How many it was given then.
    pub granted_output_tokens: Option<u64>,
    /// The app's metadata at that time.
    #[schema(value_type = Object)]
    pub metadata: Value,
}

/// Which requests.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct LogQuery {
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Items on a page: 1 to 200, 50 by default.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u16>,
    /// Only the one whose answer had this `x-request-id`; quick with `app_id` or `from`.
    pub request_id: Option<String>,
    /// Only of this app.
    pub app_id: Option<Uuid>,
    /// Only with this key.
    pub key_id: Option<Uuid>,
    /// Only of this user.
    pub user_id: Option<Uuid>,
    /// Only those that claimed this e-mail address.
    pub identity: Option<String>,
    /// Only those that asked for this model.
    pub model: Option<String>,
    /// Only those that this provider served.
    pub provider: Option<String>,
    /// Only with this status: `429`, or `4xx` for a class.
    #[param(value_type = Option<String>, pattern = "^[1-5](xx|[0-9]{2})$")]
    pub status: Option<Statuses>,
    /// Only those refused with this code.
    pub code: Option<String>,
    /// Only those with a secret that was replaced, or only the others.
    pub old_secret: Option<bool>,
    /// Only those that this tier served.
    pub service_tier: Option<String>,
    /// Only those that came at this moment or later.
    #[param(value_type = Option<String>, format = DateTime)]
    pub from: Option<Timestamp>,
    /// Only those that came before this moment.
    #[param(value_type = Option<String>, format = DateTime)]
    pub to: Option<Timestamp>,
}

/// A status, or a class of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Statuses {
    least: u16,
    most: u16,
}

impl FromStr for Statuses {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let class = match text.as_bytes() {
            [class @ b'1'..=b'5', b'x', b'x'] => Some(u16::from(class - b'0') * 100),
            _ => None,
        };
        let exact = || text.parse().ok().filter(|status| (100..=599).contains(status));
        match class {
            Some(least) => Ok(Self { least, most: least + 99 }),
            None => exact()
                .map(|status| Self { least: status, most: status })
                .ok_or("`status` must be a status like 429, or a class like 4xx"),
        }
    }
}

impl TryFrom<String> for Statuses {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Log> for LogView {
    fn from(log: Log) -> Self {
        let Log {
            id,
            at,
            request_id,
            gateway,
            app,
            key,
            user,
            model,
            served_model,
            provider,
            endpoint,
            status,
            code,
            input_tokens,
            cached_input_tokens,
            output_tokens,
            reasoning_tokens,
            cache_write_5m_tokens,
            cache_write_1h_tokens,
            cost,
            price_version,
            settlement,
            settlement_reason,
            latency_ms,
            first_token_ms,
            streamed,
            client_address,
            conversation_id,
            identity,
            identity_source,
            old_secret,
            service_tier,
            repeats,
            asked_output_tokens,
            granted_output_tokens,
            metadata,
        } = log;
        let (app_id, app_name) = parts(app);
        let (key_id, key_name) = parts(key);
        let (user_id, user_name) = parts(user);
        Self {
            id,
            at,
            request_id,
            gateway,
            app_id,
            app_name,
            key_id,
            key_name,
            user_id,
            user_name,
            model,
            served_model,
            provider,
            endpoint,
            status,
            code,
            input_tokens,
            cached_input_tokens,
            output_tokens,
            reasoning_tokens,
            cache_write_5m_tokens,
            cache_write_1h_tokens,
            cost,
            price_version,
            settlement,
            settlement_reason,
            latency_ms,
            first_token_ms,
            streamed,
            client_address,
            conversation_id,
            identity,
            identity_source,
            old_secret,
            service_tier,
            repeats,
            asked_output_tokens,
            granted_output_tokens,
            metadata,
        }
    }
}

fn parts(named: Option<Named>) -> (Option<Uuid>, Option<String>) {
    named.map_or((None, None), |Named { id, name }| (Some(id), name))
}

/// Lists what requests did, newest first.
#[utoipa::path(get, path = "/api/v1/logs", tag = "logs", operation_id = "list_logs", params(LogQuery),
    security(("token" = [])), responses((status = 200, body = ListPage<LogView>), (status = "4XX", body = Problem)))]
pub async fn list(
    _: ReaderGuard,
    State(api): State<Api>,
    Query(query): Query<LogQuery>,
) -> Result<ListPage<LogView>, Problem> {
    page(&api, Scope::Everything, query).await
}

/// Lists what one's own requests did, newest first, in the apps that one may see; of an app whose
/// requests one may all see, asked for by `app_id`, everyone's.
#[utoipa::path(get, path = "/api/v1/me/logs", tag = "me", operation_id = "list_my_logs", params(LogQuery),
    security(("token" = [])), responses((status = 200, body = ListPage<LogView>), (status = "4XX", body = Problem)))]
pub async fn list_mine(
    person: Person,
    State(api): State<Api>,
    Query(query): Query<LogQuery>,
) -> Result<ListPage<LogView>, Problem> {
    let scope = api.scope(&person, query.app_id).await?;
    page(&api, scope, query).await
}

/// Lists what requests of an app did, newest first: everyone's where one may see them all, and
/// otherwise one's own.
#[utoipa::path(get, path = "/api/v1/me/apps/{id}/logs", tag = "me", operation_id = "list_my_app_logs",
    params(("id" = Uuid, Path), LogQuery),
    security(("token" = [])), responses((status = 200, body = ListPage<LogView>), (status = "4XX", body = Problem)))]
pub async fn list_of_my_app(
    person: Person,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    Query(query): Query<LogQuery>,
) -> Result<ListPage<LogView>, Problem> {
    let scope = api.scope_of_app(&person, id).await?;
    page(&api, scope, query).await
}

async fn page(api: &Api, scope: Scope, query: LogQuery) -> Result<ListPage<LogView>, Problem> {
    let LogQuery {
        cursor,
        limit,
        request_id,
        app_id,
        key_id,
        user_id,
        identity,
        model,
        provider,
        status,
        code,
        old_secret,
        service_tier,
        from,
        to,
    } = query;
    let paging = paging(cursor.as_deref(), limit, None)?;
    in_order(from, to)?;
    let filter = LogFilter {
        scope,
        request_id,
        app: app_id,
        key: key_id,
        user: user_id,
        identity: identity.map(|email| email.to_lowercase()),
        model,
        provider,
        status: status.map(|statuses| (statuses.least, statuses.most)),
        code,
        old_secret,
        service_tier,
        from,
        to,
        before: paging.after,
    };
    let rows = api.store.logs(&filter, paging.rows()).await?;
    Ok(paging.page(rows, |log| log.id, LogView::from))
}
