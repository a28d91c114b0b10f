//! The overview: how things are, at a glance.

use std::net::IpAddr;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::ToSpan as _;
use jiff::tz::TimeZone;
use latchkey_api::body::Query;
use latchkey_api::change_requests::{self, ChangeRequestList, RequestQuery};
use latchkey_api::problem::Problem;
use latchkey_api::usage::{self, UsageQuery, UsageSums};
use latchkey_api::{Api, gateways};
use latchkey_core::change_request::Status;
use latchkey_service::gateways::Gateway;

use super::usage::{UsageRow, charts, row};
use crate::chart::Chart;
use crate::format;
use crate::frame::{Frame, Visit};
use crate::html;

/// How many days are summed, with today.
const DAYS: i64 = 14;
/// How many of the dearest, and of the newest change requests, are named.
const FEW: u16 = 5;

#[derive(Template)]
#[template(path = "admin/overview.html")]
struct OverviewPage {
    frame: Frame,
    totals: UsageSums,
    charts: Vec<Chart>,
    tops: Vec<TopTable>,
    pending: ChangeRequestList,
    gateways: Vec<Gateway>,
    /// Peers that look like proxies, and are not trusted.
    forwarders: Vec<IpAddr>,
}

struct TopTable {
    title: &'static str,
    /// What usage is grouped by.
    by: &'static str,
    rows: Vec<UsageRow>,
}

impl TopTable {
    /// The share of a row in the dearest one's cost, in percent.
    fn share(&self, row: &UsageRow) -> u64 {
        let most = self.rows.iter().map(|row| row.sums.cost.0).max().unwrap_or_default().max(1);
        u64::try_from(u128::from(row.sums.cost.0) * 100 / u128::from(most)).unwrap_or_default()
    }
}

pub async fn page(visit: Visit, State(api): State<Api>) -> Result<Response, Problem> {
    let reader = visit.reader()?;
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
    let from = api.world.now().to_zoned(TimeZone::UTC).date().checked_sub((DAYS - 1).days()).ok();
    let query = |by: &str| UsageQuery { group_by: Some(by.to_owned()), from, ..UsageQuery::default() };
    let days = usage::read(reader, State(api.clone()), Query(query("day")));
    let top = async |title, by| {
        let few = UsageQuery { limit: Some(FEW), ..query(by) };
        let items = usage::dearest(visit.reader()?, &api, few).await?;
        Ok(TopTable { title, by, rows: items.into_iter().map(|item| row(item, by)).collect() })
    };
    let (days, apps, users, models, pending, gateways) = tokio::try_join!(
        days,
        top("Apps by cost", "app"),
        top("Users by cost", "user"),
        top("Models by cost", "model"),
        pending,
        gateways
    )?;
    html(&OverviewPage {
        frame: visit.frame("Overview"),
        totals: days.totals,
        charts: charts(&days),
        tops: vec![apps, users, models],
        pending,
        gateways: gateways.items,
        forwarders: api.sign_in.forwarders.seen(),
    })
}
