//! Sums of what requests did.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Serialize;
use uuid::Uuid;

use super::bulk::Column::{Number, Text};
use super::bulk::{Bulk, Column};
use super::record::Record;
use super::stored;
use crate::store::Tx;

/// Of what a sum is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsageKey {
    day: i64,
    app_id: Uuid,
    key_id: Uuid,
    model: String,
    provider: String,
    user_id: Option<Uuid>,
}

/// The sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    requests: u64,
    denied: u64,
    input_tokens: u64,
    cached_input_tokens: u64,
    output_tokens: u64,
    reasoning_tokens: u64,
    cost: u64,
}

/// How an app or a key was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activity {
    requests: u64,
    last_used_at_ms: i64,
}

/// Sums of some records.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    days: BTreeMap<UsageKey, Usage>,
    apps: BTreeMap<Uuid, Activity>,
    /// With the app that each opens.
    keys: BTreeMap<Uuid, (Uuid, Activity)>,
}

const DAY_MS: i64 = 86_400_000;

impl Sums {
    /// Adds a record of this user's. The model is named only where a provider was asked: what clients invent would make
    /// a sum of its own each time.
    pub fn add(&mut self, record: &Record, user_id: Option<Uuid>) {
        let key = UsageKey {
            day: record.at_ms.div_euclid(DAY_MS),
            app_id: record.app_id,
            key_id: record.key_id,
            model: if record.served_model.is_empty() { String::new() } else { record.model.clone() },
            provider: record.provider.clone(),
            user_id,
        };
        let sum = self.days.entry(key).or_default();
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut sum.requests, 1);
        add(&mut sum.denied, u64::from(!record.code.is_empty()));
        add(&mut sum.input_tokens, record.input_tokens);
        add(&mut sum.cached_input_tokens, record.cached_input_tokens);
        add(&mut sum.output_tokens, record.output_tokens);
        add(&mut sum.reasoning_tokens, record.reasoning_tokens);
        add(&mut sum.cost, record.cost);
        self.apps.entry(record.app_id).or_default().add(record);
        let unused = (record.app_id, Activity::default());
        self.keys.entry(record.key_id).or_insert(unused).1.add(record);
    }
}

impl Default for Activity {
    fn default() -> Self {
        Self { requests: 0, last_used_at_ms: i64::MIN }
    }
}

impl Activity {
    fn add(&mut self, record: &Record) {
        self.requests = self.requests.saturating_add(1);
        self.last_used_at_ms = self.last_used_at_ms.max(record.at_ms);
    }
}

#[derive(Serialize)]
struct DayRow<'a> {
    day: i64,
    app_id: Uuid,
    key_id: Uuid,
    user_id: String,
    model: &'a str,
    provider: &'a str,
    requests: i64,
    denied: i64,
    input_tokens: i64,
    cached_input_tokens: i64,
    output_tokens: i64,
    reasoning_tokens: i64,
    cost: i64,
}

#[derive(Serialize)]
struct AppRow {
    app_id: Uuid,
    requests: i64,
    last_used_at: i64,
}

#[derive(Serialize)]
struct KeyRow {
    key_id: Uuid,
    #[serde(flatten)]
    app: AppRow,
}

const DAY: [Column; 13] = [
    Number("day"),
    Text("app_id"),
    Text("key_id"),
    Text("user_id"),
    Text("model"),
    Text("provider"),
    Number("requests"),
    Number("denied"),
    Number("input_tokens"),
    Number("cached_input_tokens"),
    Number("output_tokens"),
    Number("reasoning_tokens"),
    Number("cost"),
];

static ADD_DAYS: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(
        "INSERT INTO usage_days ({columns}) {rows}
         ON CONFLICT (day, app_id, key_id, model, provider, user_id) DO UPDATE SET
         requests = usage_days.requests + excluded.requests,
         denied = usage_days.denied + excluded.denied,
         input_tokens = usage_days.input_tokens + excluded.input_tokens,
         cached_input_tokens = usage_days.cached_input_tokens + excluded.cached_input_tokens,
         output_tokens = usage_days.output_tokens + excluded.output_tokens,
         reasoning_tokens = usage_days.reasoning_tokens + excluded.reasoning_tokens,
         cost = usage_days.cost + excluded.cost",
        &DAY,
    )
});

static ADD_APPS: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(
        "INSERT INTO app_usage ({columns}) {rows}
         ON CONFLICT (app_id) DO UPDATE SET requests = app_usage.requests + excluded.requests,
         last_used_at = CASE WHEN excluded.last_used_at > app_usage.last_used_at
         THEN excluded.last_used_at ELSE app_usage.last_used_at END",
        &[Text("app_id"), Number("requests"), Number("last_used_at")],
    )
});

static ADD_KEYS: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(
        "INSERT INTO key_usage ({columns}) {rows}
         ON CONFLICT (key_id) DO UPDATE SET requests = key_usage.requests + excluded.requests,
         last_used_at = CASE WHEN excluded.last_used_at > key_usage.last_used_at
         THEN excluded.last_used_at ELSE key_usage.last_used_at END",
        &[Text("key_id"), Text("app_id"), Number("requests"), Number("last_used_at")],
    )
});

impl Tx {
    /// Adds to the sums.
    ///
    /// # Errors
    /// The database is away.
    pub async fn add_usage(&mut self, sums: &Sums) -> sqlx::Result<()> {
        self.write(&ADD_DAYS, &sums.days.iter().map(day).collect::<Vec<_>>()).await?;
        let app = |(app_id, activity): (&Uuid, &Activity)| AppRow {
            app_id: *app_id,
            requests: stored(activity.requests),
            last_used_at: activity.last_used_at_ms,
        };
        self.write(&ADD_APPS, &sums.apps.iter().map(app).collect::<Vec<_>>()).await?;
        let key = |(key_id, (app_id, activity)): (&Uuid, &(Uuid, Activity))| KeyRow {
            key_id: *key_id,
            app: app((app_id, activity)),
        };
        self.write(&ADD_KEYS, &sums.keys.iter().map(key).collect::<Vec<_>>()).await
    }
}

fn day<'a>((key, sum): (&'a UsageKey, &Usage)) -> DayRow<'a> {
    DayRow {
        day: key.day,
        app_id: key.app_id,
        key_id: key.key_id,
        user_id: key.user_id.map(|id| id.to_string()).unwrap_or_default(),
        model: &key.model,
        provider: &key.provider,
        requests: stored(sum.requests),
        denied: stored(sum.denied),
        input_tokens: stored(sum.input_tokens),
        cached_input_tokens: stored(sum.cached_input_tokens),
        output_tokens: stored(sum.output_tokens),
        reasoning_tokens: stored(sum.reasoning_tokens),
        cost: stored(sum.cost),
    }
}
