//! The Model Context Protocol: a client's messages and headers, its sessions, and a server's answers to an
//! app that may use some of its tools only.

mod message;
mod method;
mod repeated_headers;
mod session;
pub(crate) mod sse;
mod tool_filter;
mod tool_list;

pub use message::{McpAction, McpMessage};
pub use repeated_headers::RepeatedHeaders;
pub use session::{HEADER as SESSION_HEADER, SessionBinding};
pub use tool_filter::{McpAnswerFormat, ToolFilter};

/// How a server's answer is passed on.
#[derive(Debug)]
pub struct McpRelay {
    /// Who may use a session that the server opens.
    pub binding: SessionBinding,
    /// None where the app may use every tool.
    pub tools: Option<ToolFilter>,
}
