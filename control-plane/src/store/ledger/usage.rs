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

/// By what sums are kept besides those of each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Dimension {
    All,
    App,
    User,
    AppModel,
    UserModel,
    AppProvider,
    UserProvider,
}

/// Of what such a sum is; what it is not by is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct BroadKey {
    dimension: Dimension,
    day: i64,
    value: String,
    model: String,
    provider: String,
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

impl Usage {
    fn add(&mut self, more: Self) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.requests, more.requests);
        add(&mut self.denied, more.denied);
        add(&mut self.input_tokens, more.input_tokens);
        add(&mut self.cached_input_tokens, more.cached_input_tokens);
        add(&mut self.output_tokens, more.output_tokens);
        add(&mut self.reasoning_tokens, more.reasoning_tokens);
        add(&mut self.cost, more.cost);
    }
}

/// How an app or a key was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activity {
    requests: u64,
    last_used_at_ms: i64,
    /// 0 for never.
    old_secret_used_at_ms: i64,
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
        self.days.entry(key).or_default().add(Usage {
            requests: record.repeats,
            denied: if record.code.is_empty() { 0 } else { record.repeats },
            input_tokens: record.input_tokens,
            cached_input_tokens: record.cached_input_tokens,
            output_tokens: record.output_tokens,
            reasoning_tokens: record.reasoning_tokens,
            cost: record.cost,
        });
        // An app's own key is nobody's.
        let own = record.old_secret && record.user_id.is_none();
        self.apps.entry(record.app_id).or_default().add(record, own);
        let unused = (record.app_id, Activity::default());
        self.keys.entry(record.key_id).or_insert(unused).1.add(record, record.old_secret);
    }

    /// The same by fewer things, sorted, for the locks.
    fn broad(&self) -> BTreeMap<BroadKey, Usage> {
        let mut broad = BTreeMap::<_, Usage>::new();
        for (key, usage) in &self.days {
            for dimension in Dimension::ALL {
                broad.entry(dimension.of(key)).or_default().add(*usage);
            }
        }
        broad
    }
}

impl Dimension {
    const ALL: [Self; 7] = [
        Self::All,
        Self::App,
        Self::User,
        Self::AppModel,
        Self::UserModel,
        Self::AppProvider,
        Self::UserProvider,
    ];

    fn of(self, key: &UsageKey) -> BroadKey {
        let value = match self {
            Self::All => String::new(),
            Self::App | Self::AppModel | Self::AppProvider => key.app_id.to_string(),
            Self::User | Self::UserModel | Self::UserProvider => user(key),
        };
        let (model, provider) = match self {
            Self::App | Self::User => (String::new(), String::new()),
            Self::AppProvider | Self::UserProvider => (String::new(), key.provider.clone()),
            Self::All | Self::AppModel | Self::UserModel => (key.model.clone(), key.provider.clone()),
        };
        BroadKey { dimension: self, day: key.day, value, model, provider }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::App => "app",
            Self::User => "user",
            Self::AppModel => "app_model",
            Self::UserModel => "user_model",
            Self::AppProvider => "app_provider",
            Self::UserProvider => "user_provider",
        }
    }
}

impl Default for Activity {
    fn default() -> Self {
        Self { requests: 0, last_used_at_ms: i64::MIN, old_secret_used_at_ms: 0 }
    }
}

impl Activity {
    fn add(&mut self, record: &Record, old_secret: bool) {
        self.requests = self.requests.saturating_add(record.repeats);
        self.last_used_at_ms = self.last_used_at_ms.max(record.at_ms);
        if old_secret {
            self.old_secret_used_at_ms = self.old_secret_used_at_ms.max(record.at_ms);
        }
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
    #[serde(flatten)]
    sums: SumsRow,
}

#[derive(Serialize)]
struct BroadRow<'a> {
    dimension: &'static str,
    day: i64,
    value: &'a str,
    model: &'a str,
    provider: &'a str,
    #[serde(flatten)]
    sums: SumsRow,
}

#[derive(Serialize)]
struct SumsRow {
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
    old_secret_used_at: i64,
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
    SUMS[0],
    SUMS[1],
    SUMS[2],
    SUMS[3],
    SUMS[4],
    SUMS[5],
    SUMS[6],
];

const BROAD: [Column; 12] = [
    Text("dimension"),
    Number("day"),
    Text("value"),
    Text("model"),
    Text("provider"),
    SUMS[0],
    SUMS[1],
    SUMS[2],
    SUMS[3],
    SUMS[4],
    SUMS[5],
    SUMS[6],
];

const SUMS: [Column; 7] = [
    Number("requests"),
    Number("denied"),
    Number("input_tokens"),
    Number("cached_input_tokens"),
    Number("output_tokens"),
    Number("reasoning_tokens"),
    Number("cost"),
];

