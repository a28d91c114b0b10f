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

pub use message::{Asks, Message};
pub use repeated_headers::Mirror;
pub use session::{Binding, HEADER as SESSION_HEADER, SessionKey};
pub use tool_filter::{Form, Listing};

/// What records call the endpoint.
pub const ENDPOINT: &str = "mcp";

/// What the names of servers begin with where records say who served.
pub const PROVIDER_PREFIX: &str = "mcp/";

/// How a server's answer is passed on.
#[derive(Debug)]
pub struct Relay {
    /// By whom a session that it opens is opened.
    pub binding: Binding,
    /// What of it the client may see, where that is not all.
    pub listing: Option<Listing>,
}

/// Which server a request is for, and what it does there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The server's name.
    pub server: String,
    /// By the request's method.
    pub verb: Verb,
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Sends a message.
    Post,
    /// Opens a stream of the server's messages.
    Get,
    /// Ends the session.
    Delete,
}

impl Verb {
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

impl Target {
    /// Reads a whole body; none where the request has no message.
    ///
    /// # Errors
    /// When it is malformed or ambiguous, or when there is one where none belongs.
    pub fn read(&self, body: &[u8]) -> Result<Option<Message>, Denial> {
        match self.verb {
            Verb::Post => Message::read(body).map(Some),
            Verb::Get | Verb::Delete if body.is_empty() => Ok(None),
            Verb::Get | Verb::Delete => {
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
        let read = |verb, body: &[u8]| Target { server: "github".into(), verb }.read(body);
        for verb in [Verb::Get, Verb::Delete] {
            assert_eq!(read(verb, b"").unwrap().map(|_| ()), None);
            assert_eq!(read(verb, b"{}").unwrap_err().code, Code::InvalidMcpMessage);
        }
        assert_eq!(read(Verb::Post, b"").unwrap_err().code, Code::InvalidJson);
    }
}
