//! `/api/v1/usage`

mod time;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use futures::stream;
use jiff::Timestamp;
use jiff::civil::Date;
use latchkey_store::conditions::Scope;
use latchkey_store::usage::{GroupBy, UsageFilter, UsageGroup};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Api;
use super::auth::{Person, ReaderGuard};
use super::body::{PathParams, Query};
use super::export::{self, Export, ExportQuery};
use super::pagination::bad_query;
use super::problem::Problem;

pub use latchkey_store::usage::UsageSums;
pub use time::{LONGEST, UsageTime};

/// The most groups in one answer.
const MOST_GROUPS: u16 = 1000;
/// The most groups in one file.
const MOST_EXPORTED: u32 = 100_000;

/// What requests did, summed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UsageView {
    /// From this day on, in UTC; or from this moment on.
    #[schema(value_type = String)]
    pub from: UsageTime,
    /// Up to this day, with it; or up to this moment.
    #[schema(value_type = String)]
    pub to: UsageTime,
    /// One for each group that has any: the newest time first, and the most expensive first of each. At
    /// most as many as were asked for.
    pub items: Vec<UsageItem>,
    /// Whether there are more groups than fit: ask for fewer days or with a filter.
    pub truncated: bool,
    /// The sums of everything, whether it is in `items` or not.
    pub totals: UsageSums,
}

/// One group. It has what was grouped by, unless its requests had no such thing.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct UsageItem {
    /// The day, in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Date)]
    pub day: Option<Date>,
    /// When the hour or minute began, where grouped by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub began_at: Option<Timestamp>,
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
    /// The key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<Uuid>,
    /// The key's name as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_name: Option<String>,
    /// The model, as clients ask for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The provider's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The group of users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<Uuid>,
    /// The group's name as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_name: Option<String>,
    /// The app's tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// What the app's metadata has under `metadata_key`; lists and objects as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata_value: Option<String>,
    /// The group's sums.
    #[serde(flatten)]
    pub sums: UsageSums,
}

/// What to sum, and by what.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct UsageQuery {
    /// Any of `day`, `hour` or `minute`, `app`, `user`, `key`, `model`, `provider`, `group`, `tag` and `metadata`, with
    /// commas between. Left out: only the totals. Hours and minutes are summed from the logs. Groups, tags and metadata
    /// are those that users and apps have now: a request of a user in two groups, or of an app with two tags, is in
    /// each, and once in the totals. Admins and auditors alone have these three.
    #[param(
        pattern = "^((day|hour|minute|app|user|key|model|provider|group|tag|metadata)(,(day|hour|minute|app|user|key|model|provider|group|tag|metadata))*)?$"
    )]
    pub group_by: Option<String>,
    /// From this day on, in UTC, as in `2026-01-31`: 29 days before the last by default. Or from this moment on, as in
    /// `2026-01-31T09:00:00Z`: then sums come from the logs, of 48 hours at most.
    #[param(value_type = Option<String>)]
    pub from: Option<UsageTime>,
    /// Up to this day, with it: today by default. Or up to this moment.
    #[param(value_type = Option<String>)]
    pub to: Option<UsageTime>,
    /// Only of this app.
    pub app_id: Option<Uuid>,
    /// Only of this user.
    pub user_id: Option<Uuid>,
    /// Only with this key.
    pub key_id: Option<Uuid>,
    /// Only those that asked for this model.
    pub model: Option<String>,
    /// Only those that this provider served.
    pub provider: Option<String>,
    /// By which key of apps' metadata sums are made, where `group_by` has `metadata`.
    pub metadata_key: Option<String>,
    /// Groups in the answer: 1 to 1000, 1000 by default.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u16>,
}

impl From<UsageGroup> for UsageItem {
    fn from(usage: UsageGroup) -> Self {
        let UsageGroup { day, began_at, app, user, key, model, provider, group, tag, metadata_value, sums } =
            usage;
        Self {
            day: day.and_then(time::date),
            began_at: began_at.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
            app_id: app.0,
            app_name: app.1,
            user_id: user.0,
            user_name: user.1,
            key_id: key.0,
            key_name: key.1,
            model,
            provider,
            group_id: group.0,
            group_name: group.1,
            tag,
            metadata_value,
            sums,
        }
    }
}

