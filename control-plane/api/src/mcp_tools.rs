//! `/api/v1/mcp-servers/{name}/tools`

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use latchkey_core::mcp_tools::{ApprovedTool, DefinitionForm, SeenTool, Tool, ToolState, ToolVersion};
use latchkey_core::name::Slug;
use latchkey_service::action::{Refusal, mcp_tools};
use latchkey_store::mcp_tools::ServerTool;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::auth::{AdminGuard, ReaderGuard};
use super::body::{JsonBody, PathParams, Query};
use super::pagination::{CursorPosition, ListPage, paging};
use super::problem::Problem;
use super::upstreams::{self, McpProtocol};

/// A tool of an MCP server whose tools are pinned, as gateways have seen it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct McpToolView {
    /// As its server calls it.
    pub name: String,
    /// `approved`; `changed`, which is quarantined; `new`, which waits to be approved; or `rejected`. Only approved
    /// tools are listed and can be called.
    pub state: ToolState,
    /// The definition that may be used, or, of a changed tool, the one before; null where none is approved.
    pub approved: Option<ApprovedToolView>,
    /// As it was seen last. Gateways say nothing of a tool that is as it was approved.
    pub seen: SeenToolView,
    /// When it was seen first.
    #[schema(value_type = String, format = DateTime)]
    pub first_seen_at: Timestamp,
}

/// A definition that an admin has approved, or that was trusted at first use.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ApprovedToolView {
    /// SHA-256 of the definition as canonical JSON (RFC 8785, with exact numbers), in hexadecimal.
    pub hash: String,
    /// What is known of the definition: `clear`; `too_long` (more than 64 KiB) or `holds_key` (a key of Latchkey is in it),
    /// which are not kept; `unreadable`: two programs could read it differently, or it is nested more than 64 levels or
    /// longer than 1 MiB, so that it is never listed and cannot be approved; or `unknown`.
    pub form: DefinitionForm,
    /// The tool as its server lists it; null where `form` says why, or the gateway that saw it did not have it any more.
    #[schema(value_type = Option<Object>)]
    pub definition: Option<Box<RawValue>>,
    /// Who approved it: an email address, or a token's name. Null: it was trusted at first use.
    pub by: Option<String>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// A definition that was seen.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SeenToolView {
    /// SHA-256 of the definition as canonical JSON (RFC 8785, with exact numbers), in hexadecimal.
    pub hash: String,
    /// What is known of the definition: `clear`; `too_long` (more than 64 KiB) or `holds_key` (a key of Latchkey is in it),
    /// which are not kept; `unreadable`: two programs could read it differently, or it is nested more than 64 levels or
    /// longer than 1 MiB, so that it is never listed and cannot be approved; or `unknown`.
    pub form: DefinitionForm,
    /// The tool as its server lists it; null where `form` says why, or the gateway that saw it did not have it any more.
    #[schema(value_type = Option<Object>)]
    pub definition: Option<Box<RawValue>>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// Which page of the tools.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ToolQuery {
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Items on a page: 1 to 200, 50 by default.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u16>,
}

/// What was looked at.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveTool {
    /// The fingerprint of the definition that was looked at: `seen.hash`.
    pub hash: String,
}

/// What was looked at.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproveNewTools {
    /// The fingerprints of the definitions that were looked at: each tool's `seen.hash`.
    pub hashes: BTreeSet<String>,
}

/// Tools that were approved.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ApprovedTools {
    /// By name. What is not among them is something else by now, or does not wait.
    pub approved: Vec<String>,
}

impl CursorPosition for String {
    fn bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let text = str::from_utf8(bytes).ok()?;
        (!text.contains('\0')).then(|| text.to_owned())
    }
}

impl From<Tool> for McpToolView {
    fn from(tool: Tool) -> Self {
        let Tool { name, state, approved, seen, first_seen_at } = tool;
        let approved = approved.map(|ApprovedTool { definition, by, at }| {
            let ToolVersion { hash, form, text } = definition;
            ApprovedToolView { hash, form, definition: shown(text), by, at }
        });
        let SeenTool { definition: ToolVersion { hash, form, text }, at } = seen;
        let seen = SeenToolView { hash, form, definition: shown(text), at };
        Self { name, state, approved, seen, first_seen_at }
    }
}

fn shown(text: Option<String>) -> Option<Box<RawValue>> {
    text.and_then(|text| RawValue::from_string(text).ok())
}

/// A tool of a server.
///
/// # Errors
/// There is none.
pub async fn find(_: &ReaderGuard, api: &Api, server: &Slug, tool: &str) -> Result<McpToolView, Problem> {
    let found = api.store.mcp_tool(server.as_str(), tool).await?;
    Ok(found.ok_or(Refusal::NotFound("tool"))?.tool.into())
}

