//! The overview: how things are, at a glance.

mod recent;

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use latchkey_core::change_request::Status;

use super::usage::{Row, charts, row};
use crate::api::body::Query;
use crate::api::change_requests::{self, ChangeRequestList, RequestQuery};
use crate::api::problem::Problem;
use crate::api::usage::SumsView;
use crate::api::{Api, gateways};
use crate::gateways::Gateway;
use crate::web::chart::Chart;
use crate::web::format;
use crate::web::frame::{Frame, Visit};
use crate::web::html;

pub use recent::Recent;

/// How many of the newest change requests are named.
const FEW: u16 = 5;

#[derive(Template)]
#[template(path = "admin/overview.html")]
struct OverviewPage {
    frame: Frame,
    /// When the sums were made.
    at: Timestamp,
    totals: SumsView,
    charts: Vec<Chart>,
    tops: Vec<Top>,
    pending: ChangeRequestList,
    gateways: Vec<Gateway>,
}

/// Whose requests cost most.
struct Top {
    title: &'static str,
    /// What usage is grouped by.
    by: &'static str,
    rows: Vec<Row>,
}

impl Top {
    /// The share of a row in the dearest one's cost, in percent.
    fn share(&self, row: &Row) -> u64 {
        let most = self.rows.iter().map(|row| row.sums.cost.0).max().unwrap_or_default().max(1);
        u64::try_from(u128::from(row.sums.cost.0) * 100 / u128::from(most)).unwrap_or_default()
    }
}

/// Shows it.
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
    let sums = Arc::clone(&api.recent).sums(reader, &api);
    let ((at, sums), pending, gateways) = tokio::try_join!(sums, pending, gateways)?;
    let top = |(title, by, items): &recent::Dearest| Top {
        title,
        by,
        rows: items.iter().map(|item| row(item.clone(), by)).collect(),
    };
    html(&OverviewPage {
        frame: visit.frame("Overview"),
        at,
        totals: sums.days.totals,
        charts: charts(&sums.days),
        tops: sums.tops.iter().map(top).collect(),
        pending,
        gateways: gateways.items,
    })
}
