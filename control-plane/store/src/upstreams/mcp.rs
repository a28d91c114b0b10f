use latchkey_core::mcp_tools::ToolPinning;
use latchkey_core::provider::ProviderKind;
use latchkey_filter_core::snapshot::SessionKey;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{AnyQuery, Protocol, Statements, statements};
use crate::row::Columns as _;
use crate::seal::Purpose;

/// What gateways need to serve an MCP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpProtocol {
    /// By which gateways seal the ids of its sessions. Clients never learn it.
    pub session_key: SessionKey,
    /// Which of its tools may be used.
    pub tool_pinning: ToolPinning,
}

impl Protocol for McpProtocol {
    const NOUN: &'static str = "MCP server";
    const CLUSTER_PREFIX: &'static str = "latchkey-mcp";
    const STATEMENTS: Statements = statements!(
        "mcp_servers",
        "url",
        "session_key, tool_pinning",
        "$8, $9",
        "session_key = $8, tool_pinning = $9"
    );

    fn purpose(name: &str) -> Purpose<'_> {
        Purpose::McpCredential(name)
    }

    /// A bearer token, as OpenAI's is.
    fn credential_kind(&self) -> ProviderKind {
        ProviderKind::OpenaiCompatible
    }

    fn read(row: &AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            session_key: SessionKey(row.try_get("session_key")?),
            tool_pinning: row.parsed("tool_pinning")?,
        })
    }

    fn bind(&self, query: AnyQuery) -> AnyQuery {
        query.bind(self.session_key.0.clone()).bind(self.tool_pinning.as_str())
    }
}
