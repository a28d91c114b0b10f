//! What each request did.
//!
//! [`Record`] is the one definition of a record: the ledger writes it, the log lists it, and the API and the
//! pages show it. A further column is a field of it, a name in [`COLUMNS`], and what the ledger reads it from.

use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use latchkey_core::attempt::Attempt;
use latchkey_core::money::NanoUsd;
use serde::de::DeserializeOwned;
use serde::ser::{Error as _, SerializeMap as _};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::conditions::{Conditions, ListedTime, Scope};
use super::ledger::bulk::{Bulk, Column};
use super::ledger::stored;
use super::row::{Columns as _, unfit};
use super::{Store, Tx};

/// What one request did. Never text of a prompt or an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = LogView)]
pub struct Record {
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
    /// The email address that the request claimed, and the app accepted.
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
    /// Whether guardrails looked at it: at the request, the answer or both.
    pub inspected: bool,
    /// How many findings they had: `/api/v1/findings` lists them.
    pub findings: u64,
    /// How many texts and media of it they could not read.
    pub unread: u64,
    /// The change request whose guardrails were tried on it.
    pub tried_change_request: Option<Uuid>,
    /// The stored prompts that it referred to, each with its version: `summary@v3`.
    pub prompts: Vec<String>,
    /// Each try at a target of the routing group that was asked for, in their order; empty where none was. The
    /// provider and the served model are those of the last.
    pub attempts: Vec<Attempt>,
    /// The app's metadata at that time.
    #[schema(value_type = Object)]
    pub metadata: Metadata,
}

/// The column of the field of this name.
macro_rules! column {
    ($field:ident) => {
        RecordColumn {
            column: column_of(stringify!($field), |record| &record.$field),
            value: |record| record.$field.value(),
            read: |record, row| {
                record.$field = ColumnType::read(row, stringify!($field))?;
                Ok(())
            },
        }
    };
}
/// The columns that are written with a record and read with it. A name is the column's and the field's, and the
/// field's type says how it is stored ([`ColumnType`]). The id and the names of app, key and user are only read.
static COLUMNS: &[RecordColumn] = &[
    column!(at),
    column!(request_id),
    column!(gateway),
    column!(app_id),
    column!(key_id),
    column!(user_id),
    column!(model),
    column!(served_model),
    column!(provider),
    column!(endpoint),
    column!(status),
    column!(code),
    column!(input_tokens),
    column!(cached_input_tokens),
    column!(output_tokens),
    column!(reasoning_tokens),
    column!(cache_write_5m_tokens),
    column!(cache_write_1h_tokens),
    column!(cost),
    column!(price_version),
    column!(settlement),
    column!(settlement_reason),
    column!(latency_ms),
    // 0 is a time: where there is none the column is null.
    RecordColumn {
        column: Column::Number("first_token_ms"),
        value: |record| record.first_token_ms.map_or(Cell::Null, |ms| Cell::Number(stored(ms))),
        read: |record, row| {
            record.first_token_ms = row.optional_count("first_token_ms")?;
            Ok(())
        },
    },
    column!(streamed),
    column!(client_address),
    column!(conversation_id),
    column!(identity),
    column!(identity_source),
    column!(old_secret),
    column!(service_tier),
    column!(repeats),
    column!(asked_output_tokens),
    column!(granted_output_tokens),
    column!(inspected),
    column!(findings),
    column!(unread),
    column!(tried_change_request),
    column!(prompts),
    column!(attempts),
    column!(metadata),
];

struct RecordColumn {
    column: Column,
    value: fn(&Record) -> Cell<'_>,
    read: fn(&mut Record, &AnyRow) -> sqlx::Result<()>,
}

const fn column_of<T: ColumnType>(name: &'static str, _: fn(&Record) -> &T) -> Column {
    if T::IS_TEXT { Column::Text(name) } else { Column::Number(name) }
}

/// A value, as its column takes it.
#[derive(Serialize)]
#[serde(untagged)]
enum Cell<'a> {
    Text(&'a str),
    Json(String),
    Id(Uuid),
    Number(i64),
    Null,
}

