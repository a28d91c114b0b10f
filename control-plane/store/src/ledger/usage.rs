//! Sums of what requests did.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Serialize;
use uuid::Uuid;

use super::bulk::Column::{Number, Text};
use super::bulk::{Bulk, Column};
use super::stored;
use crate::Tx;
use crate::activity::Activity;
use crate::records::Record;
use crate::usage::{SUM_COLUMNS, UsageSums};

/// Sums of some records, to be added to those that are stored.
#[derive(Clone, Debug, Default)]
pub struct RecordSums {
    days: BTreeMap<DayKey, UsageSums>,
    apps: BTreeMap<Uuid, Activity>,
    /// With the app that each opens.
    keys: BTreeMap<Uuid, (Uuid, Activity)>,
}

/// What a row of `usage_days` is the sum of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct DayKey {
    day: i64,
    app_id: Uuid,
    key_id: Uuid,
    model: String,
    provider: String,
    /// Empty for none.
    user_id: String,
}

/// What a row of `usage_sums` is the sum of; what it is not by is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct DimensionKey {
    dimension: Dimension,
    day: i64,
    value: String,
    model: String,
    provider: String,
}

/// By what sums are kept besides those of each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Dimension {
    All,
    App,
    User,
    AppModel,
    UserModel,
    AppProvider,
    UserProvider,
}

const DAY_MS: i64 = 86_400_000;

impl RecordSums {
    /// Adds a record of this user's. The model is named only where a provider was asked: what clients invent would
    /// make a sum of its own each time.
    pub fn add(&mut self, record: &Record, user_id: Option<Uuid>) {
        let (Some(app_id), Some(key_id)) = (record.app_id, record.key_id) else { return };
        let key = DayKey {
            day: record.at.as_millisecond().div_euclid(DAY_MS),
            app_id,
            key_id,
            model: record.served_model.as_ref().and_then(|_| record.model.clone()).unwrap_or_default(),
            provider: record.provider.clone().unwrap_or_default(),
            user_id: user_id.map(|id| id.to_string()).unwrap_or_default(),
        };
        self.days.entry(key).or_default().add(UsageSums::of(record));
        // An app's own key is nobody's.
        let own = record.old_secret && record.user_id.is_none();
        self.apps.entry(app_id).or_default().add(record, own);
        let unused = (app_id, Activity::default());
        self.keys.entry(key_id).or_insert(unused).1.add(record, record.old_secret);
    }

    /// The same by fewer things, sorted, for the locks.
    fn by_dimension(&self) -> BTreeMap<DimensionKey, UsageSums> {
        let mut by_dimension = BTreeMap::<_, UsageSums>::new();
        for (key, sums) in &self.days {
            for dimension in Dimension::ALL {
                by_dimension.entry(dimension.of(key)).or_default().add(*sums);
            }
        }
        by_dimension
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

    fn of(self, key: &DayKey) -> DimensionKey {
        let value = match self {
            Self::All => String::new(),
            Self::App | Self::AppModel | Self::AppProvider => key.app_id.to_string(),
            Self::User | Self::UserModel | Self::UserProvider => key.user_id.clone(),
        };
        let (model, provider) = match self {
            Self::App | Self::User => (String::new(), String::new()),
            Self::AppProvider | Self::UserProvider => (String::new(), key.provider.clone()),
            Self::All | Self::AppModel | Self::UserModel => (key.model.clone(), key.provider.clone()),
        };
        DimensionKey { dimension: self, day: key.day, value, model, provider }
    }
}

#[derive(Serialize)]
struct SumsRow<'a, K> {
    #[serde(flatten)]
    key: &'a K,
    #[serde(flatten)]
    sums: BTreeMap<&'static str, i64>,
}

#[derive(Serialize)]
struct AppUsageRow {
    app_id: Uuid,
    requests: i64,
    last_used_at: i64,
    /// 0 for never.
    old_secret_used_at: i64,
}

#[derive(Serialize)]
struct KeyUsageRow {
    key_id: Uuid,
    #[serde(flatten)]
    app: AppUsageRow,
}

