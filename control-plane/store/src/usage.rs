//! Sums of what requests did, which outlive their records.

use std::fmt::Write as _;
use std::sync::LazyLock;

use jiff::Timestamp;
use latchkey_core::money::NanoUsd;
use serde::Serialize;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::conditions::{Conditions, Scope};
use super::records::Record;
use super::row::Columns as _;
use super::{Backend, Store};

/// An app's settings as PostgreSQL reads JSON: it refuses U+0000, which metadata of earlier versions may have.
macro_rules! readable {
    () => {
        "CAST(CASE WHEN strpos(apps.settings, '\\u0000') > 0 THEN NULL ELSE apps.settings END AS JSONB)"
    };
}

/// What sums are made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupBy {
    /// The day, in UTC.
    Day,
    /// The hour, in UTC. The logs know it, and usage sums do not.
    Hour,
    /// The minute. So do they.
    Minute,
    App,
    User,
    Key,
    /// The model, as clients ask for it.
    Model,
    Provider,
    /// The groups that the user is in now: the requests of who is in two count in each.
    Group,
    /// The tags that the app has now; so with several.
    Tag,
    /// What the app's metadata has now under [`UsageFilter::metadata_key`].
    Metadata,
}

/// Sums of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageGroup {
    /// Days since 1970, where grouped by day.
    pub day: Option<i64>,
    /// When the hour or minute began, where grouped by one: milliseconds since 1970.
    pub began_at: Option<i64>,
    /// The app's id and name, where grouped by app; and so on.
    pub app: (Option<Uuid>, Option<String>),
    pub user: (Option<Uuid>, Option<String>),
    pub key: (Option<Uuid>, Option<String>),
    pub model: Option<String>,
    pub provider: Option<String>,
    pub group: (Option<Uuid>, Option<String>),
    pub tag: Option<String>,
    pub metadata_value: Option<String>,
    pub sums: UsageSums,
}

/// Sums of a part of all that was used in a day, hour or minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsagePart {
    /// Of which part: an index into those that were asked for, or their number for the rest.
    pub part: usize,
    /// As in [`UsageGroup`].
    pub day: Option<i64>,
    /// As in [`UsageGroup`].
    pub began_at: Option<i64>,
    pub sums: UsageSums,
}

/// What requests did, together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = SumsView)]
pub struct UsageSums {
    /// How many there were.
    pub requests: u64,
    /// How many of them the gateway refused.
    pub denied: u64,
    /// Tokens of input, with those from the cache.
    pub input_tokens: u64,
    /// Tokens of input that providers had in their cache.
    pub cached_input_tokens: u64,
    /// Tokens of output, with those for reasoning.
    pub output_tokens: u64,
    /// Tokens of output for reasoning.
    pub reasoning_tokens: u64,
    /// What was charged, in US dollars.
    pub cost: NanoUsd,
}

/// The columns of sums, in the order of [`UsageSums::numbers`].
pub(super) const SUM_COLUMNS: [&str; 7] = [
    "requests",
    "denied",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost",
];

impl UsageSums {
    #[must_use]
    pub fn of(record: &Record) -> Self {
        Self {
            requests: record.repeats,
            denied: record.code.as_ref().map_or(0, |_| record.repeats),
            input_tokens: record.input_tokens,
            cached_input_tokens: record.cached_input_tokens,
            output_tokens: record.output_tokens,
            reasoning_tokens: record.reasoning_tokens,
            cost: record.cost,
        }
    }

    pub fn add(&mut self, more: Self) {
        for (sum, more) in self.numbers_mut().into_iter().zip(more.numbers()) {
            *sum = sum.saturating_add(more);
        }
    }

    pub(super) fn numbers(mut self) -> [u64; 7] {
        self.numbers_mut().map(|number| *number)
    }

