//! How many tokens the targets of groups had, for groups that are balanced by tokens.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::snapshot::RoutingTarget;

/// Targets that are remembered; all are forgotten when there are more.
const MOST: usize = 4096;

/// The tokens of one worker's requests since it began. Each worker balances by itself, so all gateways together
/// are balanced as well as each is.
#[derive(Debug, Default)]
pub struct TokenShares(RefCell<HashMap<ShareKey, u64>>);

/// A group and a target of it.
type ShareKey = (String, String, String);

impl TokenShares {
    /// Puts the target first that has the least for its weight.
    pub(super) fn put_neediest_first(&self, group: &str, targets: &mut Vec<Rc<RoutingTarget>>) {
        let shares = self.0.borrow();
        let used = |target: &RoutingTarget| shares.get(&key(group, target)).copied().unwrap_or_default();
        // `used / weight`, without fractions.
        let ratio = |target: &RoutingTarget| {
            u128::from(used(target)).saturating_mul(1 << 32).checked_div(target.weight.into())
        };
        let weighted = targets.iter().enumerate().filter_map(|(at, target)| Some((ratio(target)?, at)));
        let Some((_, at)) = weighted.min() else { return };
        let first = targets.remove(at);
        targets.insert(0, first);
    }

    /// A target gets a request of about so many tokens. A target that gets none for long, as it rests, does not
    /// make up for it later: none of `beside` falls far behind.
    pub fn add(&self, group: &str, target: &RoutingTarget, tokens: u64, beside: &[Rc<RoutingTarget>]) {
        let mut shares = self.0.borrow_mut();
        if shares.len() >= MOST {
            shares.clear();
        }
        let had = shares.entry(key(group, target)).or_default();
        let before = *had;
        *had = had.saturating_add(tokens);
        for other in beside.iter().filter(|other| ***other != *target) {
            let even =
                u128::from(before).saturating_mul(other.weight.into()).checked_div(target.weight.into());
            let even = u64::try_from(even.unwrap_or_default()).unwrap_or(u64::MAX);
            let had = shares.entry(key(group, other)).or_default();
            *had = (*had).max(even.saturating_sub(SLACK.saturating_mul(other.weight.into())));
        }
    }

    /// A request for which `expected` tokens were added has had so many of `served`.
    pub fn correct(
        &self,
        group: &str,
        first: &RoutingTarget,
        expected: u64,
        served: &RoutingTarget,
        had: u64,
    ) {
        let mut shares = self.0.borrow_mut();
        let of_first = shares.entry(key(group, first)).or_default();
        *of_first = of_first.saturating_sub(expected);
        let of_served = shares.entry(key(group, served)).or_default();
        *of_served = of_served.saturating_add(had);
    }
}

/// By how many tokens, for each percent of weight, a target may fall behind.
const SLACK: u64 = 2_000;

fn key(group: &str, target: &RoutingTarget) -> ShareKey {
    (group.to_owned(), target.offer.provider.name.clone(), target.model.clone())
}
