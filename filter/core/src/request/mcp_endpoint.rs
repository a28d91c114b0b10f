//! The paths of MCP servers: `/mcp/<server>`.

use crate::snapshot::McpServer;

/// The endpoint's name in records.
pub const NAME: &str = "mcp";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpTarget {
    pub server: String,
    pub verb: McpVerb,
}

/// The HTTP methods of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum McpVerb {
    Post,
    /// Opens a stream of the server's messages.
    Get,
    Delete,
}

impl McpVerb {
    pub const ALLOWED: &'static str = "GET, POST, DELETE";

    #[must_use]
    pub fn parse(method: &str) -> Option<Self> {
        match method {
            "POST" => Some(Self::Post),
            "GET" => Some(Self::Get),
            "DELETE" => Some(Self::Delete),
            _ => None,
        }
    }
}

/// None where the path is not exactly one server's.
#[must_use]
pub fn server_at(path: &str) -> Option<&str> {
    path.strip_prefix("/mcp/").filter(|server| McpServer::is_name(server))
}

/// Whether clients of this path expect errors in JSON-RPC's shape, whether or not it is served.
#[must_use]
pub fn is_mcp_path(path: &str) -> bool {
    path.strip_prefix("/mcp").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_json_rpc_below_mcp_only() {
        for path in ["/mcp", "/mcp/", "/mcp/github", "/mcp/github/x"] {
            assert!(is_mcp_path(path), "{path}");
        }
        for path in ["/mcpx", "/v1/mcp", "/", ""] {
            assert!(!is_mcp_path(path), "{path}");
        }
    }
}