/// Sums what requests did. The sums outlive the logs.
#[utoipa::path(get, path = "/api/v1/usage", tag = "usage", operation_id = "read_usage", params(UsageQuery),
    security(("token" = [])), responses((status = 200, body = UsageView), (status = "4XX", body = Problem)))]
pub async fn read(
    _: ReaderGuard,
    State(api): State<Api>,
    Query(query): Query<UsageQuery>,
) -> Result<Json<UsageView>, Problem> {
    sum(&api, Scope::Everything, query).await
}

/// Sums what one's own requests did, in the apps that one may see; of an app whose requests one may
/// all see, asked for by `app_id`, everyone's.
#[utoipa::path(get, path = "/api/v1/me/usage", tag = "me", operation_id = "read_my_usage", params(UsageQuery),
    security(("token" = [])), responses((status = 200, body = UsageView), (status = "4XX", body = Problem)))]
pub async fn read_mine(
    person: Person,
    State(api): State<Api>,
    Query(query): Query<UsageQuery>,
) -> Result<Json<UsageView>, Problem> {
    let scope = api.scope(&person, query.app_id).await?;
    sum(&api, scope, query).await
}

/// Sums what requests of an app did: everyone's where one may see them all, and otherwise one's own.
#[utoipa::path(get, path = "/api/v1/me/apps/{id}/usage", tag = "me", operation_id = "read_my_app_usage",
    params(("id" = Uuid, Path), UsageQuery),
    security(("token" = [])), responses((status = 200, body = UsageView), (status = "4XX", body = Problem)))]
pub async fn read_of_my_app(
    person: Person,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    Query(query): Query<UsageQuery>,
) -> Result<Json<UsageView>, Problem> {
    let scope = api.scope_of_app(&person, id).await?;
    sum(&api, scope, query).await
}

/// Exports sums of what requests did, as lines of JSON or as CSV: 100,000 groups at most.
#[utoipa::path(get, path = "/api/v1/usage/export", tag = "usage", operation_id = "export_usage",
    params(ExportQuery, UsageQuery), security(("token" = [])), responses(
        (status = 200, body = String, content_type = "application/x-ndjson"),
        (status = "4XX", body = Problem)))]
pub async fn export(
    _: ReaderGuard,
    State(api): State<Api>,
    export: Export<UsageQuery>,
) -> Result<Response, Problem> {
    file(&api, Scope::Everything, export).await
}

/// Exports sums of what requests of an app did, as lines of JSON or as CSV: everyone's where one may see them all,
/// and otherwise one's own.
#[utoipa::path(get, path = "/api/v1/me/apps/{id}/usage/export", tag = "me", operation_id = "export_my_app_usage",
    params(("id" = Uuid, Path), ExportQuery, UsageQuery), security(("token" = [])), responses(
        (status = 200, body = String, content_type = "application/x-ndjson"),
        (status = "4XX", body = Problem)))]
pub async fn export_of_my_app(
    person: Person,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    export: Export<UsageQuery>,
) -> Result<Response, Problem> {
    let scope = api.scope_of_app(&person, id).await?;
    file(&api, scope, export).await
}

/// All groups, since each takes all that is summed: their number is bounded instead. Without groups, the totals.
async fn file(api: &Api, scope: Scope, export: Export<UsageQuery>) -> Result<Response, Problem> {
    let Export { format, query } = export;
    let mut asked = UsageRequest::new(api, scope, query)?;
    asked.most = MOST_EXPORTED;
    let (rows, truncated) = asked.rows(api).await?;
    if truncated {
        return Err(bad_query("there are more than 100,000 groups: ask for less time, or with a filter"));
    }
    let items = match asked.groups.is_empty() {
        true => {
            vec![UsageGroup { sums: api.store.total_usage(&asked.filter).await?, ..UsageGroup::default() }]
        }
        false => rows,
    };
    let items: Vec<_> = items.into_iter().map(UsageItem::from).collect();
    let named = asked.groups.iter().flat_map(|group| match group {
        GroupBy::Day => &["day"][..],
        GroupBy::Hour | GroupBy::Minute => &["began_at"],
        GroupBy::App => &["app_id", "app_name"],
        GroupBy::User => &["user_id", "user_name"],
        GroupBy::Key => &["key_id", "key_name"],
        GroupBy::Model => &["model"],
        GroupBy::Provider => &["provider"],
        GroupBy::Group => &["group_id", "group_name"],
        GroupBy::Tag => &["tag"],
        GroupBy::Metadata => &["metadata_value"],
    });
    let mut columns: Vec<_> = named.map(|name| (*name).to_owned()).collect();
    columns.extend(export::columns::<UsageSums>()?);
    Ok(export::file("usage", format, columns, stream::iter([Ok(items)])))
}

