//! Events of quotas, written with the spend.

use std::sync::LazyLock;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::bulk::Bulk;
use super::bulk::Column::{Number, Text};
use crate::Tx;

/// An event that is told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaEvent {
    /// `quota.threshold` or `quota.exceeded`.
    pub kind: &'static str,
    pub app_id: Uuid,
    /// Of which named key; none for the app as a whole.
    pub key_id: Option<Uuid>,
    pub data: serde_json::Value,
    /// The same for what is the same event.
    pub once: String,
}

#[derive(Serialize)]
struct QuotaEventRow<'a> {
    at: i64,
    kind: &'a str,
    app_id: Uuid,
    key_id: String,
    data: String,
    once: &'a str,
}

static INSERT: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(
        "INSERT INTO events ({columns}) {rows} ON CONFLICT (once) DO NOTHING",
        &[Number("at"), Text("kind"), Text("app_id"), Text("key_id"), Text("data"), Text("once")],
    )
});

impl Tx {
    /// Adds the events that were not told before; they are sorted by `once`.
    pub async fn insert_quota_events(&mut self, events: &[QuotaEvent], at: Timestamp) -> sqlx::Result<()> {
        let rows = events.iter().map(|event| QuotaEventRow {
            at: at.as_millisecond(),
            kind: event.kind,
            app_id: event.app_id,
            key_id: event.key_id.map(|id| id.to_string()).unwrap_or_default(),
            data: event.data.to_string(),
            once: &event.once,
        });
        self.write(&INSERT, &rows.collect::<Vec<_>>()).await
    }
}
