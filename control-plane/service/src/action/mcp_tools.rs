//! Tools of MCP servers whose tools are pinned: which definitions may be used.

use std::collections::BTreeSet;

use latchkey_core::mcp_tools::{DefinitionForm, Tool, ToolState};
use latchkey_store::Tx;
use latchkey_store::upstreams::{McpProtocol, McpServer};
use serde_json::{Value, json};

use super::audit::AuditedAction;
use super::{By, Refusal};

const NOUN: &str = "tool";

/// Approves what a tool is now, if that is what was looked at.
///
/// # Errors
/// There is no such tool, or its definition is another one by now, or two programs could read it differently.
pub async fn approve(tx: &mut Tx, by: By<'_>, server: &str, name: &str, hash: &str) -> Result<Tool, Refusal> {
    let server = lock(tx, server).await?;
    let mut tool = find(tx, &server, name).await?;
    if tool.seen.definition.hash != hash {
        let detail =
            "the tool's definition has changed in the meantime: review it again before you approve it"
                .to_owned();
        return Err(Refusal::conflict("tool_changed", detail));
    }
    if tool.seen.definition.form == DefinitionForm::Unreadable {
        let detail = "the tool's definition is ambiguous (it has a duplicate member, or is nested too deeply or too long). Gateways never list such tools, so it cannot be approved. Fix the definition on the server"
            .to_owned();
        return Err(Refusal::conflict("tool_unreadable", detail));
    }
    let is_approved = tool.approved.as_ref().is_some_and(|approved| approved.definition.hash == hash);
    if tool.state == ToolState::Approved && is_approved {
        return Ok(tool);
    }
    let before = tool.approved.as_ref().map(|approved| approved.definition.hash.clone());
    tool.approve(Some(by.actor.name.clone()), by.world.now());
    write(tx, by, &server, &tool).await?;
    audit(tx, by, "mcp_tool.approved", &server, name, json!({ "hash": hash, "before": before }));
    Ok(tool)
}

/// Approves the tools that wait for the first time and are what was looked at, by their fingerprints. Gives those that
/// it has approved: others are something else by now.
///
/// # Errors
/// There is no such server.
pub async fn approve_new(
    tx: &mut Tx,
    by: By<'_>,
    server: &str,
    hashes: &BTreeSet<String>,
) -> Result<Vec<Tool>, Refusal> {
    let server = lock(tx, server).await?;
    let mut approved = Vec::new();
    for found in tx.new_mcp_tools(server.name.as_str()).await? {
        let mut tool = found.tool;
        let hash = tool.seen.definition.hash.clone();
        if !hashes.contains(&hash) || tool.seen.definition.form == DefinitionForm::Unreadable {
            continue;
        }
        tool.approve(Some(by.actor.name.clone()), by.world.now());
        write(tx, by, &server, &tool).await?;
        audit(tx, by, "mcp_tool.approved", &server, &tool.name, json!({ "hash": hash, "before": null }));
        approved.push(tool);
    }
    Ok(approved)
}

/// Takes a tool out of use, whatever its definition, until it is approved.
///
/// # Errors
/// There is no such tool.
pub async fn reject(tx: &mut Tx, by: By<'_>, server: &str, name: &str) -> Result<Tool, Refusal> {
    let server = lock(tx, server).await?;
    let mut tool = find(tx, &server, name).await?;
    if tool.state == ToolState::Rejected {
        return Ok(tool);
    }
    let before = tool.state.as_str();
    tool.reject();
    write(tx, by, &server, &tool).await?;
    let data = json!({ "hash": tool.seen.definition.hash, "before": before });
    audit(tx, by, "mcp_tool.rejected", &server, name, data);
    Ok(tool)
}

/// Forgets a tool: where it is seen again it is a new one.
///
/// # Errors
/// There is no such tool.
pub async fn forget(tx: &mut Tx, by: By<'_>, server: &str, name: &str) -> Result<(), Refusal> {
    let server = lock(tx, server).await?;
    if !tx.delete_mcp_tool(server.name.as_str(), name).await? {
        return Err(Refusal::NotFound(NOUN));
    }
    tx.catalogue_revision(by.world).await?;
    audit(tx, by, "mcp_tool.forgotten", &server, name, json!({}));
    Ok(())
}

/// Whoever writes tools holds the lock of their server.
async fn lock(tx: &mut Tx, server: &str) -> Result<McpServer, Refusal> {
    tx.upstream::<McpProtocol>(server).await?.ok_or(Refusal::NotFound("MCP server"))
}

async fn find(tx: &mut Tx, server: &McpServer, name: &str) -> Result<Tool, Refusal> {
    let found = tx.mcp_tool(server.name.as_str(), name).await?;
    found.map(|found| found.tool).ok_or(Refusal::NotFound(NOUN))
}

async fn write(tx: &mut Tx, by: By<'_>, server: &McpServer, tool: &Tool) -> Result<(), Refusal> {
    tx.put_mcp_tool(server.name.as_str(), tool).await?;
    tx.catalogue_revision(by.world).await?;
    Ok(())
}

fn audit(tx: &mut Tx, by: By<'_>, action: &'static str, server: &McpServer, tool: &str, data: Value) {
    let id = format!("{}/{tool}", server.name);
    by.audit(tx, AuditedAction { action, kind: "mcp_tool", name: &id, id: id.clone(), app: None, data });
}
