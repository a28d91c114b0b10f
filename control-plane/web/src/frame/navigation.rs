//! Where people can go.

use latchkey_api::attention::Attention;
use latchkey_core::role::{Permission, Role};

#[derive(Clone, Debug)]
pub struct NavSection {
    /// What they have in common; empty for what needs no words.
    pub name: &'static str,
    pub links: &'static [NavLink],
}

/// A way to a page.
#[derive(Clone, Copy, Debug)]
pub struct NavLink {
    pub to: &'static str,
    pub name: &'static str,
    /// Whether pages below its path are not a part of it.
    pub exact: bool,
}

const fn link(to: &'static str, name: &'static str) -> NavLink {
    NavLink { to, name, exact: false }
}

const MINE: &[NavLink] = &[link("/apps", "My apps"), link("/requests", "My change requests")];

const WATCH: &[NavLink] = &[
    NavLink { to: "/admin", name: "Overview", exact: true },
    link("/admin/logs", "Logs"),
    link("/admin/findings", "Findings"),
    link("/admin/usage", "Usage"),
    link("/admin/events", "Events"),
];

const MANAGE: &[NavLink] = &[
    link("/admin/apps", "API keys"),
    link("/admin/keys", "Named keys"),
    link(REQUESTS, "Change requests"),
    link("/admin/groups", "Smart groups"),
    link("/admin/users", "Users"),
];

const CONFIGURE: &[NavLink] = &[
    link("/admin/providers", "Providers"),
    link(MCP_SERVERS, "MCP servers"),
    link("/admin/detectors", "External detectors"),
    link("/admin/models", "Models and prices"),
    link("/admin/routing-groups", "Routing groups"),
    link("/admin/gateways", "Gateways"),
    link("/admin/audit", "Audit log"),
    link(WEBHOOKS, "Webhooks"),
    link("/admin/tokens", "API tokens"),
];

/// The same without what only owners see.
const CONFIGURE_BUT_TOKENS: &[NavLink] = CONFIGURE.split_at(CONFIGURE.len() - 1).0;

/// The same without what only admins see.
const CONFIGURE_TO_READ: &[NavLink] = CONFIGURE.split_at(CONFIGURE.len() - 2).0;

const REQUESTS: &str = "/admin/requests";
const WEBHOOKS: &str = "/admin/webhooks";
const MCP_SERVERS: &str = "/admin/mcp-servers";

const TRY: &[NavLink] = &[link("/admin/playground", "Playground")];

/// The ways of somebody with this role.
pub fn sections(role: Role) -> Vec<NavSection> {
    let mine = NavSection { name: "For me", links: MINE };
    if !role.permits(Permission::GatewayRead) {
        return vec![mine];
    }
    let owner = role.permits(Permission::MembersUpdate);
    let configure = match (owner, role.permits(Permission::GatewayUpdate)) {
        (true, _) => CONFIGURE,
        (false, true) => CONFIGURE_BUT_TOKENS,
        (false, false) => CONFIGURE_TO_READ,
    };
    let mut sections = vec![
        NavSection { name: "Watch", links: WATCH },
        NavSection { name: "Manage", links: MANAGE },
        NavSection { name: "Gateway", links: configure },
    ];
    if role.permits(Permission::GatewayUpdate) {
        sections.push(NavSection { name: "Try", links: TRY });
    }
    sections.push(mine);
    sections
}

/// How much waits behind a link, and what that is; none where nothing does.
pub fn waiting(link: &NavLink, attention: Attention) -> Option<(u64, &'static str)> {
    let Attention { pending_requests, failing_webhooks, waiting_tools } = attention;
    let waiting = match link.to {
        REQUESTS => (pending_requests, "pending"),
        WEBHOOKS => (failing_webhooks, "failing"),
        MCP_SERVERS if waiting_tools == 1 => (1, "tool waits for approval"),
        MCP_SERVERS => (waiting_tools, "tools wait for approval"),
        _ => return None,
    };
    Some(waiting).filter(|(count, _)| *count > 0)
}
