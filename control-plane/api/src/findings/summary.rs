//! `/api/v1/findings/summary`

use axum::Json;
use axum::extract::State;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{FindingQuery, refuse_unknown_words};
use crate::Api;
use crate::auth::{Person, ReaderGuard};
use crate::body::{PathParams, Query};
use crate::pagination::{bad_query, in_order};
use crate::problem::Problem;
use latchkey_store::conditions::Scope;
use latchkey_store::findings::summary::{FindingGroup, FindingGroupBy};

pub use latchkey_store::findings::summary::FindingSums;

/// The most groups in one answer.
const MOST_GROUPS: u16 = 1000;
/// The longest time that sums are made of: each finding in it is read.
pub const LONGEST_SUMMARY: SignedDuration = SignedDuration::from_hours(92 * 24);
/// Where no time is asked for.
const USUAL: SignedDuration = SignedDuration::from_hours(30 * 24);
const SECONDS_OF_A_DAY: i64 = 86_400;

/// What guardrails found, summed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FindingSummary {
    /// From this moment on.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// Up to this moment.
    #[schema(value_type = String, format = DateTime)]
    pub to: Timestamp,
    /// One for each group that has any: the newest day first, and the most findings first of each day. At most
    /// 1000.
    pub items: Vec<FindingSummaryItem>,
    /// Whether there are more groups than fit: ask for less time or with a filter.
    pub truncated: bool,
    /// The sums of everything, whether it is in `items` or not.
    pub totals: FindingSums,
    /// At how many requests guardrails looked in that time, with those in which they found nothing. Of the
    /// filters it knows the app, the key and the user.
    pub inspected_requests: u64,
}

/// One group. It has what was grouped by.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FindingSummaryItem {
    /// The day, in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Date)]
    pub day: Option<Date>,
    /// When the hour began, where grouped by `hour`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub began_at: Option<Timestamp>,
    /// What was looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// What found it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detector: Option<String>,
    /// What was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_id: Option<Uuid>,
    /// The app's name as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_name: Option<String>,
    /// The user; absent for app keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Uuid>,
    /// The user's name as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
    /// The group's sums.
    #[serde(flatten)]
    pub sums: FindingSums,
}

/// What to sum, and by what.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct FindingSummaryQuery {
    /// Any of `day`, `hour`, `category`, `detector`, `action`, `app` and `user`, with commas between. Left out: only
    /// the totals.
    #[param(
        pattern = "^((day|hour|category|detector|action|app|user)(,(day|hour|category|detector|action|app|user))*)?$"
    )]
    pub group_by: Option<String>,
    /// From this moment on: 30 days before `to` by default, and at most 92.
    #[param(value_type = Option<String>, format = DateTime)]
    pub from: Option<Timestamp>,
    /// Up to this moment: now by default.
    #[param(value_type = Option<String>, format = DateTime)]
    pub to: Option<Timestamp>,
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
}

/// Sums what guardrails found. The sums end with the findings, as old logs are removed.
#[utoipa::path(get, path = "/api/v1/findings/summary", tag = "findings", operation_id = "read_findings_summary",
    params(FindingSummaryQuery),
    security(("token" = [])), responses((status = 200, body = FindingSummary), (status = "4XX", body = Problem)))]
pub async fn summary(
    _: ReaderGuard,
    State(api): State<Api>,
    Query(query): Query<FindingSummaryQuery>,
) -> Result<Json<FindingSummary>, Problem> {
    sum(&api, &Scope::Everything, query).await
}

/// Sums what guardrails found in requests of an app: everyone's where one may see them all, and otherwise one's
/// own.
#[utoipa::path(get, path = "/api/v1/me/apps/{id}/findings/summary", tag = "me",
    operation_id = "read_my_app_findings_summary", params(("id" = Uuid, Path), FindingSummaryQuery),
    security(("token" = [])), responses((status = 200, body = FindingSummary), (status = "4XX", body = Problem)))]
pub async fn summary_of_my_app(
    person: Person,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    Query(query): Query<FindingSummaryQuery>,
) -> Result<Json<FindingSummary>, Problem> {
    let scope = api.scope_of_app(&person, id).await?;
    sum(&api, &scope, query).await
}

async fn sum(api: &Api, scope: &Scope, query: FindingSummaryQuery) -> Result<Json<FindingSummary>, Problem> {
    let groups = groups(query.group_by.as_deref().unwrap_or_default())?;
    let to = query.to.unwrap_or_else(|| api.world.now());
    let from = query.from.or_else(|| to.checked_sub(USUAL).ok()).unwrap_or(Timestamp::UNIX_EPOCH);
    in_order(Some(from), Some(to))?;
    if to.duration_since(from) > LONGEST_SUMMARY {
        return Err(bad_query("`from` and `to` must be at most 92 days apart"));
    }
    let chosen = FindingQuery {
        cursor: None,
        limit: None,
        request_id: None,
        app_id: query.app_id,
        key_id: query.key_id,
        user_id: query.user_id,
        category: query.category,
        detector: query.detector,
        risk: query.risk,
        action: query.action,
        direction: query.direction,
        change_request_id: query.change_request_id,
        from: Some(from),
        // Up to now is with what a gateway's clock puts a little later.
        to: query.to,
    };
    refuse_unknown_words(&chosen)?;
    let mut rows = match groups.as_slice() {
        [] => Vec::new(),
        groups => api.store.finding_groups(groups, scope, &chosen, i64::from(MOST_GROUPS) + 1).await?,
    };
    let truncated = rows.len() > usize::from(MOST_GROUPS);
    rows.truncate(MOST_GROUPS.into());
    let totals = api.store.finding_totals(scope, &chosen).await?;
    let inspected_requests = api.store.inspected_requests(scope, &chosen).await?;
    let items = rows.into_iter().map(FindingSummaryItem::from).collect();
    Ok(Json(FindingSummary { from, to, items, truncated, totals, inspected_requests }))
}

fn groups(text: &str) -> Result<Vec<FindingGroupBy>, Problem> {
    let known = |word: &str| FindingGroupBy::ALL.into_iter().find(|(name, _)| *name == word);
    let read = |word| match known(word) {
        Some((_, group)) => Ok(group),
        None => Err(bad_query(
            "`group_by` takes a comma-separated list of `day`, `hour`, `category`, `detector`, `action`, `app`, and `user`",
        )),
    };
    let words = text.split(',').filter(|word| !word.is_empty());
    let mut groups = words.map(read).collect::<Result<Vec<_>, _>>()?;
    groups.sort_unstable();
    groups.dedup();
    Ok(groups)
}

impl From<FindingGroup> for FindingSummaryItem {
    fn from(group: FindingGroup) -> Self {
        let FindingGroup { day, began_at, category, detector, action, app, user, sums } = group;
        Self {
            day: day.and_then(date),
            began_at: began_at.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
            category,
            detector,
            action,
            app_id: app.0,
            app_name: app.1,
            user_id: user.0,
            user_name: user.1,
            sums,
        }
    }
}

fn date(day: i64) -> Option<Date> {
    let midnight = Timestamp::from_second(day.checked_mul(SECONDS_OF_A_DAY)?).ok()?;
    Some(midnight.to_zoned(TimeZone::UTC).date())
}