    fn numbers_mut(&mut self) -> [&mut u64; 7] {
        let Self {
            requests,
            denied,
            input_tokens,
            cached_input_tokens,
            output_tokens,
            reasoning_tokens,
            cost: NanoUsd(cost),
        } = self;
        [requests, denied, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, cost]
    }
}

#[derive(Clone, Debug)]
pub struct UsageFilter {
    /// Of what the reader may see.
    pub scope: Scope,
    pub span: UsageSpan,
    pub app: Option<Uuid>,
    pub user: Option<Uuid>,
    pub key: Option<Uuid>,
    pub model: Option<String>,
    pub provider: Option<String>,
    /// The key of apps' metadata whose values sums are made by.
    pub metadata_key: Option<String>,
}

/// Of which time sums are made, and so from what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageSpan {
    /// From usage sums: from the first day to the last, with it, in days since 1970.
    Days {
        /// The first.
        from: i64,
        /// The last.
        to: i64,
    },
    /// From the logs, which end sooner: from one moment to before another.
    Moments {
        /// At this moment or later.
        from: Timestamp,
        /// Before this one.
        to: Timestamp,
    },
}

/// The columns of sums over a group.
static SUMMED: LazyLock<String> = LazyLock::new(|| {
    SUM_COLUMNS.map(|sum| format!("CAST(COALESCE(SUM({sum}), 0) AS BIGINT) AS {sum}")).join(", ")
});

/// The sums by fewer things, as rows like those of `usage_days`.
macro_rules! broad {
    ($dimension:literal, $column:literal) => {
        concat!(
            "(SELECT day, value AS ",
            $column,
            ", model, provider, requests, denied, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens,
              cost FROM usage_sums WHERE dimension = '",
            $dimension,
            "') AS broad"
        )
    };
}

/// Records, as rows like those of `usage_days`. An expression is no column of an index: what is asked of one app is found
/// by its time, which is short, and not among all that the app has ever had.
const LOGGED: &str = "(SELECT at, at / 86400000 AS day, at / 3600000 AS hour, at / 60000 AS minute,
    app_id || '' AS app_id, key_id || '' AS key_id, user_id || '' AS user_id, model, provider, repeats AS requests,
    CASE WHEN code = '' THEN 0 ELSE repeats END AS denied, input_tokens, cached_input_tokens, output_tokens,
    reasoning_tokens, cost FROM records) AS logged";

const HOUR_MS: i64 = 3_600_000;
const MINUTE_MS: i64 = 60_000;

impl GroupBy {
    fn column(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Hour => "hour",
            Self::Minute => "minute",
            Self::App => "app_id",
            Self::User => "user_id",
            Self::Key => "key_id",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Group => "group_id",
            Self::Tag => "tag",
            Self::Metadata => "metadata_value",
        }
    }

    /// Whether a request can be in several of its groups, so that they add up to more than there was.
    #[must_use]
    pub fn overlaps(self) -> bool {
        matches!(self, Self::Group | Self::Tag)
    }

    /// What it is a label of, which rows have a column for; itself where it is none.
    fn labelled(self) -> Self {
        match self {
            Self::Group => Self::User,
            Self::Tag | Self::Metadata => Self::App,
            other => other,
        }
    }

    fn is_time(self) -> bool {
        matches!(self, Self::Day | Self::Hour | Self::Minute)
    }

    /// What to show of the group, and where that is.
    fn shown(self) -> (&'static str, &'static str) {
        match self {
            Self::Day | Self::Hour | Self::Minute => (self.column(), ""),
            Self::App => (
                "NULLIF(sums.app_id, '') AS app_id, apps.name AS app_name",
                "LEFT JOIN apps ON apps.id = sums.app_id",
            ),
            Self::User => (
                "NULLIF(sums.user_id, '') AS user_id, users.name AS user_name",
                "LEFT JOIN users ON users.id = sums.user_id",
            ),
            Self::Key => (
                "NULLIF(sums.key_id, '') AS key_id, keys.name AS key_name",
                "LEFT JOIN keys ON keys.id = sums.key_id",
            ),
            Self::Model => ("NULLIF(model, '') AS model", ""),
            Self::Provider => ("NULLIF(provider, '') AS provider", ""),
            Self::Group => (
                "NULLIF(sums.group_id, '') AS group_id, groups.name AS group_name",
                "LEFT JOIN groups ON groups.id = sums.group_id",
            ),
            Self::Tag => ("NULLIF(tag, '') AS tag", ""),
            Self::Metadata => ("NULLIF(metadata_value, '') AS metadata_value", ""),
        }
    }
}

