//! Runs Python scripts of this folder, with what `tests/install.sh` has installed.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::stack::artifacts;

/// Runs a script and reads the JSON that it prints last. The variables are added to its
/// environment.
///
/// # Errors
/// When the script fails; then with what it wrote to its standard error.
pub async fn run(script: &str, variables: &[(&str, &str)]) -> anyhow::Result<Value> {
    let path = artifacts::root().join("tests").join(script);
    let output = Command::new(artifacts::python()?)
        .arg(&path)
        .envs(variables.iter().copied())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("running {}", path.display()))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{script} failed ({}):\n{errors}", output.status);
    let printed = String::from_utf8_lossy(&output.stdout);
    let last = printed.lines().last().unwrap_or_default();
    serde_json::from_str(last).with_context(|| format!("{script} printed no JSON: {printed}"))
}
