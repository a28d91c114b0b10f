use latchkey_core::mcp;
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
    const NAMED_BY: &'static str = "the MCP scope of these apps names it";

    type Draft = ();
    type Edit = ();

    fn new((): (), world: &World) -> Result<Self, Refusal> {
        Ok(Self { session_key: SessionKey(world.random::<32>().to_vec()) })
    }

    fn edit(&mut self, (): ()) -> Result<(), Refusal> {
        Ok(())
    }

    fn created(&self) -> Value {
        json!({})
    }

    fn edited(&self) -> Value {
        json!({})
    }

    async fn refuse_needed(_: &mut Tx, _: &str) -> Result<(), Refusal> {
        Ok(())
    }

    fn is_named_by(settings: &AppSettings, name: &str) -> bool {
        matches!(settings.mcp_scope, Selection::Only(_)) && mcp::reaches(&settings.mcp_scope, name)
    }
}
