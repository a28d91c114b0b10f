use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use latchkey_proto::discovery as wire;
use wire::selection::Kind;

use crate::guardrails::{GuardrailTrial, Guardrails};
use crate::identity::IdentityPolicy;
use crate::mcp::ArgumentRules;
use crate::prompts::Prompts;

use super::{AppId, Glob, InvalidResource, KeyRecord, Limits, McpEntry, Status, UnixMs, id, moment, name};

/// An app's policy, ready to be applied.
#[derive(Clone, Debug)]
pub struct AppPolicy {
    pub id: AppId,
    /// As people and external detectors know it.
    pub name: String,
    pub status: Status,
    /// The app's keys are refused from this time on.
    pub expires: Option<UnixMs>,
    pub mode: CredentialMode,
    /// Providers by name.
    pub providers: Selection<BTreeSet<String>>,
    /// The models that it may use.
    pub models: Selection<Vec<Glob>>,
    /// The MCP servers and tools that it may use.
    pub mcp: Selection<Vec<McpEntry>>,
    /// What the arguments of calls of MCP tools must be.
    pub mcp_arguments: ArgumentRules,
    /// None: from anywhere.
    pub addresses: Option<Vec<IpNet>>,
    /// For all its keys together.
    pub limits: Limits,
    /// For each named key without limits of its own.
    pub named_key_limits: Limits,
    /// How users are identified where the key does not say; none: not at all.
    pub identity: Option<IdentityPolicy>,
    /// Whether calls without an `X-Conversation-Id` are refused.
    pub conversation_required: bool,
    /// None: nothing is looked for.
    pub guardrails: Option<Guardrails>,
    /// What a change request asks for, tried beside them.
    pub guardrail_trial: Option<GuardrailTrial>,
    /// None: nothing is taken for a reference.
    pub prompts: Option<Prompts>,
    /// The routing groups that it may use, by name.
    pub routing_groups: Selection<BTreeSet<String>>,
    /// Whether requests may choose a target of a group.
    pub target_header: bool,
}

/// Which credentials open an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialMode {
    /// The app key, and named keys.
    Shared,
    Named,
}

/// What an app may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection<T> {
    All,
    None,
    Only(T),
}

impl AppPolicy {
    /// Whether the texts of a request are looked at, be it only for a trial.
    #[must_use]
    pub fn inspects(&self, now: UnixMs) -> bool {
        self.guardrails.is_some() || self.guardrail_trial.as_ref().is_some_and(|trial| trial.runs(now))
    }

    /// A key's own limits, beside the app's; none for an app key.
    #[must_use]
    pub fn key_limits<'a>(&'a self, key: &'a KeyRecord) -> Option<&'a Limits> {
        key.user.map(|_| key.limits.as_ref().unwrap_or(&self.named_key_limits))
    }

    /// Whether the app may use the model of this name.
    #[must_use]
    pub fn allows_model(&self, name: &str) -> bool {
        match &self.models {
            Selection::All => true,
            Selection::None => false,
            Selection::Only(globs) => globs.iter().any(|glob| glob.matches(name)),
        }
    }

    /// Whether the app may use the provider of this name.
    #[must_use]
    pub fn allows_provider(&self, name: &str) -> bool {
        match &self.providers {
            Selection::All => true,
            Selection::None => false,
            Selection::Only(names) => names.contains(name),
        }
    }

    /// Whether the app may use the routing group of this name.
    #[must_use]
    pub fn allows_routing_group(&self, name: &str) -> bool {
        match &self.routing_groups {
            Selection::All => true,
            Selection::None => false,
            Selection::Only(names) => names.contains(name),
        }
    }
}

impl AppPolicy {
    /// Whether the app may use the MCP server of this name, or some of it.
    #[must_use]
    pub fn allows_mcp_server(&self, name: &str) -> bool {
        match &self.mcp {
            Selection::All => true,
            Selection::None => false,
            Selection::Only(entries) => entries.iter().any(|entry| entry.is_of(name)),
        }
    }