/// The dearest groups of everyone's requests alone, without the sums of everything.
///
/// # Errors
/// The query is refused.
pub async fn dearest(_: ReaderGuard, api: &Api, query: UsageQuery) -> Result<Vec<UsageItem>, Problem> {
    let (rows, _) = UsageRequest::new(api, Scope::Everything, query)?.rows(api).await?;
    Ok(rows.into_iter().map(UsageItem::from).collect())
}

/// What a chart of usage shows of some groups, and of the rest together.
#[derive(Clone, Debug)]
pub struct UsageParts {
    /// As in [`UsageView`].
    pub from: UsageTime,
    /// As in [`UsageView`].
    pub to: UsageTime,
    /// The sums of each part in each day, hour or minute that has any.
    pub items: Vec<UsagePartItem>,
    /// Whether a request can be in several parts.
    pub overlap: bool,
}

/// The sums of a part in a day, hour or minute.
#[derive(Clone, Debug)]
pub struct UsagePartItem {
    /// Of which of the groups, or their number for the rest.
    pub part: usize,
    /// The day, in UTC.
    pub day: Option<Date>,
    /// When the hour or minute began.
    pub began_at: Option<Timestamp>,
    /// Its sums.
    pub sums: UsageSums,
}

/// Sums everyone's usage by these groups and time: `query` is grouped by a time and by what the groups are of.
///
/// # Errors
/// The query is refused.
pub async fn parts(
    _: ReaderGuard,
    api: &Api,
    query: UsageQuery,
    parts: &[UsageItem],
) -> Result<UsageParts, Problem> {
    let asked = UsageRequest::new(api, Scope::Everything, query)?;
    let Some((time, groups)) = asked.groups.split_first() else {
        return Err(bad_query("`group_by` must have a time"));
    };
    let parts: Vec<Vec<_>> =
        parts.iter().map(|item| groups.iter().map(|group| item.value(*group)).collect()).collect();
    let rows = api.store.usage_parts(*time, groups, &parts, &asked.filter).await?;
    let item = |row: latchkey_store::usage::UsagePart| UsagePartItem {
        part: row.part,
        day: row.day.and_then(time::date),
        began_at: row.began_at.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
        sums: row.sums,
    };
    let items = rows.into_iter().map(item).collect();
    Ok(UsageParts { from: asked.from, to: asked.to, items, overlap: asked.overlaps() })
}

/// The keys that apps' metadata has, those of the most apps first: 20 at most.
///
/// # Errors
/// The database fails.
pub async fn metadata_keys(_: ReaderGuard, api: &Api) -> Result<Vec<String>, Problem> {
    Ok(api.store.metadata_keys(20).await?)
}

impl UsageItem {
    /// Its value of this group as sums have it, which is empty for none.
    fn value(&self, group: GroupBy) -> String {
        let id = |id: Option<Uuid>| id.map(|id| id.to_string());
        let value = match group {
            GroupBy::Day | GroupBy::Hour | GroupBy::Minute => None,
            GroupBy::App => id(self.app_id),
            GroupBy::User => id(self.user_id),
            GroupBy::Key => id(self.key_id),
            GroupBy::Model => self.model.clone(),
            GroupBy::Provider => self.provider.clone(),
            GroupBy::Group => id(self.group_id),
            GroupBy::Tag => self.tag.clone(),
            GroupBy::Metadata => self.metadata_value.clone(),
        };
        value.unwrap_or_default()
    }
}

