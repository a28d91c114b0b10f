use std::collections::BTreeSet;
use std::rc::Rc;

use latchkey_proto::discovery as wire;

use super::{InvalidResource, Offer, name};

/// The most targets that a request is sent to, one after the other.
pub const MOST_ATTEMPTS: u32 = 4;

/// A name that stands for several models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingGroup {
    pub name: String,
    /// Unix seconds.
    pub created_at: i64,
    /// From the smallest input; the last takes all sizes.
    pub tiers: Vec<RoutingTier>,
    pub balance: RoutingBalance,
    pub failover: Failover,
    /// Whether the requests of a conversation stay at one target.
    pub sticky: bool,
}

/// The targets for input of some size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingTier {
    /// In tokens; none for any size.
    pub max_input: Option<u64>,
    pub targets: Vec<Rc<RoutingTarget>>,
}

/// A model of a provider that may serve a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingTarget {
    /// With the provider's cluster for groups as its cluster.
    pub offer: Offer,
    /// The model's name in the catalogue.
    pub model: String,
    /// Its share beside the others'; 0: only where the others fail.
    pub weight: u32,
}

/// What weights are shares of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoutingBalance {
    Requests,
    Tokens,
}

/// When a request moves on to another target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failover {
    /// 1 to [`MOST_ATTEMPTS`].
    pub max_attempts: u32,
    /// Of answers that count as failures.
    pub statuses: Vec<u16>,
    /// In milliseconds, until the headers of an answer that is no stream; none for as long as it takes.
    pub headers_timeout_ms: Option<u32>,
    /// In milliseconds, until the first event of a stream; none for as long as it takes.
    pub first_event_timeout_ms: Option<u32>,
    /// Whether requests may be repeated that leave something behind at the provider.
    pub repeats_side_effects: bool,
}

impl RoutingGroup {
    /// Reads a group. `find` gives the offer of a provider and a model, with the provider's cluster for groups.
    pub(super) fn read(
        group: wire::RoutingGroup,
        find: impl Fn(&str, &str) -> Option<Offer>,
    ) -> Result<Self, InvalidResource> {
        let wire::RoutingGroup { name: group_name, created_at, tiers, balance, failover, sticky } = group;
        let name = name(group_name, "routing_groups.name")?;
        let malformed = |field| InvalidResource::RoutingGroup { group: name.clone(), field };
        let last = tiers.len().checked_sub(1).ok_or_else(|| malformed("tiers"))?;
        let mut read = Vec::with_capacity(tiers.len());
        for (at, tier) in tiers.into_iter().enumerate() {
            let wire::RoutingTier { max_input_tokens, targets } = tier;
            let max_input = (max_input_tokens != 0).then_some(max_input_tokens);
            // The last takes what is left, and no other does.
            if (at == last) != max_input.is_none() {
                return Err(malformed("tiers.max_input_tokens"));
            }
            let mut seen = BTreeSet::new();
            let mut of_tier = Vec::with_capacity(targets.len());
            for wire::RoutingTarget { provider, model, weight } in targets {
                let offer = find(&provider, &model).ok_or_else(|| malformed("tiers.targets"))?;
                if !seen.insert((provider, model.clone())) {
                    return Err(malformed("tiers.targets"));
                }
                of_tier.push(Rc::new(RoutingTarget { offer, model, weight }));
            }
            read.push(RoutingTier { max_input, targets: of_tier });
        }
        if !read.is_sorted_by_key(|tier| tier.max_input.unwrap_or(u64::MAX)) {
            return Err(malformed("tiers"));
        }
        let balance = match wire::RoutingBalance::try_from(balance) {
            Ok(wire::RoutingBalance::Requests) => RoutingBalance::Requests,
            Ok(wire::RoutingBalance::Tokens) => RoutingBalance::Tokens,
            Ok(wire::RoutingBalance::Unspecified) | Err(_) => return Err(malformed("balance")),
        };
        let failover = failover.ok_or_else(|| malformed("failover"))?;
        let failover = Failover::try_from(failover).map_err(malformed)?;
        Ok(Self { name, created_at, tiers: read, balance, failover, sticky })
    }

    /// The targets for input of this many tokens.
    #[must_use]
    pub fn targets_for(&self, input_tokens: u64) -> &[Rc<RoutingTarget>] {
        let fits = |tier: &&RoutingTier| tier.max_input.is_none_or(|most| input_tokens <= most);
        self.tiers.iter().find(fits).map_or(&[], |tier| tier.targets.as_slice())
    }

    /// Every target, of any tier.
    pub fn targets(&self) -> impl Iterator<Item = &Rc<RoutingTarget>> {
        self.tiers.iter().flat_map(|tier| &tier.targets)
    }
}

impl TryFrom<wire::Failover> for Failover {
    type Error = &'static str;

    fn try_from(failover: wire::Failover) -> Result<Self, Self::Error> {
        let wire::Failover {
            max_attempts,
            statuses,
            headers_timeout_ms,
            first_event_timeout_ms,
            repeats_side_effects,
        } = failover;
        if !(1..=MOST_ATTEMPTS).contains(&max_attempts) {
            return Err("failover.max_attempts");
        }
        let status = |status: u32| u16::try_from(status).ok().filter(|status| (400..600).contains(status));
        let statuses: Option<Vec<u16>> = statuses.into_iter().map(status).collect();
        Ok(Self {
            max_attempts,
            statuses: statuses.ok_or("failover.statuses")?,
            headers_timeout_ms: (headers_timeout_ms != 0).then_some(headers_timeout_ms),
            first_event_timeout_ms: (first_event_timeout_ms != 0).then_some(first_event_timeout_ms),
            repeats_side_effects,
        })
    }
}
