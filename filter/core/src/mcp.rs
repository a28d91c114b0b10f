//! MCP servers (Model Context Protocol, streamable HTTP), each under one path: `/mcp/<server>`.

mod message;
mod method;
mod repeated_headers;
mod session;
mod sse;
mod tool_filter;
mod tool_list;

use crate::answer::denial::{Code, Denial};
use crate::snapshot::McpServer;

pub use message::{McpAction, McpMessage};
pub use repeated_headers::RepeatedHeaders;
pub use session::{HEADER as SESSION_HEADER, SessionBinding, SessionKey};
pub use tool_filter::{McpAnswerFormat, ToolFilter};

/// What records call the endpoint.
pub const ENDPOINT: &str = "mcp";

/// What the names of servers begin with where records say who served.
pub const PROVIDER_PREFIX: &str = "mcp/";

/// How a server's answer is passed on.
#[derive(Debug)]
pub struct McpRelay {
    /// By whom a session that it opens is opened.
    pub binding: SessionBinding,
    /// What of it the client may see, where that is not all.
    pub listing: Option<ToolFilter>,
}

/// Which server a request is for, and what it does there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpTarget {
    /// The server's name.
    pub server: String,
    /// By the request's method.
    pub verb: McpVerb,
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum McpVerb {
    /// Sends a message.
    Post,
    /// Opens a stream of the server's messages.
    Get,
    /// Ends the session.
    Delete,
}

impl McpVerb {
    /// The methods that there are, as `allow` tells them.
    pub const ALLOWED: &'static str = "GET, POST, DELETE";

    /// Reads a method.
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

impl McpTarget {
    /// Reads a whole body; none where the request has no message.
    ///
    /// # Errors
    /// When it is malformed or ambiguous, or when there is one where none belongs.
    pub fn read(&self, body: &[u8]) -> Result<Option<McpMessage>, Denial> {
        match self.verb {
            McpVerb::Post => McpMessage::read(body).map(Some),
            McpVerb::Get | McpVerb::Delete if body.is_empty() => Ok(None),
            McpVerb::Get | McpVerb::Delete => {
                Err(Denial::new(Code::InvalidMcpMessage, "Only a POST has a body: send the message by that."))
            }
        }
    }
}

/// The server of a path; none where the path is not exactly one server's.
#[must_use]
pub fn server_at(path: &str) -> Option<&str> {
    path.strip_prefix("/mcp/").filter(|server| McpServer::is_name(server))
}

/// Whether clients expect errors in JSON-RPC's shape there, served or not.
#[must_use]
pub fn is_below(path: &str) -> bool {
    path.strip_prefix("/mcp").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_json_rpc_below_mcp_only() {
        for path in ["/mcp", "/mcp/", "/mcp/github", "/mcp/github/x"] {
            assert!(is_below(path), "{path}");
        }
        for path in ["/mcpx", "/v1/mcp", "/", ""] {
            assert!(!is_below(path), "{path}");
        }
    }

    #[test]
    fn only_a_post_has_a_body() {
        let read = |verb, body: &[u8]| McpTarget { server: "github".into(), verb }.read(body);
        for verb in [McpVerb::Get, McpVerb::Delete] {
            assert_eq!(read(verb, b"").unwrap().map(|_| ()), None);
            assert_eq!(read(verb, b"{}").unwrap_err().code, Code::InvalidMcpMessage);
        }
        assert_eq!(read(McpVerb::Post, b"").unwrap_err().code, Code::InvalidJson);
    }
}
