use std::collections::BTreeMap;
use std::fmt;

use latchkey_proto::discovery as wire;

use super::catalogue::{is_authority, is_token};
use super::{Glob, InvalidResource, UnixMs, name};

/// The prefix of a server's name where records say who served.
pub const PROVIDER_PREFIX: &str = "mcp/";

/// An MCP server, in values that may stand in headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpServer {
    /// As policies and clients' paths name it.
    pub name: String,
    /// The Envoy cluster that reaches it.
    pub cluster: String,
    /// The host, and port where needed, of its URL.
    pub authority: String,
    /// The path of its URL.
    pub path: String,
    /// Seals the ids of its sessions; empty: no session can be opened.
    pub session_key: SessionKey,
    /// None: whatever it lists may be used.
    pub pins: Option<ToolPins>,
}

/// Which of a server's tools may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolPins {
    /// By name.
    pins: BTreeMap<String, ToolPin>,
    /// Whether the control plane approves a tool that it has never heard of.
    pub trusts_first_use: bool,
}

/// A tool that was approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToolPin {
    /// Of its definition.
    pub hash: ToolHash,
    /// Whether another definition was seen since: it is quarantined.
    pub is_changed: bool,
    /// Tells approvals of one definition apart; 0 where the control plane does not say.
    pub approved_at: UnixMs,
}

/// SHA-256 of a tool's definition as canonical JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ToolHash(pub [u8; 32]);

/// What an app may use of one MCP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpEntry {
    server: String,
    /// None: every tool.
    tools: Option<Glob>,
}

/// Seals the sessions of one server. Clients do not know it, as they know their keys and everything derived
/// from them. Empty, as from a control plane that does not send it, it seals nothing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SessionKey(pub Vec<u8>);

impl McpServer {
    /// Its name in records.
    #[must_use]
    pub fn provider(&self) -> String {
        [PROVIDER_PREFIX, &self.name].concat()
    }

    /// Whether a server can have this name: lower case letters, digits, hyphens and underscores.
    #[must_use]
    pub fn is_name(text: &str) -> bool {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let mut bytes = text.bytes();
        bytes.next().is_some_and(plain) && bytes.all(|byte| plain(byte) || matches!(byte, b'-' | b'_'))
    }
}

impl ToolPins {
    /// Of the tool of this name; none where it was not approved.
    #[must_use]
    pub fn get(&self, tool: &str) -> Option<&ToolPin> {
        self.pins.get(tool)
    }
}

impl McpEntry {
    /// The entry that `text` spells: `server`, or `server/tool` with `*`s in the tool's name.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let (server, tools) = match text.split_once('/') {
            Some((server, tools)) => (server, Some(tools).filter(|tools| *tools != "*")),
            None => (text, None),
        };
        Self { server: server.to_owned(), tools: tools.map(Glob::new) }
    }

    /// The folded names of its tools.
    #[must_use]
    pub fn folded(&self) -> Self {
        Self { server: self.server.clone(), tools: self.tools.as_ref().map(Glob::folded) }
    }

    /// Whether it is about this server.
    #[must_use]
    pub fn is_of(&self, server: &str) -> bool {
        self.server == server
    }

    /// Whether it allows some tools only.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.tools.is_some()
    }

    /// Whether it is this tool of its server, by its whole name.
    #[must_use]
    pub fn names(&self, tool: &str) -> bool {
        self.tools.as_ref().is_some_and(|tools| tools.is_literal() && tools.matches(tool))
    }

    /// Whether it allows this tool of its server.
    #[must_use]
    pub fn allows(&self, tool: &str) -> bool {
        self.tools.as_ref().is_none_or(|tools| tools.matches(tool))
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey")
    }
}

/// In hexadecimal.
impl fmt::Display for ToolHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ToolHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<wire::McpPins> for ToolPins {
    type Error = InvalidResource;