    /// Whether the app may call this tool of an MCP server.
    #[must_use]
    pub fn allows_mcp_tool(&self, server: &str, tool: &str) -> bool {
        match &self.mcp {
            Selection::All => true,
            Selection::None => false,
            Selection::Only(entries) => entries.iter().any(|entry| entry.is_of(server) && entry.allows(tool)),
        }
    }

    /// Whether there may be tools of this MCP server that the app may not call.
    #[must_use]
    pub fn restricts_mcp_tools(&self, server: &str) -> bool {
        match &self.mcp {
            Selection::All => false,
            Selection::None => true,
            Selection::Only(entries) => {
                !entries.iter().any(|entry| entry.is_of(server) && !entry.is_partial())
            }
        }
    }
}

impl TryFrom<wire::AppPolicy> for AppPolicy {
    type Error = InvalidResource;

    fn try_from(policy: wire::AppPolicy) -> Result<Self, InvalidResource> {
        let wire::AppPolicy {
            id: app,
            name: app_name,
            status,
            expires_at_ms,
            mode,
            providers,
            models,
            addresses,
            limits,
            named_key_limits,
            identity,
            conversation_required,
            mcp,
            guardrails,
            prompts,
            routing_groups,
            target_header,
            guardrail_trial,
            mcp_argument_rules,
        } = policy;
        Ok(Self {
            id: AppId(id(&app, "id")?),
            name: app_name,
            status: Status::read(status, "status")?,
            expires: moment(expires_at_ms, "expires_at_ms")?,
            mode: match wire::CredentialMode::try_from(mode) {
                Ok(wire::CredentialMode::Shared) => CredentialMode::Shared,
                Ok(wire::CredentialMode::Named) => CredentialMode::Named,
                Ok(wire::CredentialMode::Unspecified) | Err(_) => return Err(InvalidResource::Unset("mode")),
            },
            providers: select(providers, "providers", |names| names.into_iter().collect())?,
            models: select(models, "models", |names| names.iter().map(|name| Glob::new(name)).collect())?,
            mcp: match mcp {
                None => Selection::None,
                some => select(some, "mcp", |names| names.iter().map(|name| McpEntry::new(name)).collect())?,
            },
            mcp_arguments: ArgumentRules::try_from(mcp_argument_rules)?,
            addresses: addresses
                .map(|list| list.ranges.iter().map(|range| parse(range)).collect())
                .transpose()?,
            limits: limits.map(Limits::try_from).transpose()?.unwrap_or_default(),
            named_key_limits: named_key_limits.map(Limits::try_from).transpose()?.unwrap_or_default(),
            identity: identity.map(IdentityPolicy::try_from).transpose()?,
            conversation_required,
            guardrails: guardrails.map(Guardrails::try_from).transpose()?,
            // What cannot be tried here, as of another version's control plane, must not hold up the app's own settings:
            // it is tried on no request, and none counts as tried.
            guardrail_trial: guardrail_trial.and_then(|trial| GuardrailTrial::try_from(trial).ok()),
            prompts: prompts.map(Prompts::try_from).transpose()?,
            routing_groups: match routing_groups {
                None => Selection::None,
                some => select(some, "routing_groups", |names| names.into_iter().collect())?,
            },
            target_header,
        })
    }
}

fn select<T>(
    selection: Option<wire::Selection>,
    field: &'static str,
    compile: impl FnOnce(Vec<String>) -> T,
) -> Result<Selection<T>, InvalidResource> {
    match selection.and_then(|selection| selection.kind) {
        None => Err(InvalidResource::Unset(field)),
        Some(Kind::All(wire::Everything {})) => Ok(Selection::All),
        Some(Kind::None(wire::Nothing {})) => Ok(Selection::None),
        Some(Kind::Only(wire::Names { names })) => {
            let names: Result<Vec<_>, _> = names.into_iter().map(|text| name(text, field)).collect();
            Ok(Selection::Only(compile(names?)))
        }
    }
}