/// How a field's type is stored. None is empty text, or 0.
trait ColumnType: Sized {
    const IS_TEXT: bool;
    fn value(&self) -> Cell<'_>;
    fn read(row: &AnyRow, column: &str) -> sqlx::Result<Self>;
}

impl ColumnType for String {
    const IS_TEXT: bool = true;

    fn value(&self) -> Cell<'_> {
        Cell::Text(self)
    }

    fn read(row: &AnyRow, column: &str) -> sqlx::Result<Self> {
        row.try_get(column)
    }
}

impl ColumnType for Option<String> {
    const IS_TEXT: bool = true;

    fn value(&self) -> Cell<'_> {
        Cell::Text(self.as_deref().unwrap_or_default())
    }

    fn read(row: &AnyRow, column: &str) -> sqlx::Result<Self> {
        Ok(Some(row.try_get(column)?).filter(|text: &String| !text.is_empty()))
    }
}

/// As JSON.
impl<T: Serialize + DeserializeOwned> ColumnType for Vec<T> {
    const IS_TEXT: bool = true;

    fn value(&self) -> Cell<'_> {
        match self.as_slice() {
            [] => Cell::Text(""),
            items => Cell::Json(serde_json::json!(items).to_string()),
        }
    }

    fn read(row: &AnyRow, column: &str) -> sqlx::Result<Self> {
        match row.try_get(column)? {
            "" => Ok(Self::new()),
            json => serde_json::from_str(json).map_err(|error| unfit(column, error)),
        }
    }
}

impl ColumnType for Option<Uuid> {
    const IS_TEXT: bool = true;

    fn value(&self) -> Cell<'_> {
        self.map_or(Cell::Text(""), Cell::Id)
    }

    fn read(row: &AnyRow, column: &str) -> sqlx::Result<Self> {
        match row.try_get(column)? {
            "" => Ok(None),
            _ => row.uuid(column).map(Some),
        }
    }
}

impl ColumnType for Metadata {
    const IS_TEXT: bool = true;

    fn value(&self) -> Cell<'_> {
        Cell::Text(&self.0)
    }

    fn read(row: &AnyRow, column: &str) -> sqlx::Result<Self> {
        match row.try_get(column)? {
            "" => Ok(Self::default()),
            json => match serde_json::from_str::<serde_json::Value>(json) {
                Ok(metadata) => Ok(Self(metadata.to_string().into())),
                Err(error) => Err(unfit(column, error)),
            },
        }
    }
}

impl ColumnType for u64 {
    const IS_TEXT: bool = false;

    fn value(&self) -> Cell<'_> {
        Cell::Number(stored(*self))
    }

    fn read(row: &AnyRow, column: &str) -> sqlx::Result<Self> {
        row.count(column)
    }
}

impl ColumnType for Option<u64> {
    const IS_TEXT: bool = false;

    fn value(&self) -> Cell<'_> {
        Cell::Number(stored(self.unwrap_or(0)))
    }

    fn read(row: &AnyRow, column: &str) -> sqlx::Result<Self> {
        Ok(Some(row.count(column)?).filter(|number| *number > 0))
    }
}

impl ColumnType for NanoUsd {
    const IS_TEXT: bool = false;

    fn value(&self) -> Cell<'_> {
        Cell::Number(stored(self.0))
    }

    fn read(row: &AnyRow, column: &str) -> sqlx::Result<Self> {
        row.count(column).map(Self)
    }
}

impl ColumnType for bool {
    const IS_TEXT: bool = false;

    fn value(&self) -> Cell<'_> {
        Cell::Number(i64::from(*self))
    }

    fn read(row: &AnyRow, column: &str) -> sqlx::Result<Self> {
        row.flag(column)
    }
}

impl ColumnType for Timestamp {
    const IS_TEXT: bool = false;

    fn value(&self) -> Cell<'_> {
        Cell::Number(self.as_millisecond())
    }

    fn read(row: &AnyRow, column: &str) -> sqlx::Result<Self> {
        row.time(column)
    }
}

/// An app's metadata: a JSON object as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata(Arc<str>);

impl Metadata {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self.0 == *"{}"
    }
}

