use latchkey_core::mcp;
use latchkey_core::mcp_tools::ToolPinning;
use latchkey_core::selection::Selection;
use latchkey_core::settings::AppSettings;
use latchkey_filter_core::snapshot::SessionKey;
use latchkey_store::Tx;
use latchkey_store::upstreams::McpProtocol;
use latchkey_world::World;
use serde_json::{Value, json};

use super::{Administered, AuditNames};
use crate::action::Refusal;

impl Administered for McpProtocol {
    const URL_FIELD: &'static str = "url";
    const AUDIT: AuditNames = AuditNames {
        kind: "mcp_server",
        created: "mcp_server.created",
        updated: "mcp_server.updated",
        deleted: "mcp_server.deleted",
    };
    const NAMED_BY: &'static str = "these apps use it in their MCP scope or argument rules";

    type Draft = ToolPinning;
    /// None leaves it.
    type Edit = Option<ToolPinning>;

    fn new(tool_pinning: ToolPinning, world: &World) -> Result<Self, Refusal> {
        Ok(Self { session_key: SessionKey(world.random::<32>().to_vec()), tool_pinning })
    }

    fn edit(&mut self, tool_pinning: Option<ToolPinning>) -> Result<(), Refusal> {
        self.tool_pinning = tool_pinning.unwrap_or(self.tool_pinning);
        Ok(())
    }

    fn created(&self) -> Value {
        json!({ "tool_pinning": self.tool_pinning })
    }

    fn edited(&self) -> Value {
        json!({ "tool_pinning": self.tool_pinning })
    }

    async fn refuse_needed(_: &mut Tx, _: &str) -> Result<(), Refusal> {
        Ok(())
    }

    fn is_named_by(settings: &AppSettings, name: &str) -> bool {
        let is_in_scope =
            matches!(settings.mcp_scope, Selection::Only(_)) && mcp::reaches(&settings.mcp_scope, name);
        is_in_scope || settings.mcp_argument_rules.iter().any(|rule| rule.server() == name)
    }
}
