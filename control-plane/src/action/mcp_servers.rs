//! MCP servers.

use latchkey_core::change::changed;
use latchkey_core::mcp;
use latchkey_core::name::Slug;
use latchkey_core::selection::Selection;
use latchkey_core::settings::AppSettings;
use latchkey_filter_core::snapshot::SessionKey;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::audit::Done;
use super::upstream::{self, CLUSTER_BRINGS_CREDENTIAL};
use super::{Context, Refusal, taken};
use crate::seal::Purpose;
use crate::store::Tx;
use crate::store::mcp_servers::McpServer;

/// What an MCP server is to be.
#[derive(Debug)]
pub struct NewMcpServer {
    /// Unique.
    pub name: Slug,
    /// Of its endpoint: `https://mcp.example.com/mcp`.
    pub url: String,
    /// What it knows us by.
    pub credential: Option<SecretString>,
    /// An existing Envoy cluster's name; none has Latchkey run one.
    pub cluster: Option<String>,
    /// Whether it can be called.
    pub enabled: bool,
}

/// What to change of an MCP server; none leaves it.
#[derive(Debug, Default)]
pub struct McpServerEdit {
    /// Of its endpoint.
    pub url: Option<String>,
    /// What it knows us by; the inner none for nothing.
    pub credential: Option<Option<SecretString>>,
    /// An existing Envoy cluster's name; the inner none has Latchkey run one.
    pub cluster: Option<Option<String>>,
    /// Whether it can be called.
    pub enabled: Option<bool>,
}

/// Adds an MCP server.
///
/// # Errors
/// Fields that are wrong, or a name that is taken.
pub async fn create(tx: &mut Tx, context: Context<'_>, new: NewMcpServer) -> Result<McpServer, Refusal> {
    let parts = upstream::check(("url", &new.url), new.credential.as_ref(), new.cluster.as_deref())?;
    let now = context.world.now();
    let server = McpServer {
        sealed_credential: new.credential.map(|credential| seal(context, &new.name, &credential)),
        session_key: SessionKey(context.world.random::<32>().to_vec()),
        name: new.name,
        url: new.url,
        parts,
        cluster: new.cluster,
        enabled: new.enabled,
        created_at: now,
        updated_at: now,
    };
    tx.insert_mcp_server(&server)
        .await
        .map_err(|error| taken(error, "name", "another MCP server has this name"))?;
    tx.catalogue_revision(context.world).await?;
    context.audit(tx, done("mcp_server.created", &server, json!({})));
    Ok(server)
}

/// Edits an MCP server.
///
/// # Errors
/// There is no such server, or fields are wrong.
pub async fn update(
    tx: &mut Tx,
    context: Context<'_>,
    name: &str,
    edit: McpServerEdit,
) -> Result<McpServer, Refusal> {
    let mut server = tx.mcp_server(name).await?.ok_or(Refusal::NotFound("MCP server"))?;
    let before = server.clone();
    server.url = edit.url.unwrap_or(server.url);
    server.enabled = edit.enabled.unwrap_or(server.enabled);
    server.cluster = edit.cluster.unwrap_or(server.cluster);
    let credential = edit.credential.as_ref().and_then(Option::as_ref);
    server.parts = upstream::check(("url", &server.url), credential, server.cluster.as_deref())?;
    match edit.credential {
        Some(credential) => {
            server.sealed_credential = credential.map(|credential| seal(context, &server.name, &credential));
        }
        None if server.sealed_credential.is_some() => upstream::check_kept(&before.parts, &server.parts)?,
        None => {}
    }
    if server.cluster.is_some() && server.sealed_credential.is_some() {
        return Err(Refusal::field("credential", CLUSTER_BRINGS_CREDENTIAL));
    }
    if server == before {
        return Ok(server);
    }
    server.updated_at = context.world.now();
    tx.update_mcp_server(&server).await?;
    tx.catalogue_revision(context.world).await?;
    let paths = changed(&edited(&before), &edited(&server));
    context.audit(tx, done("mcp_server.updated", &server, json!({ "changed": paths })));
    Ok(server)
}

/// Removes an MCP server that no app names.
///
/// # Errors
/// There is no such server, or apps name it in their scope.
pub async fn delete(tx: &mut Tx, context: Context<'_>, name: &str) -> Result<(), Refusal> {
    let server = tx.mcp_server(name).await?.ok_or(Refusal::NotFound("MCP server"))?;
    // Who names it takes a revision too, so that one waits for the other.
    tx.catalogue_revision(context.world).await?;
    let naming = |(app, settings): (String, AppSettings)| {
        let names =
            matches!(settings.mcp_scope, Selection::Only(_)) && mcp::reaches(&settings.mcp_scope, name);
        names.then_some(app)
    };
    let apps: Vec<_> = tx.all_app_settings().await?.into_iter().filter_map(naming).take(10).collect();
    if !apps.is_empty() {
        let message = format!("the MCP scope of these apps names it: {}", apps.join(", "));
        return Err(Refusal::conflict("in_use", message));
    }
    tx.delete_mcp_server(name).await?;
    context.audit(tx, done("mcp_server.deleted", &server, json!({})));
    Ok(())
}

fn seal(context: Context<'_>, name: &Slug, credential: &SecretString) -> Vec<u8> {
    let purpose = Purpose::McpCredential(name.as_str());
    context.master.seal(context.world, purpose, credential.expose_secret().as_bytes())
}

fn done<'a>(action: &'static str, server: &'a McpServer, data: Value) -> Done<'a> {
    let name = server.name.as_str();
    Done { action, kind: "mcp_server", id: name.to_owned(), name, app: None, data }
}

/// What of a server can be edited; the credential only as it is sealed, which is never the same twice.
fn edited(server: &McpServer) -> Value {
    json!({
        "url": server.url,
        "credential": server.sealed_credential,
        "cluster": server.cluster,
        "enabled": server.enabled,
    })
}