impl Default for Metadata {
    fn default() -> Self {
        Self("{}".into())
    }
}

impl From<&serde_json::Map<String, serde_json::Value>> for Metadata {
    fn from(metadata: &serde_json::Map<String, serde_json::Value>) -> Self {
        Self(serde_json::json!(metadata).to_string().into())
    }
}

impl std::fmt::Display for Metadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::from_str::<&RawValue>(&self.0).map_err(S::Error::custom)?.serialize(serializer)
    }
}

/// A record, as it is inserted.
struct RecordRow<'a>(&'a Record);

impl Serialize for RecordRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_map(Some(COLUMNS.len()))?;
        for RecordColumn { column, value, .. } in COLUMNS {
            row.serialize_entry(column.name(), &value(self.0))?;
        }
        row.end()
    }
}

impl FromRow<'_, AnyRow> for Record {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let mut record = Self {
            id: row.try_get("id")?,
            app_name: row.try_get("app_name")?,
            key_name: row.try_get("key_name")?,
            user_name: row.try_get("user_name")?,
            ..Self::default()
        };
        for RecordColumn { read, .. } in COLUMNS {
            read(&mut record, row)?;
        }
        Ok(record)
    }
}

/// Which requests.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RecordQuery {
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
    /// Only those that claimed this email address.
    pub identity: Option<String>,
    /// Only those that asked for this model.
    pub model: Option<String>,
    /// Only those that this provider served.
    pub provider: Option<String>,
    /// Only with this status: `429`, or `4xx` for a class.
    #[param(value_type = Option<String>, pattern = "^[1-5](xx|[0-9]{2})$")]
    pub status: Option<StatusRange>,
    /// Only those refused with this code.
    pub code: Option<String>,
    /// Only those with a secret that was replaced, or only the others.
    pub old_secret: Option<bool>,
    /// Only those that this tier served.
    pub service_tier: Option<String>,
    /// Only those in which guardrails found something, or only those at which they looked and found nothing.
    pub findings: Option<bool>,
    /// Only those with a finding of this category: `pii`, `secrets`, `custom`, ….
    pub finding: Option<String>,
    /// Only those of this conversation, as the client called it in `X-Conversation-Id`.
    pub conversation_id: Option<String>,
    /// Only those of which a routing group tried this target: `provider/model` as in the attempts, or `provider` for
    /// any of its models.
    pub target: Option<String>,
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
pub struct StatusRange {
    least: u16,
    most: u16,
}

impl FromStr for StatusRange {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.to_ascii_lowercase();
        let class = match text.as_bytes() {
            [class @ b'1'..=b'5', b'x', b'x'] => Some(u16::from(class - b'0') * 100),
            _ => None,
        };
        let exact = || text.parse().ok().filter(|status| (100..=599).contains(status));
        match class {
            Some(least) => Ok(Self { least, most: least + 99 }),
            None => exact()
                .map(|status| Self { least: status, most: status })
                .ok_or("`status` must be a status such as 429, or a class such as 4xx"),
        }
    }
}

impl TryFrom<String> for StatusRange {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

static INSERT: LazyLock<Bulk> = LazyLock::new(|| {
    let columns: Vec<_> = COLUMNS.iter().map(|column| column.column).collect();
    Bulk::new("INSERT INTO records ({columns}) {rows}", &columns)
});

/// The page is cut before names are looked up.
static PAGE: LazyLock<String> = LazyLock::new(|| {
    let columns: String = COLUMNS.iter().map(|column| format!("page.{}, ", column.column.name())).collect();
    format!(
        "SELECT page.id, {columns}apps.name AS app_name, keys.name AS key_name, users.name AS user_name
         FROM (SELECT * FROM records {{where}} ORDER BY id DESC {{limit}}) AS page
         LEFT JOIN apps ON apps.id = page.app_id LEFT JOIN keys ON keys.id = page.key_id
         LEFT JOIN users ON users.id = page.user_id ORDER BY page.id DESC"
    )
});

const WITH_FINDING: &str = "findings > 0 AND EXISTS (SELECT 1 FROM findings AS found
    WHERE found.request_id = records.request_id AND found.app_id = records.app_id AND found.category = {})";

