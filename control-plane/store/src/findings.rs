//! What guardrails found in requests and answers: never the value itself.

pub mod summary;

use std::sync::LazyLock;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::conditions::{Conditions, ListedTime, Scope};
use super::ledger::bulk::Bulk;
use super::ledger::bulk::Column::{self, Number, Text};
use super::row::Columns as _;
use super::{Store, Tx};

/// Something that a guardrail found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = FindingView)]
pub struct Finding {
    /// Later findings have higher ones.
    pub id: i64,
    /// When the request came, by the gateway's clock.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The request's, as the client got it in `x-request-id`: its record in the logs has the same.
    pub request_id: String,
    /// The gateway's name.
    pub gateway: String,
    /// Of which app.
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
    /// What was looked for: `pii`, `secrets`, `custom`, ….
    pub category: String,
    /// Which detector of the category found it: `email`, `credit_card`; of `custom` the category's name.
    pub detector: String,
    /// `low` or `high`.
    pub risk: String,
    /// What was done: `monitored`, `redacted`, `anonymized` or `blocked`; `would_redact`, `would_anonymize` or
    /// `would_block` where the rule was on trial, or a change request was tried, and then also `would_monitor`.
    pub action: String,
    /// `request` or `response`.
    pub direction: String,
    /// Where: `messages[3].content`. Null where it was in more places than are told one by one.
    pub place: Option<String>,
    /// The number of the message, from 0; null where the place is no message.
    pub message: Option<u64>,
    /// How many of it there are in this place.
    pub count: u64,
    /// The value, masked: `4111 •••• •••• 1111`.
    pub excerpt: String,
    /// The same for one value within one app, in hexadecimal; nobody can tell the value from it.
    pub value_hash: String,
    /// The change request that was tried; null where the app's own guardrails found it.
    pub change_request_id: Option<Uuid>,
}

/// Which findings.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct FindingQuery {
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Items on a page: 1 to 200, 50 by default.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u16>,
    /// Only of the request whose answer had this `x-request-id`.
    pub request_id: Option<String>,
    /// Only of this app.
    pub app_id: Option<Uuid>,
    /// Only with this key.
    pub key_id: Option<Uuid>,
    /// Only of this user.
    pub user_id: Option<Uuid>,
    /// Only of this category.
    pub category: Option<String>,
    /// Only of this detector.
    pub detector: Option<String>,
    /// Only of this risk: `low` or `high`.
    pub risk: Option<String>,
    /// Only those about which this was done. Several have commas between.
    pub action: Option<String>,
    /// Only in this direction: `request` or `response`.
    pub direction: Option<String>,
    /// Only those of the trial of this change request.
    pub change_request_id: Option<Uuid>,
    /// Only in requests that came at this moment or later.
    #[param(value_type = Option<String>, format = DateTime)]
    pub from: Option<Timestamp>,
    /// Only in requests that came before this moment.
    #[param(value_type = Option<String>, format = DateTime)]
    pub to: Option<Timestamp>,
}

/// A finding, as it is inserted.
#[derive(Clone, Debug, Serialize)]
pub struct FindingRow<'a> {
    pub at: i64,
    pub request_id: &'a str,
    pub gateway: &'a str,
    /// Empty for none, as the other ids.
    pub app_id: String,
    pub key_id: String,
    pub user_id: String,
    pub category: &'a str,
    pub detector: &'a str,
    pub risk: &'a str,
    pub action: &'a str,
    pub direction: &'a str,
    pub place: &'a str,
    pub message: Option<i64>,
    pub count: i64,
    pub excerpt: &'a str,
    pub value_hash: &'a str,
    pub change_request_id: String,
}

/// The columns that are written, each a field of [`FindingRow`].
const COLUMNS: [Column; 17] = [
    Number("at"),
    Text("request_id"),
    Text("gateway"),
    Text("app_id"),
    Text("key_id"),
    Text("user_id"),
    Text("category"),
    Text("detector"),
    Text("risk"),
    Text("action"),
    Text("direction"),
    Text("place"),
    Number("message"),
    Number("count"),
    Text("excerpt"),
    Text("value_hash"),
    Text("change_request_id"),
];

