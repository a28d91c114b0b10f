//! `/api/v1/mcp-servers`

use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use latchkey_core::mcp_tools::ToolPinning;
use latchkey_core::name::Slug;
use latchkey_service::action::upstreams::{EditUpstream, NewUpstream};
use latchkey_store::upstreams::{McpProtocol, McpServer};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::auth::{AdminGuard, ReaderGuard};
use super::body::{JsonBody, PathParams, given, nullable};
use super::idempotency::{Answered, Creation};
use super::pagination::ListPage;
use super::precondition::{IfMatch, Tagged};
use super::problem::Problem;
use super::upstreams::{self, UpstreamResource};

/// An MCP server, whose tools clients call through the gateway.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct McpServerView {
    /// Unique; it cannot be changed. Clients call `/mcp/<name>` on the gateway.
    pub name: Slug,
    /// Of its endpoint, such as `https://mcp.example.com/mcp`.
    pub url: String,
    /// Whether a credential is stored. The credential itself is never shown.
    pub has_credential: bool,
    /// The Envoy cluster that reaches it.
    pub cluster: String,
    /// Whether Latchkey runs that cluster; otherwise your own Envoy configuration does.
    pub managed_cluster: bool,
    /// Whether it can be called.
    pub enabled: bool,
    /// Which of its tools may be used: all that it lists, or those whose definitions were approved.
    pub tool_pinning: ToolPinning,
    /// Why gateways refuse to connect to it: it is at a private address that LATCHKEY_UPSTREAM_ALLOW does not
    /// open. Null where they do connect, as far as the URL tells.
    pub out_of_reach: Option<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// An MCP server to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMcpServer {
    /// Unique: lower-case letters, digits, `-` and `_`.
    pub name: Slug,
    /// Of its endpoint, such as `https://mcp.example.com/mcp`.
    pub url: String,
    /// What it knows us by, sent as a bearer token; stored encrypted, never shown.
    #[schema(value_type = Option<String>, write_only)]
    pub credential: Option<SecretString>,
    /// The name of a cluster that your own Envoy configuration brings, with its credential.
    pub cluster: Option<String>,
    /// Whether it can be called: true by default.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// Which of its tools may be used: `unpinned` by default, which is all that it lists; `trust_first_use`; or
    /// `approval`.
    #[serde(default)]
    pub tool_pinning: ToolPinning,
}

/// What to change of an MCP server.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditMcpServer {
    /// Of its endpoint, such as `https://mcp.example.com/mcp`.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String)]
    pub url: Option<String>,
    /// What it knows us by; null for nothing.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, write_only)]
    pub credential: Option<Option<SecretString>>,
    /// The name of a cluster that your own Envoy configuration brings; null has Latchkey run one.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub cluster: Option<Option<String>>,
    /// Whether it can be called.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = bool)]
    pub enabled: Option<bool>,
    /// Which of its tools may be used: `unpinned`, `trust_first_use` or `approval`.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = ToolPinning)]
    pub tool_pinning: Option<ToolPinning>,
}

fn enabled() -> bool {
    true
}

impl From<NewMcpServer> for NewUpstream<McpProtocol> {
    fn from(new: NewMcpServer) -> Self {
        let NewMcpServer { name, url, credential, cluster, enabled, tool_pinning } = new;
        Self { name, url, credential, cluster, enabled, protocol: tool_pinning }
    }
}

impl From<EditMcpServer> for EditUpstream<McpProtocol> {
    fn from(edit: EditMcpServer) -> Self {
        let EditMcpServer { url, credential, cluster, enabled, tool_pinning } = edit;
        Self { url, credential, cluster, enabled, protocol: tool_pinning }
    }
}

impl UpstreamResource for McpProtocol {
    type View = McpServerView;
    type NewBody = NewMcpServer;
    type EditBody = EditMcpServer;

    fn view(server: McpServer, out_of_reach: Option<String>) -> McpServerView {
        McpServerView {
            cluster: server.cluster_name(),
            managed_cluster: server.cluster.is_none(),
            has_credential: server.sealed_credential.is_some(),
            name: server.name,
            url: server.url,
            enabled: server.enabled,
            tool_pinning: server.protocol.tool_pinning,
            out_of_reach,
            created_at: server.created_at,
            updated_at: server.updated_at,
        }
    }
}

/// Lists every MCP server, oldest first.
#[utoipa::path(get, path = "/api/v1/mcp-servers", tag = "mcp-servers", operation_id = "list_mcp_servers",
    security(("token" = [])), responses((status = 200, body = ListPage<McpServerView>), (status = "4XX", body = Problem)))]
pub async fn list(_: ReaderGuard, State(api): State<Api>) -> Result<ListPage<McpServerView>, Problem> {
    upstreams::list::<McpProtocol>(&api).await
}

/// Adds an MCP server.
#[utoipa::path(post, path = "/api/v1/mcp-servers", tag = "mcp-servers", operation_id = "create_mcp_server",
    request_body = NewMcpServer, params(("Idempotency-Key" = Option<String>, Header)),
    security(("token" = [])), responses((status = 201, body = McpServerView), (status = "4XX", body = Problem)))]
pub async fn create(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    new: Creation<JsonBody<NewMcpServer>>,
) -> Result<Answered<McpServerView>, Problem> {
    upstreams::create::<McpProtocol>(&api, &actor, new).await
}

/// Shows an MCP server, without its credential.
#[utoipa::path(get, path = "/api/v1/mcp-servers/{name}", tag = "mcp-servers", operation_id = "read_mcp_server",
    params(("name" = String, Path)),
    security(("token" = [])), responses((status = 200, body = McpServerView), (status = "4XX", body = Problem)))]
pub async fn read(
    _: ReaderGuard,
    State(api): State<Api>,
    PathParams(name): PathParams<Slug>,
) -> Result<Tagged<McpServerView>, Problem> {
    Ok(Tagged::of(upstreams::view::<McpProtocol>(&api, upstreams::find(&api, &name).await?)))
}

/// Edits an MCP server. What is not named stays.
#[utoipa::path(patch, path = "/api/v1/mcp-servers/{name}", tag = "mcp-servers", operation_id = "update_mcp_server",
    params(("name" = String, Path), ("If-Match" = Option<String>, Header)), request_body = EditMcpServer,
    security(("token" = [])), responses((status = 200, body = McpServerView), (status = "4XX", body = Problem)))]
pub async fn update(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(name): PathParams<Slug>,
    if_match: IfMatch,
    JsonBody(edit): JsonBody<EditMcpServer>,
) -> Result<Tagged<McpServerView>, Problem> {
    let edited = upstreams::update::<McpProtocol>(&api, &actor, &name, &if_match, edit).await?;
    Ok(Tagged::of(upstreams::view(&api, edited)))
}

/// Removes an MCP server that no app's scope names.
#[utoipa::path(delete, path = "/api/v1/mcp-servers/{name}", tag = "mcp-servers", operation_id = "delete_mcp_server",
    params(("name" = String, Path)),
    security(("token" = [])), responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn delete(
    AdminGuard(actor): AdminGuard,
    State(api): State<Api>,
    PathParams(name): PathParams<Slug>,
) -> Result<StatusCode, Problem> {
    upstreams::delete::<McpProtocol>(&api, &actor, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
