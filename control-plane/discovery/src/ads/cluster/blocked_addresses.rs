//! Where a cluster does not connect to: asked of the address that Envoy has resolved and is about to use, so
//! that a name which resolves to another address later is no way around.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::{CidrRange, TypedExtensionConfig};
use envoy_types::pb::envoy::config::rbac::v3::permission::{Rule, Set};
use envoy_types::pb::envoy::config::rbac::v3::principal::Identifier;
use envoy_types::pb::envoy::config::rbac::v3::rbac::Action;
use envoy_types::pb::envoy::config::rbac::v3::{Permission, Policy, Principal, Rbac as Rules};
use envoy_types::pb::envoy::extensions::filters::http::rbac::v3::Rbac;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::rbac::matchers::upstream_ip_port::v3::UpstreamIpPortMatcher;
use envoy_types::pb::google::protobuf::UInt32Value;
use envoy_types::util::pack_any;
use ipnet::IpNet;

use super::BlockedAddresses;

/// What Envoy calls it in the details of a response.
const POLICY: &str = "out_of_reach";

/// The filter, unless nothing is closed. It lets pass what is `open` in any case.
pub(super) fn filter(reach: &BlockedAddresses, open: &[IpNet]) -> Option<HttpFilter> {
    let never = (!reach.never.is_empty()).then(|| but(any_of(&reach.never), open));
    let opened = [reach.opened.as_slice(), open].concat();
    let closed = (!reach.closed.is_empty()).then(|| but(any_of(&reach.closed), &opened));
    let permissions: Vec<_> = never.into_iter().chain(closed).map(permission).collect();
    if permissions.is_empty() {
        return None;
    }
    // One policy alone: the order of several would be another each time that the cluster is written.
    let policies = HashMap::from([(POLICY.to_owned(), policy(permissions))]);
    let rules = Rules { action: Action::Deny.into(), policies, ..Rules::default() };
    let filter = Rbac { rules: Some(rules), ..Rbac::default() };
    Some(super::filter("envoy.filters.http.upstream_rbac", pack_any(filter)))
}

fn policy(permissions: Vec<Permission>) -> Policy {
    Policy {
        permissions,
        principals: vec![Principal { identifier: Some(Identifier::Any(true)) }],
        ..Policy::default()
    }
}

fn any_of(ranges: &[IpNet]) -> Rule {
    Rule::OrRules(Set { rules: ranges.iter().map(|range| permission(within(*range))).collect() })
}

fn but(rule: Rule, exceptions: &[IpNet]) -> Rule {
    match exceptions.is_empty() {
        true => rule,
        false => both(rule, not(any_of(exceptions))),
    }
}

fn both(one: Rule, other: Rule) -> Rule {
    Rule::AndRules(Set { rules: vec![permission(one), permission(other)] })
}

fn not(rule: Rule) -> Rule {
    Rule::NotRule(Box::new(permission(rule)))
}

fn within(range: IpNet) -> Rule {
    let range = CidrRange {
        address_prefix: range.network().to_string(),
        prefix_len: Some(UInt32Value { value: range.prefix_len().into() }),
    };
    let matcher = UpstreamIpPortMatcher { upstream_ip: Some(range), ..UpstreamIpPortMatcher::default() };
    Rule::Matcher(TypedExtensionConfig {
        name: "envoy.rbac.matchers.upstream_ip_port".to_owned(),
        typed_config: Some(pack_any(matcher)),
    })
}

fn permission(rule: Rule) -> Permission {
    Permission { rule: Some(rule) }
}