static INSERT: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::new("INSERT INTO findings ({columns}) {rows}", &COLUMNS));

/// The page is cut before names are looked up.
const PAGE: &str = "SELECT page.*, apps.name AS app_name, keys.name AS key_name, users.name AS user_name
    FROM (SELECT id, at, request_id, gateway, app_id, key_id, user_id, category, detector, risk, action, direction,
          place, message, count, excerpt, value_hash, change_request_id FROM findings {where} ORDER BY id DESC {limit}) AS page
    LEFT JOIN apps ON apps.id = page.app_id LEFT JOIN keys ON keys.id = page.key_id
    LEFT JOIN users ON users.id = page.user_id ORDER BY page.id DESC";

impl FromRow<'_, AnyRow> for Finding {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let id = |column| match row.try_get(column)? {
            "" => Ok(None),
            _ => row.uuid(column).map(Some),
        };
        let place: String = row.try_get("place")?;
        Ok(Self {
            id: row.try_get("id")?,
            at: row.time("at")?,
            request_id: row.try_get("request_id")?,
            gateway: row.try_get("gateway")?,
            app_id: id("app_id")?,
            app_name: row.try_get("app_name")?,
            key_id: id("key_id")?,
            key_name: row.try_get("key_name")?,
            user_id: id("user_id")?,
            user_name: row.try_get("user_name")?,
            category: row.try_get("category")?,
            detector: row.try_get("detector")?,
            risk: row.try_get("risk")?,
            action: row.try_get("action")?,
            direction: row.try_get("direction")?,
            place: Some(place).filter(|place| !place.is_empty()),
            message: row.optional_count("message")?,
            count: row.count("count")?,
            excerpt: row.try_get("excerpt")?,
            value_hash: row.try_get("value_hash")?,
            change_request_id: id("change_request_id")?,
        })
    }
}

/// What of a query chooses findings, without its time.
pub(super) fn conditions(scope: &Scope, query: &FindingQuery) -> Conditions {
    let FindingQuery {
        cursor: _,
        limit: _,
        request_id,
        app_id,
        key_id,
        user_id,
        category,
        detector,
        risk,
        action,
        direction,
        change_request_id,
        from: _,
        to: _,
    } = query;
    Conditions::within(scope)
        .text("request_id =", request_id.as_ref())
        .text("app_id =", app_id.as_ref())
        .text("key_id =", key_id.as_ref())
        .text("user_id =", user_id.as_ref())
        .text("category =", category.as_ref())
        .text("detector =", detector.as_ref())
        .text("risk =", risk.as_ref())
        .any_of("action", action.as_deref())
        .text("direction =", direction.as_ref())
        .text("change_request_id <> '' AND change_request_id =", change_request_id.as_ref())
}

impl Store {
    /// Findings in this scope, newest first, those older than `before`.
    pub async fn findings(
        &self,
        scope: &Scope,
        query: &FindingQuery,
        (before, now): (Option<i64>, Timestamp),
        limit: i64,
    ) -> sqlx::Result<Vec<Finding>> {
        let time = ListedTime { from: query.from, to: query.to, now };
        let conditions = conditions(scope, query).listed("findings", time).number("id <", before);
        conditions.query_as(PAGE, limit).fetch_all(&self.pool).await
    }
}

impl Tx {
    pub async fn insert_findings(&mut self, rows: &[FindingRow<'_>]) -> sqlx::Result<()> {
        self.write(&INSERT, rows).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_a_row_has_a_column() {
        let row = FindingRow {
            at: 0,
            request_id: "",
            gateway: "",
            app_id: String::new(),
            key_id: String::new(),
            user_id: String::new(),
            category: "",
            detector: "",
            risk: "",
            action: "",
            direction: "",
            place: "",
            message: None,
            count: 0,
            excerpt: "",
            value_hash: "",
            change_request_id: String::new(),
        };
        let row = serde_json::to_value(row).unwrap();
        let mut columns = COLUMNS.map(Column::name);
        columns.sort_unstable();
        let mut fields: Vec<_> = row.as_object().unwrap().keys().map(String::as_str).collect();
        fields.sort_unstable();
        assert_eq!(fields, columns);
    }
}
