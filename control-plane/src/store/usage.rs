//! Sums of what requests did, which outlive their records.

use latchkey_core::money::NanoUsd;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::Store;
use super::conditions::{Conditions, Scope};
use super::row::Columns as _;

/// What sums are made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// The day, in UTC.
    Day,
    /// The app.
    App,
    /// The user.
    User,
    /// The key.
    Key,
    /// The model, as clients ask for it.
    Model,
    /// The provider.
    Provider,
}

/// Sums of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Days since 1970, where grouped by day.
    pub day: Option<i64>,
    /// The app's id and name, where grouped by app; and so on.
    pub app: (Option<Uuid>, Option<String>),
    /// The user.
    pub user: (Option<Uuid>, Option<String>),
    /// The key.
    pub key: (Option<Uuid>, Option<String>),
    /// The model.
    pub model: Option<String>,
    /// The provider's name.
    pub provider: Option<String>,
    /// The sums.
    pub sums: Sums,
}

/// What requests did, together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
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
    /// What was charged.
    pub cost: NanoUsd,
}

/// What is summed.
#[derive(Clone, Debug)]
pub struct UsageFilter {
    /// Of what the reader may see.
    pub scope: Scope,
    /// From this day on: days since 1970.
    pub from: i64,
    /// Up to this day, with it.
    pub to: i64,
    /// Of this app.
    pub app: Option<Uuid>,
    /// Of this user.
    pub user: Option<Uuid>,
    /// With this key.
    pub key: Option<Uuid>,
    /// Of this model.
    pub model: Option<String>,
    /// That this provider served.
    pub provider: Option<String>,
}

impl std::iter::Sum for Sums {
    fn sum<I: Iterator<Item = Self>>(sums: I) -> Self {
        let add = |a: u64, b: u64| a.saturating_add(b);
        sums.fold(Self::default(), |all, one| Self {
            requests: add(all.requests, one.requests),
            denied: add(all.denied, one.denied),
            input_tokens: add(all.input_tokens, one.input_tokens),
            cached_input_tokens: add(all.cached_input_tokens, one.cached_input_tokens),
            output_tokens: add(all.output_tokens, one.output_tokens),
            reasoning_tokens: add(all.reasoning_tokens, one.reasoning_tokens),
            cost: NanoUsd(add(all.cost.0, one.cost.0)),
        })
    }
}

const SUMS: &str = "CAST(COALESCE(SUM(requests), 0) AS BIGINT) AS requests,
    CAST(COALESCE(SUM(denied), 0) AS BIGINT) AS denied,
    CAST(COALESCE(SUM(input_tokens), 0) AS BIGINT) AS input_tokens,
    CAST(COALESCE(SUM(cached_input_tokens), 0) AS BIGINT) AS cached_input_tokens,
    CAST(COALESCE(SUM(output_tokens), 0) AS BIGINT) AS output_tokens,
    CAST(COALESCE(SUM(reasoning_tokens), 0) AS BIGINT) AS reasoning_tokens,
    CAST(COALESCE(SUM(cost), 0) AS BIGINT) AS cost";

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

impl Group {
    /// The column.
    fn column(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::App => "app_id",
            Self::User => "user_id",
            Self::Key => "key_id",
            Self::Model => "model",
            Self::Provider => "provider",
        }
    }

    /// What to show of the group, and where that is.
    fn shown(self) -> (&'static str, &'static str) {
        match self {
            Self::Day => ("day", ""),
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
        }
    }
}

impl Store {
    /// The sums of each group: the newest day first, and the dearest first of each day.
    ///
    /// # Errors
    /// The database is away.
    pub async fn usage(
        &self,
        groups: &[Group],
        filter: &UsageFilter,
        limit: i64,
    ) -> sqlx::Result<Vec<Usage>> {
        let columns = groups.iter().map(|group| group.column()).collect::<Vec<_>>().join(", ");
        let (shown, joins): (Vec<_>, Vec<_>) = groups.iter().map(|group| group.shown()).unzip();
        let day = if groups.contains(&Group::Day) { "day DESC, " } else { "" };
        let order = format!("ORDER BY {day}cost DESC, requests DESC, {columns}");
        let query = format!(
            "SELECT {shown}, requests, denied, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens,
             cost FROM (SELECT {columns}, {SUMS} FROM {source} {{where}} GROUP BY {columns} {order} {{limit}}) AS sums
             {joins} {order}",
            source = source(groups, filter),
            shown = shown.join(", "),
            joins = joins.join(" "),
        );
        let read = |row: &AnyRow| {
            let mut usage = Usage { sums: sums(row)?, ..Usage::default() };
            for group in groups {
                match group {
                    Group::Day => usage.day = row.try_get("day")?,
                    Group::App => usage.app = (row.optional_uuid("app_id")?, row.try_get("app_name")?),
                    Group::User => usage.user = (row.optional_uuid("user_id")?, row.try_get("user_name")?),
                    Group::Key => usage.key = (row.optional_uuid("key_id")?, row.try_get("key_name")?),
                    Group::Model => usage.model = row.try_get("model")?,
                    Group::Provider => usage.provider = row.try_get("provider")?,
                }
            }
            Ok(usage)
        };
        conditions(filter).query(&query, limit).fetch_all(&self.pool).await?.iter().map(read).collect()
    }

    /// The sums of all together.
    ///
    /// # Errors
    /// The database is away.
    pub async fn total_usage(&self, filter: &UsageFilter) -> sqlx::Result<Sums> {
        let query = format!("SELECT {SUMS} FROM {} {{where}} {{limit}}", source(&[], filter));
        sums(&conditions(filter).query(&query, 1).fetch_one(&self.pool).await?)
    }
}

/// Where these sums are found by the fewest rows.
fn source(groups: &[Group], filter: &UsageFilter) -> &'static str {
    const EACH: &str = "usage_days";
    let UsageFilter { scope, from: _, to: _, app, user, key, model, provider } = filter;
    // What is of one app, user or key has an index there.
    if *scope != Scope::Everything || app.is_some() || user.is_some() || key.is_some() {
        return EACH;
    }
    let by = |group| groups.contains(&group);
    let by_model = by(Group::Model) || model.is_some();
    let by_provider = by(Group::Provider) || provider.is_some();
    match (by(Group::App), by(Group::User)) {
        _ if by(Group::Key) => EACH,
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
    let UsageFilter { scope, from, to, app, user, key, model, provider } = filter;
    Conditions::within(scope)
        .number("day >=", Some(*from))
        .number("day <=", Some(*to))
        .text("app_id =", app.as_ref())
        .text("user_id =", user.as_ref())
        .text("key_id =", key.as_ref())
        .text("model =", model.as_ref())
        .text("provider =", provider.as_ref())
}

fn sums(row: &AnyRow) -> sqlx::Result<Sums> {
    Ok(Sums {
        requests: row.count("requests")?,
        denied: row.count("denied")?,
        input_tokens: row.count("input_tokens")?,
        cached_input_tokens: row.count("cached_input_tokens")?,
        output_tokens: row.count("output_tokens")?,
        reasoning_tokens: row.count("reasoning_tokens")?,
        cost: NanoUsd(row.count("cost")?),
    })
}