impl Store {
    /// The sums of each group: the newest day first, and the dearest first of each day.
    pub async fn usage(
        &self,
        groups: &[GroupBy],
        filter: &UsageFilter,
        limit: i64,
    ) -> sqlx::Result<Vec<UsageGroup>> {
        let columns = groups.iter().map(|group| group.column()).collect::<Vec<_>>().join(", ");
        let (shown, joins): (Vec<_>, Vec<_>) = groups.iter().map(|group| group.shown()).unzip();
        let times = groups.iter().filter(|group| group.is_time());
        let day: String = times.map(|group| format!("{} DESC, ", group.column())).collect();
        let order = format!("ORDER BY {day}cost DESC, requests DESC, {columns}");
        let (rows, conditions) = self.rows(groups, filter);
        let query = format!(
            "SELECT {shown}, {} FROM (SELECT {columns}, {} FROM {rows} GROUP BY {columns} {order} {{limit}}) AS sums
             {joins} {order}",
            SUM_COLUMNS.join(", "),
            *SUMMED,
            shown = shown.join(", "),
            joins = joins.join(" "),
        );
        let read = |row: &AnyRow| {
            let mut usage = UsageGroup { sums: sums(row)?, ..UsageGroup::default() };
            for group in groups {
                match group {
                    GroupBy::Day => usage.day = row.try_get("day")?,
                    GroupBy::Hour => usage.began_at = Some(row.try_get::<i64, _>("hour")? * HOUR_MS),
                    GroupBy::Minute => usage.began_at = Some(row.try_get::<i64, _>("minute")? * MINUTE_MS),
                    GroupBy::App => usage.app = (row.optional_uuid("app_id")?, row.try_get("app_name")?),
                    GroupBy::User => usage.user = (row.optional_uuid("user_id")?, row.try_get("user_name")?),
                    GroupBy::Key => usage.key = (row.optional_uuid("key_id")?, row.try_get("key_name")?),
                    GroupBy::Model => usage.model = row.try_get("model")?,
                    GroupBy::Provider => usage.provider = row.try_get("provider")?,
                    GroupBy::Group => {
                        usage.group = (row.optional_uuid("group_id")?, row.try_get("group_name")?);
                    }
                    GroupBy::Tag => usage.tag = row.try_get("tag")?,
                    GroupBy::Metadata => usage.metadata_value = row.try_get("metadata_value")?,
                }
            }
            Ok(usage)
        };
        conditions.query(&query, limit).fetch_all(&self.pool).await?.iter().map(read).collect()
    }