/// Lists the tools of an MCP server that gateways have seen since its tools are pinned, by name.
#[utoipa::path(get, path = "/api/v1/mcp-servers/{name}/tools", tag = "mcp-servers", operation_id = "list_mcp_tools",
    params(("name" = String, Path), ToolQuery),
    security(("token" = [])), responses((status = 200, body = ListPage<McpToolView>), (status = "4XX", body = Problem)))]
pub async fn list(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams(name): PathParams<Slug>,
    Query(ToolQuery { cursor, limit }): Query<ToolQuery>,
) -> Result<ListPage<McpToolView>, Problem> {
    let paging = paging::<String>(cursor.as_deref(), limit, None)?;
    let server = upstreams::find::<McpProtocol>(&api, &name).await?;
    let after = paging.after.clone().unwrap_or_default();
    let rows = api.store.mcp_tools(server.name.as_str(), &after, paging.rows()).await?;
    let position = |row: &ServerTool| row.tool.name.clone();
    Ok(paging.page(rows, position, |row| McpToolView::from(row.tool)))
}

/// Approves a tool as it was seen last. It is refused where that is not what was looked at.
#[utoipa::path(post, path = "/api/v1/mcp-servers/{name}/tools/{tool}/approve", tag = "mcp-servers",
    operation_id = "approve_mcp_tool",
    params(("name" = String, Path), ("tool" = String, Path)), request_body = ApproveTool,
    security(("token" = [])), responses((status = 200, body = McpToolView), (status = "4XX", body = Problem)))]
pub async fn approve(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams((name, tool)): PathParams<(Slug, String)>,
    JsonBody(ApproveTool { hash }): JsonBody<ApproveTool>,
) -> Result<Json<McpToolView>, Problem> {
    let mut tx = api.store.begin().await?;
    let by = api.context(&actor).by();
    let tool = mcp_tools::approve(&mut tx, by, name.as_str(), named(&tool)?, &hash).await?;
    tx.commit().await?;
    Ok(Json(tool.into()))
}

/// Approves all new tools of an MCP server that are still what was looked at. Tools that have changed are approved
/// one by one.
#[utoipa::path(post, path = "/api/v1/mcp-servers/{name}/tools/approve-all", tag = "mcp-servers",
    operation_id = "approve_new_mcp_tools",
    params(("name" = String, Path)), request_body = ApproveNewTools,
    security(("token" = [])), responses((status = 200, body = ApprovedTools), (status = "4XX", body = Problem)))]
pub async fn approve_all(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(name): PathParams<Slug>,
    JsonBody(ApproveNewTools { hashes }): JsonBody<ApproveNewTools>,
) -> Result<Json<ApprovedTools>, Problem> {
    let mut tx = api.store.begin().await?;
    let by = api.context(&actor).by();
    let approved = mcp_tools::approve_new(&mut tx, by, name.as_str(), &hashes).await?;
    tx.commit().await?;
    Ok(Json(ApprovedTools { approved: approved.into_iter().map(|tool| tool.name).collect() }))
}

/// Takes a tool out of use, whatever its definition, until it is approved.
#[utoipa::path(post, path = "/api/v1/mcp-servers/{name}/tools/{tool}/reject", tag = "mcp-servers",
    operation_id = "reject_mcp_tool", params(("name" = String, Path), ("tool" = String, Path)),
    security(("token" = [])), responses((status = 200, body = McpToolView), (status = "4XX", body = Problem)))]
pub async fn reject(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams((name, tool)): PathParams<(Slug, String)>,
) -> Result<Json<McpToolView>, Problem> {
    let mut tx = api.store.begin().await?;
    let by = api.context(&actor).by();
    let tool = mcp_tools::reject(&mut tx, by, name.as_str(), named(&tool)?).await?;
    tx.commit().await?;
    Ok(Json(tool.into()))
}

/// Forgets a tool: where a gateway sees it again, it is a new one.
#[utoipa::path(delete, path = "/api/v1/mcp-servers/{name}/tools/{tool}", tag = "mcp-servers",
    operation_id = "forget_mcp_tool", params(("name" = String, Path), ("tool" = String, Path)),
    security(("token" = [])), responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn forget(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams((name, tool)): PathParams<(Slug, String)>,
) -> Result<StatusCode, Problem> {
    let mut tx = api.store.begin().await?;
    mcp_tools::forget(&mut tx, api.context(&actor).by(), name.as_str(), named(&tool)?).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A name that a tool may have: PostgreSQL takes no other.
fn named(tool: &str) -> Result<&str, Problem> {
    if tool.contains('\0') { Err(Refusal::NotFound("tool").into()) } else { Ok(tool) }
}
