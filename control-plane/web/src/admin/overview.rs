//! The overview: how things are, at a glance.

use std::net::IpAddr;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use jiff::ToSpan as _;
use jiff::tz::TimeZone;
use latchkey_api::attention::{self, FirstSteps};
use latchkey_api::body::Query;
use latchkey_api::change_requests::{self, ChangeRequestList, RequestQuery};
use latchkey_api::problem::Problem;
use latchkey_api::usage::{self, UsageQuery, UsageSums, UsageTime};
use latchkey_api::{Api, gateways};
use latchkey_core::change_request::Status;
use latchkey_service::gateways::Gateway;
use url::form_urlencoded::Serializer;

use super::usage::{UsageRow, charts, row, span};
use crate::chart::Chart;
use crate::form::{FieldKind, FilterForm, HtmlForm};
use crate::format;
use crate::frame::{Frame, Visit};
use crate::html;
use crate::list::filtered;
use crate::period::{self, Step, UsagePeriod};

/// How many days are summed, with today.
const DAYS: i64 = 14;
/// How many of the dearest, and of the newest change requests, are named.
const FEW: u16 = 5;

/// Within how many days a key expires soon.
const SOON: u16 = attention::KEY_EXPIRES_SOON_DAYS;

#[derive(Template)]
#[template(path = "admin/overview.html")]
struct OverviewPage {
    frame: Frame,
    form: HtmlForm,
    /// The time that is summed, in words.
    span: String,
    /// Whether hours were typed that are not summed.
    is_rounded: bool,
    totals: UsageSums,
    charts: Vec<Chart>,
    tops: Vec<TopTable>,
    pending: ChangeRequestList,
    gateways: Vec<Gateway>,
    /// Named keys that expire soon.
    expiring: u64,
    /// What is left to set up, until a request has succeeded.
    steps: Option<Vec<FirstStep>>,
    /// Peers that look like proxies, and are not trusted.
    forwarders: Vec<IpAddr>,
}

/// Something to do before the first request can succeed.
struct FirstStep {
    what: &'static str,
    link: String,
    done: bool,
}

/// Whether the first of the first steps is still to be done: adding a provider.
fn is_starting(steps: Option<&[FirstStep]>) -> bool {
    steps.and_then(<[FirstStep]>::first).is_some_and(|provider| !provider.done)
}

fn steps(steps: &FirstSteps, gateway: bool) -> Vec<FirstStep> {
    let FirstSteps { provider, model, app, access, key } = *steps;
    let of_app =
        |tab: &str| app.map_or_else(|| "/admin/apps".to_owned(), |id| format!("/admin/apps/{id}/{tab}"));
    let step = |what, link: &str, done| FirstStep { what, link: link.to_owned(), done };
    vec![
        step("Add a provider", "/admin/providers", provider),
        step("Add a model", "/admin/models", model),
        step("Connect a gateway", "/admin/gateways", gateway),
        step("Create your first app\u{2019}s API key", "/admin/apps", app.is_some()),
        step("Choose who has access to it", &of_app("self-service"), access),
        step("Create a named key, or share the app\u{2019}s key", &of_app("keys"), key),
        step("Make the first successful request", "/admin/playground", false),
    ]
}

struct TopTable {
    title: &'static str,
    /// All usage by it, of the same time.
    link: String,
    rows: Vec<UsageRow>,
}

impl TopTable {
    /// The share of a row in the dearest one's cost, in percent.
    fn share(&self, row: &UsageRow) -> u64 {
        let most = self.rows.iter().map(|row| row.sums.cost.0).max().unwrap_or_default().max(1);
        u64::try_from(u128::from(row.sums.cost.0) * 100 / u128::from(most)).unwrap_or_default()
    }
}

pub async fn page(
    visit: Visit,
    State(api): State<Api>,
    FilterForm(asked): FilterForm,
) -> Result<Response, Problem> {
    let reader = visit.reader()?;
    let form = period::chosen(asked.form());
    let usual = || api.world.now().to_zoned(TimeZone::UTC).date().checked_sub((DAYS - 1).days()).ok();
    let by_default = || UsagePeriod { from: usual().map(UsageTime::Day), to: None, step: Step::Day };
    let found =
        asked.json(&[("time", FieldKind::Aside), ("from", FieldKind::Aside), ("to", FieldKind::Aside)]);
    let found = found.and_then(|_| period::usage(&visit, &asked));
    let found = found.map(|found| if found.from.or(found.to).is_none() { by_default() } else { found });
    let (status, form, found) = filtered(form, found.map(Some))?;
    let UsagePeriod { from, to, step } = found.unwrap_or_else(by_default);
    let pending = async {
        let newest = RequestQuery {
            status: Some(Status::Pending),
            limit: Some(FEW),
            cursor: None,
            app_id: None,
            user_id: None,
            kind: None,
        };
        Ok(change_requests::list(visit.reader()?, State(api.clone()), Query(newest)).await?.0)
    };
    let gateways = async { gateways::list(visit.reader()?, State(api.clone())).await };
    let query = |by: &str| UsageQuery { group_by: Some(by.to_owned()), from, to, ..UsageQuery::default() };
    let days = usage::read(reader, State(api.clone()), Query(query(step.group())));
    let top = async |title, by| {
        let few = UsageQuery { limit: Some(FEW), ..query(by) };
        let items = usage::dearest(visit.reader()?, &api, few).await?;
        let mut link = Serializer::new(String::new());
        link.append_pair("by", by);
        link.extend_pairs(period::kept(&asked));
        let link = format!("/admin/usage?{}", link.finish());
        Ok(TopTable {
            title,
            link,
            rows: items.into_iter().map(|item| row(item, by, visit.time_zone())).collect(),
        })
    };
    let (expiring, first, days, apps, users, models, pending, gateways) = tokio::try_join!(
        attention::expiring_keys(visit.reader()?, &api),
        attention::first_steps(visit.reader()?, &api),
        days,
        top("Apps by cost", "app"),
        top("Users by cost", "user"),
        top("Models by cost", "model"),
        pending,
        gateways
    )?;
    let accepted = Some(&asked).filter(|_| !form.is_refused());
    let span = match accepted.and_then(period::words) {
        Some(words) => words.to_owned(),
        None => span(&days, visit.time_zone()),
    };
    let page = html(&OverviewPage {
        frame: visit.frame("Overview"),
        form,
        is_rounded: period::is_rounded(&asked, days.from),
        totals: days.totals,
        charts: charts(&days, visit.time_zone()),
        tops: vec![apps, users, models],
        pending,
        expiring,
        steps: first.map(|first| steps(&first, !gateways.items.is_empty())),
        gateways: gateways.items,
        forwarders: api.sign_in.forwarders.seen(),
        span,
    })?;
    Ok((status, page).into_response())
}
