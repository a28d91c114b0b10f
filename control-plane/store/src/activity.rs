//! How much keys and apps are used, and how much of what they may use.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{FromRow as _, Row as _};
use uuid::Uuid;

use super::ledger::bucket::BucketKey;
use super::records::Record;
use super::row::{Columns as _, unfit};
use super::{Backend, Store};

/// How often something was used, and when last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Requests since it was made.
    pub requests: u64,
    /// When the last one came.
    pub last_used_at: Option<Timestamp>,
    /// When the last one came with a secret that was replaced; of an app, of its own key.
    pub old_secret_used_at: Option<Timestamp>,
}

impl Activity {
    pub(super) fn add(&mut self, record: &Record, old_secret: bool) {
        self.requests = self.requests.saturating_add(record.repeats);
        self.last_used_at = self.last_used_at.max(Some(record.at));
        if old_secret {
            self.old_secret_used_at = self.old_secret_used_at.max(Some(record.at));
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    /// What was used for good in a period; none where the book has not begun with it.
    pub used: Option<u64>,
    /// What was used for good in each slot of a window.
    pub slots: Vec<(i64, u64)>,
    /// What gateways were handed and have neither used nor given back.
    pub reserved: u64,
}

macro_rules! stocks {
    ($wanted:literal) => {
        concat!(
            "SELECT wanted.owner, wanted.kind, wanted.period, used, COALESCE(slots, '') AS slots,
             (SELECT CAST(COALESCE(SUM(CASE WHEN granted + local > leases.used + returned + expired
                THEN granted + local - leases.used - returned - expired ELSE 0 END), 0) AS BIGINT) FROM leases
              WHERE leases.owner = wanted.owner AND leases.kind = wanted.kind AND leases.period = wanted.period
             ) AS reserved FROM ",
            $wanted,
            " LEFT JOIN buckets ON buckets.owner = wanted.owner AND buckets.kind = wanted.kind
             AND buckets.period = wanted.period"
        )
    };
}

macro_rules! activity {
    ($table:literal, $id:literal, $ids:literal) => {
        concat!(
            "SELECT ",
            $id,
            " AS id, requests, last_used_at, NULLIF(old_secret_used_at, 0) AS old_secret_used_at FROM ",
            $table,
            " WHERE ",
            $id,
            " IN (SELECT ",
            $ids,
            ")"
        )
    };
}

impl Store {
    /// What these buckets hold; one that nothing was used of is empty.
    pub async fn stocks(&self, wanted: &[BucketKey]) -> sqlx::Result<HashMap<BucketKey, Stock>> {
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        let query = match self.backend {
            Backend::Sqlite => stocks!(
                "(SELECT value ->> 'owner' AS owner, value ->> 'kind' AS kind, value ->> 'period' AS period
                  FROM json_each($1)) AS wanted"
            ),
            Backend::Postgres => stocks!(
                "jsonb_to_recordset(CAST($1 AS jsonb)) AS wanted (owner TEXT, kind BIGINT, period BIGINT)"
            ),
        };
        let wanted: Vec<_> = wanted.iter().map(BucketKey::row).collect();
        let rows = sqlx::query(query).bind(json(&wanted)).fetch_all(&self.pool).await?;
        rows.iter().map(stock).collect()
    }

    /// How much these keys were used; those that never were are missing.
    pub async fn key_activity(&self, keys: &[Uuid]) -> sqlx::Result<HashMap<Uuid, Activity>> {
        let query = match self.backend {
            Backend::Sqlite => activity!("key_usage", "key_id", "value FROM json_each($1)"),
            Backend::Postgres => {
                activity!("key_usage", "key_id", "jsonb_array_elements_text(CAST($1 AS jsonb))")
            }
        };
        self.activity(query, keys).await
    }

    /// How much all keys of these apps were used; those that never were are missing.
    pub async fn app_activity(&self, apps: &[Uuid]) -> sqlx::Result<HashMap<Uuid, Activity>> {
        let query = match self.backend {
            Backend::Sqlite => activity!("app_usage", "app_id", "value FROM json_each($1)"),
            Backend::Postgres => {
                activity!("app_usage", "app_id", "jsonb_array_elements_text(CAST($1 AS jsonb))")
            }
        };
        self.activity(query, apps).await
    }

    async fn activity(&self, query: &'static str, ids: &[Uuid]) -> sqlx::Result<HashMap<Uuid, Activity>> {
        let ids: Vec<_> = ids.iter().map(Uuid::to_string).collect();
        let rows = sqlx::query(query).bind(json(&ids)).fetch_all(&self.pool).await?;
        let read = |row: &AnyRow| {
            let activity = Activity {
                requests: row.count("requests")?,
                last_used_at: row.optional_time("last_used_at")?,
                old_secret_used_at: row.optional_time("old_secret_used_at")?,
            };
            Ok((row.uuid("id")?, activity))
        };
        rows.iter().map(read).collect()
    }
}

fn stock(row: &AnyRow) -> sqlx::Result<(BucketKey, Stock)> {
    let slots = match row.try_get("slots")? {
        "" => Vec::new(),
        json => serde_json::from_str(json).map_err(|error| unfit("slots", error))?,
    };
    Ok((
        BucketKey::from_row(row)?,
        Stock { used: row.optional_count("used")?, slots, reserved: row.count("reserved")? },
    ))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("ids and numbers are plain JSON")
}
