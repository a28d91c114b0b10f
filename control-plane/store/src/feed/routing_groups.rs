//! Routing groups, as gateways hold them.

use latchkey_core::routing_group::{Failover, RoutingBalance, RoutingTarget};
use latchkey_proto::discovery as wire;

use crate::routing_groups::RoutingGroup;

/// A group without the targets that are not `served`: what their weights add to is shared by the others. A tier
/// of which nothing is left is left out, too. Its requests go to the next larger one, or where there is none to the
/// next smaller one. None where nothing is left at all.
pub(super) fn routing_group(
    group: RoutingGroup,
    served: impl Fn(&RoutingTarget) -> bool,
) -> Option<wire::RoutingGroup> {
    let RoutingGroup { name, settings, created_at, .. } = group;
    let tier = |(_, border, targets): (String, Option<u64>, &[RoutingTarget])| wire::RoutingTier {
        max_input_tokens: border.unwrap_or(0),
        targets: targets.iter().filter(|one| served(one)).map(target).collect(),
    };
    let mut tiers: Vec<_> = settings.tiers().map(tier).filter(|tier| !tier.targets.is_empty()).collect();
    tiers.last_mut()?.max_input_tokens = 0;
    Some(wire::RoutingGroup {
        name: name.into(),
        created_at: created_at.as_second(),
        tiers,
        balance: match settings.balance {
            RoutingBalance::Requests => wire::RoutingBalance::Requests,
            RoutingBalance::Tokens => wire::RoutingBalance::Tokens,
        }
        .into(),
        failover: Some(failover(settings.failover)),
        sticky: settings.sticky,
    })
}

fn target(target: &RoutingTarget) -> wire::RoutingTarget {
    let RoutingTarget { provider, model, weight } = target;
    wire::RoutingTarget {
        provider: provider.as_str().to_owned(),
        model: model.as_str().to_owned(),
        weight: *weight,
    }
}

fn failover(failover: Failover) -> wire::Failover {
    let Failover { attempts, statuses, headers_timeout_ms, first_event_timeout_ms, repeat_side_effects } =
        failover;
    wire::Failover {
        max_attempts: attempts,
        statuses: statuses.into_iter().map(u32::from).collect(),
        headers_timeout_ms: headers_timeout_ms.unwrap_or(0),
        first_event_timeout_ms: first_event_timeout_ms.unwrap_or(0),
        repeats_side_effects: repeat_side_effects,
    }
}
