//! Apps.

pub mod conflict;
pub mod create;
pub mod delete;
pub mod edit;
pub mod proposal;
pub mod rollback;
pub mod save;
pub mod switch;
pub mod update;

use latchkey_core::guardrails::GuardrailCategory;
use latchkey_core::invalid::{FieldError, Invalid};
use latchkey_core::mcp;
use latchkey_core::selection::Selection;
use latchkey_core::settings::{AppSettings, CredentialMode};
use latchkey_store::Tx;
use latchkey_store::upstreams::{DetectorProtocol, McpProtocol, ModelProtocol};

use super::Refusal;

/// Refuses names of providers, models, MCP servers, routing groups and detectors that would have no effect. A model with a `*` is
/// taken as it is: it may match what comes later. So is a tool: only its server knows it.
///
/// Whoever writes the settings has taken the transaction's revision, as has whoever deletes what they name: one waits
/// for the other.
async fn refuse_unknown_names(tx: &mut Tx, settings: &AppSettings) -> Result<(), Refusal> {
    let mut invalid = Invalid::default();
    if let Selection::Only(names) = &settings.allowed_providers {
        for (i, name) in names.iter().enumerate() {
            if !tx.has_upstream::<ModelProtocol>(name).await? {
                let message = format!("provider `{name}` does not exist: create it first");
                invalid.0.push(FieldError::new(format!("allowed_providers[{i}]"), message));
            }
        }
    }
    if let Selection::Only(names) = &settings.allowed_models {
        for (i, name) in names.iter().enumerate() {
            if !name.contains('*') && !tx.has_model(name).await? {
                let message =
                    format!("model `{name}` does not exist: create it first, or use a pattern with `*`");
                invalid.0.push(FieldError::new(format!("allowed_models[{i}]"), message));
            }
        }
    }
    if let Selection::Only(entries) = &settings.mcp_scope {
        for (i, text) in entries.iter().enumerate() {
            let (server, _) = mcp::entry(text);
            if !tx.has_upstream::<McpProtocol>(server).await? {
                let message = format!("MCP server `{server}` does not exist: create it first");
                invalid.0.push(FieldError::new(format!("mcp_scope[{i}]"), message));
            }
        }
    }
    for (i, rule) in settings.mcp_argument_rules.iter().enumerate() {
        let server = rule.server();
        if !tx.has_upstream::<McpProtocol>(server).await? {
            let message = format!("MCP server `{server}` does not exist: create it first");
            invalid.0.push(FieldError::new(format!("mcp_argument_rules[{i}].tool"), message));
        }
    }
    if let Selection::Only(names) = &settings.routing_groups {
        for (i, name) in names.iter().enumerate() {
            if !tx.has_routing_group(name).await? {
                let message = format!("routing group `{name}` does not exist: create it first");
                invalid.0.push(FieldError::new(format!("routing_groups[{i}]"), message));
            }
        }
    }
    for (i, rule) in settings.guardrails.rules.iter().enumerate() {
        let Some(name) = rule.detector.as_deref().filter(|_| rule.category == GuardrailCategory::EXTERNAL)
        else {
            continue;
        };
        if !tx.has_upstream::<DetectorProtocol>(name).await? {
            let message = format!("detector `{name}` does not exist: an admin must create it first");
            invalid.0.push(FieldError::new(format!("guardrails.rules[{i}].detector"), message));
        }
    }
    invalid.into_result().map_err(Refusal::from)
}

/// Whether an app key's value is kept: to be seen again, or since named keys are made of it.
pub(super) fn keeps_app_key(settings: &AppSettings) -> bool {
    settings.keep_key_values || settings.mode == CredentialMode::Named
}
