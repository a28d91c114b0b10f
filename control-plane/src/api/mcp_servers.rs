//! `/api/v1/mcp-servers`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use latchkey_core::name::Slug;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::auth::{Admin, Reader};
use super::body::{Body, Path, given, nullable};
use super::idempotency::{Answered, Creation};
use super::page::Page;
use super::problem::Problem;
use super::upstream::{self, Target};
use crate::action::Refusal;
use crate::action::mcp_servers::{self, McpServerEdit};
use crate::store::mcp_servers::McpServer;

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
}

fn enabled() -> bool {
    true
}

impl McpServerView {
    fn of(api: &Api, server: McpServer) -> Self {
        Self {
            out_of_reach: upstream::out_of_reach(api, &server.parts, server.cluster.as_deref()),
            cluster: server.cluster_name(),
            managed_cluster: server.cluster.is_none(),
            has_credential: server.sealed_credential.is_some(),
            name: server.name,
            url: server.url,
            enabled: server.enabled,
            created_at: server.created_at,
            updated_at: server.updated_at,
        }
    }
}

/// Lists every MCP server, oldest first.
#[utoipa::path(get, path = "/api/v1/mcp-servers", tag = "mcp-servers", operation_id = "list_mcp_servers",
    security(("token" = [])), responses((status = 200, body = Page<McpServerView>), (status = "4XX", body = Problem)))]
pub async fn list(_: Reader, State(api): State<Api>) -> Result<Page<McpServerView>, Problem> {
    let items = api.store.mcp_servers().await?.into_iter().map(|it| McpServerView::of(&api, it)).collect();
    Ok(Page { items, next_cursor: None })
}

/// Adds an MCP server.
#[utoipa::path(post, path = "/api/v1/mcp-servers", tag = "mcp-servers", operation_id = "create_mcp_server",
    request_body = NewMcpServer, params(("Idempotency-Key" = Option<String>, Header)),
    security(("token" = [])), responses((status = 201, body = McpServerView), (status = "4XX", body = Problem)))]
pub async fn create(
    Admin(actor): Admin,
    State(api): State<Api>,
    new: Creation<Body<NewMcpServer>>,
) -> Result<Answered, Problem> {
    let NewMcpServer { url, credential, cluster, enabled, .. } = &new.new.0;
    let target =
        Target { cluster: cluster.as_deref(), url, has_credential: credential.is_some(), enabled: *enabled };
    target.check_new(&api, "url").await?;
    new.once(&api, StatusCode::CREATED, async |tx, Body(new)| {
        let NewMcpServer { name, url, credential, cluster, enabled } = new;
        let new = mcp_servers::NewMcpServer { name, url, credential, cluster, enabled };
        let server = mcp_servers::create(tx, api.context(&actor), new).await?;
        Ok(McpServerView::of(&api, server))
    })
    .await
}

/// Shows an MCP server, without its credential.
#[utoipa::path(get, path = "/api/v1/mcp-servers/{name}", tag = "mcp-servers", operation_id = "read_mcp_server",
    params(("name" = String, Path)),
    security(("token" = [])), responses((status = 200, body = McpServerView), (status = "4XX", body = Problem)))]
pub async fn read(
    _: Reader,
    State(api): State<Api>,
    Path(name): Path<Slug>,
) -> Result<Json<McpServerView>, Problem> {
    let server = api.store.mcp_server(name.as_str()).await?.ok_or(Refusal::NotFound("MCP server"))?;
    Ok(Json(McpServerView::of(&api, server)))
}

/// Edits an MCP server. What is not named stays.
#[utoipa::path(patch, path = "/api/v1/mcp-servers/{name}", tag = "mcp-servers", operation_id = "update_mcp_server",
    params(("name" = String, Path)), request_body = EditMcpServer,
    security(("token" = [])), responses((status = 200, body = McpServerView), (status = "4XX", body = Problem)))]
pub async fn update(
    Admin(actor): Admin,
    State(api): State<Api>,
    Path(name): Path<Slug>,
    Body(edit): Body<EditMcpServer>,
) -> Result<Json<McpServerView>, Problem> {
    check_reach(&api, &name, &edit).await?;
    let EditMcpServer { url, credential, cluster, enabled } = edit;
    let edit = McpServerEdit { url, credential, cluster, enabled };
    let mut tx = api.store.begin().await?;
    let server = mcp_servers::update(&mut tx, api.context(&actor), name.as_str(), edit).await?;
    tx.commit().await?;
    Ok(Json(McpServerView::of(&api, server)))
}

/// Refuses to send gateways where they do not go.
async fn check_reach(api: &Api, name: &Slug, edit: &EditMcpServer) -> Result<(), Problem> {
    let Some(now) = api.store.mcp_server(name.as_str()).await? else { return Ok(()) };
    let before = Target {
        cluster: now.cluster.as_deref(),
        url: &now.url,
        has_credential: now.sealed_credential.is_some(),
        enabled: now.enabled,
    };
    let EditMcpServer { url, credential, cluster, enabled, .. } = edit;
    let after = Target {
        cluster: cluster.as_ref().map_or(before.cluster, Option::as_deref),
        url: url.as_deref().unwrap_or(before.url),
        has_credential: credential.as_ref().map_or(before.has_credential, Option::is_some),
        enabled: enabled.unwrap_or(before.enabled),
    };
    after.check_edit(api, "url", before, credential.is_some()).await
}

/// Removes an MCP server that no app's scope names.
#[utoipa::path(delete, path = "/api/v1/mcp-servers/{name}", tag = "mcp-servers", operation_id = "delete_mcp_server",
    params(("name" = String, Path)),
    security(("token" = [])), responses((status = 204), (status = "4XX", body = Problem)))]
pub async fn delete(
    Admin(actor): Admin,
    State(api): State<Api>,
    Path(name): Path<Slug>,
) -> Result<StatusCode, Problem> {
    let mut tx = api.store.begin().await?;
    mcp_servers::delete(&mut tx, api.context(&actor), name.as_str()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
