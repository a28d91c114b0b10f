//! Usage, by whatever sums are made by.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use jiff::tz::TimeZone;
use latchkey_api::Api;
use latchkey_api::body::{PathParams, Query};
use latchkey_api::problem::Problem;
use latchkey_api::usage::{self, UsageItem, UsageParts, UsageQuery, UsageSums, UsageTime, UsageView};
use url::form_urlencoded::Serializer;
use uuid::Uuid;

use super::apps::{self, tabs::Tabs};
use super::filters;
use crate::chart::{Chart, ChartUnit};
use crate::form::{Field, FieldKind, FilterForm, FormInput, HtmlForm};
use crate::format::{self, Time};
use crate::frame::{Frame, Visit};
use crate::html;
use crate::list::{ExportLinks, filtered};
use crate::period::{self, Step, UsagePeriod};

const FILTERS: &[Field] = &[
    // What they are summed by.
    ("by", FieldKind::Aside),
    ("time", FieldKind::Aside),
    ("from", FieldKind::Aside),
    ("to", FieldKind::Aside),
    ("app_id", FieldKind::Optional),
    ("user_id", FieldKind::Optional),
    ("key_id", FieldKind::Optional),
    ("model", FieldKind::Optional),
    ("provider", FieldKind::Optional),
    ("metadata_key", FieldKind::Optional),
];

/// What an export is asked.
const EXPORTED: &[Field] = &[
    ("group_by", FieldKind::Text),
    ("from", FieldKind::Text),
    ("to", FieldKind::Text),
    ("app_id", FieldKind::Optional),
    ("user_id", FieldKind::Optional),
    ("key_id", FieldKind::Optional),
    ("model", FieldKind::Optional),
    ("provider", FieldKind::Optional),
    ("metadata_key", FieldKind::Optional),
];

/// What sums are made by, and how that is said.
const BY: &[(&str, &str)] = &[
    ("day", "Day"),
    ("app", "App"),
    ("user", "User"),
    (KEYS, "Key"),
    ("model", "Model"),
    ("provider", "Provider"),
    (USER_MODELS, "User and model"),
    ("group", "Group"),
    ("tag", "Tag"),
    (METADATA, "Metadata"),
];

const KEYS: &str = "app,key";
const USER_MODELS: &str = "user,model";
const METADATA: &str = "metadata";

/// The parts of a chart's bars, besides the rest.
const PARTS: usize = 5;

/// Rows of a table: the dearest.
const ROWS: u16 = 100;