async fn sum(api: &Api, scope: Scope, query: UsageQuery) -> Result<Json<UsageView>, Problem> {
    let asked = UsageRequest::new(api, scope, query)?;
    let (rows, truncated) = asked.rows(api).await?;
    // Of all groups the sums are those of everything, unless what is in two of them would be there twice.
    let totals = match truncated || asked.overlaps() || asked.groups.is_empty() {
        true => api.store.total_usage(&asked.filter).await?,
        false => rows.iter().fold(UsageSums::default(), |mut sums, row| {
            sums.add(row.sums);
            sums
        }),
    };
    let UsageRequest { from, to, .. } = asked;
    let items = rows.into_iter().map(UsageItem::from).collect();
    Ok(Json(UsageView { from, to, items, truncated, totals }))
}

/// A query that was read.
struct UsageRequest {
    from: UsageTime,
    to: UsageTime,
    groups: Vec<GroupBy>,
    most: u32,
    filter: UsageFilter,
}

impl UsageRequest {
    /// Whether a request can be in several groups.
    fn overlaps(&self) -> bool {
        self.groups.iter().any(|group| group.overlaps())
    }

    fn new(api: &Api, scope: Scope, query: UsageQuery) -> Result<Self, Problem> {
        let UsageQuery { group_by, from, to, app_id, user_id, key_id, model, provider, metadata_key, limit } =
            query;
        let most = limit.unwrap_or(MOST_GROUPS);
        if !(1..=MOST_GROUPS).contains(&most) {
            return Err(bad_query("`limit` must be 1 to 1000"));
        }
        let groups = groups(group_by.as_deref().unwrap_or_default())?;
        let of_admins = [GroupBy::Group, GroupBy::Tag, GroupBy::Metadata];
        if scope != Scope::Everything && groups.iter().any(|group| of_admins.contains(group)) {
            return Err(bad_query(
                "`group_by` takes `group`, `tag`, and `metadata` in `/api/v1/usage` only, which is for admins and auditors",
            ));
        }
        match (groups.contains(&GroupBy::Metadata), &metadata_key) {
            (true, None) => {
                return Err(bad_query(
                    "`group_by=metadata` needs `metadata_key`: the key whose values to sum by",
                ));
            }
            (false, Some(_)) => return Err(bad_query("`metadata_key` needs `group_by=metadata`")),
            _ => {}
        }
        let (from, to, span) = time::read(from, to, &groups, api.world.now())?;
        let (app, user, key) = (app_id, user_id, key_id);
        let filter = UsageFilter { scope, span, app, user, key, model, provider, metadata_key };
        Ok(Self { from, to, groups, most: most.into(), filter })
    }

    /// The groups, and whether there are more than were asked for.
    async fn rows(&self, api: &Api) -> Result<(Vec<UsageGroup>, bool), Problem> {
        let mut rows = match self.groups.as_slice() {
            [] => Vec::new(),
            groups => api.store.usage(groups, &self.filter, i64::from(self.most) + 1).await?,
        };
        let most = usize::try_from(self.most).unwrap_or(usize::MAX);
        let truncated = rows.len() > most;
        rows.truncate(most);
        Ok((rows, truncated))
    }
}

fn groups(text: &str) -> Result<Vec<GroupBy>, Problem> {
    let mut groups = text
        .split(',')
        .filter(|word| !word.is_empty())
        .map(|word| match word {
            "day" => Ok(GroupBy::Day),
            "hour" => Ok(GroupBy::Hour),
            "minute" => Ok(GroupBy::Minute),
            "app" => Ok(GroupBy::App),
            "user" => Ok(GroupBy::User),
            "key" => Ok(GroupBy::Key),
            "model" => Ok(GroupBy::Model),
            "provider" => Ok(GroupBy::Provider),
            "group" => Ok(GroupBy::Group),
            "tag" => Ok(GroupBy::Tag),
            "metadata" => Ok(GroupBy::Metadata),
            _ => Err(bad_query("`group_by` takes a comma-separated list of `day`, `hour`, `minute`, `app`, `user`, `key`, `model`, `provider`, `group`, `tag`, and `metadata`")),
        })
        .collect::<Result<Vec<_>, _>>()?;
    groups.sort_unstable();
    groups.dedup();
    if groups.contains(&GroupBy::Hour) && groups.contains(&GroupBy::Minute) {
        return Err(bad_query("`group_by` takes `hour` or `minute`, not both"));
    }
    Ok(groups)
}
