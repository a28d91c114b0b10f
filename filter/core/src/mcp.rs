//! The Model Context Protocol: a client's messages and headers, its sessions, a server's lists of tools, and the
//! tools' definitions.

mod arguments;
mod canonical;
mod decimal;
mod definition;
mod document;
mod message;
mod method;
mod repeated_headers;
mod session;
pub mod sightings;
pub(crate) mod sse;
mod tool_filter;
mod tool_list;

pub use arguments::{ArgumentRules, steps as pointer_steps};
pub use canonical::canonical;
pub use decimal::Decimal;
pub use definition::{LONGEST_DEFINITION, ToolDefinition};
pub use document::LONGEST_DOCUMENT;
pub use latchkey_guardrails::folded_name;
pub use message::{McpAction, McpMessage, ToolCall, is_tool_name};
pub use repeated_headers::RepeatedHeaders;
pub use session::{HEADER as SESSION_HEADER, SessionBinding};
pub use tool_filter::{McpAnswerFormat, ToolFilter};

/// How a server's answer is passed on.
#[derive(Debug)]
pub struct McpRelay {
    /// Who may use a session that the server opens.
    pub binding: SessionBinding,
    /// None where the app may use every tool, whatever its definition.
    pub tools: Option<ToolFilter>,
}
