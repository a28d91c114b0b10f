use std::fmt;

use latchkey_proto::discovery as wire;

use super::catalogue::{is_authority, is_token};
use super::{Glob, InvalidResource, name};

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
}

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

impl TryFrom<wire::McpServer> for McpServer {
    type Error = InvalidResource;

    fn try_from(server: wire::McpServer) -> Result<Self, InvalidResource> {
        let wire::McpServer { name: server_name, cluster, authority, path, session_key } = server;
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
        Ok(Self { name, cluster, authority, path, session_key: SessionKey(session_key) })
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