    fn try_from(pinned: wire::McpPins) -> Result<Self, InvalidResource> {
        let wire::McpPins { pins, trust_first_use } = pinned;
        let mut read = BTreeMap::new();
        for wire::McpPin { tool, hash, changed, approved_at_ms } in pins {
            let actual = hash.len();
            let hash = <[u8; 32]>::try_from(hash).map_err(|_| InvalidResource::Length {
                field: "mcp_servers.pins.hash",
                expected: 32,
                actual,
            })?;
            let tool = name(tool, "mcp_servers.pins.tool")?;
            let pin =
                ToolPin { hash: ToolHash(hash), is_changed: changed, approved_at: UnixMs(approved_at_ms) };
            if read.insert(tool.clone(), pin).is_some() {
                return Err(InvalidResource::PinnedTwice(tool));
            }
        }
        Ok(Self { pins: read, trusts_first_use: trust_first_use })
    }
}

impl TryFrom<wire::McpServer> for McpServer {
    type Error = InvalidResource;

    fn try_from(server: wire::McpServer) -> Result<Self, InvalidResource> {
        let wire::McpServer { name: server_name, cluster, authority, path, session_key, pins } = server;
        let name = name(server_name, "mcp_servers.name")?;
        let malformed = |field| InvalidResource::McpServer { server: name.clone(), field };
        if !Self::is_name(&name) {
            return Err(malformed("name"));
        }
        if !is_token(&cluster) {
            return Err(malformed("cluster"));
        }
        if !is_authority(&authority) {
            return Err(malformed("authority"));
        }
        if !path.starts_with('/') || !is_token(&path) || path.contains(['?', '#']) {
            return Err(malformed("path"));
        }
        let pins = pins.map(ToolPins::try_from).transpose()?;
        Ok(Self { name, cluster, authority, path, session_key: SessionKey(session_key), pins })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn refused(edit: impl FnOnce(&mut wire::McpServer)) -> String {
        let mut server = testing::mcp_server("github");
        edit(&mut server);
        McpServer::try_from(server).unwrap_err().to_string()
    }

    #[test]
    fn what_could_not_be_sent_on_is_refused() {
        McpServer::try_from(testing::mcp_server("0-a_b")).unwrap();
        let malformed = |field: &str| format!("MCP server `github`: {field} is malformed");
        assert_eq!(refused(|server| server.cluster.clear()), malformed("cluster"));
        assert_eq!(refused(|server| server.authority = "user@host".into()), malformed("authority"));
        for path in ["", "mcp", "/a b", "/a?b", "/a#b", "/\r\n"] {
            assert_eq!(refused(|server| server.path = path.into()), malformed("path"), "{path:?}");
        }
        for name in ["Github", "-a", "_a", "a.b", "a/b", "a b", "é"] {
            let told = refused(|server| server.name = name.into());
            assert_eq!(told, format!("MCP server `{name}`: name is malformed"));
        }
        let told = refused(|server| server.name.clear());
        assert_eq!(told, "mcp_servers.name is empty or has a control character");
    }

    #[test]
    fn a_pin_that_cannot_be_read_is_refused() {
        let pinned = |pins: Vec<wire::McpPin>| {
            refused(|server| server.pins = Some(wire::McpPins { pins, trust_first_use: false }))
        };
        let pin = testing::pin("add", [7; 32]);
        assert_eq!(pinned(vec![pin.clone(), pin.clone()]), "an MCP server's tool `add` is pinned twice");
        let short = wire::McpPin { hash: vec![7; 31], ..pin.clone() };
        assert_eq!(pinned(vec![short]), "mcp_servers.pins.hash has 31 bytes instead of 32");
        let nameless = wire::McpPin { tool: String::new(), ..pin };
        assert_eq!(pinned(vec![nameless]), "mcp_servers.pins.tool is empty or has a control character");
    }

    #[test]
    fn an_entry_is_of_one_server_and_perhaps_of_some_tools() {
        let whole = McpEntry::new("github");
        assert!(whole.is_of("github") && !whole.is_of("git") && !whole.is_partial() && whole.allows("x"));
        assert_eq!(McpEntry::new("github/*"), whole);
        let some = McpEntry::new("github/get_*");
        assert!(some.is_of("github") && some.is_partial());
        assert!(
            some.allows("get_me") && some.allows("get_a/b") && !some.allows("delete") && !some.allows("")
        );
        assert!(!McpEntry::new("*").is_of("github"), "the server's name is literal");
        assert!(!McpEntry::new("git*/x").is_of("github"));
        assert!(!McpEntry::new("github/").allows("x"));
    }
}
