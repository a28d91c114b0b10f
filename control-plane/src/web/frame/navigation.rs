//! Where people can go.

use latchkey_core::role::{Permission, Role};

/// Pages that belong together.
#[derive(Clone, Debug)]
pub struct Section {
    /// What they have in common; empty for what needs no words.
    pub name: &'static str,
    /// The pages.
    pub links: &'static [Link],
}

/// A way to a page.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Its path.
    pub to: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Whether pages below its path are not a part of it.
    pub exact: bool,
}

const fn link(to: &'static str, name: &'static str) -> Link {
    Link { to, name, exact: false }
}

const MINE: &[Link] = &[link("/apps", "My apps"), link("/requests", "My change requests")];

const WATCH: &[Link] = &[
    Link { to: "/admin", name: "Overview", exact: true },
    link("/admin/logs", "Logs"),
    link("/admin/usage", "Usage"),
    link("/admin/events", "Events"),
];

const MANAGE: &[Link] = &[
    link("/admin/apps", "API keys"),
    link("/admin/requests", "Change requests"),
    link("/admin/groups", "Smart groups"),
    link("/admin/users", "Users"),
];

const CONFIGURE: &[Link] = &[
    link("/admin/providers", "Providers"),
    link("/admin/mcp-servers", "MCP servers"),
    link("/admin/models", "Models and prices"),
    link("/admin/gateways", "Gateways"),
    link("/admin/audit", "Audit log"),
    link("/admin/tokens", "API tokens"),
];

/// The same without what only owners see.
const CONFIGURE_BUT_TOKENS: &[Link] = CONFIGURE.split_at(CONFIGURE.len() - 1).0;

const TRY: &[Link] = &[link("/admin/playground", "Playground")];

/// The ways of somebody with this role.
pub fn sections(role: Role) -> Vec<Section> {
    let mine = Section { name: "For me", links: MINE };
    if !role.permits(Permission::GatewayRead) {
        return vec![mine];
    }
    let owner = role.permits(Permission::MembersUpdate);
    let configure = if owner { CONFIGURE } else { CONFIGURE_BUT_TOKENS };
    let mut sections = vec![
        Section { name: "Watch", links: WATCH },
        Section { name: "Manage", links: MANAGE },
        Section { name: "Gateway", links: configure },
    ];
    if role.permits(Permission::GatewayUpdate) {
        sections.push(Section { name: "Try", links: TRY });
    }
    sections.push(mine);
    sections
}
