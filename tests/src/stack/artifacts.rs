//! Where the things are that `make build` and `tests/install.sh` have made.

use std::path::{Path, PathBuf};

use anyhow::ensure;

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// The control plane's binary: `LATCHKEY_BIN`.
///
/// # Errors
/// When it was not built.
pub fn control_plane() -> anyhow::Result<PathBuf> {
    locate("LATCHKEY_BIN", "debug/latchkey")
}

/// The filter: `LATCHKEY_WASM`.
///
/// # Errors
/// When it was not built.
pub fn filter() -> anyhow::Result<PathBuf> {
    locate("LATCHKEY_WASM", "wasm/latchkey_filter.wasm")
}

/// Envoy: `LATCHKEY_ENVOY`.
///
/// # Errors
/// When it was not fetched.
pub fn envoy() -> anyhow::Result<PathBuf> {
    locate("LATCHKEY_ENVOY", "envoy/envoy")
}

/// The Python that has the official SDKs and drives the browser: `LATCHKEY_PYTHON`.
///
/// # Errors
/// When it was not installed.
pub fn python() -> anyhow::Result<PathBuf> {
    locate("LATCHKEY_PYTHON", "venv/bin/python")
}

/// The accessibility checker: `LATCHKEY_AXE`.
///
/// # Errors
/// When it was not installed.
pub fn axe() -> anyhow::Result<PathBuf> {
    locate("LATCHKEY_AXE", "axe/node_modules/axe-core/axe.min.js")
}

/// The folder of the coding agents' commands: `LATCHKEY_AGENTS`.
///
/// # Errors
/// When they were not installed.
pub fn agents() -> anyhow::Result<PathBuf> {
    Ok(locate("LATCHKEY_AGENTS", "agents")?.join("node_modules/.bin"))
}

/// The OpenID provider: `LATCHKEY_OIDC_PROVIDER`.
///
/// # Errors
/// When it was not installed.
pub fn openid_provider() -> anyhow::Result<PathBuf> {
    locate("LATCHKEY_OIDC_PROVIDER", "oidc/server.mjs")
}

/// The MCP project's own test server: `LATCHKEY_MCP_SERVER`.
///
/// # Errors
/// When it was not installed.
pub fn mcp_server() -> anyhow::Result<PathBuf> {
    let server = "mcp/node_modules/@modelcontextprotocol/server-everything/dist/index.js";
    locate("LATCHKEY_MCP_SERVER", server)
}

/// Where builds and tests leave what they make.
#[must_use]
pub fn target() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

fn locate(variable: &str, default: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os(variable).map_or_else(|| target().join(default), |path| root().join(path));
    ensure!(path.exists(), "{} is not there: run `make build`, or set {variable}", path.display());
    Ok(path)
}
