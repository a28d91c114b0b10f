//! The sums of a simulation.

use std::collections::BTreeMap;

use jiff::Timestamp;
use latchkey_store::traffic::TrafficRecord;
use uuid::Uuid;

use super::sample::{Estimate, SampledSum};
use super::{Effect, LimitOwner, Untold};

/// What a change would have done.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulation {
    pub from: Timestamp,
    pub to: Timestamp,
    /// Whether all of the span could be read; else it begins later than was asked for.
    pub is_complete: bool,
    /// For how many requests each stands that was looked at.
    pub stands_for: u64,
    /// Requests of the app.
    pub requests: Estimate,
    /// Those that gateways refused then.
    pub refused_then: Estimate,
    /// Those that were let in, and would be refused.
    pub refused: Estimate,
    /// By the rule, the most first.
    pub rules: Vec<RefusedBy>,
    /// By who sent them, the most first.
    pub users: Vec<RefusedUser>,
    /// By the model that was asked for, the most first.
    pub models: Vec<(String, u64)>,
    /// Those that were refused, and would pass. What they would have used is not known: it is not in the spend.
    pub passed: Estimate,
    /// Those whose answers would be shorter.
    pub shortened: Estimate,
    /// What was spent, in nano-USD.
    pub spend_then: Estimate,
    /// What would have been.
    pub spend: Estimate,
    /// What records do not tell of the change, with the requests that were not judged for it.
    pub untold: Vec<(Untold, u64)>,
}

/// Requests that a rule would refuse.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RefusedBy {
    /// What the client would get.
    pub code: &'static str,
    /// Whose limit it is and which; none of other rules.
    pub limit: Option<(LimitOwner, &'static str)>,
    pub requests: u64,
}

/// Somebody whose requests would be refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedUser {
    /// None where nobody is known by that address, or no address.
    pub user_id: Option<Uuid>,
    /// The user's address; else the one that requests claimed. None where they claimed none.
    pub email: Option<String>,
    pub requests: u64,
}

/// Rows of a table.
const MOST_ROWS: usize = 50;

#[derive(Debug, Default)]
pub(super) struct Tally {
    requests: SampledSum,
    refused_then: SampledSum,
    refused: SampledSum,
    passed: SampledSum,
    shortened: SampledSum,
    spend_then: SampledSum,
    spend: SampledSum,
    rules: BTreeMap<RefusedBy, u64>,
    users: BTreeMap<(Option<Uuid>, String), u64>,
    models: BTreeMap<String, u64>,
    untold: BTreeMap<Untold, u64>,
}

impl Tally {
    pub(super) fn new(untold: Vec<Untold>) -> Self {
        Self { untold: untold.into_iter().map(|untold| (untold, 0)).collect(), ..Self::default() }
    }

    pub(super) fn add(&mut self, record: &TrafficRecord, effect: Effect) {
        let repeats = i128::from(record.repeats);
        self.requests.add(repeats);
        if !record.code.is_empty() {
            self.refused_then.add(repeats);
        }
        let cost = i128::from(record.cost.0);
        self.spend_then.add(cost);
        let mut would_cost = cost;
        match effect {
            Effect::None { more_cost } => would_cost += more_cost,
            Effect::Shortened { more_cost } => {
                self.shortened.add(repeats);
                would_cost += more_cost;
            }
            Effect::Refused { code, limit } => {
                self.refused.add(repeats);
                would_cost = 0;
                *self.rules.entry(RefusedBy { code, limit, requests: 0 }).or_default() += record.repeats;
                let identity = if record.user_id.is_some() { String::new() } else { record.identity.clone() };
                *self.users.entry((record.user_id, identity)).or_default() += record.repeats;
                *self.models.entry(record.model.clone()).or_default() += record.repeats;
            }
            Effect::Passed(more) => self.passed.add(i128::from(more)),
            Effect::Untold(untold) => *self.untold.entry(untold).or_default() += record.repeats,
        }
        self.spend.add(would_cost.max(0));
    }

    pub(super) fn finish(
        self,
        from: Timestamp,
        to: Timestamp,
        is_complete: bool,
        stands_for: u64,
    ) -> Simulation {
        let estimate = |sum: SampledSum| sum.estimate(stands_for);
        let scaled = |requests: u64| requests.saturating_mul(stands_for);
        let rules =
            self.rules.into_iter().map(|(rule, requests)| RefusedBy { requests: scaled(requests), ..rule });
        let users = self.users.into_iter().map(|((user_id, identity), requests)| RefusedUser {
            user_id,
            email: Some(identity).filter(|identity| !identity.is_empty()),
            requests: scaled(requests),
        });
        let models = self.models.into_iter().map(|(model, requests)| (model, scaled(requests)));
        Simulation {
            from,
            to,
            is_complete,
            stands_for,
            requests: estimate(self.requests),
            refused_then: estimate(self.refused_then),
            refused: estimate(self.refused),
            rules: most_first(rules, |rule| rule.requests),
            users: most_first(users, |user| user.requests),
            models: most_first(models, |(_, requests)| *requests),
            passed: estimate(self.passed),
            shortened: estimate(self.shortened),
            spend_then: estimate(self.spend_then),
            spend: estimate(self.spend),
            untold: self.untold.into_iter().map(|(untold, requests)| (untold, scaled(requests))).collect(),
        }
    }
}

fn most_first<T>(rows: impl Iterator<Item = T>, requests: impl Fn(&T) -> u64) -> Vec<T> {
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|row| std::cmp::Reverse(requests(row)));
    rows.truncate(MOST_ROWS);
    rows
}
