//! How a simulation looks from outside.

use jiff::Timestamp;
use latchkey_core::money::NanoUsd;
use latchkey_service::simulation::{Estimate, RefusedBy, RefusedUser, Simulation, Untold};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// Which requests to try a change on.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SimulationQuery {
    /// How many days back: 1 to 31, 7 by default.
    #[param(minimum = 1, maximum = 31)]
    pub days: Option<u16>,
}

/// What a change would have done to past requests. Only its own effects count: what the app refuses as it is now is
/// refused with and without the change.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SimulationView {
    /// From when on requests were looked at.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// Until when.
    #[schema(value_type = String, format = DateTime)]
    pub to: Timestamp,
    /// Whether all of the time that was asked for could be read; else `from` is later.
    pub complete: bool,
    /// One request of so many was looked at, and stands for that many: 1 for all of them, unless there are more
    /// than 50,000.
    pub sampled_one_of: u64,
    /// Requests of the app.
    pub requests: EstimateView,
    /// Those that gateways refused then.
    pub refused_then: EstimateView,
    /// Those that were let in, and would have been refused.
    pub would_be_refused: EstimateView,
    /// The same by the rule that refuses, the most first: at most 50. So with the next two.
    pub refused_by_rule: Vec<RefusedByRule>,
    /// By who sent them.
    pub refused_by_user: Vec<RefusedByUser>,
    /// By the model that was asked for.
    pub refused_by_model: Vec<RefusedByModel>,
    /// Those that were refused and would have been let in, at most. What they would have used is not known: it is
    /// in no amount here.
    pub no_longer_refused: EstimateView,
    /// Those whose answers would have been shorter.
    pub shortened: EstimateView,
    /// What was spent, in US dollars.
    pub spend_then: NanoUsd,
    /// What would have been spent. What other providers would have charged is at their prices of that time.
    pub spend_would_be: NanoUsd,
    /// How far the two may be off, up or down, in 95 of 100 samples; 0 where every request was looked at.
    pub spend_error: NanoUsd,
    /// What the change touches and logs cannot tell.
    pub cannot_tell: Vec<UntoldView>,
}

/// How many requests, over all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EstimateView {
    /// How many.
    pub count: u64,
    /// How far that may be off, up or down, in 95 of 100 samples; 0 where every request was looked at.
    pub error: u64,
}

/// Requests that a rule would have refused.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RefusedByRule {
    /// The code that clients would have got.
    pub code: String,
    /// `app` or `key`: whose limit it is; null where it is none.
    pub owner: Option<String>,
    /// The limit, as the settings call it; null where it is none.
    pub limit: Option<String>,
    /// How many.
    pub requests: u64,
}

/// Somebody's requests that would have been refused.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RefusedByUser {
    /// Null where no user is known by the address, or there is none.
    pub user_id: Option<Uuid>,
    /// The user's address, or the one that the requests claimed; null where they claimed none.
    pub email: Option<String>,
    /// How many.
    pub requests: u64,
}

/// Requests for a model that would have been refused.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RefusedByModel {
    /// As clients ask for it; of an MCP server's tool, `server/tool`.
    pub model: String,
    /// How many.
    pub requests: u64,
}

/// Something that logs cannot tell.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UntoldView {
    /// What, for programs.
    pub what: Untold,
    /// For people, with what to do instead.
    pub detail: &'static str,
    /// How many requests were not judged for it; 0 where all were, by everything else.
    pub requests: u64,
}

impl From<Estimate> for EstimateView {
    fn from(estimate: Estimate) -> Self {
        Self { count: estimate.unsigned(), error: estimate.error }
    }
}

impl From<Simulation> for SimulationView {
    fn from(simulation: Simulation) -> Self {
        let Simulation {
            from,
            to,
            is_complete,
            stands_for,
            requests,
            refused_then,
            refused,
            rules,
            users,
            models,
            passed,
            shortened,
            spend_then,
            spend,
            untold,
        } = simulation;
        let rule = |RefusedBy { code, limit, requests }: RefusedBy| RefusedByRule {
            code: code.to_owned(),
            owner: limit.map(|(owner, _)| owner.as_str().to_owned()),
            limit: limit.map(|(_, name)| name.to_owned()),
            requests,
        };
        let user = |RefusedUser { user_id, email, requests }: RefusedUser| RefusedByUser {
            user_id,
            email,
            requests,
        };
        let told = |(what, requests): (Untold, u64)| UntoldView { what, detail: what.meaning(), requests };
        Self {
            from,
            to,
            complete: is_complete,
            sampled_one_of: stands_for,
            requests: requests.into(),
            refused_then: refused_then.into(),
            would_be_refused: refused.into(),
            refused_by_rule: rules.into_iter().map(rule).collect(),
            refused_by_user: users.into_iter().map(user).collect(),
            refused_by_model: models
                .into_iter()
                .map(|(model, requests)| RefusedByModel { model, requests })
                .collect(),
            no_longer_refused: passed.into(),
            shortened: shortened.into(),
            spend_then: NanoUsd(spend_then.unsigned()),
            spend_would_be: NanoUsd(spend.unsigned()),
            spend_error: NanoUsd(spend.error.max(spend_then.error)),
            cannot_tell: untold.into_iter().map(told).collect(),
        }
    }
}
