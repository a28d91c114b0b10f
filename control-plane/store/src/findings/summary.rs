//! Sums of findings. They end with the findings: nothing of them is kept longer.

use serde::Serialize;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{FindingQuery, conditions};
use crate::Store;
use crate::conditions::{Conditions, Scope};
use crate::row::Columns as _;

/// What sums of findings are made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingGroupBy {
    /// The day, in UTC.
    Day,
    /// The hour, in UTC.
    Hour,
    Category,
    Detector,
    Action,
    App,
    User,
}

/// Sums of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FindingGroup {
    /// Days since 1970, where grouped by day.
    pub day: Option<i64>,
    /// When the hour began, where grouped by hour: milliseconds since 1970.
    pub began_at: Option<i64>,
    pub category: Option<String>,
    pub detector: Option<String>,
    pub action: Option<String>,
    /// The app's id and name, where grouped by app; and so on.
    pub app: (Option<Uuid>, Option<String>),
    pub user: (Option<Uuid>, Option<String>),
    pub sums: FindingSums,
}

/// Findings, together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct FindingSums {
    /// How many findings there are.
    pub findings: u64,
    /// How many values that were: one finding may be of several.
    pub values: u64,
    /// In how many requests.
    pub requests: u64,
}

const SUMS: &str = "COUNT(*) AS findings, CAST(COALESCE(SUM(count), 0) AS BIGINT) AS total,
    COUNT(DISTINCT request_id) AS requests";

impl FindingGroupBy {
    /// Every one, by its word.
    pub const ALL: [(&'static str, Self); 7] = [
        ("day", Self::Day),
        ("hour", Self::Hour),
        ("category", Self::Category),
        ("detector", Self::Detector),
        ("action", Self::Action),
        ("app", Self::App),
        ("user", Self::User),
    ];

    fn column(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Hour => "hour",
            Self::Category => "category",
            Self::Detector => "detector",
            Self::Action => "action",
            Self::App => "app_id",
            Self::User => "user_id",
        }
    }
}

impl Store {
    /// The sums of each group: the newest day first, and the most findings first of each day.
    pub async fn finding_groups(
        &self,
        groups: &[FindingGroupBy],
        scope: &Scope,
        query: &FindingQuery,
        limit: i64,
    ) -> sqlx::Result<Vec<FindingGroup>> {
        let columns = groups.iter().map(|group| group.column()).collect::<Vec<_>>().join(", ");
        let day = times(groups, "");
        let shape = format!(
            "SELECT {columns}, {SUMS} FROM (SELECT at / 86400000 AS day, at / 3600000 AS hour, category, detector, action, app_id, user_id,
             count, request_id FROM findings {{where}}) AS found
             GROUP BY {columns} ORDER BY {day}findings DESC, {columns} {{limit}}"
        );
        let shape = named(&shape, groups);
        let rows = within(scope, query).query(&shape, limit).fetch_all(&self.pool).await?;
        rows.iter().map(|row| read(row, groups)).collect()
    }

    /// The sums of all together.
    pub async fn finding_totals(&self, scope: &Scope, query: &FindingQuery) -> sqlx::Result<FindingSums> {
        let shape = format!("SELECT {SUMS} FROM findings {{where}} {{limit}}");
        sums(&within(scope, query).query(&shape, 1).fetch_one(&self.pool).await?)
    }

    /// At how many requests guardrails looked, by the scope and time of this query and whose they were.
    pub async fn inspected_requests(&self, scope: &Scope, query: &FindingQuery) -> sqlx::Result<u64> {
        let FindingQuery { app_id, key_id, user_id, from, to, .. } = query;
        Conditions::within(scope)
            .text("app_id =", app_id.as_ref())
            .text("key_id =", key_id.as_ref())
            .text("user_id =", user_id.as_ref())
            .number("at >=", from.map(jiff::Timestamp::as_millisecond))
            .number("at <", to.map(jiff::Timestamp::as_millisecond))
            .number("inspected =", Some(1))
            .query("SELECT COUNT(*) AS requests FROM records {where} {limit}", 1)
            .fetch_one(&self.pool)
            .await?
            .count("requests")
    }
}

/// What of a query chooses findings, with its time.
fn within(scope: &Scope, query: &FindingQuery) -> Conditions {
    conditions(scope, query)
        .number("at >=", query.from.map(jiff::Timestamp::as_millisecond))
        .number("at <", query.to.map(jiff::Timestamp::as_millisecond))
}

/// The query, with the names of apps and users where they are grouped by.
fn named(shape: &str, groups: &[FindingGroupBy]) -> String {
    let (mut names, mut joins) = (String::new(), String::new());
    if groups.contains(&FindingGroupBy::App) {
        names.push_str(", apps.name AS app_name");
        joins.push_str(" LEFT JOIN apps ON apps.id = sums.app_id");
    }
    if groups.contains(&FindingGroupBy::User) {
        names.push_str(", users.name AS user_name");
        joins.push_str(" LEFT JOIN users ON users.id = sums.user_id");
    }
    let day = times(groups, "sums.");
    let order = groups.iter().map(|group| format!("sums.{}", group.column())).collect::<Vec<_>>().join(", ");
    format!("SELECT sums.*{names} FROM ({shape}) AS sums{joins} ORDER BY {day}findings DESC, {order}")
}

/// The newest first, of what is grouped by time.
fn times(groups: &[FindingGroupBy], of: &str) -> String {
    let is_time = |group: &&FindingGroupBy| matches!(group, FindingGroupBy::Day | FindingGroupBy::Hour);
    groups.iter().filter(is_time).map(|group| format!("{of}{} DESC, ", group.column())).collect()
}

fn read(row: &AnyRow, groups: &[FindingGroupBy]) -> sqlx::Result<FindingGroup> {
    let id = |column| match row.try_get(column)? {
        "" => Ok(None),
        _ => row.uuid(column).map(Some),
    };
    let mut group = FindingGroup { sums: sums(row)?, ..FindingGroup::default() };
    for by in groups {
        match by {
            FindingGroupBy::Day => group.day = row.try_get("day")?,
            FindingGroupBy::Hour => group.began_at = Some(row.try_get::<i64, _>("hour")? * 3_600_000),
            FindingGroupBy::Category => group.category = row.try_get("category")?,
            FindingGroupBy::Detector => group.detector = row.try_get("detector")?,
            FindingGroupBy::Action => group.action = row.try_get("action")?,
            FindingGroupBy::App => group.app = (id("app_id")?, row.try_get("app_name")?),
            FindingGroupBy::User => group.user = (id("user_id")?, row.try_get("user_name")?),
        }
    }
    Ok(group)
}

fn sums(row: &AnyRow) -> sqlx::Result<FindingSums> {
    let (findings, requests) = (row.count("findings")?, row.count("requests")?);
    Ok(FindingSums { findings, values: row.count("total")?, requests })
}