    /// The sums of each of these groups in each day, hour or minute, and those of the rest together. A group is
    /// named by its values of `groups`, in their order; without one by an empty text.
    pub async fn usage_parts(
        &self,
        time: GroupBy,
        groups: &[GroupBy],
        parts: &[Vec<String>],
        filter: &UsageFilter,
    ) -> sqlx::Result<Vec<UsagePart>> {
        let by: Vec<_> = std::iter::once(time).chain(groups.iter().copied()).collect();
        let (rows, mut conditions) = self.rows(&by, filter);
        let mut part = String::new();
        for (index, values) in parts.iter().enumerate() {
            let equal = groups.iter().zip(values).map(|(group, value)| {
                let value = conditions.bind(value);
                format!("{} = {value}", group.column())
            });
            let equal = equal.collect::<Vec<_>>().join(" AND ");
            // Writing into a string does not fail.
            let _ = write!(part, " WHEN {equal} THEN {index}");
        }
        let part = match parts {
            [] => "0".to_owned(),
            parts => format!("CASE{part} ELSE {} END", parts.len()),
        };
        let column = time.column();
        let query = format!(
            "SELECT {column}, part, {sums} FROM (SELECT {column}, CAST({part} AS BIGINT) AS part, {} FROM {rows}) AS parts
             GROUP BY {column}, part ORDER BY {column}, part",
            SUM_COLUMNS.join(", "),
            sums = *SUMMED,
        );
        let read = |row: &AnyRow| {
            let at: i64 = row.try_get(column)?;
            Ok(UsagePart {
                part: usize::try_from(row.try_get::<i64, _>("part")?).unwrap_or(parts.len()),
                day: (time == GroupBy::Day).then_some(at),
                began_at: match time {
                    GroupBy::Hour => Some(at * HOUR_MS),
                    GroupBy::Minute => Some(at * MINUTE_MS),
                    _ => None,
                },
                sums: sums(row)?,
            })
        };
        conditions.query(&query, 0).fetch_all(&self.pool).await?.iter().map(read).collect()
    }

    /// The keys that apps' metadata has, those of the most apps first.
    pub async fn metadata_keys(&self, limit: i64) -> sqlx::Result<Vec<String>> {
        let (keys, key) = match self.backend {
            Backend::Sqlite => ("json_each(apps.settings, '$.metadata') AS entry", "entry.key"),
            Backend::Postgres => {
                (concat!("jsonb_object_keys(", readable!(), " -> 'metadata') AS entry(name)"), "entry.name")
            }
        };
        let query = format!(
            "SELECT {key} AS name FROM apps, {keys} WHERE apps.deleted_at IS NULL
             GROUP BY {key} ORDER BY COUNT(*) DESC, {key} LIMIT $1"
        );
        sqlx::query_scalar(sqlx::AssertSqlSafe(query)).bind(limit).fetch_all(&self.pool).await
    }

    /// Rows with the columns of these groups, as a query reads them, and what they must be. What is a label of
    /// users or apps is joined to their sums, so that each is read once.
    fn rows(&self, groups: &[GroupBy], filter: &UsageFilter) -> (String, Conditions) {
        let mut conditions = conditions(filter);
        let mut plain: Vec<_> = groups.iter().map(|group| group.labelled()).collect();
        plain.sort_unstable();
        plain.dedup();
        let source = source(&plain, filter);
        if groups.iter().all(|group| group.labelled() == *group) {
            return (format!("{source} {{where}}"), conditions);
        }
        let columns = plain.iter().map(|group| group.column()).collect::<Vec<_>>().join(", ");
        let labels = groups.iter().filter(|group| group.labelled() != **group);
        let (mut shown, mut joins) = (String::new(), String::new());
        for group in labels {
            let key = match group {
                GroupBy::Metadata => conditions.bind(filter.metadata_key.as_deref().unwrap_or_default()),
                _ => String::new(),
            };
            let column = group.column();
            let of = group.labelled().column();
            let labels = labels_of(*group, self.backend, &key);
            // Writing into a string does not fail.
            let _ = write!(shown, ", COALESCE({column}, '') AS {column}");
            let _ = write!(joins, " LEFT JOIN ({labels}) AS {column}s ON {column}s.labelled = each_sum.{of}");
        }
        let rows = format!(
            "(SELECT each_sum.*{shown} FROM (SELECT {columns}, {} FROM {source} {{where}} GROUP BY {columns}) AS each_sum
              {joins}) AS labelled_sums",
            *SUMMED
        );
        (rows, conditions)
    }

    /// The sums of all together.
    pub async fn total_usage(&self, filter: &UsageFilter) -> sqlx::Result<UsageSums> {
        let query = format!("SELECT {} FROM {} {{where}} {{limit}}", *SUMMED, source(&[], filter));
        sums(&conditions(filter).query(&query, 1).fetch_one(&self.pool).await?)
    }
}

