//! Runs the stories in `tests/portal`: people with a real Chromium, in a whole system.

use serde_json::Value;

use crate::python;
use crate::stack::{Stack, artifacts};

/// Tells a story to its end, and reads the JSON that it prints last.
///
/// # Errors
/// When it fails; then with the step that failed, and where the pictures of its pages are.
pub async fn tell(script: &str, stack: &Stack) -> anyhow::Result<Value> {
    tell_with(script, stack, &[]).await
}

/// The same with more in the script's environment.
///
/// # Errors
/// As [`tell`].
pub async fn tell_with(script: &str, stack: &Stack, variables: &[(&str, &str)]) -> anyhow::Result<Value> {
    let axe = artifacts::axe()?.display().to_string();
    let failures = artifacts::target().join("portal").display().to_string();
    let gateway = stack.gateways().first().map(|gateway| gateway.url()).unwrap_or_default();
    let database = stack.dir().join("latchkey.db").display().to_string();
    let own = [
        ("LATCHKEY_PORTAL_URL", stack.api().url()),
        ("LATCHKEY_GATEWAY_URL", &gateway),
        ("LATCHKEY_OWNER_TOKEN", stack.api().token()),
        ("LATCHKEY_DATABASE", &database),
        ("LATCHKEY_AXE", &axe),
        ("LATCHKEY_FAILURES", &failures),
    ];
    python::run(&format!("portal/{script}"), &[&own, variables].concat()).await
}
