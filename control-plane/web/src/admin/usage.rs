//! Usage, by whatever sums are made by.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use jiff::tz::TimeZone;
use latchkey_api::Api;
use latchkey_api::body::Query;
use latchkey_api::problem::Problem;
use latchkey_api::usage::{self, UsageItem, UsageQuery, UsageSums, UsageTime, UsageView};
use latchkey_core::money::NanoUsd;
use url::form_urlencoded::Serializer;

use super::filters;
use crate::chart::Chart;
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
];

/// What sums are made by, and how that is said.
const BY: &[(&str, &str)] = &[
    ("day", "Day"),
    ("app", "App"),
    ("user", "User"),
    (KEYS, "Key"),
    ("model", "Model"),
    ("provider", "Provider"),
];

const KEYS: &str = "app,key";

/// Rows of a table: the dearest.
const ROWS: u16 = 100;

#[derive(Template)]
#[template(path = "admin/usage.html")]
struct UsagePage {
    frame: Frame,
    found: Option<UsageTable>,
    providers: Vec<(String, String)>,
    /// Each way to group, its words, its page and whether it is this one.
    tabs: Vec<(String, &'static str, bool)>,
    by: String,
    links: Option<ExportLinks>,
    words: &'static str,
    /// The time that is summed, in words.
    span: String,
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
    visit.reader()?;
    let chosen = BY.iter().find(|(by, _)| *by == asked.text("by"));
    let (by, words) = chosen.copied().unwrap_or(BY[0]);
    let (mut form, mut links) = (period::chosen(asked.form()), None);
    if form.value("time").is_empty() {
        form = form.with("time", "30d");
    }
    let found = async {
        let asked = filters::with_ids(&visit, &api, &asked, &mut form, ("app_id", "user_id")).await?;
        let UsagePeriod { from, to, step } = period::usage(&visit, &asked)?;
        let query = UsageQuery { from, to, ..asked.read(FILTERS)? };
        let time = |time: Option<UsageTime>| match time {
            None => String::new(),
            Some(UsageTime::Day(day)) => day.to_string(),
            Some(UsageTime::At(at)) => at.to_string(),
        };
        let group_by = if by == "day" { step.group() } else { by };
        let asked = asked.with("from", time(from)).with("to", time(to)).with("group_by", group_by);
        links = Some(ExportLinks::new("/usage", &asked, EXPORTED));
        find(&visit, &api, query, step, by).await.map(Some)
    };
    let found = found.await;
    let (status, form, found) = filtered(form, found)?;
    let providers = filters::upstream_options(&visit, &api).await?;
    let tabs = BY.iter().map(|(to, words)| (tab(&asked, to), *words, *to == by)).collect();
    let (frame, by) = (visit.frame("Usage"), by.to_owned());
    let span = found.as_ref().map(|found| span(&found.days, visit.time_zone())).unwrap_or_default();
    let page = html(&UsagePage { frame, found, providers, tabs, by, links, words, span, form })?;
    Ok((status, page).into_response())
}

async fn find(
    visit: &Visit,
    api: &Api,
    query: UsageQuery,
    step: Step,
    by: &str,
) -> Result<UsageTable, Problem> {
    let sum = async |group_by: &str, limit| {
        let query = UsageQuery { group_by: Some(group_by.to_owned()), limit, ..query.clone() };
        Ok::<_, Problem>(usage::read(visit.reader()?, State(api.clone()), Query(query)).await?.0)
    };
    let days = sum(step.group(), None).await?;
    let is_a_day = matches!((days.from, days.to), (UsageTime::Day(from), UsageTime::Day(to)) if from == to);
    let hours = if is_a_day { Some(sum(Step::Hour.group(), None).await?) } else { None };
    // Logs end sooner than sums.
    let hours = hours.filter(|hours| hours.totals.requests == days.totals.requests);
    let charts = charts(hours.as_ref().unwrap_or(&days), visit.time_zone());
    let of_no_one = query.app_id.or(query.user_id).or(query.key_id).is_none();
    let (items, truncated) = match by {
        KEYS if of_no_one => {
            return Ok(UsageTable { charts, days, groups: GroupTable::NoSubject });
        }
        "day" => (days.items.clone(), days.truncated),
        by => {
            let groups = sum(by, Some(ROWS)).await?;
            (groups.items, groups.truncated)
        }
    };
    let rows = items.into_iter().take(ROWS.into()).map(|item| row(item, by, visit.time_zone())).collect();
    Ok(UsageTable { charts, days, groups: GroupTable::MostExpensive(rows, truncated) })
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
    let tokens = |sums: &UsageSums| sums.input_tokens.saturating_add(sums.output_tokens);
    vec![
        Chart::by_time(
            "Requests",
            days,
            zone,
            |sums| sums.requests,
            |count| format::plural(count, "request"),
        ),
        Chart::by_time("Cost", days, zone, |sums| sums.cost.0, |nanos| format::usd(NanoUsd(nanos))),
        Chart::by_time("Tokens", days, zone, tokens, |count| format::plural(count, "token")),
        Chart::by_time("Denials", days, zone, |sums| sums.denied, |count| format::plural(count, "denial"))
            .bad(),
    ]
}

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
        "model" | "provider" => "refused before reaching a provider",
        _ => "none",
    };
    UsageRow { label: label.unwrap_or_else(|| none.to_owned()), link, sums }
}

/// The page with the same filters, by something else.
fn tab(asked: &FormInput, by: &str) -> String {
    let mut query = Serializer::new(String::new());
    query.append_pair("by", by);
    for (name, _) in FILTERS {
        if *name != "by" && !asked.text(name).is_empty() {
            query.append_pair(name, asked.text(name));
        }
    }
    format!("/admin/usage?{}", query.finish())
}