#[derive(Template)]
#[template(path = "admin/usage.html")]
struct UsagePage {
    frame: Frame,
    /// The app whose tab this is; none on the page of all usage.
    app: Option<Tabs>,
    /// Where the page is without filters.
    path: String,
    found: Option<UsageTable>,
    providers: Vec<(String, String)>,
    /// Each way to group, its words, its page and whether it is this one.
    tabs: Vec<(String, &'static str, bool)>,
    by: String,
    links: Option<ExportLinks>,
    /// What a row is of.
    words: &'static str,
    /// What else is to be known of these groups.
    note: &'static str,
    /// The time that is summed, in words.
    span: String,
    /// Whether hours were typed that are not summed.
    is_rounded: bool,
    /// Whether a filter is set.
    is_filtered: bool,
    form: HtmlForm,
}

struct UsageTable {
    days: UsageView,
    charts: Vec<Chart>,
    groups: GroupTable,
}

impl UsagePage {
    /// Whether sums are of parts of days.
    fn is_of_moments(&self) -> bool {
        self.found.as_ref().is_some_and(|found| matches!(found.days.from, UsageTime::At(_)))
    }
}

/// What a table of groups shows.
enum GroupTable {
    /// The dearest, and whether there are more.
    MostExpensive(Vec<UsageRow>, bool),
    /// Nothing: keys are told apart within an app, or those of a user.
    NoSubject,
    /// Nothing: no key of metadata is chosen. Those that apps have, and their pages.
    NoMetadataKey(Vec<(String, String)>),
}

/// A group, and where it leads.
pub struct UsageRow {
    pub label: String,
    pub link: Option<String>,
    pub sums: UsageSums,
}

pub async fn page(
    visit: Visit,
    State(api): State<Api>,
    FilterForm(asked): FilterForm,
) -> Result<Response, Problem> {
    show(&visit, &api, asked, None).await
}

/// The Usage tab of an app.
pub async fn of_app(
    visit: Visit,
    State(api): State<Api>,
    PathParams(id): PathParams<Uuid>,
    FilterForm(asked): FilterForm,
) -> Result<Response, Problem> {
    let app = apps::app(&visit, &api, id).await?;
    show(&visit, &api, asked, Some(Tabs::of(&app, "usage"))).await
}

async fn show(visit: &Visit, api: &Api, asked: FormInput, app: Option<Tabs>) -> Result<Response, Problem> {
    visit.reader()?;
    let path = app.as_ref().map_or_else(|| "/admin/usage".to_owned(), |app| app.path("usage"));
    let chosen = BY.iter().find(|(by, _)| *by == asked.text("by"));
    let (by, _) = chosen.copied().unwrap_or(BY[0]);
    let (mut form, mut links) = (period::chosen(asked.form()), None);
    if form.value("time").is_empty() {
        form = form.with("time", "30d");
    }
    // Where sums are not made by it, a key has nothing to say.
    let asked = if by == METADATA { asked } else { asked.with("metadata_key", "") };
    let (mut of_time, typed) = (Step::Day, asked.clone());
    let found = async {
        let asked = match &app {
            Some(app) => app.within(&asked)?,
            None => asked.clone(),
        };
        let asked = filters::with_ids(visit, api, &asked, &mut form, ("app_id", "user_id")).await?;
        let UsagePeriod { from, to, step } = period::usage(visit, &asked)?;
        of_time = step;
        let query = UsageQuery { from, to, ..asked.read(FILTERS)? };
        let time = |time: Option<UsageTime>| match time {
            None => String::new(),
            Some(UsageTime::Day(day)) => day.to_string(),
            Some(UsageTime::At(at)) => at.to_string(),
        };
        let group_by = if by == "day" { step.group() } else { by };
        let asked = asked.with("from", time(from)).with("to", time(to)).with("group_by", group_by);
        let is_whole = by != METADATA || query.metadata_key.is_some();
        links = is_whole.then(|| ExportLinks::new("/usage", &asked, EXPORTED));
        find(visit, api, query, step, by, (&path, &typed)).await.map(Some)
    };
    let found = found.await;
    let (status, form, found) = filtered(form, found)?;
    let providers = filters::upstream_options(visit, api).await?;
    let words = |by, words| if by == "day" { of_time.words() } else { words };
    let shown = BY.iter().filter(|(to, _)| app.is_none() || *to != "app");
    let tabs = shown.map(|(to, name)| (tab(&path, &asked, to), words(*to, *name), *to == by)).collect();
    let words = BY.iter().find(|(of, _)| *of == by).map(|(of, name)| words(*of, *name)).unwrap_or_default();
    let note = match by {
        "group" => {
            "Groups are those that users are in now. A request of a user in two groups counts in each, and once in the totals."
        }
        "tag" => {
            "Tags are those that apps have now. A request of an app with two tags counts in each, and once in the totals."
        }
        METADATA => "Values are those that the metadata of apps has now.",
        _ => "",
    };
    let title = app.as_ref().map_or_else(|| "Usage".to_owned(), |app| format!("{}: usage", app.name));
    let (frame, by) = (visit.frame(title), by.to_owned());
    let span = found.as_ref().map(|found| span(&found.days, visit.time_zone())).unwrap_or_default();
    let is_rounded = found.as_ref().is_some_and(|found| period::is_rounded(&typed, found.days.from));
    let is_filtered = FILTERS.iter().any(|(name, _)| *name != "by" && !typed.text(name).is_empty());
    let page = html(&UsagePage {
        frame,
        app,
        path,
        found,
        providers,
        tabs,
        by,
        links,
        words,
        note,
        span,
        is_rounded,
        is_filtered,
        form,
    })?;
    Ok((status, page).into_response())
}

async fn find(
    visit: &Visit,
    api: &Api,
    query: UsageQuery,
    step: Step,
    by: &str,
    (path, asked): (&str, &FormInput),
) -> Result<UsageTable, Problem> {
    let days = {
        let query = UsageQuery {
            metadata_key: None,
            group_by: Some(step.group().to_owned()),
            limit: None,
            ..query.clone()
        };
        usage::read(visit.reader()?, State(api.clone()), Query(query)).await?.0
    };
    let is_a_day = matches!((days.from, days.to), (UsageTime::Day(from), UsageTime::Day(to)) if from == to);
    let hours = if is_a_day {
        let hour = Some(Step::Hour.group().to_owned());
        let query = UsageQuery { metadata_key: None, group_by: hour, limit: None, ..query.clone() };
        Some(usage::read(visit.reader()?, State(api.clone()), Query(query)).await?.0)
    } else {
        None
    };
    // Logs end sooner than sums.
    let hours = hours.filter(|hours| hours.totals.requests == days.totals.requests);
    let step = if hours.is_some() { Step::Hour } else { step };
    let zone = visit.time_zone();
    let charts = charts(hours.as_ref().unwrap_or(&days), zone);
    let of_no_one = query.app_id.or(query.user_id).or(query.key_id).is_none();
    match by {
        KEYS if of_no_one => return Ok(UsageTable { charts, days, groups: GroupTable::NoSubject }),
        METADATA if query.metadata_key.is_none() => {
            let keys = usage::metadata_keys(visit.reader()?, api).await?;
            let keys = keys
                .into_iter()
                .map(|key| (tab(path, &asked.clone().with("metadata_key", &key), METADATA), key));
            return Ok(UsageTable { charts, days, groups: GroupTable::NoMetadataKey(keys.collect()) });
        }
        "day" => {
            let rows = days.items.iter().take(ROWS.into()).cloned().map(|item| row(item, by, zone)).collect();
            let groups = GroupTable::MostExpensive(rows, days.truncated);
            return Ok(UsageTable { charts, days, groups });
        }
        _ => {}
    }
    let most = UsageQuery { group_by: Some(by.to_owned()), limit: Some(ROWS), ..query.clone() };
    let groups = usage::read(visit.reader()?, State(api.clone()), Query(most)).await?.0;
    let largest = groups.items.get(..PARTS).unwrap_or(&groups.items);
    let of_time = UsageQuery { group_by: Some(format!("{},{by}", step.group())), ..query };
    let parts = usage::parts(visit.reader()?, api, of_time, largest).await?;
    let names: Vec<_> = largest.iter().map(|item| row(item.clone(), by, zone).label).collect();
    let charts = stacked(charts, &parts, &names, zone);
    let rows = groups.items.into_iter().map(|item| row(item, by, zone)).collect();
    Ok(UsageTable { charts, days, groups: GroupTable::MostExpensive(rows, groups.truncated) })
}

/// When sums begin and end, in words.
pub fn span(sums: &UsageView, zone: &TimeZone) -> String {
    let word = |time: UsageTime| match time {
        UsageTime::Day(day) => day.strftime("%b %-d, %Y").to_string(),
        UsageTime::At(at) => Time::new(at, zone).text().to_owned(),
    };
    let (from, to) = (word(sums.from), word(sums.to));
    if from == to { from } else { format!("{from} to {to}") }
}

/// The charts of sums by day, hour or minute.
pub fn charts(days: &UsageView, zone: &TimeZone) -> Vec<Chart> {
    let chart = |(title, unit, value): ChartOf| Chart::by_time(title, unit, days, zone, value);
    let denials = Chart::by_time("Denials", ChartUnit::Of("denial"), days, zone, |sums| sums.denied);
    CHARTS.map(chart).into_iter().chain([denials.bad()]).collect()
}

/// The same charts, with bars of the groups with these names. What was denied stays whole.
fn stacked(charts: Vec<Chart>, parts: &UsageParts, names: &[String], zone: &TimeZone) -> Vec<Chart> {
    let span = (parts.from, parts.to, parts.items.as_slice());
    let stacked = CHARTS.map(|(title, unit, value)| {
        Chart::stacked(title, unit, span, names, zone, value).overlapping(parts.overlap)
    });
    stacked.into_iter().chain(charts.into_iter().skip(CHARTS.len())).collect()
}

/// What a chart shows: its title, its unit, and its value of sums.
type ChartOf = (&'static str, ChartUnit, fn(&UsageSums) -> u64);

/// What charts show that can have parts.
const CHARTS: [ChartOf; 3] = [
    ("Requests", ChartUnit::Of("request"), |sums| sums.requests),
    ("Cost", ChartUnit::Money, |sums| sums.cost.0),
    ("Tokens", ChartUnit::Of("token"), |sums| sums.input_tokens.saturating_add(sums.output_tokens)),
];

/// A group of sums that were made by `by`.
pub fn row(item: UsageItem, by: &str, zone: &TimeZone) -> UsageRow {
    let UsageItem {
        day,
        began_at,
        app_id,
        app_name,
        user_id,
        user_name,
        key_id,
        key_name,
        model,
        provider,
        group_id,
        group_name,
        tag,
        metadata_value,
        sums,
    } = item;
    let or_id = |name: Option<String>, id: &dyn std::fmt::Display| name.unwrap_or_else(|| id.to_string());
    let (label, link) = match by {
        "day" => {
            let of_day = day.map(|day| day.strftime("%a, %b %-d, %Y").to_string());
            let of_time =
                began_at.map(|at| at.to_zoned(zone.clone()).strftime("%a, %b %-d, %H:%M").to_string());
            (of_day.or(of_time), None)
        }
        "app" => (app_id.map(|id| or_id(app_name, &id)), app_id.map(|id| format!("/admin/apps/{id}"))),
        "user" => (user_id.map(|id| or_id(user_name, &id)), user_id.map(|id| format!("/admin/users/{id}"))),
        KEYS => {
            let app = app_name.map(|name| format!("{name} / ")).unwrap_or_default();
            let label = key_id.map(|id| format!("{app}{}", or_id(key_name, &id)));
            (label, key_id.map(|id| format!("/admin/logs?key_id={id}")))
        }
        USER_MODELS => {
            let mut query = Serializer::new(String::new());
            query.extend_pairs(user_id.map(|id| ("user_id", id.to_string())));
            query.extend_pairs(model.as_deref().map(|model| ("model", model)));
            let user = user_id.map_or_else(|| "app keys (no user)".to_owned(), |id| or_id(user_name, &id));
            let asked = model.as_deref().unwrap_or("refused before reaching a provider");
            let link = user_id.map(|_| format!("/admin/logs?{}", query.finish()));
            (Some(format!("{user} / {asked}")), link)
        }
        "group" => {
            (group_id.map(|id| or_id(group_name, &id)), group_id.map(|id| format!("/admin/groups/{id}")))
        }
        "tag" => (tag, None),
        METADATA => (metadata_value, None),
        "provider" => {
            let link = provider.as_deref().map(filters::upstream_page);
            (provider, link)
        }
        _ => {
            let query = |model: &String| Serializer::new(String::new()).append_pair("model", model).finish();
            let link = model.as_ref().map(|model| format!("/admin/logs?{}", query(model)));
            (model, link)
        }
    };
    let none = match by {
        "user" => "app keys (no user)",
        "group" => "in no group",
        "tag" => "no tag",
        METADATA => "without this key",
        "model" | "provider" => "refused before reaching a provider",
        _ => "none",
    };
    UsageRow { label: label.unwrap_or_else(|| none.to_owned()), link, sums }
}

/// The page with the same filters, by something else.
fn tab(path: &str, asked: &FormInput, by: &str) -> String {
    let mut query = Serializer::new(String::new());
    query.append_pair("by", by);
    for (name, _) in FILTERS {
        if *name != "by" && !asked.text(name).is_empty() {
            query.append_pair(name, asked.text(name));
        }
    }
    format!("{path}?{}", query.finish())
}