/// A single address is a range of one. IPv4 written as IPv6 is IPv4, as clients' addresses are.
fn parse(range: &str) -> Result<IpNet, InvalidResource> {
    let net = match range.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => range.parse::<IpNet>().map_err(|_| InvalidResource::Range(range.to_owned()))?,
    };
    let IpNet::V6(v6) = net else {
        return Ok(net);
    };
    Ok(mapped(v6).map_or(net, IpNet::V4))
}

fn mapped(net: Ipv6Net) -> Option<Ipv4Net> {
    let address: Ipv6Addr = net.addr();
    Ipv4Net::new(address.to_ipv4_mapped()?, net.prefix_len().checked_sub(96)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn nothing_set_is_refused_so_that_it_is_never_all() {
        let unset = |edit: fn(&mut wire::AppPolicy)| {
            let mut app = testing::app();
            edit(&mut app);
            AppPolicy::try_from(app).unwrap_err().to_string()
        };
        assert_eq!(unset(|app| app.models = None), "models is not set, or not to a known value");
        assert_eq!(unset(|app| app.status = 0), "status is not set, or not to a known value");
        assert_eq!(unset(|app| app.mode = 9), "mode is not set, or not to a known value");
        assert_eq!(unset(|app| app.id = vec![1]), "id has 1 bytes instead of 16");
        assert_eq!(
            unset(|app| app.addresses = Some(wire::AddressList { ranges: vec!["10.0.0.0/33".into()] })),
            "addresses: `10.0.0.0/33` is neither an address nor a CIDR range"
        );
    }

    #[test]
    fn an_empty_list_selects_nothing() {
        let mut app = testing::app();
        app.models = Some(testing::only(&[]));
        assert!(!AppPolicy::try_from(app).unwrap().allows_model("gpt-4o"));
    }

    #[test]
    fn mcp_is_nothing_unless_it_is_allowed() {
        let of = |mcp| AppPolicy::try_from(wire::AppPolicy { mcp, ..testing::app() });
        assert_eq!(of(None).unwrap().mcp, Selection::None);
        let kindless = of(Some(wire::Selection { kind: None })).unwrap_err().to_string();
        assert_eq!(kindless, "mcp is not set, or not to a known value");
        let none = of(None).unwrap();
        assert!(!none.allows_mcp_server("github") && !none.allows_mcp_tool("github", "get_me"));
        let all = of(Some(testing::all())).unwrap();
        assert!(all.allows_mcp_server("x") && all.allows_mcp_tool("x", "y") && !all.restricts_mcp_tools("x"));
    }

    #[test]
    fn mcp_servers_are_allowed_whole_or_by_tools() {
        let mcp = Some(testing::only(&["docs", "github/get_*", "github/list", "both/x", "both"]));
        let app = AppPolicy::try_from(wire::AppPolicy { mcp, ..testing::app() }).unwrap();
        for (server, restricted) in [("docs", false), ("github", true), ("both", false)] {
            assert!(app.allows_mcp_server(server), "{server}");
            assert_eq!(app.restricts_mcp_tools(server), restricted, "{server}");
        }
        assert!(app.allows_mcp_tool("docs", "any") && app.allows_mcp_tool("both", "y"));
        assert!(app.allows_mcp_tool("github", "get_me") && app.allows_mcp_tool("github", "list"));
        assert!(!app.allows_mcp_tool("github", "delete") && !app.allows_mcp_tool("github", "list_all"));
        assert!(!app.allows_mcp_server("doc") && !app.allows_mcp_tool("doc", "any"));
    }

    #[test]
    fn an_ipv4_range_written_as_ipv6_is_ipv4() {
        assert_eq!(parse("::ffff:10.0.0.0/104"), Ok("10.0.0.0/8".parse().unwrap()));
        assert_eq!(parse("::1"), Ok("::1/128".parse().unwrap()));
        assert_eq!(parse("192.0.2.7"), Ok("192.0.2.7/32".parse().unwrap()));
    }
}