/// The labels of this kind, of each user or app once.
fn labels_of(group: GroupBy, backend: Backend, key: &str) -> String {
    match (group, backend) {
        (GroupBy::Tag, Backend::Sqlite) => "SELECT DISTINCT apps.id AS labelled, label.value AS tag
             FROM apps, json_each(apps.settings, '$.tags') AS label"
            .to_owned(),
        (GroupBy::Tag, Backend::Postgres) => concat!(
            "SELECT DISTINCT apps.id AS labelled, label.value AS tag
             FROM apps, jsonb_array_elements_text(",
            readable!(),
            " -> 'tags') AS label(value)"
        )
        .to_owned(),
        // SQLite has the numbers 1 and 0 for true and false.
        (GroupBy::Metadata, Backend::Sqlite) => format!(
            "SELECT apps.id AS labelled, CASE WHEN entry.type IN ('true', 'false') THEN entry.type
                 ELSE CAST(entry.value AS TEXT) END AS metadata_value
             FROM apps, json_each(apps.settings, '$.metadata') AS entry WHERE entry.key = {key}"
        ),
        (GroupBy::Metadata, Backend::Postgres) => format!(
            concat!(
                "SELECT apps.id AS labelled, entry.value AS metadata_value
                 FROM apps, jsonb_each_text(",
                readable!(),
                " -> 'metadata') AS entry(key, value) WHERE entry.key = {key}"
            ),
            key = key
        ),
        _ => "SELECT user_id AS labelled, group_id FROM group_members".to_owned(),
    }
}

/// Where these sums are found by the fewest rows.
fn source(groups: &[GroupBy], filter: &UsageFilter) -> &'static str {
    const EACH: &str = "usage_days";
    let UsageFilter { scope, span, app, user, key, model, provider, metadata_key: _ } = filter;
    if matches!(span, UsageSpan::Moments { .. }) {
        return LOGGED;
    }
    // What is of one app, user or key has an index there.
    if *scope != Scope::Everything || app.is_some() || user.is_some() || key.is_some() {
        return EACH;
    }
    let by = |group| groups.contains(&group);
    let by_model = by(GroupBy::Model) || model.is_some();
    let by_provider = by(GroupBy::Provider) || provider.is_some();
    match (by(GroupBy::App), by(GroupBy::User)) {
        _ if by(GroupBy::Key) => EACH,
        (true, true) => EACH,
        (false, false) => broad!("all", "of_all"),
        (true, false) if by_model => broad!("app_model", "app_id"),
        (true, false) if by_provider => broad!("app_provider", "app_id"),
        (true, false) => broad!("app", "app_id"),
        (false, true) if by_model => broad!("user_model", "user_id"),
        (false, true) if by_provider => broad!("user_provider", "user_id"),
        (false, true) => broad!("user", "user_id"),
    }
}

fn conditions(filter: &UsageFilter) -> Conditions {
    let UsageFilter { scope, span, app, user, key, model, provider, metadata_key: _ } = filter;
    let within = match span {
        UsageSpan::Days { from, to } => {
            Conditions::within(scope).number("day >=", Some(*from)).number("day <=", Some(*to))
        }
        UsageSpan::Moments { from, to } => Conditions::within(scope)
            .number("at >=", Some(from.as_millisecond()))
            .number("at <", Some(to.as_millisecond())),
    };
    within
        .text("app_id =", app.as_ref())
        .text("user_id =", user.as_ref())
        .text("key_id =", key.as_ref())
        .text("model =", model.as_ref())
        .text("provider =", provider.as_ref())
}

fn sums(row: &AnyRow) -> sqlx::Result<UsageSums> {
    let mut sums = UsageSums::default();
    for (number, column) in sums.numbers_mut().into_iter().zip(SUM_COLUMNS) {
        *number = row.count(column)?;
    }
    Ok(sums)
}