static ADD_DAYS: LazyLock<Bulk> = LazyLock::new(|| {
    let key =
        [Number("day"), Text("app_id"), Text("key_id"), Text("model"), Text("provider"), Text("user_id")];
    add_sums("usage_days", &key)
});

static ADD_BY_DIMENSION: LazyLock<Bulk> = LazyLock::new(|| {
    let key = [Text("dimension"), Number("day"), Text("value"), Text("model"), Text("provider")];
    add_sums("usage_sums", &key)
});

/// Adds sums to a table's rows of the same key.
fn add_sums(table: &str, key: &[Column]) -> Bulk {
    let names: Vec<_> = key.iter().map(|column| column.name()).collect();
    let add = SUM_COLUMNS.map(|sum| format!("{sum} = {table}.{sum} + excluded.{sum}"));
    let template = format!(
        "INSERT INTO {table} ({{columns}}) {{rows}} ON CONFLICT ({}) DO UPDATE SET {}",
        names.join(", "),
        add.join(", "),
    );
    Bulk::new(&template, &[key, &SUM_COLUMNS.map(Number)].concat())
}

const APP_USAGE: [Column; 4] =
    [Text("app_id"), Number("requests"), Number("last_used_at"), Number("old_secret_used_at")];

static ADD_APPS: LazyLock<Bulk> = LazyLock::new(|| add_activity("app_usage", "app_id", &APP_USAGE));

static ADD_KEYS: LazyLock<Bulk> =
    LazyLock::new(|| add_activity("key_usage", "key_id", &[&[Text("key_id")], &APP_USAGE[..]].concat()));

/// Adds requests to a table's rows of the same key, and keeps the later moments.
fn add_activity(table: &str, key: &str, columns: &[Column]) -> Bulk {
    let later = |at: &str| {
        format!("{at} = CASE WHEN excluded.{at} > {table}.{at} THEN excluded.{at} ELSE {table}.{at} END")
    };
    let template = format!(
        "INSERT INTO {table} ({{columns}}) {{rows}} ON CONFLICT ({key})
         DO UPDATE SET requests = {table}.requests + excluded.requests, {}, {}",
        later("last_used_at"),
        later("old_secret_used_at"),
    );
    Bulk::new(&template, columns)
}

impl Tx {
    /// Adds to the sums by day and key, and to those of apps and keys.
    pub async fn add_usage(&mut self, sums: &RecordSums) -> sqlx::Result<()> {
        self.write(&ADD_DAYS, &sums.days.iter().map(sums_row).collect::<Vec<_>>()).await?;
        let apps = sums.apps.iter().map(|(id, activity)| app_usage_row(*id, activity));
        self.write(&ADD_APPS, &apps.collect::<Vec<_>>()).await?;
        let keys = sums.keys.iter().map(|(key_id, (app_id, activity))| KeyUsageRow {
            key_id: *key_id,
            app: app_usage_row(*app_id, activity),
        });
        self.write(&ADD_KEYS, &keys.collect::<Vec<_>>()).await
    }

    /// Adds to the sums over all apps. Every transaction of a ledger locks the same few rows of them: it
    /// is to be the last statement.
    pub async fn add_usage_by_dimension(&mut self, sums: &RecordSums) -> sqlx::Result<()> {
        self.write(&ADD_BY_DIMENSION, &sums.by_dimension().iter().map(sums_row).collect::<Vec<_>>()).await
    }
}

fn sums_row<'a, K>((key, sums): (&'a K, &UsageSums)) -> SumsRow<'a, K> {
    SumsRow { key, sums: SUM_COLUMNS.into_iter().zip(sums.numbers().map(stored)).collect() }
}

fn app_usage_row(app_id: Uuid, activity: &Activity) -> AppUsageRow {
    let ms = |at: Option<jiff::Timestamp>| at.map_or(0, jiff::Timestamp::as_millisecond);
    AppUsageRow {
        app_id,
        requests: stored(activity.requests),
        last_used_at: ms(activity.last_used_at),
        old_secret_used_at: ms(activity.old_secret_used_at),
    }
}