/// Adds sums to a table's rows of the same key.
macro_rules! add_sums {
    ($table:literal, $key:literal) => {
        concat!(
            "INSERT INTO ",
            $table,
            " ({columns}) {rows} ON CONFLICT (",
            $key,
            ") DO UPDATE SET requests = ",
            $table,
            ".requests + excluded.requests, denied = ",
            $table,
            ".denied + excluded.denied, input_tokens = ",
            $table,
            ".input_tokens + excluded.input_tokens, cached_input_tokens = ",
            $table,
            ".cached_input_tokens + excluded.cached_input_tokens, output_tokens = ",
            $table,
            ".output_tokens + excluded.output_tokens, reasoning_tokens = ",
            $table,
            ".reasoning_tokens + excluded.reasoning_tokens, cost = ",
            $table,
            ".cost + excluded.cost"
        )
    };
}

static ADD_DAYS: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(add_sums!("usage_days", "day, app_id, key_id, model, provider, user_id"), &DAY)
});

static ADD_BROAD: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::new(add_sums!("usage_sums", "dimension, day, value, model, provider"), &BROAD));

/// Adds requests to a table's rows of the same key, and keeps the later moments.
macro_rules! add_activity {
    ($table:literal, $key:literal) => {
        concat!(
            "INSERT INTO ",
            $table,
            " ({columns}) {rows} ON CONFLICT (",
            $key,
            ") DO UPDATE SET requests = ",
            $table,
            ".requests + excluded.requests, last_used_at = CASE WHEN excluded.last_used_at > ",
            $table,
            ".last_used_at THEN excluded.last_used_at ELSE ",
            $table,
            ".last_used_at END, old_secret_used_at = CASE WHEN excluded.old_secret_used_at > ",
            $table,
            ".old_secret_used_at THEN excluded.old_secret_used_at ELSE ",
            $table,
            ".old_secret_used_at END"
        )
    };
}

const APP_ACTIVITY: [Column; 4] =
    [Text("app_id"), Number("requests"), Number("last_used_at"), Number("old_secret_used_at")];

const KEY_ACTIVITY: [Column; 5] =
    [Text("key_id"), APP_ACTIVITY[0], APP_ACTIVITY[1], APP_ACTIVITY[2], APP_ACTIVITY[3]];

static ADD_APPS: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::new(add_activity!("app_usage", "app_id"), &APP_ACTIVITY));

static ADD_KEYS: LazyLock<Bulk> =
    LazyLock::new(|| Bulk::new(add_activity!("key_usage", "key_id"), &KEY_ACTIVITY));

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
            old_secret_used_at: activity.old_secret_used_at_ms,
        };
        self.write(&ADD_APPS, &sums.apps.iter().map(app).collect::<Vec<_>>()).await?;
        let key = |(key_id, (app_id, activity)): (&Uuid, &(Uuid, Activity))| KeyRow {
            key_id: *key_id,
            app: app((app_id, activity)),
        };
        self.write(&ADD_KEYS, &sums.keys.iter().map(key).collect::<Vec<_>>()).await
    }

    /// Adds to the sums over all apps. Every transaction of a ledger locks the same few rows of them: it
    /// is to be the last statement.
    ///
    /// # Errors
    /// The database is away.
    pub async fn add_sums(&mut self, sums: &Sums) -> sqlx::Result<()> {
        self.write(&ADD_BROAD, &sums.broad().iter().map(broad).collect::<Vec<_>>()).await
    }
}

fn day<'a>((key, sum): (&'a UsageKey, &Usage)) -> DayRow<'a> {
    DayRow {
        day: key.day,
        app_id: key.app_id,
        key_id: key.key_id,
        user_id: user(key),
        model: &key.model,
        provider: &key.provider,
        sums: sum.row(),
    }
}

fn broad<'a>((key, usage): (&'a BroadKey, &Usage)) -> BroadRow<'a> {
    let BroadKey { dimension, day, value, model, provider } = key;
    BroadRow { dimension: dimension.as_str(), day: *day, value, model, provider, sums: usage.row() }
}

/// Empty for none.
fn user(key: &UsageKey) -> String {
    key.user_id.map(|id| id.to_string()).unwrap_or_default()
}

impl Usage {
    fn row(&self) -> SumsRow {
        SumsRow {
            requests: stored(self.requests),
            denied: stored(self.denied),
            input_tokens: stored(self.input_tokens),
            cached_input_tokens: stored(self.cached_input_tokens),
            output_tokens: stored(self.output_tokens),
            reasoning_tokens: stored(self.reasoning_tokens),
            cost: stored(self.cost),
        }
    }
}
