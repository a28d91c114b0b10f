//! Real MCP servers: the one that the MCP project tests clients with, and two made with its SDK, whose
//! tools tell how they were called, or change.

pub mod scripted;

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use crate::stack::artifacts;
use crate::stack::port::Port;

/// A running server; it ends when it is dropped.
#[derive(Debug)]
pub struct McpServer {
    url: String,
    _process: Child,
    _port: Option<Port>,
}

impl McpServer {
    /// Starts the server whose tools are `headers`, `add` and `drop_table`. It speaks the newest version of
    /// the protocol, and older ones.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn telling() -> anyhow::Result<Self> {
        let script = artifacts::root().join("tests/mcp/server.py");
        let mut command = Command::new(artifacts::python()?);
        command.arg(script).env("PYTHONDONTWRITEBYTECODE", "1").stderr(Stdio::null());
        let mut process = spawn(command.stdout(Stdio::piped()))?;
        let url = first_line(process.stdout.take().context("its output is piped")?).await?;
        Ok(Self { url, _process: process, _port: None })
    }

    /// Starts the MCP project's own test server, of the protocol's versions with sessions.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn everything() -> anyhow::Result<Self> {
        let port = Port::free()?;
        let mut command = Command::new("node");
        command.arg(artifacts::mcp_server()?).arg("streamableHttp").env("PORT", port.number().to_string());
        // It logs each request to the other.
        let mut process = spawn(command.stdout(Stdio::null()).stderr(Stdio::piped()))?;
        first_line(process.stderr.take().context("its errors are piped")?).await?;
        Ok(Self { url: format!("http://{}/mcp", port.address()), _process: process, _port: Some(port) })
    }

    /// Starts a server whose tools are what it is told, two on a page; `json` answers without streams.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn changing(json: bool) -> anyhow::Result<ChangingServer> {
        let script = artifacts::root().join("tests/mcp/changing.py");
        let mut command = Command::new(artifacts::python()?);
        command.arg(script).env("PYTHONDONTWRITEBYTECODE", "1").env("MCP_JSON", u8::from(json).to_string());
        let mut process = spawn(command.stdout(Stdio::piped()).stderr(Stdio::null()))?;
        let url = first_line(process.stdout.take().context("its output is piped")?).await?;
        Ok(ChangingServer(Self { url, _process: process, _port: None }))
    }

    /// Of its endpoint.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// A server whose tools are what it is told; it ends when it is dropped.
#[derive(Debug)]
pub struct ChangingServer(McpServer);

impl ChangingServer {
    /// Of its endpoint.
    #[must_use]
    pub fn url(&self) -> &str {
        self.0.url()
    }

    /// Gives it other tools.
    ///
    /// # Errors
    /// When it does not take them.
    pub async fn set(&self, tools: &[Value]) -> anyhow::Result<()> {
        let url = self.url().replace("/mcp", "/tools");
        reqwest::Client::new().put(url).json(&tools).send().await?.error_for_status()?;
        Ok(())
    }
}

/// What the official TypeScript SDK comes to, as a client that is ready to sign in with OAuth: the tools, or
/// the error that its user reads.
///
/// # Errors
/// When it cannot be run.
pub async fn signing_in(url: &str, key: &str) -> anyhow::Result<Value> {
    let script = artifacts::root().join("tests/mcp/sign_in.mjs");
    let mut command = Command::new("node");
    command.arg(script).env("MCP_SERVER", artifacts::mcp_server()?).env("MCP_URL", url).env("KEY", key);
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await?;
    let errors = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).with_context(|| format!("sign_in.mjs printed no JSON: {errors}"))
}

fn spawn(command: &mut Command) -> anyhow::Result<Child> {
    command.stdin(Stdio::null()).kill_on_drop(true).spawn().with_context(|| format!("running {command:?}"))
}

/// What it says once it listens.
async fn first_line(output: impl AsyncRead + Unpin) -> anyhow::Result<String> {
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).await?;
    ensure!(!line.is_empty(), "an MCP server did not start: run `make install`");
    Ok(line.trim().to_owned())
}