/// Attempts are stored as JSON.
const WITH_ATTEMPT: &str = "attempts <> '' AND REPLACE(attempts, {}, '') <> attempts";

/// A target, `provider/model` or `provider`, as it stands in the JSON of an attempt.
fn stored_target(target: &str) -> String {
    let json = match target.split_once('/') {
        Some((provider, model)) => serde_json::json!({ "provider": provider, "model": model }),
        None => serde_json::json!({ "provider": target }),
    };
    let text = json.to_string();
    text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or_default().to_owned()
}

impl Store {
    /// Records in this scope, newest first, those older than `before`.
    pub async fn records(
        &self,
        scope: &Scope,
        query: &RecordQuery,
        (before, now): (Option<i64>, Timestamp),
        limit: i64,
    ) -> sqlx::Result<Vec<Record>> {
        let RecordQuery {
            cursor: _,
            limit: _,
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
            findings,
            finding,
            conversation_id,
            target,
            from,
            to,
        } = query;
        let found = match findings {
            Some(true) => "findings > 0 AND findings >",
            _ => "inspected = 1 AND findings =",
        };
        // Failures and refusals have partial indexes, which a query must name to be given them.
        let at_least = match status {
            Some(StatusRange { least: 500.., .. }) => "status >= 500 AND status >=",
            Some(StatusRange { least: 400.., .. }) => "status >= 400 AND status >=",
            _ => "status >=",
        };
        Conditions::within(scope)
            .text("request_id =", request_id.as_ref())
            .text("app_id =", app_id.as_ref())
            .text("key_id =", key_id.as_ref())
            .text("user_id =", user_id.as_ref())
            .text("identity =", identity.as_ref().map(|email| email.to_lowercase()))
            .text("model =", model.as_ref())
            .text("provider =", provider.as_ref())
            .number(at_least, status.map(|status| status.least.into()))
            .number("status <=", status.map(|status| status.most.into()))
            .text("code <> '' AND code =", code.as_ref())
            .number("old_secret =", old_secret.map(i64::from))
            .text("service_tier =", service_tier.as_ref())
            .number(found, findings.map(|_| 0))
            .text(WITH_FINDING, finding.as_ref())
            .text("conversation_id <> '' AND conversation_id =", conversation_id.as_ref())
            .text(WITH_ATTEMPT, target.as_deref().map(stored_target))
            .listed("records", ListedTime { from: *from, to: *to, now })
            .number("id <", before)
            .query_as(&PAGE, limit)
            .fetch_all(&self.pool)
            .await
    }
}

impl Tx {
    pub async fn insert_records(&mut self, records: &[Record]) -> sqlx::Result<()> {
        self.write(&INSERT, &records.iter().map(RecordRow).collect::<Vec<_>>()).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_target_is_found_in_the_attempts_as_they_are_stored() {
        let attempt = |provider: &str, model: &str| Attempt {
            provider: provider.to_owned(),
            model: model.to_owned(),
            status: None,
            end: latchkey_core::attempt::AttemptEnd::Timeout,
            duration_ms: 7,
        };
        let attempts = vec![attempt("openai", "gpt-4o"), attempt("azure", "org/o{1}")];
        let Cell::Json(stored) = attempts.value() else { panic!("attempts are stored as JSON") };
        for (target, is_there) in [
            ("openai", true),
            ("openai/gpt-4o", true),
            ("azure/org/o{1}", true),
            ("openai/gpt-4", false),
            ("azure/gpt-4o", false),
            ("open", false),
        ] {
            assert_eq!(stored.contains(&stored_target(target)), is_there, "{target}: {stored}");
        }
    }

    #[test]
    fn every_field_of_a_record_has_a_column() {
        let shown = serde_json::to_value(Record::default()).unwrap();
        let fields: BTreeSet<_> = shown.as_object().unwrap().keys().map(String::as_str).collect();
        let only_read = ["id", "app_name", "key_name", "user_name"];
        let columns = COLUMNS.iter().map(|column| column.column.name()).chain(only_read);
        assert_eq!(columns.collect::<BTreeSet<_>>(), fields);
    }
}
